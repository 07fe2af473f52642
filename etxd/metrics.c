/* GET /metrics: counters, gauges and histograms as OpenMetrics has them. Labels are bounded: no
 * gids. */
#include <string.h>

#include "metrics.h"
#include "tx.h"

void etxd_metric_head(etxd_text *text, const char *name, const char *type, const char *help) {
    etxd_text_print(text, "# TYPE %s %s\n# HELP %s %s\n", name, type, name, help);
}

void etxd_metrics_put(etxd_text *text, const etxd_metric *metrics, size_t count) {
    size_t i;
    for (i = 0; i < count; i++) {
        int counts = strcmp(metrics[i].type, "counter") == 0;
        etxd_metric_head(text, metrics[i].name, metrics[i].type, metrics[i].help);
        etxd_text_print(text, "%s%s %llu\n", metrics[i].name, counts ? "_total" : "",
                        (unsigned long long)metrics[i].value);
    }
}

/* Bucket i of the engine has what is below 2^i us; below 16 us all is in the first one given. */
void etxd_metrics_durations(etxd_text *text,
                            const char *name,
                            const char *labels,
                            const etx_histogram *histogram) {
    enum { FIRST_US = 4 };
    const char *comma = labels[0] ? "," : "";
    const char *open = labels[0] ? "{" : "";
    const char *close = labels[0] ? "}" : "";
    uint64_t count = 0;
    size_t i;
    for (i = 0; i < ETX_METRICS_BUCKETS; i++) {
        count += histogram->bucket[i];
        if (i >= FIRST_US && i + 1 < ETX_METRICS_BUCKETS) {
            etxd_text_print(text, "%s_bucket{%s%sle=\"%.6f\"} %llu\n", name, labels, comma,
                            (double)(1ULL << i) / 1e6, (unsigned long long)count);
        }
    }
    etxd_text_print(text, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma,
                    (unsigned long long)count);
    etxd_text_print(text, "%s_count%s%s%s %llu\n%s_sum%s%s%s %.6f\n", name, open, labels, close,
                    (unsigned long long)count, name, open, labels, close,
                    (double)histogram->sum / 1e6);
}

static void put_answers(etxd_text *text, etxd *server) {
    size_t count;
    const etxd_route *routes = etxd_routes(&count);
    size_t i, class;
    etxd_metric_head(text, "etxd_answers", "counter", "Answers, by route and class of status.");
    for (i = 0; i <= ETXD_ROUTES_MAX; i++) {
        if (i >= count && i < ETXD_ROUTES_MAX) {
            continue;
        }
        for (class = 0; class < 5; class ++) {
            uint64_t answers = atomic_load(&server->counts.answers[i][class]);
            if (answers > 0) {
                etxd_text_print(text,
                                "etxd_answers_total{method=\"%s\",route=\"%s\",class=\"%zuxx\"} "
                                "%llu\n",
                                i < count ? routes[i].method : "",
                                i < count ? routes[i].pattern : "", class + 1,
                                (unsigned long long)answers);
            }
        }
    }
}

static void put_latencies(etxd_text *text, etxd *server) {
    static const char *const waits[] = {"begun", "decided", "ended"};
    size_t wait, i;
    etxd_metric_head(text, "etxd_reached_seconds", "histogram",
                     "From a request to its answer, by the state that was waited for and reached.");
    for (wait = 0; wait < 3; wait++) {
        uint64_t sum = 0;
        for (i = 0; i < ETXD_LATENCIES; i++) {
            sum += atomic_load(&server->counts.latency[wait][i]);
            if (i + 1 < ETXD_LATENCIES) {
                etxd_text_print(text, "etxd_reached_seconds_bucket{wait=\"%s\",le=\"%.6f\"} %llu\n",
                                waits[wait], (double)(1ULL << i) / 1e6, (unsigned long long)sum);
            }
        }
        etxd_text_print(text,
                        "etxd_reached_seconds_bucket{wait=\"%s\",le=\"+Inf\"} %llu\n"
                        "etxd_reached_seconds_count{wait=\"%s\"} %llu\n"
                        "etxd_reached_seconds_sum{wait=\"%s\"} %.6f\n",
                        waits[wait], (unsigned long long)sum, waits[wait], (unsigned long long)sum,
                        waits[wait],
                        (double)atomic_load(&server->counts.latency_sum_us[wait]) / 1e6);
    }
}

static void put_server(etxd_text *text, etxd *server) {
    net_server_counts c = net_server_count(server->server);
    const etxd_metric metrics[] = {
        {"etxd_connections", "gauge", "Connections of clients.", c.connections},
        {"etxd_requests_open", "gauge", "Requests that are not yet answered.", c.requests},
        {"etxd_accepted", "counter", "Connections accepted.", c.accepted},
        {"etxd_malformed", "counter", "Requests refused as no sound HTTP.", c.refused},
        {"etxd_timed_out", "counter", "Connections closed for slowness.", c.timed_out},
        {"etxd_waiting", "gauge", "Requests that wait for the engine.",
         atomic_load(&server->counts.waiting)},
        {"etxd_pool_queued", "gauge", "Requests that wait for a thread.",
         etxd_pool_queued(server->pool)},
        {"etxd_streams", "gauge", "Streams of events.", etxd_events_streams(server->events)},
        {"etxd_log_lines_lost", "counter", "Lines of the log that nobody took.",
         atomic_load(&server->log.lost)},
    };
    etxd_metrics_put(text, metrics, sizeof metrics / sizeof *metrics);
}

static void put_traces(etxd_text *text, etxd *server) {
    etxd_trace_counts counts = etxd_trace_count(server->trace);
    const etxd_metric queued = {"etxd_trace_queued", "gauge", "Spans that wait to be sent.",
                                counts.queued};
    etxd_metric_head(text, "etxd_trace_spans", "counter",
                     "Spans of traces, by what became of them.");
    etxd_text_print(text,
                    "etxd_trace_spans_total{result=\"sent\"} %llu\n"
                    "etxd_trace_spans_total{result=\"dropped\"} %llu\n"
                    "etxd_trace_spans_total{result=\"failed\"} %llu\n",
                    (unsigned long long)counts.sent, (unsigned long long)counts.dropped,
                    (unsigned long long)counts.failed);
    etxd_metrics_put(text, &queued, 1);
}

static void put_forwards(etxd_text *text, etxd *server) {
    static const char *const results[ETXD_FORWARDS] = {"answered", "unreached", "lost"};
    size_t i;
    etxd_metric_head(text, "etxd_forwards", "counter",
                     "Requests that another node was asked, by what came of it.");
    for (i = 0; i < ETXD_FORWARDS; i++) {
        etxd_text_print(text, "etxd_forwards_total{result=\"%s\"} %llu\n", results[i],
                        (unsigned long long)atomic_load(&server->counts.forwards[i]));
    }
}

int etxd_get_metrics(etxd_exchange *x) {
    etxd *server = x->server;
    etxd_text text = {0};
    etxd_metric_head(&text, "etxd", "info", "The server.");
    etxd_text_print(&text, "etxd_info{version=\"%s\"} 1\n", etx_version());
    etxd_metrics_engine(&text, server);
    etxd_metrics_room(&text, server);
    put_server(&text, server);
    put_answers(&text, server);
    put_forwards(&text, server);
    put_latencies(&text, server);
    etxd_metrics_targets(&text, server);
    put_traces(&text, server);
    etxd_text_put(&text, "# EOF\n");
    etxd_answer(x, 200, "application/openmetrics-text; version=1.0.0; charset=utf-8", &text);
    return 0;
}
