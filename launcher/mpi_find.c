/* Programs and libraries of an image: see mpi_find.h. */
#include "launcher/mpi_find.h"

#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"

#define CACHE_PATH "/etc/ld.so.cache"
#define CACHE_MAGIC "glibc-ld.so.cache1.1"

/* glibc, sysdeps/generic/dl-cache.h: numbers in the machine's byte order, offsets of names from the
 * header. */
struct cache_header {
    char magic[20];
    uint32_t count, strings_length;
    uint32_t unused[5];
};

struct cache_entry {
    int32_t flags;
    uint32_t name, path, os_version;
    uint64_t hardware;
};

/* ---- the image's files, counted ---- */

static bool is_spent(struct mpi_find *f)
{
    if (f->calls < MPI_WIREUP_CALLS_MAX) {
        f->calls++;
        return false;
    }
    f->is_cut = true;
    return true;
}

static ssize_t counted_read(void *arg, const char *path, uint64_t offset, void *to, size_t size)
{
    struct mpi_find *f = arg;
    return is_spent(f) ? -EDQUOT : f->in->files.read(f->in->files.arg, path, offset, to, size);
}

static int counted_list(void *arg, const char *folder, bool (*name)(void *, const char *),
                        void *context)
{
    struct mpi_find *f = arg;
    return is_spent(f) ? -EDQUOT : f->in->files.list(f->in->files.arg, folder, name, context);
}

static int counted_resolve(void *arg, const char *path, char *to)
{
    struct mpi_find *f = arg;
    return is_spent(f) ? -EDQUOT : f->in->files.resolve(f->in->files.arg, path, to);
}

static ssize_t read_at(struct mpi_find *f, const char *path, uint64_t offset, void *to, size_t size)
{
    return f->files.read(f->files.arg, path, offset, to, size);
}

/* All of a file up to `max` bytes; -1 for none. The room grows with what is there: most caches are
 * far smaller than the largest one. */
static ssize_t read_growing(struct mpi_find *f, const char *path, size_t max, char **ret)
{
    cleanup_free char *bytes = NULL;
    for (size_t size = 32768;; size = size < max / 2 ? size * 2 : max) {
        char *more = realloc(bytes, size);
        if (!more)
            return -1;
        bytes = more;
        ssize_t n = read_at(f, path, 0, bytes, size);
        if (n < 0)
            return -1;
        if ((size_t)n < size || size == max) {
            *ret = steal_ptr(&bytes);
            return n;
        }
    }
}

void mpi_find_init(struct mpi_find *f, const struct mpi_wireup_input *in)
{
    *f = (struct mpi_find){
        .in = in,
        .files = {
            .arg = f, .read = counted_read, .list = counted_list, .resolve = counted_resolve}};
    cleanup_free char *bytes = NULL;
    ssize_t n = read_growing(f, CACHE_PATH, MPI_WIREUP_CACHE_MAX, &bytes);
    char *header = n > 0 ? memmem(bytes, (size_t)n, CACHE_MAGIC, strlen(CACHE_MAGIC)) : NULL;
    if (!header)
        return;
    f->cache_length = (size_t)(n - (header - bytes));
    memmove(bytes, header, f->cache_length);
    f->cache = steal_ptr(&bytes);
}

void mpi_find_release(struct mpi_find *f)
{
    free(f->cache);
    f->cache = NULL;
    while (f->programs_count > 0)
        free(f->programs[--f->programs_count]);
}

/* ---- programs ---- */

bool mpi_find_is_new(struct mpi_find *f, const char *path)
{
    for (unsigned i = 0; i < f->programs_count; i++)
        if (strcmp(f->programs[i], path) == 0)
            return false;
    char *kept = f->programs_count < MPI_WIREUP_FILES_MAX ? strdup(path) : NULL;
    if (!kept) {
        f->is_cut = true;
        return false;
    }
    f->programs[f->programs_count++] = kept;
    return true;
}

