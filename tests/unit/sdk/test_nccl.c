/* NCCL communicators of a world of one, made with the pretended library of tests/pretended_nccl:
 * where it is found, what is no use, time limits, aborts and making it once more. Each case has a
 * process of its own, because a library is loaded once. Several ranks:
 * tests/component/launcher/test_nccl.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sdk/mltrain.h"
#include "sdk/mltrain_nccl.h"

#define PRETENDED MLTRAIN_BIN_DIR "/../tests/pretended_nccl"

static char folder[64];

/* In a child, where cmocka is not at home. */
#define EXPECT(condition)                                                             \
    do {                                                                              \
        if (!(condition)) {                                                           \
            (void)fprintf(stderr, "%s:%d: %s (%s)\n", __func__, __LINE__, #condition, \
                          mltrain_error());                                           \
            return 1;                                                                 \
        }                                                                             \
    } while (0)

static void set(const char *name, const char *value)
{
    if (value ? setenv(name, value, 1) : unsetenv(name))
        abort();
}

/* Runs `what` in a child; for `name` see cmocka's output. */
static void run(int (*what)(void))
{
    static const char *const names[] = {"MLTRAIN_SOCKET", "WORLD_SIZE",    "RANK", "LOCAL_RANK",
                                        "PRETENDED_NCCL", "PYTHONPATH",    "HOME", "VIRTUAL_ENV",
                                        "CONDA_PREFIX",   "PRETENDED_GPUS"};
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            set(names[i], NULL);
        set("PRETENDED_NCCL_DIR", folder);
        set("MLTRAIN_NCCL_LIBRARY", PRETENDED "/libnccl.so.2");
        set("MLTRAIN_NCCL_CUDART", PRETENDED "/libcudart.so.12");
        _exit(what());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int begin(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/mltrain-nccl-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[PATH_MAX];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* How many communicators have left such a file. */
static size_t count(const char *what)
{
    char pattern[PATH_MAX];
    glob_t found = {0};
    (void)snprintf(pattern, sizeof pattern, "%s/*/%s-*", folder, what);
    size_t n = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return n;
}

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int number(const char *function, struct ncclComm *comm)
{
    int value = -1;
    void *address = mltrain_nccl_symbol(function);
    int (*call)(struct ncclComm *, int *);
    if (!address)
        return -1;
    memcpy(&call, &address, sizeof address);
    return call(comm, &value) == 0 ? value : -1;
}

/* ---- what works ---- */

static int made(void)
{
    struct ncclComm *comm = NULL;
    EXPECT(mltrain_nccl_init(NULL, &comm) == 0);
    EXPECT(comm && mltrain_error()[0] == '\0');
    EXPECT(number("ncclCommCount", comm) == 1 && number("ncclCommUserRank", comm) == 0);
    EXPECT(mltrain_nccl_wait(comm, 1000) == 0);
    EXPECT(mltrain_nccl_destroy(comm, 1000) == 0 && count("destroyed") == 1);
    EXPECT(mltrain_nccl_init(NULL, &comm) == 0 && mltrain_nccl_abort(comm) == 0);
    EXPECT(count("aborted") == 1);
    EXPECT(mltrain_nccl_init(NULL, &comm) == 0 && mltrain_nccl_destroy(comm, 0) == 0);
    EXPECT(count("rank") == 3 && count("destroyed") == 2);
    EXPECT(mltrain_nccl_abort(NULL) == 0 && mltrain_nccl_destroy(NULL, 0) == 0);
    return 0;
}

static void test_a_world_of_one_is_made_ended_aborted_and_made_again(void **state)
{
    (void)state;
    run(made);
}

static int in_groups(void)
{
    struct mltrain_nccl_options options = MLTRAIN_NCCL_OPTIONS;
    struct ncclComm *comm = NULL;
    options.split = true;
    options.colour = 7;
    EXPECT(mltrain_nccl_init(&options, &comm) == 0 && number("ncclCommCount", comm) == 1);
    EXPECT(mltrain_nccl_destroy(comm, 1000) == 0);
    options.colour = MLTRAIN_NCCL_NO_GROUP;
    EXPECT(mltrain_nccl_init(&options, &comm) == 0 && !comm);
    options.colour = -2;
    EXPECT(mltrain_nccl_init(&options, &comm) == -EINVAL && strstr(mltrain_error(), "colour -2"));
    return 0;
}

static void test_a_rank_of_no_group_gets_no_communicator(void **state)
{
    (void)state;
    run(in_groups);
}

/* ---- devices ---- */

static int device_after(int device)
{
    struct mltrain_nccl_options options = MLTRAIN_NCCL_OPTIONS;
    struct ncclComm *comm = NULL;
    int (*get)(int *), value = -1;
    options.device = device;
    if (mltrain_nccl_init(&options, &comm) < 0 || mltrain_nccl_destroy(comm, 1000) < 0)
        return -1;
    void *address = mltrain_nccl_symbol("cudaGetDevice");
    memcpy(&get, &address, sizeof address);
    return get(&value) == 0 ? value : -1;
}

static int devices(void)
{
    set("PRETENDED_GPUS", "4");
    EXPECT(device_after(2) == 2);
    EXPECT(device_after(MLTRAIN_NCCL_DEVICE_CURRENT) == 2);
    set("LOCAL_RANK", "3");
    EXPECT(device_after(MLTRAIN_NCCL_DEVICE_AUTO) == 3);
    set("LOCAL_RANK", "5"); /* as where each rank sees fewer */
    EXPECT(device_after(MLTRAIN_NCCL_DEVICE_AUTO) == 1);
    struct mltrain_nccl_options options = MLTRAIN_NCCL_OPTIONS;
    struct ncclComm *comm = NULL;
    options.device = 4;
    EXPECT(mltrain_nccl_init(&options, &comm) == -EIO);
    EXPECT(strstr(mltrain_error(), "cudaSetDevice(4): invalid device ordinal"));
    options.device = -3;
    EXPECT(mltrain_nccl_init(&options, &comm) == -EINVAL);
    set("PRETENDED_GPUS", "0");
    EXPECT(mltrain_nccl_init(NULL, &comm) == -ENODEV);
    EXPECT(strstr(mltrain_error(), "driver version is insufficient") && !comm);
    return 0;
}

static void test_each_rank_gets_its_device(void **state)
{
    (void)state;
    run(devices);
}

/* ---- where the libraries are found ---- */

static void make_folders(const char *path)
{
    char command[PATH_MAX + 32];
    (void)snprintf(command, sizeof command, "mkdir -p '%s/%s'", folder, path);
    if (system(command) != 0)
        abort();
}

/* NVIDIA's wheels below FOLDER/PACKAGES. */
static void install(const char *packages)
{
    static const char *const files[][2] = {{"nvidia/nccl/lib", "libnccl.so.2"},
                                           {"nvidia/cuda_runtime/lib", "libcudart.so.12"}};
    for (size_t i = 0; i < 2; i++) {
        char path[PATH_MAX], target[PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/%s", packages, files[i][0]);
        make_folders(path);
        (void)snprintf(target, sizeof target, PRETENDED "/%s", files[i][1]);
        (void)snprintf(path, sizeof path, "%s/%s/%s/%s", folder, packages, files[i][0],
                       files[i][1]);
        if (symlink(target, path) < 0)
            abort();
    }
    set("MLTRAIN_NCCL_LIBRARY", NULL);
    set("MLTRAIN_NCCL_CUDART", NULL);
}

static int finds(void)
{
    struct ncclComm *comm = NULL;
    EXPECT(mltrain_nccl_init(NULL, &comm) == 0 && mltrain_nccl_destroy(comm, 1000) == 0);
    return 0;
}

static int in_python_path(void)
{
    char path[PATH_MAX];
    install("packages");
    (void)snprintf(path, sizeof path, "/nowhere:%s/packages", folder);
    set("PYTHONPATH", path);
    return finds();
}

static int in_virtual_environment(void)
{
    char path[PATH_MAX];
    install("venv/lib/python3.11/site-packages");
    (void)snprintf(path, sizeof path, "%s/venv", folder);
    set("VIRTUAL_ENV", path);
    return finds();
}

static int beside_python(void)
{
    char path[PATH_MAX];
    install("usr/lib/python3.12/dist-packages");
    make_folders("usr/bin");
    (void)snprintf(path, sizeof path, "%s/usr/bin/python3", folder);
    if (symlink("/bin/true", path) < 0)
        abort();
    (void)snprintf(path, sizeof path, "::/nowhere:%s/usr/bin", folder);
    set("PATH", path);
    return finds();
}

/* As torch has done when libmltrain is called. */
static int loaded_already(void)
{
    if (!dlopen(PRETENDED "/libnccl.so.2", RTLD_NOW) ||
        !dlopen(PRETENDED "/libcudart.so.12", RTLD_NOW))
        abort();
    set("MLTRAIN_NCCL_LIBRARY", NULL);
    set("MLTRAIN_NCCL_CUDART", NULL);
    set("PATH", "/nowhere");
    return finds();
}

static void test_the_libraries_are_found_where_wheels_put_them(void **state)
{
    (void)state;
    run(in_python_path);
    run(in_virtual_environment);
    run(beside_python);
    run(loaded_already);
}

static int not_found(void)
{
    struct ncclComm *comm = NULL;
    set("MLTRAIN_NCCL_LIBRARY", "/nowhere/libnccl.so.2");
    EXPECT(mltrain_nccl_init(NULL, &comm) == -ENOENT);
    EXPECT(strstr(mltrain_error(), "MLTRAIN_NCCL_LIBRARY") &&
           strstr(mltrain_error(), "/nowhere/libnccl.so.2"));
    EXPECT(!mltrain_nccl_symbol("ncclAllReduce"));
    if (!dlopen("libnccl.so.2", RTLD_NOW)) { /* this machine has none */
        set("MLTRAIN_NCCL_LIBRARY", NULL);
        set("PATH", "/nowhere");
        EXPECT(mltrain_nccl_init(NULL, &comm) == -ENOENT);
        EXPECT(strstr(mltrain_error(), "libnccl.so.2") && strstr(mltrain_error(), "PYTHONPATH"));
    }
    /* The rest works, and so does this when the library is there later. */
    EXPECT(mltrain_barrier("b", 0) == 0 && mltrain_attempt() == 0);
    set("MLTRAIN_NCCL_LIBRARY", PRETENDED "/libnccl.so.2");
    EXPECT(mltrain_nccl_init(NULL, &comm) == 0 && mltrain_nccl_abort(comm) == 0);
    EXPECT(!mltrain_nccl_symbol("ncclNone") && strstr(mltrain_error(), "ncclNone"));
    return 0;
}

static int not_usable(void)
{
    struct ncclComm *comm = NULL;
    char broken[PATH_MAX];
    set("PRETENDED_NCCL", "version=2804");
    EXPECT(mltrain_nccl_init(NULL, &comm) == -ELIBBAD && strstr(mltrain_error(), "2804"));
    set("PRETENDED_NCCL", NULL);
    set("MLTRAIN_NCCL_LIBRARY", PRETENDED "/lacking/libnccl.so.2");
    EXPECT(mltrain_nccl_init(NULL, &comm) == -ELIBBAD);
    EXPECT(strstr(mltrain_error(), "has no ncclCommInitRankConfig"));
    set("MLTRAIN_NCCL_LIBRARY", PRETENDED "/libcudart.so.12");
    EXPECT(mltrain_nccl_init(NULL, &comm) == -ELIBBAD && strstr(mltrain_error(), "is no NCCL"));
    (void)snprintf(broken, sizeof broken, "%s/broken.so", folder);
    FILE *file = fopen(broken, "we");
    if (!file || fputs("not a library", file) < 0 || fclose(file) != 0)
        return 1;
    set("MLTRAIN_NCCL_LIBRARY", broken);
    EXPECT(mltrain_nccl_init(NULL, &comm) == -ENOENT && strstr(mltrain_error(), broken));
    set("MLTRAIN_NCCL_LIBRARY", PRETENDED "/libnccl.so.2");
    set("MLTRAIN_NCCL_CUDART", "/nowhere/libcudart.so.12");
    EXPECT(mltrain_nccl_init(NULL, &comm) == -ENOENT && strstr(mltrain_error(), "NCCL_CUDART"));
    EXPECT(!comm);
    return 0;
}

static void test_without_the_libraries_words_say_what_is_missing(void **state)
{
    (void)state;
    run(not_found);
    run(not_usable);
}

/* ---- what fails ---- */

static int stuck(void)
{
    struct mltrain_nccl_options options = MLTRAIN_NCCL_OPTIONS;
    struct ncclComm *comm = NULL;
    options.time_ms = 200;
    set("PRETENDED_NCCL", "no-progress");
    int64_t began = now_ms();
    EXPECT(mltrain_nccl_init(&options, &comm) == -ETIMEDOUT && !comm);
    EXPECT(now_ms() - began >= 200 && now_ms() - began < 5000);
    EXPECT(strstr(mltrain_error(), "NCCL_SOCKET_IFNAME") && count("aborted") == 1);
    set("PRETENDED_NCCL", NULL);
    EXPECT(mltrain_nccl_init(&options, &comm) == 0 && mltrain_nccl_destroy(comm, 1000) == 0);
    return 0;
}

static int failing(void)
{
    struct ncclComm *comm = NULL;
    set("PRETENDED_NCCL", "breaks");
    EXPECT(mltrain_nccl_init(NULL, &comm) == -EIO && count("aborted") == 1);
    EXPECT(strstr(mltrain_error(), "invalid usage: Duplicate GPU detected"));
    set("PRETENDED_NCCL", "no-start");
    EXPECT(mltrain_nccl_init(NULL, &comm) == -EIO);
    EXPECT(strstr(mltrain_error(), "ncclCommInitRankConfig: invalid usage"));
    set("PRETENDED_NCCL", "no-id");
    EXPECT(mltrain_nccl_init(NULL, &comm) == -EIO);
    EXPECT(strstr(mltrain_error(), "ncclGetUniqueId: unhandled system error") && !comm);
    return 0;
}

static int not_served(void)
{
    struct mltrain_nccl_options options = MLTRAIN_NCCL_OPTIONS;
    struct ncclComm *comm = NULL;
    options.name = "a b";
    EXPECT(mltrain_nccl_init(&options, &comm) == -EINVAL && strstr(mltrain_error(), "`a b`"));
    options.name = "world";
    options.time_ms = -1;
    EXPECT(mltrain_nccl_init(&options, &comm) == -EINVAL);
    set("WORLD_SIZE", "2");
    EXPECT(mltrain_nccl_init(NULL, &comm) == -ENOTCONN);
    EXPECT(strstr(mltrain_error(), "not started by mltrain") && !comm);
    return 0;
}

static void test_what_does_not_come_together_is_an_error_in_time(void **state)
{
    (void)state;
    run(stuck);
}

static void test_what_nccl_says_is_passed_on(void **state)
{
    (void)state;
    run(failing);
    run(not_served);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_world_of_one_is_made_ended_aborted_and_made_again,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_a_rank_of_no_group_gets_no_communicator, begin, end),
        cmocka_unit_test_setup_teardown(test_each_rank_gets_its_device, begin, end),
        cmocka_unit_test_setup_teardown(test_the_libraries_are_found_where_wheels_put_them, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_without_the_libraries_words_say_what_is_missing, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_what_does_not_come_together_is_an_error_in_time, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_what_nccl_says_is_passed_on, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
