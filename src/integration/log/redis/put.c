/* Puts into Redis: one script each, and what it came to.
 *
 * A partition is a hash. Beside a field for each slot, whose value is the slot's header (nonce,
 * predecessor and checksum, little-endian: 8, 4 and 4 bytes) and its batch, it has
 *
 *   log     the home's id: another log of that name is not this one
 *   below   the trim mark
 *   first   where deleting goes on: up to `below`
 *   newest  the newest slot, or nothing
 *   head    that one's checksum
 *   bytes   what all slots take
 *
 * Slots follow one another without gap, so `newest` and `head` say whether one is filled, may be
 * written now, or has no predecessor yet. Numbers of slots are texts of 19 digits: a script's own
 * numbers have 53 bits. Redis runs a script alone, so a put that comes late is judged by what is
 * there then; and one that has begun to write has been refused by nothing.
 *
 * With appendfsync always Redis answers when what the script wrote is on its disk. If it cannot
 * write there, it ends, and nobody hears the answer. */
#include "redis.h"

#include <endian.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ARGV: log, slot, the slot before or nothing, predecessor, checksum, value, bytes. What a script
 * does with a long text, if only to join two, takes longer than all else. */
static const char put_slot[] =
    "#!lua\n"
    "local p = redis.call('HMGET', KEYS[1], 'log', 'below', 'newest', 'head', 'bytes')\n"
    "if p[1] ~= ARGV[1] then return 'gone' end\n"
    "if ARGV[2] < p[2] then return 'trimmed' end\n"
    "if ARGV[2] <= p[3] then\n"
    "  local there = redis.call('HGET', KEYS[1], ARGV[2])\n"
    "  return there and string.sub(there, 1, 16) or 'missing'\n"
    "end\n"
    "if ARGV[3] ~= p[3] or ARGV[4] ~= p[4] then return 'predecessor' end\n"
    "redis.call('HSET', KEYS[1], ARGV[2], ARGV[6], 'newest', ARGV[2],\n"
    "  'head', ARGV[5], 'bytes', string.format('%.0f', p[5] + ARGV[7]))\n"
    "return 'written'";

void etx__redis_put_prepare(etx__redis_log *log) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(put_slot, sizeof put_slot - 1, digest, NULL, EVP_sha1(), NULL) != 1)
        return; /* Redis knows no script of no name: it gets the text each time */
    for (size_t i = 0; i < (sizeof log->put_sha - 1) / 2; i++)
        snprintf(log->put_sha + 2 * i, 3, "%02x", digest[i]);
}

void etx__redis_value_make(const etx_slot *slot, char *ret_value) {
    uint64_t nonce = htole64(slot->nonce);
    uint32_t predecessor = htole32(slot->predecessor);
    uint32_t checksum = htole32(slot->checksum);
    memcpy(ret_value, &nonce, sizeof nonce);
    memcpy(ret_value + 8, &predecessor, sizeof predecessor);
    memcpy(ret_value + 12, &checksum, sizeof checksum);
    memcpy(ret_value + ETX__REDIS_HEADER, slot->batch.data, slot->batch.len);
}

void etx__redis_header_read(const char *header, etx_slot *ret_slot) {
    uint64_t nonce;
    uint32_t predecessor;
    uint32_t checksum;
    memcpy(&nonce, header, sizeof nonce);
    memcpy(&predecessor, header + 8, sizeof predecessor);
    memcpy(&checksum, header + 12, sizeof checksum);
    ret_slot->nonce = le64toh(nonce);
    ret_slot->predecessor = le32toh(predecessor);
    ret_slot->checksum = le32toh(checksum);
}

/* What a put's command has beside the put itself. */
typedef struct put_words {
    char slot[ETX__REDIS_NAME];
    char before[ETX__REDIS_NAME];
    char predecessor[9];
    char checksum[9];
    char *value;
} put_words;

