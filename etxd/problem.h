/* What went wrong with a request, as RFC 9457 tells it: one list of codes, what each means. */
#ifndef ETXD_PROBLEM_H
#define ETXD_PROBLEM_H

#include <stdarg.h>

#include "text.h"

/* X(NAME, status, "code", "title", "hint") */
#define ETXD_PROBLEM_MAP(X)                                                                       \
    X(BAD_JSON, 400, "bad-json", "The body is not one JSON document",                             \
      "send UTF-8 JSON without duplicate names; the detail says where it ends")                   \
    X(TOO_DEEP, 400, "too-deep", "The body is nested too deeply", "see the server's --depth")     \
    X(UNKNOWN_FIELD, 400, "unknown-field", "The body has a field that nothing is known of",       \
      "leave it out, or correct its name; /v1/openapi.json lists the fields")                     \
    X(WRONG_TYPE, 400, "wrong-type", "A field has the wrong type", "the pointer names the field") \
    X(BAD_VALUE, 400, "bad-value", "A field has a value that is not possible",                    \
      "the pointer names the field, the detail says what is possible")                            \
    X(MISSING, 400, "missing-field", "A field is missing", "the pointer says where")              \
    X(BAD_QUERY, 400, "bad-query", "The query of the URL is not understood",                      \
      "/v1/openapi.json lists what may stand there")                                              \
    X(INVALID, 400, "invalid", "The transaction is not possible as it is described",              \
      "the detail says what is wrong with it")                                                    \
    X(TARGET_NOT_ALLOWED, 403, "target-not-allowed", "A URL may not be called by this server",    \
      "the server's --allow-target says what may be called")                                      \
    X(NO_TOKEN, 401, "no-token", "A bearer token is needed",                                      \
      "send 'Authorization: Bearer TOKEN'; 'etx token create' makes one")                         \
    X(BAD_TOKEN, 401, "bad-token", "The bearer token is not known",                               \
      "it may be mistyped or taken back; 'etx token create' makes one")                           \
    X(SCOPE, 403, "scope", "The token may not do this",                                           \
      "use a token with the scope of the detail")                                                 \
    X(PREFIX, 403, "gid-prefix", "The token is bound to another prefix of gids",                  \
      "use a gid that begins with the token's prefix")                                            \
    X(BROWSER, 403, "browser", "A web page may not use this server",                              \
      "without tokens, requests that browsers make for pages are refused")                        \
    X(HOST, 421, "host", "The request names a host that is not this server",                      \
      "without tokens only loopback is served; the server's --allow-host adds names")             \
    X(NO_ROUTE, 404, "no-route", "There is nothing under this path",                              \
      "/v1/openapi.json lists what there is")                                                     \
    X(METHOD, 405, "method", "The path does not know this method", "the field Allow lists them")  \
    X(MEDIA_TYPE, 415, "media-type", "The body must be JSON and say so",                          \
      "send 'Content-Type: application/json', and {} if there is nothing to say")                 \
    X(NOT_FOUND, 404, "not-found", "There is no such transaction or branch",                      \
      "check the gid; what has ended is remembered for some time only")                           \
    X(GONE, 410, "gone", "Nothing is known of a gid that ETX made",                               \
      "it ended too long ago to be remembered, or was never begun; under this gid it never will " \
      "be")                                                                                       \
    X(CONFLICT, 409, "conflict", "The gid or name is taken with other content",                   \
      "a repeat must be the same; anything else needs a gid of its own")                          \
    X(STATE, 409, "state", "Not possible in the state in which it is",                            \
      "GET the transaction to see its state")                                                     \
    X(RATE, 429, "rate", "Too many requests for this token", "slow down; see Retry-After")        \
    X(STREAMS, 429, "streams", "Too many event streams are open", "close one; see Retry-After")   \
    X(BUSY, 503, "busy", "Too much is in progress; nothing was begun",                            \
      "repeat the same request after Retry-After")                                                \
    X(FULL, 503, "full", "There is no space left for new transactions",                           \
      "what has begun will end; an operator must make room")                                      \
    X(UNAVAILABLE, 503, "unavailable", "It cannot be done now; this request began nothing",       \
      "repeat the same request after Retry-After")                                                \
    X(UNKNOWN, 503, "unknown", "The outcome is not known yet",                                    \
      "ask by gid, or repeat the same request with the same gid; never guess")                    \
    X(ELSEWHERE, 421, "elsewhere", "Another node has the transaction's partition",                \
      "send the same request to the node that the detail names")                                  \
    X(STARTING, 503, "starting", "The server is starting",                                        \
      "repeat the same request after Retry-After")                                                \
    X(CLOSING, 503, "closing", "The server is ending",                                            \
      "repeat the same request after Retry-After")                                                \
    X(MEMORY, 503, "memory", "Out of memory", "repeat the same request after Retry-After")        \
    X(INTERNAL, 500, "internal", "Something is wrong with the server",                            \
      "its log says what; the detail names the error")

typedef enum etxd_code {
    ETXD_NO_PROBLEM = 0,
#define X(name, ...) ETXD_##name##_PROBLEM,
    ETXD_PROBLEM_MAP(X)
#undef X
} etxd_code;

typedef struct etxd_problem {
    etxd_code code;
    char detail[400];
    char hint[160];    /* instead of the code's own */
    char pointer[256]; /* JSON pointer of the field */
} etxd_problem;

/* Sets it, if nothing is set yet; returns -1. */
int etxd_problem_set(etxd_problem *problem, etxd_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void etxd_problem_point(etxd_problem *problem, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void etxd_problem_hint(etxd_problem *problem, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What an error of libetx is to a client. */
etxd_code etxd_problem_of(int rc);
int etxd_problem_status(etxd_code code);
const char *etxd_problem_name(etxd_code code);
/* Seconds for Retry-After; 0: none. */
unsigned etxd_problem_retry_after(etxd_code code);
/* The body: application/problem+json. `gid` may be "". */
void etxd_problem_write(const etxd_problem *problem, const char *gid, etxd_text *ret_text);

#endif
