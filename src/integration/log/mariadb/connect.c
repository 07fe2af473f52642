/* Connects to MariaDB: to the first of its hosts that takes writes, with what the log needs of a
 * session, whatever the defaults of server and user are.
 *
 * libmariadb is a guest's guest: no file and no environment tells it anything, no server gets a
 * file or a password in the clear from it, and it leaves SIGPIPE as it was. */
#include "mariadb.h"

#include <errmsg.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SERVER_MIN = 100500 };

/* When the module is loaded, by one thread. libmariadb would have the whole process ignore SIGPIPE
 * from its first use on. */
__attribute__((constructor)) static void init_library(void) {
    struct sigaction before;
    sigaction(SIGPIPE, NULL, &before);
    (void)mysql_server_init(0, NULL, NULL);
    sigaction(SIGPIPE, &before, NULL);
}

static void set_tls(MYSQL *conn, const etx__maria_store *store) {
    const my_bool yes = 1;
    const my_bool verify = store->tls == ETX__MARIA_TLS_VERIFY;
    if (store->tls == ETX__MARIA_TLS_OFF)
        return;
    mysql_optionsv(conn, MYSQL_OPT_SSL_ENFORCE, &yes);
    mysql_optionsv(conn, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
    mysql_optionsv(conn, MARIADB_OPT_TLS_VERSION, "TLSv1.2,TLSv1.3");
    if (store->ca)
        mysql_optionsv(conn, MYSQL_OPT_SSL_CA, store->ca);
    if (store->cert) {
        mysql_optionsv(conn, MYSQL_OPT_SSL_CERT, store->cert);
        mysql_optionsv(conn, MYSQL_OPT_SSL_KEY, store->key);
    }
}

static void set_options(MYSQL *conn, const etx__maria_store *store) {
    const unsigned int seconds = (store->common.timeout_ms + 999) / 1000;
    const unsigned int patience = seconds + 1; /* the server gives up first */
    const unsigned int protocol = store->socket[0] ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
    const unsigned int no = 0;
    mysql_optionsv(conn, MYSQL_OPT_PROTOCOL, &protocol);
    mysql_optionsv(conn, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
    mysql_optionsv(conn, MYSQL_OPT_READ_TIMEOUT, &patience);
    mysql_optionsv(conn, MYSQL_OPT_WRITE_TIMEOUT, &patience);
    mysql_optionsv(conn, MYSQL_OPT_LOCAL_INFILE, &no);
    mysql_optionsv(conn, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_optionsv(conn, MARIADB_OPT_RESTRICTED_AUTH,
                   "mysql_native_password,client_ed25519,caching_sha2_password");
    set_tls(conn, store);
}

/* libmariadb goes on in the clear where the server offers no TLS, unless it is to verify. */
static int check_tls(etx__maria_session *session) {
    if (session->store->tls == ETX__MARIA_TLS_OFF || mysql_get_ssl_cipher(session->conn))
        return 0;
    etx__maria_say(session, ETX_EINVALID,
                   "MariaDB does not offer TLS, and the URL's tls asks for it: set ssl_cert and "
                   "ssl_key there (SHOW VARIABLES LIKE 'have_ssl' says YES then)");
    return session->rc;
}

static int connect_host(etx__maria_session *session, uint32_t number) {
    const etx__maria_store *store = session->store;
    const etx__store_host *host = store->place.host_count ? &store->place.host[number] : NULL;
    char password[ETX__STORE_PASSWORD_MAX + 2];
    session->conn = mysql_init(NULL);
    session->code = 0;
    if (!session->conn) {
        etx__maria_say(session, ETX_ENOMEM, "out of memory");
        return session->rc;
    }
    set_options(session->conn, store);
    etx__store_password(&store->common, password);
    int connected = mysql_real_connect(session->conn, host ? host->name : NULL, store->place.user,
                                       password, store->place.path, host ? host->port : 0,
                                       host ? NULL : store->socket, 0) != NULL;
    explicit_bzero(password, sizeof password);
    if (!connected) {
        char words[160];
        snprintf(words, sizeof words, "%s", mysql_error(session->conn));
        (void)etx__maria_failed(session, NULL);
        if (session->code == CR_SSL_CONNECTION_ERROR)
            etx__maria_say(session, ETX_EUNAVAILABLE,
                           "MariaDB: %s: check tls, tls_ca, tls_cert and tls_key", words);
        return session->rc;
    }
    (void)fcntl((int)mysql_get_socket(session->conn), F_SETFD, FD_CLOEXEC);
    return check_tls(session);
}

/* ---- what kind of server it is */

static int is_on(const char *value) {
    return strcasecmp(value, "ON") == 0 || strcmp(value, "1") == 0;
}

static int read_server(etx__maria_session *session, int *ret_read_only) {
    MYSQL_RES *result = NULL;
    MYSQL_ROW row;
    if (etx__maria_send(session,
                        "SHOW GLOBAL VARIABLES WHERE Variable_name IN"
                        " ('read_only', 'max_allowed_packet', 'wsrep_on')") != ETX__MARIA_DONE)
        return session->rc;
    result = mysql_store_result(session->conn);
    if (!result) {
        (void)etx__maria_failed(session, NULL);
        return session->rc;
    }
    session->galera = 0;
    while ((row = mysql_fetch_row(result)) != NULL) {
        if (strcmp(row[0], "read_only") == 0)
            *ret_read_only = is_on(row[1]);
        else if (strcmp(row[0], "wsrep_on") == 0)
            session->galera = (uint8_t)is_on(row[1]);
        else
            session->packet = etx__maria_number(row[1]);
    }
    mysql_free_result(result);
    return 0;
}

static int check_server(etx__maria_session *session) {
    int read_only = 0;
    if (!mariadb_connection(session->conn) ||
        mysql_get_server_version(session->conn) < SERVER_MIN) {
        etx__maria_say(session, ETX_EINVALID, "the server is '%.60s': MariaDB 10.5 or newer",
                       mysql_get_server_info(session->conn));
        return session->rc;
    }
    int rc = read_server(session, &read_only);
    if (!rc && read_only) {
        rc = ETX_EUNAVAILABLE;
        etx__maria_say(session, rc,
                       "the server is read-only: name the primary, or several hosts of which one "
                       "is");
    }
    return rc;
}

/* A strict mode, so that what does not fit is an error and never cut. READ COMMITTED, under which
 * InnoDB locks the rows that it finds and no gap between them: puts into partitions that are empty
 * would wait for each other there. The server gives up before this side does, so that its answer is
 * definite. With Galera, what other nodes have acknowledged is waited for before anything is read
 * or changed here. */
static int set_up(etx__maria_session *session) {
    char sql[700];
    const etx__store *common = &session->store->common;
    const unsigned int seconds = (common->timeout_ms + 999) / 1000;
    snprintf(sql, sizeof sql,
             "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1,"
             " time_zone = '+00:00', completion_type = 'NO_CHAIN', unique_checks = 1,"
             " foreign_key_checks = 1, sql_safe_updates = 0,"
             " sql_select_limit = 18446744073709551615, max_statement_time = %u.%03u,"
             " lock_wait_timeout = %u, innodb_lock_wait_timeout = %u, net_write_timeout = 600%s",
             common->timeout_ms / 1000, common->timeout_ms % 1000, seconds, seconds,
             session->galera ? ", wsrep_sync_wait = 3" : "");
    if (etx__maria_send(session, sql) != ETX__MARIA_DONE)
        return session->rc;
    snprintf(sql, sizeof sql, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED%s",
             common->read_only ? ", READ ONLY" : "");
    return etx__maria_send(session, sql) == ETX__MARIA_DONE ? 0 : session->rc;
}

int etx__maria_connect(etx__maria_session *session) {
    uint32_t hosts = session->store->place.host_count;
    hosts = hosts ? hosts : 1;
    int rc = ETX_EUNAVAILABLE;
    int quiet = etx__maria_quiet();
    for (uint32_t i = 0; rc && i < hosts; i++) {
        uint32_t number = (session->host + i) % hosts;
        rc = connect_host(session, number);
        rc = rc ? rc : check_server(session);
        rc = rc ? rc : set_up(session);
        if (rc)
            etx__maria_drop(session);
        else
            session->host = number;
    }
    etx__maria_loud(quiet);
    return rc;
}
