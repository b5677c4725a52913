/* The exchange between members, as the coordinator counts, keeps and passes it on. */
#include "stage.h"

#include <stdlib.h>

#include "rendezvous/collective.h"

static struct collective_budget budget;

static void with_budget(struct collective_budget *b, struct coordinator_config *config)
{
    *b = (struct collective_budget){.max = COLLECTIVE_BYTES_ALL_MAX};
    config->exchange_budget = b;
}

static void counted(struct coordinator_config *config)
{
    with_budget(&budget, config);
}

static void gang_of(struct stage *s, uint32_t members)
{
    stage_run_with_orders(s, members, 2, counted);
}

static void gone(struct stage *s)
{
    stage_release(s);
    assert_int_equal(budget.used, 0);
}

static void gather_as(struct stage *s, uint32_t slot, const char *name, uint64_t sequence,
                      enum rendezvous_gather_state state, const char *data)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_GATHER,
                                   .attempt = s->attempt,
                                   .gather = {.name = name,
                                              .sequence = sequence,
                                              .state = (uint8_t)state,
                                              .data = (const unsigned char *)data,
                                              .data_length = (uint32_t)strlen(data)}};
    stage_say(s, slot, &m);
}

static void gather(struct stage *s, uint32_t slot, const char *name, uint64_t sequence,
                   const char *data)
{
    gather_as(s, slot, name, sequence, RENDEZVOUS_GATHER_OPEN, data);
}

static const struct rendezvous_gathered *gathered(const struct stage *s, uint32_t slot)
{
    const struct rendezvous_message *m = stage_sent(s, slot, RENDEZVOUS_GATHERED);
    assert_non_null(m);
    return &m->gathered;
}

static void put(struct stage *s, uint32_t slot, uint64_t token, const char *name, const char *data)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_PUT,
                                   .attempt = s->attempt,
                                   .put = {.token = token,
                                           .name = name,
                                           .data = (const unsigned char *)data,
                                           .data_length = (uint32_t)strlen(data)}};
    stage_say(s, slot, &m);
}

static void get(struct stage *s, uint32_t slot, uint64_t token, const char *name,
                enum rendezvous_get_mode mode)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_GET,
                                   .attempt = s->attempt,
                                   .get = {.token = token, .name = name, .mode = (uint8_t)mode}};
    stage_say(s, slot, &m);
}

static void fetch(struct stage *s, uint32_t slot, uint64_t token, uint32_t of,
                  enum rendezvous_get_mode mode)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_GET,
                                   .attempt = s->attempt,
                                   .get = {.token = token,
                                           .name = "modex",
                                           .mode = (uint8_t)mode,
                                           .of_member = true,
                                           .node_rank = of,
                                           .sequence = 3}};
    stage_say(s, slot, &m);
}

static void answer(struct stage *s, uint32_t slot, uint64_t token, const char *data)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_VALUE,
                                   .attempt = s->attempt,
                                   .value = {.token = token,
                                             .words = "",
                                             .data = (const unsigned char *)data,
                                             .data_length = (uint32_t)strlen(data)}};
    stage_say(s, slot, &m);
}

static const struct rendezvous_value *value(const struct stage *s, uint32_t slot)
{
    const struct rendezvous_message *m = stage_sent(s, slot, RENDEZVOUS_VALUE);
    assert_non_null(m);
    return &m->value;
}

static void is_value(const struct stage *s, uint32_t slot, uint64_t token, const char *data)
{
    const struct rendezvous_value *v = value(s, slot);
    assert_int_equal(v->outcome, RENDEZVOUS_OUTCOME_OK);
    assert_int_equal(v->token, token);
    assert_int_equal(v->data_length, strlen(data));
    assert_memory_equal(v->data, data, strlen(data));
}

/* ---- gathers ---- */

static void test_all_get_what_all_gave_when_the_last_has_come(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 4);
    gather(&s, 2, "fence", 0, "two");
    gather(&s, 3, "fence", 0, ""); /* gives nothing */
    gather(&s, 0, "fence", 0, "zero");
    gather(&s, 2, "fence", 0, "two"); /* again */
    assert_int_equal(stage_count(&s, COORDINATOR_SEND), 0);
    gather(&s, 1, "fence", 0, "one");
    for (uint32_t slot = 0; slot < 4; slot++) {
        const struct rendezvous_gathered *g = gathered(&s, slot);
        assert_int_equal(stage_sent_count(&s, slot, RENDEZVOUS_GATHERED), 1);
        assert_string_equal(g->name, "fence");
        assert_int_equal(g->outcome, RENDEZVOUS_OUTCOME_OK);
        assert_int_equal(g->entries_count, 3);
        assert_int_equal(g->entries[0].node_rank, 0);
        assert_int_equal(g->entries[2].node_rank, 2);
        assert_memory_equal(g->entries[2].data, "two", 3);
    }
    /* The bytes are the same ones for all. */
    assert_ptr_equal(stage_find(&s, COORDINATOR_SEND, 0)->out.bytes,
                     stage_find(&s, COORDINATOR_SEND, 3)->out.bytes);
    gone(&s);
}

