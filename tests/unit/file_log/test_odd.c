/* Files that no log would have written so, with checks that are right; and damage in more than one
 * place. Opening refuses each for what it is, and repair loses no more than it must. */
#include "../../../src/integration/log/file.h"
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECTOR = 512, BLOCK = 4096, SEGMENT = 1 << 20 };

static const char *segment(log_fixture *fixture, uint32_t number) {
    char name[40];
    snprintf(name, sizeof name, "log/p00-%08u.seg", number);
    return fixture_path(fixture, name);
}

static etx__file_home home_of(log_fixture *fixture) {
    etx_log_info info = {.size = sizeof info};
    etx__file_home home = {.partitions = 1, .segment_size = SEGMENT};
    fixture->subject.ops->info(fixture->subject.log, &info);
    memcpy(home.id, info.id, sizeof home.id);
    return home;
}

static void expect(log_fixture *fixture, int rc, uint64_t count, const char *words) {
    uint64_t found;
    fixture->subject.message[0] = 0;
    if (fixture_read(fixture, 0, &found) != rc || !strstr(fixture->subject.message, words))
        fail_msg("'%s', not '%s'", fixture->subject.message, words);
    assert_int_equal(found, count);
}

static void header_forge(log_fixture *fixture,
                         const etx__file_home *home,
                         uint32_t partition,
                         uint32_t number) {
    uint8_t block[BLOCK];
    etx__file_header_encode(block, home, partition, number);
    file_patch(segment(fixture, 1), 0, block, sizeof block);
}

/* A header of this log's id that tells another shape, or another place. */
static void test_headers_of_another_shape(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 3, 100);
    etx__file_home home = home_of(fixture);
    fixture_close(fixture, 1);
    etx__file_home other = home;
    other.partitions = 2;
    header_forge(fixture, &other, 0, 1);
    expect(fixture, ETX_ECORRUPT, 0, "belongs to another log");
    other = home;
    other.segment_size = 2 * SEGMENT;
    header_forge(fixture, &other, 0, 1);
    expect(fixture, ETX_ECORRUPT, 0, "belongs to another log");
    other.partitions = 2;
    header_forge(fixture, &home, 1, 1);
    expect(fixture, ETX_ECORRUPT, 0, "of another segment");
    header_forge(fixture, &home, 0, 1);
    expect(fixture, 0, 3, "");
}

static void state_forge(log_fixture *fixture, const etx__file_home *home, etx__file_state state) {
    uint8_t sector[SECTOR];
    for (uint32_t i = 0; i < 2; i++) {
        state.sequence = i + 100;
        etx__file_state_encode(sector, home->id, 0, &state);
        file_patch(fixture_path(fixture, "log/p00.state"), (i + 100) % 2 * BLOCK, sector, SECTOR);
    }
}

/* A mark above the end, which no trim would set: what it says is gone was never there. */
static void test_marks_beyond_the_end(void **state) {
    log_fixture *fixture = *state;
    etx__file_home home = home_of(fixture);
    fixture_await(fixture, 2);
    fixture_close(fixture, 1);
    state_forge(fixture, &home, (etx__file_state){.mark = 5});
    expect(fixture, ETX_ECORRUPT, 0, "the slots from here on are missing");
    state_forge(fixture, &home, (etx__file_state){0});
    assert_int_equal(fixture_open(fixture, 0), 0);
    fixture_puts(fixture, 3, 100);
    fixture_close(fixture, 0);
    state_forge(fixture, &home, (etx__file_state){.mark = 9});
    expect(fixture, ETX_ECORRUPT, 0, "acknowledged, and are missing");
    state_forge(fixture, &home, (etx__file_state){0});
    expect(fixture, 0, 3, "");
}

/* A new log's first segment is gone. */
static void test_the_first_segment_gone(void **state) {
    log_fixture *fixture = *state;
    fixture_await(fixture, 2);
    fixture_close(fixture, 0);
    fixture_command("rm '%s'", segment(fixture, 1));
    expect(fixture, ETX_ECORRUPT, 0, "the slots from here on are missing");
}

