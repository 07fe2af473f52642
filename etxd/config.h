/* The configuration: one table of settings, read from flags, environment and one file. */
#ifndef ETXD_CONFIG_H
#define ETXD_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct etxd_list {
    char **items;
    size_t count;
} etxd_list;

typedef enum etxd_setting_type {
    ETXD_TEXT = 1,
    ETXD_LIST = 2,   /* repeated; in the environment with commas between; in the file a sequence */
    ETXD_NUMBER = 3, /* within least and most */
    ETXD_TIME = 4,   /* milliseconds: "250", "10s", "5m" */
    ETXD_SWITCH = 5  /* on, off */
} etxd_setting_type;

enum {
    ETXD_RELOADED = 1 << 0,   /* SIGHUP takes it up */
    ETXD_IS_URL = 1 << 1,     /* may hold a password, which is never shown, nor unknown options */
    ETXD_IS_HEADER = 1 << 2,  /* "Name: value", of which the value is shown if it is a reference */
    ETXD_IS_FILE = 1 << 3,    /* who names one must not name "": what it protects would be open */
    ETXD_HIDES_QUERY = 1 << 4 /* what follows a URL's '?' is never shown */
};

/* H(heading), and
 * X(member, TYPE, "name", "ARGUMENT", default, least, most, flags, "help") */
