/* Homes: which takes a new transaction while another is full, broken, away or hanging, and the
 * way back. */
#include "rig.h"

struct town {
    rig_log first, second;
    rig_bank bank;
    etx_engine *engine;
};

/* The first home's URL has so many characters more, which its adapter does not read. */
static void town_make_long(struct town *town, int more) {
    char url[400];
    rig_log_make(&town->first, NULL, "partitions=1");
    rig_log_make(&town->second, NULL, "partitions=1");
    rig_bank_make(&town->bank, 10000);
    snprintf(url, sizeof url, "%s%s%.*d", town->first.url, more > 0 ? "?" : "", more, 0);
    town->engine = rig_engine(NULL, more > 0 ? url : town->first.url, town->second.url);
    rig_bank_register(&town->bank, town->engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(town->engine);
}

static void town_make(struct town *town) {
    town_make_long(town, 0);
}

static void town_end(struct town *town) {
    rig_log_fail(&town->first, RIG_WELL, 0);
    rig_close(town->engine, ETX_CLOSE_FINISH);
    assert_int_equal(rig_bank_torn(&town->bank), 0);
    rig_bank_end(&town->bank);
    rig_log_end(&town->first);
    rig_log_end(&town->second);
}

static etx_home_status status_of(etx_engine *engine, unsigned place) {
    etx_home_status status = {.size = sizeof status};
    assert_int_equal(etx_engine_home_status(engine, place, &status), 0);
    return status;
}

static bool home_of(const etx_engine *engine, const char *gid, unsigned place) {
    etx_home_status status = status_of((etx_engine *)(uintptr_t)engine, place);
    return strstr(gid, status.id) != NULL;
}

static bool usable_becomes(etx_engine *engine, unsigned place, uint8_t usable) {
    uint64_t end = host_now_ms() + 60000;
    while (status_of(engine, place).usable != usable) {
        if (host_now_ms() > end) {
            return false;
        }
        usleep(1000);
    }
    return true;
}

/* Runs transactions until one lives in that home. */
static bool goes_to(struct town *town, unsigned place) {
    uint64_t end = host_now_ms() + 60000;
    while (host_now_ms() < end) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        rig_must(town->engine, etx_tx_run(rig_pair(town->engine, "bank", NULL, 'D'), &outcome),
                 "run");
        assert_int_equal(outcome.state, ETX_COMMITTED);
        if (home_of(town->engine, outcome.gid, place)) {
            return true;
        }
        usleep(1000);
    }
    return false;
}

static void the_first_home_is_used_and_said(void **state) {
    struct town town;
    (void)state;
    town_make(&town);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(rig_pair(town.engine, "bank", NULL, 'D'), &outcome), 0);
    assert_true(home_of(town.engine, outcome.gid, 0));
    assert_int_equal(outcome.durability, ETX_LOCAL);
    assert_int_equal(status_of(town.engine, 0).in_use, 1);
    assert_int_equal(status_of(town.engine, 0).chosen, 1);
    assert_int_equal(status_of(town.engine, 1).in_use, 0);
    assert_int_equal(status_of(town.engine, 1).usable, 1);
    assert_string_equal(status_of(town.engine, 1).why, "");
    etx_home_status none = {.size = sizeof none};
    assert_int_equal(etx_engine_home_status(town.engine, 2, &none), ETX_ENOTFOUND);
    town_end(&town);
}

