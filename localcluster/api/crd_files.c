/* The files of crds/, put into the program by the assembler: see crd_files.h. CMake joins the files
 * into one (MLTRAIN_CRDS_FILE) and builds this file again when one of them changes. */
#include "localcluster/api/crd_files.h"

__asm__(".section .rodata.mltrain_crds, \"a\", @progbits\n"
        ".global mltrain_crds_begin\n"
        ".hidden mltrain_crds_begin\n"
        "mltrain_crds_begin:\n"
        ".incbin \"" MLTRAIN_CRDS_FILE "\"\n"
        ".global mltrain_crds_end\n"
        ".hidden mltrain_crds_end\n"
        "mltrain_crds_end:\n"
        ".byte 0\n"
        ".text\n");

extern const char mltrain_crds_begin[], mltrain_crds_end[];

const char *api_crd_files(size_t *ret_length)
{
    *ret_length = (size_t)(mltrain_crds_end - mltrain_crds_begin);
    return mltrain_crds_begin;
}
