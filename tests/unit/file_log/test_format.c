/* The file log's bytes and its URL: what is taken, and what is refused. */
#include "../../../src/integration/log/file.h"
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_urls(void **state) {
    (void)state;
    static const struct {
        const char *url;
        int rc;
        const char *dir;
        uint32_t partitions;
        uint64_t segment;
        int direct;
    } urls[] = {
        {"file:/a", 0, "/a", 0, 0, -1},
        {"file:a/b", 0, "a/b", 0, 0, -1},
        {"file:///a//", 0, "/a", 0, 0, -1},
        {"file:/", 0, "/", 0, 0, -1},
        {"file://", 0, "/", 0, 0, -1},
        {"file:/a/?", 0, "/a", 0, 0, -1},
        {"file:/a?&&", 0, "/a", 0, 0, -1},
        {"file:/a?partitions=7&segment=2M&direct=0", 0, "/a", 7, 2 << 20, 0},
        {"file:/a?direct=1&segment=1048576", 0, "/a", 0, 1 << 20, 1},
        {"file:/a?segment=1024k", 0, "/a", 0, 1 << 20, -1},
        {"file:/a?segment=1024K", 0, "/a", 0, 1 << 20, -1},
        {"file:/a?segment=4m", 0, "/a", 0, 4 << 20, -1},
        {"file:/a?segment=1G", 0, "/a", 0, 1 << 30, -1},
        {"file:/a?segment=1g", 0, "/a", 0, 1 << 30, -1},
        {NULL, ETX_EINVALID, NULL, 0, 0, 0},
        {"memory:", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:?partitions=1", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?partitions", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?partitions=", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?partitions=0", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?partitions=999999", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?partitions=/", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?partitions=x", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?partitions=1x", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?segment=x", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?segment=1K", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?segment=2G", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?segment=1048577", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?segment=9999999999999999", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?direct=2", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?direct=no", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?what=1", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?segmenx=1M", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?dirext=1", ETX_EINVALID, NULL, 0, 0, 0},
        {"file:/a?=1", ETX_EINVALID, NULL, 0, 0, 0},
    };
    for (unsigned i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        char text[256] = "";
        const etx__file_words words = {text, sizeof text};
        etx__file_url url;
        int rc = etx__file_url_parse(urls[i].url, &url, &words);
        if (rc != urls[i].rc)
            fail_msg("%s: %s %s", urls[i].url, etx_error_name(rc), text);
        assert_int_equal(text[0] != 0, rc != 0);
        if (rc)
            continue;
        assert_string_equal(url.dir, urls[i].dir);
        assert_int_equal(url.partitions, urls[i].partitions);
        assert_int_equal(url.segment_size, urls[i].segment);
        assert_int_equal(url.direct, urls[i].direct);
    }
    char large[5000];
    etx__file_url url;
    memset(large, 'a', sizeof large);
    memcpy(large, "file:", 5);
    large[sizeof large - 1] = 0;
    assert_int_equal(etx__file_url_parse(large, &url, NULL), ETX_EINVALID);
}

static void reseal(uint8_t *sector) {
    etx__put32(sector + 508, etx_crc32c(0, sector, 508));
}