/* Of segments below the mark a crash may have left any: no gap there is a loss. */
static void test_gaps_below_the_mark(void **state) {
    log_fixture *fixture = *state;
    const char *dir = fixture->subject.dir;
    fixture_puts(fixture, 170, 20000);
    fixture_close(fixture, 1);
    fixture_command("cp -r '%s/log' '%s/saved'", dir, dir);
    assert_int_equal(fixture_open(fixture, 0), 0);
    assert_int_equal(fixture->subject.ops->trim(fixture->subject.log, 0, 160), 0);
    fixture_close(fixture, 1);
    fixture_command(
        "rm '%s'/log/*.seg && cp '%s'/saved/*.seg '%s/log' && rm '%s/log/p00-00000002.seg'", dir,
        dir, dir, dir);
    uint64_t count;
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, 10);
}

/* The beginning of a group that would reach over the end of its segment. */
static void test_a_group_beyond_the_end(void **state) {
    log_fixture *fixture = *state;
    uint8_t *bytes = malloc(SEGMENT);
    uint8_t batch[9000];
    assert_non_null(bytes);
    fixture_puts(fixture, 84, 8000); /* of three blocks each: three are left */
    etx__file_home home = home_of(fixture);
    fixture_close(fixture, 0);
    etx__file_group group = {.segment = 1,
                             .slot = 84,
                             .nonce = 77,
                             .predecessor = fixture->chain.checksum,
                             .batch = {batch, batch_fill(84, batch, sizeof batch)}};
    group.checksum = etx_slot_checksum(0, 84, 77, group.predecessor, group.batch);
    etx__file_group_encode(bytes, etx__file_seed(home.id, 0), home.id, &group);
    uint64_t groups = 84;
    uint64_t end = BLOCK + groups * etx__file_group_length(8000);
    while (end + BLOCK < SEGMENT) { /* to where one block is left */
        etx__file_group one = {
            .segment = 1, .slot = groups, .nonce = 77, .predecessor = fixture->chain.checksum};
        uint8_t block[BLOCK];
        one.batch = (etx_bytes){batch, batch_fill(groups, batch, 100)};
        one.checksum = etx_slot_checksum(0, groups, 77, one.predecessor, one.batch);
        fixture->chain.checksum = one.checksum;
        etx__file_group_encode(block, etx__file_seed(home.id, 0), home.id, &one);
        file_patch(segment(fixture, 1), end, block, sizeof block);
        end += BLOCK;
        groups++;
    }
    group.slot = groups;
    etx__file_group_encode(bytes, etx__file_seed(home.id, 0), home.id, &group);
    file_patch(segment(fixture, 1), end, bytes, BLOCK);
    expect(fixture, 0, groups, ""); /* no group, and not all of one: it is cut like a torn one */
    free(bytes);
}

/* In a segment that is not begun: sectors of two slots, each of which could be torn there. */
static void test_two_tears_in_one_place(void **state) {
    log_fixture *fixture = *state;
    uint8_t block[BLOCK];
    uint8_t batch[100];
    fixture_puts(fixture, 5, 100);
    fixture_await(fixture, 2);
    etx__file_home home = home_of(fixture);
    fixture_close(fixture, 0);
    for (uint64_t slot = 4; slot <= 5; slot++) {
        etx__file_group group = {.segment = 2, .slot = slot, .nonce = 77};
        group.batch = (etx_bytes){batch, batch_fill(slot, batch, sizeof batch)};
        etx__file_group_encode(block, etx__file_seed(home.id, 0), home.id, &group);
        uint64_t at = slot - 3; /* sector 1 of the one, sector 2 of the other */
        file_patch(segment(fixture, 2), BLOCK + at * SECTOR, block + at * SECTOR, SECTOR);
    }
    expect(fixture, ETX_ECORRUPT, 0, "not its torn successor");
}

/* ---- verify and repair */

typedef struct told {
    int count;
    etx_file_state states[16];
} told;

static void found(const etx_file_finding *finding, void *user) {
    told *all = user;
    if (all->count < 16)
        all->states[all->count] = finding->state;
    all->count++;
}

static int repair(log_fixture *fixture, int accept, told *all, etx_file_report *report) {
    char dest[300];
    char source[300];
    *all = (told){0};
    snprintf(dest, sizeof dest, "%s/repaired", fixture->subject.dir);
    snprintf(source, sizeof source, "%s/log", fixture->subject.dir);
    fixture_command("rm -rf '%s'", dest);
    fixture->subject.message[0] = 0;
    return etx_log_file_repair(source, dest, accept, found, all, report, fixture->subject.message,
                               sizeof fixture->subject.message);
}

