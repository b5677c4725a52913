/* What a launcher and its mltrain-helper say to each other over a socket pair: frames of a u32
 * length, a u8 kind and that kind's fields, all little endian; the length counts what follows it.
 * Pure, libc only: both programs and the fuzz driver share it. The two are built and copied
 * together; BEGIN has a version all the same, so that a mixed pair says so.
 *
 * Fields, in this order, as far as a kind has them (HELPER_MESSAGE_MAP):
 *   I  id       u64  names a request, so that its answer finds it; of PREPARE and BEGIN:
 *                    HELPER_VERSION
 *   R  rank     u32  in the world; of PREPARE and BEGIN: the place of this pod among the pods
 *   S  status   i32  PMIx's (0 is success); of ABORT: the code that the rank asked for
 *   F  flags    u32  enum helper_flag
 *   C  context  u64  of a group: a number that no other group of the job has
 *   N  name     text
 *   W  words    text
 *   L  list     u32 count, then so many u32
 *   D  data     u32 length, then so many bytes
 * A text is a u16 length and so many bytes, of which the last one is NUL, and no other. */
#ifndef LAUNCHER_HELPER_MESSAGE_H
#define LAUNCHER_HELPER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELPER_VERSION 2
#define HELPER_NAME_MAX 255          /* PMIX_MAX_NSLEN; names of groups and versions are shorter */
#define HELPER_WORDS_MAX 4095        /* words for people, and paths */
#define HELPER_LIST_MAX (64u * 1024) /* pods, or ranks */
#define HELPER_DATA_MAX (64u << 20)  /* the result of a fence */
#define HELPER_FRAME_MAX (HELPER_DATA_MAX + HELPER_LIST_MAX * 4 + 8192) /* with its length */

/* XX(NAME, wire number, fields) */
#define HELPER_MESSAGE_MAP(XX)                                                                   \
    /* to the helper */                                                                          \
    XX(BEGIN, 1, "IRNWL")  /* name: the namespace; words: a folder; list: ranks of each pod */   \
    XX(FENCED, 2, "ISD")   /* the end of FENCE: everybody's data */                              \
    XX(FETCHED, 3, "ISD")  /* the end of FETCH: what that rank has published */                  \
    XX(LOOK_UP, 4, "IR")   /* another pod wants what this rank has published, or will */         \
    XX(GROUPED, 5, "ISCD") /* the end of GROUP */                                                \
    XX(PREPARE, 6, "IRW")  /* at most once and first: as BEGIN, which will come; not answered */ \
    /* from the helper */                                                                        \
    XX(READY, 32, "ND")      /* name: the library's version; data: see helper_environment() */   \
    XX(REFUSED, 33, "SW")    /* it cannot serve, and ends; status: enum helper_refusal */        \
    XX(FENCE, 34, "IFLD")    /* all ranks here of `list` (empty: of the world) have come */      \
    XX(FETCH, 35, "IR")      /* a rank here wants what a rank elsewhere has published */         \
    XX(LOOKED_UP, 36, "ISD") /* the end of LOOK_UP */                                            \
    XX(GROUP, 37, "IFNLD")   /* all ranks here of `list` make or end the group `name` */         \
    XX(ABORT, 38, "RSW")     /* this rank wants all ranks to end with this code */               \
    XX(CONNECTED, 39, "R")   /* this rank has found us (MPI_Init) */                             \
    XX(FINALIZED, 40, "R")   /* this rank has left properly (MPI_Finalize) */

enum helper_kind {
#define XX(name, number, fields) HELPER_##name = number,
    HELPER_MESSAGE_MAP(XX)
#undef XX
};

/* "FENCE"; NULL for none of them. */
const char *helper_kind_name(enum helper_kind kind);

enum helper_flag {
    HELPER_COLLECT = 1, /* FENCE: everybody's data is wanted, not only that all have come */
    HELPER_DESTROY = 2, /* GROUP: it ends; else it is made */
    HELPER_CONTEXT = 4, /* GROUP: a context id is wanted */
};

enum helper_refusal {
    HELPER_NO_LIBRARY = 1, /* the image has no libpmix.so.2, or one that cannot be loaded */
    HELPER_BAD_LIBRARY,    /* something that is needed is not in it */
    HELPER_SERVER_FAILED,  /* PMIx's server could not be started */
    HELPER_BAD_BEGIN,      /* BEGIN asks for what this helper does not know */
};

struct helper_message {
    enum helper_kind kind;
    uint64_t id, context;
    uint32_t rank, flags;
    int32_t status;
    const char *name, *words;  /* NULL counts as "" when it is written */
    const unsigned char *list; /* as on the wire: helper_list_at() */
    uint32_t list_count;
    const void *data;
    size_t data_length;
};

uint32_t helper_list_at(const unsigned char *list, uint32_t index);
void helper_list_set(unsigned char *list, uint32_t index, uint32_t value);

/* Bytes of the message's whole frame. -EINVAL for a kind that is none, or a field over its maximum.
 */
int helper_message_size(const struct helper_message *m);
/* Writes the frame; `buffer` has helper_message_size() bytes. */
void helper_message_write(const struct helper_message *m, unsigned char *buffer);

/* A connection's bytes. Starts zeroed; helper_reader_release() frees it. */
struct helper_reader {
    unsigned char *data;
    size_t start, length, capacity; /* the bytes from start to length wait */
};

/* Where up to *ret_room bytes (1 or more) may be put; then add them to `length`. Ends what the last
 * message pointed to. NULL when memory is exhausted. Memory grows with what has come, never ahead
 * of it. */
unsigned char *helper_reader_space(struct helper_reader *r, size_t *ret_room);

/* 1 and the next whole message, which points into the reader; 0 when none is there; -EPROTO for one
 * that is none: then the connection has to be closed. */
int helper_reader_next(struct helper_reader *r, struct helper_message *ret);
void helper_reader_release(struct helper_reader *r);

/* The environment of the pod's ranks in READY: for each local rank in order, NAME=value texts that
 * end with NUL, and then an empty one. Gives the start of rank `local`'s first text, to be walked
 * with strlen() up to the empty one; NULL when `data` is not of that form, or has another number of
 * ranks than `ranks`. */
const char *helper_environment(const void *data, size_t length, uint32_t ranks, uint32_t local);

#endif
