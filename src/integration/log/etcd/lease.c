/* Nodes and their leases on partitions, by etcd's clock: who should write, never who may.
 *
 * A process has one etcd lease for each time that it asks for, in fact one: its node's key and
 * those of its partitions hang on it, and go when nobody keeps it alive for so long. Keeping it
 * alive writes nothing. So a partition that is neither renewed nor released stays its node's as
 * long as that attends: who gives one up has to say so, as the engine does. etcd counts in whole
 * seconds, grants two at least, looks twice a second what is over, and begins anew when its leader
 * changes. */
#include "etcd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TRIES = 4, SEEN_MS = 1000 };

/* A key of a node or of a partition. */
typedef struct holder {
    uint64_t revision; /* of its last change; 0: it is not there */
    uint64_t lease;
    etx__etcd_text value;
} holder;

static void tell_why(const etx__etcd_log *log, int rc, char *message, size_t message_size) {
    if (rc < 0 && rc != ETX_ECONFLICT && message)
        snprintf(message, message_size, "%s", log->care.text);
}

/* ---- etcd leases */

static etx__etcd_lease *lease_of(etx__etcd_log *log, uint32_t ttl_s) {
    etx__etcd_lease *oldest = &log->lease[0];
    for (int i = 0; i < ETX__ETCD_LEASES; i++) {
        if (log->lease[i].ttl_s == ttl_s)
            return &log->lease[i];
        if (log->lease[i].kept_ms < oldest->kept_ms)
            oldest = &log->lease[i];
    }
    *oldest = (etx__etcd_lease){.ttl_s = ttl_s};
    return oldest;
}

/* Its id becomes 0 if it is over. */
static int keep_alive(etx__etcd_log *log, etx__etcd_lease *lease) {
    uint64_t asked_ms = etx__etcd_now_ms();
    json_t *answer = NULL;
    etx__etcd_text_add(etx__etcd_begin(&log->care), "{\"ID\":\"%" PRIu64 "\"}", lease->id);
    int rc = etx__etcd_run(&log->care, "/v3/lease/keepalive", &answer);
    if (rc == ETX_ENOTFOUND || (!rc && !etx__etcd_number(json_object_get(answer, "result"), "TTL")))
        *lease = (etx__etcd_lease){.ttl_s = lease->ttl_s};
    else if (!rc)
        lease->kept_ms = asked_ms;
    json_decref(answer);
    return rc == ETX_ENOTFOUND ? 0 : rc;
}

static int grant(etx__etcd_log *log, etx__etcd_lease *lease) {
    uint64_t asked_ms = etx__etcd_now_ms();
    json_t *answer = NULL;
    etx__etcd_text_add(etx__etcd_begin(&log->care), "{\"TTL\":\"%u\"}", lease->ttl_s);
    int rc = etx__etcd_run(&log->care, "/v3/lease/grant", &answer);
    if (!rc) {
        lease->id = etx__etcd_number(answer, "ID");
        lease->kept_ms = asked_ms;
    }
    json_decref(answer);
    return rc;
}

/* The lease for that time, kept alive: not again where that is just done, since it counts from
 * then, and whoever asks leaves more than that to the store. */
static int hold(etx__etcd_log *log, uint32_t ttl_ms, etx__etcd_lease **ret_lease) {
    etx__etcd_lease *lease = lease_of(log, (ttl_ms + 999) / 1000);
    int rc = 0;
    *ret_lease = lease;
    if (lease->id && etx__etcd_now_ms() - lease->kept_ms > ttl_ms / 16)
        rc = keep_alive(log, lease);
    return rc || lease->id ? rc : grant(log, lease);
}

/* How long one has to go, as it was within the last second; 0: it is over. */
static int left(etx__etcd_log *log, uint64_t id, uint64_t *ret_ms) {
    etx__etcd_seen *seen = &log->seen[0];
    uint64_t now = etx__etcd_now_ms();
    json_t *answer = NULL;
    int rc = 0;
    for (int i = 0; i < ETX__ETCD_SEEN && seen->id != id; i++)
        if (log->seen[i].id == id || log->seen[i].asked_ms < seen->asked_ms)
            seen = &log->seen[i];
    if (seen->id != id || now - seen->asked_ms >= SEEN_MS) {
        etx__etcd_text_add(etx__etcd_begin(&log->care), "{\"ID\":\"%" PRIu64 "\"}", id);
        rc = etx__etcd_run(&log->care, "/v3/lease/timetolive", &answer);
        int64_t ttl_s = (int64_t)etx__etcd_number(answer, "TTL");
        *seen = (etx__etcd_seen){.id = id, .asked_ms = now};
        if (rc == 0 && ttl_s >= 0)
            seen->until_ms = now + (uint64_t)ttl_s * 1000 + 1;
        json_decref(answer);
    }
    *ret_ms = seen->until_ms == 0 ? 0 : seen->until_ms > now ? seen->until_ms - now : 1;
    return rc == ETX_ENOTFOUND ? 0 : rc;
}

/* ---- keys that hang on them */

