/* A disk in memory on which the real file log runs: linked with --wrap, it stands before the C
 * library's functions for every path below a mount ("/sim/0/...") and every descriptor of such a
 * file; all else goes to the C library.
 *
 * What it knows of a file, for each sector: what a reader sees (the page cache), what is durable,
 * and whether a sync would make the one the other. Of a directory: its entries as seen, as
 * durable, and the changes between, in order.
 *   - A write with O_DSYNC is durable when it returns; any other by fsync or fdatasync of the file.
 *   - Creating, renaming and removing are durable by fsync of the directory; before that any
 *     number of the last of them may be lost.
 *   - A sync that fails drops what it should have written: readers still see it, a later sync
 *     reports success, a crash shows what was there before. A failed fsync of a directory leaves
 *     its changes pending.
 *   - A sector is written wholly or not at all; nothing larger is.
 *
 * Deterministic: same calls, same choices, same bytes. One process is simulated, with one number
 * for all disks. Running out of memory ends the real process. The functions here are for one
 * thread; the wrapped ones are for any, see disk_threads. */
#ifndef ETX_TESTS_SIMULATION_DISK_H
#define ETX_TESTS_SIMULATION_DISK_H

#include <stddef.h>
#include <stdint.h>

typedef struct disk disk;

/* ---- disks */

/* An empty disk at `mount`, "/sim/" and a name. NULL: at none, reached by nobody. */
disk *disk_make(const char *mount);
/* Its content, seen and durable, unsynced changes included. No descriptors, faults, watcher. Cheap:
 * shared until changed. */
disk *disk_clone(const disk *from, const char *mount);
void disk_free(disk *gone);
/* The process that had files open there has died: its descriptors, locks and helpers are gone.
 * What it wrote is still seen (a kill). disk_crash follows if the machine lost power. */
void disk_close_all(disk *on);
/* Descriptors open on it. */
uint32_t disk_descriptors(const disk *on);

/* ---- what time and threads are, for all disks */

/* 0, at first: no thread is started for a file log's helper, disk_turn does its work; nobody
 * sleeps; random bytes and the process's number are simulated. 1: as on a real system. */
void disk_threads(int on);
/* The file log's clock, while there are no threads. */
void disk_clock_set(uint64_t now_ms);
/* Whence getrandom takes its bytes, while there are no threads. */
void disk_random_set(uint64_t seed);
/* One turn of the helper of every log that is open on the disk. 1: there was something to do. */
int disk_turn(disk *on);

/* ---- steps: what changes a disk */

typedef enum disk_kind {
    DISK_OPEN,     /* of a file or directory that is there */
    DISK_READ,     /* of a file */
    DISK_LIST,     /* one entry of a directory */
    DISK_STAT,     /* of a name or descriptor, and statfs */
    DISK_LOCK,     /* flock and fcntl */
    DISK_CREATE,   /* from here on: changes, which the watcher is told */
    DISK_WRITE,    /* of a file */
    DISK_ALLOCATE, /* fallocate */
    DISK_SYNC,     /* of a file */
    DISK_SYNC_DIR,
    DISK_RENAME,
    DISK_UNLINK,
    DISK_MKDIR,
    DISK_KINDS
} disk_kind;

const char *disk_kind_name(disk_kind kind);

/* Strings and data are borrowed for the call. */
typedef struct disk_step {
    disk_kind kind;
    uint64_t number; /* of changes of this disk, from 1 */
    const char *name;
    const char *to;  /* rename */
    uint64_t offset; /* write, allocate; with len */
    size_t len;
    const void *data; /* write */
    int error;        /* a fault is about to be returned; 0: none */
} disk_step;

/* Called in the middle of every change: it is seen, but nothing of it is durable. May take clones.
 * Without threads it may use all simulated disks, and may longjmp out (then disk_close_all before
 * anything else); with threads it keeps all of them waiting. */
typedef void (*disk_step_fn)(const disk_step *step, void *user);
void disk_watch(disk *on, disk_step_fn watcher, void *user);
uint64_t disk_steps(const disk *on);

/* ---- faults */

