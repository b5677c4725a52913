/* The GPUs of this machine, found by NVML when its library is there (dlopen), and their device
 * files. */
#ifndef LOCALCLUSTER_AGENT_DEVICES_H
#define LOCALCLUSTER_AGENT_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include "lib/base/error.h"

#define DEVICES_MAX 64
#define DEVICE_TEXT_MAX 96

struct device {
    int minor;                   /* /dev/nvidia<minor> */
    char uuid[DEVICE_TEXT_MAX];  /* for CUDA_VISIBLE_DEVICES: stays true when others are hidden */
    char model[DEVICE_TEXT_MAX]; /* "NVIDIA H100 80GB HBM3" */
};

struct devices {
    bool pretended; /* no device files, no CUDA variables */
    size_t count;
    struct device list[DEVICES_MAX];
};

/* Finds real GPUs. A machine without the library or without GPUs has none, which is no error; a
 * library that is there and fails is (-EIO). */
int devices_find(struct devices *ret, struct mlt_error *err) MLT_MUST_USE;

/* `count` GPUs that exist only in the node's capacity. */
void devices_pretend(struct devices *ret, size_t count);

#endif
