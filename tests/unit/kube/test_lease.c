/* Leader election: single steps, and many candidates with clocks of their own against a pretended
 * server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/kube/lease.h"

#define PATH "/apis/coordination.k8s.io/v1/namespaces/ns/leases/boss"
#define WALL_US INT64_C(1764264000000000) /* 2025-11-27T17:20:00Z */

/* ---- a pretended server with one lease ---- */

struct server {
    cJSON *lease; /* NULL: none */
    int64_t version;
};

static void server_stop(struct server *s)
{
    cJSON_Delete(s->lease);
}

static void stamp(struct server *s)
{
    char text[30];
    (void)snprintf(text, sizeof text, "%lld", (long long)++s->version);
    json_set_string(s->lease, "metadata.resourceVersion", text);
}

/* Does what an API server does; returns the status and gives the body, which the caller frees. */
static int serve(struct server *s, const char *verb, const char *body, char **ret_body)
{
    cleanup_json cJSON *object = NULL;
    if (body)
        assert_int_equal(json_parse(body, strlen(body), &object, NULL), 0);
    if (strcmp(verb, "POST") == 0) {
        if (s->lease) {
            *ret_body = strdup("{\"reason\":\"AlreadyExists\"}");
            return 409;
        }
        s->lease = steal_ptr(&object);
        stamp(s);
        *ret_body = json_print(s->lease);
        return 201;
    }
    if (!s->lease) {
        *ret_body = strdup("{\"reason\":\"NotFound\"}");
        return 404;
    }
    if (strcmp(verb, "PATCH") == 0) {
        if (strcmp(json_string(object, "metadata.resourceVersion", ""),
                   json_string(s->lease, "metadata.resourceVersion", "")) != 0) {
            *ret_body = strdup("{\"reason\":\"Conflict\"}");
            return 409;
        }
        json_merge_patch(&s->lease, object);
        stamp(s);
    }
    *ret_body = json_print(s->lease);
    return 200;
}

/* ---- one candidate, step by step ---- */

struct one {
    struct mlt_random random;
    struct server server;
    struct kube_lease *l;
    int64_t now_ms;
    struct kube_lease_want want;
};

static struct kube_lease *make(const char *identity, struct mlt_random *random)
{
    const struct kube_lease_config config = {
        .namespace_ = "ns", .name = "boss", .identity = identity};
    struct kube_lease *l = NULL;
    struct mlt_error err = {0};
    if (kube_lease_new(&config, random, &l, &err) < 0)
        fail_msg("%s", err.text);
    return l;
}

static void start(struct one *o)
{
    *o = (struct one){.now_ms = 5000};
    mlt_random_init(&o->random, 3);
    o->l = make("me", &o->random);
}

static void stop(struct one *o)
{
    kube_lease_free(o->l);
    server_stop(&o->server);
}

/* Waits until something is sent; tells how long that took. */
static int64_t wait_send(struct one *o, const char *verb)
{
    int64_t begin_ms = o->now_ms;
    kube_lease_poll(o->l, o->now_ms, WALL_US + o->now_ms * 1000, &o->want);
    for (int i = 0; i < 5 && !o->want.send; i++) {
        assert_true(o->want.wake_ms < INT64_MAX);
        o->now_ms = o->want.wake_ms > o->now_ms ? o->want.wake_ms : o->now_ms;
        kube_lease_poll(o->l, o->now_ms, WALL_US + o->now_ms * 1000, &o->want);
    }
    assert_true(o->want.send);
    assert_string_equal(o->want.verb, verb);
    return o->now_ms - begin_ms;
}

static void deliver(struct one *o)
{
    cleanup_free char *body = NULL;
    int status = serve(&o->server, o->want.verb, o->want.body, &body);
    kube_lease_answer(o->l, o->now_ms, status, body, strlen(body));
}

static void lose(struct one *o)
{
    kube_lease_answer(o->l, o->now_ms, 0, "reset", 5);
}

