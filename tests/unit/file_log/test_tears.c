/* A last group torn at every sector, in every shape, over zeros and over a recycled segment: it is
 * cut, and nothing else is. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SECTOR 512

typedef struct torn_group {
    log_fixture *fixture;
    char segment[300];
    uint8_t *before;
    uint8_t *after;
    size_t len;
    size_t from; /* the bytes that the last put changed */
    size_t to;
} torn_group;

/* Puts once more and remembers the segment before and after. */
static torn_group torn_make(log_fixture *fixture, size_t len) {
    torn_group torn = {.fixture = fixture};
    char name[64];
    snprintf(name, sizeof name, "log/p00-%08u.seg", fixture_last_segment(fixture));
    snprintf(torn.segment, sizeof torn.segment, "%s", fixture_path(fixture, name));
    torn.before = file_load(torn.segment, &torn.len);
    fixture_puts(fixture, 1, len);
    fixture_close(fixture, 0);
    torn.after = file_load(torn.segment, &torn.len);
    while (torn.from < torn.len && torn.before[torn.from] == torn.after[torn.from])
        torn.from++;
    torn.from -= torn.from % 4096;
    torn.to = torn.len;
    while (torn.to > torn.from && torn.before[torn.to - 1] == torn.after[torn.to - 1])
        torn.to--;
    torn.to = (torn.to + 4095) / 4096 * 4096;
    assert_true(torn.to > torn.from);
    fixture_command("cp -r '%s/log' '%s/saved'", fixture->subject.dir, fixture->subject.dir);
    return torn;
}

static void torn_free(torn_group *torn) {
    free(torn->before);
    free(torn->after);
}

/* Sector i is new where `is_new` says so. Then the log must open with the last slot cut, or kept
 * if all are new; take the same put again; and hold it at the next open. */
static void tear(torn_group *torn, const uint8_t *is_new, uint64_t kept) {
    log_fixture *fixture = torn->fixture;
    size_t sectors = (torn->to - torn->from) / SECTOR;
    size_t fresh = 0;
    uint64_t count;
    fixture_command("rm -rf '%s/log' && cp -r '%s/saved' '%s/log'", fixture->subject.dir,
                    fixture->subject.dir, fixture->subject.dir);
    for (size_t i = 0; i < sectors; i++) {
        const uint8_t *from = is_new[i] ? torn->after : torn->before;
        size_t offset = torn->from + i * SECTOR;
        file_patch(torn->segment, offset, from + offset, SECTOR);
        fresh += is_new[i] != 0;
    }
    assert_int_equal(fixture_read(fixture, ETX_LOG_READ_ONLY, &count), 0);
    assert_int_equal(count, kept + (fresh == sectors));
    if (fixture_open(fixture, 0)) {
        print_message("%s\n", fixture->subject.message);
        fail();
    }
    assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), kept + (fresh == sectors));
    if (fresh != sectors) {
        log_chain chain = fixture->chain;
        uint8_t bytes[3000];
        const uint8_t *head = torn->after + torn->from + 24;
        chain.next--;
        chain.checksum = (uint32_t)head[40] | (uint32_t)head[41] << 8 | (uint32_t)head[42] << 16 |
                         (uint32_t)head[43] << 24;
        chain.nonce = 99; /* another owner, other bytes */
        batch_fill(chain.next, bytes, sizeof bytes);
        assert_int_equal(chain_put(&chain, bytes, sizeof bytes), ETX_PUT_WRITTEN);
    }
    fixture_close(fixture, 0);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, kept + 1);
}

static void tear_all(torn_group *torn, uint64_t kept) {
    size_t sectors = (torn->to - torn->from) / SECTOR;
    uint8_t *is_new = calloc(1, sectors);
    assert_non_null(is_new);
    for (size_t cut = 0; cut <= sectors; cut++) { /* the first ones are new */
        memset(is_new, 0, sectors);
        memset(is_new, 1, cut);
        tear(torn, is_new, kept);
    }
    for (size_t cut = 0; cut < sectors; cut++) { /* one is lost */
        memset(is_new, 1, sectors);
        is_new[cut] = 0;
        tear(torn, is_new, kept);
    }
    uint64_t random = 7;
    for (int round = 0; round < 25; round++) {
        for (size_t i = 0; i < sectors; i++)
            is_new[i] = (uint8_t)(random_next(&random) & 1);
        tear(torn, is_new, kept);
    }
    free(is_new);
}

static void test_tear_over_zeros(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 5, 100);
    torn_group torn = torn_make(fixture, 9000);
    tear_all(&torn, 5);
    torn_free(&torn);
}