static void test_the_answer_to_a_barrier_does_not_grow_with_the_gang(void **state)
{
    (void)state;
    size_t length[2];
    for (int i = 0; i < 2; i++) {
        struct stage s;
        uint32_t members = i == 0 ? 2 : 64;
        gang_of(&s, members);
        for (uint32_t slot = 0; slot < members; slot++)
            gather(&s, slot, "barrier", 0, "");
        length[i] = stage_find(&s, COORDINATOR_SEND, 0)->out.length;
        assert_int_equal(stage_count(&s, COORDINATOR_SEND), members);
        gone(&s);
    }
    assert_int_equal(length[0], length[1]);
    assert_true(length[0] < 64);
}

static void gather_among(struct stage *s, uint32_t slot, const unsigned char *bits, uint32_t length)
{
    struct rendezvous_message m = {
        .type = RENDEZVOUS_GATHER,
        .attempt = s->attempt,
        .gather = {.name = "some", .members = bits, .members_length = length}};
    stage_say(s, slot, &m);
}

/* Up to 64 MiB in all: no copy for each member, here or in whoever takes them. */
static void test_the_bytes_of_a_result_are_shared_by_all_who_get_it(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 3);
    for (uint32_t slot = 0; slot < 3; slot++)
        gather(&s, slot, "fence", 0, "data");
    struct frame_bytes *shared = stage_find(&s, COORDINATOR_SEND, 0)->out.shared;
    assert_non_null(shared);
    for (unsigned i = 1; i < 3; i++)
        assert_ptr_equal(stage_find(&s, COORDINATOR_SEND, i)->out.shared, shared);
    /* What goes to one is nobody's to share. */
    stage_close(&s, 1);
    stage_hello(&s, 1, RENDEZVOUS_STATE_RUNNING, 1);
    assert_null(stage_find(&s, COORDINATOR_SEND, 3)->out.shared);
    gone(&s);
}

static void test_some_members_can_gather_among_themselves(void **state)
{
    (void)state;
    static const unsigned char some[] = {0x05}, others[] = {0x07}, none[] = {0x02},
                               beyond[] = {0x01, 0x01};
    struct stage s;
    gang_of(&s, 4);
    gather_among(&s, 0, some, 1);
    gather_among(&s, 2, some, 1);
    assert_int_equal(stage_count(&s, COORDINATOR_SEND), 2);
    assert_int_equal(gathered(&s, 2)->outcome, RENDEZVOUS_OUTCOME_OK);
    stage_forget(&s);
    uint64_t refusals = coordinator_refusals(s.c);
    gather_among(&s, 0, none, 1); /* is none of them */
    assert_int_equal(gathered(&s, 0)->outcome, RENDEZVOUS_OUTCOME_REFUSED);
    gather_among(&s, 0, beyond, 2);
    assert_int_equal(coordinator_refusals(s.c), refusals + 2);
    gone(&s);
    gang_of(&s, 4);
    gather_among(&s, 0, some, 1);
    gather_among(&s, 1, others, 1);
    for (uint32_t slot = 0; slot < 2; slot++) {
        assert_int_equal(gathered(&s, slot)->outcome, RENDEZVOUS_OUTCOME_DISAGREE);
        assert_non_null(strstr(gathered(&s, slot)->words, "worker 1 names other members"));
    }
    gather_among(&s, 2, some, 1); /* comes later, and learns it, too */
    assert_int_equal(gathered(&s, 2)->outcome, RENDEZVOUS_OUTCOME_DISAGREE);
    gone(&s);
}

static void test_who_was_away_asks_again_and_gets_the_same(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 3);
    gather(&s, 0, "fence", 0, "zero");
    stage_close(&s, 0);
    gather(&s, 1, "fence", 0, "one");
    gather(&s, 2, "fence", 0, "two");
    gather(&s, 1, "fence", 1, ""); /* the others are in the next one already */
    assert_int_equal(stage_count(&s, COORDINATOR_SEND), 2);
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 1);
    gather(&s, 0, "fence", 0, "zero");
    assert_int_equal(gathered(&s, 0)->sequence, 0);
    assert_int_equal(gathered(&s, 0)->entries_count, 3);
    gather_as(&s, 0, "fence", 0, RENDEZVOUS_GATHER_DONE, "zero"); /* wants no answer */
    assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_GATHERED), 1);
    /* In the one after the next nobody can lack it: it is not kept. */
    size_t used = budget.used;
    for (uint64_t sequence = 1; sequence < 9; sequence++)
        for (uint32_t slot = 0; slot < 3; slot++)
            gather(&s, slot, "fence", sequence, "more");
    assert_true(budget.used < used + 400);
    stage_forget(&s);
    gather(&s, 0, "fence", 0, "zero");
    assert_int_equal(gathered(&s, 0)->outcome, RENDEZVOUS_OUTCOME_OVER);
    gone(&s);
}

