/* Groups that no log would have written, with checks that are right: each is refused for what it
 * is. */
#include "../../../src/integration/log/file.h"
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, BLOCK = 4096 };

/* What forging needs to know of the log. */
typedef struct forge {
    log_fixture *fixture;
    char id[ETX_HOME_ID_LEN + 1];
    uint32_t seed;
} forge;

static forge forge_make(log_fixture *fixture) {
    forge f = {.fixture = fixture};
    etx_log_info info = {.size = sizeof info};
    fixture->subject.ops->info(fixture->subject.log, &info);
    memcpy(f.id, info.id, sizeof f.id);
    f.seed = etx__file_seed(f.id, 0);
    return f;
}

static const char *segment_path(const forge *f, uint32_t number) {
    char name[64];
    snprintf(name, sizeof name, "log/p00-%08u.seg", number);
    return fixture_path(f->fixture, name);
}

/* Reads a group's head from the file. */
static etx__file_group group_at(const forge *f, uint32_t number, uint64_t offset) {
    etx__file_group group = {.offset = offset};
    size_t len;
    uint8_t *bytes = file_load(segment_path(f, number), &len);
    assert_int_equal(etx__file_group_head_decode(bytes + offset + 24, f->id, &group), 0);
    free(bytes);
    return group;
}

/* Writes it, whole, with the batch that its slot has. */
static void group_forge(const forge *f, uint32_t file, uint64_t offset, etx__file_group group) {
    size_t room = (size_t)etx__file_group_length(group.batch.len);
    uint8_t *batch = malloc(group.batch.len);
    uint8_t *bytes = malloc(room);
    assert_true(batch != NULL && bytes != NULL);
    batch_fill(group.slot, batch, group.batch.len);
    group.batch.data = batch;
    if (group.checksum == 0)
        group.checksum = etx_slot_checksum(group.partition, group.slot, group.nonce,
                                           group.predecessor, group.batch);
    etx__file_group_encode(bytes, f->seed, f->id, &group);
    file_patch(segment_path(f, file), offset, bytes, room);
    free(batch);
    free(bytes);
}

static void expect_refused(log_fixture *fixture, int rc, const char *word) {
    uint64_t count;
    assert_int_equal(fixture_read(fixture, 0, &count), rc);
    if (!strstr(fixture->subject.message, word))
        fail_msg("%s: not '%s'", fixture->subject.message, word);
}

static void test_a_wrong_checksum_is_refused(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 5, 3000);
    forge f = forge_make(fixture);
    fixture_close(fixture, 0);
    for (uint64_t at = 4; at >= 2; at--) { /* the last one first: nothing is settled yet */
        etx__file_group sound = group_at(&f, 1, (1 + at) * BLOCK);
        etx__file_group wrong = sound;
        wrong.checksum ^= 1;
        group_forge(&f, 1, (1 + at) * BLOCK, wrong);
        expect_refused(fixture, ETX_ECORRUPT, "p00-00000001.seg at byte");
        group_forge(&f, 1, (1 + at) * BLOCK, sound);
        uint64_t count;
        assert_int_equal(fixture_read(fixture, 0, &count), 0);
        assert_int_equal(count, 5);
    }
}

/* Heads that disagree with where they stand. */
static void test_odd_heads_are_refused(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 5, 3000);
    forge f = forge_make(fixture);
    fixture_close(fixture, 0);
    etx__file_group sound = group_at(&f, 1, 5 * BLOCK);
    for (int i = 0; i < 4; i++) {
        etx__file_group odd = sound;
        odd.checksum = 0;
        if (i == 0)
            odd.slot = 7;
        else if (i == 1)
            odd.partition = 3;
        else if (i == 2)
            odd.segment = 9;
        else
            odd.batch.len = 0;
        group_forge(&f, 1, 5 * BLOCK, odd);
        expect_refused(fixture, ETX_ECORRUPT, "p00-00000001.seg at byte");
        group_forge(&f, 1, 5 * BLOCK, sound);
    }
    /* another home's, and a magic that is none */
    uint8_t sector[SECTOR];
    size_t len;
    uint8_t *bytes = file_load(segment_path(&f, 1), &len);
    for (int i = 0; i < 2; i++) {
        memcpy(sector, bytes + 5 * BLOCK, SECTOR);
        sector[24 + (i ? 9 : 0)] ^= 1;
        etx__put32(sector, etx_crc32c(f.seed, sector + 4, SECTOR - 4));
        file_patch(segment_path(&f, 1), 5 * BLOCK, sector, SECTOR);
        expect_refused(fixture, ETX_ECORRUPT, "p00-00000001.seg at byte");
    }
    /* a sector that belongs to a longer group */
    memcpy(sector, bytes + 5 * BLOCK + SECTOR, SECTOR);
    etx__put32(sector + 20, 16);
    etx__put32(sector, etx_crc32c(f.seed, sector + 4, SECTOR - 4));
    file_patch(segment_path(&f, 1), 5 * BLOCK, bytes + 5 * BLOCK, SECTOR);
    file_patch(segment_path(&f, 1), 5 * BLOCK + SECTOR, sector, SECTOR);
    expect_refused(fixture, ETX_ECORRUPT, "p00-00000001.seg at byte");
    free(bytes);
}

