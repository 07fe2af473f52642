/* What each slot of a partition takes, so that it is known what trimming gives without reading it:
 * etcd tells no sizes. What other processes have put counts once it is read. */
#include "etcd.h"

#include <string.h>

enum { COUNT_FIRST = 256, GAP_MAX = 4096 };

static size_t slot_cost(size_t bytes) {
    return bytes + ETX__STORE_SLOT_COST;
}

static int grow(etx__etcd_log *log, etx__etcd_sizes *sizes) {
    const etx_allocator *allocator = &log->allocator;
    size_t size = sizes->size ? 2 * sizes->size : COUNT_FIRST;
    uint32_t *bytes = allocator->allocate(allocator->user, size * sizeof *bytes);
    if (!bytes)
        return ETX_ENOMEM;
    if (sizes->bytes) {
        memcpy(bytes, sizes->bytes, sizes->count * sizeof *bytes);
        allocator->release(allocator->user, sizes->bytes, sizes->size * sizeof *bytes);
    }
    sizes->bytes = bytes;
    sizes->size = size;
    return 0;
}

/* Without memory for it a slot is not counted. */
static void add(etx__etcd_log *log, etx__etcd_sizes *sizes, uint32_t bytes) {
    if (sizes->count == sizes->size && grow(log, sizes))
        return;
    sizes->bytes[sizes->count++] = bytes;
    sizes->all += bytes;
}

void etx__etcd_sizes_take(etx__etcd_log *log, uint32_t number, uint64_t slot, size_t bytes) {
    etx__etcd_sizes *sizes = &log->partition[number].sizes;
    uint64_t next = sizes->first + sizes->count;
    if (slot < sizes->first || slot > next + GAP_MAX) {
        sizes->count = 0;
        sizes->all = 0;
    }
    if (sizes->count == 0) {
        sizes->first = slot;
        next = slot;
    }
    for (; next < slot; next++)
        add(log, sizes, 0);
    if (slot == next)
        add(log, sizes, (uint32_t)slot_cost(bytes));
    atomic_store(&log->partition[number].bytes, sizes->all);
}

void etx__etcd_sizes_drop(etx__etcd_log *log, uint32_t number, uint64_t below) {
    etx__etcd_sizes *sizes = &log->partition[number].sizes;
    uint64_t gone = below > sizes->first ? below - sizes->first : 0;
    size_t count = gone < sizes->count ? (size_t)gone : sizes->count;
    for (size_t i = 0; i < count; i++)
        sizes->all -= sizes->bytes[i];
    sizes->count -= count;
    sizes->first += count;
    if (count > 0)
        memmove(sizes->bytes, sizes->bytes + count, sizes->count * sizeof *sizes->bytes);
    atomic_store(&log->partition[number].bytes, sizes->all);
}

void etx__etcd_sizes_free(etx__etcd_log *log, uint32_t number) {
    etx__etcd_sizes *sizes = &log->partition[number].sizes;
    if (sizes->bytes)
        log->allocator.release(log->allocator.user, sizes->bytes,
                               sizes->size * sizeof *sizes->bytes);
    *sizes = (etx__etcd_sizes){.bytes = NULL};
}
