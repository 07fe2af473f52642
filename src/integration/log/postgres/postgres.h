/* The PostgreSQL log's own structs: where its store is, its sessions there, the log itself. */
#ifndef ETX__LOG_POSTGRES_H
#define ETX__LOG_POSTGRES_H

#include "../store/store.h"

#include <etx/log_postgres.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    ETX__PG_VERSION = 1, /* of the schema */
    ETX__PG_BATCH_MAX = 4 << 20,
    ETX__PG_PARAMS_MAX = 6
};

/* What the URL says. Nothing of it changes while the log is open. */
typedef struct etx__pg_store {
    etx__store common;
    PQconninfoOption *conninfo; /* libpq's, with the password */
    char schema[64];
} etx__pg_store;

/* What a statement came to. */
typedef enum etx__pg_outcome {
    ETX__PG_DONE,    /* and is durable as far as the settings go, unless session->warned */
    ETX__PG_REFUSED, /* the server says an error: nothing of it took effect */
    ETX__PG_UNSENT,  /* there is no connection: nothing was sent */
    ETX__PG_LOST     /* sent, and no answer came: nobody knows */
} etx__pg_outcome;

/* One connection, made when it is first needed and again after it was lost. Used by one thread at
 * a time. */
typedef struct etx__pg_session {
    const etx__pg_store *store;
    PGconn *conn;
    uint8_t put_prepared;
    uint8_t patient;  /* the server lets statements take as long as they do */
    uint8_t warned;   /* a warning came with the last statement: `text` has it */
    uint8_t farewell; /* the server has ended the idle session */
    uint8_t pinned;   /* a transaction is open: no other connection goes on with it */
    int rc;           /* ETX_E...: why the last statement failed */
    char state[6];    /* SQLSTATE, or "" */
    char text[300];   /* in words that say what to do; never a password */
} etx__pg_session;

/* The parameters of a statement, $1 first. */
typedef struct etx__pg_params {
    const char *values[ETX__PG_PARAMS_MAX];
    int lengths[ETX__PG_PARAMS_MAX];
    int formats[ETX__PG_PARAMS_MAX]; /* 0 text, 1 the bytes themselves */
    char numbers[ETX__PG_PARAMS_MAX][24];
    int count;
} etx__pg_params;

typedef struct etx__pg_partition {
    etx__pg_session session;
    _Atomic uint64_t bytes; /* of slots that are not trimmed, as far as this process knows */
} etx__pg_partition;

typedef struct etx__pg_log {
    etx_log head;
    etx_allocator allocator;
    etx__pg_store store;
    char id[ETX_HOME_ID_LEN + 1];
    uint8_t retired; /* etx_retirement */
    uint32_t partition_count;
    etx__pg_partition *partition;
    pthread_mutex_t care_lock; /* of care, grade and remark */
    etx__pg_session care;      /* leases, the clock, settings */
    etx_durability grade;
    char remark[300];
    char identity[96]; /* of the server's data; or "" */
    uint8_t attended;
    pthread_mutex_t vacuum_lock;
    etx__pg_session vacuum;
    int copier;            /* of a copy: the server's process that makes it */
    uint8_t *copied;       /* ... by partition: it has slots */
    _Atomic uint64_t dead; /* bytes deleted since the last VACUUM was begun */
} etx__pg_log;

/* ---- url.c. Errors: ETX_EINVALID, ETX_ENOMEM; with message. */
int etx__pg_url_parse(const etx_log_config *config, etx__pg_store *ret_store);
void etx__pg_store_free(etx__pg_store *store);

/* ---- session.c */
void etx__pg_session_init(etx__pg_session *session, const etx__pg_store *store);
void etx__pg_session_close(etx__pg_session *session);
/* Connects if there is no connection. Errors: as session->rc, with session->text. */
int etx__pg_session_ready(etx__pg_session *session);
void etx__pg_number(etx__pg_params *params, uint64_t number);
void etx__pg_text(etx__pg_params *params, const char *text);
void etx__pg_bytes(etx__pg_params *params, etx_bytes bytes);
/* Runs one statement; `params` may be NULL. The caller clears *ret_result, NULL unless done. */
etx__pg_outcome etx__pg_exec(etx__pg_session *session,
                             const char *sql,
                             const etx__pg_params *params,
                             PGresult **ret_result);
/* The same for a statement without result: 0 or session->rc. */
int etx__pg_run(etx__pg_session *session, const char *sql, const etx__pg_params *params);
/* The statement `sql`, which is prepared under the name "put" when it is first used. */
etx__pg_outcome etx__pg_exec_put(etx__pg_session *session,
                                 const char *sql,
                                 const etx__pg_params *params,
                                 PGresult **ret_result);
/* Waits for the next result of what was sent; NULL with DONE: there is no more. */
etx__pg_outcome etx__pg_await(etx__pg_session *session, PGresult **ret_result);
/* The connection is of no use any more. Keeps what the session says. */
void etx__pg_drop(etx__pg_session *session);
int64_t etx__pg_number_at(const PGresult *result, int row, int column);

/* ---- failure.c */
/* Sets rc, state and text of the session, and says whether anything may have taken effect. */
etx__pg_outcome etx__pg_failed(etx__pg_session *session, const PGresult *result);
/* What libpq says of the connection, as text and rc. */
void etx__pg_unreachable(etx__pg_session *session, const PGconn *conn);
void etx__pg_say(etx__pg_session *session, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- schema.c: makes the tables, or finds them, and reads whose log it is. */
int etx__pg_schema_open(etx__pg_log *log, uint32_t flags);
/* Begins a transaction in which the tables of a log with that id are made. */
int etx__pg_schema_begin(etx__pg_log *log, const char *id);

/* ---- postgres.c */
/* A log that knows its store, and is not connected. Errors: as etx__pg_url_parse. */
int etx__pg_new(const etx_log_config *config, etx__pg_log **ret_log);
void etx__pg_close(etx_log *head, int clean);

/* ---- grade.c: sets log->grade and log->remark. */
int etx__pg_grade(etx__pg_log *log);

/* ---- copy.c, put.c, get.c, trim.c, lease.c: the functions of etx_log_ops */
int etx__pg_copy_begin(const etx_log_config *config, const etx_log_info *source, etx_log **ret_log);
int etx__pg_copy_slot(etx_log *head, const etx_slot *slot, char *message, size_t message_size);
int etx__pg_copy_end(etx_log *head, int whole, char *message, size_t message_size);
int etx__pg_retire(etx_log *head,
                   etx_retirement what,
                   const char *words,
                   char *message,
                   size_t message_size);
etx_put_result etx__pg_put(etx_log *head, etx_put *put);
int etx__pg_get(etx_log *head,
                uint32_t number,
                uint64_t from,
                etx_slot_fn visit,
                void *user,
                uint64_t *ret_mark,
                char *message,
                size_t message_size);
int etx__pg_trim(etx_log *head, uint32_t number, uint64_t below);
int etx__pg_attend(etx_log *head,
                   const char *address,
                   uint32_t ttl_ms,
                   char *message,
                   size_t message_size);
int etx__pg_survey(etx_log *head, const etx_log_survey *survey, char *message, size_t message_size);
int etx__pg_renew(etx_log *head, uint32_t number, uint32_t ttl_ms);
int etx__pg_release(etx_log *head, uint32_t number);
int etx__pg_clock(etx_log *head, uint64_t *ret_ms);

#endif
