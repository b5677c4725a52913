/* The small pure parts: exit causes, cgroup counters, error files, progress, the channel's address,
 * the held port, /dev/shm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/cgroup_memory.h"
#include "launcher/config.h"
#include "launcher/error_file.h"
#include "launcher/exit_cause.h"
#include "launcher/port_hold.h"
#include "launcher/progress.h"
#include "launcher/shm_clean.h"
#include "lib/base/cleanup.h"

static void test_causes_follow_their_order(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct exit_facts facts;
        enum rendezvous_cause cause;
    } rows[] = {
        {"exit 0", {.code = 0}, RENDEZVOUS_CAUSE_EXITED},
        {"exit 1", {.code = 1}, RENDEZVOUS_CAUSE_EXITED},
        {"killed by somebody", {.signal = SIGKILL}, RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE},
        {"killed by the kernel for memory",
         {.signal = SIGKILL, .out_of_memory = true},
         RENDEZVOUS_CAUSE_OUT_OF_MEMORY},
        {"another signal while memory was short",
         {.signal = SIGTERM, .out_of_memory = true},
         RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE},
        {"killed by us while memory was short",
         {.signal = SIGKILL, .out_of_memory = true, .signalled = true, .killed = true},
         RENDEZVOUS_CAUSE_KILLED_BY_US},
        {"killed for memory after our SIGTERM",
         {.signal = SIGKILL, .out_of_memory = true, .signalled = true},
         RENDEZVOUS_CAUSE_OUT_OF_MEMORY},
        {"died of our SIGTERM",
         {.signal = SIGTERM, .signalled = true},
         RENDEZVOUS_CAUSE_KILLED_BY_US},
        {"exit 143 after our SIGTERM",
         {.code = 143, .signalled = true},
         RENDEZVOUS_CAUSE_KILLED_BY_US},
        {"saved and left after our SIGTERM",
         {.code = 0, .signalled = true},
         RENDEZVOUS_CAUSE_EXITED},
        {"the same in a pod that is being ended",
         {.code = 0, .signalled = true, .pod_ends = true},
         RENDEZVOUS_CAUSE_KILLED_BY_US},
        {"done in a pod that is being ended", {.pod_ends = true}, RENDEZVOUS_CAUSE_EXITED},
        {"segmentation fault", {.signal = SIGSEGV}, RENDEZVOUS_CAUSE_EXITED},
        {"abort", {.signal = SIGABRT}, RENDEZVOUS_CAUSE_EXITED},
        {"never ran", {.exec_errno = ENOENT, .code = 127}, RENDEZVOUS_CAUSE_EXEC_FAILED},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++)
        if (exit_cause(&rows[i].facts) != rows[i].cause)
            fail_msg("%s: %s", rows[i].what, rendezvous_cause_words(exit_cause(&rows[i].facts)));
}

static const char *const events_v2 =
    "low 0\nhigh 12\nmax 40\noom 3\noom_kill 2\noom_group_kill 0\n";
static const char *const control_v1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n";

static void test_both_cgroup_versions_tell_their_kills(void **state)
{
    (void)state;
    uint64_t kills = 99;
    assert_int_equal(cgroup_memory_parse(events_v2, &kills), 0);
    assert_int_equal(kills, 2);
    assert_int_equal(cgroup_memory_parse(control_v1, &kills), 0);
    assert_int_equal(kills, 7);
    assert_int_equal(cgroup_memory_parse("oom_kill_disable 0\nunder_oom 0\n", &kills), -EINVAL);
    assert_int_equal(cgroup_memory_parse("", &kills), -EINVAL);
    assert_int_equal(cgroup_memory_parse("oom_kill x\n", &kills), -EINVAL);
    assert_int_equal(kills, 7); /* untouched on failure */
}

