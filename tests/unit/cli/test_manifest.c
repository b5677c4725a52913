/* A job made from a command line is the job that a manifest would have said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cli/manifest.h"
#include "lib/json/json.h"

static struct manifest_command command_of(const char *const *argv, const char *const *environment)
{
    return (struct manifest_command){.nproc = 4,
                                     .nnodes = 2,
                                     .framework = "pytorch",
                                     .max_restarts = 3,
                                     .argv = argv,
                                     .environment = environment,
                                     .folder = "/home/ada/project",
                                     .unique = 4711};
}

static void test_a_command_becomes_a_valid_job(void **state)
{
    (void)state;
    const char *argv[] = {"python3", "src/Train_GPT.py", "--lr", "1e-3", NULL};
    const char *environment[] = {"HOME=/home/ada", "PRICE=$5", "RANK=7", "MLTRAIN_JOB=x",
                                 "PWD=/",          "MLTRAIN_NCCL_OFF=shm", NULL};
    struct manifest_command command = command_of(argv, environment);
    cJSON *documents cleanup_json = manifest_from_command(&command), *job = NULL;
    struct mlt_error err = {0};
    if (manifest_job(documents, &job, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(json_string(job, "metadata.name", ""), "train-gpt-4711");
    assert_int_equal(json_integer(job, "spec.nprocPerNode", 0), 4);
    assert_int_equal(json_integer(job, "spec.workers.replicas", 0), 2);
    assert_string_equal(json_string(job, "spec.workers.template.spec.containers[0].command[1]", ""),
                        "src/Train_GPT.py");
    assert_string_equal(json_string(job, "spec.workers.template.spec.containers[0].workingDir", ""),
                        "/home/ada/project");
    assert_int_equal(json_size(job, "spec.workers.template.spec.containers[0].env"), 3);
    assert_string_equal(
        json_string(job, "spec.workers.template.spec.containers[0].env[1].value", ""), "$$5");
    assert_string_equal(
        json_string(job, "spec.workers.template.spec.containers[0].env[2].value", ""), "shm");
    assert_string_equal(json_string(job, "spec.workers.template.spec.volumes[0].hostPath.path", ""),
                        "/home/ada/project");
}

static void test_checkpoints_outside_the_folder_are_mounted(void **state)
{
    (void)state;
    const char *argv[] = {"/usr/bin/env", NULL}, *environment[] = {NULL};
    struct manifest_command command = command_of(argv, environment);
    command.checkpoint_path = "/data/checkpoints";
    cJSON *documents cleanup_json = manifest_from_command(&command), *job = NULL;
    assert_int_equal(manifest_job(documents, &job, NULL), 0);
    assert_int_equal(json_size(job, "spec.workers.template.spec.volumes"), 2);
    command.checkpoint_path = "/home/ada/project/checkpoints";
    cJSON *inside cleanup_json = manifest_from_command(&command);
    assert_int_equal(manifest_job(inside, &job, NULL), 0);
    assert_int_equal(json_size(job, "spec.workers.template.spec.volumes"), 1);
    command.checkpoint_path = "/home/ada/project-checkpoints";
    cJSON *beside cleanup_json = manifest_from_command(&command);
    assert_int_equal(manifest_job(beside, &job, NULL), 0);
    assert_int_equal(json_size(job, "spec.workers.template.spec.volumes"), 2);
}

static void test_dollars_in_a_command_reach_it_as_they_were(void **state)
{
    (void)state;
    const char *argv[] = {"sh", "-c", "kill -9 $$; echo $(HOME) $1", NULL}, *environment[] = {NULL};
    struct manifest_command command = command_of(argv, environment);
    cJSON *documents cleanup_json = manifest_from_command(&command), *job = NULL;
    assert_int_equal(manifest_job(documents, &job, NULL), 0);
    assert_string_equal(json_string(job, "spec.workers.template.spec.containers[0].command[2]", ""),
                        "kill -9 $$$$; echo $$(HOME) $$1"); /* the kubelet halves them */
}

static void test_documents_need_exactly_one_job(void **state)
{
    (void)state;
    struct mlt_error err = {0};
    cJSON *none cleanup_json = cJSON_CreateArray(), *job = NULL;
    assert_true(manifest_job(none, &job, &err) < 0);
    assert_string_equal(err.text, "no TrainingJob among the documents");
    const char *argv[] = {"true", NULL}, *environment[] = {NULL};
    struct manifest_command command = command_of(argv, environment);
    cJSON *two cleanup_json = manifest_from_command(&command);
    json_append(two, json_copy(cJSON_GetArrayItem(two, 0)));
    assert_true(manifest_job(two, &job, &err) < 0);
    assert_non_null(strstr(err.text, "more than one TrainingJob"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_command_becomes_a_valid_job),
        cmocka_unit_test(test_checkpoints_outside_the_folder_are_mounted),
        cmocka_unit_test(test_dollars_in_a_command_reach_it_as_they_were),
        cmocka_unit_test(test_documents_need_exactly_one_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
