/* Nodes and their leases on partitions, by Redis' clock: who should write, never who may.
 *
 * {prefix}:nodes has a field for each node: until when it is there (ms since 1970, 16 digits), the
 * process that said so (16 characters), and its address. {prefix}:leases has one for each
 * partition: until when, and the node. All may be written while the server's memory is full: they
 * take no more than they had. */
#include "redis.h"

#include <stdlib.h>
#include <string.h>

/* WEIGH_MS: its memory is full; is it still? */
enum { UNTIL = 16, PROCESS = 16, WEIGH_MS = 300 };

#define NOW                          \
    "local t = redis.call('TIME')\n" \
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
#define WRITES "#!lua flags=allow-oom\n"

/* ARGV: node, process, ttl, whether it has attended before, address. */
static const char attend[] = WRITES NOW
    "local was = redis.call('HGET', KEYS[1], ARGV[1])\n"
    "if was and string.sub(was, 17, 32) ~= ARGV[2] and ARGV[4] == '1'\n"
    "  and tonumber(string.sub(was, 1, 16)) > now then return 'another' end\n"
    "redis.call('HSET', KEYS[1], ARGV[1],\n"
    "  string.format('%016.0f', now + ARGV[3]) .. ARGV[2] .. ARGV[5])\n"
    "return 'done'";
/* ARGV: node, process. What is told of nodes that are gone stays. */
static const char leave[] = WRITES NOW
    "local was = redis.call('HGET', KEYS[1], ARGV[1])\n"
    "if not was or string.sub(was, 17, 32) ~= ARGV[2] then return 'done' end\n"
    "if string.find(was, ' ', 33, true) then\n"
    "  redis.call('HSET', KEYS[1], ARGV[1], string.format('%016.0f', now) .. string.sub(was, 17))\n"
    "else redis.call('HDEL', KEYS[1], ARGV[1]) end\n"
    "return 'done'";
/* ARGV: partition, node, ttl. */
static const char renew[] = WRITES NOW
    "local was = redis.call('HGET', KEYS[1], ARGV[1])\n"
    "local valid = was and tonumber(string.sub(was, 1, 16)) > now\n"
    "local own = was and string.sub(was, 17) == ARGV[2]\n"
    "if valid and not own then return 'another' end\n"
    "redis.call('HSET', KEYS[1], ARGV[1], string.format('%016.0f', now + ARGV[3]) .. ARGV[2])\n"
    "return valid and 'renewed' or 'taken'";
/* ARGV: partition, node. */
static const char release[] = WRITES
    "local was = redis.call('HGET', KEYS[1], ARGV[1])\n"
    "if was and string.sub(was, 17) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end\n"
    "return 'done'";
static const char survey_all[] =
    "#!lua flags=no-writes,allow-oom\n" NOW
    "local leases = {}\n"
    "for i = 1, ARGV[1] do leases[i] = redis.call('HGET', KEYS[2], tostring(i - 1)) end\n"
    "return {string.format('%.0f', now), redis.call('HGETALL', KEYS[1]), leases}";

static void tell_failure(const etx__redis_log *log, char *message, size_t message_size) {
    etx__store_say(message, message_size, log->care.rc, "%s", log->care.text);
}

static void begin(const etx__redis_log *log,
                  etx__redis_command *command,
                  const char *script,
                  const char *name,
                  char key[ETX__REDIS_KEY_MAX]) {
    etx__redis_key(&log->store, name, key);
    etx__redis_eval(command, script, 1);
    etx__redis_word(command, key);
}

/* Runs it, with the lock held. */
static int care(etx__redis_log *log, const etx__redis_command *command, redisReply **ret_reply) {
    return etx__redis_exec(&log->care, command, ret_reply) == ETX__REDIS_DONE ? 0 : log->care.rc;
}

int etx__redis_attend(etx_log *head,
                      const char *address,
                      uint32_t ttl_ms,
                      char *message,
                      size_t message_size) {
    etx__redis_log *log = (etx__redis_log *)head;
    char key[ETX__REDIS_KEY_MAX];
    etx__redis_command command;
    redisReply *reply = NULL;
    if (log->store.common.read_only)
        return ETX_EINVALID;
    begin(log, &command, ttl_ms ? attend : leave, "nodes", key);
    etx__redis_word(&command, log->store.common.node);
    etx__redis_word(&command, log->store.common.process);
    pthread_mutex_lock(&log->care_lock);
    if (ttl_ms) {
        etx__redis_number(&command, ttl_ms);
        etx__redis_number(&command, log->attended);
        etx__redis_word(&command, address);
    }
    int rc = care(log, &command, &reply);
    if (rc)
        tell_failure(log, message, message_size);
    else if (etx__redis_says(reply, "another"))
        rc = ETX_ECONFLICT;
    else if (ttl_ms)
        log->attended = 1;
    if (!rc)
        etx__redis_weigh(log);
    pthread_mutex_unlock(&log->care_lock);
    freeReplyObject(reply);
    return rc;
}