static void next_leader(struct coordinator_config *config)
{
    counted(config);
    config->attempt = 4;
    config->adopt = true;
}

static void
test_a_next_leader_counts_those_who_have_the_result_and_answers_who_has_not(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 3, 2, next_leader);
    s.digest = 0xabc;
    for (uint32_t slot = 0; slot < 3; slot++)
        stage_hello(&s, slot, RENDEZVOUS_STATE_RUNNING, 4);
    stage_forget(&s);
    gather_as(&s, 0, "fence", 6, RENDEZVOUS_GATHER_DONE, "zero");
    gather(&s, 0, "fence", 7, "");
    gather(&s, 1, "fence", 6, "one");
    assert_int_equal(stage_count(&s, COORDINATOR_SEND), 0);
    gather_as(&s, 2, "fence", 6, RENDEZVOUS_GATHER_DONE, "two");
    assert_int_equal(stage_count(&s, COORDINATOR_SEND), 1);
    assert_int_equal(gathered(&s, 1)->sequence, 6);
    assert_int_equal(gathered(&s, 1)->entries_count, 3);
    gone(&s);
}

static void test_the_first_whose_time_is_over_ends_it_for_all_and_names_who_is_missing(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 5);
    gather(&s, 0, "fe\nnce", 0, "zero");
    gather(&s, 3, "fe\nnce", 0, "three");
    gather_as(&s, 0, "fe\nnce", 0, RENDEZVOUS_GATHER_GIVEN_UP, "");
    for (uint32_t slot = 0; slot < 4; slot += 3) {
        assert_int_equal(gathered(&s, slot)->outcome, RENDEZVOUS_OUTCOME_TIMED_OUT);
        assert_string_equal(gathered(&s, slot)->words,
                            "fe?nce: worker 0 waits no longer; 3 of 5 members have not come: "
                            "worker 1, worker 2, worker 4");
    }
    gather(&s, 4, "fe\nnce", 0, "four"); /* comes too late */
    assert_int_equal(gathered(&s, 4)->outcome, RENDEZVOUS_OUTCOME_TIMED_OUT);
    /* The next one of this name is another one. */
    stage_forget(&s);
    for (uint32_t slot = 0; slot < 5; slot++)
        gather(&s, slot, "fe\nnce", 1, "");
    assert_int_equal(gathered(&s, 0)->outcome, RENDEZVOUS_OUTCOME_OK);
    /* And who gives up what is complete, gets it. */
    gather_as(&s, 0, "fe\nnce", 1, RENDEZVOUS_GATHER_GIVEN_UP, "");
    assert_int_equal(gathered(&s, 0)->outcome, RENDEZVOUS_OUTCOME_OK);
    gone(&s);
}

static void test_who_is_two_gathers_behind_is_told_so_and_nothing_of_what_others_gave(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 3);
    for (uint64_t sequence = 0; sequence < 2; sequence++)
        gather_as(&s, 1, "fence", sequence, RENDEZVOUS_GATHER_GIVEN_UP, "");
    gather(&s, 1, "fence", 2, "one");
    gather(&s, 0, "fence", 0, "zero");
    const struct rendezvous_gathered *g = gathered(&s, 0);
    assert_int_equal(g->sequence, 0);
    assert_int_equal(g->outcome, RENDEZVOUS_OUTCOME_OVER);
    assert_string_equal(g->words, "two later ones of this name have begun");
    assert_int_equal(g->entries_count, 0);
    gone(&s);
}

static void test_who_waits_for_one_that_has_gone_on_is_told_so(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 3, 2, next_leader);
    s.digest = 0xabc;
    for (uint32_t slot = 0; slot < 3; slot++)
        stage_hello(&s, slot, RENDEZVOUS_STATE_RUNNING, 4);
    gather(&s, 0, "fence", 0, "zero");
    /* Only the leader before knew what it gave: its time was over in the next one since. */
    gather_as(&s, 1, "fence", 1, RENDEZVOUS_GATHER_GIVEN_UP, "");
    assert_int_equal(gathered(&s, 0)->sequence, 0);
    assert_int_equal(gathered(&s, 0)->outcome, RENDEZVOUS_OUTCOME_OVER);
    assert_string_equal(gathered(&s, 0)->words, "worker 1 has gone on to the next of this name");
    gather(&s, 2, "fence", 0, "two");
    assert_int_equal(gathered(&s, 2)->outcome, RENDEZVOUS_OUTCOME_OVER);
    gone(&s);
}

