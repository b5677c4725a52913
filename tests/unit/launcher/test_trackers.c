/* Each framework's checkpoints: whole ones, and torn in every way that can be told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "folder.h"
#include "lib/base/cleanup.h"
#include "sdk/commit_record.h"

/* One way to damage the newest checkpoint, 20, of a folder that also has 10. */
struct damage {
    const char *what;
    enum { REMOVE, CUT, EMPTY, WRITE } how;
    const char *name, *text;
    const char *seen; /* of the step 20 */
    enum checkpoint_pointer_trouble trouble;
};

static void damage(struct folder *f, const struct damage *d)
{
    if (d->how == REMOVE)
        folder_remove(f, d->name);
    else if (d->how == CUT)
        folder_cut(f, d->name, 1);
    else
        folder_put_text(f, d->name, d->how == WRITE ? d->text : "");
}

/* Both by the format's name and by `auto`, whose patterns are not asked. */
static void check(struct folder *f, const char *format, const char *what, const char *expected,
                  enum checkpoint_pointer_trouble trouble)
{
    const char *const formats[] = {format, "auto"};
    for (size_t i = 0; i < 2; i++) {
        const char *seen = folder_look(f, formats[i], "");
        if (strcmp(seen, expected) != 0)
            fail_msg("%s, format %s:\n%s\nexpected\n%s", what, formats[i], seen, expected);
        if (folder_answer()->pointer.trouble != (int)trouble)
            fail_msg("%s, format %s: tracker file: %d", what, formats[i],
                     folder_answer()->pointer.trouble);
    }
}

static void check_damages(const char *format, void (*make)(struct folder *f), const char *name,
                          const char *older, const struct damage *damages, size_t count)
{
    char expected[256];
    for (size_t i = 0; i < count; i++) {
        struct folder f;
        folder_init(&f);
        f.ranks = 2;
        make(&f);
        (void)snprintf(expected, sizeof expected, "20 %s %s complete, %s", name, format, older);
        check(&f, format, "whole", expected, CHECKPOINT_POINTER_FINE);
        damage(&f, &damages[i]);
        (void)snprintf(expected, sizeof expected, "20 %s %s %s, %s", name, format, damages[i].seen,
                       older);
        check(&f, format, damages[i].what, expected, damages[i].trouble);
        folder_release(&f);
    }
}

/* ---- DeepSpeed ---- */

/* ZeRO 2 on two data parallel ranks. */
static void make_deepspeed_step(struct folder *f, const char *tag)
{
    char name[128];
    (void)snprintf(name, sizeof name, "%s/mp_rank_00_model_states.pt", tag);
    folder_put_torch(f, name, "global_steps 20, dp_world_size 2, mp_world_size 1");
    for (int rank = 0; rank < 2; rank++) {
        (void)snprintf(name, sizeof name, "%s/bf16_zero_pp_rank_%d_mp_rank_00_optim_states.pt", tag,
                       rank);
        folder_put_torch(f, name, "");
    }
}

static void make_deepspeed(struct folder *f)
{
    make_deepspeed_step(f, "global_step10");
    make_deepspeed_step(f, "global_step20");
    folder_put_text(f, "latest", "global_step20");
    folder_put_text(f, "zero_to_fp32.py", "#!/usr/bin/env python");
}

static void test_deepspeed(void **state)
{
    (void)state;
    static const struct damage damages[] = {
        {"a rank is missing", REMOVE,
         "global_step20/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", NULL, "torn",
         CHECKPOINT_POINTER_TORN},
        {"the last rank is missing", REMOVE,
         "global_step20/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt", NULL, "torn",
         CHECKPOINT_POINTER_TORN},
        {"the model is missing", REMOVE, "global_step20/mp_rank_00_model_states.pt", NULL, "torn",
         CHECKPOINT_POINTER_TORN},
        {"a rank is cut", CUT, "global_step20/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt", NULL,
         "torn", CHECKPOINT_POINTER_TORN},
        {"a rank is empty", EMPTY, "global_step20/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt",
         NULL, "torn", CHECKPOINT_POINTER_TORN},
        {"latest is missing", REMOVE, "latest", NULL, "torn", CHECKPOINT_POINTER_MISSING},
        {"latest is empty", EMPTY, "latest", NULL, "torn", CHECKPOINT_POINTER_EMPTY},
        {"latest is no name", WRITE, "latest", "../20", "torn", CHECKPOINT_POINTER_EMPTY},
        {"latest names the step before", WRITE, "latest", "global_step10", "torn",
         CHECKPOINT_POINTER_FINE},
        {"latest points to nothing", WRITE, "latest", "global_step30", "complete",
         CHECKPOINT_POINTER_NOWHERE},
    };
    check_damages("deepspeed", make_deepspeed, "global_step20",
                  "10 global_step10 deepspeed complete", damages, MLT_ARRAY_LENGTH(damages));
}

