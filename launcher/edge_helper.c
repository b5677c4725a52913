/* The edge's mltrain-helper: see edge_helper.h. */
#include "launcher/edge_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/session_keep.h"
#include "launcher/shm_clean.h"

#define LINES_MAX 50 /* of one helper's standard error that are told */
#define LINE_MAX_BYTES 400

/* One of an attempt's three connections to its helper. On the heap: libuv has it until it is
 * closed. */
struct link {
    uv_pipe_t pipe;
    struct edge_helper *helper; /* NULL: of a former attempt */
    char bytes[1024];           /* of all but the socket: that reads into the client */
};

struct edge_helper {
    struct edge *edge;
    const struct edge_helper_ops *ops;
    struct helper_client *client;
    uv_timer_t timer;
    struct link *socket, *status, *log;
    pid_t pid;               /* 0: none runs */
    bool pumping, exchanges; /* some have been begun or answered */
    char path[PATH_MAX];     /* of the program */
    char folder[PATH_MAX], shared[PATH_MAX];
    bool kept; /* Open MPI's session folders in it */
    int exec_errno;
    char line[LINE_MAX_BYTES + 1], last_line[LINE_MAX_BYTES + 1];
    size_t line_length;
    unsigned lines, started; /* processes, ever */
};

struct pending_write {
    uv_write_t request;
    char bytes[];
};

static void pump(struct edge_helper *h);

/* ---- connections ---- */

static void link_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void link_free(struct link **link)
{
    if (!*link)
        return;
    (*link)->helper = NULL;
    uv_close((uv_handle_t *)&(*link)->pipe, link_closed);
    *link = NULL;
}

static void link_space(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct link *link = handle->data;
    struct edge_helper *h = link->helper;
    size_t room = sizeof link->bytes;
    char *space = link->bytes;
    (void)suggested;
    if (h && link == h->socket)
        space = (char *)helper_client_space(h->client, &room);
    *ret = uv_buf_init(space, space ? (unsigned)room : 0); /* none: the read fails with ENOBUFS */
}

/* Takes over `fd`. NULL: it is closed. */
static struct link *link_new(struct edge_helper *h, int fd, uv_read_cb readable)
{
    struct link *link = calloc(1, sizeof *link);
    if (!link || uv_pipe_init(&h->edge->loop, &link->pipe, 0) < 0) {
        free(link);
        (void)close(fd);
        return NULL;
    }
    link->pipe.data = link;
    link->helper = h;
    if (uv_pipe_open(&link->pipe, fd) < 0) {
        (void)close(fd);
        link_free(&link);
        return NULL;
    }
    if (uv_read_start((uv_stream_t *)&link->pipe, link_space, readable) < 0)
        link_free(&link);
    return link;
}

/* ---- what comes ---- */

static void say_line(struct edge_helper *h)
{
    h->line[h->line_length] = '\0';
    if (h->line_length && h->lines++ < LINES_MAX) {
        memcpy(h->last_line, h->line, h->line_length + 1);
        edge_log(h->edge, EDGE_HELPER_FILE ": %s", h->line);
    }
    h->line_length = 0;
}

static void log_readable(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct link *link = stream->data;
    struct edge_helper *h = link->helper;
    if (!h)
        return;
    for (ssize_t i = 0; i < n; i++) {
        if (buffer->base[i] == '\n' || h->line_length == LINE_MAX_BYTES)
            say_line(h);
        if (buffer->base[i] != '\n')
            h->line[h->line_length++] = buffer->base[i];
    }
    if (n >= 0)
        return;
    say_line(h);
    link_free(&h->log);
}

static void status_readable(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct link *link = stream->data;
    struct edge_helper *h = link->helper;
    if (!h)
        return;
    struct rank_spawn_failure failure;
    if (n >= (ssize_t)sizeof failure) {
        memcpy(&failure, buffer->base, sizeof failure);
        h->exec_errno = failure.error;
    } else if (n < 0) {
        link_free(&h->status);
    }
}

static void socket_readable(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct link *link = stream->data;
    struct edge_helper *h = link->helper;
    (void)buffer;
    if (!h || n == 0)
        return;
    if (n > 0) {
        helper_client_received(h->client, (size_t)n);
        pump(h);
        return;
    }
    /* How it has ended is known when it is reaped, which a helper that only closes its socket has
     * not deserved to wait for. */
    link_free(&h->socket);
    if (h->pid)
        (void)kill(h->pid, SIGKILL);
}

