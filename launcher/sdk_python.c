/* The files of the Python module, put into the program by the assembler: see sdk_python.h. CMake
 * names them (MLTRAIN_SDK_PYTHON: its folder) and builds this one again when one changes. */
#include "launcher/sdk_python.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/base/embed.h"

MLT_EMBED(mltrain_sdk_python_init, MLTRAIN_SDK_PYTHON "/" SDK_PYTHON_MODULE);
MLT_EMBED(mltrain_sdk_python_nccl, MLTRAIN_SDK_PYTHON "/nccl.py");

bool sdk_python_file(size_t index, struct sdk_python_file *ret)
{
    const struct sdk_python_file files[SDK_PYTHON_FILES] = {
        {.name = "nccl.py",
         .text = mltrain_sdk_python_nccl_begin,
         .length = (size_t)(mltrain_sdk_python_nccl_end - mltrain_sdk_python_nccl_begin)},
        {.name = SDK_PYTHON_MODULE,
         .text = mltrain_sdk_python_init_begin,
         .length = (size_t)(mltrain_sdk_python_init_end - mltrain_sdk_python_init_begin)}};
    if (index >= SDK_PYTHON_FILES)
        return false;
    *ret = files[index];
    return true;
}

void sdk_python_find(char *ret, size_t size)
{
    static const char module[] = "/" SDK_PYTHON_FOLDER "/" SDK_PYTHON_PACKAGE "/" SDK_PYTHON_MODULE;
    char self[PATH_MAX], file[PATH_MAX + sizeof module];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    ret[0] = '\0';
    if (length <= 0)
        return;
    self[length] = '\0';
    char *name = strrchr(self, '/');
    if (!name)
        return;
    *name = '\0';
    (void)snprintf(file, sizeof file, "%s%s", self, module);
    int n = snprintf(ret, size, "%s/" SDK_PYTHON_FOLDER, self);
    if (n < 0 || (size_t)n >= size || access(file, R_OK) < 0)
        ret[0] = '\0';
}
