/* Tests of localcluster/api: both stores, the files of a cluster's folder, and container logs. */
#include "tests/unit/localcluster/api_client.h"

#include <fcntl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/certificates.h"
#include "localcluster/api/cluster_files.h"
#include "localcluster/api/pod_log.h"

static char *temporary_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = mlt_asprintf("%s/mltrain-api-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static void remove_folder(const char *dir)
{
    cleanup_free char *command = mlt_asprintf("rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

/* ---- stores ---- */

struct seen {
    size_t objects, changes;
    uint64_t last;
    char names[256];
};

static int see_object(void *arg, const struct store_change *change, struct mlt_error *err)
{
    struct seen *s = arg;
    (void)err;
    s->objects++;
    (void)snprintf(s->names + strlen(s->names), sizeof s->names - strlen(s->names), "%s=%.*s ",
                   change->name, (int)change->length, change->text);
    return 0;
}

static int see_change(void *arg, const struct store_change *change, struct mlt_error *err)
{
    struct seen *s = arg;
    (void)err;
    s->changes++;
    assert_true(change->revision > s->last);
    s->last = change->revision;
    return 0;
}

static void commit(struct store *s, uint64_t revision, enum store_change_type type,
                   const char *name, const char *text)
{
    const struct store_change change = {.revision = revision,
                                        .type = type,
                                        .bucket = "pods",
                                        .namespace_ = "n",
                                        .name = name,
                                        .text = text,
                                        .length = strlen(text)};
    assert_int_equal(s->ops->commit(s, &change, NULL), 0);
}

static void write_some(struct store *s)
{
    commit(s, 1, STORE_ADDED, "a", "1");
    commit(s, 2, STORE_ADDED, "b", "2");
    commit(s, 3, STORE_MODIFIED, "a", "3");
    commit(s, 4, STORE_DELETED, "b", "2");
    assert_int_equal(s->ops->forget(s, 2, NULL), 0);
}

static void check_some(struct store *s)
{
    struct seen seen = {0};
    uint64_t revision = 0;
    assert_int_equal(s->ops->load(s, see_object, see_change, &seen, &revision, NULL), 0);
    assert_string_equal(seen.names, "a=3 ");
    assert_int_equal(seen.changes, 2);
    assert_int_equal(revision, 4);
}

static void test_a_store_keeps_the_present_and_a_window_of_the_past(void **state)
{
    cleanup_free char *dir = temporary_folder();
    cleanup_free char *path = mlt_asprintf("%s/store.db", dir);
    struct store *s = store_memory_new();
    struct mlt_error err = {0};
    (void)state;
    write_some(s);
    check_some(s);
    store_free(s);
    assert_int_equal(store_sqlite_open(path, &s, &err), 0);
    write_some(s);
    check_some(s);
    store_free(s);
    assert_int_equal(store_sqlite_open(path, &s, &err), 0);
    check_some(s);
    /* The number stays when the window is empty. */
    assert_int_equal(s->ops->forget(s, 4, NULL), 0);
    store_free(s);
    assert_int_equal(store_sqlite_open(path, &s, &err), 0);
    struct seen seen = {0};
    uint64_t revision = 0;
    assert_int_equal(s->ops->load(s, see_object, see_change, &seen, &revision, NULL), 0);
    assert_int_equal(revision, 4);
    assert_int_equal(seen.changes, 0);
    store_free(s);
    remove_folder(dir);
}

static void test_a_second_server_on_a_store_is_told_so(void **state)
{
    cleanup_free char *dir = temporary_folder();
    cleanup_free char *path = mlt_asprintf("%s/store.db", dir);
    struct store *first, *second;
    struct mlt_error err = {0};
    (void)state;
    assert_int_equal(store_sqlite_open(path, &first, &err), 0);
    assert_int_equal(store_sqlite_open(path, &second, &err), -EBUSY);
    assert_contains(err.text, "another API server has the database open");
    store_free(first);
    remove_folder(dir);
}

static void test_a_file_that_is_no_store_is_refused(void **state)
{
    cleanup_free char *dir = temporary_folder();
    struct store *s;
    struct mlt_error err = {0};
    cleanup_free char *path = mlt_asprintf("%s/store.db", dir), *text = mlt_calloc(1, 5000);
    (void)state;
    memset(text, 'x', 4999);
    assert_int_equal(cluster_file_write(dir, "store.db", text, 4999, &err), 0);
    assert_int_equal(store_sqlite_open(path, &s, &err), -EIO);
    assert_contains(err.text, "store.db");
    remove_folder(dir);
}

/* ---- files ---- */

static void test_the_folder_gets_its_files_once_and_keeps_them(void **state)
{
    cleanup_free char *base = temporary_folder();
    cleanup_free char *dir = mlt_asprintf("%s/clusters/x", base),
                      *file = mlt_asprintf("%s/token", dir);
    struct cluster_files a, b;
    struct mlt_error err = {0};
    struct stat st;
    (void)state;
    if (cluster_files_load(dir, &a, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(strlen(a.token), 64);
    assert_int_equal(a.port, 0);
    assert_int_equal(cluster_files_save_port(dir, 1234, &err), 0);
    assert_int_equal(cluster_files_save_kubeconfig(dir, "x", &a, 1234, &err), 0);
    assert_int_equal(cluster_files_load(dir, &b, &err), 0);
    assert_string_equal(a.token, b.token);
    assert_string_equal(a.certificate, b.certificate);
    assert_int_equal(b.port, 1234);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    cluster_files_release(&a);
    cluster_files_release(&b);
    remove_folder(base);
}

static void test_files_that_others_could_have_written_are_refused(void **state)
{
    cleanup_free char *dir = temporary_folder();
    cleanup_free char *file = mlt_asprintf("%s/token", dir);
    struct cluster_files f;
    struct mlt_error err = {0};
    (void)state;
    assert_int_equal(cluster_file_write(dir, "token", "abc", 3, &err), 0);
    assert_int_equal(chmod(file, 0666), 0);
    assert_int_equal(cluster_files_load(dir, &f, &err), -EPERM);
    assert_contains(err.text, "token");
    remove_folder(dir);
}

static void test_a_server_certificate_belongs_to_its_authority(void **state)
{
    struct certificate ca = {0}, other = {0}, server = {0};
    (void)state;
    assert_int_equal(certificate_new_authority("one", &ca, NULL), 0);
    assert_int_equal(certificate_new_authority("two", &other, NULL), 0);
    assert_int_equal(certificate_new_server(&ca, &server, NULL), 0);
    assert_true(certificate_is_good(&server, &ca));
    assert_false(certificate_is_good(&server, &other));
    const struct certificate mixed = {.certificate = server.certificate, .key = ca.key};
    assert_false(certificate_is_good(&mixed, &ca));
    struct certificate *all[] = {&ca, &other, &server};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(all); i++) {
        free(all[i]->certificate);
        free(all[i]->key);
    }
}

/* ---- logs ---- */

static char name_n[] = "n", name_ns[] = "ns", name_pod[] = "p", name_uid[] = "u", name_c[] = "c";

static struct api_log_query query(void)
{
    return (struct api_log_query){.namespace_ = name_ns,
                                  .pod = name_pod,
                                  .uid = name_uid,
                                  .node = name_n,
                                  .container = name_c,
                                  .tail_lines = -1,
                                  .limit_bytes = -1,
                                  .since_ms = INT64_MIN};
}

static void write_log(const char *dir, const char *text)
{
    cleanup_free char *folder = mlt_asprintf("mkdir -p '%s/nodes/n/logs/ns_p_u/c'", dir);
    assert_int_equal(system(folder), 0);
    cleanup_free char *path = mlt_asprintf("%s/nodes/n/logs/ns_p_u/c/0.log", dir);
    cleanup_file FILE *f = fopen(path, "a");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
}

static const char five[] = "2025-11-24T16:00:01.000000000Z stdout F one\n"
                           "2025-11-24T16:00:02.000000000Z stderr F two\n"
                           "2025-11-24T16:00:03.000000000Z stdout P thr\n"
                           "2025-11-24T16:00:03.000000000Z stdout F ee\n"
                           "2025-11-24T16:00:04.000000000Z stdout F \n";

static void test_logs_are_shown_as_asked(void **state)
{
    static const struct {
        const char *sentence;
        int64_t tail, limit, since;
        bool timestamps;
        const char *shown;
    } rows[] = {
        {"all of it", -1, -1, INT64_MIN, false, "one\ntwo\nthree\n\n"},
        {"the last two lines of the file", 2, -1, INT64_MIN, false, "ee\n\n"},
        {"more lines than there are", 99, -1, INT64_MIN, false, "one\ntwo\nthree\n\n"},
        {"none", 0, -1, INT64_MIN, false, ""},
        {"a few bytes", -1, 6, INT64_MIN, false, "one\ntw"},
        {"since a moment", -1, -1, API_TEST_START_MS + 3000, false, "three\n\n"},
        {"with times", 1, -1, INT64_MIN, true, "2025-11-24T16:00:04.000000000Z \n"},
    };
    cleanup_free char *dir = temporary_folder();
    (void)state;
    write_log(dir, five);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct mlt_text out = MLT_TEXT_INIT(65536);
        struct api_log_query q = query();
        q.tail_lines = rows[i].tail;
        q.limit_bytes = rows[i].limit;
        q.since_ms = rows[i].since;
        q.timestamps = rows[i].timestamps;
        struct pod_log *l = pod_log_new(dir, &q);
        (void)pod_log_read(l, 60000, &out);
        if (strcmp(mlt_text_string(&out), rows[i].shown) != 0)
            fail_msg("%s: got `%s`", rows[i].sentence, mlt_text_string(&out));
        pod_log_free(l);
        mlt_text_release(&out);
    }
    remove_folder(dir);
}

static void test_a_log_goes_on_where_it_was_and_waits_for_whole_lines(void **state)
{
    cleanup_free char *dir = temporary_folder();
    struct mlt_text out = MLT_TEXT_INIT(65536);
    struct api_log_query q = query();
    struct pod_log *l = pod_log_new(dir, &q);
    (void)state;
    assert_int_equal(pod_log_read(l, 60000, &out), POD_LOG_END); /* no file yet */
    write_log(dir, "2025-11-24T16:00:01Z stdout F one\n2025-11-24T16:00:01Z std");
    assert_int_equal(pod_log_read(l, 60000, &out), POD_LOG_END);
    assert_string_equal(mlt_text_string(&out), "one\n");
    write_log(dir, "out F two\n");
    assert_int_equal(pod_log_read(l, 60000, &out), POD_LOG_END);
    assert_string_equal(mlt_text_string(&out), "one\ntwo\n");
    pod_log_free(l);
    mlt_text_release(&out);
    remove_folder(dir);
}

static void test_a_log_query_cannot_leave_the_folder(void **state)
{
    static char up[] = "../../../../etc";
    struct api_log_query q = query();
    (void)state;
    q.node = up;
    struct pod_log *l = pod_log_new("/tmp", &q);
    assert_string_equal(pod_log_path(l), "");
    pod_log_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_store_keeps_the_present_and_a_window_of_the_past),
        cmocka_unit_test(test_a_second_server_on_a_store_is_told_so),
        cmocka_unit_test(test_a_file_that_is_no_store_is_refused),
        cmocka_unit_test(test_the_folder_gets_its_files_once_and_keeps_them),
        cmocka_unit_test(test_files_that_others_could_have_written_are_refused),
        cmocka_unit_test(test_a_server_certificate_belongs_to_its_authority),
        cmocka_unit_test(test_logs_are_shown_as_asked),
        cmocka_unit_test(test_a_log_goes_on_where_it_was_and_waits_for_whole_lines),
        cmocka_unit_test(test_a_log_query_cannot_leave_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
