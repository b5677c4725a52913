/* Cases as text, played on a ledger: see play.h and README.md. */
#include "tests/conformance/schedulers/play.h"

#include <stdlib.h>
#include "lib/base/cleanup.h"
#include "tests/unit/ledger/objects.h"

#define JOBS_MAX 128
#define NAME_MAX_BYTES 64
#define PLACES_MAX 1024
#define LINE_MAX_BYTES 1024
#define MIN_RUN_MS 600000 /* as the controller's --preemption-min-run */
#define RESERVATIONS 1    /* as its --reservations */

struct play_job {
    char name[NAME_MAX_BYTES];
    struct trainingjob job;
};

struct play {
    const char *file;
    unsigned line, cases, failed;
    char title[LINE_MAX_BYTES]; /* of the case */
    bool wrong;                 /* it has gone otherwise */
    struct ledger *l;
    struct play_job jobs[JOBS_MAX];
    unsigned jobs_count;
    int64_t now_ms;
    bool decides; /* lines of decisions may follow */
};

static void broken(const struct play *p, const char *what)
{
    (void)fprintf(stderr, "%s:%u: %s\n", p->file, p->line, what);
    exit(2);
}

static void differs(struct play *p, const char *expected, const char *got)
{
    (void)fprintf(stderr, "%s:%u: %s: expected `%s`, got `%s`%s%s%s\n", p->file, p->line, p->title,
                  expected, got, *objects_reason() ? " (" : "", objects_reason(),
                  *objects_reason() ? ")" : "");
    p->wrong = true;
}

/* The value of key=value among the words of a line, until the next space; NULL when it is not
 * there. */
static const char *value_of(const char *words, const char *key, char *value)
{
    size_t length = strlen(key);
    for (const char *at = strstr(words, key); at; at = strstr(at + 1, key))
        if ((at == words || at[-1] == ' ') && at[length] == '=') {
            (void)snprintf(value, NAME_MAX_BYTES, "%.*s", (int)strcspn(at + length + 1, " "),
                           at + length + 1);
            return value;
        }
    return NULL;
}

static const char *value_or(const char *words, const char *key, char *value, const char *otherwise)
{
    const char *found = value_of(words, key, value);
    return found ? found : otherwise;
}

static void add_node(struct play *p, const char *name, int gpus, const char *words)
{
    char cpu[NAME_MAX_BYTES], memory[NAME_MAX_BYTES], pods[NAME_MAX_BYTES], zone[NAME_MAX_BYTES],
        rack[NAME_MAX_BYTES], pool[NAME_MAX_BYTES];
    cleanup_json cJSON *node = objects_yaml(
        "metadata: {name: %s, labels: {zone: '%s', example.com/rack: '%s', pool: '%s'}}\nspec: "
        "{%s}\nstatus:\n"
        "  allocatable: {cpu: '%s', memory: %s, pods: '%s', nvidia.com/gpu: '%d'}\n"
        "  conditions: [{type: Ready, status: 'True'}]\n",
        name, value_or(words, "zone", zone, ""), value_or(words, "rack", rack, ""),
        value_or(words, "pool", pool, ""), strstr(words, "cordoned") ? "unschedulable: true" : "",
        value_or(words, "cpu", cpu, "64"), value_or(words, "memory", memory, "256Gi"),
        value_or(words, "pods", pods, "110"), gpus);
    ledger_node(p->l, node, p->now_ms);
}

static void add_queue(struct play *p, const char *name, const char *spec)
{
    cleanup_json cJSON *queue =
        objects_yaml("apiVersion: mltrain.io/v1alpha1\nkind: TrainingQueue\n"
                     "metadata: {name: %s}\nspec: {%s}\n",
                     name, spec);
    ledger_queue(p->l, queue);
}

static struct play_job *find(struct play *p, const char *name)
{
    for (unsigned i = 0; i < p->jobs_count; i++)
        if (strcmp(p->jobs[i].name, name) == 0)
            return &p->jobs[i];
    broken(p, "there is no such job");
    return NULL;
}

/* "  key: value" for each key that is there. */
static void spec_of(const char *words, char *spec, char *pod)
{
    static const struct {
        const char *key, *before, *after;
    } rows[] = {
        {"queue", "queue: ", ""},
        {"class", "priorityClassName: ", ""},
        {"required", "scheduling: {topology: {required: ", "}}"},
        {"preferred", "scheduling: {topology: {preferred: ", ", maxWaitSeconds: 60}}"},
        {"limit", "activeDeadlineSeconds: ", ""},
    };
    char value[NAME_MAX_BYTES];
    spec[0] = pod[0] = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (value_of(words, rows[i].key, value)) {
            size_t length = strlen(spec);
            (void)snprintf(spec + length, LINE_MAX_BYTES - length, "%s%s%s, ", rows[i].before,
                           value, rows[i].after);
        }
    if (value_of(words, "pool", value))
        (void)snprintf(pod, LINE_MAX_BYTES, "nodeSelector: {pool: %s},", value);
}