static int look(etx__etcd_log *log, const char *key, holder *ret_holder) {
    etx__etcd_text *to = etx__etcd_begin(&log->care);
    json_t *answer = NULL;
    etx__etcd_text_add(to, "{");
    etx__etcd_text_key(to, &log->store, "key", "%s", key);
    etx__etcd_text_add(to, "}");
    int rc = etx__etcd_run(&log->care, "/v3/kv/range", &answer);
    const json_t *kv = json_array_get(json_object_get(answer, "kvs"), 0);
    if (!rc) {
        ret_holder->revision = etx__etcd_number(kv, "mod_revision");
        ret_holder->lease = etx__etcd_number(kv, "lease");
        rc = etx__etcd_decode(kv, "value", &ret_holder->value);
        if (rc)
            etx__etcd_say(&log->care, rc, "the key %.100s cannot be read", key);
    }
    json_decref(answer);
    return rc;
}

/* Puts it, or deletes it where `value` is NULL, if it is still as it was. 1: it is not. */
static int change(etx__etcd_log *log,
                  const char *key,
                  const holder *was,
                  const char *value,
                  etx__etcd_lease *lease) {
    etx__etcd_text *to = etx__etcd_begin(&log->care);
    json_t *answer = NULL;
    etx__etcd_text_add(to, "{\"compare\":[{");
    etx__etcd_text_key(to, &log->store, "key", "%s", key);
    etx__etcd_text_add(
        to, ",\"target\":\"MOD\",\"mod_revision\":\"%" PRIu64 "\"}],\"success\":[{\"%s\":{",
        was->revision, value ? "request_put" : "request_delete_range");
    etx__etcd_text_key(to, &log->store, "key", "%s", key);
    if (value) {
        etx__etcd_text_add(to, ",\"lease\":\"%" PRIu64 "\",", lease->id);
        etx__etcd_text_value(to, "value", "%s", value);
    }
    etx__etcd_text_add(to, "}}]}");
    int rc = etx__etcd_run(&log->care, "/v3/kv/txn", &answer);
    int same = json_is_true(json_object_get(answer, "succeeded"));
    json_decref(answer);
    if (rc == ETX_ENOTFOUND && lease) { /* it went meanwhile */
        *lease = (etx__etcd_lease){.ttl_s = lease->ttl_s};
        return 1;
    }
    return rc ? rc : !same;
}

/* ---- nodes */

static int is_ours(const etx__etcd_log *log, const holder *node) {
    const char *process = log->store.common.process;
    return node->revision && strncmp(node->value.bytes, process, strlen(process)) == 0;
}

/* 1: again. */
static int try_attend(etx__etcd_log *log, const char *key, const char *value, uint32_t ttl_ms) {
    holder node = {.revision = 0};
    etx__etcd_lease *lease = NULL;
    int rc = look(log, key, &node);
    int ours = !rc && is_ours(log, &node);
    if (!rc && ttl_ms == 0)
        rc = ours ? change(log, key, &node, NULL, NULL) : 0;
    else if (!rc && !ours && node.revision && log->attended)
        rc = ETX_ECONFLICT;
    else if (!rc)
        rc = hold(log, ttl_ms, &lease);
    if (!rc && lease && (!ours || node.lease != lease->id || strcmp(node.value.bytes, value) != 0))
        rc = change(log, key, &node, value, lease);
    etx__etcd_text_free(&node.value);
    return rc;
}

int etx__etcd_attend(etx_log *head,
                     const char *address,
                     uint32_t ttl_ms,
                     char *message,
                     size_t message_size) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    char key[ETX_NAME_MAX + 8];
    char value[400];
    int rc = 1;
    if (log->store.common.read_only)
        return ETX_EINVALID;
    snprintf(key, sizeof key, "n/%s", log->store.common.node);
    snprintf(value, sizeof value, "%s %s", log->store.common.process, address);
    pthread_mutex_lock(&log->care_lock);
    for (int i = 0; rc == 1 && i < TRIES; i++)
        rc = try_attend(log, key, value, ttl_ms);
    if (rc == 1) {
        rc = ETX_EUNAVAILABLE;
        etx__etcd_say(&log->care, rc, "others were faster, again and again");
    }
    log->attended |= rc == 0 && ttl_ms > 0;
    tell_why(log, rc, message, message_size);
    etx__etcd_upkeep_now_and_then(log);
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

/* ---- partitions */

/* 2: again. */
static int try_renew(etx__etcd_log *log, const char *key, uint32_t ttl_ms) {
    const char *node = log->store.common.node;
    holder now = {.revision = 0};
    etx__etcd_lease *lease = NULL;
    int rc = hold(log, ttl_ms, &lease);
    rc = rc ? rc : look(log, key, &now);
    int own = !rc && now.revision && strcmp(now.value.bytes, node) == 0;
    if (!rc && now.revision && !own)
        rc = ETX_EBUSY;
    else if (!rc && (!own || now.lease != lease->id)) {
        rc = change(log, key, &now, node, lease);
        rc = rc == 1 ? 2 : rc ? rc : !own;
    }
    etx__etcd_text_free(&now.value);
    return rc;
}

