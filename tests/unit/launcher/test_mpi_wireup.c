/* launcher/mpi_wireup.c, mpi_find.c, mpi_elf.c: over files that exist only here. */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/mpi_find.h"
#include "launcher/mpi_wireup.h"
#include "lib/base/cleanup.h"

#define FILES_MAX 32
#define FILE_MAX 4096

struct image {
    unsigned count;
    unsigned reads; /* times that read_file() was called */
    struct {
        const char *path, *link; /* link: to another path */
        size_t length;
        char bytes[FILE_MAX];
    } files[FILES_MAX];
};

/* "a/b/../c" is "a/c". */
static void without_dots(const char *path, char *to, size_t size)
{
    char *up;
    (void)snprintf(to, size, "%s", path);
    while ((up = strstr(to, "/../"))) {
        char *before = up;
        while (before > to && *--before != '/')
            ;
        memmove(before, up + 3, strlen(up + 3) + 1);
    }
}

static int find(const struct image *image, const char *name)
{
    char plain[1024];
    const char *path = plain;
    without_dots(name, plain, sizeof plain);
    for (unsigned hops = 0; hops < 8; hops++) {
        int at = -1;
        for (unsigned i = 0; i < image->count; i++)
            if (strcmp(image->files[i].path, path) == 0)
                at = (int)i;
        if (at < 0 || !image->files[at].link)
            return at;
        path = image->files[at].link;
    }
    return -1;
}

static ssize_t read_file(void *arg, const char *path, uint64_t offset, void *to, size_t size)
{
    struct image *image = arg;
    image->reads++;
    int at = find(image, path);
    if (at < 0)
        return -ENOENT;
    size_t length = image->files[at].length;
    size_t n = offset < length ? length - offset : 0;
    n = n < size ? n : size;
    memcpy(to, image->files[at].bytes + (n ? offset : 0), n);
    return (ssize_t)n;
}

/* What lies directly below a folder: files, and folders of files. */
static int list_files(void *arg, const char *folder, bool (*name)(void *, const char *),
                      void *context)
{
    const struct image *image = arg;
    char path[1024], dotted[1024];
    (void)snprintf(dotted, sizeof dotted, "%s/", folder);
    without_dots(dotted, path, sizeof path);
    size_t length = strlen(path);
    for (unsigned i = 0; i < image->count; i++) {
        const char *file = image->files[i].path;
        if (strncmp(file, path, length) != 0)
            continue;
        char entry[256];
        (void)snprintf(entry, sizeof entry, "%.*s", (int)strcspn(file + length, "/"),
                       file + length);
        if (!name(context, entry))
            break;
    }
    return 0;
}

static int resolve(void *arg, const char *path, char *to)
{
    const struct image *image = arg;
    int at = find(image, path);
    if (at < 0)
        return -ENOENT;
    (void)snprintf(to, MPI_WIREUP_PATH_MAX, "%s", image->files[at].path);
    return 0;
}

static char *add(struct image *image, const char *path, const char *bytes, size_t length)
{
    assert_true(image->count < FILES_MAX && length <= FILE_MAX);
    unsigned at = image->count++;
    image->files[at].path = path;
    image->files[at].link = NULL;
    image->files[at].length = length;
    memcpy(image->files[at].bytes, bytes, length);
    return image->files[at].bytes;
}

static void add_text(struct image *image, const char *path, const char *text)
{
    (void)add(image, path, text, strlen(text));
}

static void add_link(struct image *image, const char *path, const char *to)
{
    (void)add(image, path, "", 0);
    image->files[image->count - 1].link = to;
}