static void lead(struct one *o)
{
    start(o);
    wait_send(o, "GET");
    deliver(o);
    wait_send(o, "POST");
    deliver(o);
    assert_true(kube_lease_leads(o->l, o->now_ms));
}

static void other_takes(struct one *o, const char *holder, int64_t seconds, int64_t transitions)
{
    if (!o->server.lease) {
        o->server.lease = cJSON_CreateObject();
        json_set_string(o->server.lease, "metadata.name", "boss");
    }
    json_set_string(o->server.lease, "spec.holderIdentity", holder);
    json_set_string(o->server.lease, "spec.renewTime",
                    "2001-01-01T00:00:00.000000Z"); /* a wild clock */
    json_set_integer(o->server.lease, "spec.leaseDurationSeconds", seconds);
    json_set_integer(o->server.lease, "spec.leaseTransitions", transitions);
    stamp(&o->server);
}

static void test_a_missing_lease_is_created_and_leads(void **state)
{
    (void)state;
    struct one o;
    start(&o);
    assert_int_equal(wait_send(&o, "GET"), 0);
    assert_string_equal(o.want.path, PATH);
    deliver(&o);
    assert_false(kube_lease_leads(o.l, o.now_ms));
    assert_int_equal(wait_send(&o, "POST"), 0);
    assert_string_equal(o.want.path, "/apis/coordination.k8s.io/v1/namespaces/ns/leases");
    assert_string_equal(
        o.want.body,
        "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{"
        "\"name\":\"boss\",\"namespace\":\"ns\"},\"spec\":{\"renewTime\":\"2025-11-27T17:20:"
        "05.000000Z\",\"holderIdentity\":\"me\",\"leaseDurationSeconds\":15,"
        "\"leaseTransitions\":1,\"acquireTime\":\"2025-11-27T17:20:05.000000Z\"}}");
    deliver(&o);
    assert_true(kube_lease_leads(o.l, o.now_ms));
    assert_string_equal(kube_lease_holder(o.l), "me");
    assert_int_equal(kube_lease_transitions(o.l), 1);
    assert_int_equal(kube_lease_deadline_ms(o.l), o.now_ms + 10000);
    stop(&o);
}

static void test_a_leader_renews_every_period_and_changes_only_the_time(void **state)
{
    (void)state;
    struct one o;
    lead(&o);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(wait_send(&o, "PATCH"), 2000);
        assert_null(strstr(o.want.body, "holderIdentity"));
        assert_string_equal(o.want.content_type, "application/merge-patch+json");
        deliver(&o);
        assert_true(kube_lease_leads(o.l, o.now_ms + 9999));
        assert_false(kube_lease_leads(o.l, o.now_ms + 10000));
    }
    assert_int_equal(json_integer(o.server.lease, "spec.leaseTransitions", 0), 1);
    stop(&o);
}

static void test_the_lead_counts_from_the_sending_of_a_renewal(void **state)
{
    (void)state;
    struct one o;
    lead(&o);
    wait_send(&o, "PATCH");
    int64_t sent_ms = o.now_ms;
    o.now_ms += 3000;
    deliver(&o);
    assert_int_equal(kube_lease_deadline_ms(o.l), sent_ms + 10000);
    assert_int_equal(wait_send(&o, "PATCH"), 0); /* the period counts from there, too */
    stop(&o);
}

static void test_a_leader_that_cannot_renew_stops_leading_at_its_deadline(void **state)
{
    (void)state;
    struct one o;
    lead(&o);
    int64_t deadline_ms = kube_lease_deadline_ms(o.l);
    wait_send(&o, "PATCH");
    lose(&o);
    assert_string_not_equal(kube_lease_trouble(o.l), "");
    for (int i = 0; i < 20 && o.now_ms < deadline_ms; i++) {
        assert_true(kube_lease_leads(o.l, o.now_ms));
        wait_send(&o, "GET");
        lose(&o);
    }
    assert_false(kube_lease_leads(o.l, o.now_ms));
    wait_send(&o, "GET"); /* the server is back; the record is still ours */
    deliver(&o);
    assert_false(kube_lease_leads(o.l, o.now_ms));
    wait_send(&o, "PATCH");
    deliver(&o);
    assert_true(kube_lease_leads(o.l, o.now_ms));
    assert_int_equal(kube_lease_transitions(o.l), 2); /* a term of its own */
    stop(&o);
}

