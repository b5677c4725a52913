/* See seeds.h. */
#include "tests/property/seeds/seeds.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/base/number.h"

/* The environment's number of this name, or `otherwise`; what is no number fails the test. */
static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    int64_t value = (int64_t)otherwise;
    if (text && mlt_parse_integer(text, 0, INT64_MAX, &value, NULL) < 0)
        fail_msg("%s: `%s` is not a number", name, text);
    return (uint64_t)value;
}

struct seeds_range seeds_range(const char *prefix, uint64_t otherwise)
{
    char one[64], many[64];
    (void)snprintf(one, sizeof one, "%s_SEED", prefix);
    (void)snprintf(many, sizeof many, "%s_SEEDS", prefix);
    uint64_t first = setting(one, 1);
    return (struct seeds_range){first, getenv(one) ? 1 : setting(many, otherwise)};
}

void seeds_catch_mistakes(const struct seeds_mistake *mistakes, size_t count, seeds_run *run,
                          uint64_t max)
{
    for (size_t i = 0; i < count; i++) {
        const char *violation = NULL;
        uint64_t seed = 0;
        while (!violation && seed < max)
            violation = run(++seed, mistakes[i].bug);
        if (!violation)
            fail_msg("%s went unnoticed over %" PRIu64 " seeds", mistakes[i].sentence, max);
        else
            printf("%s: noticed with seed %" PRIu64 ": %s\n", mistakes[i].sentence, seed,
                   violation);
    }
}
