/* The rules of the fence, whatever the database: one row per (gid, branch, operation), in the
 * participant's own transaction.
 *
 * Happy path: the caller begins a transaction; enter() inserts the operation's row, still open
 * (reply 0), and a savepoint; the business work is done; finish() closes the row with what it came
 * to; the caller says COMMIT. Row and work are one transaction: a crash anywhere in between leaves
 * neither, and the repeated call starts anew.
 *
 * Repeated call: enter() finds the row and gives the answer that is kept there.
 * Refused forward operation: the work is rolled back to the savepoint, the row stays and says so;
 *   a repeat is refused again. A refused commit or undo is kept too, for people to see, but a
 *   repeat runs again: after a decision nothing may be dropped, so its no is never final.
 * Undo without forward (it never came, or comes late): undo inserts the FORWARD row itself, as a
 *   marker, before it looks. Both contend for this one key, so exactly one of them was first. If
 *   undo was, there is nothing to undo, and the forward operation that comes later is refused.
 * Undo of a refused forward operation: nothing to undo; done.
 * Commit without a forward operation, or of one that was refused or undone: refused, not recorded:
 *   the engine reports it and asks again.
 * Cleaning: a horizon is stored before rows of transactions begun before it are deleted. A call
 *   that would insert the first row of its branch for such a transaction is not executed, since
 *   the row that would forbid it may have been deleted. The condition is part of the INSERT. */
#include "rules.h"

#include <stdio.h>
#include <string.h>

/* The row that came first stands for its branch. With a commit operation and a forward row that is
 * done, the branch is finished once its commit or undo is done; else, once no finishing operation
 * is waiting to be repeated. A refused message waits; a refused notification not. */
const char etx__fence_finished[] =
    "(f.operation = 0 OR f.kind >= 4) AND f.reply <> 0"
    " AND NOT (f.kind = 4 AND f.reply <> 1)"
    " AND CASE WHEN f.kind IN (1, 3) AND f.reply = 1"
    "  THEN EXISTS (SELECT 1 FROM etx_fence AS g WHERE g.gid = f.gid AND g.branch = f.branch"
    "   AND g.operation IN (1, 2) AND g.reply = 1)"
    "  ELSE NOT EXISTS (SELECT 1 FROM etx_fence AS g WHERE g.gid = f.gid AND g.branch = f.branch"
    "   AND g.operation <> f.operation AND g.reply <> 1) END";

/* Length of a name that has 1 to max bytes, each '!' to '~'; else 0. */
static int measure_name(const char *name, int max) {
    int len = 0;
    if (name == NULL) {
        return 0;
    }
    for (; name[len] != '\0'; len++) {
        if (len == max || name[len] < '!' || name[len] > '~') {
            return 0;
        }
    }
    return len;
}

static int has_operation(etx_kind kind, etx_operation operation) {
    switch (kind) {
        case ETX_TCC:
        case ETX_XA:
            return operation <= ETX_UNDO;
        case ETX_SAGA:
            return operation == ETX_FORWARD || operation == ETX_UNDO;
        case ETX_MESSAGE:
        case ETX_NOTIFICATION:
            return operation == ETX_COMMIT;
    }
    return 0;
}

static int check_call(const etx_fence_call *call) {
    if (call == NULL || call->size < sizeof *call || measure_name(call->gid, ETX_GID_MAX) == 0 ||
        measure_name(call->branch, ETX_NAME_MAX) == 0 ||
        !has_operation(call->kind, call->operation) || call->begin_ms > INT64_MAX) {
        return ETX_EINVALID;
    }
    return 0;
}

static uint64_t mix_name(uint64_t hash, const char *name) {
    do {
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3u; /* FNV-1a */
    } while (*name++ != '\0');
    return hash;
}

/* Each operation has a savepoint of its own: of two that are open at once in one transaction, which
 * is not allowed, the one that is finished last finds its own gone. */
static int run_savepoint(const etx__fence_table *table,
                         const char *what,
                         const etx_fence_call *call) {
    uint64_t hash = mix_name(mix_name(0xcbf29ce484222325u, call->gid), call->branch);
    char text[64];
    snprintf(text, sizeof text, "%s etx_fence_%016llx_%d", what, (unsigned long long)hash,
             (int)call->operation);
    return table->run(table->db, text);
}

