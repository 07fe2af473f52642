/* The keys of an etcd log: made once, or found and looked at.
 *
 * PREFIX/log                     its version, id and number of partitions, in words; and whether
 *                                another has taken its place, or it is a copy that is not whole
 * PREFIX/p/PARTITION/below       the trim mark, in 16 hexadecimal digits
 * PREFIX/p/PARTITION/s/SLOT      a slot
 * PREFIX/n/NODE                  a node: its process and its address; on an etcd lease
 * PREFIX/h/NODE                  the same, if it is told when the node is gone; on one of a month
 * PREFIX/l/PARTITION             the node that has the partition; on an etcd lease
 *
 * The first is put last, and only while it is not there: two that make a log at once put the same
 * marks, as long as there is no log, and one of them makes it. A copy has it from the beginning:
 * with version 0, so that an ETX that knows nothing of copies does not open it either, and with the
 * process that makes it, whose every transaction compares it. */
#include "etcd.h"

#include <stdio.h>
#include <string.h>

enum { MARKS_AT_ONCE = 64 }; /* --max-txn-ops is 128, unless it was changed */

void etx__etcd_meta_compare(const etx__etcd_log *log, etx__etcd_text *to) {
    unsigned what = log->meta[0] ? COMPARE_VALUE : COMPARE_CREATE_REVISION;
    size_t compare = etx__etcd_compare(to, what, COMPARE_EQUAL);
    etx__etcd_key(to, COMPARE_KEY, &log->store, "log");
    if (log->meta[0])
        etx__etcd_words(to, COMPARE_VALUE, "%s", log->meta);
    else
        etx__etcd_number(to, COMPARE_CREATE_REVISION, 0);
    etx__etcd_close(to, compare);
}

int etx__etcd_meta_send(etx__etcd_log *log, etx__etcd_outcome *ret_outcome) {
    etx__etcd_session *care = &log->care;
    etx_bytes answer;
    etx__etcd_outcome outcome = etx__etcd_ask(care, "KV/Txn", &answer);
    if (ret_outcome)
        *ret_outcome = outcome;
    if (outcome != ETX__ETCD_DONE)
        return care->rc;
    if (etx__etcd_number_of(answer, TXN_SUCCEEDED))
        return 0;
    etx__etcd_say(care, ETX_EBUSY,
                  "another process has made, copied or retired the log below %s/ meanwhile",
                  log->store.place.path);
    return ETX_EBUSY;
}

int etx__etcd_meta_change(etx__etcd_log *log, const char *value, etx__etcd_outcome *ret_outcome) {
    etx__etcd_text *text = etx__etcd_begin(&log->care);
    etx__etcd_meta_compare(log, text);
    size_t operation = etx__etcd_open(text, TXN_SUCCESS);
    size_t meta = etx__etcd_open(text, OP_PUT);
    etx__etcd_key(text, PUT_KEY, &log->store, "log");
    etx__etcd_words(text, PUT_VALUE, "%s", value);
    etx__etcd_close(text, meta);
    etx__etcd_close(text, operation);
    int rc = etx__etcd_meta_send(log, ret_outcome);
    if (!rc)
        snprintf(log->meta, sizeof log->meta, "%s", value);
    return rc;
}

int etx__etcd_meta_put_marks(etx__etcd_log *log) {
    uint32_t count = log->store.common.partitions;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < count;) {
        etx__etcd_text *text = etx__etcd_begin(&log->care);
        etx__etcd_meta_compare(log, text);
        for (uint32_t end = i + MARKS_AT_ONCE; i < end && i < count; i++)
            etx__etcd_mark_write(text, &log->store, i, 0);
        rc = etx__etcd_meta_send(log, NULL);
    }
    return rc;
}

static int is_mark(etx_bytes key) {
    static const char end[] = "/below";
    size_t len = sizeof end - 1;
    return key.len > len && memcmp((const char *)key.data + key.len - len, end, len) == 0;
}

/* Marks may be there, of one that made a log and did not end it. Slots are those of a log whose
 * PREFIX/log is gone; or another has made it meanwhile. */
static int check_place(etx__etcd_log *log) {
    etx__etcd_text *to = etx__etcd_begin(&log->care);
    etx__etcd_field one;
    etx_bytes answer;
    int foreign = 0;
    etx__etcd_key(to, RANGE_KEY, &log->store, "p/");
    etx__etcd_key(to, RANGE_END, &log->store, "p0");
    etx__etcd_number(to, RANGE_LIMIT, ETX__STORE_PARTITIONS_MAX + 1);
    etx__etcd_number(to, RANGE_KEYS_ONLY, 1);
    int rc = etx__etcd_run(&log->care, "KV/Range", &answer);
    while (rc == 0 && etx__etcd_next(&answer, &one))
        foreign |= one.field == RANGE_KVS && !is_mark(etx__etcd_part_of(one.bytes, KV_KEY, 0));
    if (!foreign)
        return rc;
    rc = etx__etcd_meta_find(log);
    if (rc != ETX_ENOTFOUND)
        return rc ? rc : ETX_EBUSY;
    etx__etcd_say(&log->care, ETX_EINVALID,
                  "there are slots or other keys below %s/p/, and the key %s/log is not there: "
                  "restore a backup that has it, or name another prefix",
                  log->store.place.path, log->store.place.path);
    return ETX_EINVALID;
}

