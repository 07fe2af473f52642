/* The Redis log's own structs: where its store is, its sessions there, the log itself. */
#ifndef ETX__LOG_REDIS_H
#define ETX__LOG_REDIS_H

#include "../store/store.h"
#include "tls.h"

#include <etx/log_redis.h>
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    ETX__REDIS_VERSION = 1, /* of what is kept */
    ETX__REDIS_BATCH_MAX = 4 << 20,
    ETX__REDIS_HEADER = 16, /* bytes before the batch in a slot's value: put.c */
    ETX__REDIS_WORDS = 300, /* the most that a command has */
    ETX__REDIS_NAME = 20,   /* of a slot, with its zero byte */
    ETX__REDIS_KEY_MAX = 96
};

/* The fields of a new partition: what a script gives HSET. ARGV[1] is the home's id. */
#define ETX__REDIS_EMPTY                                                              \
    "'log', ARGV[1], 'below', '0000000000000000000', 'first', '0000000000000000000'," \
    " 'newest', '', 'head', '00000000', 'bytes', '0'"

/* What the URL says. Nothing of it changes while the log is open. */
typedef struct etx__redis_store {
    etx__store common;
    etx__store_place place; /* its hosts; none: `socket` */
    uint32_t database;
    char prefix[64];  /* of all keys */
    char socket[108]; /* the path of a Unix socket, or "" */
    etx__redis_tls_files files;
    struct ssl_ctx_st *tls; /* NULL: without */
} etx__redis_store;

/* What a command came to. */
typedef enum etx__redis_outcome {
    ETX__REDIS_DONE,    /* and is durable as far as the settings go */
    ETX__REDIS_REFUSED, /* the server says an error: nothing of it took effect */
    ETX__REDIS_UNSENT,  /* the server has not got all of it: nothing of it takes effect */
    ETX__REDIS_LOST     /* sent, and no answer came, or one that promises nothing: nobody knows */
} etx__redis_outcome;

/* One connection, made when it is first needed and again after it was lost. Used by one thread at
 * a time. */
typedef struct etx__redis_session {
    const etx__redis_store *store;
    redisReader *reader; /* NULL: not connected */
    etx__redis_link link;
    uint64_t connects; /* how often it has connected */
    int rc;            /* ETX_E...: why the last command failed */
    char code[16];     /* the first word of the server's error, or "" */
    char text[300];    /* in words that say what to do; never a password */
} etx__redis_session;

/* The words of a command; borrowed until it has been sent, but for the numbers. */
typedef struct etx__redis_command {
    const char *words[ETX__REDIS_WORDS];
    size_t lengths[ETX__REDIS_WORDS];
    int count;
    char room[8][24]; /* of numbers */
    int rooms;
} etx__redis_command;

typedef struct etx__redis_partition {
    etx__redis_session session;
    _Atomic uint64_t bytes; /* of slots that are not trimmed, as far as this process knows */
    char key[ETX__REDIS_KEY_MAX];
} etx__redis_partition;

typedef struct etx__redis_log {
    etx_log head;
    etx_allocator allocator;
    etx__redis_store store;
    char id[ETX_HOME_ID_LEN + 1];
    uint32_t partition_count;
    etx__redis_partition *partition;
    char put_sha[41];          /* of put.c's script */
    pthread_mutex_t care_lock; /* of care, grade and remark */
    etx__redis_session care;   /* leases, the clock, settings */
    etx_durability grade;
    char remark[300];
    char identity[80]; /* in words, or "" */
    uint8_t retired;   /* etx_retirement */
    uint8_t attended;
    /* bytes that the server's memory may still take: as it was seen last, less what was put */
    _Atomic int64_t room;
    uint64_t weighed_ms; /* when that was asked */
} etx__redis_log;

/* ---- redis.c */
/* A log that knows its URL, and has no session yet. As open. */
int etx__redis_new(const etx_log_config *config, etx__redis_log **ret_log);
void etx__redis_close(etx_log *head, int clean);

/* ---- url.c. Errors: ETX_EINVALID, ETX_ENOMEM; with message. */
int etx__redis_url_parse(const etx_log_config *config, etx__redis_store *ret_store);
void etx__redis_store_free(etx__redis_store *store);

