/* How commands that list objects print them: -o and --no-headers, the same for all. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <argp.h>
#include <cjson/cJSON.h>
#include <stdbool.h>

enum cli_format {
    CLI_FORMAT_TABLE,
    CLI_FORMAT_WIDE,
    CLI_FORMAT_JSON,
    CLI_FORMAT_YAML,
    CLI_FORMAT_NAME
};

struct cli_output {
    enum cli_format format;
    bool no_headers; /* of a table */
};

/* For `.children` of a command's argp; its input is a struct cli_output. */
extern const struct argp cli_output_argp;

/* True for what is printed as objects, by cli_output_object(), not line by line. */
bool cli_output_is_object(const struct cli_output *o);
void cli_output_object(const struct cli_output *o, const cJSON *node);

#endif
