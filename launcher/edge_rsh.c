/* An MPI job whose command starts its ranks itself (wire-up rsh, launcher/remote.h). The command
 * runs once, in the first pod. In each other pod a process that only waits keeps the pod's place,
 * so that a pod has a process and an end as ever; it is ended when the command has ended.
 *
 * Two values of the exchange tell the pods of each other: "rsh/N" where pod N takes commands, and
 * "rsh/code" what the job's command has ended with. */
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/edge_internal.h"
#include "launcher/edge_remote.h"
#include "launcher/remote.h"
#include "launcher/shm_clean.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"

#define CODE_NAME "rsh/code"
#define FIND_MS 60000 /* until a pod that was asked for must have said where it is */
/* Tags of what is open in the exchange; of a program's question: its connection's number, shifted.
 */
#define TAG_CODE 0
#define TAG_PLACE 1
#define TAG_QUESTION 2
#define TAG_BITS 2

static bool runs_command(const struct edge *e)
{
    return supervisor_start(e->supervisor)->node_rank == 0;
}

/* ---- the files of an attempt ---- */

static int write_hosts(const struct edge *e, enum remote_hosts_form form, const char *path,
                       struct mlt_error *err)
{
    cleanup_text struct mlt_text text = MLT_TEXT_INIT(REMOTE_HOSTS_MAX);
    remote_hosts_write(&text, form, supervisor_start(e->supervisor)->nodes,
                       supervisor_welcome(e->supervisor)->nproc);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || text.failed || write(fd, text.data, text.length) != (ssize_t)text.length)
        return mlt_fail(err, fd < 0 ? errno : EIO, "write %.200s: %s", path,
                        fd < 0 ? strerror(errno) : "not all of it could be written");
    return 0;
}

/* What `folder` and a file's name make together. */
static int in_folder(const char *folder, const char *name, char to[PATH_MAX], struct mlt_error *err)
{
    if (snprintf(to, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return mlt_fail(err, ENAMETOOLONG, "MLTRAIN_DIR is too long");
    return 0;
}

static int make_files(struct edge *e, struct mlt_error *err)
{
    struct edge_rsh *rsh = &e->mpi.rsh;
    int rc = edge_mpi_folder(e, "rsh", rsh->folder, sizeof rsh->folder, err);
    if (rc == 0)
        rc = in_folder(rsh->folder, REMOTE_PROGRAM, rsh->agent, err);
    if (rc == 0)
        rc = in_folder(rsh->folder, "hosts", rsh->hosts, err);
    if (rc == 0)
        rc = in_folder(rsh->folder, "hosts.hydra", rsh->hydra_hosts, err);
    if (rc < 0)
        return rc;
    edge_mpi_shared(e, rsh->folder, rsh->shared);
    ssize_t length = readlink("/proc/self/exe", rsh->own_path, sizeof rsh->own_path - 1);
    if (length < 0)
        return mlt_fail(err, errno, "read /proc/self/exe: %s", strerror(errno));
    rsh->own_path[length] = '\0';
    if (symlink(rsh->own_path, rsh->agent) < 0 && errno != EEXIST)
        return mlt_fail(err, errno, "make %.200s: %s", rsh->agent, strerror(errno));
    rc = write_hosts(e, REMOTE_HOSTS_OPEN_MPI, rsh->hosts, err);
    return rc < 0 ? rc : write_hosts(e, REMOTE_HOSTS_HYDRA, rsh->hydra_hosts, err);
}

/* The one interface that has the pod's address; "" when there is none or several. Of the loopback
 * range only one address is told. */
static void find_interface(const char *pod_ip, char to[NCCL_ENV_NAME_MAX + 1])
{
    struct ifaddrs *all = NULL;
    struct in_addr ip;
    to[0] = '\0';
    if (inet_pton(AF_INET, pod_ip, &ip) != 1 || getifaddrs(&all) < 0)
        return;
    bool loops = ntohl(ip.s_addr) >> 24 == 127;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        struct sockaddr_in address;
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
            strlen(i->ifa_name) > NCCL_ENV_NAME_MAX)
            continue;
        memcpy(&address, i->ifa_addr, sizeof address);
        if (address.sin_addr.s_addr == ip.s_addr || (loops && i->ifa_flags & IFF_LOOPBACK))
            (void)snprintf(to, NCCL_ENV_NAME_MAX + 1, "%s", i->ifa_name);
    }
    freeifaddrs(all);
}

/* ---- the exchange ---- */

static struct exchange_request request_of(uint64_t tag, const char *name, int64_t time_ms)
{
    return (struct exchange_request){
        .user = EXCHANGE_USER_LAUNCHER, .tag = tag, .name = name, .time_ms = time_ms};
}

static void put(struct edge *e, uint64_t tag, const char *name, const char *value)
{
    struct mlt_error err = {0};
    struct exchange_request request = request_of(tag, name, 0);
    if (exchange_put(supervisor_exchange(e->supervisor), &request, value, strlen(value),
                     edge_now_ms(e), &err) < 0)
        edge_log(e, "other pods cannot be told: %s", err.text);
}

