/* Which way MPI ranks find each other: chosen by the MPI library that the program uses. Pure: files
 * of the image come in through a table of two calls.
 *
 * Looked at, in this order, until one of them tells:
 *   1. the program: its ELF file and what that is linked to (DT_NEEDED, found as ld.so(8) finds
 *      it: DT_RPATH, LD_LIBRARY_PATH, DT_RUNPATH, ld.so.cache, the system's folders);
 *   2. of a Python program, mpi4py's extension module in the folders that this interpreter
 * searches;
 *   3. of a shell script or `sh -c` text, the programs that it names, its arguments, MPI's
 * compiler;
 *   4. what the image has: an MPI library in LD_LIBRARY_PATH, ld.so.cache or the system's folders.
 * A program that is linked to none, in an image without any, gets PMI-1: it costs a socket and
 * hurts nobody, and a program with MPICH linked statically looks like that. */
#ifndef LAUNCHER_MPI_WIREUP_H
#define LAUNCHER_MPI_WIREUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "rendezvous/message.h"

#define MPI_WIREUP_WORDS_MAX 512
#define MPI_WIREUP_PATH_MAX 1024        /* bytes of a path that is looked at */
#define MPI_WIREUP_OBJECTS_MAX 256      /* ELF files of one program */
#define MPI_WIREUP_DEPTH_MAX 8          /* interpreter of an interpreter, script in a script */
#define MPI_WIREUP_SCRIPT_MAX 65536     /* bytes of a script */
#define MPI_WIREUP_PROGRAMS_MAX 64      /* words of a script that name a program */
#define MPI_WIREUP_CACHE_MAX (4u << 20) /* bytes of /etc/ld.so.cache */
#define MPI_WIREUP_FILES_MAX 512        /* programs and scripts that one command names */
#define MPI_WIREUP_CALLS_MAX 65536      /* of struct mpi_files for one command */

/* The image's files. */
struct mpi_files {
    void *arg;
    /* Up to `size` bytes of a regular file from `offset`; their number, or -errno. */
    ssize_t (*read)(void *arg, const char *path, uint64_t offset, void *to, size_t size);
    /* Calls `name` for each entry of a folder until it returns false; 0 or -errno. */
    int (*list)(void *arg, const char *folder, bool (*name)(void *context, const char *name),
                void *context);
    /* What the path is when all symbolic links are followed: into `to`, which holds
     * MPI_WIREUP_PATH_MAX bytes; 0 or -errno. */
    int (*resolve)(void *arg, const char *path, char *to);
};

struct mpi_wireup_input {
    const char *const *command;                    /* ends with NULL */
    const char *path, *library_path, *python_path; /* the rank's PATH, LD_LIBRARY_PATH, PYTHONPATH;
                                                      NULL: not set */
    struct mpi_files files;
};

enum mpi_family {
    MPI_FAMILY_NONE,
    MPI_FAMILY_OPEN_MPI,
    MPI_FAMILY_MPICH,  /* and all with its binary interface: Intel MPI, MVAPICH, Cray MPI */
    MPI_FAMILY_MPIRUN, /* the command calls mpirun or mpiexec itself */
};

struct mpi_wireup {
    enum rendezvous_wireup wireup;     /* never AUTO */
    enum mpi_family family;            /* that was found, whatever was asked for */
    bool of_image;                     /* in the image, for the command does not tell */
    bool cut_short;                    /* it does not tell, and a maximum was met meanwhile */
    char words[MPI_WIREUP_WORDS_MAX];  /* what was chosen and why, one line */
    char file[MPI_WIREUP_PATH_MAX];    /* that library's, where the program finds it; "" */
    char library[MPI_WIREUP_PATH_MAX]; /* file name of the MPI library that was found; "" */
};

/* `asked`: the job's own choice; AUTO leaves it to what is found. Never fails: what cannot be read
 * is as if it was not there. Each program and script is looked at once. A command that names more
 * than MPI_WIREUP_FILES_MAX of them, or for which the files would be asked more than
 * MPI_WIREUP_CALLS_MAX times (a script of 64 KiB has some 8,000 words, and PATH some 8 folders), is
 * looked at no further: then the image decides, and `cut_short` and `words` say so. */
void mpi_wireup_choose(const struct mpi_wireup_input *in, enum rendezvous_wireup asked,
                       struct mpi_wireup *ret);

/* Which MPI a file name belongs to ("libmpi.so.40", "/usr/lib/libmpich.so.12.2.2"). */
enum mpi_family mpi_family_of_library(const char *path);

#endif
