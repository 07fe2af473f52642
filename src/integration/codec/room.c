/* The room that decode fills: growing it, freeing it. */
#include <etx/codec.h>

#include <stdlib.h>
#include <string.h>

/* At least double, so that a log of growing records does not grow the room at each of them. */
static size_t pick_count(size_t have, size_t need) {
    return need > 2 * have ? need : 2 * have;
}

int etx_record_room_grow(etx_record_room *room) {
    if (room == NULL) {
        return ETX_EINVALID;
    }
    etx_record_room grown = *room;
    int more_branches = room->branches_need > room->branches_max;
    int more_depends_on = room->depends_on_need > room->depends_on_max;
    int more_bytes = room->bytes_need > room->bytes_max;
    if (more_branches) {
        grown.branches_max = pick_count(room->branches_max, room->branches_need);
        grown.branches = calloc(grown.branches_max, sizeof *grown.branches);
        grown.progress = calloc(grown.branches_max, sizeof *grown.progress);
    }
    if (more_depends_on) {
        grown.depends_on_max = pick_count(room->depends_on_max, room->depends_on_need);
        grown.depends_on = calloc(grown.depends_on_max, sizeof *grown.depends_on);
    }
    if (more_bytes) {
        grown.bytes_max = pick_count(room->bytes_max, room->bytes_need);
        grown.bytes = malloc(grown.bytes_max);
    }
    int failed = (more_branches && (grown.branches == NULL || grown.progress == NULL)) ||
                 (more_depends_on && grown.depends_on == NULL) ||
                 (more_bytes && grown.bytes == NULL);
    /* Of each pair of arrays one is now to be freed: the new ones if any is missing. */
    etx_record_room *dropped = failed ? &grown : room;
    free(more_branches ? dropped->branches : NULL);
    free(more_branches ? dropped->progress : NULL);
    free(more_depends_on ? dropped->depends_on : NULL);
    free(more_bytes ? dropped->bytes : NULL);
    if (failed) {
        return ETX_ENOMEM;
    }
    *room = grown;
    return 0;
}

void etx_record_room_free(etx_record_room *room) {
    if (room == NULL) {
        return;
    }
    free(room->branches);
    free(room->progress);
    free(room->depends_on);
    free(room->bytes);
    memset(room, 0, sizeof *room);
}