static void test_the_path_of_the_memory_controller_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *what, *text, *path;
        int version;
    } rows[] = {
        {"version 2", "0::/kubepods/pod1/c\n", "/kubepods/pod1/c", 2},
        {"version 1", "9:name=systemd:/x\n4:memory:/docker/abc\n0::/x\n", "/docker/abc", 1},
        {"joined controllers", "3:cpu,memory:/a\n0::/\n", "/a", 1},
        {"version 2 before", "0::/u\n4:memory:/m\n", "/m", 1},
        {"not a part of a name", "5:memory_x:/no\n0::/yes\n", "/yes", 2},
        {"a colon in the path", "0::/a:b\n", "/a:b", 2},
        {"nothing", "", "", -EINVAL},
        {"no memory controller", "3:cpu:/a\n", "", -EINVAL},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        char path[256] = "";
        int version = cgroup_memory_path(rows[i].text, path, sizeof path);
        if (version != rows[i].version || strcmp(path, rows[i].path) != 0)
            fail_msg("%s: version %d, path `%s`", rows[i].what, version, path);
    }
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void make_dir(char *dir, size_t size)
{
    (void)snprintf(dir, size, "/tmp/mltrain-launcher-unit-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static void remove_dir(const char *dir)
{
    char command[512];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

static void test_the_counters_file_is_found_with_and_without_a_cgroup_namespace(void **state)
{
    (void)state;
    char dir[64], path[128], proc[128];
    struct cgroup_memory m;
    uint64_t kills = 0;
    make_dir(dir, sizeof dir);
    (void)snprintf(proc, sizeof proc, "%s/cgroup", dir);
    (void)snprintf(path, sizeof path, "%s/pod", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(dir, "pod/memory.events", events_v2);
    write_file(dir, "cgroup", "0::/pod\n");
    cgroup_memory_find(&m, proc, dir);
    assert_int_equal(cgroup_memory_kills(&m, &kills), 0);
    assert_int_equal(kills, 2);
    /* The host's path, which this mount does not have, and the own cgroup at its top. */
    write_file(dir, "cgroup", "4:memory:/kubepods/burstable/pod9/c\n0::/\n");
    (void)snprintf(path, sizeof path, "%s/memory", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(dir, "memory/memory.oom_control", control_v1);
    cgroup_memory_find(&m, proc, dir);
    assert_int_equal(cgroup_memory_kills(&m, &kills), 0);
    assert_int_equal(kills, 7);
    write_file(dir, "cgroup", "0::/nowhere\n");
    cgroup_memory_find(&m, proc, dir);
    assert_int_equal(cgroup_memory_kills(&m, &kills), -ENOENT);
    remove_dir(dir);
}

static void test_messages_of_error_files_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *what, *text, *message;
    } rows[] = {
        {"torch's form", "{\"message\": {\"message\": \"RuntimeError: x\", \"extraInfo\": {}}}",
         "RuntimeError: x"},
        {"a plain one", "{\"message\":\"out of data\"}", "out of data"},
        {"the name as a value first", "{\"a\":\"message\",\"message\":\"b\"}", "b"},
        {"lines become one", "{\"message\":\"a\\nb\\tc\"}", "a b c"},
        {"quotes and backslashes", "{\"message\":\"say \\\"hi\\\" \\\\\"}", "say \"hi\" \\"},
        {"escapes of Unicode", "{\"message\":\"\\u00e9\\ud83d\\ude00\"}",
         "\xc3\xa9\xf0\x9f\x98\x80"},
        {"a lone surrogate", "{\"message\":\"\\ud83dx\"}", "?x"},
        {"cut in the middle", "{\"message\":\"abc", ""},
        {"cut in an escape", "{\"message\":\"abc\\u00", ""},
        {"not a string", "{\"message\":5}", ""},
        {"not JSON", "Traceback", ""},
        {"nothing", "", ""},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        char message[ERROR_FILE_MESSAGE_MAX];
        error_file_message(rows[i].text, strlen(rows[i].text), message);
        if (strcmp(message, rows[i].message) != 0)
            fail_msg("%s: `%s`", rows[i].what, message);
    }
}

static struct progress *pattern(const char *text)
{
    struct progress *p = NULL;
    struct mlt_error err = {0};
    if (progress_new(text, 0, &p, &err) < 0)
        fail_msg("%s", err.text);
    return p;
}

static int64_t step_in(const char *text, const char *line)
{
    struct progress *p = pattern(text);
    struct rendezvous_progress report = {.step = -1};
    progress_line(p, line, strlen(line));
    (void)progress_report(p, 1, true, &report);
    progress_free(p);
    return report.step;
}

static void test_steps_are_found_by_name_by_group_or_by_match(void **state)
{
    (void)state;
    assert_int_equal(step_in("step[ =:]+(?<step>\\d+)", "loss 3 step: 41 lr 5"), 41);
    assert_int_equal(step_in("it (\\d+)/", "it 12/50"), 12);
    assert_int_equal(step_in("\\d+", "at 9 now"), 9);
    assert_int_equal(step_in("(\\d+)", "nothing here"), -1);
    assert_int_equal(step_in("step (?<step>[\\d,]+)", "step 12,000"), 12000);
    assert_int_equal(step_in("(\\d+)", "99999999999999999999999"), -1);
    assert_int_equal(step_in("(x)?y", "y"), -1);
}

static void test_reports_are_a_second_apart_and_carry_the_rate(void **state)
{
    (void)state;
    struct progress *p = pattern("step (?<step>\\d+)/(?<total>\\d+)");
    struct rendezvous_progress report;
    progress_line(p, "step 10/100", 11);
    assert_true(progress_report(p, 1000, false, &report));
    assert_int_equal(report.total_steps, 100);
    assert_int_equal(report.steps_per_kilosecond, 0); /* unknown yet */
    progress_line(p, "step 30/100", 11);
    assert_false(progress_report(p, 1900, false, &report));
    assert_true(progress_report(p, 3000, false, &report));
    assert_int_equal(report.step, 30);
    assert_int_equal(report.steps_per_kilosecond, 10000); /* 20 steps in 2 s */
    progress_line(p, "step 20/100", 11);                  /* another rank, behind */
    assert_false(progress_report(p, 9000, false, &report));
    progress_restart(p);
    progress_line(p, "step 5/100", 10);
    assert_true(progress_report(p, 9001, false, &report));
    assert_int_equal(report.step, 5);
    progress_free(p);
}

static void test_a_step_that_a_rank_has_told_wins_over_lines(void **state)
{
    (void)state;
    struct progress *p = pattern("step (\\d+)");
    struct rendezvous_progress report;
    progress_line(p, "step 500", 8);
    assert_true(progress_report(p, 1000, true, &report));
    progress_told(p, 7, 0);
    progress_line(p, "step 900", 8);
    assert_true(progress_report(p, 2000, true, &report));
    assert_int_equal(report.step, 7);
    progress_told(p, 6, 40); /* another rank, behind */
    assert_false(progress_report(p, 3000, true, &report));
    progress_restart(p); /* the next attempt may be told by lines again */
    progress_line(p, "step 3", 6);
    assert_true(progress_report(p, 4000, true, &report));
    assert_int_equal(report.step, 3);
    progress_free(p);
}

static void test_without_a_pattern_only_what_ranks_tell_counts(void **state)
{
    (void)state;
    struct progress *p = pattern("");
    struct rendezvous_progress report;
    progress_line(p, "step 900", 8);
    assert_false(progress_report(p, 1000, true, &report));
    progress_told(p, 1, 40);
    assert_true(progress_report(p, 2000, true, &report));
    assert_int_equal(report.step, 1);
    assert_int_equal(report.total_steps, 40);
    progress_free(p);
}

static void test_a_pattern_that_explodes_is_given_up(void **state)
{
    (void)state;
    struct progress *p = pattern("^(a+)+$");
    char line[2000];
    memset(line, 'a', sizeof line);
    line[sizeof line - 1] = '!';
    for (int i = 0; i < PROGRESS_LIMIT_HITS_MAX; i++)
        progress_line(p, line, sizeof line);
    assert_true(progress_gave_up(p));
    assert_false(progress_gave_up(p)); /* told once */
    progress_free(p);
}

static void test_a_pattern_that_is_slow_on_each_line_gets_a_share_of_the_time(void **state)
{
    (void)state;
    /* Just below the limit at each place of the line: never given up, and costly each time. */
    struct progress *p = pattern("a{0,60}a{0,60}[bc](\\d+)");
    struct rendezvous_progress report;
    int64_t now_us = 1000000, searched = 0;
    for (int line = 0; line < 1000; line++, now_us += 1000) {
        if (!progress_has_time(p, now_us))
            continue;
        progress_took(p, 50000); /* as its owner would have measured */
        now_us += 50000;
        searched++;
    }
    /* 200 ms at once, then its share of the time that has passed. */
    assert_in_range(searched, 4, PROGRESS_BURST_US / 50000 + now_us / 50000 / PROGRESS_SHARE + 2);
    assert_true(progress_is_slow(p));
    assert_false(progress_is_slow(p)); /* told once */
    assert_false(progress_gave_up(p));
    assert_true(progress_has_time(p, now_us + 10000000)); /* it comes back */
    progress_line(p, "aac7", 4);
    assert_true(progress_report(p, 1, true, &report));
    assert_int_equal(report.step, 7);
    progress_free(p);
}

/* What grows when it is compiled, or when it is matched: refused with words or held by the limits.
 */
static void test_hostile_patterns_are_refused_or_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *what, *before, *piece, *after;
        int times;
        bool refused;
    } rows[] = {
        {"a pattern as long as it may be", "", "a", "", PROGRESS_PATTERN_MAX, false},
        {"a longer one", "", "a", "", PROGRESS_PATTERN_MAX + 1, true},
        {"deep parentheses", "", "(", "", 2000, true},
        {"deep and closed", "((((((((((", "(?:x)*", "))))))))))", 500, false},
        {"repeats of repeats", "(?:(?:a{1,65535}){1,65535}){1,65535}", "", "", 0, true},
        {"a count of 65535", "a{1,65535}", "", "", 0, false},
        {"repeats that multiply", "(?:(?:abcdefgh|i){0,90}){0,90}", "", "", 0, true},
        {"lookbehinds", "", "(?<=a)", "", 600, false},
        {"a lookbehind of many lengths", "(?<=", "aa|", "b)", 1200, false},
        {"a lookbehind without a length", "(?<=a+)b", "", "", 0, true},
        {"alternatives", "(?:", "a|", "b)*c", 2000, false},
        {"optional groups", "", "(a)?", "", 1000, false},
        {"recursion without an end", "(?R)?a(?R)?b", "", "", 0, false},
        {"its own limits", "(*LIMIT_MATCH=4000000000)(*LIMIT_DEPTH=4000000000)(a|a)*[bc]", "", "",
         0, false},
        {"no JIT, no optimisation", "(*NO_JIT)(*NO_START_OPT)(*NO_AUTO_POSSESS)(a*)*\\1[bc]", "",
         "", 0, false},
        {"quantifiers on quantifiers", "((a{0,100}){0,100}){0,6}[bc]", "", "", 0, false},
    };
    char line[PROGRESS_LINE_MAX + 1], text[16384];
    memset(line, 'a', sizeof line);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct progress *p = NULL;
        struct mlt_error err = {0};
        int used = snprintf(text, sizeof text, "%s", rows[i].before);
        for (int n = 0; n < rows[i].times; n++)
            used += snprintf(text + used, sizeof text - (size_t)used, "%s", rows[i].piece);
        (void)snprintf(text + used, sizeof text - (size_t)used, "%s", rows[i].after);
        int rc = progress_new(text, 0, &p, &err);
        if (rc != (rows[i].refused ? -EINVAL : 0))
            fail_msg("%s: %d %s", rows[i].what, rc, err.text);
        if (rc < 0) {
            assert_non_null(strstr(err.text, "progress pattern: "));
            continue;
        }
        progress_line(p, line, sizeof line);
        progress_free(p);
    }
}

