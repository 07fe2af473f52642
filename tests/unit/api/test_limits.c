/* Limits are refused clearly: branches, payloads, results, transactions in flight, deadlines. */
#include "host.h"

static void test_too_many_branches(void **state) {
    (void)state;
    host_bank bank;
    etx_options options = host_options();
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    host_bank_make(&bank);
    options.branches_max = 5;
    etx_engine *engine = host_engine("memory:", &options, &bank);
    assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), i < 5 ? 0 : ETX_EINVALID);
    }
    assert_int_equal(etx_tx_run(tx, &outcome), ETX_EINVALID);
    assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
    }
    assert_int_equal(etx_tx_run(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&bank.commits), 5);
    host_engine_end(engine);
    options.branches_max = ETX_BRANCHES_MAX + 1;
    assert_int_equal(etx_engine_create(&options, &engine), ETX_EINVALID);
}

static void test_payloads_over_the_limit(void **state) {
    (void)state;
    host_bank bank;
    etx_options options = host_options();
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_tx *tx = NULL;
    char payload[1025] = {0};
    host_bank_make(&bank);
    options.payload_max = 1024;
    etx_engine *engine = host_engine("memory:", &options, &bank);
    assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
    assert_int_equal(etx_tx_add(tx, "stock", payload, 1025), ETX_EINVALID);
    branch.participant = "stock";
    branch.payload = payload;
    branch.payload_len = 1025;
    assert_int_equal(etx_tx_add_branch(tx, &branch), ETX_EINVALID);
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 3), ETX_EINVALID);
    etx_tx_discard(tx);
    assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
    assert_int_equal(etx_tx_add(tx, "stock", payload, 1024), 0);
    assert_int_equal(etx_tx_run(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    host_engine_end(engine);
}

/* As many participants as there may be, before start and after: each is found, and called. */
static void test_too_many_participants(void **state) {
    enum { MOST = 1024 };
    (void)state;
    host_bank bank, many;
    etx_options options = host_options();
    etx_outcome outcome = ETX_OUTCOME_INIT;
    char name[32];
    int rc = 0;
    unsigned count = 0;
    host_bank_make(&bank);
    host_bank_make(&many);
    etx_engine *engine = host_engine("memory:", &options, &bank);
    while (rc == 0 && count <= MOST) {
        snprintf(name, sizeof name, "one-of-many-%u", count);
        etx_participant one = host_participant(name, ETX_TCC, ETX_INLINE, &many);
        rc = etx_engine_register(engine, &one);
        count += rc == 0;
        assert_int_equal(etx_engine_register(engine, &one), rc == 0 ? ETX_ECONFLICT : rc);
    }
    assert_int_equal(rc, ETX_EBUSY);
    assert_true(count > MOST - 16 && count < MOST);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "one-of-many-%u", i);
        assert_int_equal(host_run(engine, name, &outcome), 0);
        assert_int_equal(outcome.state, ETX_COMMITTED);
    }
    assert_int_equal(atomic_load(&many.commits), count);
    host_engine_end(engine);
}

/* What is enlisted one by one is measured too, and the message says by what. */
static void test_enlisting_over_the_limits(void **state) {
    (void)state;
    host_bank bank;
    etx_options options = host_options();
    etx_tx_options tx_options = ETX_TX_OPTIONS_INIT;
    const char *unknown[] = {"nobody"};
    const char *names[] = {"a", "b", "c"};
    const char *words[] = {NULL, NULL, "branches_max"};
    char payload[1025] = {0};
    char message[512];
    etx_tx *tx = NULL;
    host_bank_make(&bank);
    options.branches_max = 2;
    options.payload_max = 1024;
    etx_engine *engine = host_engine("memory:", &options, &bank);
    assert_int_equal(etx_tx_begin(engine, &tx_options, &tx), 0);
    etx_branch branch = ETX_BRANCH_INIT;
    branch.participant = "stock";
    branch.name = "a";
    branch.payload = payload;
    branch.payload_len = sizeof payload;
    assert_int_equal(etx_tx_enlist(tx, &branch), ETX_EINVALID);
    etx_engine_message(engine, message, sizeof message);
    assert_non_null(strstr(message, "payload_max"));
    branch.payload_len = 0;
    branch.depends_on = unknown;
    branch.depends_on_count = 1;
    assert_int_equal(etx_tx_enlist(tx, &branch), ETX_EINVALID);
    etx_engine_message(engine, message, sizeof message);
    assert_non_null(strstr(message, "nobody"));
    branch.depends_on = NULL;
    branch.depends_on_count = 0;
    for (int i = 0; i < 3; i++) {
        branch.name = names[i];
        assert_int_equal(etx_tx_enlist(tx, &branch), words[i] == NULL ? 0 : ETX_EINVALID);
        etx_engine_message(engine, message, sizeof message);
        assert_true(words[i] == NULL || strstr(message, words[i]) != NULL);
    }
    assert_int_equal(etx_tx_result(tx, "a", ETX_DONE, payload, sizeof payload, NULL), ETX_EINVALID);
    etx_engine_message(engine, message, sizeof message);
    assert_non_null(strstr(message, "payload_max"));
    assert_int_equal(etx_tx_abort(tx, NULL), 0);
    host_engine_end(engine);
}