static void test_the_leader_is_woken_at_its_deadline(void **state)
{
    (void)state;
    struct one o;
    lead(&o);
    wait_send(&o, "PATCH");
    kube_lease_poll(o.l, o.now_ms, 0, &o.want);
    assert_int_equal(o.want.wake_ms, kube_lease_deadline_ms(o.l));
    stop(&o);
}

static void test_a_request_without_answer_is_cancelled(void **state)
{
    (void)state;
    struct one o;
    start(&o);
    wait_send(&o, "GET");
    kube_lease_poll(o.l, o.now_ms + 9999, 0, &o.want);
    assert_false(o.want.cancel);
    o.now_ms += 10000;
    kube_lease_poll(o.l, o.now_ms, 0, &o.want);
    assert_true(o.want.cancel);
    wait_send(&o, "GET");
    stop(&o);
}

static void test_another_holder_is_waited_for_on_our_clock_whatever_its_record_says(void **state)
{
    (void)state;
    struct one o;
    start(&o);
    other_takes(&o, "other", 15, 4);
    wait_send(&o, "GET");
    int64_t seen_ms = o.now_ms;
    deliver(&o);
    assert_string_equal(kube_lease_holder(o.l), "other");
    for (;;) {
        kube_lease_poll(o.l, o.now_ms, WALL_US, &o.want);
        if (o.want.send && strcmp(o.want.verb, "PATCH") == 0)
            break;
        if (o.want.send)
            deliver(&o);
        else
            o.now_ms = o.want.wake_ms;
    }
    assert_in_range(o.now_ms - seen_ms, 15000, 15000 + 4400);
    deliver(&o);
    assert_true(kube_lease_leads(o.l, o.now_ms));
    assert_int_equal(kube_lease_transitions(o.l), 5);
    assert_string_equal(json_string(o.server.lease, "spec.holderIdentity", ""), "me");
    stop(&o);
}

static void test_a_holder_that_renews_is_never_disturbed(void **state)
{
    (void)state;
    struct one o;
    start(&o);
    other_takes(&o, "other", 15, 4);
    for (int i = 0; i < 200; i++) {
        char renewed[60];
        (void)snprintf(renewed, sizeof renewed, "2001-01-01T00:00:%02d.%06dZ", i % 60, i);
        int64_t waited_ms = wait_send(&o, "GET");
        assert_in_range(waited_ms, i ? 2000 : 0, 4400);
        json_set_string(o.server.lease, "spec.renewTime", renewed);
        stamp(&o.server);
        deliver(&o);
        assert_false(kube_lease_leads(o.l, o.now_ms));
    }
    stop(&o);
}

static void test_a_lease_that_was_given_up_is_taken_at_once(void **state)
{
    (void)state;
    struct one o;
    start(&o);
    other_takes(&o, "", 1, 4);
    wait_send(&o, "GET");
    deliver(&o);
    assert_int_equal(wait_send(&o, "PATCH"), 0);
    deliver(&o);
    assert_int_equal(kube_lease_transitions(o.l), 5);
    stop(&o);
}

static void test_a_process_that_comes_back_leads_again_at_once_in_a_new_term(void **state)
{
    (void)state;
    struct one o;
    start(&o);
    other_takes(&o, "me", 15, 4);
    wait_send(&o, "GET");
    deliver(&o);
    assert_false(kube_lease_leads(o.l, o.now_ms));
    assert_int_equal(wait_send(&o, "PATCH"), 0);
    deliver(&o);
    assert_true(kube_lease_leads(o.l, o.now_ms));
    assert_int_equal(kube_lease_transitions(o.l), 5);
    stop(&o);
}

