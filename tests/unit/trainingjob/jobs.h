/* Objects for the tests of trainingjob/. */
#ifndef TESTS_JOBS_H
#define TESTS_JOBS_H

#include "lib/json/json.h"

/* A job that uses every field that is in use; a small one; both valid. The caller frees them. */
cJSON *full_job(void);
cJSON *small_job(void);

/* A status with every field. */
cJSON *full_status(void);

/* Parses or fails the test. */
cJSON *parse_yaml(const char *text);
cJSON *parse_json(const char *text);

/* A copy of `object` with the value at an RFC 6901 pointer set to `value` (JSON); NULL removes it.
 */
cJSON *with(const cJSON *object, const char *pointer, const char *value);

/* The same for a row of invalid.yaml or updates.yaml: {at, value} or {at, remove: true}. */
cJSON *with_row(const cJSON *object, const cJSON *row);

/* A document of the source tree, for example "crds/trainingjobs.yaml". */
cJSON *read_yaml_file(const char *name);

#endif
