/* Puts into etcd: one transaction each, and what it came to.
 *
 * A slot is a key, PREFIX/p/PARTITION/s/SLOT, its value a head (checksum, the predecessor's, nonce)
 * and the batch. The transaction puts it only if
 *   the key was never created, or is deleted (create revision 0);
 *   the partition's mark, in hexadecimal digits of fixed width, is below slot + 1;
 *   the value of the slot before begins with the checksum: etcd compares no beginnings, but a value
 *     that is greater than the checksum's digits and less than these and a '!' has them and the
 *     space behind them. Not its revision: a cluster that was restored from a snapshot gives the
 *     same ones once more, to other values.
 * Else it tells mark and slot, of the same moment (judge). All that is replicated and applied as
 * one, so a put that comes late meets the mark as it is then, and one attempt that is sent again
 * while the first is under way finds the first one's key or puts its own before it.
 *
 * That the database is at its quota is said before a put is proposed, or instead of applying it;
 * but the put that takes it there is applied all the same, and answered so. Whatever it was, by
 * then it is over: a linearizable read tells (settle_full). */
#include "etcd.h"

#include <inttypes.h>
#include <string.h>

static void add_slot_key(etx__etcd_text *to,
                         unsigned field,
                         const etx__etcd_store *store,
                         const etx_put *put,
                         uint64_t slot) {
    etx__etcd_key(to, field, store, "p/%03u/s/%016" PRIx64, put->partition, slot);
}

static void compare_slot(etx__etcd_text *to, const etx__etcd_store *store, const etx_put *put) {
    size_t slot = etx__etcd_compare(to, COMPARE_CREATE_REVISION, COMPARE_EQUAL);
    add_slot_key(to, COMPARE_KEY, store, put, put->slot);
    etx__etcd_number(to, COMPARE_CREATE_REVISION, 0);
    etx__etcd_close(to, slot);
    size_t mark = etx__etcd_compare(to, COMPARE_VALUE, COMPARE_LESS);
    etx__etcd_key(to, COMPARE_KEY, store, "p/%03u/below", put->partition);
    etx__etcd_words(to, COMPARE_VALUE, "%016" PRIx64, put->slot + 1);
    etx__etcd_close(to, mark);
}

static void compare_predecessor(etx__etcd_text *to,
                                const etx__etcd_store *store,
                                const etx_put *put) {
    if (put->slot == 0) {
        if (put->predecessor == 0)
            return;
        /* it has none: what names one is refused, by what never holds */
        size_t never = etx__etcd_compare(to, COMPARE_CREATE_REVISION, COMPARE_LESS);
        add_slot_key(to, COMPARE_KEY, store, put, 0);
        etx__etcd_number(to, COMPARE_CREATE_REVISION, 0);
        etx__etcd_close(to, never);
        return;
    }
    for (int i = 0; i < 2; i++) {
        size_t start = etx__etcd_compare(to, COMPARE_VALUE, i ? COMPARE_LESS : COMPARE_GREATER);
        add_slot_key(to, COMPARE_KEY, store, put, put->slot - 1);
        etx__etcd_words(to, COMPARE_VALUE, "%08x%s", put->predecessor, i ? "!" : "");
        etx__etcd_close(to, start);
    }
}

/* Mark and slot, as judge reads them. */
static void tell_what_is(etx__etcd_text *to,
                         const etx__etcd_store *store,
                         const etx_put *put,
                         unsigned branch) {
    for (int i = 0; i < 2; i++) {
        size_t operation = etx__etcd_open(to, branch);
        size_t range = etx__etcd_open(to, OP_RANGE);
        if (i == 0)
            etx__etcd_key(to, RANGE_KEY, store, "p/%03u/below", put->partition);
        else
            add_slot_key(to, RANGE_KEY, store, put, put->slot);
        etx__etcd_close(to, range);
        etx__etcd_close(to, operation);
    }
}

/* Why nothing was put. */
static etx_put_result judge(etx_bytes answer, etx_put *put) {
    etx_slot found = {.partition = put->partition};
    uint64_t below = 0;
    if (etx__etcd_mark_read(etx__etcd_part_of(etx__etcd_found(answer, 0), RANGE_KVS, 0), &below))
        return etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, ETX_ECORRUPT,
                                  "the partition's own key is gone, or is not as ETX made it");
    if (below > put->slot) {
        put->found_trimmed = 1;
        return ETX_PUT_OCCUPIED;
    }
    etx_bytes slot = etx__etcd_part_of(etx__etcd_found(answer, 1), RANGE_KVS, 0);
    if (!slot.len)
        return ETX_PUT_PREDECESSOR;
    if (etx__etcd_slot_read(slot, &found))
        return etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, ETX_ECORRUPT,
                                  "the slot has a value that is not as ETX makes it");
    put->found_nonce = found.nonce;
    put->found_checksum = found.checksum;
    return ETX_PUT_OCCUPIED;
}

/* What became of a put that was answered with "full": nothing, unless it is there. */
static etx_put_result settle_full(etx__etcd_log *log, etx__etcd_session *session, etx_put *put) {
    char why[sizeof session->text];
    etx_bytes answer;
    memcpy(why, session->text, sizeof why);
    atomic_store(&log->full, 1);
    tell_what_is(etx__etcd_begin(session), &log->store, put, TXN_SUCCESS);
    if (etx__etcd_run(session, "KV/Txn", &answer))
        return etx__store_put_end(put, ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE, session->text);
    etx_put_result result = judge(answer, put);
    if (result == ETX_PUT_OCCUPIED && !put->found_trimmed && put->found_nonce == put->nonce &&
        put->found_checksum == put->checksum)
        return ETX_PUT_WRITTEN;
    if (result == ETX_PUT_PREDECESSOR) /* or only the room was missing */
        return etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, ETX_EFULL, why);
    return result;
}

etx_put_result etx__etcd_put(etx_log *head, etx_put *put) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    etx_bytes answer;
    etx_put_result result =
        etx__store_put_begin(&log->store.common, log->partition_count, ETX__ETCD_BATCH_MAX, put);
    if (result)
        return result;
    etx__etcd_session *session = &log->partition[put->partition].session;
    etx__etcd_text *request = etx__etcd_begin(session);
    compare_slot(request, &log->store, put);
    compare_predecessor(request, &log->store, put);
    const etx_slot slot = {.partition = put->partition,
                           .slot = put->slot,
                           .predecessor = put->predecessor,
                           .nonce = put->nonce,
                           .checksum = put->checksum,
                           .batch = put->batch};
    etx__etcd_slot_write(request, &log->store, &slot);
    tell_what_is(request, &log->store, put, TXN_FAILURE);
    etx__etcd_outcome outcome = etx__etcd_ask(session, "KV/Txn", &answer);
    if (outcome == ETX__ETCD_LOST)
        return etx__store_put_end(put, ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE, session->text);
    if (outcome == ETX__ETCD_DONE)
        result = etx__etcd_number_of(answer, TXN_SUCCEEDED) ? ETX_PUT_WRITTEN : judge(answer, put);
    else if (outcome == ETX__ETCD_REFUSED && session->rc == ETX_EFULL)
        result = settle_full(log, session, put);
    else
        result = etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, session->rc, session->text);
    if (result == ETX_PUT_WRITTEN ||
        (result == ETX_PUT_OCCUPIED && put->found_checksum == put->checksum))
        etx__etcd_sizes_take(log, put->partition, put->slot, put->batch.len);
    return result;
}
