/* The home for chosen gids: who changes it, and how a start with another is refused, so that no
 * gid runs twice. */
#include "rig.h"

#include <sys/stat.h>

struct pair {
    rig_log first, second;
    rig_bank bank;
};

static void pair_make(struct pair *pair) {
    rig_log_make(&pair->first, NULL, "partitions=2");
    rig_log_make(&pair->second, NULL, "partitions=1");
    rig_bank_make(&pair->bank, 1000);
}

static void pair_end(struct pair *pair) {
    rig_bank_end(&pair->bank);
    rig_log_end(&pair->first);
    rig_log_end(&pair->second);
}

/* An engine with these homes; the one at `place` takes chosen gids. */
static etx_engine *engine_of(struct pair *pair,
                             const etx_options *options,
                             const rig_log *first,
                             const rig_log *second,
                             unsigned place) {
    etx_engine *engine = rig_engine(options, first->url, second != NULL ? second->url : NULL);
    assert_int_equal(etx_engine_chosen_home(engine, place), 0);
    rig_bank_register(&pair->bank, engine, "bank", ETX_TCC, ETX_INLINE);
    return engine;
}

/* The start is refused, and the message says which home is meant and how to accept. */
static void is_refused(etx_engine *engine, const char *old_id) {
    char message[640];
    char setting[64];
    assert_int_equal(etx_engine_start(engine), ETX_ECONFLICT);
    etx_engine_message(engine, message, sizeof message);
    assert_non_null(strstr(message, old_id));
    assert_non_null(strstr(message, "accept_chosen_home=\""));
    snprintf(setting, sizeof setting, "(etxd: --accept-chosen-home %s)", old_id); /* in whole */
    assert_non_null(strstr(message, setting));
    etx_engine_free(engine);
}

static void id_of(etx_engine *engine, unsigned place, char id[ETX_HOME_ID_LEN + 1]) {
    etx_home_status status = {.size = sizeof status};
    assert_int_equal(etx_engine_home_status(engine, place, &status), 0);
    memcpy(id, status.id, ETX_HOME_ID_LEN + 1);
}

static int no_more(const etx_status *status, void *user) {
    (void)status;
    (void)user;
    return 0;
}

/* As `etx tx` does: this home alone, and nothing but looking. */
static void look_at(const rig_log *log) {
    etx_options options = rig_options();
    etx_filter filter = ETX_FILTER_INIT;
    etx_cursor cursor = {{0, 0}};
    options.flags |= ETX_INSPECT;
    etx_engine *engine = rig_engine(&options, log->url, NULL);
    rig_start(engine);
    assert_int_equal(etx_list(engine, &filter, &cursor, 1000, no_more, NULL), 0);
    rig_close(engine, ETX_CLOSE_LEAVE);
}

