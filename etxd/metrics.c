/* GET /metrics: counters and gauges as OpenMetrics has them. Labels are bounded: no gids. */
#include <string.h>

#include "tx.h"

typedef struct metric {
    const char *name, *type, *help;
    uint64_t value;
} metric;

static void head(etxd_text *text, const char *name, const char *type, const char *help) {
    etxd_text_print(text, "# TYPE %s %s\n# HELP %s %s\n", name, type, name, help);
}

static void put_all(etxd_text *text, const metric *metrics, size_t count) {
    size_t i;
    for (i = 0; i < count; i++) {
        int counts = strcmp(metrics[i].type, "counter") == 0;
        head(text, metrics[i].name, metrics[i].type, metrics[i].help);
        etxd_text_print(text, "%s%s %llu\n", metrics[i].name, counts ? "_total" : "",
                        (unsigned long long)metrics[i].value);
    }
}

/* ---- the engine */

static void put_engine(etxd_text *text, const etx_metrics *m) {
    const metric metrics[] = {
        {"etx_begun", "counter", "Transactions begun.", m->begun},
        {"etx_committed", "counter", "Transactions decided to commit.", m->committed},
        {"etx_aborted", "counter", "Transactions decided to abort.", m->aborted},
        {"etx_ended", "counter", "Transactions of which nothing is left to do.", m->ended},
        {"etx_refused_busy", "counter", "Begins refused since a table is full.", m->refused_busy},
        {"etx_recovered", "gauge", "Live transactions found at start.", m->recovered},
        {"etx_in_flight", "gauge", "Transactions that have not ended.", m->in_flight},
        {"etx_parked", "gauge", "Transactions that an operator parked.", m->parked},
        {"etx_stalled", "gauge", "Transactions whose calls keep failing.", m->stalled},
        {"etx_remembered", "gauge", "Ended transactions that are remembered.", m->remembered},
        {"etx_calls_in_flight", "gauge", "Calls of participants now.", m->calls_in_flight},
        {"etx_puts", "counter", "Batches put into the log.", m->puts},
        {"etx_put_bytes", "counter", "Bytes put into the log.", m->put_bytes},
        {"etx_put_records", "counter", "Records put into the log.", m->put_records},
        {"etx_put_failures", "counter", "Puts that were not acknowledged.", m->put_failures},
        {"etx_queue_depth", "gauge", "Events that wait for an engine thread.", m->queue_depth},
        {"etx_memory_used_bytes", "gauge", "Memory for transactions.", m->memory_used},
        {"etx_history_oldest_age_ms", "gauge", "Repeats are recognised for so long.",
         m->history_oldest_age_ms},
        {"etx_log_trims", "counter", "Times that old segments were given up.", m->trims},
        {"etx_log_moves", "counter", "Transactions written again, to give up segments.", m->moves},
    };
    put_all(text, metrics, sizeof metrics / sizeof *metrics);
    head(text, "etx_calls", "counter", "Calls of participants, by result.");
    etxd_text_print(
        text,
        "etx_calls_total{result=\"done\"} %llu\netx_calls_total{result=\"refused\"} %llu\n"
        "etx_calls_total{result=\"working\"} %llu\n"
        "etx_calls_total{result=\"unknown\"} %llu\n",
        (unsigned long long)m->calls_done, (unsigned long long)m->calls_refused,
        (unsigned long long)m->calls_working, (unsigned long long)m->calls_unknown);
}

static void put_quantiles(etxd_text *text,
                          const char *name,
                          const char *help,
                          uint64_t p50_us,
                          uint64_t p99_us) {
    head(text, name, "gauge", help);
    etxd_text_print(text, "%s{quantile=\"0.5\"} %.6f\n%s{quantile=\"0.99\"} %.6f\n", name,
                    (double)p50_us / 1e6, name, (double)p99_us / 1e6);
}

static void put_homes(etxd_text *text, etxd *server) {
    etx_home_status home = {.size = sizeof home};
    unsigned place;
    head(text, "etx_home", "gauge", "1 for each home; where new transactions go, in_use is 1.");
    for (place = 0; etx_engine_home_status(server->engine, place, &home) == 0; place++) {
        etxd_text_print(text,
                        "etx_home{place=\"%u\",id=\"%s\",durability=\"%s\",usable=\"%d\","
                        "in_use=\"%d\"} 1\n",
                        place, home.id, etx_durability_name(home.grade), home.usable, home.in_use);
    }
    head(text, "etx_home_in_flight", "gauge", "Transactions that live in a home.");
    for (place = 0; etx_engine_home_status(server->engine, place, &home) == 0; place++) {
        etxd_text_print(text, "etx_home_in_flight{place=\"%u\"} %llu\n", place,
                        (unsigned long long)home.in_flight);
    }
}

/* ---- the server */

