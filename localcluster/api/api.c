/* The command line of the API server: see api.h. */
#include "localcluster/api/api.h"

#include <argp.h>
#include <signal.h>
#include <stdlib.h>
#include "lib/base/log.h"
#include "lib/base/name.h"
#include "lib/base/number.h"
#include "localcluster/api/edge.h"

#define NAME_MAX_CHARACTERS 40

enum option_key { OPTION_DIR = 256, OPTION_NAME, OPTION_READY_FD, OPTION_LOG_LEVEL };

struct arguments {
    struct api_edge_config config;
    enum mlt_log_level level;
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    struct mlt_error err = {0};
    int64_t number;
    switch (key) {
    case OPTION_DIR:
        a->config.dir = text;
        return 0;
    case OPTION_NAME:
        if (!mlt_is_dns_label(text, NAME_MAX_CHARACTERS))
            argp_error(state, "--name: `%.64s` is not a DNS label of at most %d characters", text,
                       NAME_MAX_CHARACTERS);
        a->config.name = text;
        return 0;
    case OPTION_READY_FD:
        if (mlt_parse_integer(text, 0, 65535, &number, &err) < 0)
            argp_error(state, "--ready-fd: %s", err.text);
        else
            a->config.ready_fd = (int)number;
        return 0;
    case OPTION_LOG_LEVEL:
        if (mlt_log_level_parse(text, &a->level, &err) < 0)
            argp_error(state, "--log-level: %s", err.text);
        return 0;
    case ARGP_KEY_END:
        if (!a->config.dir)
            argp_error(state, "--dir is missing: the folder of the cluster");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int api_main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"dir", OPTION_DIR, "DIR", 0, "Folder of the cluster; made when it does not exist", 0},
        {"name", OPTION_NAME, "NAME", 0, "Name of the cluster (default: default)", 0},
        {"ready-fd", OPTION_READY_FD, "N", 0, "Write a newline to this descriptor when serving", 0},
        {"log-level", OPTION_LOG_LEVEL, "LEVEL", 0, "error, warning, info or debug (default: info)",
         0},
        {0}};
    static const struct argp argp = {.options = options,
                                     .parser = parse_option,
                                     .doc = "Serve the Kubernetes API of a one-machine cluster on "
                                            "127.0.0.1.\vIt writes DIR/kubeconfig; "
                                            "kubectl --kubeconfig DIR/kubeconfig get pods works "
                                            "from then on. Everything is kept in "
                                            "DIR/store.db."};
    struct arguments a = {.config = {.name = "default", .ready_fd = -1}, .level = MLT_LOG_INFO};
    struct mlt_error err = {0};
    static char program[] = "mltrain-localcluster api";
    argp_program_version = "mltrain-localcluster " MLTRAIN_VERSION;
    argv[0] = program;
    if (argp_parse(&argp, argc, argv, 0, NULL, &a) != 0)
        return 64;
    mlt_log_start("mltrain-api", a.level);
    (void)signal(SIGPIPE, SIG_IGN);
    if (api_edge_run(&a.config, &err) < 0) {
        mlt_log(MLT_LOG_ERROR, "cannot serve: %s", err.text);
        return 1;
    }
    return 0;
}
