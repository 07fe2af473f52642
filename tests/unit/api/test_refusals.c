/* What was accepted without a word, or crashed, and says now what is wrong and what to do. */
#include "host.h"

#include <etx/seen.h>

static void expect_refused(const etx_options *options, const char *text) {
    etx_engine *engine = NULL;
    int rc = etx_engine_create(options, &engine);
    host_says(NULL, rc, ETX_EINVALID, text);
    assert_null(engine);
}

static void expect_made(const etx_options *options) {
    etx_engine *engine = NULL;
    assert_int_equal(etx_engine_create(options, &engine), 0);
    etx_engine_free(engine);
}

static void test_options(void **state) {
    (void)state;
    etx_allocator nothing = {0};
    etx_options options = host_options();
    options.allocator = &nothing;
    expect_refused(&options, "allocator:");
    etx_codec codec = *etx_codec_binary();
    options = host_options();
    options.codec = &codec;
    expect_refused(&options, "codec: its id");
    codec.id = 200;
    expect_made(&options);
    codec.decode = NULL;
    expect_refused(&options, "codec: bound,");
    codec = (etx_codec){.version = ETX_CODEC_VERSION, .id = 200};
    expect_refused(&options, "codec: bound,");
    codec = *etx_codec_binary();
    codec.version++;
    expect_refused(&options, "codec: its version");
    options = host_options();
    options.deadline_ms = UINT32_MAX;
    expect_refused(&options, "deadline_ms:");
    options.deadline_ms = 501;
    options.fence_age_ms = 1000;
    expect_refused(&options, "deadline_ms:");
    options.deadline_ms = 500;
    expect_made(&options);
    options = (etx_options)ETX_OPTIONS_INIT;
    options.retry_cap_ms = 50; /* the first pause is no longer then */
    expect_made(&options);
    options.retry_first_ms = 51;
    expect_refused(&options, "retry_first_ms:");
}

/* Without one of its own a transaction's deadline is below half the age of fences too. */
static void test_the_default_deadline(void **state) {
    (void)state;
    host_bank bank;
    etx_options options = host_options();
    etx_tx_options of = ETX_TX_OPTIONS_INIT;
    etx_status status = {.size = sizeof(status)};
    etx_tx *tx = NULL;
    host_bank_make(&bank);
    options.fence_age_ms = 20000;
    etx_engine *engine = host_engine("memory:", &options, &bank);
    of.gid = "deadline";
    assert_int_equal(etx_tx_begin(engine, &of, &tx), 0);
    assert_int_equal(etx_query(engine, "deadline", &status), 0);
    assert_int_equal(status.deadline_ms - status.begin_ms, 10000);
    assert_int_equal(etx_tx_abort(tx, NULL), 0);
    host_engine_end(engine);
}

static void test_no_call(void **state) {
    (void)state;
    char gid[ETX_GID_MAX + 1], message[80] = "";
    size_t len = 1;
    etx_seen seen = {.size = sizeof(seen)};
    assert_string_equal(etx_call_gid(NULL), "");
    assert_string_equal(etx_call_branch(NULL), "");
    assert_int_equal(etx_call_kind(NULL), 0);
    assert_int_equal(etx_call_operation(NULL), 0);
    assert_int_equal(etx_call_attempt(NULL), 0);
    assert_null(etx_call_payload(NULL, &len));
    assert_int_equal(len, 0);
    assert_int_equal(etx_call_begin_ms(NULL) + etx_call_deadline_ms(NULL) + etx_call_run(NULL), 0);
    assert_null(etx_call_engine(NULL));
    len = 1;
    assert_null(etx_call_result_of(NULL, "a", &len));
    assert_int_equal(len, 0);
    assert_null(etx_call_result_at(NULL, 0, NULL, NULL));
    assert_int_equal(etx_call_timeout_ms(NULL), 0);
    assert_int_equal(etx_call_result(NULL, "r", 1), ETX_EINVALID);
    assert_int_equal(etx_call_reason(NULL, "r"), ETX_EINVALID);
    assert_int_equal(etx_call_retry_after(NULL, 1), ETX_EINVALID);
    assert_int_equal(etx_call_token(NULL).word[1], 0);
    assert_int_equal(etx_gid_child("p", "b", NULL), ETX_EINVALID);
    assert_int_equal(etx_gid_child("p", "b", gid), 0);
    assert_int_equal(etx_record_room_grow(NULL), ETX_EINVALID);
    etx_record_room_free(NULL);
    assert_int_equal(etx_seen_read(NULL, "h", &seen, message, sizeof(message)), ETX_EINVALID);
    assert_int_equal(etx_seen_read("/", NULL, &seen, NULL, 0), ETX_EINVALID);
    assert_int_equal(etx_seen_read("/", "h", NULL, NULL, 0), ETX_EINVALID);
    assert_non_null(strstr(message, "NULL"));
    etx_seen_free(NULL);
}

static int no_status(const etx_status *status, void *user) {
    (void)status;
    (void)user;
    return 0;
}

