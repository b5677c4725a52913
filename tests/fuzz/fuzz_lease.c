/* The answers that leader election gets. Whatever they hold: nobody leads who has not written the
 * record within the renew deadline. The input is answers separated by newlines: a status of three
 * digits, a digit for the seconds that pass before it, and a body. */
#include "tests/fuzz/fuzz.h"

#include "lib/base/cleanup.h"
#include "lib/kube/lease.h"

#define ANSWERS_MAX 64
#define START_MS 1000000

struct candidate {
    struct kube_lease *l;
    int64_t now_ms, written_sent_ms; /* when the last write that succeeded was sent */
};

static int digit(const char *text, size_t length, size_t i)
{
    return i < length && text[i] >= '0' && text[i] <= '9' ? text[i] - '0' : 0;
}

static void check(const struct candidate *c)
{
    if (kube_lease_leads(c->l, c->now_ms))
        REQUIRE(c->now_ms - c->written_sent_ms < KUBE_LEASE_RENEW_DEADLINE_MS);
}

static void one(struct candidate *c, const char *text, size_t length)
{
    struct kube_lease_want want;
    int status =
        digit(text, length, 0) * 100 + digit(text, length, 1) * 10 + digit(text, length, 2);
    kube_lease_poll(c->l, c->now_ms, c->now_ms * 1000, &want);
    if (!want.send) {
        REQUIRE(want.cancel || want.wake_ms > c->now_ms);
        c->now_ms = want.cancel || want.wake_ms == INT64_MAX ? c->now_ms + 1 : want.wake_ms;
        check(c);
        kube_lease_poll(c->l, c->now_ms, c->now_ms * 1000, &want);
    }
    check(c);
    if (!want.send)
        return;
    int64_t sent_ms = c->now_ms;
    c->now_ms += digit(text, length, 3) * 1000;
    size_t skip = length < 4 ? length : 4;
    kube_lease_answer(c->l, c->now_ms, status, text + skip, length - skip);
    if (status / 100 == 2 && strcmp(want.verb, "GET") != 0)
        c->written_sent_ms = sent_ms;
    check(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kube_lease_config config = {.namespace_ = "ns", .name = "boss", .identity = "we"};
    struct mlt_random random;
    mlt_random_init(&random, 1);
    struct candidate c = {.now_ms = START_MS, .written_sent_ms = INT64_MIN / 2};
    REQUIRE(kube_lease_new(&config, &random, &c.l, NULL) == 0);
    cleanup_free char *text = fuzz_text(data, size);
    char *rest = text;
    for (int i = 0; i < ANSWERS_MAX && rest; i++) {
        char *line = strsep(&rest, "\n");
        one(&c, line, strlen(line));
    }
    kube_lease_give_up(c.l);
    REQUIRE(!kube_lease_leads(c.l, c.now_ms));
    kube_lease_free(c.l);
    return 0;
}
