/* ETX_LATER: completed before the callback returns, after, twice, too late, never, by nonsense. */
#include "rig.h"

typedef enum manner { BEFORE, AFTER, TWICE, TOO_LATE, UNSENT, KEPT } manner;

struct desk {
    rig_log log;
    etx_engine *engine;
    sem_t todo;
    pthread_mutex_t lock;
    pthread_t clerk;
    etx_token queue[256];
    unsigned first, count;
    bool stop;
    _Atomic int manner;
    atomic_uint forwards, commits, undos;
    etx_token seen[2]; /* of the first attempts, of each branch */
};

static void complete(struct desk *desk, etx_token token, etx_reply reply) {
    etx_completion completion = ETX_COMPLETION_INIT;
    completion.reply = reply;
    completion.result = "later";
    completion.result_len = 5;
    completion.reason = "said later";
    int rc = etx_complete(desk->engine, token, &completion);
    rig_check(rc == 0 || rc == ETX_ECLOSED);
}

static void *clerk_body(void *argument) {
    struct desk *desk = argument;
    for (;;) {
        while (sem_wait(&desk->todo) != 0) {
        }
        pthread_mutex_lock(&desk->lock);
        if (desk->count == 0) {
            pthread_mutex_unlock(&desk->lock);
            return NULL;
        }
        etx_token token = desk->queue[desk->first++ % 256];
        desk->count--;
        pthread_mutex_unlock(&desk->lock);
        complete(desk, token, ETX_DONE);
        if (atomic_load(&desk->manner) == TWICE) {
            complete(desk, token, ETX_REFUSED);
        }
    }
}

static void hand_over(struct desk *desk, etx_token token) {
    pthread_mutex_lock(&desk->lock);
    rig_check(desk->count < 256);
    desk->queue[(desk->first + desk->count++) % 256] = token;
    pthread_mutex_unlock(&desk->lock);
    sem_post(&desk->todo);
}

static etx_reply operate(etx_call *call, void *user) {
    struct desk *desk = user;
    etx_token token = etx_call_token(call);
    etx_token *seen = &desk->seen[etx_call_branch(call)[0] == 'b'];
    etx_operation operation = etx_call_operation(call);
    atomic_fetch_add(operation == ETX_FORWARD  ? &desk->forwards
                     : operation == ETX_COMMIT ? &desk->commits
                                               : &desk->undos,
                     1);
    switch ((manner)atomic_load(&desk->manner)) {
        case BEFORE:
            complete(desk, token, ETX_DONE);
            break;
        case AFTER:
        case TWICE:
            hand_over(desk, token);
            break;
        case TOO_LATE:
            if (etx_call_attempt(call) == 1) {
                *seen = token;
            } else {
                complete(desk, *seen, ETX_REFUSED); /* stale: of the attempt before */
                hand_over(desk, token);
            }
            break;
        case KEPT: /* of the forward operations */
            *seen = operation == ETX_FORWARD ? token : *seen;
            if (operation != ETX_FORWARD) {
                complete(desk, token, ETX_DONE);
            }
            break;
        case UNSENT: /* of each branch by the token, and by what it returns */
            rig_check(etx_call_attempt(call) == 1);
            if (operation == ETX_FORWARD && atomic_load(&desk->forwards) <= 2) {
                return ETX_UNSENT;
            }
            complete(desk, token,
                     operation == ETX_FORWARD && atomic_load(&desk->forwards) <= 4 ? ETX_UNSENT
                                                                                   : ETX_DONE);
            break;
    }
    return ETX_LATER;
}

static void desk_make(struct desk *desk, uint32_t flags, uint32_t timeout_ms) {
    memset(desk, 0, sizeof *desk);
    rig_log_make(&desk->log, NULL, "partitions=2");
    sem_init(&desk->todo, 0, 0);
    pthread_mutex_init(&desk->lock, NULL);
    desk->engine = rig_engine(NULL, desk->log.url, NULL);
    etx_participant participant = ETX_PARTICIPANT_INIT;
    participant.name = "later";
    participant.kind = ETX_TCC;
    participant.forward = operate;
    participant.commit = operate;
    participant.undo = operate;
    participant.user = desk;
    participant.flags = flags;
    participant.call_timeout_ms = timeout_ms;
    participant.attempts_max = timeout_ms > 0 ? 0 : 1;
    rig_must(desk->engine, etx_engine_register(desk->engine, &participant), "register");
    rig_start(desk->engine);
    assert_int_equal(pthread_create(&desk->clerk, NULL, clerk_body, desk), 0);
}

