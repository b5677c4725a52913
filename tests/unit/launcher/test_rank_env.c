/* What a rank finds in its environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/rank_env.h"
#include "lib/base/cleanup.h"

static const struct rendezvous_welcome pytorch = {.framework = "pytorch",
                                                  .nproc = 4,
                                                  .max_restarts = 6,
                                                  .cpu_limit_milli = 8000,
                                                  .checkpoint_path = "/ckpt"};
static const struct rendezvous_start second_node = {.node_rank = 1,
                                                    .nodes = 2,
                                                    .rank_base = 4,
                                                    .world_size = 8,
                                                    .role_rank_base = 4,
                                                    .role_world_size = 8,
                                                    .master_address = "10.0.0.7",
                                                    .master_port = 40123,
                                                    .resume_step = 120,
                                                    .resume_path = "/ckpt/step-120"};

static struct rank_env_input input_of(const char *const *base)
{
    return (struct rank_env_input){.base = base,
                                   .job = "llama",
                                   .job_namespace = "research",
                                   .job_uid = "uid-1",
                                   .role = "worker",
                                   .error_file = "/mltrain/attempts/3/rank-6/error.json",
                                   .socket = "/mltrain/sdk.sock",
                                   .python_path = "/mltrain/bin/python",
                                   .launcher_id = "abc",
                                   .pod_ip = "10.0.0.8",
                                   .pmi_fd = -1,
                                   .attempt = 3,
                                   .local_rank = 2,
                                   .cpus = 64,
                                   .welcome = &pytorch,
                                   .start = &second_node};
}

static void check(const struct rank_env *env, const char *name, const char *value)
{
    const char *found = rank_env_get(env, name);
    if ((!found) != (!value) || (found && value && strcmp(found, value) != 0))
        fail_msg("%s is `%s`, `%s` expected", name, found ? found : "(unset)",
                 value ? value : "(unset)");
}

static const struct rendezvous_welcome mpi_job = {
    .framework = "mpi", .nproc = 4, .checkpoint_path = ""};

static struct rank_env_input rsh_input(const char *const *base, enum rank_env_rsh_role role)
{
    struct rank_env_input input = input_of(base);
    input.welcome = &mpi_job;
    input.mpi_folder = "/mltrain/attempts/3/rsh";
    input.mpi_shared = "/dev/shm/m";
    input.rsh = (struct rank_env_rsh){.role = role,
                                      .agent = "/a/mltrain-rsh",
                                      .hosts = "/a/hosts",
                                      .hydra_hosts = "/a/hosts.hydra",
                                      .interface = "eth0"};
    return input;
}

/* An agent stays as long as its daemon: whoever starts many must not wait for one of them to end.
 */
static void test_mpirun_may_have_an_agent_for_each_pod(void **state)
{
    (void)state;
    const char *base[] = {"PRTE_MCA_plm_ssh_num_concurrent=300", NULL};
    struct rank_env_input input = rsh_input(base, RANK_ENV_RSH_COMMAND);
    struct rendezvous_start start = *input.start;
    struct rank_env env;
    input.start = &start;
    start.nodes = 2048;
    rank_env_build(&input, &env, NULL);
    check(&env, "OMPI_MCA_plm_rsh_num_concurrent", "2048");
    check(&env, "PRTE_MCA_plm_ssh_num_concurrent", "300"); /* the user's */
    rank_env_release(&env);
}

