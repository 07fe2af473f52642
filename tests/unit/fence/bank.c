/* A bank with one account, its fence, and two connections. */
#include "bank.h"

#include <stdlib.h>

void execute(bank *db, const char *sql) {
    const char *message = db->of->execute(db->db, sql);
    if (message != NULL) {
        fail_msg("%s: %s", sql, message);
    }
}

int64_t ask(bank *db, const char *sql) {
    return db->of->ask(db->db, sql);
}

int bank_set_up(void **state) {
    const fence_subject *of = &subject;
    fixture *f = calloc(1, sizeof *f);
    int i;
    assert_non_null(f);
    f->of = of;
    of->make(f->place);
    for (i = 0; i < 2; i++) {
        f->banks[i].of = of;
        f->banks[i].db = of->connect(f->place);
    }
    f->db = &f->banks[0];
    f->other = &f->banks[1];
    assert_int_equal(of->prepare(f->db->db), 0);
    execute(f->db,
            "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER, held INTEGER);"
            "INSERT INTO account VALUES(1, 1000, 0)");
    *state = f;
    return 0;
}

int bank_tear_down(void **state) {
    fixture *f = *state;
    f->of->disconnect(f->db->db);
    f->of->disconnect(f->other->db);
    f->of->remove(f->place);
    free(f);
    return 0;
}

etx_fence_call make_call(const char *gid, etx_kind kind, etx_operation operation) {
    etx_fence_call call = ETX_FENCE_CALL_INIT;
    call.gid = gid;
    call.branch = "0";
    call.kind = kind;
    call.operation = operation;
    call.begin_ms = 1000;
    return call;
}

etx_fence_answer enter(bank *db, const etx_fence_call *call) {
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    assert_int_equal(db->of->enter(db->db, call, &answer), 0);
    return answer;
}

etx_reply operate(bank *db, const etx_fence_call *call, const char *sql, etx_reply reply) {
    etx_fence_answer answer;
    execute(db, db->of->begin);
    answer = enter(db, call);
    assert_int_not_equal(answer.verdict, ETX_FENCE_TOO_OLD);
    if (answer.verdict == ETX_FENCE_RUN) {
        execute(db, sql);
        assert_int_equal(db->of->finish(db->db, call, reply, "", NULL, 0), 0);
    }
    execute(db, "COMMIT");
    return answer.verdict == ETX_FENCE_RUN ? (etx_reply)0 : answer.reply;
}
