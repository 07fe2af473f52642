/* The MariaDB log's own structs: where its store is, its sessions there, the log itself. */
#ifndef ETX__LOG_MARIADB_H
#define ETX__LOG_MARIADB_H

#include "../store/store.h"

#include <etx/log_mariadb.h>
#include <mysql.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    ETX__MARIA_VERSION = 1, /* of the tables */
    ETX__MARIA_BATCH_MAX = 4 << 20,
    ETX__MARIA_BATCH_MIN = 64 << 10, /* what max_allowed_packet must leave room for */
    ETX__MARIA_PACKET_COST = 1024,   /* of a put's packet, beside the batch */
    ETX__MARIA_PREFIX_MAX = 40,
    ETX__MARIA_SQL_MAX = 8192
};

typedef enum etx__maria_tls {
    ETX__MARIA_TLS_UNSET,
    ETX__MARIA_TLS_OFF,
    ETX__MARIA_TLS_REQUIRE, /* encrypted, with whomever */
    ETX__MARIA_TLS_VERIFY
} etx__maria_tls;

/* What the URL says. Nothing of it changes while the log is open. */
typedef struct etx__maria_store {
    etx__store common;
    etx__store_place place;
    char prefix[ETX__MARIA_PREFIX_MAX + 1];
    char socket[108]; /* or "" */
    etx__maria_tls tls;
    char *ca; /* files, or NULL */
    char *cert;
    char *key;
} etx__maria_store;

/* What a statement came to. */
typedef enum etx__maria_outcome {
    ETX__MARIA_DONE,
    ETX__MARIA_REFUSED, /* the server says an error: nothing of it took effect */
    ETX__MARIA_UNSENT,  /* there is no connection: nothing was sent */
    ETX__MARIA_LOST     /* sent, and no definite answer came: nobody knows */
} etx__maria_outcome;

/* One connection, made when it is first needed and again after it was lost. Used by one thread at
 * a time. */
typedef struct etx__maria_session {
    const etx__maria_store *store;
    MYSQL *conn;
    MYSQL_STMT *put;   /* prepared when it is first needed */
    uint32_t host;     /* the one that was used last */
    size_t packet;     /* the largest that this server takes */
    uint8_t galera;    /* it replicates by Galera */
    uint8_t pinned;    /* what is lost of it is lost: no connection is made instead */
    uint64_t changed;  /* rows, by the last statement of etx__maria_run */
    uint64_t chosen;   /* by its LAST_INSERT_ID(), or 0 */
    int rc;            /* ETX_E...: why the last statement failed */
    unsigned int code; /* MariaDB's, or 0 */
    char text[300];    /* in words that say what to do; never a password */
} etx__maria_session;

typedef struct etx__maria_partition {
    etx__maria_session session;
    _Atomic uint64_t bytes; /* of slots that are not trimmed, as far as this process knows */
} etx__maria_partition;

typedef struct etx__maria_log {
    etx_log head;
    etx_allocator allocator;
    etx__maria_store store;
    char id[ETX_HOME_ID_LEN + 1];
    uint32_t partition_count;
    etx__maria_partition *partition;
    size_t batch_max;
    pthread_mutex_t care_lock; /* of care, grade and remark */
    etx__maria_session care;   /* leases, the clock, settings */
    etx_durability grade;
    char remark[300];
    uint8_t attended;
    uint8_t retired;      /* etx_retirement */
    uint8_t *copied;      /* of a copy, by partition: it has slots */
    uint8_t copying;      /* ... a transaction is under way */
    uint64_t uncommitted; /* ... bytes of slots in it */
} etx__maria_log;

/* Bytes as an SQL literal, whatever they are. */
typedef struct etx__maria_literal {
    char text[2 * 512 + 4];
} etx__maria_literal;

/* ---- url.c. Errors: ETX_EINVALID, ETX_ENOMEM; with message. */
int etx__maria_url_parse(const etx_log_config *config, etx__maria_store *ret_store);
void etx__maria_store_free(etx__maria_store *store);

/* ---- connect.c */
/* Connects to the first host that takes writes. Errors: as session->rc, with session->text. */
int etx__maria_connect(etx__maria_session *session);

