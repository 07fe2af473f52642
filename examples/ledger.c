/* A participant over HTTP, in C: a ledger in PostgreSQL, behind the fence.
 *
 *   ledger open NAME=BALANCE...   makes the tables, with these accounts
 *   ledger serve PORT             answers etxd until SIGTERM
 *   ledger show                   balances
 *   ledger clean SECONDS          forgets calls of transactions begun longer ago
 *
 * An order moves something in three of them: a number from `free` to `placed` in the ledger of
 * orders, goods from the shelf to `sold`, money from the customer to the shop. The body of a call
 * says what: {"from": "alice", "to": "shop", "amount": 10}. Try takes it out of `from` or refuses,
 * confirm brings it to `to`, cancel gives it back.
 *
 * Clean only what has ended: `etx tx list --older-than` shows what has not. The database is the one
 * that PGHOST, PGDATABASE and so on name. */
#include <arpa/inet.h>
#include <etx/fence.h>
#include <libpq-fe.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS = 4, BODY_MAX = 65536 };

/* ---- the business, in SQL: $1 is the gid, $2 the branch, $3 the body */

static const char sql_try[] =
    "WITH taken AS (UPDATE account SET balance = balance - ($3::json->>'amount')::bigint"
    " WHERE name = $3::json->>'from' AND balance >= ($3::json->>'amount')::bigint"
    " AND EXISTS (SELECT 1 FROM account WHERE name = $3::json->>'to') RETURNING name)"
    "INSERT INTO entry(gid, branch, source, target, amount, state)"
    " SELECT $1, $2, name, $3::json->>'to', ($3::json->>'amount')::bigint, 'held' FROM taken";
static const char sql_confirm[] =
    "WITH moved AS (UPDATE entry SET state = 'done' WHERE gid = $1 AND branch = $2"
    " AND $3::json IS NOT NULL RETURNING target, amount)"
    "UPDATE account SET balance = balance + amount FROM moved WHERE name = target";
static const char sql_cancel[] =
    "WITH back AS (UPDATE entry SET state = 'undone' WHERE gid = $1 AND branch = $2"
    " AND $3::json IS NOT NULL RETURNING source, amount)"
    "UPDATE account SET balance = balance + amount FROM back WHERE name = source";
static const char sql_open[] =
    "CREATE TABLE account(name text PRIMARY KEY, balance bigint NOT NULL CHECK(balance >= 0));"
    "CREATE TABLE entry(gid text, branch text, source text NOT NULL, target text NOT NULL,"
    " amount bigint NOT NULL CHECK(amount > 0), state text NOT NULL, PRIMARY KEY(gid, branch))";

typedef struct operation {
    const char *name; /* of the header Etx-Operation */
    etx_operation operation;
    const char *sql;
} operation;

static const operation operations[] = {
    {"try", ETX_FORWARD, sql_try},
    {"confirm", ETX_COMMIT, sql_confirm},
    {"cancel", ETX_UNDO, sql_cancel},
};

/* DONE if the statement wrote a row, REFUSED if it found none to write or did not like the body,
 * RETRY if nobody knows. */
static etx_reply do_business(PGconn *db,
                             const etx_fence_call *call,
                             const char *sql,
                             const char *body) {
    const char *values[3] = {call->gid, call->branch, body};
    PGresult *result = PQexecParams(db, sql, 3, NULL, values, NULL, NULL, 0);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    etx_reply reply = ETX_RETRY;
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        reply = strcmp(PQcmdTuples(result), "1") == 0 ? ETX_DONE : ETX_REFUSED;
    } else if (state != NULL && (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0)) {
        reply = ETX_REFUSED; /* no JSON, no amount, a constraint */
    } else {
        fprintf(stderr, "ledger: %s", PQresultErrorMessage(result));
    }
    PQclear(result);
    return reply;
}

