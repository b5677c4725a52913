/* The channel with a large gang: the controller's listener and coordinator in one process, all
 * launchers' connections in another, TLS over loopback, both on the same cores. The launchers are
 * links (rendezvous/channel/link.h) with one OpenSSL context: channel_client makes one each, as
 * befits a launcher, and 2048 of them in one process would be all that is measured.
 *
 * channel.join: from the moment at which all launchers begin to connect, until the coordinator
 * knows that each is ready: handshake, HELLO, WELCOME, READY.
 *
 * channel.fence: a gang that runs; from the moment at which all launchers begin to say GATHER,
 * without data, until the last has read its GATHERED. channel.ids: the same with NCCL ids (64 of
 * 128 bytes) from every 32nd launcher, which all get. channel.id: 64 launchers PUT an id, each of
 * all GETs one of them.
 *
 * channel.pmi1, with the argument `pmi1` and alone: what 2,048 launchers of 8 ranks put in a
 * barrier of PMI-1, 300 bytes a rank, and which is too much to be sent to all: until each has all
 * of it (launcher/pmi1_spread.h).
 *
 * channel.barrier: a standing gang; from the moment at which all launchers begin to say READY,
 * until the last one has read its START. channel.barrier.server_cpu: what the controller's process
 * spent meanwhile. channel.memory: its resident memory with all connections. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "launcher/pmi1_spread.h"
#include "rendezvous/channel/address.h"
#include "rendezvous/channel/channel.h"
#include "rendezvous/channel/key.h"
#include "rendezvous/channel/link.h"
#include "rendezvous/coordinator.h"

#define MEMBERS 2048
#define NPROC 8
#define JOINS 5
#define BARRIERS 21 /* of each join */
#define JOB_UID "bench"
#define WAIT_MS 600000
#define EXCHANGES 11 /* of each kind, of each join */
#define IDS 64       /* communicators of 32 launchers */
#define ID_SIZE 128  /* ncclUniqueId */
#define GO 'g'
#define FENCE 'f'
#define GATHER_IDS 'i'
#define GET_IDS 'v'
#define SPREAD 'p'
#define RANK_PUTS 300 /* bytes of a rank */
#define PUTS ((size_t)NPROC * RANK_PUTS)
#define GROUP_TOKEN 3

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "bench_channel: %s\n", what);
    exit(1);
}

static int compare_us(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *name, int64_t *us, int n)
{
    qsort(us, (size_t)n, sizeof *us, compare_us);
    printf("{\"name\": \"%s\", \"value\": %.2f, \"unit\": \"ms\", \"n\": %d}\n", name,
           (double)us[n / 2] / 1000, n);
}

static void too_long(uv_timer_t *timer)
{
    (void)timer;
    die("nothing happens");
}

/* ---- the launchers ---- */

struct member {
    struct link link; /* first */
    struct gang *gang;
    uint32_t slot;
    uint64_t attempt; /* the one to be ready for */
    struct pmi1_spread *spread;
    size_t puts; /* bytes of other pods */
};

struct gang {
    uv_loop_t loop;
    uv_timer_t guard;
    uv_poll_t poll;
    int to_server;
    uint32_t started, exchanged;
    uint64_t fences, ids, gets; /* so far */
    char kind;                  /* of the exchange under way */
    unsigned char key[CHANNEL_KEY_SIZE];
    char read_buffer[LINK_READ_SIZE];
    struct member members[MEMBERS];
};

static void tell(struct member *m, const struct rendezvous_message *message)
{
    struct mlt_text frame = MLT_TEXT_INIT(2 * 1024 * 1024);
    rendezvous_message_write(&frame, message);
    link_send(&m->link, frame.data, frame.length);
    mlt_text_release(&frame);
}

static void say_ready(struct member *m)
{
    struct rendezvous_message ready = {.type = RENDEZVOUS_READY, .attempt = m->attempt};
    ready.ready.port = 4000;
    tell(m, &ready);
}

