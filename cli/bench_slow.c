/* Two scenarios with calls that are held: how much memory a transaction in flight takes, and how
 * long a start takes on a log with many of them. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "cli_json.h"

enum { FILL_IN_FLIGHT = 1024 };

static void count_end(int rc, const etx_outcome *outcome, void *user) {
    bench_run *run = user;
    if (etx__bench_refused_for_now(rc) && atomic_load(&run->holding)) {
        atomic_fetch_add(&run->refused, 1);
        return;
    }
    if (rc != 0 || outcome->state == ETX_ABORTED) {
        etx__bench_note_error(run, rc, outcome->reason);
    }
    atomic_fetch_add_explicit(&run->ended, 1, memory_order_relaxed);
}

/* How many calls of a transaction are held at once: a saga's steps come one after another. */
static uint64_t calls_each(const bench_run *run) {
    return run->kind == ETX_SAGA ? 1 : run->options.branches;
}

/* Submits until `count` have begun and all their calls are held. */
static int submit_held(bench_run *run, uint64_t count) {
    uint64_t goal = count * calls_each(run);
    uint64_t moved_ns = etx__bench_now_ns();
    uint64_t submitted = 0;
    uint64_t last = 0;
    while (!*run->cli->stop && !atomic_load(&run->failed)) {
        int want = submitted - atomic_load(&run->refused) < count;
        int rc = want ? etx__bench_submit(run, count_end, run) : ETX_EBUSY;
        uint64_t held = rc == 0 ? last : atomic_load(&run->held);
        if (rc == 0) {
            submitted++;
        } else if (!etx__bench_refused_for_now(rc)) {
            etx__bench_note_error(run, rc, NULL);
        } else if (held >= goal) {
            return CLI_OK;
        } else if (held != last) {
            last = held;
            moved_ns = etx__bench_now_ns();
        } else if (etx__bench_now_ns() - moved_ns > BENCH_IDLE_S * 1000000000ULL) {
            return etx__cli_fail(run->cli, NULL, "only %llu calls came, of %llu",
                                 (unsigned long long)held, (unsigned long long)goal);
        }
        if (rc != 0) {
            etx__bench_pause_ms(1);
        }
    }
    return etx__bench_give_up(run);
}

static int make_tokens(bench_run *run) {
    run->held_max = run->options.in_flight * calls_each(run);
    run->tokens = malloc(run->held_max * sizeof *run->tokens);
    if (run->tokens == NULL) {
        return etx__cli_fail(run->cli, NULL, "out of memory for %llu tokens",
                             (unsigned long long)run->held_max);
    }
    /* touched before memory is measured, so that it does not count */
    memset(run->tokens, 0xff, run->held_max * sizeof *run->tokens);
    return CLI_OK;
}

static int complete_all(bench_run *run) {
    etx_completion done = ETX_COMPLETION_INIT;
    uint64_t i;
    done.reply = ETX_DONE;
    atomic_store(&run->holding, 0);
    for (i = 0; i < run->held_max; i++) {
        if (etx_complete(run->engine, run->tokens[i], &done) != 0) {
            atomic_fetch_add(&run->errors, 1);
        }
    }
    return etx__bench_await(run, &run->ended, run->options.in_flight) == 0
               ? CLI_OK
               : etx__cli_fail(run->cli, NULL, "only %llu transactions ended",
                               (unsigned long long)atomic_load(&run->ended));
}

static void report_slow(bench_run *run, uint64_t bytes, double fill_s, double drain_s) {
    uint64_t count = run->options.in_flight;
    uint64_t payload = run->options.branches * run->options.payload;
    double each = (double)bytes / (double)count - (double)payload;
    if (run->options.json) {
        json_t *object = json_object();
        etx__out_text(object, "scenario", "slow");
        etx__out_text(object, "pattern", run->options.pattern);
        etx__out_number(object, "branches", run->options.branches);
        etx__out_number(object, "in_flight", count);
        etx__out_number(object, "payload", run->options.payload);
        etx__out_real(object, "bytes_per_tx", each);
        etx__out_number(object, "rss_bytes", etx__bench_rss());
        etx__out_real(object, "fill_s", fill_s);
        etx__out_real(object, "drain_s", drain_s);
        etx__out_number(object, "errors", atomic_load(&run->errors));
        etx__out_line(run->cli->out, object);
        return;
    }
    fprintf(run->cli->out,
            "%llu transactions of %llu branches (%s) were in flight at once\n"
            "  %.0f bytes each, beyond a payload of %llu\n"
            "  %.2f s until all were in flight, %.2f s until all had ended, %llu errors\n",
            (unsigned long long)count, (unsigned long long)run->options.branches,
            run->options.pattern, each, (unsigned long long)payload, fill_s, drain_s,
            (unsigned long long)atomic_load(&run->errors));
}

