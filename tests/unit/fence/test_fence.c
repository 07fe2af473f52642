/* A fence, whatever the database: every interleaving of repeated, empty, late and refused calls is
 * harmless. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"

static void test_repeats_run_once_and_answer_the_same(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_call confirm = make_call("g", ETX_TCC, ETX_COMMIT);
    etx_fence_answer answer;

    execute(f->db, f->db->of->begin);
    assert_int_equal(enter(f->db, &try).verdict, ETX_FENCE_RUN);
    execute(f->db, SQL_HOLD);
    assert_int_equal(f->db->of->finish(f->db->db, &try, ETX_DONE, "noted", "seat\0A", 6), 0);
    execute(f->db, "COMMIT");

    execute(f->other, f->other->of->begin);
    answer = enter(f->other, &try);
    execute(f->other, "COMMIT");
    assert_int_equal(answer.verdict, ETX_FENCE_ANSWERED);
    assert_int_equal(answer.reply, ETX_DONE);
    assert_string_equal(answer.reason, "noted");
    assert_int_equal(answer.result_len, 6);
    assert_memory_equal(answer.result, "seat\0A", 6);

    assert_int_equal(operate(f->db, &confirm, SQL_BOOK, ETX_DONE), 0);
    assert_int_equal(operate(f->other, &confirm, SQL_BOOK, ETX_DONE), ETX_DONE);
    assert_int_equal(operate(f->db, &confirm, SQL_BOOK, ETX_DONE), ETX_DONE);
    assert_int_equal(ask(f->db, "SELECT balance FROM account"), 990);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
}

static void test_refusal_rolls_back_and_is_kept(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_call cancel = make_call("g", ETX_TCC, ETX_UNDO);
    etx_fence_answer answer;

    execute(f->db, f->db->of->begin);
    assert_int_equal(enter(f->db, &try).verdict, ETX_FENCE_RUN);
    execute(f->db, SQL_HOLD);
    assert_int_equal(f->db->of->finish(f->db->db, &try, ETX_REFUSED, "no money", NULL, 0), 0);
    execute(f->db, "COMMIT");
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);

    execute(f->db, f->db->of->begin);
    answer = enter(f->db, &try);
    execute(f->db, "COMMIT");
    assert_int_equal(answer.verdict, ETX_FENCE_ANSWERED);
    assert_int_equal(answer.reply, ETX_REFUSED);
    assert_string_equal(answer.reason, "no money");

    assert_int_equal(operate(f->db, &cancel, SQL_DROP, ETX_DONE), ETX_DONE);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
}

static void test_empty_undo_keeps_the_late_forward_out(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_call cancel = make_call("g", ETX_TCC, ETX_UNDO);
    assert_int_equal(operate(f->db, &cancel, SQL_DROP, ETX_DONE), ETX_DONE);
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence"), 2); /* marker and undo */
    assert_int_equal(operate(f->db, &cancel, SQL_DROP, ETX_DONE), ETX_DONE);
    assert_int_equal(operate(f->other, &try, SQL_HOLD, ETX_DONE), ETX_REFUSED);
    assert_int_equal(operate(f->other, &try, SQL_HOLD, ETX_DONE), ETX_REFUSED);
    assert_int_equal(operate(f->db, &cancel, SQL_DROP, ETX_DONE), ETX_DONE);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
    assert_int_equal(ask(f->db, "SELECT marker FROM etx_fence WHERE operation = 0"), 1);
}

static void test_undo_runs_once_and_a_late_forward_changes_nothing(void **state) {
    fixture *f = *state;
    etx_fence_call action = make_call("g", ETX_SAGA, ETX_FORWARD);
    etx_fence_call undo = make_call("g", ETX_SAGA, ETX_UNDO);
    assert_int_equal(operate(f->db, &action, SQL_HOLD, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &undo, SQL_DROP, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &undo, SQL_DROP, ETX_DONE), ETX_DONE);
    assert_int_equal(operate(f->db, &action, SQL_HOLD, ETX_DONE), ETX_DONE);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
}

