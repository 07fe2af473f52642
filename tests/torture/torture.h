/* What the files of the torture share: cells, the page that outlives kills, orders, banks. */
#ifndef ETX_TESTS_TORTURE_H
#define ETX_TESTS_TORTURE_H

#include <sys/types.h>

#include "../../cli/demo.h"

/* Places in the code where a process can be made to strike itself: exact where a timer is not. */
#define TORTURE_POINT_MAP(X)      \
    X(STARTED, "started")         \
    X(SEND, "before a begin")     \
    X(BEGUN, "begun")             \
    X(ENLISTED, "enlisted")       \
    X(DECIDE, "before a commit")  \
    X(TELL, "before an answer")   \
    X(TOLD, "after an answer")    \
    X(CALLED, "before a call")    \
    X(SERVED, "after a call")     \
    X(LOOKED, "after the clock")  \
    X(WRITE, "before a write")    \
    X(TEAR, "inside a write")     \
    X(WRITTEN, "after a write")   \
    X(SYNC, "before a sync")      \
    X(SYNCED, "after a sync")     \
    X(RENAME, "before a rename")  \
    X(RENAMED, "after a rename")  \
    X(UNLINK, "before an unlink") \
    X(UNLINKED, "after an unlink")

typedef enum torture_point {
    TORTURE_NOWHERE = 0,
#define X(name, text) TORTURE_##name,
    TORTURE_POINT_MAP(X)
#undef X
        TORTURE_POINTS
} torture_point;

/* Whom a point strikes. */
typedef enum torture_role {
    TORTURE_CELL = 0,
    TORTURE_COORDINATOR = 1,
    TORTURE_BANK = 2
} torture_role;

enum {
    TORTURE_SEEN = 1 << 17, /* slots for gids; a cell ends before half of them are taken */
    TORTURE_SHOWN = 256,    /* gids made by ETX that a client wrote down before it sent them */
    TORTURE_RECENT = 64,    /* how far back a confused client repeats itself */
    TORTURE_CALL_MS = 40,   /* until a call counts as unknown: pauses are longer */
    TORTURE_CLIENTS = 10
};

/* A gid that was shown to its client, who has no answer yet. */
typedef struct torture_shown {
    _Atomic uint64_t life; /* of the coordinator that sent it; 0: answered, or free */
    char gid[ETX_GID_MAX + 1];
} torture_shown;

/* What the processes of a cell share: an anonymous mapping, so it is what it was at the kill. */
typedef struct torture_page {
    demo_progress progress; /* of this coordinator: stage, errors, calls_running */
    _Atomic uint64_t drain; /* begin nothing new; end when all has ended */
    _Atomic uint64_t open;  /* interactive transactions whose client is at work */
    _Atomic uint64_t next;  /* number of the next order */
    _Atomic uint64_t shown_next;
    /* armed: who, where, the how-manieth passing, and the signal */
    _Atomic uint64_t armed_role, armed_point, armed_signal;
    _Atomic int64_t armed_left;
    _Atomic uint64_t struck;
    torture_shown shown[TORTURE_SHOWN];
    _Atomic uint8_t committing[TORTURE_SEEN];  /* by number: clients that commit, maybe in time */
    _Atomic uint64_t seen_gid[TORTURE_SEEN];   /* hash; 0: free */
    _Atomic uint64_t seen_begin[TORTURE_SEEN]; /* when the transaction was begun, as calls say */
} torture_page;

/* Sums over all cells, shared by all processes. */
typedef struct torture_totals {
    _Atomic uint64_t kills, pauses, kills_bank, pauses_bank, kills_point, kills_starting;
    _Atomic uint64_t kills_draining, kills_paused, calls_cut, intruders;
    _Atomic uint64_t points[TORTURE_POINTS];
    _Atomic uint64_t rounds, cells, transactions, committed, aborted, answers;
    _Atomic uint64_t half_done, misled, unfinished, imbalance;
    _Atomic uint64_t stop;   /* time is over, or a promise is broken */
    _Atomic uint64_t broken; /* set by the first who finds it; then what and where */
    _Atomic uint64_t failed; /* a machine's failure, no promise of ETX */
    char what[400];
    char where[DEMO_PATH_MAX];
} torture_totals;

typedef struct torture_options {
    const char *dir;
    const char *audit;
    const char *minutes;
    uint64_t seed;
    uint64_t jobs;
    int json;
} torture_options;

/* One directory with a log, three banks and the answers; its coordinators live and die in it. */
typedef struct torture_cell {
    cli_context *cli;
    torture_totals *totals;
    torture_page *page;
    char dir[DEMO_PATH_MAX - 64];
    uint64_t seed;
    demo_random random;
    uint64_t life;       /* counts coordinators, from 1 */
    uint32_t partitions; /* of its log */
    pid_t coordinator;   /* 0: none */
    pid_t bank[DEMO_BANKS];
    int listener[DEMO_BANKS]; /* of a bank that is a process of its own; else -1 */
    double deadline;          /* of the campaign */
    demo_findings audited;    /* what the totals count already */
} torture_cell;

/* ---- points (main.c: they need the one global variable) */

