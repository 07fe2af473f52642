/* What an interval was, as one object: from two readings of a server's metrics, and its list. */
#include <stdlib.h>
#include <string.h>

#include "top.h"

enum { PAGE = 1000, PAGES_MAX = 10, TARGET_MAX = 300 };

typedef struct rate {
    const char *name;
    const char *metric;
    const char *label;
} rate;

/* Servers count decisions by outcome, or by kind and outcome: one of both rows is 0. */
static const rate rates[] = {
    {"begun", "etx_begun_total", NULL},
    {"committed", "etx_committed_total", NULL},
    {"committed", "etx_transactions_total", "outcome=\"committed\""},
    {"aborted", "etx_aborted_total", NULL},
    {"aborted", "etx_transactions_total", "outcome=\"aborted\""},
    {"ended", "etx_ended_total", NULL},
    {"refused_busy", "etx_refused_busy_total", NULL},
    {"calls", "etx_calls_total", NULL},
    {"calls_unknown", "etx_calls_total", "result=\"unknown\""},
    {"put_failures", "etx_put_failures_total", NULL},
    {"answers", "etxd_answers_total", NULL},
    {"answers_4xx", "etxd_answers_total", "class=\"4xx\""},
    {"answers_5xx", "etxd_answers_total", "class=\"5xx\""},
};

static const struct {
    const char *name;
    const char *metric;
} gauges[] = {
    {"in_flight", "etx_in_flight"},      {"parked", "etx_parked"},
    {"stalled", "etx_stalled"},          {"calls_in_flight", "etx_calls_in_flight"},
    {"queue_depth", "etx_queue_depth"},  {"memory_bytes", "etx_memory_used_bytes"},
    {"connections", "etxd_connections"},
};

static const struct {
    const char *name;
    const char *metric;
} latencies[] = {{"decided", "etx_decided_seconds"},
                 {"ended", "etx_ended_seconds"},
                 {"put", "etx_put_seconds"}};

static json_t *list_rates(const metrics *now, const metrics *before, double seconds) {
    json_t *object = json_object();
    size_t i;
    for (i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        double had = json_number_value(json_object_get(object, rates[i].name));
        double grown = etx__metrics_grown(now, before, rates[i].metric, rates[i].label);
        etx__out_real(object, rates[i].name, had + grown / seconds);
    }
    return object;
}

/* In ms; null where nothing is known. */
static json_t *list_latencies(const metrics *now, const metrics *before) {
    json_t *object = json_object();
    size_t i;
    for (i = 0; i < sizeof latencies / sizeof latencies[0]; i++) {
        json_t *one = json_object();
        etx__out_real(one, "p50",
                      1e3 * etx__metrics_quantile(now, before, latencies[i].metric, 0.5));
        etx__out_real(one, "p99",
                      1e3 * etx__metrics_quantile(now, before, latencies[i].metric, 0.99));
        json_object_set_new(object, latencies[i].name, one);
    }
    return object;
}

static json_t *list_targets(const metrics *now, const metrics *before, double seconds) {
    json_t *list = json_array();
    size_t i;
    for (i = 0; i < now->count; i++) {
        json_t *one;
        char target[TARGET_MAX];
        char label[TARGET_MAX + 16];
        char unknown[TARGET_MAX + 40];
        if (strcmp(now->rows[i].name, "etxd_target_in_flight") != 0) {
            continue;
        }
        one = json_object();
        etx__metrics_label(&now->rows[i], "target", target, sizeof target);
        snprintf(label, sizeof label, "target=\"%s\"", target);
        snprintf(unknown, sizeof unknown, "%s,result=\"unknown\"", label);
        etx__out_text(one, "target", target);
        etx__out_number(one, "in_flight", (uint64_t)now->rows[i].value);
        etx__out_number(one, "waiting",
                        (uint64_t)etx__metrics_sum(now, "etxd_target_waiting", label));
        json_object_set_new(
            one, "breaker_open",
            json_boolean(etx__metrics_sum(now, "etxd_target_breaker_open", label) > 0));
        etx__out_real(one, "calls",
                      etx__metrics_grown(now, before, "etxd_target_calls_total", label) / seconds);
        etx__out_real(
            one, "calls_unknown",
            etx__metrics_grown(now, before, "etxd_target_calls_total", unknown) / seconds);
        json_array_append_new(list, one);
    }
    return list;
}

json_t *etx__top_object(const metrics *now, const metrics *before, double seconds) {
    json_t *object = json_object();
    char time[40];
    size_t i;
    etx__cli_moment(etx__cli_now_ms(), time, sizeof time);
    etx__out_text(object, "time", time);
    etx__out_real(object, "interval_s", seconds);
    json_object_set_new(object, "rates", list_rates(now, before, seconds));
    json_object_set_new(object, "latency_ms", list_latencies(now, before));
    for (i = 0; i < sizeof gauges / sizeof gauges[0]; i++) {
        etx__out_number(object, gauges[i].name,
                        (uint64_t)etx__metrics_sum(now, gauges[i].metric, NULL));
    }
    json_object_set_new(object, "targets", list_targets(now, before, seconds));
    return object;
}

/* ---- the oldest */

/* Whether a is shown before b: by when it was begun (times as text sort as they are), and those of
 * one millisecond by gid, so that a page that is drawn again does not shuffle them. */
static int is_older(const json_t *a, const json_t *b) {
    int order = strcmp(etx__server_word(a, "begun"), etx__server_word(b, "begun"));
    return order < 0 ||
           (order == 0 && strcmp(etx__server_word(a, "gid"), etx__server_word(b, "gid")) < 0);
}

static void keep_oldest(json_t *oldest, const json_t *transaction) {
    static const char *const names[] = {"gid", "state", "begun", "marks", "calls_in_flight"};
    json_t *one;
    size_t at = json_array_size(oldest);
    size_t i;
    while (at > 0 && is_older(transaction, json_array_get(oldest, at - 1))) {
        at--;
    }
    if (at >= TOP_OLDEST) {
        return;
    }
    one = json_object();
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_object_set(one, names[i], json_object_get(transaction, names[i]));
    }
    json_array_insert_new(oldest, at, one);
    if (json_array_size(oldest) > TOP_OLDEST) {
        json_array_remove(oldest, TOP_OLDEST);
    }
}

int etx__top_oldest(server *from, json_t *object) {
    json_t *oldest = json_array();
    const json_t *answer = NULL;
    const json_t *one;
    char path[SERVER_PATH_MAX];
    char cursor[64] = "";
    int page;
    int rc = 0;
    for (page = 0; page < PAGES_MAX && rc == 0 && (page == 0 || cursor[0] != '\0'); page++) {
        size_t i;
        snprintf(path, sizeof path, "/v1/transactions?limit=%d%s%s", PAGE,
                 page > 0 ? "&cursor=" : "", cursor);
        rc = etx__server_ask(from, path, NULL, &answer);
        if (rc == 0) {
            json_array_foreach(json_object_get(answer, "transactions"), i, one) {
                keep_oldest(oldest, one);
            }
            snprintf(cursor, sizeof cursor, "%s", etx__server_word(answer, "cursor"));
        }
    }
    json_object_set_new(object, "oldest", oldest);
    return rc;
}
