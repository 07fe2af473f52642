/* Claims: each has a nonce of its own, none is taken for granted, and what belonged to an earlier
 * one, or to another's, counts for nothing. */
#include "rig.h"

struct shop {
    rig_log log;
    rig_bank bank;
    etx_engine *engine;
};

static void shop_start(struct shop *shop) {
    shop->engine = rig_engine(NULL, shop->log.url, NULL);
    rig_bank_register(&shop->bank, shop->engine, "bank", ETX_TCC, ETX_INLINE);
}

static void shop_make(struct shop *shop) {
    rig_log_make(&shop->log, NULL, "partitions=1");
    rig_bank_make(&shop->bank, 1000);
    shop_start(shop);
}

static void shop_end(struct shop *shop, etx_close_mode mode) {
    rig_close(shop->engine, mode);
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->log);
}

/* As soon as the log is well; comes back when all of it is written, so that the next put is that
 * of what is begun next. */
static void run_one(struct shop *shop) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_metrics before = {.size = sizeof before};
    uint64_t end = host_now_ms() + 60000;
    int rc;
    rig_must(shop->engine, etx_engine_metrics(shop->engine, &before), "metrics");
    while ((rc = etx_tx_run(rig_pair(shop->engine, "bank", NULL, 'D'), &outcome)) ==
               ETX_EUNAVAILABLE &&
           host_now_ms() < end) {
        usleep(1000);
    }
    rig_must(shop->engine, rc, "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_true(rig_written(shop->engine, before.ended + 1));
}

typedef struct nonces {
    uint64_t own[16];
    unsigned count;
} nonces;

/* Every slot carries the nonce of the claim that stands before it. */
static void note_nonce(const etx_slot *slot, const etx_record *record, void *user) {
    nonces *all = user;
    if (record->type == ETX_RECORD_OWN) {
        assert_true(all->count < 16);
        all->own[all->count++] = record->u.own.nonce;
    }
    assert_true(all->count > 0);
    assert_int_equal(slot->nonce, all->own[all->count - 1]);
}

static void each_claim_has_a_nonce_of_its_own(void **state) {
    struct shop shop;
    nonces all = {.count = 0};
    (void)state;
    shop_make(&shop);
    rig_start(shop.engine);
    for (unsigned i = 0; i < 3; i++) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        rig_log_fail(&shop.log, RIG_BROKEN, 1);
        assert_int_equal(etx_tx_run(rig_pair(shop.engine, "bank", "one", 'D'), &outcome),
                         ETX_EUNKNOWN);
        run_one(&shop);
    }
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    shop_start(&shop);
    rig_start(shop.engine);
    run_one(&shop);
    rig_log_records(&shop.log, 0, 0, note_nonce, &all);
    assert_int_equal(all.count, 5);
    for (unsigned i = 0; i < all.count; i++) {
        for (unsigned k = 0; k < i; k++) {
            assert_int_not_equal(all.own[i], all.own[k]);
        }
    }
    shop_end(&shop, ETX_CLOSE_FINISH);
}

/* An OWN that is not acknowledged is no claim, whatever became of it. */
static void a_claim_that_is_not_written_is_none(void **state) {
    static const rig_fault faults[] = {RIG_UNKNOWN, RIG_UNKNOWN_WRITTEN, RIG_NOT_WRITTEN, RIG_FULL,
                                       RIG_BROKEN};
    (void)state;
    for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct shop shop;
        shop_make(&shop);
        rig_log_fail(&shop.log, faults[i], -1);
        assert_int_not_equal(etx_engine_start(shop.engine), 0);
        etx_engine_free(shop.engine);
        rig_log_fail(&shop.log, RIG_WELL, 0);
        shop_start(&shop);
        rig_start(shop.engine);
        run_one(&shop);
        shop_end(&shop, ETX_CLOSE_FINISH);
    }
}

