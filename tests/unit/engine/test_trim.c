/* Trimming: the log stays bounded, live and remembered transactions survive it. */
#include "rig.h"

struct shop {
    host_dir dir;
    rig_log log;
    rig_bank bank;
    host_bank gated;
    etx_engine *engine;
};

static void shop_open(struct shop *shop, uint64_t history_max) {
    etx_options options = rig_options();
    options.durability = ETX_VOLATILE;
    options.history_max = history_max;
    shop->engine = rig_engine(&options, shop->log.url, NULL);
    rig_bank_register(&shop->bank, shop->engine, "bank", ETX_TCC, ETX_INLINE);
    etx_participant participant = host_participant("slow", ETX_TCC, ETX_INLINE, &shop->gated);
    rig_must(shop->engine, etx_engine_register(shop->engine, &participant), "register");
    rig_start(shop->engine);
}

static void shop_make(struct shop *shop, uint64_t history_max) {
    host_dir_make(&shop->dir);
    rig_log_make(&shop->log, shop->dir.path, "segment=1M&partitions=1");
    snprintf(shop->log.inner_url, sizeof shop->log.inner_url, "%s?segment=1M&partitions=1",
             shop->dir.url);
    rig_bank_make(&shop->bank, 100000);
    host_bank_make(&shop->gated);
    atomic_store(&shop->gated.forward_reply, ETX_WORKING);
    shop_open(shop, history_max);
}

static void shop_end(struct shop *shop) {
    rig_close(shop->engine, ETX_CLOSE_FINISH);
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->log);
    host_dir_remove(&shop->dir);
}

/* Transactions with that much payload; how many bytes they put. */
static void busy(struct shop *shop, unsigned count, size_t payload) {
    void *bytes = calloc(1, payload);
    rig_done done = {0};
    assert_non_null(bytes);
    for (unsigned i = 0; i < count; i++) {
        etx_tx *tx = NULL;
        rig_must(shop->engine, etx_tx_new(shop->engine, NULL, &tx), "new");
        rig_must(shop->engine, etx_tx_add(tx, "bank", bytes, payload), "add");
        rig_must(shop->engine, etx_tx_submit(tx, rig_done_fn, &done), "submit");
        if (i % 16 == 15) {
            assert_true(host_wait_for(&done.count, i));
        }
    }
    assert_true(host_wait_for(&done.count, count));
    free(bytes);
}

static uint64_t trims(etx_engine *engine) {
    etx_metrics metrics = {.size = sizeof metrics};
    assert_int_equal(etx_engine_metrics(engine, &metrics), 0);
    return metrics.trims;
}

/* Waits until it takes no more than that: a helper deletes what was trimmed when it has time. */
static bool space_becomes(struct shop *shop, uint64_t most) {
    uint64_t end = host_now_ms() + 60000;
    while (host_now_ms() < end) {
        etx_log_space space = {.size = sizeof space};
        pthread_mutex_lock(&shop->log.lock); /* its engine runs */
        int rc = shop->log.ops->space(shop->log.inner, 0, &space);
        pthread_mutex_unlock(&shop->log.lock);
        assert_int_equal(rc, 0);
        if (space.bytes_total <= most) {
            return true;
        }
        usleep(1000);
    }
    return false;
}

static void old_segments_go_and_live_ones_stay(void **state) {
    enum { LIVE = 40, HISTORY = 500 };
    struct shop shop;
    char gid[32];
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop, HISTORY);
    rig_must(shop.engine, etx_tx_run(rig_pair(shop.engine, "bank", "ancient", 'D'), &outcome),
             "run");
    for (int i = 0; i < LIVE; i++) {
        snprintf(gid, sizeof gid, "live-%d", i);
        assert_int_equal(etx_tx_submit(rig_pair(shop.engine, "slow", gid, 'D'), NULL, NULL), 0);
    }
    for (int round = 0; round < 3; round++) {
        busy(&shop, 900, 16 * 1024); /* 14 MiB */
        assert_true(rig_trimmed(shop.engine, 3));
        assert_true(space_becomes(&shop, 12u << 20));
        assert_int_equal(etx_tx_run(rig_pair(shop.engine, "bank", "marker", 'D'), &outcome), 0);
        rig_close(shop.engine, round % 2 ? ETX_CLOSE_ABRUPT : ETX_CLOSE_LEAVE);
        shop_open(&shop, HISTORY);
        for (int i = 0; i < LIVE; i++) {
            snprintf(gid, sizeof gid, "live-%d", i);
            assert_int_equal(rig_state(shop.engine, gid), ETX_ACTIVE);
        }
        assert_true(rig_flying(shop.engine, LIVE)); /* what a crash left unended has ended */
        unsigned calls = shop.bank.calls;           /* remembered across restarts and trims */
        assert_int_equal(etx_tx_run(rig_pair(shop.engine, "bank", "marker", 'D'), &outcome), 0);
        assert_int_equal(shop.bank.calls, calls);
    }
    atomic_store(&shop.gated.forward_reply, ETX_DONE);
    for (int i = 0; i < LIVE; i++) {
        snprintf(gid, sizeof gid, "live-%d", i);
        int rc = etx_retry(shop.engine, gid);
        assert_true(rc == 0 || rc == ETX_ESTATE); /* it went on by itself */
        assert_true(rig_reaches(shop.engine, gid, ETX_COMMITTED, 0));
    }
    shop_end(&shop);
}

