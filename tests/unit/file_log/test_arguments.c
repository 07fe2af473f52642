/* What the file log is asked that it must refuse: names, numbers, directories; and logs of more
 * files than a first list holds. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names that only look like the log's own. */
static void test_names(void **state) {
    log_fixture *fixture = *state;
    static const char *const foreign[] = {"p",
                                          "p0.state",
                                          "p1x.state",
                                          "p99999.state",
                                          "q00.state",
                                          "p00.stat",
                                          "p00_00000001.seg",
                                          "p00-0000001.seg",
                                          "p00-00000000.seg",
                                          "p00-99999999999.seg",
                                          "p00-00000001.se",
                                          "p0000-00000001.seg",
                                          "p00-4294967296.seg",
                                          "p00-00000001.segx",
                                          "p000000000000001.state",
                                          "home.bak",
                                          "p00-000000000000000001.seg"};
    static const char *const ours[] = {"p07.state.tmp", "p00-spare.tmp", "lost+found"};
    uint64_t count;
    fixture_puts(fixture, 3, 100);
    fixture_close(fixture, 1);
    for (unsigned i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        fixture_command("touch '%s/log/%s'", fixture->subject.dir, foreign[i]);
        if (fixture_read(fixture, 0, &count) != ETX_EINVALID)
            fail_msg("%s is taken", foreign[i]);
        assert_non_null(strstr(fixture->subject.message, foreign[i]));
        fixture_command("rm '%s/log/%s'", fixture->subject.dir, foreign[i]);
    }
    for (unsigned i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        fixture_command("touch '%s/log/%s'", fixture->subject.dir, ours[i]);
        assert_int_equal(fixture_read(fixture, 0, &count), 0);
        assert_int_equal(count, 3);
    }
}

static int stop(const etx_slot *slot, void *user) {
    (void)slot;
    (void)user;
    return 5;
}

/* Partitions that are not there, marks that nobody wants, a read-only log that is written to. */
static void test_numbers(void **state) {
    log_fixture *fixture = *state;
    const etx_log_ops *ops = fixture->subject.ops;
    etx_log *log = fixture->subject.log;
    etx_log_space space = {.size = sizeof space};
    uint64_t mark;
    fixture_puts(fixture, 3, 100);
    assert_int_equal(ops->get(log, 1, 0, stop, NULL, &mark, NULL, 0), ETX_EINVALID);
    assert_int_equal(ops->reopen(log, 1, NULL, 0), ETX_EINVALID);
    assert_int_equal(ops->trim(log, 1, 1), ETX_EINVALID);
    assert_int_equal(ops->space(log, 1, &space), ETX_EINVALID);
    assert_int_equal(ops->get(log, 0, 0, stop, NULL, &mark, NULL, 0), 5);
    assert_int_equal(ops->get(log, 0, 3, stop, NULL, NULL, NULL, 0), 0);
    fixture_close(fixture, 1);
    assert_int_equal(fixture_open(fixture, ETX_LOG_READ_ONLY), 0);
    log = fixture->subject.log;
    assert_int_equal(ops->trim(log, 0, 1), ETX_EINVALID);
    assert_int_equal(ops->reopen(log, 0, NULL, 0), 0);
    assert_int_equal(ops->space(log, 0, &space), 0);
    assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), 3);
    fixture_close(fixture, 1);
    etx_log_config config = {.size = sizeof config - 1, .url = fixture->subject.url};
    assert_int_equal(ops->open(&config, &log), ETX_EINVALID);
}

/* As a whole, or one name in it: said with the cause, whoever hears it. */
static void test_names_that_are_too_long(void **state) {
    log_fixture *fixture = *state;
    const etx_log_ops *ops = etx_log_file();
    static const size_t lens[] = {300, 4096, 6000};
    fixture_close(fixture, 1);
    for (unsigned i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        for (uint32_t flags = 0; flags <= ETX_LOG_READ_ONLY; flags++) {
            char url[6100];
            char message[200] = "";
            etx_log *log = NULL;
            etx_log_config config = {.size = sizeof config,
                                     .url = url,
                                     .flags = flags,
                                     .message = message,
                                     .message_size = sizeof message};
            etx_file_report report = {.size = sizeof report};
            memset(url, 'a', lens[i] + 5);
            memcpy(url, "file:", 5);
            url[lens[i] + 5] = 0;
            assert_int_equal(ops->open(&config, &log), ETX_EINVALID);
            assert_non_null(strstr(message, "is too long: it has"));
            assert_non_null(strstr(message, "each name in it 255"));
            assert_int_equal(
                etx_log_file_verify(url + 5, NULL, NULL, &report, message, sizeof message),
                ETX_EINVALID);
            assert_non_null(strstr(message, "is too long"));
        }
    }
}

