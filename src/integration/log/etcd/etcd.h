/* The etcd log's own structs: where its store is, its sessions there, the log itself. */
#ifndef ETX__LOG_ETCD_H
#define ETX__LOG_ETCD_H

#include "../store/store.h"
#include "fields.h"

#include <curl/curl.h>
#include <etx/log_etcd.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    ETX__ETCD_VERSION = 1, /* of the keys */
    ETX__ETCD_BATCH_MAX = 1 << 20,
    ETX__ETCD_HEAD = 36,            /* bytes of a slot's value that stand before its batch */
    ETX__ETCD_META_MAX = 599,       /* bytes of the value of PREFIX/log */
    ETX__ETCD_PAGE_BYTES = 4 << 20, /* that a page of a get should have */
    ETX__ETCD_LEASES = 4,           /* with different times, that a process has at once */
    ETX__ETCD_SEEN = 64             /* leases of nodes whose time is remembered */
};

/* What the URL says. Nothing of it changes while the log is open, but `first`. */
typedef struct etx__etcd_store {
    etx__store common;
    etx__store_place place; /* its path is the prefix of all keys */
    int tls;
    char tls_ca[512];
    char tls_cert[512];
    char tls_key[512];
    uint32_t compact_s;     /* 0: never */
    _Atomic uint32_t first; /* the host to ask first: it answered last */
} etx__etcd_store;

/* Bytes that grow: of a request, of an answer. */
typedef struct etx__etcd_text {
    char *bytes;
    size_t len;
    size_t size;
    int failed; /* there was no memory: it lacks something */
} etx__etcd_text;

/* What a request came to. */
typedef enum etx__etcd_outcome {
    ETX__ETCD_DONE,
    /* an error that says: nothing of it took effect, or will; with ETX_EFULL, or all has */
    ETX__ETCD_REFUSED,
    ETX__ETCD_UNSENT, /* there is no connection: nothing was sent */
    ETX__ETCD_LOST    /* sent, and no such answer came: nobody knows */
} etx__etcd_outcome;

/* One connection, made when it is first needed and again after it was lost. Used by one thread at
 * a time. */
typedef struct etx__etcd_session {
    etx__etcd_store *store;
    CURL *curl;
    CURLM *multi;     /* has the connection */
    curl_socket_t fd; /* of that, when it was last used */
    struct curl_slist *headers;
    uint32_t host;       /* it is connected to */
    uint8_t connected;   /* a first answer came over the connection that is open */
    uint8_t may_connect; /* libcurl may open a connection now */
    etx__etcd_text request;
    etx__etcd_text answer;
    int rc;                      /* ETX_E...: why the last request failed */
    char text[300];              /* in words that say what to do; never a password */
    char error[CURL_ERROR_SIZE]; /* libcurl's own words */
} etx__etcd_session;

/* What the slots of a partition that are not trimmed take, as far as this process knows. */
typedef struct etx__etcd_sizes {
    uint32_t *bytes; /* of slot `first` and those behind it */
    size_t count;
    size_t size;
    uint64_t first;
    uint64_t all;
} etx__etcd_sizes;

typedef struct etx__etcd_partition {
    etx__etcd_session session;
    etx__etcd_sizes sizes;
    _Atomic uint64_t bytes; /* sizes.all, for other threads */
} etx__etcd_partition;

/* An etcd lease of this process: what hangs on it goes when nobody keeps it alive. */
typedef struct etx__etcd_lease {
    uint64_t id; /* 0: none */
    uint32_t ttl_s;
    uint64_t kept_ms; /* when it was last kept alive, by the monotonic clock */
} etx__etcd_lease;

/* How long a lease has to go, and when that was asked. */
typedef struct etx__etcd_seen {
    uint64_t id;
    uint64_t until_ms; /* by the monotonic clock; 0: it is over */
    uint64_t asked_ms;
} etx__etcd_seen;