static int answer_run(const etx__fence_table *table,
                      const etx_fence_call *call,
                      etx_fence_answer *answer) {
    answer->verdict = ETX_FENCE_RUN;
    answer->reason[0] = '\0';
    answer->result_len = 0;
    return run_savepoint(table, "SAVEPOINT", call);
}

static int answer_with(etx_fence_answer *answer, etx_reply reply, const char *reason) {
    answer->verdict = ETX_FENCE_ANSWERED;
    answer->reply = reply;
    if (reason != NULL) {
        size_t len = strnlen(reason, ETX_REASON_MAX);
        memcpy(answer->reason, reason, len);
        answer->reason[len] = '\0';
    }
    return 0;
}

/* The branch has no row and none may be inserted: too old, or made by a newer version. */
static int answer_absent(const etx__fence_table *table,
                         const etx_fence_call *call,
                         etx_fence_answer *answer) {
    int64_t version = 0;
    int64_t horizon = 0;
    int rc = table->read_meta(table->db, &version, &horizon);
    if (rc != 0) {
        return rc;
    }
    if (version != ETX__FENCE_VERSION) {
        return ETX_EVERSION;
    }
    if ((int64_t)call->begin_ms < horizon) {
        answer->verdict = ETX_FENCE_TOO_OLD;
        return 0;
    }
    return answer_with(answer, ETX_REFUSED, "its forward operation was never done here");
}

/* A commit or undo that was refused before: its row is opened again, and it runs again. */
static int reopen_row(const etx__fence_table *table,
                      const etx_fence_call *call,
                      etx_fence_answer *answer) {
    int rc = table->reopen(table->db, call);
    return rc != 0 ? rc : answer_run(table, call, answer);
}

/* The operation has a row already. */
static int answer_again(const etx__fence_table *table,
                        const etx_fence_call *call,
                        const etx__fence_rows *rows,
                        etx_fence_answer *answer) {
    int reply = rows->reply[call->operation];
    if (reply == ETX__FENCE_OPEN) {
        return ETX_EINVALID; /* entered twice, or committed without finish */
    }
    if (reply == ETX_DONE) {
        return answer_with(answer, ETX_DONE, NULL);
    }
    if (call->operation == ETX_FORWARD || call->kind == ETX_NOTIFICATION) {
        return answer_with(answer, ETX_REFUSED, NULL);
    }
    return reopen_row(table, call, answer);
}

/* Operations that need nothing before them: forward; deliver and notify. */
static int enter_first(const etx__fence_table *table,
                       const etx_fence_call *call,
                       etx_fence_answer *answer) {
    etx__fence_row row = {call->operation, ETX__FENCE_OPEN, "", 1};
    etx__fence_rows rows;
    int inserted = 0;
    int rc = table->insert(table->db, call, &row, &inserted);
    if (rc != 0) {
        return rc;
    }
    if (inserted) {
        return answer_run(table, call, answer);
    }
    rc = table->read(table->db, call, &rows, answer);
    if (rc != 0) {
        return rc;
    }
    if (!rows.found[call->operation]) {
        return answer_absent(table, call, answer);
    }
    return answer_again(table, call, &rows, answer);
}

/* Inserts the row of a commit or undo whose forward row is there. */
static int enter_second(const etx__fence_table *table,
                        const etx_fence_call *call,
                        etx_fence_answer *answer,
                        int run) {
    etx__fence_row row = {call->operation, run ? ETX__FENCE_OPEN : ETX_DONE, "", 0};
    int inserted = 0;
    int rc = table->insert(table->db, call, &row, &inserted);
    if (rc != 0) {
        return rc;
    }
    if (!inserted) {
        return ETX_EVERSION; /* the row was not there a moment ago, in this same transaction */
    }
    return run ? answer_run(table, call, answer) : answer_with(answer, ETX_DONE, NULL);
}

static int enter_undo(const etx__fence_table *table,
                      const etx_fence_call *call,
                      etx_fence_answer *answer) {
    etx__fence_row marker = {ETX_FORWARD, ETX_REFUSED, "it was undone before it came", 1};
    etx__fence_rows rows;
    int inserted = 0;
    int rc = table->insert(table->db, call, &marker, &inserted);
    if (rc != 0) {
        return rc;
    }
    if (inserted) {
        return enter_second(table, call, answer, 0);
    }
    rc = table->read(table->db, call, &rows, answer);
    if (rc != 0) {
        return rc;
    }
    if (!rows.found[ETX_FORWARD]) {
        return answer_absent(table, call, answer);
    }
    if (rows.found[ETX_UNDO]) {
        return answer_again(table, call, &rows, answer);
    }
    if (rows.found[ETX_COMMIT]) {
        return answer_with(answer, ETX_REFUSED, "it was committed here: it cannot be undone");
    }
    if (rows.reply[ETX_FORWARD] == ETX__FENCE_OPEN) {
        return ETX_EINVALID;
    }
    return enter_second(table, call, answer, rows.reply[ETX_FORWARD] == ETX_DONE);
}

