/* The real launcher and a real PyTorch: unmodified torch.distributed, by itself and by its own
 * launcher, over the port that the launcher holds. */
#include "tests/component/launcher/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"

static const char *const script =
    "import argparse, os, torch, torch.distributed as dist\n"
    "p = argparse.ArgumentParser()\n"
    "p.add_argument('--local_rank', type=int)\n"
    "p.parse_args()\n"
    "dist.init_process_group('gloo')\n"
    "t = torch.ones(1) * (dist.get_rank() + 1)\n"
    "dist.all_reduce(t)\n"
    "os.write(1, b'rank %d of %d has %d\\n' % (dist.get_rank(), dist.get_world_size(), int(t)))\n";

static void write_script(struct harness *h, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/train.py", h->dir);
    cleanup_file FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(script, file) >= 0);
}

static void check_ranks(struct harness *h, const char *format, int ranks, int sum)
{
    for (int i = 0; i < ranks; i++) {
        struct rendezvous_exit *exit = &harness_expect(h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit;
        if (exit->code || exit->signal)
            fail_msg("code %d, signal %d: %s", exit->code, exit->signal, exit->tail);
    }
    cleanup_free char *out = harness_file(h, "out", NULL);
    for (int i = 0; i < ranks; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "rank %d of %d has %d\n", i, ranks, sum);
        if (!strstr(out, line))
            fail_msg("%s: `%s` is missing in:\n%s", format, line, out);
    }
}

static void begin(struct harness *h, uint32_t nproc, char *path, size_t size)
{
    harness_begin(h);
    h->wait_ms = 100000; /* importing torch five times on a busy machine */
    h->welcome.framework = "pytorch";
    h->welcome.nproc = nproc;
    write_script(h, path, size);
}

static void test_ranks_find_each_other_over_the_held_port(void **state)
{
    (void)state;
    struct harness h;
    char path[128];
    begin(&h, 2, path, sizeof path);
    harness_launch(&h, (const char *const[]){"/usr/bin/python3", path, NULL});
    (void)harness_start_ranks(&h);
    check_ranks(&h, "ranks", 2, 3);
    harness_end(&h);
}

static void test_a_tutorials_launch_command_runs_once_per_pod(void **state)
{
    (void)state;
    struct harness h;
    char path[128];
    begin(&h, 4, path, sizeof path);
    harness_launch(&h, (const char *const[]){"/usr/bin/python3", "-m", "torch.distributed.launch",
                                             "--nproc_per_node=4", path, NULL});
    (void)harness_start_ranks(&h);
    check_ranks(&h, "torch.distributed.launch", 4, 10);
    harness_end(&h);
}

/* Saved by PyTorch's own writer; of the newest two one loses a shard, and one a byte of a shard.
 * Debian 12's PyTorch 1.13 cannot import its own module with Python 3.11, which wants defaults of
 * dataclasses to be hashable. */
static const char *const writer =
    "import dataclasses, os, sys, torch\n"
    "def hashable(c=None, plain=dataclasses.dataclass, **k):\n"
    "    if c is None:\n"
    "        return lambda c: hashable(c, **k)\n"
    "    made = plain(c, **k)\n"
    "    made.__hash__ = made.__hash__ or object.__hash__\n"
    "    return made\n"
    "dataclasses.dataclass = hashable\n"
    "try:\n"
    "    import torch.distributed.checkpoint as dcp\n"
    "except ImportError:\n"
    "    import torch.distributed._shard.checkpoint as dcp\n"
    "for step in (10, 20, 30, 40):\n"
    "    folder = f'{sys.argv[1]}/step-{step}'\n"
    "    os.makedirs(folder)\n"
    "    dcp.save_state_dict({'w': torch.ones(1000) * step, 'step': step},\n"
    "                        dcp.FileSystemWriter(folder), no_dist=True)\n"
    "os.remove(folder + '/__0_1.distcp')\n"
    "shard = folder.replace('40', '30') + '/__0_0.distcp'\n"
    "os.truncate(shard, os.path.getsize(shard) - 1)\n";

/* Runs a Python script with the checkpoint folder as its argument, and lets the launcher look. */
static const struct rendezvous_checkpoint_report *look_at(struct harness *h, const char *program)
{
    static char folder[128];
    char path[128], command[400];
    harness_begin(h);
    (void)snprintf(folder, sizeof folder, "%s/ckpt", h->dir);
    (void)snprintf(path, sizeof path, "%s/save.py", h->dir);
    {
        cleanup_file FILE *file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(program, file) >= 0);
    }
    (void)snprintf(command, sizeof command, "/usr/bin/python3 '%s' '%s' 2> '%s/said'", path, folder,
                   h->dir);
    int status = system(command);
    if (status) {
        cleanup_free char *said = harness_file(h, "said", NULL);
        fail_msg("wait status 0x%x: %s", status, said);
    }
    h->welcome.checkpoint_path = folder;
    h->welcome.checkpoint_format = "auto";
    h->welcome.watch_checkpoints = true;
    harness_launch(h, (const char *const[]){"/bin/true", NULL});
    return &harness_expect(h, RENDEZVOUS_CHECKPOINT)->checkpoint;
}

static void test_checkpoints_of_pytorchs_own_writer_are_known_without_a_format(void **state)
{
    (void)state;
    struct harness h;
    const struct rendezvous_checkpoint_report *report = look_at(&h, writer);
    assert_int_equal(report->checkpoints_count, 2);
    assert_int_equal(report->checkpoints[0].step, 20);
    assert_int_equal(report->checkpoints[1].step, 10);
    assert_int_equal(report->torn_step, 40);
    harness_end(&h);
}

/* The files of DeepSpeed, with the keys that it saves, written by torch.save: of the newer step the
 * last rank's is missing, which only the number in the model states tells. */
static void test_the_world_of_a_checkpoint_is_read_from_what_torch_save_writes(void **state)
{
    (void)state;
    struct harness h;
    const struct rendezvous_checkpoint_report *report = look_at(
        &h, "import os, sys, torch\n"
            "for step in (10, 20):\n"
            "    folder = f'{sys.argv[1]}/global_step{step}'\n"
            "    os.makedirs(folder)\n"
            "    model = {f'layer.{i}.weight': torch.ones(4) for i in range(2000)}\n"
            "    torch.save({'module': model, 'optimizer': None, 'global_steps': step,\n"
            "                'dp_world_size': 3, 'mp_world_size': 1},\n"
            "               folder + '/mp_rank_00_model_states.pt')\n"
            "    for rank in range(3 if step == 10 else 2):\n"
            "        torch.save({}, f'{folder}/zero_pp_rank_{rank}_mp_rank_00_optim_states.pt')\n"
            "open(sys.argv[1] + '/latest', 'w').write('global_step20')\n");
    assert_int_equal(report->checkpoints_count, 1);
    assert_int_equal(report->checkpoints[0].step, 10);
    assert_non_null(strstr(report->checkpoints[0].path, "/ckpt/global_step10"));
    assert_int_equal(report->torn_step, 20);
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_find_each_other_over_the_held_port),
        cmocka_unit_test(test_a_tutorials_launch_command_runs_once_per_pod),
        cmocka_unit_test(test_checkpoints_of_pytorchs_own_writer_are_known_without_a_format),
        cmocka_unit_test(test_the_world_of_a_checkpoint_is_read_from_what_torch_save_writes),
    };
    if (system("/usr/bin/python3 -c 'import torch.distributed' 2> /dev/null") != 0) {
        (void)printf("skipped: /usr/bin/python3 has no torch\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