bool mpi_find_begins(struct mpi_find *f, const char *path, const char *magic)
{
    char start[8];
    size_t length = strlen(magic);
    return length <= sizeof start && read_at(f, path, 0, start, length) == (ssize_t)length &&
           memcmp(start, magic, length) == 0;
}

bool mpi_find_program(struct mpi_find *f, const char *word, char *ret)
{
    if (strlen(word) >= MPI_WIREUP_PATH_MAX || !word[0])
        return false;
    char byte;
    if (strchr(word, '/')) {
        (void)snprintf(ret, MPI_WIREUP_PATH_MAX, "%s", word);
        return read_at(f, ret, 0, &byte, 1) == 1;
    }
    /* Without PATH: what execvp() of glibc takes. */
    const char *folder = f->in->path ? f->in->path : "/bin:/usr/bin";
    while (true) {
        int length = (int)strcspn(folder, ":");
        int n =
            snprintf(ret, MPI_WIREUP_PATH_MAX, "%.*s%s%s", length, folder, length ? "/" : "", word);
        if (n < MPI_WIREUP_PATH_MAX && read_at(f, ret, 0, &byte, 1) == 1)
            return true;
        if (!folder[length])
            return false;
        folder += length + 1;
    }
}

/* ---- libraries ---- */

/* Is this a library for the same machine? */
static bool fits(struct mpi_find *f, const char *path, uint16_t machine)
{
    Elf64_Ehdr header;
    return read_at(f, path, 0, &header, sizeof header) == (ssize_t)sizeof header &&
           memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64 &&
           (!machine || header.e_machine == machine);
}

/* `folder`/`name` with $ORIGIN, the folder of `by_path`, replaced. */
static bool join(const char *folder, size_t length, const char *name, const char *by_path,
                 char *ret)
{
    static const char *const words[] = {"$ORIGIN", "${ORIGIN}"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(words); i++) {
        size_t n = strlen(words[i]);
        if (length < n || memcmp(folder, words[i], n) != 0)
            continue;
        const char *slash = strrchr(by_path, '/');
        int origin = slash ? (int)(slash - by_path) : 0;
        return snprintf(ret, MPI_WIREUP_PATH_MAX, "%.*s%.*s/%s", origin ? origin : 1,
                        origin ? by_path : ".", (int)(length - n), folder + n,
                        name) < MPI_WIREUP_PATH_MAX;
    }
    return length && snprintf(ret, MPI_WIREUP_PATH_MAX, "%.*s/%s", (int)length, folder, name) <
                         MPI_WIREUP_PATH_MAX;
}

