/* A session with MariaDB: one statement at a time, and never waiting for ever.
 *
 * A statement that was sent and not answered is lost: the connection is closed, and nobody knows
 * whether it took effect, now or later. One that could not be sent is known to have none. So before
 * a statement is sent, an idle connection is looked at: a server that was restarted meanwhile has
 * closed it, and a new one is made instead. */
#include "mariadb.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void etx__maria_session_init(etx__maria_session *session, const etx__maria_store *store) {
    *session = (etx__maria_session){.store = store};
}

int etx__maria_quiet(void) {
    sigset_t pipe;
    sigset_t set;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &set);
    int blocked = sigismember(&set, SIGPIPE);
    sigpending(&set);
    return blocked | sigismember(&set, SIGPIPE) << 1;
}

void etx__maria_loud(int quiet) {
    static const struct timespec at_once = {0};
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    if (!(quiet & 2))
        (void)sigtimedwait(&pipe, NULL, &at_once);
    if (!(quiet & 1))
        pthread_sigmask(SIG_UNBLOCK, &pipe, NULL);
}

void etx__maria_drop(etx__maria_session *session) {
    int quiet = etx__maria_quiet();
    if (session->put)
        mysql_stmt_close(session->put);
    if (session->conn)
        mysql_close(session->conn);
    etx__maria_loud(quiet);
    session->put = NULL;
    session->conn = NULL;
}

/* An idle server says nothing, unless it says farewell. */
static int is_over(const etx__maria_session *session) {
    struct pollfd fd = {.fd = (int)mysql_get_socket(session->conn), .events = POLLIN};
    return poll(&fd, 1, 0) != 0;
}

int etx__maria_session_ready(etx__maria_session *session) {
    if (session->conn && is_over(session))
        etx__maria_drop(session);
    if (session->conn || !session->pinned)
        return session->conn ? 0 : etx__maria_connect(session);
    etx__maria_say(session, ETX_EUNAVAILABLE, "the connection was lost");
    return session->rc;
}

/* ---- statements */

/* With the prefix of the tables for each #. */
static size_t expand(const char *prefix, const char *sql, char *to, size_t size) {
    size_t len = 0;
    for (; *sql && len < size; sql++) {
        if (*sql == '#')
            len += (size_t)snprintf(to + len, size - len, "%s_log_", prefix);
        else
            to[len++] = *sql;
    }
    return len;
}

etx__maria_outcome etx__maria_send(etx__maria_session *session, const char *sql) {
    char full[ETX__MARIA_SQL_MAX];
    size_t len = expand(session->store->prefix, sql, full, sizeof full);
    session->code = 0;
    if (len >= sizeof full) {
        etx__maria_say(session, ETX_EINVALID, "a statement is too long");
        return ETX__MARIA_UNSENT;
    }
    int quiet = etx__maria_quiet();
    int failed = mysql_real_query(session->conn, full, len);
    etx__maria_loud(quiet);
    return failed ? etx__maria_failed(session, NULL) : ETX__MARIA_DONE;
}

static etx__maria_outcome send_args(etx__maria_session *session, const char *format, va_list args) {
    char sql[ETX__MARIA_SQL_MAX];
    if (etx__maria_session_ready(session))
        return ETX__MARIA_UNSENT;
    vsnprintf(sql, sizeof sql, format, args);
    return etx__maria_send(session, sql);
}

etx__maria_outcome etx__maria_ask(etx__maria_session *session,
                                  MYSQL_RES **ret_result,
                                  const char *format,
                                  ...) {
    va_list args;
    *ret_result = NULL;
    va_start(args, format);
    etx__maria_outcome outcome = send_args(session, format, args);
    va_end(args);
    if (outcome != ETX__MARIA_DONE)
        return outcome;
    *ret_result = mysql_store_result(session->conn);
    return *ret_result ? ETX__MARIA_DONE : etx__maria_failed(session, NULL);
}

int etx__maria_run(etx__maria_session *session, const char *format, ...) {
    va_list args;
    va_start(args, format);
    etx__maria_outcome outcome = send_args(session, format, args);
    va_end(args);
    if (outcome != ETX__MARIA_DONE)
        return session->rc;
    session->changed = mysql_affected_rows(session->conn);
    session->chosen = mysql_insert_id(session->conn);
    return 0;
}

void etx__maria_bind(MYSQL_BIND *params, uint64_t *const *numbers, int count, etx_bytes bytes) {
    for (int i = 0; i < count; i++) {
        params[i] = (MYSQL_BIND){
            .buffer_type = MYSQL_TYPE_LONGLONG, .buffer = numbers[i], .is_unsigned = 1};
        if (!numbers[i])
            params[i] = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_LONG_BLOB,
                                     .buffer = (void *)bytes.data,
                                     .buffer_length = bytes.len};
    }
}

/* A statement that is not prepared does nothing. */
static etx__maria_outcome prepare(etx__maria_session *session, const char *sql) {
    char full[ETX__MARIA_SQL_MAX];
    size_t len = expand(session->store->prefix, sql, full, sizeof full);
    MYSQL_STMT *stmt = mysql_stmt_init(session->conn);
    if (!stmt) {
        etx__maria_say(session, ETX_ENOMEM, "out of memory");
        return ETX__MARIA_UNSENT;
    }
    session->put = stmt;
    if (mysql_stmt_prepare(stmt, full, len) == 0)
        return ETX__MARIA_DONE;
    etx__maria_outcome outcome = etx__maria_failed(session, stmt);
    if (session->put)
        mysql_stmt_close(session->put);
    session->put = NULL;
    return outcome == ETX__MARIA_REFUSED ? outcome : ETX__MARIA_UNSENT;
}

static etx__maria_outcome run_prepared(etx__maria_session *session,
                                       const char *sql,
                                       MYSQL_BIND *params) {
    etx__maria_outcome outcome = session->put ? ETX__MARIA_DONE : prepare(session, sql);
    if (outcome == ETX__MARIA_DONE &&
        (mysql_stmt_bind_param(session->put, params) || mysql_stmt_execute(session->put)))
        outcome = etx__maria_failed(session, session->put);
    return outcome;
}

etx__maria_outcome etx__maria_run_put(etx__maria_session *session,
                                      const char *sql,
                                      MYSQL_BIND *params,
                                      uint64_t *ret_changed) {
    if (etx__maria_session_ready(session))
        return ETX__MARIA_UNSENT;
    session->code = 0;
    int quiet = etx__maria_quiet();
    etx__maria_outcome outcome = run_prepared(session, sql, params);
    etx__maria_loud(quiet);
    if (outcome == ETX__MARIA_DONE)
        *ret_changed = mysql_stmt_affected_rows(session->put);
    return outcome;
}

const char *etx__maria_quote(etx__maria_literal *literal, const char *text) {
    size_t len = strnlen(text, (sizeof literal->text - 4) / 2);
    char *to = literal->text;
    *to++ = 'X';
    *to++ = '\'';
    to += mysql_hex_string(to, text, len);
    *to++ = '\'';
    *to = 0;
    return literal->text;
}

uint64_t etx__maria_number(const char *value) {
    return value ? strtoull(value, NULL, 10) : 0;
}