static void test_filters(void **state) {
    (void)state;
    host_bank bank;
    etx_cursor cursor = {{0, 0}};
    etx_filter filter = ETX_FILTER_INIT;
    uint64_t count = 0;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    filter.states = 1u << (ETX_ABORTED + 1);
    host_says(engine, etx_list(engine, &filter, &cursor, 1, no_status, NULL), ETX_EINVALID,
              "filter: states");
    filter.states = 1u << ETX_ABORTED | 1u << ETX_ACTIVE;
    filter.marks = 1u << 5;
    host_says(engine, etx_list(engine, &filter, &cursor, 1, no_status, NULL), ETX_EINVALID,
              "filter: marks");
    filter.marks = ETX_MARK_ENDED | ETX_MARK_CHOSEN;
    filter.kind = (etx_kind)(ETX_NOTIFICATION + 1);
    host_says(engine, etx_bulk_operate(engine, ETX_BULK_RETRY, &filter, 0, "w", "y", &count),
              ETX_EINVALID, "filter: kind");
    filter.kind = ETX_NOTIFICATION;
    assert_int_equal(etx_list(engine, &filter, &cursor, 1, no_status, NULL), 0);
    host_engine_end(engine);
}

static void test_modes_of_new(void **state) {
    (void)state;
    host_bank bank;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    for (int mode = 0; mode < 10; mode++) {
        etx_tx_options options = ETX_TX_OPTIONS_INIT;
        etx_tx *tx = NULL;
        options.mode = (etx_mode)mode;
        options.initiator = "stock";
        int rc = etx_tx_new(engine, &options, &tx);
        if (mode > ETX_INTERACTIVE) {
            host_says(engine, rc, ETX_EINVALID, "mode:");
            assert_null(tx);
        } else {
            assert_int_equal(rc, 0);
            etx_tx_discard(tx);
        }
    }
    host_engine_end(engine);
}

static void test_pauses_of_participants(void **state) {
    (void)state;
    host_bank bank;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    etx_participant hasty = host_participant("hasty", ETX_TCC, 0, &bank);
    hasty.retry_first_ms = 21;
    hasty.retry_cap_ms = 20;
    host_says(engine, etx_engine_register(engine, &hasty), ETX_EINVALID, "hasty: retry_first_ms");
    hasty.retry_first_ms = 20;
    assert_int_equal(etx_engine_register(engine, &hasty), 0);
    hasty.name = "engines-cap";
    hasty.retry_cap_ms = 0;
    assert_int_equal(etx_engine_register(engine, &hasty), 0);
    host_engine_end(engine);
}

/* Also where there is nothing that the filter finds. */
static void test_nobody_operates_on_many(void **state) {
    (void)state;
    host_bank bank;
    uint64_t count = 0;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    for (int what = ETX_BULK_RETRY; what <= ETX_BULK_RESUME; what++) {
        int wanted = what == ETX_BULK_RETRY ? 0 : ETX_EINVALID;
        etx_bulk bulk = (etx_bulk)what;
        assert_int_equal(etx_bulk_operate(engine, bulk, NULL, 0, NULL, "why", &count), wanted);
        assert_int_equal(etx_bulk_operate(engine, bulk, NULL, 0, "me", "", &count), wanted);
        assert_int_equal(etx_bulk_operate(engine, bulk, NULL, 0, "me", "why", &count), 0);
    }
    host_says(engine, etx_bulk_operate(engine, ETX_BULK_PARK, NULL, 0, "", "why", &count),
              ETX_EINVALID, "who does it, and why");
    host_engine_end(engine);
}

static void test_operators_hear_the_state(void **state) {
    (void)state;
    host_bank bank;
    etx_tx_options of = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    of.gid = "o";
    assert_int_equal(etx_tx_begin(engine, &of, &tx), 0);
    host_says(engine, etx_resume(engine, "o", "w", "y"), ETX_ESTATE, "it is not parked");
    assert_int_equal(etx_tx_abort(tx, NULL), 0);
    host_says(engine, etx_park(engine, "o", "w", "y"), ETX_ESTATE, "it has ended: ABORTED");
    of.gid = "c";
    assert_int_equal(etx_tx_begin(engine, &of, &tx), 0);
    assert_int_equal(etx_tx_commit(tx, NULL), 0);
    host_says(engine, etx_park(engine, "c", "w", "y"), ETX_ESTATE, "it has ended: COMMITTED");
    host_engine_end(engine);
}

/* Of each error: what it means, and what to do. */
static void test_errors_say_what_to_do(void **state) {
    (void)state;
    for (int rc = ETX_EELSEWHERE; rc <= ETX_EINVALID; rc++) {
        const char *text = etx_strerror(rc), *colon = strchr(text, ':');
        if (colon == NULL || strlen(colon) < 8) {
            fail_msg("%s: '%s'", etx_error_name(rc), text);
        }
    }
}

