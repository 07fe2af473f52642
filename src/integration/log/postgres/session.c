/* A session with PostgreSQL: connecting, one statement at a time, and never waiting for ever.
 *
 * A statement that was sent and not answered is lost: the connection is closed, and nobody knows
 * whether it took effect, now or later. One that could not be sent is known to have none. So before
 * a statement is sent, an idle connection is looked at: a server that was restarted meanwhile has
 * closed it, and a new one is made instead. */
#include "postgres.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SERVER_MIN = 130000, GRACE_MS = 1000 };

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void etx__pg_session_init(etx__pg_session *session, const etx__pg_store *store) {
    *session = (etx__pg_session){.store = store};
}

void etx__pg_drop(etx__pg_session *session) {
    PQfinish(session->conn);
    session->conn = NULL;
    session->put_prepared = 0;
}

void etx__pg_session_close(etx__pg_session *session) {
    etx__pg_drop(session);
}

void etx__pg_number(etx__pg_params *params, uint64_t number) {
    char *to = params->numbers[params->count];
    snprintf(to, sizeof params->numbers[0], "%" PRId64, (int64_t)number);
    etx__pg_text(params, to);
}

void etx__pg_text(etx__pg_params *params, const char *text) {
    params->values[params->count] = text;
    params->formats[params->count++] = 0;
}

void etx__pg_bytes(etx__pg_params *params, etx_bytes bytes) {
    params->lengths[params->count] = (int)bytes.len;
    params->values[params->count] = bytes.data;
    params->formats[params->count++] = 1;
}