static void test_who_comes_second_does_not_lead(void **state)
{
    (void)state;
    struct one o;
    start(&o);
    wait_send(&o, "GET");
    deliver(&o);
    wait_send(&o, "POST");
    other_takes(&o, "quick", 15, 0);
    deliver(&o);
    assert_false(kube_lease_leads(o.l, o.now_ms));
    wait_send(&o, "GET");
    deliver(&o);
    assert_string_equal(kube_lease_holder(o.l), "quick");
    stop(&o);
}

static void test_a_leader_whose_lease_was_taken_stops_when_it_sees_it(void **state)
{
    (void)state;
    struct one o;
    lead(&o);
    wait_send(&o, "PATCH");
    other_takes(&o, "thief", 15, 2);
    deliver(&o);                                  /* 409 */
    assert_true(kube_lease_leads(o.l, o.now_ms)); /* perhaps only a label was changed */
    wait_send(&o, "GET");
    deliver(&o);
    assert_false(kube_lease_leads(o.l, o.now_ms));
    assert_string_equal(kube_lease_holder(o.l), "thief");
    stop(&o);
}

static void test_a_label_changed_by_somebody_does_not_end_the_lead(void **state)
{
    (void)state;
    struct one o;
    lead(&o);
    wait_send(&o, "PATCH");
    json_set_string(o.server.lease, "metadata.labels.x", "y");
    stamp(&o.server);
    deliver(&o);
    assert_int_equal(wait_send(&o, "GET"), 200);
    deliver(&o);
    assert_int_equal(wait_send(&o, "PATCH"), 0);
    deliver(&o);
    assert_true(kube_lease_leads(o.l, o.now_ms));
    assert_int_equal(kube_lease_transitions(o.l), 1);
    assert_string_equal(json_string(o.server.lease, "metadata.labels.x", ""), "y"); /* kept */
    stop(&o);
}

static void test_a_deleted_lease_is_created_again_in_a_higher_term(void **state)
{
    (void)state;
    struct one o;
    lead(&o);
    cJSON_Delete(o.server.lease);
    o.server.lease = NULL;
    wait_send(&o, "PATCH");
    deliver(&o);
    wait_send(&o, "GET");
    deliver(&o);
    assert_false(kube_lease_leads(o.l, o.now_ms));
    wait_send(&o, "POST");
    deliver(&o);
    assert_true(kube_lease_leads(o.l, o.now_ms));
    assert_int_equal(kube_lease_transitions(o.l), 2);
    stop(&o);
}

static void test_giving_up_empties_the_record(void **state)
{
    (void)state;
    struct one o;
    lead(&o);
    kube_lease_give_up(o.l);
    assert_false(kube_lease_leads(o.l, o.now_ms));
    assert_false(kube_lease_is_over(o.l));
    assert_int_equal(wait_send(&o, "PATCH"), 0);
    assert_false(kube_lease_is_over(o.l));
    deliver(&o);
    assert_true(kube_lease_is_over(o.l));
    assert_string_equal(json_string(o.server.lease, "spec.holderIdentity", ""), "");
    assert_int_equal(json_integer(o.server.lease, "spec.leaseTransitions", 0), 1);
    kube_lease_poll(o.l, o.now_ms, 0, &o.want);
    assert_false(o.want.send);
    assert_int_equal(o.want.wake_ms, INT64_MAX);
    stop(&o);
}

static void test_giving_up_during_a_renewal_empties_the_record_after_it(void **state)
{
    (void)state;
    struct one o;
    lead(&o);
    wait_send(&o, "PATCH");
    kube_lease_give_up(o.l);
    deliver(&o);
    wait_send(&o, "PATCH");
    deliver(&o);
    assert_true(kube_lease_is_over(o.l));
    assert_string_equal(json_string(o.server.lease, "spec.holderIdentity", ""), "");
    stop(&o);
}

static void test_giving_up_while_another_leads_sends_nothing(void **state)
{
    (void)state;
    struct one o;
    start(&o);
    other_takes(&o, "other", 15, 4);
    wait_send(&o, "GET");
    kube_lease_give_up(o.l);
    deliver(&o);
    assert_true(kube_lease_is_over(o.l));
    stop(&o);
}