/* A file with nothing but what says what it is linked to. `needed`: names with a space between. */
static char *add_elf(struct image *image, const char *path, const char *needed, const char *rpath,
                     const char *runpath)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segments[2];
        Elf64_Dyn dynamic[32];
        char names[1024];
    } file = {.names = ""};
    size_t at = 1, entries = 0;
    memcpy(file.header.e_ident, ELFMAG, SELFMAG);
    file.header.e_ident[EI_CLASS] = ELFCLASS64;
    file.header.e_ident[EI_DATA] =
        __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
    file.header.e_machine = EM_X86_64;
    file.header.e_phoff = sizeof file.header;
    file.header.e_phentsize = sizeof(Elf64_Phdr);
    file.header.e_phnum = 2;
    file.segments[0] =
        (Elf64_Phdr){.p_type = PT_LOAD, .p_vaddr = 0x400000, .p_filesz = sizeof file};
    file.segments[1] = (Elf64_Phdr){.p_type = PT_DYNAMIC,
                                    .p_offset = offsetof(__typeof__(file), dynamic),
                                    .p_filesz = sizeof file.dynamic};
    while (*needed) {
        size_t n = strcspn(needed, " ");
        file.dynamic[entries++] = (Elf64_Dyn){.d_tag = DT_NEEDED, .d_un = {.d_val = at}};
        memcpy(file.names + at, needed, n);
        at += n + 1;
        needed += n + (needed[n] == ' ');
    }
    const char *const paths[] = {rpath, runpath};
    for (int i = 0; i < 2; i++)
        if (paths[i]) {
            file.dynamic[entries++] =
                (Elf64_Dyn){.d_tag = i ? DT_RUNPATH : DT_RPATH, .d_un = {.d_val = at}};
            memcpy(file.names + at, paths[i], strlen(paths[i]) + 1);
            at += strlen(paths[i]) + 1;
        }
    file.dynamic[entries++] = (Elf64_Dyn){
        .d_tag = DT_STRTAB, .d_un = {.d_ptr = 0x400000 + offsetof(__typeof__(file), names)}};
    return add(image, path, (const char *)&file, sizeof file);
}

static struct image *new_image(void)
{
    struct image *image = calloc(1, sizeof *image);
    assert_non_null(image);
    return image;
}

static struct mpi_wireup_input input(struct image *image, const char *const *command)
{
    return (struct mpi_wireup_input){
        .command = command,
        .path = "/usr/local/bin:/usr/bin:/bin",
        .files = {.arg = image, .read = read_file, .list = list_files, .resolve = resolve}};
}

