/* The queue of effects: who owns what they point to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "controller/effects.h"
#include "rendezvous/frame_bytes.h"

#define CHANNELS 2048

static struct frame_bytes *a_frame(void)
{
    return frame_bytes_new(&(struct rendezvous_message){
        .type = RENDEZVOUS_GATHERED, .attempt = 1, .gathered = {.name = "fence", .words = ""}});
}

static void test_a_frame_that_goes_to_many_is_in_the_queue_once(void **state)
{
    (void)state;
    struct effects q;
    struct controller_effect effect;
    struct frame_bytes *frame = a_frame();
    effects_init(&q);
    for (uint64_t id = 1; id <= CHANNELS; id++)
        effects_channel_share(&q, id, frame);
    assert_int_equal(frame->references, CHANNELS + 1);
    for (uint64_t id = 1; id <= CHANNELS; id++) {
        assert_true(effects_next(&q, &effect));
        assert_int_equal(effect.kind, CONTROLLER_EFFECT_CHANNEL_SEND);
        assert_int_equal(effect.id, id);
        assert_ptr_equal(effect.body, frame->data);
        assert_int_equal(effect.length, frame->length);
    }
    assert_false(effects_next(&q, &effect));
    assert_int_equal(frame->references, 1);
    frame_bytes_unref(frame);
    effects_release(&q);
}

static void test_a_frame_lives_as_long_as_the_queue_needs_it(void **state)
{
    (void)state;
    struct effects q;
    struct controller_effect effect;
    struct frame_bytes *frame = a_frame();
    size_t length = frame->length;
    effects_init(&q);
    effects_channel_share(&q, 1, frame);
    effects_channel_share(&q, 2, frame);
    effects_channel_send(&q, 3, "own", 3);
    frame_bytes_unref(frame);
    assert_true(effects_next(&q, &effect));
    assert_int_equal(effect.length, length);
    effects_release(&q); /* with two that nobody has taken: AddressSanitizer sees to it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_that_goes_to_many_is_in_the_queue_once),
        cmocka_unit_test(test_a_frame_lives_as_long_as_the_queue_needs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
