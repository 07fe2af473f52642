/* A thread that is lent to the engine: what it hands over is done there, and nothing is lost. */
#include "../crowd.h"
#include "rig.h"

#include <sys/syscall.h>

enum { ROOM = 64 };

/* An event loop of sorts: its thread completes the calls that have come, then helps the engine. */
struct loop {
    rig_log log;
    etx_engine *engine;
    pthread_t self;
    sem_t called;
    pthread_mutex_t lock;
    etx_token token[ROOM];
    unsigned first, count;
    atomic_uint here, elsewhere; /* on which threads calls were made */
};

static etx_reply operate(etx_call *call, void *user) {
    struct loop *loop = user;
    atomic_fetch_add(pthread_equal(loop->self, pthread_self()) ? &loop->here : &loop->elsewhere, 1);
    pthread_mutex_lock(&loop->lock);
    rig_check(loop->count < ROOM);
    loop->token[(loop->first + loop->count++) % ROOM] = etx_call_token(call);
    pthread_mutex_unlock(&loop->lock);
    sem_post(&loop->called);
    return ETX_LATER;
}

static void loop_make(struct loop *loop, uint32_t busy_poll_us) {
    etx_options options = rig_options();
    options.busy_poll_us = busy_poll_us;
    memset(loop, 0, sizeof *loop);
    loop->self = pthread_self();
    sem_init(&loop->called, 0, 0);
    pthread_mutex_init(&loop->lock, NULL);
    rig_log_make(&loop->log, NULL, "partitions=2");
    loop->engine = rig_engine(&options, loop->log.url, NULL);
    etx_participant participant = ETX_PARTICIPANT_INIT;
    participant.name = "remote";
    participant.kind = ETX_TCC;
    participant.forward = participant.commit = participant.undo = operate;
    participant.user = loop;
    participant.flags = ETX_INLINE;
    rig_must(loop->engine, etx_engine_register(loop->engine, &participant), "register");
    rig_start(loop->engine);
}

static void loop_end(struct loop *loop) {
    rig_must(loop->engine, etx_engine_close(loop->engine, ETX_CLOSE_FINISH, 60000), "close");
    etx_engine_help(loop->engine); /* of a closed engine: nothing */
    etx_engine_free(loop->engine);
    rig_log_end(&loop->log);
}

/* Completes the calls that have come. */
static void complete_all(struct loop *loop) {
    pthread_mutex_lock(&loop->lock);
    while (loop->count > 0) {
        etx_token token = loop->token[loop->first++ % ROOM];
        etx_completion completion = ETX_COMPLETION_INIT;
        loop->count--;
        pthread_mutex_unlock(&loop->lock);
        completion.reply = ETX_DONE;
        assert_int_equal(etx_complete(loop->engine, token, &completion), 0);
        pthread_mutex_lock(&loop->lock);
    }
    pthread_mutex_unlock(&loop->lock);
}

/* From its submit to its end: two branches, and so four calls. */
static void run_one(struct loop *loop, etx_tx *tx, bool helps) {
    rig_done done = {0};
    rig_must(loop->engine, etx_tx_submit(tx, rig_done_fn, &done), "submit");
    for (int call = 0; call < 4; call++) {
        if (helps) {
            etx_engine_help(loop->engine);
        }
        while (sem_wait(&loop->called) != 0) {
        }
        complete_all(loop);
    }
    if (helps) {
        etx_engine_help(loop->engine);
    }
    assert_true(host_wait_for(&done.count, 1)); /* it is told a moment after it has ended */
    assert_true(rig_quiet(loop->engine));
    assert_int_equal(done.rc, 0);
    assert_int_equal(done.outcome.state, ETX_COMMITTED);
}

/* A transaction whose second call follows from the answer of its first. */
static etx_tx *chain(struct loop *loop) {
    static const char *const after[] = {"first"};
    etx_branch first = ETX_BRANCH_INIT;
    etx_branch second = ETX_BRANCH_INIT;
    etx_tx *tx;
    first.name = "first";
    second.name = "second";
    first.participant = second.participant = "remote";
    second.depends_on = after;
    second.depends_on_count = 1;
    rig_must(loop->engine, etx_tx_new(loop->engine, NULL, &tx), "new");
    rig_must(loop->engine, etx_tx_add_branch(tx, &first), "first");
    rig_must(loop->engine, etx_tx_add_branch(tx, &second), "second");
    return tx;
}