/* Each byte of the three kinds of heads, changed under a check that is right. */
static void test_heads(void **state) {
    (void)state;
    const etx__file_home home = {.partitions = 4, .segment_size = 1 << 20, .id = "fabc012"};
    etx__file_home found;
    uint32_t partition, number;
    static uint8_t bytes[4096];
    static const struct {
        size_t at;
        uint8_t value;
        int rc;
    } changes[] = {
        {0, 'X', ETX_ECORRUPT},
        {8, 99, ETX_EVERSION},
        {12, 0, ETX_ECORRUPT},
        {15, 0xff, ETX_ECORRUPT},
        {16, 'A', ETX_ECORRUPT},
        {16, '{', ETX_ECORRUPT},
        {17, ':', ETX_ECORRUPT},
        {17, '/', ETX_ECORRUPT},
        {23, 'z', ETX_ECORRUPT},
        {24, 1, ETX_ECORRUPT},
        {26, 0, ETX_ECORRUPT},
        {29, 1, ETX_ECORRUPT},
        {16, 'z', 0},
        {17, '0', 0},
    };
    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        etx__file_home_encode(bytes, &home);
        assert_int_equal(etx__file_home_decode(bytes, &found), 0);
        bytes[changes[i].at] = changes[i].value;
        if (changes[i].rc)
            assert_int_equal(etx__file_home_decode(bytes, &found), ETX_ECORRUPT);
        reseal(bytes);
        assert_int_equal(etx__file_home_decode(bytes, &found), changes[i].rc);
        etx__file_header_encode(bytes, &home, 3, 9);
        assert_int_equal(etx__file_header_decode(bytes, &found, &partition, &number), 0);
        assert_true(partition == 3 && number == 9);
        bytes[changes[i].at] = changes[i].value;
        reseal(bytes);
        assert_int_equal(etx__file_header_decode(bytes, &found, &partition, &number),
                         changes[i].rc);
    }
    etx__file_header_encode(bytes, &home, 3, 9);
    bytes[4095] = 1;
    assert_int_equal(etx__file_header_decode(bytes, &found, &partition, &number), ETX_ECORRUPT);
}

static void test_states(void **state) {
    (void)state;
    const etx__file_state kept = {.sequence = 5, .mark = 6, .settled = 7, .offset = 8};
    etx__file_state found;
    uint8_t bytes[512];
    etx__file_state_encode(bytes, "fabc012", 3, &kept);
    assert_int_equal(etx__file_state_decode(bytes, "fabc012", 3, &found), 0);
    assert_true(found.sequence == 5 && found.mark == 6 && found.settled == 7 && found.offset == 8);
    assert_int_equal(etx__file_state_decode(bytes, "fabc012", 2, &found), ETX_ECORRUPT);
    assert_int_equal(etx__file_state_decode(bytes, "fabc013", 3, &found), ETX_ECORRUPT);
    bytes[8]++;
    assert_int_equal(etx__file_state_decode(bytes, "fabc012", 3, &found), ETX_ECORRUPT);
    reseal(bytes);
    assert_int_equal(etx__file_state_decode(bytes, "fabc012", 3, &found), ETX_EVERSION);
}

/* What is damaged in a state file, or of a newer version, is refused with its place. */
static void test_state_files(void **state) {
    log_fixture *fixture = *state;
    uint64_t count;
    size_t len;
    fixture_puts(fixture, 5, 3000);
    fixture_close(fixture, 1);
    const char *path = fixture_path(fixture, "log/p00.state");
    uint8_t *bytes = file_load(path, &len);
    assert_int_equal(len, 8192);
    for (int copy = 0; copy < 2; copy++) {
        uint8_t newer[512];
        size_t at = (size_t)copy * 4096;
        memcpy(newer, bytes + at, sizeof newer);
        newer[40]++;
        file_patch(path, at, newer, sizeof newer);
        assert_int_equal(fixture_read(fixture, 0, &count), ETX_ECORRUPT);
        newer[8]++;
        reseal(newer);
        file_patch(path, at, newer, sizeof newer);
        assert_int_equal(fixture_read(fixture, 0, &count), ETX_EVERSION);
        file_patch(path, at, bytes + at, 512);
    }
    fixture_command("truncate -s 5000 '%s'", path);
    assert_int_equal(fixture_read(fixture, 0, &count), ETX_ECORRUPT);
    assert_non_null(strstr(fixture->subject.message, "too short"));
    fixture_command("rm '%s'", path);
    assert_int_equal(fixture_read(fixture, 0, &count), ETX_ECORRUPT);
    assert_non_null(strstr(fixture->subject.message, "missing"));
    fixture_command("mkdir '%s'", path);
    assert_int_equal(fixture_read(fixture, ETX_LOG_READ_ONLY, &count), ETX_EIO);
    assert_int_equal(fixture_read(fixture, 0, &count), ETX_EIO);
    fixture_command("rmdir '%s'", path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, 5);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_states),
        cmocka_unit_test_setup_teardown(test_state_files, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
