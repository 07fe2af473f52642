/* The bench's engine: home, no-op participants, one transaction, and what the process costs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "cli_dir.h"

enum {
    SYNC_MS = 300,
    CLOSE_MS = 30000,
    REFUSED_S = 10,       /* refused for so long, the first transaction is for good */
    PATIENCE_MS = 3600000 /* nobody here is impatient */
};

static const char participant_name[] = "noop";

uint64_t etx__bench_now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t etx__bench_rss(void) {
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%*u %llu", &pages) != 1) {
        pages = 0;
    }
    (void)fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

double etx__bench_cpu_s(void) {
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void etx__bench_pause_ms(long ms) {
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* ---- participants */

static etx_reply do_nothing(etx_call *call, void *user) {
    (void)call;
    (void)user;
    return ETX_DONE;
}

/* Holds calls as long as the run says so, and remembers their tokens. */
static etx_reply hold_call(etx_call *call, void *user) {
    bench_run *run = user;
    uint64_t place;
    if (!atomic_load_explicit(&run->holding, memory_order_relaxed)) {
        return ETX_DONE;
    }
    place = atomic_fetch_add_explicit(&run->held, 1, memory_order_relaxed);
    if (run->tokens != NULL && place < run->held_max) {
        run->tokens[place] = etx_call_token(call);
    }
    return ETX_LATER;
}

static int register_noop(bench_run *run) {
    etx_participant participant = ETX_PARTICIPANT_INIT;
    etx_operation_fn operation =
        run->options.slow || run->options.live > 0 ? hold_call : do_nothing;
    int has_forward = run->kind != ETX_MESSAGE;
    participant.name = participant_name;
    participant.kind = run->kind;
    participant.forward = has_forward ? operation : NULL;
    participant.commit = run->kind != ETX_SAGA ? operation : NULL;
    participant.undo = has_forward ? operation : NULL;
    participant.user = run;
    participant.flags = run->options.workers ? 0 : ETX_INLINE;
    participant.call_timeout_ms = PATIENCE_MS;
    return etx_engine_register(run->engine, &participant);
}

/* ---- the engine */

int etx__bench_prepare(bench_run *run) {
    etx_tx_options defaults = ETX_TX_OPTIONS_INIT;
    run->tx_options = defaults;
    run->tx_options.patience_ms = PATIENCE_MS;
    if (run->options.wait != NULL && strcmp(run->options.wait, "decided") == 0) {
        run->tx_options.wait = ETX_WAIT_DECIDED;
    } else if (run->options.wait != NULL && strcmp(run->options.wait, "begun") == 0) {
        run->tx_options.wait = ETX_WAIT_BEGUN;
    }
    run->payload = calloc(1, run->options.payload + 1);
    run->histogram = calloc(1, sizeof *run->histogram);
    if (run->payload == NULL || run->histogram == NULL) {
        return etx__cli_fail(run->cli, NULL, "out of memory");
    }
    memset(run->payload, 'x', run->options.payload);
    return etx__bench_choose_home(run);
}

static void set_engine_options(const bench_run *run,
                               const bench_engine_options *from,
                               etx_options *options) {
    options->node = "bench";
    options->shards = (uint32_t)run->options.shards;
    options->transactions_max = (uint32_t)from->transactions_max;
    options->history_max = from->history_max;
    options->patience_ms = PATIENCE_MS;
    options->branches_max = (uint32_t)run->options.branches;
    if (run->options.payload > 0) {
        options->payload_max = (uint32_t)(run->options.payload + (1 << 16));
    }
    if (from->transactions_max > 0) {
        options->memory_max =
            (4ULL << 30) +
            from->transactions_max * (2048 + run->options.branches * run->options.payload);
    }
    /* Whatever home was named is the one to be measured, also one in memory. */
    options->flags |= ETX_ALLOW_VOLATILE;
    options->durability = ETX_VOLATILE;
}

int etx__bench_open(bench_run *run, const bench_engine_options *from, double *ret_start_s) {
    etx_options options = ETX_OPTIONS_INIT;
    etx_home_status home = {.size = sizeof home};
    char message[400] = "";
    uint64_t before;
    int rc;
    set_engine_options(run, from, &options);
    rc = etx_engine_create(&options, &run->engine);
    if (rc == 0) {
        rc = etx_engine_home(run->engine, run->url);
    }
    if (rc == 0) {
        rc = register_noop(run);
    }
    before = etx__bench_now_ns();
    if (rc == 0) {
        rc = etx_engine_start(run->engine);
    }
    if (rc == 0) {
        if (ret_start_s != NULL) {
            *ret_start_s = (double)(etx__bench_now_ns() - before) / 1e9;
        }
        (void)etx_engine_home_status(run->engine, 0, &home);
        snprintf(run->shown, sizeof run->shown, "%s", home.url);
        return CLI_OK;
    }
    if (run->engine != NULL) {
        etx_engine_message(run->engine, message, sizeof message);
        etx_engine_free(run->engine);
        run->engine = NULL;
    }
    return etx__cli_fail(run->cli, NULL, "%s (%s)", message[0] != '\0' ? message : etx_strerror(rc),
                         etx_error_name(rc));
}

void etx__bench_close(bench_run *run, etx_close_mode mode) {
    (void)etx_engine_close(run->engine, mode, CLOSE_MS);
    etx_engine_free(run->engine);
    run->engine = NULL;
}

void etx__bench_dispose(bench_run *run) {
    if (run->engine != NULL) {
        etx__bench_close(run, ETX_CLOSE_ABRUPT);
    }
    if (run->dir[0] != '\0' && etx__dir_remove(run->dir) != 0) {
        (void)etx__cli_fail(run->cli, NULL, "%s could not be removed: %s", run->dir,
                            strerror(errno));
    }
    free(run->payload);
    free(run->histogram);
    free(run->slots);
    free(run->tokens);
}

void etx__bench_sync_cost(bench_run *run, bench_results *results) {
    etx_sync_cost cost = {.size = sizeof cost};
    char message[200];
    if (run->sync_url[0] == '\0' ||
        etx_log_file_sync_cost(run->sync_url, SYNC_MS, &cost, message, sizeof message) != 0) {
        return;
    }
    if (results->sync_p50_us < 0 || cost.p50_us < results->sync_p50_us) {
        results->sync_p50_us = cost.p50_us;
    }
    if (results->sync_p99_us < 0 || cost.p99_us < results->sync_p99_us) {
        results->sync_p99_us = cost.p99_us;
    }
    if (cost.per_s > results->sync_per_s) {
        results->sync_per_s = cost.per_s;
    }
}

/* ---- one transaction */

static int build_one(bench_run *run, etx_tx **ret_tx) {
    etx_tx *tx = NULL;
    uint64_t i;
    int rc = etx_tx_new(run->engine, &run->tx_options, &tx);
    for (i = 0; rc == 0 && i < run->options.branches; i++) {
        rc = etx_tx_add(tx, participant_name, run->payload, run->options.payload);
    }
    if (rc != 0) {
        etx_tx_discard(tx);
        return rc;
    }
    *ret_tx = tx;
    return 0;
}

int etx__bench_submit(bench_run *run, etx_done_fn done, void *user) {
    etx_tx *tx = NULL;
    int rc = build_one(run, &tx);
    return rc != 0 ? rc : etx_tx_submit(tx, done, user);
}

static int run_one(bench_run *run, etx_outcome *outcome) {
    etx_tx *tx = NULL;
    int rc = build_one(run, &tx);
    if (rc == 0) {
        rc = etx_tx_run(tx, outcome);
    }
    return rc == 0 && outcome->state == ETX_ABORTED ? ETX_ESTATE : rc;
}

int etx__bench_run_one(bench_run *run) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    int rc = run_one(run, &outcome);
    if (rc != 0) {
        etx__bench_note_error(run, rc, outcome.reason);
    }
    return rc;
}

int etx__bench_refused_for_now(int rc) {
    return rc == ETX_EBUSY || rc == ETX_EUNAVAILABLE;
}

int etx__bench_run_first(bench_run *run) {
    uint64_t until = etx__bench_now_ns() + REFUSED_S * 1000000000ULL;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    int rc = run_one(run, &outcome);
    while (etx__bench_refused_for_now(rc) && etx__bench_now_ns() < until && !*run->cli->stop) {
        etx__bench_pause_ms(20);
        outcome = (etx_outcome)ETX_OUTCOME_INIT;
        rc = run_one(run, &outcome);
    }
    if (rc != 0) {
        etx__bench_note_error(run, rc, outcome.reason);
    }
    return rc;
}

/* ---- errors */

void etx__bench_note_error(bench_run *run, int rc, const char *reason) {
    atomic_fetch_add_explicit(&run->errors, 1, memory_order_relaxed);
    if (atomic_load_explicit(&run->failing, memory_order_relaxed) ||
        atomic_exchange(&run->failing, 1)) {
        return;
    }
    run->fail_rc = rc;
    if (reason != NULL && reason[0] != '\0') {
        snprintf(run->fail_reason, sizeof run->fail_reason, "%s", reason);
    } else {
        etx_engine_message(run->engine, run->fail_reason, sizeof run->fail_reason);
    }
    atomic_store(&run->failed, 1);
}

const char *etx__bench_error(const bench_run *run, char *text, size_t size) {
    text[0] = '\0';
    if (atomic_load(&run->failed)) {
        const char *reason = run->fail_reason;
        snprintf(text, size, "%s (%s)", reason[0] != '\0' ? reason : etx_strerror(run->fail_rc),
                 run->fail_rc == 0 ? "ABORTED" : etx_error_name(run->fail_rc));
    }
    return text;
}

int etx__bench_give_up(bench_run *run) {
    char text[ETX_REASON_MAX + 40];
    if (*run->cli->stop) {
        (void)etx__cli_fail(run->cli, NULL, "interrupted");
        return CLI_INTERRUPTED;
    }
    (void)etx__cli_fail(run->cli, NULL, "the engine refuses these transactions: %s",
                        etx__bench_error(run, text, sizeof text));
    return CLI_NO;
}

int etx__bench_await(bench_run *run, _Atomic uint64_t *counter, uint64_t goal) {
    uint64_t last = atomic_load(counter);
    uint64_t moved_ns = etx__bench_now_ns();
    while (last < goal) {
        uint64_t now = atomic_load(counter);
        if (now != last) {
            last = now;
            moved_ns = etx__bench_now_ns();
        } else if (*run->cli->stop || (atomic_load(&run->holding) && atomic_load(&run->failed)) ||
                   etx__bench_now_ns() - moved_ns > BENCH_IDLE_S * 1000000000ULL) {
            return -1;
        }
        etx__bench_pause_ms(1);
    }
    return 0;
}
