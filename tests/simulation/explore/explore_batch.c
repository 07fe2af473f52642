/* Batches of encoded records, under numbers: joined, read, printed. */
#include "explore.h"

#include <string.h>

enum { BATCH = 8192 };

etx_bytes explore_batch_bytes(const explore_cores *c, uint32_t batch) {
    return explore_intern_at(&c->bytes, batch);
}

int explore_decode(explore_cores *c, etx_bytes bytes, etx_record *ret_record, size_t *ret_used) {
    int rc;
    do {
        rc = c->codec->decode(bytes, &c->room, ret_record, ret_used);
    } while (rc == ETX_EBUSY && etx_record_room_grow(&c->room) == 0);
    return rc;
}

uint32_t explore_batch_join(explore_cores *c, uint32_t batch, uint32_t records) {
    uint64_t value;
    uint64_t key = (uint64_t)batch << 32 | records;
    if (!explore_memo_get(&c->joined, key, 1, &value)) {
        uint8_t both[BATCH];
        int is_new;
        etx_bytes first = explore_batch_bytes(c, batch);
        etx_bytes second = explore_intern_at(&c->bytes, records);
        memcpy(both, first.data, first.len);
        memcpy(both + first.len, second.data, second.len);
        value = explore_intern_bytes(&c->bytes, both, first.len + second.len, &is_new);
        explore_memo_put(&c->joined, key, 1, value);
    }
    return (uint32_t)value;
}

uint32_t explore_batch_without(explore_cores *c, uint32_t batch, unsigned begun) {
    uint8_t kept[BATCH];
    size_t len = 1;
    int is_new;
    etx_bytes bytes = explore_batch_bytes(c, batch);
    const uint8_t *at = bytes.data;
    kept[0] = at[0];
    for (size_t i = 1; i < bytes.len;) {
        etx_record record;
        size_t used = 0;
        if (explore_decode(c, (etx_bytes){at + i, bytes.len - i}, &record, &used) != 0) {
            break;
        }
        if (!(begun & (1u << explore_tx_of(record.gid)))) {
            memcpy(kept + len, at + i, used);
            len += used;
        }
        i += used;
    }
    return explore_intern_bytes(&c->bytes, kept, len, &is_new);
}

uint32_t explore_batch_own(explore_cores *c, uint64_t nonce) {
    uint8_t bytes[256];
    int is_new;
    etx_record own = {.type = ETX_RECORD_OWN};
    own.u.own.nonce = nonce;
    own.u.own.time_ms = 1;
    own.u.own.node = (etx_bytes){"node", 4};
    bytes[0] = c->codec->id;
    size_t len = 1 + c->codec->encode(&own, bytes + 1);
    return explore_intern_bytes(&c->bytes, bytes, len, &is_new);
}

static void say(const etx_record *record, explore_said *said) {
    uint8_t bit = record->gid.len > 0 ? (uint8_t)(1u << explore_tx_of(record->gid)) : 0;
    said->own |= record->type == ETX_RECORD_OWN;
    said->begin |= record->type == ETX_RECORD_BEGIN ? bit : 0;
    said->end |= record->type == ETX_RECORD_END ? bit : 0;
    if (record->type == ETX_RECORD_DECIDE) {
        said->commit |= record->u.decide.commit ? bit : 0;
        said->abort |= record->u.decide.commit ? 0 : bit;
    }
}

explore_said explore_batch_said(explore_cores *c, uint32_t batch) {
    explore_said said;
    uint64_t value = 0;
    memset(&said, 0, sizeof said);
    if (!explore_memo_get(&c->joined, batch, 2, &value)) {
        etx_bytes bytes = explore_batch_bytes(c, batch);
        const uint8_t *at = bytes.data;
        for (size_t i = 1; i < bytes.len;) {
            etx_record record;
            size_t used = 0;
            if (explore_decode(c, (etx_bytes){at + i, bytes.len - i}, &record, &used) != 0) {
                break;
            }
            say(&record, &said);
            i += used;
        }
        memcpy(&value, &said, sizeof said);
        explore_memo_put(&c->joined, batch, 2, value);
    }
    memcpy(&said, &value, sizeof said);
    return said;
}

static void print_record(FILE *to, const etx_record *record) {
    fprintf(to, "%s", etx_record_name(record->type));
    if (record->gid.len > 0) {
        fprintf(to, " %.*s", (int)record->gid.len, (const char *)record->gid.data);
    }
    if (record->type == ETX_RECORD_DECIDE) {
        fprintf(to, " %s", record->u.decide.commit ? "commit" : "abort");
    } else if (record->type == ETX_RECORD_RESULT) {
        fprintf(to, "/%c %s %s", 'a' + record->u.result.branch,
                record->u.result.operation == ETX_FORWARD  ? "forward"
                : record->u.result.operation == ETX_COMMIT ? "commit"
                                                           : "undo",
                etx_reply_name((etx_reply)record->u.result.reply));
    } else if (record->type == ETX_RECORD_ENLIST) {
        fprintf(to, "/%c", *(const char *)record->u.enlist.branch.name.data);
    } else if (record->type == ETX_RECORD_OWN) {
        fprintf(to, " claim %u", (unsigned)record->u.own.nonce);
    }
}

void explore_batch_print(explore_cores *c, FILE *to, uint32_t batch) {
    etx_bytes bytes = explore_batch_bytes(c, batch);
    const uint8_t *at = bytes.data;
    fprintf(to, "[");
    for (size_t i = 1; i < bytes.len;) {
        etx_record record;
        size_t used = 0;
        if (explore_decode(c, (etx_bytes){at + i, bytes.len - i}, &record, &used) != 0) {
            break;
        }
        fprintf(to, "%s", i > 1 ? ", " : "");
        print_record(to, &record);
        i += used;
    }
    fprintf(to, "]");
}
