/* The PostgreSQL fence where two transactions have calls of one branch at once, and where the
 * database says no. */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bank.h"

/* ---- a whole operation in a thread of its own, which may have to wait */

typedef struct operation {
    bank *db;
    etx_fence_call call;
    const char *sql;
    pthread_t thread;
    int rc; /* of enter */
    etx_fence_answer answer;
} operation;

static void *run_operation(void *user) {
    operation *o = user;
    const fence_subject *of = o->db->of;
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    o->rc = of->execute(o->db->db, "BEGIN") != NULL ? ETX_EIO : 0;
    if (o->rc == 0) {
        o->rc = of->enter(o->db->db, &o->call, &answer);
    }
    if (o->rc == 0 && answer.verdict == ETX_FENCE_RUN) {
        o->rc = of->execute(o->db->db, o->sql) != NULL ? ETX_EIO : 0;
        if (o->rc == 0) {
            o->rc = of->finish(o->db->db, &o->call, ETX_DONE, NULL, NULL, 0);
        }
    }
    if (of->execute(o->db->db, o->rc == 0 ? "COMMIT" : "ROLLBACK") != NULL) {
        o->rc = ETX_EIO;
    }
    o->answer = answer;
    return NULL;
}

/* Starts it, and returns once it waits for a lock of another transaction. */
static void start(operation *o, bank *watch) {
    struct timespec pause = {0, 2000000};
    assert_int_equal(pthread_create(&o->thread, NULL, run_operation, o), 0);
    while (ask(watch, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 0) {
        (void)nanosleep(&pause, NULL);
    }
}

static void end(operation *o) {
    assert_int_equal(pthread_join(o->thread, NULL), 0);
}

/* The first half of an operation: entered, worked, not yet committed. */
static void begin_operation(bank *db, const etx_fence_call *call, const char *sql) {
    execute(db, "BEGIN");
    assert_int_equal(enter(db, call).verdict, ETX_FENCE_RUN);
    execute(db, sql);
    assert_int_equal(db->of->finish(db->db, call, ETX_DONE, NULL, NULL, 0), 0);
}

/* The operation comes while `db` has one under way, waits, and goes on once that has ended. */
static void run_behind(operation *o, bank *db, const char *how) {
    start(o, db);
    execute(db, how);
    end(o);
    assert_int_equal(o->rc, 0);
}

static void test_repeat_waits_for_the_first(void **state) {
    fixture *f = *state;
    operation again = {f->other, make_call("g", ETX_TCC, ETX_FORWARD), SQL_HOLD, 0, 0, {0}};
    begin_operation(f->db, &again.call, SQL_HOLD);
    run_behind(&again, f->db, "COMMIT");
    assert_int_equal(again.answer.verdict, ETX_FENCE_ANSWERED);
    assert_int_equal(again.answer.reply, ETX_DONE);
    /* and takes its place if it was rolled back */
    again.call.gid = "h";
    begin_operation(f->db, &again.call, SQL_HOLD);
    run_behind(&again, f->db, "ROLLBACK");
    assert_int_equal(again.answer.verdict, ETX_FENCE_RUN);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 20);
}

static void test_undo_waits_for_the_forward_under_way(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("done", ETX_TCC, ETX_FORWARD);
    operation undo = {f->other, make_call("done", ETX_TCC, ETX_UNDO), SQL_DROP, 0, 0, {0}};
    begin_operation(f->db, &try, SQL_HOLD);
    run_behind(&undo, f->db, "COMMIT");
    assert_int_equal(undo.answer.verdict, ETX_FENCE_RUN);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
    /* one that was rolled back has left nothing to undo, and is kept out from then on */
    try.gid = undo.call.gid = "gone";
    begin_operation(f->db, &try, SQL_HOLD);
    run_behind(&undo, f->db, "ROLLBACK");
    assert_int_equal(undo.answer.verdict, ETX_FENCE_ANSWERED);
    assert_int_equal(operate(f->db, &try, SQL_HOLD, ETX_DONE), ETX_REFUSED);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
}

static void test_forward_waits_for_the_undo_under_way(void **state) {
    fixture *f = *state;
    etx_fence_call undo = make_call("g", ETX_TCC, ETX_UNDO);
    operation try = {f->other, make_call("g", ETX_TCC, ETX_FORWARD), SQL_HOLD, 0, 0, {0}};
    execute(f->db, "BEGIN");
    assert_int_equal(enter(f->db, &undo).verdict, ETX_FENCE_ANSWERED);
    run_behind(&try, f->db, "COMMIT");
    assert_int_equal(try.answer.verdict, ETX_FENCE_ANSWERED);
    assert_int_equal(try.answer.reply, ETX_REFUSED);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
}

static void test_commit_and_undo_at_once(void **state) {
    fixture *f = *state;
    etx_fence_call call = make_call("g", ETX_TCC, ETX_FORWARD);
    operation undo = {f->other, make_call("g", ETX_TCC, ETX_UNDO), SQL_DROP, 0, 0, {0}};
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
    call.operation = ETX_COMMIT;
    begin_operation(f->db, &call, SQL_BOOK);
    run_behind(&undo, f->db, "COMMIT");
    assert_int_equal(undo.answer.verdict, ETX_FENCE_ANSWERED);
    assert_int_equal(undo.answer.reply, ETX_REFUSED);
    assert_int_equal(ask(f->db, "SELECT balance FROM account"), 990);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
}

