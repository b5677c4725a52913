/* DeepSpeed: a folder a tag (`global_step120`), and the file `latest` with the tag of the newest
 * one.
 *
 * Rank 0 writes `latest` behind a barrier, so that the tag that it names was saved to its end, and
 * so were those before it. That all is still there is seen from the files: each one is a whole zip,
 * and the ranks in their names make a full world, whose size the model states hold (dp_world_size,
 * mp_world_size). A program resumes with load_checkpoint(folder, tag): the path is the tag's
 * folder. Source: deepspeed/runtime/engine.py (save_checkpoint, _save_checkpoint, _get_ckpt_name,
 * _get_optimizer_ckpt_name, _get_rank_zero_ckpt_name, _get_mp_rank_zero_checkpoint_names),
 * runtime/zero/mics.py. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/trackers/content.h"
#include "launcher/trackers/tracker.h"
#include "lib/base/cleanup.h"

/* Names with ranks, and which of them are of which world. */
enum kind { MODEL, MODEL_ZERO_3, OPTIMIZER_ZERO, OPTIMIZER_EXPERTS, KINDS };

static const struct {
    const char *form;
    enum kind kind;
    unsigned numbers;
} forms[] = {
    {"mp_rank_#_model_states.pt", MODEL, 1},
    {"zero_pp_rank_#_mp_rank_#_model_states.pt", MODEL_ZERO_3, 2},
    {"zero_pp_rank_#_mp_rank_#_optim_states.pt", OPTIMIZER_ZERO, 2},
    {"bf16_zero_pp_rank_#_mp_rank_#_optim_states.pt", OPTIMIZER_ZERO, 2},
    {"zero_pp_rank_#_mp_rank_#optim_states.pt", OPTIMIZER_ZERO, 2}, /* older releases */
    {"expp_rank_#_mp_rank_#_optim_states.pt", OPTIMIZER_EXPERTS, 2},
};

struct examination {
    struct tracker_result *result;
    struct tracker_ranks ranks[KINDS];
    char model[NAME_MAX + 1]; /* model states of the first rank, which hold the sizes */
    bool states;              /* some file of DeepSpeed's */
    bool torn;
};

/* What the tracker file vouches for is not being written any more. */
static const struct tracker_look asks_nobody;

static bool add_entry(void *user, int folder, const char *name)
{
    struct examination *e = user;
    int64_t numbers[TRACKER_FORM_NUMBERS];
    if (tracker_is_temporary(name))
        e->torn = true;
    if (!tracker_ends_with(name, "_states.pt") && !tracker_ends_with(name, "optim_states.pt"))
        return true;
    e->states = true;
    if (tracker_add_file(&asks_nobody, folder, name, e->result) == TRACKER_TORN)
        e->torn = true;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(forms); i++) {
        if (!tracker_fit(forms[i].form, name, numbers))
            continue;
        tracker_ranks_add(&e->ranks[forms[i].kind], numbers, forms[i].numbers);
        if (forms[i].kind <= MODEL_ZERO_3 && numbers[0] == 0 &&
            (forms[i].numbers == 1 || numbers[1] == 0))
            (void)snprintf(e->model, sizeof e->model, "%s", name);
        break;
    }
    return true;
}

/* The world's sizes by the model states; 0 where they do not say. */
static void read_sizes(int folder, const char *name, int64_t *data, int64_t *model)
{
    int64_t shards;
    size_t length = 0;
    cleanup_free unsigned char *pickle =
        name[0] ? tracker_read_pickle(folder, name, &length) : NULL;
    *data = *model = 0;
    if (!pickle)
        return;
    (void)content_pickle_number(pickle, length, "dp_world_size", data);
    (void)content_pickle_number(pickle, length, "mp_world_size", model);
    /* MiCS partitions within groups of this size. */
    if (content_pickle_number(pickle, length, "mics_shard_size", &shards) && shards > 0)
        *data = shards;
}

static bool is_whole(const struct examination *e, int folder)
{
    int64_t data, model;
    read_sizes(folder, e->model, &data, &model);
    const int64_t by_model[] = {model, 0, 0, 0}, by_both[] = {data, model, 0, 0},
                  by_experts[] = {0, model, 0, 0};
    if (e->ranks[MODEL].count == 0 && e->ranks[MODEL_ZERO_3].count == 0)
        return false;
    return (e->ranks[MODEL].count == 0 || tracker_ranks_are_whole(&e->ranks[MODEL], by_model)) &&
           (e->ranks[MODEL_ZERO_3].count == 0 ||
            tracker_ranks_are_whole(&e->ranks[MODEL_ZERO_3], by_both)) &&
           (e->ranks[OPTIMIZER_ZERO].count == 0 ||
            tracker_ranks_are_whole(&e->ranks[OPTIMIZER_ZERO], by_both)) &&
           (e->ranks[OPTIMIZER_EXPERTS].count == 0 ||
            tracker_ranks_are_whole(&e->ranks[OPTIMIZER_EXPERTS], by_experts)) &&
           /* ZeRO 3 has parts of both in each rank. */
           (e->ranks[MODEL_ZERO_3].count == 0 ||
            e->ranks[OPTIMIZER_ZERO].count == e->ranks[MODEL_ZERO_3].count);
}

static bool deepspeed_match(const struct tracker_look *look, const char *name, int64_t *ret_step)
{
    (void)look;
    return tracker_last_number(name, ret_step);
}

static void deepspeed_examine(const struct tracker_look *look, const char *name,
                              struct tracker_result *ret)
{
    *ret = (struct tracker_result){.verdict = TRACKER_NOTHING};
    cleanup_close int folder = openat(look->folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct examination e = {.result = ret};
    if (folder < 0 || tracker_each_name(folder, add_entry, &e) < 0)
        e.torn = true;
    if (e.states)
        ret->verdict = !e.torn && is_whole(&e, folder) ? TRACKER_COMPLETE : TRACKER_TORN;
    for (unsigned i = 0; i < KINDS; i++)
        tracker_ranks_release(&e.ranks[i]);
}

const struct tracker tracker_deepspeed = {.format = "deepspeed",
                                          .pointer = "latest",
                                          .match = deepspeed_match,
                                          .examine = deepspeed_examine};