#define CHOOSE(image, ret, asked, ...)                           \
    do {                                                         \
        const char *const command_[] = {__VA_ARGS__, NULL};      \
        struct mpi_wireup_input in_ = input(image, command_);    \
        mpi_wireup_choose(&in_, RENDEZVOUS_WIREUP_##asked, ret); \
    } while (0)

static void test_the_program_s_own_library_decides(void **state)
{
    (void)state;
    static const struct {
        const char *needed;
        enum rendezvous_wireup wireup;
    } rows[] = {
        {"libc.so.6 libmpi.so.40", RENDEZVOUS_WIREUP_PMIX},
        {"libmpi_mpifh.so.40 libc.so.6", RENDEZVOUS_WIREUP_PMIX},
        {"libmpich.so.12", RENDEZVOUS_WIREUP_PMI1},
        {"libmpi.so.12", RENDEZVOUS_WIREUP_PMI1},
        {"libmpifort.so.12 libmpi.so.12", RENDEZVOUS_WIREUP_PMI1},
        {"libmpi_cray.so.12", RENDEZVOUS_WIREUP_PMI1},
        {"libc.so.6", RENDEZVOUS_WIREUP_PMI1}, /* none at all */
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_free struct image *image = new_image();
        struct mpi_wireup choice;
        (void)add_elf(image, "/app/train", rows[i].needed, NULL, NULL);
        CHOOSE(image, &choice, AUTO, "/app/train", "--epochs", "3");
        if (choice.wireup != rows[i].wireup)
            fail_msg("%s: %s", rows[i].needed, choice.words);
    }
}

static void test_the_words_say_what_was_chosen_and_why(void **state)
{
    (void)state;
    cleanup_free struct image *image = new_image();
    struct mpi_wireup choice;
    (void)add_elf(image, "/app/train", "libm.so.6 libmpich.so.12", NULL, NULL);
    CHOOSE(image, &choice, AUTO, "/app/train");
    assert_string_equal(choice.words, "MPI wire-up pmi1: /app/train needs libmpich.so.12 (MPICH or "
                                      "one of its kind)");
    assert_string_equal(choice.library, "libmpich.so.12");
    CHOOSE(image, &choice, PMIX, "/app/train");
    assert_int_equal(choice.wireup, RENDEZVOUS_WIREUP_PMIX);
    assert_int_equal(choice.family, MPI_FAMILY_MPICH);
    assert_non_null(strstr(choice.words, "pmix, as the job says"));
    CHOOSE(image, &choice, AUTO, "/app/gone");
    assert_int_equal(choice.wireup, RENDEZVOUS_WIREUP_PMI1);
    assert_non_null(strstr(choice.words, "no MPI library was found"));
}

static void test_libraries_are_found_as_ld_so_finds_them(void **state)
{
    (void)state;
    static const struct {
        const char *what, *rpath, *runpath, *library_path, *place;
    } rows[] = {
        {"DT_RPATH", "/opt/a", NULL, NULL, "/opt/a/libsolver.so.1"},
        {"DT_RUNPATH", NULL, "/opt/a:/opt/b", NULL, "/opt/b/libsolver.so.1"},
        {"$ORIGIN", NULL, "$ORIGIN/../lib", NULL, "/app/lib/libsolver.so.1"},
        {"${ORIGIN}", "${ORIGIN}", NULL, NULL, "/app/bin/libsolver.so.1"},
        {"LD_LIBRARY_PATH", NULL, NULL, "/x:/opt/c", "/opt/c/libsolver.so.1"},
        {"the system's", NULL, NULL, NULL, "/usr/lib/libsolver.so.1"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_free struct image *image = new_image();
        struct mpi_wireup choice;
        const char *const command[] = {"/app/bin/train", NULL};
        struct mpi_wireup_input in = input(image, command);
        (void)add_elf(image, "/app/bin/train", "libsolver.so.1", rows[i].rpath, rows[i].runpath);
        in.library_path = rows[i].library_path;
        mpi_wireup_choose(&in, RENDEZVOUS_WIREUP_AUTO, &choice);
        assert_int_equal(choice.family, MPI_FAMILY_NONE);
        (void)add_elf(image, rows[i].place, "libmpi.so.40", NULL, NULL);
        mpi_wireup_choose(&in, RENDEZVOUS_WIREUP_AUTO, &choice);
        if (choice.family != MPI_FAMILY_OPEN_MPI)
            fail_msg("%s: %s", rows[i].what, choice.words);
        assert_string_equal(choice.file, ""); /* it is not there */
        (void)add_elf(image, "/usr/lib/libmpi.so.40", "", NULL, NULL);
        mpi_wireup_choose(&in, RENDEZVOUS_WIREUP_AUTO, &choice);
        assert_string_equal(choice.file, "/usr/lib/libmpi.so.40");
    }
}

static void test_a_library_for_another_machine_is_passed_over(void **state)
{
    (void)state;
    cleanup_free struct image *image = new_image();
    struct mpi_wireup choice;
    (void)add_elf(image, "/app/train", "libsolver.so.1", NULL, "/arm:/own");
    Elf64_Ehdr *arm =
        (Elf64_Ehdr *)(void *)add_elf(image, "/arm/libsolver.so.1", "libmpi.so.12", NULL, NULL);
    arm->e_machine = EM_AARCH64;
    (void)add_elf(image, "/own/libsolver.so.1", "libmpi.so.40", NULL, NULL);
    CHOOSE(image, &choice, AUTO, "/app/train");
    assert_int_equal(choice.family, MPI_FAMILY_OPEN_MPI);
}

static void test_libraries_that_need_each_other_are_looked_at_once(void **state)
{
    (void)state;
    cleanup_free struct image *image = new_image();
    struct mpi_wireup choice;
    (void)add_elf(image, "/app/train", "liba.so", NULL, NULL);
    (void)add_elf(image, "/lib/liba.so", "libb.so", NULL, NULL);
    (void)add_elf(image, "/lib/libb.so", "liba.so", NULL, NULL);
    CHOOSE(image, &choice, AUTO, "/app/train");
    assert_int_equal(choice.family, MPI_FAMILY_NONE);
}

/* glibc's cache with one entry behind a header of the old format. */
static void test_the_cache_of_ld_so_is_read(void **state)
{
    (void)state;
    cleanup_free struct image *image = new_image();
    struct mpi_wireup choice;
    char cache[512] = "ld.so-1.7.0";
    const char *magic = "glibc-ld.so.cache1.1", *name = "libsolver.so.1";
    const uint32_t at = 48 + 24, count = 1;
    const struct {
        int32_t flags;
        uint32_t name, path, version;
        uint64_t hardware;
    } entry = {.flags = 0x303, .name = at, .path = at + 32};
    char *start = cache + 16;
    memcpy(start, magic, strlen(magic));
    memcpy(start + 20, &count, sizeof count);
    memcpy(start + 48, &entry, sizeof entry);
    memcpy(start + at, name, strlen(name));
    memcpy(start + at + 32, "/opt/z/libsolver.so.1", 21);
    (void)add(image, "/etc/ld.so.cache", cache, sizeof cache);
    (void)add_elf(image, "/app/train", "libsolver.so.1", NULL, NULL);
    (void)add_elf(image, "/opt/z/libsolver.so.1", "libmpich.so.12", NULL, NULL);
    CHOOSE(image, &choice, AUTO, "/app/train");
    assert_int_equal(choice.family, MPI_FAMILY_MPICH);
}

/* Each prefix of each broken file: nothing is read beyond it (a sanitizer sees that). */
static void test_broken_files_are_as_if_they_were_not_there(void **state)
{
    (void)state;
    cleanup_free struct image *image = new_image();
    (void)add_elf(image, "/app/train", "libsolver.so.1 libmpi.so.40", "/a", "/b");
    size_t whole = image->files[0].length, names = whole - 1024;
    for (size_t length = 0; length < names + 2; length++) {
        struct mpi_wireup choice;
        image->files[0].length = length;
        CHOOSE(image, &choice, AUTO, "/app/train");
        assert_int_equal(choice.family, MPI_FAMILY_NONE);
    }
    image->files[0].length = whole;
    for (size_t at = 0; at < sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr); at++) {
        struct mpi_wireup choice;
        char before = image->files[0].bytes[at];
        image->files[0].bytes[at] = (char)0xff;
        CHOOSE(image, &choice, AUTO, "/app/train");
        image->files[0].bytes[at] = before;
    }
}

static void test_scripts_are_asked_for_the_programs_they_name(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        enum mpi_family family;
    } rows[] = {
        {"#!/bin/sh\ncd /data\nexec /app/train --x\n", MPI_FAMILY_OPEN_MPI},
        {"#! /usr/bin/env bash\nset -e; OMP_NUM_THREADS=2 train \"$@\"\n", MPI_FAMILY_OPEN_MPI},
        {"#!/bin/sh\n# /app/train\necho nothing\n", MPI_FAMILY_NONE},
        {"#!/bin/sh\nother\n", MPI_FAMILY_OPEN_MPI}, /* a script that calls the program */
        {"#!/bin/sh\nmpirun -n 4 /app/train\n", MPI_FAMILY_MPIRUN},
        {"#!/bin/sh\nloop\n", MPI_FAMILY_NONE}, /* a script that calls itself */
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_free struct image *image = new_image();
        struct mpi_wireup choice;
        (void)add_elf(image, "/app/train", "libmpi.so.40", NULL, NULL);
        (void)add_elf(image, "/bin/echo", "libc.so.6", NULL, NULL);
        add_link(image, "/usr/bin/train", "/app/train");
        add_text(image, "/usr/bin/other", "#!/bin/sh\nexec train\n");
        add_text(image, "/usr/bin/loop", "#!/bin/sh\nloop\n");
        add_text(image, "/run.sh", rows[i].script);
        CHOOSE(image, &choice, AUTO, "/run.sh");
        if (choice.family != rows[i].family)
            fail_msg("%s: %s", rows[i].script, choice.words);
        if (rows[i].family == MPI_FAMILY_MPIRUN)
            assert_int_equal(choice.wireup, RENDEZVOUS_WIREUP_RSH);
        CHOOSE(image, &choice, PMIX, "/run.sh"); /* as the job says, with a word about it */
        assert_int_equal(choice.wireup, RENDEZVOUS_WIREUP_PMIX);
        if (rows[i].family == MPI_FAMILY_MPIRUN)
            assert_non_null(strstr(choice.words, "the wire-up rsh is for that"));
        add_text(image, "./here.sh", rows[i].script);
        CHOOSE(image, &choice, AUTO, "sh", "here.sh"); /* not in PATH */
        if (choice.family != rows[i].family)
            fail_msg("sh here.sh, %s: %s", rows[i].script, choice.words);
        CHOOSE(image, &choice, AUTO, "bash", "-euo", "pipefail", "/run.sh");
        assert_int_equal(choice.family, rows[i].family);
        CHOOSE(image, &choice, AUTO, "nohup", "env", "A=b", "sh", "-c", rows[i].script);
        assert_int_equal(choice.family, rows[i].family);
    }
}

