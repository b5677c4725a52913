/* A launcher's decisions, fed with a hostile controller's stream. The first byte is the number of
 * steps, a byte each follows (the next frame, what a rank tells by libmltrain or asks of the
 * exchange, its end, a timer, the channel's end, SIGTERM), and the rest is the stream. What the
 * supervisor wants done succeeds at once. Its own invariants are checked after each step, and each
 * START that it obeys must give every rank an environment. */
#include "tests/fuzz/fuzz.h"

#include "launcher/rank_env.h"
#include "launcher/supervisor.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

#define WORK_MAX 10000 /* effects of one input */

struct world {
    struct supervisor *s;
    int64_t now_ms;
    bool open, left, armed[SUPERVISOR_TIMERS];
    bool alive[RENDEZVOUS_RANKS_PER_MEMBER_MAX];
    uint32_t processes;
    unsigned work, owed, seen; /* owed: results of the exchange; seen: the sum of their bytes */
    uint64_t question;
};

static void carry_out(struct world *w);

static void step(struct world *w, struct supervisor_event event)
{
    if (w->left || w->work++ > WORK_MAX)
        return;
    event.now_ms = ++w->now_ms;
    supervisor_step(w->s, &event);
    carry_out(w);
}

static void rank_ends(struct world *w, uint32_t process, int code, int signal)
{
    if (process >= w->processes || !w->alive[process])
        return;
    w->alive[process] = false;
    step(w, (struct supervisor_event){
                .kind = SUPERVISOR_ON_RANK_EXITED,
                .rank_exited = {
                    .process = process, .code = code, .signal = signal, .tail = "last\xff words"}});
}

static void check_environment(struct world *w, uint32_t process)
{
    static const char *const base[] = {"PATH=/bin", "RANK=7", NULL};
    const struct rank_env_input input = {.base = base,
                                         .job = "job",
                                         .job_namespace = "ns",
                                         .job_uid = "uid",
                                         .role = "worker",
                                         .error_file = "",
                                         .python_path = "",
                                         .launcher_id = "id",
                                         .attempt = supervisor_attempt(w->s),
                                         .local_rank = process,
                                         .cpus = 4,
                                         .welcome = supervisor_welcome(w->s),
                                         .start = supervisor_start(w->s)};
    struct rank_env env;
    rank_env_build(&input, &env, NULL);
    const char *rank = rank_env_get(&env, "RANK");
    REQUIRE(env.failed || (rank && strtoul(rank, NULL, 10) == input.start->rank_base + process));
    free(rank_env_expand(&env, input.start->resume_path));
    rank_env_release(&env);
}

static void spawn(struct world *w)
{
    static const uint32_t pids[RENDEZVOUS_RANKS_PER_MEMBER_MAX] = {1, 2, 3, 4, 5, 6, 7, 8};
    w->processes = supervisor_processes(w->s);
    REQUIRE(w->processes >= 1 && w->processes <= RENDEZVOUS_RANKS_PER_MEMBER_MAX);
    check_environment(w, 0);
    check_environment(w, w->processes - 1);
    for (uint32_t i = 0; i < w->processes; i++)
        w->alive[i] = pids[i] != 0; /* the ninth and later cannot be started */
    step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_SPAWNED,
                                      .spawned = {.pids = pids, .count = w->processes}});
    for (uint32_t i = 0; i < w->processes; i++)
        if (!pids[i]) {
            w->alive[i] = true;
            rank_ends(w, i, 2, 0);
        }
}

static void kill_all(struct world *w)
{
    for (uint32_t i = 0; i < w->processes; i++)
        rank_ends(w, i, 0, 9);
    step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_GONE});
}

static void do_effect(struct world *w, const struct supervisor_effect *effect)
{
    static const struct rendezvous_checkpoint_report nothing = {.torn_step = RENDEZVOUS_NO_STEP};
    switch ((int)effect->kind) {
    case SUPERVISOR_DO_TIMER:
        w->armed[effect->timer] = effect->delay_ms >= 0;
        break;
    case SUPERVISOR_DO_CLEAN_UP:
        step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_CLEANED});
        break;
    case SUPERVISOR_DO_HOLD_PORT:
        step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_PORT_HELD, .port = 4711});
        break;
    case SUPERVISOR_DO_SCAN:
        step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_SCANNED,
                                          .scanned = {.report = &nothing, .fresh = true}});
        break;
    case SUPERVISOR_DO_SPAWN:
        spawn(w);
        break;
    case SUPERVISOR_DO_KILL_ALL:
        kill_all(w);
        break;
    case SUPERVISOR_DO_SIGNAL_CATCHING:
        step(w,
             (struct supervisor_event){.kind = SUPERVISOR_ON_CAUGHT, .caught = w->processes / 2});
        break;
    case SUPERVISOR_DO_LOOK:
        step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_EXAMINED});
        break;
    case SUPERVISOR_DO_LEAVE:
        w->left = true;
        break;
    }
}

/* Reads all that is told, and knows how many results are owed. */
static void note_exchanged(struct world *w, const struct exchange_output *out)
{
    if (out->kind == EXCHANGE_DO_TIMER)
        w->armed[SUPERVISOR_TIMER_EXCHANGE] = out->delay_ms >= 0;
    if (out->kind == EXCHANGE_DO_QUESTION)
        w->question = out->question;
    if (out->kind != EXCHANGE_DO_DONE)
        return;
    REQUIRE(w->owed > 0);
    w->owed--;
    for (size_t i = 0; i < out->length; i++)
        w->seen += out->data[i];
    for (uint32_t i = 0; i < out->entries_count; i++)
        for (uint32_t j = 0; out->entries[i].data && j < out->entries[i].length; j++)
            w->seen += out->entries[i].data[j];
}

