/* What a failure of PostgreSQL means: whether anything may have happened, and what to do. */
#include "postgres.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void etx__pg_say(etx__pg_session *session, int rc, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(session->text, sizeof session->text, format, args);
    va_end(args);
    session->rc = rc;
    etx__store_redact(&session->store->common, session->text, sizeof session->text);
}

typedef struct failure {
    const char *state; /* SQLSTATE, or how it begins; the first that fits holds */
    int rc;
    const char *advice;
} failure;

static const failure *failure_of(const char *state) {
    static const failure rows[] = {
        {"25006", ETX_EUNAVAILABLE,
         "the server or its database is read-only: name the primary, or several hosts"},
        {"40", ETX_EBUSY, "the transaction was rolled back, and may be tried again"},
        {"42501", ETX_EINVALID,
         "GRANT USAGE ON the log's SCHEMA, and SELECT, INSERT, UPDATE, DELETE ON ALL its TABLES"},
        {"42P01", ETX_EINVALID,
         "was its schema dropped, or this user's GRANT USAGE ON SCHEMA revoked?"},
        {"42", ETX_EINVALID, "the tables are not those of an ETX log: name another schema="},
        {"3F", ETX_EINVALID, "the schema is not there, or this user lacks GRANT USAGE ON SCHEMA"},
        {"53100", ETX_EFULL, "the disk of the server is full: free space there"},
        {"53", ETX_EUNAVAILABLE, "the server lacks memory or connections: see max_connections"},
        {"57014", ETX_EUNAVAILABLE, "the statement was cancelled, or took longer than timeout_ms"},
        {"57P", ETX_EUNAVAILABLE, "the server is being shut down or started"},
        {"XX001", ETX_ECORRUPT, "the server's data is damaged: restore a backup"},
        {"XX002", ETX_ECORRUPT, "an index of the server is damaged: REINDEX it"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strncmp(state, rows[i].state, strlen(rows[i].state)) == 0)
            return &rows[i];
    return NULL;
}

/* An ERROR ends a statement that has not committed; anything worse ends the session, perhaps
 * while it waited for its commit to be replicated. */
static int is_definite(const char *severity, const char *state) {
    return severity && strcmp(severity, "ERROR") == 0 && strncmp(state, "08", 2) != 0 &&
           strncmp(state, "57P", 3) != 0 && strcmp(state, "40003") != 0;
}

/* So many of the server's words that the advice behind them fits into what is told of a home. */
static int words_room(const failure *known) {
    enum { WHY = 159, FRAME = sizeof "PostgreSQL says:  (12345): " - 1, LEAST = 60, MOST = 150 };
    int room = known ? WHY - FRAME - (int)strlen(known->advice) : MOST;
    return room < LEAST ? LEAST : room;
}

etx__pg_outcome etx__pg_failed(etx__pg_session *session, const PGresult *result) {
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *words = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const failure *known = failure_of(state ? state : "");
    if (!state) {
        etx__pg_unreachable(session, session->conn);
        etx__pg_drop(session);
        return ETX__PG_LOST;
    }
    snprintf(session->state, sizeof session->state, "%s", state);
    etx__pg_say(session, known ? known->rc : ETX_EUNAVAILABLE, "PostgreSQL says: %.*s (%s)%s%s",
                words_room(known), words ? words : "nothing", state, known ? ": " : "",
                known ? known->advice : "");
    int definite = is_definite(severity, state);
    /* one that only reads now: the next connection looks for the primary again */
    if (!definite || strcmp(state, "25006") == 0)
        etx__pg_drop(session);
    return definite ? ETX__PG_REFUSED : ETX__PG_LOST;
}

/* No SQLSTATE is to be had of a connection that was not made; what an administrator has to
 * correct is told by libpq's flags, or by the words of an English server. */
static int is_refusal(const PGconn *conn, const char *words) {
    static const char *const texts[] = {"authentication failed", "does not exist",
                                        "no pg_hba.conf entry",  "not permitted to log in",
                                        "certificate",           "invalid "};
    if (PQconnectionNeedsPassword(conn))
        return 1;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strstr(words, texts[i]))
            return 1;
    return 0;
}

void etx__pg_unreachable(etx__pg_session *session, const PGconn *conn) {
    char words[220] = "";
    const char *all = conn ? PQerrorMessage(conn) : "";
    int refusal = conn && is_refusal(conn, all);
    snprintf(words, sizeof words, "%s", all);
    for (char *at = words; (at = strpbrk(at, "\n\t")) != NULL;)
        if (at[1] == '\t' || !at[1]) /* libpq goes on in a line of its own, behind a tab */
            memmove(at, at + 1, strlen(at));
        else
            *at = ' ';
    session->state[0] = 0;
    const char *advice = "";
    if (conn && PQconnectionNeedsPassword(conn))
        advice = ": name a password_file= or a passfile=";
    else if (conn && PQconnectionUsedPassword(conn) && refusal)
        advice = ": check user, database and password";
    etx__pg_say(session, refusal ? ETX_EINVALID : ETX_EUNAVAILABLE, "%s%s",
                words[0] ? words : "PostgreSQL does not answer", advice);
}
