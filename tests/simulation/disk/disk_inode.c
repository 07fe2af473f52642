/* Files of the simulated disk: what readers see of each sector, and what is durable. */
#include "disk_inner.h"

#include <stdlib.h>
#include <string.h>

static void page_release(disk_page *page) {
    if (page && --page->refs == 0)
        free(page);
}

static disk_page *page_share(disk_page *page) {
    if (page)
        page->refs++;
    return page;
}

/* The page at *at, for writing. */
static disk_page *page_own(disk_page **at) {
    disk_page *page = *at;
    if (page && page->refs == 1)
        return page;
    disk_page *fresh = malloc(sizeof *fresh);
    if (!fresh)
        abort();
    fresh->refs = 1;
    if (page)
        memcpy(fresh->bytes, page->bytes, DISK_PAGE);
    else
        memset(fresh->bytes, 0, DISK_PAGE);
    page_release(page);
    *at = fresh;
    return fresh;
}

static int all_zero(const uint8_t *bytes, size_t len) {
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/* Do two pages agree in a sector? */
static int sector_same(const disk_page *a, const disk_page *b, uint32_t sector) {
    size_t at = (size_t)sector * DISK_SECTOR;
    if (a == b)
        return 1;
    if (!a || !b)
        return all_zero((a ? a : b)->bytes + at, DISK_SECTOR);
    return memcmp(a->bytes + at, b->bytes + at, DISK_SECTOR) == 0;
}

void disk_inode_release(disk_inode *inode) {
    if (!inode || --inode->refs)
        return;
    for (uint32_t i = 0; i < inode->pages; i++) {
        page_release(inode->cache[i]);
        page_release(inode->platter[i]);
    }
    free(inode->cache);
    free(inode->platter);
    free(inode->dirty);
    free(inode->dropped);
    free(inode->seen.at);
    free(inode->durable.at);
    free(inode->changes);
    free(inode);
}

static void *bytes_copy(const void *from, size_t len) {
    void *to = disk_memory(len ? len : 1);
    if (len)
        memcpy(to, from, len);
    return to;
}

static disk_inode *inode_copy(const disk_inode *from) {
    disk_inode *to = disk_memory(sizeof *to);
    *to = *from;
    to->refs = 1;
    to->cache = bytes_copy(from->cache, from->pages * sizeof *to->cache);
    to->platter = bytes_copy(from->platter, from->pages * sizeof *to->platter);
    to->dirty = bytes_copy(from->dirty, from->pages);
    to->dropped = bytes_copy(from->dropped, from->pages);
    for (uint32_t i = 0; i < to->pages; i++) {
        page_share(to->cache[i]);
        page_share(to->platter[i]);
    }
    disk_entries_copy(&to->seen, &from->seen);
    disk_entries_copy(&to->durable, &from->durable);
    to->changes = bytes_copy(from->changes, from->change_count * sizeof *to->changes);
    to->change_capacity = from->change_count;
    return to;
}

disk_inode *disk_inode_own(disk *on, uint32_t index) {
    disk_inode *inode = on->inodes[index];
    if (inode->refs > 1) {
        disk_inode *own = inode_copy(inode);
        inode->refs--;
        on->inodes[index] = own;
        return own;
    }
    return inode;
}

uint32_t disk_inode_new(disk *on, int is_dir, uint32_t parent) {
    uint32_t index = 0;
    disk_collect(on);
    while (index < on->inode_count && on->inodes[index])
        index++;
    if (index == on->inode_count) {
        uint32_t count = on->inode_count ? on->inode_count * 2 : 8;
        on->inodes = disk_memory_more(on->inodes, count * sizeof *on->inodes);
        for (uint32_t i = on->inode_count; i < count; i++)
            on->inodes[i] = NULL;
        on->inode_count = count;
    }
    on->inodes[index] = disk_memory(sizeof *on->inodes[index]);
    on->inodes[index]->refs = 1;
    on->inodes[index]->is_dir = is_dir != 0;
    on->inodes[index]->parent = parent;
    on->inodes[index]->number = ++on->next_number;
    return index;
}

static void entries_mark(uint8_t *wanted, const disk_entries *entries) {
    for (uint32_t i = 0; i < entries->count; i++)
        wanted[entries->at[i].inode] = 1;
}

/* Frees what no name, pending change or descriptor leads to. */
void disk_collect(disk *on) {
    const disk_table *table = disk_table_now();
    if (!on->inode_count)
        return;
    uint8_t *wanted = disk_memory(on->inode_count);
    wanted[DISK_ROOT] = 1;
    for (int i = 0; i < table->fd_high; i++) {
        if (table->fds[i].on == on)
            wanted[table->fds[i].inode] = 1;
    }
    for (uint32_t i = 0; i < on->inode_count; i++) {
        const disk_inode *inode = on->inodes[i];
        if (!inode)
            continue;
        entries_mark(wanted, &inode->seen);
        entries_mark(wanted, &inode->durable);
        for (uint32_t c = 0; c < inode->change_count; c++) {
            if (inode->changes[c].inode != DISK_NONE)
                wanted[inode->changes[c].inode] = 1;
        }
    }
    for (uint32_t i = 0; i < on->inode_count; i++) {
        if (!wanted[i] && on->inodes[i]) {
            disk_inode_release(on->inodes[i]);
            on->inodes[i] = NULL;
        }
    }
    free(wanted);
}

uint64_t disk_used(disk *on) {
    uint64_t used = 0;
    disk_collect(on);
    for (uint32_t i = 0; i < on->inode_count; i++) {
        if (on->inodes[i])
            used += (on->inodes[i]->allocated + DISK_PAGE - 1) / DISK_PAGE * DISK_PAGE;
    }
    return used;
}

static void pages_reserve(disk_inode *inode, uint64_t size) {
    uint32_t need = (uint32_t)((size + DISK_PAGE - 1) / DISK_PAGE);
    uint32_t have = inode->pages;
    if (need <= have)
        return;
    if (need < have * 2)
        need = have * 2;
    inode->cache = disk_memory_more(inode->cache, need * sizeof *inode->cache);
    inode->platter = disk_memory_more(inode->platter, need * sizeof *inode->platter);
    inode->dirty = disk_memory_more(inode->dirty, need);
    inode->dropped = disk_memory_more(inode->dropped, need);
    memset(inode->cache + have, 0, (need - have) * sizeof *inode->cache);
    memset(inode->platter + have, 0, (need - have) * sizeof *inode->platter);
    memset(inode->dirty + have, 0, need - have);
    memset(inode->dropped + have, 0, need - have);
    inode->pages = need;
}

/* Notes which of the written sectors a sync would have to write. */
static void sectors_note(disk_inode *inode, uint32_t page, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++) {
        uint8_t bit = (uint8_t)(1u << i);
        inode->dropped[page] &= (uint8_t)~bit;
        if (sector_same(inode->cache[page], inode->platter[page], i)) {
            inode->dirty[page] &= (uint8_t)~bit;
            disk_scars_synced(inode, page, bit);
        } else {
            inode->dirty[page] |= bit;
        }
    }
}

