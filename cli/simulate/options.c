/* The options of `mltrain simulate`: see command.h. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/simulate/command.h"
#include "cli/simulate/fields.h"
#include "lib/base/cleanup.h"

#define SECONDS_MAX (INT64_C(10) * 365 * 86400)
#define WEIGHT_MAX 1000000

enum {
    OPTION_TRACE = 0x5001,
    OPTION_NODES,
    OPTION_POLICY,
    OPTION_JSON,
    OPTION_PLACEMENTS,
    OPTION_REPORT,
    OPTION_FROM,
    OPTION_UNTIL,
    OPTION_RACKS,
    OPTION_RACK,
    OPTION_POD,
    OPTION_QUEUE_BY,
    OPTION_WEIGHTS,
    OPTION_ORDER,
    OPTION_HALF_LIFE,
    OPTION_RESERVATIONS,
    OPTION_NO_PREEMPT,
    OPTION_TIME_SLICE,
    OPTION_MIN_RUN,
    OPTION_RESTART,
    OPTION_LEAVE,
    OPTION_SAVE_EVERY,
    OPTION_ESTIMATES,
    OPTION_NO_PREDICT,
    OPTION_PATIENCE
};

static const struct argp_option table[] = {
    {.name = "trace",
     .key = OPTION_TRACE,
     .arg = "FILE",
     .doc =
         "Philly CSV, Standard Workload Format, openb CSV or TrainingJobs; .gz too, - is standard "
         "input",
     .group = 1},
    {.name = "nodes",
     .key = OPTION_NODES,
     .arg = "NxM|FILE",
     .doc = "N nodes of M devices; or openb's list of nodes, or Kubernetes Nodes in YAML or JSON"},
    {.name = "policy",
     .key = OPTION_POLICY,
     .arg = "LIST",
     .doc = "gang (the default), fifo, easy, sjf, several with commas, or all of these; or ledger"},
    {.name = "from",
     .key = OPTION_FROM,
     .arg = "TIME",
     .doc = "only jobs submitted from then on: a date and time, or seconds on the trace's clock"},
    {.name = "until", .key = OPTION_UNTIL, .arg = "TIME", .doc = "only jobs submitted before"},
    {.name = "racks", .key = OPTION_RACKS, .arg = "N", .doc = "every N nodes are a rack"},
    {.name = "pod",
     .key = OPTION_POD,
     .arg = "N",
     .doc =
         "devices that stand in one pod at most (default: a node's, and 1 in the Standard Workload "
         "Format)"},
    {.name = "queue-by",
     .key = OPTION_QUEUE_BY,
     .arg = "FIELD",
     .doc = "Standard Workload Format: whose jobs are a queue: user (the default), group, queue, "
            "partition or none"},
    {.name = "json", .key = OPTION_JSON, .doc = "JSON instead of tables", .group = 2},
    {.name = "report",
     .key = OPTION_REPORT,
     .arg = "FILE",
     .doc = "write pictures and tables to FILE.html, or the pictures to FILE.svg"},
    {.name = "placements",
     .key = OPTION_PLACEMENTS,
     .arg = "FILE",
     .doc = "write who ran where and when as CSV (one policy only)"},
    {.name = "restart",
     .key = OPTION_RESTART,
     .arg = "SECONDS",
     .doc = "what beginning again costs a job that was asked to leave (default 60)",
     .group = 3},
    {.name = "leave",
     .key = OPTION_LEAVE,
     .arg = "SECONDS",
     .doc = "how long such a job holds its place still (default 10)"},
    {.name = "save-every",
     .key = OPTION_SAVE_EVERY,
     .arg = "SECONDS",
     .doc =
         "jobs save so often, and lose what they did since (default: they save before they leave)"},
    {.name = "estimates",
     .key = OPTION_ESTIMATES,
     .arg = "WHOSE",
     .doc = "user (the default): what the trace says; perfect: the run times"},
    {.name = "order",
     .key = OPTION_ORDER,
     .arg = "ORDER",
     .doc = "policy gang: fifo (the default): queues are names in one line; fair: they share, and who has "
            "waited too long comes first; shares (the default with --weights): their shares do",
     .group = 4},
    {.name = "weights",
     .key = OPTION_WEIGHTS,
     .arg = "NAME=N,...",
     .doc = "policy gang: weights of queues (default 1)"},
    {.name = "half-life",
     .key = OPTION_HALF_LIFE,
     .arg = "HOURS",
     .doc =
         "policy gang: past use of a queue counts half after so long (default 168, and 0 with --order "
         "shares: nothing is forgotten)"},
    {.name = "reservations",
     .key = OPTION_RESERVATIONS,
     .arg = "N",
     .doc = "policy gang: blocked jobs that have one (default 1; 0: strict order, no backfill)"},
    {.name = "patience",
     .key = OPTION_PATIENCE,
     .arg = "HOURS",
     .doc =
         "policy gang: all jobs start in the order of least expected work, until they have waited so "
         "long: then they have a reservation (default 168; 0: order and reservations at once)"},
    {.name = "no-preempt",
     .key = OPTION_NO_PREEMPT,
     .doc = "policy gang: no job is asked to leave"},
    {.name = "time-slice",
     .key = OPTION_TIME_SLICE,
     .arg = "SECONDS",
     .doc = "policy gang: jobs without an estimate make way after so long for those that have had "
            "less (default 3600; 0: never)"},
    {.name = "min-run",
     .key = OPTION_MIN_RUN,
     .arg = "SECONDS",
     .doc = "policy gang: a job that was asked to leave runs so long before the next time (default "
            "600)"},
    {.name = "no-predict",
     .key = OPTION_NO_PREDICT,
     .doc = "policy gang: the library is not told how long jobs like this one ran"},
    {.name = "rack",
     .key = OPTION_RACK,
     .arg = "HOW",
     .doc = "policy gang: jobs of several pods prefer (the default) or require one rack, or none"},
    {0}};

static int64_t whole(struct argp_state *state, const char *name, const char *arg, int64_t min,
                     int64_t max)
{
    struct mlt_error err = {0};
    int64_t value = min;
    if (sim_integer((struct sim_piece){arg, strlen(arg)}, name, min, max, &value, &err) < 0)
        argp_error(state, "--%s", err.text);
    return value;
}

static int64_t seconds(struct argp_state *state, const char *name, const char *arg)
{
    return whole(state, name, arg, 0, SECONDS_MAX) * 1000;
}

/* One of several words. */
static size_t word(struct argp_state *state, const char *name, const char *arg,
                   const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(arg, words[i]) == 0)
            return i;
    argp_error(state, "--%s: `%s`; see --help", name, arg);
    return 0;
}

