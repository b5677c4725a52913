/* The launcher's decisions, with pretended ranks and a pretended controller: no process, no clock.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor_world.h"
#include "lib/base/cleanup.h"
#include "lib/base/random.h"

/* ---- joining ---- */

static void test_it_connects_at_once_and_says_hello_when_open(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    assert_int_equal(w.asked[SUPERVISOR_DO_CONNECT], 1);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_JOIN], SUPERVISOR_JOIN_MS);
    world_happen(&w, SUPERVISOR_ON_OPENED);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_JOIN], -1);
    assert_int_equal(world_sent(&w, RENDEZVOUS_HELLO)->hello.state, RENDEZVOUS_STATE_IDLE);
    world_release(&w);
}

static void test_ready_waits_for_cleaning_port_and_checkpoints(void **state)
{
    (void)state;
    struct world w;
    static const struct rendezvous_checkpoint_report none = {.torn_step = RENDEZVOUS_NO_STEP};
    struct rendezvous_message welcome = world_welcome(2);
    welcome.welcome.next_attempt = 6;
    world_init(&w);
    world_happen(&w, SUPERVISOR_ON_OPENED);
    world_receive(&w, &welcome);
    assert_int_equal(w.asked[SUPERVISOR_DO_CLEAN_UP], 1);
    assert_int_equal(w.asked[SUPERVISOR_DO_HOLD_PORT], 1);
    assert_int_equal(w.asked[SUPERVISOR_DO_SCAN], 1);
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_PORT_HELD, .port = 4000});
    world_happen(&w, SUPERVISOR_ON_CLEANED);
    /* A look that began before it was asked for may have missed the newest. */
    world_step(
        &w, (struct supervisor_event){.kind = SUPERVISOR_ON_SCANNED, .scanned = {.report = &none}});
    assert_null(world_sent(&w, RENDEZVOUS_READY));
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_SCANNED,
                                             .scanned = {.report = &none, .fresh = true}});
    /* A new pod whose mount is missing finds nothing: what was known before stands. */
    assert_null(world_sent(&w, RENDEZVOUS_CHECKPOINT));
    assert_int_equal(world_sent(&w, RENDEZVOUS_READY)->attempt, 6);
    assert_int_equal(world_sent(&w, RENDEZVOUS_READY)->ready.port, 4000);
    world_release(&w);
}

static void test_that_the_only_checkpoint_is_gone_is_told_also_to_the_next_controller(void **state)
{
    (void)state;
    struct world w;
    static struct rendezvous_checkpoint one = {.step = 20, .path = "/c/20"};
    static const struct rendezvous_checkpoint_report none = {.torn_step = RENDEZVOUS_NO_STEP},
                                                     some = {.checkpoints = &one,
                                                             .checkpoints_count = 1,
                                                             .torn_step = RENDEZVOUS_NO_STEP};
    struct rendezvous_message welcome = world_welcome(1);
    welcome.welcome.watch_checkpoints = true;
    welcome.welcome.checkpoint_path = "/c";
    world_init(&w);
    world_make_ready(&w, 1);
    world_step(
        &w, (struct supervisor_event){.kind = SUPERVISOR_ON_SCANNED, .scanned = {.report = &some}});
    assert_int_equal(world_sent(&w, RENDEZVOUS_CHECKPOINT)->checkpoint.checkpoints_count, 1);
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_CLOSED, .words = "gone"});
    world_step(
        &w, (struct supervisor_event){.kind = SUPERVISOR_ON_SCANNED, .scanned = {.report = &none}});
    world_forget(&w);
    world_happen(&w, SUPERVISOR_ON_OPENED);
    world_receive(&w, &welcome);
    assert_int_equal(world_sent(&w, RENDEZVOUS_CHECKPOINT)->checkpoint.checkpoints_count, 0);
    world_release(&w);
}

