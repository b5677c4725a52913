/* Finds programs and libraries in an image as execvp(3) and ld.so(8) do, and the MPI library in all
 * that a program is linked to. Pure. */
#ifndef LAUNCHER_MPI_FIND_H
#define LAUNCHER_MPI_FIND_H

#include <stdbool.h>
#include "launcher/mpi_elf.h"
#include "launcher/mpi_wireup.h"

struct mpi_find {
    const struct mpi_wireup_input *in;
    struct mpi_files files; /* in->files, counted: with MPI_WIREUP_CALLS_MAX used up, nothing more
                               is there */
    unsigned calls;         /* of `files` */
    bool is_cut;            /* a maximum was met: something was not looked at */
    char *cache;            /* /etc/ld.so.cache; NULL: none */
    size_t cache_length;
    unsigned programs_count; /* that mpi_find_is_new() was asked for */
    char *programs[MPI_WIREUP_FILES_MAX];
};

/* `f` stays where it is until it is released: `files` points to it. */
void mpi_find_init(struct mpi_find *f, const struct mpi_wireup_input *in);
void mpi_find_release(struct mpi_find *f);

/* Is this program to be looked at? Not for a second time, since it told nothing the first time; not
 * when there are too many: `is_cut` says so. */
bool mpi_find_is_new(struct mpi_find *f, const char *path);

/* What was found, and where. */
struct mpi_finding {
    enum mpi_family family;
    char object[MPI_WIREUP_PATH_MAX];  /* the program, extension module or library that needs it */
    char library[MPI_WIREUP_PATH_MAX]; /* "libmpi.so.40" */
    char file[MPI_WIREUP_PATH_MAX];    /* where it finds that library; "" : nowhere */
};

/* The file of a command's first word; false when there is none. */
bool mpi_find_program(struct mpi_find *f, const char *word, char *ret);

/* Does the file begin like this? */
bool mpi_find_begins(struct mpi_find *f, const char *path, const char *magic);

/* The MPI library that an ELF file needs, itself or through others, breadth first. False: none. */
bool mpi_find_linked(struct mpi_find *f, const char *path, struct mpi_finding *ret);

/* The file of a library that any program of the image finds. `machine`: e_machine, 0 for any. */
bool mpi_find_library(struct mpi_find *f, const char *name, const struct mpi_elf *by,
                      const char *by_path, char *ret);

#endif