static int64_t point(struct argp_state *state, const char *name, const char *arg)
{
    struct mlt_error err = {0};
    struct sim_piece piece = {arg, strlen(arg)};
    int64_t ms = 0;
    int rc = strlen(arg) > 4 && arg[4] == '-' ? sim_time(piece, name, &ms, &err)
                                              : sim_seconds(piece, name, &ms, &err);
    if (rc < 0)
        argp_error(state, "--%s", err.text);
    return ms;
}

static void add_policy(struct argp_state *state, struct sim_command *c, struct sim_piece name)
{
    static const struct sim_policy *const all[] = {
        &sim_policy_fifo, &sim_policy_easy, &sim_policy_sjf, &sim_policy_gang, &sim_policy_ledger};
    bool every = sim_piece_is(name, "all"), found = every;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(all); i++) {
        bool known = false;
        /* The last one plays manifests only. */
        if (every ? i + 1 == MLT_ARRAY_LENGTH(all) : !sim_piece_is(name, all[i]->name))
            continue;
        found = true;
        for (size_t k = 0; k < c->policies_count; k++)
            known = known || c->policies[k] == all[i];
        if (!known)
            c->policies[c->policies_count++] = all[i];
    }
    if (!found)
        argp_error(state, "--policy: `%.*s`, expected gang, fifo, easy, sjf, ledger or all",
                   (int)name.length, name.at);
}

