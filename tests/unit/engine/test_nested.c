/* Nested transactions: a branch that is a transaction itself ends as its parent does, and its
 * participant says what an operator made of it. */
#include "rig.h"

struct shop {
    rig_log log;
    rig_bank bank;
    etx_engine *engine;
    char child[ETX_GID_MAX + 1];
    atomic_int known; /* `child` is written */
    uint32_t deadline_ms;
    etx_force at_once;  /* what an operator does to it before it is held; 0: nothing */
    atomic_uint differ; /* calls that found the child ended otherwise */
};

/* What the parent hears of a child that is decided: as docs/guarantees.md says. */
static etx_reply told_of(struct shop *shop, etx_state state, etx_operation operation) {
    int committed = state == ETX_COMMITTING || state == ETX_COMMITTED;
    int aborted = state == ETX_ABORTING || state == ETX_ABORTED;
    if (operation == ETX_FORWARD) {
        return committed ? ETX_DONE : aborted ? ETX_REFUSED : ETX_RETRY;
    }
    if (operation == ETX_COMMIT ? committed : aborted) {
        return ETX_DONE;
    }
    atomic_fetch_add(&shop->differ, 1);
    return ETX_RETRY;
}

static int force(etx_engine *engine, const char *gid, etx_force what) {
    return etx_force_by_hand(engine, gid, what, NULL, ETX_FORWARD, "ann", "by hand");
}

/* ETX_ESTATE: its branch is not done yet, or it is decided. */
static int hold(const struct shop *shop, etx_engine *engine, const char *gid) {
    static const rig_order order = {1, 'D'};
    etx_tx *child = NULL;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    options.gid = gid;
    options.deadline_ms = shop->deadline_ms;
    int rc = etx_tx_begin(engine, &options, &child);
    if (rc != 0) {
        return rc;
    }
    branch.participant = "bank";
    branch.name = "inner";
    branch.payload = &order;
    branch.payload_len = sizeof order;
    rc = etx_tx_enlist(child, &branch);
    if (rc == 0 && shop->at_once != 0) {
        rc = force(engine, gid, shop->at_once);
    }
    rc = rc != 0 ? rc : etx_tx_hold(child);
    etx_tx_discard(child);
    return rc;
}

static etx_reply nest(etx_call *call, void *user) {
    struct shop *shop = user;
    char gid[ETX_GID_MAX + 1];
    etx_tx *child = NULL;
    etx_engine *engine = etx_call_engine(call);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_operation operation = etx_call_operation(call);
    rig_check(etx_gid_child(etx_call_gid(call), etx_call_branch(call), gid) == 0);
    if (atomic_load(&shop->known) == 0) { /* the same gid each time: written once */
        snprintf(shop->child, sizeof shop->child, "%s", gid);
        atomic_store(&shop->known, 1);
    }
    int rc = 0;
    if (operation == ETX_FORWARD) {
        rc = hold(shop, engine, gid);
        etx_status status = {.size = sizeof status};
        return rc == 0                                ? ETX_DONE
               : rc != ETX_ESTATE                     ? ETX_RETRY
               : etx_query(engine, gid, &status) == 0 ? told_of(shop, status.state, operation)
                                                      : ETX_RETRY;
    }
    rc = etx_tx_attach(engine, gid, 0, &child);
    if (rc == 0) {
        rc = operation == ETX_COMMIT ? etx_tx_commit(child, &outcome)
                                     : etx_tx_abort(child, &outcome);
    }
    return rc == 0 ? told_of(shop, outcome.state, operation) : ETX_RETRY;
}