static void put_answers(etxd_text *text, etxd *server) {
    size_t count;
    const etxd_route *routes = etxd_routes(&count);
    size_t i, class;
    head(text, "etxd_answers", "counter", "Answers, by route and class of status.");
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

static void put_outcomes(etxd_text *text, etxd *server) {
    static const char *const words[] = {"committed", "aborted", "undecided"};
    size_t kind, outcome;
    head(text, "etxd_transactions", "counter", "Answers about transactions, by kind and outcome.");
    for (kind = 0; kind < 6; kind++) {
        for (outcome = 0; outcome < 3; outcome++) {
            uint64_t answers = atomic_load(&server->counts.outcomes[kind][outcome]);
            etxd_text_print(text, "etxd_transactions_total{kind=\"%s\",outcome=\"%s\"} %llu\n",
                            kind == 0 ? "mixed" : etx_kind_name((etx_kind)kind), words[outcome],
                            (unsigned long long)answers);
        }
    }
}

static void put_latencies(etxd_text *text, etxd *server) {
    static const char *const waits[] = {"begun", "decided", "ended"};
    size_t wait, i;
    head(text, "etxd_reached_seconds", "histogram",
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

static void put_events(etxd_text *text, etxd *server) {
    size_t i;
    head(text, "etx_events", "counter", "Events of the engine, by type.");
    for (i = 0; i < 32; i++) {
        uint64_t count = atomic_load(&server->counts.events[i]);
        if (count > 0) {
            etxd_text_print(text, "etx_events_total{type=\"%s\"} %llu\n",
                            etx_event_name((etx_event_type)i), (unsigned long long)count);
        }
    }
}

static void put_server(etxd_text *text, etxd *server) {
    net_server_counts c = net_server_count(server->server);
    const metric metrics[] = {
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
    };
    put_all(text, metrics, sizeof metrics / sizeof *metrics);
}

/* ---- targets: the participant's adapter names 64, and sums up the others */

static int put_calls(const etx_http_target_status *t, void *user) {
    const struct {
        const char *result;
        uint64_t count;
    } results[] = {{"done", t->done},
                   {"refused", t->refused},
                   {"working", t->working},
                   {"unknown", t->unknown},
                   {"rejected", t->rejected}};
    size_t i;
    for (i = 0; i < sizeof results / sizeof *results; i++) {
        etxd_text_print(user, "etxd_target_calls_total{target=\"%s\",result=\"%s\"} %llu\n",
                        t->target, results[i].result, (unsigned long long)results[i].count);
    }
    return 0;
}

static int put_in_flight(const etx_http_target_status *t, void *user) {
    etxd_text_print(user, "etxd_target_in_flight{target=\"%s\"} %u\n", t->target, t->in_flight);
    return 0;
}

static int put_waiting(const etx_http_target_status *t, void *user) {
    etxd_text_print(user, "etxd_target_waiting{target=\"%s\"} %u\n", t->target, t->waiting);
    return 0;
}

static int put_breaker(const etx_http_target_status *t, void *user) {
    etxd_text_print(user, "etxd_target_breaker_open{target=\"%s\"} %u\n", t->target,
                    t->breaker_open);
    return 0;
}

static void put_targets(etxd_text *text, etxd *server) {
    head(text, "etxd_target_calls", "counter", "Calls of a target, by result.");
    (void)etx_http_targets(server->http, put_calls, text);
    head(text, "etxd_target_in_flight", "gauge", "Calls of a target now.");
    (void)etx_http_targets(server->http, put_in_flight, text);
    head(text, "etxd_target_waiting", "gauge", "Calls that wait for a target.");
    (void)etx_http_targets(server->http, put_waiting, text);
    head(text, "etxd_target_breaker_open", "gauge", "1: nothing is sent to the target for now.");
    (void)etx_http_targets(server->http, put_breaker, text);
}

int etxd_get_metrics(etxd_exchange *x) {
    etxd *server = x->server;
    etxd_text text = {0};
    etx_metrics m = {.size = sizeof m};
    head(&text, "etxd", "info", "The server.");
    etxd_text_print(&text, "etxd_info{version=\"%s\"} 1\n", etx_version());
    if (etx_engine_metrics(server->engine, &m) == 0) {
        put_engine(&text, &m);
        put_quantiles(&text, "etx_put_seconds", "To put a batch, since the start.", m.put_p50_us,
                      m.put_p99_us);
        put_quantiles(&text, "etx_decided_seconds", "From begin to decided, since the start.",
                      m.decided_p50_us, m.decided_p99_us);
        put_quantiles(&text, "etx_ended_seconds", "From begin to ended, since the start.",
                      m.ended_p50_us, m.ended_p99_us);
        put_homes(&text, server);
    }
    etxd_metrics_room(&text, server);
    put_server(&text, server);
    put_answers(&text, server);
    put_outcomes(&text, server);
    put_latencies(&text, server);
    put_events(&text, server);
    put_targets(&text, server);
    etxd_text_put(&text, "# EOF\n");
    etxd_answer(x, 200, "application/openmetrics-text; version=1.0.0; charset=utf-8", &text);
    return 0;
}