static uint64_t repaired(log_fixture *fixture, uint64_t *ret_mark) {
    log_subject copy = fixture->subject;
    snprintf(copy.url, sizeof copy.url, "file:%s/repaired", copy.dir);
    assert_int_equal(subject_open(&copy, 0), 0);
    uint64_t count = chain_check(&copy, 0, 0, ret_mark);
    copy.ops->close(copy.log, 1);
    return count;
}

/* Findings of every weight, in any order: the worst counts. Nothing need be reported. */
static void test_more_than_one_finding(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    told all = {0};
    fixture_puts(fixture, 3, 100);
    fixture_close(fixture, 1);
    fixture_command("cp '%s/log/p00-00000001.seg' '%s/log/p07-00000001.seg'", fixture->subject.dir,
                    fixture->subject.dir);
    fixture_command("echo > '%s/log/stranger'", fixture->subject.dir);
    assert_int_equal(
        etx_log_file_verify(fixture_path(fixture, "log"), found, &all, &report, NULL, 0), 0);
    assert_int_equal(all.count, 2);
    assert_int_equal(report.state, ETX_FILE_CORRUPT);
    assert_int_equal(repair(fixture, 0, &all, NULL), 0);
    assert_int_equal(all.count, 2);
    assert_int_equal(repaired(fixture, NULL), 3);
    fixture_command("rm '%s/log/stranger' '%s/log/p07-00000001.seg'", fixture->subject.dir,
                    fixture->subject.dir);
    assert_int_equal(repair(fixture, 0, &all, NULL), 0); /* sound: nothing to do, or to say */
    assert_int_equal(all.count, 0);
}

/* However many files there are. */
static void test_many_files(void **state) {
    log_fixture *fixture = *state;
    told all;
    fixture_puts(fixture, 3, 100);
    fixture_close(fixture, 1);
    fixture_command("cd '%s/log' && for i in $(seq 10000001 10000300); do : >p07-$i.seg; done",
                    fixture->subject.dir);
    assert_int_equal(repair(fixture, 0, &all, NULL), 0);
    assert_int_equal(all.count, 300);
    assert_int_equal(repaired(fixture, NULL), 3);
}

static void test_no_log_there(void **state) {
    log_fixture *fixture = *state;
    char message[300];
    fixture_command("mkdir '%s/else' && echo > '%s/else/stranger'", fixture->subject.dir,
                    fixture->subject.dir);
    assert_int_equal(etx_log_file_verify(fixture_path(fixture, "else"), NULL, NULL, NULL, message,
                                         sizeof message),
                     ETX_ENOTFOUND);
}

/* A version that is newer is neither sound nor damaged: verify and repair leave it alone. */
static void test_newer(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    uint8_t block[BLOCK];
    told all = {0};
    size_t len;
    fixture_puts(fixture, 3, 100);
    etx__file_home home = home_of(fixture);
    fixture_close(fixture, 0);
    uint8_t *sound = file_load(segment(fixture, 1), &len);
    etx__file_header_encode(block, &home, 0, 1);
    etx__put32(block + 8, 99);
    etx__put32(block + SECTOR - 4, etx_crc32c(0, block, SECTOR - 4));
    file_patch(segment(fixture, 1), 0, block, SECTOR);
    assert_int_equal(
        etx_log_file_verify(fixture_path(fixture, "log"), found, &all, &report, NULL, 0),
        ETX_EVERSION);
    assert_int_equal(repair(fixture, 1, &all, &report), ETX_EVERSION);
    file_patch(segment(fixture, 1), 0, sound, BLOCK);
    for (uint64_t slot = 0; slot < 2; slot++) { /* a group of a newer version: the first, another */
        uint64_t at = BLOCK + slot * BLOCK;
        memcpy(block, sound + at, SECTOR);
        etx__put32(block + 28, 99);
        etx__put32(block, etx_crc32c(etx__file_seed(home.id, 0), block + 4, SECTOR - 4));
        file_patch(segment(fixture, 1), at, block, SECTOR);
        assert_int_equal(repair(fixture, 1, &all, &report), ETX_EVERSION);
        assert_non_null(strstr(fixture->subject.message, "newer version"));
        file_patch(segment(fixture, 1), at, sound + at, SECTOR);
    }
    uint8_t sector[SECTOR]; /* a state of a newer version: without acceptance nothing is dropped */
    etx__file_state_encode(sector, home.id, 0, &(etx__file_state){.sequence = 50, .settled = 3});
    etx__put32(sector + 8, 99);
    etx__put32(sector + SECTOR - 4, etx_crc32c(0, sector, SECTOR - 4));
    file_patch(fixture_path(fixture, "log/p00.state"), 0, sector, SECTOR);
    int rc = repair(fixture, 1, &all, &report);
    assert_int_equal(rc, 0);
    assert_int_equal(repaired(fixture, NULL), 3);
    free(sound);
}

