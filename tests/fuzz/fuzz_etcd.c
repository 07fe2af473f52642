/* Fuzzes what etcd answers, as its log reads that: messages of Protocol Buffers, values of keys.
 * Whatever the bytes are, what is found stands within them, and reading comes to an end; what
 * is written reads back the same. */
#include "fuzz.h"

#include "../../src/integration/log/etcd/etcd.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 6, FIELDS_MAX = 8 };

static void check_within(etx_bytes all, etx_bytes part) {
    const uint8_t *first = all.data;
    const uint8_t *at = part.data;
    fuzz_check(part.len == 0 || (at >= first && at + part.len <= first + all.len));
}

/* Every field, and every message that may be within it. */
static void walk(etx_bytes message, unsigned depth) {
    etx_bytes left = message;
    etx__etcd_field field;
    size_t before = left.len;
    while (etx__etcd_next(&left, &field)) {
        fuzz_check(left.len < before);
        before = left.len;
        check_within(message, left);
        check_within(message, field.bytes);
        if (depth < DEPTH_MAX) {
            walk(field.bytes, depth + 1);
        }
    }
}

/* What the log looks for in an answer. */
static void look(etx_bytes answer) {
    for (unsigned field = 1; field < FIELDS_MAX; field++) {
        (void)etx__etcd_number_of(answer, field);
    }
    for (size_t i = 0; i < 3; i++) {
        etx_bytes kv = etx__etcd_part_of(etx__etcd_found(answer, i), RANGE_KVS, 0);
        etx_slot slot = {.nonce = 0};
        uint64_t number;
        check_within(answer, kv);
        (void)etx__etcd_mark_read(kv, &number);
        (void)etx__etcd_slot_number(kv, &number);
        if (etx__etcd_slot_read(kv, &slot) == 0) {
            check_within(kv, slot.batch);
            fuzz_check(slot.batch.len > 0);
        }
    }
}

/* Fields as the input says, one of them a message, and all of it back. */
static void check_written(fuzz_input from) {
    etx__etcd_text text = {.bytes = NULL};
    uint64_t number = fuzz_number(&from, 8);
    etx_bytes bytes = fuzz_bytes(&from, fuzz_byte(&from));
    unsigned field = 1 + fuzz_byte(&from) % 200u;
    etx__etcd_number(&text, field, number);
    size_t start = etx__etcd_open(&text, field + 1);
    etx__etcd_bytes(&text, 1, bytes.data, bytes.len);
    etx__etcd_number(&text, 2, number);
    etx__etcd_close(&text, start);
    etx__etcd_bytes(&text, field + 2, from.at, from.left);
    fuzz_check(!text.failed);
    etx_bytes all = {text.bytes, text.len};
    etx_bytes inner = etx__etcd_part_of(all, field + 1, 0);
    fuzz_check(etx__etcd_number_of(all, field) == number);
    fuzz_check(fuzz_equal(etx__etcd_part_of(inner, 1, 0), bytes));
    fuzz_check(etx__etcd_number_of(inner, 2) == number);
    fuzz_check(fuzz_equal(etx__etcd_part_of(all, field + 2, 0), (etx_bytes){from.at, from.left}));
    etx__etcd_text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* a block of its own, so that reading beyond it is seen */
    uint8_t *copy = fuzz_alloc(size + 1);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    etx_bytes answer = {copy, size};
    walk(answer, 0);
    look(answer);
    check_written((fuzz_input){copy, size});
    free(copy);
    return 0;
}
