/* How the launcher comes into the pods of jobs: copied by an init container, or mounted, as a
 * volume whose source is its image (Kubernetes' KEP-4639: volumes[].image, on by default from
 * 1.35). PURE.
 *
 * The volume spares the init container, and with it most of a second until the ranks' first line:
 * a kubelet notices once a second that an init container has ended. It needs an API server and
 * kubelets with the feature gate ImageVolume and a container runtime that mounts images; what lacks
 * something of that says so late and in words of its own, which are told with what they mean. What
 * nodes tell of themselves decides between the two when nobody else does: delivery_choice.c. */
#ifndef CONTROLLER_DELIVERY_H
#define CONTROLLER_DELIVERY_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include "lib/base/error.h"

/* X(NAME, WORD): the word is that of the option --launcher-delivery. AUTO is one of the others for
 * each pod. */
#define DELIVERY_MAP(XX)                \
    XX(INIT_CONTAINER, "initContainer") \
    XX(IMAGE_VOLUME, "imageVolume")     \
    XX(AUTO, "auto")

enum delivery {
#define XX(name, word) DELIVERY_##name,
    DELIVERY_MAP(XX)
#undef XX
        DELIVERY_COUNT
};

#define DELIVERY_VOLUME "mltrain-launcher" /* the volume's name */

/* -EINVAL for a word that is none of DELIVERY_MAP. */
int delivery_read(const char *word, enum delivery *ret, struct mlt_error *err) MLT_MUST_USE;

const char *delivery_word(enum delivery delivery); /* static */

/* X(NAME, WORDS): what a node lacks for the volume, by what it tells of itself. */
#define DELIVERY_LACK_MAP(XX)                                              \
    XX(NOTHING, "nothing")                                                 \
    XX(KUBELET, "its kubelet is not known to be Kubernetes 1.35 or newer") \
    XX(RUNTIME, "its container runtime is not known to be containerd 2.1 or newer")

enum delivery_lack {
#define XX(name, words) DELIVERY_LACKS_##name,
    DELIVERY_LACK_MAP(XX)
#undef XX
        DELIVERY_LACKS_COUNT
};

/* By a node's status.nodeInfo: kubeletVersion ("v1.35.1-eks-1a2b"), whose gate is on by default
 * from 1.35, and containerRuntimeVersion ("containerd://2.1.4"). Whatever a vendor writes after the
 * first two numbers does not count; what is no version, and another runtime, lacks it. */
enum delivery_lack delivery_node_lacks(const char *kubelet, const char *runtime);
const char *delivery_lack_words(enum delivery_lack lack); /* static */

/* Whether the API server has left the volume in a pod that has it by our words, and one of its
 * containers mounts it. One with the gate off takes both away without a word. */
bool delivery_is_kept(const cJSON *pod);

/* What is said of a dry run's pod that has lost the volume. Static. */
const char *delivery_lost_words(void);

/* The API server's words about a pod that it refuses, with what they mean when they are about the
 * volume: one that does not know the field, or a Pod Security level that does not know the kind.
 * The caller frees the result. */
char *delivery_refusal(enum delivery delivery, const char *words);

/* The image of the volume if `message`, a container's reason to wait, is about that one and not
 * about the container's own; else NULL. Borrowed from the pod. */
const char *delivery_blamed_image(const cJSON *pod, const char *message);

/* Whether a container waits because its runtime does not know the volume, by the runtime's words
 * ("" : no). */
bool delivery_is_unknown(const cJSON *pod, const char *message);

#endif