/* Each line of a script that names itself once led to all of its lines again, eight times deep. */
static void test_a_script_that_names_itself_often_is_looked_at_once(void **state)
{
    (void)state;
    cleanup_free struct image *image = new_image();
    struct mpi_wireup choice;
    char text[1024] = "#!/bin/sh\n";
    for (unsigned i = 0; i < 12; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "again || other\n");
    add_text(image, "/usr/bin/again", text);
    add_text(image, "/usr/bin/other", text);
    CHOOSE(image, &choice, AUTO, "again");
    assert_int_equal(choice.family, MPI_FAMILY_NONE);
    assert_false(choice.cut_short);
    if (image->reads > 1000)
        fail_msg("%u reads", image->reads);
    (void)add_elf(image, "/app/train", "libmpi.so.40", NULL, NULL);
    image->reads = 0;
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), "exec /app/train\n");
    add_text(image, "/run.sh", text);
    CHOOSE(image, &choice, AUTO, "/run.sh");
    assert_int_equal(choice.family, MPI_FAMILY_OPEN_MPI);
    if (image->reads > 1000)
        fail_msg("%u reads", image->reads);
}

static void test_a_chain_of_scripts_that_is_too_long_is_told(void **state)
{
    (void)state;
    static const char *const names[] = {"/a/1", "/a/2", "/a/3", "/a/4",      "/a/5",
                                        "/a/6", "/a/7", "/a/8", "/app/train"};
    cleanup_free struct image *image = new_image();
    struct mpi_wireup choice;
    char text[64];
    for (unsigned i = 0; i < 8; i++) {
        (void)snprintf(text, sizeof text, "#!/bin/sh\n%s\n", names[i + 1]);
        add_text(image, names[i], text);
    }
    (void)add_elf(image, "/app/train", "libmpi.so.40", NULL, NULL);
    CHOOSE(image, &choice, AUTO, "/a/1");
    assert_int_equal(choice.family, MPI_FAMILY_OPEN_MPI);
    assert_false(choice.cut_short);
    CHOOSE(image, &choice, AUTO, "sh", "-c", "/a/1");
    assert_int_equal(choice.family, MPI_FAMILY_NONE);
    assert_true(choice.cut_short);
    CHOOSE(image, &choice, AUTO, "sh", "-c", "/a/2; /a/1");
    assert_int_equal(choice.family, MPI_FAMILY_OPEN_MPI);
}

