/* A pretended libcudart.so.12 for tests: PRETENDED_GPUS devices (default 1; 0: no driver), whose
 * memory is the program's own. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define DRIVER_INSUFFICIENT 35
#define INVALID_DEVICE 101

int cudaGetDeviceCount(int *count);
int cudaSetDevice(int device);
int cudaGetDevice(int *device);
const char *cudaGetErrorString(int error);
int cudaMalloc(void **memory, size_t size);
int cudaFree(void *memory);
int cudaMemcpy(void *to, const void *from, size_t size, int kind);
int cudaDeviceSynchronize(void);

static int current;

EXPORT int cudaGetDeviceCount(int *count)
{
    const char *text = getenv("PRETENDED_GPUS");
    *count = text ? (int)strtol(text, NULL, 10) : 1;
    return *count > 0 ? 0 : DRIVER_INSUFFICIENT;
}

EXPORT int cudaSetDevice(int device)
{
    int count;
    if (cudaGetDeviceCount(&count) != 0 || device < 0 || device >= count)
        return INVALID_DEVICE;
    current = device;
    return 0;
}

EXPORT int cudaGetDevice(int *device)
{
    *device = current;
    return 0;
}

EXPORT const char *cudaGetErrorString(int error)
{
    return error == DRIVER_INSUFFICIENT
               ? "CUDA driver version is insufficient for CUDA runtime version"
           : error == INVALID_DEVICE ? "invalid device ordinal"
                                     : "no error";
}

EXPORT int cudaMalloc(void **memory, size_t size)
{
    *memory = malloc(size);
    return *memory ? 0 : 2;
}

EXPORT int cudaFree(void *memory)
{
    free(memory);
    return 0;
}

EXPORT int cudaMemcpy(void *to, const void *from, size_t size, int kind)
{
    (void)kind;
    memcpy(to, from, size);
    return 0;
}

EXPORT int cudaDeviceSynchronize(void)
{
    return 0;
}
