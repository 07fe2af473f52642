/* The hash and the digests made of it: pinned values, sensitivity to every field, no collisions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <etx/record.h>

#include "../../../src/protocol/hash.h"

/* On disk: they never change, on no machine. */
static void test_pinned(void **state) {
    (void)state;
    unsigned char bytes[100];
    for (unsigned i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 7);
    }
    static const struct {
        size_t len;
        uint64_t hash;
    } pinned[] = {
        {0, 0x8e9cb3f6476f0182u},   {1, 0x529ef8476fc147f8u},  {3, 0xed3283638f9ccf8eu},
        {4, 0x80388f16cc0294b3u},   {7, 0x09ca98b15c50845fu},  {8, 0xf6206766d65c5f11u},
        {15, 0x7774a62509517f7eu},  {16, 0xb2563b87b3ac6ae7u}, {31, 0x00e7634558ba3cfbu},
        {32, 0x7f52247742c9b86fu},  {47, 0x77839b6bd75a8b33u}, {48, 0x4ada1be8fbece7edu},
        {100, 0x86b6593a3e8517b3u},
    };
    for (size_t i = 0; i < sizeof pinned / sizeof pinned[0]; i++) {
        assert_true(etx__hash(bytes, pinned[i].len) == pinned[i].hash);
    }
}

static void test_alignment(void **state) {
    (void)state;
    unsigned char bytes[64 + 8];
    for (size_t len = 0; len <= 64; len++) {
        uint64_t hash = 0;
        for (size_t shift = 0; shift < 8; shift++) {
            memset(bytes, 0xcc, sizeof bytes);
            for (size_t i = 0; i < len; i++) {
                bytes[shift + i] = (unsigned char)(i * 31);
            }
            uint64_t here = etx__hash(bytes + shift, len);
            assert_true(shift == 0 || here == hash);
            hash = here;
        }
    }
}

