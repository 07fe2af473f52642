/* An etcd log that takes the place of another: nobody opens it while PREFIX/log says who copies.
 * And one whose place another takes.
 *
 * No transaction of etcd has room for a log, so it is made in many. Each compares PREFIX/log: who
 * was overtaken by another copy adds nothing to that, however late his request comes. */
#include "etcd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    OPERATIONS = 100,        /* of a transaction; --max-txn-ops is 128, unless it was changed */
    REQUEST_BYTES = 1 << 20, /* of what is sent at once, unless one slot has more */
    KEYS = 500               /* that are deleted at once */
};

static int fail(const etx__etcd_log *log, char *message, size_t message_size) {
    return etx__store_say(message, message_size, log->care.rc, "%s", log->care.text);
}

/* ---- the place */

/* The first and the last key of the first marks and slots that there are; without bytes: none. */
static int find_keys(etx__etcd_log *log, uint32_t most, etx_bytes *ret_first, etx_bytes *ret_last) {
    etx__etcd_text *to = etx__etcd_begin(&log->care);
    etx__etcd_field one;
    etx_bytes answer;
    etx__etcd_key(to, RANGE_KEY, &log->store, "p/%03u/", 0);
    etx__etcd_key(to, RANGE_END, &log->store, "p/%03u/", ETX__STORE_PARTITIONS_MAX);
    etx__etcd_number(to, RANGE_LIMIT, most);
    etx__etcd_number(to, RANGE_KEYS_ONLY, 1);
    int rc = etx__etcd_run(&log->care, "KV/Range", &answer);
    *ret_first = (etx_bytes){NULL, 0};
    *ret_last = *ret_first;
    while (rc == 0 && etx__etcd_next(&answer, &one)) {
        if (one.field == RANGE_KVS) {
            *ret_last = etx__etcd_part_of(one.bytes, KV_KEY, 0);
            *ret_first = ret_first->len ? *ret_first : *ret_last;
        }
    }
    return rc;
}

static int delete_range(etx__etcd_log *log, etx_bytes first, etx_bytes last) {
    etx__etcd_text *to = etx__etcd_begin(&log->care);
    etx__etcd_meta_compare(log, to);
    size_t operation = etx__etcd_open(to, TXN_SUCCESS);
    size_t range = etx__etcd_open(to, OP_DELETE);
    etx__etcd_bytes(to, DELETE_KEY, first.data, first.len);
    size_t end = etx__etcd_open(to, DELETE_END); /* what comes behind the last one */
    etx__etcd_text_add(to, last.data, last.len);
    etx__etcd_text_add(to, "", 1);
    etx__etcd_close(to, end);
    etx__etcd_close(to, range);
    etx__etcd_close(to, operation);
    return etx__etcd_meta_send(log, NULL);
}

/* What an earlier copy has left. */
static int delete_keys(etx__etcd_log *log) {
    etx_bytes first;
    etx_bytes last;
    int rc = find_keys(log, KEYS, &first, &last);
    while (rc == 0 && first.len) {
        rc = delete_range(log, first, last);
        rc = rc ? rc : find_keys(log, KEYS, &first, &last);
    }
    return rc;
}

/* Nothing is there, or what an earlier copy has left. */
static int check_place(etx__etcd_log *log) {
    etx_bytes first = {NULL, 0};
    etx_bytes last;
    int rc = etx__etcd_meta_find(log);
    int absent = rc == ETX_ENOTFOUND;
    if (absent)
        rc = find_keys(log, 1, &first, &last);
    if (rc || (absent ? !first.len : etx__etcd_meta_is_copy(log)))
        return rc;
    etx__etcd_say(&log->care, ETX_EBUSY,
                  "there is a log, or something else, below %s/ in this etcd: name another prefix",
                  log->store.place.path);
    return ETX_EBUSY;
}

/* Before the database is at its quota, and takes nothing more of anybody. */
static int check_room(etx__etcd_log *log) {
    int rc = etx__etcd_upkeep(log);
    if (rc || !atomic_load(&log->full))
        return rc;
    etx__etcd_say(&log->care, ETX_EFULL,
                  "etcd's database has %" PRIu64 " MiB, and takes no more writes at %" PRIu64
                  " MiB: compact and defragment it, or raise --quota-backend-bytes",
                  log->db_bytes >> 20, log->quota_bytes >> 20);
    return ETX_EFULL;
}

static int begin(etx__etcd_log *log, const char *id) {
    char value[ETX__ETCD_META_MAX + 1];
    snprintf(value, sizeof value, "etx-log version=0 id=%s partitions=%u copying=%s", id,
             log->store.common.partitions, log->store.common.process);
    snprintf(log->id, sizeof log->id, "%s", id);
    int rc = check_place(log);
    rc = rc ? rc : etx__etcd_meta_change(log, value, NULL);
    rc = rc ? rc : delete_keys(log);
    rc = rc ? rc : check_room(log);
    return rc ? rc : etx__etcd_meta_put_marks(log);
}

