/* Structs of programs that were compiled with an older or a newer header: a smaller one means
 * defaults, a larger one is taken if what is beyond is zero, and nobody writes behind a struct. */
#include "host.h"

#include <stddef.h>

#define TAIL 32

/* A struct with room behind it, as a newer header would have. */
#define WITH_TAIL(type)  \
    struct {             \
        type head;       \
        char tail[TAIL]; \
    }

static void test_options(void **state) {
    (void)state;
    WITH_TAIL(etx_options) options;
    etx_engine *engine = NULL;
    memset(&options, 0, sizeof(options));
    options.head = host_options();
    options.head.size = 0;
    assert_int_equal(etx_engine_create(&options.head, &engine), ETX_EINVALID);
    assert_null(engine);
    options.head.size = sizeof(options);
    assert_int_equal(etx_engine_create(&options.head, &engine), 0);
    etx_engine_free(engine);
    engine = NULL;
    options.tail[TAIL - 1] = 1;
    assert_true(etx_engine_create(&options.head, &engine) < 0);
    assert_null(engine);
    /* an older one: what is beyond its size does not count, whatever it holds */
    options.head.size = offsetof(etx_options, memory_max);
    options.head.branches_max = 7;
    options.head.codec = (const etx_codec *)(uintptr_t)16;
    options.head.allocator = (const etx_allocator *)(uintptr_t)16;
    options.head.monitor = (const etx_monitor *)(uintptr_t)16;
    assert_int_equal(etx_engine_create(&options.head, &engine), 0);
    etx_engine_free(engine);
    assert_int_equal(etx_engine_create(NULL, &engine), 0); /* all defaults */
    etx_engine_free(engine);
    assert_int_equal(etx_engine_create(&options.head, NULL), ETX_EINVALID);
}

static void test_participant(void **state) {
    (void)state;
    WITH_TAIL(etx_participant) participant;
    host_bank bank;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    memset(&participant, 0, sizeof(participant));
    participant.head = host_participant("sized", ETX_TCC, ETX_INLINE, &bank);
    participant.head.size = 0;
    assert_int_equal(etx_engine_register(engine, &participant.head), ETX_EINVALID);
    participant.head.size = sizeof(participant);
    participant.tail[0] = 1;
    assert_true(etx_engine_register(engine, &participant.head) < 0);
    participant.tail[0] = 0;
    assert_int_equal(etx_engine_register(engine, &participant.head), 0);
    participant.head = host_participant("older", ETX_TCC, ETX_INLINE, &bank);
    participant.head.size = offsetof(etx_participant, query);
    participant.head.query = (etx_operation_fn)(uintptr_t)16;
    assert_int_equal(etx_engine_register(engine, &participant.head), 0);
    host_engine_end(engine);
}

static void test_tx_options_and_branch(void **state) {
    (void)state;
    WITH_TAIL(etx_tx_options) options;
    WITH_TAIL(etx_branch) branch;
    host_bank bank;
    etx_tx *tx = NULL;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    memset(&options, 0, sizeof(options));
    assert_int_equal(etx_tx_new(engine, &options.head, &tx), ETX_EINVALID);
    assert_null(tx);
    options.head.size = sizeof(options);
    options.tail[3] = 1;
    assert_true(etx_tx_new(engine, &options.head, &tx) < 0);
    assert_null(tx);
    options.tail[3] = 0;
    assert_int_equal(etx_tx_new(engine, &options.head, &tx), 0);
    etx_tx_discard(tx);
    options.head.size = offsetof(etx_tx_options, deadline_ms);
    options.head.deadline_ms = UINT32_MAX; /* not seen */
    assert_int_equal(etx_tx_new(engine, &options.head, &tx), 0);

    memset(&branch, 0, sizeof(branch));
    branch.head.participant = "stock";
    assert_int_equal(etx_tx_add_branch(tx, &branch.head), ETX_EINVALID);
    branch.head.size = sizeof(branch);
    branch.tail[TAIL - 1] = 1;
    assert_true(etx_tx_add_branch(tx, &branch.head) < 0);
    assert_int_equal(etx_tx_add_branch(tx, NULL), ETX_EINVALID);
    etx_tx_discard(tx);
    assert_int_equal(etx_tx_new(engine, &options.head, &tx), 0);
    branch.tail[TAIL - 1] = 0;
    assert_int_equal(etx_tx_add_branch(tx, &branch.head), 0);
    branch.head.size = offsetof(etx_branch, flags);
    branch.head.flags = UINT32_MAX; /* not seen */
    assert_int_equal(etx_tx_add_branch(tx, &branch.head), 0);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    host_engine_end(engine);
}