static void run(etx_engine *engine, const char *gid) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(engine, etx_tx_run(rig_pair(engine, "bank", gid, 'D'), &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
}

/* Begins a transaction that stays in flight, and leaves it so. */
static void leave_in_flight(etx_engine *engine, const char *gid) {
    etx_tx *tx = NULL;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    options.gid = gid;
    options.deadline_ms = 600000;
    rig_must(engine, etx_tx_begin(engine, &options, &tx), "begin");
    etx_tx_discard(tx);
    rig_close(engine, ETX_CLOSE_ABRUPT);
}

/* An operator looks at each home alone: the program starts as before, and nobody else does. */
static void a_look_changes_nothing(void **state) {
    struct pair pair;
    char id[ETX_HOME_ID_LEN + 1];
    (void)state;
    pair_make(&pair);
    look_at(&pair.second); /* nothing is recorded yet, and nothing is now */
    etx_engine *engine = engine_of(&pair, NULL, &pair.first, &pair.second, 1);
    rig_start(engine);
    id_of(engine, 1, id);
    run(engine, "mine");
    run(engine, NULL);
    rig_close(engine, ETX_CLOSE_FINISH);
    for (int i = 0; i < 2; i++) {
        look_at(&pair.first);
        look_at(&pair.second);
    }
    is_refused(engine_of(&pair, NULL, &pair.first, NULL, 0), id);
    engine = engine_of(&pair, NULL, &pair.first, &pair.second, 1);
    rig_start(engine);
    unsigned calls = atomic_load(&pair.bank.calls);
    run(engine, "mine");
    assert_int_equal(atomic_load(&pair.bank.calls), calls);
    rig_close(engine, ETX_CLOSE_FINISH);
    pair_end(&pair);
}

/* What counts is what the old home holds, and that cannot be seen without it. */
static void an_empty_home_does_not_take_over(void **state) {
    struct pair pair;
    char id[ETX_HOME_ID_LEN + 1];
    (void)state;
    pair_make(&pair);
    etx_engine *engine = engine_of(&pair, NULL, &pair.first, &pair.second, 0);
    rig_start(engine);
    id_of(engine, 0, id);
    leave_in_flight(engine, "mine");
    is_refused(engine_of(&pair, NULL, &pair.second, NULL, 0), id);
    look_at(&pair.second);
    is_refused(engine_of(&pair, NULL, &pair.second, NULL, 0), id);
    is_refused(engine_of(&pair, NULL, &pair.second, &pair.first, 0), id);
    engine = engine_of(&pair, NULL, &pair.first, &pair.second, 0);
    rig_start(engine); /* the refused ones have changed nothing */
    assert_int_equal(rig_state(engine, "mine"), ETX_ACTIVE);
    rig_close(engine, ETX_CLOSE_ABRUPT);
    pair_end(&pair);
}

/* The old home, in the list: in flight, then remembered, then older than what is remembered. */
static void a_drained_home_gives_them_up(void **state) {
    struct pair pair;
    char id[ETX_HOME_ID_LEN + 1];
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_options forgetful = rig_options();
    etx_tx *tx = NULL;
    (void)state;
    pair_make(&pair);
    forgetful.history_age_ms = 1;
    etx_engine *engine = engine_of(&pair, NULL, &pair.first, &pair.second, 0);
    rig_start(engine);
    id_of(engine, 0, id);
    leave_in_flight(engine, "mine");
    usleep(5000);
    is_refused(engine_of(&pair, &forgetful, &pair.second, &pair.first, 0), id);
    engine = engine_of(&pair, NULL, &pair.first, &pair.second, 0);
    rig_start(engine);
    rig_must(engine, etx_tx_attach(engine, "mine", 0, &tx), "attach");
    rig_must(engine, etx_tx_abort(tx, &outcome), "abort");
    rig_close(engine, ETX_CLOSE_FINISH);
    usleep(5000);
    is_refused(engine_of(&pair, NULL, &pair.second, &pair.first, 0), id);
    engine = engine_of(&pair, &forgetful, &pair.second, &pair.first, 0);
    rig_start(engine);
    id_of(engine, 0, id);
    run(engine, "mine");
    rig_close(engine, ETX_CLOSE_FINISH);
    /* from here on the first home knows that the second has them */
    is_refused(engine_of(&pair, NULL, &pair.first, NULL, 0), id);
    pair_end(&pair);
}

/* By name, and only the one that was named. */
static void the_operator_accepts_by_name(void **state) {
    struct pair pair;
    char id[ETX_HOME_ID_LEN + 1];
    etx_options options = rig_options();
    (void)state;
    pair_make(&pair);
    etx_engine *engine = engine_of(&pair, NULL, &pair.first, &pair.second, 0);
    rig_start(engine);
    id_of(engine, 0, id);
    run(engine, "mine");
    rig_close(engine, ETX_CLOSE_FINISH);
    options.accept_chosen_home = "f000000";
    is_refused(engine_of(&pair, &options, &pair.second, NULL, 0), id);
    options.accept_chosen_home = id;
    engine = engine_of(&pair, &options, &pair.second, NULL, 0);
    rig_start(engine);
    rig_close(engine, ETX_CLOSE_FINISH);
    engine = engine_of(&pair, NULL, &pair.second, NULL, 0); /* once is enough */
    rig_start(engine);
    rig_close(engine, ETX_CLOSE_FINISH);
    pair_end(&pair);
}

/* What a volatile home held is gone: in another one nothing can run a second time. */
static void a_volatile_home_binds_nobody(void **state) {
    struct pair pair;
    char id[ETX_HOME_ID_LEN + 1];
    (void)state;
    pair_make(&pair);
    pair.first.class = 'v';
    etx_engine *engine = engine_of(&pair, NULL, &pair.first, &pair.second, 0);
    rig_start(engine);
    id_of(engine, 0, id);
    assert_int_equal(id[0], 'v');
    run(engine, "mine");
    rig_close(engine, ETX_CLOSE_FINISH);
    engine = engine_of(&pair, NULL, &pair.second, NULL, 0);
    rig_start(engine);
    run(engine, "mine");
    rig_close(engine, ETX_CLOSE_FINISH);
    pair_end(&pair);
}

/* The claim that said it is long trimmed when the program is killed. */
static void a_trim_does_not_forget_it(void **state) {
    enum { COUNT = 2000, PAYLOAD = 16 * 1024 };
    struct pair pair;
    host_dir dir;
    char id[ETX_HOME_ID_LEN + 1];
    char *payload = calloc(1, PAYLOAD);
    rig_done done = {0};
    etx_options options = rig_options();
    (void)state;
    assert_non_null(payload);
    options.history_max = 100;
    pair_make(&pair);
    host_dir_make(&dir);
    rig_log busy;
    rig_log_make(&busy, dir.path, "segment=1M&partitions=1");
    etx_engine *engine = engine_of(&pair, &options, &busy, &pair.second, 1);
    rig_start(engine);
    id_of(engine, 1, id);
    for (unsigned i = 0; i < COUNT; i++) {
        etx_tx *tx = NULL;
        rig_must(engine, etx_tx_new(engine, NULL, &tx), "new");
        rig_must(engine, etx_tx_add(tx, "bank", payload, PAYLOAD), "add");
        rig_must(engine, etx_tx_submit(tx, rig_done_fn, &done), "submit");
        if (i % 16 == 15) {
            assert_true(host_wait_for(&done.count, i));
        }
    }
    assert_true(host_wait_for(&done.count, COUNT));
    assert_true(rig_trimmed(engine, 3));
    rig_close(engine, ETX_CLOSE_ABRUPT);
    is_refused(engine_of(&pair, &options, &busy, NULL, 0), id);
    free(payload);
    rig_log_end(&busy);
    host_dir_remove(&dir);
    pair_end(&pair);
}

/* A copy with an id of its own is for looking at, whatever other homes there are; and so is what
 * is copied from it. */
static void a_copy_to_look_at_takes_no_program(void **state) {
    struct pair pair;
    host_dir dir;
    char place[3][HOST_PATH_MAX + 16], message[512];
    rig_log copy[2];
    (void)state;
    pair_make(&pair);
    host_dir_make(&dir);
    for (int i = 0; i < 3; i++) {
        snprintf(place[i], sizeof place[i], "%s/%d", dir.path, i);
    }
    rig_log original;
    rig_log_make(&original, place[0], "partitions=1");
    etx_engine *engine = engine_of(&pair, NULL, &original, NULL, 0);
    rig_start(engine);
    leave_in_flight(engine, "mine");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            etx_log_file_backup(place[i], place[i + 1], i, NULL, message, sizeof message), 0);
        rig_log_make(&copy[i], place[i + 1], "");
        for (int beside = 0; beside < 3; beside++) {
            const rig_log *other = beside == 1 ? &original : beside == 2 ? &pair.first : NULL;
            engine = other != NULL ? engine_of(&pair, NULL, other, &copy[i], 0)
                                   : engine_of(&pair, NULL, &copy[i], NULL, 0);
            assert_int_equal(etx_engine_start(engine), ETX_ECONFLICT);
            etx_engine_message(engine, message, sizeof message);
            if (strstr(message, "--new-id") == NULL) {
                fail_msg("%s", message);
            }
            etx_engine_free(engine);
        }
        look_at(&copy[i]);
        rig_log_end(&copy[i]);
    }
    engine = engine_of(&pair, NULL, &original, NULL, 0);
    rig_start(engine);
    assert_int_equal(rig_state(engine, "mine"), ETX_ACTIVE);
    rig_close(engine, ETX_CLOSE_ABRUPT);
    rig_log_end(&original);
    host_dir_remove(&dir);
    pair_end(&pair);
}