static void test_strange_answers_are_trouble_and_tried_again(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
    } rows[] = {
        {403, "{\"message\":\"forbidden\"}"}, {500, ""}, {200, "<html>"}, {200, "{}"}, {200, "[]"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct one o;
        start(&o);
        wait_send(&o, "GET");
        kube_lease_answer(o.l, o.now_ms, rows[i].status, rows[i].body, strlen(rows[i].body));
        if (!kube_lease_trouble(o.l)[0])
            fail_msg("no trouble with %d %s", rows[i].status, rows[i].body);
        assert_in_range(wait_send(&o, "GET"), 2000, 4400);
        stop(&o);
    }
}

static void test_times_that_are_not_safe_are_refused(void **state)
{
    (void)state;
    static const struct kube_lease_config rows[] = {
        {.namespace_ = "ns", .name = "l", .identity = ""},
        {.namespace_ = "ns", .name = "", .identity = "me"},
        {.namespace_ = NULL, .name = "l", .identity = "me"},
        {.namespace_ = "ns", .name = "l", .identity = "me", .duration_ms = 10000},
        {.namespace_ = "ns", .name = "l", .identity = "me", .retry_period_ms = 9000},
        {.namespace_ = "ns", .name = "l", .identity = "me", .retry_period_ms = -1},
        {.namespace_ = "ns", .name = "l", .identity = "me", .duration_ms = 4000000},
    };
    struct mlt_random random;
    mlt_random_init(&random, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kube_lease *l = NULL;
        struct mlt_error err = {0};
        assert_int_equal(kube_lease_new(&rows[i], &random, &l, &err), -EINVAL);
        assert_string_not_equal(err.text, "");
        assert_null(l);
    }
}

/* ---- many candidates ---- */

#define CANDIDATES 4
#define STEPS 4000
#define STEP_MS 50

/* Each has a clock that began elsewhere; requests and answers take time, are lost, or arrive
 * without their answer. */
struct candidate {
    struct kube_lease *l;
    struct mlt_random random;
    int64_t offset_ms;
    bool open, served;
    int64_t serve_at_ms, answer_at_ms;
    char verb[8];
    char *body, *answer;
    int status;
};

static void candidate_step(struct candidate *c, struct server *server, int64_t now_ms,
                           struct mlt_random *chance)
{
    struct kube_lease_want want;
    if (c->open && !c->served && now_ms >= c->serve_at_ms) {
        c->served = true;
        free(c->answer);
        c->status = serve(server, c->verb, c->body, &c->answer);
        if (mlt_random_below(chance, 10) == 0)
            c->status = 0; /* done, but nobody hears of it */
    }
    if (c->open && now_ms >= c->answer_at_ms) {
        c->open = false;
        if (!c->served || c->status == 0)
            kube_lease_answer(c->l, now_ms + c->offset_ms, 0, "lost", 4);
        else
            kube_lease_answer(c->l, now_ms + c->offset_ms, c->status, c->answer, strlen(c->answer));
    }
    /* Wall clocks are far apart, and one goes backwards. */
    int64_t wall_us = WALL_US + c->offset_ms * 997 + (c->offset_ms % 2 ? now_ms : -now_ms) * 1000;
    kube_lease_poll(c->l, now_ms + c->offset_ms, wall_us, &want);
    if (want.cancel)
        c->open = false;
    if (!want.send)
        return;
    int64_t slow_ms = mlt_random_below(chance, 20) == 0 ? 12000 : 300;
    c->open = true;
    c->served = false;
    c->serve_at_ms = now_ms + mlt_random_between(chance, 0, slow_ms);
    c->answer_at_ms = c->serve_at_ms + mlt_random_between(chance, 0, slow_ms);
    if (mlt_random_below(chance, 10) == 0)
        c->serve_at_ms = INT64_MAX; /* never arrives */
    (void)snprintf(c->verb, sizeof c->verb, "%s", want.verb);
    free(c->body);
    c->body = want.body ? strdup(want.body) : NULL;
}

