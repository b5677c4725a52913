/* What the suites of other gang schedulers expect, in our words: see README.md. */
#include "tests/conformance/schedulers/play.h"
#include "tests/unit/ledger/objects.h"

/* A file that loses its cases (a word misspelt, a merge) is a failure too. */
static void play(const char *name, unsigned at_least)
{
    unsigned cases = 0;
    assert_int_equal(play_file(name, &cases), 0);
    assert_in_range(cases, at_least, 1000);
    print_message("%s: %u cases\n", name, cases);
}

static void test_the_cases_of_volcano(void **state)
{
    (void)state;
    play("volcano.cases", 55);
}

static void test_the_cases_of_kai_scheduler(void **state)
{
    (void)state;
    play("kai.cases", 15);
}

static void test_the_cases_of_coscheduling(void **state)
{
    (void)state;
    play("coscheduling.cases", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_cases_of_volcano),
        cmocka_unit_test(test_the_cases_of_kai_scheduler),
        cmocka_unit_test(test_the_cases_of_coscheduling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
