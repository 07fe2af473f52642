/* The keys of an etcd log: made once, or found and looked at.
 *
 * PREFIX/log                     its version, id and number of partitions, in words
 * PREFIX/p/PARTITION/below       the trim mark, in 16 hexadecimal digits
 * PREFIX/p/PARTITION/s/SLOT      a slot
 * PREFIX/n/NODE                  a node: its process and its address; on an etcd lease
 * PREFIX/l/PARTITION             the node that has the partition; on an etcd lease
 *
 * The first is put last, and only while it is not there: two that make a log at once put the same
 * marks, as long as there is no log, and one of them makes it. */
#include "etcd.h"

#include <stdio.h>
#include <string.h>

enum { MARKS_AT_ONCE = 64 }; /* --max-txn-ops is 128, unless it was changed */

static void compare_absent(etx__etcd_log *log, etx__etcd_text *to) {
    size_t absent = etx__etcd_compare(to, COMPARE_CREATE_REVISION, COMPARE_EQUAL);
    etx__etcd_key(to, COMPARE_KEY, &log->store, "log");
    etx__etcd_number(to, COMPARE_CREATE_REVISION, 0);
    etx__etcd_close(to, absent);
}

static int put_marks(etx__etcd_log *log, uint32_t from, uint32_t to) {
    etx__etcd_text *text = etx__etcd_begin(&log->care);
    etx_bytes answer;
    compare_absent(log, text);
    for (uint32_t i = from; i < to; i++) {
        size_t operation = etx__etcd_open(text, TXN_SUCCESS);
        size_t mark = etx__etcd_open(text, OP_PUT);
        etx__etcd_key(text, PUT_KEY, &log->store, "p/%03u/below", i);
        etx__etcd_words(text, PUT_VALUE, "%016x", 0);
        etx__etcd_close(text, mark);
        etx__etcd_close(text, operation);
    }
    return etx__etcd_run(&log->care, "KV/Txn", &answer);
}

static int put_meta(etx__etcd_log *log) {
    etx__etcd_text *text = etx__etcd_begin(&log->care);
    char id[ETX_HOME_ID_LEN + 1];
    etx_bytes answer;
    if (etx__store_id_draw(id)) {
        etx__etcd_say(&log->care, ETX_EIO, "the system gives no random numbers");
        return ETX_EIO;
    }
    compare_absent(log, text);
    size_t operation = etx__etcd_open(text, TXN_SUCCESS);
    size_t meta = etx__etcd_open(text, OP_PUT);
    etx__etcd_key(text, PUT_KEY, &log->store, "log");
    etx__etcd_words(text, PUT_VALUE, "etx-log version=%d id=%s partitions=%u", ETX__ETCD_VERSION,
                    id, log->store.common.partitions);
    etx__etcd_close(text, meta);
    etx__etcd_close(text, operation);
    return etx__etcd_run(&log->care, "KV/Txn", &answer);
}

static int make(etx__etcd_log *log) {
    uint32_t count = log->store.common.partitions;
    int rc = 0;
    for (uint32_t from = 0; rc == 0 && from < count; from += MARKS_AT_ONCE)
        rc = put_marks(log, from, count - from > MARKS_AT_ONCE ? from + MARKS_AT_ONCE : count);
    return rc ? rc : put_meta(log);
}

static int take_meta(etx__etcd_log *log, etx_bytes value) {
    unsigned version = 0;
    unsigned partitions = 0;
    char id[ETX_HOME_ID_LEN + 1] = "";
    char words[200];
    const char *prefix = log->store.place.path;
    snprintf(words, sizeof words, "%.*s", (int)(value.len < sizeof words ? value.len : 0),
             value.len ? (const char *)value.data : "");
    if (sscanf(words, "etx-log version=%u id=%7s partitions=%u", &version, id, &partitions) < 1) {
        etx__etcd_say(&log->care, ETX_EINVALID,
                      "the key %s/log is not that of an ETX log: name another prefix", prefix);
        return ETX_EINVALID;
    }
    if (version > ETX__ETCD_VERSION) {
        etx__etcd_say(&log->care, ETX_EVERSION,
                      "the log below %s/ has version %u, made by a newer ETX: this one knows %d",
                      prefix, version, ETX__ETCD_VERSION);
        return ETX_EVERSION;
    }
    if (version == 0 || strlen(id) != ETX_HOME_ID_LEN || partitions < 1 ||
        partitions > ETX__STORE_PARTITIONS_MAX) {
        etx__etcd_say(&log->care, ETX_ECORRUPT, "the key %s/log is not as ETX made it", prefix);
        return ETX_ECORRUPT;
    }
    memcpy(log->id, id, sizeof log->id);
    log->partition_count = partitions;
    return 0;
}

/* ETX_ENOTFOUND: there is none. */
static int find(etx__etcd_log *log) {
    etx_bytes answer;
    etx__etcd_key(etx__etcd_begin(&log->care), RANGE_KEY, &log->store, "log");
    int rc = etx__etcd_run(&log->care, "KV/Range", &answer);
    etx_bytes kv = etx__etcd_part_of(answer, RANGE_KVS, 0);
    if (!rc && !kv.len) {
        rc = ETX_ENOTFOUND;
        etx__etcd_say(&log->care, rc, "there is no log below %s/ in this etcd",
                      log->store.place.path);
    }
    return rc ? rc : take_meta(log, etx__etcd_part_of(kv, KV_VALUE, 0));
}

int etx__etcd_meta_open(etx__etcd_log *log, uint32_t flags) {
    int rc = find(log);
    if (rc != ETX_ENOTFOUND || flags & (ETX_LOG_READ_ONLY | ETX_LOG_NO_CREATE))
        return rc;
    rc = make(log);
    return rc ? rc : find(log);
}