static void leaves_nothing_lying(uint32_t busy_poll_us) {
    struct loop loop;
    loop_make(&loop, busy_poll_us);
    assert_int_equal(etx_engine_lend(loop.engine, 1), 0);
    for (int i = 0; i < 50; i++) {
        run_one(&loop, rig_pair(loop.engine, "remote", NULL, 'D'), true);
    }
    assert_int_equal(loop.here + loop.elsewhere, 200);
    assert_true(loop.elsewhere > 0);
    loop_end(&loop);
}

static void nothing_is_left_lying(void **state) {
    (void)state;
    leaves_nothing_lying(0);
}

/* Puts are the engine's own, and what follows from them; a call that follows from an answer alone
 * is made here, unless the engine's thread happened to be awake. */
static void a_step_follows_here(void **state) {
    struct loop loop;
    (void)state;
    loop_make(&loop, 0);
    assert_int_equal(etx_engine_lend(loop.engine, 1), 0);
    for (int i = 0; i < 1000 && loop.here == 0; i++) {
        run_one(&loop, chain(&loop), true);
    }
    assert_true(loop.here > 0);
    loop_end(&loop);
}

static void a_promise_that_ended_is_none(void **state) {
    struct loop loop;
    (void)state;
    loop_make(&loop, 0);
    assert_int_equal(etx_engine_lend(loop.engine, 1), 0);
    assert_int_equal(etx_engine_lend(loop.engine, 0), 0);
    for (unsigned i = 1; i <= 20; i++) {
        run_one(&loop, rig_pair(loop.engine, "remote", NULL, 'D'), false);
        assert_true(rig_written(loop.engine, i));
        usleep(10000); /* the engine's thread sleeps by then, mostly, and must be woken */
    }
    assert_int_equal(loop.here, 0);
    assert_int_equal(etx_engine_lend(NULL, 1), ETX_EINVALID);
    loop_end(&loop);
}

/* ---- busy polling */

enum { POLL_US = 10000, PAUSE_US = 15000, SOME = 10, WAITS = 4 * SOME };

/* Whoever polls lets others go first: the library finds this one. */
static atomic_uint yields;

__attribute__((visibility("default"))) int sched_yield(void) {
    atomic_fetch_add(&yields, 1);
    return (int)syscall(SYS_sched_yield);
}

/* How often others went first while some transactions ran, one after another, whose calls are
 * answered late. */
static unsigned yields_of_some(uint32_t busy_poll_us, int lends) {
    struct loop loop;
    loop_make(&loop, busy_poll_us);
    assert_int_equal(etx_engine_lend(loop.engine, lends), 0);
    atomic_store(&yields, 0);
    for (int i = 0; i < SOME; i++) {
        etx_tx *tx = rig_pair(loop.engine, "remote", NULL, 'D');
        rig_done done = {0};
        rig_must(loop.engine, etx_tx_submit(tx, rig_done_fn, &done), "submit");
        for (int call = 0; call < 4; call++) {
            etx_engine_help(loop.engine);
            while (sem_wait(&loop.called) != 0) {
            }
            usleep(PAUSE_US);
            complete_all(&loop);
        }
        etx_engine_help(loop.engine);
        assert_true(host_wait_for(&done.count, 1));
    }
    unsigned count = atomic_load(&yields);
    loop_end(&loop);
    return count;
}

static void what_polls_loses_nothing(void **state) {
    (void)state;
    leaves_nothing_lying(POLL_US);
}

static void it_polls_for_who_lends(void **state) {
    (void)state;
    assert_true(yields_of_some(POLL_US, 1) > 0);
    assert_int_equal(yields_of_some(POLL_US, 0), 0);
    assert_int_equal(yields_of_some(0, 1), 0);
}

/* Who polls beside somebody who never rests gives him the processor at each look: so it looks
 * seldom. */
static void it_polls_beside_nobody(void **state) {
    crowd others;
    (void)state;
    crowd_begin(&others);
    unsigned count = yields_of_some(POLL_US, 1);
    crowd_end(&others);
    assert_in_range(count, 1, WAITS);
}

static void nobody_polls_for_long(void **state) {
    etx_options options = ETX_OPTIONS_INIT;
    etx_engine *engine;
    (void)state;
    options.busy_poll_us = POLL_US + 1;
    assert_int_equal(etx_engine_create(&options, &engine), ETX_EINVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_left_lying),        cmocka_unit_test(what_polls_loses_nothing),
        cmocka_unit_test(it_polls_for_who_lends),       cmocka_unit_test(it_polls_beside_nobody),
        cmocka_unit_test(nobody_polls_for_long),        cmocka_unit_test(a_step_follows_here),
        cmocka_unit_test(a_promise_that_ended_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
