/* A rank's environment: see rank_env.h. Names and meanings: torch/distributed/elastic/agent/server/
 * local_elastic_agent.py (_start_workers), torch/distributed/argparse_util.py (PET_*). */
#include "launcher/rank_env.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/reap.h"
#include "launcher/remote.h"
#include "lib/base/cleanup.h"

#define RSH_CONCURRENT_DEFAULT 128 /* Open MPI's own, 4 and 5; its tree is 64 wide by default */

/* ---- the list ---- */

static size_t name_length(const char *variable)
{
    return strcspn(variable, "=");
}

/* The place of a name, or the count. */
static size_t find(const struct rank_env *env, const char *name, size_t length)
{
    size_t i = 0;
    for (; i < env->count; i++)
        if (strncmp(env->variables[i], name, length) == 0 && env->variables[i][length] == '=')
            break;
    return i;
}

static bool grow(struct rank_env *env)
{
    if (env->count + 1 < env->capacity)
        return true;
    size_t capacity = env->capacity ? env->capacity * 2 : 128;
    if (capacity > RANK_ENV_VARIABLES_MAX)
        return false;
    char **variables = realloc(env->variables, capacity * sizeof *variables);
    if (variables)
        env->variables = variables;
    bool *reserved = realloc(env->reserved, capacity * sizeof *reserved);
    if (reserved)
        env->reserved = reserved;
    if (!variables || !reserved)
        return false;
    env->capacity = capacity;
    return true;
}

/* Takes `variable` (malloc'ed; NULL is a failure) into the list, over one of the same name. */
static void put(struct rank_env *env, char *variable, bool reserved)
{
    if (!variable || !grow(env)) {
        free(variable);
        env->failed = true;
        return;
    }
    size_t at = find(env, variable, name_length(variable));
    if (at == env->count)
        env->count++;
    else
        free(env->variables[at]);
    env->variables[at] = variable;
    env->variables[env->count] = NULL;
    env->reserved[at] = reserved;
}

static void drop(struct rank_env *env, size_t at)
{
    free(env->variables[at]);
    env->count--;
    env->variables[at] = env->variables[env->count];
    env->reserved[at] = env->reserved[env->count];
    env->variables[env->count] = NULL;
}

const char *rank_env_get(const struct rank_env *env, const char *name)
{
    size_t length = strlen(name), at = find(env, name, length);
    return at < env->count ? env->variables[at] + length + 1 : NULL;
}

void rank_env_release(struct rank_env *env)
{
    for (size_t i = 0; i < env->count; i++)
        free(env->variables[i]);
    free(env->variables);
    free(env->reserved);
    *env = (struct rank_env){0};
}

/* ---- the layers ---- */

struct builder {
    struct rank_env *env;
    struct rank_env_notes *notes; /* NULL: nobody asks */
};

static void note_name(struct mlt_text *names, const char *name)
{
    if (names->length)
        mlt_text_putc(names, ' ');
    mlt_text_puts(names, name);
}

/* A reserved name: the user's value, if any, is replaced. */
static void set(struct builder *b, const char *name, const char *format, ...) MLT_PRINTF(3, 4);
static void set(struct builder *b, const char *name, const char *format, ...)
{
    va_list args;
    cleanup_free char *value = NULL;
    char *variable = NULL;
    va_start(args, format);
    int length = vasprintf(&value, format, args);
    va_end(args);
    if (length < 0) {
        value = NULL;
        b->env->failed = true;
        return;
    }
    const char *old = rank_env_get(b->env, name);
    if (old && strcmp(old, value) != 0 && b->notes)
        note_name(&b->notes->overridden, name);
    if (asprintf(&variable, "%s=%s", name, value) < 0)
        variable = NULL;
    put(b->env, variable, true);
}

static void set_number(struct builder *b, const char *name, uint64_t value)
{
    set(b, name, "%llu", (unsigned long long)value);
}

static void set_default(struct builder *b, const char *name, const char *value)
{
    if (!rank_env_get(b->env, name))
        set(b, name, "%s", value);
}

/* Names that would make a rank believe it runs under somebody else. */
static void remove_foreign(struct builder *b)
{
    static const char *const foreign[] = {"TORCHELASTIC_USE_AGENT_STORE", "SLURM_"};
    for (size_t i = b->env->count; i-- > 0;) {
        char name[64];
        (void)snprintf(name, sizeof name, "%.*s", (int)name_length(b->env->variables[i]),
                       b->env->variables[i]);
        if (strcmp(name, foreign[0]) != 0 && strncmp(name, foreign[1], strlen(foreign[1])) != 0)
            continue;
        if (b->notes)
            note_name(&b->notes->removed, name);
        drop(b->env, i);
    }
}

