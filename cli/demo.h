/* What the files of `etx demo` share: three banks, a coordinator that is killed, an audit. */
#ifndef ETX_CLI_DEMO_H
#define ETX_CLI_DEMO_H

#include <stdatomic.h>

#include <pthread.h>
#include <sqlite3.h>

#include <etx/fence.h>

#include "cli.h"

enum {
    DEMO_BANKS = 3,
    DEMO_ACCOUNTS = 100,     /* a bank */
    DEMO_BLOCKED = 25,       /* every so-manieth account is blocked: it refuses */
    DEMO_BALANCE = 20000,    /* of an account, at the beginning */
    DEMO_AMOUNT_MAX = 20000, /* of a transfer: now and then more than is there */
    DEMO_LEGS_MAX = 4,
    DEMO_PATH_MAX = 512,
    DEMO_REASON_MAX = 96
};

/* What the coordinator tells its parent, in a file that both map: it outlives a kill, so it holds
 * what was true at that moment. */
typedef enum demo_stage { DEMO_STARTING = 0, DEMO_RUNNING = 1, DEMO_DRAINING = 2 } demo_stage;
typedef struct demo_progress {
    _Atomic uint64_t stage;
    _Atomic uint64_t committed;
    _Atomic uint64_t aborted;
    _Atomic uint64_t errors;        /* submitted, but no answer: busy, unknown, closed */
    _Atomic uint64_t in_flight;     /* submitted and not answered */
    _Atomic uint64_t calls_running; /* participants at work in a database at this moment */
    _Atomic uint64_t recovered;     /* found unfinished at start */
} demo_progress;

typedef struct demo_options {
    const char *dir;
    uint64_t duration_ms;
    uint64_t kills;
    uint64_t seed;
    const char *tamper;
    int json;
    int audit;
    int finish;
} demo_options;

/* What happened until the audit. */
typedef struct demo_history {
    uint64_t kills;
    uint64_t kills_in_flight; /* with transactions in flight in the killed process */
    uint64_t kills_starting;  /* while it read its log */
    uint64_t calls_cut;       /* participants' calls in which a kill fell */
    uint64_t recovered;       /* transactions that restarts found unfinished */
    uint64_t errors;
    double seconds; /* of load, with restarts, without the drain */
} demo_history;

/* What the audit found. */
typedef struct demo_findings {
    uint64_t transfers;
    uint64_t committed;
    uint64_t aborted;
    uint64_t unfinished;
    uint64_t imbalance; /* money made or lost, and money still held */
    uint64_t half_done; /* transfers whose ledgers, fences, log or answers disagree */
    uint64_t misled;    /* of these: transfers whose callers were told otherwise */
    uint64_t answers;   /* that callers were told, all compared */
    char first[160];    /* the first transfer that is bad, and why; else "" */
    uint64_t accounts;
    int64_t money;
} demo_findings;

/* xorshift64*: small, seeded, the same everywhere. */
typedef struct demo_random {
    uint64_t state;
} demo_random;
void etx__demo_seed(demo_random *random, uint64_t seed);
uint64_t etx__demo_draw(demo_random *random, uint64_t below);
double etx__demo_seconds(void); /* of the monotonic clock */

/* ---- banks */

typedef struct demo_bank {
    sqlite3 *db;
    sqlite3_stmt *statements[8];
    pthread_mutex_t lock; /* one connection, one call at a time: SQLite has one writer anyway */
    const char *name;
    demo_progress *progress;
} demo_bank;

/* One leg of a transfer, as a branch's payload says it. */
typedef struct demo_leg {
    int bank;
    int account;
    int64_t amount; /* below 0: taken from the account */
    int legs;       /* of the whole transfer */
} demo_leg;

const char *etx__demo_bank_name(int place);
void etx__demo_bank_path(const char *dir, int place, char *path, size_t size);
/* Makes the database with its accounts. CLI_OK or CLI_BAD, said on err. */
int etx__demo_bank_create(cli_context *cli, const char *dir, int place);
int etx__demo_bank_open(cli_context *cli, const char *dir, int place, demo_bank *bank);
void etx__demo_bank_close(demo_bank *bank);
/* The participant callback, for each kind and operation; `user` is the demo_bank. */
etx_reply etx__demo_bank_call(etx_call *call, void *user);
/* The same for a call that came some other way; any thread. `reason` has DEMO_REASON_MAX bytes. */
etx_reply etx__demo_bank_serve(demo_bank *bank,
                               const etx_fence_call *call,
                               etx_bytes payload,
                               char *reason);
int etx__demo_leg_print(const demo_leg *leg, char *text, size_t size);
/* Draws the legs of a transfer, debits first; how many, at most DEMO_LEGS_MAX. */
int etx__demo_transfer_draw(demo_random *random, demo_leg *legs);

/* ---- the run */

/* Those that ask the parent or the coordinator to end: blocked from fork to where it hears them. */
void etx__demo_signals(sigset_t *signals);
/* Maps DIR/progress, making it if need be. NULL with errno. */
demo_progress *etx__demo_map(const char *dir);
/* Runs the coordinator, kills it, lets the last one finish. CLI_OK or CLI_BAD. */
int etx__demo_run(cli_context *cli,
                  const demo_options *options,
                  const char *dir,
                  demo_history *history);
/* Reads ledgers and log. `tamper`: spoils something first, to see that it is found. CLI_OK (look
 * into the findings) or CLI_BAD. */
int etx__demo_audit(cli_context *cli, const char *dir, const char *tamper, demo_findings *findings);
/* "time" or "times". */
const char *etx__demo_times(uint64_t count);
int etx__demo_is_sound(const demo_findings *findings);
void etx__demo_report_text(cli_context *cli,
                           const demo_options *options,
                           const char *dir,
                           const demo_history *history,
                           const demo_findings *findings);
void etx__demo_report_json(cli_context *cli,
                           const demo_options *options,
                           const char *dir,
                           const demo_history *history,
                           const demo_findings *findings);

#endif
