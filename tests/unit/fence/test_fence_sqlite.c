/* The SQLite fence: every interleaving of repeated, empty, late and refused calls is harmless. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include <etx/fence.h>

typedef struct fixture {
    char dir[64];
    char path[128];
    sqlite3 *db;
    sqlite3 *other; /* a second connection to the same file */
} fixture;

static void execute(sqlite3 *db, const char *sql) {
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        fail_msg("%s: %s", sql, message);
    }
}

static int64_t ask(sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement = NULL;
    int64_t value;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static sqlite3 *open_bank(const char *path) {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    execute(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF");
    return db;
}

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    strncpy(f->dir, "/tmp/etx-fence-XXXXXX", sizeof f->dir - 1);
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/bank.db", f->dir);
    f->db = open_bank(f->path);
    f->other = open_bank(f->path);
    assert_int_equal(etx_fence_sqlite_prepare(f->db), 0);
    execute(f->db,
            "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER, held INTEGER);"
            "INSERT INTO account VALUES(1, 1000, 0)");
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    char command[192];
    sqlite3_close(f->db);
    sqlite3_close(f->other);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    if (system(command) != 0) {
        return -1;
    }
    free(f);
    return 0;
}

static etx_fence_call make_call(const char *gid, etx_kind kind, etx_operation operation) {
    etx_fence_call call = ETX_FENCE_CALL_INIT;
    call.gid = gid;
    call.branch = "0";
    call.kind = kind;
    call.operation = operation;
    call.begin_ms = 1000;
    return call;
}

static etx_fence_answer enter(sqlite3 *db, const etx_fence_call *call) {
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    assert_int_equal(etx_fence_sqlite_enter(db, call, &answer), 0);
    return answer;
}

/* One whole operation, as a participant does it: `sql` is the business work. Returns 0 if it ran,
 * else the reply that was kept. */
static etx_reply operate(sqlite3 *db,
                         const etx_fence_call *call,
                         const char *sql,
                         etx_reply reply) {
    etx_fence_answer answer;
    execute(db, "BEGIN IMMEDIATE");
    answer = enter(db, call);
    assert_int_not_equal(answer.verdict, ETX_FENCE_TOO_OLD);
    if (answer.verdict == ETX_FENCE_RUN) {
        execute(db, sql);
        assert_int_equal(etx_fence_sqlite_finish(db, call, reply, "", NULL, 0), 0);
    }
    execute(db, "COMMIT");
    return answer.verdict == ETX_FENCE_RUN ? (etx_reply)0 : answer.reply;
}

static const char hold[] = "UPDATE account SET held = held + 10 WHERE id = 1";
static const char book[] =
    "UPDATE account SET held = held - 10, balance = balance - 10 WHERE id = 1";
static const char drop[] = "UPDATE account SET held = held - 10 WHERE id = 1";

static void test_repeats_run_once_and_answer_the_same(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_call confirm = make_call("g", ETX_TCC, ETX_COMMIT);
    etx_fence_answer answer;

    execute(f->db, "BEGIN IMMEDIATE");
    assert_int_equal(enter(f->db, &try).verdict, ETX_FENCE_RUN);
    execute(f->db, hold);
    assert_int_equal(etx_fence_sqlite_finish(f->db, &try, ETX_DONE, "noted", "seat\0A", 6), 0);
    execute(f->db, "COMMIT");

    execute(f->other, "BEGIN IMMEDIATE");
    answer = enter(f->other, &try);
    execute(f->other, "COMMIT");
    assert_int_equal(answer.verdict, ETX_FENCE_ANSWERED);
    assert_int_equal(answer.reply, ETX_DONE);
    assert_string_equal(answer.reason, "noted");
    assert_int_equal(answer.result_len, 6);
    assert_memory_equal(answer.result, "seat\0A", 6);

    assert_int_equal(operate(f->db, &confirm, book, ETX_DONE), 0);
    assert_int_equal(operate(f->other, &confirm, book, ETX_DONE), ETX_DONE);
    assert_int_equal(operate(f->db, &confirm, book, ETX_DONE), ETX_DONE);
    assert_int_equal(ask(f->db, "SELECT balance FROM account"), 990);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
}

static void test_refusal_rolls_back_and_is_kept(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_call cancel = make_call("g", ETX_TCC, ETX_UNDO);
    etx_fence_answer answer;

    execute(f->db, "BEGIN IMMEDIATE");
    assert_int_equal(enter(f->db, &try).verdict, ETX_FENCE_RUN);
    execute(f->db, hold);
    assert_int_equal(etx_fence_sqlite_finish(f->db, &try, ETX_REFUSED, "no money", NULL, 0), 0);
    execute(f->db, "COMMIT");
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);

    execute(f->db, "BEGIN IMMEDIATE");
    answer = enter(f->db, &try);
    execute(f->db, "COMMIT");
    assert_int_equal(answer.verdict, ETX_FENCE_ANSWERED);
    assert_int_equal(answer.reply, ETX_REFUSED);
    assert_string_equal(answer.reason, "no money");

    assert_int_equal(operate(f->db, &cancel, drop, ETX_DONE), ETX_DONE);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
}

