/* The bench's load: callers that wait, or a closed loop of callbacks; warm up, then measure. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { KICK_MS = 1 };

/* ---- async: each completion submits the next */

static void note_done(int rc, const etx_outcome *outcome, void *user);

static void rest_slot(bench_slot *slot) {
    atomic_store_explicit(&slot->idle, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&slot->run->idle, 1, memory_order_release);
}

static void submit_next(bench_slot *slot) {
    bench_run *run = slot->run;
    if (run->limited && atomic_fetch_sub_explicit(&run->left, 1, memory_order_relaxed) <= 0) {
        rest_slot(slot);
        return;
    }
    int rc = etx__bench_submit(run, note_done, slot);
    if (rc != 0) {
        etx__bench_note_error(run, rc, NULL);
        atomic_fetch_add_explicit(&run->left, 1, memory_order_relaxed);
        rest_slot(slot);
    }
}

static void note_done(int rc, const etx_outcome *outcome, void *user) {
    bench_slot *slot = user;
    bench_run *run = slot->run;
    uint64_t now = etx__bench_now_ns();
    if (rc != 0 || outcome->state == ETX_ABORTED) {
        etx__bench_note_error(run, rc, outcome->reason);
    } else if (atomic_load_explicit(&run->measuring, memory_order_relaxed)) {
        etx__histogram_add(run->histogram, now - slot->start_ns);
    }
    if (atomic_load_explicit(&run->stopping, memory_order_relaxed)) {
        rest_slot(slot);
        return;
    }
    slot->start_ns = now;
    submit_next(slot);
}

static int make_slots(bench_run *run, uint64_t count) {
    uint64_t i;
    free(run->slots);
    run->slots = aligned_alloc(64, count * sizeof *run->slots);
    if (run->slots == NULL) {
        return etx__cli_fail(run->cli, NULL, "out of memory for %llu in flight",
                             (unsigned long long)count);
    }
    memset(run->slots, 0, count * sizeof *run->slots);
    for (i = 0; i < count; i++) {
        run->slots[i].run = run;
        atomic_store(&run->slots[i].idle, 1);
    }
    atomic_store(&run->idle, count);
    return CLI_OK;
}

/* Submits from every idle slot, if there is one and anything to submit. */
static void kick_slots(bench_run *run, uint64_t count) {
    uint64_t i;
    if (atomic_load_explicit(&run->idle, memory_order_acquire) == 0) {
        return;
    }
    for (i = 0; i < count; i++) {
        bench_slot *slot = &run->slots[i];
        if (atomic_load_explicit(&slot->idle, memory_order_relaxed) &&
            (!run->limited || atomic_load(&run->left) > 0)) {
            atomic_store_explicit(&slot->idle, 0, memory_order_relaxed);
            atomic_fetch_sub(&run->idle, 1);
            slot->start_ns = etx__bench_now_ns();
            submit_next(slot);
        }
    }
}

/* Waits `ms`, with what failed to submit tried again. */
static void keep_loaded(bench_run *run, uint64_t count, uint64_t ms) {
    uint64_t until = etx__bench_now_ns() + ms * 1000000;
    while (etx__bench_now_ns() < until && !*run->cli->stop) {
        kick_slots(run, count);
        etx__bench_pause_ms(KICK_MS);
    }
}

static void await_idle(bench_run *run, uint64_t count) {
    atomic_store(&run->stopping, 1);
    (void)etx__bench_await(run, &run->idle, count);
    atomic_store(&run->stopping, 0);
}

int etx__bench_fill(bench_run *run, uint64_t count, uint64_t in_flight) {
    uint64_t slots = count < in_flight ? count : in_flight;
    if (count == 0) {
        return CLI_OK;
    }
    if (etx__bench_run_first(run) != 0) {
        return etx__bench_give_up(run);
    }
    if (make_slots(run, slots) != CLI_OK) {
        return CLI_BAD;
    }
    run->limited = 1;
    atomic_store(&run->left, (int64_t)count - 1);
    do {
        kick_slots(run, slots);
        etx__bench_pause_ms(KICK_MS);
    } while ((atomic_load(&run->idle) < slots || atomic_load(&run->left) > 0) && !*run->cli->stop);
    return *run->cli->stop ? etx__bench_give_up(run) : CLI_OK;
}

/* ---- blocking: threads that wait */

/* Who calls waits until all are there: else those that run keep the rest from being made. */
typedef struct callers {
    bench_run *run;
    pthread_mutex_t gate; /* held while they are made */
} callers;

static void *call_in_loop(void *user) {
    callers *all = user;
    bench_run *run = all->run;
    uint64_t start;
    pthread_mutex_lock(&all->gate);
    pthread_mutex_unlock(&all->gate);
    start = etx__bench_now_ns();
    while (!atomic_load_explicit(&run->stopping, memory_order_relaxed)) {
        int rc = etx__bench_run_one(run);
        uint64_t now = etx__bench_now_ns();
        if (rc != 0) {
            etx__bench_pause_ms(KICK_MS);
        } else if (atomic_load_explicit(&run->measuring, memory_order_relaxed)) {
            etx__histogram_add(run->histogram, now - start);
        }
        start = now;
    }
    return NULL;
}