/* ZeRO 3 on two times two ranks, whose model states are in parts as well. */
static void make_deepspeed_zero_3(struct folder *f)
{
    static const char *const steps[] = {"global_step10", "global_step20"};
    char name[128];
    for (int i = 0; i < 8; i++) {
        int data = i / 2 % 2, model = i / 4;
        (void)snprintf(name, sizeof name, "%s/zero_pp_rank_%d_mp_rank_%02d_model_states.pt",
                       steps[i % 2], data, model);
        folder_put_torch(f, name, "dp_world_size 2, mp_world_size 2");
        (void)snprintf(name, sizeof name, "%s/zero_pp_rank_%d_mp_rank_%02d_optim_states.pt",
                       steps[i % 2], data, model);
        folder_put_torch(f, name, "");
    }
    folder_put_text(f, "latest", "global_step20\n");
}

static void test_deepspeed_zero_3(void **state)
{
    (void)state;
    static const struct damage damages[] = {
        {"a model part is missing", REMOVE,
         "global_step20/zero_pp_rank_1_mp_rank_01_model_states.pt", NULL, "torn",
         CHECKPOINT_POINTER_TORN},
        {"an optimizer part is missing", REMOVE,
         "global_step20/zero_pp_rank_0_mp_rank_01_optim_states.pt", NULL, "torn",
         CHECKPOINT_POINTER_TORN},
    };
    check_damages("deepspeed", make_deepspeed_zero_3, "global_step20",
                  "10 global_step10 deepspeed complete", damages, MLT_ARRAY_LENGTH(damages));
}

static void test_a_tag_without_a_number_is_left_alone(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    make_deepspeed(&f);
    make_deepspeed_step(&f, "best");
    folder_put_text(&f, "latest", "best");
    /* What it names is no step, but it is there: nothing is wrong with the file. */
    check(&f, "deepspeed", "best",
          "20 global_step20 deepspeed torn, 10 global_step10 deepspeed complete",
          CHECKPOINT_POINTER_FINE);
    folder_release(&f);
}

/* ---- Megatron ---- */

#define MEGATRON_TRACKER "latest_checkpointed_iteration.txt"

/* Tensor 2, pipeline 2. */
static void make_megatron(struct folder *f)
{
    static const char *const steps[] = {"iter_0000010", "iter_0000020"};
    char name[128];
    for (int i = 0; i < 8; i++) {
        int length =
            snprintf(name, sizeof name, "%s/mp_rank_%02d_%03d/", steps[i % 2], i / 2 % 2, i / 4);
        (void)snprintf(name + length, sizeof name - (size_t)length, "model_optim_rng.pt");
        folder_put_torch(f, name,
                         "tensor_model_parallel_size 2, pipeline_model_parallel_size 2, "
                         "expert_model_parallel_size 1");
        (void)snprintf(name + length, sizeof name - (size_t)length, "distrib_optim.pt");
        folder_put_torch(f, name, "");
    }
    folder_put_text(f, MEGATRON_TRACKER, "20");
}

static void test_megatron(void **state)
{
    (void)state;
    static const struct damage damages[] = {
        {"the last rank has no model", REMOVE, "iter_0000020/mp_rank_01_001/model_optim_rng.pt",
         NULL, "torn", CHECKPOINT_POINTER_TORN},
        {"a rank's optimizer is missing", REMOVE, "iter_0000020/mp_rank_00_001/distrib_optim.pt",
         NULL, "torn", CHECKPOINT_POINTER_TORN},
        {"a rank is cut", CUT, "iter_0000020/mp_rank_01_000/model_optim_rng.pt", NULL, "torn",
         CHECKPOINT_POINTER_TORN},
        {"the tracker is missing", REMOVE, MEGATRON_TRACKER, NULL, "torn",
         CHECKPOINT_POINTER_MISSING},
        {"the tracker is empty", EMPTY, MEGATRON_TRACKER, NULL, "torn", CHECKPOINT_POINTER_EMPTY},
        {"the tracker is half written", WRITE, MEGATRON_TRACKER, "\n", "torn",
         CHECKPOINT_POINTER_EMPTY},
        {"the tracker names the one before", WRITE, MEGATRON_TRACKER, "10", "torn",
         CHECKPOINT_POINTER_FINE},
        {"the tracker points to nothing", WRITE, MEGATRON_TRACKER, "40", "complete",
         CHECKPOINT_POINTER_NOWHERE},
    };
    check_damages("megatron", make_megatron, "iter_0000020", "10 iter_0000010 megatron complete",
                  damages, MLT_ARRAY_LENGTH(damages));
}