static void on_opened(struct link *l)
{
    struct member *m = (struct member *)l;
    char uid[32];
    (void)snprintf(uid, sizeof uid, "pod-%u", m->slot);
    struct rendezvous_message hello = {.type = RENDEZVOUS_HELLO};
    hello.hello.pod_uid = uid;
    hello.hello.role = "worker";
    hello.hello.node = "node";
    hello.hello.address = "127.0.0.1";
    hello.hello.slot = m->slot;
    hello.hello.launcher_version = "bench";
    hello.hello.state = RENDEZVOUS_STATE_IDLE;
    hello.hello.step = RENDEZVOUS_NO_STEP;
    hello.hello.takes_exchange = true;
    tell(m, &hello);
}

/* STOP: everybody's ranks are gone at once; READY waits for the word to go. */
static void obey_stop(struct member *m, uint64_t attempt)
{
    struct rendezvous_message stopped = {.type = RENDEZVOUS_STOPPED, .attempt = attempt};
    struct rendezvous_exit exits[NPROC];
    for (uint32_t i = 0; i < NPROC; i++)
        exits[i] = (struct rendezvous_exit){.rank = m->slot * NPROC + i,
                                            .local_rank = i,
                                            .signal = 9,
                                            .cause = RENDEZVOUS_CAUSE_KILLED_BY_US,
                                            .tail = ""};
    stopped.stopped.exits = exits;
    stopped.stopped.exits_count = NPROC;
    m->attempt = attempt + 1;
    tell(m, &stopped);
}

static void say_started(struct member *m)
{
    uint32_t pids[NPROC] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct rendezvous_message started = {.type = RENDEZVOUS_STARTED, .attempt = m->attempt};
    started.started.pids = pids;
    started.started.pids_count = NPROC;
    tell(m, &started);
}

/* STARTED comes when all have their START, so that it does not count as part of the barrier: ranks
 * take a while to be executed. */
static void obey_start(struct gang *gang)
{
    if (++gang->started < MEMBERS)
        return;
    int64_t now = clock_us(CLOCK_MONOTONIC);
    gang->started = 0;
    if (write(gang->to_server, &now, sizeof now) != sizeof now)
        die("the server is gone");
    for (uint32_t i = 0; i < MEMBERS; i++)
        say_started(&gang->members[i]);
}

/* ---- the exchange ---- */

static void say_gather(struct member *m, bool with_id)
{
    static const unsigned char id[ID_SIZE];
    struct rendezvous_message gather = {.type = RENDEZVOUS_GATHER, .attempt = m->attempt};
    gather.gather.name = with_id ? "sdk/nccl" : "pmix/fence";
    gather.gather.sequence = with_id ? m->gang->ids : m->gang->fences;
    if (with_id && m->slot % (MEMBERS / IDS) == 0) {
        gather.gather.data = id;
        gather.gather.data_length = ID_SIZE;
    }
    tell(m, &gather);
}

static void say_get(struct member *m)
{
    static const unsigned char id[ID_SIZE];
    char name[48];
    (void)snprintf(name, sizeof name, "sdk/nccl-%llu-%u", (unsigned long long)m->gang->gets,
                   m->slot / (MEMBERS / IDS));
    if (m->slot % (MEMBERS / IDS) == 0)
        tell(m, &(struct rendezvous_message){
                    .type = RENDEZVOUS_PUT,
                    .attempt = m->attempt,
                    .put = {.token = 1, .name = name, .data = id, .data_length = ID_SIZE}});
    tell(m, &(struct rendezvous_message){
                .type = RENDEZVOUS_GET, .attempt = m->attempt, .get = {.token = 2, .name = name}});
}

/* ---- what is put in a barrier of PMI-1 ---- */

static const char puts_of_one[PUTS];

static void say_puts(struct member *m, const char *name, const unsigned char *members,
                     uint32_t members_length)
{
    tell(m, &(struct rendezvous_message){.type = RENDEZVOUS_GATHER,
                                         .attempt = m->attempt,
                                         .gather = {.name = name,
                                                    .members = members,
                                                    .members_length = members_length,
                                                    .data = (const unsigned char *)puts_of_one,
                                                    .data_length = PUTS}});
}

