/* A bank of the demo: accounts, holds and a ledger in a SQLite database, and a participant on top.
 *
 * Each operation is one SQLite transaction: the fence's row and the money, together or not at all.
 * Transfers by TCC hold money first and book it on confirm; transfers by saga book at once and book
 * back to undo. A saga shows its intermediate states to others, so a compensation may overdraw an
 * account whose owner has spent the money meanwhile; the sum is right all the same. A message
 * books when it is delivered; a notification leaves a note that moves nothing. */
#include <string.h>

#include "demo.h"

enum { LOOK, HOLD, UNHOLD, RESERVE, BOOK, ENTER, STATEMENTS };

static const char *const statement_texts[STATEMENTS] = {
    [LOOK] = "SELECT balance - held, blocked FROM account WHERE id = ?1",
    [HOLD] = "INSERT INTO hold(gid, branch, account, amount) VALUES(?3, ?4, ?1, ?2)",
    [UNHOLD] = "DELETE FROM hold WHERE account = ?1 AND amount = ?2 AND gid = ?3 AND branch = ?4",
    [RESERVE] = "UPDATE account SET held = held + ?2 WHERE id = ?1",
    [BOOK] = "UPDATE account SET balance = balance + ?2 WHERE id = ?1",
    [ENTER] =
        "INSERT INTO ledger(account, amount, gid, branch, legs, step) VALUES(?, ?, ?, ?, ?, ?)",
};

static const char schema[] =
    "PRAGMA journal_mode=WAL;"
    "BEGIN;"
    "CREATE TABLE account(id INTEGER PRIMARY KEY, opening INTEGER NOT NULL,"
    " balance INTEGER NOT NULL, held INTEGER NOT NULL DEFAULT 0, blocked INTEGER NOT NULL);"
    "CREATE TABLE hold(gid TEXT NOT NULL, branch TEXT NOT NULL, account INTEGER NOT NULL,"
    " amount INTEGER NOT NULL, PRIMARY KEY(gid, branch)) WITHOUT ROWID;"
    "CREATE TABLE ledger(id INTEGER PRIMARY KEY, gid TEXT NOT NULL, branch TEXT NOT NULL,"
    " account INTEGER NOT NULL, amount INTEGER NOT NULL, legs INTEGER NOT NULL,"
    " step TEXT NOT NULL);";

/* One call's work: what it moves, and the room for a refusal. */
typedef struct work {
    demo_bank *bank;
    const char *gid;
    const char *branch;
    demo_leg leg;
    char *reason; /* DEMO_REASON_MAX bytes */
} work;

const char *etx__demo_bank_name(int place) {
    static const char *const names[DEMO_BANKS] = {"north", "south", "west"};
    return names[place];
}

void etx__demo_bank_path(const char *dir, int place, char *path, size_t size) {
    snprintf(path, size, "%s/%s.db", dir, etx__demo_bank_name(place));
}

int etx__demo_leg_print(const demo_leg *leg, char *text, size_t size) {
    return snprintf(text, size, "account=%d amount=%lld legs=%d", leg->account,
                    (long long)leg->amount, leg->legs);
}

static int read_leg(etx_bytes payload, demo_leg *ret_leg) {
    char text[96];
    long long amount = 0;
    if (payload.len == 0 || payload.len >= sizeof text) {
        return -1;
    }
    memcpy(text, payload.data, payload.len);
    text[payload.len] = '\0';
    if (sscanf(text, "account=%d amount=%lld legs=%d", &ret_leg->account, &amount,
               &ret_leg->legs) != 3) {
        return -1;
    }
    ret_leg->amount = amount;
    return 0;
}

static int fail_bank(cli_context *cli, const char *path, sqlite3 *db) {
    return etx__cli_fail(cli, NULL, "%s: %s", path,
                         db != NULL ? sqlite3_errmsg(db) : "out of memory");
}

int etx__demo_bank_create(cli_context *cli, const char *dir, int place) {
    char path[DEMO_PATH_MAX];
    char accounts[400];
    sqlite3 *db = NULL;
    int code = CLI_OK;
    etx__demo_bank_path(dir, place, path, sizeof path);
    snprintf(accounts, sizeof accounts,
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
             " INSERT INTO account(id, opening, balance, blocked)"
             " SELECT i, %d, %d, i %% %d = 0 FROM n; COMMIT;",
             DEMO_ACCOUNTS, DEMO_BALANCE, DEMO_BALANCE, DEMO_BLOCKED);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(db, accounts, NULL, NULL, NULL) != SQLITE_OK ||
        etx_fence_sqlite_prepare(db) != 0) {
        code = fail_bank(cli, path, db);
    }
    (void)sqlite3_close(db);
    return code;
}

