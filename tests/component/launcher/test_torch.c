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

static void test_ranks_find_each_other_over_the_held_port(void **state)
{
    (void)state;
    struct harness h;
    char path[128];
    harness_begin(&h);
    h.wait_ms = 100000; /* importing torch five times on a busy machine */
    h.welcome.framework = "pytorch";
    h.welcome.nproc = 2;
    write_script(&h, path, sizeof path);
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
    harness_begin(&h);
    h.wait_ms = 100000; /* importing torch five times on a busy machine */
    h.welcome.framework = "pytorch";
    h.welcome.nproc = 4;
    write_script(&h, path, sizeof path);
    harness_launch(&h, (const char *const[]){"/usr/bin/python3", "-m", "torch.distributed.launch",
                                             "--nproc_per_node=4", path, NULL});
    (void)harness_start_ranks(&h);
    check_ranks(&h, "torch.distributed.launch", 4, 10);
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_find_each_other_over_the_held_port),
        cmocka_unit_test(test_a_tutorials_launch_command_runs_once_per_pod),
    };
    if (system("/usr/bin/python3 -c 'import torch.distributed' 2> /dev/null") != 0) {
        (void)printf("skipped: /usr/bin/python3 has no torch\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