static void test_empty_undo_keeps_the_late_forward_out(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_call cancel = make_call("g", ETX_TCC, ETX_UNDO);
    assert_int_equal(operate(f->db, &cancel, drop, ETX_DONE), ETX_DONE);
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence"), 2); /* marker and undo */
    assert_int_equal(operate(f->db, &cancel, drop, ETX_DONE), ETX_DONE);
    assert_int_equal(operate(f->other, &try, hold, ETX_DONE), ETX_REFUSED);
    assert_int_equal(operate(f->other, &try, hold, ETX_DONE), ETX_REFUSED);
    assert_int_equal(operate(f->db, &cancel, drop, ETX_DONE), ETX_DONE);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
    assert_int_equal(ask(f->db, "SELECT marker FROM etx_fence WHERE operation = 0"), 1);
}

static void test_undo_runs_once_and_a_late_forward_changes_nothing(void **state) {
    fixture *f = *state;
    etx_fence_call action = make_call("g", ETX_SAGA, ETX_FORWARD);
    etx_fence_call undo = make_call("g", ETX_SAGA, ETX_UNDO);
    assert_int_equal(operate(f->db, &action, hold, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &undo, drop, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &undo, drop, ETX_DONE), ETX_DONE);
    assert_int_equal(operate(f->db, &action, hold, ETX_DONE), ETX_DONE);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
}

static void test_commit_without_forward_is_refused_not_recorded(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_call confirm = make_call("g", ETX_TCC, ETX_COMMIT);
    etx_fence_call cancel = make_call("g", ETX_TCC, ETX_UNDO);
    etx_fence_answer answer;
    execute(f->db, "BEGIN IMMEDIATE");
    answer = enter(f->db, &confirm);
    execute(f->db, "COMMIT");
    assert_int_equal(answer.verdict, ETX_FENCE_ANSWERED);
    assert_int_equal(answer.reply, ETX_REFUSED);
    assert_true(strlen(answer.reason) > 0);
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence"), 0);
    /* the initiator's own try, late */
    assert_int_equal(operate(f->db, &try, hold, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &confirm, book, ETX_DONE), 0);
    /* and an undo after the commit is an alarm */
    assert_int_equal(operate(f->db, &cancel, drop, ETX_DONE), ETX_REFUSED);
    assert_int_equal(ask(f->db, "SELECT balance FROM account"), 990);
}

static void test_commit_of_refused_or_undone_is_refused(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("refused", ETX_TCC, ETX_FORWARD);
    etx_fence_call confirm = make_call("refused", ETX_TCC, ETX_COMMIT);
    etx_fence_call undone = make_call("undone", ETX_TCC, ETX_UNDO);
    assert_int_equal(operate(f->db, &try, hold, ETX_REFUSED), 0);
    assert_int_equal(operate(f->db, &confirm, book, ETX_DONE), ETX_REFUSED);
    assert_int_equal(operate(f->db, &undone, drop, ETX_DONE), ETX_DONE);
    undone.operation = ETX_COMMIT;
    assert_int_equal(operate(f->db, &undone, book, ETX_DONE), ETX_REFUSED);
    try.gid = undone.gid = "done-and-undone";
    undone.operation = ETX_UNDO;
    assert_int_equal(operate(f->db, &try, hold, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &undone, drop, ETX_DONE), 0);
    undone.operation = ETX_COMMIT;
    assert_int_equal(operate(f->db, &undone, book, ETX_DONE), ETX_REFUSED);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
    assert_int_equal(ask(f->db, "SELECT balance FROM account"), 1000);
}

