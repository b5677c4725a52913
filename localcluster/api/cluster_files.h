/* The files of a cluster's folder that belong to the API server: certificates, token, port,
 * kubeconfig. Private to localcluster/api. */
#ifndef LOCALCLUSTER_API_CLUSTER_FILES_H
#define LOCALCLUSTER_API_CLUSTER_FILES_H

#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"

#define CLUSTER_FILE_MAX (256u * 1024) /* bytes of one of these files */

struct cluster_files {
    char *ca_certificate, *certificate, *key; /* PEM */
    char *token;
    uint16_t port; /* 0: not chosen yet */
};

/* Reads what is in `dir` and creates what is missing (the folder with mode 0700, secrets with
 * 0600). Files that somebody else could have written are refused. */
int cluster_files_load(const char *dir, struct cluster_files *ret,
                       struct mlt_error *err) MLT_MUST_USE;
void cluster_files_release(struct cluster_files *f);

/* Keeps the port for the next start. */
int cluster_files_save_port(const char *dir, uint16_t port, struct mlt_error *err) MLT_MUST_USE;

/* Writes DIR/kubeconfig for https://127.0.0.1:port; context and cluster are called mltrain-NAME. */
int cluster_files_save_kubeconfig(const char *dir, const char *name, const struct cluster_files *f,
                                  uint16_t port, struct mlt_error *err) MLT_MUST_USE;

/* Writes a file as a whole or not at all: DIR/.NAME.tmp, then rename. */
int cluster_file_write(const char *dir, const char *name, const char *data, size_t length,
                       struct mlt_error *err) MLT_MUST_USE;

#endif
