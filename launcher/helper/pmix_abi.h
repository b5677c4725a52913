/* What mltrain-helper needs of PMIx's binary interface, declared here, so that the build needs no
 * PMIx: names, numbers and layouts are those of the PMIx Standard (versions 3 to 5 keep them;
 * tests/component/launcher/test_pmix_abi.c compares them with the headers of a PMIx that is
 * installed). Layouts are as in 64-bit Linux. */
#ifndef LAUNCHER_HELPER_PMIX_ABI_H
#define LAUNCHER_HELPER_PMIX_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PMIX_ABI_NSPACE_MAX 255
#define PMIX_ABI_KEY_MAX 511
#define PMIX_ABI_RANK_WILDCARD (UINT32_MAX - 1)

enum pmix_abi_status {
    PMIX_ABI_SUCCESS = 0,
    PMIX_ABI_ERROR = -1,
    PMIX_ABI_ERR_TIMEOUT = -24,
    PMIX_ABI_ERR_NOMEM = -32,
    PMIX_ABI_ERR_NOT_FOUND = -46,
    PMIX_ABI_ERR_NOT_SUPPORTED = -47,
    PMIX_ABI_ERR_LOST_CONNECTION = -61,
    PMIX_ABI_OPERATION_SUCCEEDED = -157,
};

enum pmix_abi_type {
    PMIX_ABI_BOOL = 1,
    PMIX_ABI_STRING = 3,
    PMIX_ABI_SIZE = 4,
    PMIX_ABI_INT = 6,
    PMIX_ABI_UINT32 = 14,
    PMIX_ABI_PROC = 22,
    PMIX_ABI_BYTE_OBJECT = 27,
    PMIX_ABI_DATA_ARRAY = 39,
    PMIX_ABI_PROC_RANK = 40,
    PMIX_ABI_REGEX = 49,
};

#define PMIX_ABI_REGISTER_NODATA "pmix.reg.nodata"
#define PMIX_ABI_COLLECT_DATA "pmix.collect"
#define PMIX_ABI_EMBED_BARRIER "pmix.embed.barrier"
#define PMIX_ABI_GROUP_ASSIGN_CONTEXT_ID "pmix.grp.actxid"
#define PMIX_ABI_GROUP_CONTEXT_ID "pmix.grp.ctxid"
#define PMIX_ABI_GROUP_ENDPT_DATA "pmix.grp.endpt"
#define PMIX_ABI_GROUP_LOCAL_ONLY "pmix.grp.lcl"
#define PMIX_ABI_GROUP_MEMBERSHIP "pmix.grp.mbrs"
#define PMIX_ABI_HOSTNAME "pmix.hname"
#define PMIX_ABI_NODE_MAP "pmix.nmap"
#define PMIX_ABI_NSDIR "pmix.nsdir"
#define PMIX_ABI_PROC_MAP "pmix.pmap"
#define PMIX_ABI_SERVER_NSPACE "pmix.srv.nspace"
#define PMIX_ABI_SERVER_RANK "pmix.srv.rank"
#define PMIX_ABI_SERVER_TMPDIR "pmix.srvr.tmpdir"
#define PMIX_ABI_SYSTEM_TMPDIR "pmix.sys.tmpdir"

struct pmix_abi_proc {
    char nspace[PMIX_ABI_NSPACE_MAX + 1];
    uint32_t rank;
};

struct pmix_abi_bytes {
    char *bytes;
    size_t size;
};

struct pmix_abi_array {
    uint16_t type; /* of each element */
    size_t size;
    void *elements;
};

struct pmix_abi_value {
    uint16_t type; /* enum pmix_abi_type */
    union {
        bool flag;
        char *string;
        size_t size;
        uint32_t uint32;
        struct pmix_abi_bytes bytes;
        struct pmix_abi_array *array;
        void *room[3]; /* the largest member, an environment variable */
    } data;
};

