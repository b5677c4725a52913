/* Finds and loads the image's own libpmix.so.2. */
#ifndef LAUNCHER_HELPER_PMIX_LOAD_H
#define LAUNCHER_HELPER_PMIX_LOAD_H

#include "launcher/helper/message.h"
#include "launcher/helper/pmix_abi.h"

#define PMIX_LOAD_NAME "libpmix.so.2"
#define PMIX_LOAD_VARIABLE "MLTRAIN_PMIX" /* names another file than what is found */
#define PMIX_LOAD_WORDS_MAX 1024

struct pmix_library {
#define XX(member, name, result, parameters) result(*member) parameters;
    PMIX_ABI_FUNCTION_MAP(XX)
#undef XX
    pmix_abi_value_load value_load;
    bool loads_silently; /* it is that of PMIx before 4.2: without a result */
};

/* Where it is looked for, in this order: the file that $MLTRAIN_PMIX names, and no other; beside
 * the MPI library that the ranks use (`mpi`: its file; ""), because an image may have several, and
 * beside the mpirun, mpiexec or ompi_info that $PATH finds (lib, lib64, lib/openmpi); where the
 * dynamic linker looks
 * ($LD_LIBRARY_PATH, /etc/ld.so.cache); $PMIX_HOME, $OPAL_PREFIX and $MPI_HOME; where well-known
 * images have it. 0, or an enum helper_refusal with words for people. */
int pmix_load(const char *mpi, struct pmix_library *ret, char words[PMIX_LOAD_WORDS_MAX]);

#endif
