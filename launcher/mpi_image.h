/* The files of this container, for mpi_wireup_choose(). */
#ifndef LAUNCHER_MPI_IMAGE_H
#define LAUNCHER_MPI_IMAGE_H

#include "launcher/mpi_wireup.h"

/* Regular files only, opened without waiting: a FIFO in the way stops nobody. */
struct mpi_files mpi_image_files(void);

/* The file name of an MPI library that one of these processes has mapped (/proc/PID/maps), into
 * `ret`, which holds `size` bytes; false: none. Reads at most MPI_IMAGE_MAPS_MAX bytes of each. */
#define MPI_IMAGE_MAPS_MAX (4u << 20)
bool mpi_image_mapped(pid_t pid, char *ret, size_t size);

#endif