/* What a program asks of the exchange. */
static void exchanges(struct world *w, unsigned which)
{
    static const char *const names[] = {"a", "b"};
    static const unsigned char large[RENDEZVOUS_CONTRIBUTION_MAX + 1];
    static const uint32_t two[] = {0, 1};
    struct exchange *x = supervisor_exchange(w->s);
    struct exchange_request request = {
        .user = EXCHANGE_USER_PMI1, .tag = which, .name = names[which / 8 % 2], .time_ms = 5};
    int rc = -1;
    switch (which % 8) {
    case 0:
        rc = exchange_gather(x, &request, large, 3, NULL, 0, w->now_ms, NULL);
        break;
    case 1:
        rc = exchange_gather(x, &request, large, sizeof large, two, 2, w->now_ms, NULL);
        break;
    case 2:
        rc = exchange_put(x, &request, large, which, w->now_ms, NULL);
        break;
    case 3:
        rc = exchange_get(x, &request, w->now_ms, NULL);
        break;
    case 4:
        rc = exchange_fetch(x, &request, which / 4 % 4, which % 3, w->now_ms, NULL);
        break;
    case 5:
        rc =
            exchange_fetch(x, &request, which / 4 % 4, EXCHANGE_QUESTION_SEQUENCE, w->now_ms, NULL);
        break;
    case 6:
        exchange_answer(x, w->question, EXCHANGE_OK, large, which);
        break;
    }
    w->owed += rc == 0;
    exchange_check(x);
    carry_out(w);
}

/* Effects are taken out before the next step, as the contract wants. */
static void carry_out(struct world *w)
{
    struct supervisor_effect effects[SUPERVISOR_EFFECTS_MAX];
    size_t count = 0;
    while (supervisor_next(w->s, &effects[count])) {
        if (effects[count].exchanged) { /* as many as there were calls and messages */
            note_exchanged(w, effects[count].exchanged);
            continue;
        }
        REQUIRE(strnlen(effects[count].words, SUPERVISOR_WORDS_MAX) < SUPERVISOR_WORDS_MAX);
        REQUIRE(++count < SUPERVISOR_EFFECTS_MAX);
    }
    supervisor_check(w->s);
    for (size_t i = 0; i < count; i++)
        do_effect(w, &effects[i]);
}

/* What the launcher's edge passes on of a rank that uses libmltrain, and when. */
static void rank_says(struct world *w, enum supervisor_event_kind kind, unsigned which)
{
    enum supervisor_state state = supervisor_state(w->s);
    if (w->processes == 0 || state < SUPERVISOR_STARTING || state > SUPERVISOR_KILLING)
        return;
    step(w, (struct supervisor_event){
                .kind = kind, .asked = {.rank = which % w->processes, .step = w->now_ms % 16}});
}

static void one(struct world *w, uint8_t what, struct rendezvous_reader *stream)
{
    struct rendezvous_frame frame;
    unsigned which = what / 8;
    switch (what % 8) {
    case 1:
        if (which < 16)
            break; /* a frame */
        exchanges(w, which - 16);
        return;
    case 2:
        rank_says(w, which % 2 ? SUPERVISOR_ON_REPORTED : SUPERVISOR_ON_UNASKED, which / 2);
        return;
    case 3:
        rank_says(w, SUPERVISOR_ON_ASKED, which);
        return;
    case 4:
        rank_ends(w, which, (int)which % 3, 0);
        return;
    case 5:
        which %= SUPERVISOR_TIMERS;
        if (!w->armed[which])
            return;
        w->armed[which] = false;
        step(w, (struct supervisor_event){.kind = (enum supervisor_event_kind)(
                                              SUPERVISOR_ON_RECONNECT_TIME + (int)which)});
        return;
    case 6:
        w->open = !w->open;
        step(w,
             (struct supervisor_event){
                 .kind = w->open ? SUPERVISOR_ON_OPENED : SUPERVISOR_ON_CLOSED, .words = "reset"});
        return;
    case 7:
        step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_TERMINATE, .signal = 15});
        return;
    }
    if (!w->open)
        one(w, 6, stream);
    if (!w->left && rendezvous_reader_next(stream, &frame, NULL) == 1) {
        supervisor_frame(w->s, &frame, ++w->now_ms);
        carry_out(w);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct supervisor_identity identity = {.pod_uid = "pod",
                                                 .role = "worker",
                                                 .node = "node",
                                                 .address = "10.0.0.1",
                                                 .version = "1",
                                                 .seed = 1};
    struct rendezvous_reader stream;
    if (size < 1 || size > 1 << 16 || size < 1 + (size_t)data[0])
        return 0;
    cleanup_free struct world *w = mlt_calloc(1, sizeof *w);
    w->s = supervisor_new(&identity);
    REQUIRE(w->s);
    carry_out(w);
    rendezvous_reader_init(&stream, RENDEZVOUS_DOWN);
    REQUIRE(rendezvous_reader_feed(&stream, data + 1 + data[0], size - 1 - data[0], NULL) == 0);
    for (uint8_t i = 0; i < data[0] && !w->left; i++)
        one(w, data[1 + i], &stream);
    rendezvous_reader_release(&stream);
    supervisor_free(w->s);
    return 0;
}