static etx_reply large_result(etx_call *call, void *user) {
    static const char large[1 << 20];
    (void)user;
    return etx_call_result(call, large, sizeof(large)) == 0 ? ETX_DONE : ETX_REFUSED;
}

static void test_results_that_are_too_much_together(void **state) {
    (void)state;
    host_bank bank;
    host_dir dir;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    host_dir_make(&dir);
    host_bank_make(&bank);
    etx_engine *engine = host_engine(dir.url, NULL, &bank);
    etx_participant large = host_participant("large", ETX_TCC, ETX_INLINE, &bank);
    large.forward = large_result;
    assert_int_equal(etx_engine_register(engine, &large), 0);
    assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(etx_tx_add(tx, "large", NULL, 0), 0);
    }
    assert_int_equal(etx_tx_run(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_non_null(strstr(outcome.reason, "all payloads and results together"));
    assert_non_null(strstr(outcome.reason, "one batch of the log"));
    host_engine_end(engine);
    host_dir_remove(&dir);
}

/* With small segments it may be less than payload_max: who is refused hears how much, and how to
 * have more; with larger ones it goes through. */
static void test_payloads_larger_than_a_small_segment(void **state) {
    (void)state;
    enum { SIZE = 1000000 };
    static const char *const segments[] = {"1M", "2M"};
    host_dir dir;
    host_bank bank;
    char *payload = calloc(1, SIZE);
    assert_non_null(payload);
    for (int i = 0; i < 2; i++) {
        char url[HOST_PATH_MAX + 32];
        etx_options options = host_options();
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_tx *tx = NULL;
        host_dir_make(&dir);
        host_bank_make(&bank);
        snprintf(url, sizeof url, "%s?segment=%s", dir.url, segments[i]);
        etx_engine *engine = host_engine(url, &options, &bank);
        assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
        assert_int_equal(etx_tx_add(tx, "stock", payload, SIZE), 0);
        assert_int_equal(etx_tx_run(tx, &outcome), i == 0 ? ETX_EINVALID : 0);
        if (i == 0) {
            assert_non_null(strstr(outcome.reason, "one batch of the log: 1000"));
            assert_non_null(strstr(outcome.reason, "(file: ?segment=, up to 5M)"));
        }
        assert_int_equal(atomic_load(&bank.forwards), i);
        host_engine_end(engine);
        host_dir_remove(&dir);
    }
    free(payload);
}

typedef struct missing {
    atomic_uint told;
    char branch[80], participant[80];
} missing;

static void note_missing(const etx_event *event, void *user) {
    missing *m = user;
    snprintf(m->branch, sizeof(m->branch), "%s", event->branch);
    snprintf(m->participant, sizeof(m->participant), "%s", event->participant);
    atomic_fetch_add(&m->told, 1);
}

static void test_who_is_not_registered(void **state) {
    (void)state;
    host_bank bank;
    missing m = {0};
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_options options = host_options();
    etx_tx_options of = ETX_TX_OPTIONS_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_status status = {.size = sizeof(status)};
    etx_tx *tx = NULL;
    host_bank_make(&bank);
    monitor.on_event = note_missing;
    monitor.events = 1u << ETX_EVENT_UNREGISTERED;
    monitor.user = &m;
    options.monitor = &monitor;
    etx_engine *engine = host_engine("memory:", &options, &bank);
    of.gid = "u";
    assert_int_equal(etx_tx_begin(engine, &of, &tx), 0);
    branch.name = "second";
    branch.participant = "stock";
    assert_int_equal(etx_tx_enlist(tx, &branch), 0);
    branch.name = "third";
    branch.participant = "nobody";
    branch.kind = ETX_TCC;
    assert_int_equal(etx_tx_enlist(tx, &branch), 0);
    assert_true(host_wait_for(&m.told, 1));
    assert_string_equal(m.branch, "third");
    assert_string_equal(m.participant, "nobody");
    assert_int_equal(etx_query(engine, "u", &status), 0);
    assert_int_equal(status.marks & ETX_MARK_UNREGISTERED, ETX_MARK_UNREGISTERED);
    assert_string_equal(status.reason, "participant nobody of branch third is not registered");
    etx_participant late = host_participant("nobody", ETX_TCC, ETX_INLINE, &bank);
    assert_int_equal(etx_engine_register(engine, &late), 0);
    assert_int_equal(etx_tx_commit(tx, NULL), 0);
    host_engine_end(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_the_default_deadline),
        cmocka_unit_test(test_no_call),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_modes_of_new),
        cmocka_unit_test(test_pauses_of_participants),
        cmocka_unit_test(test_nobody_operates_on_many),
        cmocka_unit_test(test_operators_hear_the_state),
        cmocka_unit_test(test_errors_say_what_to_do),
        cmocka_unit_test(test_results_that_are_too_much_together),
        cmocka_unit_test(test_payloads_larger_than_a_small_segment),
        cmocka_unit_test(test_who_is_not_registered),
    };
    alarm(120);
    return cmocka_run_group_tests_name("api-refusals", tests, NULL, NULL);
}
