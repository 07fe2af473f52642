/* What homes and partitions measure, as OpenMetrics has it. */
#include <stdio.h>

#include "metrics.h"

typedef enum home_gauge { USABLE, IN_USE, IN_FLIGHT, PARTITIONS, REGRESSED, NODES } home_gauge;

static uint64_t count_partitions(etx_engine *engine, unsigned place, home_gauge which) {
    etx_partition_status partition = {.size = sizeof partition};
    uint64_t count = 0;
    uint32_t i;
    for (i = 0; etx_engine_partition_status(engine, place, i, &partition) == 0; i++) {
        count += which == REGRESSED ? partition.regressed : partition.here;
    }
    return count;
}

static uint64_t count_nodes(etx_engine *engine, unsigned place) {
    etx_node_status node = {.size = sizeof node};
    uint32_t count = 0;
    while (etx_engine_node_status(engine, place, count, &node) == 0) {
        count++;
    }
    return count;
}

static uint64_t gauge_of(etx_engine *engine,
                         const etx_home_status *home,
                         unsigned place,
                         home_gauge which) {
    switch (which) {
        case USABLE:
            return home->usable;
        case IN_USE:
            return home->in_use;
        case IN_FLIGHT:
            return home->in_flight;
        case PARTITIONS:
        case REGRESSED:
            return count_partitions(engine, place, which);
        case NODES:
            return count_nodes(engine, place);
    }
    return 0;
}

static void put_home_gauge(etxd_text *text,
                           etxd *server,
                           const char *name,
                           const char *help,
                           home_gauge which) {
    etx_home_status home = {.size = sizeof home};
    unsigned place;
    etxd_metric_head(text, name, "gauge", help);
    for (place = 0; etx_engine_home_status(server->engine, place, &home) == 0; place++) {
        etxd_text_print(text, "%s{place=\"%u\"} %llu\n", name, place,
                        (unsigned long long)gauge_of(server->engine, &home, place, which));
    }
}

/* ---- what was put, by home */

typedef enum home_count { FAILURES, UNKNOWN, TAKEN_OVER, HANDED_OVER } home_count;

static void put_home_count(etxd_text *text,
                           etxd *server,
                           const char *name,
                           const char *label,
                           size_t which) {
    etx_home_metrics home = {.size = sizeof home};
    unsigned place;
    for (place = 0; etx_engine_home_metrics(server->engine, place, &home) == 0; place++) {
        const uint64_t counts[] = {[FAILURES] = home.put_failures,
                                   [UNKNOWN] = home.put_unknown,
                                   [TAKEN_OVER] = home.taken_over,
                                   [HANDED_OVER] = home.handed_over};
        etxd_text_print(text, "%s_total{place=\"%u\"%s} %llu\n", name, place, label,
                        (unsigned long long)counts[which]);
    }
}

static void put_home_puts(etxd_text *text, etxd *server) {
    etx_home_metrics home = {.size = sizeof home};
    unsigned place;
    etxd_metric_head(text, "etx_home_put_seconds", "histogram",
                     "To put a batch into the log of a home.");
    for (place = 0; etx_engine_home_metrics(server->engine, place, &home) == 0; place++) {
        char label[32];
        snprintf(label, sizeof label, "place=\"%u\"", place);
        etxd_metrics_durations(text, "etx_home_put_seconds", label, &home.put_us);
    }
    etxd_metric_head(text, "etx_home_put_failures", "counter",
                     "Puts that a home did not acknowledge.");
    put_home_count(text, server, "etx_home_put_failures", "", FAILURES);
    etxd_metric_head(text, "etx_home_put_unknown", "counter",
                     "... that may be there all the same: the same is put again.");
    put_home_count(text, server, "etx_home_put_unknown", "", UNKNOWN);
    etxd_metric_head(text, "etx_home_takeovers", "counter",
                     "Leases that were another node's: which had run out, or were given up.");
    put_home_count(text, server, "etx_home_takeovers", ",from=\"lost\"", TAKEN_OVER);
    put_home_count(text, server, "etx_home_takeovers", ",from=\"left\"", HANDED_OVER);
}

