/* A rig for tests of the whole engine: a log that fails on request, banks that keep a fence, and
 * waiting for conditions. */
#ifndef TESTS_ENGINE_RIG_H
#define TESTS_ENGINE_RIG_H

#include "host.h"

/* ---- a log that fails on request: wraps another one, which lives until rig_log_end */

typedef enum rig_fault {
    RIG_WELL = 0,
    RIG_UNKNOWN,         /* unknown, and it was not written */
    RIG_UNKNOWN_WRITTEN, /* unknown, although it was written */
    RIG_NOT_WRITTEN,     /* a promise that it was not */
    RIG_FULL,            /* the same: no space */
    RIG_NO_MEMORY,       /* the same: no memory */
    RIG_CROWDED,         /* the same, for what is not RIG_SMALL: that finds some room yet */
    RIG_RESERVE,         /* the same, for what begins: the rest finds room */
    RIG_BROKEN,          /* unknown with ETX_EIO: the log is to be reopened; not written */
    RIG_BROKEN_WRITTEN,  /* the same, although it was written */
    RIG_HANGS,           /* does not come back until `gate` is posted; then it is written */
    RIG_HANGS_UNWRITTEN, /* the same; then it promises that it was not */
    RIG_RACED            /* another owner's bytes come first */
} rig_fault;

enum { RIG_PARTITIONS = 16, RIG_MEMBERS = 8, RIG_SMALL = 512 };

typedef struct rig_log {
    char url[64]; /* to give to etx_engine_home */
    char inner_url[HOST_PATH_MAX + 64];
    _Atomic etx_durability grade; /* what it says of itself */
    _Atomic int64_t clock_off_ms; /* its store's clock, beside the machine's */
    char class;                   /* the first character of its id */
    size_t batch_max;             /* what it says that a put takes, unless 0 */
    uint32_t slack;               /* ... and that it may hold beyond what is needed */
    _Atomic int fault;            /* rig_fault of the puts to come */
    _Atomic int times;            /* so many puts fail; below 0: all */
    _Atomic int full;             /* what `space` says */
    _Atomic uint64_t room;        /* ... so much is left; 0: what the log says */
    _Atomic int reopen_rc;
    _Atomic int trim_rc;
    atomic_uint faults, puts, reopened, trims, hanging, closed;
    _Atomic int clean;      /* how it was closed last */
    _Atomic size_t largest; /* bytes of a put */
    /* Called before a trim, and before a partition is read, or NULL; `watcher` is its own. */
    void (*on_trim)(struct rig_log *log, uint32_t partition, uint64_t below);
    void (*on_get)(struct rig_log *log, uint32_t partition, uint64_t from);
    void *watcher;
    sem_t gate;
    pthread_mutex_t lock; /* of what is put and read, and of what nodes share */
    struct rig_lease {
        char node[ETX_NAME_MAX + 1];
        uint64_t until_ms;
    } lease[RIG_PARTITIONS];
    struct rig_member {
        char name[ETX_NAME_MAX + 1];
        char address[512];
        uint64_t until_ms;
        const void *process; /* who said so last */
    } member[RIG_MEMBERS];
    /* 1: leases and members cannot be asked for, nor can it be opened; an error: no lease is given,
     * and no member taken in, because of that */
    _Atomic int away;
    _Atomic int renew_rc; /* what a lease comes to, without a word, unless it is 0 */
    atomic_uint refused;  /* how often a member was not taken in */
    _Atomic int hides;    /* 1: the leases are not told, only refused */
    _Atomic int absent;   /* there is none: ETX_LOG_NO_CREATE finds nothing, else it is made */
    _Atomic int open_rc;  /* what opening it comes to */
    _Atomic int get_rc;   /* ... and reading a partition, unless it is 0 */
    atomic_uint gets_failed;
    char id[ETX_HOME_ID_LEN + 1]; /* as it was told first; what is restored has the same */
    const char *identity;         /* of its store; NULL: it does not say */
    etx_log *backup;
    etx_log *inner;
    const etx_log_ops *ops;
} rig_log;

/* What one engine has of it. */
typedef struct rig_handle {
    etx_log head;
    rig_log *log;
    atomic_uint putting[RIG_PARTITIONS]; /* puts that are under way */
    char node[ETX_NAME_MAX + 1];         /* the engine, where several share the log */
    int attended;
} rig_handle;

/* A log of its own; where `dir` is NULL it is kept in memory, across restarts of engines. */
void rig_log_make(rig_log *log, const char *dir, const char *options);
void rig_log_end(rig_log *log);
void rig_log_fail(rig_log *log, rig_fault fault, int times);
/* Gives every record in the slots from `from` on of what lies beneath; returns the next slot. */
typedef void (*rig_record_fn)(const etx_slot *slot, const etx_record *record, void *user);
uint64_t rig_log_records(rig_log *log,
                         uint32_t partition,
                         uint64_t from,
                         rig_record_fn each,
                         void *user);
