/* The folder of a one-machine cluster: see cluster_dir.h. */
#include "cli/cluster_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"
#include "lib/json/json.h"

#define SHAPE_FILE "cluster.json"
#define LOCK_FILE "supervisor.pid"
#define SMALL_FILE_MAX 4096
#define READY_WORD "ready" /* behind the supervisor's process id */
#define READY_LOOK_MS 10
#define NAME_LOOKS_MAX 100 /* for a supervisor to write its process id */
#define NAME_LOOK_MS 2

static char *state_home(void)
{
    const char *own = getenv("MLTRAIN_HOME"), *state = getenv("XDG_STATE_HOME"),
               *home = getenv("HOME");
    if (own && *own)
        return mlt_strdup(own);
    if (state && *state == '/')
        return mlt_asprintf("%s/mltrain", state);
    return mlt_asprintf("%s/.local/state/mltrain", home && *home ? home : "");
}

char *cluster_dir(const char *name)
{
    cleanup_free char *home = state_home();
    return mlt_asprintf("%s/clusters/%s", home, name);
}

char *cluster_file(const char *dir, const char *name)
{
    return mlt_asprintf("%s/%s", dir, name);
}

int cluster_make_dir(const char *dir, struct mlt_error *err)
{
    cleanup_free char *path = mlt_strdup(dir);
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char end = *p;
        *p = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return mlt_fail(err, errno, "cannot make the folder %s: %s", path, strerror(errno));
        *p = end;
        if (!end)
            return 0;
    }
}

static int read_small_file(const char *path, char *ret_text, size_t size)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t length = read(fd, ret_text, size - 1);
    if (length < 0)
        return -errno;
    ret_text[length] = '\0';
    return 0;
}

static bool is_locked(const char *path)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* The supervisor of a folder and whether it has said that all its programs are ready. The lock is
 * looked at without being taken: taken for a moment only, it would make a supervisor that starts
 * just then believe in another one. One that has just locked has yet to write who it is: until then
 * the file is empty, or tells of one that is dead. */
static pid_t read_supervisor(const char *dir, bool *ret_ready)
{
    cleanup_free char *path = cluster_file(dir, LOCK_FILE);
    *ret_ready = false;
    for (int i = 0; i < NAME_LOOKS_MAX && is_locked(path); i++) {
        char text[64];
        int64_t pid;
        if (read_small_file(path, text, sizeof text) < 0)
            return 0;
        size_t first = strcspn(text, "\n");
        *ret_ready = strcmp(text + first, "\n" READY_WORD "\n") == 0;
        text[first] = '\0';
        if (mlt_parse_integer(text, 1, INT32_MAX, &pid, NULL) == 0 &&
            (kill((pid_t)pid, 0) == 0 || errno == EPERM))
            return (pid_t)pid;
        (void)usleep(NAME_LOOK_MS * 1000);
    }
    *ret_ready = false;
    return 0;
}

pid_t cluster_supervisor(const char *dir)
{
    bool ready;
    return read_supervisor(dir, &ready);
}

int cluster_wait_ready(const char *dir, int64_t timeout_ms, struct mlt_error *err)
{
    for (int64_t waited_ms = 0;; waited_ms += READY_LOOK_MS) {
        bool ready;
        if (read_supervisor(dir, &ready) == 0)
            return mlt_fail(err, ENOENT, "the cluster in %s is not up", dir);
        if (ready)
            return 0;
        if (waited_ms >= timeout_ms)
            return mlt_fail(err, ETIMEDOUT, "the cluster is coming up but is not ready; see %s/log",
                            dir);
        (void)usleep(READY_LOOK_MS * 1000);
    }
}

void cluster_say_ready(int lock)
{
    (void)dprintf(lock, "%s\n", READY_WORD);
}

bool cluster_is_up(const char *dir)
{
    return cluster_supervisor(dir) > 0;
}

int cluster_lock(const char *dir, struct mlt_error *err)
{
    cleanup_free char *path = cluster_file(dir, LOCK_FILE);
    cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return mlt_fail(err, errno, "%s: %s", path, strerror(errno));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
        return mlt_fail(err, EAGAIN, "another supervisor runs in %s", dir);
    if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
        return mlt_fail(err, errno, "%s: %s", path, strerror(errno));
    return steal_fd(&fd);
}

int cluster_shape_read(const char *dir, struct cluster_shape *ret, struct mlt_error *err)
{
    cleanup_free char *path = cluster_file(dir, SHAPE_FILE);
    char text[SMALL_FILE_MAX];
    int rc = read_small_file(path, text, sizeof text);
    if (rc < 0)
        return mlt_fail(err, -rc, "%s: %s", path, strerror(-rc));
    cJSON *shape cleanup_json = NULL;
    rc = json_parse(text, strlen(text), &shape, err);
    if (rc < 0)
        return mlt_fail_in(err, "%s", path);
    int64_t nodes = 1, gpus = -1, racks = 0;
    rc = json_read_integer(shape, "", "nodes", 1, CLUSTER_NODES_MAX, &nodes, err);
    if (rc >= 0)
        rc = json_read_integer(shape, "", "gpusPerNode", -1, 1024, &gpus, err);
    if (rc >= 0)
        rc = json_read_integer(shape, "", "racks", 0, CLUSTER_NODES_MAX, &racks, err);
    if (rc < 0)
        return mlt_fail_in(err, "%s", path);
    *ret = (struct cluster_shape){
        .nodes = (int)nodes, .gpus_per_node = (int)gpus, .racks = (int)racks};
    return 0;
}

int cluster_shape_write(const char *dir, const struct cluster_shape *shape, struct mlt_error *err)
{
    cleanup_free char *path = cluster_file(dir, SHAPE_FILE),
                      *next = mlt_asprintf("%s.%d", path, (int)getpid()); /* others write theirs */
    cleanup_file FILE *file = fopen(next, "we");
    if (!file)
        return mlt_fail(err, errno, "%s: %s", next, strerror(errno));
    (void)fprintf(file, "{\"nodes\": %d, \"gpusPerNode\": %d, \"racks\": %d}\n", shape->nodes,
                  shape->gpus_per_node, shape->racks);
    if (fflush(file) != 0 || rename(next, path) < 0)
        return mlt_fail(err, errno, "%s: %s", path, strerror(errno));
    return 0;
}

char *cluster_node_name(const struct cluster_shape *shape, int index)
{
    return shape->nodes == 1 ? mlt_strdup("node") : mlt_asprintf("node-%d", index);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    (void)remove(path);
    return 0;
}

void cluster_remove_dir(const char *dir)
{
    (void)nftw(dir, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