static void test_mpis_own_starter_finds_agent_and_hosts_and_no_rank(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"RANK", NULL},
        {"LOCAL_RANK", NULL},
        {"GROUP_RANK", NULL},
        {"OMPI_COMM_WORLD_RANK", NULL},
        {"WORLD_SIZE", "8"},
        {"MASTER_ADDR", "10.0.0.7"},
        {"MLTRAIN_ATTEMPT", "3"},
        {"MLTRAIN_SOCKET", "/mltrain/sdk.sock"},
        {"OMPI_MCA_plm_rsh_agent", "/a/mltrain-rsh"},
        {"OMPI_MCA_orte_default_hostfile", "/a/hosts"},
        {"PRTE_MCA_plm_ssh_agent", "/a/mltrain-rsh"},
        {"PRTE_MCA_prte_default_hostfile", "/a/hosts"},
        {"HYDRA_LAUNCHER", "ssh"},
        {"HYDRA_LAUNCHER_EXEC", "/a/mltrain-rsh"},
        {"HYDRA_HOST_FILE", "/a/hosts.hydra"},
        {"HYDRA_IFACE", "eth0"},
        {"I_MPI_HYDRA_BOOTSTRAP_EXEC", "/a/mltrain-rsh"},
        {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
        {"OMPI_MCA_hwloc_base_binding_policy", "core"}, /* the user's */
        {"OMPI_MCA_btl_vader_backing_directory", NULL}, /* each pod has its own */
        {"OMPI_MCA_orte_tmpdir_base", NULL},
        {"OMPI_MCA_plm_rsh_num_concurrent", NULL}, /* Open MPI's own 128 will do */
        {"PMI_RANK", NULL},
    };
    const char *base[] = {"OMPI_MCA_plm_rsh_agent=/etc/mpi/kubexec.sh", "PMI_RANK=1",
                          "OMPI_MCA_hwloc_base_binding_policy=core", NULL};
    struct rank_env_input input = rsh_input(base, RANK_ENV_RSH_COMMAND);
    struct rank_env_notes notes = {.overridden = MLT_TEXT_INIT(400), .removed = MLT_TEXT_INIT(400)};
    struct rank_env env;
    rank_env_build(&input, &env, &notes);
    assert_false(env.failed);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++)
        check(&env, rows[i].name, rows[i].value);
    assert_string_equal(mlt_text_string(&notes.overridden), "OMPI_MCA_plm_rsh_agent");
    mlt_text_release(&notes.overridden);
    mlt_text_release(&notes.removed);
    rank_env_release(&env);
}

static void test_its_daemons_have_the_folders_of_their_pod(void **state)
{
    (void)state;
    const char *base[] = {"HOME=/root", "MLTRAIN_WORLD=of-another-job", NULL};
    struct rank_env_input input = rsh_input(base, RANK_ENV_RSH_DAEMON);
    struct rank_env env;
    rank_env_build(&input, &env, NULL);
    check(&env, "OMPI_MCA_btl_vader_backing_directory", "/dev/shm/m");
    check(&env, "OMPI_MCA_orte_tmpdir_base", "/mltrain/attempts/3/rsh");
    check(&env, "MLTRAIN_SOCKET", "/mltrain/sdk.sock");
    check(&env, "MLTRAIN_POD_SOCKET", "/mltrain/sdk.sock");
    check(&env, "MLTRAIN_WORLD", NULL);
    check(&env, "HYDRA_HOST_FILE", NULL);
    check(&env, "RANK", NULL);
    rank_env_release(&env);
}