static void test_without_a_channel_for_ten_minutes_it_leaves_with_69(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_CLOSED, .words = "refused"});
    assert_in_range(w.timer[SUPERVISOR_TIMER_RECONNECT], 0, MEMBER_RECONNECT_MS_MAX);
    world_happen(&w, SUPERVISOR_ON_RECONNECT_TIME);
    assert_int_equal(w.asked[SUPERVISOR_DO_CONNECT], 2);
    world_happen(&w, SUPERVISOR_ON_JOIN_TIME);
    world_happen(&w, SUPERVISOR_ON_GONE);
    assert_int_equal(w.code, 69);
    world_release(&w);
}

static void test_after_the_first_start_no_lost_channel_ends_it(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 2);
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_CLOSED, .words = "gone"});
    assert_int_equal(w.timer[SUPERVISOR_TIMER_JOIN], -1);
    world_happen(&w, SUPERVISOR_ON_JOIN_TIME); /* a timer that was under way */
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_RUNNING);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 0);
    assert_int_equal(w.asked[SUPERVISOR_DO_SIGNAL], 0);
    world_rank_ends(&w, 0, 1, 0); /* told to nobody now */
    assert_int_equal(w.sent_count, 0);
    world_happen(&w, SUPERVISOR_ON_OPENED);
    const struct rendezvous_message *hello = world_sent(&w, RENDEZVOUS_HELLO);
    assert_int_equal(hello->attempt, 1);
    assert_int_equal(hello->hello.state, RENDEZVOUS_STATE_RUNNING);
    assert_int_equal(hello->hello.running, 1);
    assert_int_equal(hello->hello.exits_count, 1);
    assert_string_equal(hello->hello.exits[0].tail, "words");
    world_release(&w);
}

static void test_a_start_that_comes_too_early_or_from_the_past_starts_nothing(void **state)
{
    (void)state;
    struct world w;
    struct rendezvous_message welcome = world_welcome(1), start = world_start(1);
    welcome.welcome.next_attempt = 3;
    world_init(&w);
    world_happen(&w, SUPERVISOR_ON_OPENED);
    world_receive(&w, &welcome);
    start.attempt = 3;
    world_receive(&w, &start); /* not ready yet */
    world_prepared(&w);
    start.attempt = 2;
    world_receive(&w, &start); /* before the READY */
    start.attempt = 3;
    start.start.lease_transitions = 0;
    world_receive(&w, &start); /* from a controller that no longer leads */
    assert_int_equal(w.asked[SUPERVISOR_DO_SPAWN], 0);
    assert_int_equal(supervisor_refusals(w.s), 3);
    assert_int_equal(w.asked[SUPERVISOR_DO_LOG], 1);
    start.start.lease_transitions = 1;
    world_receive(&w, &start);
    assert_int_equal(w.asked[SUPERVISOR_DO_SPAWN], 1);
    world_receive(&w, &start); /* a repetition does no harm */
    assert_int_equal(w.asked[SUPERVISOR_DO_SPAWN], 1);
    assert_int_equal(supervisor_refusals(w.s), 3);
    world_release(&w);
}

static void test_a_controller_that_opens_and_refuses_is_not_asked_again_at_once(void **state)
{
    (void)state;
    struct world w;
    struct rendezvous_message refused = {.type = RENDEZVOUS_REFUSED,
                                         .refused = {.reason = "later"}};
    int64_t longest = 0;
    world_init(&w);
    for (int i = 0; i < 100; i++) {
        world_happen(&w, SUPERVISOR_ON_OPENED);
        world_receive(&w, &refused);
        world_happen(&w, SUPERVISOR_ON_CLOSED);
        if (i >= 50 && w.timer[SUPERVISOR_TIMER_RECONNECT] > longest)
            longest = w.timer[SUPERVISOR_TIMER_RECONNECT];
        world_happen(&w, SUPERVISOR_ON_RECONNECT_TIME);
    }
    assert_in_range(longest, MEMBER_RECONNECT_MS_MAX / 2, MEMBER_RECONNECT_MS_MAX);
    assert_int_equal(w.asked[SUPERVISOR_DO_LOG],
                     2); /* the refusal, and the lost channel: once each */
    world_release(&w);
}

