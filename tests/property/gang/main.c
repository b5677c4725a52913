/* gang-properties: plays random histories on the gang library and looks whether every rule is kept.
 * A history that breaks one is shrunk and printed; it can be stored and replayed. See README.md. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/base/number.h"
#include "tests/property/gang/properties.h"

#define EVENTS 1000
#define TRIES 6000

struct arguments {
    uint64_t first, last, events;
    int jobs;
    bool shrink, mutants, print, off_too;
    const char *mutant;
    const char *files[256];
    uint32_t files_count;
};

/* What a worker has done, seen by its parent. */
struct shared {
    uint64_t seed; /* being played */
    uint64_t failed_seed;
    bool failed;
    struct result sum;
};

static struct result sum_of(const struct result *a, const struct result *b)
{
    struct result sum = *a;
    sum.events += b->events;
    sum.plans += b->plans;
    sum.placed += b->placed;
    sum.replaced += b->replaced;
    sum.waits += b->waits;
    sum.nevers += b->nevers;
    sum.preempted += b->preempted;
    sum.revocable += b->revocable;
    sum.backfilled += b->backfilled;
    sum.best_fits += b->best_fits;
    sum.complete += b->complete;
    sum.probes += b->probes;
    sum.rebuilds += b->rebuilds;
    sum.promises += b->promises;
    return sum;
}

/* A history of a seed; h (unless NULL) is it as far as it went. */
static void play_seed(const struct library *lib, uint64_t seed, uint64_t events, struct history *h,
                      struct result *ret)
{
    static struct world w;
    struct generator gen;
    generator_begin(&gen, seed);
    world_begin(&w, lib);
    while (w.result.events < events && gen.step < 4 * events && !failed(&w)) {
        struct op op;
        generate(&gen, &w, &op);
        if (h)
            history_add(h, &op);
        world_apply(&w, &op);
    }
    world_end(&w);
    *ret = w.result;
}

static void play_history(const struct library *lib, const struct history *h, struct result *ret)
{
    static struct world w;
    world_begin(&w, lib);
    for (size_t i = 0; i < h->count && !failed(&w); i++)
        world_apply(&w, &h->ops[i]);
    world_end(&w);
    *ret = w.result;
}

/* One seed in so many is played twice: equal events give equal plans and equal states. */
#define TWICE_EVERY 16

static void work(const struct arguments *a, const struct library *lib, struct shared *shared,
                 int worker)
{
    for (uint64_t seed = a->first + (uint64_t)worker; seed <= a->last && !shared->failed;
         seed += (uint64_t)a->jobs) {
        struct result result, second;
        shared->seed = seed;
        play_seed(lib, seed, a->events, NULL, &result);
        if (!result.failure[0] && seed % TWICE_EVERY == 0) {
            play_seed(lib, seed, a->events, NULL, &second);
            if (second.digest != result.digest)
                (void)snprintf(result.failure, sizeof result.failure, "%s", PLAYED_TWICE);
        }
        shared->sum = sum_of(&shared->sum, &result);
        if (result.failure[0]) {
            shared->failed = true;
            shared->failed_seed = seed;
            memcpy(shared->sum.failure, result.failure, sizeof result.failure);
        }
    }
}

/* The history of a seed, gained in a child's steps so that one that dies is had as well: the steps
 * before the end do not depend on it. */
static void history_of(const struct library *lib, uint64_t seed, uint64_t events, struct history *h)
{
    size_t room = 64u << 20;
    struct shared_history {
        size_t count;
        struct op ops[];
    } *there = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (there == MAP_FAILED)
        abort();
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        static struct world w;
        struct generator gen;
        (void)alarm(60);
        generator_begin(&gen, seed);
        world_begin(&w, lib);
        while (w.result.events < events && gen.step < 4 * events && !failed(&w) &&
               (there->count + 2) * sizeof(struct op) < room) {
            generate(&gen, &w, &there->ops[there->count]);
            there->count++;
            world_apply(&w, &there->ops[there->count - 1]);
        }
        _exit(0);
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    for (size_t i = 0; i < there->count; i++)
        history_add(h, &there->ops[i]);
    munmap(there, room);
}