/* ---- partitions of shared homes */

typedef void (*partition_fn)(etxd_text *text, const etx_partition_status *partition);

static void put_partitions(etxd_text *text, etxd *server, partition_fn put) {
    etx_home_status home = {.size = sizeof home};
    unsigned place;
    for (place = 0; etx_engine_home_status(server->engine, place, &home) == 0; place++) {
        etx_partition_status partition = {.size = sizeof partition};
        uint32_t i;
        for (i = 0; etx_engine_partition_status(server->engine, place, i, &partition) == 0; i++) {
            if (partition.shared) {
                put(text, &partition);
            }
        }
    }
}

static void put_owner(etxd_text *text, const etx_partition_status *partition) {
    etxd_text_print(text, "etx_partition_info{place=\"%u\",partition=\"%u\",node=\"%s\"} 1\n",
                    partition->place, partition->number, partition->node);
}

static void put_span(etxd_text *text,
                     const char *name,
                     const etx_partition_status *partition,
                     uint64_t ms) {
    etxd_text_print(text, "%s{place=\"%u\",partition=\"%u\"} %llu.%03u\n", name, partition->place,
                    partition->number, (unsigned long long)ms / 1000, (unsigned)(ms % 1000));
}

static void put_left(etxd_text *text, const etx_partition_status *partition) {
    put_span(text, "etx_partition_lease_left_seconds", partition, partition->node_left_ms);
}

static void put_age(etxd_text *text, const etx_partition_status *partition) {
    if (partition->lease_left_ms > 0) {
        put_span(text, "etx_partition_lease_age_seconds", partition, partition->lease_age_ms);
    }
}

static void put_here(etxd_text *text, const etx_partition_status *partition) {
    etxd_text_print(text, "etx_partition_here{place=\"%u\",partition=\"%u\"} %u\n",
                    partition->place, partition->number, partition->here);
}

static void put_leases(etxd_text *text, etxd *server) {
    etxd_metric_head(text, "etx_partition", "info",
                     "Partitions of shared homes, and which node has the lease; empty: none.");
    put_partitions(text, server, put_owner);
    etxd_metric_head(text, "etx_partition_here", "gauge", "1: this node works on it.");
    put_partitions(text, server, put_here);
    etxd_metric_head(text, "etx_partition_lease_left_seconds", "gauge",
                     "So long the lease lasts, as the store said last; 0: nobody has it.");
    put_partitions(text, server, put_left);
    etxd_metric_head(text, "etx_partition_lease_age_seconds", "gauge",
                     "Of what this node has: since it renewed its lease.");
    put_partitions(text, server, put_age);
}

void etxd_metrics_homes(etxd_text *text, etxd *server) {
    etx_home_status home = {.size = sizeof home};
    unsigned place;
    etxd_metric_head(text, "etx_home", "info", "The homes, by their place in the preference.");
    for (place = 0; etx_engine_home_status(server->engine, place, &home) == 0; place++) {
        etxd_text_print(text, "etx_home_info{place=\"%u\",id=\"%s\",durability=\"%s\"} 1\n", place,
                        home.id, etx_durability_name(home.grade));
    }
    put_home_gauge(text, server, "etx_home_usable", "1: new transactions may go there.", USABLE);
    put_home_gauge(text, server, "etx_home_in_use",
                   "1: new transactions that ask for the default go there.", IN_USE);
    put_home_gauge(text, server, "etx_home_in_flight", "Transactions that live there.", IN_FLIGHT);
    put_home_gauge(text, server, "etx_home_partitions", "Partitions that this node works on.",
                   PARTITIONS);
    put_home_gauge(text, server, "etx_home_regressed_partitions",
                   "Partitions of which the store has lost what it acknowledged.", REGRESSED);
    put_home_gauge(text, server, "etx_home_nodes", "Nodes that share it; 0: it is not shared.",
                   NODES);
    put_home_puts(text, server);
    put_leases(text, server);
}