static void test_garbage_is_counted_and_told_once(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_happen(&w, SUPERVISOR_ON_OPENED);
    const struct rendezvous_frame frame = {.version = RENDEZVOUS_VERSION,
                                           .type = RENDEZVOUS_START,
                                           .payload = (const unsigned char *)"xx",
                                           .length = 2};
    for (int i = 0; i < 1000; i++) {
        supervisor_frame(w.s, &frame, w.now_ms);
        world_take_effects(&w);
    }
    assert_int_equal(supervisor_refusals(w.s), 1000);
    assert_int_equal(w.asked[SUPERVISOR_DO_LOG], 1);
    world_release(&w);
}

/* ---- running ---- */

static void test_only_pytorch_ranks_of_node_0_keep_the_held_port(void **state)
{
    (void)state;
    static const struct {
        const char *what, *framework;
        uint32_t node_rank;
        unsigned released;
    } rows[] = {{"pytorch binds over it", "pytorch", 0, 0},
                {"nobody binds there", "pytorch", 1, 1},
                {"plain could not", "plain", 0, 1}};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct world w;
        struct rendezvous_message welcome = world_welcome(1), start = world_start(1);
        world_init(&w);
        welcome.welcome.framework = rows[i].framework;
        start.start.node_rank = rows[i].node_rank;
        start.start.nodes = 2;
        world_happen(&w, SUPERVISOR_ON_OPENED);
        world_receive(&w, &welcome);
        world_prepared(&w);
        world_receive(&w, &start);
        if (w.asked[SUPERVISOR_DO_RELEASE_PORT] != rows[i].released)
            fail_msg("%s", rows[i].what);
        world_release(&w);
    }
}

static void test_ends_are_told_and_siblings_left_alone(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 3);
    world_rank_ends(&w, 1, 9, 0);
    const struct rendezvous_exit *exit = &world_sent(&w, RENDEZVOUS_RANK_EXIT)->rank_exit.exit;
    assert_int_equal(exit->local_rank, 1);
    assert_int_equal(exit->code, 9);
    assert_string_equal(exit->tail, "words");
    assert_int_equal(w.asked[SUPERVISOR_DO_SIGNAL], 0);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 0);
    world_release(&w);
}

static void test_one_torchrun_ends_for_all_its_ranks(void **state)
{
    (void)state;
    struct world w;
    world_init_as(&w, true);
    world_make_running(&w, 256);
    assert_int_equal(supervisor_processes(w.s), 1);
    struct supervisor_event event = {
        .kind = SUPERVISOR_ON_RANK_EXITED, .now_ms = 5000, .rank_exited = {.code = 1, .tail = "t"}};
    supervisor_step(w.s, &event);
    struct supervisor_effect effect;
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    unsigned exits = 0;
    rendezvous_reader_init(&reader, RENDEZVOUS_UP);
    while (supervisor_next(w.s, &effect))
        if (effect.kind == SUPERVISOR_DO_SEND) {
            assert_int_equal(rendezvous_reader_feed(&reader, effect.bytes, effect.length, NULL), 0);
            while (rendezvous_reader_next(&reader, &frame, NULL) == 1)
                exits += frame.type == RENDEZVOUS_RANK_EXIT;
        }
    assert_int_equal(exits, 256);
    rendezvous_reader_release(&reader);
    world_release(&w);
}

/* mpirun in an MPI job: what the command is has been seen after WELCOME. */
static void test_a_command_that_starts_the_ranks_itself_is_one_process(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    supervisor_one_process(w.s, true);
    world_make_running(&w, 4);
    assert_int_equal(supervisor_processes(w.s), 1);
    world_release(&w);
}

/* ---- stopping ---- */

