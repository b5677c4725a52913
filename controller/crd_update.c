/* Definitions out of a folder into the cluster, forward only. See crd_update.h. */
#include "controller/crd_update.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"
#include "lib/kube/transport/transport.h"

#define REVISION "metadata.annotations[" CRD_REVISION_ANNOTATION "]"
#define REVISION_MAX 1000000
#define CONFLICTS_MAX 5 /* somebody else writes at the same time */

static int64_t revision_of(const cJSON *crd)
{
    int64_t revision;
    const char *text = json_string(crd, REVISION, "0");
    return mlt_parse_integer(text, 0, REVISION_MAX, &revision, NULL) == 0 ? revision : 0;
}

enum crd_action crd_update_decide(const cJSON *installed, const cJSON *ours)
{
    if (!installed)
        return CRD_CREATE;
    return revision_of(installed) > revision_of(ours) ? CRD_LEAVE : CRD_CHANGE;
}

/* ---- files ---- */

static int read_text(const char *path, struct mlt_text *out, struct mlt_error *err)
{
    char piece[16384];
    size_t got;
    FILE *file = fopen(path, "re");
    if (!file)
        return mlt_fail(err, errno, "%s: %s", path, strerror(errno));
    do {
        got = fread(piece, 1, sizeof piece, file);
        mlt_text_add(out, piece, got);
    } while (got);
    bool is_bad = ferror(file) != 0;
    (void)fclose(file);
    if (is_bad || out->failed)
        return mlt_fail(err, is_bad ? EIO : E2BIG, "%s: cannot be read, or has more than %u bytes",
                        path, CRD_FILE_MAX);
    return 0;
}

/* One definition; the caller frees it. */
static int read_crd(const char *path, cJSON **ret, struct mlt_error *err)
{
    cleanup_text struct mlt_text text = MLT_TEXT_INIT(CRD_FILE_MAX);
    cleanup_json cJSON *documents = NULL;
    int r = read_text(path, &text, err);
    if (r == 0)
        r = json_parse_yaml(mlt_text_string(&text), text.length, &documents, err);
    if (r < 0)
        return mlt_fail_in(err, "%s", path);
    const cJSON *first = documents->child;
    if (!first || first->next ||
        strcmp(json_string(first, "kind", ""), "CustomResourceDefinition") != 0 ||
        !*json_string(first, "metadata.name", ""))
        return mlt_fail(err, EINVAL, "%s: expected one CustomResourceDefinition", path);
    *ret = json_copy(first);
    return 0;
}

/* ---- requests ---- */

static int ask(struct kube_transport *t, const char *verb, const char *name, const char *body,
               cJSON **ret, int *ret_status, struct mlt_error *err)
{
    cleanup_text struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    struct kube_answer answer = {0};
    const char *type = strcmp(verb, "PATCH") == 0 ? "application/merge-patch+json" : NULL;
    kube_path(&path, KUBE_CRD, NULL, name, NULL, NULL);
    int r = kube_request(t, verb, mlt_text_string(&path), type, body, &answer, err);
    if (r < 0)
        return r;
    *ret_status = answer.status;
    bool may_fail = answer.status == 404 || answer.status == 409;
    r = may_fail ? 0 : kube_answer_check(&answer, err);
    if (r == 0 && answer.status < 400)
        r = json_parse(answer.body, answer.length, ret, err);
    kube_answer_release(&answer);
    return r;
}

/* The definition that the cluster has; NULL: none. The caller frees it. */
static int look(struct kube_transport *t, const char *name, cJSON **ret, struct mlt_error *err)
{
    int status = 0;
    *ret = NULL;
    return ask(t, "GET", name, NULL, ret, &status, err);
}

/* Lists stand in a merge patch as a whole, so what is no longer in ours goes. */
static char *patch_of(const cJSON *installed, const cJSON *ours)
{
    cleanup_json cJSON *patch = cJSON_CreateObject();
    json_set_string(patch, "metadata.resourceVersion",
                    json_string(installed, "metadata.resourceVersion", ""));
    json_set(patch, "metadata.annotations", json_copy(json_find(ours, "metadata.annotations")));
    json_set(patch, "spec", json_copy(json_member(ours, "spec")));
    return json_print(patch);
}

