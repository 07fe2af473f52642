/* What the engine measures, as OpenMetrics has it. */
#include <string.h>

#include "metrics.h"

enum { FIRST_RECORDS = 1, LAST_RECORDS = 16 };

static void put_counts(etxd_text *text, const etx_metrics *m) {
    const etxd_metric metrics[] = {
        {"etx_begun", "counter", "Transactions begun.", m->begun},
        {"etx_ended", "counter", "Transactions of which nothing is left to do.", m->ended},
        {"etx_refused_busy", "counter", "Begins refused since a table is full.", m->refused_busy},
        {"etx_recovered", "gauge", "Live transactions found at start.", m->recovered},
        {"etx_in_flight", "gauge", "Transactions that have not ended.", m->in_flight},
        {"etx_parked", "gauge", "Transactions that an operator parked.", m->parked},
        {"etx_stalled", "gauge", "Transactions whose calls keep failing.", m->stalled},
        {"etx_remembered", "gauge", "Ended transactions that are remembered.", m->remembered},
        {"etx_calls_in_flight", "gauge", "Calls of participants now.", m->calls_in_flight},
        {"etx_put_bytes", "counter", "Bytes put into the log.", m->put_bytes},
        {"etx_put_failures", "counter", "Puts that were not acknowledged.", m->put_failures},
        {"etx_queue_depth", "gauge", "Events that wait for an engine thread.", m->queue_depth},
        {"etx_memory_used_bytes", "gauge", "Memory for transactions.", m->memory_used},
        {"etx_log_trims", "counter", "Times that old segments were given up.", m->trims},
        {"etx_log_moves", "counter", "Transactions written again, to give up segments.", m->moves},
    };
    etxd_metrics_put(text, metrics, sizeof metrics / sizeof *metrics);
}

static void put_seconds(etxd_text *text, const char *name, const char *help, uint64_t ms) {
    etxd_metric_head(text, name, "gauge", help);
    etxd_text_print(text, "%s %llu.%03u\n", name, (unsigned long long)ms / 1000,
                    (unsigned)(ms % 1000));
}

static void put_decided(etxd_text *text, const etx_metrics *m) {
    size_t kind;
    etxd_metric_head(text, "etx_transactions", "counter",
                     "Transactions decided, by the kind of their branches and the outcome.");
    for (kind = 0; kind < ETX_METRICS_KINDS; kind++) {
        const char *name = kind == 0 ? "mixed" : etx_kind_name((etx_kind)kind);
        etxd_text_print(text,
                        "etx_transactions_total{kind=\"%s\",outcome=\"committed\"} %llu\n"
                        "etx_transactions_total{kind=\"%s\",outcome=\"aborted\"} %llu\n",
                        name, (unsigned long long)m->kind_committed[kind], name,
                        (unsigned long long)m->kind_aborted[kind]);
    }
}

static void put_calls(etxd_text *text, const etx_metrics *m) {
    etxd_metric_head(text, "etx_calls", "counter", "Calls of participants, by result.");
    etxd_text_print(
        text,
        "etx_calls_total{result=\"done\"} %llu\netx_calls_total{result=\"refused\"} %llu\n"
        "etx_calls_total{result=\"working\"} %llu\n"
        "etx_calls_total{result=\"unknown\"} %llu\n",
        (unsigned long long)m->calls_done, (unsigned long long)m->calls_refused,
        (unsigned long long)m->calls_working, (unsigned long long)m->calls_unknown);
}

/* ---- histograms: bucket i of the engine has what is below 2^i */

static void put_tail(etxd_text *text, const char *name, uint64_t count) {
    etxd_text_print(text, "%s_bucket{le=\"+Inf\"} %llu\n%s_count %llu\n", name,
                    (unsigned long long)count, name, (unsigned long long)count);
}

static void put_durations(etxd_text *text,
                          const char *name,
                          const char *help,
                          const etx_histogram *histogram) {
    etxd_metric_head(text, name, "histogram", help);
    etxd_metrics_durations(text, name, "", histogram);
}

static void put_batches(etxd_text *text, const etx_histogram *histogram) {
    static const char name[] = "etx_put_records";
    uint64_t count = 0;
    size_t i;
    etxd_metric_head(text, name, "histogram", "Records in a batch that was put into the log.");
    for (i = 0; i < ETX_METRICS_BUCKETS; i++) {
        count += histogram->bucket[i];
        if (i >= FIRST_RECORDS && i <= LAST_RECORDS) {
            etxd_text_print(text, "%s_bucket{le=\"%llu.0\"} %llu\n", name, (1ULL << i) - 1,
                            (unsigned long long)count);
        }
    }
    put_tail(text, name, count);
    etxd_text_print(text, "%s_sum %llu\n", name, (unsigned long long)histogram->sum);
}

static void put_events(etxd_text *text, etxd *server) {
    size_t i;
    etxd_metric_head(text, "etx_events", "counter", "Events of the engine, by type.");
    for (i = 0; i < 32; i++) {
        uint64_t count = atomic_load(&server->counts.events[i]);
        if (count > 0) {
            etxd_text_print(text, "etx_events_total{type=\"%s\"} %llu\n",
                            etx_event_name((etx_event_type)i), (unsigned long long)count);
        }
    }
}

void etxd_metrics_engine(etxd_text *text, etxd *server) {
    etx_metrics m = {.size = sizeof m};
    if (etx_engine_metrics(server->engine, &m) != 0) {
        return; /* it has not started */
    }
    put_counts(text, &m);
    put_decided(text, &m);
    put_calls(text, &m);
    put_seconds(text, "etx_oldest_age_seconds",
                "Since the oldest transaction in flight was begun; 0: there is none.",
                m.oldest_age_ms);
    put_seconds(text, "etx_history_oldest_age_seconds", "Repeats are recognised for so long.",
                m.history_oldest_age_ms);
    put_durations(text, "etx_put_seconds", "To put a batch into the log.", &m.put_us);
    put_batches(text, &m.put_batch);
    put_durations(text, "etx_decided_seconds", "Of transactions, from begin to decided.",
                  &m.decided_us);
    put_durations(text, "etx_ended_seconds", "Of transactions, from begin to ended.", &m.ended_us);
    etxd_metrics_homes(text, server);
    put_events(text, server);
}