static void test_refused_finishing_operation_runs_again(void **state) {
    fixture *f = *state;
    etx_fence_call action = make_call("g", ETX_SAGA, ETX_FORWARD);
    etx_fence_call undo = make_call("g", ETX_SAGA, ETX_UNDO);
    assert_int_equal(operate(f->db, &action, hold, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &undo, drop, ETX_REFUSED), 0);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 10);
    assert_int_equal(ask(f->db, "SELECT reply FROM etx_fence WHERE operation = 2"), ETX_REFUSED);
    assert_int_equal(operate(f->db, &undo, drop, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &undo, drop, ETX_DONE), ETX_DONE);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
}

static void test_messages_and_notifications_have_a_commit_only(void **state) {
    fixture *f = *state;
    etx_fence_call deliver = make_call("m", ETX_MESSAGE, ETX_COMMIT);
    etx_fence_call notify = make_call("n", ETX_NOTIFICATION, ETX_COMMIT);
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    assert_int_equal(operate(f->db, &deliver, hold, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &deliver, hold, ETX_DONE), ETX_DONE);
    assert_int_equal(operate(f->db, &notify, hold, ETX_REFUSED), 0);
    assert_int_equal(operate(f->db, &notify, hold, ETX_DONE), ETX_REFUSED);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 10);
    deliver.operation = ETX_UNDO;
    execute(f->db, "BEGIN");
    assert_int_equal(etx_fence_sqlite_enter(f->db, &deliver, &answer), ETX_EINVALID);
    execute(f->db, "ROLLBACK");
}

static void test_rollback_of_the_callers_transaction_forgets_the_call(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    execute(f->db, "BEGIN IMMEDIATE");
    assert_int_equal(enter(f->db, &try).verdict, ETX_FENCE_RUN);
    execute(f->db, hold);
    assert_int_equal(etx_fence_sqlite_finish(f->db, &try, ETX_DONE, NULL, NULL, 0), 0);
    execute(f->db, "ROLLBACK");
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence"), 0);
    assert_int_equal(operate(f->db, &try, hold, ETX_DONE), 0);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 10);
}

static void test_keys_are_compared_byte_for_byte(void **state) {
    fixture *f = *state;
    static const char *const gids[] = {"a", "A", "a0", "1", "01", "1.0", "a%", "a_"};
    size_t i;
    for (i = 0; i < sizeof gids / sizeof gids[0]; i++) {
        etx_fence_call try = make_call(gids[i], ETX_TCC, ETX_FORWARD);
        assert_int_equal(operate(f->db, &try, hold, ETX_DONE), 0);
        try.branch = "O";
        assert_int_equal(operate(f->db, &try, hold, ETX_DONE), 0);
        try.branch = "o";
        assert_int_equal(operate(f->db, &try, hold, ETX_DONE), 0);
    }
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence"), 24);
}

