/* The storage interface: a log is numbered write-once slots, in partitions. The contract stands
 * above each function; tests/conformance judges every adapter by it. An adapter is plain
 * blocking code. */
#ifndef ETX_LOG_H
#define ETX_LOG_H

#include <etx/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ETX_LOG_VERSION 2
/* characters of a home's id: one for its class ('v' if volatile), six drawn at random, all of them
 * digits of gids: 0123456789abcdefghjkmnpqrstvwxyz */
#define ETX_HOME_ID_LEN 7

typedef struct etx_log_ops etx_log_ops;

/* The head of every adapter's own struct. */
typedef struct etx_log {
    const etx_log_ops *ops;
} etx_log;

typedef enum etx_log_open_flags {
    ETX_LOG_READ_ONLY = 1 << 0, /* claims nothing, locks nothing, changes nothing */
    ETX_LOG_NO_CREATE = 1 << 1, /* an absent log is ETX_ENOTFOUND rather than made */
    ETX_LOG_RETIRED = 1 << 2,   /* also one that was retired, which else is ETX_ECONFLICT unless it
                                 * is only read */
    /* one that is absent and would be ETX_VOLATILE is ETX_EINVALID rather than made. An adapter
     * that cannot tell beforehand makes it: who asks judges `grade` in any case */
    ETX_LOG_MAKE_DURABLE = 1 << 3
} etx_log_open_flags;

typedef struct etx_log_config {
    size_t size;
    /* "file:/var/lib/shop/etx"; borrowed for the call. Options follow '?': "…?partitions=4" */
    const char *url;
    const char *node;               /* the name of this node; borrowed */
    uint32_t flags;                 /* etx_log_open_flags */
    uint32_t partitions;            /* for a log that is made now; 0: the adapter's default */
    const etx_allocator *allocator; /* borrowed until close */
    char *message; /* message_size bytes: what went wrong, in words that say what to do */
    size_t message_size;
} etx_log_config;

typedef enum etx_log_flags {
    /* a put takes well under a millisecond: the engine may put on its own thread */
    ETX_LOG_FAST = 1 << 0,
    /* a copy to be looked at: only an engine with ETX_INSPECT starts on it */
    ETX_LOG_LOOK = 1 << 1,
    ETX_LOG_COPYING = 1 << 2, /* retired: a copy that is to take its place is being made */
    ETX_LOG_MOVED = 1 << 3    /* retired: a copy has taken its place */
} etx_log_flags;

/* What `retire` makes of a log. */
typedef enum etx_retirement {
    ETX_RETIRE_NOT = 0, /* it is used as before */
    ETX_RETIRE_COPYING = 1,
    ETX_RETIRE_MOVED = 2
} etx_retirement;

typedef struct etx_log_info {
    size_t size;
    char id[ETX_HOME_ID_LEN + 1]; /* drawn when the log was made; the class first */
    uint32_t partitions;
    uint32_t flags;       /* etx_log_flags */
    size_t batch_max;     /* bytes of the largest batch that a put takes */
    etx_durability grade; /* what an acknowledged put survives, as checked now */
    /* Why not a better grade, or NULL; borrowed until close. 200 bytes of it are shown. */
    const char *remark;
    uint32_t block; /* a put takes a multiple of so many bytes; 0 or 1: as many as it has */
    /* bytes of records that a partition may hold beyond three times what is needed, before its
     * oldest part is written anew and trimmed; 0: 4 MiB */
    uint32_t slack;
    /* Which store this is, in words (a system id, a timeline), or NULL; borrowed until close. To be
     * set only where `size` has room for it. It is shown when something was lost, never judged. */
    const char *identity;
} etx_log_info;

/* What a put came to. */
typedef enum etx_put_result {
    ETX_PUT_WRITTEN = 1, /* it is there, durably */
    /* the slot is filled (`found` says by whom), or lies below the trim mark (found_trimmed) */
    ETX_PUT_OCCUPIED = 2,
    /* the slot is empty, but the one before it is absent or has another checksum */
    ETX_PUT_PREDECESSOR = 3,
    /* a promise: this attempt had no effect, and never will have one. `error` says why */
    ETX_PUT_NOT_WRITTEN = 4,
    /* it may be there, now or later. Only the same put again can settle it */
    ETX_PUT_UNKNOWN = 5
} etx_put_result;

