/* The container's out-of-memory counter: see cgroup_memory.h. Formats: cgroups(7),
 * Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of the kernel. */
#include "launcher/cgroup_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

#define FILE_TEXT_MAX 16384

static int read_text(const char *path, char *text)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, FILE_TEXT_MAX - 1);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    return 0;
}

int cgroup_memory_parse(const char *text, uint64_t *ret_kills)
{
    static const char key[] = "oom_kill ";
    for (const char *line = text; *line;) {
        if (strncmp(line, key, sizeof key - 1) == 0) {
            char *end;
            errno = 0;
            unsigned long long value = strtoull(line + sizeof key - 1, &end, 10);
            if (errno || end == line + sizeof key - 1)
                return -EINVAL;
            *ret_kills = value;
            return 0;
        }
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return -EINVAL;
}

/* Is `memory` in a list like "cpu,memory"? */
static bool has_memory(const char *list, size_t length)
{
    static const char name[] = "memory";
    size_t n = sizeof name - 1;
    for (size_t at = 0; at + n <= length; at++)
        if (strncmp(list + at, name, n) == 0 && (at == 0 || list[at - 1] == ',') &&
            (at + n == length || list[at + n] == ','))
            return true;
    return false;
}

int cgroup_memory_path(const char *text, char *path, size_t size)
{
    int version = 0;
    for (const char *line = text; *line; line += *line == '\n') {
        size_t length = strcspn(line, "\n");
        const char *controllers = memchr(line, ':', length);
        const char *name =
            controllers ? memchr(controllers + 1, ':', length - (size_t)(controllers + 1 - line))
                        : NULL;
        if (name) {
            controllers++;
            bool unified = controllers == name;
            size_t name_length = length - (size_t)(name + 1 - line);
            bool wanted = (unified && version == 0) ||
                          (!unified && has_memory(controllers, (size_t)(name - controllers)));
            if (wanted && name_length < size) {
                memcpy(path, name + 1, name_length);
                path[name_length] = '\0';
                version = unified ? 2 : 1;
            }
        }
        line += length;
    }
    return version ? version : -EINVAL;
}

void cgroup_memory_find(struct cgroup_memory *m, const char *proc_cgroup, const char *mount)
{
    char text[FILE_TEXT_MAX], path[PATH_MAX];
    m->file[0] = '\0';
    if (read_text(proc_cgroup, text) < 0)
        return;
    int version = cgroup_memory_path(text, path, sizeof path);
    if (version < 0)
        return;
    const char *folder = version == 1 ? "/memory" : "";
    const char *file = version == 1 ? "memory.oom_control" : "memory.events";
    const char *const places[] = {path, ""};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(places); i++) {
        int n = snprintf(m->file, sizeof m->file, "%s%s%s/%s", mount, folder, places[i], file);
        uint64_t kills;
        if (n > 0 && n < (int)sizeof m->file && cgroup_memory_kills(m, &kills) == 0)
            return;
    }
    m->file[0] = '\0';
}

int cgroup_memory_kills(const struct cgroup_memory *m, uint64_t *ret_kills)
{
    char text[FILE_TEXT_MAX];
    if (!m->file[0])
        return -ENOENT;
    int rc = read_text(m->file, text);
    return rc < 0 ? rc : cgroup_memory_parse(text, ret_kills);
}