struct pmix_abi_info {
    char key[PMIX_ABI_KEY_MAX + 1];
    uint32_t flags;
    struct pmix_abi_value value;
};

typedef void (*pmix_abi_op_done)(int status, void *arg);
typedef void (*pmix_abi_release)(void *arg);
/* The library calls `release` when it has no more use for `data`. */
typedef void (*pmix_abi_data_done)(int status, const char *data, size_t length, void *arg,
                                   pmix_abi_release release, void *release_arg);
typedef void (*pmix_abi_info_done)(int status, struct pmix_abi_info *info, size_t count, void *arg,
                                   pmix_abi_release release, void *release_arg);
typedef void (*pmix_abi_response)(int status, char *data, size_t length, void *arg);

enum pmix_abi_group_operation {
    PMIX_ABI_GROUP_CONSTRUCT = 0,
    PMIX_ABI_GROUP_DESTRUCT = 1,
};

/* The calls of the library to its host. Those without a place here have none: NULL. */
struct pmix_abi_module {
    int (*client_connected)(const struct pmix_abi_proc *proc, void *object, pmix_abi_op_done done,
                            void *arg);
    int (*client_finalized)(const struct pmix_abi_proc *proc, void *object, pmix_abi_op_done done,
                            void *arg);
    int (*abort)(const struct pmix_abi_proc *proc, void *object, int status, const char *words,
                 struct pmix_abi_proc *procs, size_t count, pmix_abi_op_done done, void *arg);
    /* `data` is ours to free. */
    int (*fence)(const struct pmix_abi_proc *procs, size_t count, const struct pmix_abi_info *info,
                 size_t info_count, char *data, size_t length, pmix_abi_data_done done, void *arg);
    int (*direct_modex)(const struct pmix_abi_proc *proc, const struct pmix_abi_info *info,
                        size_t info_count, pmix_abi_data_done done, void *arg);
    void *not_ours[20]; /* publish ... push_stdin */
    int (*group)(int operation, char *name, const struct pmix_abi_proc *procs, size_t count,
                 const struct pmix_abi_info *info, size_t info_count, pmix_abi_info_done done,
                 void *arg);
    void *fabric;
    int (*client_connected2)(const struct pmix_abi_proc *proc, void *object,
                             struct pmix_abi_info *info, size_t info_count, pmix_abi_op_done done,
                             void *arg);
    void *later[64]; /* later versions read on behind what this one knows */
};

/* XX(member, name in the library, result, parameters) */
#define PMIX_ABI_FUNCTION_MAP(XX)                                                    \
    XX(get_version, "PMIx_Get_version", const char *, (void))                        \
    XX(error_string, "PMIx_Error_string", const char *, (int status))                \
    XX(server_init, "PMIx_server_init", int,                                         \
       (struct pmix_abi_module * module, struct pmix_abi_info * info, size_t count)) \
    XX(generate_regex, "PMIx_generate_regex", int, (const char *names, char **ret))  \
    XX(generate_ppn, "PMIx_generate_ppn", int, (const char *ranks, char **ret))      \
    XX(register_nspace, "PMIx_server_register_nspace", int,                          \
       (const char *nspace, int local, struct pmix_abi_info *info, size_t count,     \
        pmix_abi_op_done done, void *arg))                                           \
    XX(register_client, "PMIx_server_register_client", int,                          \
       (const struct pmix_abi_proc *proc, uid_t user, gid_t group, void *object,     \
        pmix_abi_op_done done, void *arg))                                           \
    XX(setup_fork, "PMIx_server_setup_fork", int,                                    \
       (const struct pmix_abi_proc *proc, char ***environment))                      \
    XX(dmodex_request, "PMIx_server_dmodex_request", int,                            \
       (const struct pmix_abi_proc *proc, pmix_abi_response response, void *arg))

/* Fills a value of any type with a copy; the name differs between versions. */
typedef int (*pmix_abi_value_load)(struct pmix_abi_value *value, const void *data, uint16_t type);

#endif
