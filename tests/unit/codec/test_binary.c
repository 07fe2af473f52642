/* The binary codec: what it writes it reads, and what it did not write it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "records.h"

enum { SEED = 20240611, RECORD_TYPES = 10, BUFFER = 1 << 18 };

typedef struct bench {
    dice dice;
    record_stock stock;
    etx_record_room room;
    unsigned char buffer[BUFFER];
} bench;

static int bench_setup(void **state) {
    bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->dice.state = SEED;
    *state = b;
    return 0;
}

static int bench_teardown(void **state) {
    bench *b = *state;
    etx_record_room_free(&b->room);
    free(b);
    return 0;
}

static size_t bench_encode(bench *b, const etx_record *record) {
    const etx_codec *codec = etx_codec_binary();
    size_t bound = codec->bound(record);
    assert_true(bound < BUFFER);
    memset(b->buffer + bound, 0xa5, 16);
    size_t len = codec->encode(record, b->buffer);
    assert_true(len <= bound);
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(b->buffer[bound + i], 0xa5);
    }
    return len;
}

/* Decodes from a block of exactly this size, so that a sanitizer sees a step outside. */
static int bench_decode(bench *b,
                        const void *bytes,
                        size_t len,
                        etx_record *ret,
                        size_t *ret_used) {
    unsigned char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    memset(ret, 0xee, sizeof *ret);
    *ret_used = 4711;
    int rc = record_decode(etx_codec_binary(), (etx_bytes){copy, len}, &b->room, ret, ret_used);
    if (rc == 0) {
        /* One encoding only: what was read is written again byte by byte. */
        static unsigned char again[BUFFER];
        assert_true(*ret_used <= len);
        assert_int_equal(etx_codec_binary()->encode(ret, again), *ret_used);
        assert_memory_equal(again, copy, *ret_used);
    } else {
        assert_true(rc == ETX_ECORRUPT || rc == ETX_EVERSION);
        assert_int_equal(*ret_used, 4711);
        assert_int_equal(ret->type, 0xee);
    }
    free(copy);
    return rc;
}

static void test_round_trip(void **state) {
    bench *b = *state;
    for (unsigned i = 0; i < 9000; i++) {
        etx_record record = record_draw(&b->dice, &b->stock, 1 + i % RECORD_TYPES);
        size_t len = bench_encode(b, &record);
        memset(b->buffer + len, 0xff, 8); /* what follows in the batch */
        etx_record read;
        size_t used;
        etx_bytes bytes = {b->buffer, len + 8};
        assert_int_equal(record_decode(etx_codec_binary(), bytes, &b->room, &read, &used), 0);
        assert_int_equal(used, len);
        record_assert_equal(&record, &read);
    }
}

static void test_truncated_anywhere(void **state) {
    bench *b = *state;
    for (unsigned i = 0; i < 90; i++) {
        etx_record record = record_draw(&b->dice, &b->stock, 1 + i % RECORD_TYPES);
        size_t len = bench_encode(b, &record);
        etx_record read;
        size_t used;
        for (size_t cut = 0; cut < len; cut += cut < 300 ? 1 : 37) {
            assert_int_equal(bench_decode(b, b->buffer, cut, &read, &used), ETX_ECORRUPT);
        }
    }
}

/* The outer length is right, the body ends too early: no field may be taken from behind it. */
static void test_truncated_body(void **state) {
    bench *b = *state;
    for (unsigned i = 0; i < 300; i++) {
        etx_record record = record_draw(&b->dice, &b->stock, 1 + i % RECORD_TYPES);
        size_t len = bench_encode(b, &record);
        size_t head = len > 16384 + 4 ? 3 : len > 129 ? 2 : 1;
        unsigned char cut[1 + 1 + 127];
        etx_record read;
        size_t used;
        for (size_t body = 0; body < 127 && body < len - head - 1; body++) {
            cut[0] = (unsigned char)body;
            memcpy(cut + 1, b->buffer + head, 1 + body);
            int rc = bench_decode(b, cut, 2 + body, &read, &used);
            assert_int_equal(rc, ETX_ECORRUPT);
        }
    }
}

