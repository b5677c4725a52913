/* Which properties are looked at, and why some are not. */
#include "tests/property/gang/properties.h"

#define OFF_YET "the library does not do it yet"

const struct property_row property_rows[PROPERTIES] = {
#define XX(name, text, words) [PROPERTY_##name] = {text, words, PROPERTY_OFF_##name},
#define PROPERTY_OFF_LEVELS NULL
#define PROPERTY_OFF_QUOTA NULL
#define PROPERTY_OFF_LIMITS NULL
#define PROPERTY_OFF_FAIR NULL
#define PROPERTY_OFF_RESERVE NULL
#define PROPERTY_OFF_RESERVE_FOUND NULL
#define PROPERTY_OFF_PATIENCE NULL
#define PROPERTY_OFF_PREEMPT NULL
#define PROPERTY_OFF_REVOKE_GRACE NULL
#define PROPERTY_OFF_CLAIM NULL
#define PROPERTY_OFF_PING_PONG NULL
#define PROPERTY_OFF_CIRCLES NULL
#define PROPERTY_OFF_STOPPING NULL
#define PROPERTY_OFF_REBUILD NULL
#define PROPERTY_OFF_RELABEL NULL
#define PROPERTY_OFF_EMPTY_NODE NULL
#define PROPERTY_OFF_RELEASE NULL
#define PROPERTY_OFF_QUEUE_VIEWS NULL
#define PROPERTY_OFF_ACTS_FIRST NULL
#define PROPERTY_OFF_ESTIMATED_END NULL
#define PROPERTY_OFF_RANKS NULL
#define PROPERTY_OFF_NEAR NULL
#define PROPERTY_OFF_MEMBER_DOMAIN NULL
#define PROPERTY_OFF_BEST_FIT NULL
    PROPERTY_MAP(XX)
#undef XX
};

/* All that the table does not switch off. */
static uint64_t from_table(void)
{
    uint64_t bits = 0;
    for (uint32_t p = 0; p < PROPERTIES; p++)
        bits |= (uint64_t)(property_rows[p].off == NULL) << p;
    return bits;
}

#define FROM_TABLE (UINT64_C(1) << 63) /* nobody has chosen anything yet */
uint64_t properties_on = FROM_TABLE;

void properties_choose(void)
{
    if (properties_on & FROM_TABLE)
        properties_on = from_table();
}

bool on(enum property p)
{
    if (properties_on & FROM_TABLE)
        return from_table() >> p & 1;
    return properties_on >> p & 1;
}
