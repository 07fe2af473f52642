/* What `etx bench` prints: a table, or one JSON object. */
#include "bench.h"
#include "cli_json.h"

static double ratio(double value, double to) {
    return value < 0 || to <= 0 ? -1 : value / to;
}

static void report_json(bench_run *run, const bench_results *r) {
    const bench_options *o = &run->options;
    char error[ETX_REASON_MAX + 40];
    json_t *object = json_object();
    etx__out_text(object, "scenario", "load");
    etx__out_text(object, "pattern", o->pattern);
    etx__out_number(object, "branches", o->branches);
    etx__out_text(object, "callers", o->callers);
    etx__out_number(object, "in_flight", o->in_flight);
    etx__out_number(object, "payload", o->payload);
    etx__out_number(object, "shards", o->shards);
    json_object_set_new(object, "inline", json_boolean(!o->workers));
    etx__out_text(object, "home", run->shown);
    etx__out_real(object, "seconds", r->seconds);
    etx__out_number(object, "transactions", r->transactions);
    etx__out_number(object, "errors", r->errors);
    etx__out_text(object, "first_error", etx__bench_error(run, error, sizeof error));
    etx__out_real(object, "tx_per_s", r->tx_per_s);
    etx__out_real(object, "p50_us", r->p50_us);
    etx__out_real(object, "p99_us", r->p99_us);
    etx__out_real(object, "p999_us", r->p999_us);
    etx__out_real(object, "max_us", r->max_us);
    etx__out_real(object, "cpu_us_per_tx", r->cpu_us_per_tx);
    etx__out_number(object, "rss_bytes", r->rss_bytes);
    etx__out_real(object, "sync_p50_us", r->sync_p50_us);
    etx__out_real(object, "sync_p99_us", r->sync_p99_us);
    etx__out_real(object, "sync_per_s", r->sync_per_s);
    etx__out_real(object, "p50_per_sync", ratio(r->p50_us, r->sync_p50_us));
    etx__out_real(object, "p99_per_sync", ratio(r->p99_us, r->sync_p50_us));
    etx__out_real(object, "tx_per_sync", ratio(r->tx_per_s, r->sync_per_s));
    etx__out_number(object, "puts", r->puts);
    etx__out_real(object, "tx_per_put", r->tx_per_put);
    etx__out_number(object, "put_p50_us", r->put_p50_us);
    etx__out_number(object, "put_p99_us", r->put_p99_us);
    etx__out_line(run->cli->out, object);
}

static void print_row(FILE *to, const char *name, double value, const char *unit, double per_sync) {
    if (value < 0) {
        fprintf(to, "  %-14s %12s %s\n", name, "-", unit);
    } else if (per_sync < 0) {
        fprintf(to, "  %-14s %12.1f %s\n", name, value, unit);
    } else {
        fprintf(to, "  %-14s %12.1f %-14s %8.2f x sync\n", name, value, unit, per_sync);
    }
}

static void report_text(bench_run *run, const bench_results *r) {
    const bench_options *o = &run->options;
    FILE *to = run->cli->out;
    fprintf(to, "%s, %llu branches, payload %llu, %llu %s, home %s\n", o->pattern,
            (unsigned long long)o->branches, (unsigned long long)o->payload,
            (unsigned long long)o->in_flight,
            o->callers[0] == 'a' ? "in flight (async)" : "blocking callers", run->shown);
    print_row(to, "throughput", r->tx_per_s, "tx/s", ratio(r->tx_per_s, r->sync_per_s));
    print_row(to, "p50", r->p50_us, "us", ratio(r->p50_us, r->sync_p50_us));
    print_row(to, "p99", r->p99_us, "us", ratio(r->p99_us, r->sync_p50_us));
    print_row(to, "p99.9", r->p999_us, "us", ratio(r->p999_us, r->sync_p50_us));
    print_row(to, "cpu", r->cpu_us_per_tx, "us/tx", -1);
    print_row(to, "memory", (double)r->rss_bytes / 1048576, "MiB", -1);
    print_row(to, "puts", (double)r->puts, "", -1);
    print_row(to, "tx per put", r->tx_per_put, "", -1);
    print_row(to, "one put", (double)r->put_p50_us, "us (p50)", -1);
    print_row(to, "", (double)r->put_p99_us, "us (p99)",
              ratio((double)r->put_p99_us, r->sync_p50_us));
    print_row(to, "one sync", r->sync_p50_us, "us (p50)", -1);
    print_row(to, "", r->sync_p99_us, "us (p99)", ratio(r->sync_p99_us, r->sync_p50_us));
    print_row(to, "syncs", r->sync_per_s, "/s", -1);
    if (r->errors > 0) {
        char error[ETX_REASON_MAX + 40];
        fprintf(to, "  %s%llu transactions failed%s; the first: %s\n",
                etx__cli_color(run->cli, CLI_RED), (unsigned long long)r->errors,
                etx__cli_color(run->cli, CLI_PLAIN), etx__bench_error(run, error, sizeof error));
    }
}

void etx__bench_report(bench_run *run, const bench_results *results) {
    if (run->options.json) {
        report_json(run, results);
    } else {
        report_text(run, results);
    }
}
