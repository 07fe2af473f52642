/* What is told: whole characters, all of a list that is stopped, and nothing that is not known. */
#include "rig.h"

struct shop {
    rig_log log;
    host_bank stuck;
    etx_engine *engine;
    _Atomic(const char *) reason; /* of the next answer, which is no */
};

static etx_reply fine(etx_call *call, void *user) {
    (void)call;
    (void)user;
    return ETX_DONE;
}

static etx_reply refuse(etx_call *call, void *user) {
    struct shop *shop = user;
    rig_check(etx_call_reason(call, atomic_load(&shop->reason)) == 0);
    return ETX_REFUSED;
}

static etx_reply refuse_later(etx_call *call, void *user) {
    struct shop *shop = user;
    etx_completion completion = {.size = sizeof completion, .reply = ETX_REFUSED};
    completion.reason = atomic_load(&shop->reason);
    rig_check(etx_complete(shop->engine, etx_call_token(call), &completion) == 0);
    return ETX_LATER;
}

static void shop_make(struct shop *shop) {
    memset(shop, 0, sizeof *shop);
    rig_log_make(&shop->log, NULL, "partitions=3");
    host_bank_make(&shop->stuck);
    shop->engine = rig_engine(NULL, shop->log.url, NULL);
    etx_participant stuck = host_participant("stuck", ETX_TCC, ETX_INLINE, &shop->stuck);
    rig_must(shop->engine, etx_engine_register(shop->engine, &stuck), "stuck");
    etx_participant no = ETX_PARTICIPANT_INIT;
    no.kind = ETX_SAGA;
    no.user = shop;
    no.undo = fine;
    no.name = "no";
    no.forward = refuse;
    rig_must(shop->engine, etx_engine_register(shop->engine, &no), "no");
    no.name = "later";
    no.forward = refuse_later;
    rig_must(shop->engine, etx_engine_register(shop->engine, &no), "later");
    rig_start(shop->engine);
}

static void shop_end(struct shop *shop) {
    rig_close(shop->engine, ETX_CLOSE_LEAVE);
    rig_log_end(&shop->log);
}

/* ---- reasons: as many characters as fit */

/* A reason that is cut after so many bytes: some of one byte, then all of `count` bytes each. */
static size_t make_reason(char *text, unsigned count, unsigned ahead) {
    static const char *const characters[] = {"", "x", "ä", "€", "😀"};
    size_t len = ahead;
    memset(text, 'x', ahead);
    for (text[len] = 0; len < ETX_REASON_MAX + 9; len += count) {
        memcpy(text + len, characters[count], count + 1);
    }
    return ahead + (ETX_REASON_MAX - ahead) / count * count;
}

static void expect_cut(const char *what, const char *told, const char *text, size_t len) {
    if (strlen(told) != len || strncmp(told, text, len) != 0) {
        fail_msg("%s: %zu bytes of '%s', not %zu", what, strlen(told), told, len);
    }
}

static void refused_because(struct shop *shop,
                            const char *participant,
                            const char *text,
                            size_t len) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_status status = {.size = sizeof status};
    etx_tx *tx = NULL;
    rig_must(shop->engine, etx_tx_new(shop->engine, NULL, &tx), "new");
    rig_must(shop->engine, etx_tx_add(tx, participant, NULL, 0), "add");
    rig_must(shop->engine, etx_tx_run(tx, &outcome), "run");
    expect_cut(participant, outcome.reason, text, len);
    rig_must(shop->engine, etx_query(shop->engine, outcome.gid, &status), "query");
    expect_cut("status", status.reason, text, len);
}

static void submit_stuck(struct shop *shop, const char *gid) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = rig_pair(shop->engine, "stuck", gid, 'D');
    rig_must(shop->engine, etx_tx_submit(tx, NULL, NULL), "submit");
    rig_must(shop->engine, etx_wait_for(shop->engine, gid, ETX_WAIT_BEGUN, 0, &outcome), gid);
}