static void test_a_stop_signals_then_kills_then_prepares_for_the_next_attempt(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 2);
    world_stop(&w, 1, 5000, SIGUSR1);
    assert_int_equal(w.signal, SIGUSR1);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_GRACE], 5000);
    world_rank_ends(&w, 0, 0, 0);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 0);
    world_happen(&w, SUPERVISOR_ON_GRACE_TIME);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 1);
    world_rank_ends(&w, 1, 0, SIGKILL);
    assert_null(world_sent(&w, RENDEZVOUS_STOPPED)); /* descendants may still be there */
    world_happen(&w, SUPERVISOR_ON_GONE);
    const struct rendezvous_message *stopped = world_sent(&w, RENDEZVOUS_STOPPED);
    assert_int_equal(stopped->stopped.exits_count, 2);
    assert_int_equal(stopped->stopped.exits[0].cause, RENDEZVOUS_CAUSE_EXITED);
    assert_int_equal(stopped->stopped.exits[1].cause, RENDEZVOUS_CAUSE_KILLED_BY_US);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_PREPARING);
    world_prepared(&w);
    assert_int_equal(world_sent(&w, RENDEZVOUS_READY)->attempt, 2);
    world_release(&w);
}

static void test_when_all_have_ended_the_grace_is_not_waited_for(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 2);
    world_stop(&w, 1, 60000, SIGTERM);
    world_rank_ends(&w, 0, 0, 0);
    world_rank_ends(&w, 1, 0, 0);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 1); /* grandchildren */
    world_release(&w);
}

static void test_the_shorter_grace_holds_and_a_signal_is_sent_once(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    world_stop(&w, 1, 60000, SIGTERM);
    world_stop(&w, 1, 500, SIGTERM);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_GRACE], 500);
    world_stop(&w, 1, 60000, SIGTERM);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_GRACE], 500);
    assert_int_equal(w.asked[SUPERVISOR_DO_SIGNAL], 1);
    world_stop(&w, 1, 0, 0);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 1);
    world_release(&w);
}

static void test_hello_makes_good_a_stopped_that_was_lost(void **state)
{
    (void)state;
    struct world w;
    struct rendezvous_message welcome = world_welcome(1);
    world_init(&w);
    world_make_running(&w, 1);
    world_stop(&w, 1, 0, 0);
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_CLOSED});
    world_rank_ends(&w, 0, 0, SIGKILL);
    world_happen(&w, SUPERVISOR_ON_GONE);
    world_prepared(&w);
    assert_null(world_sent(&w, RENDEZVOUS_STOPPED));
    world_happen(&w, SUPERVISOR_ON_OPENED);
    const struct rendezvous_message *hello = world_sent(&w, RENDEZVOUS_HELLO);
    assert_int_equal(hello->attempt, 2);             /* READY for the next ... */
    assert_int_equal(hello->hello.start_attempt, 1); /* ... and what became of the last */
    assert_int_equal(hello->hello.exits_count, 1);
    assert_int_equal(hello->hello.exits[0].signal, SIGKILL);
    world_receive(&w, &welcome);
    assert_int_equal(world_sent(&w, RENDEZVOUS_READY)->attempt, 2);
    assert_null(world_sent(&w, RENDEZVOUS_STOPPED));
    world_forget(&w);
    world_stop(&w, 1, 0, 0); /* a controller that has not understood */
    assert_int_equal(world_sent(&w, RENDEZVOUS_STOPPED)->attempt, 1);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_READY);
    world_release(&w);
}