/* Fence and business in one database transaction, which the caller commits unless it is RETRY. */
static etx_reply do_fenced(PGconn *db,
                           const etx_fence_call *call,
                           const char *sql,
                           const char *body) {
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    if (etx_fence_postgres_enter(db, call, &answer) != 0) {
        return ETX_RETRY;
    }
    if (answer.verdict == ETX_FENCE_TOO_OLD) {
        fprintf(stderr, "ledger: too old, its rows may be gone: %s %s\n", call->gid, call->branch);
        return ETX_RETRY; /* somebody must look at it */
    }
    if (answer.verdict == ETX_FENCE_ANSWERED) {
        return answer.reply;
    }
    etx_reply reply = do_business(db, call, sql, body);
    if (reply == ETX_RETRY || etx_fence_postgres_finish(db, call, reply, NULL, NULL, 0) != 0) {
        return ETX_RETRY;
    }
    return reply;
}

static int run_sql(PGconn *db, const char *sql) {
    PGresult *result = PQexec(db, sql);
    int done = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return done ? 0 : -1;
}

static etx_reply do_operation(PGconn *db,
                              const etx_fence_call *call,
                              const char *sql,
                              const char *body) {
    etx_reply reply = ETX_RETRY;
    if (run_sql(db, "BEGIN") == 0) {
        reply = do_fenced(db, call, sql, body);
        if (run_sql(db, reply == ETX_RETRY ? "ROLLBACK" : "COMMIT") != 0) {
            reply = ETX_RETRY; /* perhaps it was committed: the repeat will see */
        }
    }
    return reply;
}

/* ---- connections to the database, one for each thread of the server */

typedef struct ledger {
    pthread_mutex_t lock;
    PGconn *idle[THREADS];
    int count;
} ledger;

static PGconn *take_connection(ledger *l) {
    PGconn *db;
    pthread_mutex_lock(&l->lock);
    db = l->idle[--l->count];
    pthread_mutex_unlock(&l->lock);
    if (PQstatus(db) != CONNECTION_OK) {
        PQreset(db);
    }
    return db;
}

static void return_connection(ledger *l, PGconn *db) {
    pthread_mutex_lock(&l->lock);
    l->idle[l->count++] = db;
    pthread_mutex_unlock(&l->lock);
}

/* ---- HTTP */

typedef struct body {
    size_t len;
    char text[BODY_MAX + 1];
} body;

static enum MHD_Result answer(struct MHD_Connection *connection,
                              unsigned status,
                              const char *text) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result queued;
    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type",
                            status == 200 ? "application/json" : "text/plain");
    queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result serve_call(ledger *l, struct MHD_Connection *connection, const char *text) {
    etx_fence_call call = ETX_FENCE_CALL_INIT; /* a TCC branch */
    const char *begin = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Etx-Begin");
    const char *word = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Etx-Operation");
    size_t i;
    call.gid = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Etx-Gid");
    call.branch = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Etx-Branch");
    if (call.gid == NULL || call.branch == NULL || word == NULL || begin == NULL) {
        return answer(connection, 400, "this is no call of etxd");
    }
    call.begin_ms = strtoull(begin, NULL, 10);
    for (i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (strcmp(word, operations[i].name) == 0) {
            PGconn *db = take_connection(l);
            call.operation = operations[i].operation;
            etx_reply reply = do_operation(db, &call, operations[i].sql, text);
            return_connection(l, db);
            return reply == ETX_DONE      ? answer(connection, 200, "{}")
                   : reply == ETX_REFUSED ? answer(connection, 409, "there is not enough of it")
                                          : answer(connection, 503, "ask again");
        }
    }
    return answer(connection, 400, "this is no call of a TCC branch");
}

/* Called with the head, then with pieces of the body, then once more. */
static enum MHD_Result on_request(void *user,
                                  struct MHD_Connection *connection,
                                  const char *url,
                                  const char *method,
                                  const char *version,
                                  const char *piece,
                                  size_t *piece_len,
                                  void **request) {
    body *got = *request;
    (void)url;
    (void)version;
    if (got == NULL) {
        *request = got = calloc(1, sizeof(*got));
        return got != NULL && strcmp(method, "POST") == 0 ? MHD_YES : MHD_NO;
    }
    if (*piece_len > 0) {
        if (*piece_len > BODY_MAX - got->len) {
            return MHD_NO;
        }
        memcpy(got->text + got->len, piece, *piece_len);
        got->len += *piece_len;
        *piece_len = 0;
        return MHD_YES;
    }
    return serve_call(user, connection, got->text);
}