static void desk_end(struct desk *desk) {
    rig_must(desk->engine, etx_engine_close(desk->engine, ETX_CLOSE_FINISH, 60000), "close");
    sem_post(&desk->todo);
    pthread_join(desk->clerk, NULL);
    etx_engine_free(desk->engine); /* nobody is inside any more */
    rig_log_end(&desk->log);
}

static void all_manners(uint32_t flags, manner how) {
    struct desk desk;
    desk_make(&desk, flags, how == TOO_LATE ? 20 : 60000);
    atomic_store(&desk.manner, how);
    for (int i = 0; i < (how == TOO_LATE ? 2 : 30); i++) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        rig_must(desk.engine, etx_tx_run(rig_pair(desk.engine, "later", NULL, 'D'), &outcome),
                 "run");
        assert_int_equal(outcome.state, ETX_COMMITTED);
    }
    assert_int_equal(desk.undos, 0);
    if (how != TOO_LATE) { /* none is called again */
        assert_int_equal(desk.forwards, 60);
    }
    desk_end(&desk);
}

static void before_it_returns(void **state) {
    (void)state;
    all_manners(ETX_INLINE, BEFORE);
    all_manners(0, BEFORE);
}

static void after_it_returned(void **state) {
    (void)state;
    all_manners(ETX_INLINE, AFTER);
    all_manners(0, AFTER);
}

static void twice(void **state) {
    (void)state;
    all_manners(ETX_INLINE, TWICE);
    all_manners(0, TWICE);
}

static void after_its_timeout(void **state) {
    (void)state;
    all_manners(ETX_INLINE, TOO_LATE);
    all_manners(0, TOO_LATE);
}

static void nonsense_tokens_are_ignored(void **state) {
    struct desk desk;
    (void)state;
    desk_make(&desk, 0, 60000);
    atomic_store(&desk.manner, AFTER);
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t bits = i * 0x9e3779b97f4a7c15ull;
        etx_token token = {{(i % 3) << 48 | (i % 5) << 32 | (i % 70), i % 4 ? i : bits}};
        complete(&desk, i % 9 ? token : (etx_token){{bits, i}}, i % 2 ? ETX_DONE : ETX_REFUSED);
        if (i % 100 == 0) {
            etx_outcome outcome = ETX_OUTCOME_INIT;
            rig_must(desk.engine, etx_tx_run(rig_pair(desk.engine, "later", NULL, 'D'), &outcome),
                     "run");
            assert_int_equal(outcome.state, ETX_COMMITTED);
        }
    }
    etx_completion wrong = ETX_COMPLETION_INIT;
    wrong.reply = ETX_LATER;
    assert_int_equal(etx_complete(desk.engine, desk.seen[0], &wrong), ETX_EINVALID);
    desk_end(&desk);
}

/* What two engines have called is alike but for its token. */
static void tokens_of_another_engine_are_ignored(void **state) {
    struct desk desk[2];
    rig_done done[2] = {{0}, {0}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        desk_make(&desk[i], ETX_INLINE, 60000);
        atomic_store(&desk[i].manner, KEPT);
        etx_tx *tx = rig_pair(desk[i].engine, "later", NULL, 'D');
        rig_must(desk[i].engine, etx_tx_submit(tx, rig_done_fn, &done[i]), "submit");
        while (atomic_load(&desk[i].forwards) < 2) {
            sched_yield();
        }
    }
    for (int i = 0; i < 2; i++) {
        complete(&desk[i], desk[!i].seen[0], ETX_REFUSED);
        complete(&desk[i], desk[!i].seen[1], ETX_REFUSED);
        complete(&desk[i], desk[i].seen[0], ETX_DONE);
        complete(&desk[i], desk[i].seen[1], ETX_DONE);
    }
    for (int i = 0; i < 2; i++) {
        assert_true(host_wait_for(&done[i].count, 1));
        assert_int_equal(desk[i].undos, 0);
        desk_end(&desk[i]);
    }
}

/* Nobody was asked: that is no attempt, and the limit is one. */
static void nobody_was_asked(void **state) {
    struct desk desk;
    (void)state;
    desk_make(&desk, ETX_INLINE, 0);
    atomic_store(&desk.manner, UNSENT);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(desk.engine, etx_tx_run(rig_pair(desk.engine, "later", NULL, 'D'), &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(desk.forwards, 6);
    desk_end(&desk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_it_returns),
        cmocka_unit_test(after_it_returned),
        cmocka_unit_test(twice),
        cmocka_unit_test(after_its_timeout),
        cmocka_unit_test(nonsense_tokens_are_ignored),
        cmocka_unit_test(tokens_of_another_engine_are_ignored),
        cmocka_unit_test(nobody_was_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