/* ---- slots */

/* Sends what has come together. */
static int flush(etx__etcd_log *log) {
    if (!log->operations)
        return 0;
    log->operations = 0;
    int rc = etx__etcd_meta_send(log, NULL);
    return rc ? rc : check_room(log);
}

static void add_slot(etx__etcd_log *log, const etx_slot *slot) {
    etx__etcd_text *to = &log->care.request;
    if (!log->operations)
        etx__etcd_meta_compare(log, etx__etcd_begin(&log->care));
    if (!log->copied[slot->partition])
        etx__etcd_mark_write(to, &log->store, slot->partition, slot->slot);
    etx__etcd_slot_write(to, &log->store, slot);
    log->copied[slot->partition] = 1;
    log->operations += 2;
}

/* ---- the functions of etx_log_ops */

int etx__etcd_copy_begin(const etx_log_config *config,
                         const etx_log_info *source,
                         etx_log **ret_log) {
    etx__etcd_log *log = NULL;
    if (source->partitions > ETX__STORE_PARTITIONS_MAX)
        return etx__store_say(config->message, config->message_size, ETX_EINVALID,
                              "an etcd log has at most %d partitions", ETX__STORE_PARTITIONS_MAX);
    int rc = etx__etcd_new(config, &log);
    if (rc)
        return rc;
    log->store.common.partitions = source->partitions;
    log->copied = calloc(source->partitions, 1);
    if (!log->copied)
        etx__etcd_say(&log->care, ETX_ENOMEM, "out of memory");
    rc = log->copied ? begin(log, source->id) : ETX_ENOMEM;
    if (rc) {
        fail(log, config->message, config->message_size);
        etx__etcd_close_log(&log->head, 1);
        return rc;
    }
    *ret_log = &log->head;
    return 0;
}

int etx__etcd_copy_slot(etx_log *head, const etx_slot *slot, char *message, size_t message_size) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    int rc = 0;
    if (log->operations + 2 > OPERATIONS ||
        (log->operations && log->care.request.len + slot->batch.len > REQUEST_BYTES))
        rc = flush(log);
    if (rc)
        return fail(log, message, message_size);
    add_slot(log, slot);
    if (slot->batch.len <= REQUEST_BYTES)
        return 0;
    rc = flush(log);
    if (rc == ETX_EINVALID) /* more than etcd takes */
        return etx__store_say(message, message_size, rc,
                              "slot %" PRIu64
                              " of partition %u has %zu bytes: for the copy start etcd's members "
                              "with --max-request-bytes=%zu",
                              slot->slot, slot->partition, slot->batch.len,
                              slot->batch.len + (64 << 10));
    return rc ? fail(log, message, message_size) : 0;
}

int etx__etcd_copy_end(etx_log *head, int whole, char *message, size_t message_size) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    char value[ETX__ETCD_META_MAX + 1];
    etx__etcd_outcome outcome = ETX__ETCD_DONE;
    int rc = 0;
    if (whole) {
        snprintf(value, sizeof value, "etx-log version=%d id=%s partitions=%u", ETX__ETCD_VERSION,
                 log->id, log->store.common.partitions);
        rc = flush(log);
        rc = rc ? rc : etx__etcd_meta_change(log, value, &outcome);
        /* "full" may be said of what was applied */
        if (outcome == ETX__ETCD_LOST || (outcome == ETX__ETCD_REFUSED && rc == ETX_EFULL))
            log->care.rc = ETX_EUNKNOWN;
        rc = rc ? fail(log, message, message_size) : 0;
    }
    etx__etcd_close_log(head, 1);
    return rc;
}

int etx__etcd_retire(etx_log *head,
                     etx_retirement what,
                     const char *words,
                     char *message,
                     size_t message_size) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    char value[ETX__ETCD_META_MAX + 1];
    if (log->store.common.read_only)
        return etx__store_say(message, message_size, ETX_EINVALID,
                              "the log is open for reading only");
    int len = snprintf(value, sizeof value, "etx-log version=%d id=%s partitions=%u",
                       ETX__ETCD_VERSION, log->id, log->partition_count);
    if (what != ETX_RETIRE_NOT)
        snprintf(value + len, sizeof value - (size_t)len, " retired=%d %s", (int)what, words);
    if (etx__etcd_meta_change(log, value, NULL))
        return fail(log, message, message_size);
    log->retired = (uint8_t)what;
    return 0;
}