/* ---- warm up, measure */

typedef struct window {
    uint64_t ns;
    double cpu_s;
    etx_metrics metrics;
} window;

static void look(bench_run *run, window *at) {
    at->ns = etx__bench_now_ns();
    at->cpu_s = etx__bench_cpu_s();
    at->metrics.size = sizeof at->metrics;
    (void)etx_engine_metrics(run->engine, &at->metrics);
}

static void pass_time(bench_run *run, int async, uint64_t ms) {
    uint64_t until = etx__bench_now_ns() + ms * 1000000;
    if (async) {
        keep_loaded(run, run->options.in_flight, ms);
        return;
    }
    while (etx__bench_now_ns() < until && !*run->cli->stop) {
        etx__bench_pause_ms(5);
    }
}

static void measure(bench_run *run, int async, bench_results *results) {
    window begin = {0};
    window end = {0};
    const bench_histogram *h = run->histogram;
    pass_time(run, async, run->options.warm_ms);
    etx__histogram_clear(run->histogram);
    look(run, &begin);
    atomic_store(&run->measuring, 1);
    pass_time(run, async, run->options.duration_ms);
    atomic_store(&run->measuring, 0);
    look(run, &end);
    results->rss_bytes = etx__bench_rss();
    results->seconds = (double)(end.ns - begin.ns) / 1e9;
    results->transactions = etx__histogram_count(h);
    results->tx_per_s = (double)results->transactions / results->seconds;
    results->p50_us = etx__histogram_at(h, 0.5);
    results->p99_us = etx__histogram_at(h, 0.99);
    results->p999_us = etx__histogram_at(h, 0.999);
    results->max_us = etx__histogram_at(h, 1);
    results->cpu_us_per_tx = results->transactions == 0
                                 ? -1
                                 : (end.cpu_s - begin.cpu_s) * 1e6 / (double)results->transactions;
    results->puts = end.metrics.puts - begin.metrics.puts;
    results->tx_per_put =
        results->puts == 0 ? -1 : (double)results->transactions / (double)results->puts;
    results->put_p50_us = end.metrics.put_p50_us;
    results->put_p99_us = end.metrics.put_p99_us;
}

static int load_blocking(bench_run *run, bench_results *results) {
    uint64_t count = run->options.in_flight;
    pthread_t *threads = calloc(count, sizeof *threads);
    callers all = {run, PTHREAD_MUTEX_INITIALIZER};
    uint64_t started = 0;
    uint64_t i;
    int code = CLI_OK;
    if (threads == NULL) {
        return etx__cli_fail(run->cli, NULL, "out of memory");
    }
    pthread_mutex_lock(&all.gate);
    for (; started < count && !*run->cli->stop; started++) {
        if (pthread_create(&threads[started], NULL, call_in_loop, &all) != 0) {
            code = etx__cli_fail(run->cli, "use fewer, or --callers async",
                                 "only %llu threads could be made", (unsigned long long)started);
            break;
        }
    }
    atomic_store(&run->stopping, started < count);
    pthread_mutex_unlock(&all.gate);
    if (started == count) {
        measure(run, 0, results);
    }
    atomic_store(&run->stopping, 1);
    for (i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    free(threads);
    return code;
}

int etx__bench_load(bench_run *run) {
    bench_results results = {.sync_p50_us = -1, .sync_p99_us = -1, .sync_per_s = -1};
    bench_engine_options engine_options = {0};
    int async = strcmp(run->options.callers, "async") == 0;
    int code;
    etx__bench_sync_cost(run, &results);
    if (run->options.in_flight > 1 << 20) {
        engine_options.transactions_max = run->options.in_flight + (run->options.in_flight >> 3);
    }
    code = etx__bench_open(run, &engine_options, NULL);
    if (code == CLI_OK && etx__bench_run_first(run) != 0) {
        code = etx__bench_give_up(run);
    }
    if (code == CLI_OK && async) {
        code = make_slots(run, run->options.in_flight);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (async) {
        measure(run, 1, &results);
        await_idle(run, run->options.in_flight);
    } else {
        code = load_blocking(run, &results);
    }
    etx__bench_close(run, ETX_CLOSE_FINISH);
    if (code != CLI_OK) {
        return code;
    }
    results.errors = atomic_load(&run->errors);
    if (*run->cli->stop) {
        if (results.transactions > 0) {
            etx__bench_report(run, &results);
        }
        return etx__bench_give_up(run);
    }
    etx__bench_sync_cost(run, &results);
    etx__bench_report(run, &results);
    return results.errors > 0 || results.transactions == 0 ? CLI_NO : CLI_OK;
}
