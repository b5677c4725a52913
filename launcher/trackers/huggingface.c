/* Hugging Face's Trainer: a folder `checkpoint-N` a step.
 *
 * There is no tracker file: rank 0 writes trainer_state.json after its own parts, and does not wait
 * for the random states of other ranks, so that the last of them may come later still. Complete is
 * a folder whose trainer_state.json is whole and says this step, with weights (each shard that an
 * index names), the optimizer's state where random states are, and the random states of ranks 0 to
 * n - 1 without a gap; every zip and safetensors file is whole. When n is the number of ranks of
 * the job, that is all; with another n only time can show that none was missing.
 * A program resumes with train(resume_from_checkpoint=...): the path is the step's folder.
 * Source: transformers/trainer.py (_save_checkpoint, _save_rng_state,
 * _save_optimizer_and_scheduler), trainer_callback.py (TrainerState.save_to_json), trainer_utils.py
 * (get_last_checkpoint), modeling_utils.py (save_pretrained). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/trackers/content.h"
#include "launcher/trackers/tracker.h"
#include "lib/base/cleanup.h"

#define STATE "trainer_state.json"

struct examination {
    const struct tracker_look *look;
    struct tracker_result *result;
    struct tracker_ranks random;
    bool recognised; /* some file that only the Trainer writes */
    bool state, weights, optimizer, single_random;
    bool torn;
};

static bool begins_with(const char *name, const char *start)
{
    return strncmp(name, start, strlen(start)) == 0;
}

/* ---- what the JSON files say ---- */

static bool add_state(void *user, const struct content_json_value *value)
{
    if (value->depth == 1 &&
        content_json_is(value->keys[0].text, value->keys[0].length, "global_step"))
        (void)content_json_integer(value, user);
    return true;
}

static bool check_state(int folder, int64_t step)
{
    size_t length;
    int64_t said = -1;
    cleanup_free char *text = tracker_read_file(folder, STATE, CONTENT_JSON_MAX, &length);
    return text && content_json_walk(text, length, add_state, &said) && said == step;
}

struct index {
    int folder;
    char last[TRACKER_PATH_MAX]; /* the shard that was found last: weights come in their order */
    bool any;
};

/* A value of "weight_map" names a shard beside the index. */
static bool add_shard(void *user, const struct content_json_value *value)
{
    struct index *index = user;
    struct stat st;
    char name[TRACKER_PATH_MAX];
    if (value->depth != 2 ||
        !content_json_is(value->keys[0].text, value->keys[0].length, "weight_map"))
        return true;
    if (value->kind != CONTENT_STRING || value->length == 0 || value->length >= sizeof name ||
        memchr(value->text, '/', value->length))
        return false;
    memcpy(name, value->text, value->length);
    name[value->length] = '\0';
    index->any = true;
    if (strcmp(name, index->last) == 0)
        return true;
    memcpy(index->last, name, value->length + 1);
    return fstatat(index->folder, name, &st, 0) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
}

static bool shards_are_there(int folder, const char *name)
{
    size_t length;
    struct index index = {.folder = folder};
    cleanup_free char *text = tracker_read_file(folder, name, CONTENT_JSON_MAX, &length);
    return text && content_json_walk(text, length, add_shard, &index) && index.any;
}

/* ---- the folder ---- */

static const char *const own_files[] = {STATE, "training_args.bin", "optimizer.pt", "optimizer.bin",
                                        "scheduler.pt"};

static bool is_weights(const char *name)
{
    return tracker_ends_with(name, ".safetensors") || begins_with(name, "pytorch_model") ||
           begins_with(name, "adapter_model");
}

static bool is_tensors(const char *name)
{
    return is_weights(name) || tracker_ends_with(name, ".pt") || tracker_ends_with(name, ".pth");
}

static const struct tracker_look asks_nobody;

