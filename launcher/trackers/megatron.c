/* Megatron-LM: a folder an iteration (`iter_0000120`), and latest_checkpointed_iteration.txt.
 *
 * The tracker file is written behind a barrier (or by the last finalizer of an asynchronous save),
 * so that the iteration that it names was saved to its end, and so were those before it. That all
 * is still there is seen from the files:
 * - `torch`: a folder `mp_rank_TT[_PPP][_EEE]` for each model parallel rank. Their number is in the
 *   arguments that each holds; all have a whole model_optim_rng.pt, and all or none of them the
 *   distributed optimizer's file.
 * - `torch_dist`: `.metadata` and shards as torch.distributed.checkpoint has them, common.pt, and
 *   metadata.json, which is written last. `torch_dcp` and `fsdp_dtensor`: the former alone.
 * A program resumes with --load FOLDER, and --ckpt-step for another than the tracker file's
 * iteration: the path is the folder itself.
 * Source: megatron/training/checkpointing.py (get_checkpoint_name, save_checkpoint, read_metadata,
 * generate_state_dict), megatron/core/parallel_state.py (RankGenerator),
 * megatron/core/dist_checkpointing/serialization.py (save). */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/trackers/content.h"
#include "launcher/trackers/tracker.h"
#include "lib/base/cleanup.h"

#define TRACKER_FILE "latest_checkpointed_iteration.txt"
#define PARALLEL_MAX 65536 /* of a model parallel size */

struct examination {
    struct tracker_result *result;
    struct tracker_ranks ranks;
    size_t with_model, with_optimizer;     /* folders that have it */
    char first[NAME_MAX + 1];              /* the folder of the first rank */
    bool metadata, common, config, shards; /* files of the distributed formats */
    bool torn;
};

struct rank_folder {
    struct examination *e;
    bool model, optimizer;
};

/* What the tracker file vouches for is not being written any more. */
static const struct tracker_look asks_nobody;

static bool add_rank_file(void *user, int folder, const char *name)
{
    struct rank_folder *r = user;
    if (tracker_is_temporary(name) ||
        tracker_add_file(&asks_nobody, folder, name, r->e->result) == TRACKER_TORN)
        r->e->torn = true;
    if (strcmp(name, "model_optim_rng.pt") == 0 || strcmp(name, "model_rng.pt") == 0)
        r->model = true;
    if (strcmp(name, "distrib_optim.pt") == 0 || strcmp(name, "optim.pt") == 0)
        r->optimizer = true;
    return true;
}

static void add_rank_folder(struct examination *e, int parent, const char *name)
{
    struct rank_folder r = {.e = e};
    cleanup_close int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || tracker_each_name(folder, add_rank_file, &r) < 0)
        e->torn = true;
    e->with_model += r.model;
    e->with_optimizer += r.optimizer;
}

static bool add_entry(void *user, int folder, const char *name)
{
    static const char *const forms[] = {"mp_rank_#", "mp_rank_#_#", "mp_rank_#_#_#"};
    struct examination *e = user;
    int64_t n[TRACKER_FORM_NUMBERS];
    for (unsigned i = 0; i < MLT_ARRAY_LENGTH(forms); i++) {
        if (!tracker_fit(forms[i], name, n))
            continue;
        tracker_ranks_add(&e->ranks, n, i + 1);
        add_rank_folder(e, folder, name);
        if (n[0] == 0 && (i < 1 || n[1] == 0) && (i < 2 || n[2] == 0))
            (void)snprintf(e->first, sizeof e->first, "%s", name);
        return true;
    }
    e->metadata = e->metadata || strcmp(name, ".metadata") == 0;
    e->common = e->common || strcmp(name, "common.pt") == 0;
    e->config = e->config || strcmp(name, "metadata.json") == 0;
    e->shards = e->shards || strstr(name, ".distcp");
    if (strcmp(name, "common.pt") == 0 &&
        tracker_add_file(&asks_nobody, folder, name, e->result) == TRACKER_TORN)
        e->torn = true;
    return true;
}

