/* mltrain-sim: tells seeds' histories, and looks whether all is well in each. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/number.h"
#include "tests/simulation/sim.h"
#include "tests/simulation/stories.h"

#define CONVERGE_MS (4 * 3600 * 1000) /* after the last fault, by the virtual clock */
#define SETTLE_MS (35 * 1000)         /* more than launchers, kubelets, garbage and a TTL take */
#define LONG_SETTLE_MS (120 * 1000)   /* and with the grace of histories of stops */
#define JOBS_MAX 256

struct arguments {
    uint64_t first, last;
    int jobs;
    bool trace, every_write, stop, patient;
    const char *story; /* NULL: all */
    int64_t die_at;    /* of one story; 0: each effect in turn */
    bool die_after;
};

/* The one that runs in this process, for who tells its last words. */
static struct sim *running;

static void died(int number)
{
    (void)signal(number, SIG_DFL);
    if (running) {
        sim_print_history(running);
        printf("seed %" PRIu64 " DIED of signal %d\n", running->seed, number);
        (void)fflush(stdout);
    }
    (void)raise(number);
}

static bool all_over(struct sim *s)
{
    for (int i = 0; i < s->jobs_count; i++)
        if (!job_is_over(s, &s->jobs[i]))
            return false;
    return true;
}

static void choose_cluster(struct sim *s)
{
    s->nodes_count = (int)sim_between(s, 1, 5);
    int gpus = (int)sim_between(s, 1, 4);
    for (int i = 0; i < s->nodes_count; i++)
        s->nodes[i].gpus = gpus;
    s->hosts_count = (int)sim_between(s, 1, SIM_HOSTS);
}

static void must_converge(struct sim *s, const char *what)
{
    sim_run(s, s->now_ms + CONVERGE_MS, all_over);
    if (!all_over(s)) {
        for (int i = 0; i < s->jobs_count; i++)
            if (!job_is_over(s, &s->jobs[i]))
                sim_say(s, s->jobs[i].name, "is %s at the end: %s", job_phase(s, &s->jobs[i]),
                        json_string(api_object(s, "trainingjobs", s->jobs[i].name),
                                    "status.queue.explanation", ""));
        sim_violated(s, "when faults cease, everything comes to its end in bounded time",
                     "not %s within %d s", what, CONVERGE_MS / 1000);
    }
}

/* A gang that wants every GPU there is finds them all free: nothing is left in the ledger. */
static void probe_ledger(struct sim *s)
{
    struct sim_job *job = &s->jobs[s->jobs_count++];
    *job = (struct sim_job){.name = "probe",
                            .replicas = s->nodes_count,
                            .nproc = s->nodes[0].gpus,
                            .backoff_limit = 3,
                            .init_ms = 500,
                            .pace_ms = 1000,
                            .save_every = 5,
                            .save_ms = 100,
                            .total_steps = 8,
                            .proves = true};
    job->facts.excused_ms = job->facts.stop_ms = -1;
    job->facts.started_resume = job->facts.credited_step = RENDEZVOUS_NO_STEP;
    job_submit(s, job);
    api_settle(s);
    must_converge(s, "a job that wants the whole cluster");
}

static void begin(struct sim *s, uint64_t seed)
{
    s->seed = seed;
    s->now_ms = 1000;
    s->hash = UINT64_C(14695981039346656037);
    s->history = mlt_calloc(SIM_HISTORY, sizeof *s->history);
    mlt_random_init(&s->random, seed);
    mlt_random_init(&s->server_random, seed ^ 0x5eed);
    running = s;
    (void)signal(SIGABRT, died);
    (void)signal(SIGSEGV, died);
    oracle_begin(s);
    api_begin(s);
}