static void test_refused_undo_is_repeated_by_one(void **state) {
    fixture *f = *state;
    etx_fence_call call = make_call("g", ETX_SAGA, ETX_FORWARD);
    operation again = {f->other, make_call("g", ETX_SAGA, ETX_UNDO), SQL_DROP, 0, 0, {0}};
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
    call.operation = ETX_UNDO;
    assert_int_equal(operate(f->db, &call, SQL_DROP, ETX_REFUSED), 0);
    begin_operation(f->db, &call, SQL_DROP);
    run_behind(&again, f->db, "COMMIT");
    assert_int_equal(again.answer.verdict, ETX_FENCE_ANSWERED);
    assert_int_equal(again.answer.reply, ETX_DONE);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
}

static void test_deadlocks_and_timeouts_are_busy(void **state) {
    fixture *f = *state;
    etx_fence_call first = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_call second = make_call("h", ETX_TCC, ETX_FORWARD);
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    operation waiting = {f->other, second, SQL_HOLD, 0, 0, {0}};
    /* `other` enters h and waits for the account; we have that, and want h: one must go */
    execute(f->db, "SET deadlock_timeout = '10ms'");
    execute(f->other, "SET deadlock_timeout = '1h'");
    begin_operation(f->db, &first, SQL_HOLD);
    start(&waiting, f->db);
    assert_int_equal(f->of->enter(f->db->db, &second, &answer), ETX_EBUSY);
    execute(f->db, "ROLLBACK");
    end(&waiting);
    assert_int_equal(waiting.rc, 0);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 10);

    first.gid = "i";
    begin_operation(f->other, &first, SQL_HOLD);
    execute(f->db, "SET lock_timeout = '10ms'");
    execute(f->db, "BEGIN");
    assert_int_equal(f->of->enter(f->db->db, &first, &answer), ETX_EBUSY);
    execute(f->db, "ROLLBACK; SET lock_timeout = 0; SET statement_timeout = '10ms'");
    execute(f->db, "BEGIN");
    assert_int_equal(f->of->enter(f->db->db, &first, &answer), ETX_EBUSY);
    execute(f->db, "ROLLBACK");
    execute(f->other, "ROLLBACK");
}

static void test_only_read_committed(void **state) {
    fixture *f = *state;
    etx_fence_call call = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    static const char *const levels[] = {"REPEATABLE READ", "SERIALIZABLE"};
    char sql[64];
    size_t i;
    for (i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        snprintf(sql, sizeof sql, "BEGIN ISOLATION LEVEL %s", levels[i]);
        execute(f->db, sql);
        assert_int_equal(f->of->enter(f->db->db, &call, &answer), ETX_EINVALID);
        execute(f->db, "ROLLBACK");
    }
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
}

static void test_failed_statement_can_be_refused_and_not_done(void **state) {
    fixture *f = *state;
    etx_fence_call call = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_answer answer;
    execute(f->db, "BEGIN");
    assert_int_equal(enter(f->db, &call).verdict, ETX_FENCE_RUN);
    execute(f->db, SQL_HOLD);
    assert_non_null(f->of->execute(f->db->db, "INSERT INTO account VALUES(1, 0, 0)"));
    assert_int_equal(f->of->finish(f->db->db, &call, ETX_DONE, NULL, NULL, 0), ETX_EINVALID);
    /* bytes that are no text are kept as they are */
    assert_int_equal(f->of->finish(f->db->db, &call, ETX_REFUSED, "is \xff there", NULL, 0), 0);
    execute(f->db, "COMMIT");
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
    execute(f->db, "BEGIN");
    answer = enter(f->db, &call);
    execute(f->db, "COMMIT");
    assert_int_equal(answer.reply, ETX_REFUSED);
    assert_string_equal(answer.reason, "is \xff there");
}

static void test_broken_connection_leaves_nothing(void **state) {
    fixture *f = *state;
    etx_fence_call call = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    char sql[64];
    execute(f->other, "BEGIN");
    assert_int_equal(enter(f->other, &call).verdict, ETX_FENCE_RUN);
    execute(f->other, SQL_HOLD);
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d, 60000)::int",
             PQbackendPID(f->other->db));
    assert_int_equal(ask(f->db, sql), 1);
    assert_int_equal(f->of->finish(f->other->db, &call, ETX_DONE, NULL, NULL, 0), ETX_EIO);
    assert_int_equal(f->of->enter(f->other->db, &call, &answer), ETX_EINVALID);
    assert_int_equal(f->of->prepare(f->other->db), ETX_EINVALID);
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence"), 0);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
}

static void *clean_behind(void *user) {
    operation *o = user;
    uint64_t deleted = 0;
    o->rc = o->db->of->clean(o->db->db, 5000, 100, &deleted);
    o->call.begin_ms = deleted;
    return NULL;
}

