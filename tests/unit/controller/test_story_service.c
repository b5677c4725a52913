/* The channel's Service leads to the controller that leads, and to no other. */
#include <stdio.h>
#include <string.h>
#include "controller/endpoints.h"
#include "lib/base/text.h"
#include "world.h"
#include "world_internal.h"

#define SLICE "endpointslices/mltrain-system/mltrain-channel-ipv4"
#define LEASE "leases/mltrain-system/mltrain-controller"

static void begin(struct world *w)
{
    world_init(w, 1, 1);
    w->has_service = true;
    world_stop_controller(w);
    world_replace_controller(w);
    world_run(w);
}

static const char *address(struct world *w)
{
    return json_string(world_object(w, SLICE), "endpoints[0].addresses[0]", "");
}

static void test_the_leader_makes_the_slice(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    const cJSON *slice = world_object(&w, SLICE);
    assert_non_null(slice);
    assert_string_equal(address(&w), "203.0.113.5");
    assert_string_equal(json_string(slice, "addressType", ""), "IPv4");
    assert_string_equal(json_string(slice, "ports[0].name", ""), "channel");
    assert_int_equal(json_integer(slice, "ports[0].port", 0), 7777);
    assert_string_equal(json_string(slice, "metadata.labels[kubernetes.io/service-name]", ""),
                        "mltrain-channel");
    /* Nobody owns it: running launchers know the Service's address after a reinstallation too. */
    assert_null(json_find(slice, "metadata.ownerReferences"));
    world_release(&w);
}

static void test_each_family_has_a_slice_of_its_own(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    w.has_service = true;
    w.pod_ip = "2001:db8::5";
    world_stop_controller(&w);
    world_replace_controller(&w);
    world_run(&w);
    const cJSON *slice = world_object(&w, "endpointslices/mltrain-system/mltrain-channel-ipv6");
    assert_string_equal(json_string(slice, "addressType", ""), "IPv6");
    assert_string_equal(json_string(slice, "endpoints[0].addresses[0]", ""), "2001:db8::5");
    world_release(&w);
}

static void test_a_standby_leaves_the_slice_alone_until_it_leads(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    world_stop_controller(&w);
    world_patch(&w, LEASE,
                "{\"spec\":{\"holderIdentity\":\"other\",\"leaseDurationSeconds\":15,"
                "\"renewTime\":\"2025-11-27T20:00:00.000000Z\",\"leaseTransitions\":5}}");
    world_patch(&w, SLICE,
                "{\"endpoints\":[{\"addresses\":[\"203.0.113.9\"],"
                "\"conditions\":{\"ready\":true}}]}");
    world_replace_controller(&w);
    world_advance(&w, 10000);
    assert_string_equal(address(&w), "203.0.113.9");
    world_advance(&w, 30000);
    assert_string_equal(json_string(world_object(&w, LEASE), "spec.holderIdentity", ""), "tester");
    assert_string_equal(address(&w), "203.0.113.5");
    world_release(&w);
}

static void test_a_slice_that_somebody_deletes_or_bends_is_put_right(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    world_delete(&w, SLICE);
    world_advance(&w, 61000);
    assert_string_equal(address(&w), "203.0.113.5");
    world_patch(&w, SLICE, "{\"ports\":[{\"name\":\"channel\",\"port\":1}]}");
    world_advance(&w, 61000);
    assert_int_equal(json_integer(world_object(&w, SLICE), "ports[0].port", 0), 7777);
    world_release(&w);
}

static void test_a_slice_in_place_costs_one_look_a_minute(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    char version[32];
    (void)snprintf(version, sizeof version, "%s",
                   json_string(world_object(&w, SLICE), "metadata.resourceVersion", ""));
    world_advance(&w, 300000);
    assert_string_equal(json_string(world_object(&w, SLICE), "metadata.resourceVersion", ""),
                        version);
    world_release(&w);
}

/* ---- the endpoints ---- */

static int ask(struct world *w, const char *target, struct mlt_text *out)
{
    const char *type;
    mlt_text_clear(out);
    return endpoints_answer(w->c, w->now_ms, "GET", target, out, &type);
}

static void test_ready_is_who_has_listed_everything_and_stays(void **state)
{
    struct world w;
    struct mlt_text out = MLT_TEXT_INIT(1 << 20);
    (void)state;
    world_init(&w, 1, 1);
    world_stop_controller(&w);
    w.unavailable = 1; /* one of the lists */
    world_replace_controller(&w);
    world_run(&w);
    assert_int_equal(ask(&w, "/readyz", &out), 503);
    assert_non_null(strstr(mlt_text_string(&out), "[-] "));
    assert_int_equal(ask(&w, "/healthz", &out), 200);
    world_advance(&w, 30000);
    assert_int_equal(ask(&w, "/readyz?verbose", &out), 200);
    assert_non_null(strstr(mlt_text_string(&out), "[+] leads\n"));
    world_stop_controller(&w);
    assert_int_equal(ask(&w, "/readyz", &out), 503);
    mlt_text_release(&out);
    world_release(&w);
}

