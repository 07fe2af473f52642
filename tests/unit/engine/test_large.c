/* Large: a thousand branches, payloads at the limit, a hundred thousand in flight. */
#include "rig.h"

static void a_thousand_branches(void **state) {
    rig_log log;
    rig_bank bank;
    (void)state;
    rig_log_make(&log, NULL, "partitions=1");
    rig_bank_make(&bank, 20000);
    etx_options options = rig_options();
    options.branches_max = ETX_BRANCHES_MAX;
    etx_engine *engine = rig_engine(&options, log.url, NULL);
    rig_bank_register(&bank, engine, "bank", ETX_TCC, ETX_INLINE);
    rig_bank_register(&bank, engine, "step", ETX_SAGA, 0);
    rig_start(engine);
    for (int i = 0; i < 4; i++) {
        etx_tx *tx = NULL;
        rig_order order;
        memset(&order, 0, sizeof order);
        order.branches = ETX_BRANCHES_MAX;
        rig_must(engine, etx_tx_new(engine, NULL, &tx), "new");
        for (int b = 0; b < ETX_BRANCHES_MAX; b++) {
            order.what = i >= 2 && b == ETX_BRANCHES_MAX - 1 ? 'R' : 'D';
            rig_must(engine, etx_tx_add(tx, i % 2 ? "step" : "bank", &order, sizeof order), "add");
        }
        etx_outcome outcome = ETX_OUTCOME_INIT;
        rig_must(engine, etx_tx_run(tx, &outcome), "run");
        assert_int_equal(outcome.state, i >= 2 ? ETX_ABORTED : ETX_COMMITTED);
        assert_int_equal(rig_bank_effect(&bank, outcome.gid), i < 2);
    }
    etx_tx *over = NULL;
    rig_must(engine, etx_tx_new(engine, NULL, &over), "new");
    for (int b = 0; b <= ETX_BRANCHES_MAX; b++) {
        int wanted = b < ETX_BRANCHES_MAX ? 0 : ETX_EINVALID;
        assert_int_equal(etx_tx_add(over, "bank", "x", 1), wanted);
    }
    assert_int_equal(etx_tx_run(over, NULL), ETX_EINVALID);
    rig_close(engine, ETX_CLOSE_FINISH);
    assert_int_equal(rig_bank_torn(&bank), 0);
    rig_bank_end(&bank);
    rig_log_end(&log);
}

static etx_reply measure(etx_call *call, void *user) {
    size_t len = 0;
    const uint8_t *payload = etx_call_payload(call, &len);
    atomic_uint *seen = user;
    if (len > 0 && payload[0] == 7 && payload[len - 1] == 9) {
        atomic_store(seen, (unsigned)len);
    }
    return ETX_DONE;
}

static void payloads_at_the_limit(void **state) {
    enum { LIMIT = 100000 };
    rig_log log;
    atomic_uint seen = 0;
    uint8_t *payload = calloc(1, LIMIT + 1);
    (void)state;
    assert_non_null(payload);
    rig_log_make(&log, NULL, "partitions=1");
    etx_options options = rig_options();
    options.payload_max = LIMIT;
    etx_engine *engine = rig_engine(&options, log.url, NULL);
    etx_participant participant = ETX_PARTICIPANT_INIT;
    participant.name = "post";
    participant.kind = ETX_MESSAGE;
    participant.commit = measure;
    participant.user = &seen;
    rig_must(engine, etx_engine_register(engine, &participant), "register");
    rig_start(engine);
    payload[0] = 7;
    payload[LIMIT - 1] = 9;
    etx_tx *tx = NULL;
    rig_must(engine, etx_tx_new(engine, NULL, &tx), "new");
    assert_int_equal(etx_tx_add(tx, "post", payload, LIMIT + 1), ETX_EINVALID);
    etx_tx_discard(tx);
    rig_must(engine, etx_tx_new(engine, NULL, &tx), "new");
    rig_must(engine, etx_tx_add(tx, "post", payload, LIMIT), "add");
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(engine, etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(seen, LIMIT);
    rig_close(engine, ETX_CLOSE_FINISH);
    free(payload);
    rig_log_end(&log);
}

struct crowd {
    etx_token *token;
    atomic_uint taken, done, good;
    unsigned room;
};

static etx_reply hold(etx_call *call, void *user) {
    struct crowd *crowd = user;
    if (etx_call_operation(call) != ETX_FORWARD) {
        return ETX_DONE;
    }
    unsigned place = atomic_fetch_add(&crowd->taken, 1);
    rig_check(place < crowd->room);
    crowd->token[place] = etx_call_token(call);
    return ETX_LATER;
}

static void crowd_done(int rc, const etx_outcome *outcome, void *user) {
    struct crowd *crowd = user;
    atomic_fetch_add(&crowd->good, rc == 0 && outcome->state == ETX_COMMITTED);
    atomic_fetch_add(&crowd->done, 1);
}

/* On a machine that is busy a write may take so long that the home counts as away for a while. */
static void hold_one(etx_engine *engine, struct crowd *crowd) {
    uint64_t end = host_now_ms() + 60000;
    int rc;
    do {
        etx_tx *tx = NULL;
        rig_must(engine, etx_tx_new(engine, NULL, &tx), "new");
        rig_must(engine, etx_tx_add(tx, "hold", "x", 1), "add");
        rc = etx_tx_submit(tx, crowd_done, crowd);
    } while (rc == ETX_EUNAVAILABLE && host_now_ms() < end && usleep(1000) == 0);
    rig_must(engine, rc, "submit");
}

static void a_hundred_thousand_in_flight(void **state) {
    enum { MANY = HOST_THREAD_SANITIZER ? 10000 : 100000 };
    rig_log log;
    struct crowd crowd = {.room = MANY};
    (void)state;
    crowd.token = calloc(MANY, sizeof *crowd.token);
    assert_non_null(crowd.token);
    rig_log_make(&log, NULL, "partitions=2");
    etx_options options = rig_options();
    options.transactions_max = MANY;
    options.history_max = 1000;
    options.memory_max = 1u << 30;
    options.call_timeout_ms = 600000;
    etx_engine *engine = rig_engine(&options, log.url, NULL);
    etx_participant participant = ETX_PARTICIPANT_INIT;
    participant.name = "hold";
    participant.kind = ETX_TCC;
    participant.flags = ETX_INLINE;
    participant.forward = hold;
    participant.commit = hold;
    participant.undo = hold;
    participant.user = &crowd;
    rig_must(engine, etx_engine_register(engine, &participant), "register");
    rig_start(engine);
    for (int i = 0; i < MANY; i++) {
        hold_one(engine, &crowd);
    }
    assert_true(host_wait_for(&crowd.taken, MANY));
    etx_metrics metrics = {.size = sizeof metrics};
    assert_int_equal(etx_engine_metrics(engine, &metrics), 0);
    assert_int_equal(metrics.in_flight, MANY);
    for (int i = 0; i < MANY; i++) {
        etx_completion completion = ETX_COMPLETION_INIT;
        completion.reply = ETX_DONE;
        assert_int_equal(etx_complete(engine, crowd.token[i], &completion), 0);
    }
    assert_true(host_wait_for(&crowd.done, MANY));
    assert_int_equal(crowd.good, MANY);
    rig_close(engine, ETX_CLOSE_FINISH);
    free(crowd.token);
    rig_log_end(&log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_branches),
        cmocka_unit_test(payloads_at_the_limit),
        cmocka_unit_test(a_hundred_thousand_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