static void test_commit_without_forward_is_refused_not_recorded(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_call confirm = make_call("g", ETX_TCC, ETX_COMMIT);
    etx_fence_call cancel = make_call("g", ETX_TCC, ETX_UNDO);
    etx_fence_answer answer;
    execute(f->db, f->db->of->begin);
    answer = enter(f->db, &confirm);
    execute(f->db, "COMMIT");
    assert_int_equal(answer.verdict, ETX_FENCE_ANSWERED);
    assert_int_equal(answer.reply, ETX_REFUSED);
    assert_true(strlen(answer.reason) > 0);
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence"), 0);
    /* the initiator's own try, late */
    assert_int_equal(operate(f->db, &try, SQL_HOLD, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &confirm, SQL_BOOK, ETX_DONE), 0);
    /* and an undo after the commit is an alarm */
    assert_int_equal(operate(f->db, &cancel, SQL_DROP, ETX_DONE), ETX_REFUSED);
    assert_int_equal(ask(f->db, "SELECT balance FROM account"), 990);
}

static void test_commit_of_refused_or_undone_is_refused(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("refused", ETX_TCC, ETX_FORWARD);
    etx_fence_call confirm = make_call("refused", ETX_TCC, ETX_COMMIT);
    etx_fence_call undone = make_call("undone", ETX_TCC, ETX_UNDO);
    assert_int_equal(operate(f->db, &try, SQL_HOLD, ETX_REFUSED), 0);
    assert_int_equal(operate(f->db, &confirm, SQL_BOOK, ETX_DONE), ETX_REFUSED);
    assert_int_equal(operate(f->db, &undone, SQL_DROP, ETX_DONE), ETX_DONE);
    undone.operation = ETX_COMMIT;
    assert_int_equal(operate(f->db, &undone, SQL_BOOK, ETX_DONE), ETX_REFUSED);
    try.gid = undone.gid = "done-and-undone";
    undone.operation = ETX_UNDO;
    assert_int_equal(operate(f->db, &try, SQL_HOLD, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &undone, SQL_DROP, ETX_DONE), 0);
    undone.operation = ETX_COMMIT;
    assert_int_equal(operate(f->db, &undone, SQL_BOOK, ETX_DONE), ETX_REFUSED);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
    assert_int_equal(ask(f->db, "SELECT balance FROM account"), 1000);
}

static void test_refused_finishing_operation_runs_again(void **state) {
    fixture *f = *state;
    etx_fence_call action = make_call("g", ETX_SAGA, ETX_FORWARD);
    etx_fence_call undo = make_call("g", ETX_SAGA, ETX_UNDO);
    assert_int_equal(operate(f->db, &action, SQL_HOLD, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &undo, SQL_DROP, ETX_REFUSED), 0);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 10);
    assert_int_equal(ask(f->db, "SELECT reply FROM etx_fence WHERE operation = 2"), ETX_REFUSED);
    assert_int_equal(operate(f->db, &undo, SQL_DROP, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &undo, SQL_DROP, ETX_DONE), ETX_DONE);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
    assert_int_equal(ask(f->db, "SELECT reply FROM etx_fence WHERE operation = 0"), ETX_DONE);
}

static void test_messages_and_notifications_have_a_commit_only(void **state) {
    fixture *f = *state;
    etx_fence_call deliver = make_call("m", ETX_MESSAGE, ETX_COMMIT);
    etx_fence_call notify = make_call("n", ETX_NOTIFICATION, ETX_COMMIT);
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    assert_int_equal(operate(f->db, &deliver, SQL_HOLD, ETX_DONE), 0);
    assert_int_equal(operate(f->db, &deliver, SQL_HOLD, ETX_DONE), ETX_DONE);
    assert_int_equal(operate(f->db, &notify, SQL_HOLD, ETX_REFUSED), 0);
    assert_int_equal(operate(f->db, &notify, SQL_HOLD, ETX_DONE), ETX_REFUSED);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 10);
    deliver.operation = ETX_UNDO;
    execute(f->db, "BEGIN");
    assert_int_equal(f->db->of->enter(f->db->db, &deliver, &answer), ETX_EINVALID);
    execute(f->db, "ROLLBACK");
}