/* Parts in folders: FSDP's (of torch.distributed.checkpoint) and DeepSpeed's. */
static void add_folder(struct examination *e, int folder, const char *name)
{
    struct tracker_look inside = {.pattern = "", .folder = folder, .ranks = e->look->ranks};
    const struct tracker *const kinds[] = {&tracker_dcp, &tracker_deepspeed};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(kinds); i++) {
        struct tracker_result part;
        kinds[i]->examine(&inside, name, &part);
        if (part.verdict == TRACKER_NOTHING)
            continue;
        e->torn = e->torn || part.verdict == TRACKER_TORN;
        e->weights = e->weights || i == 1 || begins_with(name, "pytorch_model");
        e->optimizer = e->optimizer || i == 1 || begins_with(name, "optimizer");
        e->result->fingerprint += part.fingerprint;
        e->result->identity += part.identity;
        e->result->bytes += part.bytes;
        e->result->parts += part.parts;
        if (part.changed_ms > e->result->changed_ms)
            e->result->changed_ms = part.changed_ms;
        if (part.wall_ms > e->result->wall_ms)
            e->result->wall_ms = part.wall_ms;
    }
}

static void add_file(struct examination *e, int folder, const char *name)
{
    int64_t rank[TRACKER_FORM_NUMBERS];
    bool is_index = tracker_ends_with(name, ".index.json");
    /* What is no tensor file is small, or proves itself: nobody has to be asked after it. */
    const struct tracker_look *look = is_tensors(name) ? e->look : &asks_nobody;
    if (tracker_add_file(look, folder, name, e->result) == TRACKER_TORN ||
        (is_index && !shards_are_there(folder, name)))
        e->torn = true;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(own_files); i++)
        e->recognised = e->recognised || strcmp(name, own_files[i]) == 0;
    if (strcmp(name, STATE) == 0)
        e->state = true;
    e->weights = e->weights || is_weights(name);
    e->optimizer = e->optimizer || begins_with(name, "optimizer.") ||
                   (begins_with(name, "rank") && tracker_ends_with(name, "-optimizer.pt"));
    if (strcmp(name, "rng_state.pth") == 0)
        e->single_random = true;
    if (tracker_fit("rng_state_#.pth", name, rank))
        tracker_ranks_add(&e->random, rank, 1);
    e->recognised = e->recognised || is_weights(name) || begins_with(name, "rng_state");
}

static bool add_entry(void *user, int folder, const char *name)
{
    struct examination *e = user;
    struct stat st;
    if (tracker_is_temporary(name))
        e->torn = true;
    else if (fstatat(folder, name, &st, 0) < 0)
        e->torn = true;
    else if (S_ISDIR(st.st_mode))
        add_folder(e, folder, name);
    else if (S_ISREG(st.st_mode) && st.st_size > 0)
        add_file(e, folder, name);
    else if (S_ISREG(st.st_mode)) /* __init__.py and the like may be empty, parts may not */
        e->torn = e->torn || is_tensors(name) || tracker_ends_with(name, ".json");
    return true;
}

static enum tracker_verdict judge(const struct examination *e, int folder, int64_t step)
{
    const int64_t any[TRACKER_FORM_NUMBERS] = {0};
    size_t ranks = e->random.count ? e->random.count : e->single_random;
    if (e->torn || !e->state || !e->weights || !check_state(folder, step) ||
        (e->random.count && !tracker_ranks_are_whole(&e->random, any)) ||
        (ranks > 0) != e->optimizer)
        return TRACKER_TORN;
    return ranks && ranks == e->look->ranks ? TRACKER_COMPLETE : TRACKER_SETTLING;
}

static bool huggingface_match(const struct tracker_look *look, const char *name, int64_t *ret_step)
{
    (void)look;
    if (!begins_with(name, "checkpoint-"))
        return false;
    const char *rest = tracker_take_number(name + strlen("checkpoint-"), ret_step);
    return rest && !*rest;
}

static void huggingface_examine(const struct tracker_look *look, const char *name,
                                struct tracker_result *ret)
{
    int64_t step;
    *ret = (struct tracker_result){.verdict = TRACKER_NOTHING};
    cleanup_close int folder = openat(look->folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct examination e = {.look = look, .result = ret};
    if (folder < 0 || !huggingface_match(look, name, &step) ||
        tracker_each_name(folder, add_entry, &e) < 0)
        e.torn = true;
    else if (e.recognised)
        ret->verdict = judge(&e, folder, step);
    tracker_ranks_release(&e.random);
}

const struct tracker tracker_huggingface = {
    .format = "huggingface", .match = huggingface_match, .examine = huggingface_examine};
