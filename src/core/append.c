/* Appending: a record is made where the outputs hold it, judged, numbered and applied. */
#include "rules.h"

#include <string.h>

#include "../protocol/assert.h"

/* What is new leaves whole spans for what has begun, whatever the size of its blocks; and what
 * lasts (results, reasons) leaves some for calls, without which nothing ends. */
static uint32_t spans_to_keep(const etx__core *core, const etx_record *record) {
    int is_new =
        record->type == ETX_RECORD_BEGIN || record->type == ETX_RECORD_ENLIST ||
        (record->type == ETX_RECORD_DECIDE && (record->u.decide.marks & ETX_MARK_NEVER_BEGUN));
    return etx__spans_for_calls(core) * (is_new ? 2 : 1);
}

etx_record *etx__record_next(etx__core *core, etx_record_type type, etx_bytes gid) {
    etx__out *out = core->out;
    etx_assert(out->record_count < ETX__OUT_MAX);
    etx_record *record = &out->record[out->record_count];
    memset(record, 0, sizeof *record);
    record->type = (uint8_t)type;
    record->gid = gid;
    return record;
}

static int append(etx__core *core,
                  etx__entry *known,
                  uint32_t hash,
                  etx_record *record,
                  int waited,
                  int want,
                  etx__entry **ret_entry) {
    int rc = etx__admit(core, known, record);
    if (rc != 0) {
        return rc;
    }
    etx__out *out = core->out;
    etx_assert(record == &out->record[out->record_count]);
    const etx__tx *body = known != NULL && record->type == ETX_RECORD_END ? known->tx : NULL;
    core->pool.spans_kept = spans_to_keep(core, record);
    etx__entry *entry = etx__apply(core, known, hash, record, core->seq + 1, &rc);
    core->pool.spans_kept = 0;
    if (rc != 0) {
        etx_assert(rc == ETX_EBUSY); /* what was admitted lacks nothing but memory */
        return etx__refuse(core, rc, "memory_max is used up: try again later");
    }
    etx_assert(entry != NULL);
    if (record->type == ETX_RECORD_DECIDE && entry->tx != NULL) { /* as much as is kept */
        record->u.decide.reason = (etx_bytes){entry->tx->s.reason, entry->tx->s.reason_len};
    }
    record->gid = (etx_bytes){entry->gid, entry->gid_len};
    out->record_body[out->record_count] = body;
    out->record_entry[out->record_count++] = etx__entry_number(core, entry);
    core->seq++;
    entry->last_seq = core->seq;
    if (waited) {
        entry->rests_on = core->seq;
    }
    if (record->type == ETX_RECORD_DECIDE && entry->tx != NULL) {
        entry->tx->r.decided_seq = core->seq;
    }
    out->want |= (uint8_t)(want != 0);
    *ret_entry = entry;
    return 0;
}

int etx__append(etx__core *core, etx__entry *entry, etx_record *record, int waited, int want) {
    return append(core, entry, 0, record, waited, want, &entry);
}

int etx__append_first(etx__core *core,
                      const etx__event *event,
                      etx_record *record,
                      etx__entry **ret_entry) {
    return append(core, NULL, event->hash, record, 1, 1, ret_entry);
}