static int spread_gather(void *arg, uint32_t first, uint32_t count, const char *bytes,
                         size_t length, struct mlt_error *err)
{
    unsigned char members[MEMBERS / 8] = {0};
    char name[48];
    (void)bytes, (void)length, (void)err;
    for (uint32_t i = first; i < first + count; i++)
        members[i / 8] |= (unsigned char)(1 << i % 8);
    (void)snprintf(name, sizeof name, "pmi1/barrier-group-%u", first);
    say_puts(arg, name, members, (first + count + 7) / 8);
    return 0;
}

static int spread_fetch(void *arg, uint32_t node_rank, uint64_t sequence, struct mlt_error *err)
{
    struct member *m = arg;
    (void)sequence, (void)err;
    tell(m, &(struct rendezvous_message){.type = RENDEZVOUS_GET,
                                         .attempt = m->attempt,
                                         .get = {.token = GROUP_TOKEN,
                                                 .name = "pmi1/group/0",
                                                 .of_member = true,
                                                 .node_rank = node_rank,
                                                 .sequence = EXCHANGE_QUESTION_SEQUENCE}});
    return 0;
}

static int spread_no(void *arg, uint32_t node_rank, uint64_t sequence, struct mlt_error *err)
{
    (void)arg, (void)node_rank, (void)sequence, (void)err;
    die("a group has not all of its puts");
}

static bool spread_take(void *arg, const void *bytes, size_t length)
{
    (void)bytes;
    ((struct member *)arg)->puts += length;
    return true;
}

static void spread_answer(void *arg, uint64_t question, enum exchange_outcome outcome,
                          const void *bytes, size_t length)
{
    struct member *m = arg;
    tell(m, &(struct rendezvous_message){.type = RENDEZVOUS_VALUE,
                                         .attempt = m->attempt,
                                         .value = {.token = question,
                                                   .outcome = (uint8_t)outcome,
                                                   .words = "",
                                                   .data = bytes,
                                                   .data_length = (uint32_t)length}});
}

static void one_more(struct gang *gang)
{
    if (++gang->exchanged < MEMBERS)
        return;
    int64_t now = clock_us(CLOCK_MONOTONIC);
    gang->exchanged = 0;
    if (write(gang->to_server, &now, sizeof now) != sizeof now)
        die("the server is gone");
}

static void spread_done(void *arg, const char *words)
{
    struct member *m = arg;
    if (words || m->puts != (MEMBERS - 1) * PUTS)
        die(words ? words : "puts are missing");
    one_more(m->gang);
}

static void begin_spread(struct member *m)
{
    static const struct pmi1_spread_ops ops = {.gather = spread_gather,
                                               .fetch_group = spread_fetch,
                                               .fetch_one = spread_no,
                                               .take = spread_take,
                                               .answer = spread_answer,
                                               .done = spread_done};
    m->spread = pmi1_spread_new(MEMBERS, m->slot, &ops, m);
    if (!m->spread)
        die("no memory");
    say_puts(m, "pmi1/barrier", NULL, 0);
}

/* GATHERED of all or of the group, the piece of a group, another's question. */
static void take_spread(struct member *m, const struct rendezvous_message *order)
{
    struct exchange_entry entries[PMI1_SPREAD_GROUP_MAX];
    struct exchange_output out = {.outcome = EXCHANGE_OK, .words = "", .entries = entries};
    if (order->type == RENDEZVOUS_GET) {
        pmi1_spread_asked(m->spread, order->get.token, 0);
    } else if (order->type == RENDEZVOUS_VALUE) {
        out.outcome = (enum exchange_outcome)order->value.outcome;
        out.data = order->value.data;
        out.length = order->value.data_length;
        pmi1_spread_fetched(m->spread, &out);
    } else if (order->gathered.outcome == RENDEZVOUS_OUTCOME_TOO_LARGE) {
        pmi1_spread_begin(m->spread, 0, puts_of_one, PUTS);
    } else {
        out.entries_count = order->gathered.entries_count;
        for (uint32_t i = 0; i < out.entries_count; i++)
            entries[i] = (struct exchange_entry){.node_rank = order->gathered.entries[i].node_rank,
                                                 .data = order->gathered.entries[i].data,
                                                 .length = order->gathered.entries[i].data_length};
        pmi1_spread_gathered(m->spread, &out);
    }
}