static void test_a_member_whose_ranks_have_ended_is_not_waited_for(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 3);
    gather(&s, 0, "fence", 0, "");
    gather(&s, 1, "other", 0, "");
    stage_exit(&s, 1, 0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 5);
    assert_int_equal(stage_count(&s, COORDINATOR_SEND), 0);
    stage_exit(&s, 1, 1, RENDEZVOUS_CAUSE_EXITED, 0, 0, 5);
    assert_int_equal(gathered(&s, 0)->outcome, RENDEZVOUS_OUTCOME_MEMBER_LOST);
    assert_non_null(strstr(gathered(&s, 0)->words, "worker 1 has ended"));
    assert_int_equal(stage_sent_count(&s, 1, RENDEZVOUS_GATHERED), 0); /* it has come to that */
    gone(&s);
}

static void pong(struct stage *s, uint32_t slot)
{
    stage_say(s, slot,
              &(struct rendezvous_message){.type = RENDEZVOUS_PONG,
                                           .attempt = s->attempt,
                                           .pong = {.nonce = (uint64_t)s->now_ms}});
}

/* On a new channel, with all its ranks ended. */
static void comes_back_ended(struct stage *s, uint32_t slot)
{
    struct rendezvous_message m =
        stage_hello_message(s, slot, RENDEZVOUS_STATE_RUNNING, s->attempt);
    struct rendezvous_exit exits[2];
    for (uint32_t i = 0; i < 2; i++)
        exits[i] = stage_exit_of(s, slot, i, RENDEZVOUS_CAUSE_EXITED, 0, 0, 5);
    m.hello.exits = exits;
    m.hello.exits_count = 2;
    m.hello.running = 0;
    s->channels[slot] = s->next_channel++;
    stage_say(s, slot, &m);
}

static void is_lost(const struct stage *s, uint32_t slot, const char *words)
{
    assert_int_equal(gathered(s, slot)->outcome, RENDEZVOUS_OUTCOME_MEMBER_LOST);
    assert_string_equal(gathered(s, slot)->words, words);
}

static void test_a_gather_begun_after_a_member_has_ended_fails_at_once(void **state)
{
    (void)state;
    static const unsigned char others[] = {0x05};
    struct stage s;
    gang_of(&s, 3);
    /* Before anything was exchanged, and with a gather that it had come to. */
    stage_exit(&s, 1, 0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 5);
    stage_exit(&s, 1, 1, RENDEZVOUS_CAUSE_EXITED, 0, 0, 5);
    gather(&s, 0, "fence", 0, "");
    is_lost(&s, 0, "fence: worker 1 has ended; 2 of 3 members have not come: worker 1, worker 2");
    gather(&s, 2, "fence", 0, "");
    is_lost(&s, 2, "fence: worker 1 has ended; 2 of 3 members have not come: worker 1, worker 2");
    gather(&s, 2, "fence", 1, "");
    is_lost(&s, 2, "fence: worker 1 has ended; 2 of 3 members have not come: worker 0, worker 1");
    /* Where it takes no part, it does not matter. */
    gather_among(&s, 0, others, 1);
    gather_among(&s, 2, others, 1);
    assert_int_equal(gathered(&s, 0)->outcome, RENDEZVOUS_OUTCOME_OK);
    gone(&s);
}

static void test_who_comes_back_with_its_ranks_ended_may_first_say_what_it_had_come_to(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 3);
    gather(&s, 0, "fence", 0, "zero");
    gather(&s, 0, "other", 0, "");
    stage_close(&s, 1);
    comes_back_ended(&s, 1);
    assert_int_equal(stage_sent_count(&s, 1, RENDEZVOUS_PING), 1);
    assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_GATHERED), 0);
    gather(&s, 1, "fence", 0, "one"); /* was lost with its channel */
    pong(&s, 1);
    is_lost(&s, 0, "other: worker 1 has ended; 2 of 3 members have not come: worker 1, worker 2");
    gather(&s, 2, "fence", 0, "two");
    assert_int_equal(gathered(&s, 0)->entries_count, 3);
    gather(&s, 2, "later", 0, "");
    is_lost(&s, 2, "later: worker 1 has ended; 2 of 3 members have not come: worker 0, worker 1");
    gone(&s);
}