static void test_a_number_too_large_for_a_step_is_none(void **state)
{
    (void)state;
    struct progress *p = pattern("step (\\d+)");
    struct rendezvous_progress report;
    progress_line(p, "step 5", 6);
    assert_true(progress_report(p, 1000, false, &report));
    progress_line(p, "step 99999999999999999", 22); /* the rate would overflow */
    assert_false(progress_report(p, 3000, false, &report));
    progress_line(p, "step 1000000000000", 18);
    assert_true(progress_report(p, 5000, false, &report));
    assert_int_equal(report.step, PROGRESS_STEP_MAX);
    progress_free(p);
}

static void test_a_broken_pattern_is_named(void **state)
{
    (void)state;
    struct progress *p = NULL;
    struct mlt_error err = {0};
    assert_int_equal(progress_new("step (\\d+", 0, &p, &err), -EINVAL);
    assert_non_null(strstr(err.text, "parenthesis"));
    assert_null(p);
}

static void test_the_channels_address_is_an_ip_and_a_port(void **state)
{
    (void)state;
    static const struct {
        const char *text, *address;
        int port;
    } rows[] = {
        {"10.0.0.1:7070", "10.0.0.1", 7070},
        {"[fd00::1]:443", "fd00::1", 443},
        {"fd00::1:443", "fd00::1", 443},
        {"controller:7070", NULL, 0},
        {"10.0.0.1", NULL, 0},
        {"10.0.0.1:0", NULL, 0},
        {"10.0.0.1:65536", NULL, 0},
        {":7070", NULL, 0},
        {"", NULL, 0},
        {"10.0.0.1:70x", NULL, 0},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        char address[64] = "";
        uint16_t port = 0;
        int rc = launcher_config_parse_channel(rows[i].text, address, sizeof address, &port, NULL);
        if ((rc == 0) != (rows[i].address != NULL))
            fail_msg("%s", rows[i].text);
        if (rc == 0) {
            assert_string_equal(address, rows[i].address);
            assert_int_equal(port, rows[i].port);
        }
    }
}

