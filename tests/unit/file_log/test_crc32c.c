/* CRC-32C against the vectors of RFC 3720 and a bit-by-bit reference; the slot checksum against
 * its definition. */
#include <etx/log.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static uint32_t reference(uint32_t crc, const uint8_t *data, size_t len) {
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void test_vectors(void **state) {
    uint8_t bytes[48];
    (void)state;
    memset(bytes, 0, 32);
    assert_int_equal(etx_crc32c(0, bytes, 32), 0x8a9136aau);
    memset(bytes, 0xff, 32);
    assert_int_equal(etx_crc32c(0, bytes, 32), 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(etx_crc32c(0, bytes, 32), 0x46dd794eu);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal(etx_crc32c(0, bytes, 32), 0x113fdb5cu);
    assert_int_equal(etx_crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(etx_crc32c(0, NULL, 0), 0);
}

static void test_lengths_and_offsets(void **state) {
    uint8_t bytes[700];
    uint32_t random = 1;
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        random = random * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(random >> 24);
    }
    for (size_t from = 0; from < 9; from++) {
        for (size_t len = 0; len < 600; len += len < 40 ? 1 : 13)
            assert_int_equal(etx_crc32c(0, bytes + from, len), reference(0, bytes + from, len));
    }
}

static void test_continued(void **state) {
    const char *text = "write down what you are about to do before you do it";
    size_t len = strlen(text);
    (void)state;
    for (size_t cut = 0; cut <= len; cut++)
        assert_int_equal(etx_crc32c(etx_crc32c(0, text, cut), text + cut, len - cut),
                         etx_crc32c(0, text, len));
}

static void test_slot_checksum(void **state) {
    uint8_t bytes[24 + 5] = {1, 2, 3,    4,                         /* partition */
                             8, 7, 6,    5,    4,   3,   2,   1,    /* slot */
                             9, 9, 9,    9,    9,   9,   9,   0x80, /* nonce */
                             1, 0, 0xfe, 0xff, 'h', 'e', 'l', 'l',  'o'};
    (void)state;
    assert_int_equal(etx_slot_checksum(0x04030201, 0x0102030405060708, 0x8009090909090909,
                                       0xfffe0001, (etx_bytes){"hello", 5}),
                     reference(0, bytes, sizeof bytes));
    assert_int_equal(etx_slot_checksum(0x04030201, 0x0102030405060708, 0x8009090909090909,
                                       0xfffe0001, (etx_bytes){NULL, 0}),
                     reference(0, bytes, 24));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_lengths_and_offsets),
        cmocka_unit_test(test_continued),
        cmocka_unit_test(test_slot_checksum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