/* The controller orders ends of different launchers by it. */
static void test_what_is_counted_since_start_is_told(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_ready(&w, 1);
    assert_int_equal(world_sent(&w, RENDEZVOUS_HELLO)->hello.since_start_ms, 0); /* no START yet */
    struct rendezvous_message start = world_start(1);
    world_receive(&w, &start);
    int64_t start_ms = w.now_ms;
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_SPAWNED});
    static const struct {
        uint64_t attempt, since_ms;
    } pings[] = {{1, 500}, {2, 0}, {0, 0}}; /* of another attempt it says nothing */
    for (size_t i = 0; i < sizeof pings / sizeof pings[0]; i++) {
        world_forget(&w);
        w.now_ms = start_ms + 499;
        world_receive(&w, &(struct rendezvous_message){.type = RENDEZVOUS_PING,
                                                       .attempt = pings[i].attempt,
                                                       .ping = {.nonce = 42}});
        const struct rendezvous_message *pong = world_sent(&w, RENDEZVOUS_PONG);
        assert_int_equal(pong->attempt, pings[i].attempt);
        assert_int_equal(pong->pong.nonce, 42);
        assert_int_equal(pong->pong.since_start_ms, pings[i].since_ms);
    }
    w.now_ms = start_ms + 699;
    world_rank_ends(&w, 0, 1, 0);
    assert_int_equal(world_sent(&w, RENDEZVOUS_RANK_EXIT)->rank_exit.exit.after_ms, 700);
    world_stop(&w, 1, 0, 0);
    w.now_ms = start_ms + 799;
    world_happen(&w, SUPERVISOR_ON_GONE);
    assert_int_equal(world_sent(&w, RENDEZVOUS_STOPPED)->stopped.since_start_ms, 800);
    world_prepared(&w); /* READY for the next: it still tells of this START */
    world_happen(&w, SUPERVISOR_ON_CLOSED);
    world_forget(&w);
    w.now_ms = start_ms + 899;
    world_happen(&w, SUPERVISOR_ON_OPENED);
    const struct rendezvous_message *hello = world_sent(&w, RENDEZVOUS_HELLO);
    assert_int_equal(hello->hello.start_attempt, 1);
    assert_int_equal(hello->hello.since_start_ms, 900);
    world_release(&w);
}

static void test_what_survives_sigkill_makes_the_pod_unkillable(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    world_stop(&w, 1, 0, 0);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_KILL], SUPERVISOR_KILL_MS);
    world_happen(&w, SUPERVISOR_ON_KILL_TIME);
    assert_true(world_sent(&w, RENDEZVOUS_STOPPED)->stopped.unkillable);
    world_happen(&w, SUPERVISOR_ON_GONE);
    assert_null(world_sent(&w, RENDEZVOUS_READY));
    world_release(&w);
}

/* ---- leaving ---- */

static void test_exit_kills_what_runs_and_leaves_with_its_code(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    world_receive(&w, &(struct rendezvous_message){.type = RENDEZVOUS_EXIT,
                                                   .exit = {.code = 42, .reason = "done"}});
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 1);
    assert_int_equal(w.code, -1);
    world_rank_ends(&w, 0, 0, SIGKILL);
    world_happen(&w, SUPERVISOR_ON_GONE);
    assert_int_equal(w.code, 42);
    world_release(&w);
}

static void test_a_final_refusal_leaves_with_143_another_one_does_not(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    struct rendezvous_message refused = {.type = RENDEZVOUS_REFUSED,
                                         .refused = {.reason = "later"}};
    world_receive(&w, &refused);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_RUNNING);
    refused.refused.final = true;
    world_receive(&w, &refused);
    world_rank_ends(&w, 0, 0, SIGKILL);
    world_happen(&w, SUPERVISOR_ON_GONE);
    assert_int_equal(w.code, 143);
    world_release(&w);
}

static void test_sigterm_lets_ranks_save_and_the_controller_decides(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_TERMINATE, .signal = SIGTERM});
    assert_non_null(world_sent(&w, RENDEZVOUS_TERMINATING));
    assert_int_equal(w.signal, SIGTERM);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_GRACE], -1);
    world_rank_ends(&w, 0, 0, 0);
    world_happen(&w, SUPERVISOR_ON_GONE);
    assert_non_null(world_sent(&w, RENDEZVOUS_STOPPED));
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_ENDING);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_LINGER], SUPERVISOR_LINGER_MS);
    struct rendezvous_message start = world_start(2);
    world_receive(&w, &start);
    assert_int_equal(w.asked[SUPERVISOR_DO_SPAWN], 0);
    world_happen(&w, SUPERVISOR_ON_LINGER_TIME);
    world_happen(&w, SUPERVISOR_ON_GONE);
    assert_int_equal(w.code, 143);
    world_release(&w);
}

static void test_a_stop_after_sigterm_sets_the_end_of_the_grace(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_make_running(&w, 1);
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_TERMINATE, .signal = SIGTERM});
    world_stop(&w, 1, 700, SIGUSR1);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_GRACE], 700);
    assert_int_equal(w.signal, SIGUSR1);
    world_release(&w);
}

