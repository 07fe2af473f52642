/* A small service: money moves between accounts that live in two SQLite databases.
 *
 *   bank DIR open                    makes the databases, with 1000 in each account
 *   bank DIR transfer FROM TO AMOUNT
 *   bank DIR show                    balances
 *
 * Kill it whenever you like: the next start finishes what was begun. */
#include <etx/etx.h>
#include <etx/fence.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"alice", "bob"};

/* One account, in a database of its own. */
typedef struct bank_account {
    char path[512];
} bank_account;

static sqlite3 *open_account(const bank_account *account) {
    sqlite3 *db = NULL;
    if (sqlite3_open(account->path, &db) != SQLITE_OK) {
        sqlite3_close(db);
        return NULL;
    }
    sqlite3_busy_timeout(db, 5000);
    sqlite3_exec(db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
    return db;
}

static int read_balance(sqlite3 *db, int64_t *ret_balance) {
    sqlite3_stmt *statement = NULL;
    int found = 0;
    if (sqlite3_prepare_v2(db, "SELECT balance FROM account", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        *ret_balance = sqlite3_column_int64(statement, 0);
        found = 1;
    }
    sqlite3_finalize(statement);
    return found ? 0 : -1;
}

/* The business: `amount` is what the balance changes by. Overdrawing is refused. */
static etx_reply change_balance(sqlite3 *db, int64_t amount, etx_operation operation) {
    int64_t balance = 0;
    char sql[80];
    if (operation == ETX_UNDO) {
        amount = -amount; /* compensate */
    }
    if (read_balance(db, &balance) != 0) {
        return ETX_RETRY;
    }
    if (operation == ETX_FORWARD && balance + amount < 0) {
        return ETX_REFUSED;
    }
    snprintf(sql, sizeof(sql), "UPDATE account SET balance = balance + (%" PRId64 ")", amount);
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? ETX_DONE : ETX_RETRY;
}

/* Work and fence in one database transaction: the fence says whether the work is to be done now,
 * and remembers what it came to. */
static etx_reply fenced(sqlite3 *db, etx_call *call) {
    etx_fence_call fence = ETX_FENCE_CALL_INIT;
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    size_t len = 0;
    const void *payload = etx_call_payload(call, &len);
    char amount[24] = {0};
    memcpy(amount, payload, len < sizeof(amount) ? len : sizeof(amount) - 1);
    fence.gid = etx_call_gid(call);
    fence.branch = etx_call_branch(call);
    fence.operation = etx_call_operation(call);
    fence.kind = etx_call_kind(call);
    fence.begin_ms = etx_call_begin_ms(call);
    if (etx_fence_sqlite_enter(db, &fence, &answer) != 0 || answer.verdict == ETX_FENCE_TOO_OLD) {
        return ETX_RETRY;
    }
    if (answer.verdict == ETX_FENCE_ANSWERED) {
        etx_call_reason(call, answer.reason);
        return answer.reply;
    }
    etx_reply reply = change_balance(db, strtoll(amount, NULL, 10), fence.operation);
    const char *reason = reply == ETX_REFUSED ? "not enough money" : NULL;
    if (reply == ETX_RETRY || etx_fence_sqlite_finish(db, &fence, reply, reason, NULL, 0) != 0) {
        return ETX_RETRY;
    }
    if (reason != NULL) {
        etx_call_reason(call, reason);
    }
    return reply;
}

static etx_reply on_call(etx_call *call, void *user) {
    etx_reply reply = ETX_RETRY;
    sqlite3 *db = open_account(user);
    if (db != NULL && sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK) {
        reply = fenced(db, call);
        const char *end = reply == ETX_RETRY ? "ROLLBACK" : "COMMIT";
        if (sqlite3_exec(db, end, NULL, NULL, NULL) != SQLITE_OK) {
            reply = ETX_RETRY;
        }
    }
    sqlite3_close(db);
    return reply;
}

static int make_account(const bank_account *account) {
    sqlite3 *db = open_account(account);
    int failed = db == NULL || etx_fence_sqlite_prepare(db) != 0 ||
                 sqlite3_exec(db,
                              "CREATE TABLE account (balance INTEGER NOT NULL);"
                              "INSERT INTO account VALUES (1000)",
                              NULL, NULL, NULL) != SQLITE_OK;
    sqlite3_close(db);
    return failed;
}

static int show_account(const bank_account *account, const char *name) {
    int64_t balance = 0;
    sqlite3 *db = open_account(account);
    int failed = db == NULL || read_balance(db, &balance) != 0;
    sqlite3_close(db);
    printf("%s %" PRId64 "\n", name, balance);
    return failed;
}

static int start(etx_engine *engine, const char *dir, bank_account accounts[2]) {
    char url[600];
    int rc = 0;
    snprintf(url, sizeof(url), "file:%s/etx", dir);
    rc = etx_engine_home(engine, url);
    for (int i = 0; i < 2 && rc == 0; i++) {
        etx_participant participant = ETX_PARTICIPANT_INIT;
        participant.name = names[i];
        participant.kind = ETX_SAGA; /* action, then compensate if another one is refused */
        participant.forward = participant.undo = on_call;
        participant.user = &accounts[i];
        participant.branch_flags = ETX_KEEPS_REFUSALS; /* the fence does */
        rc = etx_engine_register(engine, &participant);
    }
    return rc != 0 ? rc : etx_engine_start(engine);
}

static int transfer(etx_engine *engine, const char *from, const char *to, const char *amount) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    char negative[24], positive[24];
    int64_t value = strtoll(amount, NULL, 10);
    int rc = etx_tx_new(engine, NULL, &tx);
    if (rc != 0) {
        return rc;
    }
    snprintf(negative, sizeof(negative), "%" PRId64, -value);
    snprintf(positive, sizeof(positive), "%" PRId64, value);
    rc = etx_tx_add(tx, from, negative, strlen(negative));
    rc = rc != 0 ? rc : etx_tx_add(tx, to, positive, strlen(positive));
    if (rc != 0) {
        char message[512];
        etx_engine_message(engine, message, sizeof(message)); /* "no participant NAME", for one */
        fprintf(stderr, "bank: %s\n", message);
        etx_tx_discard(tx);
        return rc;
    }
    rc = etx_tx_run(tx, &outcome);
    printf("%s: %s %s\n", outcome.gid, rc == 0 ? etx_state_name(outcome.state) : etx_strerror(rc),
           outcome.reason);
    return rc;
}

static int run_engine(int argc, char **argv, bank_account accounts[2]) {
    etx_options options = ETX_OPTIONS_INIT;
    etx_engine *engine = NULL;
    int rc = etx_engine_create(&options, &engine);
    if (rc == 0) {
        rc = start(engine, argv[1], accounts);
    }
    if (rc != 0) {
        char message[512];
        etx_engine_message(engine, message, sizeof(message));
        fprintf(stderr, "bank: %s\n", message);
    } else {
        if (argc == 6) {
            rc = transfer(engine, argv[3], argv[4], argv[5]);
        }
        etx_engine_close(engine, ETX_CLOSE_FINISH, 10000);
    }
    etx_engine_free(engine);
    return rc != 0;
}

int main(int argc, char **argv) {
    bank_account accounts[2];
    int failed = 0;
    if (argc != 3 && argc != 6) {
        fprintf(stderr, "usage: bank DIR open | show | transfer FROM TO AMOUNT\n");
        return 2;
    }
    for (int i = 0; i < 2; i++) {
        snprintf(accounts[i].path, sizeof(accounts[i].path), "%s/%s.db", argv[1], names[i]);
    }
    if (strcmp(argv[2], "open") == 0) {
        return make_account(&accounts[0]) || make_account(&accounts[1]);
    }
    failed = run_engine(argc, argv, accounts); /* also what was left unfinished */
    for (int i = 0; i < 2 && argc == 3; i++) {
        failed |= show_account(&accounts[i], names[i]);
    }
    return failed;
}
