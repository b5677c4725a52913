/* See delivery.h. PURE. */
#include "controller/delivery.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/json/json.h"

static const char *const names[] = {
#define XX(name, word) word,
    DELIVERY_MAP(XX)
#undef XX
};

int delivery_read(const char *word, enum delivery *ret, struct mlt_error *err)
{
    for (size_t i = 0; i < DELIVERY_COUNT; i++)
        if (strcmp(word, names[i]) == 0) {
            *ret = (enum delivery)i;
            return 0;
        }
    _Static_assert(DELIVERY_COUNT == 3, "the words below name all of them");
    return mlt_fail(err, EINVAL, "`%.100s` is not %s, %s or %s", word, names[0], names[1],
                    names[2]);
}

const char *delivery_word(enum delivery delivery)
{
    return names[delivery];
}

/* ---- what nodes tell ---- */

#define NUMBER_DIGITS_MAX 4

static bool read_number(const char **at, unsigned *ret)
{
    size_t digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > NUMBER_DIGITS_MAX)
        return false;
    *ret = (unsigned)strtoul(*at, NULL, 10);
    *at += digits;
    return true;
}

/* "2.1.4", "v1.35.0+k3s1", "v1.35.1-eks-1a2b". */
static bool is_at_least(const char *version, unsigned major_needed, unsigned minor_needed)
{
    unsigned major, minor;
    const char *at = version + (*version == 'v');
    if (!read_number(&at, &major) || *at++ != '.' || !read_number(&at, &minor))
        return false;
    if (*at && !strchr(".+-~", *at))
        return false;
    return major > major_needed || (major == major_needed && minor >= minor_needed);
}

/* CRI-O is not among them: its code asks for `noexec` when it mounts an image (mountImage in
 * server/container_create_linux.go), and what it mounts has been tried by nobody here. */
enum delivery_lack delivery_node_lacks(const char *kubelet, const char *runtime)
{
    static const char containerd[] = "containerd://";
    size_t length = sizeof containerd - 1;
    if (!is_at_least(kubelet, 1, 35))
        return DELIVERY_LACKS_KUBELET;
    if (strncmp(runtime, containerd, length) != 0 || !is_at_least(runtime + length, 2, 1))
        return DELIVERY_LACKS_RUNTIME;
    return DELIVERY_LACKS_NOTHING;
}

const char *delivery_lack_words(enum delivery_lack lack)
{
    static const char *const words[] = {
#define XX(name, text) text,
        DELIVERY_LACK_MAP(XX)
#undef XX
    };
    return words[lack];
}

/* ---- what the API server and kubelets say ---- */

/* NULL: the pod has none. */
static const cJSON *find_volume(const cJSON *pod)
{
    const cJSON *volume;
    cJSON_ArrayForEach(volume, json_find(pod, "spec.volumes"))
    {
        if (strcmp(json_string(volume, "name", ""), DELIVERY_VOLUME) == 0 &&
            json_member(volume, "image"))
            return volume;
    }
    return NULL;
}

bool delivery_is_kept(const cJSON *pod)
{
    const cJSON *container, *entry;
    if (!find_volume(pod))
        return false;
    cJSON_ArrayForEach(container, json_find(pod, "spec.containers"))
    {
        cJSON_ArrayForEach(entry, json_member(container, "volumeMounts"))
        {
            if (strcmp(json_string(entry, "name", ""), DELIVERY_VOLUME) == 0)
                return true;
        }
    }
    return false;
}

#define INSTEAD \
    "mltrain-controller --launcher-delivery initContainer (chart: launcher.delivery) does without"

const char *delivery_lost_words(void)
{
    return "the API server has taken the image volume " DELIVERY_VOLUME
           " out of the pod, which brings mltrain's launcher: its feature gate ImageVolume is "
           "off; " INSTEAD;
}

char *delivery_refusal(enum delivery delivery, const char *words)
{
    bool is_about_it = strstr(words, DELIVERY_VOLUME) || strstr(words, "].image\"");
    if (delivery != DELIVERY_IMAGE_VOLUME || !is_about_it)
        return mlt_strdup(words);
    return mlt_asprintf(
        "%s (the image volume " DELIVERY_VOLUME " brings mltrain's launcher; " INSTEAD ")", words);
}

/* Whole, not as a part of a longer one: a runtime may write the registry before it that it adds. */
static bool mentions(const char *text, const char *image)
{
    size_t length = strlen(image);
    for (const char *at = text; length && (at = strstr(at, image)); at++) {
        bool begins = at == text || strchr("\"' /`", at[-1]);
        unsigned char next = (unsigned char)at[length];
        if (begins && !isalnum(next) && !(next && strchr(".-_/@", next)))
            return true;
    }
    return false;
}

const char *delivery_blamed_image(const cJSON *pod, const char *message)
{
    const char *image = json_string(find_volume(pod), "image.reference", "");
    return mentions(message, image) ? image : NULL;
}

/* What those say that read a mount without a path of the host, as one of an image is, and know no
 * other: containerd before 2.1 (pkg/cri/opts/spec_linux.go), CRI-O before 1.31
 * (server/container_create_linux.go). */
bool delivery_is_unknown(const cJSON *pod, const char *message)
{
    return find_volume(pod) &&
           (strstr(message, "failed to mkdir \"\"") || strstr(message, "ount.HostPath is empty"));
}
