/* The map, against a plain array. */
#include "ledger/map.h"
#include "lib/base/random.h"
#include "tests/unit/ledger/objects.h"

#define KEYS 200

static void test_a_map_holds_what_an_array_holds(void **state)
{
    (void)state;
    struct ledger_map m = {0};
    struct mlt_random random;
    int values[KEYS];
    bool there[KEYS] = {false};
    mlt_random_init(&random, 7);
    for (int step = 0; step < 20000; step++) {
        uint64_t key = mlt_random_below(&random, KEYS);
        if (mlt_random_below(&random, 2)) {
            ledger_map_set(&m, &key, sizeof key, &values[key]);
            there[key] = true;
        } else {
            ledger_map_remove(&m, &key, sizeof key);
            there[key] = false;
        }
        key = mlt_random_below(&random, KEYS);
        void *expected = there[key] ? &values[key] : NULL;
        assert_ptr_equal(ledger_map_get(&m, &key, sizeof key), expected);
    }
    uint32_t count = 0;
    int *value;
    LEDGER_MAP_EACH(&m, value)
    {
        assert_true(there[value - values]);
        count++;
    }
    assert_int_equal(count, m.count);
    ledger_map_release(&m);
    ledger_map_release(&m);
}

static void test_texts_are_keys_of_their_own_length(void **state)
{
    (void)state;
    struct ledger_map m = {0};
    int a, b;
    assert_null(ledger_map_find(&m, "node1"));
    ledger_map_drop(&m, "node1");
    ledger_map_put(&m, "node1", &a);
    ledger_map_put(&m, "node", &b);
    assert_ptr_equal(ledger_map_find(&m, "node1"), &a);
    assert_ptr_equal(ledger_map_find(&m, "node"), &b);
    assert_null(ledger_map_find(&m, ""));
    ledger_map_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_map_holds_what_an_array_holds),
        cmocka_unit_test(test_texts_are_keys_of_their_own_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