static void command_make(const etx__redis_log *log,
                         const etx_put *put,
                         put_words *words,
                         etx__redis_command *ret_command) {
    etx__redis_slot_name(put->slot, words->slot);
    words->before[0] = 0;
    if (put->slot > 0)
        etx__redis_slot_name(put->slot - 1, words->before);
    snprintf(words->predecessor, sizeof words->predecessor, "%08x", put->predecessor);
    snprintf(words->checksum, sizeof words->checksum, "%08x", put->checksum);
    const etx_slot slot = {.predecessor = put->predecessor,
                           .nonce = put->nonce,
                           .checksum = put->checksum,
                           .batch = put->batch};
    etx__redis_value_make(&slot, words->value);
    ret_command->count = 0;
    ret_command->rooms = 0;
    etx__redis_word(ret_command, "EVALSHA");
    etx__redis_word(ret_command, log->put_sha);
    etx__redis_number(ret_command, 1);
    etx__redis_word(ret_command, log->partition[put->partition].key);
    etx__redis_word(ret_command, log->id);
    etx__redis_word(ret_command, words->slot);
    etx__redis_word(ret_command, words->before);
    etx__redis_word(ret_command, words->predecessor);
    etx__redis_word(ret_command, words->checksum);
    etx__redis_bytes(ret_command, (etx_bytes){words->value, ETX__REDIS_HEADER + put->batch.len});
    etx__redis_number(ret_command, put->batch.len + ETX__STORE_SLOT_COST);
}

/* What the script said; it has had no effect but for "written". */
static etx_put_result judge(etx__redis_partition *partition,
                            etx_put *put,
                            const redisReply *reply) {
    if (etx__redis_says(reply, "written")) {
        atomic_fetch_add(&partition->bytes, put->batch.len + ETX__STORE_SLOT_COST);
        return ETX_PUT_WRITTEN;
    }
    if (etx__redis_says(reply, "predecessor") || (etx__redis_says(reply, "gone") && put->slot > 0))
        return ETX_PUT_PREDECESSOR;
    if (etx__redis_says(reply, "trimmed")) {
        put->found_trimmed = 1;
        return ETX_PUT_OCCUPIED;
    }
    if (reply->type == REDIS_REPLY_STRING && reply->len == ETX__REDIS_HEADER) {
        etx_slot there;
        etx__redis_header_read(reply->str, &there);
        put->found_nonce = there.nonce;
        put->found_checksum = there.checksum;
        return ETX_PUT_OCCUPIED;
    }
    etx__redis_gone(&partition->session, partition->key);
    return etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, ETX_ECORRUPT, partition->session.text);
}

/* By its name; the whole script, if the server does not know it. */
static etx__redis_outcome run(etx__redis_session *session,
                              etx__redis_command *command,
                              redisReply **ret_reply) {
    etx__redis_outcome outcome = etx__redis_exec(session, command, ret_reply);
    if (outcome != ETX__REDIS_REFUSED || strcmp(session->code, "NOSCRIPT") != 0)
        return outcome;
    command->words[0] = "EVAL";
    command->lengths[0] = 4;
    command->words[1] = put_slot;
    command->lengths[1] = sizeof put_slot - 1;
    return etx__redis_exec(session, command, ret_reply);
}

/* What a slot takes in the server, whose allocator rounds up by a fifth at most. */
static int64_t memory_of(const etx_put *put) {
    return (int64_t)(put->batch.len + put->batch.len / 4 + 2 * ETX__STORE_SLOT_COST);
}

etx_put_result etx__redis_put(etx_log *head, etx_put *put) {
    etx__redis_log *log = (etx__redis_log *)head;
    etx__redis_command command;
    redisReply *reply = NULL;
    etx_put_result result =
        etx__store_put_begin(&log->store.common, log->partition_count, ETX__REDIS_BATCH_MAX, put);
    if (result)
        return result;
    etx__redis_partition *partition = &log->partition[put->partition];
    const etx__redis_session *session = &partition->session;
    put_words words = {.value = malloc(ETX__REDIS_HEADER + put->batch.len)};
    if (!words.value)
        return etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, ETX_ENOMEM, "out of memory");
    command_make(log, put, &words, &command);
    etx__redis_outcome outcome = run(&partition->session, &command, &reply);
    if (outcome == ETX__REDIS_DONE)
        result = judge(partition, put, reply);
    else if (outcome == ETX__REDIS_LOST)
        result = etx__store_put_end(put, ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE, session->text);
    else
        result = etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, session->rc, session->text);
    if (result == ETX_PUT_NOT_WRITTEN && put->error == ETX_EFULL)
        atomic_store(&log->room, 0);
    else if (result == ETX_PUT_WRITTEN)
        atomic_fetch_sub(&log->room, memory_of(put));
    freeReplyObject(reply);
    free(words.value);
    return result;
}