static void how_it_ended(const struct edge_helper *h, int status, char *words, size_t size)
{
    const char *file = h->path;
    if (h->exec_errno == ENOENT && access(file, X_OK) == 0)
        (void)snprintf(
            words, size,
            "the image has no glibc (is it Alpine, with musl?), which %.400s needs; use an "
            "image with glibc 2.31 or later, or an MPI with PMI-1, as MPICH has it "
            "(spec.mpi.wireup: pmi1)",
            file);
    else if (h->exec_errno)
        (void)snprintf(words, size, "%.400s cannot be started: %s", file, strerror(h->exec_errno));
    else
        (void)snprintf(words, size, "%s %d%s%s",
                       WIFSIGNALED(status) ? "killed by signal" : "exit code",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                       h->last_line[0] ? "; its last line: " : "", h->last_line);
}

/* What the program still had to say is read before its end is told. */
static void drain(struct edge_helper *h, struct link *link)
{
    uv_os_fd_t fd;
    if (!link || uv_fileno((uv_handle_t *)&link->pipe, &fd) < 0)
        return;
    struct rank_spawn_failure failure;
    ssize_t n;
    if (link == h->status) {
        if (read(fd, &failure, sizeof failure) == (ssize_t)sizeof failure)
            h->exec_errno = failure.error;
        return;
    }
    for (n = read(fd, link->bytes, sizeof link->bytes); n > 0 && link == h->log;
         n = read(fd, link->bytes, sizeof link->bytes))
        log_readable((uv_stream_t *)&link->pipe, n, &(uv_buf_t){.base = link->bytes});
}

static void read_socket(struct edge_helper *h)
{
    uv_os_fd_t fd;
    while (h->socket && uv_fileno((uv_handle_t *)&h->socket->pipe, &fd) == 0) {
        size_t room;
        unsigned char *space = helper_client_space(h->client, &room);
        ssize_t n = space ? read(fd, space, room) : 0;
        if (n <= 0)
            break; /* its end is seen by the loop */
        helper_client_received(h->client, (size_t)n);
    }
}

void edge_helper_hear(struct edge_helper *h)
{
    if (!h || !h->socket)
        return;
    read_socket(h);
    pump(h);
}

bool edge_helper_reaped(struct edge_helper *h, pid_t pid, int status)
{
    char words[HELPER_CLIENT_WORDS_MAX];
    if (!h || !h->pid || pid != h->pid)
        return false;
    h->pid = 0;
    drain(h, h->status);
    drain(h, h->log);
    how_it_ended(h, status, words, sizeof words);
    read_socket(h); /* a refusal may still lie there */
    helper_client_closed(h->client, words, h->exec_errno != 0);
    pump(h);
    return true;
}

bool edge_helper_exchanged(struct edge_helper *h, const struct exchange_output *result)
{
    if (!h)
        return false;
    helper_client_exchanged(h->client, result);
    pump(h);
    return true;
}

static void timer_event(uv_timer_t *timer)
{
    struct edge_helper *h = timer->data;
    helper_client_timer(h->client);
    pump(h);
}

/* ---- what goes ---- */

static void written(uv_write_t *request, int status)
{
    (void)status; /* the end of the socket tells the same */
    free(request);
}

static void write_frame(struct edge_helper *h, const struct helper_client_output *output)
{
    struct pending_write *w = h->socket ? malloc(sizeof *w + output->length) : NULL;
    if (!w)
        return;
    memcpy(w->bytes, output->data, output->length);
    uv_buf_t buffer = uv_buf_init(w->bytes, (unsigned)output->length);
    if (uv_write(&w->request, (uv_stream_t *)&h->socket->pipe, &buffer, 1, written) < 0)
        free(w);
}

static void exchange(struct edge_helper *h, const struct helper_client_output *output)
{
    struct mlt_error err = {0};
    struct exchange *x = supervisor_exchange(h->edge->supervisor);
    const struct exchange_request request = {.user = EXCHANGE_USER_PMIX,
                                             .tag = output->tag,
                                             .name = output->name,
                                             .time_ms = output->time_ms};
    int rc = 0;
    if (output->kind == HELPER_CLIENT_ANSWER)
        exchange_answer(x, output->tag, output->outcome, output->data, output->length);
    else if (output->kind == HELPER_CLIENT_GATHER)
        rc = exchange_gather(x, &request, output->data, output->length, output->members,
                             output->members_count, edge_now_ms(h->edge), &err);
    else
        rc = exchange_fetch(x, &request, output->node_rank, EXCHANGE_QUESTION_SEQUENCE,
                            edge_now_ms(h->edge), &err);
    if (rc < 0)
        helper_client_not_begun(h->client, output->tag, err.text);
    h->exchanges = true;
}