/* As another owner would, which takes chosen gids elsewhere. */
static void claim_for(rig_log *log, const char *home_id) {
    uint8_t batch[256] = {1};
    etx_record own = {.type = ETX_RECORD_OWN};
    own.u.own.nonce = 4711;
    own.u.own.time_ms = 1;
    own.u.own.node = (etx_bytes){"other", 5};
    own.u.own.chosen_home = (etx_bytes){home_id, strlen(home_id)};
    assert_true(etx_codec_binary()->bound(&own) < sizeof batch);
    size_t len = 1 + etx_codec_binary()->encode(&own, batch + 1);
    rig_log_put(log, 0, 4711, (etx_bytes){batch, len});
}

/* While its log was broken another program took the home over, and chosen gids with it: who reads
 * the log anew goes by what it says now. */
static void a_log_that_is_read_anew_is_checked_again(void **state) {
    struct pair pair;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_home_status status = {.size = sizeof status};
    (void)state;
    pair_make(&pair);
    rig_log single;
    rig_log_make(&single, NULL, "partitions=1");
    etx_engine *engine = engine_of(&pair, NULL, &single, NULL, 0);
    rig_start(engine);
    run(engine, "mine");
    atomic_store(&single.reopen_rc, ETX_EIO);
    rig_log_fail(&single, RIG_BROKEN, 1);
    assert_int_equal(etx_tx_run(rig_pair(engine, "bank", "other", 'D'), &outcome), ETX_EUNKNOWN);
    claim_for(&single, "f234567");
    atomic_store(&single.reopen_rc, 0);
    do {
        usleep(1000);
        assert_int_equal(etx_engine_home_status(engine, 0, &status), 0);
    } while (!status.usable && strstr(status.why, "f234567") == NULL);
    assert_int_equal(status.usable, 0);
    assert_int_equal(etx_tx_run(rig_pair(engine, "bank", "mine", 'D'), &outcome), ETX_EUNAVAILABLE);
    rig_close(engine, ETX_CLOSE_ABRUPT);
    rig_log_end(&single);
    pair_end(&pair);
}