static struct play_job *add_job(struct play *p, const char *name, const char *size,
                                const char *words)
{
    int pods = 0, gpus = 0;
    if (sscanf(size, "%dx%d", &pods, &gpus) != 2 || p->jobs_count == JOBS_MAX)
        broken(p, "a job is NAME PODSxGPUS, and there are not too many");
    char spec[LINE_MAX_BYTES], pod[LINE_MAX_BYTES], cpu[NAME_MAX_BYTES], memory[NAME_MAX_BYTES];
    spec_of(words, spec, pod);
    cleanup_json cJSON *object = objects_yaml(
        "apiVersion: mltrain.io/v1alpha1\nkind: TrainingJob\nmetadata: {name: %s, namespace: ns, "
        "uid: %s, "
        "creationTimestamp: '2026-11-24T10:%02u:%02uZ'}\nspec: {%s workers: {replicas: %d, "
        "template: {spec: {%s containers: "
        "[{name: trainer, command: [a], resources: {requests: {cpu: '%s', memory: %s}, limits: "
        "{nvidia.com/gpu: %d}}}]}}}}\n",
        name, name, p->jobs_count / 60, p->jobs_count % 60, spec, pods, pod,
        value_or(words, "cpu", cpu, "0"), value_or(words, "memory", memory, "0"), gpus);
    struct play_job *j = &p->jobs[p->jobs_count];
    struct mlt_error err = {0};
    if (trainingjob_read(object, &j->job, &err) < 0)
        broken(p, err.text);
    p->jobs_count++;
    (void)snprintf(j->name, sizeof j->name, "%s", name);
    return j;
}

static void waits(struct play *p, struct play_job *j)
{
    struct mlt_error err = {0};
    if (ledger_job_waits(p->l, &j->job, NULL, p->now_ms, &err) < 0)
        broken(p, err.text);
    ledger_job_since(p->l, j->name, p->now_ms);
}

/* `nodes`: names with a space or a comma between them. */
static void holds(struct play *p, struct play_job *j, const char *nodes)
{
    const char *names[JOBS_MAX];
    char copy[PLACES_MAX], *rest = copy;
    uint32_t count = 0;
    struct mlt_error err = {0};
    (void)snprintf(copy, sizeof copy, "%s", nodes);
    for (char *word = strsep(&rest, " ,"); word; word = strsep(&rest, " ,"))
        if (*word && count < JOBS_MAX)
            names[count++] = word;
    if (ledger_job_holds(p->l, &j->job, NULL, names, count, p->now_ms, &err) < 0)
        broken(p, err.text);
    ledger_job_started(p->l, j->name, p->now_ms);
}

/* Commits what the plan places, until nothing more is. */
static void accept(struct play *p)
{
    for (unsigned placed = 1; placed;) {
        static char places[JOBS_MAX][PLACES_MAX];
        placed = 0;
        objects_plan(p->l, p->now_ms);
        for (const char *got = objects_next(p->l); *got; got = objects_next(p->l))
            if (strncmp(got, "place ", 6) == 0 && placed < JOBS_MAX)
                (void)snprintf(places[placed++], PLACES_MAX, "%s", got + 6);
        for (unsigned i = 0; i < placed; i++) {
            char *colon = strchr(places[i], ':'), *on_condition = strstr(places[i], " revocable");
            *colon = '\0';
            if (on_condition)
                *on_condition = '\0';
            struct play_job *j = find(p, places[i]);
            holds(p, j, colon + 2);
            if (on_condition)
                ledger_job_revocable(p->l, j->name);
        }
    }
}

/* uses QUEUE RESOURCE AMOUNT */
static void uses(struct play *p, const char *queue, const char *resource, const char *amount)
{
    struct ledger_queue_view view;
    char got[NAME_MAX_BYTES] = "no such queue or resource";
    if (ledger_queue_look(p->l, queue, p->now_ms, &view))
        for (uint32_t i = 0; i < view.resources; i++)
            if (strcmp(view.names[i], resource) == 0)
                (void)snprintf(got, sizeof got, "%lld", (long long)view.sums.used[i]);
    if (strcmp(got, amount) != 0)
        differs(p, amount, got);
}

static void end_case(struct play *p)
{
    if (p->l && p->decides && !p->wrong && *objects_next(p->l))
        differs(p, "nothing more", "another decision");
    p->failed += p->wrong;
    for (unsigned i = 0; i < p->jobs_count; i++)
        trainingjob_release(&p->jobs[i].job);
    ledger_free(p->l);
    p->l = NULL;
    p->jobs_count = 0;
    p->wrong = p->decides = false;
}

static void begin_case(struct play *p, const char *title)
{
    end_case(p);
    p->cases++;
    p->now_ms = 1000000;
    (void)snprintf(p->title, sizeof p->title, "%s", title);
    p->l = objects_ledger_that_preempts(RESERVATIONS, MIN_RUN_MS);
    objects_priority(p->l, "high", 100, "PreemptLowerPriority");
    objects_priority(p->l, "middle", 50, "PreemptLowerPriority");
    objects_priority(p->l, "low", -10, "PreemptLowerPriority");
    objects_priority(p->l, "polite", 100, "Never");
}