static void make_running_with(struct world *w, uint32_t stop_signal, uint32_t stop_grace_ms)
{
    world_init(w);
    world_make_running(w, 1);
    struct rendezvous_message welcome = world_welcome(1);
    welcome.welcome.stop_signal = stop_signal;
    welcome.welcome.stop_grace_ms = stop_grace_ms;
    world_receive(w, &welcome);
}

static void test_sigterm_gives_the_ranks_the_jobs_signal_and_grace(void **state)
{
    (void)state;
    struct world w;
    make_running_with(&w, SIGUSR1, 120000);
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_TERMINATE, .signal = SIGTERM});
    assert_int_equal(w.signal, SIGUSR1);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_GRACE], 120000);
    world_stop(&w, 1, 500000, SIGUSR1); /* the earlier end holds */
    assert_int_equal(w.timer[SUPERVISOR_TIMER_GRACE], 120000);
    world_happen(&w, SUPERVISOR_ON_GRACE_TIME);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_KILLING);
    world_release(&w);
}

static void test_sigterm_with_a_grace_of_nothing_kills_at_once(void **state)
{
    (void)state;
    struct world w;
    make_running_with(&w, SIGTERM, 0);
    world_step(&w, (struct supervisor_event){.kind = SUPERVISOR_ON_TERMINATE, .signal = SIGTERM});
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_KILLING);
    world_release(&w);
}

static void is_told_that_the_job_is_gone(struct world *w)
{
    world_receive(w, &(struct rendezvous_message){
                         .type = RENDEZVOUS_REFUSED,
                         .refused = {.reason = "gone", .final = true, .gone = true}});
    world_step(w, (struct supervisor_event){.kind = SUPERVISOR_ON_CLOSED, .words = "closed"});
}

static void test_when_the_job_is_gone_the_ranks_have_its_signal_and_grace(void **state)
{
    (void)state;
    struct world w;
    make_running_with(&w, SIGUSR1, 20000);
    world_happen(&w, SUPERVISOR_ON_RECONNECT_TIME);
    w.timer[SUPERVISOR_TIMER_RECONNECT] = -1;
    is_told_that_the_job_is_gone(&w);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 0);
    assert_int_equal(w.signal, SIGUSR1);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_GRACE], 20000);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_RECONNECT], -1); /* there is nobody to ask */
    world_rank_ends(&w, 0, 0, 0);
    world_happen(&w, SUPERVISOR_ON_GONE);
    world_happen(&w, SUPERVISOR_ON_LINGER_TIME);
    world_happen(&w, SUPERVISOR_ON_GONE);
    assert_int_equal(w.code, 143);
    world_release(&w);
}

static void test_when_the_job_is_gone_the_grace_of_a_stop_goes_on(void **state)
{
    (void)state;
    struct world w;
    make_running_with(&w, SIGUSR1, 20000);
    world_stop(&w, 1, 5000, SIGUSR1);
    w.timer[SUPERVISOR_TIMER_GRACE] = -1;
    is_told_that_the_job_is_gone(&w);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 0);
    assert_int_equal(w.timer[SUPERVISOR_TIMER_GRACE], -1);
    world_happen(&w, SUPERVISOR_ON_GRACE_TIME);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 1);
    world_rank_ends(&w, 0, 0, SIGKILL);
    world_happen(&w, SUPERVISOR_ON_GONE);
    world_happen(&w, SUPERVISOR_ON_LINGER_TIME);
    world_happen(&w, SUPERVISOR_ON_GONE);
    assert_int_equal(w.code, 143);
    world_release(&w);
}

static void test_when_the_job_is_gone_and_has_no_grace_its_ranks_are_killed(void **state)
{
    (void)state;
    struct world w;
    make_running_with(&w, SIGUSR1, 0);
    is_told_that_the_job_is_gone(&w);
    assert_int_equal(supervisor_state(w.s), SUPERVISOR_LEAVING);
    assert_int_equal(w.asked[SUPERVISOR_DO_KILL_ALL], 1);
    world_release(&w);
}