/* A log that is full does not wait for the usual amount: what is dead goes by itself, after a
 * restart with nothing in flight, and while it runs; then transactions are taken again. */
static void a_full_log_gives_back_what_is_dead(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop, 50);
    for (int round = 0; round < 4; round++) {
        uint64_t before = trims(shop.engine);
        busy(&shop, round ? 140 : 190, 16 * 1024); /* with what was left: 3 MiB */
        assert_int_equal(trims(shop.engine), before);
        if (round % 2 == 0) {
            rig_close(shop.engine, round ? ETX_CLOSE_ABRUPT : ETX_CLOSE_LEAVE);
            atomic_store(&shop.log.full, 1);
            shop_open(&shop, 50);
            before = 0;
        } else {
            atomic_store(&shop.log.full, 1);
            rig_must(shop.engine, etx_tx_run(rig_pair(shop.engine, "bank", NULL, 'D'), &outcome),
                     "run");
        }
        assert_true(rig_trimmed(shop.engine, before + 1));
        atomic_store(&shop.log.full, 0);
        uint64_t end = host_now_ms() + 60000;
        int rc;
        do {
            rc = etx_tx_run(rig_pair(shop.engine, "bank", NULL, 'D'), &outcome);
        } while (rc == ETX_EFULL && host_now_ms() < end);
        assert_int_equal(rc, 0);
    }
    shop_end(&shop);
}

static uint64_t moves(etx_engine *engine) {
    etx_metrics metrics = {.size = sizeof metrics};
    assert_int_equal(etx_engine_metrics(engine, &metrics), 0);
    return metrics.moves;
}

enum { CROWD = 340 };

static void make_live(struct shop *shop, etx_tx **live) {
    enum { DEADLINE_MS = 600000 };
    static const char bytes[4096];
    for (int i = 0; i < CROWD; i++) {
        etx_tx_options options = ETX_TX_OPTIONS_INIT;
        etx_branch branch = ETX_BRANCH_INIT;
        options.deadline_ms = DEADLINE_MS;
        branch.participant = "bank";
        branch.name = "a";
        branch.payload = bytes;
        branch.payload_len = sizeof bytes;
        rig_must(shop->engine, etx_tx_begin(shop->engine, &options, &live[i]), "begin");
        rig_must(shop->engine, etx_tx_enlist(live[i], &branch), "enlist");
    }
}

/* Little is left, and more may come or not: no batch has moves for more than a part of that,
 * however large it is itself. */
static void moves_fit_into_what_is_left(void **state) {
    enum { LEFT = 64 * 1024, LARGE = 200 * 1024, PUTS = 3, ROUNDS = 4, EACH = LEFT / 2 / 4096 + 1 };
    etx_tx *live[CROWD];
    struct shop shop;
    (void)state;
    shop_make(&shop, 50);
    atomic_store(&shop.log.room, LEFT);
    make_live(&shop, live);
    while (moves(shop.engine) == 0) {
        busy(&shop, 1, LARGE);
    }
    busy(&shop, ROUNDS - 1, LARGE);
    assert_true(moves(shop.engine) <= ROUNDS * PUTS * EACH);
    for (int i = 0; i < CROWD; i++) {
        rig_must(shop.engine, etx_tx_abort(live[i], NULL), "abort");
    }
    shop_end(&shop);
}

/* Moves that were begun while there was room are not made in what those in flight need once there
 * is none: they go on when there is. */