static void begin_exchange(struct gang *gang, char kind)
{
    gang->kind = kind;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if (kind == SPREAD)
            begin_spread(&gang->members[i]);
        else if (kind == GET_IDS)
            say_get(&gang->members[i]);
        else
            say_gather(&gang->members[i], kind == GATHER_IDS);
    }
    gang->fences += kind == FENCE;
    gang->ids += kind == GATHER_IDS;
    gang->gets += kind == GET_IDS;
}

static void take_exchanged(struct gang *gang, const struct rendezvous_message *m)
{
    bool is_get = m->type == RENDEZVOUS_VALUE;
    if (is_get && m->value.token == 1)
        return; /* a put is stored */
    if (is_get ? m->value.data_length != ID_SIZE
               : m->gathered.outcome != RENDEZVOUS_OUTCOME_OK ||
                     m->gathered.entries_count != (gang->kind == GATHER_IDS ? IDS : 0))
        die("an exchange that is no part of this");
    one_more(gang);
}

static void on_order(struct link *l, const struct rendezvous_frame *frame)
{
    struct member *m = (struct member *)l;
    struct rendezvous_message order;
    if (rendezvous_message_read(frame, &order, NULL) < 0)
        die("an order is broken");
    if (order.type == RENDEZVOUS_WELCOME) {
        m->attempt = order.welcome.next_attempt;
        say_ready(m);
    } else if (order.type == RENDEZVOUS_START) {
        obey_start(m->gang);
    } else if (order.type == RENDEZVOUS_STOP) {
        obey_stop(m, order.attempt);
    } else if (m->gang->kind == SPREAD &&
               (order.type == RENDEZVOUS_GATHERED || order.type == RENDEZVOUS_VALUE ||
                order.type == RENDEZVOUS_GET)) {
        take_spread(m, &order);
    } else if (order.type == RENDEZVOUS_GATHERED || order.type == RENDEZVOUS_VALUE) {
        take_exchanged(m->gang, &order);
    } else if (order.type != RENDEZVOUS_PING) {
        die("an order that is no part of this");
    }
    rendezvous_message_release(&order);
}

static void on_ended(struct link *l, const char *reason)
{
    (void)l;
    die(reason);
}

static void on_gone(struct link *l)
{
    (void)l;
}

static int use_session(SSL *ssl, const EVP_MD *digest, const unsigned char **ret_identity,
                       size_t *ret_length, SSL_SESSION **ret)
{
    (void)digest;
    const struct link *l = SSL_get_app_data(ssl);
    const struct gang *gang = l->owner;
    *ret = channel_key_session(ssl, gang->key);
    *ret_identity = (const unsigned char *)JOB_UID;
    *ret_length = strlen(JOB_UID);
    return *ret != NULL;
}

static void connect_all(struct gang *gang, uint16_t port)
{
    static const struct link_ops ops = {
        .opened = on_opened, .frame = on_order, .ended = on_ended, .gone = on_gone};
    struct sockaddr_storage address;
    SSL_CTX *context = channel_key_context(TLS_client_method());
    if (!context || channel_address_parse("127.0.0.1", port, &address, NULL) < 0)
        die("no context");
    SSL_CTX_set_psk_use_session_callback(context, use_session);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct link *l = &gang->members[i].link;
        link_init(l, &gang->loop, RENDEZVOUS_DOWN, &ops, gang, gang->read_buffer);
        link_connect(l, (struct sockaddr *)&address);
        if (link_make_tls(l, context) < 0)
            die("no connection");
    }
}

static void on_go(uv_poll_t *poll, int status, int events)
{
    struct gang *gang = poll->data;
    char word;
    (void)status, (void)events;
    if (read(gang->to_server, &word, 1) != 1)
        exit(0); /* the server has seen enough */
    if (word != GO) {
        begin_exchange(gang, word);
        return;
    }
    for (uint32_t i = 0; i < MEMBERS; i++)
        say_ready(&gang->members[i]);
}

