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
    etx__etcd_text_add(to, "{\"compare\":[{");
    etx__etcd_text_key(to, &log->store, "key", "log");
    etx__etcd_text_add(to, ",\"target\":\"CREATE\",\"create_revision\":\"0\"}],\"success\":[");
}

static int put_marks(etx__etcd_log *log, uint32_t from, uint32_t to) {
    etx__etcd_text *text = etx__etcd_begin(&log->care);
    json_t *answer = NULL;
    compare_absent(log, text);
    for (uint32_t i = from; i < to; i++) {
        etx__etcd_text_add(text, "%s{\"request_put\":{", i > from ? "," : "");
        etx__etcd_text_key(text, &log->store, "key", "p/%03u/below", i);
        etx__etcd_text_add(text, ",");
        etx__etcd_text_value(text, "value", "%016x", 0);
        etx__etcd_text_add(text, "}}");
    }
    etx__etcd_text_add(text, "]}");
    int rc = etx__etcd_run(&log->care, "/v3/kv/txn", &answer);
    json_decref(answer);
    return rc;
}

static int put_meta(etx__etcd_log *log) {
    etx__etcd_text *text = etx__etcd_begin(&log->care);
    char id[ETX_HOME_ID_LEN + 1];
    json_t *answer = NULL;
    if (etx__store_id_draw(id)) {
        etx__etcd_say(&log->care, ETX_EIO, "the system gives no random numbers");
        return ETX_EIO;
    }
    compare_absent(log, text);
    etx__etcd_text_add(text, "{\"request_put\":{");
    etx__etcd_text_key(text, &log->store, "key", "log");
    etx__etcd_text_add(text, ",");
    etx__etcd_text_value(text, "value", "etx-log version=%d id=%s partitions=%u", ETX__ETCD_VERSION,
                         id, log->store.common.partitions);
    etx__etcd_text_add(text, "}}]}");
    int rc = etx__etcd_run(&log->care, "/v3/kv/txn", &answer);
    json_decref(answer);
    return rc;
}

static int make(etx__etcd_log *log) {
    uint32_t count = log->store.common.partitions;
    int rc = 0;
    for (uint32_t from = 0; rc == 0 && from < count; from += MARKS_AT_ONCE)
        rc = put_marks(log, from, count - from > MARKS_AT_ONCE ? from + MARKS_AT_ONCE : count);
    return rc ? rc : put_meta(log);
}

static int take_meta(etx__etcd_log *log, const etx__etcd_text *value) {
    unsigned version = 0;
    unsigned partitions = 0;
    char id[ETX_HOME_ID_LEN + 1] = "";
    const char *prefix = log->store.place.path;
    if (sscanf(value->bytes, "etx-log version=%u id=%7s partitions=%u", &version, id, &partitions) <
        1) {
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
    etx__etcd_text *text = etx__etcd_begin(&log->care);
    etx__etcd_text value = {.bytes = NULL};
    json_t *answer = NULL;
    etx__etcd_text_add(text, "{");
    etx__etcd_text_key(text, &log->store, "key", "log");
    etx__etcd_text_add(text, "}");
    int rc = etx__etcd_run(&log->care, "/v3/kv/range", &answer);
    const json_t *kvs = json_object_get(answer, "kvs");
    if (!rc && !json_array_size(kvs)) {
        rc = ETX_ENOTFOUND;
        etx__etcd_say(&log->care, rc, "there is no log below %s/ in this etcd",
                      log->store.place.path);
    }
    if (!rc && etx__etcd_decode(json_array_get(kvs, 0), "value", &value)) {
        rc = ETX_ENOMEM;
        etx__etcd_say(&log->care, rc, "out of memory");
    }
    rc = rc ? rc : take_meta(log, &value);
    etx__etcd_text_free(&value);
    json_decref(answer);
    return rc;
}

int etx__etcd_meta_open(etx__etcd_log *log, uint32_t flags) {
    int rc = find(log);
    if (rc != ETX_ENOTFOUND || flags & (ETX_LOG_READ_ONLY | ETX_LOG_NO_CREATE))
        return rc;
    rc = make(log);
    return rc ? rc : find(log);
}