/* The pairs (tensor, expert) that ranks of one pipeline stage have. Experts may be split in another
 * way than the rest, and then not every pair exists: rank r is tensor r mod T, and expert
 * (r / expert tensor) mod E. */
static size_t pairs(int64_t tensor, int64_t expert, int64_t expert_tensor)
{
    size_t count = 0, size = (size_t)(tensor * expert);
    uint8_t *seen = calloc(size, 1);
    for (int64_t r = 0; seen && r < tensor * expert * expert_tensor && count < size; r++) {
        size_t place = (size_t)((r % tensor) * expert + r / expert_tensor % expert);
        count += !seen[place];
        seen[place] = 1;
    }
    free(seen);
    return count;
}

static int64_t size_of(const unsigned char *pickle, size_t length, const char *what)
{
    int64_t size = 0;
    bool found = pickle && content_pickle_number(pickle, length, what, &size);
    return found && size > 0 && size <= PARALLEL_MAX ? size : 0;
}

static bool ranks_are_whole(const struct examination *e, int folder)
{
    char path[PATH_MAX];
    size_t length = 0;
    (void)snprintf(path, sizeof path, "%s/model_optim_rng.pt", e->first);
    cleanup_free unsigned char *pickle =
        e->first[0] ? tracker_read_pickle(folder, path, &length) : NULL;
    int64_t tensor = size_of(pickle, length, "tensor_model_parallel_size");
    int64_t pipeline = size_of(pickle, length, "pipeline_model_parallel_size");
    int64_t expert = size_of(pickle, length, "expert_model_parallel_size");
    int64_t expert_tensor = size_of(pickle, length, "expert_tensor_parallel_size");
    if (expert > 1 && expert_tensor && tensor && expert_tensor != tensor &&
        tensor * expert <= TRACKER_FILES_MAX)
        return !e->ranks.failed && e->ranks.count == pairs(tensor, expert, expert_tensor) *
                                                         (size_t)(pipeline ? pipeline : 1);
    /* The second number is the expert's when there is no pipeline. */
    const int64_t sizes[] = {tensor, pipeline > 1 ? pipeline : expert, expert, 0};
    return tracker_ranks_are_whole(&e->ranks, sizes);
}

static bool is_whole(const struct examination *e, int folder)
{
    return e->with_model == e->ranks.count &&
           (e->with_optimizer == 0 || e->with_optimizer == e->ranks.count) &&
           ranks_are_whole(e, folder);
}

static bool megatron_match(const struct tracker_look *look, const char *name, int64_t *ret_step)
{
    (void)look;
    if (strncmp(name, "iter_", 5) != 0)
        return false;
    const char *rest = tracker_take_number(name + 5, ret_step);
    return rest && !*rest;
}

/* A distributed checkpoint without Megatron's own files could be anybody's. */
static bool has_tracker_file(int folder)
{
    struct stat st;
    return fstatat(folder, TRACKER_FILE, &st, 0) == 0;
}

static void megatron_examine(const struct tracker_look *look, const char *name,
                             struct tracker_result *ret)
{
    *ret = (struct tracker_result){.verdict = TRACKER_NOTHING};
    cleanup_close int folder = openat(look->folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct examination e = {.result = ret};
    if (folder < 0 || tracker_each_name(folder, add_entry, &e) < 0)
        e.torn = true;
    if (e.ranks.count) {
        ret->verdict = !e.torn && is_whole(&e, folder) ? TRACKER_COMPLETE : TRACKER_TORN;
    } else if (e.common || e.config ||
               ((e.metadata || e.shards) && has_tracker_file(look->folder))) {
        tracker_dcp.examine(look, name, ret);
        bool is_torn = e.torn || ret->verdict != TRACKER_COMPLETE || (e.common && !e.config);
        ret->verdict = is_torn ? TRACKER_TORN : TRACKER_COMPLETE;
    }
    (void)snprintf(ret->path, sizeof ret->path, ".");
    tracker_ranks_release(&e.ranks);
}

const struct tracker tracker_megatron = {.format = "megatron",
                                         .pointer = TRACKER_FILE,
                                         .match = megatron_match,
                                         .examine = megatron_examine};