static void test_tear_over_recycled(void **state) {
    log_fixture *fixture = *state;
    uint64_t mark = 0;
    for (int i = 0; i < 8; i++) {
        fixture_puts(fixture, 30, 30000);
        mark = fixture->chain.next - 2;
        assert_int_equal(fixture->subject.ops->trim(fixture->subject.log, 0, mark), 0);
    }
    assert_true(fixture_last_segment(fixture) > 5);
    torn_group torn = torn_make(fixture, 9000);
    int recycled = 0; /* the last put overwrote groups of an earlier life */
    for (size_t i = torn.from; i < torn.to; i++)
        recycled |= torn.before[i];
    assert_true(recycled);
    tear_all(&torn, 2);
    torn_free(&torn);
}

static void test_first_group_of_all(void **state) {
    log_fixture *fixture = *state;
    fixture_command("cp '%s/log/p00.state' '%s/state'", fixture->subject.dir, fixture->subject.dir);
    fixture_puts(fixture, 1, 100);
    fixture_close(fixture, 0);
    fixture_command("cp '%s/state' '%s/log/p00.state'", fixture->subject.dir, fixture->subject.dir);
    fixture_command("cp -r '%s/log' '%s/saved'", fixture->subject.dir, fixture->subject.dir);
    const uint8_t zeros[SECTOR] = {0};
    for (int i = 0; i < 8; i++) {
        uint64_t count;
        fixture_command("rm -rf '%s/log' && cp -r '%s/saved' '%s/log'", fixture->subject.dir,
                        fixture->subject.dir, fixture->subject.dir);
        file_patch(fixture_path(fixture, "log/p00-00000001.seg"), 4096 + (uint64_t)i * SECTOR,
                   zeros, SECTOR);
        assert_int_equal(fixture_read(fixture, 0, &count), 0);
        assert_int_equal(count, 0);
    }
}

/* A group that is the first of a new segment. */
static void test_tear_at_change(void **state) {
    log_fixture *fixture = *state;
    uint64_t count;
    fixture_puts(fixture, 2, 450000);
    uint64_t kept = fixture->chain.next;
    uint32_t old = fixture_last_segment(fixture);
    /* A tear was not acknowledged, so the settled mark is that of before. */
    fixture_command("cp '%s/log/p00.state' '%s/state'", fixture->subject.dir, fixture->subject.dir);
    fixture_puts(fixture, 1, 450000);
    assert_int_equal(fixture_last_segment(fixture), old + 1);
    fixture_close(fixture, 0);
    fixture_command("cp '%s/state' '%s/log/p00.state'", fixture->subject.dir, fixture->subject.dir);
    fixture_command("cp -r '%s/log' '%s/saved'", fixture->subject.dir, fixture->subject.dir);
    const uint8_t zeros[SECTOR] = {0};
    for (uint64_t lost = 0; lost < 900; lost += lost < 10 ? 1 : 111) {
        char name[64];
        fixture_command("rm -rf '%s/log' && cp -r '%s/saved' '%s/log'", fixture->subject.dir,
                        fixture->subject.dir, fixture->subject.dir);
        snprintf(name, sizeof name, "log/p00-%08u.seg", old + 1);
        file_patch(fixture_path(fixture, name), 4096 + lost * SECTOR, zeros, SECTOR);
        assert_int_equal(fixture_read(fixture, 0, &count), 0);
        assert_int_equal(count, kept);
        assert_int_equal(fixture_read(fixture, 0, &count), 0);
        assert_int_equal(count, kept);
    }
}

/* The same loss after a clean close, or under a later group, is damage. */
static void test_lost_sectors_are_damage(void **state) {
    log_fixture *fixture = *state;
    const uint8_t zeros[SECTOR] = {0};
    uint64_t count;
    fixture_puts(fixture, 6, 3000);
    for (int clean = 0; clean < 2; clean++) {
        fixture_close(fixture, clean);
        size_t len;
        const char *path = fixture_path(fixture, "log/p00-00000001.seg");
        uint8_t *bytes = file_load(path, &len);
        for (uint64_t i = 0; i < (clean ? 48u : 40u); i++) {
            file_patch(path, 4096 + i * SECTOR, zeros, SECTOR);
            int rc = fixture_read(fixture, 0, &count);
            assert_int_equal(rc, ETX_ECORRUPT);
            assert_non_null(strstr(fixture->subject.message, "p00-00000001.seg at byte"));
            assert_non_null(strstr(fixture->subject.message, "etx log verify"));
            file_patch(path, 4096 + i * SECTOR, bytes + 4096 + i * SECTOR, SECTOR);
        }
        free(bytes);
        assert_int_equal(fixture_open(fixture, 0), 0);
        assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), 6);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tear_over_zeros, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_tear_over_recycled, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_first_group_of_all, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_tear_at_change, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_lost_sectors_are_damage, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
