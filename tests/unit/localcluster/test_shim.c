/* The pure parts of the shim: log records, process identity, cgroup places, messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "agent_fixture.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "localcluster/shim/cgroup.h"
#include "localcluster/shim/cri_log.h"
#include "localcluster/shim/wire.h"

#define STAMP "2026-11-27T19:57:17.092000005Z"
#define STAMP_NS INT64_C(1795809437092000005)

static struct cri_stream stream;

static void feed(const char *text, struct mlt_text *out)
{
    cri_stream_feed(&stream, text, strlen(text), STAMP_NS, out);
}

static void test_lines_become_records_and_the_last_one_needs_no_newline(void **state)
{
    (void)state;
    struct mlt_text out = MLT_TEXT_INIT(CRI_FORMATTED_MAX);
    stream = (struct cri_stream){.name = CRI_STDERR};
    feed("one\ntw", &out);
    feed("o\n\nthree", &out);
    assert_string_equal(mlt_text_string(&out),
                        STAMP " stderr F one\n" STAMP " stderr F two\n" STAMP " stderr F \n");
    mlt_text_clear(&out);
    cri_stream_end(&stream, STAMP_NS, &out);
    assert_string_equal(mlt_text_string(&out), STAMP " stderr F three\n");
    mlt_text_clear(&out);
    cri_stream_end(&stream, STAMP_NS, &out);
    assert_int_equal(out.length, 0);
    mlt_text_release(&out);
}

/* Puts the text of records together again as a reader of CRI logs does. */
static size_t join(const char *records, char *ret, size_t *ret_partial)
{
    size_t length = 0;
    *ret_partial = 0;
    for (const char *at = records; *at;) {
        const char *tag = at + strlen(STAMP " stdout ");
        const char *end = strchr(at, '\n');
        *ret_partial += *tag == 'P';
        assert_true(end - tag - 2 <= (ptrdiff_t)CRI_LINE_MAX);
        memcpy(ret + length, tag + 2, (size_t)(end - tag - 2));
        length += (size_t)(end - tag - 2);
        if (*tag == 'F')
            ret[length++] = '\n';
        at = end + 1;
    }
    return length;
}

static void test_long_lines_are_split_and_nothing_is_lost_however_they_arrive(void **state)
{
    (void)state;
    enum { LENGTH = 3 * CRI_LINE_MAX + 100 };
    char *text = mlt_calloc(1, LENGTH + 3), *joined = mlt_calloc(1, 2 * LENGTH);
    for (size_t i = 0; i < LENGTH; i++)
        text[i] = (char)('a' + i % 26);
    memcpy(text + LENGTH, "\n\n", 2);
    for (size_t piece = 1; piece < 2 * CRI_LINE_MAX; piece = piece * 3 + 1) {
        struct mlt_text out = MLT_TEXT_INIT(CRI_FORMATTED_MAX);
        size_t partial;
        stream = (struct cri_stream){.name = CRI_STDOUT};
        for (size_t at = 0; at < LENGTH + 2; at += piece)
            cri_stream_feed(&stream, text + at, at + piece < LENGTH + 2 ? piece : LENGTH + 2 - at,
                            STAMP_NS, &out);
        size_t length = join(mlt_text_string(&out), joined, &partial);
        assert_int_equal(length, LENGTH + 2);
        assert_memory_equal(joined, text, LENGTH + 2);
        assert_int_equal(partial, 3);
        mlt_text_release(&out);
    }
    free(text);
    free(joined);
}

static void test_a_line_of_exactly_the_maximum_is_one_record(void **state)
{
    (void)state;
    struct mlt_text out = MLT_TEXT_INIT(CRI_FORMATTED_MAX);
    char *text = mlt_calloc(1, CRI_LINE_MAX + 2);
    memset(text, 'x', CRI_LINE_MAX);
    stream = (struct cri_stream){.name = CRI_STDOUT};
    feed(text, &out);
    feed("\n", &out);
    assert_memory_equal(out.data, STAMP " stdout F x", strlen(STAMP " stdout F x"));
    assert_ptr_equal(strchr(out.data, '\n'), out.data + out.length - 1);
    mlt_text_release(&out);
    free(text);
}