/* Fills a struct with a pattern, says that only `size` of it is there, and checks that nothing
 * behind was written. */
static void arm(void *room, size_t whole, size_t size) {
    memset(room, 0x5a, whole);
    memcpy(room, &size, sizeof(size));
}

static void expect_untouched(const void *room, size_t whole, size_t size) {
    for (size_t i = size; i < whole; i++) {
        assert_int_equal(((const unsigned char *)room)[i], 0x5a);
    }
}

static void test_outcomes_of_older_programs(void **state) {
    (void)state;
    WITH_TAIL(etx_outcome) outcome;
    host_bank bank;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    const size_t older = offsetof(etx_outcome, gid);
    arm(&outcome, sizeof(outcome), older);
    assert_int_equal(host_run(engine, "slow", &outcome.head), 0);
    assert_int_equal(outcome.head.state, ETX_COMMITTED);
    assert_int_equal(outcome.head.size, older);
    expect_untouched(&outcome, sizeof(outcome), older);
    arm(&outcome, sizeof(outcome), sizeof(etx_outcome));
    assert_int_equal(host_run(engine, "stock", &outcome.head), 0);
    expect_untouched(&outcome, sizeof(outcome), sizeof(etx_outcome));
    assert_true(host_run(engine, "stock", NULL) == 0); /* outcome may be NULL */
    host_engine_end(engine);
}

static int ignore_status(const etx_status *status, void *user) {
    (void)status;
    (void)user;
    return 0;
}

static void test_what_is_returned_to_older_programs(void **state) {
    (void)state;
    WITH_TAIL(etx_metrics) metrics;
    WITH_TAIL(etx_status) status;
    WITH_TAIL(etx_home_status) home;
    host_bank bank;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_filter filter = ETX_FILTER_INIT;
    etx_cursor cursor = {{0, 0}};
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    assert_int_equal(host_run(engine, "stock", &outcome), 0);
    size_t older = offsetof(etx_metrics, puts);
    arm(&metrics, sizeof(metrics), older);
    assert_int_equal(etx_engine_metrics(engine, &metrics.head), 0);
    assert_true(metrics.head.begun >= 1);
    expect_untouched(&metrics, sizeof(metrics), older);
    arm(&metrics, sizeof(metrics), 0);
    assert_int_equal(etx_engine_metrics(engine, &metrics.head), ETX_EINVALID);
    older = offsetof(etx_status, mode);
    arm(&status, sizeof(status), older);
    assert_int_equal(etx_query(engine, outcome.gid, &status.head), 0);
    assert_int_equal(status.head.state, ETX_COMMITTED);
    expect_untouched(&status, sizeof(status), older);
    arm(&status, sizeof(status), 0);
    assert_int_equal(etx_query(engine, outcome.gid, &status.head), ETX_EINVALID);
    older = offsetof(etx_home_status, why);
    arm(&home, sizeof(home), older);
    assert_int_equal(etx_engine_home_status(engine, 0, &home.head), 0);
    expect_untouched(&home, sizeof(home), older);
    assert_int_equal(etx_engine_home_status(engine, 9, &home.head), ETX_ENOTFOUND);
    filter.size = 0;
    assert_int_equal(etx_list(engine, &filter, &cursor, 1, ignore_status, NULL), ETX_EINVALID);
    host_engine_end(engine);
}