int etx__demo_bank_open(cli_context *cli, const char *dir, int place, demo_bank *bank) {
    char path[DEMO_PATH_MAX];
    int i;
    etx__demo_bank_path(dir, place, path, sizeof path);
    bank->name = etx__demo_bank_name(place);
    /* Processes die here, the machine does not: in WAL mode synchronous=NORMAL keeps what was
     * committed through SIGKILL. A bank that must survive a power cut sets FULL. Checkpoints
     * sync, so they are made rarer than by default. */
    if (sqlite3_open_v2(path, &bank->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
            SQLITE_OK ||
        sqlite3_busy_timeout(bank->db, 5000) != SQLITE_OK ||
        sqlite3_exec(bank->db, "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000", NULL,
                     NULL, NULL) != SQLITE_OK) {
        return fail_bank(cli, path, bank->db);
    }
    for (i = 0; i < STATEMENTS; i++) {
        if (sqlite3_prepare_v3(bank->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &bank->statements[i], NULL) != SQLITE_OK) {
            return fail_bank(cli, path, bank->db);
        }
    }
    return pthread_mutex_init(&bank->lock, NULL) == 0 ? CLI_OK : CLI_BAD;
}

void etx__demo_bank_close(demo_bank *bank) {
    int i;
    for (i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(bank->statements[i]);
    }
    (void)sqlite3_close(bank->db);
}

/* Runs a statement with the work's leg; 0 or ETX_EIO. It must change exactly one row. */
static int change(work *w, int which, int64_t amount, const char *step) {
    sqlite3_stmt *statement = w->bank->statements[which];
    int count = sqlite3_bind_parameter_count(statement);
    int rc;
    sqlite3_bind_int(statement, 1, w->leg.account);
    sqlite3_bind_int64(statement, 2, amount);
    if (count > 2) {
        sqlite3_bind_text(statement, 3, w->gid, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 4, w->branch, -1, SQLITE_STATIC);
    }
    if (count > 4) {
        sqlite3_bind_int(statement, 5, w->leg.legs);
        sqlite3_bind_text(statement, 6, step, -1, SQLITE_STATIC);
    }
    rc = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return rc == SQLITE_DONE && sqlite3_changes(w->bank->db) == 1 ? 0 : ETX_EIO;
}

/* May the money move? ETX_DONE, ETX_REFUSED with the reason, or ETX_RETRY. */
static etx_reply judge(work *w) {
    sqlite3_stmt *statement = w->bank->statements[LOOK];
    etx_reply reply = ETX_DONE;
    sqlite3_bind_int(statement, 1, w->leg.account);
    if (sqlite3_step(statement) != SQLITE_ROW) {
        reply = ETX_RETRY;
    } else if (sqlite3_column_int(statement, 1)) {
        reply = ETX_REFUSED;
        snprintf(w->reason, DEMO_REASON_MAX, "account %d of bank %s is blocked", w->leg.account,
                 w->bank->name);
    } else if (w->leg.amount < 0 && sqlite3_column_int64(statement, 0) < -w->leg.amount) {
        reply = ETX_REFUSED;
        snprintf(w->reason, DEMO_REASON_MAX, "account %d of bank %s has not enough money",
                 w->leg.account, w->bank->name);
    }
    sqlite3_reset(statement);
    return reply;
}

static etx_reply done_if(int rc) {
    return rc == 0 ? ETX_DONE : ETX_RETRY;
}

static etx_reply work_tcc(work *w, etx_operation operation) {
    int64_t amount = w->leg.amount;
    int64_t held = amount < 0 ? -amount : 0;
    int rc;
    if (operation == ETX_FORWARD) {
        etx_reply reply = judge(w);
        if (reply != ETX_DONE) {
            return reply;
        }
        rc = change(w, HOLD, amount, NULL);
        return done_if(rc != 0 ? rc : change(w, RESERVE, held, NULL));
    }
    rc = change(w, UNHOLD, amount, NULL);
    if (rc == 0) {
        rc = change(w, RESERVE, -held, NULL);
    }
    if (rc == 0 && operation == ETX_COMMIT) {
        rc = change(w, BOOK, amount, NULL);
    }
    if (rc == 0 && operation == ETX_COMMIT) {
        rc = change(w, ENTER, amount, "book");
    }
    return done_if(rc);
}

static etx_reply work_saga(work *w, etx_operation operation) {
    int64_t amount = operation == ETX_FORWARD ? w->leg.amount : -w->leg.amount;
    int rc;
    if (operation == ETX_FORWARD) {
        etx_reply reply = judge(w);
        if (reply != ETX_DONE) {
            return reply;
        }
    }
    rc = change(w, BOOK, amount, NULL);
    return done_if(rc != 0 ? rc
                           : change(w, ENTER, amount, operation == ETX_FORWARD ? "book" : "undo"));
}

/* Deliver and notify: nothing may be refused any more. */
static etx_reply work_delivery(work *w, etx_kind kind) {
    int rc;
    if (kind == ETX_NOTIFICATION) {
        return done_if(change(w, ENTER, 0, "note"));
    }
    rc = change(w, BOOK, w->leg.amount, NULL);
    return done_if(rc != 0 ? rc : change(w, ENTER, w->leg.amount, "book"));
}

static etx_reply work_kind(work *w, etx_kind kind, etx_operation operation) {
    switch (kind) {
        case ETX_TCC:
            return work_tcc(w, operation);
        case ETX_SAGA:
            return work_saga(w, operation);
        case ETX_MESSAGE:
        case ETX_NOTIFICATION:
            return work_delivery(w, kind);
        case ETX_XA:
            break;
    }
    return ETX_RETRY;
}

/* Inside BEGIN IMMEDIATE: fence, work, fence. ETX_RETRY: roll back. */
static etx_reply work_fenced(work *w, const etx_fence_call *fenced) {
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    etx_reply reply;
    if (etx_fence_sqlite_enter(w->bank->db, fenced, &answer) != 0 ||
        answer.verdict == ETX_FENCE_TOO_OLD) {
        return ETX_RETRY;
    }
    if (answer.verdict == ETX_FENCE_ANSWERED) {
        snprintf(w->reason, DEMO_REASON_MAX, "%.95s", answer.reason);
        return answer.reply;
    }
    reply = work_kind(w, fenced->kind, fenced->operation);
    if (reply == ETX_RETRY ||
        etx_fence_sqlite_finish(w->bank->db, fenced, reply, w->reason, NULL, 0) != 0) {
        return ETX_RETRY;
    }
    return reply;
}

static etx_reply work_alone(work *w, const etx_fence_call *fenced) {
    sqlite3 *db = w->bank->db;
    etx_reply reply;
    if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK) {
        return ETX_RETRY;
    }
    reply = work_fenced(w, fenced);
    if (reply != ETX_RETRY && sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK) {
        return reply;
    }
    (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return ETX_RETRY;
}

etx_reply etx__demo_bank_serve(demo_bank *bank,
                               const etx_fence_call *call,
                               etx_bytes payload,
                               char *reason) {
    work w = {.bank = bank, .gid = call->gid, .branch = call->branch, .reason = reason};
    etx_reply reply;
    reason[0] = '\0';
    if (read_leg(payload, &w.leg) != 0) {
        return ETX_RETRY;
    }
    pthread_mutex_lock(&bank->lock);
    atomic_fetch_add(&bank->progress->calls_running, 1);
    reply = work_alone(&w, call);
    atomic_fetch_sub(&bank->progress->calls_running, 1);
    pthread_mutex_unlock(&bank->lock);
    return reply;
}

etx_reply etx__demo_bank_call(etx_call *call, void *user) {
    etx_fence_call fenced = ETX_FENCE_CALL_INIT;
    char reason[DEMO_REASON_MAX];
    etx_bytes payload;
    etx_reply reply;
    payload.data = etx_call_payload(call, &payload.len);
    fenced.gid = etx_call_gid(call);
    fenced.branch = etx_call_branch(call);
    fenced.operation = etx_call_operation(call);
    fenced.kind = etx_call_kind(call);
    fenced.begin_ms = etx_call_begin_ms(call);
    reply = etx__demo_bank_serve(user, &fenced, payload, reason);
    if (reason[0] != '\0') {
        (void)etx_call_reason(call, reason);
    }
    return reply;
}