/* ---- session.c */
void etx__maria_session_init(etx__maria_session *session, const etx__maria_store *store);
/* Connects if there is no connection. Errors: as session->rc, with session->text. */
int etx__maria_session_ready(etx__maria_session *session);
/* The connection is of no use any more, or not needed. Keeps what the session says. */
void etx__maria_drop(etx__maria_session *session);
/* Sends one statement, in which each # stands for the prefix of the log's tables, on the
 * connection that there is. */
etx__maria_outcome etx__maria_send(etx__maria_session *session, const char *sql);
/* The same, connecting if need be, with its rows. The caller frees *ret_result: NULL, or done. */
etx__maria_outcome etx__maria_ask(etx__maria_session *session,
                                  MYSQL_RES **ret_result,
                                  const char *format,
                                  ...) __attribute__((format(printf, 3, 4)));
/* The same for a statement without rows: 0 or session->rc. Sets changed and chosen. */
int etx__maria_run(etx__maria_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The parameters of a statement: numbers, and these bytes where there is none. Borrows all. */
void etx__maria_bind(MYSQL_BIND *params, uint64_t *const *numbers, int count, etx_bytes bytes);
/* The statement `sql` with these parameters, which is prepared when it is first used; its changed
 * rows. */
etx__maria_outcome etx__maria_run_put(etx__maria_session *session,
                                      const char *sql,
                                      MYSQL_BIND *params,
                                      uint64_t *ret_changed);
/* At most 512 bytes. */
const char *etx__maria_quote(etx__maria_literal *literal, const char *text);
uint64_t etx__maria_number(const char *value);
/* SIGPIPE, which libmariadb may raise over TLS, reaches nobody between these. */
int etx__maria_quiet(void);
void etx__maria_loud(int quiet);

/* ---- failure.c */
/* Sets rc, code and text of the session by what its connection says (or its prepared statement, if
 * `stmt`), and tells whether anything may have taken effect. */
etx__maria_outcome etx__maria_failed(etx__maria_session *session, MYSQL_STMT *stmt);
void etx__maria_say(etx__maria_session *session, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- schema.c: makes the tables, or finds them, and reads whose log it is. */
int etx__maria_schema_open(etx__maria_log *log, uint32_t flags);
/* Makes the tables of a log with that id, which nobody can open: a copy of this process, whatever
 * an earlier copy has left but for its slots. ETX_EBUSY: something else is there. */
int etx__maria_schema_begin(etx__maria_log *log, const char *id);
/* Gives tables of an older ETX the columns that they lack. */
int etx__maria_schema_renew(etx__maria_log *log);

/* ---- mariadb.c */
/* A log that knows its store, and is not connected. Errors: as etx__maria_url_parse. */
int etx__maria_new(const etx_log_config *config, etx__maria_log **ret_log);
void etx__maria_close(etx_log *head, int clean);
/* Sets log->batch_max by what the server takes. ETX_EINVALID: too little. */
int etx__maria_batch_max(etx__maria_log *log);

/* ---- grade.c: sets log->grade and log->remark. */
int etx__maria_grade(etx__maria_log *log);

/* ---- copy.c, put.c, get.c, trim.c, lease.c: the functions of etx_log_ops */
int etx__maria_copy_begin(const etx_log_config *config,
                          const etx_log_info *source,
                          etx_log **ret_log);
int etx__maria_copy_slot(etx_log *head, const etx_slot *slot, char *message, size_t message_size);
int etx__maria_copy_end(etx_log *head, int whole, char *message, size_t message_size);
int etx__maria_retire(etx_log *head,
                      etx_retirement what,
                      const char *words,
                      char *message,
                      size_t message_size);
etx_put_result etx__maria_put(etx_log *head, etx_put *put);
int etx__maria_get(etx_log *head,
                   uint32_t number,
                   uint64_t from,
                   etx_slot_fn visit,
                   void *user,
                   uint64_t *ret_mark,
                   char *message,
                   size_t message_size);
int etx__maria_trim(etx_log *head, uint32_t number, uint64_t below);
int etx__maria_attend(etx_log *head,
                      const char *address,
                      uint32_t ttl_ms,
                      char *message,
                      size_t message_size);
int etx__maria_survey(etx_log *head,
                      const etx_log_survey *survey,
                      char *message,
                      size_t message_size);
int etx__maria_renew(etx_log *head, uint32_t number, uint32_t ttl_ms);
int etx__maria_release(etx_log *head, uint32_t number);
int etx__maria_clock(etx_log *head, uint64_t *ret_ms);

#endif
