/* The default format: what a checkpoint is, is seen from what lies in the folder.
 *
 * A folder of torch.distributed.checkpoint proves itself, and nothing else looks like one, so that
 * it needs no announcement; files prove too little without a name, so that they count only by the
 * job's own pattern. An entry that the pattern names has the step that the pattern says, and is
 * still examined as what it is. */
#include "launcher/trackers/tracker.h"

static bool auto_match(const char *pattern, const char *name, int64_t *ret_step)
{
    return (pattern[0] && tracker_pattern.match(pattern, name, ret_step)) ||
           tracker_dcp.match(pattern, name, ret_step);
}

static void auto_examine(const char *pattern, int folder, const char *name,
                         struct tracker_result *ret)
{
    int64_t step;
    tracker_dcp.examine(pattern, folder, name, ret);
    if (ret->verdict == TRACKER_NOTHING && pattern[0] &&
        tracker_pattern.match(pattern, name, &step))
        tracker_pattern.examine(pattern, folder, name, ret);
}

const struct tracker tracker_auto = {
    .format = "auto", .match = auto_match, .examine = auto_examine};
