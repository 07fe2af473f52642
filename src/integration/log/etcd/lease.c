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

enum { TRIES = 4, SEEN_MS = 1000, HALF_MS = 500, WORD_MS = 3600 * 1000 };

/* A key of a node or of a partition. */
typedef struct holder {
    uint64_t revision; /* of its last change; 0: it is not there */
    uint64_t lease;
    char value[400];
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
    etx_bytes answer;
    etx__etcd_number(etx__etcd_begin(&log->care), LEASE_ID, lease->id);
    int rc = etx__etcd_run(&log->care, "Lease/LeaseKeepAlive", &answer);
    if (rc == ETX_ENOTFOUND || (!rc && !etx__etcd_number_of(answer, LEASE_ANSWER_TTL)))
        *lease = (etx__etcd_lease){.ttl_s = lease->ttl_s};
    else if (!rc)
        lease->kept_ms = asked_ms;
    return rc == ETX_ENOTFOUND ? 0 : rc;
}

static int grant(etx__etcd_log *log, etx__etcd_lease *lease) {
    uint64_t asked_ms = etx__etcd_now_ms();
    etx_bytes answer;
    etx__etcd_number(etx__etcd_begin(&log->care), GRANT_TTL, lease->ttl_s);
    int rc = etx__etcd_run(&log->care, "Lease/LeaseGrant", &answer);
    if (!rc) {
        lease->id = etx__etcd_number_of(answer, LEASE_ANSWER_ID);
        lease->kept_ms = asked_ms;
    }
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

/* How long one has to go, as it was within the last second; 0: it is over. etcd tells whole
 * seconds, rounded down, so half of one is added: without it a lease of two would always seem to be
 * about to end, and with all of it one that has run out to have been given up. */
static int left(etx__etcd_log *log, uint64_t id, uint64_t *ret_ms) {
    etx__etcd_seen *seen = &log->seen[0];
    uint64_t now = etx__etcd_now_ms();
    etx_bytes answer;
    int rc = 0;
    for (int i = 0; i < ETX__ETCD_SEEN && seen->id != id; i++)
        if (log->seen[i].id == id || log->seen[i].asked_ms < seen->asked_ms)
            seen = &log->seen[i];
    if (seen->id != id || now - seen->asked_ms >= SEEN_MS) {
        etx__etcd_number(etx__etcd_begin(&log->care), LEASE_ID, id);
        rc = etx__etcd_run(&log->care, "Lease/LeaseTimeToLive", &answer);
        int64_t ttl_s = (int64_t)etx__etcd_number_of(answer, LEASE_ANSWER_TTL);
        *seen = (etx__etcd_seen){.id = id, .asked_ms = now};
        if (rc == 0 && ttl_s >= 0)
            seen->until_ms = now + (uint64_t)ttl_s * 1000 + HALF_MS;
    }
    *ret_ms = seen->until_ms == 0 ? 0 : seen->until_ms > now ? seen->until_ms - now : 1;
    return rc == ETX_ENOTFOUND ? 0 : rc;
}

/* ---- keys that hang on them */

static void copy_words(char *to, size_t size, etx_bytes from) {
    snprintf(to, size, "%.*s", (int)(from.len < size ? from.len : 0),
             from.len ? (const char *)from.data : "");
}

static int look(etx__etcd_log *log, const char *key, holder *ret_holder) {
    etx_bytes answer;
    etx__etcd_key(etx__etcd_begin(&log->care), RANGE_KEY, &log->store, "%s", key);
    int rc = etx__etcd_run(&log->care, "KV/Range", &answer);
    etx_bytes kv = etx__etcd_part_of(answer, RANGE_KVS, 0);
    ret_holder->revision = etx__etcd_number_of(kv, KV_MOD_REVISION);
    ret_holder->lease = etx__etcd_number_of(kv, KV_LEASE);
    copy_words(ret_holder->value, sizeof ret_holder->value, etx__etcd_part_of(kv, KV_VALUE, 0));
    return rc;
}

/* Puts it, or deletes it where `value` is NULL, if it is still as it was. 1: it is not. */
static int change(etx__etcd_log *log,
                  const char *key,
                  const holder *was,
                  const char *value,
                  etx__etcd_lease *lease) {
    etx__etcd_text *to = etx__etcd_begin(&log->care);
    etx_bytes answer;
    size_t same = etx__etcd_compare(to, COMPARE_MOD_REVISION, COMPARE_EQUAL);
    etx__etcd_key(to, COMPARE_KEY, &log->store, "%s", key);
    etx__etcd_number(to, COMPARE_MOD_REVISION, was->revision);
    etx__etcd_close(to, same);
    size_t operation = etx__etcd_open(to, TXN_SUCCESS);
    size_t one = etx__etcd_open(to, value ? OP_PUT : OP_DELETE);
    etx__etcd_key(to, value ? PUT_KEY : DELETE_KEY, &log->store, "%s", key);
    if (value) {
        etx__etcd_words(to, PUT_VALUE, "%s", value);
        etx__etcd_number(to, PUT_LEASE, lease->id);
    }
    etx__etcd_close(to, one);
    etx__etcd_close(to, operation);
    int rc = etx__etcd_run(&log->care, "KV/Txn", &answer);
    if (rc == ETX_ENOTFOUND && lease) { /* it went meanwhile */
        *lease = (etx__etcd_lease){.ttl_s = lease->ttl_s};
        return 1;
    }
    return rc ? rc : !etx__etcd_number_of(answer, TXN_SUCCEEDED);
}

/* ---- nodes */

static int is_ours(const etx__etcd_log *log, const holder *node) {
    const char *process = log->store.common.process;
    return node->revision && strncmp(node->value, process, strlen(process)) == 0;
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
    if (!rc && lease && (!ours || node.lease != lease->id || strcmp(node.value, value) != 0))
        rc = change(log, key, &node, value, lease);
    return rc;
}

/* What is told of this node when it is gone hangs on a lease of its own, which lasts long. Where
 * another was faster, it is put when the node says next that it is there. */
static int keep_word(etx__etcd_log *log, const char *value) {
    char key[ETX_NAME_MAX + 8];
    holder was = {.revision = 0};
    etx__etcd_lease *lease = NULL;
    uint64_t now = etx__etcd_now_ms();
    int told = strchr(value + strlen(log->store.common.process) + 1, ' ') != NULL;
    if (log->word_ms && now - log->word_ms < WORD_MS && strcmp(log->word, value) == 0)
        return 0;
    snprintf(key, sizeof key, "h/%s", log->store.common.node);
    int rc = look(log, key, &was);
    if (!rc && told)
        rc = hold(log, ETX__STORE_GONE_S * 1000u, &lease);
    if (!rc && told && (was.lease != lease->id || strcmp(was.value, value) != 0))
        rc = change(log, key, &was, value, lease);
    else if (!rc && !told && was.revision)
        rc = change(log, key, &was, NULL, NULL);
    if (!rc) {
        log->word_ms = now;
        snprintf(log->word, sizeof log->word, "%s", value);
    }
    return rc < 0 ? rc : 0;
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
    if (rc == 0 && ttl_ms > 0) {
        log->attended = 1;
        rc = keep_word(log, value);
    }
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
    int own = !rc && now.revision && strcmp(now.value, node) == 0;
    if (!rc && now.revision && !own)
        rc = ETX_EBUSY;
    else if (!rc && (!own || now.lease != lease->id)) {
        rc = change(log, key, &now, node, lease);
        rc = rc == 1 ? 2 : rc ? rc : !own;
    }
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
    if (!rc && now.revision && strcmp(now.value, log->store.common.node) == 0)
        rc = change(log, key, &now, NULL, NULL);
    pthread_mutex_unlock(&log->care_lock);
    return rc < 0 ? rc : 0;
}

/* ---- who is there */

static void tell_node(const char *name,
                      const char *value,
                      uint64_t left_ms,
                      const etx_log_survey *survey) {
    const char *address = strchr(value, ' ');
    etx_log_node node = {sizeof node, name, address ? address + 1 : "", left_ms};
    survey->on_node(&node, survey->user);
}

static void tell_lease(const char *name,
                       const char *value,
                       uint64_t left_ms,
                       const etx_log_survey *survey) {
    uint32_t partition = 0;
    if (sscanf(name, "%u", &partition) == 1) {
        etx_log_lease lease = {sizeof lease, partition, value, left_ms};
        survey->on_lease(&lease, survey->user);
    }
}

typedef void (*tell)(const char *name,
                     const char *value,
                     uint64_t left_ms,
                     const etx_log_survey *survey);

static etx_bytes name_of(const etx__etcd_log *log, etx_bytes kv) {
    size_t skip = strlen(log->store.place.path) + 3; /* PREFIX/n/ */
    etx_bytes key = etx__etcd_part_of(kv, KV_KEY, 0);
    return key.len <= skip ? (etx_bytes){NULL, 0}
                           : (etx_bytes){(const char *)key.data + skip, key.len - skip};
}

/* Those of one range; `range` is not borrowed from the session. */
static int tell_all(etx__etcd_log *log, etx_bytes range, tell one, const etx_log_survey *survey) {
    etx__etcd_field field;
    int rc = 0;
    while (rc == 0 && etx__etcd_next(&range, &field)) {
        etx_bytes key = field.field == RANGE_KVS ? name_of(log, field.bytes) : (etx_bytes){0};
        char words[400];
        char name[ETX_NAME_MAX + 1];
        uint64_t left_ms = 0;
        if (!key.len)
            continue;
        copy_words(name, sizeof name, key);
        copy_words(words, sizeof words, etx__etcd_part_of(field.bytes, KV_VALUE, 0));
        rc = left(log, etx__etcd_number_of(field.bytes, KV_LEASE), &left_ms);
        if (!rc && left_ms > 0)
            one(name, words, left_ms, survey);
    }
    return rc;
}

static int is_among(const etx__etcd_log *log, etx_bytes nodes, etx_bytes name) {
    etx__etcd_field field;
    while (etx__etcd_next(&nodes, &field)) {
        etx_bytes one = field.field == RANGE_KVS ? name_of(log, field.bytes) : (etx_bytes){0};
        if (one.len == name.len && memcmp(one.data, name.data, name.len) == 0)
            return 1;
    }
    return 0;
}

/* Those of `words` that are not among the nodes. */
static void tell_gone(const etx__etcd_log *log,
                      etx_bytes words,
                      etx_bytes nodes,
                      const etx_log_survey *survey) {
    etx__etcd_field field;
    while (etx__etcd_next(&words, &field)) {
        etx_bytes key = field.field == RANGE_KVS ? name_of(log, field.bytes) : (etx_bytes){0};
        char value[400];
        char name[ETX_NAME_MAX + 1];
        if (!key.len || is_among(log, nodes, key))
            continue;
        copy_words(name, sizeof name, key);
        copy_words(value, sizeof value, etx__etcd_part_of(field.bytes, KV_VALUE, 0));
        const char *address = strchr(value, ' ');
        etx_log_node node = {sizeof node, name, address ? address + 1 : "", 0};
        etx__store_tell_gone(survey, &node);
    }
}

/* Nodes, partitions, and what is told of those that are gone, of one moment. */
static int ask_all(etx__etcd_log *log, etx_bytes *ret_answer) {
    static const char *const kinds[] = {"n", "l", "h"};
    etx__etcd_text *to = etx__etcd_begin(&log->care);
    for (int i = 0; i < 3; i++) {
        size_t operation = etx__etcd_open(to, TXN_SUCCESS);
        size_t range = etx__etcd_open(to, OP_RANGE);
        etx__etcd_key(to, RANGE_KEY, &log->store, "%s/", kinds[i]);
        etx__etcd_key(to, RANGE_END, &log->store, "%s0", kinds[i]);
        etx__etcd_close(to, range);
        etx__etcd_close(to, operation);
    }
    return etx__etcd_run(&log->care, "KV/Txn", ret_answer);
}

int etx__etcd_survey(etx_log *head,
                     const etx_log_survey *survey,
                     char *message,
                     size_t message_size) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    etx__etcd_text kept = {.bytes = NULL}; /* the answer, while others are asked for */
    etx_bytes answer;
    pthread_mutex_lock(&log->care_lock);
    int rc = ask_all(log, &answer);
    if (!rc)
        etx__etcd_text_add(&kept, answer.data, answer.len);
    if (!rc && kept.failed) {
        rc = ETX_EIO;
        etx__etcd_say(&log->care, rc, "out of memory");
    }
    answer = (etx_bytes){kept.bytes, kept.len};
    rc = rc ? rc : tell_all(log, etx__etcd_found(answer, 0), tell_node, survey);
    rc = rc ? rc : tell_all(log, etx__etcd_found(answer, 1), tell_lease, survey);
    if (!rc)
        tell_gone(log, etx__etcd_found(answer, 2), etx__etcd_found(answer, 0), survey);
    tell_why(log, rc, message, message_size);
    pthread_mutex_unlock(&log->care_lock);
    etx__etcd_text_free(&kept);
    return rc;
}

/* etcd has no question for it, but says the time with every page, in whole seconds. */
int etx__etcd_clock(etx_log *head, uint64_t *ret_ms) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    int64_t time = 0;
    pthread_mutex_lock(&log->care_lock);
    int rc = etx__etcd_page(&log->care, "/version", &time);
    pthread_mutex_unlock(&log->care_lock);
    if (!rc && time <= 0)
        rc = ETX_EUNAVAILABLE;
    if (!rc)
        *ret_ms = (uint64_t)time * 1000;
    return rc;
}