#define ETXD_SETTING_MAP(H, X)                                                                     \
    H("Where it listens")                                                                          \
    X(listen, LIST, "listen", "HOST:PORT", "127.0.0.1:7830", 0, 0, 0,                              \
      "an address to listen on, or unix:PATH")                                                     \
    X(tls_certificate, TEXT, "tls-certificate", "FILE", "", 0, 0, ETXD_RELOADED | ETXD_IS_FILE,    \
      "PEM: the certificate, and those above it; makes all listeners TLS")                         \
    X(tls_key, TEXT, "tls-key", "FILE", "", 0, 0, ETXD_RELOADED | ETXD_IS_FILE, "PEM: its key")    \
    X(tls_client_ca, TEXT, "tls-client-ca", "FILE", "", 0, 0, ETXD_RELOADED | ETXD_IS_FILE,        \
      "PEM: demand certificates of clients, signed by these")                                      \
    X(token_file, TEXT, "token-file", "FILE", "", 0, 0, ETXD_RELOADED | ETXD_IS_FILE,              \
      "demand a bearer token; 'etx token create' writes the file")                                 \
    X(allow_host, LIST, "allow-host", "NAME", "", 0, 0, ETXD_RELOADED,                             \
      "without tokens: a Host beside those of loopback that requests may name")                    \
    X(insecure_without_tls, SWITCH, "insecure-without-tls", "", "off", 0, 0, 0,                    \
      "listen beyond loopback although everyone on the way can read and change it")                \
    X(insecure_without_tokens, SWITCH, "insecure-without-tokens", "", "off", 0, 0, 0,              \
      "listen beyond loopback although everyone may then do everything")                           \
    H("What it keeps, and where")                                                                  \
    X(home, LIST, "home", "URL", "", 0, 0, ETXD_IS_URL,                                            \
      "a log, in order of preference; default: file: in $STATE_DIRECTORY or ./etx-data")           \
    X(node, TEXT, "node", "NAME", "", 0, 0, 0,                                                     \
      "this node's name; default: node, or this machine's name if nodes share a home")             \
    X(advertise, TEXT, "advertise", "URL", "", 0, 0, ETXD_IS_URL,                                  \
      "where other nodes that share a home reach this one")                                        \
    X(lease, TIME, "lease", "TIME", "5s", 500, UINT32_MAX, 0,                                      \
      "a node that is not heard of for so long loses what it has of shared homes")                 \
    X(hold_down, TIME, "hold-down", "TIME", "5s", 1, UINT32_MAX, 0,                                \
      "a home that was away is used again once it has been well for so long")                      \
    X(state, TEXT, "state", "DIR", "", 0, 0, 0,                                                    \
      "what it remembers of homes that nodes share; default: state in $STATE_DIRECTORY, or "       \
      "./etx-state-NODE; '': nothing")                                                             \
    X(durability, TEXT, "durability", "GRADE", "local", 0, 0, 0,                                   \
      "what a transaction gets that asks for nothing: volatile, local, replicated")                \
    X(allow_volatile, SWITCH, "allow-volatile", "", "off", 0, 0, 0,                                \
      "homes that forget with the process may be used, by those who ask for them")                 \
    X(accept_chosen_home, TEXT, "accept-chosen-home", "ID", "", 0, 0, 0,                           \
      "a lost home: its chosen gids are not known any more, and run again if repeated")            \
    X(history_max, NUMBER, "history-max", "N", "1000000", 1, 256U << 20, 0,                        \
      "finished transactions that are remembered")                                                 \
    X(history_age, TIME, "history-age", "TIME", "24h", 1, UINT64_MAX, 0, "... no older than this") \
    X(story_memory, NUMBER, "story-memory", "N", "16777216", 0, 1ULL << 40, 0,                     \
      "bytes for the branches of those that ended last; 0: none")                                  \
    H("Whom it calls")                                                                             \
    X(allow_target, LIST, "allow-target", "PATTERN", "", 0, 0, ETXD_RELOADED | ETXD_IS_URL,        \
      "scheme://host:port that may be called; default: loopback, while it listens only there")     \
    X(call_ca, TEXT, "call-ca", "FILE", "", 0, 0, ETXD_RELOADED | ETXD_IS_FILE,                    \
      "PEM: whom to trust, instead of whom the system trusts")                                     \
    X(call_certificate, TEXT, "call-certificate", "FILE", "", 0, 0, ETXD_RELOADED | ETXD_IS_FILE,  \
      "PEM: the certificate to show to participants")                                              \
    X(call_key, TEXT, "call-key", "FILE", "", 0, 0, ETXD_RELOADED | ETXD_IS_FILE, "PEM: its key")  \
    X(call_header, LIST, "call-header", "HEADER", "", 0, 0, ETXD_RELOADED | ETXD_IS_HEADER,        \
      "'NAME: VALUE' or 'NAME: file:FILE', given to participants with each call")                  \
    X(sign_key_id, TEXT, "sign-key-id", "NAME", "", 0, 0, ETXD_RELOADED,                           \
      "sign calls, under this name")                                                               \
    X(sign_key, TEXT, "sign-key", "file:FILE", "", 0, 0, ETXD_RELOADED,                            \
      "... with the bytes of this file")                                                           \
    X(call_timeout, TIME, "call-timeout", "TIME", "30s", 1, UINT32_MAX, 0,                         \
      "a call without an answer for so long is made again")                                        \
    X(call_connect, TIME, "call-connect", "TIME", "5s", 1, UINT32_MAX, ETXD_RELOADED,              \
      "to connect to a target")                                                                    \
    X(retry_first, TIME, "retry-first", "TIME", "100", 1, UINT32_MAX, 0,                           \
      "the first pause after an unknown result, retry-cap at most; doubled each time")             \
    X(retry_cap, TIME, "retry-cap", "TIME", "30s", 1, UINT32_MAX, 0, "the longest pause")          \
    X(working, TIME, "working", "TIME", "1s", 1, UINT32_MAX, 0, "the pause after 'still working'") \
    X(stalled_after, NUMBER, "stalled-after", "N", "10", 1, UINT32_MAX, 0,                         \
      "failed finishing calls until a transaction counts as stalled")                              \
    X(target_in_flight, NUMBER, "target-in-flight", "N", "256", 1, UINT32_MAX, ETXD_RELOADED,      \
      "calls to one target at once")                                                               \
    X(target_queue, NUMBER, "target-queue", "N", "4096", 1, UINT32_MAX, ETXD_RELOADED,             \
      "calls that wait for that")                                                                  \
    X(target_pipeline, NUMBER, "target-pipeline", "N", "1", 1, 64, ETXD_RELOADED,                  \
      "calls that are sent together on one connection (more than 1: of short calls)")              \
    X(breaker_failures, NUMBER, "breaker-failures", "N", "20", 1, UINT32_MAX, ETXD_RELOADED,       \
      "unknown results in a row that stop calls to a target")                                      \
    X(breaker_open, TIME, "breaker-open", "TIME", "1s", 1, UINT32_MAX, ETXD_RELOADED,              \
      "... for so long; then one call probes")                                                     \
    X(answer_bytes, NUMBER, "answer-bytes", "N", "1048576", 1, 1U << 30, ETXD_RELOADED,            \
      "of a participant's answer")                                                                 \
    H("Limits")                                                                                    \
    X(body_bytes, NUMBER, "body-bytes", "N", "1048576", 1024, 1U << 30, ETXD_RELOADED,             \
      "of a request's body")                                                                       \
    X(depth, NUMBER, "depth", "N", "32", 4, 512, ETXD_RELOADED, "of JSON in a request's body")     \
    X(branches, NUMBER, "branches", "N", "128", 1, 1024, 0, "of one transaction")                  \
    X(transactions, NUMBER, "transactions", "N", "1048576", 1, 64U << 20, 0, "in flight")          \
    X(submits, NUMBER, "submits", "N", "4096", 1, 1U << 20, ETXD_RELOADED,                         \
      "requests that wait for an answer of the engine; beyond it 503")                             \
    X(overload, TIME, "overload", "TIME", "5", 0, UINT32_MAX, ETXD_RELOADED,                       \
      "new transactions are refused while requests wait so long for this server; 0: never")        \
    X(connections, NUMBER, "connections", "N", "12000", 1, 1U << 20, ETXD_RELOADED, "of clients")  \
    X(connections_per_address, NUMBER, "connections-per-address", "N", "0", 0, 1U << 20,           \
      ETXD_RELOADED, "of one client; 0: no limit")                                                 \
    X(rate, NUMBER, "rate", "N", "0", 0, 1U << 30, ETXD_RELOADED,                                  \
      "requests a second of one token; beyond it 429; 0: no limit")                                \
    X(streams, NUMBER, "streams", "N", "256", 1, 1U << 16, ETXD_RELOADED,                          \
      "of events, open at once")                                                                   \
    X(events, NUMBER, "events", "N", "4096", 16, 1U << 20, 0,                                      \
      "that are kept for streams which resume")                                                    \
    X(deadline, TIME, "deadline", "TIME", "60s", 1, 302400000, 0,                                  \
      "of interactive and resumed transactions that say none; at most 84h")                        \
    H("What it takes away from itself")                                                            \
    X(confine, TEXT, "confine", "HOW", "auto", 0, 0, 0,                                            \
      "files (Landlock) and system calls (seccomp): auto, as far as the kernel goes; off; "        \
      "required: no start without")                                                                \
    H("Threads")                                                                                   \
    X(shards, NUMBER, "shards", "N", "0", 0, 16, 0,                                                \
      "of the engine, at most 16; 0: processors, at most 4")                                       \
    X(workers, NUMBER, "workers", "N", "4", 1, 256, 0, "for lists, queries and operating")         \
    X(busy_poll, NUMBER, "busy-poll", "N", "250", 0, 10000, 0,                                     \
      "microseconds until it sleeps, while one or two requests wait; 0: at once")                  \
    H("Traces (OpenTelemetry)")                                                                    \
    X(trace_url, TEXT, "trace-url", "URL", "", 0, 0, ETXD_IS_URL | ETXD_HIDES_QUERY,               \
      "of a collector that takes OTLP: http://localhost:4318/v1/traces")                           \
    X(trace_header, LIST, "trace-header", "HEADER", "", 0, 0, ETXD_IS_HEADER,                      \
      "'NAME: VALUE' or 'NAME: file:FILE', given to the collector")                                \
    X(trace_ca, TEXT, "trace-ca", "FILE", "", 0, 0, ETXD_IS_FILE,                                  \
      "PEM: whom to trust there, instead of whom the system trusts")                               \
    X(trace_service, TEXT, "trace-service", "NAME", "etxd", 0, 0, 0, "service.name of the spans")  \
    X(trace_queue, NUMBER, "trace-queue", "N", "8192", 16, 1U << 20, 0,                            \
      "spans that wait to be sent; others are dropped, and counted")                               \
    X(trace_timeout, TIME, "trace-timeout", "TIME", "10s", 1, UINT32_MAX, 0,                       \
      "of a request to the collector")                                                             \
    H("What it says")                                                                              \
    X(log_level, TEXT, "log-level", "LEVEL", "info", 0, 0, ETXD_RELOADED,                          \
      "error, warning, info, debug")                                                               \
    X(log_format, TEXT, "log-format", "FORMAT", "auto", 0, 0, 0,                                   \
      "text, json; auto: text on a terminal")                                                      \
    X(access_log, SWITCH, "access-log", "", "on", 0, 0, ETXD_RELOADED, "a line for each request")  \
    X(drain, TIME, "drain", "TIME", "10s", 0, UINT32_MAX, ETXD_RELOADED,                           \
      "on SIGTERM: to answer what is begun")

