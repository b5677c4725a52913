/* What an ELF file says about what it is linked to. Pure: its bytes come in through struct
 * mpi_files. Layout: elf(5), https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html */
#ifndef LAUNCHER_MPI_ELF_H
#define LAUNCHER_MPI_ELF_H

#include "launcher/mpi_wireup.h"

#define MPI_ELF_SEGMENTS_MAX 64
#define MPI_ELF_DYNAMIC_MAX 1024  /* entries of the dynamic section */
#define MPI_ELF_NEEDED_MAX 128    /* libraries */
#define MPI_ELF_STRINGS_MAX 16384 /* bytes of all names together */
#define MPI_ELF_SECTIONS_MAX 256
#define MPI_ELF_SYMBOLS_MAX 262144           /* that a library exports */
#define MPI_ELF_SYMBOL_NAMES_MAX (16u << 20) /* bytes of their names */

struct mpi_elf {
    const char *needed[MPI_ELF_NEEDED_MAX]; /* point into strings */
    unsigned needed_count;
    const char *rpath, *runpath; /* "" for none */
    uint16_t machine;            /* e_machine */
    char strings[MPI_ELF_STRINGS_MAX];
    size_t strings_length;
};

/* 0; -ENOEXEC when it is no ELF file of this machine's byte order with 64 bits; -EPROTO when it is
 * broken; -errno of reading. A static program needs nothing. What is over a maximum is left out. */
int mpi_elf_read(const struct mpi_files *files, const char *path, struct mpi_elf *ret);

/* Where a variable of `size` bytes lies that a shared library exports and that is 0 when the
 * library is loaded: from where it is loaded. -ENOENT when there is none like that, or when the
 * library is not loaded from its beginning; else as above, and -E2BIG, -ENOMEM. */
int mpi_elf_zeroed(const struct mpi_files *files, const char *path, const char *name, size_t size,
                   uint64_t *ret_offset);

#endif
