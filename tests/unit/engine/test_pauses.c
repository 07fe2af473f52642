/* How long it is waited between two calls, and after how many failures that is told: as the options
 * ask. */
#include "rig.h"

enum { SOON_MS = 20000, LONG_MS = 3600000 };

struct desk {
    rig_log log;
    etx_engine *engine;
    etx_operation fails_at;
    etx_reply reply;
    atomic_uint calls;   /* of that operation */
    atomic_uint stalled; /* calls by then; 0: it is not */
};

static etx_reply on_call(etx_call *call, void *user) {
    struct desk *desk = user;
    if (etx_call_operation(call) != desk->fails_at) {
        return ETX_DONE;
    }
    atomic_fetch_add(&desk->calls, 1);
    return desk->reply;
}

static void on_event(const etx_event *event, void *user) {
    struct desk *desk = user;
    if (event->type == ETX_EVENT_STALLED && event->alarm) {
        atomic_store(&desk->stalled, atomic_load(&desk->calls));
    }
}

/* One transaction of one branch, whose operation gives that reply again and again. */
static void desk_begin(struct desk *desk,
                       etx_options *options,
                       etx_operation fails_at,
                       etx_reply reply) {
    etx_participant participant = ETX_PARTICIPANT_INIT;
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_tx *tx = NULL;
    memset(desk, 0, sizeof *desk);
    desk->fails_at = fails_at;
    desk->reply = reply;
    monitor.on_event = on_event;
    monitor.user = desk;
    options->monitor = &monitor;
    rig_log_make(&desk->log, NULL, "partitions=1");
    desk->engine = rig_engine(options, desk->log.url, NULL);
    participant.name = "slow";
    participant.kind = ETX_TCC;
    participant.flags = ETX_INLINE;
    participant.forward = on_call;
    participant.commit = on_call;
    participant.undo = on_call;
    participant.user = desk;
    rig_must(desk->engine, etx_engine_register(desk->engine, &participant), "register");
    rig_start(desk->engine);
    rig_must(desk->engine, etx_tx_new(desk->engine, NULL, &tx), "new");
    branch.participant = "slow";
    rig_must(desk->engine, etx_tx_add_branch(tx, &branch), "add");
    rig_must(desk->engine, etx_tx_submit(tx, NULL, NULL), "submit");
}

static void await(atomic_uint *count, unsigned least) {
    for (uint64_t until = host_now_ms() + SOON_MS; atomic_load(count) < least;) {
        assert_true(host_now_ms() < until);
        usleep(1000);
    }
}

static void desk_end(struct desk *desk) {
    rig_close(desk->engine, ETX_CLOSE_ABRUPT);
    rig_log_end(&desk->log);
}

/* 200 calls would take longer than an hour by default, and longer than SOON_MS by either alone. */
static void the_first_and_the_longest_pause(void **state) {
    struct desk desk;
    etx_options options = rig_options();
    (void)state;
    options.retry_first_ms = 1;
    options.retry_cap_ms = 1;
    desk_begin(&desk, &options, ETX_FORWARD, ETX_RETRY);
    await(&desk.calls, 200);
    desk_end(&desk);
    options.retry_cap_ms = LONG_MS; /* 1, 2, 4, ... are 255 ms; from 100 on it would be 25 s */
    desk_begin(&desk, &options, ETX_FORWARD, ETX_RETRY);
    await(&desk.calls, 9);
    desk_end(&desk);
}

static void the_pause_of_who_is_still_working(void **state) {
    struct desk desk;
    etx_options options = rig_options();
    (void)state;
    options.working_ms = 1;
    desk_begin(&desk, &options, ETX_FORWARD, ETX_WORKING);
    await(&desk.calls, 100);
    desk_end(&desk);
}

static void failures_until_it_is_told(void **state) {
    struct desk desk;
    etx_options options = rig_options();
    (void)state;
    options.retry_first_ms = 1;
    options.retry_cap_ms = LONG_MS;
    options.park_after = 3;
    desk_begin(&desk, &options, ETX_COMMIT, ETX_RETRY);
    await(&desk.stalled, 1);
    assert_int_equal(atomic_load(&desk.stalled), 3);
    desk_end(&desk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_and_the_longest_pause),
        cmocka_unit_test(the_pause_of_who_is_still_working),
        cmocka_unit_test(failures_until_it_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