static int enter_commit(const etx__fence_table *table,
                        const etx_fence_call *call,
                        etx_fence_answer *answer) {
    etx__fence_rows rows;
    int rc = table->read(table->db, call, &rows, answer);
    if (rc != 0) {
        return rc;
    }
    if (rows.found[ETX_COMMIT]) {
        return answer_again(table, call, &rows, answer);
    }
    if (!rows.found[ETX_FORWARD]) {
        return answer_absent(table, call, answer);
    }
    if (rows.found[ETX_UNDO]) {
        return answer_with(answer, ETX_REFUSED, "it was undone here: it cannot be committed");
    }
    if (rows.reply[ETX_FORWARD] == ETX__FENCE_OPEN) {
        return ETX_EINVALID;
    }
    if (rows.reply[ETX_FORWARD] != ETX_DONE) {
        return answer_with(answer, ETX_REFUSED, "its forward operation was refused here");
    }
    return enter_second(table, call, answer, 1);
}

/* Cuts text to ETX_REASON_MAX bytes, not inside a character. */
static size_t measure_reason(const char *reason) {
    size_t len = strnlen(reason, ETX_REASON_MAX + 1);
    if (len > ETX_REASON_MAX) {
        len = ETX_REASON_MAX;
        while (len > 0 && ((unsigned char)reason[len] & 0xc0) == 0x80) {
            len--;
        }
    }
    return (int)len;
}

/* ---- the two functions */

int etx__fence_enter(const etx__fence_table *table,
                     const etx_fence_call *call,
                     etx_fence_answer *ret_answer) {
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    int rc = check_call(call);
    if (rc != 0 || ret_answer == NULL || ret_answer->size < sizeof answer) {
        return ETX_EINVALID;
    }
    if (call->operation == ETX_UNDO) {
        rc = enter_undo(table, call, &answer);
    } else if (call->operation == ETX_COMMIT && has_operation(call->kind, ETX_FORWARD)) {
        rc = enter_commit(table, call, &answer);
    } else {
        rc = enter_first(table, call, &answer);
    }
    if (rc == 0) {
        answer.size = ret_answer->size;
        memcpy(ret_answer, &answer, sizeof answer);
    }
    return rc;
}

int etx__fence_finish(const etx__fence_table *table,
                      const etx_fence_call *call,
                      etx_reply reply,
                      const char *reason,
                      const void *result,
                      size_t result_len) {
    etx__fence_end end = {reply, reason != NULL ? reason : "", result, 0, result_len};
    int closed = 0;
    int rc = check_call(call);
    if (rc != 0 || (reply != ETX_DONE && reply != ETX_REFUSED) ||
        result_len > ETX__FENCE_RESULT_MAX || (result == NULL && result_len > 0)) {
        return ETX_EINVALID;
    }
    end.reason_len = measure_reason(end.reason);
    if (reply == ETX_REFUSED) {
        rc = run_savepoint(table, "ROLLBACK TO", call);
    }
    if (rc == 0) {
        rc = table->close(table->db, call, &end, &closed);
    }
    if (rc == 0 && !closed) {
        rc = ETX_EINVALID; /* another call's enter, or none */
    }
    return rc != 0 ? rc : run_savepoint(table, "RELEASE", call);
}

void etx__fence_answer_keep(etx_fence_answer *answer,
                            const void *reason,
                            size_t reason_len,
                            const void *result,
                            size_t result_len) {
    if (reason_len > ETX_REASON_MAX) {
        reason_len = ETX_REASON_MAX;
    }
    if (reason_len > 0) {
        memcpy(answer->reason, reason, reason_len);
    }
    answer->reason[reason_len] = '\0';
    if (result_len > 0 && result_len <= ETX__FENCE_RESULT_MAX) {
        memcpy(answer->result, result, result_len);
        answer->result_len = result_len;
    }
}