static void test_a_notice_goes_to_a_controller_that_takes_it(void **state)
{
    (void)state;
    struct world w;
    const struct supervisor_event notice = {.kind = SUPERVISOR_ON_NOTICED,
                                            .noticed = {.severity = RENDEZVOUS_SEVERITY_WARNING,
                                                        .reason = "CheckpointFolder",
                                                        .words = "it does not answer"}};
    world_init(&w);
    world_step(&w, notice); /* no channel yet: only our log has it */
    assert_int_equal(w.asked[SUPERVISOR_DO_LOG], 1);
    world_make_running(&w, 1);
    world_step(&w, notice);
    assert_null(world_sent(&w, RENDEZVOUS_NOTICE)); /* its channel would be closed for it */
    struct rendezvous_message welcome = world_welcome(1);
    welcome.welcome.takes_notices = true;
    world_receive(&w, &welcome);
    world_step(&w, notice);
    const struct rendezvous_message *m = world_sent(&w, RENDEZVOUS_NOTICE);
    assert_non_null(m);
    assert_int_equal(m->attempt, 1);
    assert_string_equal(m->notice.reason, "CheckpointFolder");
    assert_string_equal(m->notice.words, "it does not answer");
    world_release(&w);
}

/* ---- anything in any order ---- */

static void random_message(struct world *w, struct mlt_random *random)
{
    uint64_t attempt = mlt_random_below(random, 4);
    struct rendezvous_message message = world_start(attempt);
    switch (mlt_random_below(random, 6)) {
    case 0:
        message = world_welcome((uint32_t)mlt_random_between(random, 1, 5));
        break;
    case 1:
    case 2:
        break;
    case 3:
        world_stop(w, supervisor_attempt(w->s), (uint32_t)mlt_random_below(random, 3) * 100,
                   SIGTERM);
        return;
    case 4:
        message = (struct rendezvous_message){.type = RENDEZVOUS_PING};
        break;
    default:
        message =
            (struct rendezvous_message){.type = RENDEZVOUS_REFUSED, .refused = {.reason = "r"}};
        break;
    }
    message.attempt = message.type == RENDEZVOUS_START ? supervisor_attempt(w->s) + 1 : attempt;
    world_receive(w, &message);
}