/* "ADDRESS PORT" under the pod's name. */
static void tell_place(struct edge *e)
{
    char name[32], value[REMOTE_ADDRESS_MAX + 16];
    (void)snprintf(name, sizeof name, "rsh/%u", supervisor_start(e->supervisor)->node_rank);
    (void)snprintf(value, sizeof value, "%s %u", e->config->pod_ip,
                   edge_remote_port(e->mpi.rsh.remote));
    put(e, TAG_PLACE, name, value);
}

static void wait_for_code(struct edge *e)
{
    struct mlt_error err = {0};
    struct exchange_request request = request_of(TAG_CODE, CODE_NAME, EXCHANGE_TIME_MS_MAX);
    if (exchange_get(supervisor_exchange(e->supervisor), &request, edge_now_ms(e), &err) < 0)
        edge_log(e, "the end of the job's command will not be heard of: %s", err.text);
}

static void take_code(struct edge *e, const struct exchange_output *out)
{
    char text[16];
    int64_t code;
    if (out->outcome == EXCHANGE_TIMED_OUT) {
        wait_for_code(e);
        return;
    }
    if (out->outcome != EXCHANGE_OK || out->length >= sizeof text)
        return; /* the attempt has ended, or STOP ends it */
    memcpy(text, out->data, out->length);
    text[out->length] = '\0';
    if (mlt_parse_integer(text, 0, 255, &code, NULL) < 0)
        return;
    e->mpi.rsh.is_over = true;
    e->mpi.rsh.code = (int32_t)code;
    edge_world_over(e);
    edge_rsh_check(e);
}

/* ---- where a pod is ---- */

static void reply_failed(struct edge *e, uint64_t connection, int error, const char *words)
{
    char line[SDK_ANSWER_MAX];
    (void)snprintf(line, sizeof line, "failed %d %.200s\n", error, words);
    sdk_socket_reply(e->sdk, connection, line, NULL);
}

/* `place`: "ADDRESS PORT". */
static void reply_ticket(struct edge *e, uint64_t connection, const char *place, size_t length)
{
    struct remote_ticket ticket = {0};
    char text[REMOTE_ADDRESS_MAX + 16], line[SDK_ANSWER_MAX], ticket_text[REMOTE_TICKET_MAX + 1];
    int64_t port = 0;
    (void)snprintf(text, sizeof text, "%.*s", (int)length, place);
    char *space = strchr(text, ' ');
    if (!space || space - text > REMOTE_ADDRESS_MAX ||
        mlt_parse_integer(space + 1, 1, UINT16_MAX, &port, NULL) < 0) {
        reply_failed(e, connection, EPROTO, "that pod has said no address");
        return;
    }
    *space = '\0';
    memcpy(ticket.address, text, strlen(text) + 1);
    ticket.port = (uint16_t)port;
    (void)snprintf(ticket.identity, sizeof ticket.identity, "%s", e->mpi.rsh.identity);
    _Static_assert(REMOTE_KEY_SIZE == CHANNEL_KEY_SIZE, "a command's key is one of the channel's");
    channel_derive_key(e->config->key, ticket.identity, ticket.key);
    int bytes = remote_ticket_write(&ticket, ticket_text);
    struct sdk_bytes *body = sdk_bytes_new((size_t)bytes);
    if (body) {
        memcpy(body->data, ticket_text, (size_t)bytes);
        (void)snprintf(line, sizeof line, "data 0 %d\n", bytes);
        sdk_socket_reply(e->sdk, connection, line, body);
        sdk_bytes_unref(body);
    } else {
        reply_failed(e, connection, ENOMEM, "the launcher has no memory");
    }
    explicit_bzero(ticket_text, sizeof ticket_text);
    explicit_bzero(&ticket, sizeof ticket);
}

void edge_rsh_ask(struct edge *e, uint64_t connection, const char *host)
{
    uint32_t node;
    char words[160], name[32];
    struct mlt_error err = {0};
    if (!e->mpi.rsh.is_on) {
        reply_failed(e, connection, ENOTSUP, "this job's MPI wire-up is not rsh");
        return;
    }
    uint32_t nodes = supervisor_start(e->supervisor)->nodes;
    if (!remote_host_parse(host, nodes, &node)) {
        (void)snprintf(words, sizeof words, "`%.80s` is no host of this job: pod-0 to pod-%u are",
                       host, nodes - 1);
        reply_failed(e, connection, EHOSTUNREACH, words);
        return;
    }
    (void)snprintf(name, sizeof name, "rsh/%u", node);
    struct exchange_request request =
        request_of(connection << TAG_BITS | TAG_QUESTION, name, FIND_MS);
    if (exchange_get(supervisor_exchange(e->supervisor), &request, edge_now_ms(e), &err) < 0)
        reply_failed(e, connection, EAGAIN, err.text);
    edge_flush(e);
}

void edge_rsh_gone(struct edge *e, uint64_t connection)
{
    exchange_cancel(supervisor_exchange(e->supervisor), EXCHANGE_USER_LAUNCHER,
                    connection << TAG_BITS | TAG_QUESTION);
}