static void test_a_full_log_ends_with_a_line_that_says_so(void **state)
{
    (void)state;
    char *folder = fixture_folder(), text[512] = "";
    cleanup_free char *path = mlt_asprintf("%s/0.log", folder);
    struct cri_log log;
    assert_int_equal(cri_log_open(&log, path, 100, NULL), 0);
    static const char records[] = STAMP " stdout F 12345\n" STAMP " stdout F 6789\n";
    cri_log_write(&log, records, sizeof records - 1, STAMP_NS);
    cri_log_write(&log, records, sizeof records - 1, STAMP_NS); /* one of the two still fits */
    cri_log_write(&log, records, sizeof records - 1, STAMP_NS); /* dropped */
    cri_log_close(&log);
    cleanup_file FILE *file = fopen(path, "r");
    size_t length = fread(text, 1, sizeof text - 1, file);
    assert_int_equal(strncmp(text, records, sizeof records - 1), 0);
    const char *last = text + length - 1;
    assert_int_equal(*last, '\n');
    last = (const char *)memrchr(text, '\n', length - 1) + 1;
    assert_non_null(
        strstr(last, "stderr F [mltrain] this log has reached its maximum of 100 bytes"));
    fixture_folder_remove(folder);
}

/* ---- processes ---- */

static void test_the_start_time_is_read_whatever_the_process_is_called(void **state)
{
    (void)state;
#define TAIL " 1 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 84689 1 2"
    assert_int_equal(shim_process_parse_stat("7 (sh) S" TAIL), 84689);
    assert_int_equal(shim_process_parse_stat("7 (a) b) (c) S" TAIL), 84689);
    assert_int_equal(shim_process_parse_stat("7 (sh) Z" TAIL), 0);
    assert_int_equal(shim_process_parse_stat("7 (sh) S 1 2"), 0);
    assert_int_equal(shim_process_parse_stat(""), 0);
    assert_int_equal(shim_process_parse_stat("7 (sh)"), 0);
}

static void test_a_signal_reaches_only_the_very_same_process(void **state)
{
    (void)state;
    struct shim_process child, impostor;
    pid_t pid = fork();
    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    assert_int_equal(shim_process_of(pid, &child, NULL), 0);
    impostor = child;
    impostor.start_ticks--;
    assert_true(shim_process_alive(&child));
    assert_false(shim_process_alive(&impostor));
    assert_int_equal(shim_process_signal(&impostor, SIGKILL), -ESRCH);
    assert_true(shim_process_alive(&child));
    assert_int_equal(shim_process_signal(&child, SIGKILL), 0);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(shim_process_signal(&child, SIGKILL), -ESRCH);
}

/* ---- cgroups ---- */

static const struct cgroup_row {
    const char *sentence, *self, *mounts, *path; /* path NULL: none */
    bool v2;
} cgroups[] = {
    {"version 1 in the root", "4:memory:/\n0::/\n",
     "30 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", "/sys/fs/cgroup/memory",
     false},
    {"version 1, deeper", "5:cpu:/\n4:memory:/a/b\n",
     "30 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
     "/sys/fs/cgroup/memory/a/b", false},
    {"controllers mounted together", "4:cpu,memory:/x\n",
     "30 24 0:27 / /sys/fs/cgroup/cm rw - cgroup cgroup rw,cpu,memory\n", "/sys/fs/cgroup/cm/x",
     false},
    {"a name that only looks alike", "4:memory2:/x\n",
     "30 24 0:27 / /sys/fs/cgroup/cm rw - cgroup cgroup rw,memory2\n", NULL, false},
    {"in a container the mount shows a subtree", "4:memory:/docker/1/x\n",
     "30 24 0:27 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
     "/sys/fs/cgroup/memory/x", false},
    {"version 2", "0::/user.slice/s.scope\n",
     "30 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
     "/sys/fs/cgroup/user.slice/s.scope", true},
    {"version 1 goes first where both are", "4:memory:/\n0::/\n",
     "30 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
     "31 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
     "/sys/fs/cgroup/memory", false},
    {"nothing mounted", "0::/\n", "30 24 0:27 / /proc rw - proc proc rw\n", NULL, false},
    {"nothing at all", "", "", NULL, false},
};

