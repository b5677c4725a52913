/* What the agent makes on disk: addresses, volumes, sandbox options, files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent_fixture.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/agent/addresses.h"
#include "localcluster/agent/pod_folder.h"
#include "localcluster/agent/sandbox.h"
#include "localcluster/agent/volumes.h"

static char *folder;

static int set_up(void **state)
{
    (void)state;
    folder = fixture_folder();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_folder_remove(folder);
    return 0;
}

static char *inside(const char *name)
{
    return mlt_asprintf("%s/%s", folder, name);
}

/* ---- addresses ---- */

static void test_addresses_are_loopback_and_never_127_0(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 2000; n++) {
        char uid[32], address[POD_ADDRESS_MAX];
        unsigned a, b, c, d;
        (void)snprintf(uid, sizeof uid, "uid-%u", n);
        address_candidate(uid, n % 3, address);
        assert_int_equal(sscanf(address, "%u.%u.%u.%u", &a, &b, &c, &d), 4);
        assert_int_equal(a, 127);
        assert_in_range(b, 1, 254);
        assert_in_range(c, 0, 255);
        assert_in_range(d, 1, 254);
    }
}

static void test_two_pods_never_hold_one_address_and_a_dead_claim_is_free(void **state)
{
    (void)state;
    char first[POD_ADDRESS_MAX], other[POD_ADDRESS_MAX], again[POD_ADDRESS_MAX];
    cleanup_free char *one = inside("one"), *two = inside("two"), *claims = inside("claims");
    assert_int_equal(folder_make(one, 0700, NULL), 0);
    assert_int_equal(folder_make(two, 0700, NULL), 0);
    assert_int_equal(folder_make(claims, 0700, NULL), 0);
    assert_int_equal(address_claim(claims, "same", one, first, NULL), 0);
    assert_int_equal(address_claim(claims, "same", two, other, NULL), 0);
    assert_string_not_equal(first, other);
    assert_int_equal(address_claim(claims, "same", one, again, NULL), 0);
    assert_string_equal(first, again);
    folder_remove(one);
    assert_int_equal(address_claim(claims, "same", two, again, NULL), 0);
    assert_string_equal(first, again);   /* the first candidate is free again */
    address_release(claims, other, one); /* not its own: nothing happens */
    cleanup_free char *file = mlt_asprintf("%s/%s", claims, other);
    assert_int_equal(access(file, F_OK), 0);
    addresses_sweep(claims); /* its pod is still there */
    assert_int_equal(access(file, F_OK), 0);
    address_release(claims, other, two);
    assert_int_not_equal(access(file, F_OK), 0);
}

/* ---- volumes ---- */

static const struct pod_facts no_facts = {.pod_ip = "127.1.1.1", .host_ip = "127.0.0.1"};