static void test_bad_arguments(void **state) {
    fixture *f = *state;
    char long_gid[ETX_GID_MAX + 2];
    char reason[400];
    etx_fence_call call = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    memset(long_gid, 'x', sizeof long_gid);
    long_gid[sizeof long_gid - 1] = '\0';
    memset(reason, 'r', sizeof reason);
    reason[sizeof reason - 1] = '\0';

    assert_int_equal(etx_fence_sqlite_enter(f->db, &call, &answer), ETX_EINVALID); /* no BEGIN */
    execute(f->db, "BEGIN IMMEDIATE");
    assert_int_equal(etx_fence_sqlite_enter(NULL, &call, &answer), ETX_EINVALID);
    assert_int_equal(etx_fence_sqlite_enter(f->db, NULL, &answer), ETX_EINVALID);
    assert_int_equal(etx_fence_sqlite_enter(f->db, &call, NULL), ETX_EINVALID);
    call.size = 0;
    assert_int_equal(etx_fence_sqlite_enter(f->db, &call, &answer), ETX_EINVALID);
    call.size = sizeof call;
    call.gid = long_gid;
    assert_int_equal(etx_fence_sqlite_enter(f->db, &call, &answer), ETX_EINVALID);
    call.gid = "with space";
    assert_int_equal(etx_fence_sqlite_enter(f->db, &call, &answer), ETX_EINVALID);
    call.gid = "";
    assert_int_equal(etx_fence_sqlite_enter(f->db, &call, &answer), ETX_EINVALID);
    call.gid = "g";
    call.operation = ETX_QUERY;
    assert_int_equal(etx_fence_sqlite_enter(f->db, &call, &answer), ETX_EINVALID);
    call.operation = ETX_FORWARD;
    /* finish without enter, with a reply that is none, with too large a result */
    assert_int_equal(etx_fence_sqlite_finish(f->db, &call, ETX_DONE, NULL, NULL, 0), ETX_EINVALID);
    assert_int_equal(enter(f->db, &call).verdict, ETX_FENCE_RUN);
    assert_int_equal(etx_fence_sqlite_finish(f->db, &call, ETX_RETRY, NULL, NULL, 0), ETX_EINVALID);
    assert_int_equal(etx_fence_sqlite_finish(f->db, &call, ETX_DONE, NULL, reason, 1025),
                     ETX_EINVALID);
    /* entered twice */
    assert_int_equal(etx_fence_sqlite_enter(f->db, &call, &answer), ETX_EINVALID);
    assert_int_equal(etx_fence_sqlite_finish(f->db, &call, ETX_REFUSED, reason, NULL, 0), 0);
    execute(f->db, "COMMIT");
    execute(f->db, "BEGIN IMMEDIATE");
    assert_int_equal(strlen(enter(f->db, &call).reason), ETX_REASON_MAX);
    execute(f->db, "COMMIT");
}

static void test_schema_is_made_once_and_newer_ones_are_left_alone(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    uint64_t deleted = 0;
    assert_int_equal(operate(f->db, &try, hold, ETX_DONE), 0);
    assert_int_equal(etx_fence_sqlite_prepare(f->db), 0);
    execute(f->db, "BEGIN");
    assert_int_equal(etx_fence_sqlite_prepare(f->db), 0); /* inside a transaction */
    execute(f->db, "COMMIT");
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence"), 1);

    execute(f->db, "UPDATE etx_fence_meta SET version = 2");
    assert_int_equal(etx_fence_sqlite_prepare(f->db), ETX_EVERSION);
    assert_true(sqlite3_get_autocommit(f->db));
    assert_int_equal(etx_fence_sqlite_clean(f->db, 5000, 10, &deleted), ETX_EVERSION);
    execute(f->db, "BEGIN IMMEDIATE");
    try.gid = "h";
    assert_int_equal(etx_fence_sqlite_enter(f->db, &try, &answer), ETX_EVERSION);
    execute(f->db, "ROLLBACK");
}

static void test_second_connection_is_told_busy(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_call cancel = make_call("g", ETX_TCC, ETX_UNDO);
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    execute(f->db, "BEGIN IMMEDIATE");
    assert_int_equal(enter(f->db, &try).verdict, ETX_FENCE_RUN);
    execute(f->db, hold);
    /* a deferred transaction gets no lock, and takes no decision on what it cannot see */
    execute(f->other, "BEGIN");
    assert_int_equal(etx_fence_sqlite_enter(f->other, &cancel, &answer), ETX_EBUSY);
    execute(f->other, "ROLLBACK");
    assert_int_equal(etx_fence_sqlite_finish(f->db, &try, ETX_DONE, NULL, NULL, 0), 0);
    execute(f->db, "COMMIT");
    assert_int_equal(operate(f->other, &cancel, drop, ETX_DONE), 0);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
}

