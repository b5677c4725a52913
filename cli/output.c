/* See output.h. */
#include "cli/output.h"

#include <stdio.h>
#include <string.h>
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

enum { OPTION_NO_HEADERS = 0x4001 };

static const char *const formats[] = {[CLI_FORMAT_TABLE] = "table",
                                      [CLI_FORMAT_WIDE] = "wide",
                                      [CLI_FORMAT_JSON] = "json",
                                      [CLI_FORMAT_YAML] = "yaml",
                                      [CLI_FORMAT_NAME] = "name"};

static const struct argp_option output_options[] = {
    {.name = "output",
     .key = 'o',
     .arg = "FORMAT",
     .doc = "table, wide (more columns), json, yaml or name"},
    {.name = "no-headers", .key = OPTION_NO_HEADERS, .doc = "without the line of headings"},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct cli_output *o = state->input;
    switch (key) {
    case 'o':
        for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
            if (strcmp(arg, formats[i]) == 0) {
                o->format = (enum cli_format)i;
                return 0;
            }
        argp_error(state, "-o `%s`: expected wide, json, yaml or name", arg);
        return 0;
    case OPTION_NO_HEADERS:
        o->no_headers = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp cli_output_argp = {.options = output_options, .parser = parse};

bool cli_output_is_object(const struct cli_output *o)
{
    return o->format == CLI_FORMAT_JSON || o->format == CLI_FORMAT_YAML;
}

void cli_output_object(const struct cli_output *o, const cJSON *node)
{
    cleanup_free char *text =
        o->format == CLI_FORMAT_JSON ? json_print_indented(node) : json_print_yaml(node);
    printf("%s%s", text, o->format == CLI_FORMAT_JSON ? "\n" : "");
    (void)fflush(stdout);
}