/* The same, of an MPI library: another process manager's ways to find its server. Parameters
 * (PMIX_MCA_..., OMPI_MCA_...) are the user's. */
static void remove_foreign_mpi(struct builder *b)
{
    static const char *const foreign[] = {"PMI_RANK",
                                          "PMI_SIZE",
                                          "PMI_FD",
                                          "PMI_PORT",
                                          "PMI_ID",
                                          "PMI_SPAWNED",
                                          "PMIX_RANK",
                                          "PMIX_NAMESPACE",
                                          "PMIX_SERVER_URI",
                                          "PMIX_SERVER_URI2",
                                          "PMIX_SERVER_URI21",
                                          "PMIX_SERVER_URI3",
                                          "PMIX_SERVER_URI4",
                                          "PMIX_SERVER_URI41"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(foreign); i++) {
        size_t at = find(b->env, foreign[i], strlen(foreign[i]));
        if (at == b->env->count)
            continue;
        if (b->notes)
            note_name(&b->notes->removed, foreign[i]);
        drop(b->env, at);
    }
}

/* What only the launcher needs. */
static void remove_own(struct builder *b)
{
    static const char *const own[] = {
        "MLTRAIN_CHANNEL",     "MLTRAIN_KEY_FILE",    "MLTRAIN_ERROR_FILE",     "MLTRAIN_SOCKET",
        "MLTRAIN_RESUME_STEP", "MLTRAIN_RESUME_PATH", "MLTRAIN_CHECKPOINT_DIR", REAP_MARKER,
        "MLTRAIN_POD_SOCKET",  REMOTE_WORLD_VARIABLE};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(own); i++) {
        size_t at = find(b->env, own[i], strlen(own[i]));
        if (at < b->env->count)
            drop(b->env, at);
    }
}

static void add_layers(struct builder *b, const struct rank_env_input *in)
{
    for (const char *const *variable = in->base; *variable; variable++)
        if (strchr(*variable, '='))
            put(b->env, strdup(*variable), false);
    for (uint32_t i = 0; i < in->welcome->environment_count; i++)
        if (strchr(in->welcome->environment[i], '='))
            put(b->env, strdup(in->welcome->environment[i]), false);
}

/* Of those that stand for a rank. What MPI's own starter runs has none: it numbers them itself. */
static void add_rank(struct builder *b, const struct rank_env_input *in)
{
    const struct rendezvous_start *start = in->start;
    if (in->rsh.role != RANK_ENV_RSH_NONE)
        return;
    set_number(b, "RANK", start->rank_base + in->local_rank);
    set_number(b, "LOCAL_RANK", in->local_rank);
    set_number(b, "GROUP_RANK", start->node_rank);
    set_number(b, "ROLE_RANK", start->role_rank_base + in->local_rank);
    set_number(b, "ROLE_WORLD_SIZE", start->role_world_size);
    set(b, "ROLE_NAME", "%s", in->role);
}

static void add_place(struct builder *b, const struct rank_env_input *in)
{
    const struct rendezvous_start *start = in->start;
    add_rank(b, in);
    set_number(b, "WORLD_SIZE", start->world_size);
    set_number(b, "LOCAL_WORLD_SIZE", in->welcome->nproc);
    set_number(b, "GROUP_WORLD_SIZE", start->nodes);
    set(b, "MASTER_ADDR", "%s", start->master_address);
    set_number(b, "MASTER_PORT", start->master_port);
}

static void add_mltrain(struct builder *b, const struct rank_env_input *in)
{
    set(b, "MLTRAIN_JOB", "%s", in->job);
    set(b, "MLTRAIN_NAMESPACE", "%s", in->job_namespace);
    set(b, "MLTRAIN_ROLE", "%s", in->role);
    set_number(b, "MLTRAIN_ATTEMPT", in->attempt);
    if (in->welcome->checkpoint_path[0])
        set(b, "MLTRAIN_CHECKPOINT_DIR", "%s", in->welcome->checkpoint_path);
    if (in->start->resume_step != RENDEZVOUS_NO_STEP) {
        set(b, "MLTRAIN_RESUME_STEP", "%lld", (long long)in->start->resume_step);
        set(b, "MLTRAIN_RESUME_PATH", "%s", in->start->resume_path);
    }
    set(b, "MLTRAIN_SOCKET", "%s", in->socket); /* empty: under mltrain, with nobody to talk to */
    set(b, REAP_MARKER, "%s", in->launcher_id);
    if (in->error_file[0])
        set(b, "MLTRAIN_ERROR_FILE", "%s", in->error_file);
    if (in->nccl_socket_ifname && in->nccl_socket_ifname[0])
        set_default(b, "NCCL_SOCKET_IFNAME", in->nccl_socket_ifname);
    set_default(b, "PYTHONUNBUFFERED", "1");
    set_default(b, "PYTHONFAULTHANDLER", "1");
}