static void failed(struct edge_helper *h, const struct helper_client_output *output)
{
    link_free(&h->socket);
    if (h->pid)
        (void)kill(h->pid, SIGKILL);
    h->ops->failed(h->edge, output->final, output->words);
}

static void do_output(struct edge_helper *h, const struct helper_client_output *output)
{
    /* The first answer to a fence, or its part for others: all ranks here have made them. */
    if (!h->kept && (output->kind == HELPER_CLIENT_SEND || output->kind == HELPER_CLIENT_GATHER))
        h->kept = session_keep(h->folder);
    switch (output->kind) {
    case HELPER_CLIENT_SEND:
        write_frame(h, output);
        break;
    case HELPER_CLIENT_TIMER:
        if (output->delay_ms < 0)
            (void)uv_timer_stop(&h->timer);
        else
            (void)uv_timer_start(&h->timer, timer_event, (uint64_t)output->delay_ms, 0);
        break;
    case HELPER_CLIENT_READY:
        edge_log(h->edge, "MPI ranks are served by %s", output->words);
        h->ops->ready(h->edge);
        break;
    case HELPER_CLIENT_FAILED:
        failed(h, output);
        break;
    case HELPER_CLIENT_GATHER:
    case HELPER_CLIENT_FETCH:
    case HELPER_CLIENT_ANSWER:
        exchange(h, output);
        break;
    case HELPER_CLIENT_CONNECTED:
        h->ops->connected(h->edge, output->rank);
        break;
    case HELPER_CLIENT_FINALIZED:
        h->ops->finalized(h->edge, output->rank);
        break;
    case HELPER_CLIENT_ABORTED:
        h->ops->aborted(h->edge, output->rank, output->code, output->words);
        break;
    case HELPER_CLIENT_LOG:
        edge_log(h->edge, "%s", output->words);
        break;
    }
}

/* What is done may lead back here: then the outer call goes on with what came of it. */
static void pump(struct edge_helper *h)
{
    struct helper_client_output output;
    if (h->pumping)
        return;
    h->pumping = true;
    while (helper_client_next(h->client, &output))
        do_output(h, &output);
    h->pumping = false;
    bool flush = h->exchanges;
    h->exchanges = false;
    if (flush)
        edge_flush(h->edge);
}

/* ---- life ---- */

struct edge_helper *edge_helper_new(struct edge *e, const struct edge_helper_ops *ops)
{
    struct edge_helper *h = calloc(1, sizeof *h);
    struct helper_client *client = h ? helper_client_new() : NULL;
    if (!client) {
        free(h);
        return NULL;
    }
    h->edge = e;
    h->ops = ops;
    h->client = client;
    (void)uv_timer_init(&e->loop, &h->timer);
    h->timer.data = h;
    ssize_t length = readlink("/proc/self/exe", h->path, sizeof h->path - 1);
    h->path[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(h->path, '/');
    size_t room = slash ? sizeof h->path - (size_t)(slash + 1 - h->path) : 0;
    if (!slash || snprintf(slash + 1, room, EDGE_HELPER_FILE) >= (int)room)
        (void)snprintf(h->path, sizeof h->path, EDGE_HELPER_FILE);
    return h;
}

const char *edge_helper_environment(const struct edge_helper *h, uint32_t local_rank)
{
    return h ? helper_client_environment(h->client, local_rank) : NULL;
}

void edge_helper_stop(struct edge_helper *h)
{
    if (!h)
        return;
    link_free(&h->socket);
    link_free(&h->status);
    helper_client_end(h->client);
    pump(h);
}

void edge_helper_end(struct edge_helper *h)
{
    if (!h)
        return;
    edge_helper_stop(h);
    link_free(&h->log);
    if (h->shared[0] && strcmp(h->shared, h->folder) != 0)
        shm_clean_folder(h->shared);
    h->shared[0] = '\0';
}

const char *edge_helper_folder(const struct edge_helper *h)
{
    return h ? h->folder : "";
}

const char *edge_helper_shared(const struct edge_helper *h)
{
    return h ? h->shared : "";
}

struct ends {
    int socket[2], status[2], log[2];
};

static int make_ends(struct ends *ends, struct mlt_error *err)
{
    *ends = (struct ends){{-1, -1}, {-1, -1}, {-1, -1}};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends->socket) < 0 ||
        pipe2(ends->status, O_CLOEXEC) < 0 || pipe2(ends->log, O_CLOEXEC) < 0)
        return mlt_fail(err, errno, "make pipes to " EDGE_HELPER_FILE ": %s", strerror(errno));
    return 0;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

