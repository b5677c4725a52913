/* See seeds.h. */
#include "tests/property/seeds/seeds.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/base/number.h"

int64_t seeds_setting(const char *name, int64_t otherwise)
{
    const char *text = getenv(name);
    int64_t value = otherwise;
    if (text && mlt_parse_integer(text, 0, INT64_MAX, &value, NULL) < 0)
        fail_msg("%s: `%s` is not a number", name, text);
    return value;
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
