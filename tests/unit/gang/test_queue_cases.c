/* Plays the tables of cases in tests/conformance/queues: queues, jobs that run and wait, and what a
 * plan does then. Their language is in tests/conformance/queues/README.md. */
#include "tests/unit/gang/small.h"

#include <stdlib.h>

#define QUEUES 24
#define JOBS 40
#define ACTS 512
#define NOW 1000000

static const char *const devices[] = {"nvidia.com/gpu", "amd.com/gpu"};
static const uint64_t class_0 = 1;

struct named_queue {
    char name[32];
    struct gang_queue_config config;
};

struct named_job {
    char name[32];
    struct gang_job_request request;
    bool placed, stopping, gone;
    uint32_t node;
    int64_t started_ms;
    uint64_t for_job; /* stopping, or made way: that one's index */
    enum gang_cause cause;
};

static struct {
    struct gang *g;
    const char *file;
    char title[160], differs[32];
    int line, cases, different;
    struct named_queue queues[QUEUES];
    uint32_t queues_count, nodes;
    struct named_job jobs[JOBS];
    uint32_t jobs_count;
    int64_t now_ms, node_gpus[8];
} t;

static void die(const char *what, const char *more)
{
    fail_msg("%s:%d: %s: %s %s", t.file, t.line, t.title, what, more);
}

static void tell(struct gang_event event, int64_t now_ms)
{
    struct mlt_error err = {0};
    if (gang_event(t.g, &event, now_ms, &err) < 0 || gang_check(t.g, &err) < 0)
        die("", err.text);
}

static uint32_t queue_named(const char *name)
{
    for (uint32_t i = 0; i < t.queues_count; i++)
        if (strcmp(t.queues[i].name, name) == 0)
            return i;
    die("no such queue:", name);
    return 0;
}

static struct named_job *job_named(const char *name)
{
    for (uint32_t i = 0; i < t.jobs_count; i++)
        if (strcmp(t.jobs[i].name, name) == 0 && !t.jobs[i].gone)
            return &t.jobs[i];
    die("no such job:", name);
    return NULL;
}

static uint64_t id_of(const struct named_job *job)
{
    return (uint64_t)(job - t.jobs) + 1;
}

/* ---- telling the library ---- */

static void tell_node(uint32_t node)
{
    tell((struct gang_event){.kind = GANG_NODE_SET,
                             .node = node,
                             .schedulable = true,
                             .capacity = {64000, 256 * GIB, 500, t.node_gpus[node], 1000}},
         0);
}

static void tell_queue(uint32_t q)
{
    tell((struct gang_event){.kind = GANG_QUEUE_SET,
                             .queue = q,
                             .queue_config = &t.queues[q].config},
         0);
}

static void tell_job(const struct named_job *job)
{
    if (!job->placed)
        tell((struct gang_event){.kind = GANG_JOB_SUBMITTED,
                                 .job = id_of(job),
                                 .request = &job->request},
             t.now_ms);
    else
        tell((struct gang_event){.kind = GANG_JOB_PLACED,
                                 .job = id_of(job),
                                 .request = &job->request,
                                 .nodes = &job->node,
                                 .nodes_count = 1,
                                 .started_ms = job->started_ms},
             t.now_ms);
}

static void tell_stopping(const struct named_job *job)
{
    tell((struct gang_event){.kind = GANG_JOB_STOPPING, .job = id_of(job), .for_job = job->for_job},
         t.now_ms);
}

static struct gang *fresh(void)
{
    const struct gang_config config = {.device_names = devices, .devices = 2, .may_preempt = true};
    struct gang *g = gang_new(&config);
    assert_non_null(g);
    return g;
}

/* What a host does that starts again: it tells all that it finds, the newest job first. */
static void rebuild(void)
{
    gang_free(t.g);
    t.g = fresh();
    for (uint32_t n = 0; n < t.nodes; n++)
        tell_node(n);
    for (uint32_t q = 0; q < t.queues_count; q++)
        tell_queue(q);
    for (uint32_t i = t.jobs_count; i-- > 0;)
        if (!t.jobs[i].gone)
            tell_job(&t.jobs[i]);
    for (uint32_t i = 0; i < t.jobs_count; i++)
        if (t.jobs[i].stopping)
            tell_stopping(&t.jobs[i]);
}

/* ---- what a plan does ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "leave a, start b" in alphabetical order; "nothing". */
static void sort_acts(const char *acts, char *ret)
{
    char copy[ACTS], *parts[JOBS], *rest = copy;
    size_t count = 0, length = 0;
    (void)snprintf(copy, sizeof copy, "%s", acts);
    for (char *part; (part = strtok_r(rest, ",", &rest)) != NULL && count < JOBS;)
        parts[count++] = part + strspn(part, " ");
    if (count)
        qsort(parts, count, sizeof *parts, by_text);
    ret[0] = '\0';
    for (size_t i = 0; i < count; i++)
        length += (size_t)snprintf(ret + length, ACTS - length, "%s%s", i ? ", " : "", parts[i]);
}