/* Nothing tells what log it was: no header is whole. */
static void test_nothing_to_infer_from(void **state) {
    log_fixture *fixture = *state;
    told all;
    fixture_puts(fixture, 3, 100);
    fixture_await(fixture, 2);
    fixture_close(fixture, 0);
    fixture_command("rm '%s/log/home'", fixture->subject.dir);
    file_spoil(segment(fixture, 1), 20);
    fixture_command("truncate -s 1000 '%s'", segment(fixture, 2));
    assert_int_equal(repair(fixture, 1, &all, NULL), ETX_ECORRUPT);
}

/* The state is lost: where slots are missing at the beginning, nothing tells whether they were
 * trimmed, and that is for who runs this to say. */
static void test_without_a_state(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    uint64_t mark;
    told all;
    fixture_puts(fixture, 100, 20000);
    fixture_close(fixture, 1);
    file_spoil(fixture_path(fixture, "log/p00.state"), 20);
    assert_int_equal(repair(fixture, 0, &all, &report), 0); /* the other copy tells all */
    assert_int_equal(repaired(fixture, NULL), 100);
    file_spoil(fixture_path(fixture, "log/p00.state"), BLOCK + 20);
    assert_int_equal(repair(fixture, 0, &all, &report), 0); /* from the first slot on */
    assert_int_equal(repaired(fixture, NULL), 100);
    fixture_command("rm '%s'", segment(fixture, 1));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(repair(fixture, 0, &all, &report), ETX_ECORRUPT);
        assert_int_equal(repair(fixture, 1, &all, &report), 0);
        assert_int_equal(repaired(fixture, &mark), 58);
        assert_int_equal(mark, 42);
        fixture_command("rm -f '%s/log/p00.state'", fixture->subject.dir);
    }
}

/* Whatever two places are bad: repair with acceptance gives what stands before the first. */
static void test_two_damages(void **state) {
    log_fixture *fixture = *state;
    const char *dir = fixture->subject.dir;
    etx_file_report report = {.size = sizeof report};
    uint64_t seed = 5;
    uint8_t junk[SECTOR];
    told all;
    memset(junk, 0x33, sizeof junk);
    fixture_puts(fixture, 170, 20000);
    fixture_close(fixture, 0);
    fixture_command("cp -r '%s/log' '%s/saved'", dir, dir);
    for (int i = 0; i < 60; i++) {
        for (int k = 0; k < 2; k++) {
            uint32_t number = 1 + (uint32_t)(random_next(&seed) % 6);
            uint64_t at = random_next(&seed) % 3 ? random_next(&seed) % 2048 * SECTOR
                                                 : random_next(&seed) % 2 * BLOCK;
            uint64_t sectors = random_next(&seed) % 4 ? 1 : 30;
            if (random_next(&seed) % 8 == 0)
                fixture_command("rm -f '%s'", segment(fixture, number));
            if (access(segment(fixture, number), F_OK) != 0)
                continue;
            for (uint64_t s = 0; s < sectors && at + (s + 1) * SECTOR <= SEGMENT; s++)
                file_patch(segment(fixture, number), at + s * SECTOR, junk, sizeof junk);
        }
        int careful = repair(fixture, 0, &all, &report);
        assert_true(careful == 0 || careful == ETX_ECORRUPT);
        if (careful == 0 && access(fixture_path(fixture, "repaired"), F_OK) == 0)
            assert_int_equal(repaired(fixture, NULL), 170); /* unasked it loses nothing */
        assert_int_equal(repair(fixture, 1, &all, &report), 0);
        uint64_t count = repaired(fixture, NULL); /* checks that they are the first ones */
        assert_int_equal(report.slots, count);
        uint64_t opened;
        if (fixture_read(fixture, ETX_LOG_READ_ONLY, &opened) == 0)
            assert_int_equal(count, opened);
        fixture_command("rm -rf '%s/log' && cp -r '%s/saved' '%s/log'", dir, dir, dir);
    }
}

