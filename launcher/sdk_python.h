/* libmltrain's Python module travels inside the launcher: `copy` puts it into a folder beside the
 * copy, and ranks find it by their PYTHONPATH, whatever their image has. */
#ifndef LAUNCHER_SDK_PYTHON_H
#define LAUNCHER_SDK_PYTHON_H

#include <stddef.h>

#define SDK_PYTHON_FOLDER "python"      /* beside the launcher, for the PYTHONPATH; in it ... */
#define SDK_PYTHON_PACKAGE "mltrain"    /* ... this folder, and in that ... */
#define SDK_PYTHON_MODULE "__init__.py" /* ... this file */

/* The module's text; static. */
const char *sdk_python_text(size_t *ret_length);

/* Writes the absolute path of the folder beside this executable into `ret`; "" when the module is
 * not there (a launcher that was not copied), or the path is too long. */
void sdk_python_find(char *ret, size_t size);

#endif