/* A promise that nothing was written lets the same transaction begin elsewhere, unseen. */
static void what_was_not_written_begins_elsewhere(rig_fault fault) {
    struct town town;
    town_make(&town);
    rig_log_fail(&town.first, fault, -1);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(town.engine, etx_tx_run(rig_pair(town.engine, "bank", NULL, 'D'), &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_true(home_of(town.engine, outcome.gid, 1));
    assert_int_equal(rig_bank_effect(&town.bank, outcome.gid), 1);
    assert_int_equal(town.bank.count, 2);
    assert_true(usable_becomes(town.engine, 0, 0));
    assert_string_not_equal(status_of(town.engine, 0).why, "");
    /* submitted: the copy is made by the engine */
    rig_done done = {0};
    assert_int_equal(etx_tx_submit(rig_pair(town.engine, "bank", NULL, 'D'), rig_done_fn, &done),
                     0);
    assert_true(host_wait_for(&done.count, 1));
    assert_int_equal(done.rc, 0);
    assert_true(home_of(town.engine, done.outcome.gid, 1));
    /* and it returns when that is over and the time of probation has passed */
    rig_log_fail(&town.first, RIG_WELL, 0);
    assert_true(usable_becomes(town.engine, 0, 1));
    assert_true(goes_to(&town, 0));
    town_end(&town);
}

static void not_written_begins_elsewhere(void **state) {
    (void)state;
    what_was_not_written_begins_elsewhere(RIG_NOT_WRITTEN);
}

static void no_space_begins_elsewhere(void **state) {
    (void)state;
    what_was_not_written_begins_elsewhere(RIG_FULL);
}

static void a_submitted_one_begins_elsewhere_too(void **state) {
    struct town town;
    (void)state;
    town_make(&town);
    rig_log_fail(&town.first, RIG_NOT_WRITTEN, -1);
    rig_done done = {0};
    assert_int_equal(etx_tx_submit(rig_pair(town.engine, "bank", NULL, 'D'), rig_done_fn, &done),
                     0);
    assert_true(host_wait_for(&done.count, 1));
    assert_int_equal(done.rc, 0);
    assert_int_equal(done.outcome.state, ETX_COMMITTED);
    assert_true(home_of(town.engine, done.outcome.gid, 1));
    assert_int_equal(rig_bank_effect(&town.bank, done.outcome.gid), 1);
    town_end(&town);
}

/* Who could read the gid, or chose it, is told: it is not begun under another. */
static void shown_and_chosen_gids_stay(void **state) {
    struct town town;
    (void)state;
    town_make(&town);
    rig_log_fail(&town.first, RIG_NOT_WRITTEN, -1);
    etx_tx *shown = rig_pair(town.engine, "bank", NULL, 'D');
    char gid[ETX_GID_MAX + 1];
    snprintf(gid, sizeof gid, "%s", etx_tx_gid(shown));
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(shown, &outcome), ETX_EUNAVAILABLE);
    assert_string_equal(outcome.gid, gid);
    assert_int_equal(etx_tx_run(rig_pair(town.engine, "bank", "mine", 'D'), &outcome),
                     ETX_EUNAVAILABLE);
    rig_done done = {0};
    assert_int_equal(
        etx_tx_submit(rig_pair(town.engine, "bank", "mine-2", 'D'), rig_done_fn, &done), 0);
    assert_true(host_wait_for(&done.count, 1));
    assert_int_equal(done.rc, ETX_EUNAVAILABLE);
    assert_int_equal(town.bank.count, 0);
    rig_log_fail(&town.first, RIG_WELL, 0);
    rig_must(town.engine, etx_tx_run(rig_pair(town.engine, "bank", "mine", 'D'), &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    town_end(&town);
}

/* A prefix names the home of a chosen gid. */
static void a_prefix_names_the_home(void **state) {
    struct town town;
    (void)state;
    town_make(&town);
    char gid[64];
    snprintf(gid, sizeof gid, "@%s:order-7", status_of(town.engine, 1).id);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(town.engine, etx_tx_run(rig_pair(town.engine, "bank", gid, 'D'), &outcome), "run");
    etx_status status = {.size = sizeof status};
    assert_int_equal(etx_query(town.engine, gid, &status), 0);
    assert_string_equal(status.home, status_of(town.engine, 1).id);
    assert_int_equal(etx_query(town.engine, "@v123456:order-7", &status), ETX_EGONE);
    assert_int_equal(etx_query(town.engine, "@f123456:order-7", &status), ETX_EUNAVAILABLE);
    town_end(&town);
}

/* While nobody knows whether a put was written, its transaction waits; others go elsewhere. */
static void unknown_waits_and_others_go_elsewhere(rig_fault fault) {
    struct town town;
    town_make(&town);
    rig_log_fail(&town.first, fault, -1);
    rig_done waits = {0};
    assert_int_equal(etx_tx_submit(rig_pair(town.engine, "bank", NULL, 'D'), rig_done_fn, &waits),
                     0);
    assert_true(usable_becomes(town.engine, 0, 0));
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(town.engine, etx_tx_run(rig_pair(town.engine, "bank", NULL, 'D'), &outcome), "run");
    assert_true(home_of(town.engine, outcome.gid, 1));
    assert_int_equal(waits.count, 0);
    rig_log_fail(&town.first, RIG_WELL, 0);
    assert_true(host_wait_for(&waits.count, 1));
    assert_int_equal(waits.rc, 0);
    assert_int_equal(waits.outcome.state, ETX_COMMITTED);
    assert_true(home_of(town.engine, waits.outcome.gid, 0));
    assert_true(goes_to(&town, 0));
    town_end(&town);
}

static void unknown_and_not_written(void **state) {
    (void)state;
    unknown_waits_and_others_go_elsewhere(RIG_UNKNOWN);
}

static void unknown_and_written(void **state) {
    (void)state;
    unknown_waits_and_others_go_elsewhere(RIG_UNKNOWN_WRITTEN);
}

/* A put that does not come back: what waits behind it begins elsewhere, and new ones too. */
static void a_hanging_put_is_left_behind(void **state) {
    struct town town;
    (void)state;
    town_make(&town);
    rig_log_fail(&town.first, RIG_HANGS, 1);
    rig_done hangs = {0}, behind = {0};
    assert_int_equal(etx_tx_submit(rig_pair(town.engine, "bank", NULL, 'D'), rig_done_fn, &hangs),
                     0);
    assert_true(host_wait_for(&town.first.hanging, 1));
    assert_int_equal(etx_tx_submit(rig_pair(town.engine, "bank", NULL, 'D'), rig_done_fn, &behind),
                     0);
    etx_tx *chosen = rig_pair(town.engine, "bank", "mine", 'D');
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(chosen, &outcome), ETX_EUNAVAILABLE);
    assert_true(host_wait_for(&behind.count, 1));
    assert_int_equal(behind.rc, 0);
    assert_true(home_of(town.engine, behind.outcome.gid, 1));
    rig_must(town.engine, etx_tx_run(rig_pair(town.engine, "bank", NULL, 'D'), &outcome), "run");
    assert_true(home_of(town.engine, outcome.gid, 1));
    assert_int_equal(hangs.count, 0);
    sem_post(&town.first.gate);
    assert_true(host_wait_for(&hangs.count, 1));
    assert_int_equal(hangs.rc, 0);
    assert_true(home_of(town.engine, hangs.outcome.gid, 0));
    assert_true(goes_to(&town, 0));
    town_end(&town);
}

static void a_broken_log_is_left_and_returned_to(void **state) {
    struct town town;
    (void)state;
    town_make(&town);
    atomic_store(&town.first.reopen_rc, ETX_EIO);
    rig_log_fail(&town.first, RIG_BROKEN, -1);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(rig_pair(town.engine, "bank", NULL, 'D'), &outcome), ETX_EUNKNOWN);
    assert_string_not_equal(outcome.gid, "");
    etx_outcome second = ETX_OUTCOME_INIT;
    rig_must(town.engine, etx_tx_run(rig_pair(town.engine, "bank", NULL, 'D'), &second), "run");
    assert_true(home_of(town.engine, second.gid, 1));
    assert_int_equal(etx_tx_run(rig_pair(town.engine, "bank", "mine", 'D'), &second),
                     ETX_EUNAVAILABLE);
    assert_true(host_wait_for(&town.first.reopened, 3));
    rig_log_fail(&town.first, RIG_WELL, 0);
    atomic_store(&town.first.reopen_rc, 0);
    assert_true(usable_becomes(town.engine, 0, 1));
    etx_status status = {.size = sizeof status};
    assert_int_equal(etx_query(town.engine, outcome.gid, &status), ETX_EGONE);
    assert_true(goes_to(&town, 0));
    town_end(&town);
}

/* Full: new ones are refused or go elsewhere; what has begun ends. */
static void a_full_log_ends_what_has_begun(void **state) {
    struct town town;
    (void)state;
    town_make(&town);
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    options.gid = "begun";
    rig_must(town.engine, etx_tx_begin(town.engine, &options, &tx), "begin");
    etx_branch branch = ETX_BRANCH_INIT;
    rig_order order = {1, 'D'};
    branch.participant = "bank";
    branch.name = "a";
    branch.flags = ETX_BY_INITIATOR;
    branch.payload = &order;
    branch.payload_len = sizeof order;
    rig_must(town.engine, etx_tx_enlist(tx, &branch), "enlist");
    atomic_store(&town.first.full, 1);
    rig_must(town.engine, etx_tx_result(tx, "a", ETX_DONE, "", 0, NULL), "result");
    assert_true(usable_becomes(town.engine, 0, 0));
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(rig_pair(town.engine, "bank", "late", 'D'), &outcome), ETX_EFULL);
    rig_must(town.engine, etx_tx_run(rig_pair(town.engine, "bank", NULL, 'D'), &outcome), "run");
    assert_true(home_of(town.engine, outcome.gid, 1));
    rig_must(town.engine, etx_tx_commit(tx, &outcome), "commit");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    atomic_store(&town.first.full, 0);
    assert_true(usable_becomes(town.engine, 0, 1));
    assert_true(goes_to(&town, 0));
    town_end(&town);
}