static bool in_folders(struct mpi_find *f, const char *folders, const char *name, uint16_t machine,
                       const char *by_path, char *ret)
{
    for (const char *at = folders ? folders : ""; *at;) {
        size_t length = strcspn(at, ":");
        if (join(at, length, name, by_path, ret) && fits(f, ret, machine))
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

/* A name of the cache; NULL when it does not end in it, or is longer than any path. */
static const char *cache_name(struct mpi_find *f, uint32_t offset)
{
    if (offset >= f->cache_length)
        return NULL;
    size_t room = f->cache_length - offset;
    room = room < MPI_WIREUP_PATH_MAX ? room : MPI_WIREUP_PATH_MAX;
    return memchr(f->cache + offset, '\0', room) ? f->cache + offset : NULL;
}

static bool in_cache(struct mpi_find *f, const char *name, uint16_t machine, char *ret)
{
    struct cache_header header;
    if (!f->cache || f->cache_length < sizeof header)
        return false;
    memcpy(&header, f->cache, sizeof header);
    size_t most = (f->cache_length - sizeof header) / sizeof(struct cache_entry);
    for (size_t i = 0; i < header.count && i < most; i++) {
        struct cache_entry entry;
        memcpy(&entry, f->cache + sizeof header + i * sizeof entry, sizeof entry);
        const char *own = cache_name(f, entry.name), *path = cache_name(f, entry.path);
        if (!own || !path || strcmp(own, name) != 0 || !fits(f, path, machine))
            continue;
        (void)snprintf(ret, MPI_WIREUP_PATH_MAX, "%s", path);
        return true;
    }
    return false;
}

bool mpi_find_library(struct mpi_find *f, const char *name, const struct mpi_elf *by,
                      const char *by_path, char *ret)
{
    /* ld.so's own folders of the distributions; musl's are among them. */
    static const char system[] = "/lib:/usr/lib:/lib64:/usr/lib64:/usr/local/lib"
#if defined(__x86_64__)
                                 ":/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu"
#elif defined(__aarch64__)
                                 ":/lib/aarch64-linux-gnu:/usr/lib/aarch64-linux-gnu"
#endif
        ;
    uint16_t machine = by ? by->machine : 0;
    if (strchr(name, '/')) {
        (void)snprintf(ret, MPI_WIREUP_PATH_MAX, "%.*s", MPI_WIREUP_PATH_MAX - 1, name);
        return fits(f, ret, machine);
    }
    return (by && !by->runpath[0] && in_folders(f, by->rpath, name, machine, by_path, ret)) ||
           in_folders(f, f->in->library_path, name, machine, by_path, ret) ||
           (by && in_folders(f, by->runpath, name, machine, by_path, ret)) ||
           in_cache(f, name, machine, ret) || in_folders(f, system, name, machine, by_path, ret);
}

/* ---- what a program is linked to ---- */

/* The objects of one program, those before `looked` have been read. */
struct closure {
    unsigned count, looked;
    char *paths[MPI_WIREUP_OBJECTS_MAX];
    char path[MPI_WIREUP_PATH_MAX]; /* of the next */
    struct mpi_elf elf;
};

static void closure_free(struct closure **c)
{
    for (unsigned i = 0; *c && i < (*c)->count; i++)
        free((*c)->paths[i]);
    free(*c);
}

static void add_path(struct closure *c)
{
    c->paths[c->count] = strdup(c->path);
    if (c->paths[c->count])
        c->count++;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_known(const struct closure *c, const char *name)
{
    for (unsigned i = 0; i < c->count; i++)
        if (strcmp(base_name(c->paths[i]), base_name(name)) == 0)
            return true;
    return false;
}

/* The names that the next object needs; those of MPI libraries tell without their file. */
static bool look_at_next(struct mpi_find *f, struct closure *c, struct mpi_finding *ret)
{
    const char *path = c->paths[c->looked++];
    if (mpi_elf_read(&f->files, path, &c->elf) < 0)
        return false;
    for (unsigned i = 0; i < c->elf.needed_count; i++) {
        enum mpi_family family = mpi_family_of_library(c->elf.needed[i]);
        if (family == MPI_FAMILY_NONE)
            continue;
        ret->family = family;
        (void)snprintf(ret->object, sizeof ret->object, "%s", path);
        (void)snprintf(ret->library, sizeof ret->library, "%s", c->elf.needed[i]);
        if (!mpi_find_library(f, ret->library, &c->elf, path, ret->file))
            ret->file[0] = '\0';
        return true;
    }
    for (unsigned i = 0; i < c->elf.needed_count && c->count < MPI_WIREUP_OBJECTS_MAX; i++)
        if (c->elf.needed[i][0] && !is_known(c, c->elf.needed[i]) &&
            mpi_find_library(f, c->elf.needed[i], &c->elf, path, c->path))
            add_path(c);
    return false;
}

bool mpi_find_linked(struct mpi_find *f, const char *path, struct mpi_finding *ret)
{
    __attribute__((cleanup(closure_free))) struct closure *c = malloc(sizeof *c);
    if (!c)
        return false;
    c->count = 0;
    c->looked = 0;
    /* $ORIGIN is the folder of the file itself, not of a link to it. */
    if (f->files.resolve(f->files.arg, path, c->path) < 0)
        (void)snprintf(c->path, sizeof c->path, "%s", path);
    if (strlen(path) < MPI_WIREUP_PATH_MAX)
        add_path(c);
    while (c->looked < c->count)
        if (look_at_next(f, c, ret))
            return true;
    return false;
}