static void test_rollback_of_the_callers_transaction_forgets_the_call(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    execute(f->db, f->db->of->begin);
    assert_int_equal(enter(f->db, &try).verdict, ETX_FENCE_RUN);
    execute(f->db, SQL_HOLD);
    assert_int_equal(f->db->of->finish(f->db->db, &try, ETX_DONE, NULL, NULL, 0), 0);
    execute(f->db, "ROLLBACK");
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence"), 0);
    assert_int_equal(operate(f->db, &try, SQL_HOLD, ETX_DONE), 0);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 10);
}

static void test_keys_are_compared_byte_for_byte(void **state) {
    fixture *f = *state;
    static const char *const gids[] = {"a", "A", "a0", "1", "01", "1.0", "a%", "a_"};
    size_t i;
    for (i = 0; i < sizeof gids / sizeof gids[0]; i++) {
        etx_fence_call try = make_call(gids[i], ETX_TCC, ETX_FORWARD);
        assert_int_equal(operate(f->db, &try, SQL_HOLD, ETX_DONE), 0);
        try.branch = "O";
        assert_int_equal(operate(f->db, &try, SQL_HOLD, ETX_DONE), 0);
        try.branch = "o";
        assert_int_equal(operate(f->db, &try, SQL_HOLD, ETX_DONE), 0);
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

    assert_int_equal(f->db->of->enter(f->db->db, &call, &answer), ETX_EINVALID); /* no BEGIN */
    execute(f->db, f->db->of->begin);
    assert_int_equal(f->of->enter(NULL, &call, &answer), ETX_EINVALID);
    assert_int_equal(f->db->of->enter(f->db->db, NULL, &answer), ETX_EINVALID);
    assert_int_equal(f->db->of->enter(f->db->db, &call, NULL), ETX_EINVALID);
    call.size = 0;
    assert_int_equal(f->db->of->enter(f->db->db, &call, &answer), ETX_EINVALID);
    call.size = sizeof call;
    call.gid = long_gid;
    assert_int_equal(f->db->of->enter(f->db->db, &call, &answer), ETX_EINVALID);
    call.gid = "with space";
    assert_int_equal(f->db->of->enter(f->db->db, &call, &answer), ETX_EINVALID);
    call.gid = "";
    assert_int_equal(f->db->of->enter(f->db->db, &call, &answer), ETX_EINVALID);
    call.gid = "g";
    call.operation = ETX_QUERY;
    assert_int_equal(f->db->of->enter(f->db->db, &call, &answer), ETX_EINVALID);
    call.kind = ETX_SAGA;
    call.operation = ETX_COMMIT;
    assert_int_equal(f->db->of->enter(f->db->db, &call, &answer), ETX_EINVALID);
    call.kind = ETX_MESSAGE;
    call.operation = ETX_FORWARD;
    assert_int_equal(f->db->of->enter(f->db->db, &call, &answer), ETX_EINVALID);
    call.kind = ETX_TCC;
    call.branch = "";
    assert_int_equal(f->db->of->enter(f->db->db, &call, &answer), ETX_EINVALID);
    call.branch = "0";
    /* finish without enter, with a reply that is none, with too large a result */
    assert_int_equal(f->db->of->finish(f->db->db, &call, ETX_DONE, NULL, NULL, 0), ETX_EINVALID);
    execute(f->db, "ROLLBACK");
    execute(f->db, f->db->of->begin);
    assert_int_equal(enter(f->db, &call).verdict, ETX_FENCE_RUN);
    assert_int_equal(f->db->of->finish(f->db->db, &call, ETX_RETRY, NULL, NULL, 0), ETX_EINVALID);
    assert_int_equal(f->db->of->finish(f->db->db, &call, ETX_DONE, NULL, reason, 1025),
                     ETX_EINVALID);
    /* entered twice */
    assert_int_equal(f->db->of->enter(f->db->db, &call, &answer), ETX_EINVALID);
    assert_int_equal(f->db->of->finish(f->db->db, &call, ETX_REFUSED, reason, NULL, 0), 0);
    execute(f->db, "COMMIT");
    execute(f->db, f->db->of->begin);
    assert_int_equal(strlen(enter(f->db, &call).reason), ETX_REASON_MAX);
    execute(f->db, "COMMIT");
}

/* A reason that is too long ends with a whole character. */
static void test_reasons_end_with_a_character(void **state) {
    fixture *f = *state;
    etx_fence_call call = make_call("g", ETX_TCC, ETX_FORWARD);
    char reason[ETX_REASON_MAX + 3];
    memset(reason, 'a', sizeof reason);
    memcpy(reason + ETX_REASON_MAX - 1, "\xc3\xa9", 3); /* of two bytes, the second is too much */
    execute(f->db, f->db->of->begin);
    assert_int_equal(enter(f->db, &call).verdict, ETX_FENCE_RUN);
    assert_int_equal(f->db->of->finish(f->db->db, &call, ETX_REFUSED, reason, NULL, 0), 0);
    execute(f->db, "COMMIT");
    execute(f->db, f->db->of->begin);
    assert_int_equal(strlen(enter(f->db, &call).reason), ETX_REASON_MAX - 1);
    execute(f->db, "COMMIT");
}

/* Committed without finish: what became of the work nobody knows, so nothing is answered for it. */
static void test_what_was_left_open_is_answered_nothing(void **state) {
    fixture *f = *state;
    etx_fence_call call = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    execute(f->db, f->db->of->begin);
    assert_int_equal(enter(f->db, &call).verdict, ETX_FENCE_RUN);
    execute(f->db, SQL_HOLD);
    execute(f->db, "COMMIT");
    for (int operation = ETX_FORWARD; operation <= ETX_UNDO; operation++) {
        call.operation = (etx_operation)operation;
        execute(f->db, f->db->of->begin);
        assert_int_equal(f->db->of->enter(f->db->db, &call, &answer), ETX_EINVALID);
        execute(f->db, "ROLLBACK");
    }
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 10);
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence"), 1);
}

