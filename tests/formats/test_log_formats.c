/* Logs that older versions wrote are read as they were put: each directory that is named, against
 * the list beside it. "test_log_formats tests/formats/log-v1/clean ..." */
#include <etx/log_file.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

typedef struct log_expected {
    FILE *list;
    char line[200];
} log_expected;

static int line_next(log_expected *expected) {
    return fgets(expected->line, sizeof expected->line, expected->list) != NULL;
}

static int slot_check(const etx_slot *slot, void *user) {
    log_expected *expected = user;
    char line[200];
    assert_true(line_next(expected));
    snprintf(line, sizeof line, "%u %llu %016llx %08x %08x %zu %08x\n", slot->partition,
             (unsigned long long)slot->slot, (unsigned long long)slot->nonce, slot->predecessor,
             slot->checksum, slot->batch.len, etx_crc32c(0, slot->batch.data, slot->batch.len));
    assert_string_equal(line, expected->line);
    return 0;
}

static etx_log *log_open(const char *dir, uint32_t flags) {
    char message[400] = "";
    char url[600];
    etx_log *log = NULL;
    snprintf(url, sizeof url, "file:%s", dir);
    const etx_log_config config = {.size = sizeof config,
                                   .url = url,
                                   .node = "test",
                                   .flags = flags | ETX_LOG_NO_CREATE,
                                   .message = message,
                                   .message_size = sizeof message};
    int rc = etx_log_file()->open(&config, &log);
    if (rc)
        print_message("%s\n", message);
    assert_int_equal(rc, 0);
    return log;
}

/* Everything in it is what the list says, no more and no less. */
static void read_all(const char *dir, const char *list, uint32_t flags) {
    log_expected expected = {.list = fopen(list, "r")};
    etx_log_info info = {.size = sizeof info};
    etx_log *log = log_open(dir, flags);
    assert_non_null(expected.list);
    assert_int_equal(etx_log_file()->info(log, &info), 0);
    for (uint32_t partition = 0; partition < info.partitions; partition++) {
        uint64_t mark;
        assert_int_equal(
            etx_log_file()->get(log, partition, 0, slot_check, &expected, &mark, NULL, 0), 0);
    }
    assert_false(line_next(&expected));
    fclose(expected.list);
    etx_log_file()->close(log, 1);
}

static void test_old_log(void **state) {
    const char *original = *state;
    char base[64] = "/tmp/etx-formats-XXXXXX";
    char command[800];
    char copy[100];
    char list[600];
    etx_file_report report = {.size = sizeof report};
    assert_non_null(mkdtemp(base));
    snprintf(command, sizeof command, "cp -r '%s' '%s/log' && chmod -R u+w '%s/log'", original,
             base, base);
    assert_int_equal(system(command), 0);
    snprintf(copy, sizeof copy, "%s/log", base);
    snprintf(list, sizeof list, "%s.txt", original);
    assert_int_equal(etx_log_file_verify(copy, NULL, NULL, &report, NULL, 0), 0);
    assert_int_equal(report.state, strstr(original, "torn") ? ETX_FILE_TORN : ETX_FILE_SOUND);
    assert_int_equal(report.clean, strstr(original, "clean") != NULL);
    read_all(copy, list, ETX_LOG_READ_ONLY);
    read_all(copy, list, 0);
    read_all(copy, list, 0);
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    assert_int_equal(system(command), 0);
}

int main(int argc, char **argv) {
    int failed = argc < 2;
    for (int i = 1; i < argc; i++) {
        const struct CMUnitTest tests[] = {
            {argv[i], test_old_log, NULL, NULL, argv[i]},
        };
        failed |= cmocka_run_group_tests_name(argv[i], tests, NULL, NULL);
    }
    return failed;
}
