/* What the adapters of stores on a network have in common: what their URLs say and who asks, what
 * is wrong with a put before it is sent, and whether the slots that are read form a chain. Linked
 * into each module; it knows no store. */
#ifndef ETX__LOG_STORE_H
#define ETX__LOG_STORE_H

#include <etx/log.h>
#include <stdatomic.h>

enum {
    ETX__STORE_PARTITIONS = 16, /* of a log that is made, unless told */
    ETX__STORE_PARTITIONS_MAX = 256,
    ETX__STORE_HOSTS_MAX = 16,
    ETX__STORE_PASSWORD_MAX = 1000,
    ETX__STORE_SLOT_COST = 64,         /* bytes that a slot takes beside its batch */
    ETX__STORE_GONE_S = 30 * 24 * 3600 /* so long it is told of nodes that are gone */
};

/* Nothing of it changes while the log is open. */
typedef struct etx__store {
    char node[ETX_NAME_MAX + 1];
    char process[17];    /* drawn at open: tells two processes with one name apart */
    char *password;      /* of the URL, or of password_file when the log was opened; or NULL */
    char *password_file; /* or NULL */
    uint32_t partitions; /* for a log that is made */
    uint32_t timeout_ms; /* of a request, and of a connect */
    int read_only;
} etx__store;

typedef struct etx__store_host {
    char name[254]; /* or an address, without brackets */
    uint16_t port;
} etx__store_host;

/* USER:PASSWORD@HOST:PORT,HOST/PATH of a URL, with its %XX read. */
typedef struct etx__store_place {
    char user[129];
    etx__store_host host[ETX__STORE_HOSTS_MAX];
    uint32_t host_count;
    char path[129]; /* without the slash */
} etx__store_place;

/* An option of one adapter alone. `take` gets the value with its %XX read; what it returns ends
 * the reading, and it has said why. */
typedef struct etx__store_option {
    const char *name;
    int (*take)(const etx_log_config *config, void *user, const char *value);
} etx__store_option;

/* The options behind '?'. partitions, timeout_ms and password_file are known to all. */
typedef struct etx__store_options {
    const char *store; /* "PostgreSQL": for messages */
    const etx__store_option *own;
    size_t own_count;
    /* What nobody knows, as it stands in the URL; NULL: it is refused. */
    int (*other)(const etx_log_config *config, void *user, const char *option, size_t len);
    void *user; /* of both */
} etx__store_options;

/* What is read of a partition, slot by slot. Set: the first four. */
typedef struct etx__store_reader {
    etx_slot_fn visit;
    void *user;
    char *message;
    size_t message_size;
    uint64_t next; /* the slot that comes next, once `any` came */
    uint64_t bytes;
    uint32_t checksum;
    int any;
} etx__store_reader;

/* ---- url.c. Errors of all: ETX_EINVALID, ETX_ENOMEM; with config->message. */

/* What does not stand in the URL. Undone by etx__store_free. */
int etx__store_init(const etx_log_config *config, etx__store *ret_store);
/* Reads `url` from behind its scheme's "://" to its '?'. A host is demanded unless
 * `default_port` is 0. */
int etx__store_place_take(const etx_log_config *config,
                          const char *url,
                          uint16_t default_port,
                          etx__store *store,
                          etx__store_place *ret_place);
/* Reads what stands behind the '?' of `url`, if it has one. */
int etx__store_options_take(const etx_log_config *config,
                            const char *url,
                            const etx__store_options *options,
                            etx__store *store);
/* A decimal number from 1 to `most`, and nothing else. ETX_EINVALID: it is not; nothing is said. */
int etx__store_number(const char *text, uint32_t most, uint32_t *ret_number);

/* ---- password.c */

void etx__store_free(etx__store *store);
/* Copies it, and wipes what was given. Errors of this and the next: as of url.c. */
int etx__store_password_keep(const etx_log_config *config, etx__store *store, char *password);
int etx__store_password_file(const etx_log_config *config, etx__store *store, const char *file);
/* For a new connection: as the file has it now, or, where that cannot be read or has none, as it
 * was when the log was opened; or "". Wipe it afterwards. */
void etx__store_password(const etx__store *store, char ret_password[ETX__STORE_PASSWORD_MAX + 2]);
/* Puts *** where the text has the store's password, that of then or of now. */
void etx__store_redact(const etx__store *store, char *text, size_t size);

/* ---- store.c */

/* Says why in `message`, unless that is NULL, and returns rc. */
int etx__store_say(char *message, size_t message_size, int rc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
etx_allocator etx__store_allocator(const etx_allocator *given);
/* Draws the id of a home that may be shared. ETX_EIO: the system gives no random numbers. */
int etx__store_id_draw(char ret_id[ETX_HOME_ID_LEN + 1]);
/* Clears what put sets, and refuses what must not be sent; 0: go on. */
etx_put_result etx__store_put_begin(const etx__store *store,
                                    uint32_t partitions,
                                    size_t batch_max,
                                    etx_put *put);
/* Tells of a node that is gone, if somebody asks for such. */
void etx__store_tell_gone(const etx_log_survey *survey, const etx_log_node *node);
/* Sets error and message of the put, and returns `result`. */
etx_put_result etx__store_put_end(etx_put *put, etx_put_result result, int error, const char *text);
/* What a put came to after its attempts; 0: all had no effect, as others wrote at the same time.
 * What was written is counted in `bytes`. */
etx_put_result etx__store_put_finish(etx_put *put, etx_put_result result, _Atomic uint64_t *bytes);
/* Checks a slot and that it follows the one before, and gives it to visit. Errors: ETX_ECORRUPT,
 * with message; what visit returns. */
int etx__store_reader_take(etx__store_reader *reader, const etx_slot *slot);

#endif