typedef char *etxd_value_TEXT;
typedef etxd_list etxd_value_LIST;
typedef uint64_t etxd_value_NUMBER;
typedef uint64_t etxd_value_TIME;
typedef uint64_t etxd_value_SWITCH;

typedef enum etxd_action {
    ETXD_RUN,
    ETXD_CHECK,   /* --check-config */
    ETXD_PRINT,   /* --print-config */
    ETXD_HELP,    /* --help */
    ETXD_VERSION, /* --version */
} etxd_action;

#define ETXD_NOTHING(heading)
#define ETXD_MEMBER(member, type, ...) etxd_value_##type member;
#define ETXD_COUNT(member, ...) ETXD_SETTING_##member,

enum { ETXD_SETTING_MAP(ETXD_NOTHING, ETXD_COUNT) ETXD_SETTINGS };

typedef struct etxd_config {
    ETXD_SETTING_MAP(ETXD_NOTHING, ETXD_MEMBER)
    char *file; /* of --config; NULL: none */
    etxd_action action;
    uint8_t source[ETXD_SETTINGS]; /* etxd_source of each setting */
} etxd_config;

typedef enum etxd_source {
    ETXD_FROM_DEFAULT,
    ETXD_FROM_FILE,
    ETXD_FROM_ENVIRONMENT,
    ETXD_FROM_FLAG
} etxd_source;