typedef struct etx__etcd_log {
    etx_log head;
    etx_allocator allocator;
    etx__etcd_store store;
    char id[ETX_HOME_ID_LEN + 1];
    uint32_t partition_count;
    char meta[ETX__ETCD_META_MAX + 1]; /* the value of PREFIX/log, as far as is known; or "" */
    uint8_t retired;                   /* etx_retirement */
    uint8_t *copied;                   /* of a copy, by partition: it has slots */
    uint32_t operations;               /* ... in care.request, to be sent */
    etx__etcd_partition *partition;
    pthread_mutex_t care_lock; /* of all below */
    etx__etcd_session care;    /* leases, members, upkeep */
    etx_durability grade;
    char remark[300];
    etx__etcd_lease lease[ETX__ETCD_LEASES];
    etx__etcd_seen seen[ETX__ETCD_SEEN];
    uint8_t attended;
    char word[400];            /* what is told of this node when it is gone, as it was put last */
    uint64_t word_ms;          /* when that was looked at; 0: never */
    uint64_t upkeep_ms;        /* when it was last looked how full the store is */
    uint64_t db_bytes;         /* of the store's database, with what is free in it */
    uint64_t quota_bytes;      /* that it may have; 0: not known */
    uint8_t quota_asked;       /* how often */
    uint64_t compact_revision; /* to be compacted to once it is old enough */
    uint64_t compact_ms;       /* since when it is known */
    _Atomic int full;
} etx__etcd_log;

/* ---- url.c. Errors: ETX_EINVALID, ETX_ENOMEM; with message. */
int etx__etcd_url_parse(const etx_log_config *config, etx__etcd_store *ret_store);

