/* What a failure of MariaDB means: whether anything may have happened, and what to do. */
#include "mariadb.h"

#include <errmsg.h>
#include <mysqld_error.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void etx__maria_say(etx__maria_session *session, int rc, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(session->text, sizeof session->text, format, args);
    va_end(args);
    session->rc = rc;
    etx__store_redact(&session->store->common, session->text, sizeof session->text);
}

typedef struct failure {
    unsigned int code;
    int rc;
    /* It comes before the commit is begun, and the statement is rolled back. */
    uint8_t definite;
    uint8_t drop; /* another connection may find a server that does better */
    const char *advice;
} failure;

/* What is not here may have come while the commit was under way: in the binary log, at a replica,
 * or while the server was shut down. */
static const failure *failure_of(unsigned int code) {
    enum { WRITE_FAILED = 3, STATEMENT_TIMEOUT = 1969 };
    static const char read_only[] =
        "the server is read-only: name the primary, or several hosts of which one is";
    static const char rights[] =
        "GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON the database to this user";
    static const char login[] = "check user, password and host, or name a password_file=";
    static const char foreign[] = "the tables are not those of an ETX log: name another prefix=";
    static const char crowded[] = "the server lets no more connections in: see max_connections";
    static const char full[] = "the disk of the server is full: free space there";
    static const char damaged[] = "the server's data is damaged: restore a backup";
    static const char packet[] = "the batch is larger than max_allowed_packet lets through";
    static const failure rows[] = {
        {ER_LOCK_DEADLOCK, ETX_EBUSY, 1, 0, "it may be tried again"},
        {ER_CHECKREAD, ETX_EBUSY, 1, 0, "it may be tried again"},
        {ER_NEED_REPREPARE, ETX_EBUSY, 1, 0, "it may be tried again"},
        {ER_DUP_ENTRY, ETX_ECONFLICT, 1, 0, "the row is there already"},
        {ER_LOCK_WAIT_TIMEOUT, ETX_EUNAVAILABLE, 1, 0,
         "a lock was held for longer than timeout_ms"},
        {STATEMENT_TIMEOUT, ETX_EUNAVAILABLE, 1, 0, "it took longer than timeout_ms"},
        {ER_OPTION_PREVENTS_STATEMENT, ETX_EUNAVAILABLE, 1, 1, read_only},
        {ER_READ_ONLY_MODE, ETX_EUNAVAILABLE, 1, 1, read_only},
        {ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ETX_EUNAVAILABLE, 1, 1, read_only},
        {ER_UNKNOWN_COM_ERROR, ETX_EUNAVAILABLE, 1, 1,
         "the node is cut off from its Galera cluster: name several hosts"},
        {ER_CON_COUNT_ERROR, ETX_EUNAVAILABLE, 1, 0, crowded},
        {ER_TOO_MANY_USER_CONNECTIONS, ETX_EUNAVAILABLE, 1, 0, crowded},
        {ER_USER_LIMIT_REACHED, ETX_EUNAVAILABLE, 1, 0, "this user has used up what it may use"},
        {ER_RECORD_FILE_FULL, ETX_EFULL, 1, 0, full},
        {ER_DISK_FULL, ETX_EFULL, 0, 0, full},
        {ER_ERROR_ON_WRITE, ETX_EFULL, 0, 0, full},
        {WRITE_FAILED, ETX_EFULL, 0, 0, full},
        {ER_ACCESS_DENIED_ERROR, ETX_EINVALID, 1, 0, login},
        {ER_ACCESS_DENIED_NO_PASSWORD_ERROR, ETX_EINVALID, 1, 0, login},
        {ER_HOST_NOT_PRIVILEGED, ETX_EINVALID, 1, 0, "this user may not come from this machine"},
        {ER_DBACCESS_DENIED_ERROR, ETX_EINVALID, 1, 0, rights},
        {ER_TABLEACCESS_DENIED_ERROR, ETX_EINVALID, 1, 0, rights},
        {ER_COLUMNACCESS_DENIED_ERROR, ETX_EINVALID, 1, 0, rights},
        {ER_SPECIFIC_ACCESS_DENIED_ERROR, ETX_EINVALID, 1, 0, rights},
        {ER_BAD_DB_ERROR, ETX_EINVALID, 1, 0, "make it with CREATE DATABASE, or name another"},
        {ER_NO_SUCH_TABLE, ETX_EINVALID, 1, 0, "a table of the log is gone: was it dropped?"},
        {ER_BAD_FIELD_ERROR, ETX_EINVALID, 1, 0, foreign},
        {ER_NO_DEFAULT_FOR_FIELD, ETX_EINVALID, 1, 0, foreign},
        {ER_BAD_NULL_ERROR, ETX_EINVALID, 1, 0, foreign},
        {ER_DATA_TOO_LONG, ETX_EINVALID, 1, 0, foreign},
        {ER_WARN_DATA_OUT_OF_RANGE, ETX_EINVALID, 1, 0, foreign},
        {ER_NON_INSERTABLE_TABLE, ETX_EINVALID, 1, 0, foreign},
        {ER_BINLOG_STMT_MODE_AND_ROW_ENGINE, ETX_EINVALID, 1, 0,
         "set binlog_format to MIXED or ROW"},
        {ER_NET_PACKET_TOO_LARGE, ETX_EINVALID, 1, 1, packet},
        {ER_NOT_KEYFILE, ETX_ECORRUPT, 0, 0, damaged},
        {ER_CRASHED_ON_USAGE, ETX_ECORRUPT, 0, 0, damaged},
        {ER_INDEX_CORRUPT, ETX_ECORRUPT, 0, 0, damaged},
        {ER_SERVER_SHUTDOWN, ETX_EUNAVAILABLE, 0, 1, "the server is being shut down"},
        {ER_CONNECTION_KILLED, ETX_EUNAVAILABLE, 0, 1, "the session was ended by KILL"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].code == code)
            return &rows[i];
    return NULL;
}

etx__maria_outcome etx__maria_failed(etx__maria_session *session, MYSQL_STMT *stmt) {
    MYSQL *conn = session->conn;
    unsigned int code = stmt ? mysql_stmt_errno(stmt) : mysql_errno(conn);
    const char *words = stmt ? mysql_stmt_error(stmt) : mysql_error(conn);
    const failure *known = failure_of(code);
    /* libmariadb may fail without a number: then the connection broke while it sent */
    int broken = code == 0 || (code >= CR_MIN_ERROR && code <= CR_MAX_ERROR && !known);
    session->code = code;
    if (broken)
        etx__maria_say(session, ETX_EUNAVAILABLE, "MariaDB does not answer: %.180s (%u)",
                       code ? words : "the connection is lost", code);
    else /* so that the advice fits into a put's message */
        etx__maria_say(session, known ? known->rc : ETX_EUNAVAILABLE,
                       "MariaDB says: %.100s (%u)%s%s", words, code, known ? ": " : "",
                       known ? known->advice : "");
    int definite = known && known->definite;
    if (!definite || known->drop)
        etx__maria_drop(session);
    return definite ? ETX__MARIA_REFUSED : ETX__MARIA_LOST;
}
