/* Telling the monitor, and the metrics snapshot. */
#include <string.h>

#include "callback.h"
#include "home.h"
#include "shard.h"

int etx__monitor_wants(const etx_engine *engine, etx_event_type type) {
    return (engine->monitored >> type) & 1;
}

static int is_alarm(etx_event_type type) {
    switch (type) {
#define X(name, number, text, alarm) \
    case ETX_EVENT_##name:           \
        return alarm;
        ETX_EVENT_MAP(X)
#undef X
    }
    return 0;
}

static const char *text_or_empty(const char *text) {
    return text != NULL ? text : "";
}

void etx__monitor_tell(etx_engine *engine, const etx_event *event) {
    if (!etx__monitor_wants(engine, event->type)) {
        return;
    }
    etx_event told = *event;
    told.alarm = (uint8_t)is_alarm(event->type);
    told.time_ms = etx__clock_wall_ms();
    told.gid = text_or_empty(told.gid);
    told.branch = text_or_empty(told.branch);
    told.participant = text_or_empty(told.participant);
    told.home = text_or_empty(told.home);
    told.reason = text_or_empty(told.reason);
    etx__callback_event(&engine->monitor, &told);
}

void etx__monitor_home(etx__home *home,
                       uint32_t partition,
                       etx_event_type type,
                       const char *reason) {
    etx_event event = {.size = sizeof event, .type = type};
    event.home = etx__home_id(home);
    event.partition = partition;
    event.durability = atomic_load(&home->opened) ? etx__home_grade(home) : ETX_DURABILITY_DEFAULT;
    event.reason = reason;
    etx__monitor_tell(home->engine, &event);
}

/* ---- metrics */

void etx__histogram_add(etx__histogram *histogram, uint64_t value) {
    int at = value == 0 ? 0 : 64 - __builtin_clzll(value);
    at = at < ETX_METRICS_BUCKETS ? at : ETX_METRICS_BUCKETS - 1;
    etx__count(&histogram->bucket[at], 1);
    etx__count(&histogram->sum, value);
}

static void add_all(uint64_t *sums, const _Atomic uint64_t *counters, int count) {
    for (int i = 0; i < count; i++) {
        sums[i] += atomic_load_explicit(&counters[i], memory_order_relaxed);
    }
}

static void add_histogram(etx_histogram *sum, const etx__histogram *histogram) {
    add_all(sum->bucket, histogram->bucket, ETX_METRICS_BUCKETS);
    add_all(&sum->sum, &histogram->sum, 1);
}

static uint64_t quantile(const etx_histogram *histogram, unsigned per_cent) {
    uint64_t all = 0;
    uint64_t seen = 0;
    for (int i = 0; i < ETX_METRICS_BUCKETS; i++) {
        all += histogram->bucket[i];
    }
    for (int i = 0; i < ETX_METRICS_BUCKETS; i++) {
        seen += histogram->bucket[i];
        if (all > 0 && seen * 100 >= all * per_cent) {
            return i == 0 ? 0 : (1ull << i) - 1;
        }
    }
    return 0;
}

/* What begins earliest: live, and remembered without a gap. */
typedef struct earliest {
    uint64_t oldest_ms; /* UINT64_MAX: nothing is live */
    uint64_t known_ms;
} earliest;

