/* A Redis log that takes the place of another: nobody opens it while {prefix}:log says who copies
 * and has no version yet. And one whose place another takes. */
#include "redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OTHERS = 3 }; /* keys beside the partitions' */

/* ARGV: id, who copies, partitions. KEYS: all that a log can have. What an earlier copy has left
 * goes; what is a log, or another program's, is answered. */
static const char begin_copy[] =
    "#!lua\n"
    "local left = redis.call('HEXISTS', KEYS[1], 'copying') == 1\n"
    "for i = 1, #KEYS do\n"
    "  if not left and redis.call('EXISTS', KEYS[i]) == 1 then return KEYS[i] end\n"
    "  redis.call('DEL', KEYS[i])\n"
    "end\n"
    "for i = 4, 3 + ARGV[3] do redis.call('HSET', KEYS[i], " ETX__REDIS_EMPTY
    ") end\n"
    "redis.call('HSET', KEYS[1], 'copying', ARGV[2], 'log', ARGV[1], 'partitions', ARGV[3])\n"
    "return 'begun'";

/* KEYS: log, partition. ARGV: who copies, slot, value, checksum, bytes. */
static const char copy_one[] =
    "#!lua\n"
    "if redis.call('HGET', KEYS[1], 'copying') ~= ARGV[1] then return 'gone' end\n"
    "local p = redis.call('HMGET', KEYS[2], 'newest', 'bytes')\n"
    "if p[1] == '' then redis.call('HSET', KEYS[2], 'below', ARGV[2], 'first', ARGV[2]) end\n"
    "redis.call('HSET', KEYS[2], ARGV[2], ARGV[3], 'newest', ARGV[2], 'head', ARGV[4],\n"
    "  'bytes', string.format('%.0f', p[2] + ARGV[5]))\n"
    "return 'copied'";

/* ARGV: who copies, version. */
static const char end_copy[] =
    "#!lua flags=allow-oom\n"
    "if redis.call('HGET', KEYS[1], 'copying') ~= ARGV[1] then return 'gone' end\n"
    "redis.call('HDEL', KEYS[1], 'copying')\n"
    "redis.call('HSET', KEYS[1], 'version', ARGV[2])\n"
    "return 'ended'";

/* ARGV: id, what, words. */
static const char set_retired[] =
    "#!lua flags=allow-oom\n"
    "if redis.call('HGET', KEYS[1], 'log') ~= ARGV[1] then return 'gone' end\n"
    "redis.call('HSET', KEYS[1], 'retired', ARGV[2], 'retired_why', ARGV[3])\n"
    "return 'retired'";

static int fail(const etx__redis_log *log, char *message, size_t message_size) {
    return etx__store_say(message, message_size, log->care.rc, "%s", log->care.text);
}

/* Runs it: 0, if the script says `wanted`. */
static etx__redis_outcome run(etx__redis_log *log,
                              const etx__redis_command *command,
                              const char *wanted,
                              int *ret_rc) {
    redisReply *reply = NULL;
    etx__redis_outcome outcome = etx__redis_exec(&log->care, command, &reply);
    *ret_rc = outcome != ETX__REDIS_DONE ? log->care.rc : 0;
    if (!*ret_rc && !etx__redis_says(reply, wanted))
        *ret_rc = etx__redis_say(&log->care, ETX_EBUSY,
                                 "there is something else, or another copy, with prefix=%s: give "
                                 "the copy another one",
                                 log->store.prefix);
    freeReplyObject(reply);
    return outcome;
}

static int begin(etx__redis_log *log, const etx_log_info *source) {
    static const char *const names[OTHERS] = {"log", "nodes", "leases"};
    char keys[OTHERS + ETX__STORE_PARTITIONS_MAX][ETX__REDIS_KEY_MAX];
    etx__redis_command command;
    int rc = 0;
    etx__redis_eval(&command, begin_copy, OTHERS + ETX__STORE_PARTITIONS_MAX);
    for (uint32_t i = 0; i < OTHERS + ETX__STORE_PARTITIONS_MAX; i++) {
        if (i < OTHERS)
            etx__redis_key(&log->store, names[i], keys[i]);
        else
            etx__redis_partition_key(&log->store, i - OTHERS, keys[i]);
        etx__redis_word(&command, keys[i]);
    }
    etx__redis_word(&command, source->id);
    etx__redis_word(&command, log->store.common.process);
    etx__redis_number(&command, source->partitions);
    (void)run(log, &command, "begun", &rc);
    return rc;
}

