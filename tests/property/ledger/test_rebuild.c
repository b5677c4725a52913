/* A ledger that has lived long, and one filled a moment ago from the same objects in any order, say
 * the same: of each node, and in each decision, words included. MLT_SEED and MLT_REBUILDS choose
 * another run. */
#include "gang/internal.h"
#include "ledger/internal.h"
#include "lib/base/number.h"
#include "lib/base/random.h"
#include "tests/unit/ledger/objects.h"

#define NODES 9
#define PODS 12
#define JOBS 8
#define GANG_MAX 4
#define QUEUES 5
#define LIVES 6
#define TELLINGS (NODES + PODS + JOBS + QUEUES + 1)

/* The objects of the cluster, as the API server would hold them. */
struct cluster {
    struct mlt_random random;
    int64_t now_ms;
    struct {
        bool there;
        int gpus;
        const char *labels, *spec;
    } nodes[NODES];
    struct {
        bool there;
        int node, gpus, member; /* member: of job member / GANG_MAX, or -1 */
        const char *phase;
    } pods[PODS];
    struct {
        enum ledger_job_state state;
        int pods, gpus, sequence, nodes[GANG_MAX]; /* -1: to be replaced */
        const char *template_spec, *topology;      /* topology: what is required, or "?" and what is
                                                      preferred for 0 or 10 ms; NULL: nothing */
        int64_t since_ms;
        int64_t from_ms, waited_ms, attained_ms; /* what ledger_job_had() says, and makes it of */
        int queue;   /* QUEUES: one that is never there */
        int avoided; /* a node, or -1 */
        int64_t avoided_until_ms;
        const char *priority; /* NULL: none */
        bool saves, was_preempted, revocable;
        int64_t limit_s, started_ms, saved_ms; /* limit_s: 0: none; saved_ms: LEDGER_NEVER */
        int leaves_for, made_way_for;          /* jobs, or -1 */
        int64_t leaves_ms;
    } jobs[JOBS];
    const char *queues[QUEUES]; /* specs; NULL: not there */
    bool priority_class;
    bool calm; /* nodes, pods and queues rarely change, and jobs may run anywhere */
    uint32_t reservations;
    int64_t patience_ms, time_slice_ms;
    int preempted, sliced;
};

static const char *const queue_names[QUEUES] = {"default", "root", "a", "b", "c"};

static int below(struct cluster *c, int bound)
{
    return (int)mlt_random_below(&c->random, (uint64_t)bound);
}

static const char *node_name(int n)
{
    static char names[NODES][16];
    (void)snprintf(names[n], sizeof names[n], "node%d", n + 5); /* from node5 to node13 */
    return names[n];
}

static void job_name(int j, char name[16])
{
    (void)snprintf(name, 16, "job%d", j);
}

/* ---- telling a ledger ---- */

static void tell_node(const struct cluster *c, struct ledger *l, int n)
{
    if (c->nodes[n].there)
        objects_node(l, node_name(n), c->nodes[n].gpus, c->nodes[n].labels, c->nodes[n].spec);
    else
        ledger_node_gone(l, node_name(n), c->now_ms);
}

static void tell_pod(const struct cluster *c, struct ledger *l, int p)
{
    char name[16], labels[256] = "", containers[128];
    (void)snprintf(name, sizeof name, "pod%d", p);
    if (!c->pods[p].there) {
        objects_pod_gone(l, name);
        return;
    }
    if (c->pods[p].member >= 0)
        (void)snprintf(labels, sizeof labels,
                       "mltrain.io/job-uid: job%d, mltrain.io/role: worker, mltrain.io/index: '%d'",
                       c->pods[p].member / GANG_MAX, c->pods[p].member % GANG_MAX);
    (void)snprintf(containers, sizeof containers,
                   "{name: c, resources: {limits: {nvidia.com/gpu: '%d'}}}", c->pods[p].gpus);
    objects_pod(l, name, node_name(c->pods[p].node), c->pods[p].phase, labels, containers);
}

static void tell_place(const struct cluster *c, struct ledger *l, int j)
{
    char name[16], other[16];
    job_name(j, name);
    ledger_job_started(l, name, c->jobs[j].started_ms);
    ledger_job_saved(l, name, c->jobs[j].saved_ms);
    if (c->jobs[j].revocable)
        ledger_job_revocable(l, name);
    if (c->jobs[j].leaves_for < 0)
        return;
    job_name(c->jobs[j].leaves_for, other);
    ledger_job_leaves(l, name, other, c->jobs[j].leaves_ms);
}