static void page_write(disk_inode *inode,
                       uint32_t page,
                       const uint8_t *from,
                       size_t within,
                       size_t len) {
    if (len == DISK_PAGE && all_zero(from, len)) {
        page_release(inode->cache[page]);
        inode->cache[page] = NULL;
    } else {
        memcpy(page_own(&inode->cache[page])->bytes + within, from, len);
    }
    sectors_note(inode, page, (uint32_t)(within / DISK_SECTOR),
                 (uint32_t)((within + len + DISK_SECTOR - 1) / DISK_SECTOR));
}

/* Into the page cache. */
void disk_bytes_write(disk *on, uint32_t index, const uint8_t *from, size_t len, uint64_t offset) {
    disk_inode *inode = disk_inode_own(on, index);
    pages_reserve(inode, offset + len);
    if (offset + len > inode->size)
        inode->size = offset + len;
    if (offset + len > inode->allocated)
        inode->allocated = offset + len;
    disk_scars_written(inode, offset, offset + len);
    while (len) {
        size_t within = offset % DISK_PAGE;
        size_t part = len < DISK_PAGE - within ? len : DISK_PAGE - within;
        page_write(inode, (uint32_t)(offset / DISK_PAGE), from, within, part);
        from += part;
        offset += part;
        len -= part;
    }
}

/* The caller has seen that it lies below the size. */
void disk_bytes_read(const disk_inode *inode, void *to, size_t len, uint64_t offset) {
    uint8_t *at = to;
    while (len) {
        uint32_t page = (uint32_t)(offset / DISK_PAGE);
        size_t within = offset % DISK_PAGE;
        size_t part = len < DISK_PAGE - within ? len : DISK_PAGE - within;
        if (page < inode->pages && inode->cache[page])
            memcpy(at, inode->cache[page]->bytes + within, part);
        else
            memset(at, 0, part);
        at += part;
        offset += part;
        len -= part;
    }
}