static void add_policies(struct argp_state *state, struct sim_command *c, const char *arg)
{
    struct sim_piece names[SIM_COLUMNS_MAX];
    size_t count = sim_split_commas((struct sim_piece){arg, strlen(arg)}, names);
    for (size_t i = 0; i < count; i++)
        add_policy(state, c, names[i]);
}

static error_t parse_library(int key, char *arg, struct argp_state *state)
{
    static const char *const orders[] = {"fair", "fifo", "shares"}, *const racks[] = {"prefer", "require",
                                                                            "none"};
    struct sim_command *c = state->input;
    struct sim_options *o = &c->options;
    size_t which;
    switch (key) {
    case OPTION_ORDER:
        c->order_given = true;
        which = word(state, "order", arg, orders, MLT_ARRAY_LENGTH(orders));
        o->fifo = which == 1;
        o->shares_first = which == 2;
        return 0;
    case OPTION_WEIGHTS:
        c->weights = arg;
        return 0;
    case OPTION_HALF_LIFE:
        c->half_life_given = true;
        o->half_life_ms = whole(state, "half-life", arg, 0, SECONDS_MAX / 3600) * 3600000;
        return 0;
    case OPTION_PATIENCE:
        o->patience_ms = whole(state, "patience", arg, 0, SECONDS_MAX / 3600) * 3600000;
        return 0;
    case OPTION_RESERVATIONS:
        o->reservations = (uint32_t)whole(state, "reservations", arg, 0, SIM_RESERVATIONS_MAX);
        return 0;
    case OPTION_NO_PREEMPT:
        o->preempts = false;
        return 0;
    case OPTION_TIME_SLICE:
        o->time_slice_ms = seconds(state, "time-slice", arg);
        return 0;
    case OPTION_MIN_RUN:
        o->min_run_ms = seconds(state, "min-run", arg);
        return 0;
    case OPTION_NO_PREDICT:
        o->predicts = false;
        return 0;
    case OPTION_RACK:
        which = word(state, "rack", arg, racks, MLT_ARRAY_LENGTH(racks));
        o->rack_preferred = which == 0;
        o->rack_required = which == 1;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_cluster(int key, char *arg, struct argp_state *state)
{
    static const char *const by[] = {
#define XX(name, text) [SIM_QUEUE_BY_##name] = text,
        SIM_QUEUE_BY_MAP(XX)
#undef XX
    };
    static const char *const estimates[] = {"user", "perfect"};
    struct sim_command *c = state->input;
    struct sim_options *o = &c->options;
    switch (key) {
    case OPTION_RACKS:
        c->rack_nodes = (uint32_t)whole(state, "racks", arg, 1, SIM_NODES_MAX);
        return 0;
    case OPTION_POD:
        c->pod_max = whole(state, "pod", arg, 1, SIM_NODE_DEVICES_MAX);
        return 0;
    case OPTION_QUEUE_BY:
        c->queue_by = (enum sim_queue_by)word(state, "queue-by", arg, by, MLT_ARRAY_LENGTH(by));
        return 0;
    case OPTION_RESTART:
        o->restart_ms = seconds(state, "restart", arg);
        return 0;
    case OPTION_LEAVE:
        o->leave_ms = seconds(state, "leave", arg);
        return 0;
    case OPTION_SAVE_EVERY:
        o->save_every_ms = seconds(state, "save-every", arg);
        return 0;
    case OPTION_ESTIMATES:
        o->perfect_estimates =
            word(state, "estimates", arg, estimates, MLT_ARRAY_LENGTH(estimates)) == 1;
        return 0;
    default:
        return parse_library(key, arg, state);
    }
}

static void check(struct argp_state *state, struct sim_command *c)
{
    const char *dot = c->report ? strrchr(c->report, '.') : NULL;
    if (!c->trace || !c->nodes)
        argp_error(state, "--trace and --nodes are needed");
    if (c->weights && !c->order_given) {
        c->options.fifo = false;
        c->options.shares_first = true;
    }
    if (c->options.shares_first && !c->half_life_given)
        c->options.half_life_ms = 0;
    if (c->policies_count == 0)
        c->policies[c->policies_count++] = &sim_policy_gang;
    if (c->placements && c->policies_count > 1)
        argp_error(state, "--placements: expected one policy");
    if (c->report && (!dot || (strcmp(dot, ".html") != 0 && strcmp(dot, ".svg") != 0)))
        argp_error(state, "--report: `%s`, expected a file that ends in .html or .svg", c->report);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct sim_command *c = state->input;
    switch (key) {
    case OPTION_TRACE:
        c->trace = arg;
        return 0;
    case OPTION_NODES:
        c->nodes = arg;
        return 0;
    case OPTION_POLICY:
        add_policies(state, c, arg);
        return 0;
    case OPTION_JSON:
        c->json = true;
        return 0;
    case OPTION_PLACEMENTS:
        c->placements = arg;
        return 0;
    case OPTION_REPORT:
        c->report = arg;
        return 0;
    case OPTION_FROM:
        c->from_ms = point(state, "from", arg);
        return 0;
    case OPTION_UNTIL:
        c->until_ms = point(state, "until", arg);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "no arguments expected");
        return 0;
    case ARGP_KEY_END:
        check(state, c);
        return 0;
    default:
        return parse_cluster(key, arg, state);
    }
}

void sim_command_init(struct sim_command *command)
{
    *command = (struct sim_command){.from_ms = INT64_MIN,
                                    .until_ms = INT64_MAX,
                                    .options = {.restart_ms = 60000,
                                                .leave_ms = 10000,
                                                .reservations = 1,
                                                .preempts = true,
                                                .time_slice_ms = 3600000,
                                                .half_life_ms = INT64_C(168) * 3600000,
                                                .min_run_ms = 600000,
                                                .patience_ms = INT64_C(168) * 3600000,
                                                .fifo = true,
                                                .predicts = true,
                                                .rack_preferred = true}};
}

const struct argp sim_argp = {
    .options = table,
    .parser = parse,
    .doc = "Plays a trace of jobs on a cluster that is only simulated, and says what its users "
           "would have seen: queueing, completion, use of the cluster, fairness, preemptions."};

int sim_parse_weights(const char *text, const struct sim_names *queues, int64_t *weights,
                      struct mlt_error *err)
{
    struct sim_piece left = {text, strlen(text)};
    for (uint32_t i = 0; i < queues->count; i++)
        weights[i] = 1;
    while (left.length > 0) {
        const char *comma = memchr(left.at, ',', left.length);
        struct sim_piece one = {left.at, comma ? (size_t)(comma - left.at) : left.length};
        const char *equals = memchr(one.at, '=', one.length);
        if (!equals)
            return mlt_fail(err, EINVAL, "--weights: `%.*s`, expected NAME=NUMBER", (int)one.length,
                            one.at);
        struct sim_piece name = {one.at, (size_t)(equals - one.at)};
        struct sim_piece value = {equals + 1, one.length - name.length - 1};
        uint32_t number = 0;
        while (number < queues->count && !sim_piece_is(name, queues->name[number]))
            number++;
        if (number == queues->count)
            return mlt_fail(err, EINVAL, "--weights: no queue `%.*s` in the trace",
                            (int)name.length, name.at);
        if (sim_integer(value, "--weights", 1, WEIGHT_MAX, &weights[number], err) < 0)
            return -EINVAL;
        left.at += one.length + (comma ? 1 : 0);
        left.length -= one.length + (comma ? 1 : 0);
    }
    return 0;
}