static void tell_job(const struct cluster *c, struct ledger *l, int j)
{
    char name[16];
    struct mlt_error err = {0};
    job_name(j, name);
    if (c->jobs[j].state == LEDGER_ABSENT) {
        ledger_job_gone(l, name, c->now_ms);
        return;
    }
    cleanup_trainingjob struct trainingjob job = objects_job(
        name, c->jobs[j].pods, c->jobs[j].gpus, c->jobs[j].sequence, c->jobs[j].template_spec);
    const char *topology = c->jobs[j].topology;
    job.spec.active_deadline_seconds = c->jobs[j].limit_s;
    job.spec.checkpoint.path = c->jobs[j].saves ? "/c" : NULL;
    job.spec.priority_class = c->jobs[j].priority;
    job.spec.queue = c->jobs[j].queue < QUEUES ? queue_names[c->jobs[j].queue] : "none";
    if (topology && topology[0] == '?') {
        job.spec.scheduling.topology_preferred = topology + 1;
        job.spec.scheduling.topology_max_wait_seconds = c->jobs[j].since_ms % 2;
    } else {
        job.spec.scheduling.topology_required = topology;
    }
    const char *nodes[GANG_MAX];
    for (int i = 0; i < c->jobs[j].pods; i++)
        nodes[i] = c->jobs[j].nodes[i] < 0 ? NULL : node_name(c->jobs[j].nodes[i]);
    int rc =
        c->jobs[j].state == LEDGER_WAITS
            ? ledger_job_waits(l, &job, NULL, c->now_ms, &err)
            : ledger_job_holds(l, &job, NULL, nodes, (uint32_t)c->jobs[j].pods, c->now_ms, &err);
    if (rc < 0)
        fail_msg("%s", err.text);
    if (c->jobs[j].state == LEDGER_WAITS)
        ledger_job_since(l, name, c->jobs[j].since_ms);
    if (c->patience_ms)
        ledger_job_had(l, name, c->jobs[j].from_ms, c->jobs[j].attained_ms);
    if (c->jobs[j].was_preempted)
        ledger_job_was_preempted(l, name);
    if (c->jobs[j].state == LEDGER_WAITS && c->jobs[j].made_way_for >= 0) {
        char other[16];
        job_name(c->jobs[j].made_way_for, other);
        ledger_job_made_way(l, name, other);
    }
    if (c->jobs[j].state == LEDGER_HOLDS)
        tell_place(c, l, j);
    if (c->jobs[j].avoided >= 0 && c->jobs[j].avoided_until_ms > c->now_ms)
        ledger_job_avoids(l, name, node_name(c->jobs[j].avoided), c->jobs[j].avoided_until_ms,
                          c->now_ms);
}

static void tell_queue(const struct cluster *c, struct ledger *l, int q)
{
    if (!c->queues[q]) {
        ledger_queue_gone(l, queue_names[q]);
        return;
    }
    cleanup_json cJSON *queue = objects_yaml(
        "kind: TrainingQueue\nmetadata: {name: %s}\nspec: {%s}\n", queue_names[q], c->queues[q]);
    ledger_queue(l, queue);
}

static void tell(const struct cluster *c, struct ledger *l, int what)
{
    if (what < NODES) {
        tell_node(c, l, what);
    } else if (what < NODES + PODS) {
        tell_pod(c, l, what - NODES);
    } else if (what < NODES + PODS + JOBS) {
        tell_job(c, l, what - NODES - PODS);
    } else if (what < NODES + PODS + JOBS + QUEUES) {
        tell_queue(c, l, what - NODES - PODS - JOBS);
    } else if (c->priority_class) {
        cleanup_json cJSON *class_ =
            objects_yaml("metadata: {name: x}\nvalue: 7\nglobalDefault: true\n");
        ledger_priority_class(l, class_);
    } else {
        ledger_priority_class_gone(l, "x");
    }
}

/* ---- what happens ---- */