static void moves_leave_room_for_decisions(void **state) {
    enum { ENDING = 10 };
    etx_tx *live[CROWD];
    struct shop shop;
    etx_home_status status = {.size = sizeof status};
    (void)state;
    shop_make(&shop, 50);
    make_live(&shop, live);
    while (moves(shop.engine) == 0) {
        busy(&shop, 1, 16 * 1024);
    }
    assert_int_equal(trims(shop.engine), 0);
    atomic_store(&shop.log.full, 1);
    rig_must(shop.engine, etx_tx_abort(live[0], NULL), "abort");
    uint64_t end = host_now_ms() + 60000;
    do {
        assert_int_equal(etx_engine_home_status(shop.engine, 0, &status), 0);
    } while (status.usable && host_now_ms() < end);
    assert_int_equal(status.usable, 0);
    uint64_t before = moves(shop.engine);
    for (int i = 1; i < ENDING; i++) {
        rig_must(shop.engine, etx_tx_abort(live[i], NULL), "abort");
    }
    assert_int_equal(moves(shop.engine), before);
    assert_int_equal(trims(shop.engine), 0);
    atomic_store(&shop.log.full, 0);
    for (int i = ENDING; i < CROWD; i++) {
        rig_must(shop.engine, etx_tx_abort(live[i], NULL), "abort");
    }
    busy(&shop, 100, 16 * 1024);
    assert_true(rig_trimmed(shop.engine, 1));
    shop_end(&shop);
}

static void note_claim(const etx_slot *slot, const etx_record *record, void *user) {
    if (record->type == ETX_RECORD_OWN) {
        assert_int_equal(record->u.own.nonce, slot->nonce);
        ++*(unsigned *)user;
    }
}

/* A trim that failed is made up for by the next. The claim, which goes with its slot, is said
 * again. */
static void a_failed_trim_is_made_up_for(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop, 100);
    atomic_store(&shop.log.trim_rc, ETX_EIO);
    busy(&shop, 1500, 16 * 1024);
    assert_true(host_wait_for(&shop.log.trims, 1));
    assert_int_equal(trims(shop.engine), 0);
    atomic_store(&shop.log.trim_rc, 0);
    busy(&shop, 1500, 16 * 1024);
    assert_true(rig_trimmed(shop.engine, 1));
    assert_true(space_becomes(&shop, 16u << 20));
    unsigned claims = 0;
    assert_true(rig_log_records(&shop.log, 0, 0, note_claim, &claims) > 0);
    assert_true(claims > 0);
    shop_end(&shop);
}

static int count_one(const etx_status *status, void *user) {
    assert_int_equal(status->state, ETX_ACTIVE);
    ++*(unsigned *)user;
    return 0;
}

static unsigned living(etx_engine *engine) {
    etx_filter filter = ETX_FILTER_INIT;
    etx_cursor cursor = {{0, 0}};
    unsigned count = 0;
    filter.gid_prefix = "live-";
    rig_must(engine, etx_list(engine, &filter, &cursor, 1000000, count_one, &count), "list");
    return count;
}

/* Many that live long, in batches that split: a trim loses none of them. */
static void moves_that_fill_batches(void **state) {
    enum { LIVE = 2000 };
    struct shop shop;
    char gid[32];
    char payload[3000];
    rig_done done = {0};
    (void)state;
    memset(payload, 'p', sizeof payload);
    shop_make(&shop, 100);
    for (unsigned i = 0; i < LIVE; i++) {
        etx_tx *tx = NULL;
        etx_tx_options options = ETX_TX_OPTIONS_INIT;
        snprintf(gid, sizeof gid, "live-%u", i);
        options.gid = gid;
        options.wait = ETX_WAIT_BEGUN;
        rig_must(shop.engine, etx_tx_new(shop.engine, &options, &tx), "new");
        rig_must(shop.engine, etx_tx_add(tx, "slow", payload, sizeof payload), "add");
        rig_must(shop.engine, etx_tx_submit(tx, rig_done_fn, &done), "submit");
    }
    assert_true(host_wait_for(&done.count, LIVE));
    busy(&shop, 4000, 16 * 1024); /* 62 MiB: each that lives is moved several times */
    etx_metrics metrics = {.size = sizeof metrics};
    assert_int_equal(etx_engine_metrics(shop.engine, &metrics), 0);
    assert_true(metrics.moves > LIVE);
    rig_close(shop.engine, ETX_CLOSE_ABRUPT);
    shop_open(&shop, 100);
    assert_int_equal(living(shop.engine), LIVE);
    rig_close(shop.engine, ETX_CLOSE_LEAVE);
    shop_open(&shop, 100);
    rig_close(shop.engine, ETX_CLOSE_ABRUPT);
    shop_open(&shop, 100);
    assert_int_equal(living(shop.engine), LIVE);
    atomic_store(&shop.gated.forward_reply, ETX_DONE);
    assert_true(rig_quiet(shop.engine));
    shop_end(&shop);
}

/* What is moved beside a batch does not count as the batch's own the next time: else each would
 * bring more moves than the one before, and the callers of the last wait for all of them. */
