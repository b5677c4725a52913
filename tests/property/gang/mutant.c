/* The library's own sources, compiled once more under other names and with another board.c: a
 * deliberate bug that the library knows nothing of. If the property test did not catch it, it would
 * not be worth much. */
#define gang_new mutant_new
#define gang_new_with_memory mutant_new_with_memory
#define gang_free mutant_free
#define gang_event mutant_event
#define gang_plan mutant_plan
#define gang_plan_forget mutant_plan_forget
#define gang_decision_next mutant_decision_next
#define gang_why_write mutant_why_write
#define gang_why_find mutant_why_find
#define gang_next_wake_ms mutant_next_wake_ms
#define gang_could_fit mutant_could_fit
#define gang_node mutant_node
#define gang_hash mutant_hash
#define gang_check mutant_check
#define gang_reserve mutant_reserve
#define gang_alloc mutant_alloc
#define gang_release mutant_release
#define gang_no_memory mutant_no_memory
#define gang_job_find mutant_job_find
#define gang_job_request_check mutant_job_request_check
#define gang_shape_copy mutant_shape_copy
#define gang_job_add mutant_job_add
#define gang_job_drop mutant_job_drop
#define gang_job_free mutant_job_free
#define gang_list_insert mutant_list_insert
#define gang_list_remove mutant_list_remove
#define gang_job_role mutant_job_role
#define gang_job_avoid mutant_job_avoid
#define gang_job_avoids mutant_job_avoids
#define gang_job_avoids_ms mutant_job_avoids_ms
#define gang_avoid_forget_node mutant_avoid_forget_node
#define gang_node_reserve mutant_node_reserve
#define gang_node_set mutant_node_set
#define gang_node_remove mutant_node_remove
#define gang_role_allows mutant_role_allows
#define gang_board_fits mutant_board_fits
#define gang_board_take mutant_board_take
#define gang_board_give mutant_board_give
#define gang_board_count mutant_board_count
#define gang_place mutant_place
#define gang_place_undo mutant_place_undo
#define gang_place_pod mutant_place_pod
#define gang_scratch_reserve mutant_scratch_reserve
#define gang_shape_free mutant_shape_free
#define gang_room_take mutant_room_take
#define gang_room_give mutant_room_give
#define gang_room_take_gang mutant_room_take_gang
#define gang_room_give_gang mutant_room_give_gang
#define gang_room_hide mutant_room_hide
#define gang_room_show mutant_room_show
#define gang_trial_begin mutant_trial_begin
#define gang_trial_give mutant_trial_give
#define gang_trial_take mutant_trial_take
#define gang_trial_undo mutant_trial_undo
#define gang_where_now mutant_where_now
#define gang_where_ever mutant_where_ever
#define gang_where_member mutant_where_member
#define gang_fit_total mutant_fit_total
#define gang_cannot_fit mutant_cannot_fit

/* `gang_plan` and `gang_node` are struct tags and functions; the tags are renamed along, which
 * harms nobody. */
#include "gang/memory.c"
#include "gang/job.c"
#include "gang/node.c"
#include "gang/place.c"
#include "gang/room.c"
#include "gang/why.c"
#include "gang/why_text.c"
#include "gang/plan.c"
#include "gang/check.c"
#include "gang/gang.c"

#include "tests/property/gang/world.h"

static enum world_mutation chosen;
static uint32_t takes;

void world_mutate(enum world_mutation mutation)
{
    chosen = mutation;
    takes = 0;
}

/* ---- board.c with the bug ---- */

bool gang_board_fits(const struct gang *g, const int64_t *there, const int64_t *request)
{
    int64_t missing = chosen == WORLD_FITS_WITH_ONE_MISSING ? 1 : 0;
    for (uint32_t r = 0; r < g->resources; r++)
        if (request[r] > 0 && there[r] + (r >= GANG_DEVICE_0 ? missing : 0) < request[r])
            return false;
    return true;
}

void gang_board_take(const struct gang *g, int64_t *there, const int64_t *request)
{
    if (chosen == WORLD_FORGETS_TO_TAKE && ++takes % 1000 == 0)
        return;
    for (uint32_t r = 0; r < g->resources; r++)
        there[r] -= request[r];
}

void gang_board_give(const struct gang *g, int64_t *there, const int64_t *request)
{
    for (uint32_t r = 0; r < g->resources; r++)
        there[r] += request[r];
}

uint64_t gang_board_count(const struct gang *g, const int64_t *there, const int64_t *request)
{
    int64_t count = INT64_MAX;
    for (uint32_t r = 0; r < g->resources; r++)
        if (request[r] > 0) {
            int64_t fit = there[r] < 0 ? 0 : there[r] / request[r];
            count = fit < count ? fit : count;
        }
    return (uint64_t)count;
}

const struct world_library world_mutant = {
    .new = gang_new,
    .free = gang_free,
    .event = gang_event,
    .plan = gang_plan,
    .next = gang_decision_next,
    .write = gang_why_write,
    .node = gang_node,
    .hash = gang_hash,
    .check = gang_check,
};
