/* The HTTP participants' parts as they see each other: options, targets, calls under way.
 *
 * A call begins on an engine's thread, which copies what it says into a job and posts that to the
 * loop; all else happens on the loop's thread: reading the envelope, judging the target, waiting
 * for room, sending, judging the answer, and completing the call by its token. So the state of
 * targets and jobs needs no lock; `lock` is over the options in use, which a reload replaces, and
 * over the list of targets, which whoever asks for counters reads. */
#ifndef ETX_PARTICIPANT_HTTP_PARTS_H
#define ETX_PARTICIPANT_HTTP_PARTS_H

#include <etx/participant_http.h>

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>

#include "net/client.h"

#include "allow.h"
#include "words.h"

enum {
    ETX__HTTP_IN_FLIGHT_MAX = 4096, /* of all targets together */
    ETX__HTTP_TARGETS_NAMED = 64,
    ETX__HTTP_TARGETS_KEPT = 1024, /* targets without a call are forgotten beyond these */
    ETX__HTTP_BUCKETS = 256,
    ETX__HTTP_BYTES_MAX = 256 << 20, /* of jobs that wait or are under way */
    ETX__HTTP_RETRY_AFTER_MAX_MS = 3600000,
    ETX__HTTP_REASON_MAX = ETX_REASON_MAX + 1,
    ETX__HTTP_DIGEST = 32,
    ETX__HTTP_NAMED = 256,
};

typedef struct etx__http_job etx__http_job;
typedef struct etx__http_target etx__http_target;

/* ---- config.c: options in use */

typedef struct etx__http_config {
    _Atomic uint32_t holds;
    etx__http_allow allow;
    int names_listed;
    uint32_t target_in_flight_max, target_queue_max, breaker_failures, breaker_open_ms, connect_ms;
    uint32_t target_pipeline_max;
    uint64_t answer_bytes_max;
    net_tls *tls; /* NULL: no call has needed it yet */
    char *key_id; /* NULL: calls are not signed */
    unsigned char *key;
    size_t key_len;
    char **headers; /* name, value, name, value... */
    size_t header_count;
} etx__http_config;

int etx__http_config_make(const etx_http_options *options,
                          etx__http_config **ret_config,
                          char *message,
                          size_t size);
/* For a call over TLS; NULL: it could not be made. On the loop's thread. */
net_tls *etx__http_config_tls(etx__http_config *config);
void etx__http_config_release(etx__http_config *config);
/* The one in use, with a hold. */
etx__http_config *etx__http_config_now(etx_http *http);

/* ---- trace.c: what names a call */

/* A gid and its trace. */
typedef struct etx__http_named {
    char gid[ETX_GID_MAX + 1]; /* "": none */
    char trace[33];
} etx__http_named;

typedef struct etx__http_namer {
    EVP_MD_CTX *hash;       /* of SHA-256 */
    etx__http_named *named; /* those that were named last, each in a place that its gid gives */
    size_t count;           /* of places */
} etx__http_namer;

/* Borrows the places, which are zeroed. Errors: ETX_ENOMEM; it is to be closed in either case. */
int etx__http_namer_open(etx__http_namer *namer,
                         const EVP_MD *md,
                         etx__http_named *places,
                         size_t count);
void etx__http_namer_close(etx__http_namer *namer);
/* SHA-256 of gid, branch and operation. */
int etx__http_name_call(const etx__http_namer *namer,
                        const char *gid,
                        const char *branch,
                        const char *operation,
                        unsigned char ret_digest[ETX__HTTP_DIGEST]);
/* The trace of a gid, borrowed until another is asked for; NULL: no memory. */
const char *etx__http_trace_of(etx__http_namer *namer, const char *gid);
void etx__http_hex(const unsigned char *bytes, size_t len, char *ret_text);
/* The header, from the digest above. */
int etx__http_trace(etx__http_namer *namer,
                    const char *caller,
                    const char *gid,
                    const unsigned char digest[ETX__HTTP_DIGEST],
                    uint32_t attempt,
                    char ret_traceparent[56]);
/* Version 00, lower case, neither id zero? */
int etx__http_is_traceparent(const char *text);

/* ---- sign.c: HTTP message signatures (RFC 9421) */

typedef struct etx__http_signed {
    const char *method, *gid, *branch, *operation, *begin; /* branch NULL: not covered */
    const net_url *url;
    const void *body;
    size_t body_len;
    uint64_t created; /* seconds since 1970 */
} etx__http_signed;

/* The values of Content-Digest, Signature-Input and Signature; freed by free(). */
int etx__http_sign(const EVP_MD *md,
                   const etx__http_config *config,
                   const etx__http_signed *what,
                   etx__http_text *ret_digest,
                   etx__http_text *ret_input,
                   etx__http_text *ret_signature);
/* "sig=:...:" over a signature base. */
int etx__http_sign_base(const EVP_MD *md,
                        const void *key,
                        size_t key_len,
                        const etx__http_text *base,
                        etx__http_text *ret_signature);

/* ---- envelope.c */

/* As etx_http_branch_read, but that URLs are not judged: a call has use for one of them only. */
int etx__http_envelope_read(const void *bytes,
                            size_t len,
                            etx_http_branch *ret_branch,
                            void *room,
                            size_t room_size);

/* Is it a struct of this version? 0 or ETX_EINVALID. */
int etx__http_branch_check(const etx_http_branch *branch, char *why, size_t size);
/* As etx_http_branch_write, but that URLs are not judged. */
int etx__http_envelope_write(const etx_http_branch *branch,
                             void **ret_bytes,
                             size_t *ret_len,
                             char *why,
                             size_t size);

/* ---- body.c: {"payload": ..., "results": {...}} */