int etx__redis_copy_begin(const etx_log_config *config,
                          const etx_log_info *source,
                          etx_log **ret_log) {
    etx__redis_log *log = NULL;
    if (source->partitions > ETX__STORE_PARTITIONS_MAX)
        return etx__store_say(config->message, config->message_size, ETX_EINVALID,
                              "a Redis log has at most %d partitions", ETX__STORE_PARTITIONS_MAX);
    int rc = etx__redis_new(config, &log);
    if (rc)
        return rc;
    rc = etx__redis_grade(log); /* which also says whether it can keep a log at all */
    rc = rc ? rc : begin(log, source);
    if (rc) {
        fail(log, config->message, config->message_size);
        etx__redis_close(&log->head, 1);
        return rc;
    }
    *ret_log = &log->head;
    return 0;
}

int etx__redis_copy_slot(etx_log *head, const etx_slot *slot, char *message, size_t message_size) {
    etx__redis_log *log = (etx__redis_log *)head;
    char keys[2][ETX__REDIS_KEY_MAX];
    char name[ETX__REDIS_NAME];
    char checksum[9];
    etx__redis_command command;
    int rc = 0;
    if (slot->batch.len > ETX__REDIS_BATCH_MAX)
        return etx__store_say(message, message_size, ETX_EINVALID,
                              "slot %llu of partition %u has %zu bytes, and a slot in Redis %d at "
                              "most",
                              (unsigned long long)slot->slot, slot->partition, slot->batch.len,
                              ETX__REDIS_BATCH_MAX);
    char *value = malloc(ETX__REDIS_HEADER + slot->batch.len);
    if (!value)
        return etx__store_say(message, message_size, ETX_ENOMEM, "out of memory");
    etx__redis_value_make(slot, value);
    etx__redis_key(&log->store, "log", keys[0]);
    etx__redis_partition_key(&log->store, slot->partition, keys[1]);
    etx__redis_slot_name(slot->slot, name);
    snprintf(checksum, sizeof checksum, "%08x", slot->checksum);
    etx__redis_eval(&command, copy_one, 2);
    etx__redis_word(&command, keys[0]);
    etx__redis_word(&command, keys[1]);
    etx__redis_word(&command, log->store.common.process);
    etx__redis_word(&command, name);
    etx__redis_bytes(&command, (etx_bytes){value, ETX__REDIS_HEADER + slot->batch.len});
    etx__redis_word(&command, checksum);
    etx__redis_number(&command, slot->batch.len + ETX__STORE_SLOT_COST);
    (void)run(log, &command, "copied", &rc);
    free(value);
    return rc ? fail(log, message, message_size) : 0;
}

int etx__redis_copy_end(etx_log *head, int whole, char *message, size_t message_size) {
    etx__redis_log *log = (etx__redis_log *)head;
    char key[ETX__REDIS_KEY_MAX];
    etx__redis_command command;
    int rc = 0;
    if (whole) {
        etx__redis_key(&log->store, "log", key);
        etx__redis_eval(&command, end_copy, 1);
        etx__redis_word(&command, key);
        etx__redis_word(&command, log->store.common.process);
        etx__redis_number(&command, ETX__REDIS_VERSION);
        if (run(log, &command, "ended", &rc) == ETX__REDIS_LOST)
            log->care.rc = ETX_EUNKNOWN;
        rc = rc ? fail(log, message, message_size) : 0;
    }
    etx__redis_close(head, 1);
    return rc;
}

int etx__redis_retire(etx_log *head,
                      etx_retirement what,
                      const char *words,
                      char *message,
                      size_t message_size) {
    etx__redis_log *log = (etx__redis_log *)head;
    char key[ETX__REDIS_KEY_MAX];
    etx__redis_command command;
    int rc = 0;
    if (log->store.common.read_only)
        return etx__store_say(message, message_size, ETX_EINVALID,
                              "the log is open for reading only");
    etx__redis_key(&log->store, "log", key);
    etx__redis_eval(&command, set_retired, 1);
    etx__redis_word(&command, key);
    etx__redis_word(&command, log->id);
    etx__redis_number(&command, what);
    etx__redis_word(&command, what == ETX_RETIRE_NOT ? "" : words);
    (void)run(log, &command, "retired", &rc);
    if (rc)
        return fail(log, message, message_size);
    log->retired = (uint8_t)what;
    return 0;
}