static void test_shells_in_shells_end_at_a_maximum(void **state)
{
    (void)state;
    static const char *command[3 * 20000 + 1];
    cleanup_free struct image *image = new_image();
    struct mpi_wireup choice;
    struct mpi_wireup_input in = input(image, command);
    for (unsigned i = 0; i < 3 * 20000; i++)
        command[i] = i % 3 == 0 ? "sh" : i % 3 == 1 ? "-c" : ":";
    mpi_wireup_choose(&in, RENDEZVOUS_WIREUP_AUTO, &choice);
    assert_true(choice.cut_short);
}

/* Every name is a script that names 60 others, and so on without an end. */
static ssize_t read_endless(void *arg, const char *path, uint64_t offset, void *to, size_t size)
{
    char text[2048] = "#!/bin/sh\n";
    unsigned *reads = arg;
    (*reads)++;
    if (strncmp(path, "/s/", 3) != 0)
        return -ENOENT;
    for (unsigned i = 0; i < 60; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%c\n", path,
                       (char)('A' + i));
    size_t n = offset < strlen(text) ? strlen(text) - offset : 0;
    n = n < size ? n : size;
    memcpy(to, text + (n ? offset : 0), n);
    return (ssize_t)n;
}

static int list_nothing(void *arg, const char *folder, bool (*name)(void *, const char *),
                        void *context)
{
    (void)arg, (void)folder, (void)name, (void)context;
    return -ENOENT;
}