static void test_a_next_leader_learns_who_has_ended_and_what_that_had_come_to(void **state)
{
    (void)state;
    struct stage s;
    stage_init(&s, 4, 2, next_leader);
    s.digest = 0xabc;
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 4);
    gather(&s, 0, "fence", 6, "zero");
    fetch(&s, 0, 5, 3, RENDEZVOUS_GET_WAIT);
    comes_back_ended(&s, 1);
    gather(&s, 0, "other", 0, "");
    assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_GATHERED), 0);
    gather_as(&s, 1, "fence", 6, RENDEZVOUS_GATHER_DONE, "one");
    pong(&s, 1);
    is_lost(&s, 0,
            "other: worker 1 has ended; 3 of 4 members have not come since the change of leader: "
            "worker 1, worker 2, worker 3");
    stage_hello(&s, 2, RENDEZVOUS_STATE_RUNNING, 4);
    gather(&s, 2, "fence", 6, "two");
    assert_int_equal(gathered(&s, 0)->sequence, 0); /* "other": the fence still waits */
    /* One that has not come back is asked when it has, or has ended when it is lost. */
    assert_int_equal(stage_sent_count(&s, 0, RENDEZVOUS_VALUE), 0);
    coordinator_pod_lost(s.c, "worker", 3,
                         &(struct coordinator_loss){.infrastructure = true, .words = "node lost"},
                         s.now_ms);
    stage_drain(&s);
    is_lost(&s, 2,
            "fence: worker 3 has ended; 1 of 4 members have not come since the change of leader: "
            "worker 3");
    assert_int_equal(value(&s, 0)->outcome, RENDEZVOUS_OUTCOME_MEMBER_LOST);
    assert_string_equal(value(&s, 0)->words, "modex: worker 3 has ended");
    gone(&s);
}

static void test_a_fetch_from_a_member_that_is_gone_ends_at_once(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 3);
    stage_exit(&s, 2, 0, RENDEZVOUS_CAUSE_EXITED, 0, 0, 5);
    stage_exit(&s, 2, 1, RENDEZVOUS_CAUSE_EXITED, 0, 0, 5);
    fetch(&s, 0, 1, 2, RENDEZVOUS_GET_WAIT); /* its launcher still has what it gave */
    assert_int_equal(stage_sent_count(&s, 2, RENDEZVOUS_GET), 1);
    stage_stopped(&s, 2);
    assert_int_equal(value(&s, 0)->token, 1);
    assert_int_equal(value(&s, 0)->outcome, RENDEZVOUS_OUTCOME_MEMBER_LOST);
    fetch(&s, 0, 2, 2, RENDEZVOUS_GET_WAIT);
    assert_int_equal(value(&s, 0)->token, 2);
    assert_int_equal(value(&s, 0)->outcome, RENDEZVOUS_OUTCOME_MEMBER_LOST);
    assert_string_equal(value(&s, 0)->words, "modex: worker 2 has ended");
    fetch(&s, 1, 3, 2, RENDEZVOUS_GET_GIVE_UP); /* said again to a next leader, say */
    assert_int_equal(value(&s, 1)->outcome, RENDEZVOUS_OUTCOME_MEMBER_LOST);
    gone(&s);
}

static void test_who_gives_up_has_come(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 3);
    /* What it said first was lost with its channel. */
    gather_as(&s, 0, "fence", 0, RENDEZVOUS_GATHER_GIVEN_UP, "");
    assert_string_equal(gathered(&s, 0)->words,
                        "fence: worker 0 waits no longer; 2 of 3 members have not come: worker 1, "
                        "worker 2");
    gather(&s, 1, "fence", 1, "");
    gather(&s, 2, "fence", 1, "");
    gather_as(&s, 0, "fence", 1, RENDEZVOUS_GATHER_GIVEN_UP, "");
    assert_string_equal(gathered(&s, 1)->words, "fence: worker 0 waits no longer");
    gone(&s);
    /* Others may have told the leader before that they do not wait. */
    stage_init(&s, 3, 2, next_leader);
    s.digest = 0xabc;
    for (uint32_t slot = 0; slot < 3; slot++)
        stage_hello(&s, slot, RENDEZVOUS_STATE_RUNNING, 4);
    gather_as(&s, 0, "fence", 0, RENDEZVOUS_GATHER_GIVEN_UP, "");
    assert_string_equal(gathered(&s, 0)->words,
                        "fence: worker 0 waits no longer; 2 of 3 members have not come since the "
                        "change of leader: worker 1, worker 2");
    gone(&s);
}

