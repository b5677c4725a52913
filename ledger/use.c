/* What pods ask for, by name of resource, and its place among the gang's resources. */
#include "ledger/internal.h"

#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"

void ledger_use_read(struct ledger *l, const struct pod_request *request, struct ledger_use *ret)
{
    struct ledger_use use = {.cpu_milli = request->cpu_milli, .memory = request->memory};
    use.others = mlt_calloc(request->extended_count + 1, sizeof *use.others);
    for (size_t i = 0; i < request->extended_count; i++)
        if (request->extended[i].count > 0)
            use.others[use.others_count++] =
                (struct ledger_resource){.name = ledger_intern(l, request->extended[i].name),
                                         .amount = request->extended[i].count};
    if (request->ephemeral_storage > 0)
        use.others[use.others_count++] = (struct ledger_resource){
            .name = ledger_intern(l, LEDGER_STORAGE), .amount = request->ephemeral_storage};
    *ret = use;
}

void ledger_use_release(struct ledger_use *use)
{
    free(use->others);
    *use = (struct ledger_use){0};
}

int64_t ledger_use_of(const struct ledger_use *use, const char *interned_name)
{
    for (uint32_t i = 0; i < use->others_count; i++)
        if (use->others[i].name == interned_name)
            return use->others[i].amount;
    return 0;
}

bool ledger_use_equal(const struct ledger_use *a, const struct ledger_use *b)
{
    if (a->cpu_milli != b->cpu_milli || a->memory != b->memory ||
        a->others_count != b->others_count)
        return false;
    for (uint32_t i = 0; i < a->others_count; i++)
        if (ledger_use_of(b, a->others[i].name) != a->others[i].amount)
            return false;
    return true;
}

static void add(int64_t *sum, int64_t amount)
{
    *sum = amount > GANG_AMOUNT_MAX - *sum ? GANG_AMOUNT_MAX : *sum + amount;
}

void ledger_use_add(const struct ledger *l, const struct ledger_use *use, gang_amounts amounts)
{
    add(&amounts[GANG_CPU_MILLI], use->cpu_milli);
    add(&amounts[GANG_MEMORY], use->memory);
    add(&amounts[GANG_PODS], 1);
    for (uint32_t i = 0; i < l->devices_count; i++)
        add(&amounts[GANG_DEVICE_0 + i], ledger_use_of(use, l->devices[i]));
}