typedef struct disk_fault {
    disk_kind kind;
    const char *file; /* only files whose name ends so; NULL: all; borrowed until it is cleared */
    uint64_t at;      /* at the n-th from now, from 1 */
    int for_good;     /* and at all later ones */
    int error;        /* what it fails with; 0: no failure, but a read or write is short */
    size_t first;     /* bytes that a read or write does before that; durable, if O_DSYNC */
    uint64_t keep;    /* a sync that fails: every keep-th sector is durable; 0: none */
} disk_fault;

#define DISK_FAULTS_MAX 8
void disk_fault_add(disk *on, const disk_fault *fault);
void disk_fault_clear(disk *on);
/* Operations of that kind so far. */
uint64_t disk_count(const disk *on, disk_kind kind);
/* Faults that struck so far. */
uint64_t disk_struck(const disk *on);
/* Bytes that files may take; UINT64_MAX, at first: no limit. */
void disk_limit_set(disk *on, uint64_t bytes);
uint64_t disk_used(disk *on);

/* ---- crashes */

/* Picks one of 0 to ways - 1. 0 is always: nothing of it was durable. */
typedef uint32_t (*disk_choose_fn)(void *user, uint32_t ways);
/* Power is lost: of everything unsynced, what `choose` picks is there afterwards. Descriptors are
 * gone. */
void disk_crash(disk *on, disk_choose_fn choose, void *user);
/* What is seen but would not be written by any sync is seen no more: memory was short. */
void disk_evict(disk *on);

/* Seeded choices, in runs: much of one kind at a time, or mixed. Begins as {seed}. */
typedef struct disk_rng {
    uint64_t state;
    uint32_t bias; /* of 16, and 1 */
} disk_rng;
uint64_t disk_rng_next(disk_rng *rng);
uint32_t disk_rng_choose(void *rng, uint32_t ways);

/* All choices, one after another: begins as {0}; after each use disk_script_next goes on to the
 * next, 0 when there is none. */
#define DISK_SCRIPT_MAX 4096
typedef struct disk_script {
    uint32_t at;
    uint32_t count; /* of choices that were asked for */
    uint16_t picks[DISK_SCRIPT_MAX];
    uint16_t ways[DISK_SCRIPT_MAX];
} disk_script;
uint32_t disk_script_choose(void *script, uint32_t ways);
int disk_script_next(disk_script *script);

/* Counts the choices while it makes each so that most is asked for: the product of the ways, or
 * `most`. Begins as {1, most}. */
typedef struct disk_counter {
    uint64_t ways;
    uint64_t most;
} disk_counter;
uint32_t disk_counter_choose(void *counter, uint32_t ways);

/* ---- looking and damaging */

/* Of the file at `path`, below the mount: its size, or UINT64_MAX if it is not there. */
uint64_t disk_file_size(const disk *on, const char *path);
/* Turns one bit over, for readers and durably. The last few of each file stay known, whatever name
 * it has by now, until something else is durably written there. */
void disk_file_flip(disk *on, const char *path, uint64_t offset, unsigned bit);
/* Does a reader see a bit that was turned over; of the whole disk, if `path` is NULL? */
int disk_is_damaged(const disk *on, const char *path);
/* Turns back what a reader sees turned over; of the whole disk, if `path` is NULL. */
void disk_mend(disk *on, const char *path);
/* The name of the n-th file in the directory `path`; NULL: there are fewer. */
const char *disk_file_name(const disk *on, const char *path, uint32_t number);
/* Reads as a reader sees it; bytes beyond the end are left alone. */
void disk_file_read(const disk *on, const char *path, uint64_t offset, void *to, size_t len);

/* ---- journals */

/* All steps of a disk, each with a clone of it made in its middle. */
typedef struct disk_moment {
    disk *state; /* a clone */
    disk_kind kind;
    char name[40];
    char to[40];
    uint64_t offset;
    size_t len;
    int error;
    uint64_t note; /* what journal->note was */
} disk_moment;

typedef struct disk_journal {
    disk *on;
    disk_moment *moments;
    size_t count;
    size_t capacity;
    uint64_t note; /* the user's: what was acknowledged, say */
} disk_journal;

/* Takes the disk's watcher. */
void disk_journal_start(disk_journal *journal, disk *on);
/* Adds the present state as a last moment (of no kind: DISK_KINDS), and stops. */
void disk_journal_stop(disk_journal *journal);
void disk_journal_free(disk_journal *journal);

#endif