static void test_a_lost_pod_ends_the_gathers_that_it_has_not_come_to(void **state)
{
    (void)state;
    static const struct coordinator_loss loss = {.infrastructure = true, .words = "node lost"};
    struct stage s;
    gang_of(&s, 3);
    gather(&s, 0, "fence", 0, "");
    fetch(&s, 0, 5, 2, RENDEZVOUS_GET_WAIT);
    coordinator_pod_lost(s.c, "worker", 2, &loss, s.now_ms);
    stage_drain(&s);
    assert_int_equal(gathered(&s, 0)->outcome, RENDEZVOUS_OUTCOME_MEMBER_LOST);
    assert_int_equal(value(&s, 0)->outcome, RENDEZVOUS_OUTCOME_MEMBER_LOST);
    /* The others save in their grace, and may still need each other; then nothing is left. */
    gather(&s, 0, "save", 0, "");
    assert_true(budget.used > 0);
    stage_stopped(&s, 0);
    stage_stopped(&s, 1);
    assert_int_equal(stage_count(&s, COORDINATOR_VERDICT), 1);
    assert_int_equal(budget.used, 0);
    gone(&s);
}

static void gather_large(struct stage *s, uint32_t slot, const char *name, uint32_t length)
{
    static const unsigned char data[RENDEZVOUS_CONTRIBUTION_MAX];
    struct rendezvous_message m = {.type = RENDEZVOUS_GATHER,
                                   .attempt = s->attempt,
                                   .gather = {.name = name, .data = data, .data_length = length}};
    stage_say(s, slot, &m);
}

static void test_a_result_that_is_too_large_is_a_barrier_with_words(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 64);
    for (uint32_t slot = 0; slot < 64; slot++) {
        assert_int_equal(stage_count(&s, COORDINATOR_SEND), 0);
        gather_large(&s, slot, "fence", RENDEZVOUS_CONTRIBUTION_MAX);
    }
    for (uint32_t slot = 0; slot < 64; slot++) {
        assert_int_equal(gathered(&s, slot)->outcome, RENDEZVOUS_OUTCOME_TOO_LARGE);
        assert_int_equal(gathered(&s, slot)->entries_count, 0);
    }
    assert_string_equal(gathered(&s, 0)->words,
                        "the result has 4195072 bytes and would go to 64 members: at most 4190208 "
                        "bytes are sent, and 67108864 in all");
    assert_true(budget.used < 10000); /* and nothing of it is kept */
    /* 16,384 x 64 = 1 MiB to each, 64 MiB in all: one byte too many by its 12 for each entry. */
    stage_forget(&s);
    for (uint32_t slot = 0; slot < 64; slot++)
        gather_large(&s, slot, "total", 16384);
    assert_int_equal(gathered(&s, 9)->outcome, RENDEZVOUS_OUTCOME_TOO_LARGE);
    stage_forget(&s);
    for (uint32_t slot = 0; slot < 64; slot++)
        gather_large(&s, slot, "fits", 16384 - 12);
    assert_int_equal(gathered(&s, 9)->outcome, RENDEZVOUS_OUTCOME_OK);
    assert_int_equal(gathered(&s, 9)->entries_count, 64);
    gone(&s);
}

static void test_what_stays_is_told_by_its_length(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 2);
    struct rendezvous_message m = {.type = RENDEZVOUS_GATHER,
                                   .attempt = s.attempt,
                                   .gather = {.name = "fence", .stays = 70000}};
    stage_say(&s, 1, &m);
    gather(&s, 0, "fence", 0, "");
    assert_int_equal(gathered(&s, 0)->entries_count, 1);
    assert_int_equal(gathered(&s, 0)->entries[0].node_rank, 1);
    assert_int_equal(gathered(&s, 0)->entries[0].stays, 70000);
    gone(&s);
}

static struct collective_budget small;

static void short_of(struct coordinator_config *config)
{
    small = (struct collective_budget){.max = 4000};
    config->exchange_budget = &small;
}

static void test_a_gather_without_room_fails_for_all_and_harms_nothing_else(void **state)
{
    (void)state;
    struct stage s;
    stage_run_with_orders(&s, 2, 2, short_of);
    gather(&s, 0, "barrier", 0, "");
    gather_large(&s, 0, "fence", 8000);
    gather_large(&s, 1, "fence", 10);
    assert_int_equal(gathered(&s, 0)->outcome, RENDEZVOUS_OUTCOME_NO_ROOM);
    assert_int_equal(gathered(&s, 1)->outcome, RENDEZVOUS_OUTCOME_NO_ROOM);
    gather(&s, 1, "barrier", 0, "");
    assert_int_equal(gathered(&s, 1)->outcome, RENDEZVOUS_OUTCOME_OK);
    stage_forget(&s);
    char name[] = "name-00";
    unsigned refused = 0;
    for (int i = 0; i < 60; i++) {
        name[5] = (char)('0' + i / 10);
        name[6] = (char)('0' + i % 10);
        gather(&s, 0, name, 0, "");
        put(&s, 0, (uint64_t)i, name, "value");
        const struct rendezvous_message *answered = stage_sent(&s, 0, RENDEZVOUS_VALUE);
        refused += answered && answered->value.outcome == RENDEZVOUS_OUTCOME_NO_ROOM;
        assert_true(small.used <= small.max);
    }
    assert_true(refused > 10);
    stage_release(&s);
    assert_int_equal(small.used, 0);
}

