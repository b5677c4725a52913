/* Loads NCCL and the CUDA runtime: see nccl_load.h. */
#include "sdk/nccl_load.h"

#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sdk/exchange.h"

#define PYTHON_FOLDERS "/lib/python3*/{site,dist}-packages"
#define PATH_ENTRIES_MAX 256 /* of PATH and PYTHONPATH */

struct symbol {
    const char *name;
    size_t offset; /* of its pointer in the library's struct */
    bool optional;
};

/* One kind of library. */
struct wanted {
    const char *title, *variable;
    const char *names[4];  /* newest first, ends with NULL */
    const char *wheels[4]; /* paths below a site-packages, patterns; ends with NULL */
    const char *folder;    /* of the system, which the dynamic linker may not know */
};

static const struct wanted nccl = {.title = "NCCL",
                                   .variable = "MLTRAIN_NCCL_LIBRARY",
                                   .names = {"libnccl.so.2"},
                                   .wheels = {"nvidia/nccl/lib/libnccl.so.2"},
                                   .folder = "/usr/local/cuda/lib64"};
static const struct wanted cudart = {
    .title = "the CUDA runtime",
    .variable = "MLTRAIN_NCCL_CUDART",
    .names = {"libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"},
    .wheels = {"nvidia/cu1[0-9]/lib/libcudart.so.1[0-9]",
               "nvidia/cuda_runtime/lib/libcudart.so.1[0-9]",
               "nvidia/cuda_runtime/lib/libcudart.so.11.0"},
    .folder = "/usr/local/cuda/lib64"};

/* What the dynamic linker said last about a file that is there. */
struct search {
    const struct wanted *what;
    char trouble[200];
};

static void *open_file(struct search *s, const char *path)
{
    void *handle = access(path, R_OK) == 0 ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!handle && access(path, F_OK) == 0)
        (void)snprintf(s->trouble, sizeof s->trouble, "; %s", dlerror());
    return handle;
}

static void *by_name(const struct search *s, int flags)
{
    void *handle = NULL;
    for (const char *const *name = s->what->names; *name && !handle; name++)
        handle = dlopen(*name, RTLD_NOW | RTLD_LOCAL | flags);
    return handle;
}

/* The first that opens below a folder, or below each folder of a pattern. */
static void *in_packages(struct search *s, const char *packages)
{
    void *handle = NULL;
    for (const char *const *wheel = s->what->wheels; *wheel && !handle; wheel++) {
        char pattern[PATH_MAX];
        glob_t found = {0};
        if (snprintf(pattern, sizeof pattern, "%s/%s", packages, *wheel) >= (int)sizeof pattern)
            continue;
        if (glob(pattern, GLOB_BRACE, NULL, &found) == 0)
            for (size_t i = found.gl_pathc; i-- > 0 && !handle;) /* a newer one sorts later */
                handle = open_file(s, found.gl_pathv[i]);
        globfree(&found);
    }
    return handle;
}

static void *in_prefix(struct search *s, const char *prefix)
{
    char packages[PATH_MAX];
    if (!prefix || !prefix[0] ||
        snprintf(packages, sizeof packages, "%s" PYTHON_FOLDERS, prefix) >= (int)sizeof packages)
        return NULL;
    return in_packages(s, packages);
}

/* Calls `visit` for each entry of a list as in PATH until it gives something. */
static void *each_entry(struct search *s, const char *list,
                        void *(*visit)(struct search *s, const char *entry))
{
    char entry[PATH_MAX];
    void *handle = NULL;
    for (int i = 0; list && *list && !handle && i < PATH_ENTRIES_MAX; i++) {
        size_t length = strcspn(list, ":");
        if (length > 0 && length < sizeof entry) {
            memcpy(entry, list, length);
            entry[length] = '\0';
            handle = visit(s, entry);
        }
        list += length + (list[length] == ':');
    }
    return handle;
}

/* FOLDER/python3 belongs to the prefix FOLDER/.., and so does what it is a link to. */
static void *beside_python(struct search *s, const char *folder)
{
    char python[PATH_MAX], real[PATH_MAX], prefix[PATH_MAX];
    if (snprintf(python, sizeof python, "%s/python3", folder) >= (int)sizeof python ||
        access(python, X_OK) < 0 ||
        snprintf(prefix, sizeof prefix, "%s/..", folder) >= (int)sizeof prefix)
        return NULL;
    void *handle = in_prefix(s, prefix);
    if (handle || !realpath(python, real))
        return handle;
    char *end = strrchr(real, '/');
    *end = '\0';
    if (snprintf(prefix, sizeof prefix, "%s/..", real) >= (int)sizeof prefix)
        return NULL;
    return in_prefix(s, prefix);
}

static void *in_wheels(struct search *s)
{
    static const char *const usual[] = {"/usr/local", "/opt/conda", "/opt/venv"};
    char home[PATH_MAX] = "";
    void *handle = each_entry(s, getenv("PYTHONPATH"), in_packages);
    if (!handle)
        handle = in_prefix(s, getenv("VIRTUAL_ENV"));
    if (!handle)
        handle = in_prefix(s, getenv("CONDA_PREFIX"));
    if (!handle)
        handle = each_entry(s, getenv("PATH"), beside_python);
    if (!handle && getenv("HOME") &&
        snprintf(home, sizeof home, "%s/.local", getenv("HOME")) < (int)sizeof home)
        handle = in_prefix(s, home);
    for (size_t i = 0; i < sizeof usual / sizeof usual[0] && !handle; i++)
        handle = in_prefix(s, usual[i]);
    return handle ? handle : in_packages(s, "/usr/lib/python3/dist-packages");
}

