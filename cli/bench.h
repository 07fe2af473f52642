/* What the files of `etx bench` share. */
#ifndef ETX_CLI_BENCH_H
#define ETX_CLI_BENCH_H

#include <stdatomic.h>

#include "cli.h"

enum {
    /* Log-linear buckets of nanoseconds: 128 for each power of two, so 0.8 % wide at most. */
    BENCH_STEPS = 128,
    BENCH_STEP_BITS = 7,
    BENCH_BUCKETS = BENCH_STEPS * (65 - BENCH_STEP_BITS),
    BENCH_PATH_MAX = 512,
    BENCH_IDLE_S = 60 /* without progress this long, a wait gives up */
};

typedef struct bench_histogram {
    _Atomic uint64_t buckets[BENCH_BUCKETS];
} bench_histogram;

void etx__histogram_clear(bench_histogram *histogram);
void etx__histogram_add(bench_histogram *histogram, uint64_t ns);
uint64_t etx__histogram_count(const bench_histogram *histogram);
/* The value, in microseconds, below or at which `share` (0 to 1) of all lie. */
double etx__histogram_at(const bench_histogram *histogram, double share);

typedef struct bench_options {
    const char *pattern;
    const char *callers;
    const char *home;
    const char *wait;
    uint64_t branches;
    uint64_t in_flight;
    uint64_t duration_ms;
    uint64_t warm_ms;
    uint64_t payload;
    uint64_t shards;
    uint64_t live;
    uint64_t finished;
    uint64_t remembered;
    int workers;
    int slow;
    int json;
} bench_options;

typedef struct bench_run bench_run;

/* One of the transactions in flight, over and over. */
typedef struct bench_slot {
    _Alignas(64) bench_run *run;
    uint64_t start_ns;
    _Atomic int idle; /* nothing in flight: a submit failed, or it is over */
} bench_slot;

struct bench_run {
    cli_context *cli;
    bench_options options;
    etx_kind kind;
    etx_engine *engine;
    etx_tx_options tx_options;
    char url[BENCH_PATH_MAX + 16];
    char shown[256];          /* the same without a password, once it was opened */
    char dir[BENCH_PATH_MAX]; /* made by the bench, to be removed; or "" */
    /* where the cost of a sync is measured, as the URL of a log there: its options count; or "" */
    char sync_url[BENCH_PATH_MAX + 16];
    void *payload;
    bench_slot *slots;
    bench_histogram *histogram;
    _Atomic int measuring;
    _Atomic int stopping;
    int limited;           /* `left` counts */
    _Atomic int64_t left;  /* how many more may be submitted */
    _Atomic uint64_t idle; /* slots with nothing in flight */
    _Atomic uint64_t ended;
    _Atomic uint64_t errors;
    _Atomic uint64_t refused; /* --slow and recovery: were not begun, and are submitted again */
    /* of the first error; written once, by who wins `failing` */
    _Atomic int failing, failed;
    int fail_rc;
    char fail_reason[ETX_REASON_MAX + 1];
    /* --slow and recovery: calls that are held */
    _Atomic int holding;
    _Atomic uint64_t held;
    uint64_t held_max;
    etx_token *tokens; /* NULL: calls are held and forgotten */
};

/* What was measured; negative: it does not apply. */
typedef struct bench_results {
    double seconds;
    uint64_t transactions;
    uint64_t errors;
    double tx_per_s;
    double p50_us, p99_us, p999_us, max_us;
    double cpu_us_per_tx;
    uint64_t rss_bytes;
    double sync_p50_us, sync_p99_us, sync_per_s;
    uint64_t puts;
    double tx_per_put;
    uint64_t put_p50_us, put_p99_us;
} bench_results;

uint64_t etx__bench_now_ns(void);
uint64_t etx__bench_rss(void);
double etx__bench_cpu_s(void);
void etx__bench_pause_ms(long ms);

/* Options of the engine that differ between the scenarios. */
typedef struct bench_engine_options {
    uint64_t transactions_max; /* 0: the default */
    uint64_t history_max;
} bench_engine_options;

/* A home that nobody else uses; the engine is not there yet. CLI_OK or CLI_BAD. */
int etx__bench_choose_home(bench_run *run);
/* Says so if somebody works on that log, or has. CLI_OK or CLI_BAD. */
int etx__bench_check_log(cli_context *cli, etx_log *log);
/* Chooses the home (and makes a temporary directory for it), allocates. CLI_OK or CLI_BAD. */
int etx__bench_prepare(bench_run *run);
int etx__bench_open(bench_run *run, const bench_engine_options *options, double *ret_start_s);
void etx__bench_close(bench_run *run, etx_close_mode mode);
/* Frees, and removes the temporary directory. */
void etx__bench_dispose(bench_run *run);
/* The faster of what `results` have and what a sync costs now. */
void etx__bench_sync_cost(bench_run *run, bench_results *results);
/* One transaction on its way; `slot` is given to `done`. 0 or an ETX error. */
int etx__bench_submit(bench_run *run, etx_done_fn done, void *user);
/* The same, waiting. */
int etx__bench_run_one(bench_run *run);
/* The first of all: if it is refused, all are. But one that is refused for now is tried again. */
int etx__bench_run_first(bench_run *run);
/* Nothing has begun, and that may pass: new transactions do not wait for a disk that takes its
 * time. */
int etx__bench_refused_for_now(int rc);
/* Waits until `counter` is at least `goal`. 0, or -1: interrupted, failed, or nothing moved for
 * long. */
int etx__bench_await(bench_run *run, _Atomic uint64_t *counter, uint64_t goal);

/* Counts an error; of the first one also what it was. `reason` may be NULL: the engine's words. */
void etx__bench_note_error(bench_run *run, int rc, const char *reason);
/* The first error in words; "" if there was none. */
const char *etx__bench_error(const bench_run *run, char *text, size_t size);
/* Says that the engine refused, or that somebody interrupted. The exit code. */
int etx__bench_give_up(bench_run *run);

int etx__bench_load(bench_run *run);
int etx__bench_slow(bench_run *run);
int etx__bench_recovery(bench_run *run);
/* Submits `count` transactions, `in_flight` at a time, and waits for them. */
int etx__bench_fill(bench_run *run, uint64_t count, uint64_t in_flight);
void etx__bench_report(bench_run *run, const bench_results *results);

#endif