/* As seen. What is cut off reads as zeros if the file grows again. */
void disk_size_set(disk *on, uint32_t index, uint64_t size) {
    disk_inode *inode = disk_inode_own(on, index);
    disk_scars_written(inode, size, UINT64_MAX);
    for (uint64_t at = size; at < inode->size;) {
        uint32_t page = (uint32_t)(at / DISK_PAGE);
        size_t within = at % DISK_PAGE;
        if (page < inode->pages && inode->cache[page]) {
            memset(page_own(&inode->cache[page])->bytes + within, 0, DISK_PAGE - within);
            if (!within) {
                page_release(inode->cache[page]);
                inode->cache[page] = NULL;
            }
        }
        if (page < inode->pages)
            sectors_note(inode, page, (uint32_t)(within / DISK_SECTOR), DISK_PAGE / DISK_SECTOR);
        at += DISK_PAGE - within;
    }
    if (size < inode->size)
        inode->allocated = size;
    else if (size > inode->allocated)
        inode->allocated = size;
    pages_reserve(inode, size);
    inode->size = size;
}

/* Makes the sectors in `mask` durable. */
static void page_sync(disk_inode *inode, uint32_t page, uint8_t mask) {
    uint8_t written = inode->dirty[page] & mask;
    if (!written)
        return;
    if (written == inode->dirty[page] && !inode->dropped[page]) {
        page_release(inode->platter[page]);
        inode->platter[page] = page_share(inode->cache[page]);
    } else {
        disk_page *to = page_own(&inode->platter[page]);
        for (uint32_t i = 0; i < DISK_PAGE / DISK_SECTOR; i++) {
            size_t at = (size_t)i * DISK_SECTOR;
            if (!(written & 1u << i))
                continue;
            if (inode->cache[page])
                memcpy(to->bytes + at, inode->cache[page]->bytes + at, DISK_SECTOR);
            else
                memset(to->bytes + at, 0, DISK_SECTOR);
        }
    }
    inode->dirty[page] &= (uint8_t)~written;
    disk_scars_synced(inode, page, written);
}

/* Whole sectors from `from` to `to`, and the size. */
void disk_range_sync(disk *on, uint32_t index, uint64_t from, uint64_t to) {
    disk_inode *inode = disk_inode_own(on, index);
    if (to > inode->size)
        to = inode->size;
    for (uint64_t at = from / DISK_PAGE; at * DISK_PAGE < to; at++) {
        uint8_t mask = 0xff;
        uint64_t begin = at * DISK_PAGE;
        if (begin < from)
            mask = (uint8_t)(mask << (from - begin) / DISK_SECTOR);
        if (begin + DISK_PAGE > to)
            mask &= (uint8_t)((1u << (to - begin + DISK_SECTOR - 1) / DISK_SECTOR) - 1);
        page_sync(inode, (uint32_t)at, mask);
    }
    inode->size_durable = inode->size;
}

/* A sync that fails: every keep-th dirty sector is durable, no other ever will be. */
void disk_file_drop(disk *on, uint32_t index, uint64_t keep) {
    disk_inode *inode = disk_inode_own(on, index);
    uint64_t seen = 0;
    for (uint32_t page = 0; page < inode->pages; page++) {
        uint8_t kept = 0;
        for (uint32_t i = 0; i < DISK_PAGE / DISK_SECTOR; i++) {
            if (inode->dirty[page] & 1u << i && keep && ++seen % keep == 0)
                kept |= (uint8_t)(1u << i);
        }
        page_sync(inode, page, kept);
        inode->dropped[page] |= inode->dirty[page];
        inode->dirty[page] = 0;
    }
}

/* After a crash: of the dirty sectors those in `kept` are durable, and all see what is. */
void disk_page_settle(disk_inode *inode, uint32_t page, uint8_t kept) {
    page_sync(inode, page, kept);
    inode->dirty[page] = 0;
    inode->dropped[page] = 0;
    page_release(inode->cache[page]);
    inode->cache[page] = page_share(inode->platter[page]);
    disk_scars_reread(inode, page, 0xff);
}

/* Memory was short: what no sync will write is forgotten, so the disk is read again. */
void disk_evict(disk *on) {
    for (uint32_t i = 0; i < on->inode_count; i++) {
        const disk_inode *inode = on->inodes[i];
        for (uint32_t page = 0; inode && page < inode->pages; page++) {
            uint8_t dropped = inode->dropped[page];
            if (!dropped)
                continue;
            disk_inode *own = disk_inode_own(on, i);
            disk_page *to = page_own(&own->cache[page]);
            inode = own;
            for (uint32_t s = 0; s < DISK_PAGE / DISK_SECTOR; s++) {
                size_t at = (size_t)s * DISK_SECTOR;
                if (!(dropped & 1u << s))
                    continue;
                if (own->platter[page])
                    memcpy(to->bytes + at, own->platter[page]->bytes + at, DISK_SECTOR);
                else
                    memset(to->bytes + at, 0, DISK_SECTOR);
            }
            own->dropped[page] = 0;
            disk_scars_reread(own, page, dropped);
        }
    }
}
