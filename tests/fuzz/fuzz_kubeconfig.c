/* Kubeconfigs, one or more YAML documents, and the base64 in them. Never touches a file: what names
 * one is only joined to its folder. A first byte of '=' makes the rest base64. */
#include "tests/fuzz/fuzz.h"

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/kube/base64.h"
#include "lib/kube/kubeconfig.h"

#define DOCUMENTS_MAX 4

static void base64(const uint8_t *data, size_t size)
{
    cleanup_free char *encoded = kube_base64_encode(data, size);
    char *bytes = NULL;
    size_t length = 0;
    REQUIRE(kube_base64_decode(encoded, &bytes, &length, NULL) == 0);
    REQUIRE(length == size && (size == 0 || memcmp(bytes, data, size) == 0));
    free(bytes);
    bytes = NULL;
    cleanup_free char *text = fuzz_text(data, size);
    if (kube_base64_decode(text, &bytes, &length, NULL) == 0)
        REQUIRE(length <= size && bytes[length] == '\0');
    free(bytes);
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void choose(const struct kube_config_source *sources, size_t count, const char *context)
{
    struct kube_config c = {0}, copy = {0};
    struct mlt_error err = {0};
    if (kube_config_select(sources, count, context, &c, &err) < 0) {
        REQUIRE(err.text[0]);
        return;
    }
    REQUIRE(c.server && c.server[0] && c.namespace_ && c.namespace_[0]);
    kube_config_copy(&c, &copy);
    REQUIRE(same(c.server, copy.server) && same(c.token, copy.token) &&
            same(c.client_key_data, copy.client_key_data) && same(c.password, copy.password));
    kube_config_release(&c);
    kube_config_release(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kube_config_source sources[DOCUMENTS_MAX];
    cleanup_json cJSON *documents = NULL;
    const cJSON *document;
    size_t count = 0;
    if (size > 0 && data[0] == '=')
        base64(data + 1, size - 1);
    else if (json_parse_yaml((const char *)data, size, &documents, NULL) < 0)
        return 0;
    cJSON_ArrayForEach(document, documents)
    {
        if (count < DOCUMENTS_MAX)
            sources[count++] = (struct kube_config_source){document, "/etc/kube"};
    }
    choose(sources, count, NULL);
    choose(sources, count, "other");
    return 0;
}
