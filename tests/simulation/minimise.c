/* Making a story short: what is left out, as long as the seed still breaks the same promise. */
#include <string.h>

#include "run.h"

typedef struct search {
    sim_options *best;
    run_result *result;
    char promise[sizeof((run_result *)0)->promise];
} search;

static int still_breaks(search *of, const sim_options *shorter) {
    sim_options silent = *shorter;
    run_result found;
    silent.trace = NULL;
    silent.quiet = 1;
    run_apart(&silent, &found);
    if (!found.broken || strcmp(found.promise, of->promise) != 0) {
        return 0;
    }
    *of->best = *shorter;
    *of->result = found;
    return 1;
}

static void leave_out_faults(search *of) {
    for (int i = 0; i < SIM_FAULTS; i++) {
        sim_options shorter = *of->best;
        shorter.without |= 1ull << i;
        if (shorter.without != of->best->without) {
            still_breaks(of, &shorter);
        }
    }
}

/* Chunks of those clients that are left, halves first, then smaller and smaller ones. */
static void leave_out_clients(search *of) {
    uint32_t kept[SIM_PLANS];
    uint32_t size = SIM_PLANS;
    do {
        size = (size + 1) / 2;
        uint32_t count = 0;
        for (uint32_t i = 0; i < SIM_PLANS; i++) {
            if (!of->best->absent[i]) {
                kept[count++] = i;
            }
        }
        for (uint32_t from = 0; from < count; from += size) {
            sim_options shorter = *of->best;
            for (uint32_t i = from; i < from + size && i < count; i++) {
                shorter.absent[kept[i]] = 1;
            }
            still_breaks(of, &shorter);
        }
    } while (size > 1);
}

static void leave_out_nodes(search *of) {
    for (uint32_t nodes = 1; nodes < SIM_NODES; nodes++) {
        sim_options shorter = *of->best;
        shorter.nodes = nodes;
        if ((of->best->nodes == 0 || nodes < of->best->nodes) && still_breaks(of, &shorter)) {
            return;
        }
    }
}

static void shorten_time(search *of) {
    for (uint32_t step = of->best->busy_ms / 2; step >= 100; step /= 2) {
        sim_options shorter = *of->best;
        shorter.busy_ms = shorter.busy_ms > step ? shorter.busy_ms - step : shorter.busy_ms;
        still_breaks(of, &shorter);
    }
}

void run_minimise(sim_options *options, run_result *result) {
    search of = {.best = options, .result = result};
    memcpy(of.promise, result->promise, sizeof of.promise);
    options->busy_ms = options->busy_ms > 0 ? options->busy_ms : SIM_BUSY_MS;
    for (int round = 0; round < 2; round++) {
        leave_out_clients(&of);
        leave_out_faults(&of);
        leave_out_nodes(&of);
        shorten_time(&of);
    }
}