typedef struct big {
    size_t len;
    _Atomic int rc;
    atomic_uint asked;
    atomic_int said;
} big;

/* Gives too large a result first, a small one when it is asked again. */
static etx_reply answer_big(etx_call *call, void *user) {
    big *b = user;
    char bytes[1025] = {0};
    size_t len = atomic_fetch_add(&b->asked, 1) == 0 ? b->len : 3;
    int rc = etx_call_result(call, bytes, len);
    if (len == b->len) {
        char message[256];
        etx_engine_message(etx_call_engine(call), message, sizeof message);
        atomic_store(&b->said, strstr(message, "1025 bytes is over payload_max") != NULL);
        atomic_store(&b->rc, rc);
    }
    return ETX_DONE;
}

static void test_results_over_the_limit_are_asked_again(void **state) {
    (void)state;
    host_bank bank;
    etx_options options = host_options();
    etx_outcome outcome = ETX_OUTCOME_INIT;
    host_bank_make(&bank);
    options.payload_max = 1024;
    etx_engine *engine = host_engine("memory:", &options, &bank);
    big b = {.len = 1025};
    etx_participant participant = host_participant("big", ETX_TCC, 0, &bank);
    participant.forward = answer_big;
    participant.user = &b;
    etx_operation_fn commit = participant.commit;
    assert_non_null(commit);
    participant.commit = answer_big;
    participant.undo = answer_big;
    assert_int_equal(etx_engine_register(engine, &participant), 0);
    assert_int_equal(host_run(engine, "big", &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&b.rc), ETX_EINVALID);
    assert_true(atomic_load(&b.said)); /* to its thread, whatever others heard */
    assert_true(atomic_load(&b.asked) >= 3);
    host_engine_end(engine);
}