static void test_each_name_of_the_contract_has_its_value(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"MLTRAIN_SOCKET", "/mltrain/sdk.sock"},
        {"RANK", "6"},
        {"LOCAL_RANK", "2"},
        {"WORLD_SIZE", "8"},
        {"LOCAL_WORLD_SIZE", "4"},
        {"GROUP_RANK", "1"},
        {"GROUP_WORLD_SIZE", "2"},
        {"ROLE_RANK", "6"},
        {"ROLE_WORLD_SIZE", "8"},
        {"ROLE_NAME", "worker"},
        {"MASTER_ADDR", "10.0.0.7"},
        {"MASTER_PORT", "40123"},
        {"MLTRAIN_JOB", "llama"},
        {"MLTRAIN_NAMESPACE", "research"},
        {"MLTRAIN_ROLE", "worker"},
        {"MLTRAIN_ATTEMPT", "3"},
        {"MLTRAIN_CHECKPOINT_DIR", "/ckpt"},
        {"MLTRAIN_RESUME_STEP", "120"},
        {"MLTRAIN_RESUME_PATH", "/ckpt/step-120"},
        {"MLTRAIN_ERROR_FILE", "/mltrain/attempts/3/rank-6/error.json"},
        {"PYTHONUNBUFFERED", "1"},
        {"PYTHONFAULTHANDLER", "1"},
        {"TORCHELASTIC_RESTART_COUNT", "2"},
        {"TORCHELASTIC_MAX_RESTARTS", "6"},
        {"TORCHELASTIC_RUN_ID", "uid-1"},
        {"TORCHELASTIC_ERROR_FILE", "/mltrain/attempts/3/rank-6/error.json"},
        {"TORCHELASTIC_USE_AGENT_STORE", NULL},
        {"OMP_NUM_THREADS", "2"},
        {"TORCH_NCCL_ASYNC_ERROR_HANDLING", "1"},
        {"NCCL_ASYNC_ERROR_HANDLING", "1"},
        {"PET_NPROC_PER_NODE", "1"},
        {"PET_NNODES", "8"},
        {"PET_NODE_RANK", "6"},
        {"PET_MAX_RESTARTS", "0"},
        {"MLTRAIN_CHANNEL", NULL},
        {"MLTRAIN_KEY_FILE", NULL},
        {"SLURM_PROCID", NULL},
        {"HOME", "/root"},
    };
    const char *base[] = {"HOME=/root", "MLTRAIN_CHANNEL=10.0.0.1:7", "MLTRAIN_KEY_FILE=/k", NULL};
    struct rank_env_input input = input_of(base);
    struct rank_env env;
    rank_env_build(&input, &env, NULL);
    assert_false(env.failed);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++)
        check(&env, rows[i].name, rows[i].value);
    rank_env_release(&env);
}

static void test_one_torchrun_for_the_pod_is_told_the_pods_place(void **state)
{
    (void)state;
    const char *base[] = {NULL};
    struct rank_env_input input = input_of(base);
    input.once_per_pod = true;
    input.local_rank = 0;
    struct rank_env env;
    rank_env_build(&input, &env, NULL);
    check(&env, "PET_NPROC_PER_NODE", "4");
    check(&env, "PET_NNODES", "2");
    check(&env, "PET_NODE_RANK", "1");
    check(&env, "PET_MASTER_ADDR", "10.0.0.7");
    check(&env, "PET_MASTER_PORT", "40123");
    check(&env, "PET_MAX_RESTARTS", "0");
    check(&env, "PET_RDZV_ID", "uid-1-3");
    check(&env, "PET_REDIRECTS", "9:1"); /* nobody's: there are 4 */
    rank_env_release(&env);
    input.nproc_option = "16";
    rank_env_build(&input, &env, NULL);
    check(&env, "PET_REDIRECTS", NULL); /* rank 9 is somebody there */
    rank_env_release(&env);
}

static void
test_plain_ranks_get_nothing_of_torch_and_no_resume_step_without_a_checkpoint(void **state)
{
    (void)state;
    const char *base[] = {"OMP_NUM_THREADS=3", NULL};
    struct rendezvous_welcome welcome = {.framework = "plain", .nproc = 1, .checkpoint_path = ""};
    struct rendezvous_start start = second_node;
    start.resume_step = RENDEZVOUS_NO_STEP;
    struct rank_env_input input = input_of(base);
    input.welcome = &welcome;
    input.start = &start;
    struct rank_env env;
    rank_env_build(&input, &env, NULL);
    check(&env, "PET_NNODES", NULL);
    check(&env, "TORCHELASTIC_RUN_ID", NULL);
    check(&env, "MLTRAIN_RESUME_STEP", NULL);
    check(&env, "MLTRAIN_RESUME_PATH", NULL);
    check(&env, "MLTRAIN_CHECKPOINT_DIR", NULL);
    check(&env, "OMP_NUM_THREADS", "3");
    check(&env, "RANK", "6");
    rank_env_release(&env);
}