int etx__bench_slow(bench_run *run) {
    bench_engine_options options = {0};
    uint64_t before;
    uint64_t bytes;
    uint64_t begin;
    uint64_t full;
    int code = make_tokens(run);
    options.transactions_max = run->options.in_flight + (run->options.in_flight >> 3) + 1024;
    atomic_store(&run->holding, 1);
    if (code == CLI_OK) {
        code = etx__bench_open(run, &options, NULL);
    }
    if (code != CLI_OK) {
        return code;
    }
    before = etx__bench_rss();
    begin = etx__bench_now_ns();
    code = submit_held(run, run->options.in_flight);
    full = etx__bench_now_ns();
    bytes = etx__bench_rss() - before;
    if (code == CLI_OK) {
        code = complete_all(run);
    }
    if (code != CLI_OK) {
        return code;
    }
    report_slow(run, bytes, (double)(full - begin) / 1e9,
                (double)(etx__bench_now_ns() - full) / 1e9);
    etx__bench_close(run, ETX_CLOSE_FINISH);
    return atomic_load(&run->errors) > 0 ? CLI_NO : CLI_OK;
}

/* ---- recovery */

static void report_recovery(bench_run *run, double build_s, double start_s, uint64_t rss) {
    const bench_options *o = &run->options;
    etx_metrics metrics = {.size = sizeof metrics};
    (void)etx_engine_metrics(run->engine, &metrics);
    if (o->json) {
        json_t *object = json_object();
        etx__out_text(object, "scenario", "recovery");
        etx__out_text(object, "pattern", o->pattern);
        etx__out_number(object, "branches", o->branches);
        etx__out_number(object, "payload", o->payload);
        etx__out_number(object, "live", o->live);
        etx__out_number(object, "finished", o->finished);
        etx__out_number(object, "remembered", o->remembered);
        etx__out_real(object, "start_s", start_s);
        etx__out_number(object, "recovered", metrics.recovered);
        etx__out_number(object, "remembered_found", metrics.remembered);
        etx__out_number(object, "rss_bytes", rss);
        etx__out_real(object, "build_s", build_s);
        etx__out_line(run->cli->out, object);
        return;
    }
    fprintf(
        run->cli->out,
        "Start after a crash: %.3f s\n  %llu live transactions found (of %llu), %llu remembered "
        "(of %llu),\n  after %llu that were finished and forgotten; the log was built in %.1f s\n",
        start_s, (unsigned long long)metrics.recovered, (unsigned long long)o->live,
        (unsigned long long)metrics.remembered, (unsigned long long)o->remembered,
        (unsigned long long)o->finished, build_s);
}

/* Nothing is missing. An END waits for a put that is due anyway, so some of the last that ended
 * before the crash may be found as not ended yet. */
static int found_all(const bench_options *options, const etx_metrics *metrics) {
    uint64_t ended = options->finished + options->remembered;
    uint64_t not_ended = metrics->recovered - options->live;
    return metrics->recovered >= options->live &&
           not_ended <= (ended < FILL_IN_FLIGHT ? ended : FILL_IN_FLIGHT) &&
           metrics->remembered + not_ended >= options->remembered;
}

int etx__bench_recovery(bench_run *run) {
    const bench_options *o = &run->options;
    bench_engine_options options = {0};
    uint64_t begin = etx__bench_now_ns();
    uint64_t built;
    double start_s = 0;
    etx_metrics metrics = {.size = sizeof metrics};
    int code;
    options.transactions_max = o->live + (o->live >> 3) + 4 * FILL_IN_FLIGHT;
    options.history_max = o->remembered > 0 ? o->remembered : 1;
    code = etx__bench_open(run, &options, NULL);
    if (code == CLI_OK) {
        code = etx__bench_fill(run, o->finished + o->remembered, FILL_IN_FLIGHT);
    }
    if (code == CLI_OK) {
        atomic_store(&run->holding, 1);
        code = submit_held(run, o->live);
    }
    if (code != CLI_OK) {
        return code;
    }
    etx__bench_close(run, ETX_CLOSE_ABRUPT);
    built = etx__bench_now_ns();
    code = etx__bench_open(run, &options, &start_s);
    if (code != CLI_OK) {
        return code;
    }
    report_recovery(run, (double)(built - begin) / 1e9, start_s, etx__bench_rss());
    code =
        etx_engine_metrics(run->engine, &metrics) == 0 && found_all(o, &metrics) ? CLI_OK : CLI_NO;
    etx__bench_close(run, ETX_CLOSE_ABRUPT);
    return code;
}