/* The work would stand without a row of its own, and be done once more. */
static void test_another_call_is_not_finished(void **state) {
    fixture *f = *state;
    const etx_fence_call call = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_call others[] = {call, call, call, call};
    others[0].gid = "h";
    others[1].branch = "1";
    others[2].operation = ETX_COMMIT;
    others[3].gid = "done";
    assert_int_equal(operate(f->db, &others[3], SQL_HOLD, ETX_DONE), 0);
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        execute(f->db, f->db->of->begin);
        assert_int_equal(enter(f->db, &call).verdict, ETX_FENCE_RUN);
        assert_int_equal(f->db->of->finish(f->db->db, &others[i], ETX_DONE, NULL, NULL, 0),
                         ETX_EINVALID);
        execute(f->db, "ROLLBACK");
    }
}

/* Two that are open at once: what is rolled back is that one's own work, and all behind it; so the
 * other one is not finished. */
static void test_two_at_once(void **state) {
    fixture *f = *state;
    const etx_fence_call first = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_call second = first;
    second.branch = "1";
    execute(f->db, f->db->of->begin);
    assert_int_equal(enter(f->db, &first).verdict, ETX_FENCE_RUN);
    execute(f->db, SQL_HOLD);
    assert_int_equal(enter(f->db, &second).verdict, ETX_FENCE_RUN);
    execute(f->db, SQL_HOLD);
    assert_int_equal(f->db->of->finish(f->db->db, &first, ETX_REFUSED, NULL, NULL, 0), 0);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
    assert_int_equal(f->db->of->finish(f->db->db, &second, ETX_DONE, NULL, NULL, 0), ETX_EINVALID);
    execute(f->db, "ROLLBACK");
    execute(f->db, f->db->of->begin); /* one after the other */
    assert_int_equal(enter(f->db, &first).verdict, ETX_FENCE_RUN);
    execute(f->db, SQL_HOLD);
    assert_int_equal(f->db->of->finish(f->db->db, &first, ETX_DONE, NULL, NULL, 0), 0);
    assert_int_equal(enter(f->db, &second).verdict, ETX_FENCE_RUN);
    execute(f->db, SQL_HOLD);
    assert_int_equal(f->db->of->finish(f->db->db, &second, ETX_REFUSED, NULL, NULL, 0), 0);
    execute(f->db, "COMMIT");
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 10);
}

/* What may still come again, since it is no older than the horizon, keeps its rows. */
static void test_rows_at_the_horizon_stay(void **state) {
    fixture *f = *state;
    etx_fence_call call = make_call("edge", ETX_SAGA, ETX_FORWARD);
    uint64_t deleted = 0;
    call.begin_ms = 1500;
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
    assert_int_equal(f->db->of->clean(f->db->db, 1500, 100, &deleted), 0);
    assert_int_equal(deleted, 0);
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), ETX_DONE);
}

