/* The records of a slot, whichever of ETX's codecs wrote them. */
#include <etx/codec_json.h>

#include "log_command.h"

/* The codec that a batch was written with, or NULL. */
static const etx_codec *find_codec(unsigned id) {
    if (id == etx_codec_binary()->id) {
        return etx_codec_binary();
    }
    return id == etx_codec_json()->id ? etx_codec_json() : NULL;
}

/* Decodes one record, growing the room as it needs. */
static int decode_record(const log_records *all,
                         const etx_codec *codec,
                         etx_bytes bytes,
                         etx_record *ret_record,
                         size_t *ret_used) {
    int rc;
    while ((rc = codec->decode(bytes, all->room, ret_record, ret_used)) == ETX_EBUSY) {
        rc = etx_record_room_grow(all->room);
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}

int etx__log_records(const etx_slot *slot, const log_records *all) {
    const unsigned char *data = slot->batch.data;
    const etx_codec *codec = slot->batch.len > 0 ? find_codec(data[0]) : NULL;
    size_t at = 1;
    if (codec == NULL) {
        snprintf(all->message, all->size,
                 "partition %u, slot %llu: written with codec %d, which this 'etx' does not have",
                 slot->partition, (unsigned long long)slot->slot,
                 slot->batch.len == 0 ? 0 : data[0]);
        return ETX_EVERSION;
    }
    while (at < slot->batch.len) {
        etx_bytes rest = {data + at, slot->batch.len - at};
        etx_record record;
        size_t used = 0;
        int rc = decode_record(all, codec, rest, &record, &used);
        if (rc != 0) {
            snprintf(all->message, all->size,
                     "partition %u, slot %llu, byte %zu of the batch: no record", slot->partition,
                     (unsigned long long)slot->slot, at);
            return rc;
        }
        at += used;
        rc = all->each(slot, &record, all->user);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}
