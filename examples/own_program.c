/* A program whose engine works on the log of own_log.c. */
#include "own_log.h"

#include <etx/etx.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static etx_reply count_call(etx_call *call, void *user) {
    (void)call;
    ++*(unsigned *)user;
    return ETX_DONE;
}

static void tell_event(const etx_event *event, void *user) {
    (void)user;
    printf("%s: %s\n", etx_event_name(event->type), event->reason);
}

static int run_some(etx_engine *engine, unsigned number) {
    for (unsigned i = 0; i < number; i++) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_tx *tx = NULL;
        int rc = etx_tx_new(engine, NULL, &tx);
        if (rc == 0) {
            etx_tx_add(tx, "counter", "+1", 2);
            rc = etx_tx_run(tx, &outcome);
        }
        if (rc != 0 || outcome.state != ETX_COMMITTED) {
            fprintf(stderr, "%s %s\n", etx_error_name(rc), outcome.reason);
            return 1;
        }
    }
    return 0;
}

int main(void) {
    unsigned calls = 0;
    etx_options options = ETX_OPTIONS_INIT;
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_participant counter = ETX_PARTICIPANT_INIT;
    etx_metrics metrics;
    etx_engine *engine = NULL;
    monitor.on_event = tell_event;
    options.monitor = &monitor;
    options.flags = ETX_ALLOW_VOLATILE;
    options.durability = ETX_VOLATILE;
    counter.name = "counter";
    counter.kind = ETX_TCC;
    counter.forward = counter.commit = counter.undo = count_call;
    counter.user = &calls;
    counter.flags = ETX_INLINE;
    if (etx_engine_create(&options, &engine) != 0) {
        return 1;
    }
    int failed = etx_engine_log(engine, etx_log_own()) != 0 ||
                 etx_engine_home(engine, "own:") != 0 ||
                 etx_engine_register(engine, &counter) != 0 || etx_engine_start(engine) != 0;
    if (failed) {
        char message[256];
        etx_engine_message(engine, message, sizeof(message));
        fprintf(stderr, "%s\n", message);
    } else {
        failed = run_some(engine, 100);
        memset(&metrics, 0, sizeof(metrics));
        metrics.size = sizeof(metrics);
        etx_engine_metrics(engine, &metrics);
        etx_engine_close(engine, ETX_CLOSE_FINISH, 5000);
        printf("%" PRIu64 " committed, %u calls, %" PRIu64 " puts\n", metrics.committed, calls,
               metrics.puts);
    }
    etx_engine_free(engine);
    return failed || calls < 200;
}