int64_t etx__pg_number_at(const PGresult *result, int row, int column) {
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

/* What is only a notice is not sent (client_min_messages). A commit that gave up waiting for its
 * standby says so by a warning alone. */
static void hear(void *user, const PGresult *notice) {
    etx__pg_session *session = user;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *words = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    if (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
        session->farewell = 1;
    if (severity && strcmp(severity, "WARNING") == 0) {
        session->warned = 1;
        etx__pg_say(session, ETX_EUNAVAILABLE, "PostgreSQL warns: %.200s", words ? words : "");
    }
}

/* ---- waiting */

static int wait_for(etx__pg_session *session, short events, uint64_t until) {
    struct pollfd fd = {.fd = PQsocket(session->conn), .events = events};
    for (;;) {
        uint64_t now = now_ms();
        uint64_t left = until > now ? until - now : 0;
        int rc = poll(&fd, 1, (int)left);
        if (rc > 0)
            return 0;
        if (rc == 0 || errno != EINTR)
            return ETX_EUNAVAILABLE;
    }
}

static etx__pg_outcome lost(etx__pg_session *session) {
    etx__pg_unreachable(session, session->conn);
    session->rc = ETX_EUNAVAILABLE;
    etx__pg_drop(session);
    return ETX__PG_LOST;
}

static etx__pg_outcome timed_out(etx__pg_session *session) {
    etx__pg_say(session, ETX_EUNAVAILABLE, "PostgreSQL has not answered within %u ms",
                session->store->common.timeout_ms + GRACE_MS);
    session->state[0] = 0;
    etx__pg_drop(session);
    return ETX__PG_LOST;
}

static etx__pg_outcome flush_all(etx__pg_session *session, uint64_t until) {
    int left;
    while ((left = PQflush(session->conn)) > 0) {
        if (wait_for(session, POLLIN | POLLOUT, until))
            return timed_out(session);
        if (!PQconsumeInput(session->conn))
            return lost(session);
    }
    return left ? lost(session) : ETX__PG_DONE;
}

etx__pg_outcome etx__pg_await(etx__pg_session *session, PGresult **ret_result) {
    /* the server gives up first, and then the answer is definite */
    uint64_t until = now_ms() + session->store->common.timeout_ms + GRACE_MS;
    etx__pg_outcome outcome = flush_all(session, until);
    *ret_result = NULL;
    while (outcome == ETX__PG_DONE && PQisBusy(session->conn)) {
        if (wait_for(session, POLLIN, until))
            return timed_out(session);
        if (!PQconsumeInput(session->conn))
            return lost(session);
    }
    if (outcome != ETX__PG_DONE)
        return outcome;
    PGresult *result = PQgetResult(session->conn);
    ExecStatusType status = PQresultStatus(result);
    if (!result)
        return PQstatus(session->conn) == CONNECTION_OK ? ETX__PG_DONE : lost(session);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE) {
        *ret_result = result;
        return ETX__PG_DONE;
    }
    outcome = etx__pg_failed(session, result);
    PQclear(result);
    return outcome;
}

/* The result of what was sent, which is one statement. */
static etx__pg_outcome finish(etx__pg_session *session, PGresult **ret_result) {
    PGresult *rest = NULL;
    etx__pg_outcome outcome = etx__pg_await(session, ret_result);
    if (outcome == ETX__PG_LOST || !session->conn)
        return outcome;
    etx__pg_outcome last = etx__pg_await(session, &rest);
    PQclear(rest);
    if (last != ETX__PG_DONE) {
        PQclear(*ret_result);
        *ret_result = NULL;
        return outcome == ETX__PG_REFUSED ? outcome : last;
    }
    return outcome;
}

static etx__pg_outcome send_one(etx__pg_session *session,
                                const char *sql,
                                const etx__pg_params *params,
                                PGresult **ret_result) {
    static const etx__pg_params none = {.count = 0};
    const etx__pg_params *p = params ? params : &none;
    *ret_result = NULL;
    session->warned = 0;
    int sent = sql ? PQsendQueryParams(session->conn, sql, p->count, NULL, p->values, p->lengths,
                                       p->formats, 0)
                   : PQsendQueryPrepared(session->conn, "put", p->count, p->values, p->lengths,
                                         p->formats, 0);
    return sent ? finish(session, ret_result) : lost(session);
}

/* ---- connecting */

static PGconn *connect_now(const etx__pg_store *store) {
    enum { MOST = 64 };
    const char *keywords[MOST + 1];
    const char *values[MOST + 1];
    char password[ETX__STORE_PASSWORD_MAX + 2];
    int count = 0;
    etx__store_password(&store->common, password);
    for (const PQconninfoOption *option = store->conninfo; option->keyword && count < MOST;
         option++) {
        if (option->val && option->val[0]) {
            keywords[count] = option->keyword;
            values[count++] = strcmp(option->keyword, "password") == 0 ? password : option->val;
        }
    }
    keywords[count] = NULL;
    values[count] = NULL;
    PGconn *conn = PQconnectdbParams(keywords, values, 0);
    explicit_bzero(password, sizeof password);
    return conn;
}

/* What the log needs of a session, whatever the server's, the database's or the user's defaults
 * are. A weaker synchronous_commit would acknowledge what is not durable. */
static etx__pg_outcome set_up(etx__pg_session *session, PGresult **ret_result) {
    static const char sql[] =
        "SELECT pg_is_in_recovery(),"
        " set_config('search_path', $1, false), set_config('statement_timeout', $2, false),"
        " set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
        "  WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),"
        " set_config('default_transaction_isolation', 'read committed', false),"
        " set_config('client_min_messages', 'warning', false),"
        " set_config('lock_timeout', '0', false), set_config('jit', 'off', false),"
        " set_config('plan_cache_mode', 'force_generic_plan', false)";
    char path[128];
    etx__pg_params params = {.count = 0};
    snprintf(path, sizeof path, "\"%s\", pg_catalog, pg_temp", session->store->schema);
    etx__pg_text(&params, path);
    etx__pg_number(&params, session->patient ? 0 : session->store->common.timeout_ms);
    return send_one(session, sql, &params, ret_result);
}

static int take_server(etx__pg_session *session) {
    PGresult *result = NULL;
    if (PQserverVersion(session->conn) < SERVER_MIN) {
        etx__pg_say(session, ETX_EINVALID, "PostgreSQL %d is too old for a log: 13 or newer",
                    PQserverVersion(session->conn) / 10000);
        return session->rc;
    }
    int rc = set_up(session, &result) == ETX__PG_DONE ? 0 : session->rc;
    if (!rc && PQgetvalue(result, 0, 0)[0] == 't') {
        rc = ETX_EUNAVAILABLE;
        etx__pg_say(session, rc,
                    "the server is a standby: name the primary, or several hosts of which one is");
    }
    PQclear(result);
    if (rc || !session->store->common.read_only)
        return rc;
    etx__pg_outcome outcome =
        send_one(session, "SET default_transaction_read_only = on", NULL, &result);
    PQclear(result);
    return outcome == ETX__PG_DONE ? 0 : session->rc;
}

/* An idle server says nothing, unless a setting has changed, or it says farewell. */
static int is_over(etx__pg_session *session) {
    struct pollfd fd = {.fd = PQsocket(session->conn), .events = POLLIN};
    session->farewell = 0;
    while (!session->farewell && poll(&fd, 1, 0) > 0) {
        if (!PQconsumeInput(session->conn))
            return 1;
        (void)PQisBusy(session->conn); /* which reads what has come */
    }
    return session->farewell;
}

int etx__pg_session_ready(etx__pg_session *session) {
    if (session->conn && is_over(session))
        etx__pg_drop(session);
    if (session->conn)
        return 0;
    session->state[0] = 0;
    if (session->pinned) {
        etx__pg_say(session, ETX_EUNAVAILABLE, "the connection was lost");
        return session->rc;
    }
    session->conn = connect_now(session->store);
    if (!session->conn || PQstatus(session->conn) != CONNECTION_OK) {
        etx__pg_unreachable(session, session->conn);
        etx__pg_drop(session);
        return session->rc;
    }
    PQsetNoticeReceiver(session->conn, hear, session);
    if (PQsetnonblocking(session->conn, 1) || take_server(session)) {
        etx__pg_drop(session);
        return session->rc;
    }
    return 0;
}

/* ---- statements */

etx__pg_outcome etx__pg_exec(etx__pg_session *session,
                             const char *sql,
                             const etx__pg_params *params,
                             PGresult **ret_result) {
    *ret_result = NULL;
    if (etx__pg_session_ready(session))
        return ETX__PG_UNSENT;
    return send_one(session, sql, params, ret_result);
}

int etx__pg_run(etx__pg_session *session, const char *sql, const etx__pg_params *params) {
    PGresult *result = NULL;
    etx__pg_outcome outcome = etx__pg_exec(session, sql, params, &result);
    PQclear(result);
    return outcome == ETX__PG_DONE ? 0 : session->rc;
}

etx__pg_outcome etx__pg_exec_put(etx__pg_session *session,
                                 const char *sql,
                                 const etx__pg_params *params,
                                 PGresult **ret_result) {
    *ret_result = NULL;
    if (etx__pg_session_ready(session))
        return ETX__PG_UNSENT;
    if (!session->put_prepared) {
        etx__pg_outcome outcome = PQsendPrepare(session->conn, "put", sql, 0, NULL)
                                      ? finish(session, ret_result)
                                      : lost(session);
        PQclear(*ret_result);
        *ret_result = NULL;
        if (outcome != ETX__PG_DONE) /* a statement that is not prepared does nothing */
            return outcome == ETX__PG_REFUSED ? outcome : ETX__PG_UNSENT;
        session->put_prepared = 1;
    }
    return send_one(session, NULL, params, ret_result);
}