/* Writes a small group, whole, that follows from `predecessor`; returns its checksum. */
static uint32_t group_forge(log_fixture *fixture,
                            const etx__file_home *home,
                            uint32_t number,
                            uint64_t offset,
                            uint64_t slot,
                            uint32_t predecessor) {
    uint8_t block[BLOCK];
    uint8_t batch[100];
    etx__file_group group = {
        .segment = number, .slot = slot, .nonce = 77, .predecessor = predecessor};
    group.batch = (etx_bytes){batch, batch_fill(slot, batch, sizeof batch)};
    group.checksum = etx_slot_checksum(0, slot, 77, predecessor, group.batch);
    etx__file_group_encode(block, etx__file_seed(home->id, 0), home->id, &group);
    file_patch(segment(fixture, number), offset, block, sizeof block);
    return group.checksum;
}

/* Repair takes no slot that does not follow from the one before it. */
static void test_repair_of_a_broken_chain(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    told all;
    fixture_puts(fixture, 6, 100);
    etx__file_home home = home_of(fixture);
    fixture_close(fixture, 0);
    group_forge(fixture, &home, 1, 4 * BLOCK, 3, 12345);
    assert_int_equal(repair(fixture, 0, &all, &report), ETX_ECORRUPT);
    assert_int_equal(repair(fixture, 1, &all, &report), 0);
    assert_int_equal(repaired(fixture, NULL), 3);
}

/* What was trimmed is not copied, also where its segment is there yet. */
static void test_repair_above_the_mark(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    uint64_t mark;
    told all;
    fixture_puts(fixture, 100, 20000);
    assert_int_equal(fixture->subject.ops->trim(fixture->subject.log, 0, 50), 0);
    fixture_close(fixture, 1);
    assert_int_equal(repair(fixture, 1, &all, &report), 0);
    assert_int_equal(report.slots, 50);
    assert_int_equal(repaired(fixture, &mark), 50);
    assert_int_equal(mark, 50);
}

/* The last group was acknowledged, and there is nothing where it stood. */
static void test_repair_below_the_settled_mark(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    const uint8_t zeros[BLOCK] = {0};
    told all;
    fixture_puts(fixture, 6, 100);
    fixture_close(fixture, 1);
    file_patch(segment(fixture, 1), 6 * BLOCK, zeros, sizeof zeros);
    assert_int_equal(repair(fixture, 0, &all, &report), ETX_ECORRUPT);
    assert_int_equal(repair(fixture, 1, &all, &report), 0);
    assert_int_equal(repaired(fixture, NULL), 5);
}

/* A file under another's name: where no segment is missing it hides nothing. */
static void test_repair_of_strays(void **state) {
    log_fixture *fixture = *state;
    const char *dir = fixture->subject.dir;
    etx_file_report report = {.size = sizeof report};
    told all;
    fixture_puts(fixture, 60, 20000);
    fixture_close(fixture, 0);
    fixture_command("cp '%s/log/p00-00000001.seg' '%s/log/p00-00000019.seg'", dir, dir);
    assert_int_equal(repair(fixture, 0, &all, &report), 0);
    assert_int_equal(repaired(fixture, NULL), 60);
    fixture_command("rm '%s/log/p00-00000019.seg'", dir);
    fixture_command("cp '%s/log/p00-00000002.seg' '%s/log/p00-00000001.seg'", dir, dir);
    assert_int_equal(repair(fixture, 0, &all, &report), ETX_ECORRUPT);
    assert_int_equal(repair(fixture, 1, &all, &report), 0);
}

/* Between the last group and a spare a segment is missing: it may have held slots. */
static void test_repair_of_a_gap_between_spares(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    told all;
    fixture_puts(fixture, 30, 20000); /* beyond the half: two spares */
    fixture_await(fixture, 3);
    fixture_close(fixture, 0);
    fixture_command("rm '%s'", segment(fixture, 2));
    assert_int_equal(repair(fixture, 0, &all, &report), ETX_ECORRUPT);
    assert_int_equal(all.count, 1);
    assert_int_equal(repair(fixture, 1, &all, &report), 0);
    assert_int_equal(repaired(fixture, NULL), 30);
}

