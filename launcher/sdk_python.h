/* libmltrain's Python module travels inside the launcher: `copy` puts it into a folder beside the
 * copy, and ranks find it by their PYTHONPATH, whatever their image has. */
#ifndef LAUNCHER_SDK_PYTHON_H
#define LAUNCHER_SDK_PYTHON_H

#include <stdbool.h>
#include <stddef.h>

#define SDK_PYTHON_FOLDER "python"      /* beside the launcher, for the PYTHONPATH; in it ... */
#define SDK_PYTHON_PACKAGE "mltrain"    /* ... this folder, and in that ... */
#define SDK_PYTHON_MODULE "__init__.py" /* ... this file, and others */
#define SDK_PYTHON_FILES 2

struct sdk_python_file {
    const char *name, *text; /* static */
    size_t length;
};

/* The files of the module, 0 to SDK_PYTHON_FILES - 1, SDK_PYTHON_MODULE last: where it is, the
 * others are. False beyond. */
bool sdk_python_file(size_t index, struct sdk_python_file *ret);

/* Writes the absolute path of the folder beside this executable into `ret`; "" when the module is
 * not there (a launcher that was not copied), or the path is too long. */
void sdk_python_find(char *ret, size_t size);

#endif