static void test_flipped_bits(void **state) {
    bench *b = *state;
    for (unsigned i = 0; i < 90; i++) {
        etx_record record = record_draw(&b->dice, &b->stock, 1 + i % RECORD_TYPES);
        size_t len = bench_encode(b, &record);
        etx_record read;
        size_t used;
        for (size_t bit = 0; bit < len * 8; bit += len < 400 ? 1 : 1 + dice_below(&b->dice, 61)) {
            b->buffer[bit / 8] ^= (unsigned char)(1 << bit % 8);
            bench_decode(b, b->buffer, len, &read, &used);
            b->buffer[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
    }
}

static void test_random_bytes(void **state) {
    bench *b = *state;
    for (unsigned i = 0; i < 30000; i++) {
        unsigned char bytes[64];
        unsigned len = 2 + dice_below(&b->dice, 62);
        for (unsigned k = 0; k < len; k++) {
            bytes[k] = (unsigned char)(dice_roll(&b->dice) >> 40);
        }
        bytes[0] = (unsigned char)(len - 2);
        bytes[1] = (unsigned char)(1 + dice_below(&b->dice, RECORD_TYPES));
        etx_record read;
        size_t used;
        bench_decode(b, bytes, len, &read, &used);
    }
}

/* One decode of literal bytes. */
#define DECODES(b, expected, ...)                                                               \
    do {                                                                                        \
        const unsigned char literal[] = {__VA_ARGS__};                                          \
        etx_record read;                                                                        \
        size_t used;                                                                            \
        assert_int_equal(bench_decode((b), literal, sizeof literal, &read, &used), (expected)); \
    } while (0)

static void test_newer_versions(void **state) {
    bench *b = *state;
    DECODES(b, 0, 2, ETX_RECORD_HELD, 1, 'g');
    DECODES(b, ETX_EVERSION, 2, ETX_RECORD_LOSS + 1, 1, 'g');        /* a record type */
    DECODES(b, ETX_EVERSION, 0, 255);                                /* another */
    DECODES(b, ETX_EVERSION, 3, ETX_RECORD_HELD, 1, 'g', 0);         /* a field at the end */
    DECODES(b, 0, 4, ETX_RECORD_RESULT, 1, 'g', 0x00, 0);            /* known bits of a head byte */
    DECODES(b, ETX_EVERSION, 4, ETX_RECORD_RESULT, 1, 'g', 0x10, 0); /* an unknown one */
    DECODES(b, ETX_EVERSION, 7, ETX_RECORD_FORCE, 1, 'g', 0x11, 0, 0, 0, 0);
    DECODES(b, ETX_EVERSION, 4, ETX_RECORD_MOVE, 1, 'g', 0x81, 0);
    DECODES(b, ETX_EVERSION, 4, ETX_RECORD_MOVE, 1, 'g', 0x01, 0x20); /* a mark */
}

static void test_malformed(void **state) {
    bench *b = *state;
    DECODES(b, ETX_ECORRUPT, 0, 0);                                /* zeros are no record */
    DECODES(b, ETX_ECORRUPT, 0x82, 0x00, ETX_RECORD_HELD, 1, 'g'); /* an overlong length */
    DECODES(b, ETX_ECORRUPT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 4, 1, 'g');
    DECODES(b, ETX_ECORRUPT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 4, 1, 'g');
    DECODES(b, ETX_ECORRUPT, 1, ETX_RECORD_HELD, 0);                 /* an empty gid */
    DECODES(b, ETX_ECORRUPT, 2, ETX_RECORD_HELD, 1, ' ');            /* no gid */
    DECODES(b, ETX_ECORRUPT, 2, ETX_RECORD_HELD, 2, 'g');            /* a gid beyond the body */
    DECODES(b, ETX_ECORRUPT, 4, ETX_RECORD_RESULT, 1, 'g', 0x03, 0); /* an operation */
    DECODES(b, ETX_ECORRUPT, 5, ETX_RECORD_RESULT, 1, 'g', 0x00, 0x80, 0x08); /* place 1024 */
    DECODES(b, 0, 5, ETX_RECORD_RESULT, 1, 'g', 0x00, 0xff, 0x07);            /* place 1023 */
    DECODES(b, ETX_ECORRUPT, 5, ETX_RECORD_RESULT, 1, 'g', 0x08, 0, 0); /* present and empty */
    DECODES(b, ETX_ECORRUPT, 5, ETX_RECORD_DECIDE, 1, 'g', 0x02, 1, 0);
    DECODES(b, ETX_ECORRUPT, 7, ETX_RECORD_FORCE, 1, 'g', 0x00, 0, 0, 0, 0); /* no action */
    DECODES(b, ETX_ECORRUPT, 7, ETX_RECORD_FORCE, 1, 'g', 0x0d, 0, 0, 0, 0); /* an operation */
}

/* A BEGIN of two branches at time 0 with digest 0, up to what is given. */
#define BEGIN_BYTES(len, ...) \
    (len), ETX_RECORD_BEGIN, 1, 'g', 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, __VA_ARGS__

static void test_malformed_branches(void **state) {
    bench *b = *state;
    DECODES(b, 0, BEGIN_BYTES(13, 0));
    DECODES(b, ETX_ECORRUPT, BEGIN_BYTES(14, 0x81, 0x08)); /* 1025 branches */
    DECODES(b, 0, BEGIN_BYTES(19, 1, 0x01, 1, 'a', 1, 'p', 0));
    DECODES(b, ETX_ECORRUPT, BEGIN_BYTES(19, 1, 0x00, 1, 'a', 1, 'p', 0)); /* a kind */
    DECODES(b, ETX_ECORRUPT, BEGIN_BYTES(19, 1, 0x06, 1, 'a', 1, 'p', 0));
    DECODES(b, ETX_ECORRUPT, BEGIN_BYTES(18, 1, 0x01, 0, 1, 'p', 0));            /* no name */
    DECODES(b, ETX_ECORRUPT, BEGIN_BYTES(21, 1, 0x41, 1, 'a', 1, 'p', 0, 1, 0)); /* itself */
    DECODES(b, ETX_ECORRUPT, BEGIN_BYTES(21, 1, 0x41, 1, 'a', 1, 'p', 0, 1, 1)); /* nobody */
    DECODES(b, ETX_ECORRUPT, BEGIN_BYTES(20, 1, 0x41, 1, 'a', 1, 'p', 0, 0));    /* none at all */
    DECODES(b, ETX_ECORRUPT, BEGIN_BYTES(20, 1, 0x81, 1, 'a', 1, 'p', 0, 0));    /* no option */
    DECODES(b, 0, BEGIN_BYTES(21, 1, 0x81, 1, 'a', 1, 'p', 0, 1, 3));
    DECODES(b, ETX_ECORRUPT, BEGIN_BYTES(21, 1, 0x81, 1, 'a', 1, 'p', 0, 1, 0));
    DECODES(b, ETX_EVERSION, BEGIN_BYTES(20, 1, 0x81, 1, 'a', 1, 'p', 0, 0x10));
    DECODES(b, 0, BEGIN_BYTES(27, 2, 0x01, 1, 'a', 1, 'p', 0, 0x41, 1, 'b', 1, 'p', 0, 1, 0));
    DECODES(b, ETX_ECORRUPT, BEGIN_BYTES(15, 0xff, 0xff, 0x03)); /* a count of 65,535 */
}

static void test_room_too_small(void **state) {
    bench *b = *state;
    etx_record record;
    do {
        record = record_draw(&b->dice, &b->stock, ETX_RECORD_MOVE);
    } while (record.u.move.begin.branch_count < 3 || b->stock.depends_on_used < 3);
    size_t len = bench_encode(b, &record);
    etx_record_room room = {0};
    etx_record read;
    size_t used;
    etx_bytes bytes = {b->buffer, len};
    assert_int_equal(etx_codec_binary()->decode(bytes, &room, &read, &used), ETX_EBUSY);
    assert_int_equal(room.branches_need, record.u.move.begin.branch_count);
    assert_int_equal(room.depends_on_need, b->stock.depends_on_used);
    assert_int_equal(etx_record_room_grow(&room), 0);
    assert_int_equal(etx_codec_binary()->decode(bytes, &room, &read, &used), 0);
    record_assert_equal(&record, &read);
    etx_record_room_free(&room);
    assert_null(room.branches);
    assert_int_equal(room.branches_max, 0);
}

/* The largest transaction there may be: every branch depends on every other. */
static void test_largest(void **state) {
    (void)state;
    enum { COUNT = ETX_BRANCHES_MAX };
    etx_record_branch *branches = calloc(COUNT, sizeof *branches);
    uint16_t *places = calloc((size_t)COUNT * (COUNT - 1), sizeof *places);
    assert_true(branches != NULL && places != NULL);
    for (unsigned i = 0; i < COUNT; i++) {
        uint16_t *own = places + (size_t)i * (COUNT - 1);
        for (unsigned k = 0; k < COUNT - 1; k++) {
            own[k] = (uint16_t)(k < i ? k : k + 1);
        }
        branches[i] = (etx_record_branch){.name = {"n", 1},
                                          .participant = {"p", 1},
                                          .kind = ETX_SAGA,
                                          .depends_on = own,
                                          .depends_on_count = COUNT - 1};
    }
    etx_record record = {.type = ETX_RECORD_BEGIN, .gid = {"g", 1}};
    record.u.begin.mode = ETX_SUBMITTED;
    record.u.begin.branch_count = COUNT;
    record.u.begin.branches = branches;
    const etx_codec *codec = etx_codec_binary();
    unsigned char *bytes = malloc(codec->bound(&record));
    assert_non_null(bytes);
    size_t len = codec->encode(&record, bytes);
    etx_record_room room = {0};
    etx_record read;
    size_t used;
    assert_int_equal(record_decode(codec, (etx_bytes){bytes, len}, &room, &read, &used), 0);
    record_assert_equal(&record, &read);
    etx_record_room_free(&room);
    free(bytes);
    free(places);
    free(branches);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_truncated_anywhere, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_truncated_body, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_flipped_bits, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_random_bytes, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_newer_versions, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_malformed, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_malformed_branches, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_room_too_small, bench_setup, bench_teardown),
        cmocka_unit_test(test_largest),
    };
    return cmocka_run_group_tests_name("binary codec", tests, NULL, NULL);
}
