/* An exception that leaves a callback finds no handler beyond the library: it ends the process. */
#include "host.h"

#include <unwind.h>

/* What an unwinder would do with an exception, done without one: it walks from the callback towards
 * the host's function that called the library, where a handler might be. */
typedef struct walk {
    pthread_t self;
    atomic_uint here;    /* walks on the host's thread, while it drove the engine */
    atomic_uint reached; /* ... that came to the host's function */
    uintptr_t host;
} walk;

static _Unwind_Reason_Code look(struct _Unwind_Context *context, void *arg) {
    walk *w = arg;
    const void *function = _Unwind_FindEnclosingFunction((void *)_Unwind_GetIP(context));
    if ((uintptr_t)function == w->host) {
        atomic_fetch_add(&w->reached, 1);
    }
    return _URC_NO_REASON;
}

static void walk_out(walk *w) {
    if (pthread_equal(w->self, pthread_self())) {
        (void)_Unwind_Backtrace(look, w);
        atomic_fetch_add(&w->here, 1);
    }
}

static etx_reply walk_from_operation(etx_call *call, void *user) {
    (void)call;
    walk_out(user);
    return ETX_DONE;
}

static void walk_from_done(int rc, const etx_outcome *outcome, void *user) {
    (void)rc;
    (void)outcome;
    walk_out(user);
}

static void walk_from_event(const etx_event *event, void *user) {
    (void)event;
    walk_out(user);
}

/* One transaction as a caller that drives, and one that is handed over and helped with. With no
 * engine: a callback that is called from here itself. */
static void host_of_all(etx_engine *engine, etx_done_fn done, walk *w) {
    etx_tx *tx = NULL;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    if (engine == NULL) {
        walk_from_done(0, NULL, w);
    } else if (done == NULL) {
        assert_int_equal(host_run(engine, "walks", &outcome), 0);
    } else {
        assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
        assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
        assert_int_equal(etx_tx_submit(tx, done, w), 0);
        for (int i = 0; i < 100; i++) {
            etx_engine_help(engine);
        }
    }
    atomic_fetch_add(&w->here, 0); /* no call is the last thing here */
}

/* Through a pointer: so it is neither inlined nor a copy at another address. */
static void call_host(etx_engine *engine, etx_done_fn done, walk *w) {
    void (*volatile host)(etx_engine *, etx_done_fn, walk *) = host_of_all;
    host(engine, done, w);
}

static walk fresh(void) {
    return (walk){.self = pthread_self(), .host = (uintptr_t)&host_of_all};
}

static etx_engine *walked_engine(host_bank *bank, walk *w, const etx_monitor *monitor) {
    etx_options options = host_options();
    options.monitor = monitor;
    host_bank_make(bank);
    etx_engine *engine = host_engine("memory:", &options, bank);
    etx_participant participant = host_participant("walks", ETX_TCC, ETX_INLINE, bank);
    participant.forward = walk_from_operation;
    participant.commit = walk_from_operation;
    participant.user = w;
    assert_int_equal(etx_engine_register(engine, &participant), 0);
    return engine;
}

static void test_the_walk_finds_a_host(void **state) {
    (void)state;
    walk w = fresh();
    call_host(NULL, NULL, &w);
    assert_int_equal(atomic_load(&w.here), 1);
    assert_int_equal(atomic_load(&w.reached), 1);
}

static void test_from_an_operation(void **state) {
    (void)state;
    host_bank bank;
    walk w = fresh();
    etx_engine *engine = walked_engine(&bank, &w, NULL);
    while (atomic_load(&w.here) == 0) {
        call_host(engine, NULL, &w);
    }
    assert_int_equal(atomic_load(&w.reached), 0);
    host_engine_end(engine);
}

static void test_from_done(void **state) {
    (void)state;
    host_bank bank;
    walk w = fresh();
    etx_engine *engine = walked_engine(&bank, &w, NULL);
    assert_int_equal(etx_engine_lend(engine, 1), 0);
    while (atomic_load(&w.here) == 0) {
        call_host(engine, walk_from_done, &w);
    }
    assert_int_equal(atomic_load(&w.reached), 0);
    assert_int_equal(etx_engine_lend(engine, 0), 0);
    host_engine_end(engine);
}

static void test_from_an_event(void **state) {
    (void)state;
    host_bank bank;
    walk unused = fresh(), w = fresh();
    etx_monitor monitor = ETX_MONITOR_INIT;
    monitor.on_event = walk_from_event;
    monitor.user = &w;
    monitor.events = 1u << ETX_EVENT_BEGUN;
    etx_engine *engine = walked_engine(&bank, &unused, &monitor);
    while (atomic_load(&w.here) == 0) {
        call_host(engine, NULL, &unused);
    }
    assert_int_equal(atomic_load(&w.reached), 0);
    host_engine_end(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_walk_finds_a_host),
        cmocka_unit_test(test_from_an_operation),
        cmocka_unit_test(test_from_done),
        cmocka_unit_test(test_from_an_event),
    };
    alarm(120);
    return cmocka_run_group_tests_name("guest-unwind", tests, NULL, NULL);
}
