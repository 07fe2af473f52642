/* The room that decode fills: growing it, freeing it. */
#include "room.h"

#include <stdlib.h>
#include <string.h>

/* At least double, so that a log of growing records does not grow the room at each of them. */
static size_t pick_count(size_t have, size_t need) {
    return need > 2 * have ? need : 2 * have;
}

static void *take(const etx_allocator *allocator, size_t count, size_t size) {
    return count <= SIZE_MAX / size ? allocator->allocate(allocator->user, count * size) : NULL;
}

static void give(const etx_allocator *allocator, void *block, size_t size) {
    if (block != NULL) {
        allocator->release(allocator->user, block, size);
    }
}

static void give_branches(const etx_allocator *allocator, const etx_record_room *room) {
    give(allocator, room->branches, room->branches_max * sizeof *room->branches);
    give(allocator, room->progress, room->branches_max * sizeof *room->progress);
}

static void give_depends_on(const etx_allocator *allocator, const etx_record_room *room) {
    give(allocator, room->depends_on, room->depends_on_max * sizeof *room->depends_on);
}

static void give_bytes(const etx_allocator *allocator, const etx_record_room *room) {
    give(allocator, room->bytes, room->bytes_max);
}

int etx__record_room_grow(const etx_allocator *allocator, etx_record_room *room) {
    etx_record_room grown = *room;
    int more_branches = room->branches_need > room->branches_max;
    int more_depends_on = room->depends_on_need > room->depends_on_max;
    int more_bytes = room->bytes_need > room->bytes_max;
    if (more_branches) {
        grown.branches_max = pick_count(room->branches_max, room->branches_need);
        grown.branches = take(allocator, grown.branches_max, sizeof *grown.branches);
        grown.progress = take(allocator, grown.branches_max, sizeof *grown.progress);
    }
    if (more_depends_on) {
        grown.depends_on_max = pick_count(room->depends_on_max, room->depends_on_need);
        grown.depends_on = take(allocator, grown.depends_on_max, sizeof *grown.depends_on);
    }
    if (more_bytes) {
        grown.bytes_max = pick_count(room->bytes_max, room->bytes_need);
        grown.bytes = take(allocator, grown.bytes_max, 1);
    }
    int failed = (more_branches && (grown.branches == NULL || grown.progress == NULL)) ||
                 (more_depends_on && grown.depends_on == NULL) ||
                 (more_bytes && grown.bytes == NULL);
    /* Of each pair of arrays one is now to be freed: the new ones if any is missing. */
    const etx_record_room *dropped = failed ? &grown : room;
    if (more_branches) {
        give_branches(allocator, dropped);
    }
    if (more_depends_on) {
        give_depends_on(allocator, dropped);
    }
    if (more_bytes) {
        give_bytes(allocator, dropped);
    }
    if (failed) {
        return ETX_ENOMEM;
    }
    *room = grown;
    return 0;
}

void etx__record_room_free(const etx_allocator *allocator, etx_record_room *room) {
    give_branches(allocator, room);
    give_depends_on(allocator, room);
    give_bytes(allocator, room);
    memset(room, 0, sizeof *room);
}

/* ---- of malloc's */

static void *plain_allocate(void *user, size_t size) {
    (void)user;
    return calloc(1, size);
}

static void plain_release(void *user, void *block, size_t size) {
    (void)user;
    (void)size;
    free(block);
}

static const etx_allocator plain = {plain_allocate, plain_release, NULL};

int etx_record_room_grow(etx_record_room *room) {
    return room != NULL ? etx__record_room_grow(&plain, room) : ETX_EINVALID;
}

void etx_record_room_free(etx_record_room *room) {
    if (room != NULL) {
        etx__record_room_free(&plain, room);
    }
}