typedef struct etx_put {
    size_t size;
    uint32_t partition;
    uint32_t predecessor; /* checksum of slot - 1; 0 where slot is 0 */
    uint64_t slot;
    uint64_t nonce;    /* the owner's */
    etx_bytes batch;   /* borrowed; 1 byte to batch_max */
    uint32_t checksum; /* etx_slot_checksum of all the above */
    /* From here on set by put. */
    uint32_t found_checksum; /* occupied: of what is there; with found_nonce */
    uint64_t found_nonce;
    uint8_t found_trimmed; /* occupied: the slot lies below the trim mark */
    int error;             /* not written, unknown: ETX_EFULL, ETX_EIO, ETX_EUNAVAILABLE... */
    char message[200];     /* what went wrong, if anything */
    /* Set by the caller, where `size` has room for it. 1: a transaction begins in the batch, and
     * can be refused. A log that keeps a reserve answers ETX_PUT_NOT_WRITTEN and ETX_EFULL rather
     * than have it begin there. */
    uint8_t begins;
} etx_put;

typedef struct etx_slot {
    uint32_t partition;
    uint32_t predecessor;
    uint64_t slot;
    uint64_t nonce;
    uint32_t checksum;
    etx_bytes batch; /* borrowed for the call */
} etx_slot;

/* Called for each slot in order. Anything but 0 stops the get, which returns it. */
typedef int (*etx_slot_fn)(const etx_slot *slot, void *user);

typedef struct etx_log_space {
    size_t size;
    uint64_t bytes_used;  /* by slots that are not trimmed */
    uint64_t bytes_total; /* taken from the store for this partition */
    uint64_t trim_unit;   /* bytes that go at once: below this nothing is gained by trimming */
    uint8_t full;         /* 1: no room but the reserve; new transactions are refused */
} etx_log_space;

/* A node that shares a store, as the store knows it. */
typedef struct etx_log_node {
    size_t size;
    const char *name;    /* etx_log_config.node; borrowed for the call, as the next */
    const char *address; /* where other nodes reach it, and what else it said; or "" */
    uint64_t left_ms;    /* until it counts as gone, by the store's clock; 0: it is */
} etx_log_node;

/* A partition that a node has for a time. */
typedef struct etx_log_lease {
    size_t size;
    uint32_t partition;
    const char *node; /* borrowed for the call */
    uint64_t left_ms; /* by the store's clock; never 0 */
} etx_log_lease;

/* What a survey shows: nodes in the order of their names, leases in that of their partitions. */
typedef struct etx_log_survey {
    size_t size;
    void (*on_node)(const etx_log_node *node, void *user);
    void (*on_lease)(const etx_log_lease *lease, void *user);
    void *user;
    /* Nodes that do not attend any more, whether they left or were not heard of, whose address has
     * a space: told for thirty days, in any order, with left_ms 0. NULL, or beyond `size`: nobody
     * asks. */
    void (*on_gone)(const etx_log_node *node, void *user);
} etx_log_survey;

/* An adapter. New members go to the end; a NULL beyond its `version` is as if absent. Unless a
 * function says otherwise it may be called from any thread, for different partitions at the same
 * time, never for one partition at the same time. */
struct etx_log_ops {
    uint32_t version;   /* ETX_LOG_VERSION */
    const char *scheme; /* of its URLs: "file" */

    /* Opens or makes a log. Errors: ETX_EINVALID (the URL), ETX_ENOTFOUND, ETX_EBUSY (in use by
     * another process or by this one), ETX_EVERSION, ETX_ECORRUPT, ETX_EIO, ETX_EUNAVAILABLE
     * (not reachable: the engine tries again), ETX_ENOMEM; each with config->message. */
    int (*open)(const etx_log_config *config, etx_log **ret_log);
    /* Frees it. `clean`: all that was put has been settled, and nothing that opens it later may
     * cut anything. */
    void (*close)(etx_log *log, int clean);
    int (*info)(etx_log *log, etx_log_info *ret_info);

    /* Writes slot n if n is empty and n-1 has the checksum `predecessor`. Judged in this order:
     * below the mark, or filled: occupied; then the predecessor. Atomic: all of it or nothing,
     * whatever crashes. After ETX_PUT_UNKNOWN or a crash the same put may be repeated, and only
     * that settles it. Never returns an error: a result. */
    etx_put_result (*put)(etx_log *log, etx_put *put);
    /* Gives slots from `from` on, in order, without gap, and the mark below which slots are gone
     * (from < mark is taken as from = mark). All that was acknowledged before the call is among
     * them.
     * Errors: ETX_ECORRUPT, ETX_EIO, ETX_EUNAVAILABLE, what `visit` returned; message as in
     * open, or NULL. */
    int (*get)(etx_log *log,
               uint32_t partition,
               uint64_t from,
               etx_slot_fn visit,
               void *user,
               uint64_t *ret_mark,
               char *message,
               size_t message_size);
    /* First makes the mark durable, then deletes, in ascending order, at its own grain: never
     * the newest slot. A lower `below` changes nothing. Errors: ETX_EIO, ETX_EUNAVAILABLE; the
     * slots are still there then, or gone. */
    int (*trim)(etx_log *log, uint32_t partition, uint64_t below);
    /* After ETX_PUT_UNKNOWN with ETX_EIO (or a failing get): opens the partition anew, as after
     * a crash, with the lock kept. The engine then reads it again from the mark. Errors: as
     * open. NULL: there is nothing to reopen. */
    int (*reopen)(etx_log *log, uint32_t partition, char *message, size_t message_size);
    int (*space)(etx_log *log, uint32_t partition, etx_log_space *ret_space);