typedef struct etxd_setting {
    const char *heading; /* the rest is empty then */
    const char *name;
    const char *argument;
    const char *fallback;
    const char *help;
    size_t offset;
    uint64_t least, most;
    etxd_setting_type type;
    unsigned flags;
    int place; /* in etxd_config.source */
} etxd_setting;

enum { ETXD_MESSAGE_MAX = 512, ETXD_FILE_MAX = 16 << 20 };

/* The table; it ends with a row that has neither heading nor name. */
const etxd_setting *etxd_settings(void);
/* The row of a name, or NULL; `*ret_near` (may be NULL) is then what may have been meant. */
const etxd_setting *etxd_setting_find(const char *name, const char **ret_near);
/* Sets a value from text, if nothing of a stronger source was set; a list is replaced by the first
 * value of a stronger source, and continued by the others. 0, or -1 and a message. */
int etxd_setting_set(etxd_config *config,
                     const etxd_setting *row,
                     const char *text,
                     etxd_source source,
                     char *message);

/* Reads flags, environment (`environment`, as environ) and the file that they name. 0, or -1 and a
 * message of ETXD_MESSAGE_MAX bytes. To be freed in either case. */
int etxd_config_read(int argc,
                     char **argv,
                     char **environment,
                     etxd_config *ret_config,
                     char *message);
/* Reads a YAML file into it. */
int etxd_config_file(etxd_config *config, const char *path, char *message);
/* Fills what nobody set and what depends on the machine and on other settings: home, node. 0, or -1
 * and a message. */
int etxd_config_fill(etxd_config *config, char *message);
/* Whether other nodes may have the same log: a home that is neither files nor memory. */
int etxd_config_is_shared(const etxd_config *config);
/* Rules between settings: what may not be together, what is needed. 0, or -1 and a message. */
int etxd_config_judge(const etxd_config *config, char *message);
/* Opens a regular file of at most `most` bytes; to be closed. 0, or -1 and why not. */
int etxd_file_open(const char *path, uint64_t most, int *ret_fd, char *why, size_t size);
/* Whether the files that settings name are such; one that is not there is left to its reader. 0, or
 * -1 and a message. */
int etxd_files_judge(const etxd_config *config, char *message);
/* Whether every listener is on loopback. */
int etxd_config_is_local(const etxd_config *config);
void etxd_config_free(etxd_config *config);
/* As YAML, with where each value comes from; passwords as ***. */
void etxd_config_print(const etxd_config *config, FILE *to);
void etxd_config_help(FILE *to);
/* A header with its value as ***, unless that is a reference to a file; what is no header is ***.
 * Returns `shown`. */
const char *etxd_config_mask_header(const char *header, char *shown, size_t size);
/* A URL with its password, and the values of options that are not known, as ***, into `size` bytes;
 * returns `shown`. */
const char *etxd_config_mask(const char *url, char *shown, size_t size);

#endif
