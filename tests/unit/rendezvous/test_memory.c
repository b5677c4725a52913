/* Memory that runs out: every allocation fails once, one after another. Nothing here may abort or
 * leave half a change behind, because the launcher must not lose its ranks for want of a few bytes.
 */
#include "stage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

int main(void)
{
    (void)printf("skipped: sanitizers bring their own malloc\n");
    return 77;
}

#else

/* Seen by libc too (strdup, vasprintf). */
#define EXPORTED __attribute__((visibility("default")))

/* glibc's own, under the names that stay when a program defines malloc. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static int countdown = -1; /* allocations until one fails; below 0: none does */
static bool failed_one;

static bool fails(void)
{
    if (countdown < 0 || countdown-- > 0)
        return false;
    failed_one = true;
    return true;
}

EXPORTED void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

EXPORTED void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

EXPORTED void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}

static void arm(int n)
{
    failed_one = false;
    countdown = n;
}

static bool disarm(void)
{
    countdown = -1;
    return failed_one;
}

static struct rendezvous_exit exits[2] = {
    {.rank = 0, .cause = RENDEZVOUS_CAUSE_EXITED, .code = 1, .tail = "x"},
    {.rank = 1, .local_rank = 1, .cause = RENDEZVOUS_CAUSE_KILLED_BY_US, .signal = 9, .tail = ""}};
static struct rendezvous_checkpoint checkpoint = {.step = 4, .path = "/c/4"};

static struct rendezvous_message hello_of(enum rendezvous_state state)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_HELLO, .attempt = 1};
    m.hello = (struct rendezvous_hello){.pod_uid = "pod-0",
                                        .role = "worker",
                                        .node = "node001",
                                        .address = "127.0.0.1",
                                        .state = state,
                                        .checkpoints = &checkpoint,
                                        .checkpoints_count = 1};
    return m;
}

static void test_a_message_is_read_and_written_whole_or_not_at_all(void **state)
{
    (void)state;
    struct rendezvous_message hello = hello_of(RENDEZVOUS_STATE_STOPPED), m;
    hello.hello.exits = exits;
    hello.hello.exits_count = 2;
    bool failing = true;
    int n = 0;
    for (; failing; n++) {
        struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
        arm(n);
        rendezvous_message_write(&bytes, &hello);
        failing = disarm();
        assert_int_equal(bytes.failed, failing);
        assert_int_equal(bytes.length > 0, !failing);
        mlt_text_release(&bytes);
    }
    assert_true(n > 1);
    struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
    rendezvous_message_write(&bytes, &hello);
    struct rendezvous_frame f = {.version = 1,
                                 .type = RENDEZVOUS_HELLO,
                                 .payload = (unsigned char *)bytes.data + RENDEZVOUS_HEADER_SIZE,
                                 .length = (uint32_t)bytes.length - RENDEZVOUS_HEADER_SIZE};
    failing = true;
    for (n = 0; failing; n++) {
        m = (struct rendezvous_message){.attempt = 4242};
        arm(n);
        int rc = rendezvous_message_read(&f, &m, NULL);
        failing = disarm();
        assert_int_equal(rc, failing ? -ENOMEM : 0);
        if (failing)
            assert_int_equal(m.attempt, 4242);
        else
            rendezvous_message_release(&m);
    }
    assert_int_equal(n, 4); /* payload, exits, checkpoints; then it went well */
    mlt_text_release(&bytes);
}