static void test_threads_are_the_cpus_divided_by_the_ranks_but_at_least_one(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int64_t limit_milli;
        uint32_t nproc, cpus;
        const char *threads;
    } rows[] = {
        {"a limit is divided", 8000, 4, 64, "2"},
        {"rounded down", 7900, 4, 64, "1"},
        {"never zero", 500, 4, 64, "1"},
        {"without a limit the machine is divided", 0, 4, 64, "16"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        const char *base[] = {NULL};
        struct rendezvous_welcome welcome = pytorch;
        struct rank_env_input input = input_of(base);
        struct rank_env env;
        welcome.cpu_limit_milli = rows[i].limit_milli;
        welcome.nproc = rows[i].nproc;
        input.cpus = rows[i].cpus;
        input.welcome = &welcome;
        rank_env_build(&input, &env, NULL);
        check(&env, "OMP_NUM_THREADS", rows[i].threads);
        rank_env_release(&env);
    }
}

static void test_reserved_names_of_the_user_are_overridden_and_told(void **state)
{
    (void)state;
    const char *base[] = {"RANK=99",      "SLURM_JOB_ID=5",     "TORCHELASTIC_USE_AGENT_STORE=True",
                          "WORLD_SIZE=8", "PYTHONUNBUFFERED=0", NULL};
    const char *added[] = {"MASTER_ADDR=example.org", "EXTRA=1"};
    struct rendezvous_welcome welcome = pytorch;
    welcome.environment = added;
    welcome.environment_count = 2;
    struct rank_env_input input = input_of(base);
    input.welcome = &welcome;
    struct rank_env env;
    struct rank_env_notes notes = {.overridden = MLT_TEXT_INIT(4096),
                                   .removed = MLT_TEXT_INIT(4096)};
    rank_env_build(&input, &env, &notes);
    check(&env, "RANK", "6");
    check(&env, "SLURM_JOB_ID", NULL);
    check(&env, "TORCHELASTIC_USE_AGENT_STORE", NULL);
    check(&env, "MASTER_ADDR", "10.0.0.7");
    check(&env, "EXTRA", "1");
    check(&env, "PYTHONUNBUFFERED", "0"); /* a default of ours, so the user's word counts */
    /* Not WORLD_SIZE: it had our value already. */
    assert_string_equal(mlt_text_string(&notes.overridden), "RANK MASTER_ADDR");
    assert_string_equal(mlt_text_string(&notes.removed),
                        "TORCHELASTIC_USE_AGENT_STORE SLURM_JOB_ID");
    mlt_text_release(&notes.overridden);
    mlt_text_release(&notes.removed);
    rank_env_release(&env);
}

static void test_the_interface_that_was_chosen_is_a_default(void **state)
{
    (void)state;
    const char *without[] = {"A=1", NULL}, *with[] = {"NCCL_SOCKET_IFNAME=", NULL};
    struct rank_env env;
    struct rank_env_input input = input_of(without);
    input.welcome = &pytorch;
    rank_env_build(&input, &env, NULL);
    check(&env, "NCCL_SOCKET_IFNAME", NULL);
    rank_env_release(&env);
    input.nccl_socket_ifname = "=eth0";
    rank_env_build(&input, &env, NULL);
    check(&env, "NCCL_SOCKET_IFNAME", "=eth0");
    rank_env_release(&env);
    input = input_of(with);
    input.welcome = &pytorch;
    input.nccl_socket_ifname = "=eth0";
    rank_env_build(&input, &env, NULL);
    check(&env, "NCCL_SOCKET_IFNAME", "");
    rank_env_release(&env);
}