static void moves_do_not_breed_moves(void **state) {
    enum { HISTORY = 20000, COUNT = 40000, MOST = 64 * 1024 };
    struct shop shop;
    (void)state;
    shop_make(&shop, HISTORY);
    busy(&shop, COUNT, 600);
    etx_metrics metrics = {.size = sizeof metrics};
    assert_int_equal(etx_engine_metrics(shop.engine, &metrics), 0);
    assert_true(metrics.moves > 1000);
    assert_true(atomic_load(&shop.log.largest) < MOST);
    shop_end(&shop);
}

/* Runs so many transactions after `from`. Beside the long payload they are few in the log, so that
 * nearly all that is remembered is moved; and the moves are long, since the gids are. */
static void remember(struct shop *shop, unsigned from, unsigned count) {
    char gid[ETX_GID_MAX + 1];
    char payload[3200] = {0};
    for (unsigned i = from; i < from + count; i++) {
        etx_tx_options options = ETX_TX_OPTIONS_INIT;
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_tx *tx = NULL;
        snprintf(gid, sizeof gid, "past-%0*u", ETX_GID_MAX - 5, i);
        options.gid = gid;
        rig_must(shop->engine, etx_tx_new(shop->engine, &options, &tx), "new");
        rig_must(shop->engine, etx_tx_add(tx, "bank", payload, sizeof payload), "add");
        rig_must(shop->engine, etx_tx_run(tx, &outcome), "run");
        assert_int_equal(outcome.state, ETX_COMMITTED);
    }
}

static unsigned forgotten(struct shop *shop, unsigned from, unsigned count) {
    char gid[ETX_GID_MAX + 1];
    unsigned missing = 0;
    for (unsigned i = from; i < from + count; i++) {
        snprintf(gid, sizeof gid, "past-%0*u", ETX_GID_MAX - 5, i);
        missing += rig_state(shop->engine, gid) != ETX_COMMITTED;
    }
    return missing;
}

/* The moves of one step may stand in two batches: where the log is trimmed up to the first of them,
 * those that stand there are moved again. */
static void a_step_in_two_batches_is_moved_whole(void **state) {
    enum { HISTORY = 600, SURE = 500, ROUNDS = 6, LEAST = 600 };
    struct shop shop;
    unsigned done = 0;
    (void)state;
    shop_make(&shop, HISTORY);
    rig_close(shop.engine, ETX_CLOSE_ABRUPT);
    rig_log_end(&shop.log);
    rig_log_make(&shop.log, NULL, "partitions=1");
    shop.log.batch_max = 6000; /* less than 64 moves take */
    shop.log.slack = 1024;     /* so nearly every batch can be the one up to which it is trimmed */
    shop_open(&shop, HISTORY);
    for (unsigned round = 0; round < ROUNDS; round++) { /* ends at another moment of a trim each */
        unsigned count = LEAST + 17 * round;
        remember(&shop, done, count);
        done += count;
        assert_int_equal(forgotten(&shop, done - SURE, SURE), 0);
        rig_close(shop.engine, ETX_CLOSE_ABRUPT);
        shop_open(&shop, HISTORY);
        assert_int_equal(forgotten(&shop, done - SURE, SURE), 0);
    }
    assert_true(atomic_load(&shop.log.trims) > ROUNDS);
    shop_end(&shop);
}

/* What stood in the log at the start counts: restarts do not let it grow beyond its bounds. */
static void what_was_there_at_the_start_counts(void **state) {
    enum { EACH = 180 }; /* of 16 KiB: less than a log may hold, and more than half of it */
    struct shop shop;
    (void)state;
    shop_make(&shop, 10);
    rig_close(shop.engine, ETX_CLOSE_ABRUPT);
    rig_log_end(&shop.log);
    rig_log_make(&shop.log, NULL, "partitions=1");
    shop_open(&shop, 10);
    busy(&shop, EACH, 16 * 1024);
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    assert_int_equal(shop.log.trims, 0);
    shop_open(&shop, 10);
    busy(&shop, EACH, 16 * 1024);
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    assert_true(shop.log.trims > 0);
    shop_open(&shop, 10);
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_segments_go_and_live_ones_stay),
        cmocka_unit_test(a_full_log_gives_back_what_is_dead),
        cmocka_unit_test(moves_fit_into_what_is_left),
        cmocka_unit_test(moves_leave_room_for_decisions),
        cmocka_unit_test(a_failed_trim_is_made_up_for),
        cmocka_unit_test(moves_that_fill_batches),
        cmocka_unit_test(moves_do_not_breed_moves),
        cmocka_unit_test(a_step_in_two_batches_is_moved_whole),
        cmocka_unit_test(what_was_there_at_the_start_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