static void test_the_place_for_cgroups_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cgroups / sizeof *cgroups; i++) {
        const struct cgroup_row *r = &cgroups[i];
        struct shim_cgroup found = {0};
        int rc = shim_cgroup_parent(r->self, r->mounts, &found, NULL);
        if ((rc == 0) != (r->path != NULL) ||
            (r->path && (strcmp(found.path, r->path) != 0 || found.v2 != r->v2)))
            fail_msg("%s: rc %d `%s`", r->sentence, rc, found.path);
    }
}

/* ---- messages ---- */

static void test_reports_and_starts_arrive_as_they_were_sent(void **state)
{
    (void)state;
    struct shim_report report = {.name = "a",
                                 .restart = 3,
                                 .state = SHIM_TERMINATED,
                                 .process = {77, UINT64_C(123456789012)},
                                 .started_ms = 1795809437092,
                                 .finished_ms = 1795809437093,
                                 .exit_code = 137,
                                 .signal = 9,
                                 .out_of_memory = true,
                                 .message = "a \"word\"\n"};
    struct shim_report back;
    cJSON *object = shim_report_to_json(&report);
    assert_int_equal(shim_report_from_json(object, &back, NULL), 0);
    cJSON *again = shim_report_to_json(&back);
    assert_true(json_equal(object, again));
    cJSON_Delete(object);
    cJSON_Delete(again);
    char container[] = "a", program[] = "/bwrap", log[] = "/l", option[] = "--x", word[] = "";
    struct shim_start start = {.container = container,
                               .restart = 1,
                               .program = program,
                               .options = (char *[]){option, NULL},
                               .command = (char *[]){word, NULL},
                               .log = log,
                               .memory = 5};
    struct shim_start got;
    object = shim_start_to_json(&start);
    assert_int_equal(shim_start_from_json(object, &got, NULL), 0);
    assert_string_equal(got.options[0], "--x");
    assert_string_equal(got.command[0], "");
    assert_null(got.command[1]);
    assert_int_equal(got.memory, 5);
    shim_start_release(&got);
    cJSON_Delete(object);
}

static void test_messages_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const char *const reports[] = {
        "{}",
        "{'container':'a','state':'dancing'}",
        "{'container':'','state':'running'}",
        "{'container':'a','state':'running','exitCode':256}",
        "{'container':'a','state':'running','pid':-1}",
        "[]",
        "1",
    };
    static const char *const starts[] = {
        "{}",
        "{'container':'a','program':'/p','log':'/l','command':[]}",
        "{'container':'a','program':'/p','command':['x']}",
        "{'container':'a','program':1,'log':'/l','command':['x']}",
    };
    for (size_t i = 0; i < sizeof reports / sizeof *reports; i++) {
        struct shim_report report;
        cJSON *object = fixture_json(reports[i]);
        if (shim_report_from_json(object, &report, NULL) == 0)
            fail_msg("accepted: %s", reports[i]);
        cJSON_Delete(object);
    }
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        struct shim_start start;
        cJSON *object = fixture_json(starts[i]);
        if (shim_start_from_json(object, &start, NULL) == 0)
            fail_msg("accepted: %s", starts[i]);
        cJSON_Delete(object);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_become_records_and_the_last_one_needs_no_newline),
        cmocka_unit_test(test_long_lines_are_split_and_nothing_is_lost_however_they_arrive),
        cmocka_unit_test(test_a_line_of_exactly_the_maximum_is_one_record),
        cmocka_unit_test(test_a_full_log_ends_with_a_line_that_says_so),
        cmocka_unit_test(test_the_start_time_is_read_whatever_the_process_is_called),
        cmocka_unit_test(test_a_signal_reaches_only_the_very_same_process),
        cmocka_unit_test(test_the_place_for_cgroups_is_found),
        cmocka_unit_test(test_reports_and_starts_arrive_as_they_were_sent),
        cmocka_unit_test(test_messages_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
