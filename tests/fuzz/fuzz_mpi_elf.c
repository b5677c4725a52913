/* A program of an image: the same bytes are the command, a library that it needs, ld.so's cache and
 * a shell script. Of other names one in four is there. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdbool.h>

#include "launcher/mpi_elf.h"
#include "launcher/mpi_wireup.h"

struct image {
    const uint8_t *data;
    size_t size;
};

/* Were every word of a script a program, and so the same script, little else would be looked at. */
static bool is_there(const char *path)
{
    static const char *const names[] = {"/bin/program", "/s.sh", "/bin/python3", "/etc/ld.so.cache",
                                        "/p/mpi4py/MPI.so"};
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(path, names[i]) == 0)
            return true;
    for (; *path; path++)
        sum += (unsigned char)*path;
    return sum % 4 == 0;
}

static ssize_t read_image(void *arg, const char *path, uint64_t offset, void *to, size_t size)
{
    const struct image *image = arg;
    REQUIRE(strlen(path) < MPI_WIREUP_PATH_MAX);
    if (!is_there(path))
        return -ENOENT;
    if (offset >= image->size)
        return 0;
    size_t n = image->size - (size_t)offset;
    n = n < size ? n : size;
    memcpy(to, image->data + offset, n);
    return (ssize_t)n;
}

static int list_image(void *arg, const char *folder, bool (*name)(void *, const char *),
                      void *context)
{
    (void)arg;
    REQUIRE(strlen(folder) < MPI_WIREUP_PATH_MAX);
    return name(context, "MPI.so") && name(context, "python3.11") ? 0 : -EIO;
}

static int resolve_image(void *arg, const char *path, char *to)
{
    (void)arg;
    (void)snprintf(to, MPI_WIREUP_PATH_MAX, "%s", path);
    return 0;
}

static void choose(const struct mpi_files *files, const char *const *command)
{
    struct mpi_wireup choice;
    const struct mpi_wireup_input in = {.command = command,
                                        .path = "/bin",
                                        .library_path = "/a:$ORIGIN/b",
                                        .python_path = "/p",
                                        .files = *files};
    mpi_wireup_choose(&in, RENDEZVOUS_WIREUP_AUTO, &choice);
    bool is_mpirun = choice.family == MPI_FAMILY_MPIRUN;
    REQUIRE(choice.wireup == RENDEZVOUS_WIREUP_PMIX || choice.wireup == RENDEZVOUS_WIREUP_PMI1 ||
            choice.wireup == RENDEZVOUS_WIREUP_RSH);
    REQUIRE(is_mpirun == (choice.wireup == RENDEZVOUS_WIREUP_RSH));
    REQUIRE(choice.words[0] && strlen(choice.words) < sizeof choice.words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 16)
        return 0;
    const struct image image = {.data = data, .size = size};
    const struct mpi_files files = {.arg = (void *)(uintptr_t)&image,
                                    .read = read_image,
                                    .list = list_image,
                                    .resolve = resolve_image};
    struct mpi_elf *elf = malloc(sizeof *elf); /* on the heap: a sanitizer sees its end */
    REQUIRE(elf);
    if (mpi_elf_read(&files, "/bin/program", elf) == 0)
        for (unsigned i = 0; i < elf->needed_count; i++)
            REQUIRE(strlen(elf->needed[i]) < MPI_WIREUP_PATH_MAX);
    free(elf);
    uint64_t offset = 0;
    if (mpi_elf_zeroed(&files, "/bin/program", "ompi_mpi_state", 4, &offset) < 0)
        REQUIRE(offset == 0);
    char *text = fuzz_text(data, size);
    const char *const program[] = {"/bin/program", NULL}, *const script[] = {"sh", "/s.sh", NULL},
                      *const python[] = {"python3", "train.py", NULL},
                      *const words[] = {"bash", "-c", text, "/none", NULL};
    choose(&files, program);
    choose(&files, script);
    choose(&files, python);
    choose(&files, words);
    free(text);
    return 0;
}