static void test_a_whole_rank_of_megatron_is_missed(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    make_megatron(&f);
    folder_remove(&f, "iter_0000020/mp_rank_01_001/model_optim_rng.pt");
    folder_remove(&f, "iter_0000020/mp_rank_01_001/distrib_optim.pt");
    folder_remove(&f, "iter_0000020/mp_rank_01_001");
    folder_remove(&f, "iter_0000020/mp_rank_00_001/model_optim_rng.pt");
    folder_remove(&f, "iter_0000020/mp_rank_00_001/distrib_optim.pt");
    folder_remove(&f, "iter_0000020/mp_rank_00_001"); /* now it looks like one stage */
    check(&f, "megatron", "a pipeline stage is missing",
          "20 iter_0000020 megatron torn, 10 iter_0000010 megatron complete",
          CHECKPOINT_POINTER_TORN);
    assert_string_equal(folder_answer()->found[1].path, ".");
    folder_release(&f);
}

/* Four tensor parallel ranks that hold two experts without tensor parallelism: not every pair of
 * tensor and expert rank exists. */
static void test_experts_of_megatron_may_be_split_in_another_way(void **state)
{
    (void)state;
    static const char *const ranks[] = {"00_000", "01_001", "02_000", "03_001"};
    struct folder f;
    char name[128];
    folder_init(&f);
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof name, "iter_0000020/mp_rank_%s/model_optim_rng.pt", ranks[i]);
        folder_put_torch(&f, name,
                         "tensor_model_parallel_size 4, pipeline_model_parallel_size 1, "
                         "expert_model_parallel_size 2, expert_tensor_parallel_size 1");
        folder_put_text(&f, MEGATRON_TRACKER, "20");
        check(&f, "megatron", ranks[i],
              i == 3 ? "20 iter_0000020 megatron complete" : "20 iter_0000020 megatron torn",
              i == 3 ? CHECKPOINT_POINTER_FINE : CHECKPOINT_POINTER_TORN);
    }
    folder_release(&f);
}

static void make_megatron_dist(struct folder *f)
{
    static const char *const steps[] = {"iter_0000010", "iter_0000020"};
    char name[128];
    for (int i = 0; i < 2; i++) {
        folder_put_dcp(f, steps[i]);
        (void)snprintf(name, sizeof name, "%s/common.pt", steps[i]);
        folder_put_torch(f, name, "");
        (void)snprintf(name, sizeof name, "%s/metadata.json", steps[i]);
        folder_put_text(f, name, "{\"sharded_backend\": \"torch_dist\"}");
    }
    folder_put_text(f, MEGATRON_TRACKER, "20");
}

static void test_megatron_torch_dist(void **state)
{
    (void)state;
    static const struct damage damages[] = {
        {"a shard is missing", REMOVE, "iter_0000020/__1_0.distcp", NULL, "torn",
         CHECKPOINT_POINTER_TORN},
        {"a shard is empty", EMPTY, "iter_0000020/__0_0.distcp", NULL, "torn",
         CHECKPOINT_POINTER_TORN},
        {"the metadata are half there", CUT, "iter_0000020/.metadata", NULL, "torn",
         CHECKPOINT_POINTER_TORN},
        {"common.pt is cut", CUT, "iter_0000020/common.pt", NULL, "torn", CHECKPOINT_POINTER_TORN},
        {"metadata.json is missing", REMOVE, "iter_0000020/metadata.json", NULL, "torn",
         CHECKPOINT_POINTER_TORN},
        {"the tracker points to nothing", WRITE, MEGATRON_TRACKER, "21", "complete",
         CHECKPOINT_POINTER_NOWHERE},
    };
    check_damages("megatron", make_megatron_dist, "iter_0000020",
                  "10 iter_0000010 megatron complete", damages, MLT_ARRAY_LENGTH(damages));
}