/* Puts a batch behind the last slot, as another owner would. */
void rig_log_put(rig_log *log, uint32_t partition, uint64_t nonce, etx_bytes batch);
/* Keeps what is there now; later puts it in the place of what is there then. In memory only. */
void rig_log_backup(rig_log *log);
void rig_log_restore(rig_log *log);
const etx_log_ops *rig_log_ops(void);
/* A node that is no engine: it is there for so long (0: not any more), and takes nothing; or has a
 * lease. */
void rig_member_be(rig_log *log, const char *name, uint64_t time_ms);
void rig_lease_take(rig_log *log, uint32_t partition, uint64_t time_ms);
/* The same log, which several engines may share by leases: its URL is that with "shared". */
const etx_log_ops *rig_shared_ops(void);

/* ---- banks: what was done, by gid, branch and operation, with the fence that participants keep;
 * in memory that processes share, so that it survives one that is killed */

typedef struct rig_row {
    char gid[ETX_GID_MAX + 1];
    char branch[ETX_NAME_MAX + 1];
    uint8_t kind;
    uint8_t forward, commit, undo; /* times it took effect: 0 or 1 */
    uint8_t refused;
    uint32_t branches; /* of its transaction */
} rig_row;

typedef struct rig_bank {
    pthread_mutex_t lock;
    rig_row *row;
    uint32_t room, count;
    atomic_uint calls, empty_commits; /* a commit without its forward operation */
    _Atomic uint32_t chaos; /* 1 of so many calls says ETX_RETRY, before or after; 0: none */
    _Atomic uint32_t seed;
} rig_bank;

void rig_bank_make(rig_bank *bank, uint32_t rows);
void rig_bank_end(rig_bank *bank);
/* The payload says how many branches there are, and 'R' that this one refuses. */
typedef struct rig_order {
    uint32_t branches;
    char what;
} rig_order;
/* Registers a participant of the bank. */
void rig_bank_register(rig_bank *bank,
                       etx_engine *engine,
                       const char *name,
                       etx_kind kind,
                       uint32_t flags);
/* How many transactions took effect in some branches, and not in others; prints them. */
unsigned rig_bank_torn(rig_bank *bank);
/* Did the gid take effect everywhere (1), nowhere (0), or in part (-1)? */
int rig_bank_effect(rig_bank *bank, const char *gid);

/* What must hold in a thread that cmocka does not know: ends the process. */
#define rig_check(holds) ((holds) ? (void)0 : rig_broken(#holds, __FILE__, __LINE__))
void rig_broken(const char *what, const char *file, int line);

/* ---- engines */

/* Options with small tables, local durability, short pauses. */
etx_options rig_options(void);
/* An engine that knows the failing log, not started. */
etx_engine *rig_engine(const etx_options *options, const char *first, const char *second);
void rig_start(etx_engine *engine);
void rig_close(etx_engine *engine, etx_close_mode mode);
void rig_must(etx_engine *engine, int rc, const char *what);

/* A transaction of two branches, "a" and "b", of that participant. */
etx_tx *rig_pair(etx_engine *engine, const char *participant, const char *gid, char what);
/* Submits "slow-1", of one branch of "slow"; waits until its forward call stands at the gate. */
void rig_submit_slow(etx_engine *engine, host_bank *slow);
/* The state of a gid; ETX_NONE if the engine cannot say. */
etx_state rig_state(etx_engine *engine, const char *gid);
/* Waits until the transaction is in that state and has these marks; a minute at most. */
bool rig_reaches(etx_engine *engine, const char *gid, etx_state state, uint32_t marks);
/* Waits until nothing is in flight. */
bool rig_quiet(etx_engine *engine);
/* Waits until so many are in flight. */
bool rig_flying(etx_engine *engine, uint64_t count);
/* Waits until so many trims have come back: they are made beside everything else. */
bool rig_trimmed(etx_engine *engine, uint64_t trims);
/* Waits until the ends of so many transactions are in the log: nobody waits for these, so they are
 * put a little later. What follows is the next put, and none is under way. */
bool rig_written(etx_engine *engine, uint64_t ended);

/* Somebody who is told by `done`. */
typedef struct rig_done {
    atomic_uint count;
    _Atomic int rc;
    etx_outcome outcome;
} rig_done;
void rig_done_fn(int rc, const etx_outcome *outcome, void *user);
/* A node of a shared home has looked at the store again, each time after it had said that it is
 * there. */
void rig_wait_for_looks(etx_engine *engine, unsigned place, unsigned looks);

#endif