/* Ends of processes come only for processes that run: the edge's promise. */
static void random_event(struct world *w, struct mlt_random *random, bool *alive)
{
    static const uint32_t pids[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct supervisor_event event = {.kind = (enum supervisor_event_kind)mlt_random_between(
                                         random, SUPERVISOR_ON_OPENED, SUPERVISOR_EVENTS - 1)};
    unsigned spawned = w->asked[SUPERVISOR_DO_SPAWN];
    if (event.kind == SUPERVISOR_ON_JOIN_TIME || event.kind == SUPERVISOR_ON_LINGER_TIME ||
        ((event.kind == SUPERVISOR_ON_TERMINATE || event.kind == SUPERVISOR_ON_KILL_TIME) &&
         mlt_random_below(random, 30)))
        return; /* what leads to an end is rare, so that walks are long */
    if (event.kind == SUPERVISOR_ON_RANK_EXITED) {
        uint32_t process = (uint32_t)mlt_random_below(random, 8);
        if (!alive[process])
            return;
        alive[process] = false;
        event.rank_exited.process = process;
        event.rank_exited.code = (int)mlt_random_below(random, 2);
    } else if (event.kind == SUPERVISOR_ON_GONE) {
        for (uint32_t i = 0; i < 8; i++)
            if (alive[i])
                return;
    } else if (event.kind == SUPERVISOR_ON_NOTICED) {
        event.noticed = (struct rendezvous_notice){.reason = "Random", .words = "walk"};
    } else if (event.kind == SUPERVISOR_ON_SCANNED) {
        event.scanned.fresh = mlt_random_below(random, 2);
    } else if (event.kind == SUPERVISOR_ON_SPAWNED) {
        event.spawned.pids = pids;
        event.spawned.count = supervisor_processes(w->s);
    }
    world_step(w, event);
    assert_int_equal(w->asked[SUPERVISOR_DO_SPAWN], spawned);
}

static void test_invariants_hold_whatever_comes(void **state)
{
    (void)state;
    unsigned spawns = 0, stops = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct world w;
        struct mlt_random random;
        bool alive[8] = {false};
        mlt_random_init(&random, seed);
        world_init(&w);
        for (int i = 0; i < 600 && w.code < 0; i++) {
            unsigned before = w.asked[SUPERVISOR_DO_SPAWN];
            if (mlt_random_below(&random, 3) == 0)
                random_message(&w, &random);
            else
                random_event(&w, &random, alive);
            if (w.asked[SUPERVISOR_DO_SPAWN] > before) {
                for (uint32_t r = 0; r < 8; r++) {
                    assert_false(alive[r]); /* never two attempts at once */
                    alive[r] = r < supervisor_processes(w.s);
                }
                spawns++;
            }
            stops += world_sent(&w, RENDEZVOUS_STOPPED) != NULL;
            world_forget(&w);
        }
        world_release(&w);
    }
    print_message("%u attempts started, %u STOPPED\n", spawns, stops);
    assert_true(spawns > 300); /* the walk really gets somewhere */
    assert_true(stops > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_connects_at_once_and_says_hello_when_open),
        cmocka_unit_test(test_ready_waits_for_cleaning_port_and_checkpoints),
        cmocka_unit_test(test_that_the_only_checkpoint_is_gone_is_told_also_to_the_next_controller),
        cmocka_unit_test(test_without_a_channel_for_ten_minutes_it_leaves_with_69),
        cmocka_unit_test(test_after_the_first_start_no_lost_channel_ends_it),
        cmocka_unit_test(test_a_start_that_comes_too_early_or_from_the_past_starts_nothing),
        cmocka_unit_test(test_a_controller_that_opens_and_refuses_is_not_asked_again_at_once),
        cmocka_unit_test(test_garbage_is_counted_and_told_once),
        cmocka_unit_test(test_only_pytorch_ranks_of_node_0_keep_the_held_port),
        cmocka_unit_test(test_ends_are_told_and_siblings_left_alone),
        cmocka_unit_test(test_one_torchrun_ends_for_all_its_ranks),
        cmocka_unit_test(test_a_command_that_starts_the_ranks_itself_is_one_process),
        cmocka_unit_test(test_a_stop_signals_then_kills_then_prepares_for_the_next_attempt),
        cmocka_unit_test(test_when_all_have_ended_the_grace_is_not_waited_for),
        cmocka_unit_test(test_the_shorter_grace_holds_and_a_signal_is_sent_once),
        cmocka_unit_test(test_hello_makes_good_a_stopped_that_was_lost),
        cmocka_unit_test(test_what_is_counted_since_start_is_told),
        cmocka_unit_test(test_what_survives_sigkill_makes_the_pod_unkillable),
        cmocka_unit_test(test_exit_kills_what_runs_and_leaves_with_its_code),
        cmocka_unit_test(test_a_final_refusal_leaves_with_143_another_one_does_not),
        cmocka_unit_test(test_sigterm_lets_ranks_save_and_the_controller_decides),
        cmocka_unit_test(test_a_stop_after_sigterm_sets_the_end_of_the_grace),
        cmocka_unit_test(test_sigterm_gives_the_ranks_the_jobs_signal_and_grace),
        cmocka_unit_test(test_sigterm_with_a_grace_of_nothing_kills_at_once),
        cmocka_unit_test(test_when_the_job_is_gone_the_ranks_have_its_signal_and_grace),
        cmocka_unit_test(test_when_the_job_is_gone_the_grace_of_a_stop_goes_on),
        cmocka_unit_test(test_when_the_job_is_gone_and_has_no_grace_its_ranks_are_killed),
        cmocka_unit_test(test_a_notice_goes_to_a_controller_that_takes_it),
        cmocka_unit_test(test_invariants_hold_whatever_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
