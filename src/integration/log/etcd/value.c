/* What the values of a log's keys say: a mark, a slot. */
#include "etcd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void etx__etcd_mark_write(etx__etcd_text *text,
                          const etx__etcd_store *store,
                          uint32_t partition,
                          uint64_t below) {
    size_t operation = etx__etcd_open(text, TXN_SUCCESS);
    size_t mark = etx__etcd_open(text, OP_PUT);
    etx__etcd_key(text, PUT_KEY, store, "p/%03u/below", partition);
    etx__etcd_words(text, PUT_VALUE, "%016" PRIx64, below);
    etx__etcd_close(text, mark);
    etx__etcd_close(text, operation);
}

void etx__etcd_slot_write(etx__etcd_text *text,
                          const etx__etcd_store *store,
                          const etx_slot *slot) {
    char head[ETX__ETCD_HEAD + 1];
    snprintf(head, sizeof head, "%08x %08x %016" PRIx64 " \n", slot->checksum, slot->predecessor,
             slot->nonce);
    size_t operation = etx__etcd_open(text, TXN_SUCCESS);
    size_t one = etx__etcd_open(text, OP_PUT);
    etx__etcd_key(text, PUT_KEY, store, "p/%03u/s/%016" PRIx64, slot->partition, slot->slot);
    size_t value = etx__etcd_open(text, PUT_VALUE);
    etx__etcd_text_add(text, head, ETX__ETCD_HEAD);
    etx__etcd_text_add(text, slot->batch.data, slot->batch.len);
    etx__etcd_close(text, value);
    etx__etcd_close(text, one);
    etx__etcd_close(text, operation);
}

/* A number of `len` hexadecimal digits, without anything else. */
static int hex_read(const char *text, size_t len, uint64_t *ret_number) {
    static const char digits[] = "0123456789abcdef";
    uint64_t number = 0;
    for (size_t i = 0; i < len; i++) {
        const char *at = text[i] ? strchr(digits, text[i]) : NULL;
        if (!at)
            return ETX_ECORRUPT;
        number = number << 4 | (uint64_t)(at - digits);
    }
    *ret_number = number;
    return 0;
}

int etx__etcd_mark_read(etx_bytes kv, uint64_t *ret_mark) {
    etx_bytes value = etx__etcd_part_of(kv, KV_VALUE, 0);
    return value.len == 16 ? hex_read(value.data, 16, ret_mark) : ETX_ECORRUPT;
}

int etx__etcd_slot_read(etx_bytes kv, etx_slot *slot) {
    etx_bytes value = etx__etcd_part_of(kv, KV_VALUE, 0);
    const char *head = value.data;
    uint64_t checksum = 0;
    uint64_t predecessor = 0;
    if (value.len <= ETX__ETCD_HEAD || hex_read(head, 8, &checksum) || head[8] != ' ' ||
        hex_read(head + 9, 8, &predecessor) || head[17] != ' ' ||
        hex_read(head + 18, 16, &slot->nonce) || memcmp(head + 34, " \n", 2) != 0)
        return ETX_ECORRUPT;
    slot->checksum = (uint32_t)checksum;
    slot->predecessor = (uint32_t)predecessor;
    slot->batch = (etx_bytes){head + ETX__ETCD_HEAD, value.len - ETX__ETCD_HEAD};
    return 0;
}

int etx__etcd_slot_number(etx_bytes kv, uint64_t *ret_slot) {
    etx_bytes key = etx__etcd_part_of(kv, KV_KEY, 0);
    return key.len > 16 ? hex_read((const char *)key.data + key.len - 16, 16, ret_slot)
                        : ETX_ECORRUPT;
}