static void test_words_of_another_attempt_or_of_nobody_that_runs_are_refused(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 2);
    uint64_t refusals = coordinator_refusals(s.c);
    s.attempt++;
    gather(&s, 0, "fence", 0, "");
    s.attempt--;
    assert_int_equal(coordinator_refusals(s.c), refusals + 1);
    stage_stopped(&s, 0);
    gather(&s, 0, "fence", 0, "");
    assert_int_equal(coordinator_refusals(s.c), refusals + 2);
    gone(&s);
}

/* ---- values ---- */

static void test_a_get_waits_for_its_put(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 3);
    get(&s, 1, 11, "nccl/0", RENDEZVOUS_GET_WAIT);
    get(&s, 1, 11, "nccl/0", RENDEZVOUS_GET_WAIT); /* again */
    get(&s, 2, 21, "nccl/0", RENDEZVOUS_GET_NOW);
    assert_int_equal(value(&s, 2)->outcome, RENDEZVOUS_OUTCOME_NOT_FOUND);
    assert_int_equal(stage_count(&s, COORDINATOR_SEND), 1);
    stage_forget(&s);
    put(&s, 0, 1, "nccl/0", "an id");
    is_value(&s, 0, 1, "");
    is_value(&s, 1, 11, "an id");
    assert_int_equal(stage_count(&s, COORDINATOR_SEND), 2);
    get(&s, 2, 22, "nccl/0", RENDEZVOUS_GET_WAIT);
    is_value(&s, 2, 22, "an id");
    /* Again, after its answer was lost; and by others, which is another matter. */
    put(&s, 0, 2, "nccl/0", "an id");
    is_value(&s, 0, 2, "");
    put(&s, 0, 3, "nccl/0", "another");
    assert_int_equal(value(&s, 0)->outcome, RENDEZVOUS_OUTCOME_EXISTS);
    put(&s, 1, 12, "nccl/0", "an id");
    assert_int_equal(value(&s, 1)->outcome, RENDEZVOUS_OUTCOME_EXISTS);
    gone(&s);
}

static void test_who_gives_up_a_get_is_told_why_it_was_in_vain(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 3);
    get(&s, 1, 11, "nccl/0", RENDEZVOUS_GET_WAIT);
    get(&s, 1, 11, "nccl/0", RENDEZVOUS_GET_GIVE_UP);
    assert_int_equal(value(&s, 1)->outcome, RENDEZVOUS_OUTCOME_TIMED_OUT);
    assert_string_equal(value(&s, 1)->words, "nccl/0: nobody has put it");
    fetch(&s, 1, 12, 2, RENDEZVOUS_GET_WAIT);
    fetch(&s, 1, 12, 2, RENDEZVOUS_GET_GIVE_UP);
    assert_string_equal(value(&s, 1)->words, "modex: worker 2 has not answered");
    stage_forget(&s);
    put(&s, 0, 1, "nccl/0", "an id");
    answer(&s, 2, 1, "too late");
    assert_int_equal(stage_sent_count(&s, 1, RENDEZVOUS_VALUE), 0); /* nobody waits any more */
    get(&s, 1, 13, "nccl/0", RENDEZVOUS_GET_GIVE_UP); /* and what came meanwhile is given */
    is_value(&s, 1, 13, "an id");
    gone(&s);
}

static void test_a_fetch_goes_to_its_member_and_back(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 3);
    fetch(&s, 0, 7, 2, RENDEZVOUS_GET_WAIT);
    const struct rendezvous_message *asked = stage_sent(&s, 2, RENDEZVOUS_GET);
    assert_non_null(asked);
    assert_string_equal(asked->get.name, "modex");
    assert_int_equal(asked->get.node_rank, 0);
    assert_int_equal(asked->get.sequence, 3);
    answer(&s, 2, asked->get.token, "large");
    is_value(&s, 0, 7, "large");
    answer(&s, 2, 4711, "nobody asked"); /* harmless */
    answer(&s, 1, 4711, "nobody asked");
    fetch(&s, 0, 8, 3, RENDEZVOUS_GET_WAIT); /* there is no such member */
    assert_int_equal(value(&s, 0)->outcome, RENDEZVOUS_OUTCOME_REFUSED);
    gone(&s);
}