/* ---- message.c: what cannot be added for want of memory is left out, and text->failed is set */
void etx__etcd_text_free(etx__etcd_text *text);
void etx__etcd_text_add(etx__etcd_text *text, const void *bytes, size_t len);
void etx__etcd_number(etx__etcd_text *text, unsigned field, uint64_t number);
void etx__etcd_bytes(etx__etcd_text *text, unsigned field, const void *bytes, size_t len);
void etx__etcd_words(etx__etcd_text *text, unsigned field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The key PREFIX/... */
void etx__etcd_key(etx__etcd_text *text,
                   unsigned field,
                   const etx__etcd_store *store,
                   const char *format,
                   ...) __attribute__((format(printf, 4, 5)));
/* A message within a message: what is added until it is closed with what open has returned. */
size_t etx__etcd_open(etx__etcd_text *text, unsigned field);
/* A comparison of a transaction: to be given a key and what it is compared with, and closed. */
size_t etx__etcd_compare(etx__etcd_text *text, unsigned what, unsigned result);
void etx__etcd_close(etx__etcd_text *text, size_t start);
/* ---- ... and of answers, which are borrowed until the session's next request */
typedef struct etx__etcd_field {
    unsigned field;
    uint64_t number;
    etx_bytes bytes;
} etx__etcd_field;
/* Takes a field off a message; 0: there is no more. */
int etx__etcd_next(etx_bytes *left, etx__etcd_field *ret_field);
/* 0 where there is none. */
uint64_t etx__etcd_number_of(etx_bytes message, unsigned field);
/* The one of that index among those with that number; no bytes where there is none. */
etx_bytes etx__etcd_part_of(etx_bytes message, unsigned field, size_t index);
/* The RangeResponse that is response `index` of a transaction. */
etx_bytes etx__etcd_found(etx_bytes answer, size_t index);
int etx__etcd_is(etx_bytes bytes, const char *words);

/* ---- value.c: as an operation of a transaction that is made. The slot's predecessor, nonce,
 * checksum and batch count. */
void etx__etcd_mark_write(etx__etcd_text *text,
                          const etx__etcd_store *store,
                          uint32_t partition,
                          uint64_t below);
void etx__etcd_slot_write(etx__etcd_text *text, const etx__etcd_store *store, const etx_slot *slot);
/* ---- ... of a KeyValue. Errors: ETX_ECORRUPT. */
int etx__etcd_mark_read(etx_bytes kv, uint64_t *ret_mark);
/* Checksums, nonce and batch of a slot; the batch is borrowed from `kv`. */
int etx__etcd_slot_read(etx_bytes kv, etx_slot *slot);
int etx__etcd_slot_number(etx_bytes kv, uint64_t *ret_slot);

/* ---- session.c */
uint64_t etx__etcd_now_ms(void);
void etx__etcd_session_init(etx__etcd_session *session, etx__etcd_store *store);
void etx__etcd_session_close(etx__etcd_session *session);
/* The connection is of no use any more. Keeps what the session says. */
void etx__etcd_drop(etx__etcd_session *session);
/* An empty request, to be filled. */
etx__etcd_text *etx__etcd_begin(etx__etcd_session *session);
/* Calls "KV/Txn", with session->request, and waits for the answer; no bytes unless done. */
etx__etcd_outcome etx__etcd_ask(etx__etcd_session *session,
                                const char *method,
                                etx_bytes *ret_answer);
/* The same for those that do not tell unsent from lost: 0 or session->rc. */
int etx__etcd_run(etx__etcd_session *session, const char *method, etx_bytes *ret_answer);
/* Reads a page that etcd has beside that, such as "/metrics", into session->answer, and tells what
 * time it was there, in s since 1970. Errors: session->rc. */
int etx__etcd_page(etx__etcd_session *session, const char *path, int64_t *ret_time);

/* ---- failure.c */
void etx__etcd_say(etx__etcd_session *session, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What an error means that etcd answers. Sets rc and text. */
etx__etcd_outcome etx__etcd_failed(etx__etcd_session *session, const char *message);
/* What libcurl says of the connection. */
void etx__etcd_unreachable(etx__etcd_session *session, CURLcode code);

/* ---- meta.c: makes the keys of a log, or finds them. Errors: care.rc, with care.text. */
int etx__etcd_meta_open(etx__etcd_log *log, uint32_t flags);
/* Sets log->meta. ETX_ENOTFOUND: it is not there. */
int etx__etcd_meta_find(etx__etcd_log *log);
/* Is log->meta that of a copy that is not whole? */
int etx__etcd_meta_is_copy(const etx__etcd_log *log);
/* Puts all marks, of an empty log. */
int etx__etcd_meta_put_marks(etx__etcd_log *log);
/* A transaction takes effect only while PREFIX/log has the value log->meta, or is not there. */
void etx__etcd_meta_compare(const etx__etcd_log *log, etx__etcd_text *to);
/* Sends care.request, which compares so. *ret_outcome may be NULL. ETX_EBUSY: it had no effect. */
int etx__etcd_meta_send(etx__etcd_log *log, etx__etcd_outcome *ret_outcome);
/* Puts that value instead of log->meta. */
int etx__etcd_meta_change(etx__etcd_log *log, const char *value, etx__etcd_outcome *ret_outcome);

/* ---- etcd.c */
/* A log that knows its store, and is not connected. Errors: as etx__etcd_url_parse, ETX_ENOMEM. */
int etx__etcd_new(const etx_log_config *config, etx__etcd_log **ret_log);
void etx__etcd_close_log(etx_log *head, int clean);

/* ---- grade.c, upkeep.c: with the care_lock. Errors: care.rc, with care.text. */
int etx__etcd_grade(etx__etcd_log *log);
/* Looks how full the store is, and compacts what is old enough, if it may. */
int etx__etcd_upkeep(etx__etcd_log *log);
/* The same, if the last time is a while ago. */
void etx__etcd_upkeep_now_and_then(etx__etcd_log *log);

/* ---- sizes.c */
void etx__etcd_sizes_take(etx__etcd_log *log, uint32_t number, uint64_t slot, size_t bytes);
void etx__etcd_sizes_drop(etx__etcd_log *log, uint32_t number, uint64_t below);
void etx__etcd_sizes_free(etx__etcd_log *log, uint32_t number);

/* ---- copy.c, put.c, get.c, trim.c, lease.c: the functions of etx_log_ops */
int etx__etcd_copy_begin(const etx_log_config *config,
                         const etx_log_info *source,
                         etx_log **ret_log);
int etx__etcd_copy_slot(etx_log *head, const etx_slot *slot, char *message, size_t message_size);
int etx__etcd_copy_end(etx_log *head, int whole, char *message, size_t message_size);
int etx__etcd_retire(etx_log *head,
                     etx_retirement what,
                     const char *words,
                     char *message,
                     size_t message_size);
etx_put_result etx__etcd_put(etx_log *head, etx_put *put);
int etx__etcd_get(etx_log *head,
                  uint32_t number,
                  uint64_t from,
                  etx_slot_fn visit,
                  void *user,
                  uint64_t *ret_mark,
                  char *message,
                  size_t message_size);
int etx__etcd_trim(etx_log *head, uint32_t number, uint64_t below);
int etx__etcd_attend(etx_log *head,
                     const char *address,
                     uint32_t ttl_ms,
                     char *message,
                     size_t message_size);
int etx__etcd_survey(etx_log *head,
                     const etx_log_survey *survey,
                     char *message,
                     size_t message_size);
int etx__etcd_renew(etx_log *head, uint32_t number, uint32_t ttl_ms);
int etx__etcd_release(etx_log *head, uint32_t number);
int etx__etcd_clock(etx_log *head, uint64_t *ret_ms);

#endif