static void add_partition(etx_metrics *m, earliest *since, etx__partition *p) {
#define ADD(to, from) m->to += atomic_load_explicit(&p->from, memory_order_relaxed)
    ADD(begun, begun);
    ADD(ended, ended);
    ADD(recovered, recovered);
    ADD(in_flight, live);
    ADD(parked, parked);
    ADD(stalled, stalled);
    ADD(remembered, remembered);
    ADD(calls, calls);
    ADD(calls_done, calls_done);
    ADD(calls_refused, calls_refused);
    ADD(calls_working, calls_working);
    ADD(calls_unknown, calls_unknown);
    ADD(calls_in_flight, calls_out);
    ADD(puts, puts);
    ADD(put_bytes, put_bytes);
    ADD(put_records, put_records);
    ADD(put_failures, put_failures);
    ADD(inline_puts, inline_puts);
    ADD(memory_used, memory_used);
    ADD(trims, trims);
    ADD(moves, moves);
#undef ADD
    uint64_t max = atomic_load_explicit(&p->put_max_us, memory_order_relaxed);
    m->put_max_us = max > m->put_max_us ? max : m->put_max_us;
    add_histogram(&m->put_us, &p->put_us);
    add_histogram(&m->put_batch, &p->put_batch);
    add_histogram(&m->decided_us, &p->decided_us);
    add_histogram(&m->ended_us, &p->ended_us);
    add_all(m->kind_committed, p->kind_committed, ETX_METRICS_KINDS);
    add_all(m->kind_aborted, p->kind_aborted, ETX_METRICS_KINDS);
    uint64_t known = atomic_load_explicit(&p->oldest_ms, memory_order_relaxed);
    since->known_ms = known > since->known_ms ? known : since->known_ms;
    uint64_t oldest = atomic_load_explicit(&p->oldest_begin_ms, memory_order_relaxed);
    since->oldest_ms = oldest > 0 && oldest < since->oldest_ms ? oldest : since->oldest_ms;
}

int etx_engine_metrics(etx_engine *engine, etx_metrics *ret_metrics) {
    int rc = etx__engine_serves(engine);
    if (rc != 0) {
        return rc;
    }
    if (ret_metrics == NULL || ret_metrics->size == 0) {
        return etx__engine_invalid(engine,
                                   "ret_metrics: its size must be set, to sizeof(etx_metrics)");
    }
    etx_metrics m;
    earliest since = {UINT64_MAX, 0};
    memset(&m, 0, sizeof m);
    for (uint32_t i = 0; i < engine->partition_count; i++) {
        add_partition(&m, &since, engine->partition[i]);
    }
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        m.queue_depth += etx__shard_depth(&engine->shard[i]);
    }
    for (int i = 0; i < ETX_METRICS_KINDS; i++) {
        m.committed += m.kind_committed[i];
        m.aborted += m.kind_aborted[i];
    }
    m.refused_busy = atomic_load(&engine->refused_busy);
    m.put_p50_us = quantile(&m.put_us, 50);
    m.put_p99_us = quantile(&m.put_us, 99);
    m.decided_p50_us = quantile(&m.decided_us, 50);
    m.decided_p99_us = quantile(&m.decided_us, 99);
    m.ended_p50_us = quantile(&m.ended_us, 50);
    m.ended_p99_us = quantile(&m.ended_us, 99);
    uint64_t now = etx__clock_wall_ms();
    m.oldest_age_ms = since.oldest_ms < now ? now - since.oldest_ms : 0;
    uint64_t age = now - since.known_ms;
    m.history_oldest_age_ms =
        age < engine->options.history_age_ms ? age : engine->options.history_age_ms;
    m.size = ret_metrics->size;
    memcpy(ret_metrics, &m, m.size < sizeof m ? m.size : sizeof m);
    return 0;
}

static void add_puts(etx_home_metrics *m, const etx__partition *p) {
    add_all(&m->puts, &p->puts, 1);
    add_all(&m->put_failures, &p->put_failures, 1);
    add_all(&m->put_unknown, &p->put_unknown, 1);
    add_histogram(&m->put_us, &p->put_us);
}

int etx_engine_home_metrics(etx_engine *engine, unsigned place, etx_home_metrics *ret_metrics) {
    int rc = etx__engine_serves(engine);
    if (rc != 0) {
        return rc;
    }
    if (ret_metrics == NULL || ret_metrics->size == 0) {
        return etx__engine_invalid(
            engine, "ret_metrics: its size must be set, to sizeof(etx_home_metrics)");
    }
    if (place >= engine->home_count) {
        return etx__engine_fail(engine, ETX_ENOTFOUND, "there is no such home");
    }
    const etx__home *home = engine->home[place];
    etx_home_metrics m = {.size = ret_metrics->size};
    for (uint32_t i = 0; i < atomic_load(&home->partition_count); i++) {
        add_puts(&m, home->partition[i]);
    }
    add_all(&m.taken_over, &home->taken_over, 1);
    add_all(&m.handed_over, &home->handed_over, 1);
    memcpy(ret_metrics, &m, m.size < sizeof m ? m.size : sizeof m);
    return 0;
}