static void tell_seed(struct sim *s, uint64_t seed)
{
    begin(s, seed);
    int64_t settle_ms = stops_are_the_theme(s) ? LONG_SETTLE_MS : SETTLE_MS;
    choose_cluster(s);
    kubelets_begin(s);
    api_settle(s);
    faults_choose(s);
    turns_choose(s);
    controllers_begin(s);
    jobs_begin(s);
    turns_begin(s);
    faults_begin(s);
    stops_begin(s);
    sim_run(s, s->now_ms + sim_between(s, 20, 120) * 1000, NULL);
    faults_end(s);
    must_converge(s, "every job");
    sim_run(s, s->now_ms + settle_ms, NULL);
    oracle_end(s);
    turns_end(s);
    probe_ledger(s);
    sim_run(s, s->now_ms + settle_ms, NULL);
    oracle_end(s);
    printf("seed %" PRIu64 " ok hash %016" PRIx64
           " faults %u writes %u preemptions %u seconds %" PRId64 "\n",
           seed, s->hash, s->faults_count, s->writes, s->preemptions, s->now_ms / 1000);
}

/* Each history has a process of its own, made from one that has the API server ready: they cannot
 * disturb each other, and what dies tells its seed. Returns whether all was well. */
static bool one(struct sim *s, uint64_t seed)
{
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        tell_seed(s, seed);
        (void)fflush(stdout);
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int range(struct sim *s, const struct arguments *a, int worker)
{
    int failed = 0;
    for (uint64_t seed = a->first + (uint64_t)worker; seed <= a->last; seed += (uint64_t)a->jobs)
        if (!one(s, seed)) {
            failed++;
            if (a->stop)
                break;
        }
    return failed > 100 ? 100 : failed;
}

static int all(struct sim *s, const struct arguments *a)
{
    int failed = 0;
    pid_t workers[JOBS_MAX];
    for (int i = 0; i < a->jobs; i++) {
        (void)fflush(stdout);
        workers[i] = fork();
        if (workers[i] == 0)
            _exit(range(s, a, i));
    }
    for (int i = 0; i < a->jobs; i++) {
        int status = 0;
        (void)wait(&status);
        failed += WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        for (int j = 0; failed && a->stop && j < a->jobs; j++)
            (void)kill(workers[j], SIGTERM);
    }
    printf("%" PRIu64 " seeds, %d failed\n", a->last - a->first + 1, failed);
    return failed ? 1 : 0;
}

/* ---- every write ---- */

/* Returns the number of effects of consequence, -1 when something is wrong. */
static int64_t one_death(struct sim *s, const struct sim_story *story, int64_t die_at, bool after)
{
    int ends[2];
    int64_t effects = -1;
    (void)fflush(stdout);
    if (pipe(ends) < 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        begin(s, 1);
        story_tell(s, story, die_at, after);
        (void)fflush(stdout);
        _exit(write(ends[1], &s->effects, sizeof s->effects) == sizeof s->effects ? 0 : 1);
    }
    (void)close(ends[1]);
    if (read(ends[0], &effects, sizeof effects) != sizeof effects)
        effects = -1;
    (void)close(ends[0]);
    (void)waitpid(child, NULL, 0);
    return effects;
}

static int each_death(struct sim *s, const struct arguments *a, const struct sim_story *story,
                      int64_t effects, int worker)
{
    int failed = 0;
    for (int64_t i = worker; i < 2 * effects; i += a->jobs)
        failed += one_death(s, story, i / 2 + 1, i % 2) < 0;
    return failed > 100 ? 100 : failed;
}

static int every_write(struct sim *s, const struct arguments *a)
{
    int all_failed = 0;
    for (const struct sim_story *story = stories; story->name; story++) {
        if (a->story && strcmp(a->story, story->name) != 0)
            continue;
        if (a->die_at)
            return one_death(s, story, a->die_at, a->die_after) < 0;
        int64_t effects = one_death(s, story, 0, false);
        int failed = effects < 0;
        for (int i = 0; i < a->jobs && effects > 0; i++)
            if (fork() == 0)
                _exit(each_death(s, a, story, effects, i));
        for (int i = 0; i < a->jobs && effects > 0; i++) {
            int status = 0;
            (void)wait(&status);
            failed += WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        }
        printf("%-14s %4" PRId64 " effects, %5" PRId64 " deaths, %d failed\n", story->name, effects,
               2 * effects, failed);
        all_failed += failed;
    }
    return all_failed ? 1 : 0;
}

/* ---- the command line ---- */

enum option_key {
    OPTION_SEED = 256,
    OPTION_SEEDS,
    OPTION_JOBS,
    OPTION_TRACE,
    OPTION_STOP,
    OPTION_PATIENCE,
    OPTION_EVERY_WRITE,
    OPTION_STORY,
    OPTION_BEFORE,
    OPTION_AFTER
};

static void parse_seeds(const char *words, struct arguments *a, struct argp_state *state)
{
    char *end = NULL;
    a->first = a->last = strtoull(words, &end, 10);
    if (strncmp(end, "..", 2) == 0)
        a->last = strtoull(end + 2, &end, 10);
    if (*end || a->last < a->first)
        argp_error(state, "`%.64s` is neither a seed nor a range A..B", words);
}

static error_t parse_option(int key, char *words, struct argp_state *state)
{
    struct arguments *a = state->input;
    int64_t number = 1;
    switch (key) {
    case OPTION_SEED:
    case OPTION_SEEDS:
        parse_seeds(words, a, state);
        return 0;
    case OPTION_JOBS:
        if (mlt_parse_integer(words, 1, JOBS_MAX, &number, NULL) < 0)
            argp_error(state, "--jobs: `%.64s` is not a number from 1 to 256", words);
        a->jobs = (int)number;
        return 0;
    case OPTION_TRACE:
        a->trace = true;
        return 0;
    case OPTION_STOP:
        a->stop = true;
        return 0;
    case OPTION_PATIENCE:
        a->patient = true;
        return 0;
    case OPTION_EVERY_WRITE:
        a->every_write = true;
        return 0;
    case OPTION_STORY:
        a->every_write = true;
        a->story = words;
        return 0;
    case OPTION_BEFORE:
    case OPTION_AFTER:
        if (mlt_parse_integer(words, 1, 1000000, &a->die_at, NULL) < 0)
            argp_error(state, "`%.64s` is not the number of an effect", words);
        a->die_after = key == OPTION_AFTER;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"seed", OPTION_SEED, "S", 0, "Tell the history of this seed", 0},
        {"seeds", OPTION_SEEDS, "A..B", 0, "Tell the histories of these seeds", 0},
        {"jobs", OPTION_JOBS, "N", 0, "Processes at once (default: 1)", 0},
        {"trace", OPTION_TRACE, NULL, 0, "Print every line of the history", 0},
        {"stop", OPTION_STOP, NULL, 0, "End with the first seed that fails", 0},
        {"patience", OPTION_PATIENCE, NULL, 0,
         "The controllers have --patience, and most of them --time-slice", 0},
        {"every-write", OPTION_EVERY_WRITE, NULL, 0,
         "Tell life stories; the controller dies before and after each of its effects", 0},
        {"story", OPTION_STORY, "NAME", 0, "Only this story", 0},
        {"before", OPTION_BEFORE, "N", 0, "Only the death before effect N of the story", 0},
        {"after", OPTION_AFTER, "N", 0, "Only the death after effect N of the story", 0},
        {0}};
    static const struct argp argp = {.options = options,
                                     .parser = parse_option,
                                     .doc = "A whole cluster in one process, with faults."};
    struct arguments a = {.first = 1, .last = 1, .jobs = 1};
    if (argp_parse(&argp, argc, argv, 0, NULL, &a) != 0)
        return 64;
    struct sim *s = mlt_calloc(1, sizeof *s);
    s->trace = a.trace;
    s->patient = a.patient;
    api_prepare(s);
    return a.every_write ? every_write(s, &a) : all(s, &a);
}
