/* Trims a Redis log: the mark, then the slots, some at a time, so that no script takes long. Both
 * may be done while the server's memory is full: they make room. */
#include "redis.h"

#include <stdlib.h>

enum { SLOTS = 200 };

/* ARGV: log, mark. Never above the newest slot. Answers where deleting goes on and ends. */
static const char raise_mark[] =
    "#!lua flags=allow-oom\n"
    "local p = redis.call('HMGET', KEYS[1], 'log', 'below', 'newest', 'first')\n"
    "if p[1] ~= ARGV[1] then return 'gone' end\n"
    "local below = ARGV[2] < p[3] and ARGV[2] or p[3]\n"
    "if below <= p[2] then return {p[4], p[2]} end\n"
    "redis.call('HSET', KEYS[1], 'below', below)\n"
    "return {p[4], below}";

/* ARGV: log, where the next goes on, slots. Answers the bytes that all others take. */
static const char delete_slots[] =
    "#!lua flags=allow-oom\n"
    "local p = redis.call('HMGET', KEYS[1], 'log', 'below', 'first', 'bytes')\n"
    "if p[1] ~= ARGV[1] or ARGV[2] > p[2] then return 'gone' end\n"
    "local bytes = tonumber(p[4])\n"
    "for i = 3, #ARGV do\n"
    "  local len = redis.call('HSTRLEN', KEYS[1], ARGV[i])\n"
    "  if len > 0 then bytes = bytes - (len + 48) end\n"
    "end\n"
    "redis.call('HDEL', KEYS[1], unpack(ARGV, 3))\n"
    "redis.call('HSET', KEYS[1], 'first', ARGV[2] > p[3] and ARGV[2] or p[3],\n"
    "  'bytes', string.format('%.0f', bytes))\n"
    "return string.format('%.0f', bytes)";

_Static_assert(ETX__STORE_SLOT_COST - ETX__REDIS_HEADER == 48, "what delete_slots counts");

static int mark(etx__redis_log *log,
                etx__redis_partition *partition,
                uint64_t below,
                uint64_t *ret_first,
                uint64_t *ret_below) {
    char name[ETX__REDIS_NAME];
    etx__redis_command command;
    redisReply *reply = NULL;
    etx__redis_slot_name(below, name);
    etx__redis_eval(&command, raise_mark, 1);
    etx__redis_word(&command, partition->key);
    etx__redis_word(&command, log->id);
    etx__redis_word(&command, name);
    if (etx__redis_exec(&partition->session, &command, &reply) != ETX__REDIS_DONE)
        return partition->session.rc;
    int rc = etx__redis_text_at(reply, 1).data
                 ? 0
                 : etx__redis_gone(&partition->session, partition->key);
    *ret_first = etx__redis_number_at(reply, 0);
    *ret_below = etx__redis_number_at(reply, 1);
    freeReplyObject(reply);
    return rc;
}

static int delete_some(etx__redis_log *log,
                       etx__redis_partition *partition,
                       uint64_t first,
                       uint64_t end) {
    char names[SLOTS][ETX__REDIS_NAME];
    char next[ETX__REDIS_NAME];
    etx__redis_command command;
    redisReply *reply = NULL;
    etx__redis_slot_name(end, next);
    etx__redis_eval(&command, delete_slots, 1);
    etx__redis_word(&command, partition->key);
    etx__redis_word(&command, log->id);
    etx__redis_word(&command, next);
    for (uint64_t i = 0; i < end - first; i++) {
        etx__redis_slot_name(first + i, names[i]);
        etx__redis_word(&command, names[i]);
    }
    if (etx__redis_exec(&partition->session, &command, &reply) != ETX__REDIS_DONE)
        return partition->session.rc;
    int rc =
        etx__redis_says(reply, "gone") ? etx__redis_gone(&partition->session, partition->key) : 0;
    if (!rc && reply->type == REDIS_REPLY_STRING)
        atomic_store(&partition->bytes, strtoull(reply->str, NULL, 10));
    freeReplyObject(reply);
    return rc;
}

int etx__redis_trim(etx_log *head, uint32_t number, uint64_t below) {
    etx__redis_log *log = (etx__redis_log *)head;
    uint64_t first = 0;
    uint64_t end = 0;
    if (log->store.common.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    etx__redis_partition *partition = &log->partition[number];
    int rc = mark(log, partition, below, &first, &end);
    while (!rc && first < end) {
        uint64_t next = end - first > SLOTS ? first + SLOTS : end;
        rc = delete_some(log, partition, first, next);
        first = next;
    }
    return rc;
}