static int change_node(struct cluster *c)
{
    static const char *const labels[] = {"",
                                         "pool: red, zone: a, example.com/rack: r1",
                                         "pool: blue, zone: b, example.com/rack: r1",
                                         "pool: red, zone: a, example.com/rack: r2",
                                         "zone: c",
                                         "example.com/rack: r1",
                                         "pool: red, nvidia.com/gpu.replicas: '2'"};
    static const char *const specs[] = {"", "", "", "unschedulable: true",
                                        "taints: [{key: t, effect: NoSchedule}]"};
    int n = below(c, NODES);
    bool goes = c->nodes[n].there;
    c->nodes[n].there = below(c, 6) > 0;
    c->nodes[n].gpus = below(c, 3) * 4;
    c->nodes[n].labels = labels[below(c, 7)];
    c->nodes[n].spec = specs[below(c, 5)];
    for (int j = 0; goes && !c->nodes[n].there && j < JOBS; j++)
        if (c->jobs[j].avoided == n)
            c->jobs[j].avoided = -1; /* another machine, should it come back */
    return n;
}

static int change_pod(struct cluster *c)
{
    static const char *const phases[] = {"Running", "Running", "Pending", "Succeeded"};
    int p = below(c, PODS);
    if (c->pods[p].there && below(c, 2)) {
        c->pods[p].there = false;
        return NODES + p;
    }
    if (!c->pods[p].there) {
        c->pods[p].node = below(c, NODES);
        c->pods[p].gpus = below(c, 3);
        c->pods[p].member = below(c, 2) ? below(c, JOBS * GANG_MAX) : -1;
    }
    c->pods[p].there = true;
    c->pods[p].phase = phases[below(c, 4)];
    return NODES + p;
}

/* It waits no more: whoever has made way for it has done so. */
static void no_turn_of(struct cluster *c, int j)
{
    c->jobs[j].made_way_for = -1;
    for (int k = 0; k < JOBS; k++)
        if (c->jobs[k].made_way_for == j)
            c->jobs[k].made_way_for = -1;
}

/* As the controller does it: what it says of a job that waits holds for its next place. */
static void waits_again(struct cluster *c, int j)
{
    if (c->jobs[j].state == LEDGER_HOLDS)
        c->jobs[j].attained_ms += c->now_ms - c->jobs[j].started_ms;
    c->jobs[j].state = LEDGER_WAITS;
    c->jobs[j].since_ms = c->now_ms - 990;
    c->jobs[j].from_ms = c->now_ms - c->jobs[j].waited_ms;
    c->jobs[j].was_preempted |= c->jobs[j].leaves_for >= 0;
    int other = c->jobs[j].leaves_for;
    c->jobs[j].made_way_for = other >= 0 && c->jobs[other].state == LEDGER_WAITS ? other : -1;
    c->jobs[j].leaves_for = -1;
    c->jobs[j].revocable = false;
    c->jobs[j].saved_ms = LEDGER_NEVER;
}

static void submit_job(struct cluster *c, int j)
{
    static const char *const priorities[] = {NULL, NULL, "low", "high", "high", "polite"};
    c->jobs[j].priority = priorities[below(c, 6)];
    c->jobs[j].saves = below(c, 2);
    c->jobs[j].limit_s = below(c, 2) ? 0 : 1 + below(c, 3);
    c->jobs[j].was_preempted = false;
    c->jobs[j].leaves_for = -1;
    c->jobs[j].waited_ms = c->jobs[j].attained_ms = 0;
    waits_again(c, j);
}

/* Begins to run, saves, or leaves, for whomever it was asked to. */
static void live_on(struct cluster *c, int j)
{
    int what = below(c, 3);
    if (c->jobs[j].leaves_for >= 0 && what == 0)
        waits_again(c, j);
    else if (what == 1)
        c->jobs[j].started_ms = c->now_ms;
    else
        c->jobs[j].saved_ms = c->now_ms;
}