static _Noreturn void be_gang(int to_server, uint16_t port, const unsigned char *master)
{
    static struct gang gang;
    char word;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_NAME, "gang");
    gang.to_server = to_server;
    (void)uv_loop_init(&gang.loop);
    (void)uv_timer_init(&gang.loop, &gang.guard);
    (void)uv_timer_start(&gang.guard, too_long, WAIT_MS, 0);
    channel_derive_key(master, JOB_UID, gang.key);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        gang.members[i].gang = &gang;
        gang.members[i].slot = i;
    }
    if (write(to_server, &(char){GO}, 1) != 1 || read(to_server, &word, 1) != 1)
        die("the server is gone");
    connect_all(&gang, port);
    (void)uv_poll_init(&gang.loop, &gang.poll, to_server);
    gang.poll.data = &gang;
    (void)uv_poll_start(&gang.poll, UV_READABLE, on_go);
    (void)uv_run(&gang.loop, UV_RUN_DEFAULT);
    exit(0);
}

/* ---- the controller ---- */

struct server {
    uv_loop_t loop;
    uv_timer_t guard;
    uv_poll_t poll;
    struct channel_server *channel;
    struct coordinator *coordinator;
    int to_gang;
    uint64_t attempt;
    bool ready, running, stopped, all_started;
    int64_t last_start_us, barrier_cpu_us, cpu_begin_us;
};

static int64_t now_ms(void)
{
    return clock_us(CLOCK_MONOTONIC) / 1000;
}

static void drain(struct server *s)
{
    struct coordinator_output out;
    while (coordinator_next(s->coordinator, &out)) {
        switch (out.kind) {
        case COORDINATOR_SEND:
            channel_server_send(s->channel, out.channel, out.bytes, out.length);
            break;
        case COORDINATOR_GANG_READY:
            s->ready = true;
            s->attempt = out.attempt;
            break;
        case COORDINATOR_GANG_STARTED:
            s->running = true;
            break;
        case COORDINATOR_VERDICT:
            s->stopped = true;
            break;
        case COORDINATOR_CLOSE:
        case COORDINATOR_REFUSED:
        case COORDINATOR_MEMBER_ABSENT:
            die(out.words ? out.words : "a member was lost");
        default:
            break;
        }
    }
}

/* A barrier is over when READY was answered: START follows at once, as from a controller whose
 * status write has been answered. */
static void on_frame(void *arg, uint64_t id, const struct rendezvous_frame *frame)
{
    struct server *s = arg;
    coordinator_frame(s->coordinator, id, frame, now_ms());
    drain(s);
    if (s->ready && s->cpu_begin_us) {
        s->ready = false;
        if (!coordinator_start(s->coordinator, s->attempt, RENDEZVOUS_NO_STEP, "", now_ms()))
            die("no start");
        drain(s);
    }
}

static void on_connection(void *arg, uint64_t id, const char *job_uid, const char *peer)
{
    (void)arg, (void)id, (void)job_uid, (void)peer;
}

static void on_closed(void *arg, uint64_t id, const char *reason)
{
    (void)arg, (void)id;
    die(reason);
}

static void on_refused(void *arg, const char *peer, const char *reason)
{
    (void)arg, (void)peer;
    die(reason);
}

static void on_last_start(uv_poll_t *poll, int status, int events)
{
    struct server *s = poll->data;
    (void)status, (void)events;
    if (read(s->to_gang, &s->last_start_us, sizeof s->last_start_us) != sizeof s->last_start_us)
        die("the launchers are gone");
    s->barrier_cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID) - s->cpu_begin_us;
    s->all_started = true;
}

static void run_until(struct server *s, const bool *flag)
{
    (void)uv_timer_start(&s->guard, too_long, WAIT_MS, 0);
    while (!*flag)
        (void)uv_run(&s->loop, UV_RUN_ONCE);
}

static void go(const struct server *s, char what)
{
    if (write(s->to_gang, &what, 1) != 1)
        die("the launchers are gone");
}