/* So that `import mltrain` works in any image. Behind what the user has put there, which wins. */
static void add_python(struct builder *b, const struct rank_env_input *in)
{
    const char *own = rank_env_get(b->env, "PYTHONPATH");
    char *variable = NULL;
    if (!in->python_path[0])
        return;
    /* An empty entry would be the working directory. */
    if (asprintf(&variable, "PYTHONPATH=%s%s%s", own ? own : "", own && *own ? ":" : "",
                 in->python_path) < 0)
        variable = NULL;
    put(b->env, variable, false);
}

/* max(1, CPUs / ranks of this pod). */
static uint64_t threads(const struct rank_env_input *in)
{
    uint64_t milli = in->welcome->cpu_limit_milli > 0 ? (uint64_t)in->welcome->cpu_limit_milli
                                                      : (uint64_t)in->cpus * 1000;
    uint64_t each = milli / 1000 / in->welcome->nproc;
    return each ? each : 1;
}

/* PET_X is torchrun's default for its option --x, so an option in the command wins. A process that
 * is not torchrun is one rank: should its script call torchrun after all, that makes one process,
 * the rank itself, and the world keeps its size. */
static void add_torchrun_defaults(struct builder *b, const struct rank_env_input *in)
{
    const struct rendezvous_start *start = in->start;
    bool pod = in->once_per_pod;
    set_number(b, "PET_NNODES", pod ? start->nodes : start->world_size);
    set_number(b, "PET_NPROC_PER_NODE", pod ? in->welcome->nproc : 1);
    set_number(b, "PET_NODE_RANK", pod ? start->node_rank : start->rank_base + in->local_rank);
    set(b, "PET_MASTER_ADDR", "%s", start->master_address);
    set_number(b, "PET_MASTER_PORT", start->master_port);
    set_number(b, "PET_MAX_RESTARTS", 0); /* the gang is restarted as a whole, by the controller */
    set(b, "PET_RDZV_ID", "%s-%llu", in->job_uid, (unsigned long long)in->attempt);
}

/* Debian 12's PyTorch 1.13 with its Python 3.11: torch/distributed/elastic/multiprocessing/api.py
 * finds the value "0" of --redirects and --tee by iterating over a Flag, which no longer yields its
 * zero, and torchrun dies of the None that it gets. A map that names only a rank that is not there
 * means the same and is read well by every release. Ranks in a map have one digit, so that 9 is
 * free below ten. */
static void spare_torchrun_its_flags(struct builder *b, const struct rank_env_input *in)
{
    if (in->welcome->nproc > 9 || (in->nproc_option && strlen(in->nproc_option) != 1))
        return;
    set_default(b, "PET_REDIRECTS", "9:1");
    set_default(b, "PET_TEE", "9:1");
}

static void add_pytorch(struct builder *b, const struct rank_env_input *in)
{
    set_number(b, "TORCHELASTIC_RESTART_COUNT", in->attempt ? in->attempt - 1 : 0);
    set_number(b, "TORCHELASTIC_MAX_RESTARTS", in->welcome->max_restarts);
    set(b, "TORCHELASTIC_RUN_ID", "%s", in->job_uid);
    if (in->error_file[0])
        set(b, "TORCHELASTIC_ERROR_FILE", "%s", in->error_file);
    add_torchrun_defaults(b, in);
    if (in->once_per_pod) {
        spare_torchrun_its_flags(b, in);
        /* Releases before 2.3 look at their ranks every 5 s only. */
        set_default(b, "PET_MONITOR_INTERVAL", "0.1");
    }
    if (!rank_env_get(b->env, "OMP_NUM_THREADS"))
        set_number(b, "OMP_NUM_THREADS", threads(in));
    set_default(b, "TORCH_NCCL_ASYNC_ERROR_HANDLING", "1");
    set_default(b, "NCCL_ASYNC_ERROR_HANDLING", "1");
}

