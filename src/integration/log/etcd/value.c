/* What the values of a log's keys say: a mark, a slot. */
#include "etcd.h"

#include <string.h>

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