static void test_a_standby_is_ready_too(void **state)
{
    struct world w;
    struct mlt_text out = MLT_TEXT_INIT(1 << 20);
    (void)state;
    world_init(&w, 1, 1);
    world_stop_controller(&w);
    world_patch(&w, LEASE,
                "{\"spec\":{\"holderIdentity\":\"other\",\"leaseDurationSeconds\":15,"
                "\"renewTime\":\"2025-11-27T20:00:00.000000Z\",\"leaseTransitions\":5}}");
    world_replace_controller(&w);
    world_run(&w);
    assert_int_equal(ask(&w, "/readyz", &out), 200);
    assert_non_null(strstr(mlt_text_string(&out), "[+] stands by\n"));
    assert_int_equal(ask(&w, "/metrics", &out), 200);
    assert_non_null(strstr(mlt_text_string(&out), "\nmltrain_leader 0\n"));
    mlt_text_release(&out);
    world_release(&w);
}

static void test_a_loop_that_does_not_turn_is_not_healthy(void **state)
{
    struct world w;
    struct mlt_text out = MLT_TEXT_INIT(1 << 20);
    (void)state;
    world_init(&w, 1, 1);
    assert_int_equal(ask(&w, "/healthz", &out), 200);
    w.now_ms += 60000; /* and no timer has come */
    assert_int_equal(ask(&w, "/healthz", &out), 503);
    assert_non_null(strstr(mlt_text_string(&out), "[-] loop"));
    mlt_text_release(&out);
    world_release(&w);
}

static void test_metrics_tell_what_is_there(void **state)
{
    struct world w;
    struct mlt_text out = MLT_TEXT_INIT(1 << 20);
    (void)state;
    world_init(&w, 2, 1);
    world_submit(&w, "a", 2, "{\"spec\":{\"queue\":\"research\"}}");
    world_advance(&w, 1000);
    world_submit(&w, "b", 2, "{\"spec\":{\"queue\":\"research\"}}");
    world_advance(&w, 90000);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 3, 0, 10);
    world_advance(&w, 5000);
    controller_took(w.c, 700);
    assert_int_equal(ask(&w, "/metrics", &out), 200);
    static const char *const lines[] = {
        "\nmltrain_leader 1\n",
        "\nmltrain_gangs 1\n",
        "\nmltrain_gpus_allocated 2\n",
        "\nmltrain_gpus_allocatable 2\n",
        "\nmltrain_nodes_ready 2\n",
        "\nmltrain_channel_connections 2\n",
        "\nmltrain_jobs{phase=\"Queued\"} 1\n",
        "\nmltrain_queue_jobs{queue=\"research\"} 1\n",
        "\nmltrain_queue_gpus{queue=\"research\"} 2\n",
        "\nmltrain_queue_oldest_wait_seconds{queue=\"research\"} 95\n",
        "\nmltrain_failures_total{cause=\"Exited\"} 1\n",
        "\nmltrain_queue_wait_seconds_count 1\n",
        "\nmltrain_decision_seconds_bucket{le=\"0.0005\"} 0\n",
        "\nmltrain_decision_seconds_bucket{le=\"0.001\"} 1\n",
        "\nmltrain_decision_seconds_count 1\n",
        "\nmltrain_api_requests_total{verb=\"create\",code=\"201\"} ",
        "\nmltrain_api_requests_total{verb=\"watch\",code=\"200\"} ",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (!strstr(mlt_text_string(&out), lines[i]))
            fail_msg("not there: %s in\n%s", lines[i], mlt_text_string(&out));
    assert_int_equal(ask(&w, "/", &out), 404);
    mlt_text_release(&out);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_leader_makes_the_slice),
        cmocka_unit_test(test_each_family_has_a_slice_of_its_own),
        cmocka_unit_test(test_a_standby_leaves_the_slice_alone_until_it_leads),
        cmocka_unit_test(test_a_slice_that_somebody_deletes_or_bends_is_put_right),
        cmocka_unit_test(test_a_slice_in_place_costs_one_look_a_minute),
        cmocka_unit_test(test_ready_is_who_has_listed_everything_and_stays),
        cmocka_unit_test(test_a_standby_is_ready_too),
        cmocka_unit_test(test_a_loop_that_does_not_turn_is_not_healthy),
        cmocka_unit_test(test_metrics_tell_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