static bool is_one_machine(const struct rank_env_input *in)
{
    return strncmp(in->pod_ip, "127.", 4) == 0;
}

/* Names that Open MPI's own mpirun sets, for scripts that read them, and what each wire-up needs
 * that is known here. PMIx's own come from its server. */
static void add_mpi(struct builder *b, const struct rank_env_input *in)
{
    const struct rendezvous_start *start = in->start;
    uint32_t rank = start->rank_base + in->local_rank;
    remove_foreign_mpi(b);
    /* Pods of the one-machine cluster have addresses of the loopback range, which MPI leaves out
     * when it looks for a network. */
    if (is_one_machine(in))
        set_default(b, "OMPI_MCA_btl_tcp_if_include", "127.0.0.0/8");
    if (in->rsh.role != RANK_ENV_RSH_NONE)
        return;
    set_number(b, "OMPI_COMM_WORLD_RANK", rank);
    set_number(b, "OMPI_COMM_WORLD_SIZE", start->world_size);
    set_number(b, "OMPI_COMM_WORLD_LOCAL_RANK", in->local_rank);
    set_number(b, "OMPI_COMM_WORLD_LOCAL_SIZE", in->welcome->nproc);
    set_number(b, "OMPI_COMM_WORLD_NODE_RANK", in->local_rank);
    set_number(b, "OMPI_UNIVERSE_SIZE", start->world_size);
    if (in->pmi_fd >= 0) {
        set_number(b, "PMI_RANK", rank);
        set_number(b, "PMI_SIZE", start->world_size);
        set_number(b, "PMI_FD", (uint64_t)in->pmi_fd);
    }
}

/* Files that ranks of a pod share have names of host and local rank, so that two pods that share
 * /dev/shm or /tmp would write into each other's. */
static void add_shared_memory(struct builder *b, const struct rank_env_input *in)
{
    static const char *const shared[] = {"OMPI_MCA_btl_vader_backing_directory",
                                         "OMPI_MCA_btl_sm_backing_directory",
                                         "OMPI_MCA_osc_sm_backing_directory"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(shared); i++)
        set_default(b, shared[i], in->mpi_shared);
    set_default(b, "OMPI_MCA_orte_tmpdir_base", in->mpi_folder);
    /* Open MPI 4 reads large messages out of the sender's memory. Where that is refused, as
     * containerd and Docker do for containers without CAP_SYS_PTRACE, it tries all the same, prints
     * an error for each message, and copies then. */
    if (in->no_process_vm)
        set_default(b, "OMPI_MCA_btl_vader_single_copy_mechanism", "none");
}

/* What a server for Open MPI's ranks says, and what else Open MPI needs where it is not started by
 * its own mpirun. */
static void add_pmix(struct builder *b, const struct rank_env_input *in)
{
    for (const char *text = in->pmix; *text; text += strlen(text) + 1) {
        char name[256];
        size_t length = name_length(text);
        if (length < sizeof name) {
            (void)snprintf(name, sizeof name, "%.*s", (int)length, text);
            set(b, name, "%s", text + length + 1);
        }
    }
    /* Open MPI 4 looks for a server only where it knows who would have started one: of those this
     * one is read by the fewest others, and it binds no rank to CPUs. */
    set_default(b, "JSM_JSRUN_PORT", "1");
    add_shared_memory(b, in);
    /* As mpirun does with more ranks than CPUs, where each would wait for the other to be moved off
     * its CPU. Pods of the one-machine cluster share theirs. */
    if (in->welcome->nproc > in->cpus || is_one_machine(in))
        set_default(b, "OMPI_MCA_mpi_yield_when_idle", "1");
}

/* In a tree of daemons, one that has more to start than this never starts the rest, for its agents
 * stay until their daemons end. mpirun itself goes on when a daemon has called back. */
static void add_rsh_concurrency(struct builder *b, const struct rank_env_input *in)
{
    static const char *const names[] = {"OMPI_MCA_plm_rsh_num_concurrent",
                                        "PRTE_MCA_plm_ssh_num_concurrent"};
    char value[16];
    if (in->start->nodes <= RSH_CONCURRENT_DEFAULT)
        return;
    (void)snprintf(value, sizeof value, "%" PRIu32, in->start->nodes);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(names); i++)
        set_default(b, names[i], value);
}

/* So that Open MPI 4 (orte), 5 (prrte), MPICH and Intel MPI (hydra) find the pods and run their
 * daemons there by our agent. Their own options on the command line win. */