/* The start is refused, and the message says where it is, what it is and what to do. */
static void is_refused(struct shop *shop, int rc, const char *where, const char *what) {
    char message[512];
    assert_int_equal(etx_engine_start(shop->engine), rc);
    etx_engine_message(shop->engine, message, sizeof message);
    if (strstr(message, shop->log.url) == NULL || strstr(message, where) == NULL ||
        strstr(message, what) == NULL || (rc != ETX_EBUSY && strstr(message, "_max") != NULL)) {
        fail_msg("'%s' does not say '%s', '%s'", message, where, what);
    }
    etx_engine_free(shop->engine);
}

/* A batch that nobody here can read, or a record in it: the start is refused, and says where. */
static void a_record_that_cannot_be_read_stops_the_start(void **state) {
    static const struct {
        const char *bytes;
        size_t len;
        int rc;
        const char *says;
    } batches[] = {
        {"\x01\x04\x7f\x01\x02\x03\x04", 7, ETX_EVERSION, "byte 1: a record of a newer version"},
        {"\x01\xff\xff\xff\x0f\x02", 6, ETX_ECORRUPT, "byte 1: a record that no version writes"},
        {"\x63", 1, ETX_EVERSION, "written with codec 99, none of ETX's own"},
        {"\x02", 1, ETX_EVERSION, "written with codec 2, JSON, which this program does not load"}};
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct shop shop;
        shop_make(&shop);
        rig_start(shop.engine);
        run_one(&shop);
        rig_close(shop.engine, ETX_CLOSE_FINISH);
        rig_log_put(&shop.log, 0, 4711, (etx_bytes){batches[i].bytes, batches[i].len});
        shop_start(&shop);
        is_refused(&shop, batches[i].rc, "of partition 0", batches[i].says);
        rig_bank_end(&shop.bank);
        rig_log_end(&shop.log);
    }
}

static int lacks_memory(etx_bytes bytes,
                        etx_record_room *room,
                        etx_record *ret_record,
                        size_t *ret_used) {
    (void)bytes;
    (void)room;
    (void)ret_record;
    (void)ret_used;
    return ETX_ENOMEM;
}

/* A codec that allocates, and can not: that is no damage. */
static void a_codec_without_memory_stops_the_start(void **state) {
    struct shop shop;
    etx_codec poor = *etx_codec_binary();
    (void)state;
    poor.id = 200;
    poor.name = "poor";
    poor.decode = lacks_memory;
    shop_make(&shop);
    rig_log_put(&shop.log, 0, 4711, (etx_bytes){"\xc8\x02", 2});
    rig_must(shop.engine, etx_engine_codec(shop.engine, &poor), "codec");
    is_refused(&shop, ETX_ENOMEM, "slot 0 of partition 0: byte 1:", "no memory to read a record");
    rig_bank_end(&shop.bank);
    rig_log_end(&shop.log);
}

/* It can be read, and no transaction can be like that: no limit is to be raised for it. */
static void a_record_that_cannot_be_stops_the_start(void **state) {
    struct shop shop;
    uint8_t batch[256] = {1};
    etx_record record = {.type = ETX_RECORD_MOVE, .gid = {"one", 3}};
    (void)state;
    shop_make(&shop);
    rig_start(shop.engine);
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    record.u.move.begin.time_ms = 1;
    record.u.move.begin.mode = ETX_SUBMITTED;
    record.u.move.begin.durability = ETX_LOCAL;
    record.u.move.state = ETX_ACTIVE;
    size_t first = etx_codec_binary()->encode(&record, batch + 1);
    record.u.move.state = ETX_COMMITTED; /* and it did not end */
    size_t second = etx_codec_binary()->encode(&record, batch + 1 + first);
    rig_log_put(&shop.log, 0, 99, (etx_bytes){batch, 1 + first + second});
    shop_start(&shop);
    char where[64];
    snprintf(where, sizeof where, "slot 1 of partition 0: byte %zu:", 1 + first);
    is_refused(&shop, ETX_ECORRUPT, where, "restore a backup");
    rig_bank_end(&shop.bank);
    rig_log_end(&shop.log);
}

