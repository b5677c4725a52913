/* The layout of every message: see message_schema.h. Also the names of causes and the digest of a
 * START. */
#include "rendezvous/message_schema.h"

#include <stddef.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "rendezvous/wire.h"

#define STEP_MIN RENDEZVOUS_NO_STEP
#define NUMBER(s, kind_, field, min_, max_)                                                        \
    {                                                                                              \
        .name = #field, .kind = FIELD_##kind_, .offset = offsetof(struct s, field), .min = (min_), \
        .max = (max_)                                                                              \
    }
#define APPENDED(s, kind_, field, min_, max_)                                                      \
    {                                                                                              \
        .name = #field, .kind = FIELD_##kind_, .offset = offsetof(struct s, field), .min = (min_), \
        .max = (max_), .appended = true                                                            \
    }
#define U64(s, field) NUMBER(s, U64, field, 0, 0)
#define STEP(s, field) NUMBER(s, I64, field, STEP_MIN, INT64_MAX)
#define BOOLEAN(s, field) NUMBER(s, BOOL, field, 0, 1)
#define STRING(s, field, max_) NUMBER(s, STRING, field, 0, max_)
#define WORDS(s, field) NUMBER(s, STRING_HEAD, field, 0, RENDEZVOUS_REASON_MAX)
#define LIST(s, field, max_, element_)                                                          \
    {                                                                                           \
        .name = #field, .kind = FIELD_LIST, .offset = offsetof(struct s, field), .max = (max_), \
        .count_offset = offsetof(struct s, field##_count), .element = &(element_)               \
    }
#define BYTES(s, field, max_)                                                                    \
    {                                                                                            \
        .name = #field, .kind = FIELD_BYTES, .offset = offsetof(struct s, field), .max = (max_), \
        .count_offset = offsetof(struct s, field##_length)                                       \
    }
#define EXCHANGE_NAME(s) STRING(s, name, RENDEZVOUS_EXCHANGE_NAME_MAX)
#define OUTCOME(s) NUMBER(s, U8, outcome, OUTCOME_FIRST, OUTCOME_LAST)
#define SCHEMA(s, fields_)                                                              \
    {                                                                                   \
        .fields = fields_, .count = MLT_ARRAY_LENGTH(fields_), .size = sizeof(struct s) \
    }

#define CAUSE_FIRST RENDEZVOUS_CAUSE_EXITED
#define CAUSE_LAST RENDEZVOUS_CAUSE_FENCED
#define STATE_FIRST RENDEZVOUS_STATE_IDLE
#define STATE_LAST RENDEZVOUS_STATE_STOPPED
#define OUTCOME_FIRST RENDEZVOUS_OUTCOME_OK
#define OUTCOME_LAST RENDEZVOUS_OUTCOME_REFUSED
#define SIGNAL_MAX 127
#define LOCAL_RANK_MAX (RENDEZVOUS_RANKS_PER_MEMBER_MAX - 1)

static const struct message_field exit_fields[] = {
    NUMBER(rendezvous_exit, U32, rank, 0, UINT32_MAX),
    NUMBER(rendezvous_exit, U32, local_rank, 0, LOCAL_RANK_MAX),
    NUMBER(rendezvous_exit, I32, code, INT32_MIN, INT32_MAX),
    NUMBER(rendezvous_exit, I32, signal, 0, SIGNAL_MAX),
    NUMBER(rendezvous_exit, U32, cause, CAUSE_FIRST, CAUSE_LAST),
    U64(rendezvous_exit, after_ms),
    NUMBER(rendezvous_exit, STRING_TAIL, tail, 0, RENDEZVOUS_TAIL_MAX),
};
static const struct message_schema exit_schema = SCHEMA(rendezvous_exit, exit_fields);

static const struct message_field checkpoint_fields[] = {
    NUMBER(rendezvous_checkpoint, I64, step, 0, INT64_MAX),
    STRING(rendezvous_checkpoint, path, RENDEZVOUS_PATH_MAX),
    NUMBER(rendezvous_checkpoint, I64, wall_ms, INT64_MIN, INT64_MAX),
};
static const struct message_schema checkpoint_schema =
    SCHEMA(rendezvous_checkpoint, checkpoint_fields);

/* Elements that are not structs: the array's element itself, at offset 0. */
static const struct message_field pid_field[] = {
    {.name = "pid", .kind = FIELD_U32, .max = INT32_MAX}};
static const struct message_schema pid_schema = {
    .fields = pid_field, .count = 1, .size = sizeof(uint32_t)};
static const struct message_field variable_field[] = {
    {.name = "variable", .kind = FIELD_STRING, .max = RENDEZVOUS_VARIABLE_MAX}};
static const struct message_schema variable_schema = {
    .fields = variable_field, .count = 1, .size = sizeof(const char *)};

static const struct message_field hello_fields[] = {
    U64(rendezvous_hello, lease_transitions),
    STRING(rendezvous_hello, pod_uid, RENDEZVOUS_NAME_MAX),
    STRING(rendezvous_hello, role, RENDEZVOUS_NAME_MAX),
    STRING(rendezvous_hello, node, RENDEZVOUS_NAME_MAX),
    STRING(rendezvous_hello, address, RENDEZVOUS_NAME_MAX),
    NUMBER(rendezvous_hello, U32, slot, 0, UINT32_MAX),
    STRING(rendezvous_hello, launcher_version, RENDEZVOUS_NAME_MAX),
    NUMBER(rendezvous_hello, U32, state, STATE_FIRST, STATE_LAST),
    U64(rendezvous_hello, start_digest),
    U64(rendezvous_hello, start_attempt),
    BOOLEAN(rendezvous_hello, terminating),
    NUMBER(rendezvous_hello, U16, port, 0, UINT16_MAX),
    NUMBER(rendezvous_hello, U32, running, 0, RENDEZVOUS_RANKS_PER_MEMBER_MAX),
    LIST(rendezvous_hello, exits, RENDEZVOUS_RANKS_PER_MEMBER_MAX, exit_schema),
    LIST(rendezvous_hello, checkpoints, RENDEZVOUS_CHECKPOINTS_MAX, checkpoint_schema),
    STEP(rendezvous_hello, step),
    APPENDED(rendezvous_hello, BOOL, takes_orders, 0, 1),
    APPENDED(rendezvous_hello, U64, since_start_ms, 0, 0),
    APPENDED(rendezvous_hello, BOOL, takes_exchange, 0, 1),
};

static const struct message_field ready_fields[] = {
    NUMBER(rendezvous_ready, U16, port, 0, UINT16_MAX),
};

static const struct message_field started_fields[] = {
    LIST(rendezvous_started, pids, RENDEZVOUS_RANKS_PER_MEMBER_MAX, pid_schema),
    U64(rendezvous_started, start_to_exec_us),
};

static const struct message_field stopped_fields[] = {
    BOOLEAN(rendezvous_stopped, unkillable),
    LIST(rendezvous_stopped, exits, RENDEZVOUS_RANKS_PER_MEMBER_MAX, exit_schema),
    APPENDED(rendezvous_stopped, U64, since_start_ms, 0, 0),
};

static const struct message_field terminating_fields[] = {
    NUMBER(rendezvous_terminating, U32, signal, 0, SIGNAL_MAX),
};

static const struct message_field progress_fields[] = {
    STEP(rendezvous_progress, step),
    NUMBER(rendezvous_progress, I64, total_steps, 0, INT64_MAX),
    U64(rendezvous_progress, steps_per_kilosecond),
};

static const struct message_field checkpoint_report_fields[] = {
    LIST(rendezvous_checkpoint_report, checkpoints, RENDEZVOUS_CHECKPOINTS_MAX, checkpoint_schema),
    STEP(rendezvous_checkpoint_report, torn_step),
};

static const struct message_field ping_fields[] = {
    U64(rendezvous_ping, nonce),
};

static const struct message_field pong_fields[] = {
    U64(rendezvous_pong, nonce),
    APPENDED(rendezvous_pong, U64, since_start_ms, 0, 0),
};

static const struct message_field notice_fields[] = {
    NUMBER(rendezvous_notice, U8, severity, RENDEZVOUS_SEVERITY_NORMAL,
           RENDEZVOUS_SEVERITY_WARNING),
    STRING(rendezvous_notice, reason, RENDEZVOUS_NOTICE_MAX),
    WORDS(rendezvous_notice, words),
};

static const struct message_field welcome_fields[] = {
    U64(rendezvous_welcome, lease_transitions),
    U64(rendezvous_welcome, next_attempt),
    STRING(rendezvous_welcome, framework, RENDEZVOUS_NAME_MAX),
    NUMBER(rendezvous_welcome, U32, nproc, 1, RENDEZVOUS_RANKS_PER_MEMBER_MAX),
    NUMBER(rendezvous_welcome, U32, max_restarts, 0, UINT32_MAX),
    NUMBER(rendezvous_welcome, I64, cpu_limit_milli, 0, INT64_MAX),
    STRING(rendezvous_welcome, checkpoint_path, RENDEZVOUS_PATH_MAX),
    STRING(rendezvous_welcome, checkpoint_format, RENDEZVOUS_NAME_MAX),
    STRING(rendezvous_welcome, checkpoint_pattern, RENDEZVOUS_PATTERN_MAX),
    BOOLEAN(rendezvous_welcome, watch_checkpoints),
    STRING(rendezvous_welcome, progress_pattern, RENDEZVOUS_PATTERN_MAX),
    NUMBER(rendezvous_welcome, I64, total_steps, 0, INT64_MAX),
    LIST(rendezvous_welcome, environment, RENDEZVOUS_ENVIRONMENT_MAX, variable_schema),
    APPENDED(rendezvous_welcome, U32, stop_signal, 0, SIGNAL_MAX),
    APPENDED(rendezvous_welcome, U32, stop_grace_ms, 0, UINT32_MAX),
    APPENDED(rendezvous_welcome, BOOL, takes_notices, 0, 1),
    APPENDED(rendezvous_welcome, BOOL, checkpoint_repair, 0, 1),
    APPENDED(rendezvous_welcome, U32, fence_ms, 0, UINT32_MAX),
    APPENDED(rendezvous_welcome, BOOL, orders_saves, 0, 1),
    APPENDED(rendezvous_welcome, U32, wireup, 0, RENDEZVOUS_WIREUP_RSH),
    APPENDED(rendezvous_welcome, BOOL, takes_exchange, 0, 1),
};

static const struct message_field start_fields[] = {
    U64(rendezvous_start, lease_transitions),
    NUMBER(rendezvous_start, U32, node_rank, 0, UINT32_MAX),
    NUMBER(rendezvous_start, U32, nodes, 1, UINT32_MAX),
    NUMBER(rendezvous_start, U32, rank_base, 0, UINT32_MAX),
    NUMBER(rendezvous_start, U32, world_size, 1, UINT32_MAX),
    NUMBER(rendezvous_start, U32, role_rank_base, 0, UINT32_MAX),
    NUMBER(rendezvous_start, U32, role_world_size, 1, UINT32_MAX),
    STRING(rendezvous_start, master_address, RENDEZVOUS_NAME_MAX),
    NUMBER(rendezvous_start, U16, master_port, 0, UINT16_MAX),
    STEP(rendezvous_start, resume_step),
    STRING(rendezvous_start, resume_path, RENDEZVOUS_PATH_MAX),
};

static const struct message_field stop_fields[] = {
    WORDS(rendezvous_stop, reason),
    NUMBER(rendezvous_stop, U32, grace_ms, 0, UINT32_MAX),
    NUMBER(rendezvous_stop, U32, signal, 0, SIGNAL_MAX),
};

static const struct message_field checkpoint_now_fields[] = {
    NUMBER(rendezvous_checkpoint_now, I64, step, 0, INT64_MAX),
    BOOLEAN(rendezvous_checkpoint_now, confirmed),
    NUMBER(rendezvous_checkpoint_now, U32, deadline_ms, 0, UINT32_MAX),
    NUMBER(rendezvous_checkpoint_now, U32, signal, 0, SIGNAL_MAX),
    WORDS(rendezvous_checkpoint_now, reason),
};

static const struct message_field save_step_fields[] = {
    NUMBER(rendezvous_save_step, I64, proposed, 0, INT64_MAX),
    BOOLEAN(rendezvous_save_step, passed),
    STEP(rendezvous_save_step, reached),
    NUMBER(rendezvous_save_step, U32, asking, 0, RENDEZVOUS_RANKS_PER_MEMBER_MAX),
    NUMBER(rendezvous_save_step, U32, caught, 0, RENDEZVOUS_RANKS_PER_MEMBER_MAX),
};

static const struct message_field evidence_fields[] = {
    NUMBER(rendezvous_evidence, U32, local_rank, 0, LOCAL_RANK_MAX),
    NUMBER(rendezvous_evidence, U8, state, 0, UINT8_MAX),
    STRING(rendezvous_evidence, wait_channel, RENDEZVOUS_WAIT_CHANNEL_MAX),
    U64(rendezvous_evidence, cpu_ms),
    NUMBER(rendezvous_evidence, U32, busy_permille, 0, UINT32_MAX),
    STEP(rendezvous_evidence, step),
    U64(rendezvous_evidence, silent_ms),
};
static const struct message_schema evidence_schema = SCHEMA(rendezvous_evidence, evidence_fields);

static const struct message_field evidence_report_fields[] = {
    LIST(rendezvous_evidence_report, ranks, RENDEZVOUS_RANKS_PER_MEMBER_MAX, evidence_schema),
};

/* EXAMINE says nothing but its type. */
static const struct message_field examine_fields[1];

static const struct message_field exit_order_fields[] = {
    NUMBER(rendezvous_exit_order, I32, code, 0, 255),
    WORDS(rendezvous_exit_order, reason),
};

static const struct message_field refused_fields[] = {
    WORDS(rendezvous_refused, reason),
    BOOLEAN(rendezvous_refused, final),
    APPENDED(rendezvous_refused, BOOL, gone, 0, 1),
};

static const struct message_field put_fields[] = {
    U64(rendezvous_put, token),
    EXCHANGE_NAME(rendezvous_put),
    BYTES(rendezvous_put, data, RENDEZVOUS_CONTRIBUTION_MAX),
};

static const struct message_field get_fields[] = {
    U64(rendezvous_get, token),
    EXCHANGE_NAME(rendezvous_get),
    NUMBER(rendezvous_get, U8, mode, RENDEZVOUS_GET_WAIT, RENDEZVOUS_GET_GIVE_UP),
    BOOLEAN(rendezvous_get, of_member),
    NUMBER(rendezvous_get, U32, node_rank, 0, UINT32_MAX),
    U64(rendezvous_get, sequence),
};

static const struct message_field value_fields[] = {
    U64(rendezvous_value, token),
    OUTCOME(rendezvous_value),
    WORDS(rendezvous_value, words),
    BYTES(rendezvous_value, data, RENDEZVOUS_VALUE_MAX),
};

static const struct message_field gather_fields[] = {
    EXCHANGE_NAME(rendezvous_gather),
    U64(rendezvous_gather, sequence),
    NUMBER(rendezvous_gather, U8, state, RENDEZVOUS_GATHER_OPEN, RENDEZVOUS_GATHER_GIVEN_UP),
    NUMBER(rendezvous_gather, U32, stays, 0, RENDEZVOUS_VALUE_MAX),
    BYTES(rendezvous_gather, members, RENDEZVOUS_MEMBER_BITS_MAX),
    BYTES(rendezvous_gather, data, RENDEZVOUS_CONTRIBUTION_MAX),
};

static const struct message_field gathered_entry_fields[] = {
    NUMBER(rendezvous_gathered_entry, U32, node_rank, 0, UINT32_MAX),
    NUMBER(rendezvous_gathered_entry, U32, stays, 0, RENDEZVOUS_VALUE_MAX),
    BYTES(rendezvous_gathered_entry, data, RENDEZVOUS_CONTRIBUTION_MAX),
};
static const struct message_schema gathered_entry_schema =
    SCHEMA(rendezvous_gathered_entry, gathered_entry_fields);

static const struct message_field gathered_fields[] = {
    EXCHANGE_NAME(rendezvous_gathered),
    U64(rendezvous_gathered, sequence),
    OUTCOME(rendezvous_gathered),
    WORDS(rendezvous_gathered, words),
    LIST(rendezvous_gathered, entries, RENDEZVOUS_GATHERED_ENTRIES_MAX, gathered_entry_schema),
};

static const struct message_field remote_run_fields[] = {
    STRING(rendezvous_remote_run, command, RENDEZVOUS_REMOTE_COMMAND_MAX),
};

static const struct message_field remote_input_fields[] = {
    NUMBER(rendezvous_remote_bytes, U8, stream, 0, 0),
    BYTES(rendezvous_remote_bytes, data, RENDEZVOUS_REMOTE_DATA_MAX),
};

static const struct message_field remote_output_fields[] = {
    NUMBER(rendezvous_remote_bytes, U8, stream, 1, 2),
    BYTES(rendezvous_remote_bytes, data, RENDEZVOUS_REMOTE_DATA_MAX),
};

static const struct message_field remote_taken_fields[] = {
    NUMBER(rendezvous_remote_taken, U8, stream, 0, 2),
    NUMBER(rendezvous_remote_taken, U32, bytes, 1, INT32_MAX),
};

static const struct message_field remote_ended_fields[] = {
    NUMBER(rendezvous_remote_ended, I32, code, 0, 255),
    NUMBER(rendezvous_remote_ended, I32, signal, 0, SIGNAL_MAX),
    WORDS(rendezvous_remote_ended, words),
};

/* RANK_EXIT is nothing but one exit. */
_Static_assert(offsetof(struct rendezvous_rank_exit, exit) == 0,
               "RANK_EXIT uses the exit's own schema");

static const struct message_schema schemas[] = {
    [RENDEZVOUS_HELLO] = SCHEMA(rendezvous_hello, hello_fields),
    [RENDEZVOUS_READY] = SCHEMA(rendezvous_ready, ready_fields),
    [RENDEZVOUS_STARTED] = SCHEMA(rendezvous_started, started_fields),
    [RENDEZVOUS_RANK_EXIT] = SCHEMA(rendezvous_exit, exit_fields),
    [RENDEZVOUS_STOPPED] = SCHEMA(rendezvous_stopped, stopped_fields),
    [RENDEZVOUS_TERMINATING] = SCHEMA(rendezvous_terminating, terminating_fields),
    [RENDEZVOUS_PROGRESS] = SCHEMA(rendezvous_progress, progress_fields),
    [RENDEZVOUS_CHECKPOINT] = SCHEMA(rendezvous_checkpoint_report, checkpoint_report_fields),
    [RENDEZVOUS_PONG] = SCHEMA(rendezvous_pong, pong_fields),
    [RENDEZVOUS_NOTICE] = SCHEMA(rendezvous_notice, notice_fields),
    [RENDEZVOUS_SAVE_STEP] = SCHEMA(rendezvous_save_step, save_step_fields),
    [RENDEZVOUS_EVIDENCE] = SCHEMA(rendezvous_evidence_report, evidence_report_fields),
    [RENDEZVOUS_WELCOME] = SCHEMA(rendezvous_welcome, welcome_fields),
    [RENDEZVOUS_START] = SCHEMA(rendezvous_start, start_fields),
    [RENDEZVOUS_STOP] = SCHEMA(rendezvous_stop, stop_fields),
    [RENDEZVOUS_PING] = SCHEMA(rendezvous_ping, ping_fields),
    [RENDEZVOUS_EXIT] = SCHEMA(rendezvous_exit_order, exit_order_fields),
    [RENDEZVOUS_REFUSED] = SCHEMA(rendezvous_refused, refused_fields),
    [RENDEZVOUS_CHECKPOINT_NOW] = SCHEMA(rendezvous_checkpoint_now, checkpoint_now_fields),
    [RENDEZVOUS_EXAMINE] = {.fields = examine_fields},
    [RENDEZVOUS_PUT] = SCHEMA(rendezvous_put, put_fields),
    [RENDEZVOUS_GET] = SCHEMA(rendezvous_get, get_fields),
    [RENDEZVOUS_GATHER] = SCHEMA(rendezvous_gather, gather_fields),
    [RENDEZVOUS_VALUE] = SCHEMA(rendezvous_value, value_fields),
    [RENDEZVOUS_GATHERED] = SCHEMA(rendezvous_gathered, gathered_fields),
    [RENDEZVOUS_REMOTE_RUN] = SCHEMA(rendezvous_remote_run, remote_run_fields),
    [RENDEZVOUS_REMOTE_INPUT] = SCHEMA(rendezvous_remote_bytes, remote_input_fields),
    [RENDEZVOUS_REMOTE_TAKEN] = SCHEMA(rendezvous_remote_taken, remote_taken_fields),
    [RENDEZVOUS_REMOTE_OUTPUT] = SCHEMA(rendezvous_remote_bytes, remote_output_fields),
    [RENDEZVOUS_REMOTE_ENDED] = SCHEMA(rendezvous_remote_ended, remote_ended_fields),
};

const struct message_schema *message_schema(uint8_t type)
{
    if (type >= MLT_ARRAY_LENGTH(schemas) || !schemas[type].fields)
        return NULL;
    return &schemas[type];
}

unsigned message_field_width(enum field_kind kind)
{
    static const unsigned char width_of_kind[] = {
        [FIELD_BOOL] = 1, [FIELD_U8] = 1,  [FIELD_U16] = 2, [FIELD_U32] = 4,
        [FIELD_U64] = 8,  [FIELD_I32] = 4, [FIELD_I64] = 8, [FIELD_LIST] = 0,
    };
    return width_of_kind[kind];
}

size_t message_field_wire_min(const struct message_field *field)
{
    unsigned width = message_field_width(field->kind);
    return width ? width : 4; /* the length of a string, of bytes or of a list */
}

const char *rendezvous_cause_words(enum rendezvous_cause cause)
{
    switch (cause) {
#define XX(name, number, words)   \
    case RENDEZVOUS_CAUSE_##name: \
        return words;
        RENDEZVOUS_CAUSE_MAP(XX)
#undef XX
    }
    return "ended for an unknown cause";
}

const char *rendezvous_wireup_name(enum rendezvous_wireup wireup)
{
    switch (wireup) {
#define XX(name, number, words)    \
    case RENDEZVOUS_WIREUP_##name: \
        return words;
        RENDEZVOUS_WIREUP_MAP(XX)
#undef XX
    }
    return "unknown";
}

const char *rendezvous_outcome_words(enum rendezvous_outcome outcome)
{
    switch (outcome) {
#define XX(name, number, words)     \
    case RENDEZVOUS_OUTCOME_##name: \
        return words;
        RENDEZVOUS_OUTCOME_MAP(XX)
#undef XX
    }
    return "?";
}

bool rendezvous_is_reason(const char *word)
{
    size_t length = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    return word[0] >= 'A' && word[0] <= 'Z' && word[length] == '\0' &&
           length <= RENDEZVOUS_NOTICE_MAX;
}

/* FNV-1a, 64 bit: http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t fnv_add(uint64_t hash, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t fnv_add_number(uint64_t hash, uint64_t value)
{
    unsigned char bytes[8];
    wire_store(bytes, value, sizeof bytes);
    return fnv_add(hash, bytes, sizeof bytes);
}

/* The NUL is part of what is hashed, so that neighbouring strings do not run into each other. */
static uint64_t fnv_add_string(uint64_t hash, const char *text)
{
    text = text ? text : "";
    return fnv_add(hash, text, strlen(text) + 1);
}

uint64_t rendezvous_start_digest(uint64_t attempt, const struct rendezvous_start *start)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    hash = fnv_add_number(hash, attempt);
    hash = fnv_add_number(hash, start->nodes);
    hash = fnv_add_number(hash, start->world_size);
    hash = fnv_add_string(hash, start->master_address);
    hash = fnv_add_number(hash, start->master_port);
    hash = fnv_add_number(hash, (uint64_t)start->resume_step);
    hash = fnv_add_string(hash, start->resume_path);
    return hash ? hash : 1;
}