/* What one branch has done says nothing of another of the same transaction. */
static void test_branches_are_apart(void **state) {
    fixture *f = *state;
    etx_fence_call call = make_call("g", ETX_TCC, ETX_FORWARD);
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
    call.branch = "1";
    call.operation = ETX_COMMIT;
    assert_int_equal(operate(f->db, &call, SQL_BOOK, ETX_DONE), ETX_REFUSED);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 10);
}

static void test_schema_is_made_once_and_newer_ones_are_left_alone(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    uint64_t deleted = 0;
    assert_int_equal(operate(f->db, &try, SQL_HOLD, ETX_DONE), 0);
    assert_int_equal(f->db->of->prepare(f->db->db), 0);
    execute(f->db, "BEGIN");
    assert_int_equal(f->db->of->prepare(f->db->db), 0); /* inside a transaction */
    execute(f->db, "COMMIT");
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence"), 1);

    execute(f->db, "UPDATE etx_fence_meta SET version = 2");
    assert_int_equal(f->db->of->prepare(f->db->db), ETX_EVERSION);
    assert_int_equal(f->db->of->clean(f->db->db, 5000, 10, &deleted), ETX_EVERSION);
    execute(f->db, f->db->of->begin);
    try.gid = "h";
    assert_int_equal(f->db->of->enter(f->db->db, &try, &answer), ETX_EVERSION);
    execute(f->db, "ROLLBACK");
}

