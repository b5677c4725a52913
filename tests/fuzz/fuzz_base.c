/* Texts of lib/base: quantities, whole numbers, times, names and host lists. What is read is
 * written and read back as the same; a refusal has words. The first byte chooses the reader. */
#include "tests/fuzz/fuzz.h"

#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/base/hostlist.h"
#include "lib/base/name.h"
#include "lib/base/number.h"

#define NAMES_MAX 2000

static void quantity(const char *text)
{
    struct mlt_error err = {0};
    int64_t milli, again, whole;
    char written[MLT_QUANTITY_TEXT_MAX];
    if (mlt_quantity_parse_milli(text, &milli, &err) < 0) {
        REQUIRE(err.text[0]);
        return;
    }
    REQUIRE(milli >= 0);
    mlt_quantity_format_milli(milli, written);
    REQUIRE(mlt_quantity_parse_milli(written, &again, NULL) == 0 && again == milli);
    if (mlt_quantity_parse(text, &whole, NULL) < 0)
        return;
    REQUIRE(whole >= milli / 1000 && whole <= milli / 1000 + 1);
    mlt_quantity_format_bytes(whole, written);
    REQUIRE(mlt_quantity_parse(written, &again, NULL) == 0 && again == whole);
    mlt_bytes_for_people(whole, written);
}

static void integer(const char *text)
{
    int64_t value, again;
    char written[32];
    if (mlt_parse_integer(text, -1000, INT64_MAX, &value, NULL) < 0)
        return;
    REQUIRE(value >= -1000);
    (void)snprintf(written, sizeof written, "%lld", (long long)value);
    REQUIRE(mlt_parse_integer(written, -1000, INT64_MAX, &again, NULL) == 0 && again == value);
}

static void moment(const char *text)
{
    int64_t ms, again;
    char written[MLT_TIME_TEXT_MAX];
    if (mlt_time_parse(text, &ms, NULL) < 0)
        return;
    mlt_time_format(ms, written);
    if (ms < 0)
        return; /* before 1970 the format is not promised to come back */
    REQUIRE(mlt_time_parse(written, &again, NULL) == 0 && again == ms - ms % 1000);
    mlt_time_format_micro(ms * 1000, written);
    REQUIRE(mlt_time_parse(written, &again, NULL) == 0 && again == ms);
    mlt_duration_for_people(ms / 1000, written);
}

static void hosts(const char *text)
{
    char **names, **again;
    size_t count, count_again;
    struct mlt_error err = {0};
    if (mlt_hostlist_expand(text, NAMES_MAX, &names, &count, &err) < 0) {
        REQUIRE(err.text[0]);
        return;
    }
    REQUIRE(count <= NAMES_MAX && !names[count]);
    struct mlt_text out = MLT_TEXT_INIT(1u << 24);
    mlt_hostlist_compress((const char *const *)names, count, &out);
    REQUIRE(!out.failed);
    REQUIRE(mlt_hostlist_expand(mlt_text_string(&out), NAMES_MAX, &again, &count_again, NULL) == 0);
    REQUIRE(count == count_again);
    for (size_t i = 0; i < count; i++)
        REQUIRE(strcmp(names[i], again[i]) == 0);
    mlt_text_release(&out);
    mlt_hostlist_free(names);
    mlt_hostlist_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 4096)
        return 0;
    cleanup_free char *text = fuzz_text(data + 1, size - 1);
    void (*const readers[])(const char *) = {quantity, integer, moment, hosts};
    readers[data[0] % 4](text);
    if (mlt_is_dns_label(text, 63))
        REQUIRE(mlt_is_dns_subdomain(text));
    return 0;
}