/* ---- command.c */
void etx__redis_word(etx__redis_command *command, const char *text);
void etx__redis_bytes(etx__redis_command *command, etx_bytes bytes);
void etx__redis_number(etx__redis_command *command, uint64_t number);
/* Begins one that runs a script: its keys follow, then its arguments. */
void etx__redis_eval(etx__redis_command *command, const char *script, uint32_t key_count);
/* A slot's field: as many digits for each, so that names compare as their numbers do. */
void etx__redis_slot_name(uint64_t slot, char ret_name[ETX__REDIS_NAME]);
/* The key of partition `number`; or by `name`: "log", "nodes", "leases". */
void etx__redis_partition_key(const etx__redis_store *store,
                              uint32_t number,
                              char ret_key[ETX__REDIS_KEY_MAX]);
void etx__redis_key(const etx__redis_store *store,
                    const char *name,
                    char ret_key[ETX__REDIS_KEY_MAX]);
/* The text of a reply's element; {NULL, 0}: it has none there. */
etx_bytes etx__redis_text_at(const redisReply *reply, size_t at);
/* ... as a decimal number, or 0. */
uint64_t etx__redis_number_at(const redisReply *reply, size_t at);
int etx__redis_says(const redisReply *reply, const char *word);

/* ---- session.c */
void etx__redis_session_init(etx__redis_session *session, const etx__redis_store *store);
/* The connection is of no use any more. Keeps what the session says. */
void etx__redis_drop(etx__redis_session *session);
/* Runs one command. The caller frees *ret_reply, NULL unless done. */
etx__redis_outcome etx__redis_exec(etx__redis_session *session,
                                   const etx__redis_command *command,
                                   redisReply **ret_reply);

/* ---- failure.c */
/* Sets rc, code and text by the server's error, and says whether it promises that nothing took
 * effect. */
etx__redis_outcome etx__redis_failed(etx__redis_session *session, const char *words);
/* Sets rc and text, and returns rc. */
int etx__redis_say(etx__redis_session *session, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The key of a partition is not there, or another log's. */
int etx__redis_gone(etx__redis_session *session, const char *key);

/* ---- schema.c: makes the keys, or finds them, and reads whose log it is. */
int etx__redis_schema_open(etx__redis_log *log, uint32_t flags);
/* Looks that each partition is there, and how many bytes it has. */
int etx__redis_schema_measure(etx__redis_log *log);

/* ---- grade.c */
/* Sets log->grade, log->remark and log->room. */
int etx__redis_grade(etx__redis_log *log);
/* Sets log->room. */
void etx__redis_weigh(etx__redis_log *log);

/* ---- put.c, get.c, trim.c, lease.c: the functions of etx_log_ops */
void etx__redis_put_prepare(etx__redis_log *log);
/* A slot's value, of ETX__REDIS_HEADER bytes more than its batch. */
void etx__redis_value_make(const etx_slot *slot, char *ret_value);
/* Reads the header of a slot's value: nonce, predecessor and checksum. */
void etx__redis_header_read(const char *header, etx_slot *ret_slot);
etx_put_result etx__redis_put(etx_log *head, etx_put *put);
int etx__redis_get(etx_log *head,
                   uint32_t number,
                   uint64_t from,
                   etx_slot_fn visit,
                   void *user,
                   uint64_t *ret_mark,
                   char *message,
                   size_t message_size);
int etx__redis_trim(etx_log *head, uint32_t number, uint64_t below);
int etx__redis_attend(etx_log *head,
                      const char *address,
                      uint32_t ttl_ms,
                      char *message,
                      size_t message_size);
int etx__redis_survey(etx_log *head,
                      const etx_log_survey *survey,
                      char *message,
                      size_t message_size);
int etx__redis_renew(etx_log *head, uint32_t number, uint32_t ttl_ms);
int etx__redis_release(etx_log *head, uint32_t number);
int etx__redis_clock(etx_log *head, uint64_t *ret_ms);

/* ---- copy.c: the same */
int etx__redis_copy_begin(const etx_log_config *config,
                          const etx_log_info *source,
                          etx_log **ret_log);
int etx__redis_copy_slot(etx_log *head, const etx_slot *slot, char *message, size_t message_size);
int etx__redis_copy_end(etx_log *head, int whole, char *message, size_t message_size);
int etx__redis_retire(etx_log *head,
                      etx_retirement what,
                      const char *words,
                      char *message,
                      size_t message_size);

#endif
