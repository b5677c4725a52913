/* Which checkpoint paths outlive the pod. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "controller/durable.h"
#include "lib/base/cleanup.h"
#include "lib/base/alloc.h"

static char words[DURABLE_WORDS_MAX];

/* `mounts` of the trainer and the `volumes` of the pod, as JSON. */
static bool is_durable(const char *mounts, const char *volumes, const char *path)
{
    cleanup_free char *text =
        mlt_asprintf("{\"spec\":{\"containers\":[{\"name\":\"side\",\"volumeMounts\":[{\"name\":"
                     "\"keep\",\"mountPath\":\"/side\"}]},{\"name\":\"trainer\",\"volumeMounts\":"
                     "[%s]}],\"volumes\":[%s]}}",
                     mounts, volumes);
    cleanup_json cJSON *pod = NULL;
    words[0] = 0;
    assert_int_equal(json_parse(text, strlen(text), &pod, NULL), 0);
    return durable_path(pod, path, words);
}

static void test_each_kind_of_volume(void **state)
{
    static const struct {
        const char *volume; /* beside its name */
        bool durable;
    } rows[] = {
        {"\"emptyDir\":{}", false},
        {"\"emptyDir\":{\"medium\":\"Memory\"}", false},
        {"\"ephemeral\":{\"volumeClaimTemplate\":{}}", false},
        {"\"configMap\":{\"name\":\"x\"}", false},
        {"\"secret\":{\"secretName\":\"x\"}", false},
        {"\"projected\":{\"sources\":[]}", false},
        {"\"downwardAPI\":{}", false},
        {"\"image\":{\"reference\":\"x\"}", false},
        {"\"gitRepo\":{\"repository\":\"x\"}", false},
        {"\"csi\":{\"driver\":\"inline.storage.kubernetes.io\"}", false},
        {"\"csi\":{\"driver\":\"gcsfuse.csi.storage.gke.io\"}", true},
        {"\"csi\":{\"driver\":\"nfs.csi.k8s.io\"}", true},
        {"\"csi\":{\"driver\":\"smb.csi.k8s.io\"}", true},
        {"\"csi\":{\"driver\":\"file.csi.azure.com\"}", true},
        {"\"csi\":{\"driver\":\"blob.csi.azure.com\"}", true},
        {"\"persistentVolumeClaim\":{\"claimName\":\"x\"}", true},
        {"\"nfs\":{\"server\":\"x\",\"path\":\"/\"}", true},
        {"\"cephfs\":{\"monitors\":[]}", true},
        {"\"hostPath\":{\"path\":\"/data\"}", true},
    };
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_free char *volumes = mlt_asprintf(
            "{\"name\":\"other\",\"emptyDir\":{}},{\"name\":\"v\",%s}", rows[i].volume);
        if (is_durable("{\"name\":\"v\",\"mountPath\":\"/ck\"}", volumes, "/ck/run1") !=
            rows[i].durable)
            fail_msg("%s: %s", rows[i].volume, words);
    }
}

#define VOLUMES                                                                              \
    "{\"name\":\"keep\",\"persistentVolumeClaim\":{\"claimName\":\"x\"}},{\"name\":\"tmp\"," \
    "\"emptyDir\":{}}"
#define KEEP(at) "{\"name\":\"keep\",\"mountPath\":\"" at "\"}"
#define TMP(at) "{\"name\":\"tmp\",\"mountPath\":\"" at "\"}"

static void test_the_innermost_mount_of_the_trainer_decides(void **state)
{
    (void)state;
    assert_false(is_durable(KEEP("/d") "," TMP("/d/scratch"), VOLUMES, "/d/scratch/ck"));
    assert_false(is_durable(TMP("/d/scratch") "," KEEP("/d"), VOLUMES, "/d/scratch"));
    assert_true(is_durable(TMP("/d") "," KEEP("/d/ck/"), VOLUMES, "/d/ck"));
    assert_true(is_durable(KEEP("/d/ck") "," TMP("/d"), VOLUMES, "/d/ck/"));
    assert_true(is_durable(KEEP("/") "," TMP("/d"), VOLUMES, "/e"));
    assert_false(is_durable(TMP("/"), VOLUMES, "/e"));
    assert_true(is_durable(TMP("/") "," KEEP("/e"), VOLUMES, "/e/f"));
    /* Another folder whose name begins so; a mount of another container; none at all. */
    assert_false(is_durable(KEEP("/ck"), VOLUMES, "/ckpt"));
    assert_false(is_durable(KEEP("/ck/a"), VOLUMES, "/ck"));
    assert_false(is_durable(KEEP("/ck"), VOLUMES, "/side"));
    assert_false(is_durable("", VOLUMES, "/ck"));
}

static void test_the_words_say_which_mount_why_and_what_to_do(void **state)
{
    (void)state;
    assert_false(is_durable(TMP("/ck"), VOLUMES, "/ck/a"));
    assert_string_equal(
        words, "checkpoint.path /ck/a lies in volume tmp (emptyDir, mounted at /ck), which "
               "goes with its pod and all checkpoints in it; mount a volume that stays, "
               "such as a PersistentVolumeClaim, at checkpoint.path");
    assert_false(is_durable("", "", "/ck"));
    assert_string_equal(
        words, "no volume is mounted at checkpoint.path /ck: checkpoints are lost when the "
               "pod's container is; mount a volume that stays, such as a "
               "PersistentVolumeClaim, at checkpoint.path");
    assert_true(is_durable(KEEP("/ck"), VOLUMES, "/ck"));
    assert_string_equal(words, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind_of_volume),
        cmocka_unit_test(test_the_innermost_mount_of_the_trainer_decides),
        cmocka_unit_test(test_the_words_say_which_mount_why_and_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
