/* Which commands are torchrun. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "launcher/torchrun.h"
#include "lib/base/cleanup.h"

#define WORDS_MAX 12

static const struct {
    const char *what;
    bool is_torchrun;
    const char *argv[WORDS_MAX];
} commands[] = {
    {"torchrun itself", true, {"torchrun", "train.py"}},
    {"by its path", true, {"/opt/venv/bin/torchrun", "--nnodes=2", "train.py"}},
    {"the module", true, {"python3", "-m", "torch.distributed.run", "train.py"}},
    {"the old module",
     true,
     {"python", "-m", "torch.distributed.launch", "--nproc_per_node=4", "t.py"}},
    {"after python's options",
     true,
     {"python3", "-u", "-X", "dev", "-m", "torch.distributed.run", "t.py"}},
    {"joined options", true, {"python3.11", "-um", "torch.distributed.run", "t.py"}},
    {"python runs its file", true, {"python3", "/usr/bin/torchrun", "t.py"}},
    {"behind env", true, {"env", "A=b", "torchrun", "t.py"}},
    {"behind numactl and nice",
     true,
     {"nice", "-n", "5", "numactl", "--localalloc", "torchrun", "t.py"}},
    {"behind uv run", true, {"uv", "run", "torchrun", "t.py"}},
    {"behind timeout", true, {"timeout", "3600", "torchrun", "t.py"}},
    {"in a shell's text", true, {"bash", "-c", "cd /work && torchrun train.py"}},
    {"in a login shell's text",
     true,
     {"/bin/bash", "-lc", "exec python -m torch.distributed.run t.py"}},
    {"with options before", true, {"bash", "-euo", "pipefail", "-c", "torchrun t.py"}},
    {"a plain script", false, {"python3", "train.py"}},
    {"a script's own option", false, {"python3", "train.py", "--launcher", "torchrun"}},
    {"a script's own -m", false, {"python3", "train.py", "-m", "torch.distributed.run"}},
    {"another module", false, {"python3", "-m", "torch.distributed.runner"}},
    {"python's text", false, {"python3", "-c", "print(1)", "torchrun"}},
    {"a shell that does not", false, {"bash", "-c", "python3 train.py"}},
    {"part of a word", false, {"bash", "-c", "mytorchrun x; torchrun_helper y; --with=torchrun"}},
    {"in a comment", false, {"bash", "-c", "# torchrun train.py\npython3 train.py"}},
    {"an argument of a shell's script", false, {"bash", "train.sh", "torchrun"}},
    {"nothing", false, {NULL}},
    {"env alone", false, {"env"}},
};

static void test_commands_are_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(commands); i++)
        if (torchrun_is_command(commands[i].argv) != commands[i].is_torchrun)
            fail_msg("%s", commands[i].what);
}

static void test_the_script_that_decides_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *what, *script;
        const char *argv[WORDS_MAX];
    } rows[] = {
        {"a shell's script", "train.sh", {"bash", "-x", "train.sh", "a"}},
        {"a file of its own", "./train.sh", {"./train.sh"}},
        {"behind env", "/w/train.sh", {"env", "A=b", "/w/train.sh"}},
        {"a program on the PATH", NULL, {"python3", "train.py"}},
        {"a shell's text", NULL, {"bash", "-c", "true"}},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        const char *script = torchrun_script_of(rows[i].argv);
        if ((!script) != (!rows[i].script) || (script && strcmp(script, rows[i].script) != 0))
            fail_msg("%s: %s", rows[i].what, script ? script : "(none)");
    }
}

static void test_scripts_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *what, *text;
        bool named, is;
    } rows[] = {
        {"a shell script", "#!/bin/bash\nset -e\ntorchrun \\\n  train.py\n", false, true},
        {"by env", "#!/usr/bin/env bash\nexec torchrun t.py\n", false, true},
        {"a shell was told to run it", "torchrun t.py\n", true, true},
        {"only a comment", "#!/bin/sh\n# torchrun t.py\npython3 t.py\n", false, false},
        {"a python script", "#!/usr/bin/python3\nimport x # torchrun\n'torchrun'\n", false, false},
        {"a binary", "\177ELF torchrun ", false, false},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++)
        if (torchrun_is_script(rows[i].text, strlen(rows[i].text), rows[i].named) != rows[i].is)
            fail_msg("%s", rows[i].what);
}

static void test_the_commands_own_number_of_processes_is_found(void **state)
{
    (void)state;
    const char *joined[] = {"torchrun", "--nproc_per_node=4", "t.py", NULL};
    const char *apart[] = {"torchrun", "--nproc-per-node", "8", "t.py", NULL};
    const char *none[] = {"torchrun", "--nnodes", "2", NULL};
    assert_string_equal(torchrun_nproc_option(joined), "4");
    assert_string_equal(torchrun_nproc_option(apart), "8");
    assert_null(torchrun_nproc_option(none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_are_told_apart),
        cmocka_unit_test(test_the_script_that_decides_is_found),
        cmocka_unit_test(test_scripts_are_told_apart),
        cmocka_unit_test(test_the_commands_own_number_of_processes_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