    /* Shared stores only; NULL: the log belongs to one process. All five or none. They are judged
     * by the store's clock and called by one thread, beside puts. They say who should write, never
     * who may: that is what a put's predecessor is for. Errors beside those that are named:
     * ETX_EUNAVAILABLE, ETX_EIO; `message` as in open, or NULL. */

    /* This node is there for ttl_ms from now on, at this address (and behind it what else others
     * are to hear: text of at most 375 bytes, kept as it is); 0: it leaves, and where it was is
     * told on (etx_log_survey.on_gone). ETX_ECONFLICT: another process has said since that it is
     * the node of this name; it is believed, as long as it is there. */
    int (*attend)(etx_log *log,
                  const char *address,
                  uint32_t ttl_ms,
                  char *message,
                  size_t message_size);
    /* 0: it goes on with the lease that it has. 1: it has taken the lease, which nobody had;
     * another may have had it before. ETX_EBUSY: another node has it. */
    int (*renew)(etx_log *log, uint32_t partition, uint32_t ttl_ms);
    /* Gives it up, if it is its own. */
    int (*release)(etx_log *log, uint32_t partition);
    /* Tells who attends and who has which lease, all of one moment. */
    int (*survey)(etx_log *log, const etx_log_survey *survey, char *message, size_t message_size);
    /* ms since 1970 by the store's clock. */
    int (*clock)(etx_log *log, uint64_t *ret_ms);

    /* Since version 2, for a log that takes the place of another ('etx log copy'). NULL: it cannot.
     * The first three or none. Not for engines: one thread, and nothing else at that time. */

    /* Makes an empty log with the id and the partitions of `source`, which nobody can open before
     * copy_end has said that it is whole. What an earlier copy has left unfinished is made anew.
     * Errors: ETX_EBUSY (something else is there), and those of open; with config->message. */
    int (*copy_begin)(const etx_log_config *config, const etx_log_info *source, etx_log **ret_log);
    /* Takes a slot as it is: each partition's in order, the first with whatever number, which is
     * then its mark. Errors: ETX_EINVALID (too large), ETX_EFULL, ETX_EIO, ETX_EUNAVAILABLE;
     * message as in open. */
    int (*copy_slot)(etx_log *copy, const etx_slot *slot, char *message, size_t message_size);
    /* Frees it; `whole`: all is durable when this returns 0, and the log can be opened. Otherwise,
     * and on an error, nobody can. ETX_EUNKNOWN: the store did not answer. */
    int (*copy_end)(etx_log *copy, int whole, char *message, size_t message_size);
    /* Makes that of the log, durably. `words`, at most 400 bytes, are the message of whoever opens
     * it without ETX_LOG_RETIRED. Errors: ETX_EIO, ETX_EUNAVAILABLE; message as in open. */
    int (*retire)(etx_log *log,
                  etx_retirement what,
                  const char *words,
                  char *message,
                  size_t message_size);
};

/* CRC-32C of bytes (RFC 3720), continued from `crc` (0 to begin). Uses the CPU's instruction
 * where there is one. Any thread. */
ETX_API uint32_t etx_crc32c(uint32_t crc, const void *data, size_t len);
/* The checksum that names a put to its successor: over partition, slot, nonce, predecessor
 * (little-endian, in this order: 4, 8, 8, 4 bytes) and the batch. Any thread. */
ETX_API uint32_t etx_slot_checksum(uint32_t partition,
                                   uint64_t slot,
                                   uint64_t nonce,
                                   uint32_t predecessor,
                                   etx_bytes batch);

/* Opens the log of a URL, whose scheme is built in or has a module that is installed: what a
 * program needs that looks at logs, or looks after them, without an engine. Errors: ETX_EINVALID
 * (no such adapter), and those of the adapter's open; with config->message. Any thread. */
ETX_API int etx_log_open(const etx_log_config *config, etx_log **ret_log);
/* The adapter of that URL. ETX_EINVALID: there is none; with message. Any thread. */
ETX_API int etx_log_find(const char *url,
                         const etx_log_ops **ret_ops,
                         char *message,
                         size_t message_size);

/* The adapters that libetx has built in. Static. */
ETX_API const etx_log_ops *etx_log_memory(void);
ETX_API const etx_log_ops *etx_log_file(void);

#ifdef __cplusplus
}
#endif
#endif