static void test_dcp_folders_with_megatrons_names_are_dcp(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    folder_put_dcp(&f, "iter_0000020");
    assert_string_equal(folder_look(&f, "auto", ""), "20 iter_0000020 dcp complete");
    assert_int_equal(folder_answer()->pointer.trouble, CHECKPOINT_POINTER_FINE);
    folder_release(&f);
}

/* ---- Hugging Face ---- */

static void make_huggingface_step(struct folder *f, int step)
{
    char name[128], text[128];
    int length = snprintf(name, sizeof name, "checkpoint-%d/", step);
#define PUT(put, file, ...)                                                  \
    (void)snprintf(name + length, sizeof name - (size_t)length, "%s", file); \
    put(f, name __VA_ARGS__)
    PUT(folder_put_text, "config.json", , "{}");
    PUT(folder_put_safetensors, "model-00001-of-00002.safetensors");
    PUT(folder_put_safetensors, "model-00002-of-00002.safetensors");
    PUT(folder_put_text, "model.safetensors.index.json", ,
        "{\"metadata\": {\"total_size\": 32}, \"weight_map\": "
        "{\"a\": \"model-00001-of-00002.safetensors\", "
        "\"b\": \"model-00002-of-00002.safetensors\"}}");
    PUT(folder_put_torch, "optimizer.pt", , "");
    PUT(folder_put_torch, "scheduler.pt", , "");
    PUT(folder_put_torch, "rng_state_0.pth", , "");
    PUT(folder_put_torch, "rng_state_1.pth", , "");
    (void)snprintf(text, sizeof text, "{\"epoch\": 1.5, \"global_step\": %d, \"log_history\": []}",
                   step);
    PUT(folder_put_text, "trainer_state.json", , text);
#undef PUT
}

static void make_huggingface(struct folder *f)
{
    make_huggingface_step(f, 10);
    make_huggingface_step(f, 20);
    folder_put_text(f, "runs/events.out.tfevents.7", "x");
}

static void test_huggingface(void **state)
{
    (void)state;
    static const struct damage damages[] = {
        {"trainer_state.json is missing", REMOVE, "checkpoint-20/trainer_state.json", NULL, "torn",
         0},
        {"trainer_state.json is half written", CUT, "checkpoint-20/trainer_state.json", NULL,
         "torn", 0},
        {"trainer_state.json is of another step", WRITE, "checkpoint-20/trainer_state.json",
         "{\"global_step\": 10}", "torn", 0},
        {"trainer_state.json says no step", WRITE, "checkpoint-20/trainer_state.json",
         "{\"best\": {\"global_step\": 20}}", "torn", 0},
        {"a shard is missing", REMOVE, "checkpoint-20/model-00002-of-00002.safetensors", NULL,
         "torn", 0},
        {"a shard is cut", CUT, "checkpoint-20/model-00002-of-00002.safetensors", NULL, "torn", 0},
        {"the index is half written", CUT, "checkpoint-20/model.safetensors.index.json", NULL,
         "torn", 0},
        {"the index is empty", EMPTY, "checkpoint-20/model.safetensors.index.json", NULL, "torn",
         0},
        {"the index names nothing", WRITE, "checkpoint-20/model.safetensors.index.json",
         "{\"weight_map\": {}}", "torn", 0},
        {"the index names a file elsewhere", WRITE, "checkpoint-20/model.safetensors.index.json",
         "{\"weight_map\": {\"a\": \"../checkpoint-10/config.json\"}}", "torn", 0},
        {"the optimizer is missing", REMOVE, "checkpoint-20/optimizer.pt", NULL, "torn", 0},
        {"the optimizer is cut", CUT, "checkpoint-20/optimizer.pt", NULL, "torn", 0},
        {"the first random state is missing", REMOVE, "checkpoint-20/rng_state_0.pth", NULL, "torn",
         0},
        {"the last random state is missing: time has to tell whether it is still to come", REMOVE,
         "checkpoint-20/rng_state_1.pth", NULL, "settling", 0},
        {"a random state is cut", CUT, "checkpoint-20/rng_state_1.pth", NULL, "torn", 0},
    };
    check_damages("huggingface", make_huggingface, "checkpoint-20",
                  "10 checkpoint-10 huggingface complete", damages, MLT_ARRAY_LENGTH(damages));
}

