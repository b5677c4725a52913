/* What the subcommands of `mltrain` share: options, the connection to a cluster, words on the
 * terminal. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <argp.h>
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <uv.h>
#include "lib/base/error.h"
#include "lib/kube/kubeconfig.h"
#include "lib/kube/resource.h"
#include "lib/kube/transport/transport.h"

/* Exit codes of the CLI itself; `run` and `wait` exit with the job's code where there is one. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1, /* the cluster or the job said no */
    CLI_USAGE = 2,  /* wrong arguments or manifest */
    CLI_TIMEOUT = 3,
    CLI_INTERRUPTED = 130
};

/* Options that every command talking to a cluster takes (kubectl's names). */
struct cli_target {
    const char *kubeconfig, *context, *namespace_;
    const char *cluster; /* a one-machine cluster by its name, or NULL */
    bool all_namespaces;
};

/* For `.children` of a command's argp; its input is a struct cli_target. */
extern const struct argp cli_target_argp;

/* A connection: blocking requests by kube_request(), others on the loop. */
struct cli {
    uv_loop_t loop;
    struct kube_config config;
    struct kube_transport *transport;
    const char *namespace_; /* of the options, else of the context */
    char *cluster_dir;      /* of the one-machine cluster that it is known to be, else NULL */
};

/* By kubectl's rules; without any kubeconfig, this user's running cluster `default` is taken. Says
 * on stderr what is wrong and returns a negative code. */
int cli_connect(struct cli *c, const struct cli_target *target) MLT_MUST_USE;
/* Connects to the cluster of this kubeconfig file and nothing else. */
int cli_connect_file(struct cli *c, const char *path, const char *context, const char *namespace_,
                     struct mlt_error *err) MLT_MUST_USE;
/* Connects to the one-machine cluster in this folder; whoever waits notices when it goes down. */
int cli_connect_cluster(struct cli *c, const char *dir, const char *namespace_,
                        struct mlt_error *err) MLT_MUST_USE;
void cli_disconnect(struct cli *c);

/* Blocking requests with JSON answers. `patch_type` as for kube_request. -ENOENT and so on as
 * kube_answer_check(). ret_object may be NULL. */
int cli_get(struct cli *c, const char *path, cJSON **ret_object,
            struct mlt_error *err) MLT_MUST_USE;
int cli_send(struct cli *c, const char *verb, const char *path, const char *content_type,
             const cJSON *body, cJSON **ret_object, struct mlt_error *err) MLT_MUST_USE;

/* The path of a job (or of a subresource) in a malloc'd string. */
char *cli_job_path(const char *namespace_, const char *name, const char *subresource,
                   const char *query);

/* `mltrain: words` on stderr; returns `code`, so that a failing command is one line. */
int cli_fail(int code, const char *format, ...) MLT_PRINTF(2, 3);

/* A job's name out of an argument: "NAME", "tj/NAME" or "trainingjob/NAME"; says what is wrong with
 * others. */
int cli_job_name(const char *argument, const char **ret_name) MLT_MUST_USE;

/* For argp parsers, while they are at the option. A whole number from its argument; ends the program
 * with words that name the option when it is none. */
int64_t cli_number(struct argp_state *state, const char *arg, int64_t min, int64_t max);
/* Takes exactly one job's name: 0 when `key` was about it, else ARGP_ERR_UNKNOWN. */
error_t cli_take_job_name(int key, char *arg, struct argp_state *state, const char **ret_name);

/* The wall clock, in ms since 1970: what ages are counted from. */
int64_t cli_wall_ms(void);

/* The folder of the programs beside this one. Owned by the callee, set once. */
const char *cli_program_folder(void);

/* One subcommand. argv[0] is "mltrain NAME" for argp's messages. */
struct cli_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

int cli_run(int argc, char **argv);
int cli_submit(int argc, char **argv);
int cli_get_command(int argc, char **argv);
int cli_explain(int argc, char **argv);
int cli_describe(int argc, char **argv);
int cli_events(int argc, char **argv);
int cli_queue(int argc, char **argv);
int cli_logs(int argc, char **argv);
int cli_wait(int argc, char **argv);
int cli_cancel(int argc, char **argv);
int cli_suspend(int argc, char **argv);
int cli_resume(int argc, char **argv);
int cli_cluster(int argc, char **argv);
int cli_simulate(int argc, char **argv);
int cli_completion(int argc, char **argv);
int cli_version(int argc, char **argv);

#endif