/* Why, as in the condition Preempted: nothing is said of those of the job's own queue. */
static const char *cause_text(enum gang_cause cause)
{
    return cause == GANG_CAUSE_RECLAIM ? " cohort" : cause == GANG_CAUSE_PRIORITY ? "" : " other";
}

static void place(struct named_job *job, uint32_t node)
{
    job->placed = true;
    job->stopping = job->request.made_way = false;
    job->node = node;
    job->started_ms = t.now_ms;
    for (uint32_t i = 0; i < t.jobs_count; i++)
        if (t.jobs[i].request.made_way && t.jobs[i].request.made_way_for == id_of(job))
            t.jobs[i].request.made_way = false;
}

/* Plans, and does what the plan says: those that are asked to leave begin to. */
static void plan(char *ret)
{
    struct mlt_error err = {0};
    struct gang_decision d;
    char acts[ACTS] = "";
    size_t length = 0;
    bool touched[JOBS] = {false};
    t.now_ms += 1000;
    if (gang_plan(t.g, t.now_ms, &err) < 0)
        die("", err.text);
    while (gang_action_next(t.g, &d)) {
        struct named_job *job = &t.jobs[d.job - 1];
        touched[d.job - 1] = true;
        length += (size_t)snprintf(acts + length, sizeof acts - length, "%s%s %s%s",
                                   length ? "," : "", d.kind == GANG_PLACE ? "start" : "leave",
                                   job->name, d.kind == GANG_PLACE ? "" : cause_text(d.cause));
        if (d.kind == GANG_PLACE) {
            place(job, d.nodes[0]);
        } else {
            job->stopping = true;
            job->for_job = d.for_job;
        }
    }
    /* Each reason can be told, too. */
    while (gang_decision_next(t.g, &d))
        if (d.why) {
            char text[GANG_REASON_MAX];
            gang_why_write(t.g, d.why, NULL, NULL, text);
            assert_true(text[0] != '\0');
        }
    for (uint32_t i = 0; i < t.jobs_count; i++)
        if (touched[i] && t.jobs[i].stopping)
            tell_stopping(&t.jobs[i]);
        else if (touched[i])
            tell_job(&t.jobs[i]);
    sort_acts(length ? acts : "nothing", ret);
}

static void leave(struct named_job *job)
{
    tell((struct gang_event){.kind = GANG_JOB_RELEASED, .job = id_of(job)}, t.now_ms);
    job->placed = job->stopping = false;
    job->request.made_way = true;
    job->request.made_way_for = job->for_job;
}

/* ---- the language ---- */

/* "2", "2/1", "-": of the two kinds of devices; `none` where nothing is said. */
static void read_amounts(const char *text, int64_t none, int64_t *amounts)
{
    char *end = NULL;
    for (uint32_t r = GANG_DEVICE_0; r < GANG_DEVICE_0 + 2; r++) {
        amounts[r] = none;
        if (text && *text == '-')
            amounts[r] = GANG_UNLIMITED, text += text[1] == '/' ? 2 : 1;
        else if (text && *text)
            amounts[r] = strtoll(text, &end, 10), text = *end == '/' ? end + 1 : end;
    }
}

static bool option(const char *word, const char *name, const char **ret)
{
    size_t length = strlen(name);
    *ret = word + length;
    return strncmp(word, name, length) == 0;
}

static void read_queue(char *rest)
{
    struct named_queue *q = &t.queues[t.queues_count];
    const char *value;
    assert_true(t.queues_count < QUEUES);
    *q = (struct named_queue){.config = {.parent = GANG_NO_QUEUE, .weight = 1}};
    for (int r = 0; r < GANG_RESOURCES_MAX; r++)
        q->config.nominal[r] = q->config.borrow_limit[r] = q->config.lend_limit[r] = GANG_UNLIMITED;
    (void)snprintf(q->name, sizeof q->name, "%s", strtok_r(rest, " ", &rest));
    read_amounts(strtok_r(rest, " ", &rest), GANG_UNLIMITED, q->config.nominal);
    for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL;) {
        if (option(word, "in=", &value))
            q->config.parent = queue_named(value);
        else if (option(word, "borrow=", &value))
            read_amounts(value, GANG_UNLIMITED, q->config.borrow_limit);
        else if (option(word, "lend=", &value))
            read_amounts(value, GANG_UNLIMITED, q->config.lend_limit);
        else if (option(word, "weight=", &value))
            q->config.weight = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(word, "within") == 0)
            q->config.within_queue = GANG_PREEMPTION_LOWER_PRIORITY;
        else if (strcmp(word, "reclaim=lower") == 0)
            q->config.reclaim = GANG_PREEMPTION_LOWER_PRIORITY;
        else if (strcmp(word, "reclaim=any") == 0)
            q->config.reclaim = GANG_PREEMPTION_ANY;
        else if (strcmp(word, "fair") == 0)
            q->config.order = GANG_ORDER_FAIR_SHARE;
        else
            die("not understood:", word);
    }
    tell_queue(t.queues_count++);
}