static int resolve_nothing(void *arg, const char *path, char *to)
{
    (void)arg, (void)path, (void)to;
    return -ENOENT;
}

static void choose_of(void *arg, ssize_t (*read)(void *, const char *, uint64_t, void *, size_t),
                      const char *text, struct mpi_wireup *ret)
{
    const char *const command[] = {"sh", "-c", text, NULL};
    const struct mpi_wireup_input in = {
        .command = command,
        .path = "/usr/bin:/bin",
        .files = {.arg = arg, .read = read, .list = list_nothing, .resolve = resolve_nothing}};
    mpi_wireup_choose(&in, RENDEZVOUS_WIREUP_AUTO, ret);
}

static void test_scripts_without_an_end_are_left_at_a_maximum(void **state)
{
    (void)state;
    struct mpi_wireup choice;
    unsigned reads = 0;
    choose_of(&reads, read_endless, "/s/x", &choice);
    assert_true(choice.cut_short);
    assert_int_equal(choice.family, MPI_FAMILY_NONE);
    assert_int_equal(choice.wireup, RENDEZVOUS_WIREUP_PMI1);
    assert_string_equal(choice.words, "MPI wire-up pmi1: the command names more files than are "
                                      "looked at, and among the first no MPI library was found");
    assert_true(reads < 2 * MPI_WIREUP_CALLS_MAX);
}

/* Nothing but one library: all questions go into words that name nothing. */
static ssize_t read_library(void *arg, const char *path, uint64_t offset, void *to, size_t size)
{
    static const char *const library = "/usr/lib/libmpi.so.40";
    struct image *image = arg;
    return strcmp(path, library) == 0 ? read_file(image, path, offset, to, size)
                                      : (image->reads++, -ENOENT);
}

static void test_the_image_decides_when_the_command_has_cost_too_much(void **state)
{
    (void)state;
    cleanup_free struct image *image = new_image();
    cleanup_free char *text = malloc(MPI_WIREUP_SCRIPT_MAX + 1);
    struct mpi_wireup choice;
    assert_non_null(text);
    for (size_t i = 0; i < MPI_WIREUP_SCRIPT_MAX; i++)
        text[i] = i % 2 ? ' ' : 'x';
    text[MPI_WIREUP_SCRIPT_MAX] = '\0';
    (void)add_elf(image, "/usr/lib/libmpi.so.40", "libc.so.6", NULL, NULL);
    choose_of(image, read_library, text, &choice);
    assert_true(image->reads < MPI_WIREUP_CALLS_MAX + 1000);
    assert_true(choice.cut_short && choice.of_image);
    assert_int_equal(choice.wireup, RENDEZVOUS_WIREUP_PMIX);
    assert_non_null(strstr(choice.words, "names more files than are looked at, and the image has "
                                         "/usr/lib/libmpi.so.40 (Open MPI)"));
}