/* By an operator. */
static void forced_because(struct shop *shop, const char *gid, const char *text, size_t len) {
    etx_status status = {.size = sizeof status};
    shop->stuck.forward_reply = ETX_WORKING;
    submit_stuck(shop, gid);
    rig_must(shop->engine,
             etx_force_by_hand(shop->engine, gid, ETX_FORCE_ABORT, NULL, ETX_FORWARD, "ann", text),
             "force");
    rig_must(shop->engine, etx_query(shop->engine, gid, &status), "query");
    expect_cut("force", status.reason, text, len);
}

static void reasons_keep_whole_characters(void **state) {
    struct shop shop;
    char text[ETX_REASON_MAX + 20];
    char gid[32];
    (void)state;
    shop_make(&shop);
    for (unsigned count = 1; count <= 4; count++) {
        for (unsigned ahead = 0; ahead < count; ahead++) {
            size_t len = make_reason(text, count, ahead);
            atomic_store(&shop.reason, text);
            refused_because(&shop, "no", text, len);
            refused_because(&shop, "later", text, len);
            snprintf(gid, sizeof gid, "forced-%u-%u", count, ahead);
            forced_because(&shop, gid, text, len);
        }
    }
    shop_end(&shop);
}

/* ---- a list that is broken off */

enum { MANY = 40, STOPS = 77 };

struct seen {
    unsigned left; /* until it stops */
    unsigned count;
    uint8_t of[MANY];
};

static int see(const etx_status *status, void *user) {
    struct seen *seen = user;
    unsigned number = 0;
    assert_int_equal(sscanf(status->gid, "tx-%u", &number), 1);
    assert_true(number < MANY && !seen->of[number]);
    seen->of[number] = 1;
    seen->count++;
    return --seen->left == 0 ? STOPS : 0;
}

/* Goes on after each stop; returns how often it stopped. */
static unsigned list_with_stops(struct shop *shop, unsigned every, uint32_t limit) {
    struct seen seen = {0};
    etx_cursor cursor = {{0, 0}};
    unsigned stops = 0;
    do {
        seen.left = every;
        int rc = etx_list(shop->engine, NULL, &cursor, limit, see, &seen);
        assert_true(rc == 0 || rc == STOPS);
        assert_int_equal(rc == STOPS, seen.left == 0);
        stops += rc == STOPS;
    } while (cursor.word[0] != 0 || cursor.word[1] != 0);
    assert_int_equal(seen.count, MANY);
    return stops;
}

static void a_list_that_is_stopped_goes_on(void **state) {
    struct shop shop;
    char gid[16];
    (void)state;
    shop_make(&shop);
    shop.stuck.forward_reply = ETX_WORKING;
    for (int i = 0; i < MANY; i++) {
        snprintf(gid, sizeof gid, "tx-%d", i);
        submit_stuck(&shop, gid);
    }
    for (unsigned every = 1; every <= MANY; every++) {
        assert_int_equal(list_with_stops(&shop, every, 1000), MANY / every);
        list_with_stops(&shop, every, 7);
    }
    shop_end(&shop);
}

/* ---- how it was driven */

static void how_it_was_driven_is_told_while_it_is_known(void **state) {
    struct shop shop;
    etx_status status = {.size = sizeof status};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    (void)state;
    shop_make(&shop);
    options.gid = "driven";
    rig_must(shop.engine, etx_tx_begin(shop.engine, &options, &tx), "begin");
    rig_must(shop.engine, etx_query(shop.engine, "driven", &status), "query");
    assert_int_equal(status.mode, ETX_INTERACTIVE);
    rig_must(shop.engine, etx_tx_commit(tx, &outcome), "commit");
    assert_true(rig_reaches(shop.engine, "driven", ETX_COMMITTED, ETX_MARK_ENDED));
    rig_must(shop.engine, etx_query(shop.engine, "driven", &status), "query");
    assert_int_equal(status.mode, 0);
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reasons_keep_whole_characters),
        cmocka_unit_test(a_list_that_is_stopped_goes_on),
        cmocka_unit_test(how_it_was_driven_is_told_while_it_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
