/* The Python module, put into the program by the assembler: see sdk_python.h. CMake names the file
 * (MLTRAIN_SDK_PYTHON_FILE) and builds this one again when it changes. */
#include "launcher/sdk_python.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/base/embed.h"

MLT_EMBED(mltrain_sdk_python, MLTRAIN_SDK_PYTHON_FILE);

const char *sdk_python_text(size_t *ret_length)
{
    *ret_length = (size_t)(mltrain_sdk_python_end - mltrain_sdk_python_begin);
    return mltrain_sdk_python_begin;
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