/* Another owner's bytes come between the reading and the claim. */
static void a_claim_that_another_was_before_is_none(void **state) {
    struct shop shop;
    char message[512];
    (void)state;
    shop_make(&shop);
    rig_log_fail(&shop.log, RIG_RACED, 1);
    assert_int_equal(etx_engine_start(shop.engine), ETX_EUNAVAILABLE);
    etx_engine_message(shop.engine, message, sizeof message);
    assert_non_null(strstr(message, "the slot is taken"));
    etx_engine_free(shop.engine);
    shop_start(&shop);
    rig_start(shop.engine);
    run_one(&shop);
    shop_end(&shop, ETX_CLOSE_FINISH);
}

/* An OWN that says what no home is called: it says nothing. */
static void a_strange_home_is_nobodys(void **state) {
    struct shop shop;
    uint8_t batch[256] = {1};
    etx_record own = {.type = ETX_RECORD_OWN};
    (void)state;
    shop_make(&shop);
    rig_start(shop.engine);
    run_one(&shop);
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    own.u.own.nonce = 99;
    own.u.own.time_ms = 1;
    own.u.own.node = (etx_bytes){"other", 5};
    own.u.own.chosen_home = (etx_bytes){"a-name-that-is-no-home's", 24};
    size_t len = etx_codec_binary()->encode(&own, batch + 1);
    assert_true(len > 0);
    rig_log_put(&shop.log, 0, 99, (etx_bytes){batch, len + 1});
    shop_start(&shop);
    rig_start(shop.engine);
    run_one(&shop);
    shop_end(&shop, ETX_CLOSE_FINISH);
}

/* One that waits for a participant that nobody registers. */
static void submit_unknown(struct shop *shop, rig_done *done, size_t len) {
    static const char payload[1 << 20];
    etx_tx *tx = NULL;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    options.wait = ETX_WAIT_BEGUN;
    branch.participant = "nobody";
    branch.kind = ETX_TCC;
    branch.payload = payload;
    branch.payload_len = len;
    rig_must(shop->engine, etx_tx_new(shop->engine, &options, &tx), "new");
    rig_must(shop->engine, etx_tx_add_branch(tx, &branch), "add");
    rig_must(shop->engine, etx_tx_submit(tx, rig_done_fn, done), "submit");
}

/* More lives in the log than the options allow: refused, and nothing is left out. */
static void what_does_not_fit_stops_the_start(void **state) {
    struct shop shop;
    rig_done done = {0};
    (void)state;
    shop_make(&shop);
    rig_start(shop.engine);
    for (int i = 0; i < 5; i++) {
        submit_unknown(&shop, &done, 1 << 20);
    }
    assert_true(host_wait_for(&done.count, 5));
    rig_close(shop.engine, ETX_CLOSE_LEAVE);
    etx_options small = rig_options();
    small.transactions_max = 2;
    shop.engine = rig_engine(&small, shop.log.url, NULL);
    is_refused(&shop, ETX_EBUSY, "of partition 0", "transactions_max (2): raise it");
    small = rig_options();
    small.memory_max = 4u << 20;
    shop.engine = rig_engine(&small, shop.log.url, NULL);
    is_refused(&shop, ETX_EBUSY, "of partition 0", "memory_max (4194304): raise it");
    etx_options look = rig_options();
    look.flags |= ETX_INSPECT;
    shop.engine = rig_engine(&look, shop.log.url, NULL);
    rig_start(shop.engine);
    shop_end(&shop, ETX_CLOSE_LEAVE);
}

/* Another owner begins three, in one slot. Returns the next. */
static uint64_t another_begins(struct shop *shop) {
    static const char *const gids[] = {"one", "two", "three"};
    etx_record_branch branch = {.name = {"a", 1}, .participant = {"nobody", 6}, .kind = ETX_TCC};
    uint8_t batch[1024] = {1};
    size_t len = 1;
    for (unsigned i = 0; i < 3; i++) {
        etx_record record = {.type = ETX_RECORD_BEGIN, .gid = {gids[i], strlen(gids[i])}};
        record.u.begin.time_ms = 1;
        record.u.begin.mode = ETX_SUBMITTED;
        record.u.begin.durability = ETX_LOCAL;
        record.u.begin.branch_count = 1;
        record.u.begin.branches = &branch;
        assert_true(len + etx_codec_binary()->bound(&record) < sizeof batch);
        len += etx_codec_binary()->encode(&record, batch + len);
    }
    rig_log_put(&shop->log, 0, 99, (etx_bytes){batch, len});
    return rig_log_records(&shop->log, 0, 0, NULL, NULL);
}