static void shop_make(struct shop *shop) {
    etx_participant participant = ETX_PARTICIPANT_INIT;
    etx_options options = rig_options();
    memset(shop, 0, sizeof *shop);
    rig_log_make(&shop->log, NULL, "partitions=2");
    rig_bank_make(&shop->bank, 1000);
    options.park_after = 3;
    shop->deadline_ms = 20000;
    shop->engine = rig_engine(&options, shop->log.url, NULL);
    rig_bank_register(&shop->bank, shop->engine, "bank", ETX_TCC, 0);
    participant.name = "nest";
    participant.kind = ETX_TCC;
    participant.forward = participant.commit = participant.undo = nest;
    participant.retry_first_ms = 1;
    participant.retry_cap_ms = 10;
    participant.user = shop;
    rig_must(shop->engine, etx_engine_register(shop->engine, &participant), "nest");
    rig_start(shop->engine);
}

static void shop_end(struct shop *shop) {
    rig_close(shop->engine, ETX_CLOSE_FINISH);
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->log);
}

/* The parent, with its one branch under way. */
static etx_tx *parent_make(struct shop *shop) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_tx *tx = NULL;
    options.gid = "parent";
    rig_must(shop->engine, etx_tx_begin(shop->engine, &options, &tx), "begin");
    branch.participant = "nest";
    branch.name = "outer";
    rig_must(shop->engine, etx_tx_enlist(tx, &branch), "enlist");
    uint64_t end = host_now_ms() + 30000;
    while (atomic_load(&shop->known) == 0 && host_now_ms() < end) {
        usleep(1000);
    }
    return tx;
}

static int decide(etx_tx *tx, int commit, etx_outcome *outcome) {
    return commit ? etx_tx_commit(tx, outcome) : etx_tx_abort(tx, outcome);
}

/* Its deadline came first: 0. */
static int child_is_held(const struct shop *shop) {
    uint64_t end = host_now_ms() + 60000;
    etx_status status = {.size = sizeof status};
    do {
        assert_true(host_now_ms() < end);
        usleep(1000);
        status.marks = 0;
        if (etx_query(shop->engine, shop->child, &status) == 0 && status.state != ETX_ACTIVE) {
            return 0;
        }
    } while ((status.marks & ETX_MARK_HELD) == 0);
    return 1;
}

static void pass(uint32_t ms) {
    uint64_t end = host_now_ms() + ms;
    while (host_now_ms() < end) {
        usleep(10000);
    }
}

/* 0: the machine was slower than the child's deadline. */
static int ends_with_its_parent(uint32_t deadline_ms, int commit) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    shop_make(&shop);
    shop.deadline_ms = deadline_ms;
    etx_tx *tx = parent_make(&shop);
    int held = child_is_held(&shop);
    if (held) {
        pass(deadline_ms + 100); /* its deadline no longer counts */
        assert_int_equal(rig_state(shop.engine, shop.child), ETX_ACTIVE);
        rig_must(shop.engine, decide(tx, commit, &outcome), "decide");
        assert_int_equal(outcome.state, commit ? ETX_COMMITTED : ETX_ABORTED);
        assert_int_equal(rig_state(shop.engine, shop.child), commit ? ETX_COMMITTED : ETX_ABORTED);
        assert_int_equal(rig_bank_effect(&shop.bank, shop.child), commit);
    } else {
        etx_tx_discard(tx); /* the refusal decides */
    }
    shop_end(&shop);
    return held;
}

/* The child is held, and only the parent ends it. */
static void nested_ones_end_with_their_parent(void **state) {
    (void)state;
    for (int commit = 0; commit < 2; commit++) {
        uint32_t deadline_ms = 200;
        while (!ends_with_its_parent(deadline_ms, commit)) {
            deadline_ms *= 2;
            assert_true(deadline_ms < 20000);
        }
    }
}

/* Forced before it was held: the Try hears it, and so the parent can follow. */
static void forced_before_it_is_held(void **state) {
    (void)state;
    for (int commit = 0; commit < 2; commit++) {
        struct shop shop;
        etx_outcome outcome = ETX_OUTCOME_INIT;
        shop_make(&shop);
        shop.at_once = commit ? ETX_FORCE_COMMIT : ETX_FORCE_ABORT;
        etx_tx *tx = parent_make(&shop);
        rig_must(shop.engine, etx_tx_commit(tx, &outcome), "commit");
        assert_int_equal(outcome.state, commit ? ETX_COMMITTED : ETX_ABORTED);
        assert_true(rig_reaches(shop.engine, shop.child, outcome.state, ETX_MARK_FORCED));
        assert_int_equal(atomic_load(&shop.differ), 0);
        assert_int_equal(rig_bank_effect(&shop.bank, shop.child), commit);
        shop_end(&shop);
    }
}