static void test_cleaning_moves_a_horizon_that_keeps_old_calls_out(void **state) {
    fixture *f = *state;
    etx_fence_call call = make_call("finished", ETX_TCC, ETX_FORWARD);
    etx_fence_answer answer;
    uint64_t deleted = 0;
    int64_t total = 0;
    int i;
    assert_int_equal(operate(f->db, &call, hold, ETX_DONE), 0);
    call.operation = ETX_COMMIT;
    assert_int_equal(operate(f->db, &call, book, ETX_DONE), 0);
    call = make_call("holding", ETX_TCC, ETX_FORWARD); /* its commit is still to come */
    assert_int_equal(operate(f->db, &call, hold, ETX_DONE), 0);
    call = make_call("refused", ETX_TCC, ETX_FORWARD);
    assert_int_equal(operate(f->db, &call, hold, ETX_REFUSED), 0);
    call = make_call("saga", ETX_SAGA, ETX_FORWARD);
    assert_int_equal(operate(f->db, &call, hold, ETX_DONE), 0);
    call = make_call("waiting", ETX_SAGA, ETX_FORWARD);
    assert_int_equal(operate(f->db, &call, hold, ETX_DONE), 0);
    call.operation = ETX_UNDO;
    assert_int_equal(operate(f->db, &call, drop, ETX_REFUSED), 0);
    call = make_call("young", ETX_SAGA, ETX_FORWARD);
    call.begin_ms = 2000;
    assert_int_equal(operate(f->db, &call, hold, ETX_DONE), 0);
    call = make_call("delivered", ETX_MESSAGE, ETX_COMMIT);
    assert_int_equal(operate(f->db, &call, hold, ETX_DONE), 0);
    call = make_call("undelivered", ETX_MESSAGE, ETX_COMMIT);
    assert_int_equal(operate(f->db, &call, hold, ETX_REFUSED), 0);

    execute(f->db, "BEGIN");
    assert_int_equal(etx_fence_sqlite_clean(f->db, 1500, 100, &deleted), ETX_EINVALID);
    execute(f->db, "ROLLBACK");
    /* one branch at a time; the finished one has two rows */
    for (i = 0; i < 4; i++) {
        assert_int_equal(etx_fence_sqlite_clean(f->db, 1500, 1, &deleted), 0);
        assert_in_range(deleted, 1, 2);
        total += (int64_t)deleted;
    }
    assert_int_equal(total, 5);
    assert_int_equal(etx_fence_sqlite_clean(f->db, 1500, 100, &deleted), 0);
    assert_int_equal(deleted, 0);
    assert_int_equal(ask(f->db, "SELECT count(DISTINCT gid) FROM etx_fence"), 4);

    /* what is gone is too old, in each operation */
    for (i = 0; i < 3; i++) {
        call = make_call("finished", ETX_TCC, (etx_operation)i);
        execute(f->db, "BEGIN IMMEDIATE");
        answer = enter(f->db, &call);
        execute(f->db, "COMMIT");
        assert_int_equal(answer.verdict, ETX_FENCE_TOO_OLD);
    }
    /* what has rows is answered as always; what is young enough runs */
    call = make_call("holding", ETX_TCC, ETX_COMMIT);
    assert_int_equal(operate(f->db, &call, book, ETX_DONE), 0);
    call = make_call("waiting", ETX_SAGA, ETX_UNDO);
    assert_int_equal(operate(f->db, &call, drop, ETX_DONE), 0);
    call = make_call("new", ETX_TCC, ETX_FORWARD);
    call.begin_ms = 1500;
    assert_int_equal(operate(f->db, &call, hold, ETX_DONE), 0);
    /* the horizon only rises */
    assert_int_equal(etx_fence_sqlite_clean(f->db, 100, 100, &deleted), 0);
    assert_int_equal(ask(f->db, "SELECT horizon_ms FROM etx_fence_meta"), 1500);
}

/* ---- randomized interleavings: whatever comes how often in whatever order, as an engine that
 * decided once may send it, one transfer moves its money once or not at all. */

typedef struct story {
    uint64_t seed;
} story;

static uint32_t draw(story *s, uint32_t below) {
    s->seed ^= s->seed << 13;
    s->seed ^= s->seed >> 7;
    s->seed ^= s->seed << 17;
    return (uint32_t)((s->seed >> 33) % below);
}

/* Before the decision: forward calls and their copies. After it: what it says, as often as it
 * likes, mixed with late copies of the forward call. */
