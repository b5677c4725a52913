/* Files that mltrain's programs find when they start: the controller's state, the shape and port of
 * a one-machine cluster, what the agent kept of a pod. A broken one is refused with words, or
 * counts as absent. The first byte chooses the file. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <unistd.h>

#include "cli/cluster_dir.h"
#include "controller/state_file.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/agent/pod_folder.h"
#include "localcluster/api/cluster_files.h"

static char folder[64];

static void put(const char *name, const uint8_t *data, size_t size)
{
    cleanup_free char *path = cluster_file(folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)close(fd);
}

static void remove_folder(void)
{
    cluster_remove_dir(folder);
}

static void state(const uint8_t *data, size_t size)
{
    put("key.state", data, size);
    cleanup_free char *key = cluster_file(folder, "key");
    struct state_file s, again;
    REQUIRE(state_file_open(key, &s, NULL) == 0);
    REQUIRE(s.identity[0] && strlen(s.identity) < sizeof s.identity);
    REQUIRE(state_file_keep(&s, 4711, NULL) == 0);
    (void)close(s.fd);
    REQUIRE(state_file_open(key, &again, NULL) == 0);
    REQUIRE(again.port == 4711 && strcmp(again.identity, s.identity) == 0);
    (void)close(again.fd);
}

static void shape(const uint8_t *data, size_t size)
{
    put("cluster.json", data, size);
    struct cluster_shape read, again;
    struct mlt_error err = {0};
    if (cluster_shape_read(folder, &read, &err) < 0) {
        REQUIRE(err.text[0]);
        return;
    }
    REQUIRE(read.nodes >= 1 && read.nodes <= CLUSTER_NODES_MAX && read.gpus_per_node >= -1);
    REQUIRE(cluster_shape_write(folder, &read, NULL) == 0);
    REQUIRE(cluster_shape_read(folder, &again, NULL) == 0);
    REQUIRE(again.nodes == read.nodes && again.gpus_per_node == read.gpus_per_node);
}

static void port(const uint8_t *data, size_t size)
{
    put("port", data, size);
    struct cluster_files f;
    struct mlt_error err = {0};
    if (cluster_files_load(folder, &f, &err) < 0) {
        REQUIRE(err.text[0]);
        return;
    }
    REQUIRE(f.token && f.token[0]);
    cluster_files_release(&f);
}

static void token(const uint8_t *data, size_t size)
{
    put("token", data, size);
    put("port", data, 0);
    struct cluster_files f;
    REQUIRE(size > CLUSTER_FILE_MAX || cluster_files_load(folder, &f, NULL) == 0);
    REQUIRE(f.token[0] && !strpbrk(f.token, " \n"));
    cluster_files_release(&f);
}

static void pod(const uint8_t *data, size_t size)
{
    put("pod.json", data, size);
    cleanup_free struct pod_known *known = mlt_calloc(1, sizeof *known);
    struct mlt_error err = {0};
    if (pod_known_load(folder, known, &err) < 0)
        REQUIRE(err.text[0]);
    else
        REQUIRE(pod_known_save(folder, known, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void (*const readers[])(const uint8_t *, size_t) = {state, shape, port, token, pod};
    if (size < 1 || size > 8192)
        return 0;
    if (!folder[0]) {
        (void)snprintf(folder, sizeof folder, "%s/mltrain-fuzz-XXXXXX",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        REQUIRE(mkdtemp(folder));
        (void)atexit(remove_folder);
    }
    readers[data[0] % MLT_ARRAY_LENGTH(readers)](data + 1, size - 1);
    return 0;
}
