/* A thread of the host that is cancelled inside a call of the library: the engine goes on. */
#include "host.h"

typedef struct victim {
    etx_engine *engine;
    pthread_t self;
    atomic_uint hit;  /* it was cancelled inside a callback, while it drove the engine */
    atomic_uint back; /* ... and the library's call has returned */
    int rc;
} victim;

/* Cancels the thread that it runs on: that of the host, or one of the engine's own. */
static etx_reply cancel_caller(etx_call *call, void *user) {
    victim *v = user;
    (void)call;
    pthread_cancel(pthread_self());
    pthread_testcancel();
    if (pthread_equal(pthread_self(), v->self)) {
        atomic_store(&v->hit, 1);
    }
    return ETX_DONE;
}

static void victim_make(victim *v, const char *url, host_bank *bank) {
    *v = (victim){.engine = host_engine(url, NULL, bank)};
    etx_participant participant = host_participant("cancels", ETX_TCC, ETX_INLINE, bank);
    participant.forward = cancel_caller;
    participant.commit = cancel_caller;
    participant.user = v;
    assert_int_equal(etx_engine_register(v->engine, &participant), 0);
}

/* Beyond calls that have returned: the address sanitizer does not follow a thread's end, and would
 * take the rest of their variables for what the next thread uses. */
static void *be_cancelled(victim *v) {
    atomic_store(&v->back, 1);
    pthread_testcancel();
    return NULL;
}

__attribute__((noinline)) static void run_until_hit(victim *v) {
    v->self = pthread_self();
    while (v->rc == 0 && !atomic_load(&v->hit)) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        v->rc = host_run(v->engine, "cancels", &outcome);
        v->rc = v->rc == 0 && outcome.state != ETX_COMMITTED ? ETX_ESTATE : v->rc;
    }
}

static void *run_and_be_cancelled(void *arg) {
    run_until_hit(arg);
    return be_cancelled(arg);
}

__attribute__((noinline)) static void help_until_hit(victim *v) {
    v->self = pthread_self();
    etx_engine_lend(v->engine, 1);
    while (v->rc == 0 && !atomic_load(&v->hit)) {
        etx_tx *tx = NULL;
        v->rc = etx_tx_new(v->engine, NULL, &tx);
        v->rc = v->rc != 0 ? v->rc : etx_tx_add(tx, "cancels", NULL, 0);
        v->rc = v->rc != 0 ? v->rc : etx_tx_submit(tx, NULL, NULL);
        for (int i = 0; i < 100; i++) {
            etx_engine_help(v->engine);
        }
    }
}

static void *help_and_be_cancelled(void *arg) {
    help_until_hit(arg);
    return be_cancelled(arg);
}

static void *close_and_be_cancelled(void *arg) {
    victim *v = arg;
    pthread_cancel(pthread_self());
    v->rc = etx_engine_close(v->engine, ETX_CLOSE_FINISH, 20000);
    return be_cancelled(v);
}

/* Its call came back first, and then it was cancelled. */
static void cancel_in(void *(*body)(void *), victim *v) {
    pthread_t thread;
    void *end = NULL;
    assert_int_equal(pthread_create(&thread, NULL, body, v), 0);
    assert_int_equal(pthread_join(thread, &end), 0);
    assert_ptr_equal(end, PTHREAD_CANCELED);
    assert_int_equal(atomic_load(&v->back), 1);
    assert_int_equal(v->rc, 0);
}

static void goes_on(etx_engine *engine) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(host_run(engine, "slow", &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    host_engine_end(engine);
}

static void test_a_caller_that_drives(void **state) {
    (void)state;
    host_bank bank;
    victim v;
    host_bank_make(&bank);
    victim_make(&v, "memory:", &bank);
    cancel_in(run_and_be_cancelled, &v);
    goes_on(v.engine);
}

static void test_who_helps(void **state) {
    (void)state;
    host_bank bank;
    victim v;
    host_bank_make(&bank);
    victim_make(&v, "memory:", &bank);
    cancel_in(help_and_be_cancelled, &v);
    assert_int_equal(etx_engine_lend(v.engine, 0), 0);
    goes_on(v.engine);
}

static void test_who_closes(void **state) {
    (void)state;
    host_bank bank;
    host_dir dir;
    host_dir_make(&dir);
    host_bank_make(&bank);
    victim v;
    victim_make(&v, dir.url, &bank);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(host_run(v.engine, "slow", &outcome), 0); /* its worker ends with the close */
    cancel_in(close_and_be_cancelled, &v);
    etx_engine_free(v.engine);
    goes_on(host_engine(dir.url, NULL, &bank));
    host_dir_remove(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_caller_that_drives),
        cmocka_unit_test(test_who_helps),
        cmocka_unit_test(test_who_closes),
    };
    alarm(120);
    return cmocka_run_group_tests_name("guest-cancel", tests, NULL, NULL);
}