/* Forced while it is held: its decision stands, whatever the parent's is. Where they differ, the
 * parent's branch cannot be done, and an operator has to say so of it too. */
static void forced_while_it_is_held(void **state) {
    (void)state;
    for (int both = 0; both < 4; both++) {
        struct shop shop;
        int child = both & 1, parent = both >> 1;
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_state end = parent ? ETX_COMMITTED : ETX_ABORTED;
        shop_make(&shop);
        etx_tx *tx = parent_make(&shop);
        assert_true(rig_reaches(shop.engine, shop.child, ETX_ACTIVE, ETX_MARK_HELD));
        rig_must(shop.engine,
                 force(shop.engine, shop.child, child ? ETX_FORCE_COMMIT : ETX_FORCE_ABORT),
                 "force");
        assert_true(rig_reaches(shop.engine, shop.child, child ? ETX_COMMITTED : ETX_ABORTED,
                                ETX_MARK_FORCED));
        if (child == parent) {
            rig_must(shop.engine, decide(tx, parent, &outcome), "decide");
            assert_int_equal(outcome.state, end);
            assert_int_equal(outcome.marks & ETX_MARK_FORCED, 0);
            assert_int_equal(atomic_load(&shop.differ), 0);
        } else {
            rig_must(
                shop.engine,
                parent ? etx_tx_commit_async(tx, NULL, NULL) : etx_tx_abort_async(tx, NULL, NULL),
                "decide");
            assert_true(rig_reaches(shop.engine, "parent", parent ? ETX_COMMITTING : ETX_ABORTING,
                                    ETX_MARK_STALLED));
            assert_true(atomic_load(&shop.differ) >= 3);
            rig_must(shop.engine,
                     etx_force_by_hand(shop.engine, "parent", ETX_FORCE_DONE, "outer",
                                       parent ? ETX_COMMIT : ETX_UNDO, "ann", "its child was"),
                     "settle");
            assert_true(rig_reaches(shop.engine, "parent", end, ETX_MARK_FORCED));
        }
        assert_int_equal(rig_bank_effect(&shop.bank, shop.child), child);
        shop_end(&shop);
    }
}

/* Who repeats a Try hears that the child is decided, also where it was held before that. */
static void a_decided_child_is_not_held(void **state) {
    struct shop shop;
    etx_tx *child = NULL;
    (void)state;
    shop_make(&shop);
    etx_tx *tx = parent_make(&shop);
    assert_true(rig_reaches(shop.engine, shop.child, ETX_ACTIVE, ETX_MARK_HELD));
    rig_must(shop.engine, etx_tx_attach(shop.engine, shop.child, 0, &child), "attach");
    rig_must(shop.engine, etx_tx_hold(child), "hold again");
    atomic_store(&shop.bank.chaos, 1); /* it does not end yet */
    rig_must(shop.engine, force(shop.engine, shop.child, ETX_FORCE_ABORT), "force");
    assert_int_equal(etx_tx_hold(child), ETX_ESTATE);
    atomic_store(&shop.bank.chaos, 0);
    assert_true(rig_reaches(shop.engine, shop.child, ETX_ABORTED, ETX_MARK_FORCED));
    assert_int_equal(etx_tx_hold(child), ETX_ESTATE);
    etx_tx_discard(child);
    rig_must(shop.engine, etx_tx_abort(tx, NULL), "abort");
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested_ones_end_with_their_parent),
        cmocka_unit_test(forced_before_it_is_held),
        cmocka_unit_test(forced_while_it_is_held),
        cmocka_unit_test(a_decided_child_is_not_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
