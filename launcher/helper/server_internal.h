/* What the files of the PMIx server share. */
#ifndef LAUNCHER_HELPER_SERVER_INTERNAL_H
#define LAUNCHER_HELPER_SERVER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "launcher/helper/message.h"
#include "launcher/helper/pmix_abi.h"

/* Something that the library wants, or has answered. Made in its thread (server_calls.c), sent and
 * kept until it is answered in ours (server.c). */
struct request {
    struct request *next;
    enum helper_kind kind; /* 0: an operation of our own is done, with `status` */
    uint64_t id;
    uint32_t rank, flags;
    int32_t status;
    char *text;          /* name of a group, words of an abort; NULL: "" */
    unsigned char *list; /* ranks, sorted, as on the wire */
    uint32_t list_count;
    char *data;
    size_t data_length;
    pmix_abi_op_done op_done;     /* ABORT, FINALIZED: called when it is told (server.c) */
    pmix_abi_data_done data_done; /* FENCE, FETCH */
    pmix_abi_info_done info_done; /* GROUP */
    void *arg;                    /* of the one that is set */
};

void request_free(struct request *r);

/* The calls to be given to the library, which is not started yet. `pipe`: the end into which
 * addresses of requests are written. */
void server_calls_begin(int pipe, struct pmix_abi_module *ret);
/* Whom they serve, of whom `local` from `first` on are in this pod: before the library knows of any
 * rank, never changed then. `nspace` and `pmix` are kept. */
struct pmix_library;
void server_calls_serve(const struct pmix_library *pmix, const char *nspace, uint32_t world,
                        uint32_t first, uint32_t local);

/* Says to the library how many ranks this pod has, when one that was here is gone or back. Any
 * thread; queued before anything that a rank can say next. */
void server_calls_count_again(void);

/* For operations that we begin: hands over a request of kind 0. */
void server_calls_done(int status, void *arg);

/* For PMIx_server_dmodex_request(); `arg` is a request of kind LOOKED_UP that has its id. */
void server_calls_looked_up(int status, char *data, size_t length, void *arg);

#endif