static void test_a_reader_without_memory_keeps_what_it_has(void **state)
{
    (void)state;
    struct mlt_text bytes = MLT_TEXT_INIT(100000);
    char payload[3000] = {0};
    rendezvous_frame_write(&bytes, RENDEZVOUS_STOPPED, 1, payload, sizeof payload);
    struct rendezvous_reader r;
    struct rendezvous_frame f;
    rendezvous_reader_init(&r, RENDEZVOUS_UP);
    assert_int_equal(rendezvous_reader_feed(&r, bytes.data, 10, NULL), 0);
    arm(0);
    int rc = rendezvous_reader_feed(&r, bytes.data + 10, bytes.length - 10, NULL);
    assert_true(disarm());
    assert_int_equal(rc, -ENOMEM);
    assert_int_equal(rendezvous_reader_feed(&r, bytes.data + 10, bytes.length - 10, NULL), 0);
    assert_int_equal(rendezvous_reader_next(&r, &f, NULL), 1);
    rendezvous_reader_release(&r);
    mlt_text_release(&bytes);
}

/* ---- the coordinator ---- */

static struct coordinator *new_coordinator(void)
{
    static const struct coordinator_member member = {.role = "worker", .nproc = 2};
    static const struct coordinator_config config = {
        .job = "a/b", .members = &member, .members_count = 1};
    return coordinator_new(&config, 0);
}

static void test_a_coordinator_is_made_whole_or_not_at_all(void **state)
{
    (void)state;
    bool failing = true;
    int n = 0;
    for (; failing; n++) {
        arm(n);
        struct coordinator *c = new_coordinator();
        failing = disarm();
        assert_int_equal(c == NULL, failing);
        coordinator_free(c);
    }
    assert_true(n > 4);
}

static void say(struct coordinator *c, const struct mlt_text *bytes, int n, bool *ret_failing)
{
    struct rendezvous_reader r;
    struct rendezvous_frame f;
    struct coordinator_output out;
    rendezvous_reader_init(&r, RENDEZVOUS_UP);
    assert_int_equal(rendezvous_reader_feed(&r, bytes->data, bytes->length, NULL), 0);
    assert_int_equal(rendezvous_reader_next(&r, &f, NULL), 1);
    arm(n);
    coordinator_frame(c, 1, &f, 10);
    *ret_failing = disarm();
    coordinator_check(c);
    while (coordinator_next(c, &out))
        coordinator_check(c);
    rendezvous_reader_release(&r);
}

/* One life of a gang of one, in which allocation n of message `which` fails. True when it failed.
 */
static bool live(size_t which, int n)
{
    struct rendezvous_message story[] = {
        hello_of(RENDEZVOUS_STATE_IDLE),
        {.type = RENDEZVOUS_READY, .attempt = 1, .ready = {.port = 5}},
        {.type = RENDEZVOUS_STARTED, .attempt = 1},
        {.type = RENDEZVOUS_RANK_EXIT, .attempt = 1, .rank_exit = {.exit = exits[0]}},
        {.type = RENDEZVOUS_STOPPED, .attempt = 1, .stopped = {.exits = exits, .exits_count = 2}},
    };
    bool failed = false;
    struct coordinator *c = new_coordinator();
    struct rendezvous_welcome welcome = {.framework = "plain"};
    assert_true(coordinator_set_welcome(c, &welcome));
    coordinator_expect_pod(c, "worker", 0, "pod-0");
    for (size_t i = 0; i < sizeof story / sizeof story[0]; i++) {
        struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
        bool failing;
        rendezvous_message_write(&bytes, &story[i]);
        assert_false(bytes.failed);
        say(c, &bytes, i == which ? n : -1, &failing);
        failed |= failing;
        mlt_text_release(&bytes);
        if (i == 1)
            (void)coordinator_start(c, 1, RENDEZVOUS_NO_STEP, "", 20);
        coordinator_check(c);
    }
    coordinator_free(c);
    return failed;
}

static void test_a_coordinator_stays_sound_whichever_allocation_fails(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (size_t which = 0; which < 5; which++)
        for (int n = 0; live(which, n); n++)
            failures++;
    assert_true(failures > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_is_read_and_written_whole_or_not_at_all),
        cmocka_unit_test(test_a_reader_without_memory_keeps_what_it_has),
        cmocka_unit_test(test_a_coordinator_is_made_whole_or_not_at_all),
        cmocka_unit_test(test_a_coordinator_stays_sound_whichever_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
