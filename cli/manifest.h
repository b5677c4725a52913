/* Manifests for `run` and `submit`: from files, from standard input, or made from a command line.
 */
#ifndef CLI_MANIFEST_H
#define CLI_MANIFEST_H

#include <cjson/cJSON.h>
#include "cli/cli.h"
#include "lib/base/error.h"

#define MANIFEST_DOCUMENTS_MAX 256

/* Reads all documents of a YAML or JSON file ("-": standard input) into an array; each must have
 * apiVersion, kind and metadata.name (or generateName). -EINVAL with file and document. The caller
 * frees *ret_documents. */
int manifest_read(const char *file, cJSON **ret_documents, struct mlt_error *err) MLT_MUST_USE;

/* The one TrainingJob among the documents: -EINVAL when there is none or more than one, or when it
 * is not valid (with the field's path). Owned by the array. */
int manifest_job(const cJSON *documents, cJSON **ret_job, struct mlt_error *err) MLT_MUST_USE;

/* What `mltrain run --nproc N [--nnodes M] -- COMMAND...` means. */
struct manifest_command {
    const char *name; /* NULL: made from the command's name */
    int nproc, nnodes;
    const char *framework;       /* pytorch | plain */
    const char *checkpoint_path; /* NULL: none */
    int max_restarts;
    int gpus_per_pod;        /* 0: none asked */
    const char *const *argv; /* NULL-terminated */
    const char *const
        *environment;   /* of the caller: what is passed on is chosen inside; NULL-terminated */
    const char *folder; /* the working directory, absolute; bound into the pods at the same place */
    unsigned long unique; /* makes the name differ from run to run */
};

/* A TrainingJob in an array, like manifest_read(). Pure. */
cJSON *manifest_from_command(const struct manifest_command *command);

/* Creates every document, or replaces those that are there (TrainingJobs are only created).
 * `namespace_` is used where a document names none. *ret_job gets the created TrainingJob (may be
 * NULL). -EEXIST for a job that is there. */
int manifest_apply(struct cli *c, const cJSON *documents, cJSON **ret_job,
                   struct mlt_error *err) MLT_MUST_USE;

/* Deletes what manifest_apply() made, jobs last; errors do not stop it. */
void manifest_delete(struct cli *c, const cJSON *documents);

#endif
