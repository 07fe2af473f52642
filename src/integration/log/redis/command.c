/* The words of a command for Redis, the keys that it is about, and what a reply has. */
#include "redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void etx__redis_bytes(etx__redis_command *command, etx_bytes bytes) {
    command->words[command->count] = bytes.data;
    command->lengths[command->count++] = bytes.len;
}

void etx__redis_word(etx__redis_command *command, const char *text) {
    etx__redis_bytes(command, (etx_bytes){text, strlen(text)});
}

void etx__redis_number(etx__redis_command *command, uint64_t number) {
    char *to = command->room[command->rooms++];
    snprintf(to, sizeof command->room[0], "%" PRIu64, number);
    etx__redis_word(command, to);
}

void etx__redis_eval(etx__redis_command *command, const char *script, uint32_t key_count) {
    command->count = 0;
    command->rooms = 0;
    etx__redis_word(command, "EVAL");
    etx__redis_word(command, script);
    etx__redis_number(command, key_count);
}

void etx__redis_slot_name(uint64_t slot, char ret_name[ETX__REDIS_NAME]) {
    snprintf(ret_name, ETX__REDIS_NAME, "%019" PRIu64, slot < INT64_MAX ? slot : INT64_MAX);
}

/* The braces keep all keys of a log together where keys are shared out by their names. */
void etx__redis_key(const etx__redis_store *store,
                    const char *name,
                    char ret_key[ETX__REDIS_KEY_MAX]) {
    snprintf(ret_key, ETX__REDIS_KEY_MAX, "{%s}:%s", store->prefix, name);
}

void etx__redis_partition_key(const etx__redis_store *store,
                              uint32_t number,
                              char ret_key[ETX__REDIS_KEY_MAX]) {
    char name[12];
    snprintf(name, sizeof name, "%" PRIu32, number);
    etx__redis_key(store, name, ret_key);
}

etx_bytes etx__redis_text_at(const redisReply *reply, size_t at) {
    const redisReply *element = reply && reply->type == REDIS_REPLY_ARRAY && at < reply->elements
                                    ? reply->element[at]
                                    : NULL;
    if (!element || (element->type != REDIS_REPLY_STRING && element->type != REDIS_REPLY_STATUS))
        return (etx_bytes){NULL, 0};
    return (etx_bytes){element->str, element->len};
}

uint64_t etx__redis_number_at(const redisReply *reply, size_t at) {
    etx_bytes text = etx__redis_text_at(reply, at);
    return text.data ? strtoull(text.data, NULL, 10) : 0;
}

int etx__redis_says(const redisReply *reply, const char *word) {
    return reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) &&
           reply->len == strlen(word) && memcmp(reply->str, word, reply->len) == 0;
}