static void test_what_is_told_of_homes_to_older_programs(void **state) {
    (void)state;
    WITH_TAIL(etx_home_metrics) metrics;
    WITH_TAIL(etx_partition_status) partition;
    WITH_TAIL(etx_node_status) node;
    host_bank bank;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    assert_int_equal(host_run(engine, "stock", NULL), 0);
    size_t older = offsetof(etx_home_metrics, put_us);
    arm(&metrics, sizeof(metrics), older);
    assert_int_equal(etx_engine_home_metrics(engine, 0, &metrics.head), 0);
    assert_true(metrics.head.size == older && metrics.head.puts >= 1);
    expect_untouched(&metrics, sizeof(metrics), older);
    arm(&metrics, sizeof(metrics), 0);
    assert_int_equal(etx_engine_home_metrics(engine, 0, &metrics.head), ETX_EINVALID);
    older = offsetof(etx_partition_status, elsewhere);
    for (int by_gid = 0; by_gid < 2; by_gid++) {
        arm(&partition, sizeof(partition), older);
        assert_int_equal(by_gid ? etx_engine_gid_status(engine, "g", &partition.head)
                                : etx_engine_partition_status(engine, 0, 0, &partition.head),
                         0);
        assert_true(partition.head.size == older && partition.head.here == 1);
        expect_untouched(&partition, sizeof(partition), older);
        arm(&partition, sizeof(partition), 0);
        assert_int_equal(by_gid ? etx_engine_gid_status(engine, "g", &partition.head)
                                : etx_engine_partition_status(engine, 0, 0, &partition.head),
                         ETX_EINVALID);
    }
    arm(&node, sizeof(node), 0); /* what is told of nodes: tests/unit/engine/test_moves.c */
    assert_int_equal(etx_engine_node_status(engine, 0, 0, &node.head), ETX_EINVALID);
    assert_int_equal(etx_engine_gone_status(engine, 0, 0, &node.head), ETX_EINVALID);
    expect_untouched(&node, sizeof(node), sizeof(size_t));
    host_engine_end(engine);
}

/* Which of the three looks after the log; without an engine. */
static int report_of(int which, const host_dir *dir, etx_file_report *report) {
    char log[HOST_PATH_MAX + 8], copy[HOST_PATH_MAX + 8];
    snprintf(log, sizeof(log), "%s/log", dir->path);
    snprintf(copy, sizeof(copy), "%s/copy%d", dir->path, which);
    switch (which) {
        case 0:
            return etx_log_file_verify(log, NULL, NULL, report, NULL, 0);
        case 1:
            return etx_log_file_backup(log, copy, 1, report, NULL, 0);
        default:
            return etx_log_file_repair(log, copy, 1, NULL, NULL, report, NULL, 0);
    }
}

static void test_what_is_told_of_logs_to_older_programs(void **state) {
    (void)state;
    WITH_TAIL(etx_file_report) report;
    WITH_TAIL(etx_sync_cost) cost;
    host_dir dir;
    host_bank bank;
    host_dir_make(&dir);
    host_bank_make(&bank);
    etx_engine *engine = host_engine(dir.url, NULL, &bank);
    assert_int_equal(host_run(engine, "stock", NULL), 0);
    host_engine_end(engine);
    for (int which = 0; which < 3; which++) {
        size_t older = offsetof(etx_file_report, segments);
        arm(&report, sizeof(report), 0); /* first: nothing is done */
        assert_int_equal(report_of(which, &dir, &report.head), ETX_EINVALID);
        expect_untouched(&report, sizeof(report), sizeof(size_t));
        arm(&report, sizeof(report), older);
        assert_int_equal(report_of(which, &dir, &report.head), 0);
        assert_true(report.head.size == older && report.head.partitions >= 1);
        assert_int_equal(report.head.state, ETX_FILE_SOUND);
        expect_untouched(&report, sizeof(report), older);
    }
    arm(&report, sizeof(report), sizeof(report)); /* and a newer one */
    assert_int_equal(report_of(0, &dir, &report.head), 0);
    assert_true(report.head.size == sizeof(report) && report.head.slots >= 1);
    expect_untouched(&report, sizeof(report), sizeof(etx_file_report));
    size_t older = offsetof(etx_sync_cost, per_s);
    arm(&cost, sizeof(cost), 0);
    assert_int_equal(etx_log_file_sync_cost(dir.path, 1, &cost.head, NULL, 0), ETX_EINVALID);
    arm(&cost, sizeof(cost), older);
    assert_int_equal(etx_log_file_sync_cost(dir.path, 1, &cost.head, NULL, 0), 0);
    assert_true(cost.head.size == older && cost.head.p50_us > 0);
    expect_untouched(&cost, sizeof(cost), older);
    host_dir_remove(&dir);
}

static int count_status(const etx_status *status, void *user) {
    (void)status;
    ++*(unsigned *)user;
    return 0;
}

