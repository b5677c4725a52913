/* Memory of the gang library: it comes from the host, may run out, and running out is an error like
 * any other. */
#include "gang/internal.h"

#include <errno.h>
#include <string.h>

int gang_no_memory(struct mlt_error *err)
{
    return mlt_fail(err, ENOMEM, "gang: out of memory");
}

/* `array` is the address of a pointer to elements; copied in and out, since C has no type for "any
 * pointer". */
int gang_reserve(struct gang *g, void *array, uint32_t *capacity, size_t count, size_t size)
{
    if (count <= *capacity)
        return 0;
    size_t wanted = *capacity ? (size_t)*capacity * 2 : 16;
    if (wanted < count)
        wanted = count;
    if (wanted > UINT32_MAX || wanted > SIZE_MAX / size)
        return -ENOMEM;
    void *old;
    memcpy(&old, array, sizeof old);
    void *grown = g->memory.realloc(g->memory.arg, old, wanted * size);
    if (!grown)
        return -ENOMEM;
    memset((char *)grown + *capacity * size, 0, (wanted - *capacity) * size);
    memcpy(array, &grown, sizeof grown);
    *capacity = (uint32_t)wanted;
    return 0;
}

void *gang_alloc(struct gang *g, size_t size)
{
    void *memory = g->memory.realloc(g->memory.arg, NULL, size ? size : 1);
    if (memory)
        memset(memory, 0, size);
    return memory;
}

void gang_release(struct gang *g, void *memory)
{
    if (memory)
        g->memory.free(g->memory.arg, memory);
}