static void test_there_are_never_two_leaders_and_terms_only_rise(void **state)
{
    (void)state;
    int64_t led_steps = 0, all_steps = 0, terms = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct server server = {0};
        struct candidate all[CANDIDATES] = {0};
        struct mlt_random chance;
        int64_t term = 0, now_ms = 0;
        mlt_random_init(&chance, seed);
        for (size_t i = 0; i < CANDIDATES; i++) {
            char name[20];
            (void)snprintf(name, sizeof name, "c%zu", i);
            mlt_random_init(&all[i].random, seed * CANDIDATES + i);
            all[i].l = make(name, &all[i].random);
            all[i].offset_ms = mlt_random_between(&chance, -1000000000, 1000000000);
        }
        size_t leader = CANDIDATES;
        for (int step = 0; step < STEPS; step++) {
            now_ms += STEP_MS;
            size_t leaders = 0;
            for (size_t i = 0; i < CANDIDATES; i++) {
                /* Now and then the leader stands still, as a stopped process does. */
                if (i == leader && step % 400 < 300 && step % 1200 > 400)
                    continue;
                candidate_step(&all[i], &server, now_ms, &chance);
            }
            for (size_t i = 0; i < CANDIDATES; i++) {
                if (!kube_lease_leads(all[i].l, now_ms + all[i].offset_ms))
                    continue;
                leaders++;
                assert_true(kube_lease_transitions(all[i].l) >= term);
                if (leader != i || kube_lease_transitions(all[i].l) != term) {
                    assert_true(kube_lease_transitions(all[i].l) > term);
                    term = kube_lease_transitions(all[i].l);
                    leader = i;
                    terms++;
                }
            }
            if (leaders > 1)
                fail_msg("seed %llu, step %d: %zu leaders", (unsigned long long)seed, step,
                         leaders);
            led_steps += leaders > 0;
            all_steps++;
        }
        for (size_t i = 0; i < CANDIDATES; i++) {
            kube_lease_free(all[i].l);
            free(all[i].body);
            free(all[i].answer);
        }
        server_stop(&server);
    }
    print_message("led %lld %% of the time, %lld terms\n", (long long)(led_steps * 100 / all_steps),
                  (long long)terms);
    assert_true(led_steps * 100 / all_steps > 60);
    assert_true(terms > 100); /* else the test shows little */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_missing_lease_is_created_and_leads),
        cmocka_unit_test(test_a_leader_renews_every_period_and_changes_only_the_time),
        cmocka_unit_test(test_the_lead_counts_from_the_sending_of_a_renewal),
        cmocka_unit_test(test_a_leader_that_cannot_renew_stops_leading_at_its_deadline),
        cmocka_unit_test(test_the_leader_is_woken_at_its_deadline),
        cmocka_unit_test(test_a_request_without_answer_is_cancelled),
        cmocka_unit_test(test_another_holder_is_waited_for_on_our_clock_whatever_its_record_says),
        cmocka_unit_test(test_a_holder_that_renews_is_never_disturbed),
        cmocka_unit_test(test_a_lease_that_was_given_up_is_taken_at_once),
        cmocka_unit_test(test_a_process_that_comes_back_leads_again_at_once_in_a_new_term),
        cmocka_unit_test(test_who_comes_second_does_not_lead),
        cmocka_unit_test(test_a_leader_whose_lease_was_taken_stops_when_it_sees_it),
        cmocka_unit_test(test_a_label_changed_by_somebody_does_not_end_the_lead),
        cmocka_unit_test(test_a_deleted_lease_is_created_again_in_a_higher_term),
        cmocka_unit_test(test_giving_up_empties_the_record),
        cmocka_unit_test(test_giving_up_during_a_renewal_empties_the_record_after_it),
        cmocka_unit_test(test_giving_up_while_another_leads_sends_nothing),
        cmocka_unit_test(test_strange_answers_are_trouble_and_tried_again),
        cmocka_unit_test(test_times_that_are_not_safe_are_refused),
        cmocka_unit_test(test_there_are_never_two_leaders_and_terms_only_rise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