static void test_a_shell_s_text_names_programs_from_where_it_has_gone(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum mpi_family family;
    } rows[] = {
        {"cd '/app'; exec ./train", MPI_FAMILY_MPICH},
        {"cd /app && bin/train", MPI_FAMILY_MPICH},
        {"cd -P /app\ncd bin\n./train", MPI_FAMILY_MPICH},
        {"cd /nowhere; ./here", MPI_FAMILY_MPICH}, /* a cd that fails, or is undone */
        {"cd $DIR; ./train", MPI_FAMILY_OPEN_MPI}, /* the image's */
        {"cd /; ./train", MPI_FAMILY_OPEN_MPI},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_free struct image *image = new_image();
        struct mpi_wireup choice;
        (void)add_elf(image, "/app/train", "libmpich.so.12", NULL, NULL);
        (void)add_elf(image, "/app/bin/train", "libmpich.so.12", NULL, NULL);
        (void)add_elf(image, "./here", "libmpich.so.12", NULL, NULL);
        (void)add_elf(image, "/usr/lib/libmpi.so.40", "libc.so.6", NULL, NULL);
        CHOOSE(image, &choice, AUTO, "bash", "-c", rows[i].text);
        if (choice.family != rows[i].family)
            fail_msg("%s: %s", rows[i].text, choice.words);
    }
}

static void test_a_shell_s_arguments_and_mpi_s_compiler_tell(void **state)
{
    (void)state;
    cleanup_free struct image *image = new_image();
    struct mpi_wireup choice;
    (void)add_elf(image, "/app/train", "libmpich.so.12", NULL, NULL);
    (void)add_elf(image, "/usr/bin/opal_wrapper", "libopen-pal.so.40", NULL, NULL);
    add_link(image, "/usr/bin/mpicc", "/usr/bin/opal_wrapper");
    add_text(image, "/usr/bin/mpicc.mpich", "#!/bin/sh\n# more\ncc \"$@\" -lmpich\n");
    CHOOSE(image, &choice, AUTO, "sh", "-c", "cd /; exec \"$0\" \"$@\"", "/app/train", "-x");
    assert_int_equal(choice.family, MPI_FAMILY_MPICH);
    CHOOSE(image, &choice, AUTO, "sh", "-c", "mpicc -o /tmp/a a.c && exec /tmp/a");
    assert_int_equal(choice.family, MPI_FAMILY_OPEN_MPI);
    CHOOSE(image, &choice, AUTO, "sh", "-c", "mpicc.mpich -o /tmp/a a.c && exec /tmp/a");
    assert_int_equal(choice.family, MPI_FAMILY_MPICH);
}

