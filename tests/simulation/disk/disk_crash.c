/* Crashes of the simulated disk: what of the unsynced is there afterwards. */
#include "disk_inner.h"

#include <stdlib.h>

/* Directories first: a change that is lost may take a file with it. */
static void dirs_crash(disk *on, disk_choose_fn choose, void *user) {
    for (uint32_t i = 0; i < on->inode_count; i++) {
        const disk_inode *inode = on->inodes[i];
        if (!inode || !inode->is_dir || !inode->change_count)
            continue;
        uint32_t kept = choose(user, inode->change_count + 1);
        disk_inode *own = disk_inode_own(on, i);
        disk_dir_sync(on, i, kept);
        own->change_count = 0;
        free(own->seen.at);
        disk_entries_copy(&own->seen, &own->durable);
    }
}

static void file_crash(disk *on, uint32_t index, disk_choose_fn choose, void *user) {
    disk_inode *inode = disk_inode_own(on, index);
    uint64_t size = inode->size;
    if (size != inode->size_durable && !choose(user, 2))
        size = inode->size_durable;
    for (uint32_t page = 0; page < inode->pages; page++) {
        uint8_t kept = 0;
        for (uint32_t i = 0; i < DISK_PAGE / DISK_SECTOR; i++) {
            uint64_t at = (uint64_t)page * DISK_PAGE + (uint64_t)i * DISK_SECTOR;
            if (inode->dirty[page] & 1u << i && at < size && choose(user, 2))
                kept |= (uint8_t)(1u << i);
        }
        disk_page_settle(inode, page, kept);
    }
    inode->size = size;
    if (inode->allocated < size)
        inode->allocated = size;
    inode->size_durable = size;
}

static int is_settled(const disk_inode *inode) {
    for (uint32_t page = 0; page < inode->pages; page++) {
        if (inode->dirty[page] || inode->dropped[page])
            return 0;
    }
    return inode->size == inode->size_durable;
}

void disk_crash(disk *on, disk_choose_fn choose, void *user) {
    disk_close_all(on);
    dirs_crash(on, choose, user);
    disk_collect(on);
    for (uint32_t i = 0; i < on->inode_count; i++) {
        const disk_inode *inode = on->inodes[i];
        if (inode && !inode->is_dir && !is_settled(inode))
            file_crash(on, i, choose, user);
    }
}

/* ---- choices */

uint64_t disk_rng_next(disk_rng *rng) {
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint32_t disk_rng_choose(void *user, uint32_t ways) {
    static const uint8_t biases[] = {0, 1, 8, 15, 16};
    disk_rng *rng = user;
    uint64_t bits = disk_rng_next(rng);
    if (bits % 8 == 0 || !rng->bias)
        rng->bias = 1u + biases[(bits >> 8) % sizeof biases];
    if (ways == 2)
        return (bits >> 32) % 16 + 1 < rng->bias;
    return (uint32_t)((bits >> 32) % ways);
}

/* Beyond its length a script picks nothing. */
uint32_t disk_script_choose(void *user, uint32_t ways) {
    disk_script *script = user;
    if (script->at >= DISK_SCRIPT_MAX || ways > UINT16_MAX)
        return 0;
    if (script->at >= script->count) {
        script->picks[script->at] = 0;
        script->count = script->at + 1;
    }
    script->ways[script->at] = (uint16_t)ways;
    return script->picks[script->at++];
}

int disk_script_next(disk_script *script) {
    script->count = script->at;
    script->at = 0;
    while (script->count) {
        if (++script->picks[script->count - 1] < script->ways[script->count - 1])
            return 1;
        script->count--;
    }
    return 0;
}

uint32_t disk_counter_choose(void *user, uint32_t ways) {
    disk_counter *counter = user;
    counter->ways = counter->ways < counter->most / ways ? counter->ways * ways : counter->most;
    return ways - 1;
}