static void add_rsh_command(struct builder *b, const struct rank_env_input *in)
{
    const struct rank_env_rsh *rsh = &in->rsh;
    const struct {
        const char *name, *value;
    } ours[] = {
        {"OMPI_MCA_plm_rsh_agent", rsh->agent},
        {"OMPI_MCA_orte_default_hostfile", rsh->hosts},
        {"PRTE_MCA_plm_ssh_agent", rsh->agent},
        {"PRTE_MCA_prte_default_hostfile", rsh->hosts},
        {"HYDRA_LAUNCHER", "ssh"},
        {"HYDRA_LAUNCHER_EXEC", rsh->agent},
        {"HYDRA_HOST_FILE", rsh->hydra_hosts},
        {"I_MPI_HYDRA_BOOTSTRAP", "ssh"},
        {"I_MPI_HYDRA_BOOTSTRAP_EXEC", rsh->agent},
        {"I_MPI_HYDRA_HOST_FILE", rsh->hydra_hosts},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(ours); i++)
        set(b, ours[i].name, "%s", ours[i].value);
    /* Other pods do not know this pod's name, under which Hydra would be called back; with an
     * interface it gives the address. */
    if (rsh->interface[0]) {
        set_default(b, "HYDRA_IFACE", rsh->interface);
        set_default(b, "I_MPI_HYDRA_IFACE", rsh->interface);
    }
    add_rsh_concurrency(b, in);
    /* A container's root is nobody's administrator. */
    static const char *const root[] = {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
                                       "PRTE_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(root); i++)
        set_default(b, root[i], "1");
    /* Each pod's first rank would be bound to the node's first core. */
    set_default(b, "OMPI_MCA_hwloc_base_binding_policy", "none");
    set_default(b, "PRTE_MCA_hwloc_default_binding_policy", "none");
    if (in->welcome->nproc > in->cpus || is_one_machine(in))
        set_default(b, "OMPI_MCA_mpi_yield_when_idle", "1");
}

static void expand_user_values(struct rank_env *env)
{
    for (size_t i = 0; i < env->count && !env->failed; i++) {
        if (env->reserved[i] || !strstr(env->variables[i], "$("))
            continue;
        char *expanded = rank_env_expand(env, env->variables[i]);
        if (!expanded) {
            env->failed = true;
            return;
        }
        free(env->variables[i]);
        env->variables[i] = expanded;
    }
}

void rank_env_build(const struct rank_env_input *input, struct rank_env *ret,
                    struct rank_env_notes *notes)
{
    *ret = (struct rank_env){0};
    struct builder b = {.env = ret, .notes = notes};
    if (!grow(ret)) {
        ret->failed = true;
        return;
    }
    ret->variables[0] = NULL;
    add_layers(&b, input);
    remove_own(&b);
    remove_foreign(&b);
    add_place(&b, input);
    add_mltrain(&b, input);
    add_python(&b, input);
    if (strcmp(input->welcome->framework, "pytorch") == 0)
        add_pytorch(&b, input);
    if (strcmp(input->welcome->framework, "mpi") == 0)
        add_mpi(&b, input);
    if (input->pmix)
        add_pmix(&b, input);
    if (input->rsh.role == RANK_ENV_RSH_COMMAND)
        add_rsh_command(&b, input);
    /* Not for the command: it would hand its own on to all, and each pod has others. */
    if (input->rsh.role == RANK_ENV_RSH_DAEMON) {
        add_shared_memory(&b, input);
        set(&b, "MLTRAIN_POD_SOCKET", "%s", input->socket); /* sdk/place.h */
    }
    expand_user_values(ret);
}

char *rank_env_expand(const struct rank_env *env, const char *text)
{
    struct mlt_text out = MLT_TEXT_INIT(RANK_ENV_VALUE_MAX);
    while (*text) {
        const char *open = strstr(text, "$("), *close = open ? strchr(open, ')') : NULL;
        if (!close) {
            mlt_text_puts(&out, text);
            break;
        }
        const char *name = open + 2;
        size_t length = (size_t)(close - name), at = find(env, name, length);
        mlt_text_add(&out, text, (size_t)(open - text));
        if (length && at < env->count && env->reserved[at]) {
            mlt_text_puts(&out, env->variables[at] + length + 1);
            text = close + 1;
        } else {
            mlt_text_puts(&out, "$(");
            text = name;
        }
    }
    char *result = mlt_text_take(&out);
    mlt_text_release(&out);
    return result;
}