static void test_filter(void **state) {
    (void)state;
    WITH_TAIL(etx_filter) filter;
    host_bank bank;
    etx_cursor cursor = {{0, 0}};
    uint64_t done = 0;
    unsigned count = 0;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    assert_int_equal(host_run(engine, "stock", NULL), 0);
    memset(&filter, 0, sizeof(filter));
    filter.head.size = sizeof(filter);
    filter.head.remembered = 1;
    assert_int_equal(etx_list(engine, &filter.head, &cursor, 10, count_status, &count), 0);
    assert_int_equal(count, 1);
    /* a condition that is not known here must not be left out: more would be found, and done */
    filter.tail[TAIL - 1] = 1;
    assert_true(etx_list(engine, &filter.head, &cursor, 10, count_status, &count) < 0);
    assert_true(etx_bulk_operate(engine, ETX_BULK_RETRY, &filter.head, 0, NULL, NULL, &done) < 0);
    assert_int_equal(count, 1);
    /* an older one: what is beyond its size does not count, whatever it holds */
    filter.head.size = offsetof(etx_filter, kind);
    filter.head.participant = (const char *)(uintptr_t)16;
    filter.head.begun_after_ms = UINT64_MAX;
    filter.head.remembered = 0;
    filter.head.states = 1u << ETX_ACTIVE;
    cursor = (etx_cursor){{0, 0}};
    assert_int_equal(etx_list(engine, &filter.head, &cursor, 10, count_status, &count), 0);
    assert_int_equal(count, 1); /* none is active */
    host_engine_end(engine);
}

static void count_event(const etx_event *event, void *user) {
    atomic_fetch_add((atomic_uint *)user, event->type == ETX_EVENT_ENDED);
}

static void must_not_be_called(const etx_status *status, const etx_ending *ending, void *user) {
    (void)status;
    (void)ending;
    atomic_fetch_add((atomic_uint *)user, 100);
}

static void test_monitor(void **state) {
    (void)state;
    WITH_TAIL(etx_monitor) monitor;
    host_bank bank;
    atomic_uint ended = 0;
    etx_options options = host_options();
    etx_engine *engine = NULL;
    host_bank_make(&bank);
    memset(&monitor, 0, sizeof(monitor));
    options.monitor = &monitor.head;
    monitor.head.on_event = count_event;
    monitor.head.user = &ended;
    monitor.head.events = 1u << ETX_EVENT_ENDED;
    assert_int_equal(etx_engine_create(&options, &engine), ETX_EINVALID); /* no size */
    monitor.head.size = sizeof(monitor);
    monitor.tail[0] = 1;
    assert_true(etx_engine_create(&options, &engine) < 0);
    assert_null(engine);
    monitor.tail[0] = 0;
    engine = host_engine("memory:", &options, &bank);
    assert_int_equal(host_run(engine, "stock", NULL), 0);
    assert_true(host_wait_for(&ended, 1));
    host_engine_end(engine);
    /* an older one: it is not asked for what is beyond its size */
    monitor.head.size = offsetof(etx_monitor, on_ending);
    monitor.head.on_ending = must_not_be_called;
    engine = host_engine("memory:", &options, &bank);
    assert_int_equal(host_run(engine, "stock", NULL), 0);
    assert_true(host_wait_for(&ended, 2));
    host_engine_end(engine);
    assert_int_equal(atomic_load(&ended), 2);
}

static void test_completion(void **state) {
    (void)state;
    WITH_TAIL(etx_completion) completion;
    host_bank bank;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    memset(&completion, 0, sizeof(completion));
    completion.head.reply = ETX_DONE;
    assert_int_equal(etx_complete(engine, (etx_token){{1, 1}}, &completion.head), ETX_EINVALID);
    completion.head.size = sizeof(completion);
    completion.tail[0] = 1;
    assert_true(etx_complete(engine, (etx_token){{1, 1}}, &completion.head) < 0);
    completion.head.size = sizeof(etx_completion);
    completion.head.reply = (etx_reply)66;
    assert_int_equal(etx_complete(engine, (etx_token){{1, 1}}, &completion.head), ETX_EINVALID);
    assert_int_equal(etx_complete(engine, (etx_token){{1, 1}}, NULL), ETX_EINVALID);
    /* a token that names nothing is as one that is too late */
    completion.head.reply = ETX_DONE;
    assert_int_equal(etx_complete(engine, (etx_token){{1, 1}}, &completion.head), 0);
    assert_int_equal(etx_complete(engine, (etx_token){{UINT64_MAX, UINT64_MAX}}, &completion.head),
                     0);
    host_engine_end(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_participant),
        cmocka_unit_test(test_tx_options_and_branch),
        cmocka_unit_test(test_outcomes_of_older_programs),
        cmocka_unit_test(test_what_is_returned_to_older_programs),
        cmocka_unit_test(test_what_is_told_of_homes_to_older_programs),
        cmocka_unit_test(test_what_is_told_of_logs_to_older_programs),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_monitor),
        cmocka_unit_test(test_completion),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