static void test_huggingface_with_fsdp_and_with_deepspeed(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    f.ranks = 1;
    folder_put_dcp(&f, "checkpoint-10/pytorch_model_fsdp_0");
    folder_put_dcp(&f, "checkpoint-10/optimizer_0");
    folder_put_torch(&f, "checkpoint-10/rng_state.pth", "");
    folder_put_text(&f, "checkpoint-10/trainer_state.json", "{\"global_step\": 10}");
    make_deepspeed_step(&f, "checkpoint-20/global_step20");
    folder_put_text(&f, "checkpoint-20/latest", "global_step20");
    folder_put_torch(&f, "checkpoint-20/rng_state.pth", "");
    folder_put_text(&f, "checkpoint-20/trainer_state.json", "{\"global_step\": 20}");
    check(&f, "huggingface", "whole",
          "20 checkpoint-20 huggingface complete, 10 checkpoint-10 huggingface complete", 0);
    folder_remove(&f, "checkpoint-10/optimizer_0/__1_0.distcp");
    folder_cut(&f, "checkpoint-20/global_step20/mp_rank_00_model_states.pt", 1);
    check(&f, "huggingface", "torn",
          "20 checkpoint-20 huggingface torn, 10 checkpoint-10 huggingface torn", 0);
    folder_release(&f);
}

/* ---- Lightning ---- */

static void test_lightning_in_the_folders_of_its_runs(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    folder_put_torch(&f, "lightning_logs/version_0/checkpoints/epoch=0-step=10.ckpt", "");
    folder_put_torch(&f, "lightning_logs/version_1/checkpoints/epoch=1-step=20-v1.ckpt", "");
    folder_put_torch(&f, "lightning_logs/version_1/checkpoints/epoch=2-val_loss=0.25-step=30.ckpt",
                     "");
    folder_cut(&f, "lightning_logs/version_1/checkpoints/epoch=2-val_loss=0.25-step=30.ckpt", 3);
    folder_put_text(&f, "lightning_logs/version_1/hparams.yaml", "{}");
    folder_put_text(&f, "lightning_logs/version_1/checkpoints/epoch=3-step=40.ckpt", "");
    folder_put_torch(&f, "other/version_7/checkpoints/epoch=9-step=90.ckpt", "");
    check(&f, "lightning", "default_root_dir",
          "40 lightning_logs/version_1/checkpoints/epoch=3-step=40.ckpt lightning torn, "
          "30 lightning_logs/version_1/checkpoints/epoch=2-val_loss=0.25-step=30.ckpt lightning "
          "torn, "
          "20 lightning_logs/version_1/checkpoints/epoch=1-step=20-v1.ckpt lightning complete, "
          "10 lightning_logs/version_0/checkpoints/epoch=0-step=10.ckpt lightning complete",
          0);
    folder_release(&f);
}

static void test_lightning_in_one_folder(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    folder_put_torch(&f, "last.ckpt", "epoch 3, global_step 500");
    folder_put_torch(&f, "last-v1.ckpt", "epoch 3"); /* says no step: not Lightning's */
    folder_put_torch(&f, "epoch=0-step=10.ckpt", "epoch 0, global_step 10");
    folder_put_dcp(&f, "epoch=1-step=20.ckpt"); /* a sharded strategy */
    make_deepspeed_step(&f, "epoch=2-step=30.ckpt/checkpoint");
    check(&f, "lightning", "dirpath",
          "500 last.ckpt lightning complete, 30 epoch=2-step=30.ckpt lightning torn, "
          "20 epoch=1-step=20.ckpt lightning complete, 10 epoch=0-step=10.ckpt lightning complete",
          0);
    folder_put_text(&f, "epoch=2-step=30.ckpt/latest", "checkpoint");
    folder_remove(&f, "epoch=1-step=20.ckpt/__0_0.distcp");
    folder_cut(&f, "last.ckpt", 1);
    check(&f, "lightning", "dirpath, damaged",
          "500 last.ckpt lightning torn, 30 epoch=2-step=30.ckpt lightning complete, "
          "20 epoch=1-step=20.ckpt lightning torn, 10 epoch=0-step=10.ckpt lightning complete",
          0);
    folder_release(&f);
}

/* ---- libmltrain ---- */