/* A group whose predecessor is another: in a segment that only a get reads, and in the last. */
static void test_a_broken_chain_is_refused(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 60, 20000);
    forge f = forge_make(fixture);
    fixture_close(fixture, 0);
    uint32_t last = fixture_last_segment(fixture);
    assert_true(last > 1);
    uint64_t length = etx__file_group_length(20000);
    for (uint32_t number = 1; number <= last; number += last - 1) {
        uint64_t offset = BLOCK + 3 * length;
        etx__file_group sound = group_at(&f, number, offset);
        etx__file_group wrong = sound;
        wrong.predecessor ^= 1;
        wrong.checksum = 0;
        group_forge(&f, number, offset, wrong);
        expect_refused(fixture, ETX_ECORRUPT, "follow");
        group_forge(&f, number, offset, sound);
    }
    uint64_t count;
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, 60);
}

/* Behind the last group: stamps of a later segment, of the same one with another slot. */
static void test_a_stamp_of_a_later_segment_is_refused(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 5, 3000);
    fixture_await(fixture, 2);
    forge f = forge_make(fixture);
    fixture_close(fixture, 0);
    etx__file_group group = group_at(&f, 1, 5 * BLOCK);
    etx__file_group next = group;
    next.slot = 5;
    next.checksum = 0;
    next.segment = 2;
    for (int first = 0; first < 2; first++) {
        const uint8_t zeros[BLOCK] = {0};
        group_forge(&f, 1, 6 * BLOCK, next);
        if (first == 0) /* only its second sector */
            file_patch(segment_path(&f, 1), 6 * BLOCK, zeros, SECTOR);
        expect_refused(fixture, ETX_ECORRUPT, "later segment");
        file_patch(segment_path(&f, 1), 6 * BLOCK, zeros, BLOCK);
    }
    /* in a segment that holds nothing yet */
    group_forge(&f, 2, BLOCK, (etx__file_group){.slot = 5, .segment = 3, .batch.len = 9});
    expect_refused(fixture, ETX_ECORRUPT, "later segment");
}

/* The rest of a file of another partition is damage, not an older segment's. */
static void test_a_sector_of_another_partition_is_refused(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 5, 3000);
    forge f = forge_make(fixture);
    fixture_close(fixture, 0);
    forge other = f;
    other.seed = etx__file_seed(f.id, 1);
    group_forge(&other, 1, 6 * BLOCK, (etx__file_group){.slot = 2, .segment = 0, .batch.len = 9});
    expect_refused(fixture, ETX_ECORRUPT, "damaged");
}

/* A last sector that is neither new nor as before: damage, though all the others are new. */
static void test_one_bad_sector_is_no_tear(void **state) {
    log_fixture *fixture = *state;
    uint8_t junk[SECTOR];
    memset(junk, 0x5a, sizeof junk);
    fixture_puts(fixture, 5, 3000);
    forge f = forge_make(fixture);
    fixture_close(fixture, 0);
    size_t len;
    uint8_t *bytes = file_load(segment_path(&f, 1), &len);
    for (uint64_t i = 0; i < 8; i++) {
        uint64_t at = 5 * BLOCK + i * SECTOR;
        file_patch(segment_path(&f, 1), at, junk, SECTOR);
        expect_refused(fixture, ETX_ECORRUPT, "damaged");
        file_patch(segment_path(&f, 1), at, bytes + at, SECTOR);
    }
    free(bytes);
}

/* Changes four bytes of a sector, under a check that is right. */
static void sector_forge(const forge *f, uint64_t offset, size_t at, uint32_t value) {
    size_t len;
    uint8_t *bytes = file_load(segment_path(f, 1), &len);
    uint8_t *sector = bytes + offset;
    etx__put32(sector + at, value);
    etx__put32(sector, etx_crc32c(f->seed, sector + 4, SECTOR - 4));
    file_patch(segment_path(f, 1), offset, sector, SECTOR);
    free(bytes);
}

