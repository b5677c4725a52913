/* The two trees of a job, its template and a worker's pod as the API server would complete it, are
 * kept as text: a tree takes ten times as much, and is wanted a few times in a job's life. What was
 * asked for in a step stays parsed until its end, but of a few jobs only. Jobs with equal texts
 * share one: many differ in their command alone, which the planned pod has not. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

#define PARSED_MAX 16 /* jobs */

struct folded_text {
    char *text;
    size_t references;
    UT_hash_handle hh; /* by text */
};

/* Takes `text`, which may be NULL. */
static struct folded_text *share(struct controller *c, char *text)
{
    cleanup_free char *own = text;
    struct folded_text *shared = NULL;
    if (!own)
        return NULL;
    HASH_FIND_STR(c->texts, own, shared);
    if (!shared) {
        shared = mlt_calloc(1, sizeof *shared);
        shared->text = mlt_strdup(own); /* of its length: a printer's buffer is larger */
        HASH_ADD_KEYPTR(hh, c->texts, shared->text, strlen(shared->text), shared);
    }
    shared->references++;
    return shared;
}

static void unshare(struct controller *c, struct folded_text *shared)
{
    if (!shared || --shared->references)
        return;
    HASH_DEL(c->texts, shared);
    free(shared->text);
    free(shared);
}

static cJSON *parse(const struct folded_text *from)
{
    cJSON *tree = NULL;
    int rc = json_parse(from->text, strlen(from->text), &tree, NULL);
    assert(rc == 0); /* it was printed from a tree that had been parsed */
    (void)rc;
    return tree;
}

static void note_parsed(struct job *job)
{
    if (job->parsed)
        return;
    job->parsed = true;
    job->next_parsed = job->controller->parsed;
    job->controller->parsed = job;
    job->controller->parsed_count++;
}

const cJSON *job_template(struct job *job)
{
    if (!job->template_ && job->template_text) {
        job->template_ = parse(job->template_text);
        note_parsed(job);
    }
    job->tj.spec.workers.template_ = job->template_;
    return job->template_;
}

const cJSON *job_planned(struct job *job)
{
    if (!job->planned && job->planned_text) {
        job->planned = parse(job->planned_text);
        note_parsed(job);
    }
    return job->planned;
}

static void fold(struct job *job)
{
    cJSON_Delete(steal_ptr(&job->template_));
    cJSON_Delete(steal_ptr(&job->planned));
    job->tj.spec.workers.template_ = NULL;
}

void job_set_spec(struct job *job, struct trainingjob *tj)
{
    fold(job);
    if (job->has_tj)
        trainingjob_release(&job->tj);
    job->tj = *tj;
    job->has_tj = true;
    job->gpus_per_pod = trainingjob_gpus_per_pod(&job->tj);
    unshare(job->controller, job->template_text);
    job->template_text = share(job->controller, trainingjob_slim(&job->tj));
}

bool job_set_planned(struct job *job, cJSON *pod)
{
    cleanup_json cJSON *tree = pod;
    struct folded_text *text = share(job->controller, json_print(tree));
    bool changes = text != job->planned_text;
    cJSON_Delete(steal_ptr(&job->planned));
    unshare(job->controller, job->planned_text);
    job->planned_text = text;
    return changes;
}

int64_t job_gpus(const struct job *job)
{
    return job->has_tj ? job->tj.spec.workers.replicas * job->gpus_per_pod : 0;
}

void job_folded_release(struct job *job)
{
    for (struct job **at = &job->controller->parsed; *at; at = &(*at)->next_parsed)
        if (*at == job) {
            *at = job->next_parsed;
            job->controller->parsed_count--;
            break;
        }
    fold(job);
    unshare(job->controller, job->template_text);
    unshare(job->controller, job->planned_text);
}

void jobs_fold(struct controller *c)
{
    while (c->parsed) {
        struct job *job = c->parsed;
        c->parsed = job->next_parsed;
        job->parsed = false;
        fold(job);
    }
    c->parsed_count = 0;
}

/* One answer can be news for thousands of jobs (a shared dry run's, a list's): their trees, all at
 * once, would take more than everything else. */
void jobs_fold_surplus(struct controller *c)
{
    if (c->parsed_count > PARSED_MAX)
        jobs_fold(c);
}