static void decision(struct play *p, const char *expected)
{
    if (!p->decides)
        broken(p, "a decision without a plan");
    if (p->wrong)
        return;
    const char *got = objects_next(p->l), *reason = strstr(expected, " | ");
    size_t length = reason ? (size_t)(reason - expected) : strlen(expected);
    if (strlen(got) != length || strncmp(got, expected, length) != 0 ||
        (reason && !strstr(objects_reason(), reason + 3)))
        differs(p, expected, got);
}

/* Words about what is there. */
static bool of_objects(struct play *p, const char *verb, const char *a, const char *b,
                       const char *c, const char *rest)
{
    if (strcmp(verb, "node") == 0)
        add_node(p, a, atoi(b), rest);
    else if (strcmp(verb, "node-gone") == 0)
        ledger_node_gone(p->l, a, p->now_ms);
    else if (strcmp(verb, "queue") == 0)
        add_queue(p, a, strstr(rest + strlen("queue "), a) + strlen(a));
    else if (strcmp(verb, "other") == 0) {
        char containers[LINE_MAX_BYTES];
        (void)snprintf(containers, sizeof containers,
                       "{name: c, resources: {limits: {nvidia.com/gpu: '%s'}}}", c);
        objects_pod(p->l, a, b, "Running", "", containers);
    } else if (strcmp(verb, "other-gone") == 0)
        objects_pod_gone(p->l, a);
    else if (strcmp(verb, "now") == 0)
        p->now_ms += (int64_t)atoi(a) * 1000;
    else
        return false;
    return true;
}

/* Words about jobs. */
static bool of_jobs(struct play *p, const char *verb, const char *a, const char *b, const char *c,
                    const char *rest)
{
    if (strcmp(verb, "job") == 0)
        waits(p, add_job(p, a, b, rest));
    else if (strcmp(verb, "jobs") == 0) /* jobs a 3 1x1: a1 a2 a3 */
        for (int i = 1; i <= atoi(b); i++) {
            char name[NAME_MAX_BYTES + 12];
            (void)snprintf(name, sizeof name, "%s%d", a, i);
            waits(p, add_job(p, name, c, rest));
        }
    else if (strcmp(verb, "holds") == 0)
        holds(p, add_job(p, a, b, rest), c);
    else if (strcmp(verb, "saved") == 0)
        ledger_job_saved(p->l, a, p->now_ms);
    else if (strcmp(verb, "gone") == 0)
        ledger_job_gone(p->l, a, p->now_ms);
    else if (strcmp(verb, "leaves") == 0)
        ledger_job_leaves(p->l, a, b, p->now_ms);
    else if (strcmp(verb, "left") == 0) {
        waits(p, find(p, a));
        ledger_job_was_preempted(p->l, a);
    } else if (strcmp(verb, "accept") == 0)
        accept(p);
    else if (strcmp(verb, "uses") == 0)
        uses(p, a, b, c);
    else if (strcmp(verb, "plan") == 0)
        objects_plan(p->l, p->now_ms);
    else
        return false;
    return true;
}

static void play_line(struct play *p, char *line)
{
    char verb[NAME_MAX_BYTES] = "", a[NAME_MAX_BYTES] = "", b[NAME_MAX_BYTES] = "",
         c[NAME_MAX_BYTES] = "";
    line += strspn(line, " ");
    line[strcspn(line, "\n")] = '\0';
    if (!*line || *line == '#')
        return;
    if (strncmp(line, "case ", 5) == 0) {
        begin_case(p, line + 5);
        return;
    }
    if (!p->l)
        broken(p, "no case has begun");
    if (strncmp(line, "> ", 2) == 0) {
        decision(p, line + 2);
        return;
    }
    if (p->decides && !p->wrong && *objects_next(p->l))
        differs(p, "nothing more", "another decision");
    (void)sscanf(line, "%63s %63s %63s %63s", verb, a, b, c);
    if (!of_objects(p, verb, a, b, c, line) && !of_jobs(p, verb, a, b, c, line))
        broken(p, "a word that is none");
    p->decides = strcmp(verb, "plan") == 0;
}

unsigned play_file(const char *name, unsigned *ret_cases)
{
    static struct play p;
    char path[LINE_MAX_BYTES], line[LINE_MAX_BYTES];
    (void)snprintf(path, sizeof path, MLTRAIN_SOURCE_DIR "/tests/conformance/schedulers/%s", name);
    p = (struct play){.file = name};
    FILE *file = fopen(path, "r");
    if (!file)
        broken(&p, "cannot be read");
    while (fgets(line, sizeof line, file)) {
        p.line++;
        play_line(&p, line);
    }
    (void)fclose(file);
    end_case(&p);
    *ret_cases = p.cases;
    return p.failed;
}