static void test_only_references_to_reserved_names_are_expanded(void **state)
{
    (void)state;
    static const struct {
        const char *what, *text, *expanded;
    } rows[] = {
        {"a rank", "--rank=$(RANK)", "--rank=6"},
        {"two, side by side", "$(RANK)$(WORLD_SIZE)", "68"},
        {"the user's own stays for the shell", "$(HOME) $(date)", "$(HOME) $(date)"},
        {"an unclosed one stays", "x$(RANK", "x$(RANK"},
        {"an empty one stays", "$()", "$()"},
        {"nested for a shell", "$(echo $(RANK))", "$(echo 6)"},
        {"nothing", "", ""},
    };
    const char *base[] = {"HOME=/root", "OUT=/data/$(RANK)", NULL};
    struct rank_env_input input = input_of(base);
    struct rank_env env;
    rank_env_build(&input, &env, NULL);
    check(&env, "OUT", "/data/6");
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_free char *expanded = rank_env_expand(&env, rows[i].text);
        if (!expanded || strcmp(expanded, rows[i].expanded) != 0)
            fail_msg("%s: `%s`", rows[i].what, expanded ? expanded : "(none)");
    }
    rank_env_release(&env);
}

static void test_libmltrain_is_found_behind_what_the_user_has(void **state)
{
    (void)state;
    static const struct {
        const char *own, *folder, *value;
    } rows[] = {
        {NULL, "/mltrain/bin/python", "/mltrain/bin/python"},
        {"PYTHONPATH=", "/mltrain/bin/python", "/mltrain/bin/python"},
        {"PYTHONPATH=/src:/lib", "/mltrain/bin/python", "/src:/lib:/mltrain/bin/python"},
        {"PYTHONPATH=/job/$(RANK)", "/mltrain/bin/python", "/job/6:/mltrain/bin/python"},
        {"PYTHONPATH=/src", "", "/src"},
        {NULL, "", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *base[] = {rows[i].own, NULL};
        struct rank_env env;
        struct rank_env_input input = input_of(base);
        struct rank_env_notes notes = {.overridden = MLT_TEXT_INIT(64),
                                       .removed = MLT_TEXT_INIT(64)};
        input.python_path = rows[i].folder;
        rank_env_build(&input, &env, &notes);
        check(&env, "PYTHONPATH", rows[i].value);
        assert_int_equal(notes.overridden.length, 0);
        mlt_text_release(&notes.overridden);
        mlt_text_release(&notes.removed);
        rank_env_release(&env);
    }
}

static void test_a_pmix_server_s_words_are_there_and_what_open_mpi_needs(void **state)
{
    (void)state;
    static const char *const base[] = {"PMIX_RANK=77", "OMPI_MCA_osc_sm_backing_directory=/mine",
                                       "PMIX_SERVER_URI41=of somebody else", NULL};
    struct rendezvous_welcome mpi = {.framework = "mpi", .nproc = 4, .checkpoint_path = ""};
    struct rank_env_input input = input_of(base);
    struct rank_env env;
    input.welcome = &mpi;
    input.pmix = "PMIX_RANK=6\0PMIX_NAMESPACE=j.u.1\0EMPTY=\0";
    input.mpi_folder = "/dir";
    input.mpi_shared = "/dev/shm/x";
    input.cpus = 4;
    rank_env_build(&input, &env, NULL);
    check(&env, "PMIX_RANK", "6");
    check(&env, "PMIX_NAMESPACE", "j.u.1");
    check(&env, "EMPTY", "");
    check(&env, "PMIX_SERVER_URI41", NULL);
    check(&env, "JSM_JSRUN_PORT", "1");
    check(&env, "OMPI_MCA_btl_vader_backing_directory", "/dev/shm/x");
    check(&env, "OMPI_MCA_osc_sm_backing_directory", "/mine"); /* the user's own */
    check(&env, "OMPI_MCA_orte_tmpdir_base", "/dir");
    check(&env, "OMPI_MCA_mpi_yield_when_idle", NULL);
    check(&env, "OMPI_MCA_btl_vader_single_copy_mechanism", NULL);
    rank_env_release(&env);
    input.no_process_vm = true;
    input.cpus = 3; /* fewer than ranks */
    rank_env_build(&input, &env, NULL);
    check(&env, "OMPI_MCA_mpi_yield_when_idle", "1");
    check(&env, "OMPI_MCA_btl_vader_single_copy_mechanism", "none");
    rank_env_release(&env);
}

static void test_mpi_ranks_have_open_mpi_s_names_and_what_their_wire_up_needs(void **state)
{
    (void)state;
    static const char *const base[] = {
        "PMI_RANK=9",      "SLURM_JOB_ID=1",    "OMPI_COMM_WORLD_SIZE=99",
        "PMI_PORT=host:1", "PMIX_MCA_gds=hash", NULL};
    struct rendezvous_welcome mpi = {.framework = "mpi", .nproc = 4, .checkpoint_path = ""};
    struct rank_env_input input = input_of(base);
    struct rank_env env;
    input.welcome = &mpi;
    input.pmi_fd = 17;
    rank_env_build(&input, &env, NULL);
    check(&env, "OMPI_COMM_WORLD_RANK", "6");
    check(&env, "OMPI_COMM_WORLD_SIZE", "8");
    check(&env, "OMPI_COMM_WORLD_LOCAL_RANK", "2");
    check(&env, "OMPI_COMM_WORLD_LOCAL_SIZE", "4");
    check(&env, "OMPI_COMM_WORLD_NODE_RANK", "2");
    check(&env, "OMPI_UNIVERSE_SIZE", "8");
    check(&env, "PMI_RANK", "6");
    check(&env, "PMI_SIZE", "8");
    check(&env, "PMI_FD", "17");
    check(&env, "PMI_PORT", NULL); /* of another process manager */
    check(&env, "SLURM_JOB_ID", NULL);
    check(&env, "PMIX_MCA_gds", "hash"); /* a parameter of the user's */
    check(&env, "OMPI_MCA_btl_tcp_if_include", NULL);
    check(&env, "PET_NNODES", NULL);
    rank_env_release(&env);
    input.pmi_fd = -1; /* another wire-up */
    input.pod_ip = "127.5.0.3";
    rank_env_build(&input, &env, NULL);
    check(&env, "PMI_RANK", NULL);
    check(&env, "PMI_FD", NULL);
    check(&env, "OMPI_MCA_btl_tcp_if_include", "127.0.0.0/8");
    check(&env, "JSM_JSRUN_PORT", NULL);
    rank_env_release(&env);
    input.welcome = &pytorch;
    rank_env_build(&input, &env, NULL);
    check(&env, "OMPI_COMM_WORLD_RANK", NULL);
    check(&env, "PMI_RANK", "9"); /* not ours to judge */
    rank_env_release(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_name_of_the_contract_has_its_value),
        cmocka_unit_test(test_mpirun_may_have_an_agent_for_each_pod),
        cmocka_unit_test(test_mpis_own_starter_finds_agent_and_hosts_and_no_rank),
        cmocka_unit_test(test_its_daemons_have_the_folders_of_their_pod),
        cmocka_unit_test(test_one_torchrun_for_the_pod_is_told_the_pods_place),
        cmocka_unit_test(
            test_plain_ranks_get_nothing_of_torch_and_no_resume_step_without_a_checkpoint),
        cmocka_unit_test(test_threads_are_the_cpus_divided_by_the_ranks_but_at_least_one),
        cmocka_unit_test(test_reserved_names_of_the_user_are_overridden_and_told),
        cmocka_unit_test(test_the_interface_that_was_chosen_is_a_default),
        cmocka_unit_test(test_only_references_to_reserved_names_are_expanded),
        cmocka_unit_test(test_libmltrain_is_found_behind_what_the_user_has),
        cmocka_unit_test(test_a_pmix_server_s_words_are_there_and_what_open_mpi_needs),
        cmocka_unit_test(test_mpi_ranks_have_open_mpi_s_names_and_what_their_wire_up_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
