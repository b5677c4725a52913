/* TrainingJobs and TrainingQueues from any YAML: what is accepted stays accepted when the defaults
 * are written out, and reads the same; nothing crashes. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "trainingjob/trainingjob.h"
#include "trainingjob/trainingqueue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_job(const cJSON *object)
{
    struct mlt_error err = {0};
    cleanup_trainingjob struct trainingjob job = {0};
    cleanup_json cJSON *defaulted = json_copy(object);
    trainingjob_default(defaulted);
    if (trainingjob_validate_update(object, defaulted, &err) != 0 && err.text[0] == '\0')
        abort();
    if (trainingjob_validate(object, &err) != 0) {
        if (err.text[0] == '\0')
            abort();
        return;
    }
    if (trainingjob_validate(defaulted, &err) != 0)
        abort();
    if (trainingjob_validate_update(object, defaulted, &err) != 0)
        abort();
    if (trainingjob_read(object, &job, &err) != 0)
        abort();
    (void)trainingjob_match_rule(&job.spec, 1, 0);
    if (trainingjob_world_size(&job) < 1 || trainingjob_gpus(&job) < 0)
        abort();
    cleanup_json cJSON *status = trainingjob_status_json(job.status);
    struct trainingjob_status back;
    trainingjob_status_read(status, &back);
    cleanup_json cJSON *again = trainingjob_status_json(&back);
    if (!json_equal(status, again))
        abort();
    trainingjob_status_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_json cJSON *documents = NULL;
    const cJSON *object;
    if (json_parse_yaml((const char *)data, size, &documents, NULL) != 0)
        return 0;
    cJSON_ArrayForEach(object, documents)
    {
        struct mlt_error err = {0};
        try_job(object);
        if (trainingqueue_validate(object, &err) != 0 && err.text[0] == '\0')
            abort();
    }
    return 0;
}
