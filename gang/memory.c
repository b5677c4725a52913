/* Memory of the gang library: it comes from the host, may run out, and running out is an error like
 * any other. */
#include "gang/internal.h"

#include <errno.h>
#include <string.h>

#define LARGE \
    4096 /* elements; larger arrays grow by a quarter, so that little is held for nothing */

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
    size_t wanted = *capacity < LARGE ? (size_t)*capacity * 2 : (size_t)*capacity + *capacity / 4;
    wanted = wanted < 16 ? 16 : wanted;
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

/* ---- pools ---- */

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define FORBID(memory, size) ASAN_POISON_MEMORY_REGION(memory, size)
#define PERMIT(memory, size) ASAN_UNPOISON_MEMORY_REGION(memory, size)
#else
#define FORBID(memory, size) ((void)(memory), (void)(size))
#define PERMIT(memory, size) ((void)(memory), (void)(size))
#endif

void *gang_pool_take(struct gang *g, struct gang_pool *pool, uint32_t *ret_at)
{
    uint32_t at = pool->given ? pool->given - 1 : pool->fresh;
    if (at / GANG_POOL_BLOCK == pool->blocks_count) {
        if (gang_reserve(g, &pool->blocks, &pool->blocks_capacity, (size_t)pool->blocks_count + 1,
                         sizeof *pool->blocks) < 0)
            return NULL;
        size_t size = (size_t)GANG_POOL_BLOCK * pool->size;
        char *block = g->memory.realloc(g->memory.arg, NULL, size);
        if (!block)
            return NULL;
        FORBID(block, size);
        pool->blocks[pool->blocks_count++] = block;
    }
    void *object = gang_pool_at(pool, at);
    PERMIT(object, pool->size);
    if (pool->given)
        memcpy(&pool->given, object, sizeof pool->given); /* see gang_pool_give() */
    else
        pool->fresh++;
    memset(object, 0, pool->size);
    *ret_at = at;
    return object;
}

/* Its first bytes say which one was given back before it. */
void gang_pool_give(struct gang_pool *pool, uint32_t at)
{
    void *object = gang_pool_at(pool, at);
    memcpy(object, &pool->given, sizeof pool->given);
    pool->given = at + 1;
    FORBID(object, pool->size);
}

void gang_pool_free(struct gang *g, struct gang_pool *pool)
{
    for (uint32_t i = 0; i < pool->blocks_count; i++) {
        PERMIT(pool->blocks[i], (size_t)GANG_POOL_BLOCK * pool->size);
        gang_release(g, pool->blocks[i]);
    }
    gang_release(g, pool->blocks);
}