static void test_a_member_is_asked_for_a_few_values_at_a_time(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 3);
    for (uint64_t i = 0; i < 3; i++) {
        fetch(&s, 0, 10 + i, 2, RENDEZVOUS_GET_WAIT);
        fetch(&s, 1, 20 + i, 2, RENDEZVOUS_GET_WAIT);
    }
    assert_int_equal(stage_sent_count(&s, 2, RENDEZVOUS_GET), COLLECTIVE_ASKED_MAX);
    answer(&s, 2, 2, "b"); /* in any order */
    is_value(&s, 1, 20, "b");
    assert_int_equal(stage_sent_count(&s, 2, RENDEZVOUS_GET), COLLECTIVE_ASKED_MAX + 1);
    /* Its channel breaks: what it has not answered is asked again. */
    stage_forget(&s);
    stage_close(&s, 2);
    stage_hello(&s, 2, RENDEZVOUS_STATE_RUNNING, 1);
    assert_int_equal(stage_sent_count(&s, 2, RENDEZVOUS_GET), COLLECTIVE_ASKED_MAX);
    /* An asker's channel breaks: what it asked is forgotten, it asks again. */
    stage_forget(&s);
    stage_close(&s, 0);
    stage_hello(&s, 0, RENDEZVOUS_STATE_RUNNING, 1);
    fetch(&s, 0, 10, 2, RENDEZVOUS_GET_WAIT);
    unsigned answered = 0;
    for (uint64_t id = 1; id <= 9; id++)
        answer(&s, 2, id, "x");
    answered =
        stage_sent_count(&s, 0, RENDEZVOUS_VALUE) + stage_sent_count(&s, 1, RENDEZVOUS_VALUE);
    assert_int_equal(answered, 3); /* two of member 1, one of member 0 */
    gone(&s);
}

static void test_a_launcher_of_an_earlier_release_is_asked_nothing(void **state)
{
    (void)state;
    struct stage s;
    gang_of(&s, 2);
    stage_close(&s, 1);
    struct rendezvous_message hello = stage_hello_message(&s, 1, RENDEZVOUS_STATE_RUNNING, 1);
    hello.hello.takes_exchange = false;
    s.channels[1] = s.next_channel++;
    stage_say(&s, 1, &hello);
    assert_true(stage_sent(&s, 1, RENDEZVOUS_WELCOME)->welcome.takes_exchange);
    fetch(&s, 0, 7, 1, RENDEZVOUS_GET_WAIT);
    assert_int_equal(stage_sent_count(&s, 1, RENDEZVOUS_GET), 0);
    gone(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_get_what_all_gave_when_the_last_has_come),
        cmocka_unit_test(test_the_answer_to_a_barrier_does_not_grow_with_the_gang),
        cmocka_unit_test(test_the_bytes_of_a_result_are_shared_by_all_who_get_it),
        cmocka_unit_test(test_some_members_can_gather_among_themselves),
        cmocka_unit_test(test_who_was_away_asks_again_and_gets_the_same),
        cmocka_unit_test(
            test_a_next_leader_counts_those_who_have_the_result_and_answers_who_has_not),
        cmocka_unit_test(
            test_the_first_whose_time_is_over_ends_it_for_all_and_names_who_is_missing),
        cmocka_unit_test(test_who_is_two_gathers_behind_is_told_so_and_nothing_of_what_others_gave),
        cmocka_unit_test(test_who_waits_for_one_that_has_gone_on_is_told_so),
        cmocka_unit_test(test_a_member_whose_ranks_have_ended_is_not_waited_for),
        cmocka_unit_test(test_a_gather_begun_after_a_member_has_ended_fails_at_once),
        cmocka_unit_test(
            test_who_comes_back_with_its_ranks_ended_may_first_say_what_it_had_come_to),
        cmocka_unit_test(test_a_next_leader_learns_who_has_ended_and_what_that_had_come_to),
        cmocka_unit_test(test_a_fetch_from_a_member_that_is_gone_ends_at_once),
        cmocka_unit_test(test_who_gives_up_has_come),
        cmocka_unit_test(test_a_lost_pod_ends_the_gathers_that_it_has_not_come_to),
        cmocka_unit_test(test_a_result_that_is_too_large_is_a_barrier_with_words),
        cmocka_unit_test(test_what_stays_is_told_by_its_length),
        cmocka_unit_test(test_a_gather_without_room_fails_for_all_and_harms_nothing_else),
        cmocka_unit_test(test_words_of_another_attempt_or_of_nobody_that_runs_are_refused),
        cmocka_unit_test(test_a_get_waits_for_its_put),
        cmocka_unit_test(test_who_gives_up_a_get_is_told_why_it_was_in_vain),
        cmocka_unit_test(test_a_fetch_goes_to_its_member_and_back),
        cmocka_unit_test(test_a_member_is_asked_for_a_few_values_at_a_time),
        cmocka_unit_test(test_a_launcher_of_an_earlier_release_is_asked_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