static void test_sixteen_ports_pass_before_one_may_come_back(void **state)
{
    (void)state;
    struct port_hold p;
    uint16_t seen[64];
    port_hold_init(&p);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(seen); i++) {
        assert_int_equal(port_hold_next(&p, &seen[i], NULL), 0);
        assert_int_not_equal(seen[i], 0);
        for (size_t back = 1; back <= PORT_HOLD_HISTORY && back <= i; back++)
            assert_int_not_equal(seen[i], seen[i - back]);
    }
    port_hold_release(&p);
    assert_int_equal(p.fd, -1);
}

static bool is_there(const char *dir, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void test_only_unused_files_since_the_start_are_removed_from_shm(void **state)
{
    (void)state;
    char dir[64], path[128];
    struct timespec since;
    size_t bytes = 0;
    make_dir(dir, sizeof dir);
    write_file(dir, "before", "x");
    (void)usleep(20000);
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &since);
    (void)usleep(20000);
    write_file(dir, "left", "x");
    write_file(dir, "mapped", "x");
    write_file(dir, "open", "x");
    (void)snprintf(path, sizeof path, "%s/folder", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/mapped", dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *map = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    (void)close(fd);
    (void)snprintf(path, sizeof path, "%s/open", dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(shm_clean(dir, &since, &bytes), 1);
    assert_false(is_there(dir, "left"));
    assert_true(is_there(dir, "before") && is_there(dir, "mapped") && is_there(dir, "open"));
    assert_true(is_there(dir, "folder"));
    (void)munmap(map, 1);
    (void)close(fd);
    remove_dir(dir);
}

static void test_an_attempts_folder_goes_but_what_it_links_to_stays(void **state)
{
    (void)state;
    char dir[64], path[160], target[128];
    make_dir(dir, sizeof dir);
    (void)snprintf(path, sizeof path, "mkdir -p %s/attempts/1/rank-0 %s/data", dir, dir);
    assert_int_equal(system(path), 0);
    write_file(dir, "attempts/1/rank-0/error.json", "{}");
    write_file(dir, "data/precious", "x");
    (void)snprintf(target, sizeof target, "%s/data", dir);
    (void)snprintf(path, sizeof path, "%s/attempts/1/link", dir);
    assert_int_equal(symlink(target, path), 0);
    (void)snprintf(path, sizeof path, "%s/attempts", dir);
    shm_clean_folder(path);
    assert_false(is_there(dir, "attempts"));
    assert_true(is_there(dir, "data/precious"));
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_causes_follow_their_order),
        cmocka_unit_test(test_both_cgroup_versions_tell_their_kills),
        cmocka_unit_test(test_the_path_of_the_memory_controller_is_found),
        cmocka_unit_test(test_the_counters_file_is_found_with_and_without_a_cgroup_namespace),
        cmocka_unit_test(test_messages_of_error_files_are_found),
        cmocka_unit_test(test_steps_are_found_by_name_by_group_or_by_match),
        cmocka_unit_test(test_reports_are_a_second_apart_and_carry_the_rate),
        cmocka_unit_test(test_a_step_that_a_rank_has_told_wins_over_lines),
        cmocka_unit_test(test_without_a_pattern_only_what_ranks_tell_counts),
        cmocka_unit_test(test_a_pattern_that_explodes_is_given_up),
        cmocka_unit_test(test_a_pattern_that_is_slow_on_each_line_gets_a_share_of_the_time),
        cmocka_unit_test(test_hostile_patterns_are_refused_or_bounded),
        cmocka_unit_test(test_a_number_too_large_for_a_step_is_none),
        cmocka_unit_test(test_a_broken_pattern_is_named),
        cmocka_unit_test(test_the_channels_address_is_an_ip_and_a_port),
        cmocka_unit_test(test_sixteen_ports_pass_before_one_may_come_back),
        cmocka_unit_test(test_only_unused_files_since_the_start_are_removed_from_shm),
        cmocka_unit_test(test_an_attempts_folder_goes_but_what_it_links_to_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
