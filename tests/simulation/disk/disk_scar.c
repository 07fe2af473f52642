/* Damage on the simulated disk: bits that were turned over, and what becomes of them. */
#include "disk_inner.h"

#include <string.h>

static int is_in(const disk_scar *scar, uint32_t page, uint8_t sectors) {
    return scar->offset / DISK_PAGE == page &&
           (sectors & 1u << scar->offset % DISK_PAGE / DISK_SECTOR) != 0;
}

void disk_scars_written(disk_inode *inode, uint64_t from, uint64_t to) {
    for (int i = 0; i < DISK_SCARS; i++) {
        if (inode->scars[i].offset >= from && inode->scars[i].offset < to)
            inode->scars[i].seen = 0;
    }
}

void disk_scars_synced(disk_inode *inode, uint32_t page, uint8_t sectors) {
    for (int i = 0; i < DISK_SCARS; i++) {
        if (is_in(&inode->scars[i], page, sectors))
            inode->scars[i].durable = inode->scars[i].seen;
    }
}

void disk_scars_reread(disk_inode *inode, uint32_t page, uint8_t sectors) {
    for (int i = 0; i < DISK_SCARS; i++) {
        if (is_in(&inode->scars[i], page, sectors))
            inode->scars[i].seen = inode->scars[i].durable;
    }
}

/* One that is none any more, or else the oldest; the newest is the last. */
static disk_scar *scar_new(disk_inode *inode) {
    int at = 0;
    while (at < DISK_SCARS - 1 && (inode->scars[at].seen || inode->scars[at].durable))
        at++;
    if (inode->scars[at].seen || inode->scars[at].durable)
        at = 0;
    memmove(&inode->scars[at], &inode->scars[at + 1],
            (size_t)(DISK_SCARS - 1 - at) * sizeof inode->scars[0]);
    return &inode->scars[DISK_SCARS - 1];
}

static void byte_turn(disk *on, uint32_t index, uint64_t offset, uint8_t mask) {
    uint64_t size = on->inodes[index]->size_durable;
    uint8_t byte;
    disk_bytes_read(on->inodes[index], &byte, 1, offset);
    byte ^= mask;
    disk_bytes_write(on, index, &byte, 1, offset);
    disk_range_sync(on, index, offset, offset + 1);
    disk_inode_own(on, index)->size_durable = size;
}

void disk_file_flip(disk *on, const char *path, uint64_t offset, unsigned bit) {
    disk_place place;
    uint8_t mask = (uint8_t)(1u << bit % 8);
    if (disk_walk(on, DISK_ROOT, path, &place) || place.inode == DISK_NONE ||
        offset >= on->inodes[place.inode]->size)
        return;
    byte_turn(on, place.inode, offset, mask);
    *scar_new(disk_inode_own(on, place.inode)) =
        (disk_scar){.offset = offset, .mask = mask, .seen = 1, .durable = 1};
}

static int is_seen(const disk_inode *inode, const disk_scar *scar) {
    return scar->seen && scar->offset < inode->size;
}

/* Those of `path`, or all. */
static int is_meant(const disk *on, uint32_t index, const char *path) {
    disk_place place;
    return !path || (disk_walk(on, DISK_ROOT, path, &place) == 0 && place.inode == index);
}

int disk_is_damaged(const disk *on, const char *path) {
    for (uint32_t i = 0; i < on->inode_count; i++) {
        for (int s = 0; on->inodes[i] && s < DISK_SCARS; s++) {
            if (is_seen(on->inodes[i], &on->inodes[i]->scars[s]) && is_meant(on, i, path))
                return 1;
        }
    }
    return 0;
}

void disk_mend(disk *on, const char *path) {
    for (uint32_t i = 0; i < on->inode_count; i++) {
        for (int s = 0; on->inodes[i] && s < DISK_SCARS; s++) {
            const disk_scar scar = on->inodes[i]->scars[s];
            if (is_seen(on->inodes[i], &scar) && is_meant(on, i, path))
                byte_turn(on, i, scar.offset, scar.mask);
        }
    }
}