/* Full means: a clear refusal of new ones; what has begun ends, and makes room. */
static void test_too_many_in_flight(void **state) {
    (void)state;
    enum { IN_FLIGHT = 8 };
    host_bank bank;
    etx_options options = host_options();
    etx_outcome outcome = ETX_OUTCOME_INIT;
    unsigned begun = 0, refused = 0;
    host_bank_make(&bank);
    options.transactions_max = IN_FLIGHT;
    options.shards = 1;
    atomic_store(&bank.forward_reply, ETX_WORKING);
    etx_engine *engine = host_engine("memory:", &options, &bank);
    for (unsigned i = 0; i < 4 * IN_FLIGHT; i++) {
        etx_tx_options tx_options = ETX_TX_OPTIONS_INIT;
        etx_tx *tx = NULL;
        tx_options.wait = ETX_WAIT_BEGUN;
        assert_int_equal(etx_tx_new(engine, &tx_options, &tx), 0);
        assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
        int rc = etx_tx_run(tx, &outcome);
        begun += rc == 0;
        refused += rc == ETX_EBUSY;
        assert_true(rc == 0 || rc == ETX_EBUSY);
        assert_true(rc == 0 || strstr(outcome.reason, "transactions_max") != NULL);
    }
    assert_true(begun >= 1 && begun <= IN_FLIGHT);
    assert_int_equal(begun + refused, 4 * IN_FLIGHT);
    atomic_store(&bank.forward_reply, ETX_DONE);
    assert_true(host_wait_for(&bank.commits, begun));
    int rc = ETX_EBUSY;
    uint64_t end = host_now_ms() + 60000;
    while (rc == ETX_EBUSY && host_now_ms() < end) {
        rc = host_run(engine, "stock", &outcome);
        usleep(1000);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    host_engine_end(engine);
}

/* Begins with gids of its own, which all partitions share, until one is refused; how many went. */
static unsigned begin_many(etx_engine *engine,
                           unsigned most,
                           size_t payload,
                           etx_outcome *outcome) {
    static char bytes[4096];
    for (unsigned i = 0; i < most; i++) {
        char gid[32];
        etx_tx_options options = ETX_TX_OPTIONS_INIT;
        etx_tx *tx = NULL;
        snprintf(gid, sizeof gid, "g-%u", i);
        options.gid = gid;
        options.wait = ETX_WAIT_BEGUN;
        assert_int_equal(etx_tx_new(engine, &options, &tx), 0);
        assert_int_equal(etx_tx_add(tx, "stock", bytes, payload), 0);
        int rc = etx_tx_run(tx, outcome);
        assert_true(rc == 0 || rc == ETX_EBUSY);
        if (rc != 0) {
            return i;
        }
    }
    return most;
}

/* The limits are the engine's, however many partitions and shards it has. */
static void test_limits_hold_over_all_partitions(void **state) {
    (void)state;
    enum { MOST = 40, LARGE = 4096 };
    for (uint32_t shards = 1; shards <= 4; shards += 3) {
        host_bank bank;
        etx_options options = host_options();
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_metrics metrics = {.size = sizeof metrics};
        host_bank_make(&bank);
        options.shards = shards;
        options.transactions_max = MOST;
        etx_engine *engine = host_engine("memory:?partitions=4", &options, &bank);
        atomic_store(&bank.forward_reply, ETX_WORKING);
        unsigned begun = begin_many(engine, 8 * MOST, 1, &outcome);
        assert_int_equal(begun, MOST);
        assert_non_null(strstr(outcome.reason, "transactions_max"));
        atomic_store(&bank.forward_reply, ETX_DONE);
        host_engine_end(engine);
        options.transactions_max = 1000000;
        options.memory_max = 8u << 20;
        engine = host_engine("memory:?partitions=4", &options, &bank);
        atomic_store(&bank.forward_reply, ETX_WORKING);
        begun = begin_many(engine, 100000, LARGE, &outcome);
        atomic_store(&bank.forward_reply, ETX_DONE);
        assert_int_equal(etx_engine_metrics(engine, &metrics), 0);
        assert_non_null(strstr(outcome.reason, "memory_max"));
        assert_true(begun > 1000 && metrics.memory_used <= options.memory_max);
        host_engine_end(engine);
    }
}

/* An allocator that counts, and has only so much. */
struct purse {
    _Atomic size_t used;
    size_t most;
};

static void *purse_take(void *user, size_t size) {
    struct purse *purse = user;
    if (atomic_fetch_add(&purse->used, size) + size > purse->most) {
        atomic_fetch_sub(&purse->used, size);
        return NULL;
    }
    return calloc(1, size);
}

static void purse_give(void *user, void *block, size_t size) {
    struct purse *purse = user;
    atomic_fetch_sub(&purse->used, block != NULL ? size : 0);
    free(block);
}

/* Address space is taken twice over at most, and once where there is no more. */
static void test_address_space_is_bounded(void **state) {
    (void)state;
    static const size_t most[] = {SIZE_MAX, ((size_t)1 << 30) / 10 * 13, (size_t)1 << 29};
    for (int i = 0; i < 3; i++) {
        struct purse purse = {0, most[i]};
        const etx_allocator allocator = {purse_take, purse_give, &purse};
        etx_options options = host_options();
        etx_engine *engine = NULL;
        options.allocator = &allocator;
        options.memory_max = 1u << 30;
        assert_int_equal(etx_engine_create(&options, &engine), 0);
        assert_int_equal(etx_engine_home(engine, "memory:?partitions=8"), 0);
        assert_int_equal(etx_engine_start(engine), i < 2 ? 0 : ETX_ENOMEM);
        assert_true(atomic_load(&purse.used) < options.memory_max / 10 * 23);
        if (i == 2) {
            host_says(engine, ETX_ENOMEM, ETX_ENOMEM,
                      "raise the limit on address space (ulimit -v");
        }
        assert_int_equal(etx_engine_close(engine, ETX_CLOSE_FINISH, 1000), i < 2 ? 0 : ETX_ESTATE);
        etx_engine_free(engine);
        assert_int_equal(atomic_load(&purse.used), 0);
    }
}

static void test_what_an_initiator_is_given(void **state) {
    (void)state;
    static const char payload[65];
    host_bank bank;
    etx_options options = host_options();
    etx_tx_options tx_options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    host_bank_make(&bank);
    options.payload_max = 64;
    etx_engine *engine = host_engine("memory:", &options, &bank);
    tx_options.initiator_payload = payload;
    tx_options.initiator_payload_len = 64;
    assert_int_equal(etx_tx_new(engine, &tx_options, &tx), ETX_EINVALID); /* to nobody */
    tx_options.initiator = "shop";
    assert_int_equal(etx_tx_begin(engine, &tx_options, &tx), 0);
    assert_int_equal(etx_tx_abort(tx, NULL), 0);
    tx_options.initiator_payload_len = 65;
    assert_int_equal(etx_tx_begin(engine, &tx_options, &tx), ETX_EINVALID);
    tx_options.initiator_payload = NULL;
    tx_options.initiator_payload_len = 1;
    assert_int_equal(etx_tx_begin(engine, &tx_options, &tx), ETX_EINVALID);
    host_engine_end(engine);
}

static void test_deadlines(void **state) {
    (void)state;
    host_bank bank;
    etx_options options = host_options();
    etx_tx_options tx_options = ETX_TX_OPTIONS_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    host_bank_make(&bank);
    options.fence_age_ms = 100000;
    etx_engine *engine = host_engine("memory:", &options, &bank);
    /* at half of the fence's age and beyond it is too far */
    tx_options.deadline_ms = 50001;
    int rc = etx_tx_new(engine, &tx_options, &tx);
    if (rc == 0) {
        assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
        rc = etx_tx_run(tx, &outcome);
    }
    assert_int_equal(rc, ETX_EINVALID);
    assert_int_equal(etx_tx_begin(engine, &tx_options, &tx), ETX_EINVALID);
    assert_int_equal(atomic_load(&bank.forwards), 0);
    /* one that passes decides abort; a slow machine needs longer until a call is under way */
    atomic_store(&bank.forward_reply, ETX_WORKING);
    for (tx_options.deadline_ms = 50; atomic_load(&bank.forwards) == 0;
         tx_options.deadline_ms *= 2) {
        assert_int_equal(etx_tx_new(engine, &tx_options, &tx), 0);
        assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
        assert_int_equal(etx_tx_run(tx, &outcome), 0);
        assert_int_equal(outcome.state, ETX_ABORTED);
    }
    assert_true(outcome.reason[0] != '\0');
    assert_true(atomic_load(&bank.undos) >= 1);
    assert_int_equal(atomic_load(&bank.commits), 0);
    host_engine_end(engine);
}

static void test_reasons_are_cut(void **state) {
    (void)state;
    char who[ETX_REASON_MAX + 100];
    host_bank bank;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx_options tx_options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    memset(who, 'w', sizeof(who));
    who[sizeof(who) - 1] = '\0';
    host_bank_make(&bank);
    atomic_store(&bank.forward_reply, ETX_WORKING);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    tx_options.gid = "forced";
    tx_options.wait = ETX_WAIT_BEGUN;
    assert_int_equal(etx_tx_new(engine, &tx_options, &tx), 0);
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
    assert_int_equal(etx_tx_run(tx, &outcome), 0);
    assert_int_equal(
        etx_force_by_hand(engine, "forced", ETX_FORCE_ABORT, NULL, ETX_FORWARD, NULL, "why"),
        ETX_EINVALID);
    assert_int_equal(
        etx_force_by_hand(engine, "forced", ETX_FORCE_ABORT, NULL, ETX_FORWARD, "who", NULL),
        ETX_EINVALID);
    assert_int_equal(
        etx_force_by_hand(engine, "forced", (etx_force)9, NULL, ETX_FORWARD, "who", "why"),
        ETX_EINVALID);
    assert_int_equal(
        etx_force_by_hand(engine, "forced", ETX_FORCE_ABORT, NULL, ETX_FORWARD, "who", who), 0);
    assert_int_equal(etx_wait_for(engine, "forced", ETX_WAIT_ENDED, 60000, &outcome), 0);
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_true((outcome.marks & ETX_MARK_FORCED) != 0);
    assert_true(strlen(outcome.reason) <= ETX_REASON_MAX);
    host_engine_end(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_many_branches),
        cmocka_unit_test(test_payloads_over_the_limit),
        cmocka_unit_test(test_too_many_participants),
        cmocka_unit_test(test_results_over_the_limit_are_asked_again),
        cmocka_unit_test(test_enlisting_over_the_limits),
        cmocka_unit_test(test_too_many_in_flight),
        cmocka_unit_test(test_limits_hold_over_all_partitions),
        cmocka_unit_test(test_address_space_is_bounded),
        cmocka_unit_test(test_what_an_initiator_is_given),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_reasons_are_cut),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