static int change_job(struct cluster *c)
{
    static const char *const specs[] = {
        "", "", "nodeSelector: {pool: red},", "tolerations: [{operator: Exists}],",
        "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
        "{nodeSelectorTerms: "
        "[{matchFields: [{key: metadata.name, operator: NotIn, values: [node7]}]}]}}},"};
    static const char *const topologies[] = {NULL,    NULL,   "zone", "example.com/rack",
                                             "?zone", "?rack"};
    int j = below(c, JOBS);
    int what = below(c, 6);
    if (c->jobs[j].state == LEDGER_ABSENT) {
        c->jobs[j].state = LEDGER_WAITS;
        c->jobs[j].pods = 1 + below(c, GANG_MAX);
        c->jobs[j].gpus = below(c, 9);
        c->jobs[j].sequence = below(c, 100);
        c->jobs[j].template_spec = specs[below(c, 5)];
        c->jobs[j].topology = topologies[below(c, 6)];
        c->jobs[j].since_ms = c->now_ms - 990;
        c->jobs[j].queue = below(c, 8) ? below(c, QUEUES) : QUEUES;
        c->jobs[j].avoided = -1;
        if (c->calm) {
            c->jobs[j].template_spec = "";
            c->jobs[j].topology = NULL;
            c->jobs[j].queue = 0;
        }
        submit_job(c, j);
    } else if (what < (c->calm ? 1 : 2)) {
        c->jobs[j].state = LEDGER_ABSENT;
        no_turn_of(c, j);
        c->jobs[j].avoided = -1;
    } else if (what == 2) { /* one node at a time */
        if (c->jobs[j].avoided >= 0 && c->jobs[j].avoided_until_ms > c->now_ms)
            return NODES + PODS + j;
        c->jobs[j].avoided = below(c, NODES);
        c->jobs[j].avoided_until_ms = c->now_ms + 1 + below(c, 20);
    } else if (c->jobs[j].state == LEDGER_HOLDS && what == 3) {
        waits_again(c, j); /* the gang was undone */
    } else if (c->jobs[j].state == LEDGER_HOLDS && what == 4) {
        live_on(c, j);
    } else if (c->jobs[j].state == LEDGER_HOLDS) {
        c->jobs[j].nodes[below(c, c->jobs[j].pods)] = -1;
    }
    return NODES + PODS + j;
}

static int change_queue(struct cluster *c)
{
    static const char *const specs[] = {
        "order: FairShare, preemption: {withinQueue: LowerPriority}",
        "order: FIFO, preemption: {withinQueue: LowerPriority}, quota: [{resource: nvidia.com/gpu, "
        "nominal: 20}]",
        "parent: root, weight: 3, preemption: {withinQueue: LowerPriority}",
        "parent: root, quota: [{resource: nvidia.com/gpu, nominal: 4, borrowLimit: 4}]",
        "parent: root, quota: [{resource: nvidia.com/gpu, nominal: 6, lendLimit: 2}, {resource: "
        "cpu, nominal: 1}]",
        "parent: a, maxRunningJobs: 1",
        "maxTimeSeconds: 100",
        "nodeSelector: {pool: red}, weight: 2, parent: root",
        "parent: nobody",
        "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}",
        "weight: 0",
        "preemption: {withinQueue: LowerPriority}",
        "parent: root, preemption: {withinQueue: LowerPriority, reclaim: Any}, quota: [{resource: "
        "nvidia.com/gpu, nominal: 12}]",
    };
    int q = below(c, QUEUES);
    int of = below(c, 3) ? 3 : 13; /* mostly such as refuse nobody */
    c->queues[q] = c->queues[q] && below(c, 3) == 0 ? NULL : specs[below(c, of)];
    return NODES + PODS + JOBS + q;
}

/* ---- comparing ---- */

static void views_are_equal(struct ledger *a, struct ledger *b, int step)
{
    for (int n = 0; n < NODES; n++) {
        struct gang_node_view va = {0}, vb = {0};
        const struct ledger_node *na = ledger_map_find(&a->nodes, node_name(n));
        const struct ledger_node *nb = ledger_map_find(&b->nodes, node_name(n));
        if (na && na->number != LEDGER_NO_NUMBER)
            gang_node(a->gang, na->number, &va);
        if (nb && nb->number != LEDGER_NO_NUMBER)
            gang_node(b->gang, nb->number, &vb);
        if (va.known != vb.known || va.schedulable != vb.schedulable)
            fail_msg("step %d: %s differs", step, node_name(n));
        for (uint32_t r = 0; r < GANG_RESOURCES_MAX; r++)
            if (va.capacity[r] != vb.capacity[r] || va.used_by_others[r] != vb.used_by_others[r] ||
                va.used_by_gangs[r] != vb.used_by_gangs[r])
                fail_msg("step %d: %s: resource %u: capacity %lld and %lld, others %lld and %lld, "
                         "gangs %lld and %lld",
                         step, node_name(n), r, (long long)va.capacity[r],
                         (long long)vb.capacity[r], (long long)va.used_by_others[r],
                         (long long)vb.used_by_others[r], (long long)va.used_by_gangs[r],
                         (long long)vb.used_by_gangs[r]);
    }
}

