/* Who am I, and what may I do: kubectl auth. Whoever holds the token may do everything. See call.h.
 */
#include <string.h>
#include "lib/base/cleanup.h"
#include "localcluster/api/call.h"

#define USER_NAME "mltrain-admin"

static void answer_access(cJSON *review)
{
    json_set_bool(review, "status.allowed", true);
    json_set_string(review, "status.reason", "the holder of the cluster's token may do everything");
}

static void answer_user(cJSON *review)
{
    json_set_string(review, "status.userInfo.username", USER_NAME);
    cJSON *groups = json_set_array(review, "status.userInfo.groups");
    json_append_string(groups, "system:masters");
    json_append_string(groups, "system:authenticated");
}

static void answer_rules(cJSON *review)
{
    static const char *const stars[] = {"verbs", "apiGroups", "resources"};
    cJSON *rule = cJSON_CreateObject(), *other = cJSON_CreateObject();
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(stars); i++)
        json_append_string(json_set_array(rule, stars[i]), "*");
    json_append_string(json_set_array(other, "verbs"), "*");
    json_append_string(json_set_array(other, "nonResourceURLs"), "*");
    json_append(json_set_array(review, "status.resourceRules"), rule);
    json_append(json_set_array(review, "status.nonResourceRules"), other);
    json_set_bool(review, "status.incomplete", false);
}

int api_review(struct api_call *c, bool *ret_found)
{
    static const struct {
        const char *group, *plural;
        void (*answer)(cJSON *review);
    } reviews[] = {{"authorization.k8s.io", "selfsubjectaccessreviews", answer_access},
                   {"authorization.k8s.io", "selfsubjectrulesreviews", answer_rules},
                   {"authentication.k8s.io", "selfsubjectreviews", answer_user}};
    *ret_found = false;
    if (c->segment_count != 4 || strcmp(c->segments[0], "apis") != 0 ||
        strcmp(c->segments[2], "v1") != 0)
        return 0;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(reviews); i++) {
        if (strcmp(c->segments[1], reviews[i].group) != 0 ||
            strcmp(c->segments[3], reviews[i].plural) != 0)
            continue;
        *ret_found = true;
        cleanup_json cJSON *review = NULL;
        if (strcmp(c->request->method, "POST") != 0)
            return api_refuse(c->answer, 405, "MethodNotAllowed",
                              "the server does not allow this method on the requested resource");
        if (api_read_body(c, &review) < 0)
            return -1;
        if (!cJSON_IsObject(review))
            return api_refuse(c->answer, 400, "BadRequest", "the request's body is not an object");
        json_unset(review, "status");
        reviews[i].answer(review);
        api_answer_tree(c->answer, 201, steal_ptr(&review));
        return 0;
    }
    return 0;
}