int etx__etcd_renew(etx_log *head, uint32_t number, uint32_t ttl_ms) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    char key[16];
    int rc = 2;
    if (log->store.common.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    snprintf(key, sizeof key, "l/%03u", number);
    pthread_mutex_lock(&log->care_lock);
    for (int i = 0; rc == 2 && i < TRIES; i++)
        rc = try_renew(log, key, ttl_ms);
    pthread_mutex_unlock(&log->care_lock);
    return rc == 2 ? ETX_EBUSY : rc;
}

int etx__etcd_release(etx_log *head, uint32_t number) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    holder now = {.revision = 0};
    char key[16];
    if (log->store.common.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    snprintf(key, sizeof key, "l/%03u", number);
    pthread_mutex_lock(&log->care_lock);
    int rc = look(log, key, &now);
    if (!rc && now.revision && strcmp(now.value.bytes, log->store.common.node) == 0)
        rc = change(log, key, &now, NULL, NULL);
    pthread_mutex_unlock(&log->care_lock);
    etx__etcd_text_free(&now.value);
    return rc < 0 ? rc : 0;
}

/* ---- who is there */

static void add_range(const etx__etcd_log *log, etx__etcd_text *to, const char *what) {
    etx__etcd_text_add(to, "{\"request_range\":{");
    etx__etcd_text_key(to, &log->store, "key", "%s/", what);
    etx__etcd_text_add(to, ",");
    etx__etcd_text_key(to, &log->store, "range_end", "%s0", what);
    etx__etcd_text_add(to, "}}");
}

static void tell_node(etx__etcd_log *log,
                      const char *name,
                      const char *value,
                      uint64_t left_ms,
                      const etx_log_survey *survey) {
    const char *address = strchr(value, ' ');
    (void)log;
    etx_log_node node = {sizeof node, name, address ? address + 1 : "", left_ms};
    survey->on_node(&node, survey->user);
}

static void tell_lease(etx__etcd_log *log,
                       const char *name,
                       const char *value,
                       uint64_t left_ms,
                       const etx_log_survey *survey) {
    uint32_t partition = 0;
    if (sscanf(name, "%u", &partition) == 1 && partition < log->partition_count) {
        etx_log_lease lease = {sizeof lease, partition, value, left_ms};
        survey->on_lease(&lease, survey->user);
    }
}

typedef void (*tell)(etx__etcd_log *log,
                     const char *name,
                     const char *value,
                     uint64_t left_ms,
                     const etx_log_survey *survey);

static int tell_all(etx__etcd_log *log, const json_t *kvs, tell one, const etx_log_survey *survey) {
    etx__etcd_text key = {.bytes = NULL};
    etx__etcd_text value = {.bytes = NULL};
    size_t skip = strlen(log->store.place.path) + 3; /* PREFIX/n/ */
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(kvs); i++) {
        const json_t *kv = json_array_get(kvs, i);
        uint64_t left_ms = 0;
        rc = etx__etcd_decode(kv, "key", &key);
        rc = rc ? rc : etx__etcd_decode(kv, "value", &value);
        if (rc)
            etx__etcd_say(&log->care, rc, "a key of a node or lease cannot be read");
        rc = rc ? rc : left(log, etx__etcd_number(kv, "lease"), &left_ms);
        if (!rc && left_ms > 0 && key.len > skip)
            one(log, key.bytes + skip, value.bytes, left_ms, survey);
    }
    etx__etcd_text_free(&key);
    etx__etcd_text_free(&value);
    return rc;
}

int etx__etcd_survey(etx_log *head,
                     const etx_log_survey *survey,
                     char *message,
                     size_t message_size) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    json_t *answer = NULL;
    pthread_mutex_lock(&log->care_lock);
    etx__etcd_text *to = etx__etcd_begin(&log->care);
    etx__etcd_text_add(to, "{\"success\":[");
    add_range(log, to, "n");
    etx__etcd_text_add(to, ",");
    add_range(log, to, "l");
    etx__etcd_text_add(to, "]}");
    int rc = etx__etcd_run(&log->care, "/v3/kv/txn", &answer);
    rc = rc ? rc : tell_all(log, etx__etcd_found(answer, 0), tell_node, survey);
    rc = rc ? rc : tell_all(log, etx__etcd_found(answer, 1), tell_lease, survey);
    tell_why(log, rc, message, message_size);
    json_decref(answer);
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

/* etcd has no question for it, but says the time with every answer, in whole seconds. */
int etx__etcd_clock(etx_log *head, uint64_t *ret_ms) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    struct curl_header *date = NULL;
    pthread_mutex_lock(&log->care_lock);
    int rc = etx__etcd_page(&log->care, "/version");
    time_t now = -1;
    if (!rc && curl_easy_header(log->care.curl, "Date", 0, CURLH_HEADER, -1, &date) == CURLHE_OK)
        now = curl_getdate(date->value, NULL);
    pthread_mutex_unlock(&log->care_lock);
    if (!rc && now < 0)
        rc = ETX_EUNAVAILABLE;
    if (!rc)
        *ret_ms = (uint64_t)now * 1000;
    return rc;
}
