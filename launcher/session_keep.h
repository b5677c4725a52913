/* Open MPI's session folders: TMPDIR/ompi.HOST.UID/FAMILY/JOB, made by the ranks of a pod together,
 * and removed by the last that ends. A rank that runs a second program makes them anew, while one
 * that is slower removes those of its first: then the first one's MPI_Init fails. Its own starter
 * has no such case. */
#ifndef LAUNCHER_SESSION_KEEP_H
#define LAUNCHER_SESSION_KEEP_H

#include <stdbool.h>

#define SESSION_KEEP_FOLDERS_MAX 64 /* looked at in all */
/* In each of them an empty folder with a name that Open MPI spares (orte_dir_check_file() of 4). */
#define SESSION_KEEP_NAME "output-kept"

/* Makes those that are below `folder` stay. False: there is none yet. */
bool session_keep(const char *folder);

#endif
