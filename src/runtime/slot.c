/* The records of a slot. */
#include "slot.h"

#include <stdio.h>

int etx__slot_each(const etx_engine *engine,
                   const etx_slot *slot,
                   etx_record_room *room,
                   etx__record_fn each,
                   void *user,
                   size_t *ret_at) {
    const uint8_t *bytes = slot->batch.data;
    const etx_codec *codec = slot->batch.len > 0 ? etx__engine_codec_of(engine, bytes[0]) : NULL;
    *ret_at = 0;
    if (codec == NULL) {
        return ETX_EVERSION;
    }
    for (size_t at = 1; at < slot->batch.len;) {
        etx_record record;
        size_t used = 0;
        *ret_at = at;
        int rc = codec->decode((etx_bytes){bytes + at, slot->batch.len - at}, room, &record, &used);
        if (rc == ETX_EBUSY) {
            if (etx__record_room_grow(&engine->allocator, room) != 0) {
                return ETX_ENOMEM;
            }
            continue;
        }
        rc = rc != 0 ? rc : each(&record, at, user);
        if (rc != 0) {
            return rc;
        }
        at += used;
    }
    return 0;
}

void etx__slot_codec_lacks(const etx_slot *slot, char *to, size_t size) {
    enum { JSON = 2 }; /* docs/record-format.md */
    unsigned id = slot->batch.len > 0 ? *(const uint8_t *)slot->batch.data : 0;
    snprintf(to, size,
             id == JSON ? "written with codec %u, JSON, which this program does not load: "
                          "docs/record-format.md says how (etx_engine_codec)"
                        : "written with codec %u, none of ETX's own: only a program that has it "
                          "can read the log (etx_engine_codec)",
             id);
}