static int spawn(struct edge_helper *h, const struct rank_env_input *env, struct ends *ends,
                 struct mlt_error *err)
{
    char number[16];
    char *const command[] = {h->path, number, h->edge->mpi.wireup.file, NULL};
    (void)snprintf(number, sizeof number, "%d", ends->socket[1]);
    const struct rank_spawn what = {.saved = h->edge->saved,
                                    .in = -1,
                                    .command = command,
                                    .env = env,
                                    .out = ends->log[1],
                                    .err = ends->log[1],
                                    .status = ends->status[1],
                                    .keep = ends->socket[1]};
    if (access(h->path, F_OK) < 0)
        return mlt_fail(err, ENOENT,
                        "%s is missing: it has to lie beside mltrain-launcher, and "
                        "`mltrain-launcher copy` takes it along",
                        h->path);
    int rc = rank_spawn(&what, &h->pid, err);
    if (rc < 0)
        return rc;
    reap_remember(&h->edge->reap, h->pid);
    h->socket = link_new(h, ends->socket[0], socket_readable);
    h->status = link_new(h, ends->status[0], status_readable);
    h->log = link_new(h, ends->log[0], log_readable);
    ends->socket[0] = ends->status[0] = ends->log[0] = -1;
    return h->socket && h->status && h->log
               ? 0
               : mlt_fail(err, ENOMEM, "no memory for the pipes to " EDGE_HELPER_FILE);
}

static void tell_client(struct edge_helper *h, const char *folder)
{
    struct edge *e = h->edge;
    const struct rendezvous_start *start = supervisor_start(e->supervisor);
    helper_client_begin(
        h->client, &(struct helper_client_begin){.job = e->config->job,
                                                 .job_uid = e->config->job_uid,
                                                 .attempt = supervisor_attempt(e->supervisor),
                                                 .folder = folder,
                                                 .node_rank = start->node_rank,
                                                 .nodes = start->nodes,
                                                 .nproc = supervisor_welcome(e->supervisor)->nproc,
                                                 .world_size = start->world_size,
                                                 .rank_base = start->rank_base});
}

/* A new process, its pipes and its folder. */
static int start_process(struct edge_helper *h, const struct rank_env_input *env,
                         struct mlt_error *err)
{
    struct ends ends;
    char name[32];
    edge_helper_end(h);
    /* Its attempt is not known yet, and a launcher before this one may have left folders. */
    (void)snprintf(name, sizeof name, "pmix-%.8s-%u", h->edge->launcher_id, ++h->started);
    h->pid = 0;
    h->exec_errno = 0;
    h->lines = 0;
    h->line_length = 0;
    h->last_line[0] = '\0';
    int rc = make_ends(&ends, err);
    if (rc == 0)
        rc = edge_mpi_folder(h->edge, name, h->folder, sizeof h->folder, err);
    h->kept = false;
    if (rc == 0)
        rc = spawn(h, env, &ends, err);
    for (int i = 0; i < 2; i++) {
        close_fd(ends.socket[i]);
        close_fd(ends.status[i]);
        close_fd(ends.log[i]);
    }
    if (rc < 0 && h->pid)
        (void)kill(h->pid, SIGKILL);
    return rc;
}

void edge_helper_prepare(struct edge_helper *h, const struct rank_env_input *env,
                         uint32_t node_rank)
{
    struct mlt_error err = {0};
    if (start_process(h, env, &err) < 0)
        return;
    helper_client_prepare(h->client, node_rank, h->folder);
    pump(h);
}

void edge_helper_start(struct edge_helper *h, const struct rank_env_input *env)
{
    struct mlt_error err = {0};
    int rc = 0;
    if (!h->pid || !h->socket || !helper_client_prepared(h->client, env->start->node_rank))
        rc = start_process(h, env, &err);
    if (rc < 0) {
        h->ops->failed(h->edge, rc == -ENOENT, err.text);
        return;
    }
    edge_mpi_shared(h->edge, h->folder, h->shared);
    tell_client(h, h->folder);
    pump(h);
}
