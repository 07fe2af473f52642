/* The serialization interface: how records become bytes in a slot, and bytes records again. */
#ifndef ETX_CODEC_H
#define ETX_CODEC_H

#include <etx/record.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ETX_CODEC_VERSION 1

/* Where decode puts what a record needs beyond itself; begin with zeros. The caller owns the
 * arrays; what decode put there holds until the room is used again. If one is too small decode
 * returns ETX_EBUSY and has set every `_need`. */
typedef struct etx_record_room {
    etx_record_branch *branches;
    etx_record_progress *progress;
    uint16_t *depends_on;
    size_t branches_max; /* of `branches` and of `progress` */
    size_t depends_on_max;
    size_t branches_need;
    size_t depends_on_need;
    unsigned char *bytes; /* what a codec had to unescape; the binary codec needs none */
    size_t bytes_max;
    size_t bytes_need;
} etx_record_room;

/* A codec is stateless; its functions may be called from any thread, also at the same time. A
 * slot's batch is one byte, the codec's id, then records one behind another. */
typedef struct etx_codec {
    uint32_t version; /* ETX_CODEC_VERSION */
    uint8_t id;       /* on disk: 1 binary, 2 json; 128 and above for others */
    const char *name;
    /* An upper bound of what encode will write for the record. */
    size_t (*bound)(const etx_record *record);
    /* Writes the record and returns how many bytes; `buffer` has at least bound() bytes. 0: the
     * record is one that decode would refuse (etx_record_check). */
    size_t (*encode)(const etx_record *record, void *buffer);
    /* Reads one record from the start of bytes. The record's bytes point into `bytes` (or, for a
     * codec that must unescape, into room->bytes). What encode wrote reads back equal; empty
     * bytes as {NULL, 0}. On an error only the room was written.
     * Errors: ETX_ECORRUPT (not a record), ETX_EVERSION (a record type or field of a newer
     * version), ETX_EBUSY (the room is too small), ETX_ENOMEM (a codec that allocates). */
    int (*decode)(etx_bytes bytes, etx_record_room *room, etx_record *ret_record, size_t *ret_used);
} etx_codec;

/* The compact codec of the log: docs/record-format.md describes it. Static. Any thread. */
ETX_API const etx_codec *etx_codec_binary(void);
/* Grows a room that began with zeros to what decode said it needs (by malloc); what was in it is
 * lost. Errors: ETX_ENOMEM (the room is as it was). */
ETX_API int etx_record_room_grow(etx_record_room *room);
/* Frees what grow made, and leaves zeros. */
ETX_API void etx_record_room_free(etx_record_room *room);

#ifdef __cplusplus
}
#endif
#endif