/* Cut in the middle, words do not say what is to be done: the name of the home gives way. */
static void a_full_log_says_all_of_it(void **state) {
    static const char words[] =
        "no space is left there: free some. Until then only what has begun "
        "can end";
    (void)state;
    for (int more = 0; more <= 300; more += 60) {
        struct town town;
        etx_outcome outcome = ETX_OUTCOME_INIT;
        town_make_long(&town, more);
        atomic_store(&town.first.full, 1);
        rig_must(town.engine, etx_tx_run(rig_pair(town.engine, "bank", NULL, 'D'), &outcome), "");
        assert_true(usable_becomes(town.engine, 0, 0));
        assert_int_equal(etx_tx_run(rig_pair(town.engine, "bank", "late", 'D'), &outcome),
                         ETX_EFULL);
        assert_string_equal(status_of(town.engine, 0).why, words);
        assert_true(strncmp(outcome.reason, "home faulty:", 12) == 0);
        assert_non_null(strstr(outcome.reason, words));
        if (more < 60) {
            assert_non_null(strstr(outcome.reason, town.first.url));
        } else {
            assert_non_null(strstr(outcome.reason, "?0000000"));
        }
        atomic_store(&town.first.full, 0);
        town_end(&town);
    }
}

/* Nothing new is begun where there is no space; what was begun there is answered as it stands. */
static void a_repeat_on_a_full_disk_is_answered(void **state) {
    struct town town;
    (void)state;
    town_make(&town);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *first = NULL;
    etx_tx *again = NULL;
    rig_must(town.engine, etx_tx_run(rig_pair(town.engine, "bank", "paid", 'D'), &outcome), "run");
    rig_must(town.engine, etx_tx_run(rig_pair(town.engine, "bank", "poor", 'R'), &outcome), "run");
    options.gid = "open";
    rig_must(town.engine, etx_tx_begin(town.engine, &options, &first), "begin");
    etx_branch branch = ETX_BRANCH_INIT;
    branch.participant = "bank";
    branch.name = "a";
    branch.flags = ETX_BY_INITIATOR;
    rig_must(town.engine, etx_tx_enlist(first, &branch), "enlist");
    atomic_store(&town.first.full, 1);
    rig_must(town.engine, etx_tx_result(first, "a", ETX_DONE, "", 0, NULL), "a put finds it full");
    assert_true(usable_becomes(town.engine, 0, 0));
    assert_int_equal(etx_tx_run(rig_pair(town.engine, "bank", "new", 'D'), &outcome), ETX_EFULL);
    rig_must(town.engine, etx_tx_run(rig_pair(town.engine, "bank", "paid", 'D'), &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_must(town.engine, etx_tx_run(rig_pair(town.engine, "bank", "poor", 'R'), &outcome), "run");
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_int_equal(etx_tx_run(rig_pair(town.engine, "bank", "paid", 'R'), &outcome),
                     ETX_ECONFLICT);
    rig_done done = {0};
    assert_int_equal(etx_tx_submit(rig_pair(town.engine, "bank", "paid", 'D'), rig_done_fn, &done),
                     0);
    assert_true(host_wait_for(&done.count, 1));
    assert_int_equal(done.rc, 0);
    assert_int_equal(done.outcome.state, ETX_COMMITTED);
    rig_must(town.engine, etx_tx_begin(town.engine, &options, &again), "begin again");
    etx_tx_discard(again);
    rig_must(town.engine, etx_tx_abort(first, &outcome), "abort");
    town_end(&town);
}

static void no_home_that_satisfies_is_said_at_once(void **state) {
    struct town town;
    (void)state;
    town_make(&town);
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    options.durability = ETX_REPLICATED;
    options.patience_ms = 30000;
    etx_tx *tx = NULL;
    rig_must(town.engine, etx_tx_new(town.engine, &options, &tx), "new");
    rig_must(town.engine, etx_tx_add(tx, "bank", "x", 1), "add");
    uint64_t before = host_now_ms();
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(tx, &outcome), ETX_EUNAVAILABLE);
    assert_true(host_now_ms() - before < options.patience_ms);
    assert_non_null(strstr(outcome.reason, "replicated"));
    town_end(&town);
}

/* All homes that could are full: that is the reason, and which. One is away: that is another. */
static void full_and_away_are_told_apart(void **state) {
    (void)state;
    for (int away = 0; away < 2; away++) {
        struct town town;
        town_make(&town);
        rig_log_fail(&town.first, RIG_FULL, -1);
        rig_log_fail(&town.second, away ? RIG_NOT_WRITTEN : RIG_FULL, -1);
        int want = away ? ETX_EUNAVAILABLE : ETX_EFULL;
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_tx *tx = NULL;
        char message[256];
        assert_int_equal(etx_tx_run(rig_pair(town.engine, "bank", NULL, 'D'), &outcome), want);
        assert_int_equal(etx_tx_run(rig_pair(town.engine, "bank", NULL, 'D'), &outcome), want);
        assert_non_null(strstr(outcome.reason, away ? town.second.url : town.first.url));
        assert_non_null(strstr(outcome.reason, away ? "it is away" : "space"));
        assert_int_equal(etx_tx_begin(town.engine, NULL, &tx), want);
        etx_engine_message(town.engine, message, sizeof message);
        assert_string_equal(message, outcome.reason);
        rig_log_fail(&town.first, RIG_WELL, 0);
        rig_log_fail(&town.second, RIG_WELL, 0);
        town_end(&town);
    }
}

/* A memory home takes over for those who asked for no more, and says so. */
static void memory_takes_over_for_the_modest(void **state) {
    rig_log first;
    rig_bank bank;
    (void)state;
    rig_log_make(&first, NULL, "partitions=1");
    rig_bank_make(&bank, 100);
    etx_engine *engine = rig_engine(NULL, first.url, "memory:");
    rig_bank_register(&bank, engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(engine);
    rig_log_fail(&first, RIG_NOT_WRITTEN, -1);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(rig_pair(engine, "bank", NULL, 'D'), &outcome), ETX_EUNAVAILABLE);
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    options.durability = ETX_VOLATILE;
    etx_tx *tx = NULL;
    rig_must(engine, etx_tx_new(engine, &options, &tx), "new");
    rig_must(engine, etx_tx_add(tx, "bank", "x", 1), "add");
    rig_must(engine, etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(outcome.durability, ETX_VOLATILE);
    rig_log_fail(&first, RIG_WELL, 0);
    rig_close(engine, ETX_CLOSE_FINISH);
    /* the process's death is what a volatile home does not survive */
    engine = rig_engine(NULL, first.url, "memory:");
    rig_start(engine);
    etx_status status = {.size = sizeof status};
    assert_int_equal(etx_query(engine, outcome.gid, &status), ETX_EGONE);
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_bank_end(&bank);
    rig_log_end(&first);
}

static int run_one(etx_engine *engine,
                   const char *participant,
                   const char *gid,
                   etx_durability durability,
                   etx_outcome *outcome) {
    const rig_order order = {1, 'D'};
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    options.gid = gid;
    options.durability = durability;
    *outcome = (etx_outcome)ETX_OUTCOME_INIT;
    rig_must(engine, etx_tx_new(engine, &options, &tx), "new");
    rig_must(engine, etx_tx_add(tx, participant, &order, sizeof order), "add");
    return etx_tx_run(tx, outcome);
}

/* A gid of the caller's own has one home; if that promises less than is asked for, nothing begins.
 * What is there already is told all the same. */
static void a_chosen_gid_gets_what_it_asks_for(void **state) {
    rig_bank bank;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_status status = {.size = sizeof status};
    (void)state;
    rig_bank_make(&bank, 100);
    etx_engine *engine = rig_engine(NULL, "memory:", NULL);
    rig_bank_register(&bank, engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(engine);
    const etx_durability asked[] = {ETX_DURABILITY_DEFAULT, ETX_LOCAL, ETX_REPLICATED};
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        assert_int_equal(run_one(engine, "bank", "mine", asked[i], &outcome), ETX_EUNAVAILABLE);
        assert_non_null(strstr(outcome.reason, "promises less durability"));
        assert_int_equal(etx_query(engine, "mine", &status), ETX_ENOTFOUND);
    }
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    options.gid = "mine";
    assert_int_equal(etx_tx_begin(engine, &options, &tx), ETX_EUNAVAILABLE);
    assert_int_equal(run_one(engine, "bank", "mine", ETX_VOLATILE, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(run_one(engine, "bank", "mine", ETX_REPLICATED, &outcome), 0);
    assert_int_equal(outcome.durability, ETX_VOLATILE);
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_bank_end(&bank);
}

/* What XA has prepared outlives the process: a home that does not takes none, whatever is asked
 * for. */
static void a_volatile_home_refuses_xa(void **state) {
    const char *const gids[] = {NULL, "mine"};
    rig_bank bank;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    rig_bank_make(&bank, 100);
    etx_engine *engine = rig_engine(NULL, "memory:", NULL);
    rig_bank_register(&bank, engine, "xa", ETX_XA, ETX_INLINE);
    rig_start(engine);
    for (int i = 0; i < 2; i++) {
        etx_tx_options options = ETX_TX_OPTIONS_INIT;
        etx_branch branch = ETX_BRANCH_INIT;
        etx_tx *tx = NULL;
        assert_int_equal(run_one(engine, "xa", gids[i], ETX_VOLATILE, &outcome), ETX_EUNAVAILABLE);
        assert_non_null(strstr(outcome.reason, "XA"));
        options.durability = ETX_VOLATILE;
        options.gid = gids[i];
        rig_must(engine, etx_tx_begin(engine, &options, &tx), "begin");
        branch.participant = "xa";
        branch.name = "books";
        host_says(engine, etx_tx_enlist(tx, &branch), ETX_EINVALID, "a volatile home refuses XA");
        rig_must(engine, etx_tx_abort(tx, &outcome), "abort");
    }
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_bank_end(&bank);
}

/* Failing at random under load: nothing is torn, and every answer is true. */
static void flapping_under_load(void **state) {
    enum { ROUNDS = 60, EACH = 20 };
    struct town town;
    (void)state;
    town_make(&town);
    rig_done *done = calloc(ROUNDS * EACH, sizeof *done);
    assert_non_null(done);
    for (int i = 0; i < ROUNDS; i++) {
        rig_log_fail(i % 2 ? &town.first : &town.second, (rig_fault)(i * 7 % 5), 1 + i % 3);
        assert_true(status_of(town.engine, 0).usable || usable_becomes(town.engine, 0, 1));
        for (int k = 0; k < EACH; k++) {
            rig_done *one = &done[i * EACH + k];
            int rc = etx_tx_submit(rig_pair(town.engine, "bank", NULL, k % 5 ? 'D' : 'R'),
                                   rig_done_fn, one);
            if (rc != 0) {
                assert_true(rc == ETX_EUNAVAILABLE || rc == ETX_EFULL); /* one is away, or full */
                rig_done_fn(rc, &(etx_outcome)ETX_OUTCOME_INIT, one);
            }
        }
        assert_true(host_wait_for(&done[i * EACH].count, 1));
    }
    rig_log_fail(&town.first, RIG_WELL, 0);
    rig_log_fail(&town.second, RIG_WELL, 0);
    unsigned good = 0;
    for (int i = 0; i < ROUNDS * EACH; i++) {
        assert_true(host_wait_for(&done[i].count, 1));
        assert_int_equal(done[i].count, 1);
        if (done[i].rc == 0) {
            good++;
            assert_int_equal(rig_bank_effect(&town.bank, done[i].outcome.gid),
                             done[i].outcome.state == ETX_COMMITTED);
        }
    }
    assert_true(good > ROUNDS * EACH / 4);
    free(done);
    town_end(&town);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_home_is_used_and_said),
        cmocka_unit_test(not_written_begins_elsewhere),
        cmocka_unit_test(no_space_begins_elsewhere),
        cmocka_unit_test(a_repeat_on_a_full_disk_is_answered),
        cmocka_unit_test(a_submitted_one_begins_elsewhere_too),
        cmocka_unit_test(shown_and_chosen_gids_stay),
        cmocka_unit_test(a_prefix_names_the_home),
        cmocka_unit_test(unknown_and_not_written),
        cmocka_unit_test(unknown_and_written),
        cmocka_unit_test(a_hanging_put_is_left_behind),
        cmocka_unit_test(a_broken_log_is_left_and_returned_to),
        cmocka_unit_test(a_full_log_ends_what_has_begun),
        cmocka_unit_test(no_home_that_satisfies_is_said_at_once),
        cmocka_unit_test(full_and_away_are_told_apart),
        cmocka_unit_test(memory_takes_over_for_the_modest),
        cmocka_unit_test(a_chosen_gid_gets_what_it_asks_for),
        cmocka_unit_test(a_volatile_home_refuses_xa),
        cmocka_unit_test(a_full_log_says_all_of_it),
        cmocka_unit_test(flapping_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