void edge_rsh_exchanged(struct edge *e, const struct exchange_output *out)
{
    if (out->kind != EXCHANGE_DO_DONE)
        return;
    if (out->tag == TAG_CODE) {
        if (!runs_command(e))
            take_code(e, out);
    } else if ((out->tag & ((1u << TAG_BITS) - 1)) != TAG_QUESTION) {
        if (out->outcome != EXCHANGE_OK && out->outcome != EXCHANGE_ENDED)
            edge_log(e, "other pods cannot be told where this one is: %s", out->words);
    } else if (out->outcome == EXCHANGE_OK) {
        reply_ticket(e, out->tag >> TAG_BITS, (const char *)out->data, out->length);
    } else {
        char words[160];
        (void)snprintf(words, sizeof words, "that pod cannot be reached: %.120s", out->words);
        reply_failed(e, out->tag >> TAG_BITS, EHOSTUNREACH, words);
    }
}

/* ---- the process that keeps a pod's place ---- */

char *const *edge_rsh_keeper(const struct edge *e)
{
    return e->mpi.rsh.is_on && !runs_command(e) ? e->mpi.rsh.keeper : NULL;
}

/* While its ranks may still save, it stays: it is their launcher's sign that something runs here.
 */
bool edge_rsh_spares(struct edge *e, int signal)
{
    if (!edge_rsh_keeper(e) || signal == SIGKILL)
        return false;
    edge_rsh_check(e);
    return true;
}

void edge_rsh_check(struct edge *e)
{
    struct edge_rsh *rsh = &e->mpi.rsh;
    if (!edge_rsh_keeper(e) || e->ranks_count == 0 || !e->ranks[0].running)
        return;
    bool stopping = supervisor_state(e->supervisor) == SUPERVISOR_STOPPING;
    /* A failure ends the attempt by the controller's STOP, which knows the culprit. */
    if ((rsh->is_over && (rsh->code == 0 || stopping)) ||
        (stopping && edge_remote_running(rsh->remote) == 0))
        (void)kill(e->ranks[0].pid, SIGKILL);
}

bool edge_rsh_judge(struct edge *e, struct mpi_rank_end *end)
{
    struct edge_rsh *rsh = &e->mpi.rsh;
    if (!rsh->is_on)
        return false;
    (void)edge_world_judge(e, end);
    if (!runs_command(e)) {
        if (rsh->is_over && rsh->code == 0 && end->signal == SIGKILL)
            end->signal = end->code = 0;
        return true;
    }
    char value[16];
    rsh->is_over = true;
    rsh->code = remote_exit_code(end->code, end->signal);
    (void)snprintf(value, sizeof value, "%d", rsh->code);
    put(e, TAG_CODE, CODE_NAME, value);
    edge_flush(e);
    return true;
}

/* ---- an attempt ---- */

struct rank_env_input edge_rsh_environment(const struct edge *e, enum rank_env_rsh_role role)
{
    const struct edge_rsh *rsh = &e->mpi.rsh;
    struct rank_env_input input = edge_env_input(e, 0, -1);
    input.mpi_folder = rsh->folder;
    input.mpi_shared = rsh->shared;
    input.rsh = (struct rank_env_rsh){.role = role,
                                      .agent = rsh->agent,
                                      .hosts = rsh->hosts,
                                      .hydra_hosts = rsh->hydra_hosts,
                                      .interface = rsh->interface};
    return input;
}

void edge_rsh_begin(struct edge *e)
{
    static char word_rsh[] = "rsh", word_keep[] = "--keep";
    struct edge_rsh *rsh = &e->mpi.rsh;
    struct mlt_error err = {0};
    *rsh = (struct edge_rsh){.is_on = true};
    rsh->keeper[0] = rsh->own_path;
    rsh->keeper[1] = word_rsh;
    rsh->keeper[2] = word_keep;
    find_interface(e->config->pod_ip, rsh->interface);
    int rc = make_files(e, &err);
    if (rc == 0 &&
        remote_identity(e->config->job_uid, supervisor_attempt(e->supervisor), rsh->identity) < 0)
        rc = mlt_fail(&err, ENAMETOOLONG, "the job's UID is too long");
    if (rc == 0)
        rsh->remote = edge_remote_new(e, rsh->identity, &err);
    if (rsh->remote)
        tell_place(e);
    else
        edge_log(e, "no commands for MPI can be started in this pod: %s", err.text);
    if (!runs_command(e))
        wait_for_code(e);
    edge_world_begin(e);
}

void edge_rsh_stop(struct edge *e)
{
    edge_remote_stop(e->mpi.rsh.remote);
}

void edge_rsh_end(struct edge *e)
{
    struct edge_rsh *rsh = &e->mpi.rsh;
    edge_world_end(e);
    edge_remote_free(rsh->remote);
    rsh->remote = NULL;
    if (rsh->is_on && rsh->shared[0] && strcmp(rsh->shared, rsh->folder) != 0)
        shm_clean_folder(rsh->shared);
    rsh->is_on = false;
}
