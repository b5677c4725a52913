/* Every field of a TrainingJob wrong once, with the words that must come back. Shared by the test
 * of the validator and, in the continuous integration, by a comparison with a real API server's. */
#ifndef TESTS_INVALID_JOBS_H
#define TESTS_INVALID_JOBS_H

#include <stddef.h>

struct invalid_row {
    const char *pointer, *value; /* set in the full job; NULL value: removed */
    const char *message;         /* the beginning of the message */
};

extern const struct invalid_row invalid_rows[];
extern const size_t invalid_rows_count;

#endif