/* A directory with room for logs: the one at `name`, as a home. */
static void dir_log(rig_log *log, const host_dir *dir, const char *name) {
    char path[HOST_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/%s", dir->path, name);
    rig_log_make(log, path, "segment=1M&partitions=2");
}

static int is_there(const host_dir *dir, const char *name) {
    char path[HOST_PATH_MAX + 16];
    struct stat found;
    snprintf(path, sizeof path, "%s/%s", dir->path, name);
    return lstat(path, &found) == 0;
}

/* What is refused may be put right with a backup, in the place of the log that is not there. */
static void a_refused_start_makes_no_log(void **state) {
    struct pair pair;
    host_dir dir;
    rig_log fresh;
    char id[ETX_HOME_ID_LEN + 1];
    (void)state;
    host_dir_make(&dir);
    dir_log(&pair.first, &dir, "first");
    dir_log(&pair.second, &dir, "second");
    dir_log(&fresh, &dir, "fresh");
    rig_bank_make(&pair.bank, 1000);
    etx_engine *engine = engine_of(&pair, NULL, &pair.first, &pair.second, 0);
    rig_start(engine);
    id_of(engine, 0, id);
    leave_in_flight(engine, "mine");
    is_refused(engine_of(&pair, NULL, &fresh, &pair.second, 0), id); /* it would have them */
    is_refused(engine_of(&pair, NULL, &pair.second, &fresh, 0), id); /* it would be beside */
    is_refused(engine_of(&pair, NULL, &fresh, &pair.first, 0), id);  /* and theirs has one */
    assert_false(is_there(&dir, "fresh"));
    engine = engine_of(&pair, NULL, &fresh, &pair.first, 1);
    rig_start(engine); /* nobody minds: it is made, and used */
    assert_true(is_there(&dir, "fresh"));
    assert_int_equal(rig_state(engine, "mine"), ETX_ACTIVE);
    run(engine, NULL);
    etx_home_status status = {.size = sizeof status};
    assert_int_equal(etx_engine_home_status(engine, 0, &status), 0);
    assert_true(status.in_use && status.partitions == 2);
    rig_close(engine, ETX_CLOSE_ABRUPT);
    rig_bank_end(&pair.bank);
    rig_log_end(&pair.first);
    rig_log_end(&pair.second);
    rig_log_end(&fresh);
    host_dir_remove(&dir);
}

/* The operator may give them to a home that is made in the same start. */
static void a_home_that_is_made_may_take_them(void **state) {
    struct pair pair;
    char id[ETX_HOME_ID_LEN + 1];
    etx_options accepts = rig_options();
    (void)state;
    pair_make(&pair);
    etx_engine *engine = engine_of(&pair, NULL, &pair.first, NULL, 0);
    rig_start(engine);
    id_of(engine, 0, id);
    leave_in_flight(engine, "mine");
    accepts.accept_chosen_home = id;
    atomic_store(&pair.second.absent, 1);
    is_refused(engine_of(&pair, NULL, &pair.second, &pair.first, 0), id);
    assert_int_equal(atomic_load(&pair.second.absent), 1);
    engine = engine_of(&pair, &accepts, &pair.second, &pair.first, 0);
    rig_start(engine);
    assert_int_equal(atomic_load(&pair.second.absent), 0);
    id_of(engine, 0, id);
    run(engine, "other");
    rig_close(engine, ETX_CLOSE_ABRUPT);
    is_refused(engine_of(&pair, NULL, &pair.first, NULL, 0), id); /* and both know it */
    pair_end(&pair);
}

/* Where only memory keeps it, nothing is made unless that is allowed; what was there stays. */
static void a_refused_log_in_memory_is_not_made(void **state) {
    char path[] = "/dev/shm/etx-chosen-XXXXXX";
    char url[64];
    char message[512];
    host_dir dir;
    struct stat found;
    etx_options options = rig_options();
    (void)state;
    if (mkdtemp(path) == NULL) {
        skip();
    }
    options.flags &= ~(uint32_t)ETX_ALLOW_VOLATILE;
    snprintf(dir.path, sizeof dir.path, "%s", path);
    for (int i = 0; i < 2; i++) {
        snprintf(url, sizeof url, "file:%s%s", path, i == 0 ? "/log" : "");
        etx_engine *engine = rig_engine(&options, url, NULL);
        assert_int_equal(etx_engine_start(engine), ETX_EINVALID);
        etx_engine_message(engine, message, sizeof message);
        assert_non_null(strstr(message, "promises durability 'volatile' only"));
        assert_non_null(strstr(message, "--allow-volatile"));
        etx_engine_free(engine);
    }
    assert_false(is_there(&dir, "log") || is_there(&dir, "lock") || is_there(&dir, "home"));
    assert_int_equal(stat(path, &found), 0);
    options.flags |= ETX_ALLOW_VOLATILE;
    etx_engine *engine = rig_engine(&options, url, NULL);
    rig_start(engine);
    rig_close(engine, ETX_CLOSE_FINISH);
    host_dir_remove(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_look_changes_nothing),
        cmocka_unit_test(a_copy_to_look_at_takes_no_program),
        cmocka_unit_test(an_empty_home_does_not_take_over),
        cmocka_unit_test(a_drained_home_gives_them_up),
        cmocka_unit_test(the_operator_accepts_by_name),
        cmocka_unit_test(a_volatile_home_binds_nobody),
        cmocka_unit_test(a_trim_does_not_forget_it),
        cmocka_unit_test(a_log_that_is_read_anew_is_checked_again),
        cmocka_unit_test(a_refused_start_makes_no_log),
        cmocka_unit_test(a_home_that_is_made_may_take_them),
        cmocka_unit_test(a_refused_log_in_memory_is_not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