/* Reservations, and whose turn it was, are the gang's own memory: a rebuilt one makes them anew, and may
 * decide otherwise. What patience goes by must be the same. */
static void pasts_are_equal(const struct ledger *a, const struct ledger *b, int step)
{
    for (int j = 0; j < JOBS; j++) {
        char name[16];
        job_name(j, name);
        const struct ledger_job *ja = ledger_map_find(&a->jobs, name);
        const struct ledger_job *jb = ledger_map_find(&b->jobs, name);
        const struct gang_job *x = ja ? gang_job_find(a->gang, ja->id) : NULL;
        const struct gang_job *y = jb ? gang_job_find(b->gang, jb->id) : NULL;
        if (!x != !y)
            fail_msg("step %d: one of the gangs does not know %s", step, name);
        if (x && (x->since_ms != y->since_ms || x->attained_ms != y->attained_ms ||
                  x->was_preempted != y->was_preempted || !x->nodes != !y->nodes ||
                  (x->nodes && gang_stay(x)->started_ms != gang_stay(y)->started_ms)))
            fail_msg("step %d: %s: since %lld and %lld, attained %lld and %lld", step, name,
                     (long long)x->since_ms, (long long)y->since_ms, (long long)x->attained_ms,
                     (long long)y->attained_ms);
    }
}

/* Compares all decisions; takes up one of them, if any, into the cluster. Which job changed, or -1.
 */
static int compare_plans(struct cluster *c, struct ledger *a, struct ledger *b, int step)
{
    int taken = -1, number;
    objects_plan(a, c->now_ms);
    objects_plan(b, c->now_ms);
    views_are_equal(a, b, step);
    if (c->patience_ms)
        pasts_are_equal(a, b, step);
    for (;;) {
        char decision[256], reason[GANG_REASON_MAX];
        (void)snprintf(decision, sizeof decision, "%s", objects_next(a));
        (void)snprintf(reason, sizeof reason, "%s", objects_reason());
        const char *other = c->patience_ms ? "" : objects_next(b);
        if (!c->patience_ms &&
            (strcmp(decision, other) != 0 || strcmp(reason, objects_reason()) != 0))
            fail_msg("step %d: `%s` (%s) and `%s` (%s)", step, decision, reason, other,
                     objects_reason());
        if (decision[0] == '\0')
            return taken;
        int leaves_for;
        if (taken >= 0)
            continue;
        if (sscanf(decision, "preempt job%d for job%d", &number, &leaves_for) == 2) {
            taken = number;
            c->jobs[taken].leaves_for = leaves_for;
            c->jobs[taken].leaves_ms = c->now_ms;
            c->preempted++;
            c->sliced += objects_cause() == GANG_CAUSE_TIME_SLICE;
            continue;
        }
        if (sscanf(decision, "place job%d:", &number) != 1)
            continue;
        char *rest = strchr(decision, ':') + 1;
        taken = number;
        c->jobs[taken].state = LEDGER_HOLDS;
        c->jobs[taken].waited_ms = c->now_ms - c->jobs[taken].from_ms;
        no_turn_of(c, taken);
        c->jobs[taken].started_ms = c->now_ms;
        c->jobs[taken].saved_ms = LEDGER_NEVER;
        c->jobs[taken].revocable = strstr(decision, " revocable") != NULL;
        for (int i = 0; i < c->jobs[taken].pods; i++)
            c->jobs[taken].nodes[i] = (int)strtol(strstr(rest, "node") + 4, &rest, 10) - 5;
    }
}

static struct ledger *new_ledger(const struct cluster *c)
{
    struct ledger *l =
        objects_ledger_with_patience(c->reservations, 20, c->patience_ms, c->time_slice_ms);
    objects_priority(l, "low", -10, "PreemptLowerPriority");
    objects_priority(l, "high", 10, "PreemptLowerPriority");
    objects_priority(l, "polite", 10, "Never");
    return l;
}