static struct coordinator *make_coordinator(void)
{
    static struct coordinator_member members[MEMBERS];
    for (uint32_t i = 0; i < MEMBERS; i++)
        members[i] = (struct coordinator_member){.role = "worker", .slot = i, .nproc = NPROC};
    struct coordinator_config config = {
        .job = "bench/bench",
        .lease_transitions = 1,
        .members = members,
        .members_count = MEMBERS,
        .rejoin_ms = COORDINATOR_REJOIN_MS_DEFAULT,
    };
    struct rendezvous_welcome welcome = {.framework = "plain",
                                         .checkpoint_path = "",
                                         .checkpoint_format = "",
                                         .checkpoint_pattern = "",
                                         .progress_pattern = ""};
    struct coordinator *c = coordinator_new(&config, now_ms());
    if (!c || !coordinator_set_welcome(c, &welcome))
        die("no coordinator");
    for (uint32_t i = 0; i < MEMBERS; i++) {
        char uid[32];
        (void)snprintf(uid, sizeof uid, "pod-%u", i);
        coordinator_expect_pod(c, "worker", i, uid);
    }
    return c;
}

static void open_server(struct server *s, const unsigned char *master)
{
    static const struct channel_server_ops ops = {
        .opened = on_connection, .frame = on_frame, .closed = on_closed, .refused = on_refused};
    struct mlt_error err;
    (void)uv_loop_init(&s->loop);
    (void)uv_timer_init(&s->loop, &s->guard);
    if (channel_server_new(&s->loop, "127.0.0.1", 0, master, &ops, s, &s->channel, &err) < 0)
        die(err.text);
    s->coordinator = make_coordinator();
}

/* One gang's life: it joins, and passes its barriers. In a process of its own, for a clean count of
 * memory and descriptors; tells its times by `out`. */
struct times {
    int64_t join_us, barrier_us[BARRIERS], cpu_us[BARRIERS];
    int64_t exchange_us[3][EXCHANGES], exchange_cpu_us[3][EXCHANGES];
    long memory_kib;
};

static void pass_barrier(struct server *s, int64_t *ret_us, int64_t *ret_cpu_us)
{
    int64_t begin = clock_us(CLOCK_MONOTONIC);
    s->all_started = s->running = s->stopped = false;
    s->cpu_begin_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    go(s, GO);
    run_until(s, &s->all_started);
    *ret_us = s->last_start_us - begin;
    *ret_cpu_us = s->barrier_cpu_us;
    run_until(s, &s->running);
    coordinator_stop(s->coordinator, 0, "bench", now_ms());
    drain(s);
    run_until(s, &s->stopped);
}

static bool only_pmi1;

static void spread_all(struct server *s, struct times *times)
{
    int64_t begin = clock_us(CLOCK_MONOTONIC);
    s->all_started = false;
    s->cpu_begin_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    go(s, SPREAD);
    run_until(s, &s->all_started);
    times->exchange_us[0][0] = s->last_start_us - begin;
    times->exchange_cpu_us[0][0] = s->barrier_cpu_us;
}

/* Alternating, since the machine's speed changes from minute to minute. */
static void exchange(struct server *s, struct times *times)
{
    static const char kinds[3] = {FENCE, GATHER_IDS, GET_IDS};
    for (int i = 0; i < EXCHANGES; i++)
        for (int kind = 0; kind < 3; kind++) {
            int64_t begin = clock_us(CLOCK_MONOTONIC);
            s->all_started = false;
            s->cpu_begin_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
            go(s, kinds[kind]);
            run_until(s, &s->all_started);
            times->exchange_us[kind][i] = s->last_start_us - begin;
            times->exchange_cpu_us[kind][i] = s->barrier_cpu_us;
        }
}