static int write_one(struct kube_transport *t, const cJSON *installed, const cJSON *ours,
                     int *ret_status, struct mlt_error *err)
{
    const char *name = json_string(ours, "metadata.name", "");
    cleanup_json cJSON *answer = NULL;
    cleanup_free char *body = installed ? patch_of(installed, ours) : json_print(ours);
    return ask(t, installed ? "PATCH" : "POST", installed ? name : NULL, body, &answer, ret_status,
               err);
}

static int update(struct kube_transport *t, const cJSON *ours, bool *ret_left,
                  struct mlt_error *err)
{
    const char *name = json_string(ours, "metadata.name", "");
    for (int i = 0; i < CONFLICTS_MAX; i++) {
        cleanup_json cJSON *installed = NULL;
        int status = 0;
        int r = look(t, name, &installed, err);
        if (r < 0)
            return r;
        *ret_left = crd_update_decide(installed, ours) == CRD_LEAVE;
        if (*ret_left) {
            (void)printf("%s: revision %" PRId64 " is left alone, ours is %" PRId64 "\n", name,
                         revision_of(installed), revision_of(ours));
            return 0;
        }
        r = write_one(t, installed, ours, &status, err);
        if (r < 0)
            return r;
        if (status < 400) {
            (void)printf("%s: revision %" PRId64 " %s\n", name, revision_of(ours),
                         installed ? "stands now" : "is made");
            return 0;
        }
    }
    return mlt_fail(err, EAGAIN, "%s: somebody else keeps writing it", name);
}

static bool is_served(const cJSON *crd)
{
    const cJSON *condition;
    cJSON_ArrayForEach(condition, json_find(crd, "status.conditions"))
    {
        if (strcmp(json_string(condition, "type", ""), "Established") == 0)
            return strcmp(json_string(condition, "status", ""), "True") == 0;
    }
    return false;
}

static int wait_served(struct kube_transport *t, const char *name, struct mlt_error *err)
{
    const struct timespec second = {.tv_sec = 1};
    for (int i = 0; i < CRD_TRIES; i++) {
        cleanup_json cJSON *crd = NULL;
        int r = look(t, name, &crd, err);
        if (r < 0 || is_served(crd))
            return r;
        (void)nanosleep(&second, NULL);
    }
    return mlt_fail(err, ETIMEDOUT, "%s: is not established after %d s", name, CRD_TRIES);
}

static int update_file(struct kube_transport *t, const char *path, struct mlt_error *err)
{
    cleanup_json cJSON *ours = NULL;
    bool left = false;
    int r = read_crd(path, &ours, err);
    if (r == 0)
        r = update(t, ours, &left, err);
    if (r == 0 && !left)
        r = wait_served(t, json_string(ours, "metadata.name", ""), err);
    return r;
}

static int is_yaml(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 5 && strcmp(entry->d_name + length - 5, ".yaml") == 0;
}

int crd_update_folder(const struct kube_config *kube, const char *folder, struct mlt_error *err)
{
    struct dirent **names;
    struct kube_transport *t = NULL;
    uv_loop_t loop;
    int count = scandir(folder, &names, is_yaml, alphasort);
    if (count < 0)
        return mlt_fail(err, errno, "%s: %s", folder, strerror(errno));
    (void)uv_loop_init(&loop);
    int r = count ? kube_transport_new(&loop, kube, &t, err)
                  : mlt_fail(err, ENOENT, "%s: has no *.yaml", folder);
    for (int i = 0; i < count; i++) {
        cleanup_free char *path = mlt_asprintf("%s/%s", folder, names[i]->d_name);
        free(names[i]);
        if (r == 0)
            r = update_file(t, path, err);
    }
    free(names);
    kube_transport_free(t, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    return r;
}
