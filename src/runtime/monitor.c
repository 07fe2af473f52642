/* Telling the monitor, and the metrics snapshot. */
#include <string.h>

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
    engine->monitor.on_event(&told, engine->monitor.user);
}

void etx__monitor_home(etx__home *home,
                       uint32_t partition,
                       etx_event_type type,
                       const char *reason) {
    etx_event event = {.size = sizeof event, .type = type};
    event.home = home->info.id;
    event.partition = partition;
    event.durability = home->info.grade;
    event.reason = reason;
    etx__monitor_tell(home->engine, &event);
}

/* ---- metrics */

void etx__bucket_add(_Atomic uint64_t *buckets, uint64_t us) {
    int at = us == 0 ? 0 : 64 - __builtin_clzll(us);
    at = at < ETX__BUCKETS ? at : ETX__BUCKETS - 1;
    etx__count(&buckets[at], 1);
}

static void buckets_sum(uint64_t *sum, const _Atomic uint64_t *buckets) {
    for (int i = 0; i < ETX__BUCKETS; i++) {
        sum[i] += atomic_load_explicit(&buckets[i], memory_order_relaxed);
    }
}

static uint64_t quantile(const uint64_t *buckets, unsigned per_cent) {
    uint64_t all = 0;
    uint64_t seen = 0;
    for (int i = 0; i < ETX__BUCKETS; i++) {
        all += buckets[i];
    }
    for (int i = 0; i < ETX__BUCKETS; i++) {
        seen += buckets[i];
        if (all > 0 && seen * 100 >= all * per_cent) {
            return i == 0 ? 0 : (1ull << i) - 1;
        }
    }
    return 0;
}

typedef struct totals {
    uint64_t put[ETX__BUCKETS], decided[ETX__BUCKETS], ended[ETX__BUCKETS];
    uint64_t known_since;
} totals;

static void add_partition(etx_metrics *m, totals *sums, etx__partition *p) {
#define ADD(to, from) m->to += atomic_load_explicit(&p->from, memory_order_relaxed)
    ADD(begun, begun);
    ADD(committed, committed);
    ADD(aborted, aborted);
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
    buckets_sum(sums->put, p->put_us);
    buckets_sum(sums->decided, p->decided_us);
    buckets_sum(sums->ended, p->ended_us);
    uint64_t since = atomic_load_explicit(&p->oldest_ms, memory_order_relaxed);
    sums->known_since = since > sums->known_since ? since : sums->known_since;
}

int etx_engine_metrics(etx_engine *engine, etx_metrics *ret_metrics) {
    int rc = etx__engine_serves(engine);
    if (rc != 0) {
        return rc;
    }
    if (ret_metrics == NULL || ret_metrics->size == 0) {
        return etx__engine_refuse(engine, ETX_EINVALID);
    }
    etx_metrics m;
    totals sums;
    memset(&m, 0, sizeof m);
    memset(&sums, 0, sizeof sums);
    for (uint32_t i = 0; i < engine->partition_count; i++) {
        add_partition(&m, &sums, engine->partition[i]);
    }
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        m.queue_depth += !etx__queue_empty(&engine->shard[i].queue);
    }
    m.refused_busy = atomic_load(&engine->refused_busy);
    m.put_p50_us = quantile(sums.put, 50);
    m.put_p99_us = quantile(sums.put, 99);
    m.decided_p50_us = quantile(sums.decided, 50);
    m.decided_p99_us = quantile(sums.decided, 99);
    m.ended_p50_us = quantile(sums.ended, 50);
    m.ended_p99_us = quantile(sums.ended, 99);
    uint64_t age = etx__clock_wall_ms() - sums.known_since;
    m.history_oldest_age_ms =
        age < engine->options.history_age_ms ? age : engine->options.history_age_ms;
    m.size = ret_metrics->size;
    memcpy(ret_metrics, &m, m.size < sizeof m ? m.size : sizeof m);
    return 0;
}