static void read_job(char *rest, bool runs)
{
    struct named_job *job = &t.jobs[t.jobs_count];
    const char *value;
    assert_true(t.jobs_count < JOBS);
    *job = (struct named_job){.placed = runs};
    (void)snprintf(job->name, sizeof job->name, "%s", strtok_r(rest, " ", &rest));
    job->request = (struct gang_job_request){.sequence = t.jobs_count, .roles_count = 1};
    job->request.queue = queue_named(strtok_r(rest, " ", &rest));
    job->request.roles[0] = (struct gang_role){
        .pods = 1, .request = {0, 0, 1}, .node_classes = &class_0, .node_classes_words = 1};
    read_amounts(strtok_r(rest, " ", &rest), 0, job->request.roles[0].request);
    for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL;) {
        if (option(word, "at=", &value))
            job->started_ms = strtoll(value, NULL, 10);
        else if (option(word, "on=", &value))
            job->node = (uint32_t)strtoul(value, NULL, 10);
        else
            job->request.priority = (int32_t)strtol(word, NULL, 10);
    }
    t.jobs_count++;
    tell_job(job);
}

static void expect(const char *acts)
{
    char expected[ACTS], found[ACTS];
    sort_acts(acts, expected);
    plan(found);
    if (strcmp(expected, found) != 0)
        fail_msg("%s:%d: %s: expected \"%s\", the plan is \"%s\"", t.file, t.line, t.title,
                 expected, found);
}

static void begin(const char *title)
{
    gang_free(t.g);
    (void)snprintf(t.title, sizeof t.title, "%s", title);
    t.g = fresh();
    t.queues_count = t.jobs_count = 0;
    t.differs[0] = '\0';
    t.now_ms = NOW;
    t.nodes = 1;
    t.node_gpus[0] = 1000;
    tell_node(0);
    t.cases++;
}

static void read_node(char *rest)
{
    uint32_t node = (uint32_t)strtoul(strtok_r(rest, " ", &rest), NULL, 10);
    assert_true(node < 8);
    t.node_gpus[node] = strtoll(rest, NULL, 10);
    t.nodes = node >= t.nodes ? node + 1 : t.nodes;
    tell_node(node);
}

static void read_line(char *line)
{
    char *rest = line, *word = strtok_r(rest, " ", &rest);
    if (!word)
        return;
    rest = rest ? rest : line + strlen(line);
    if (strcmp(word, "case") == 0) {
        begin(rest);
    } else if (strcmp(word, "differs") == 0) {
        (void)snprintf(t.differs, sizeof t.differs, "%s", rest);
        t.different++;
    } else if (strcmp(word, "kueue") == 0) {
        assert_true(t.differs[0] != '\0'); /* what Kueue would do, for who reads */
    } else if (strcmp(word, "node") == 0) {
        read_node(rest);
    } else if (strcmp(word, "queue") == 0) {
        read_queue(rest);
    } else if (strcmp(word, "run") == 0 || strcmp(word, "wait") == 0) {
        read_job(rest, *word == 'r');
    } else if (strcmp(word, "expect") == 0) {
        expect(rest);
    } else if (strcmp(word, "stop") == 0) {
        struct named_job *job = job_named(strtok_r(rest, " ", &rest));
        job->stopping = true;
        job->for_job = id_of(job_named(rest));
        tell_stopping(job);
    } else if (strcmp(word, "rebuild") == 0) {
        rebuild();
    } else if (strcmp(word, "gone") == 0) {
        for (uint32_t i = 0; i < t.jobs_count; i++)
            if (t.jobs[i].stopping &&
                (strcmp(rest, "all") == 0 || strcmp(rest, t.jobs[i].name) == 0))
                leave(&t.jobs[i]);
    } else if (strcmp(word, "end") == 0) {
        struct named_job *job = job_named(rest);
        tell((struct gang_event){.kind = GANG_JOB_REMOVED, .job = id_of(job)}, t.now_ms);
        job->gone = true;
    } else {
        die("not understood:", word);
    }
}

static void play(const char *name, int cases_at_least)
{
    char path[512], line[512];
    (void)snprintf(path, sizeof path, "%s/tests/conformance/queues/%s", MLTRAIN_SOURCE_DIR, name);
    memset(&t, 0, sizeof t);
    t.file = name;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        t.line++;
        line[strcspn(line, "#\n")] = '\0';
        for (size_t end = strlen(line); end && line[end - 1] == ' ';)
            line[--end] = '\0';
        read_line(line);
    }
    (void)fclose(file);
    gang_free(t.g);
    print_message("%s: %d cases, of which %d differ by design\n", name, t.cases, t.different);
    assert_true(t.cases >= cases_at_least);
}

static void test_queues_do_what_the_cases_of_kueue_say(void **state)
{
    (void)state;
    play("kueue.txt", 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queues_do_what_the_cases_of_kueue_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
