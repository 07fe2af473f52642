/* The keys of a Redis log: made once, by one script, or found and looked at.
 *
 * {prefix}:log has the version of all this, the home's id and the number of partitions. {prefix}:0
 * and so on are the partitions, a hash each: see put.c. {prefix}:nodes and {prefix}:leases are
 * made when they are needed: see lease.c. */
#include "redis.h"

#include <string.h>

/* ARGV: id, version, partitions. Answers with what is there, then. */
static const char make_all[] =
    "#!lua\n"
    "if redis.call('EXISTS', KEYS[1]) == 0 then\n"
    "  for i = 2, #KEYS do\n"
    "    if redis.call('EXISTS', KEYS[i]) == 1 then return KEYS[i] end\n"
    "  end\n"
    "  for i = 4, #KEYS do redis.call('HSET', KEYS[i], " ETX__REDIS_EMPTY
    ") end\n"
    "  redis.call('HSET', KEYS[1], 'version', ARGV[2], 'log', ARGV[1], 'partitions', ARGV[3])\n"
    "end\n"
    "return redis.call('HMGET', KEYS[1], 'version', 'log', 'partitions', 'retired',"
    " 'retired_why', 'copying')";

/* For each partition its bytes, or nothing if it is not ARGV[1]'s. */
static const char measure_all[] =
    "#!lua flags=no-writes,allow-oom\n"
    "local all = {}\n"
    "for i = 1, #KEYS do\n"
    "  local p = redis.call('HMGET', KEYS[i], 'log', 'bytes')\n"
    "  all[i] = p[1] == ARGV[1] and p[2]\n"
    "end\n"
    "return all";

static int find(etx__redis_log *log, redisReply **ret_reply) {
    char key[ETX__REDIS_KEY_MAX];
    etx__redis_command look = {.count = 0};
    etx__redis_key(&log->store, "log", key);
    etx__redis_word(&look, "HMGET");
    etx__redis_word(&look, key);
    etx__redis_word(&look, "version");
    etx__redis_word(&look, "log");
    etx__redis_word(&look, "partitions");
    etx__redis_word(&look, "retired");
    etx__redis_word(&look, "retired_why");
    etx__redis_word(&look, "copying");
    return etx__redis_exec(&log->care, &look, ret_reply) == ETX__REDIS_DONE ? 0 : log->care.rc;
}

static int make(etx__redis_log *log, redisReply **ret_reply) {
    static const char *const names[] = {"log", "nodes", "leases"};
    char keys[3 + ETX__STORE_PARTITIONS_MAX][ETX__REDIS_KEY_MAX];
    char id[ETX_HOME_ID_LEN + 1];
    uint32_t partitions = log->store.common.partitions;
    etx__redis_command command;
    if (etx__store_id_draw(id))
        return etx__redis_say(&log->care, ETX_EIO, "the system gives no random numbers");
    etx__redis_eval(&command, make_all, 3 + partitions);
    for (uint32_t i = 0; i < 3 + partitions; i++) {
        if (i < 3)
            etx__redis_key(&log->store, names[i], keys[i]);
        else
            etx__redis_partition_key(&log->store, i - 3, keys[i]);
        etx__redis_word(&command, keys[i]);
    }
    etx__redis_word(&command, id);
    etx__redis_number(&command, ETX__REDIS_VERSION);
    etx__redis_number(&command, partitions);
    if (etx__redis_exec(&log->care, &command, ret_reply) != ETX__REDIS_DONE)
        return log->care.rc;
    if ((*ret_reply)->type == REDIS_REPLY_STRING)
        return etx__redis_say(
            &log->care, ETX_EINVALID,
            "the key %.90s is there already, and no log: name another prefix=", (*ret_reply)->str);
    return 0;
}

static int take(etx__redis_log *log, const redisReply *reply, uint32_t flags) {
    uint64_t version = etx__redis_number_at(reply, 0);
    etx_bytes id = etx__redis_text_at(reply, 1);
    uint64_t partitions = etx__redis_number_at(reply, 2);
    if (version > ETX__REDIS_VERSION)
        return etx__redis_say(
            &log->care, ETX_EVERSION,
            "the log {%s} has version %llu, made by a newer ETX: this one knows %d",
            log->store.prefix, (unsigned long long)version, ETX__REDIS_VERSION);
    if (etx__redis_text_at(reply, 5).data)
        return etx__redis_say(&log->care, ETX_EBUSY,
                              "the log {%s} is a copy that is being made, or was left unfinished: "
                              "see etx log copy",
                              log->store.prefix);
    if (version < 1 || !id.data)
        return etx__redis_say(
            &log->care, ETX_EINVALID,
            "the key {%s}:log is another program's: name another prefix=", log->store.prefix);
    if (partitions < 1 || partitions > ETX__STORE_PARTITIONS_MAX || id.len != ETX_HOME_ID_LEN)
        return etx__redis_say(&log->care, ETX_ECORRUPT, "the key {%s}:log is not as ETX made it",
                              log->store.prefix);
    memcpy(log->id, id.data, ETX_HOME_ID_LEN);
    log->partition_count = (uint32_t)partitions;
    log->retired = (uint8_t)etx__redis_number_at(reply, 3);
    if (log->retired && !(flags & (ETX_LOG_RETIRED | ETX_LOG_READ_ONLY)))
        return etx__redis_say(&log->care, ETX_ECONFLICT, "%s",
                              (const char *)etx__redis_text_at(reply, 4).data);
    return 0;
}

static int is_absent(const redisReply *reply) {
    return !etx__redis_text_at(reply, 0).data && !etx__redis_text_at(reply, 1).data &&
           !etx__redis_text_at(reply, 2).data;
}

int etx__redis_schema_open(etx__redis_log *log, uint32_t flags) {
    redisReply *reply = NULL;
    int rc = find(log, &reply);
    if (!rc && is_absent(reply)) {
        freeReplyObject(reply);
        reply = NULL;
        rc = flags & (ETX_LOG_READ_ONLY | ETX_LOG_NO_CREATE)
                 ? etx__redis_say(&log->care, ETX_ENOTFOUND,
                                  "there is no log with prefix=%s in this database",
                                  log->store.prefix)
                 : make(log, &reply);
    }
    rc = rc ? rc : take(log, reply, flags);
    freeReplyObject(reply);
    return rc;
}

int etx__redis_schema_measure(etx__redis_log *log) {
    etx__redis_command command;
    redisReply *reply = NULL;
    etx__redis_eval(&command, measure_all, log->partition_count);
    for (uint32_t i = 0; i < log->partition_count; i++)
        etx__redis_word(&command, log->partition[i].key);
    etx__redis_word(&command, log->id);
    if (etx__redis_exec(&log->care, &command, &reply) != ETX__REDIS_DONE)
        return log->care.rc;
    int rc = 0;
    for (uint32_t i = 0; !rc && i < log->partition_count; i++) {
        if (!etx__redis_text_at(reply, i).data)
            rc = etx__redis_gone(&log->care, log->partition[i].key);
        atomic_store(&log->partition[i].bytes, etx__redis_number_at(reply, i));
    }
    freeReplyObject(reply);
    return rc;
}