void torture_place(torture_page *page, torture_role role);
/* Passes a point: the process may be killed or stopped in here. */
void torture_pass(torture_point point);
const char *torture_point_name(torture_point point);

/* ---- banks, in this process or in one of their own */

typedef struct torture_bank {
    demo_bank local;
    int remote;   /* 1: `listener` says where */
    int listener; /* borrowed */
} torture_bank;

/* Makes a listener at an address that the kernel chooses; -1 with errno. */
int torture_bank_listen(void);
/* The bank's process: serves until it is killed. */
int torture_bank_main(torture_cell *cell, int place);
/* Carries a call out, wherever the bank is. `reason` has DEMO_REASON_MAX bytes. */
etx_reply torture_bank_serve(torture_bank *bank,
                             const etx_fence_call *call,
                             etx_bytes payload,
                             char *reason);

/* ---- orders: what a client asks for, the same whenever its number is drawn again */

typedef struct torture_leg {
    demo_leg leg;
    etx_kind kind;
    int later;        /* completed by a token */
    int by_initiator; /* the client does the forward operation */
} torture_leg;

typedef struct torture_order {
    uint64_t number;
    char gid[48]; /* chosen; "": ETX makes one */
    int interactive;
    int never; /* the client begins by aborting it, before it is begun */
    int count; /* of legs, notes among them */
    torture_leg legs[DEMO_LEGS_MAX + 1];
    uint32_t deadline_ms;
    uint32_t attempts_max;
    etx_wait wait;
} torture_order;

void torture_order_draw(uint64_t seed, uint64_t number, torture_order *ret_order);
/* The participant of a leg, "north.tcc" or "north.tcc.later". */
void torture_participant_name(const torture_leg *leg, char name[ETX_NAME_MAX]);

/* ---- the coordinator: a process with libetx, participants and clients in it */

typedef struct torture_calls torture_calls;

typedef struct torture_coordinator {
    torture_cell *cell;
    torture_page *page;
    etx_engine *engine;
    torture_bank banks[DEMO_BANKS];
    torture_calls *calls;
    int answers;                 /* file: each answer that a client was given, one line */
    _Atomic uint64_t draws;      /* of torture_chance */
    _Atomic uint64_t unfinished; /* answers that callbacks still owe */
} torture_coordinator;

int torture_coordinator_main(torture_cell *cell);
/* 1 in `one_of`; any thread. */
int torture_chance(torture_coordinator *c, uint64_t one_of);
uint64_t torture_draw(torture_coordinator *c, uint64_t below);
/* Writes an answer down, before anything counts it. */
void torture_tell(torture_coordinator *c, const char *gid, const char *word);
/* The same of what run, commit or query gave, as far as it is an answer. */
void torture_tell_outcome(torture_coordinator *c, int rc, const etx_outcome *outcome);
void torture_nap_us(uint64_t us);
uint64_t torture_wall_ms(void);

/* calls.c: participants that answer at random, late, or never */
int torture_calls_start(torture_coordinator *c);
int torture_calls_register(torture_coordinator *c);
void torture_calls_stop(torture_coordinator *c);

/* clients.c: one client's thread; argument: torture_client */
typedef struct torture_client {
    torture_coordinator *coordinator;
    pthread_t thread;
    int number;
} torture_client;
void *torture_client_main(void *argument);
/* Asks for all shown gids that have no answer yet. */
void torture_ask_all(torture_coordinator *c);
/* interactive.c */
void torture_run_interactive(torture_coordinator *c, const torture_order *order);

/* ---- campaigns, cells and faults */

/* Everything, from the options to the report. The exit code. */
int torture_campaign(cli_context *cli, int argc, char **argv);

/* Runs cells until the campaign's time is over, or something is broken. The job's exit code. */
int torture_job_main(cli_context *cli,
                     torture_totals *totals,
                     const char *dir,
                     uint64_t seed,
                     double deadline);
/* Starts what is not running. CLI_OK, or CLI_BAD, said. */
int torture_cell_start(torture_cell *cell);
/* Draws one fault and strikes. CLI_OK, CLI_NO: a promise is broken; CLI_BAD. */
int torture_strike(torture_cell *cell);
/* Lets the coordinator finish; CLI_OK, CLI_NO, CLI_BAD. */
int torture_finish(torture_cell *cell);
/* Kills and reaps a process of the cell. */
void torture_end(pid_t *process);
/* Notes the first broken promise, and that all jobs are to stop. Returns CLI_NO. */
int torture_broken(torture_cell *cell, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- judging */

/* Looks at the log's files. `ended`: it was closed in order, so nothing may be torn. */
int torture_verify(torture_cell *cell, int ended);
/* Compares log, ledgers, fences and answers. */
int torture_audit(torture_cell *cell);
/* A second process must be kept out of a log that has an owner, paused or not. */
int torture_intrude(torture_cell *cell);

/* report.c: what is shown while it runs, and at the end */
void torture_show_line(cli_context *cli, const torture_totals *totals, double seconds);
void torture_report(cli_context *cli,
                    const torture_totals *totals,
                    const torture_options *options,
                    double seconds);

#endif