/* Directories that are none, for all that look after a log. */
static void test_directories(void **state) {
    log_fixture *fixture = *state;
    char large[5000];
    char source[600];
    char message[300];
    etx_file_report report = {.size = sizeof report};
    etx_sync_cost cost = {.size = sizeof cost};
    memset(large, 'a', sizeof large);
    large[sizeof large - 1] = 0;
    snprintf(source, sizeof source, "%s", fixture_path(fixture, "log"));
    const char *const none[] = {NULL, "", large};
    fixture_puts(fixture, 3, 100);
    fixture_close(fixture, 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(etx_log_file_verify(none[i], NULL, NULL, &report, message, sizeof message),
                         ETX_EINVALID);
        assert_int_equal(etx_log_file_backup(none[i], "there", 0, &report, message, sizeof message),
                         ETX_EINVALID);
        assert_int_equal(etx_log_file_backup(source, none[i], 0, &report, message, sizeof message),
                         ETX_EINVALID);
    }
    assert_int_equal(etx_log_file_verify(source, NULL, NULL, NULL, NULL, 0), 0);
    assert_int_equal(etx_log_file_sync_cost("/nowhere/at/all", 1, &cost, message, sizeof message),
                     ETX_ENOTFOUND);
    fixture_command("touch '%s/file'", fixture->subject.dir);
    assert_int_equal(etx_log_file_sync_cost(fixture_path(fixture, "file"), 1, &cost, NULL, 0),
                     ETX_ENOTFOUND);
    assert_int_equal(etx_log_file_sync_cost("/proc", 1, &cost, message, sizeof message), ETX_EIO);
    assert_int_equal(etx_log_file_sync_cost(fixture->subject.dir, 0, &cost, NULL, 0), 0);
    assert_true(cost.count >= 1);
    /* copies: into a file, a log, a directory of somebody's, one that is not there, by names that
     * end with a slash, and where nobody wants a report */
    char dest[700];
    snprintf(dest, sizeof dest, "%s", fixture_path(fixture, "file"));
    assert_int_not_equal(etx_log_file_backup(source, dest, 0, NULL, message, sizeof message), 0);
    assert_int_not_equal(etx_log_file_backup(source, source, 0, NULL, message, sizeof message), 0);
    static const char *const taken[] = {"home", "home.tmp", "p00-00000001.seg", "p00.state",
                                        "somebody's"};
    for (unsigned i = 0; i < 5; i++) {
        fixture_command("mkdir '%s/taken%u' && touch \"%s/taken%u/%s\"", fixture->subject.dir, i,
                        fixture->subject.dir, i, taken[i]);
        snprintf(dest, sizeof dest, "%s/taken%u", fixture->subject.dir, i);
        assert_int_not_equal(etx_log_file_backup(source, dest, 0, NULL, message, sizeof message),
                             0);
    }
    fixture_command("mkdir '%s/empty'", fixture->subject.dir);
    snprintf(dest, sizeof dest, "%s/empty//", fixture->subject.dir);
    assert_int_equal(etx_log_file_backup(source, dest, 0, NULL, message, sizeof message), 0);
    snprintf(dest, sizeof dest, "%s/no/such", fixture->subject.dir);
    assert_int_not_equal(etx_log_file_backup(source, dest, 0, NULL, message, sizeof message), 0);
    fixture_command("cd '%s' && rm -rf empty", fixture->subject.dir);
    snprintf(dest, sizeof dest, "%s/nowhere", fixture->subject.dir);
    assert_int_equal(etx_log_file_backup(dest, "there", 0, NULL, message, sizeof message),
                     ETX_ENOTFOUND);
}

/* More files than the first list has room for; more partitions than there can be. */
static void test_many_partitions(void **state) {
    log_fixture *fixture = *state;
    etx_log_info info = {.size = sizeof info};
    fixture_close(fixture, 1);
    snprintf(fixture->subject.url, sizeof fixture->subject.url,
             "file:%s/many?partitions=64&segment=1M", fixture->subject.dir);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fixture_open(fixture, 0), 0);
        log_chain chain = {.subject = &fixture->subject, .partition = 63, .nonce = 5};
        uint8_t bytes[100];
        batch_fill(0, bytes, sizeof bytes);
        if (i == 0)
            assert_int_equal(chain_put(&chain, bytes, sizeof bytes), ETX_PUT_WRITTEN);
        assert_int_equal(chain_check(&fixture->subject, 63, 0, NULL), 1);
        fixture_close(fixture, 1);
    }
    etx_log_config config = {.size = sizeof config, .partitions = 100000};
    etx_log *log = NULL;
    char url[600];
    snprintf(url, sizeof url, "file:%s/too-many?segment=1M", fixture->subject.dir);
    config.url = url;
    assert_int_equal(fixture->subject.ops->open(&config, &log), ETX_EINVALID);
    config.partitions = 0;
    assert_int_equal(fixture->subject.ops->open(&config, &log), 0);
    assert_int_equal(fixture->subject.ops->info(log, &info), 0);
    assert_int_equal(info.partitions, 4);
    fixture->subject.ops->close(log, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_names),       CASE(test_numbers),         CASE(test_names_that_are_too_long),
        CASE(test_directories), CASE(test_many_partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