static void test_cleaning_moves_a_horizon_that_keeps_old_calls_out(void **state) {
    fixture *f = *state;
    etx_fence_call call = make_call("finished", ETX_TCC, ETX_FORWARD);
    etx_fence_answer answer;
    uint64_t deleted = 0;
    int64_t total = 0;
    int i;
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
    call.operation = ETX_COMMIT;
    assert_int_equal(operate(f->db, &call, SQL_BOOK, ETX_DONE), 0);
    call = make_call("holding", ETX_TCC, ETX_FORWARD); /* its commit is still to come */
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
    call = make_call("refused", ETX_TCC, ETX_FORWARD);
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_REFUSED), 0);
    call = make_call("saga", ETX_SAGA, ETX_FORWARD);
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
    call = make_call("waiting", ETX_SAGA, ETX_FORWARD);
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
    call.operation = ETX_UNDO;
    assert_int_equal(operate(f->db, &call, SQL_DROP, ETX_REFUSED), 0);
    call = make_call("young", ETX_SAGA, ETX_FORWARD);
    call.begin_ms = 2000;
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
    call = make_call("delivered", ETX_MESSAGE, ETX_COMMIT);
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
    call = make_call("undelivered", ETX_MESSAGE, ETX_COMMIT);
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_REFUSED), 0);

    execute(f->db, "BEGIN");
    assert_int_equal(f->db->of->clean(f->db->db, 1500, 100, &deleted), ETX_EINVALID);
    execute(f->db, "ROLLBACK");
    /* one branch at a time; the finished one has two rows */
    for (i = 0; i < 4; i++) {
        assert_int_equal(f->db->of->clean(f->db->db, 1500, 1, &deleted), 0);
        assert_in_range(deleted, 1, 2);
        total += (int64_t)deleted;
    }
    assert_int_equal(total, 5);
    assert_int_equal(f->db->of->clean(f->db->db, 1500, 100, &deleted), 0);
    assert_int_equal(deleted, 0);
    assert_int_equal(ask(f->db, "SELECT count(DISTINCT gid) FROM etx_fence"), 4);

    /* what is gone is too old, in each operation */
    for (i = 0; i < 3; i++) {
        call = make_call("finished", ETX_TCC, (etx_operation)i);
        execute(f->db, f->db->of->begin);
        answer = enter(f->db, &call);
        execute(f->db, "COMMIT");
        assert_int_equal(answer.verdict, ETX_FENCE_TOO_OLD);
    }
    /* what has rows is answered as always; what is young enough runs */
    call = make_call("holding", ETX_TCC, ETX_COMMIT);
    assert_int_equal(operate(f->db, &call, SQL_BOOK, ETX_DONE), 0);
    call = make_call("waiting", ETX_SAGA, ETX_UNDO);
    assert_int_equal(operate(f->db, &call, SQL_DROP, ETX_DONE), 0);
    call = make_call("new", ETX_TCC, ETX_FORWARD);
    call.begin_ms = 1500;
    assert_int_equal(operate(f->db, &call, SQL_HOLD, ETX_DONE), 0);
    call = make_call("never", ETX_TCC, ETX_COMMIT);
    call.begin_ms = 1500;
    assert_int_equal(operate(f->db, &call, SQL_BOOK, ETX_DONE), ETX_REFUSED);
    /* the horizon only rises */
    assert_int_equal(f->db->of->clean(f->db->db, 100, 100, &deleted), 0);
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
        (void)operate(draw(s, 2) ? f->db : f->other, &try, SQL_HOLD,
                      refuses ? ETX_REFUSED : ETX_DONE);
    }
    commit = came && !refuses && draw(s, 2) == 0;
    finish.operation = commit ? ETX_COMMIT : ETX_UNDO;
    for (i = 0; i < steps; i++) {
        bank *db = draw(s, 2) ? f->db : f->other;
        if (i + 1 < steps && draw(s, 2) == 0 && i > 0) {
            (void)operate(db, &try, SQL_HOLD, refuses ? ETX_REFUSED : ETX_DONE);
        } else {
            etx_reply reply = draw(s, 5) == 0 && i + 1 < steps ? ETX_REFUSED : ETX_DONE;
            (void)operate(db, &finish, commit ? SQL_BOOK : SQL_DROP, reply);
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
    for (i = 0; i < f->of->stories; i++) {
        char gid[32];
        snprintf(gid, sizeof gid, "r%d", i);
        play_one(f, &s, gid);
    }
}

/* ---- two threads, each with a connection: one does, one undoes. */

enum { RACES = 200 };

typedef struct racer {
    const fixture *f;
    etx_operation operation;
    int ran;
    int failed;
} racer;

static int race_one(void *db, racer *r, int number) {
    const fence_subject *of = r->f->of;
    char gid[32];
    etx_fence_call call;
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    snprintf(gid, sizeof gid, "c%d", number);
    call = make_call(gid, ETX_TCC, r->operation);
    if (of->execute(db, of->begin) != NULL || of->enter(db, &call, &answer) != 0) {
        return -1;
    }
    if (answer.verdict == ETX_FENCE_RUN) {
        r->ran++;
        if (of->execute(db, r->operation == ETX_FORWARD ? SQL_HOLD : SQL_DROP) != NULL ||
            of->finish(db, &call, ETX_DONE, NULL, NULL, 0) != 0) {
            return -1;
        }
    }
    return of->execute(db, "COMMIT") == NULL ? 0 : -1;
}

static void *race(void *user) {
    racer *r = user;
    void *db = r->f->of->connect(r->f->place);
    int i;
    for (i = 0; i < RACES && !r->failed; i++) {
        r->failed = race_one(db, r, i) != 0;
    }
    r->f->of->disconnect(db);
    return NULL;
}

static void test_two_connections_race(void **state) {
    fixture *f = *state;
    racer racers[2] = {{f, ETX_FORWARD, 0, 0}, {f, ETX_UNDO, 0, 0}};
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
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence WHERE operation = 2"), RACES);
    assert_int_equal(ask(f->db, "SELECT count(*) FROM etx_fence WHERE marker = 1") + racers[0].ran,
                     RACES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bank_set_up, bank_tear_down)

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
        TEST(test_reasons_end_with_a_character),
        TEST(test_what_was_left_open_is_answered_nothing),
        TEST(test_another_call_is_not_finished),
        TEST(test_two_at_once),
        TEST(test_branches_are_apart),
        TEST(test_rows_at_the_horizon_stay),
        TEST(test_schema_is_made_once_and_newer_ones_are_left_alone),
        TEST(test_cleaning_moves_a_horizon_that_keeps_old_calls_out),
        TEST(test_random_interleavings_conserve_money),
        TEST(test_two_connections_race),
    };
    return cmocka_run_group_tests_name("fence", tests, NULL, NULL);
}