static void show(const struct arguments *a, const struct library *lib, uint64_t seed)
{
    struct history h = {0};
    char failure[1024];
    history_of(lib, seed, a->events, &h);
    size_t before = h.count;
    shrink(lib, &h, TRIES);
    play_apart(lib, &h, failure, sizeof failure);
    printf("# %s\n# seed %" PRIu64 ", %zu of %zu events\n", failure, seed, h.count, before);
    history_write(&h, stdout);
    (void)fflush(stdout);
    history_free(&h);
}

/* Plays all seeds in so many processes; the lowest seed that failed, or 0. */
static uint64_t play_all(const struct arguments *a, const struct library *lib, struct result *ret)
{
    uint64_t worst = 0;
    size_t size = (size_t)a->jobs * sizeof(struct shared);
    struct shared *shared =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        abort();
    (void)fflush(stdout);
    for (int i = 0; i < a->jobs; i++)
        if (fork() == 0) {
            work(a, lib, &shared[i], i);
            _exit(0);
        }
    int status;
    while (wait(&status) > 0 || errno == EINTR)
        ;
    *ret = (struct result){0};
    for (int i = 0; i < a->jobs; i++) {
        *ret = sum_of(ret, &shared[i].sum);
        /* A worker that did not come to its last seed has died. */
        bool died = !shared[i].failed && shared[i].seed + (uint64_t)a->jobs <= a->last;
        uint64_t seed = shared[i].failed ? shared[i].failed_seed : died ? shared[i].seed : 0;
        if (seed && (!worst || seed < worst)) {
            worst = seed;
            memcpy(ret->failure, shared[i].sum.failure, sizeof ret->failure);
            if (died)
                (void)snprintf(ret->failure, sizeof ret->failure, "died");
        }
    }
    munmap(shared, size);
    return worst;
}

static void print_properties(void)
{
    for (uint32_t p = 0; p < PROPERTIES; p++)
        printf("%-12s %s%s%s%s\n", property_rows[p].name, property_rows[p].words,
               on((enum property)p) ? "" : " -- OFF",
               !on((enum property)p) && property_rows[p].off ? ": " : "",
               !on((enum property)p) && property_rows[p].off ? property_rows[p].off : "");
}

#define FAIR_SEEDS 6

static int play_all_fair(const struct library *lib)
{
    char failure[512] = "";
    for (uint64_t seed = 1; seed <= FAIR_SEEDS && !failure[0]; seed++)
        play_fair(lib, seed, failure, sizeof failure);
    printf("%d saturated clusters: %s%s\n", FAIR_SEEDS, failure[0] ? "VIOLATED: " : "fair",
           failure);
    return failure[0] != '\0';
}

static int play(const struct arguments *a)
{
    struct result r;
    print_properties();
    uint64_t seed = play_all(a, &library_real, &r);
    printf("%" PRIu64 " seeds, %" PRIu64 " events, %" PRIu64 " plans: %" PRIu64
           " gangs placed (%" PRIu64 " beside a blocked one, %" PRIu64 " revocable), %" PRIu64
           " members replaced, %" PRIu64 " asked to leave, %" PRIu64 " waits, %" PRIu64 " nevers\n",
           a->last - a->first + 1, r.events, r.plans, r.placed, r.backfilled, r.revocable,
           r.replaced, r.preempted, r.waits, r.nevers);
    printf("looked at: %" PRIu64 " best fits, %" PRIu64 " times whether never is right, %" PRIu64
           " reserved starts again, %" PRIu64 " probes of which %" PRIu64 " rebuilt from facts\n",
           r.best_fits, r.complete, r.promises, r.probes, r.rebuilds);
    if (seed) {
        printf("seed %" PRIu64 " VIOLATED: %s\n", seed, r.failure);
        if (a->shrink)
            show(a, &library_real, seed);
        return 1;
    }
    return on(PROPERTY_FAIR) ? play_all_fair(&library_real) : 0;
}

static int replay(const struct arguments *a)
{
    int bad = 0;
    for (uint32_t i = 0; i < a->files_count; i++) {
        struct history h = {0};
        struct result r;
        FILE *in = fopen(a->files[i], "r");
        if (!in || !history_read(&h, in)) {
            fprintf(stderr, "%s: %s\n", a->files[i], in ? "not a history" : strerror(errno));
            return 2;
        }
        (void)fclose(in);
        play_history(&library_real, &h, &r);
        printf("%s: %" PRIu64 " events: %s\n", a->files[i], r.events,
               r.failure[0] ? r.failure : "ok");
        bad |= r.failure[0] != '\0';
        if (r.failure[0] && a->shrink) {
            shrink(&library_real, &h, TRIES);
            history_write(&h, stdout);
        }
        history_free(&h);
    }
    return bad;
}

