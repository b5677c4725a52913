/* The files of crds/, put into the program by the assembler: see crd_files.h. CMake joins the files
 * into one (MLTRAIN_CRDS_FILE) and builds this file again when one of them changes. */
#include "localcluster/api/crd_files.h"

#include "lib/base/embed.h"

MLT_EMBED(mltrain_crds, MLTRAIN_CRDS_FILE);

const char *api_crd_files(size_t *ret_length)
{
    *ret_length = (size_t)(mltrain_crds_end - mltrain_crds_begin);
    return mltrain_crds_begin;
}