static int compare(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void assert_distinct(uint64_t *hashes, size_t count) {
    qsort(hashes, count, sizeof *hashes, compare);
    for (size_t i = 1; i < count; i++) {
        assert_true(hashes[i] != hashes[i - 1]);
    }
}

/* Zeros of every length, and one or two bits among zeros: what weak hashes confuse. */
static void test_sparse(void **state) {
    (void)state;
    enum { BYTES = 48, BITS = BYTES * 8, COUNT = 256 + BITS + BITS * (BITS - 1) / 2 };
    unsigned char bytes[256] = {0};
    uint64_t *hashes = calloc(COUNT, sizeof *hashes);
    assert_non_null(hashes);
    size_t count = 0;
    for (size_t len = 0; len < 256; len++) {
        hashes[count++] = etx__hash(bytes, len);
    }
    for (unsigned i = 0; i < BITS; i++) {
        bytes[i / 8] ^= (unsigned char)(1 << i % 8);
        hashes[count++] = etx__hash(bytes, BYTES);
        for (unsigned k = i + 1; k < BITS; k++) {
            bytes[k / 8] ^= (unsigned char)(1 << k % 8);
            hashes[count++] = etx__hash(bytes, BYTES);
            bytes[k / 8] ^= (unsigned char)(1 << k % 8);
        }
        bytes[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    assert_int_equal(count, COUNT);
    assert_distinct(hashes, count);
    free(hashes);
}

/* Flipping one bit of the input flips each bit of the hash about every second time. */
static void test_avalanche(void **state) {
    (void)state;
    enum { TRIALS = 400, BYTES = 21 };
    unsigned flips[64] = {0};
    unsigned trials = 0;
    unsigned char bytes[BYTES];
    for (unsigned t = 0; t < TRIALS; t++) {
        for (unsigned i = 0; i < BYTES; i++) {
            bytes[i] = (unsigned char)('0' + (t * (i + 3)) % 10);
        }
        uint64_t before = etx__hash(bytes, BYTES);
        for (unsigned bit = 0; bit < BYTES * 8; bit++, trials++) {
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            uint64_t changed = etx__hash(bytes, BYTES) ^ before;
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            for (unsigned i = 0; i < 64; i++) {
                flips[i] += (unsigned)(changed >> i & 1);
            }
        }
    }
    for (unsigned i = 0; i < 64; i++) {
        assert_in_range(flips[i], trials * 45 / 100, trials * 55 / 100);
    }
}

/* Gids as ETX makes them spread over a table by their low bits and by their high bits. */
static void test_spread(void **state) {
    (void)state;
    enum { SLOTS = 1024, PER_SLOT = 100 };
    static unsigned low[SLOTS], high[SLOTS];
    char gid[] = "fabc123-3-9f3a7c21-0000000000";
    for (unsigned n = 0; n < SLOTS * PER_SLOT; n++) {
        unsigned rest = n;
        for (size_t i = sizeof gid - 2; i > sizeof gid - 12; i--, rest /= 10) {
            gid[i] = (char)('0' + rest % 10);
        }
        uint64_t hash = etx__hash(gid, sizeof gid - 1);
        low[hash % SLOTS]++;
        high[hash >> 54]++;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        assert_in_range(low[i], PER_SLOT / 2, PER_SLOT * 3 / 2);
        assert_in_range(high[i], PER_SLOT / 2, PER_SLOT * 3 / 2);
    }
}

static const uint16_t places[] = {1, 2};

static etx_record_branch sample_branch(void) {
    return (etx_record_branch){.name = {"ab", 2},
                               .participant = {"cd", 2},
                               .payload = {"ef", 2},
                               .depends_on = places,
                               .depends_on_count = 2,
                               .kind = ETX_SAGA,
                               .flags = ETX_WANTS_RESULTS,
                               .attempts_max = 1,
                               .call_timeout_ms = 2,
                               .retry_first_ms = 3,
                               .retry_cap_ms = 4};
}

static void test_branch_digest(void **state) {
    (void)state;
    uint64_t digests[20];
    size_t count = 0;
    etx_record_branch branch = sample_branch();
#define VARIANT(change)                                       \
    do {                                                      \
        branch = sample_branch();                             \
        change;                                               \
        digests[count++] = etx_record_branch_digest(&branch); \
    } while (0)
    VARIANT((void)0);
    VARIANT((branch.name.data = "xb"));
    VARIANT((branch.participant.data = "xd"));
    VARIANT((branch.payload.data = "xf"));
    VARIANT((branch.name = (etx_bytes){"abc", 3}, branch.participant = (etx_bytes){"d", 1}));
    VARIANT((branch.name = (etx_bytes){"a", 1}, branch.participant = (etx_bytes){"bcd", 3}));
    VARIANT((branch.participant = (etx_bytes){"cdef", 4}, branch.payload.len = 0));
    VARIANT((branch.depends_on_count = 1));
    VARIANT((branch.depends_on_count = 0));
    VARIANT((branch.depends_on = (const uint16_t[]){2, 1}));
    VARIANT((branch.kind = ETX_TCC));
    VARIANT((branch.flags = 0));
    VARIANT((branch.attempts_max = 2));
    VARIANT((branch.call_timeout_ms = 3));
    VARIANT((branch.retry_first_ms = 2));
    VARIANT((branch.retry_cap_ms = 5));
    VARIANT((branch.call_timeout_ms = 3, branch.retry_first_ms = 2));
#undef VARIANT
    branch = sample_branch();
    assert_true(digests[0] == etx_record_branch_digest(&branch));
    assert_true(digests[0] == 0x8007a15cf3538f9au);
    assert_distinct(digests, count);
}

static etx_record_begin sample_begin(const etx_record_branch *branches) {
    return (etx_record_begin){.time_ms = 1,
                              .deadline_ms = 2,
                              .digest = 3,
                              .mode = ETX_SUBMITTED,
                              .initiator = {"shop", 4},
                              .branch_count = 2,
                              .branches = branches};
}

static void test_begin_digest(void **state) {
    (void)state;
    const etx_record_branch branches[] = {sample_branch(), {.name = {"x", 1}}};
    const etx_record_branch swapped[] = {{.name = {"x", 1}}, sample_branch()};
    uint64_t digests[6];
    etx_record_begin begin = sample_begin(branches);
    digests[0] = etx_record_begin_digest(&begin);
    assert_true(digests[0] == 0x66c147d3c9c4045du);
    /* What may differ between a begin and its repeat. */
    begin.time_ms = 7;
    begin.deadline_ms = 0;
    begin.digest = 9;
    begin.durability = ETX_LOCAL;
    begin.marks = ETX_MARK_CHOSEN;
    begin.resume_ms = 5;
    assert_true(etx_record_begin_digest(&begin) == digests[0]);
    /* What may not. */
    begin.mode = ETX_INTERACTIVE;
    digests[1] = etx_record_begin_digest(&begin);
    begin = sample_begin(branches);
    begin.initiator.len = 0;
    digests[2] = etx_record_begin_digest(&begin);
    begin = sample_begin(branches);
    begin.initiator_payload = (etx_bytes){"x", 1};
    assert_true(etx_record_begin_digest(&begin) != digests[0]);
    begin = sample_begin(branches);
    begin.branch_count = 1;
    digests[3] = etx_record_begin_digest(&begin);
    begin.branch_count = 0;
    digests[4] = etx_record_begin_digest(&begin);
    begin = sample_begin(swapped);
    digests[5] = etx_record_begin_digest(&begin);
    assert_distinct(digests, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pinned),       cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_sparse),       cmocka_unit_test(test_avalanche),
        cmocka_unit_test(test_spread),       cmocka_unit_test(test_branch_digest),
        cmocka_unit_test(test_begin_digest),
    };
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
