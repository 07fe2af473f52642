/* What was called, as OpenMetrics has it: the participant's adapter names 64 targets, and sums up
 * the others. */
#include "metrics.h"

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

void etxd_metrics_targets(etxd_text *text, etxd *server) {
    etxd_metric_head(text, "etxd_target_calls", "counter", "Calls of a target, by result.");
    (void)etx_http_targets(server->http, put_calls, text);
    etxd_metric_head(text, "etxd_target_in_flight", "gauge", "Calls of a target now.");
    (void)etx_http_targets(server->http, put_in_flight, text);
    etxd_metric_head(text, "etxd_target_waiting", "gauge", "Calls that wait for a target.");
    (void)etx_http_targets(server->http, put_waiting, text);
    etxd_metric_head(text, "etxd_target_breaker_open", "gauge",
                     "1: nothing is sent to the target for now.");
    (void)etx_http_targets(server->http, put_breaker, text);
}
