/* NVML behind a table of function pointers: the agent runs on machines without a driver. */
#include "localcluster/agent/devices.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* From nvml.h: NVML_SUCCESS, NVML_ERROR_DRIVER_NOT_LOADED; a handle is an opaque pointer. */
#define NVML_OK 0
#define NVML_DRIVER_NOT_LOADED 9

struct nvml {
    void *library;
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned *ret);
    int (*handle)(unsigned index, void **ret);
    int (*uuid)(void *device, char *text, unsigned size);
    int (*minor)(void *device, unsigned *ret);
    int (*name)(void *device, char *text, unsigned size);
};

static bool load(struct nvml *n)
{
    const struct {
        const char *symbol;
        void *slot;
    } table[] = {
        {"nvmlInit_v2", &n->init},
        {"nvmlShutdown", &n->shutdown},
        {"nvmlDeviceGetCount_v2", &n->count},
        {"nvmlDeviceGetHandleByIndex_v2", &n->handle},
        {"nvmlDeviceGetUUID", &n->uuid},
        {"nvmlDeviceGetMinorNumber", &n->minor},
        {"nvmlDeviceGetName", &n->name},
    };
    n->library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!n->library)
        return false;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        void *symbol = dlsym(n->library, table[i].symbol);
        if (!symbol)
            return false;
        memcpy(table[i].slot, &symbol, sizeof symbol);
    }
    return true;
}

static int read_device(const struct nvml *n, unsigned index, struct device *d,
                       struct mlt_error *err)
{
    void *handle = NULL;
    unsigned minor = 0;
    int rc = n->handle(index, &handle);
    if (rc == NVML_OK)
        rc = n->uuid(handle, d->uuid, sizeof d->uuid);
    if (rc == NVML_OK)
        rc = n->minor(handle, &minor);
    if (rc == NVML_OK)
        rc = n->name(handle, d->model, sizeof d->model);
    if (rc != NVML_OK)
        return mlt_fail(err, EIO, "NVML cannot describe GPU %u (error %d)", index, rc);
    d->minor = (int)minor;
    return 0;
}

static int find_with(const struct nvml *n, struct devices *ret, struct mlt_error *err)
{
    struct devices found = {0};
    unsigned count = 0;
    int rc = n->init();
    if (rc == NVML_DRIVER_NOT_LOADED) {
        *ret = found;
        return 0;
    }
    if (rc != NVML_OK)
        return mlt_fail(err, EIO, "NVML does not start (error %d)", rc);
    rc = n->count(&count);
    if (rc != NVML_OK)
        rc = mlt_fail(err, EIO, "NVML cannot count the GPUs (error %d)", rc);
    for (unsigned i = 0; rc == 0 && i < count && i < DEVICES_MAX; i++) {
        rc = read_device(n, i, &found.list[i], err);
        found.count++;
    }
    (void)n->shutdown();
    if (rc == 0)
        *ret = found;
    return rc;
}

int devices_find(struct devices *ret, struct mlt_error *err)
{
    struct nvml n = {0};
    int rc = 0;
    if (load(&n))
        rc = find_with(&n, ret, err);
    else
        *ret = (struct devices){0};
    if (n.library)
        (void)dlclose(n.library);
    return rc;
}

void devices_pretend(struct devices *ret, size_t count)
{
    *ret = (struct devices){.pretended = true, .count = count < DEVICES_MAX ? count : DEVICES_MAX};
    for (size_t i = 0; i < ret->count; i++)
        (void)snprintf(ret->list[i].uuid, sizeof ret->list[i].uuid, "pretended-%zu", i);
}