int etx__redis_renew(etx_log *head, uint32_t number, uint32_t ttl_ms) {
    etx__redis_log *log = (etx__redis_log *)head;
    char key[ETX__REDIS_KEY_MAX];
    etx__redis_command command;
    redisReply *reply = NULL;
    if (log->store.common.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    begin(log, &command, renew, "leases", key);
    etx__redis_number(&command, number);
    etx__redis_word(&command, log->store.common.node);
    etx__redis_number(&command, ttl_ms);
    pthread_mutex_lock(&log->care_lock);
    int rc = care(log, &command, &reply);
    if (!rc)
        rc = etx__redis_says(reply, "another") ? ETX_EBUSY : etx__redis_says(reply, "taken");
    pthread_mutex_unlock(&log->care_lock);
    freeReplyObject(reply);
    return rc;
}

int etx__redis_release(etx_log *head, uint32_t number) {
    etx__redis_log *log = (etx__redis_log *)head;
    char key[ETX__REDIS_KEY_MAX];
    etx__redis_command command;
    redisReply *reply = NULL;
    if (log->store.common.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    begin(log, &command, release, "leases", key);
    etx__redis_number(&command, number);
    etx__redis_word(&command, log->store.common.node);
    pthread_mutex_lock(&log->care_lock);
    int rc = care(log, &command, &reply);
    pthread_mutex_unlock(&log->care_lock);
    freeReplyObject(reply);
    return rc;
}

/* ---- the survey */

static int is_above(const void *a, const void *b) {
    const redisReply *const *one = a;
    const redisReply *const *two = b;
    return strcmp((*one)->str, (*two)->str);
}

/* How long what a value says goes on; 0: it is over. */
static uint64_t left_of(etx_bytes value, size_t prefix, uint64_t now) {
    char digits[UNTIL + 1] = "";
    if (value.len < prefix)
        return 0;
    memcpy(digits, value.data, UNTIL);
    uint64_t until = strtoull(digits, NULL, 10);
    return until > now ? until - now : 0;
}

static void tell_nodes(redisReply *nodes, uint64_t now, const etx_log_survey *survey) {
    size_t count = nodes->elements / 2; /* name and value in turn */
    if (!count)
        return;
    qsort(nodes->element, count, 2 * sizeof nodes->element[0], is_above);
    for (size_t i = 0; i < count; i++) {
        etx_bytes value = etx__redis_text_at(nodes, 2 * i + 1);
        uint64_t left_ms = left_of(value, UNTIL + PROCESS, now);
        etx_log_node node = {sizeof node, nodes->element[2 * i]->str,
                             (const char *)value.data + UNTIL + PROCESS, left_ms};
        if (left_ms)
            survey->on_node(&node, survey->user);
        else if (left_of(value, UNTIL + PROCESS, now - ETX__STORE_GONE_S * 1000ull) &&
                 strchr(node.address, ' '))
            etx__store_tell_gone(survey, &node);
    }
}

static void tell_leases(const redisReply *leases, uint64_t now, const etx_log_survey *survey) {
    for (size_t i = 0; i < leases->elements; i++) {
        etx_bytes value = etx__redis_text_at(leases, i);
        uint64_t left_ms = left_of(value, UNTIL, now);
        if (left_ms) {
            etx_log_lease lease = {sizeof lease, (uint32_t)i, (const char *)value.data + UNTIL,
                                   left_ms};
            survey->on_lease(&lease, survey->user);
        }
    }
}

int etx__redis_survey(etx_log *head,
                      const etx_log_survey *survey,
                      char *message,
                      size_t message_size) {
    etx__redis_log *log = (etx__redis_log *)head;
    char nodes[ETX__REDIS_KEY_MAX];
    char leases[ETX__REDIS_KEY_MAX];
    etx__redis_command command;
    redisReply *reply = NULL;
    etx__redis_key(&log->store, "nodes", nodes);
    etx__redis_key(&log->store, "leases", leases);
    etx__redis_eval(&command, survey_all, 2);
    etx__redis_word(&command, nodes);
    etx__redis_word(&command, leases);
    etx__redis_number(&command, log->partition_count);
    pthread_mutex_lock(&log->care_lock);
    int rc = care(log, &command, &reply);
    if (rc)
        tell_failure(log, message, message_size);
    else if (atomic_load(&log->room) <= 0 && etx__redis_now_ms() - log->weighed_ms >= WEIGH_MS)
        etx__redis_weigh(log);
    pthread_mutex_unlock(&log->care_lock);
    if (!rc) {
        uint64_t now = etx__redis_number_at(reply, 0);
        tell_nodes(reply->element[1], now, survey);
        tell_leases(reply->element[2], now, survey);
    }
    freeReplyObject(reply);
    return rc;
}

int etx__redis_clock(etx_log *head, uint64_t *ret_ms) {
    etx__redis_log *log = (etx__redis_log *)head;
    etx__redis_command command = {.count = 0};
    redisReply *reply = NULL;
    etx__redis_word(&command, "TIME");
    pthread_mutex_lock(&log->care_lock);
    int rc = care(log, &command, &reply);
    pthread_mutex_unlock(&log->care_lock);
    if (!rc)
        *ret_ms = etx__redis_number_at(reply, 0) * 1000 + etx__redis_number_at(reply, 1) / 1000;
    freeReplyObject(reply);
    return rc;
}