/* Of a log that held nothing: damage where the first slot would be, or no first segment. */
static void test_repair_of_nothing(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    uint8_t junk[BLOCK];
    told all;
    memset(junk, 0x33, sizeof junk);
    fixture_await(fixture, 2);
    fixture_close(fixture, 0);
    file_patch(segment(fixture, 1), BLOCK, junk, sizeof junk);
    assert_int_equal(repair(fixture, 0, &all, &report), ETX_ECORRUPT);
    assert_int_equal(repair(fixture, 1, &all, &report), 0);
    assert_int_equal(repaired(fixture, NULL), 0);
    fixture_command("rm '%s'", segment(fixture, 1));
    assert_int_equal(repair(fixture, 0, &all, &report), ETX_ECORRUPT);
    assert_int_equal(repair(fixture, 1, &all, &report), 0);
    assert_int_equal(repaired(fixture, NULL), 0);
}

/* After two poisonings: the last group was copied on twice, and the copy in the middle counts for
 * nothing. */
static void test_repair_of_a_superseded_segment(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    told all;
    fixture_puts(fixture, 30, 20000); /* beyond the half: two spares */
    fixture_await(fixture, 3);
    fixture_puts(fixture, 1, 100);
    uint32_t last = fixture->chain.checksum;
    fixture_puts(fixture, 1, 100);
    etx__file_home home = home_of(fixture);
    fixture_close(fixture, 0);
    group_forge(fixture, &home, 2, BLOCK, 31, last);
    group_forge(fixture, &home, 3, BLOCK, 31, last);
    expect(fixture, 0, 32, "");
    assert_int_equal(repair(fixture, 1, &all, &report), 0);
    assert_int_equal(all.count, 0);
    assert_int_equal(repaired(fixture, NULL), 32);
}

/* A copy goes where it is told, however that is written. */
static void test_destinations(void **state) {
    log_fixture *fixture = *state;
    char message[300] = "";
    char here[300];
    char source[300];
    fixture_puts(fixture, 3, 100);
    fixture_close(fixture, 1);
    assert_non_null(getcwd(here, sizeof here));
    snprintf(source, sizeof source, "%s/log", fixture->subject.dir);
    assert_int_equal(chdir(fixture->subject.dir), 0);
    int plain = etx_log_file_backup("log", "plain", 1, NULL, message, sizeof message);
    int slash = etx_log_file_backup("log", "with///", 1, NULL, message, sizeof message);
    int root = etx_log_file_backup("log", "///", 1, NULL, message, sizeof message);
    assert_int_not_equal(/* another file system, on which nothing can be made */
                         etx_log_file_backup("log", "/proc/etx-copy", 1, NULL, message,
                                             sizeof message),
                         0);
    assert_int_equal(chdir(source), 0);
    int inside = etx_log_file_backup(".", "within", 1, NULL, message, sizeof message);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(plain, 0);
    assert_int_equal(slash, 0);
    assert_int_equal(root, ETX_EBUSY);
    assert_int_equal(inside, ETX_EINVALID);
    assert_int_equal(access(fixture_path(fixture, "plain/home"), F_OK), 0);
    assert_int_equal(access(fixture_path(fixture, "with/home"), F_OK), 0);
}

static void test_options_of_the_same_length(void **state) {
    etx__file_url url;
    (void)state;
    assert_int_equal(etx__file_url_parse("file:x?partitionz=1", &url, NULL), ETX_EINVALID);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_headers_of_another_shape),
        CASE(test_marks_beyond_the_end),
        CASE(test_the_first_segment_gone),
        CASE(test_gaps_below_the_mark),
        CASE(test_a_group_beyond_the_end),
        CASE(test_two_tears_in_one_place),
        CASE(test_more_than_one_finding),
        CASE(test_many_files),
        CASE(test_no_log_there),
        CASE(test_newer),
        CASE(test_nothing_to_infer_from),
        CASE(test_without_a_state),
        CASE(test_two_damages),
        CASE(test_repair_of_a_broken_chain),
        CASE(test_repair_above_the_mark),
        CASE(test_repair_below_the_settled_mark),
        CASE(test_repair_of_strays),
        CASE(test_repair_of_a_gap_between_spares),
        CASE(test_repair_of_nothing),
        CASE(test_repair_of_a_superseded_segment),
        CASE(test_destinations),
        CASE(test_options_of_the_same_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
