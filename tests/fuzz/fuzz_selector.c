/* Label and field selectors, as text and as objects. Text: the selector, a newline, and an object
 * to try it on. What one reads matches the same as its other form does. */
#include "tests/fuzz/fuzz.h"

#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/selector.h"

/* matchLabels and `a=b,c=d` are two ways to say one thing. */
static void compare(const cJSON *labels, const cJSON *object)
{
    struct mlt_text text = MLT_TEXT_INIT(1u << 20);
    struct kube_selector *by_text = NULL, *by_object = NULL;
    cleanup_json cJSON *said = cJSON_CreateObject();
    const cJSON *label;
    cJSON_ArrayForEach(label, labels)
    {
        const char *value = json_string(label, "", NULL);
        if (!value || json_member(json_member(said, "matchLabels"), label->string))
            continue;
        mlt_text_printf(&text, "%s%s=%s", text.length ? "," : "", label->string, value);
        (void)cJSON_AddStringToObject(json_set_object(said, "matchLabels"), label->string, value);
    }
    int one = kube_selector_parse(mlt_text_string(&text), &by_text, NULL);
    int two = kube_selector_from_object(said, &by_object, NULL);
    if (one == 0 && two == 0)
        REQUIRE(kube_selector_matches(by_text, object) == kube_selector_matches(by_object, object));
    if (two == 0)
        REQUIRE(kube_selector_matches(by_object, labels) || !cJSON_IsObject(labels));
    kube_selector_free(by_text);
    kube_selector_free(by_object);
    mlt_text_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 14)
        return 0;
    cleanup_free char *text = fuzz_text(data, size);
    char *object_text = strchr(text, '\n');
    cleanup_json cJSON *object = NULL;
    struct kube_selector *s = NULL;
    struct mlt_error err = {0};
    if (object_text) {
        *object_text++ = '\0';
        (void)!json_parse(object_text, strlen(object_text), &object, NULL);
    }
    if (kube_selector_parse(text, &s, &err) == 0) {
        cleanup_json cJSON *nothing = cJSON_CreateObject();
        (void)kube_selector_matches(s, object);
        REQUIRE(kube_selector_matches(s, NULL) == kube_selector_matches(s, nothing));
    } else {
        REQUIRE(err.text[0]);
    }
    kube_selector_free(s);
    s = NULL;
    if (kube_field_selector_parse(text, &s, NULL) == 0)
        (void)kube_field_selector_matches(s, object);
    kube_selector_free(s);
    s = NULL;
    err.text[0] = '\0';
    if (kube_selector_from_object(object, &s, &err) == 0)
        (void)kube_selector_matches(s, object);
    else
        REQUIRE(err.text[0]);
    kube_selector_free(s);
    if (cJSON_IsObject(object))
        compare(object, object);
    return 0;
}
