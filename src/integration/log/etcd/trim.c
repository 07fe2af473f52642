/* Trims an etcd log: the mark, then the keys. What they took is used again only after etcd was
 * compacted: see upkeep.c. */
#include "etcd.h"

#include <inttypes.h>
#include <string.h>

enum { KEYS = 500 };

static void add_range(etx__etcd_log *log, etx__etcd_text *to, uint32_t number) {
    etx__etcd_key(to, RANGE_KEY, &log->store, "p/%03u/s/", number);
    etx__etcd_key(to, RANGE_END, &log->store, "p/%03u/s0", number);
    etx__etcd_number(to, RANGE_LIMIT, 1);
    etx__etcd_number(to, RANGE_KEYS_ONLY, 1);
}

static void compare_mark(etx__etcd_log *log, etx__etcd_text *to, uint32_t number, uint64_t below) {
    size_t mark = etx__etcd_compare(to, COMPARE_VALUE, COMPARE_LESS);
    etx__etcd_key(to, COMPARE_KEY, &log->store, "p/%03u/below", number);
    etx__etcd_words(to, COMPARE_VALUE, "%016" PRIx64, below);
    etx__etcd_close(to, mark);
    size_t slot = etx__etcd_compare(to, COMPARE_CREATE_REVISION, COMPARE_GREATER);
    etx__etcd_key(to, COMPARE_KEY, &log->store, "p/%03u/s/%016" PRIx64, number, below);
    etx__etcd_number(to, COMPARE_CREATE_REVISION, 0);
    etx__etcd_close(to, slot);
}

/* The mark, and the newest slot's key. */
static void tell_what_is(etx__etcd_log *log, etx__etcd_text *to, uint32_t number) {
    for (int i = 0; i < 2; i++) {
        size_t operation = etx__etcd_open(to, TXN_FAILURE);
        size_t range = etx__etcd_open(to, OP_RANGE);
        if (i == 0) {
            etx__etcd_key(to, RANGE_KEY, &log->store, "p/%03u/below", number);
        } else {
            add_range(log, to, number);
            etx__etcd_number(to, RANGE_ORDER, RANGE_ORDER_DESCEND);
        }
        etx__etcd_close(to, range);
        etx__etcd_close(to, operation);
    }
}

/* Raises the mark to `below`, if that slot is there: so the newest one stays. */
static int raise_mark(etx__etcd_log *log, uint32_t number, uint64_t below, etx_bytes *ret_answer) {
    etx__etcd_session *session = &log->partition[number].session;
    etx__etcd_text *to = etx__etcd_begin(session);
    compare_mark(log, to, number, below);
    etx__etcd_mark_write(to, &log->store, number, below);
    tell_what_is(log, to, number);
    return etx__etcd_run(session, "KV/Txn", ret_answer);
}

/* What to raise it to instead; `below` again where there is nothing to raise. */
static int lower(etx_bytes answer, uint64_t *below, uint64_t *ret_mark) {
    etx_bytes mark = etx__etcd_part_of(etx__etcd_found(answer, 0), RANGE_KVS, 0);
    etx_bytes slot = etx__etcd_part_of(etx__etcd_found(answer, 1), RANGE_KVS, 0);
    uint64_t newest = *below;
    int rc = etx__etcd_mark_read(mark, ret_mark);
    if (!rc && slot.len)
        rc = etx__etcd_slot_number(slot, &newest);
    if (!rc && newest < *below)
        *below = newest;
    return rc;
}

static int set_mark(etx__etcd_log *log, uint32_t number, uint64_t below, uint64_t *ret_mark) {
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        etx_bytes answer;
        *ret_mark = below;
        rc = raise_mark(log, number, below, &answer);
        int raised = rc == 0 && etx__etcd_number_of(answer, TXN_SUCCEEDED);
        rc = rc || raised ? rc : lower(answer, &below, ret_mark);
        if (raised || (rc == 0 && below <= *ret_mark))
            return rc;
    }
    return rc;
}

/* The first slot that is there. */
static int find_first(etx__etcd_log *log, uint32_t number, uint64_t *ret_first) {
    etx__etcd_session *session = &log->partition[number].session;
    etx_bytes answer;
    add_range(log, etx__etcd_begin(session), number);
    int rc = etx__etcd_run(session, "KV/Range", &answer);
    etx_bytes kv = etx__etcd_part_of(answer, RANGE_KVS, 0);
    return rc || !kv.len ? rc : etx__etcd_slot_number(kv, ret_first);
}

static int delete_some(etx__etcd_log *log, uint32_t number, uint64_t from, uint64_t to) {
    etx__etcd_session *session = &log->partition[number].session;
    etx__etcd_text *text = etx__etcd_begin(session);
    etx_bytes answer;
    etx__etcd_key(text, DELETE_KEY, &log->store, "p/%03u/s/%016" PRIx64, number, from);
    etx__etcd_key(text, DELETE_END, &log->store, "p/%03u/s/%016" PRIx64, number, to);
    return etx__etcd_run(session, "KV/DeleteRange", &answer);
}

int etx__etcd_trim(etx_log *head, uint32_t number, uint64_t below) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    uint64_t mark = 0;
    uint64_t from;
    if (log->store.common.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    int rc = set_mark(log, number, below, &mark);
    from = mark;
    rc = rc ? rc : find_first(log, number, &from);
    while (rc == 0 && from < mark) {
        uint64_t to = mark - from > KEYS ? from + KEYS : mark;
        rc = delete_some(log, number, from, to);
        from = to;
    }
    if (rc)
        return rc == ETX_ENOMEM || rc == ETX_ECORRUPT ? ETX_EIO : ETX_EUNAVAILABLE;
    etx__etcd_sizes_drop(log, number, mark);
    return 0;
}
