/* PyTorch Lightning: a file `epoch=3-step=900.ckpt` a step, in the folder itself or where its
 * loggers put it: `lightning_logs/version_N/checkpoints`. Each run has a version of its own.
 *
 * The file is one that torch.save writes, whose end proves that it is whole; with sharded
 * strategies it is a folder with what torch.distributed.checkpoint or DeepSpeed write. The step is
 * that of the name, or, for `last.ckpt`, what the file says (global_step).
 * A program resumes with fit(ckpt_path=...): the path is the file.
 * Source: lightning/pytorch/callbacks/model_checkpoint.py (_format_checkpoint_name,
 * __resolve_ckpt_dir), trainer/connectors/checkpoint_connector.py (dump_checkpoint),
 * lightning/fabric/utilities/cloud_io.py (_atomic_save), strategies/deepspeed.py. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/trackers/content.h"
#include "launcher/trackers/tracker.h"
#include "lib/base/cleanup.h"

#define DESCEND_MAX 3 /* lightning_logs/version_N/checkpoints */

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool lightning_descend(const char *path, int depth)
{
    const char *name = last_component(path);
    return depth < DESCEND_MAX &&
           (strcmp(name, "checkpoints") == 0 || strcmp(name, "lightning_logs") == 0 ||
            strncmp(name, "version_", strlen("version_")) == 0);
}

static bool lightning_match(const struct tracker_look *look, const char *path, int64_t *ret_step)
{
    const char *name = last_component(path), *step = strstr(name, "step=");
    if (!tracker_ends_with(name, ".ckpt"))
        return false;
    if (step)
        return tracker_take_number(step + strlen("step="), ret_step) != NULL;
    if (strncmp(name, "last", 4) != 0)
        return false;
    size_t length;
    cleanup_free unsigned char *pickle = tracker_read_pickle(look->folder, path, &length);
    return pickle && content_pickle_number(pickle, length, "global_step", ret_step) &&
           *ret_step >= 0;
}

/* DeepSpeed's folder is named `checkpoint` by Lightning. */
static void examine_folder(const struct tracker_look *look, const char *name,
                           struct tracker_result *ret)
{
    cleanup_close int folder = openat(look->folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct tracker_look inside = {.pattern = "", .folder = folder};
    tracker_dcp.examine(look, name, ret);
    if (ret->verdict == TRACKER_NOTHING && folder >= 0) {
        tracker_deepspeed.examine(&inside, "checkpoint", ret);
        /* `latest` lies in here and is written last. */
        if (ret->verdict == TRACKER_COMPLETE &&
            tracker_add_file(look, folder, "latest", ret) == TRACKER_TORN)
            ret->verdict = TRACKER_TORN;
    }
}

static void lightning_examine(const struct tracker_look *look, const char *name,
                              struct tracker_result *ret)
{
    struct stat st;
    *ret = (struct tracker_result){.verdict = TRACKER_NOTHING};
    if (fstatat(look->folder, name, &st, 0) < 0)
        return;
    if (S_ISDIR(st.st_mode))
        examine_folder(look, name, ret);
    else if (S_ISREG(st.st_mode))
        ret->verdict = tracker_add_file(look, look->folder, name, ret);
}

const struct tracker tracker_lightning = {.format = "lightning",
                                          .match = lightning_match,
                                          .examine = lightning_examine,
                                          .descend = lightning_descend};