typedef struct etx__http_result {
    const char *branch;
    etx_bytes bytes;
} etx__http_result;

void etx__http_body(const etx_http_branch *branch,
                    int with_payload,
                    const etx__http_result *results,
                    uint32_t count,
                    etx__http_text *ret_body);

/* ---- answer.c: what an answer means */

typedef struct etx__http_verdict {
    etx_reply reply;
    uint32_t retry_after_ms;
    uint8_t ill;   /* it tells of a target that is not well */
    uint8_t local; /* it tells nothing of the target */
    char reason[ETX__HTTP_REASON_MAX];
} etx__http_verdict;

/* `target` is named in reasons. */
void etx__http_judge(const net_result *result, const char *target, etx__http_verdict *ret_verdict);
/* Milliseconds of a Retry-After, at most ETX__HTTP_RETRY_AFTER_MAX_MS; 0: none, or not valid. */
uint32_t etx__http_retry_after(const char *text, size_t len, uint64_t now_s);

/* ---- target.c: room for calls, and who gets it */

struct etx__http_target {
    etx__http_target *next;        /* in its bucket; under the lock for writing */
    etx__http_target *later;       /* in the order of their first call; the same */
    etx__http_target *hungry_next; /* in the ring of those whose calls wait for room */
    uint8_t hungry, named, tls;
    uint16_t port;
    char host[NET_HOST_MAX + 1];
    char name[ETX_HTTP_TARGET_MAX];
    etx__http_job *first; /* waiting */
    etx__http_job **last;
    _Atomic uint32_t waiting, in_flight;
    uint32_t failures; /* in a row */
    _Atomic uint8_t open;
    uint8_t probing;
    uint64_t open_until_ms;
    _Atomic uint64_t calls, done, refused, working, unknown, rejected;
};

/* Finds or makes it; NULL: no memory. (targets.c has these two.) */
etx__http_target *etx__http_target_of(etx_http *http, const net_url *url);
void etx__http_targets_free(etx_http *http);
/* Sends the job, has it wait, or ends it. */
void etx__http_target_take(etx__http_target *target, etx__http_job *job);
/* Drops what waits. */
void etx__http_target_drop_waiting(etx_http *http);

/* ---- job.c: one call under way */

struct etx__http_job {
    net_task task;
    net_timer timer; /* while it waits */
    etx_http *http;
    etx_engine *engine;
    etx_token token;
    uint64_t due_ms;  /* of CLOCK_MONOTONIC */
    uint64_t sent_us; /* the same clock; 0: not, or nobody wants to know */
    uint64_t begin_ms, deadline_ms, run;
    uint32_t timeout_ms, attempt;
    etx_operation operation;
    const char *word; /* the operation's */
    const char *gid;
    const char *branch;
    etx_bytes envelope;
    etx__http_result *result;
    uint32_t result_count;
    size_t size;       /* of all of it */
    size_t result_len; /* of a result that is told later */
    etx_http_branch said;
    const char *headers[ETX_HTTP_HEADERS_MAX];
    net_url url;
    etx__http_target *target;
    etx__http_job *next; /* waiting */
    etx__http_job **previous;
    uint8_t probe;
    _Alignas(16) char bytes[]; /* results, then all that is pointed to */
};

/* NULL: no memory for it. */
etx__http_job *etx__http_job_make(etx_http *http, const etx_call *call);
/* Completes the call, perhaps at the end of the loop's turn, and frees the job. On the loop's
 * thread. */
void etx__http_job_end(etx__http_job *job, const etx__http_verdict *verdict, etx_bytes result);
/* The same for one that was not made: ETX_UNSENT, or ETX_RETRY where it never can be. */
void etx__http_job_reject(etx__http_job *job,
                          etx_reply reply,
                          uint32_t retry_after_ms,
                          const char *format,
                          ...) __attribute__((format(printf, 4, 5)));
/* Frees it, and nobody hears of it. */
void etx__http_job_drop(etx__http_job *job);
uint64_t etx__http_clock_ms(void);

/* ---- request.c: a job as a request */

/* Sends it. 0, or it could not be sent and `ret_verdict` says why. */
int etx__http_send(etx__http_job *job, net_done done, etx__http_verdict *ret_verdict);

/* ---- report.c: telling of a call */

/* It is about to be sent. */
void etx__http_report_begin(etx__http_job *job);
/* It is over, with that status (0: there was no answer). */
void etx__http_report_end(const etx__http_job *job, int status, const etx__http_verdict *verdict);

/* ---- http.c */

struct etx_http {
    pthread_mutex_t lock;
    etx__http_config *config; /* under the lock */
    _Atomic uint64_t holds;   /* the owner, and jobs */
    _Atomic uint64_t job_bytes;
    _Atomic int freed;
    net_loop *loop;
    int own_loop;
    pthread_t thread;
    net_client *client;
    EVP_MD *md;            /* SHA-256 */
    etx__http_namer namer; /* of calls, on the loop's thread */
    etx__http_named named[ETX__HTTP_NAMED];
    etx_http_report_fn on_report;
    int report_callers;
    void *report_user;
    uint32_t in_flight;
    _Atomic uint32_t in_flight_max; /* of all targets together */
    /* of the config in use */
    _Atomic uint32_t target_in_flight_max, target_queue_max, breaker_failures, breaker_open_ms;
    etx__http_target *bucket[ETX__HTTP_BUCKETS];
    etx__http_target *target; /* in the order of their first call */
    etx__http_target **target_end;
    uint32_t target_count;
    etx__http_target *hungry;         /* the ring's last; its next is whose turn it is */
    etx_http_target_status forgotten; /* sums of those that are no more; under the lock */
};

void etx__http_release(etx_http *http);

#endif
