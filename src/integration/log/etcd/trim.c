/* Trims an etcd log: the mark, then the keys. What they took is used again only after etcd was
 * compacted: see upkeep.c. */
#include "etcd.h"

#include <inttypes.h>
#include <string.h>

enum { KEYS = 500 };

/* Raises the mark to `below`, if that slot is there: so the newest one stays. */
static int raise_mark(etx__etcd_log *log, uint32_t number, uint64_t below, json_t **ret_answer) {
    etx__etcd_session *session = &log->partition[number].session;
    const etx__etcd_store *store = &log->store;
    etx__etcd_text *to = etx__etcd_begin(session);
    etx__etcd_text_add(to, "{\"compare\":[{");
    etx__etcd_text_key(to, store, "key", "p/%03u/below", number);
    etx__etcd_text_add(to, ",\"target\":\"VALUE\",\"result\":\"LESS\",");
    etx__etcd_text_value(to, "value", "%016" PRIx64, below);
    etx__etcd_text_add(to, "},{");
    etx__etcd_text_key(to, store, "key", "p/%03u/s/%016" PRIx64, number, below);
    etx__etcd_text_add(to,
                       ",\"target\":\"CREATE\",\"result\":\"GREATER\",\"create_revision\":\"0\"}]"
                       ",\"success\":[{\"request_put\":{");
    etx__etcd_text_key(to, store, "key", "p/%03u/below", number);
    etx__etcd_text_add(to, ",");
    etx__etcd_text_value(to, "value", "%016" PRIx64, below);
    etx__etcd_text_add(to, "}}],\"failure\":[{\"request_range\":{");
    etx__etcd_text_key(to, store, "key", "p/%03u/below", number);
    etx__etcd_text_add(to, "}},{\"request_range\":{");
    etx__etcd_text_key(to, store, "key", "p/%03u/s/", number);
    etx__etcd_text_add(to, ",");
    etx__etcd_text_key(to, store, "range_end", "p/%03u/s0", number);
    etx__etcd_text_add(to, ",\"limit\":\"1\",\"sort_order\":\"DESCEND\",\"keys_only\":true}}]}");
    return etx__etcd_run(session, "/v3/kv/txn", ret_answer);
}

/* What to raise it to instead; `below` again where there is nothing to raise. */
static int lower(const json_t *answer, uint64_t *below, uint64_t *ret_mark) {
    etx__etcd_text text = {.bytes = NULL};
    uint64_t newest = 0;
    int rc = etx__etcd_first(answer, 0, &text);
    rc = rc ? ETX_ECORRUPT : etx__etcd_mark_read(&text, ret_mark);
    const json_t *kvs = etx__etcd_found(answer, 1);
    if (!rc && kvs)
        rc = etx__etcd_decode(json_array_get(kvs, 0), "key", &text);
    if (!rc && kvs)
        rc = etx__etcd_slot_number(&text, &newest);
    if (!rc && newest < *below)
        *below = newest;
    etx__etcd_text_free(&text);
    return rc;
}

static int set_mark(etx__etcd_log *log, uint32_t number, uint64_t below, uint64_t *ret_mark) {
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        json_t *answer = NULL;
        *ret_mark = below;
        rc = raise_mark(log, number, below, &answer);
        int raised = rc == 0 && json_is_true(json_object_get(answer, "succeeded"));
        rc = rc || raised ? rc : lower(answer, &below, ret_mark);
        json_decref(answer);
        if (raised || (rc == 0 && below <= *ret_mark))
            return rc;
    }
    return rc;
}

/* The first slot that is there. */
static int find_first(etx__etcd_log *log, uint32_t number, uint64_t *ret_first) {
    etx__etcd_session *session = &log->partition[number].session;
    etx__etcd_text *to = etx__etcd_begin(session);
    json_t *answer = NULL;
    etx__etcd_text_add(to, "{");
    etx__etcd_text_key(to, &log->store, "key", "p/%03u/s/", number);
    etx__etcd_text_add(to, ",");
    etx__etcd_text_key(to, &log->store, "range_end", "p/%03u/s0", number);
    etx__etcd_text_add(to, ",\"limit\":\"1\",\"keys_only\":true}");
    int rc = etx__etcd_run(session, "/v3/kv/range", &answer);
    const json_t *kvs = json_object_get(answer, "kvs");
    if (!rc && json_array_size(kvs)) {
        rc = etx__etcd_decode(json_array_get(kvs, 0), "key", to);
        rc = rc ? rc : etx__etcd_slot_number(to, ret_first);
    }
    json_decref(answer);
    return rc;
}

static int delete_some(etx__etcd_log *log, uint32_t number, uint64_t from, uint64_t to) {
    etx__etcd_session *session = &log->partition[number].session;
    etx__etcd_text *text = etx__etcd_begin(session);
    json_t *answer = NULL;
    etx__etcd_text_add(text, "{");
    etx__etcd_text_key(text, &log->store, "key", "p/%03u/s/%016" PRIx64, number, from);
    etx__etcd_text_add(text, ",");
    etx__etcd_text_key(text, &log->store, "range_end", "p/%03u/s/%016" PRIx64, number, to);
    etx__etcd_text_add(text, "}");
    int rc = etx__etcd_run(session, "/v3/kv/deleterange", &answer);
    json_decref(answer);
    return rc;
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
