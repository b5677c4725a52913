/* Compares what launcher/helper/pmix_abi.h declares with the headers of the PMIx that is installed. Compiled
 * by tests/component/test_helper, never run. */
#include <pmix_server.h>

#include "launcher/helper/pmix_abi.h"

#define SAME(ours, theirs) _Static_assert((ours) == (theirs), #ours " is not " #theirs)
#define SAME_TEXT(ours, theirs) _Static_assert(__builtin_strcmp(ours, theirs) == 0, #ours)
#define SAME_PLACE(mine, field, theirs, member) \
    SAME(offsetof(struct mine, field), offsetof(theirs, member))

SAME(PMIX_ABI_NSPACE_MAX, PMIX_MAX_NSLEN);
SAME(PMIX_ABI_KEY_MAX, PMIX_MAX_KEYLEN);
SAME(PMIX_ABI_RANK_WILDCARD, PMIX_RANK_WILDCARD);
SAME(PMIX_ABI_SUCCESS, PMIX_SUCCESS);
SAME(PMIX_ABI_ERROR, PMIX_ERROR);
SAME(PMIX_ABI_ERR_TIMEOUT, PMIX_ERR_TIMEOUT);
SAME(PMIX_ABI_ERR_NOMEM, PMIX_ERR_NOMEM);
SAME(PMIX_ABI_ERR_NOT_FOUND, PMIX_ERR_NOT_FOUND);
SAME(PMIX_ABI_ERR_NOT_SUPPORTED, PMIX_ERR_NOT_SUPPORTED);
SAME(PMIX_ABI_OPERATION_SUCCEEDED, PMIX_OPERATION_SUCCEEDED);
SAME(PMIX_ABI_BOOL, PMIX_BOOL);
SAME(PMIX_ABI_STRING, PMIX_STRING);
SAME(PMIX_ABI_SIZE, PMIX_SIZE);
SAME(PMIX_ABI_UINT32, PMIX_UINT32);
SAME(PMIX_ABI_BYTE_OBJECT, PMIX_BYTE_OBJECT);
SAME(PMIX_ABI_PROC, PMIX_PROC);
SAME(PMIX_ABI_DATA_ARRAY, PMIX_DATA_ARRAY);
SAME(PMIX_ABI_PROC_RANK, PMIX_PROC_RANK);
SAME(PMIX_ABI_REGEX, PMIX_REGEX);
SAME((int)PMIX_ABI_GROUP_CONSTRUCT, (int)PMIX_GROUP_CONSTRUCT);
SAME((int)PMIX_ABI_GROUP_DESTRUCT, (int)PMIX_GROUP_DESTRUCT);
SAME_TEXT(PMIX_ABI_COLLECT_DATA, PMIX_COLLECT_DATA);
SAME_TEXT(PMIX_ABI_GROUP_ASSIGN_CONTEXT_ID, PMIX_GROUP_ASSIGN_CONTEXT_ID);
SAME_TEXT(PMIX_ABI_GROUP_CONTEXT_ID, PMIX_GROUP_CONTEXT_ID);
SAME_TEXT(PMIX_ABI_GROUP_ENDPT_DATA, PMIX_GROUP_ENDPT_DATA);
SAME_TEXT(PMIX_ABI_EMBED_BARRIER, PMIX_EMBED_BARRIER);
SAME_TEXT(PMIX_ABI_GROUP_LOCAL_ONLY, PMIX_GROUP_LOCAL_ONLY);
SAME_TEXT(PMIX_ABI_GROUP_MEMBERSHIP, PMIX_GROUP_MEMBERSHIP);
SAME_TEXT(PMIX_ABI_HOSTNAME, PMIX_HOSTNAME);
SAME_TEXT(PMIX_ABI_NODE_MAP, PMIX_NODE_MAP);
SAME_TEXT(PMIX_ABI_PROC_MAP, PMIX_PROC_MAP);
SAME_TEXT(PMIX_ABI_SERVER_NSPACE, PMIX_SERVER_NSPACE);
SAME_TEXT(PMIX_ABI_SERVER_RANK, PMIX_SERVER_RANK);
SAME_TEXT(PMIX_ABI_SERVER_TMPDIR, PMIX_SERVER_TMPDIR);
SAME_TEXT(PMIX_ABI_SYSTEM_TMPDIR, PMIX_SYSTEM_TMPDIR);
SAME(sizeof(struct pmix_abi_proc), sizeof(pmix_proc_t));
SAME_PLACE(pmix_abi_proc, rank, pmix_proc_t, rank);
SAME(sizeof(struct pmix_abi_bytes), sizeof(pmix_byte_object_t));
SAME_PLACE(pmix_abi_bytes, size, pmix_byte_object_t, size);
SAME(sizeof(struct pmix_abi_array), sizeof(pmix_data_array_t));
SAME_PLACE(pmix_abi_array, size, pmix_data_array_t, size);
SAME_PLACE(pmix_abi_array, elements, pmix_data_array_t, array);
SAME(sizeof(struct pmix_abi_value), sizeof(pmix_value_t));
SAME_PLACE(pmix_abi_value, data, pmix_value_t, data);
SAME(sizeof(struct pmix_abi_info), sizeof(pmix_info_t));
SAME_PLACE(pmix_abi_info, flags, pmix_info_t, flags);
SAME_PLACE(pmix_abi_info, value, pmix_info_t, value);
SAME_PLACE(pmix_abi_module, client_connected, pmix_server_module_t, client_connected);
SAME_PLACE(pmix_abi_module, client_finalized, pmix_server_module_t, client_finalized);
SAME_PLACE(pmix_abi_module, abort, pmix_server_module_t, abort);
SAME_PLACE(pmix_abi_module, fence, pmix_server_module_t, fence_nb);
SAME_PLACE(pmix_abi_module, direct_modex, pmix_server_module_t, direct_modex);
SAME_PLACE(pmix_abi_module, group, pmix_server_module_t, group);
SAME_PLACE(pmix_abi_module, client_connected2, pmix_server_module_t, client_connected2);
/* Later versions read on behind what was declared; zero means "none" there, too. */
_Static_assert(sizeof(struct pmix_abi_module) > sizeof(pmix_server_module_t), "no room for later members");