/* Deliberate bugs, each of which must be caught within the seeds. */
static int play_mutants(const struct arguments *a)
{
    int survived = 0;
    for (uint32_t i = 0; i < library_mutants_count; i++) {
        const struct library *lib = library_mutant(i);
        struct result r;
        char unfair[512] = "";
        if (lib->needs && !on((enum property)(lib->needs - 1)))
            continue;
        if (a->mutant && strcmp(a->mutant, lib->name) != 0)
            continue;
        uint64_t seed = play_all(a, lib, &r);
        for (uint64_t s = 1; !seed && on(PROPERTY_FAIR) && s <= FAIR_SEEDS && !unfair[0]; s++)
            play_fair(lib, s, unfair, sizeof unfair);
        printf("%-22s %-62s ", lib->name, lib->bug);
        if (seed)
            printf("seed %-4" PRIu64 " %s\n", seed, r.failure);
        else if (unfair[0])
            printf("saturated: %s\n", unfair);
        else
            printf("SURVIVED %" PRIu64 " events\n", r.events);
        (void)fflush(stdout);
        survived += !seed && !unfair[0];
        if (seed && a->shrink)
            show(a, lib, seed);
    }
    return survived ? 1 : 0;
}

/* ---- the command line ---- */

enum { WITH = 256, WITHOUT, ONLY };

static const struct argp_option options[] = {
    {"seeds", 's', "A..B", 0, "the histories of these seeds (1..1000)", 0},
    {"seed", 's', "N", OPTION_ALIAS, NULL, 0},
    {"events", 'e', "N", 0, "events of each (1000)", 0},
    {"jobs", 'j', "N", 0, "processes (1)", 0},
    {"shrink", 'k', NULL, 0, "shrink what fails, and print it", 0},
    {"verbose", 'v', NULL, 0, "print each decision", 0},
    {"mutants", 'm', NULL, 0, "play deliberate bugs: each must be caught", 0},
    {"mutant", 'o', "NAME", 0, "play this one", 0},
    {"with", WITH, "PROPERTY", 0, "look at this, too, though it is switched off", 0},
    {"without", WITHOUT, "PROPERTY", 0, "do not look at this", 0},
    {"only", ONLY, NULL, 0, "switch all off; --with after it switches on", 0},
    {0},
};

static void switch_property(const char *name, bool to, struct argp_state *state)
{
    for (uint32_t p = 0; p < PROPERTIES; p++)
        if (strcmp(property_rows[p].name, name) == 0) {
            properties_choose();
            properties_on =
                to ? properties_on | UINT64_C(1) << p : properties_on & ~(UINT64_C(1) << p);
            return;
        }
    argp_error(state, "`%s` is no property", name);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;
    char *end = NULL;
    switch (key) {
    case 's':
        a->first = a->last = strtoull(arg, &end, 10);
        if (strncmp(end, "..", 2) == 0)
            a->last = strtoull(end + 2, &end, 10);
        if (*end || !a->first || a->last < a->first)
            argp_error(state, "`%s` is not A..B, from 1 on", arg);
        return 0;
    case 'e':
        a->events = strtoull(arg, NULL, 10);
        return 0;
    case 'j':
        a->jobs = atoi(arg) < 1 ? 1 : atoi(arg);
        return 0;
    case 'v':
        verbose = true;
        return 0;
    case 'k':
        a->shrink = true;
        return 0;
    case 'm':
        a->mutants = true;
        return 0;
    case 'o':
        a->mutant = arg;
        a->mutants = true;
        return 0;
    case WITH:
        switch_property(arg, true, state);
        return 0;
    case WITHOUT:
        switch_property(arg, false, state);
        return 0;
    case ONLY:
        properties_on = 0;
        return 0;
    case ARGP_KEY_ARG:
        if (a->files_count < sizeof a->files / sizeof *a->files)
            a->files[a->files_count++] = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    struct arguments a = {.first = 1, .last = 1000, .events = EVENTS, .jobs = 1};
    const struct argp argp = {.options = options, .parser = parse, .args_doc = "[HISTORY ...]"};
    if (argp_parse(&argp, argc, argv, 0, NULL, &a) != 0)
        return 2;
    if (a.files_count)
        return replay(&a);
    return a.mutants ? play_mutants(&a) : play(&a);
}
