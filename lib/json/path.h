/* Paths such as "status.conditions[0].type", step by step. Shared by find.c and build.c. */
#ifndef JSON_PATH_H
#define JSON_PATH_H

#include "lib/json/internal.h"

struct json_step {
    const char *name; /* part of the path, not NUL-terminated */
    size_t length;
    bool bracket; /* it stood in [...] */
};

/* Takes the next step off *path; false at the end. */
bool json_path_next(const char **path, struct json_step *step);

#endif