static void test_python_is_asked_for_its_mpi4py(void **state)
{
    (void)state;
    static const struct {
        const char *module, *python_path, *command;
    } rows[] = {
        {"/usr/lib/python3/dist-packages/mpi4py/MPI.cpython-311-x86_64-linux-gnu.so", NULL,
         "python3"},
        {"/usr/local/lib/python3.11/dist-packages/mpi4py/MPI.so", NULL, "/usr/bin/python3"},
        {"/venv/lib/python3.11/site-packages/mpi4py/MPI.abi3.so", NULL, "/venv/bin/python"},
        {"/extra/mpi4py/MPI.cpython-311-x86_64-linux-gnu.so", "/none:/extra", "python3.11"},
        {"/usr/lib/python3/dist-packages/mpi4py/MPI.so", NULL, "/run.py"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_free struct image *image = new_image();
        struct mpi_wireup choice;
        (void)add_elf(image, "/usr/bin/python3.11", "libc.so.6", NULL, NULL);
        add_link(image, "/usr/bin/python3", "/usr/bin/python3.11");
        add_link(image, "/venv/bin/python", "/usr/bin/python3");
        add_text(image, "/run.py", "#!/usr/bin/env python3\nimport mpi4py\n");
        const char *const command[] = {rows[i].command, "train.py", NULL};
        struct mpi_wireup_input in = input(image, command);
        in.python_path = rows[i].python_path;
        mpi_wireup_choose(&in, RENDEZVOUS_WIREUP_AUTO, &choice);
        assert_int_equal(choice.family, MPI_FAMILY_NONE);
        (void)add_elf(image, rows[i].module, "libmpich.so.12", NULL, NULL);
        mpi_wireup_choose(&in, RENDEZVOUS_WIREUP_AUTO, &choice);
        if (choice.family != MPI_FAMILY_MPICH)
            fail_msg("%s: %s", rows[i].module, choice.words);
    }
}

/* mpi4py's wheels bring one module for each MPI. */
static void test_what_the_program_leaves_open_the_image_decides(void **state)
{
    (void)state;
    cleanup_free struct image *image = new_image();
    struct mpi_wireup choice;
    (void)add_elf(image, "/usr/bin/python3", "libc.so.6", NULL, NULL);
    (void)add_elf(image, "/usr/lib/python3/dist-packages/mpi4py/MPI.mpich.so", "libmpi.so.12", NULL,
                  NULL);
    (void)add_elf(image, "/usr/lib/python3/dist-packages/mpi4py/MPI.openmpi.so", "libmpi.so.40",
                  NULL, NULL);
    CHOOSE(image, &choice, AUTO, "python3", "train.py");
    assert_int_equal(choice.family, MPI_FAMILY_NONE);
    /* A virtual environment with an MPI of its own. */
    add_link(image, "/venv/bin/python", "/usr/bin/python3");
    (void)add_elf(image, "/venv/lib/libmpi.so.12", "libc.so.6", NULL, NULL);
    CHOOSE(image, &choice, AUTO, "/venv/bin/python", "train.py");
    assert_int_equal(choice.family, MPI_FAMILY_MPICH);
    assert_false(choice.of_image);
    (void)add_elf(image, "/usr/lib64/libmpich.so.12", "libc.so.6", NULL, NULL);
    CHOOSE(image, &choice, AUTO, "python3", "train.py");
    assert_int_equal(choice.wireup, RENDEZVOUS_WIREUP_PMI1);
    assert_string_equal(choice.library, "/usr/lib64/libmpich.so.12");
    assert_non_null(strstr(choice.words, "the image has /usr/lib64/libmpich.so.12"));
    (void)add_elf(image, "/lib64/libmpi.so.40", "libc.so.6", NULL, NULL);
    CHOOSE(image, &choice, AUTO, "python3", "train.py");
    assert_int_equal(choice.wireup, RENDEZVOUS_WIREUP_PMIX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_program_s_own_library_decides),
        cmocka_unit_test(test_the_words_say_what_was_chosen_and_why),
        cmocka_unit_test(test_libraries_are_found_as_ld_so_finds_them),
        cmocka_unit_test(test_a_library_for_another_machine_is_passed_over),
        cmocka_unit_test(test_libraries_that_need_each_other_are_looked_at_once),
        cmocka_unit_test(test_the_cache_of_ld_so_is_read),
        cmocka_unit_test(test_broken_files_are_as_if_they_were_not_there),
        cmocka_unit_test(test_scripts_are_asked_for_the_programs_they_name),
        cmocka_unit_test(test_a_script_that_names_itself_often_is_looked_at_once),
        cmocka_unit_test(test_a_chain_of_scripts_that_is_too_long_is_told),
        cmocka_unit_test(test_shells_in_shells_end_at_a_maximum),
        cmocka_unit_test(test_scripts_without_an_end_are_left_at_a_maximum),
        cmocka_unit_test(test_the_image_decides_when_the_command_has_cost_too_much),
        cmocka_unit_test(test_a_shell_s_text_names_programs_from_where_it_has_gone),
        cmocka_unit_test(test_a_shell_s_arguments_and_mpi_s_compiler_tell),
        cmocka_unit_test(test_python_is_asked_for_its_mpi4py),
        cmocka_unit_test(test_what_the_program_leaves_open_the_image_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