static void on_end(void *user,
                   struct MHD_Connection *connection,
                   void **request,
                   enum MHD_RequestTerminationCode code) {
    (void)user;
    (void)connection;
    (void)code;
    free(*request);
}

static int serve(ledger *l, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    sigset_t signals;
    int signal_number;
    struct MHD_Daemon *daemon;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL,
                              on_request, l, MHD_OPTION_SOCK_ADDR, &address,
                              MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS,
                              MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL, MHD_OPTION_END);
    if (daemon == NULL) {
        fprintf(stderr, "ledger: cannot listen on port %s\n", port);
        return 1;
    }
    printf("listening on 127.0.0.1:%d\n",
           MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);
    sigwait(&signals, &signal_number);
    MHD_stop_daemon(daemon);
    return 0;
}

/* ---- the command */

static int open_accounts(PGconn *db, int count, char **accounts) {
    int failed = etx_fence_postgres_prepare(db) != 0 || run_sql(db, sql_open) != 0;
    for (int i = 0; i < count && !failed; i++) {
        char *name = accounts[i];
        char *balance = strchr(name, '=');
        if (balance == NULL) {
            return 1;
        }
        *balance++ = '\0';
        const char *values[2] = {name, balance};
        PGresult *result =
            PQexecParams(db, "INSERT INTO account VALUES ($1, $2)", 2, NULL, values, NULL, NULL, 0);
        failed = PQresultStatus(result) != PGRES_COMMAND_OK;
        PQclear(result);
    }
    return failed;
}

static int show_accounts(PGconn *db) {
    PGresult *result = PQexec(db, "SELECT name, balance FROM account ORDER BY name");
    int failed = PQresultStatus(result) != PGRES_TUPLES_OK;
    for (int i = 0; i < PQntuples(result); i++) {
        printf("%s %s\n", PQgetvalue(result, i, 0), PQgetvalue(result, i, 1));
    }
    PQclear(result);
    return failed;
}

/* A few at a time: calls that come meanwhile wait. */
static int clean(PGconn *db, const char *seconds) {
    struct timespec now;
    uint64_t rows = 0;
    uint64_t all = 0;
    int failed;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    uint64_t age_ms = strtoull(seconds, NULL, 10) * 1000;
    do {
        failed = etx_fence_postgres_clean(db, age_ms < ms ? ms - age_ms : 0, 100, &rows) != 0;
        all += failed ? 0 : rows;
    } while (!failed && rows > 0);
    printf("%llu rows forgotten\n", (unsigned long long)all);
    return failed;
}

static int run(ledger *l, int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "open") == 0) {
        return open_accounts(l->idle[0], argc - 2, argv + 2);
    }
    if (argc == 3 && strcmp(argv[1], "serve") == 0) {
        return serve(l, argv[2]);
    }
    if (argc == 2 && strcmp(argv[1], "show") == 0) {
        return show_accounts(l->idle[0]);
    }
    if (argc == 3 && strcmp(argv[1], "clean") == 0) {
        return clean(l->idle[0], argv[2]);
    }
    fprintf(stderr, "usage: ledger open NAME=BALANCE... | serve PORT | show | clean SECONDS\n");
    return 2;
}

int main(int argc, char **argv) {
    ledger l = {.lock = PTHREAD_MUTEX_INITIALIZER};
    int failed = 0;
    for (; l.count < THREADS && !failed; l.count++) {
        l.idle[l.count] = PQconnectdb("");
        failed = PQstatus(l.idle[l.count]) != CONNECTION_OK;
    }
    if (failed) {
        fprintf(stderr, "ledger: %s", PQerrorMessage(l.idle[l.count - 1]));
    } else {
        failed = run(&l, argc, argv);
    }
    while (l.count > 0) {
        PQfinish(l.idle[--l.count]);
    }
    return failed;
}
