/* Definitions go forward only. */
#include "controller/crd_update.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

static cJSON *crd(const char *revision)
{
    cJSON *object = cJSON_CreateObject();
    json_set_string(object, "metadata.name", "x");
    json_set_string(object, "metadata.annotations[" CRD_REVISION_ANNOTATION "]", revision);
    return object;
}

static void test_an_older_definition_never_takes_the_place_of_a_newer_one(void **state)
{
    static const struct {
        const char *installed, *ours;
        enum crd_action action;
    } rows[] = {
        {"1", "2", CRD_CHANGE},  {"2", "2", CRD_CHANGE}, {"10", "9", CRD_LEAVE},
        {NULL, "1", CRD_CHANGE}, {"1", NULL, CRD_LEAVE}, {"nonsense", "1", CRD_CHANGE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cleanup_json cJSON *installed = crd(rows[i].installed), *ours = crd(rows[i].ours);
        assert_int_equal(crd_update_decide(installed, ours), rows[i].action);
    }
    cleanup_json cJSON *ours = crd("1");
    assert_int_equal(crd_update_decide(NULL, ours), CRD_CREATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_older_definition_never_takes_the_place_of_a_newer_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