static void play_one(fixture *f, story *s, const char *gid) {
    etx_fence_call try = make_call(gid, ETX_TCC, ETX_FORWARD);
    etx_fence_call finish = make_call(gid, ETX_TCC, ETX_COMMIT);
    int refuses = draw(s, 4) == 0;
    int came = draw(s, 4) != 0;
    int64_t before = ask(f->db, "SELECT balance FROM account");
    uint32_t steps = 1 + draw(s, 6);
    int commit;
    uint32_t i;
    for (i = 0; came && i <= draw(s, 3); i++) {
        (void)operate(draw(s, 2) ? f->db : f->other, &try, hold, refuses ? ETX_REFUSED : ETX_DONE);
    }
    commit = came && !refuses && draw(s, 2) == 0;
    finish.operation = commit ? ETX_COMMIT : ETX_UNDO;
    for (i = 0; i < steps; i++) {
        sqlite3 *db = draw(s, 2) ? f->db : f->other;
        if (i + 1 < steps && draw(s, 2) == 0 && i > 0) {
            (void)operate(db, &try, hold, refuses ? ETX_REFUSED : ETX_DONE);
        } else {
            etx_reply reply = draw(s, 5) == 0 && i + 1 < steps ? ETX_REFUSED : ETX_DONE;
            (void)operate(db, &finish, commit ? book : drop, reply);
        }
    }
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
    assert_int_equal(ask(f->db, "SELECT balance FROM account"), before - (commit ? 10 : 0));
}

static void test_random_interleavings_conserve_money(void **state) {
    fixture *f = *state;
    const char *given = getenv("ETX_TEST_SEED");
    story s = {given != NULL ? strtoull(given, NULL, 10) : 88172645463325252ULL};
    print_message("seed %llu\n", (unsigned long long)s.seed);
    int i;
    for (i = 0; i < 1500; i++) {
        char gid[32];
        snprintf(gid, sizeof gid, "r%d", i);
        play_one(f, &s, gid);
    }
}

/* ---- two threads, each with a connection: one does, one undoes. */

typedef struct racer {
    const char *path;
    etx_operation operation;
    int ran;
    int failed;
} racer;

static int race_one(sqlite3 *db, racer *r, int number) {
    char gid[32];
    etx_fence_call call;
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    snprintf(gid, sizeof gid, "c%d", number);
    call = make_call(gid, ETX_TCC, r->operation);
    if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
        etx_fence_sqlite_enter(db, &call, &answer) != 0) {
        return -1;
    }
    if (answer.verdict == ETX_FENCE_RUN) {
        const char *sql = r->operation == ETX_FORWARD ? hold : drop;
        r->ran++;
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK ||
            etx_fence_sqlite_finish(db, &call, ETX_DONE, NULL, NULL, 0) != 0) {
            return -1;
        }
    }
    return sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

static void *race(void *user) {
    racer *r = user;
    sqlite3 *db = NULL;
    int i;
    if (sqlite3_open(r->path, &db) != SQLITE_OK || sqlite3_busy_timeout(db, 10000) != SQLITE_OK ||
        sqlite3_exec(db, "PRAGMA synchronous=OFF", NULL, NULL, NULL) != SQLITE_OK) {
        r->failed = 1;
    }
    for (i = 0; i < 400 && !r->failed; i++) {
        r->failed = race_one(db, r, i) != 0;
    }
    sqlite3_close(db);
    return NULL;
}

static void test_two_connections_race(void **state) {
    fixture *f = *state;
    racer racers[2] = {{f->path, ETX_FORWARD, 0, 0}, {f->path, ETX_UNDO, 0, 0}};
    pthread_t threads[2];
    int i;
    for (i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_false(racers[i].failed);
    }
    /* an undo ran exactly where the forward operation had */
    assert_int_equal(racers[0].ran, racers[1].ran);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence WHERE operation = 2"), 400);
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence WHERE marker = 1") + racers[0].ran,
                     400);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_repeats_run_once_and_answer_the_same),
        TEST(test_refusal_rolls_back_and_is_kept),
        TEST(test_empty_undo_keeps_the_late_forward_out),
        TEST(test_undo_runs_once_and_a_late_forward_changes_nothing),
        TEST(test_commit_without_forward_is_refused_not_recorded),
        TEST(test_commit_of_refused_or_undone_is_refused),
        TEST(test_refused_finishing_operation_runs_again),
        TEST(test_messages_and_notifications_have_a_commit_only),
        TEST(test_rollback_of_the_callers_transaction_forgets_the_call),
        TEST(test_keys_are_compared_byte_for_byte),
        TEST(test_bad_arguments),
        TEST(test_schema_is_made_once_and_newer_ones_are_left_alone),
        TEST(test_second_connection_is_told_busy),
        TEST(test_cleaning_moves_a_horizon_that_keeps_old_calls_out),
        TEST(test_random_interleavings_conserve_money),
        TEST(test_two_connections_race),
    };
    return cmocka_run_group_tests_name("fence_sqlite", tests, NULL, NULL);
}
