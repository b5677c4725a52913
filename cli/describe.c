/* mltrain describe: all about one job. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/job_command.h"
#include "cli/job_text.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

/* By the object's UID: an earlier job of the same name has events of its own. */
static int describe(struct cli *c, const char *name)
{
    struct mlt_error err = {0};
    cleanup_free char *path = cli_job_path(c->namespace_, name, NULL, NULL);
    cJSON *job cleanup_json = NULL, *events cleanup_json = NULL;
    if (cli_get(c, path, &job, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    struct mlt_text event_path cleanup_text = MLT_TEXT_INIT(KUBE_PATH_MAX),
                               query cleanup_text = MLT_TEXT_INIT(512);
    mlt_text_printf(&query, "fieldSelector=involvedObject.uid%%3D%s",
                    json_string(job, "metadata.uid", ""));
    kube_path(&event_path, KUBE_EVENT, c->namespace_, NULL, NULL, mlt_text_string(&query));
    if (cli_get(c, mlt_text_string(&event_path), &events, &err) < 0)
        (void)cli_fail(0, "events: %s", err.text);
    struct mlt_text page cleanup_text = MLT_TEXT_INIT(JOB_PAGE_MAX);
    job_page(job, events, cli_wall_ms(), &page);
    (void)fputs(mlt_text_string(&page), stdout);
    return CLI_OK;
}

int cli_describe(int argc, char **argv)
{
    return job_command(argc, argv,
                       "Shows all about one job: phase and why, where it runs, progress, "
                       "checkpoint, restarts, conditions, "
                       "failures with their cause, events.",
                       NULL, describe);
}