static void test_cleaning_waits_for_who_has_entered(void **state) {
    fixture *f = *state;
    struct timespec pause = {0, 2000000};
    etx_fence_call call = make_call("g", ETX_SAGA, ETX_FORWARD);
    etx_fence_answer answer;
    operation cleaner = {.db = f->other};
    begin_operation(f->db, &call, SQL_HOLD); /* it has seen the old horizon */
    assert_int_equal(pthread_create(&cleaner.thread, NULL, clean_behind, &cleaner), 0);
    while (ask(f->db, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 0) {
        (void)nanosleep(&pause, NULL);
    }
    assert_int_equal(ask(f->db, "SELECT horizon_ms FROM etx_fence_meta"), 0);
    execute(f->db, "COMMIT");
    end(&cleaner);
    assert_int_equal(cleaner.rc, 0);
    assert_int_equal(cleaner.call.begin_ms, 1); /* its row, too, is gone behind the horizon */
    execute(f->db, "BEGIN");
    answer = enter(f->db, &call);
    execute(f->db, "ROLLBACK");
    assert_int_equal(answer.verdict, ETX_FENCE_TOO_OLD);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 10);
}

enum { MAKERS = 6 };

static void *prepare_at_once(void *user) {
    operation *o = user;
    o->rc = o->db->of->prepare(o->db->db);
    return NULL;
}

static void test_tables_are_made_by_one(void **state) {
    fixture *f = *state;
    bank makers[MAKERS];
    operation operations[MAKERS] = {0};
    int i;
    execute(f->db, "DROP TABLE etx_fence, etx_fence_meta");
    for (i = 0; i < MAKERS; i++) {
        makers[i].of = f->of;
        makers[i].db = f->of->connect(f->place);
        operations[i].db = &makers[i];
    }
    for (i = 0; i < MAKERS; i++) {
        assert_int_equal(
            pthread_create(&operations[i].thread, NULL, prepare_at_once, &operations[i]), 0);
    }
    for (i = 0; i < MAKERS; i++) {
        end(&operations[i]);
        assert_int_equal(operations[i].rc, 0);
        f->of->disconnect(makers[i].db);
    }
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence_meta"), 1);
    /* where the tables are there, the right to make some is not needed */
    execute(f->db, "CREATE ROLE clerk; GRANT SELECT ON etx_fence_meta TO clerk");
    execute(f->db,
            "DO $$ BEGIN EXECUTE 'GRANT USAGE ON SCHEMA ' || current_schema() ||"
            " ' TO clerk'; END $$");
    execute(f->other, "SET ROLE clerk");
    assert_int_equal(f->of->prepare(f->other->db), 0);
    execute(f->other, "RESET ROLE");
    execute(f->db, "DROP OWNED BY clerk; DROP ROLE clerk");
}

static void test_without_tables(void **state) {
    fixture *f = *state;
    etx_fence_call call = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    uint64_t deleted = 0;
    execute(f->db, "DROP TABLE etx_fence, etx_fence_meta");
    execute(f->db, "BEGIN");
    assert_int_equal(f->of->enter(f->db->db, &call, &answer), ETX_EINVALID);
    execute(f->db, "ROLLBACK");
    assert_int_equal(f->of->clean(f->db->db, 5000, 10, &deleted), ETX_EINVALID);
    assert_int_equal(PQtransactionStatus(f->db->db), PQTRANS_IDLE);
    assert_int_equal(f->of->enter(NULL, &call, &answer), ETX_EINVALID);
    assert_int_equal(f->of->prepare(f->db->db), 0);
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
    execute(f->db, "UPDATE etx_fence_meta SET version = 2");
    assert_int_equal(f->of->prepare(f->db->db), ETX_EVERSION);
    assert_int_equal(PQtransactionStatus(f->db->db), PQTRANS_IDLE);
    execute(f->db, "BEGIN");
    assert_int_equal(f->of->prepare(f->db->db), ETX_EVERSION);
    assert_int_equal(PQtransactionStatus(f->db->db), PQTRANS_INTRANS);
    execute(f->db, "ROLLBACK");
    execute(f->db, "TRUNCATE etx_fence_meta");
    assert_int_equal(f->of->prepare(f->db->db), ETX_EINVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bank_set_up, bank_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_repeat_waits_for_the_first),
        TEST(test_undo_waits_for_the_forward_under_way),
        TEST(test_forward_waits_for_the_undo_under_way),
        TEST(test_commit_and_undo_at_once),
        TEST(test_refused_undo_is_repeated_by_one),
        TEST(test_deadlocks_and_timeouts_are_busy),
        TEST(test_only_read_committed),
        TEST(test_failed_statement_can_be_refused_and_not_done),
        TEST(test_broken_connection_leaves_nothing),
        TEST(test_cleaning_waits_for_who_has_entered),
        TEST(test_tables_are_made_by_one),
        TEST(test_without_tables),
    };
    return cmocka_run_group_tests_name("postgres_locks", tests, NULL, NULL);
}