static _Noreturn void live(int out)
{
    static struct server s;
    static const unsigned char master[CHANNEL_KEY_SIZE] = "bench";
    struct times times = {0};
    int ends[2];
    char word;
    open_server(&s, master);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        die(strerror(errno));
    pid_t gang = fork();
    if (gang == 0) {
        (void)close(ends[0]);
        be_gang(ends[1], channel_server_port(s.channel), master);
    }
    (void)close(ends[1]);
    s.to_gang = ends[0];
    if (read(s.to_gang, &word, 1) != 1)
        die("no launchers");
    int64_t begin = clock_us(CLOCK_MONOTONIC);
    go(&s, GO);
    run_until(&s, &s.ready);
    times.join_us = clock_us(CLOCK_MONOTONIC) - begin;
    /* The first START belongs to the join; barriers are those of a standing gang. */
    (void)uv_poll_init(&s.loop, &s.poll, s.to_gang);
    s.poll.data = &s;
    (void)uv_poll_start(&s.poll, UV_READABLE, on_last_start);
    s.ready = false;
    if (!coordinator_start(s.coordinator, s.attempt, RENDEZVOUS_NO_STEP, "", now_ms()))
        die("no first start");
    drain(&s);
    run_until(&s, &s.running);
    run_until(&s, &s.all_started);
    if (only_pmi1)
        spread_all(&s, &times);
    else
        exchange(&s, &times);
    s.cpu_begin_us = 0;
    coordinator_stop(s.coordinator, 0, "bench", now_ms());
    drain(&s);
    run_until(&s, &s.stopped);
    for (int i = 0; i < BARRIERS && !only_pmi1; i++)
        pass_barrier(&s, &times.barrier_us[i], &times.cpu_us[i]);
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    times.memory_kib = usage.ru_maxrss;
    (void)kill(gang, SIGKILL);
    if (write(out, &times, sizeof times) != sizeof times)
        die("nobody listens");
    exit(0);
}

int main(int argc, char **argv)
{
    static int64_t join[JOINS], barrier[JOINS * BARRIERS], cpu[JOINS * BARRIERS];
    static int64_t exchanges[3][JOINS * EXCHANGES], exchanges_cpu[3][JOINS * EXCHANGES];
    long memory_kib = 0;
    struct rlimit files;
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < MEMBERS + 64)
        die("the limit on open files (ulimit -Hn) is below 2112");
    only_pmi1 = argc > 1 && strcmp(argv[1], "pmi1") == 0;
    for (int i = 0; i < (only_pmi1 ? 1 : JOINS); i++) {
        struct times times;
        int ends[2];
        if (pipe(ends) < 0)
            die(strerror(errno));
        pid_t pid = fork();
        if (pid == 0)
            live(ends[1]);
        (void)close(ends[1]);
        if (read(ends[0], &times, sizeof times) != sizeof times)
            die("a gang failed");
        (void)close(ends[0]);
        (void)waitpid(pid, NULL, 0);
        join[i] = times.join_us;
        memcpy(&barrier[i * BARRIERS], times.barrier_us, sizeof times.barrier_us);
        memcpy(&cpu[i * BARRIERS], times.cpu_us, sizeof times.cpu_us);
        for (int kind = 0; kind < 3; kind++) {
            memcpy(&exchanges[kind][i * EXCHANGES], times.exchange_us[kind],
                   sizeof times.exchange_us[kind]);
            memcpy(&exchanges_cpu[kind][i * EXCHANGES], times.exchange_cpu_us[kind],
                   sizeof times.exchange_cpu_us[kind]);
        }
        memory_kib = times.memory_kib;
    }
    if (only_pmi1) {
        report("channel.pmi1.2048", exchanges[0], 1);
        report("channel.pmi1.2048.server_cpu", exchanges_cpu[0], 1);
        printf("{\"name\": \"channel.pmi1.2048.memory\", \"value\": %.1f, \"unit\": \"MiB\", "
               "\"n\": 1}\n",
               (double)memory_kib / 1024);
        return 0;
    }
    report("channel.join.2048", join, JOINS);
    report("channel.barrier.2048", barrier, JOINS * BARRIERS);
    report("channel.barrier.2048.server_cpu", cpu, JOINS * BARRIERS);
    report("channel.fence.2048", exchanges[0], JOINS * EXCHANGES);
    report("channel.fence.2048.server_cpu", exchanges_cpu[0], JOINS * EXCHANGES);
    report("channel.ids.2048", exchanges[1], JOINS * EXCHANGES);
    report("channel.ids.2048.server_cpu", exchanges_cpu[1], JOINS * EXCHANGES);
    report("channel.id.2048", exchanges[2], JOINS * EXCHANGES);
    report("channel.id.2048.server_cpu", exchanges_cpu[2], JOINS * EXCHANGES);
    printf("{\"name\": \"channel.memory.2048\", \"value\": %.1f, \"unit\": \"MiB\", \"n\": 1}\n",
           (double)memory_kib / 1024);
    return 0;
}