static struct ledger *rebuilt(struct cluster *c)
{
    struct ledger *l = new_ledger(c);
    int order[TELLINGS];
    for (int i = 0; i < TELLINGS; i++) {
        int at = below(c, i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    for (int i = 0; i < TELLINGS; i++)
        tell(c, l, order[i]);
    return l;
}

/* What the statuses of queues would say. */
static void tell_usage(const struct cluster *c, struct ledger *old, struct ledger *fresh)
{
    struct mlt_error err = {0};
    if (ledger_plan(old, c->now_ms, &err) < 0)
        fail_msg("%s", err.text);
    for (int q = 0; q < QUEUES; q++) {
        struct ledger_queue_view view;
        if (ledger_queue_look(old, queue_names[q], c->now_ms, &view))
            ledger_queue_usage(fresh, queue_names[q], view.sums.usage);
    }
}

static int64_t from_environment(const char *name, int64_t fallback)
{
    int64_t value = fallback;
    struct mlt_error err;
    const char *given = getenv(name);
    if (given && mlt_parse_integer(given, 1, INT32_MAX, &value, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    return value;
}

static void begin(struct cluster *c)
{
    for (int n = 0; c->calm && n < NODES; n++) {
        c->nodes[n].there = true;
        c->nodes[n].gpus = 4;
        c->nodes[n].labels = c->nodes[n].spec = "";
    }
}

static void live(struct cluster *c, int64_t life)
{
    int64_t seed = from_environment("MLT_SEED", 3) + life;
    int64_t steps = from_environment("MLT_REBUILDS", 600);
    int decided = 0;
    mlt_random_init(&c->random, (uint64_t)seed);
    struct ledger *old = new_ledger(c);
    begin(c);
    for (int what = 0; what < TELLINGS; what++)
        tell(c, old, what);
    for (int step = 0; step < steps; step++) {
        c->now_ms++;
        for (int changes = 1 + below(c, 3); changes > 0; changes--) {
            int what = c->calm && below(c, 20) ? 7 : below(c, 11);
            if (what == 0)
                c->priority_class = !c->priority_class;
            tell(c, old,
                 what == 0  ? TELLINGS - 1
                 : what < 4 ? change_node(c)
                 : what < 6 ? change_pod(c)
                 : what < 7 ? change_queue(c)
                            : change_job(c));
        }
        struct ledger *fresh = rebuilt(c);
        tell_usage(c, old, fresh);
        int taken = compare_plans(c, old, fresh, step);
        if (taken >= 0)
            tell_job(c, old, taken);
        decided += taken >= 0;
        ledger_free(fresh);
    }
    ledger_free(old);
    printf("seed %" PRId64 ": %" PRId64 " rebuilds, %d gangs placed or asked to leave (%d) on the "
           "way\n",
           seed, steps, decided, c->preempted);
    assert_true(decided > steps / 50);
}

static void test_a_rebuilt_ledger_says_what_the_old_one_said(void **state)
{
    (void)state;
    struct cluster c = {0};
    live(&c, 0);
}

static void test_preemptions_in_flight_are_the_same_in_a_rebuilt_ledger(void **state)
{
    (void)state;
    int preempted = 0;
    for (int life = 0; life < LIVES; life++) {
        struct cluster c = {.calm = true};
        live(&c, life);
        preempted += c.preempted;
    }
    assert_true(preempted >= LIVES);
}

/* In most lives patience ends, in some nobody waits so long. */
static void test_patience_goes_on_in_a_rebuilt_ledger(void **state)
{
    (void)state;
    int sliced = 0;
    for (int life = 0; life < LIVES / 2; life++) {
        struct cluster c = {
            .calm = true, .reservations = 1, .patience_ms = 20 << 2 * life, .time_slice_ms = 4};
        live(&c, life);
        sliced += c.sliced;
    }
    assert_true(sliced >= LIVES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rebuilt_ledger_says_what_the_old_one_said),
        cmocka_unit_test(test_preemptions_in_flight_are_the_same_in_a_rebuilt_ledger),
        cmocka_unit_test(test_patience_goes_on_in_a_rebuilt_ledger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