static void *in_folder(struct search *s)
{
    void *handle = NULL;
    for (const char *const *name = s->what->names; *name && !handle; name++) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/%s", s->what->folder, *name);
        handle = open_file(s, path);
    }
    return handle;
}

static int open_library(const struct wanted *what, void **ret)
{
    struct search s = {.what = what};
    const char *given = getenv(what->variable);
    void *handle;
    if (given && given[0]) {
        handle = dlopen(given, RTLD_NOW | RTLD_LOCAL);
        if (!handle)
            return sdk_fail(ENOENT, "%s: %s", what->variable, dlerror());
        *ret = handle;
        return 0;
    }
    handle = by_name(&s, RTLD_NOLOAD);
    if (!handle)
        handle = by_name(&s, 0);
    if (!handle)
        handle = in_wheels(&s);
    if (!handle)
        handle = in_folder(&s);
    if (!handle)
        return sdk_fail(ENOENT,
                        "%s (%s) is not loaded, not where the dynamic linker looks "
                        "(LD_LIBRARY_PATH), not among Python's packages (PYTHONPATH, VIRTUAL_ENV, "
                        "PATH) and not in %s: set %s%s",
                        what->title, what->names[0], what->folder, what->variable, s.trouble);
    *ret = handle;
    return 0;
}

/* Where a library came from, for words. */
static const char *path_of(void *address)
{
    Dl_info info;
    return dladdr(address, &info) && info.dli_fname ? info.dli_fname : "the library";
}

/* Fills the pointers of `library`. Gives the name that is missing, or NULL. */
static const char *resolve(void *handle, const struct symbol *symbols, size_t count, void *library)
{
    for (size_t i = 0; i < count; i++) {
        void *address = dlsym(handle, symbols[i].name);
        if (!address && !symbols[i].optional)
            return symbols[i].name;
        memcpy((char *)library + symbols[i].offset, &address, sizeof address);
    }
    return NULL;
}

static int load_nccl(struct nccl_library *ret)
{
#define XX(member, symbol, result, arguments) \
    {.name = symbol, .offset = offsetof(struct nccl_library, member)},
#define OPTIONAL(member, symbol, result, arguments) \
    {.name = symbol, .offset = offsetof(struct nccl_library, member), .optional = true},
    static const struct symbol symbols[] = {NCCL_ABI_SYMBOL_MAP(XX)
                                                NCCL_ABI_OPTIONAL_MAP(OPTIONAL)};
#undef OPTIONAL
#undef XX
    int rc = open_library(&nccl, &ret->handle);
    if (rc < 0)
        return rc;
    const char *missing = resolve(ret->handle, symbols, sizeof symbols / sizeof symbols[0], ret);
    void *known = dlsym(ret->handle, "ncclGetVersion");
    if (!known)
        return sdk_fail(ELIBBAD, "%s is no NCCL: it has no ncclGetVersion",
                        getenv(nccl.variable) ? getenv(nccl.variable) : nccl.names[0]);
    int (*get_version)(int *);
    memcpy(&get_version, &known, sizeof known);
    if (get_version(&ret->version) != NCCL_ABI_SUCCESS)
        return sdk_fail(ELIBBAD, "%s does not tell its version", path_of(known));
    if (ret->version < NCCL_ABI_VERSION_MIN)
        return sdk_fail(ELIBBAD,
                        "%s says that its version is %d: NCCL 2.14 (21400) or later is needed, "
                        "which can give up",
                        path_of(known), ret->version);
    return missing ? sdk_fail(ELIBBAD, "%s has no %s", path_of(known), missing) : 0;
}

static int load_cudart(struct cudart_library *ret)
{
#define XX(member, symbol, result, arguments) \
    {.name = symbol, .offset = offsetof(struct cudart_library, member)},
    static const struct symbol symbols[] = {CUDART_ABI_SYMBOL_MAP(XX)};
#undef XX
    int rc = open_library(&cudart, &ret->handle);
    if (rc < 0)
        return rc;
    const char *missing = resolve(ret->handle, symbols, sizeof symbols / sizeof symbols[0], ret);
    return missing ? sdk_fail(ELIBBAD, "the CUDA runtime that was found has no %s", missing) : 0;
}

/* What was found is kept; what was not may be there the next time. */
int nccl_load(const struct nccl_library **ret)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct nccl_library library;
    static bool loaded;
    (void)pthread_mutex_lock(&lock);
    int rc = loaded ? 0 : load_nccl(&library);
    loaded = rc == 0;
    (void)pthread_mutex_unlock(&lock);
    if (rc == 0)
        *ret = &library;
    return rc;
}

int cudart_load(const struct cudart_library **ret)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct cudart_library library;
    static bool loaded;
    (void)pthread_mutex_lock(&lock);
    int rc = loaded ? 0 : load_cudart(&library);
    loaded = rc == 0;
    (void)pthread_mutex_unlock(&lock);
    if (rc == 0)
        *ret = &library;
    return rc;
}
