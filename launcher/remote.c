/* Commands in other pods: see remote.h. */
#include "launcher/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/number.h"

/* ---- hosts ---- */

#define HOST_PREFIX "pod-"

void remote_host_name(uint32_t node_rank, char to[REMOTE_HOST_MAX])
{
    (void)snprintf(to, REMOTE_HOST_MAX, HOST_PREFIX "%u", node_rank);
}

bool remote_host_parse(const char *name, uint32_t nodes, uint32_t *ret_node_rank)
{
    int64_t number;
    char again[REMOTE_HOST_MAX];
    if (strncmp(name, HOST_PREFIX, strlen(HOST_PREFIX)) != 0 ||
        mlt_parse_integer(name + strlen(HOST_PREFIX), 0, UINT32_MAX, &number, NULL) < 0 ||
        number >= (int64_t)nodes)
        return false;
    remote_host_name((uint32_t)number, again);
    if (strcmp(again, name) != 0) /* "pod-01" */
        return false;
    *ret_node_rank = (uint32_t)number;
    return true;
}

void remote_hosts_write(struct mlt_text *to, enum remote_hosts_form form, uint32_t nodes,
                        uint32_t slots)
{
    for (uint32_t i = 0; i < nodes; i++) {
        char host[REMOTE_HOST_MAX];
        remote_host_name(i, host);
        if (form == REMOTE_HOSTS_OPEN_MPI)
            mlt_text_printf(to, "%s slots=%u\n", host, slots);
        else
            mlt_text_printf(to, "%s:%u\n", host, slots);
    }
}

/* ---- tickets ---- */

int remote_identity(const char *job_uid, uint64_t attempt, char to[REMOTE_IDENTITY_MAX + 1])
{
    char identity[REMOTE_IDENTITY_MAX + 1];
    int length =
        snprintf(identity, sizeof identity, "%s/rsh/%llu", job_uid, (unsigned long long)attempt);
    if (length < 0 || length >= (int)sizeof identity)
        return -ENAMETOOLONG;
    memcpy(to, identity, sizeof identity);
    return 0;
}

int remote_ticket_write(const struct remote_ticket *ticket, char to[REMOTE_TICKET_MAX + 1])
{
    int length = snprintf(to, REMOTE_TICKET_MAX + 1, "%s %u %s ", ticket->address, ticket->port,
                          ticket->identity);
    for (size_t i = 0; i < REMOTE_KEY_SIZE; i++)
        length +=
            snprintf(to + length, REMOTE_TICKET_MAX + 1 - (size_t)length, "%02x", ticket->key[i]);
    return length;
}

static bool take_word(const char **at, char *to, size_t size)
{
    size_t length = strcspn(*at, " ");
    if (length == 0 || length >= size || (*at)[length] != ' ')
        return false;
    memcpy(to, *at, length);
    to[length] = '\0';
    *at += length + 1;
    return true;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool remote_ticket_read(const char *text, struct remote_ticket *ret)
{
    struct remote_ticket t = {0};
    char port[8];
    int64_t number;
    if (!take_word(&text, t.address, sizeof t.address) || !take_word(&text, port, sizeof port) ||
        !take_word(&text, t.identity, sizeof t.identity) ||
        mlt_parse_integer(port, 1, UINT16_MAX, &number, NULL) < 0 ||
        strlen(text) != 2 * (size_t)REMOTE_KEY_SIZE)
        return false;
    t.port = (uint16_t)number;
    for (size_t i = 0; i < REMOTE_KEY_SIZE; i++) {
        int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        t.key[i] = (unsigned char)(high << 4 | low);
    }
    *ret = t;
    return true;
}

/* ---- flow ---- */

size_t remote_window_room(const struct remote_window *w)
{
    size_t room = REMOTE_WINDOW - w->in_flight;
    return room < RENDEZVOUS_REMOTE_DATA_MAX ? room : RENDEZVOUS_REMOTE_DATA_MAX;
}

void remote_window_sent(struct remote_window *w, size_t bytes)
{
    w->in_flight += (uint32_t)bytes;
}

bool remote_window_taken(struct remote_window *w, uint32_t bytes)
{
    if (bytes > w->in_flight)
        return false;
    w->in_flight -= bytes;
    return true;
}

/* ---- the agent's command line ---- */

/* The words of an option: 0 for what is none. */
static size_t option_words(const char *word)
{
    static const char *const with_value[] = {"-l", "-o", "-p", "-i", "-F", "-e", "-c", "-m", "-b"};
    if (word[0] != '-' || !word[1])
        return 0;
    for (size_t i = 0; i < sizeof with_value / sizeof with_value[0]; i++)
        if (strcmp(word, with_value[i]) == 0)
            return 2;
    return 1;
}

static bool begins_with_one(const char *name, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(name, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

bool remote_is_starter(const char *name)
{
    static const char *const words[] = {"mpirun", "mpiexec", "orterun", "prterun", "ompirun"};
    return begins_with_one(name, words, MLT_ARRAY_LENGTH(words));
}

bool remote_is_daemon(const char *name)
{
    static const char *const words[] = {"orted", "prted", "hydra_"};
    return begins_with_one(name, words, MLT_ARRAY_LENGTH(words));
}

#define WORLD_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

void remote_world_write(const char *host, int64_t pid, uint64_t start,
                        char to[REMOTE_WORLD_MAX + 1])
{
    (void)snprintf(to, REMOTE_WORLD_MAX + 1, "%.100s-%lld-%llu", host, (long long)pid,
                   (unsigned long long)start);
    for (char *c = to; *c; c++)
        if (!strchr(WORLD_CHARACTERS, *c))
            *c = '_';
}

bool remote_world_is_valid(const char *world)
{
    size_t length = strlen(world);
    return length > 0 && length <= REMOTE_WORLD_MAX && strspn(world, WORLD_CHARACTERS) == length;
}

int remote_call_parse(char *const *argv, const char *world, struct remote_call *ret,
                      struct mlt_error *err)
{
    size_t words;
    while (*argv && (words = option_words(*argv)) > 0)
        for (; words > 0 && *argv; words--)
            argv++;
    if (!*argv || !argv[0][0])
        return mlt_fail(err, EINVAL, "a host is missing: " REMOTE_PROGRAM " HOST COMMAND...");
    const char *host = *argv++;
    struct mlt_text command = MLT_TEXT_INIT(RENDEZVOUS_REMOTE_COMMAND_MAX + 1);
    bool some = false;
    mlt_text_printf(&command, "export " REMOTE_WORLD_VARIABLE "=%s; ", world);
    size_t start = command.length;
    for (; *argv; argv++) {
        if (command.length > start)
            mlt_text_putc(&command, ' ');
        mlt_text_puts(&command, *argv);
        some |= (*argv)[0] != '\0';
    }
    bool fits = !command.failed && command.length <= RENDEZVOUS_REMOTE_COMMAND_MAX;
    char *text = some && fits ? mlt_text_take(&command) : NULL;
    mlt_text_release(&command);
    if (!some)
        return mlt_fail(err, EINVAL, "a command is missing: nobody can log in to %.80s", host);
    if (!fits)
        return mlt_fail(err, E2BIG, "the command for %.80s is longer than %u bytes", host,
                        RENDEZVOUS_REMOTE_COMMAND_MAX);
    if (!text)
        return mlt_fail(err, ENOMEM, "no memory for the command");
    *ret = (struct remote_call){.host = host, .command = text};
    return 0;
}

int remote_exit_code(int code, int signal)
{
    return signal ? 128 + signal : code;
}
