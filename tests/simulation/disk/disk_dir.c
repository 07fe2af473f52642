/* Directories of the simulated disk: entries as seen and as durable, and the changes between. */
#include "disk_inner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t disk_entry_find(const disk_entries *entries, const char *name) {
    for (uint32_t i = 0; i < entries->count; i++) {
        if (strcmp(entries->at[i].name, name) == 0)
            return entries->at[i].inode;
    }
    return DISK_NONE;
}

static void entry_remove(disk_entries *entries, const char *name) {
    for (uint32_t i = 0; i < entries->count; i++) {
        if (strcmp(entries->at[i].name, name) == 0) {
            memmove(entries->at + i, entries->at + i + 1,
                    (entries->count - i - 1) * sizeof entries->at[0]);
            entries->count--;
            return;
        }
    }
}

static void entry_add(disk_entries *entries, const char *name, uint32_t inode) {
    entry_remove(entries, name);
    if (entries->count == entries->capacity) {
        entries->capacity = entries->capacity ? entries->capacity * 2 : 8;
        entries->at = disk_memory_more(entries->at, entries->capacity * sizeof entries->at[0]);
    }
    entries->at[entries->count].inode = inode;
    snprintf(entries->at[entries->count++].name, DISK_NAME, "%s", name);
}

void disk_entries_copy(disk_entries *to, const disk_entries *from) {
    *to = (disk_entries){.count = from->count, .capacity = from->count};
    if (!from->count)
        return;
    to->at = disk_memory(from->count * sizeof to->at[0]);
    memcpy(to->at, from->at, from->count * sizeof to->at[0]);
}

static void change_apply(disk_entries *entries, const disk_change *change) {
    if (change->name[0])
        entry_remove(entries, change->name);
    if (change->to[0])
        entry_add(entries, change->to, change->inode);
}

/* Name goes, `to` comes; each may be "". */
void disk_dir_change(disk *on, uint32_t dir, const char *name, const char *to, uint32_t inode) {
    disk_inode *own = disk_inode_own(on, dir);
    disk_change *change;
    if (own->change_count == own->change_capacity) {
        own->change_capacity = own->change_capacity ? own->change_capacity * 2 : 8;
        own->changes = disk_memory_more(own->changes, own->change_capacity * sizeof *own->changes);
    }
    change = &own->changes[own->change_count++];
    *change = (disk_change){.inode = inode};
    snprintf(change->name, sizeof change->name, "%s", name);
    snprintf(change->to, sizeof change->to, "%s", to);
    change_apply(&own->seen, change);
}

/* The first `count` changes are durable. */
void disk_dir_sync(disk *on, uint32_t dir, uint32_t count) {
    disk_inode *own = disk_inode_own(on, dir);
    for (uint32_t i = 0; i < count; i++)
        change_apply(&own->durable, &own->changes[i]);
    own->change_count -= count;
    memmove(own->changes, own->changes + count, own->change_count * sizeof *own->changes);
}

/* The next name of a path; 0: there is none. Too long a one is cut: it is not there. */
static int name_next(const char **at, char name[DISK_NAME]) {
    size_t len = 0;
    while (**at == '/')
        ++*at;
    for (; **at && **at != '/'; ++*at) {
        if (len + 1 < DISK_NAME)
            name[len++] = **at;
    }
    name[len] = 0;
    return len > 0;
}

int disk_walk(const disk *on, uint32_t from, const char *path, disk_place *ret_place) {
    disk_place place = {.dir = from, .inode = from};
    char name[DISK_NAME];
    while (name_next(&path, name)) {
        if (place.inode == DISK_NONE)
            return ENOENT;
        if (!on->inodes[place.inode]->is_dir)
            return ENOTDIR;
        place.dir = place.inode;
        place.name[0] = 0;
        if (strcmp(name, ".") == 0)
            continue;
        if (strcmp(name, "..") == 0) {
            place.inode = place.dir = on->inodes[place.dir]->parent;
            continue;
        }
        place.inode = disk_entry_find(&on->inodes[place.dir]->seen, name);
        memcpy(place.name, name, sizeof place.name);
    }
    *ret_place = place;
    return 0;
}

/* The name that leads to it, for those who watch. */
const char *disk_name_of(const disk *on, uint32_t inode) {
    for (uint32_t i = 0; i < on->inode_count; i++) {
        const disk_entries *seen = on->inodes[i] ? &on->inodes[i]->seen : NULL;
        for (uint32_t e = 0; seen && e < seen->count; e++) {
            if (seen->at[e].inode == inode)
                return seen->at[e].name;
        }
    }
    return "";
}

/* ---- looking */

static const disk_inode *inode_at(const disk *on, const char *path) {
    disk_place place;
    if (disk_walk(on, DISK_ROOT, path, &place) || place.inode == DISK_NONE)
        return NULL;
    return on->inodes[place.inode];
}

uint64_t disk_file_size(const disk *on, const char *path) {
    const disk_inode *inode = inode_at(on, path);
    return inode ? inode->size : UINT64_MAX;
}

const char *disk_file_name(const disk *on, const char *path, uint32_t number) {
    const disk_inode *inode = inode_at(on, path);
    return inode && number < inode->seen.count ? inode->seen.at[number].name : NULL;
}

void disk_file_read(const disk *on, const char *path, uint64_t offset, void *to, size_t len) {
    const disk_inode *inode = inode_at(on, path);
    if (!inode || offset >= inode->size)
        return;
    disk_bytes_read(inode, to, len < inode->size - offset ? len : inode->size - offset, offset);
}