/* Every number of a last group that can be wrong by itself. */
static void test_odd_numbers_are_refused(void **state) {
    log_fixture *fixture = *state;
    static const struct {
        size_t at;
        uint32_t value;
        int rc;
    } odd[] = {{28, 99, ETX_EVERSION},   {44, 0, ETX_ECORRUPT}, {44, UINT32_MAX, ETX_ECORRUPT},
               {44, 5000, ETX_ECORRUPT}, {72, 9, ETX_ECORRUPT}, {40, 7, ETX_ECORRUPT},
               {48, 9, ETX_ECORRUPT},    {8, 9, ETX_ECORRUPT},  {16, 3, ETX_ECORRUPT},
               {20, 16, ETX_ECORRUPT},   {4, 9, ETX_ECORRUPT}};
    uint64_t count;
    size_t len;
    fixture_puts(fixture, 5, 3000);
    forge f = forge_make(fixture);
    fixture_close(fixture, 0);
    uint8_t *sound = file_load(segment_path(&f, 1), &len);
    for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        sector_forge(&f, 5 * BLOCK, odd[i].at, odd[i].value);
        if (fixture_read(fixture, 0, &count) != odd[i].rc)
            fail_msg("%zu: %s", odd[i].at, fixture->subject.message);
        file_patch(segment_path(&f, 1), 5 * BLOCK, sound + 5 * BLOCK, BLOCK);
    }
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, 5);
    free(sound);
}

/* Behind the last group: sectors that could not all be of its one torn successor. */
static void test_odd_tears_are_refused(void **state) {
    log_fixture *fixture = *state;
    static const struct {
        uint64_t slot;
        unsigned sector;
        size_t at;
        uint32_t value;
        int rc;
    } odd[] = {
        {5, 0, 0, 0, 0},
        {9, 0, 0, 0, ETX_ECORRUPT},
        {1, 0, 0, 0, ETX_ECORRUPT},
        {5, 3, 8, 6, ETX_ECORRUPT},
        {5, 3, 20, 16, ETX_ECORRUPT},
        {5, 3, 16, 99, ETX_ECORRUPT},
        {5, 3, 16, 5, ETX_ECORRUPT},
        {5, 3, 4, 0, 0},
    };
    const uint8_t zeros[BLOCK] = {0};
    uint64_t count;
    fixture_puts(fixture, 5, 3000);
    forge f = forge_make(fixture);
    fixture_close(fixture, 0);
    etx__file_group next = group_at(&f, 1, 5 * BLOCK);
    for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        next.slot = odd[i].slot;
        next.checksum = 0;
        group_forge(&f, 1, 6 * BLOCK, next);
        file_patch(segment_path(&f, 1), 6 * BLOCK, zeros, SECTOR);
        if (odd[i].sector)
            sector_forge(&f, 6 * BLOCK + odd[i].sector * SECTOR, odd[i].at, odd[i].value);
        if (fixture_read(fixture, 0, &count) != odd[i].rc)
            fail_msg("%u: %s", i, fixture->subject.message);
        assert_int_equal(count, odd[i].rc ? 0 : 5);
        file_patch(segment_path(&f, 1), 6 * BLOCK, zeros, BLOCK);
    }
}

/* After a clean close the last segment loses its groups, all of them: that is no end. */
static void test_nothing_settled_is_cut(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 60, 20000);
    forge f = forge_make(fixture);
    fixture_close(fixture, 1);
    uint32_t last = fixture_last_segment(fixture);
    uint8_t *zeros = calloc(1, (1 << 20) - BLOCK);
    assert_non_null(zeros);
    file_patch(segment_path(&f, last), BLOCK, zeros, (1 << 20) - BLOCK);
    expect_refused(fixture, ETX_ECORRUPT, "acknowledged");
    free(zeros);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_a_wrong_checksum_is_refused),
        CASE(test_odd_heads_are_refused),
        CASE(test_a_broken_chain_is_refused),
        CASE(test_a_stamp_of_a_later_segment_is_refused),
        CASE(test_a_sector_of_another_partition_is_refused),
        CASE(test_one_bad_sector_is_no_tear),
        CASE(test_odd_numbers_are_refused),
        CASE(test_odd_tears_are_refused),
        CASE(test_nothing_settled_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
