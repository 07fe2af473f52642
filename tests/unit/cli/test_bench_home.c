/* Which log in a store `etx bench` takes for its own: one on which nobody works, nor has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench.h"

enum { PARTITIONS = 3 };

typedef struct told_log {
    etx_log head;
    int slots;     /* in the last partition */
    uint64_t mark; /* of the last partition */
    const char *node;
    int rc; /* of each get */
} told_log;

static int tell_info(etx_log *head, etx_log_info *ret_info) {
    (void)head;
    ret_info->partitions = PARTITIONS;
    return 0;
}

static int tell_slots(etx_log *head,
                      uint32_t partition,
                      uint64_t from,
                      etx_slot_fn visit,
                      void *user,
                      uint64_t *ret_mark,
                      char *message,
                      size_t message_size) {
    told_log *log = (told_log *)head;
    int last = partition == PARTITIONS - 1;
    int rc = log->rc;
    (void)from;
    (void)snprintf(message, message_size, "%s", rc != 0 ? "it is away" : "");
    *ret_mark = last ? log->mark : 0;
    for (int i = 0; rc == 0 && last && i < log->slots; i++) {
        etx_slot slot = {.partition = partition, .slot = log->mark + (uint64_t)i};
        rc = visit(&slot, user);
    }
    return rc;
}

static int tell_nodes(etx_log *head,
                      const etx_log_survey *survey,
                      char *message,
                      size_t message_size) {
    told_log *log = (told_log *)head;
    etx_log_node node = {sizeof node, log->node, "", 1000};
    (void)message;
    (void)message_size;
    if (log->node != NULL) {
        survey->on_node(&node, survey->user);
    }
    return 0;
}

/* The exit code, which must be that one, and what was said must have these words. */
static void expect(int code, told_log log, const char *words) {
    static const etx_log_ops ops = {.version = ETX_LOG_VERSION,
                                    .scheme = "told",
                                    .info = tell_info,
                                    .get = tell_slots,
                                    .survey = tell_nodes};
    char *said = NULL;
    size_t len = 0;
    cli_context cli = {.out = stdout, .err = open_memstream(&said, &len), .path = "etx bench"};
    log.head.ops = &ops;
    assert_non_null(cli.err);
    assert_int_equal(etx__bench_check_log(&cli, &log.head), code);
    assert_int_equal(fclose(cli.err), 0);
    assert_non_null(strstr(said, words));
    free(said);
}

static void test_an_empty_log_is_taken(void **state) {
    (void)state;
    expect(CLI_OK, (told_log){.slots = 0}, "");
}

static void test_a_log_with_slots_is_refused(void **state) {
    (void)state;
    expect(CLI_BAD, (told_log){.slots = 1}, "not empty");
    expect(CLI_BAD, (told_log){.slots = 5, .mark = 9}, "a log of its own");
}

static void test_a_log_that_had_slots_is_refused(void **state) {
    (void)state;
    expect(CLI_BAD, (told_log){.mark = 1}, "not empty");
}

static void test_a_log_that_nodes_attend_is_refused(void **state) {
    (void)state;
    expect(CLI_BAD, (told_log){.node = "n7"}, "nodes work on this log: n7");
    expect(CLI_BAD, (told_log){.node = "n7"}, "a log of its own");
}

static void test_a_log_that_cannot_be_read_is_refused(void **state) {
    (void)state;
    expect(CLI_BAD, (told_log){.rc = ETX_EUNAVAILABLE}, "it is away");
}

/* Where a sync is measured for that --home. */
static void expect_measured(const char *home, const char *url) {
    static bench_run run;
    cli_context cli = {.out = stdout, .err = stderr, .path = "etx bench"};
    memset(&run, 0, sizeof run);
    run.cli = &cli;
    run.options.home = home;
    assert_int_equal(etx__bench_choose_home(&run), CLI_OK);
    assert_string_equal(run.sync_url, url);
}

/* With the log's own options, and on its own file system: its directory may be one that is mounted
 * there. */
static void test_a_sync_is_measured_where_the_log_will_be(void **state) {
    (void)state;
    char dir[] = "bench-home-XXXXXX";
    char home[64];
    char url[64];
    assert_non_null(mkdtemp(dir));
    snprintf(home, sizeof home, "file:%s/log?direct=0", dir);
    snprintf(url, sizeof url, "file:%s?direct=0", dir);
    expect_measured(home, url);
    expect_measured(url, url);
    expect_measured("file:nothing-is-here", "file:.");
    expect_measured("memory:", "");
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_log_is_taken),
        cmocka_unit_test(test_a_log_with_slots_is_refused),
        cmocka_unit_test(test_a_log_that_had_slots_is_refused),
        cmocka_unit_test(test_a_log_that_nodes_attend_is_refused),
        cmocka_unit_test(test_a_log_that_cannot_be_read_is_refused),
        cmocka_unit_test(test_a_sync_is_measured_where_the_log_will_be),
    };
    return cmocka_run_group_tests_name("bench home", tests, NULL, NULL);
}
