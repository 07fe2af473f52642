/* Participants over HTTP: branches whose operations are URLs, for any language. In a static library
 * of its own, beside libetx; docs/http-participants.md says what a participant gets and answers. */
#ifndef ETX_PARTICIPANT_HTTP_H
#define ETX_PARTICIPANT_HTTP_H

#include <etx/tx.h>

#ifdef __cplusplus
extern "C" {
#endif

struct net_loop;
typedef struct etx_http etx_http;

#define ETX_HTTP_HEADERS_MAX 32 /* of one branch, and of etx_http_options */
#define ETX_HTTP_TARGET_MAX 272 /* "scheme://host:port" with its NUL */

/* A call that was sent, when it is over. Strings are borrowed for the call, and "" where there is
 * nothing to say. */
typedef struct etx_http_report {
    size_t size;
    const char *gid, *branch, *operation; /* branch: "" of an initiator */
    uint32_t attempt;
    const char *caller;      /* the branch's traceparent */
    const char *traceparent; /* what the participant got */
    const char *target;      /* "https://stock:8443" */
    int status;              /* of the answer; 0: there was none */
    etx_reply reply;         /* what it means */
    const char *reason;
    uint64_t took_us; /* until now, from when it was sent */
} etx_http_report;
/* Called on the loop's thread before the engine hears of the answer; must not block. */
typedef void (*etx_http_report_fn)(const etx_http_report *report, void *user);

/* Zeroed but for `size` is fine; 0 or NULL means the value named. Strings and bytes are copied. */
typedef struct etx_http_options {
    size_t size; /* sizeof(etx_http_options) */
    /* calls are made there; borrowed. NULL: a thread and a loop of its own */
    struct net_loop *loop;
    /* Patterns of targets that may be called, scheme://host:port, each part given: scheme http,
     * https, grpc or grpcs; host a name, *.name (names below it), an address or a network
     * (10.0.0.0/8, [fd00::/8]); port a number or *. */
    const char *const *allow;
    size_t allow_count;            /* 0: nothing may be called */
    uint32_t target_in_flight_max; /* calls to one target at once, at most 4096; default 256; */
    uint32_t target_queue_max;     /* ... so many more wait, others are ETX_RETRY; default 4096 */
    uint32_t breaker_failures;     /* so many in a row open the target's breaker; default 20; */
    uint32_t breaker_open_ms;      /* ... for so long, then one call probes; default 1000 */
    uint32_t connect_ms;           /* default 5000 */
    uint64_t answer_bytes_max;     /* of an answer's body; default 1 MiB; more is unknown */
    const char *ca_file;           /* PEM; NULL: whom the system trusts */
    const char *certificate_file;  /* PEM, of a client; NULL: none */
    const char *key_file;
    const char *sign_key_id; /* printable, without '"' and '\'; NULL: calls are not signed */
    const void *sign_key;    /* of HMAC-SHA256: at least 16 bytes */
    size_t sign_key_len;
    const char *const *headers; /* "Name: value", for each call; before a branch's of the name */
    size_t header_count;
    etx_http_report_fn on_report; /* hears of each call; a reload leaves it as it is */
    void *report_user;            /* borrowed until free */
    /* 1: it hears only of calls whose branch has a traceparent, and not what the participant got,
     * which takes time to find out: whose trace it is, at little cost */
    uint8_t report_callers;
    /* 1: what etx_http_allowed says of names that no pattern of names allows: no */
    uint8_t names_listed;
    /* 2 to 64: so many calls of one target that become due together share a connection: they are
     * sent at once, one behind the other, and answered in that order (HTTP/1.1 pipelining). For
     * targets whose calls are short, and whose server answers all that it has read. Default 1. */
    uint32_t target_pipeline_max;
} etx_http_options;

/* Makes the caller of participants. With a loop, on that loop's thread.
 * Errors: ETX_EINVALID (the message says which option), ETX_ENOMEM, ETX_EIO (a certificate, a
 * key; no thread or descriptor left). `message` has `size` bytes, and may be NULL. */
int etx_http_create(const etx_http_options *options,
                    etx_http **ret_http,
                    char *message,
                    size_t size);
/* Registers "http-tcc", "http-saga", "http-xa", "http-message", "http-notification" and the
 * initiator "http-initiator": before the engine's start, since recovery may call them. Errors: as
 * etx_engine_register. */
int etx_http_register(etx_http *http, etx_engine *engine);
/* New allow-list, limits, keys, headers, and certificates read anew; calls that begin from now on
 * use them, on connections of their own; `loop` is ignored. Calls under way go on. On an error
 * nothing changes. Any thread. Errors: as create. */
int etx_http_reload(etx_http *http, const etx_http_options *options, char *message, size_t size);
/* Frees it, after etx_engine_close and before etx_engine_free of every engine that it is registered
 * at: what is under way is given up, and no engine hears of it. With a loop of the caller's, on
 * that loop's thread, and the loop must take another turn, or be freed. NULL is nothing. */
void etx_http_free(etx_http *http);

/* May this URL be called? 0; ETX_EINVALID (it is no URL), ETX_ESTATE (it is not allowed); `why`
 * (of `size` bytes, may be NULL) says why. A name that no pattern of names allows is let pass where
 * a pattern of addresses may allow what it resolves to, but for names_listed; each call judges the
 * address that it connects to. Any thread. */
int etx_http_allowed(etx_http *http, const char *url, char *why, size_t size);

/* What a branch of an "http-..." participant says: it is kept in the branch's payload. */
typedef struct etx_http_branch {
    size_t size;
    /* http or https; NULL: there is nothing to do for it, it is done at once */
    const char *forward_url, *commit_url, *undo_url;
    const char *content_type;   /* of the payload; NULL: application/json */
    const char *const *headers; /* "Name: value", given to each call; may be secret */
    size_t header_count;
    const char *traceparent; /* of the caller (W3C); NULL: none */
    etx_bytes payload;       /* the body, byte for byte */
    /* 1: the body is {"payload": ..., "results": {...}}. Those of its dependencies are there if the
     * branch has the flag ETX_WANTS_RESULTS as well */
    uint8_t wants_results;
} etx_http_branch;

/* The bytes for etx_branch.payload; the caller frees them by free(). Errors: ETX_EINVALID (`why`
 * says it), ETX_ENOMEM. Any thread. */
int etx_http_branch_write(const etx_http_branch *branch,
                          void **ret_bytes,
                          size_t *ret_len,
                          char *why,
                          size_t size);
/* The same, for a branch whose URLs may be called: each is read once for that and for
 * etx_http_allowed. Errors beside: ETX_ESTATE (a URL is not allowed); with that and with
 * ETX_EINVALID `*ret_url` is the URL that is wrong, or NULL if something else is. */
int etx_http_branch_admit(etx_http *http,
                          const etx_http_branch *branch,
                          const char **ret_url,
                          void **ret_bytes,
                          size_t *ret_len,
                          char *why,
                          size_t size);
/* The other way. What it gives points into `bytes`, and `headers` into `room`, an array for
 * ETX_HTTP_HEADERS_MAX pointers. Errors: ETX_EINVALID (nothing that write made); ETX_EBUSY (the
 * room is too small for header_count pointers, which is set). Any thread. */
int etx_http_branch_read(const void *bytes,
                         size_t len,
                         etx_http_branch *ret_branch,
                         void *room,
                         size_t room_size);
/* The same for an initiator: its URL (to query or to resume), for etx_tx_options.initiator_payload;
 * read gives it as forward_url. */
int etx_http_initiator_write(const char *url,
                             const char *const *headers,
                             size_t header_count,
                             const char *traceparent,
                             void **ret_bytes,
                             size_t *ret_len,
                             char *why,
                             size_t size);

/* What a repeat of those bytes is known by, for etx_branch.content or initiator_content: all but
 * the traceparent, as if there were none. `ret_content` has room for `len` bytes. Errors:
 * ETX_EINVALID (nothing that write made). Any thread. */
int etx_http_content(const void *bytes, size_t len, void *ret_content, size_t *ret_len);

/* The header `traceparent` of a call, the same for who makes the call and who reports it: the trace
 * of `caller` (NULL or not valid: one that follows from the gid, sampled) and a span that follows
 * from gid, branch, operation and attempt (after a restart of the engine attempts begin again).
 * Any thread. */
int etx_http_traceparent(const char *caller,
                         const char *gid,
                         const char *branch,
                         const char *operation,
                         uint32_t attempt,
                         char ret_traceparent[56]);
/* The trace that follows from a gid, as above: 32 digits, and a NUL. On the loop's thread; of a gid
 * that was called lately it is known. Errors: ETX_ENOMEM. */
int etx_http_trace(etx_http *http, const char *gid, char ret_trace[33]);

/* Counters of one target since it was first called. `unknown` counts calls that were made;
 * `rejected` those that were not, since its queue was full or its breaker open. */
typedef struct etx_http_target_status {
    size_t size;
    char target[ETX_HTTP_TARGET_MAX]; /* "https://stock:8443", or "other" */
    uint64_t calls, done, refused, working, unknown, rejected;
    uint32_t in_flight, waiting;
    uint8_t breaker_open;
} etx_http_target_status;
/* The first 64 targets that were called, one by one, then the sum of all others as "other" if there
 * are any; a result of `each` that is not 0 stops and is returned. Any thread. */
int etx_http_targets(etx_http *http,
                     int (*each)(const etx_http_target_status *status, void *user),
                     void *user);

#ifdef __cplusplus
}
#endif
#endif