/* By the very code that programs use. */
static int commit(struct folder *f, int64_t step, const char *name)
{
    char path[256], relative[256];
    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    return commit_record_write(f->dir, step, path, relative, sizeof relative);
}

static void make_libmltrain(struct folder *f)
{
    folder_put_text(f, "ten.bin", "plain");
    folder_put_text(f, "twenty/rank0.bin", "plain");
    folder_put_text(f, "twenty/deep/rank1.bin", "plain");
    assert_int_equal(commit(f, 10, "ten.bin"), 0);
    assert_int_equal(commit(f, 20, "twenty"), 0);
}

static void test_libmltrain(void **state)
{
    (void)state;
    static const struct damage damages[] = {
        {"a file is missing", REMOVE, "twenty/rank0.bin", NULL, "torn", 0},
        {"a file is cut", CUT, "twenty/deep/rank1.bin", NULL, "torn", 0},
        {"a file has grown", WRITE, "twenty/rank0.bin", "longer than it was", "torn", 0},
        {"the record is cut", CUT, ".mltrain-commit-20", NULL, "torn", 0},
        {"the record is empty", EMPTY, ".mltrain-commit-20", NULL, "torn", 0},
    };
    check_damages("libmltrain", make_libmltrain, ".mltrain-commit-20",
                  "10 .mltrain-commit-10 libmltrain complete", damages, MLT_ARRAY_LENGTH(damages));
}

static void test_what_libmltrain_has_committed_is_where_it_was(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    make_libmltrain(&f);
    assert_string_equal(folder_look(&f, "libmltrain", ""),
                        "20 .mltrain-commit-20 libmltrain complete, "
                        "10 .mltrain-commit-10 libmltrain complete");
    assert_string_equal(folder_answer()->found[0].path, "twenty");
    assert_string_equal(folder_answer()->found[1].path, "ten.bin");
    folder_remove(&f, "ten.bin"); /* as programs do that keep a few: not torn, but gone */
    assert_string_equal(folder_look(&f, "libmltrain", ""),
                        "20 .mltrain-commit-20 libmltrain complete");
    folder_release(&f);
}

/* ---- all of them ---- */

static void test_auto_takes_each_for_what_it_is(void **state)
{
    (void)state;
    struct folder f;
    folder_init(&f);
    f.ranks = 2;
    make_megatron(&f);
    make_huggingface_step(&f, 30);
    folder_put_dcp(&f, "step-40");
    folder_put_torch(&f, "epoch=4-step=50.ckpt", "");
    make_deepspeed_step(&f, "global_step60");
    folder_put_text(&f, "latest", "global_step60");
    folder_put_text(&f, "seventy.bin", "x");
    assert_int_equal(commit(&f, 70, "seventy.bin"), 0);
    folder_put_torch(&f, "ckpt-80.pt", "");
    assert_string_equal(
        folder_look(&f, "auto", "ckpt-{step}.pt"),
        "80 ckpt-80.pt pattern complete, 70 .mltrain-commit-70 libmltrain complete, "
        "60 global_step60 deepspeed complete, 50 epoch=4-step=50.ckpt lightning complete, "
        "40 step-40 dcp complete, 30 checkpoint-30 huggingface complete, "
        "20 iter_0000020 megatron complete, 10 iter_0000010 megatron complete");
    assert_int_equal(folder_answer()->pointer.trouble, CHECKPOINT_POINTER_FINE);
    folder_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deepspeed),
        cmocka_unit_test(test_deepspeed_zero_3),
        cmocka_unit_test(test_a_tag_without_a_number_is_left_alone),
        cmocka_unit_test(test_megatron),
        cmocka_unit_test(test_a_whole_rank_of_megatron_is_missed),
        cmocka_unit_test(test_experts_of_megatron_may_be_split_in_another_way),
        cmocka_unit_test(test_megatron_torch_dist),
        cmocka_unit_test(test_dcp_folders_with_megatrons_names_are_dcp),
        cmocka_unit_test(test_huggingface),
        cmocka_unit_test(test_huggingface_with_fsdp_and_with_deepspeed),
        cmocka_unit_test(test_lightning_in_the_folders_of_its_runs),
        cmocka_unit_test(test_lightning_in_one_folder),
        cmocka_unit_test(test_libmltrain),
        cmocka_unit_test(test_what_libmltrain_has_committed_is_where_it_was),
        cmocka_unit_test(test_auto_takes_each_for_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