static int make(etx__etcd_log *log) {
    char id[ETX_HOME_ID_LEN + 1];
    char value[ETX__ETCD_META_MAX + 1];
    if (etx__store_id_draw(id)) {
        etx__etcd_say(&log->care, ETX_EIO, "the system gives no random numbers");
        return ETX_EIO;
    }
    snprintf(value, sizeof value, "etx-log version=%d id=%s partitions=%u", ETX__ETCD_VERSION, id,
             log->store.common.partitions);
    int rc = check_place(log);
    rc = rc ? rc : etx__etcd_meta_put_marks(log);
    rc = rc ? rc : etx__etcd_meta_change(log, value, NULL);
    return rc == ETX_EBUSY ? 0 : rc; /* another has made it meanwhile */
}

typedef struct meta_words {
    unsigned version;
    unsigned partitions;
    char id[ETX_HOME_ID_LEN + 1];
    /* what stands behind: " copying=" and a process, or " retired=2 " and words */
    const char *rest;
} meta_words;

/* How many of the first three are there. */
static int read_words(const etx__etcd_log *log, meta_words *ret_words) {
    int len = 0;
    *ret_words = (meta_words){.version = 0};
    int count = sscanf(log->meta, "etx-log version=%u id=%7s partitions=%u%n", &ret_words->version,
                       ret_words->id, &ret_words->partitions, &len);
    ret_words->rest = log->meta + len;
    return count;
}

static int says_copying(const meta_words *words) {
    return strncmp(words->rest, " copying=", 9) == 0;
}

int etx__etcd_meta_is_copy(const etx__etcd_log *log) {
    meta_words words;
    return read_words(log, &words) == 3 && says_copying(&words);
}

static int take_retired(etx__etcd_log *log, const char *rest, uint32_t flags) {
    unsigned retired = 0;
    int len = 0;
    (void)sscanf(rest, " retired=%u %n", &retired, &len);
    log->retired = (uint8_t)retired;
    if (!retired || flags & (ETX_LOG_RETIRED | ETX_LOG_READ_ONLY))
        return 0;
    etx__etcd_say(&log->care, ETX_ECONFLICT, "%s", rest + len);
    return ETX_ECONFLICT;
}

static int take_meta(etx__etcd_log *log, uint32_t flags) {
    meta_words words;
    const char *prefix = log->store.place.path;
    if (read_words(log, &words) < 1) {
        etx__etcd_say(&log->care, ETX_EINVALID,
                      "the key %s/log is not that of an ETX log: name another prefix", prefix);
        return ETX_EINVALID;
    }
    if (words.version > ETX__ETCD_VERSION) {
        etx__etcd_say(&log->care, ETX_EVERSION,
                      "the log below %s/ has version %u, made by a newer ETX: this one knows %d",
                      prefix, words.version, ETX__ETCD_VERSION);
        return ETX_EVERSION;
    }
    if (says_copying(&words)) {
        etx__etcd_say(&log->care, ETX_EBUSY,
                      "the log below %s/ is a copy that is being made, or was left unfinished: see "
                      "etx log copy",
                      prefix);
        return ETX_EBUSY;
    }
    if (words.version == 0 || strlen(words.id) != ETX_HOME_ID_LEN || words.partitions < 1 ||
        words.partitions > ETX__STORE_PARTITIONS_MAX) {
        etx__etcd_say(&log->care, ETX_ECORRUPT, "the key %s/log is not as ETX made it", prefix);
        return ETX_ECORRUPT;
    }
    memcpy(log->id, words.id, sizeof log->id);
    log->partition_count = words.partitions;
    return take_retired(log, words.rest, flags);
}

int etx__etcd_meta_find(etx__etcd_log *log) {
    etx_bytes answer;
    etx__etcd_key(etx__etcd_begin(&log->care), RANGE_KEY, &log->store, "log");
    int rc = etx__etcd_run(&log->care, "KV/Range", &answer);
    etx_bytes kv = etx__etcd_part_of(answer, RANGE_KVS, 0);
    etx_bytes value = etx__etcd_part_of(kv, KV_VALUE, 0);
    snprintf(log->meta, sizeof log->meta, "%.*s",
             (int)(value.len < sizeof log->meta ? value.len : 0),
             value.len ? (const char *)value.data : "");
    if (!rc && !kv.len) {
        rc = ETX_ENOTFOUND;
        etx__etcd_say(&log->care, rc, "there is no log below %s/ in this etcd",
                      log->store.place.path);
    }
    return rc;
}

int etx__etcd_meta_open(etx__etcd_log *log, uint32_t flags) {
    int rc = etx__etcd_meta_find(log);
    rc = rc ? rc : take_meta(log, flags);
    if (rc != ETX_ENOTFOUND || flags & (ETX_LOG_READ_ONLY | ETX_LOG_NO_CREATE))
        return rc;
    rc = make(log);
    rc = rc ? rc : etx__etcd_meta_find(log);
    return rc ? rc : take_meta(log, flags);
}