static void test_a_volume_of_files_has_its_names_and_modes(void **state)
{
    (void)state;
    struct pod_spec *spec = fixture_pod(
        "{'containers':[{'name':'a','volumeMounts':[{'name':'d','mountPath':'/"
        "d','subPath':'deep'}]}],"
        "'volumes':[{'name':'d','downwardAPI':{'defaultMode':256,'items':[{'path':'deep/labels',"
        "'fieldRef':{'fieldPath':'metadata.labels'}},{'path':'name','mode':420,"
        "'fieldRef':{'fieldPath':'metadata.name'}}]}}]}",
        "{'labels':{'a':'1','b':'x\\ny'}}");
    struct stat st;
    char source[PATH_MAX], text[64] = "";
    assert_int_equal(volumes_make(spec, folder, &no_facts, NULL), 0);
    cleanup_free char *labels = inside("volumes/d/deep/labels"), *name = inside("volumes/d/name");
    assert_int_equal(stat(labels, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0400);
    assert_int_equal(stat(name, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    cleanup_file FILE *file = fopen(labels, "r");
    assert_true(file && fread(text, 1, sizeof text - 1, file) > 0);
    assert_string_equal(text, "a=\"1\"\nb=\"x\\ny\"");
    assert_int_equal(volume_source(spec, folder, &spec->containers[0].mounts[0], source, NULL), 0);
    assert_non_null(strstr(source, "/volumes/d/deep"));
    pod_spec_free(spec);
}

static void test_a_sub_path_through_a_link_stays_in_its_volume(void **state)
{
    (void)state;
    struct mlt_error err = {0};
    char source[PATH_MAX];
    struct pod_spec *spec = fixture_pod("{'containers':[{'name':'a','volumeMounts':[{'name':'e','"
                                        "mountPath':'/d','subPath':'out'}]}],"
                                        "'volumes':[{'name':'e','emptyDir':{}}]}",
                                        NULL);
    assert_int_equal(volumes_make(spec, folder, &no_facts, NULL), 0);
    cleanup_free char *link = inside("volumes/e/out");
    assert_int_equal(symlink("/etc", link), 0);
    assert_int_equal(volume_source(spec, folder, &spec->containers[0].mounts[0], source, &err),
                     -EINVAL);
    assert_string_equal(err.text, "subPath out leads out of its volume");
    pod_spec_free(spec);
}

static const struct host_row {
    const char *sentence, *path, *type;
    const char *error; /* NULL: good */
} host_rows[] = {
    {"no type checks only that it is there", "/etc", "", NULL},
    {"nothing there", "/no/such/place", "", "No such file"},
    {"a directory", "/etc", "Directory", NULL},
    {"a file is no directory", "/etc/passwd", "Directory", "is not a directory"},
    {"a file", "/etc/passwd", "File", NULL},
    {"a directory is no file", "/etc", "File", "is not a file"},
    {"a device", "/dev/null", "CharDevice", NULL},
    {"an unknown type", "/etc", "Thing", "unknown type Thing"},
};

static void test_host_paths_are_what_their_type_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof host_rows / sizeof *host_rows; i++) {
        const struct host_row *r = &host_rows[i];
        char text[512];
        struct mlt_error err = {0};
        (void)snprintf(text, sizeof text,
                       "{'containers':[{'name':'a'}],'volumes':[{'name':'h','hostPath':"
                       "{'path':'%s','type':'%s'}}]}",
                       r->path, r->type);
        struct pod_spec *spec = fixture_pod(text, NULL);
        int rc = volumes_make(spec, folder, &no_facts, &err);
        if (r->error ? rc >= 0 || !strstr(err.text, r->error) : rc != 0)
            fail_msg("%s: `%s`", r->sentence, err.text);
        pod_spec_free(spec);
    }
}

/* ---- the sandbox ---- */

static void test_mount_points_that_the_host_lacks_open_the_folder_above(void **state)
{
    (void)state;
    char resolved[PATH_MAX], open[PATH_MAX];
    static const struct {
        const char *sentence, *path, *resolved, *open;
    } rows[] = {
        {"an existing folder", "/etc", "/etc", ""},
        {"a slash at the end does not matter", "/etc/", "/etc", ""},
        {"a new folder in the root is made there", "/mltrain", "/mltrain", ""},
        {"also a deep one", "/mltrain/a/b", "/mltrain/a/b", ""},
        {"a new folder deeper down", "/etc/no/such", "/etc/no/such", "/etc"},
        {"/tmp is the container's", "/tmp/x/y", "/tmp/x/y", ""},
        {"so is /dev/shm", "/dev/shm", "/dev/shm", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(sandbox_mount_point(rows[i].path, resolved, open, NULL), 0);
        if (strcmp(resolved, rows[i].resolved) != 0 || strcmp(open, rows[i].open) != 0)
            fail_msg("%s: `%s` `%s`", rows[i].sentence, resolved, open);
    }
    struct mlt_error err = {0};
    assert_int_equal(sandbox_mount_point("/etc/passwd/x", resolved, open, &err), -EINVAL);
    assert_non_null(strstr(err.text, "/etc/passwd is not a directory"));
}

static size_t index_of(const struct words *w, const char *a, const char *b)
{
    for (size_t i = 0; i + 1 < w->count; i++) {
        if (strcmp(w->list[i], a) == 0 && strcmp(w->list[i + 1], b) == 0)
            return i;
    }
    fail_msg("no option %s %s", a, b);
    return 0;
}

static void test_the_sandbox_shows_the_host_read_only_and_hides_the_cluster(void **state)
{
    (void)state;
    static struct pod_known known;
    struct devices devices = {0};
    struct words options = {0};
    struct pod_env_list env = {0};
    struct sandbox_host host = {.root = true, .devices = &devices, .cluster = "/var/lib/cluster"};
    struct pod_spec *spec = fixture_pod("{'hostname':'h','containers':[{'name':'a','volumeMounts':["
                                        "{'name':'e','mountPath':'/data'},"
                                        "{'name':'e','mountPath':'/data/ro','readOnly':true}]}],"
                                        "'volumes':[{'name':'e','emptyDir':{}}]}",
                                        NULL);
    pod_known_init(&known, spec, 0);
    struct sandbox_pod pod = {spec, &known, folder};
    pod_env_set(&env, "A", "x y");
    assert_int_equal(sandbox_options(&host, &pod, 0, &env, &options, NULL), 0);
    (void)index_of(&options, "--hostname", "h");
    (void)index_of(&options, "--ro-bind-try", "/etc");
    (void)index_of(&options, "--cap-drop", "ALL");
    size_t hidden = index_of(&options, "--tmpfs", "/var/lib/cluster");
    size_t volume = 0, nested = 0;
    for (size_t i = 0; i + 2 < options.count; i++) {
        if (strcmp(options.list[i], "--bind") == 0 && strcmp(options.list[i + 2], "/data") == 0)
            volume = i;
        if (strcmp(options.list[i], "--ro-bind") == 0 &&
            strcmp(options.list[i + 2], "/data/ro") == 0)
            nested = i;
    }
    assert_true(hidden < volume && volume < nested);
    assert_true(nested < index_of(&options, "--remount-ro", "/"));
    size_t set = index_of(&options, "--setenv", "A");
    assert_string_equal(options.list[set + 2], "x y");
    for (size_t i = 0; i + 1 < options.count; i++)
        assert_false(strcmp(options.list[i], "--ro-bind-try") == 0 &&
                     strcmp(options.list[i + 1], "/tmp") == 0);
    words_release(&options);
    pod_env_release(&env);
    pod_spec_free(spec);
}

static void test_only_the_pods_gpus_are_visible_by_their_uuid(void **state)
{
    (void)state;
    static struct pod_known known;
    struct devices devices = {.count = 2, .list = {{0, "GPU-a", "m"}, {1, "GPU-b", "m"}}};
    struct words options = {0};
    struct pod_env_list env = {0};
    struct sandbox_host host = {.root = true, .devices = &devices};
    struct pod_spec *spec = fixture_pod("{'containers':[{'name':'a'}]}", NULL);
    pod_known_init(&known, spec, 0);
    known.gpu_count = 1;
    known.gpus[0] = 1;
    struct sandbox_pod pod = {spec, &known, folder};
    sandbox_environment(&host, &pod, 0, &env);
    assert_string_equal(pod_env_get(&env, "CUDA_VISIBLE_DEVICES"), "GPU-b");
    assert_int_equal(sandbox_options(&host, &pod, 0, &env, &options, NULL), 0);
    (void)index_of(&options, "--dev-bind", "/dev/nvidia1");
    for (size_t i = 0; i < options.count; i++)
        assert_string_not_equal(options.list[i], "/dev/nvidia0");
    known.gpu_count = 0;
    sandbox_environment(&host, &pod, 0, &env);
    assert_string_equal(pod_env_get(&env, "CUDA_VISIBLE_DEVICES"), "");
    words_release(&options);
    pod_env_release(&env);
    pod_spec_free(spec);
}

static void test_a_container_that_must_not_be_root_is_refused_as_root(void **state)
{
    (void)state;
    static struct pod_known known;
    struct mlt_error err = {0};
    struct words command = {0};
    struct devices devices = {0};
    struct sandbox_host host = {.root = true, .devices = &devices, .setpriv = "/usr/bin/setpriv"};
    struct pod_spec *spec = fixture_pod(
        "{'containers':[{'name':'a','securityContext':{'runAsNonRoot':true,'runAsUser':0}},"
        "{'name':'b','securityContext':{'runAsUser':1000,'runAsGroup':5}}]}",
        NULL);
    pod_known_init(&known, spec, 0);
    struct sandbox_pod pod = {spec, &known, folder};
    assert_int_equal(sandbox_user_prefix(&host, &pod, 0, &command, &err), -EINVAL);
    assert_non_null(strstr(err.text, "runAsNonRoot"));
    assert_int_equal(sandbox_user_prefix(&host, &pod, 1, &command, &err), 0);
    (void)index_of(&command, "--reuid", "1000");
    (void)index_of(&command, "--regid", "5");
    words_release(&command);
    pod_spec_free(spec);
}

/* ---- files ---- */

static void test_logs_of_removed_pods_are_bounded_and_those_of_living_ones_kept(void **state)
{
    (void)state;
    static const char *const names[] = {"ns_a_u1", "ns_b_u2", "ns_c_u3", "ns_d_u4"};
    static const char *const alive[] = {"u1"};
    for (size_t i = 0; i < 4; i++) {
        cleanup_free char *path = mlt_asprintf("%s/logs/%s", folder, names[i]);
        cleanup_free char *file = mlt_asprintf("%s/0.log", path);
        assert_int_equal(folder_make(path, 0750, NULL), 0);
        assert_int_equal(file_write(file, "0123456789", 10, 0640, NULL), 0);
        struct timespec times[2] = {{.tv_sec = 1000 + (time_t)i}, {.tv_sec = 1000 + (time_t)i}};
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
    cleanup_free char *logs = inside("logs");
    logs_prune(logs, alive, 1, 2, 1000);
    static const bool after_count[] = {true, false, true, true};
    static const bool after_bytes[] = {true, false, false, true};
    for (size_t i = 0; i < 4; i++) {
        cleanup_free char *path = mlt_asprintf("%s/%s", logs, names[i]);
        assert_int_equal(access(path, F_OK) == 0, after_count[i]);
    }
    logs_prune(logs, alive, 1, 10, 15);
    for (size_t i = 0; i < 4; i++) {
        cleanup_free char *path = mlt_asprintf("%s/%s", logs, names[i]);
        assert_int_equal(access(path, F_OK) == 0, after_bytes[i]);
    }
}

static void test_removing_a_folder_does_not_follow_links(void **state)
{
    (void)state;
    cleanup_free char *kept = inside("kept"), *gone = inside("gone"), *link = inside("gone/link");
    cleanup_free char *file = inside("kept/file");
    assert_int_equal(folder_make(kept, 0700, NULL), 0);
    assert_int_equal(folder_make(gone, 0700, NULL), 0);
    assert_int_equal(file_write(file, "x", 1, 0600, NULL), 0);
    assert_int_equal(symlink(kept, link), 0);
    folder_remove(gone);
    assert_int_not_equal(access(gone, F_OK), 0);
    assert_int_equal(access(file, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_are_loopback_and_never_127_0),
        cmocka_unit_test_setup_teardown(
            test_two_pods_never_hold_one_address_and_a_dead_claim_is_free, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_volume_of_files_has_its_names_and_modes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_sub_path_through_a_link_stays_in_its_volume, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_host_paths_are_what_their_type_says, set_up,
                                        tear_down),
        cmocka_unit_test(test_mount_points_that_the_host_lacks_open_the_folder_above),
        cmocka_unit_test_setup_teardown(
            test_the_sandbox_shows_the_host_read_only_and_hides_the_cluster, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_the_pods_gpus_are_visible_by_their_uuid, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_container_that_must_not_be_root_is_refused_as_root,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_logs_of_removed_pods_are_bounded_and_those_of_living_ones_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_removing_a_folder_does_not_follow_links, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