/* From now on that is the answer to a reopen. Comes back when it was given twice: what was read
 * after an earlier answer is judged by then. */
static void reopens(struct shop *shop, int rc) {
    atomic_store(&shop->log.reopen_rc, rc);
    assert_true(host_wait_for(&shop->log.reopened, atomic_load(&shop->log.reopened) + 3));
}

/* While its log is broken another owner begins more than the options allow: it is read again and
 * again, and the home says what is to be raised; once that owner has trimmed them it is well. */
static void what_does_not_fit_is_read_again(void **state) {
    struct shop shop;
    etx_options small = rig_options();
    etx_home_status home = {.size = sizeof home};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    small.transactions_max = 2;
    rig_log_make(&shop.log, NULL, "partitions=1");
    rig_bank_make(&shop.bank, 1000);
    shop.engine = rig_engine(&small, shop.log.url, NULL);
    rig_bank_register(&shop.bank, shop.engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(shop.engine);
    rig_log_fail(&shop.log, RIG_BROKEN, 1);
    atomic_store(&shop.log.reopen_rc, ETX_EIO);
    assert_int_equal(etx_tx_run(rig_pair(shop.engine, "bank", NULL, 'D'), &outcome), ETX_EUNKNOWN);
    uint64_t next = another_begins(&shop);
    reopens(&shop, 0);
    rig_must(shop.engine, etx_engine_home_status(shop.engine, 0, &home), "status");
    assert_false(home.usable);
    assert_non_null(strstr(home.why, "transactions_max (2): raise it"));
    reopens(&shop, ETX_EIO); /* meanwhile nobody reads */
    rig_log_put(&shop.log, 0, 99, (etx_bytes){"\x01", 1});
    assert_int_equal(shop.log.ops->trim(shop.log.inner, 0, next), 0);
    atomic_store(&shop.log.reopen_rc, 0);
    run_one(&shop);
    shop_end(&shop, ETX_CLOSE_FINISH);
}

/* Chosen gids of a home that was volatile are gone with it: whatever is first now may take them. */
static void a_volatile_home_leaves_the_choice(void **state) {
    struct shop shop;
    rig_log first;
    etx_options options = rig_options();
    (void)state;
    rig_log_make(&first, NULL, "partitions=1");
    rig_log_make(&shop.log, NULL, "partitions=1");
    rig_bank_make(&shop.bank, 1000);
    first.class = 'v';
    first.grade = ETX_VOLATILE;
    options.flags |= ETX_ALLOW_VOLATILE;
    shop.engine = rig_engine(&options, first.url, shop.log.url);
    rig_bank_register(&shop.bank, shop.engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(shop.engine);
    run_one(&shop);
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    shop_start(&shop);
    rig_start(shop.engine);
    run_one(&shop);
    shop_end(&shop, ETX_CLOSE_FINISH);
    rig_log_end(&first);
}

/* ---- tokens */

typedef struct clerk {
    atomic_uint calls;
    etx_token token[8];
} clerk;

static etx_reply take_token(etx_call *call, void *user) {
    clerk *c = user;
    unsigned at = atomic_load(&c->calls);
    rig_check(at < 8);
    c->token[at] = etx_call_token(call);
    atomic_fetch_add(&c->calls, 1);
    return ETX_LATER;
}

static etx_reply done_at_once(etx_call *call, void *user) {
    (void)call;
    (void)user;
    return ETX_DONE;
}

static void complete(etx_engine *engine, etx_token token, etx_reply reply) {
    etx_completion completion = ETX_COMPLETION_INIT;
    completion.reply = reply;
    rig_must(engine, etx_complete(engine, token, &completion), "complete");
}

/* The partition is read anew: the new claim's core has the same transaction in the same place,
 * and calls it for the first time, as the earlier one did. */
static void a_token_of_an_earlier_claim_answers_nothing(void **state) {
    struct shop shop;
    clerk c = {.calls = 0};
    (void)state;
    shop_make(&shop);
    etx_participant later = ETX_PARTICIPANT_INIT;
    later.name = "later";
    later.kind = ETX_TCC;
    later.forward = take_token;
    later.commit = done_at_once;
    later.undo = done_at_once;
    later.user = &c;
    rig_must(shop.engine, etx_engine_register(shop.engine, &later), "register");
    rig_start(shop.engine);
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    options.gid = "one";
    rig_must(shop.engine, etx_tx_new(shop.engine, &options, &tx), "new");
    rig_must(shop.engine, etx_tx_add(tx, "later", "x", 1), "add");
    rig_must(shop.engine, etx_tx_submit(tx, NULL, NULL), "submit");
    assert_true(host_wait_for(&c.calls, 1));
    rig_log_fail(&shop.log, RIG_BROKEN, 1);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(rig_pair(shop.engine, "bank", NULL, 'D'), &outcome), ETX_EUNKNOWN);
    assert_true(host_wait_for(&c.calls, 2));
    complete(shop.engine, c.token[0], ETX_REFUSED);
    run_one(&shop); /* by now it has been heard */
    assert_int_equal(rig_state(shop.engine, "one"), ETX_ACTIVE);
    complete(shop.engine, c.token[1], ETX_DONE);
    assert_true(rig_reaches(shop.engine, "one", ETX_COMMITTED, 0));
    shop_end(&shop, ETX_CLOSE_FINISH);
}

/* ---- lost */

/* Another owner's OWN stands where the next put should go. */
static void a_lost_partition_answers_unknown(void **state) {
    struct shop shop;
    rig_done done = {0};
    (void)state;
    shop_make(&shop);
    rig_start(shop.engine);
    run_one(&shop);
    uint8_t batch[256] = {1};
    etx_record own = {.type = ETX_RECORD_OWN};
    own.u.own.nonce = 99;
    own.u.own.time_ms = 1;
    own.u.own.node = (etx_bytes){"other", 5};
    size_t len = etx_codec_binary()->encode(&own, batch + 1);
    rig_log_put(&shop.log, 0, 99, (etx_bytes){batch, len + 1});
    rig_must(shop.engine,
             etx_tx_submit(rig_pair(shop.engine, "bank", "mine", 'D'), rig_done_fn, &done),
             "submit");
    assert_true(host_wait_for(&done.count, 1));
    assert_int_equal(done.rc, ETX_EUNKNOWN);
    unsigned puts = shop.log.puts;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_status status = {.size = sizeof status};
    assert_int_equal(etx_tx_run(rig_pair(shop.engine, "bank", "two", 'D'), &outcome),
                     ETX_EUNAVAILABLE);
    assert_int_equal(etx_query(shop.engine, "mine", &status), ETX_EUNKNOWN);
    assert_int_equal(rig_bank_effect(&shop.bank, "mine"), 0);
    rig_close(shop.engine, ETX_CLOSE_LEAVE);
    assert_int_equal(shop.log.puts, puts); /* a superseded owner never appends again */
    rig_bank_end(&shop.bank);
    rig_log_end(&shop.log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_claim_has_a_nonce_of_its_own),
        cmocka_unit_test(a_claim_that_is_not_written_is_none),
        cmocka_unit_test(a_record_that_cannot_be_read_stops_the_start),
        cmocka_unit_test(a_codec_without_memory_stops_the_start),
        cmocka_unit_test(a_record_that_cannot_be_stops_the_start),
        cmocka_unit_test(a_claim_that_another_was_before_is_none),
        cmocka_unit_test(what_does_not_fit_stops_the_start),
        cmocka_unit_test(what_does_not_fit_is_read_again),
        cmocka_unit_test(a_volatile_home_leaves_the_choice),
        cmocka_unit_test(a_strange_home_is_nobodys),
        cmocka_unit_test(a_token_of_an_earlier_claim_answers_nothing),
        cmocka_unit_test(a_lost_partition_answers_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
