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
 * Else it tells mark and slot, of the same moment (judge). All that is replicated and applied as one, so a
 * put that comes late meets the mark as it is then, and one attempt that is sent again while the
 * first is under way finds the first one's key or puts its own before it.
 *
 * That the database is at its quota is said before a put is proposed, or instead of applying it;
 * but the put that takes it there is applied all the same, and answered so. Whatever it was, by
 * then it is over: a linearizable read tells (settle_full). */
#include "etcd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void compare_slot(etx__etcd_text *to, const etx__etcd_store *store, const etx_put *put) {
    etx__etcd_text_add(to, "{\"compare\":[{");
    etx__etcd_text_key(to, store, "key", "p/%03u/s/%016" PRIx64, put->partition, put->slot);
    etx__etcd_text_add(to, ",\"target\":\"CREATE\",\"create_revision\":\"0\"},{");
    etx__etcd_text_key(to, store, "key", "p/%03u/below", put->partition);
    etx__etcd_text_add(to, ",\"target\":\"VALUE\",\"result\":\"LESS\",");
    etx__etcd_text_value(to, "value", "%016" PRIx64, put->slot + 1);
}

static void compare_predecessor(etx__etcd_text *to,
                                const etx__etcd_store *store,
                                const etx_put *put) {
    if (put->slot == 0) { /* has none: what names one is refused, by what never holds */
        etx__etcd_text_add(to, "},{");
        etx__etcd_text_key(to, store, "key", "p/%03u/below", put->partition);
        etx__etcd_text_add(to, ",\"target\":\"VERSION\",\"result\":\"%s\",\"version\":\"0\"}]",
                           put->predecessor ? "LESS" : "GREATER");
        return;
    }
    for (int i = 0; i < 2; i++) {
        etx__etcd_text_add(to, "},{");
        etx__etcd_text_key(to, store, "key", "p/%03u/s/%016" PRIx64, put->partition, put->slot - 1);
        etx__etcd_text_add(to, ",\"target\":\"VALUE\",\"result\":\"%s\",", i ? "LESS" : "GREATER");
        etx__etcd_text_value(to, "value", "%08x%s", put->predecessor, i ? "!" : "");
    }
    etx__etcd_text_add(to, "}]");
}

/* The head has a multiple of three bytes: so its base64 and the batch's are that of both. */
static void write_slot(etx__etcd_text *to, const etx__etcd_store *store, const etx_put *put) {
    char head[ETX__ETCD_HEAD + 1];
    snprintf(head, sizeof head, "%08x %08x %016" PRIx64 " \n", put->checksum, put->predecessor,
             put->nonce);
    etx__etcd_text_add(to, ",\"success\":[{\"request_put\":{");
    etx__etcd_text_key(to, store, "key", "p/%03u/s/%016" PRIx64, put->partition, put->slot);
    etx__etcd_text_add(to, ",\"value\":\"");
    etx__etcd_text_base64(to, head, ETX__ETCD_HEAD);
    etx__etcd_text_base64(to, put->batch.data, put->batch.len);
    etx__etcd_text_add(to, "\"}}]");
}

static void tell_what_is(etx__etcd_text *to,
                         const etx__etcd_store *store,
                         const etx_put *put,
                         const char *branch) {
    etx__etcd_text_add(to, "\"%s\":[{\"request_range\":{", branch);
    etx__etcd_text_key(to, store, "key", "p/%03u/below", put->partition);
    etx__etcd_text_add(to, "}},{\"request_range\":{");
    etx__etcd_text_key(to, store, "key", "p/%03u/s/%016" PRIx64, put->partition, put->slot);
    etx__etcd_text_add(to, "}}]}");
}

/* Why nothing was put. */
static etx_put_result judge(const json_t *answer, etx_put *put, etx__etcd_text *value) {
    etx_slot found = {.partition = put->partition};
    uint64_t below = 0;
    int rc = etx__etcd_first(answer, 0, value);
    if (rc || etx__etcd_mark_read(value, &below))
        return etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, ETX_ECORRUPT,
                                  "the partition's own key is gone, or is not as ETX made it");
    if (below > put->slot) {
        put->found_trimmed = 1;
        return ETX_PUT_OCCUPIED;
    }
    rc = etx__etcd_first(answer, 1, value);
    if (rc == ETX_ENOTFOUND)
        return ETX_PUT_PREDECESSOR;
    if (rc || etx__etcd_slot_read(value, &found))
        return etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, ETX_ECORRUPT,
                                  "the slot has a value that is not as ETX makes it");
    put->found_nonce = found.nonce;
    put->found_checksum = found.checksum;
    return ETX_PUT_OCCUPIED;
}

/* What became of a put that was answered with "full": nothing, unless it is there. */
static etx_put_result settle_full(etx__etcd_log *log, etx__etcd_session *session, etx_put *put) {
    etx__etcd_text *request = etx__etcd_begin(session);
    json_t *answer = NULL;
    char why[sizeof session->text];
    memcpy(why, session->text, sizeof why);
    atomic_store(&log->full, 1);
    etx__etcd_text_add(request, "{");
    tell_what_is(request, &log->store, put, "success");
    if (etx__etcd_run(session, "/v3/kv/txn", &answer))
        return etx__store_put_end(put, ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE, session->text);
    etx_put_result result = judge(answer, put, request);
    json_decref(answer);
    if (result == ETX_PUT_OCCUPIED && !put->found_trimmed && put->found_nonce == put->nonce &&
        put->found_checksum == put->checksum)
        return ETX_PUT_WRITTEN;
    if (result == ETX_PUT_PREDECESSOR) /* or only the room was missing */
        return etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, ETX_EFULL, why);
    return result;
}

/* What an answer without an error says. */
static etx_put_result take_answer(json_t *answer, etx_put *put, etx__etcd_text *value) {
    etx_put_result result = json_is_true(json_object_get(answer, "succeeded"))
                                ? ETX_PUT_WRITTEN
                                : judge(answer, put, value);
    json_decref(answer);
    return result;
}

etx_put_result etx__etcd_put(etx_log *head, etx_put *put) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    json_t *answer = NULL;
    etx_put_result result =
        etx__store_put_begin(&log->store.common, log->partition_count, ETX__ETCD_BATCH_MAX, put);
    if (result)
        return result;
    etx__etcd_session *session = &log->partition[put->partition].session;
    etx__etcd_text *request = etx__etcd_begin(session);
    compare_slot(request, &log->store, put);
    compare_predecessor(request, &log->store, put);
    write_slot(request, &log->store, put);
    etx__etcd_text_add(request, ",");
    tell_what_is(request, &log->store, put, "failure");
    etx__etcd_outcome outcome = etx__etcd_ask(session, "/v3/kv/txn", &answer);
    if (outcome == ETX__ETCD_LOST)
        return etx__store_put_end(put, ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE, session->text);
    if (outcome == ETX__ETCD_DONE)
        result = take_answer(answer, put, request);
    else if (outcome == ETX__ETCD_REFUSED && session->rc == ETX_EFULL)
        result = settle_full(log, session, put);
    else
        result = etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, session->rc, session->text);
    if (result == ETX_PUT_WRITTEN ||
        (result == ETX_PUT_OCCUPIED && put->found_checksum == put->checksum))
        etx__etcd_sizes_take(log, put->partition, put->slot, put->batch.len);
    return result;
}
