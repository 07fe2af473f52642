/* Every kind, by workers and inline: what is called, in which order, with what; retries and their
 * limits; reasons. */
#include "rig.h"

enum { LOG_MAX = 512 };

struct heard {
    char branch[ETX_NAME_MAX + 1];
    etx_operation operation;
    uint64_t ms;
};

struct stage {
    rig_log log;
    etx_engine *engine;
    pthread_mutex_t lock;
    struct heard heard[LOG_MAX];
    unsigned count;
    char refuses[ETX_NAME_MAX + 1]; /* the branch whose forward operation says no */
    char fails[ETX_NAME_MAX + 1]; /* the branch that answers `answer` to the first `times` calls */
    etx_operation fails_at;
    etx_reply answer;
    unsigned times;
    uint32_t retry_after_ms;
    unsigned missing; /* results that were not given */
    unsigned handed;  /* results that the branch "end" was given of others, byte by byte */
};

static etx_reply answer_of(struct stage *stage, etx_call *call) {
    const char *branch = etx_call_branch(call);
    etx_operation operation = etx_call_operation(call);
    if (strcmp(branch, stage->fails) == 0 && operation == stage->fails_at &&
        etx_call_attempt(call) <= stage->times) {
        etx_call_reason(call, "not yet");
        etx_call_retry_after(call, stage->retry_after_ms);
        return stage->answer;
    }
    if (operation == ETX_FORWARD && strcmp(branch, stage->refuses) == 0) {
        etx_call_reason(call, "sold out");
        return ETX_REFUSED;
    }
    return ETX_DONE;
}

/* The results one by one are those by name; a call has a limit. */
static bool agree(const etx_call *call) {
    const char *name;
    const void *data;
    size_t len;
    bool all = etx_call_timeout_ms(call) > 0;
    for (uint32_t i = 0; (name = etx_call_result_at(call, i, &data, &len)) != NULL; i++) {
        size_t named_len;
        const void *named = etx_call_result_of(call, name, &named_len);
        all = all && (len == 0 || named == data) && named_len == len &&
              etx_call_result_at(call, i, NULL, NULL) == name;
    }
    return all;
}

/* How many others' results stand in the call as they were given. */
static unsigned handed_on(const etx_call *call) {
    char expected[96];
    const char *name;
    const void *data;
    size_t len;
    unsigned count = 0;
    for (uint32_t i = 0; (name = etx_call_result_at(call, i, &data, &len)) != NULL; i++) {
        snprintf(expected, sizeof expected, "result of %s", name);
        count += strcmp(name, etx_call_branch(call)) != 0 && len == strlen(expected) &&
                 memcmp(data, expected, len) == 0;
    }
    return count;
}

static etx_reply play(etx_call *call, void *user) {
    struct stage *stage = user;
    size_t len = 0;
    pthread_mutex_lock(&stage->lock);
    if (stage->count < LOG_MAX) {
        struct heard *heard = &stage->heard[stage->count++];
        snprintf(heard->branch, sizeof heard->branch, "%s", etx_call_branch(call));
        heard->operation = etx_call_operation(call);
        heard->ms = host_now_ms();
    }
    stage->missing += !agree(call);
    if (strcmp(etx_call_branch(call), "end") == 0 && etx_call_operation(call) == ETX_FORWARD) {
        stage->handed = handed_on(call);
    }
    etx_reply reply = answer_of(stage, call);
    if (etx_call_operation(call) == ETX_FORWARD && reply == ETX_DONE) {
        char result[96];
        snprintf(result, sizeof result, "result of %s", etx_call_branch(call));
        etx_call_result(call, result, strlen(result));
    } else if (reply == ETX_DONE && etx_call_kind(call) == ETX_SAGA) {
        const char *own = etx_call_result_of(call, etx_call_branch(call), &len);
        stage->missing += own == NULL && strcmp(etx_call_branch(call), stage->refuses) != 0;
    }
    pthread_mutex_unlock(&stage->lock);
    return reply;
}

static void add_participant(struct stage *stage, const char *name, etx_kind kind, uint32_t flags) {
    etx_participant participant = ETX_PARTICIPANT_INIT;
    participant.name = name;
    participant.kind = kind;
    participant.flags = flags;
    participant.user = stage;
    participant.forward = kind < ETX_MESSAGE ? play : NULL;
    participant.commit = kind != ETX_SAGA ? play : NULL;
    participant.undo = kind < ETX_MESSAGE ? play : NULL;
    rig_must(stage->engine, etx_engine_register(stage->engine, &participant), name);
}

static void stage_make(struct stage *stage, uint32_t flags) {
    memset(stage, 0, sizeof *stage);
    pthread_mutex_init(&stage->lock, NULL);
    rig_log_make(&stage->log, NULL, "partitions=1");
    etx_options options = rig_options();
    options.retry_first_ms = 5;
    options.retry_cap_ms = 40;
    options.working_ms = 20;
    options.park_after = 3;
    stage->engine = rig_engine(&options, stage->log.url, NULL);
    add_participant(stage, "tcc", ETX_TCC, flags);
    add_participant(stage, "saga", ETX_SAGA, flags);
    add_participant(stage, "xa", ETX_XA, flags);
    add_participant(stage, "message", ETX_MESSAGE, flags);
    add_participant(stage, "notification", ETX_NOTIFICATION, flags);
    rig_start(stage->engine);
}

static void stage_end(struct stage *stage) {
    rig_close(stage->engine, ETX_CLOSE_FINISH);
    rig_log_end(&stage->log);
}

static etx_tx *tx_new(struct stage *stage, const char *gid) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    options.gid = gid;
    rig_must(stage->engine, etx_tx_new(stage->engine, &options, &tx), "new");
    return tx;
}

static void add(etx_tx *tx, const char *participant, const char *name, const char *after) {
    etx_branch branch = ETX_BRANCH_INIT;
    const char *names[1] = {after};
    branch.participant = participant;
    branch.name = name;
    branch.payload = name;
    branch.payload_len = strlen(name);
    if (after != NULL) {
        branch.depends_on = names;
        branch.depends_on_count = 1;
    }
    assert_int_equal(etx_tx_add_branch(tx, &branch), 0);
}

/* Where the call stands in what was heard, from 0; -1: it was not made. */
static int place(const struct stage *stage, const char *branch, etx_operation operation) {
    for (unsigned i = 0; i < stage->count; i++) {
        if (strcmp(stage->heard[i].branch, branch) == 0 && stage->heard[i].operation == operation) {
            return (int)i;
        }
    }
    return -1;
}

static unsigned times(const struct stage *stage, const char *branch, etx_operation operation) {
    unsigned count = 0;
    for (unsigned i = 0; i < stage->count; i++) {
        count +=
            strcmp(stage->heard[i].branch, branch) == 0 && stage->heard[i].operation == operation;
    }
    return count;
}

static void add_all(etx_tx *tx) {
    add(tx, "tcc", "reserve", NULL);
    add(tx, "saga", "pack", NULL);
    add(tx, "saga", "ship", NULL);
    add(tx, "xa", "book", NULL);
    add(tx, "message", "tell", NULL);
    add(tx, "notification", "ring", NULL);
}

static void committed(uint32_t flags) {
    struct stage stage;
    stage_make(&stage, flags);
    etx_tx *tx = tx_new(&stage, NULL);
    add_all(tx);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(stage.engine, etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_true(place(&stage, "pack", ETX_FORWARD) < place(&stage, "ship", ETX_FORWARD));
    static const char *const forward[] = {"reserve", "pack", "ship", "book"};
    static const char *const finish[] = {"reserve", "book", "tell", "ring"};
    for (int f = 0; f < 4; f++) {
        assert_int_equal(times(&stage, forward[f], ETX_FORWARD), 1);
        assert_int_equal(times(&stage, finish[f], ETX_COMMIT), 1);
        for (int c = 0; c < 4; c++) {
            assert_true(place(&stage, forward[f], ETX_FORWARD) <
                        place(&stage, finish[c], ETX_COMMIT));
        }
        assert_int_equal(times(&stage, forward[f], ETX_UNDO), 0);
    }
    assert_int_equal(stage.count, 8);
    stage_end(&stage);
}

static void aborted(uint32_t flags) {
    struct stage stage;
    stage_make(&stage, flags);
    snprintf(stage.refuses, sizeof stage.refuses, "ship");
    etx_tx *tx = tx_new(&stage, NULL);
    add_all(tx);
    add(tx, "saga", "bill", NULL);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(stage.engine, etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_string_equal(outcome.reason, "sold out");
    assert_int_equal(place(&stage, "bill", ETX_FORWARD), -1);
    assert_int_equal(times(&stage, "pack", ETX_UNDO), 1);
    assert_int_equal(times(&stage, "reserve", ETX_UNDO), 1);
    assert_int_equal(times(&stage, "book", ETX_UNDO), 1);
    assert_int_equal(times(&stage, "tell", ETX_COMMIT), 0);
    assert_int_equal(times(&stage, "ring", ETX_COMMIT), 0);
    if (place(&stage, "ship", ETX_UNDO) >= 0) { /* a late copy of its call may yet succeed */
        assert_true(place(&stage, "ship", ETX_UNDO) < place(&stage, "pack", ETX_UNDO));
    }
    assert_int_equal(stage.missing, 0);
    stage_end(&stage);
}

static void all_kinds(void **state) {
    (void)state;
    committed(0);
    committed(ETX_INLINE);
    aborted(0);
    aborted(ETX_INLINE);
}

/* A diamond; undone in reverse. */
static void the_order_is_kept(void **state) {
    struct stage stage;
    (void)state;
    for (int refused = 0; refused < 2; refused++) {
        stage_make(&stage, 0);
        snprintf(stage.refuses, sizeof stage.refuses, "%s", refused ? "end" : "");
        etx_tx *tx = tx_new(&stage, NULL);
        const char *both[2] = {"left", "right"};
        etx_branch last = ETX_BRANCH_INIT;
        last.participant = "saga";
        last.name = "end";
        last.depends_on = both;
        last.depends_on_count = 2;
        last.flags = ETX_WANTS_RESULTS;
        assert_int_equal(etx_tx_add_branch(tx, &last), 0); /* it may name later ones */
        add(tx, "saga", "left", "top");
        add(tx, "saga", "right", "top");
        etx_branch top = ETX_BRANCH_INIT;
        top.participant = "saga";
        top.name = "top";
        top.independent = 1;
        assert_int_equal(etx_tx_add_branch(tx, &top), 0);
        etx_outcome outcome = ETX_OUTCOME_INIT;
        rig_must(stage.engine, etx_tx_run(tx, &outcome), "run");
        assert_int_equal(outcome.state, refused ? ETX_ABORTED : ETX_COMMITTED);
        assert_int_equal(place(&stage, "top", ETX_FORWARD), 0);
        assert_int_equal(place(&stage, "end", ETX_FORWARD), 3);
        assert_int_equal(stage.handed, 2);
        if (refused) {
            int undone = place(&stage, "top", ETX_UNDO);
            assert_int_equal(undone, (int)stage.count - 1);
            assert_true(place(&stage, "left", ETX_UNDO) < undone);
            assert_true(place(&stage, "right", ETX_UNDO) < undone);
        }
        stage_end(&stage);
    }
}

/* Steps that say nothing of their order follow one another; other kinds beside them do not wait. */
static void steps_follow_one_another(void **state) {
    struct stage stage;
    (void)state;
    stage_make(&stage, 0);
    etx_tx *tx = tx_new(&stage, NULL);
    static const char *const names[] = {"one", "two", "three"};
    for (unsigned i = 0; i < 3; i++) {
        etx_branch branch = ETX_BRANCH_INIT;
        branch.participant = "saga";
        branch.name = names[i];
        assert_int_equal(etx_tx_add_branch(tx, &branch), 0);
    }
    snprintf(stage.refuses, sizeof stage.refuses, "two");
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(stage.engine, etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_int_equal(place(&stage, "one", ETX_FORWARD), 0);
    assert_int_equal(place(&stage, "two", ETX_FORWARD), 1);
    assert_int_equal(place(&stage, "three", ETX_FORWARD), -1);
    assert_true(place(&stage, "two", ETX_UNDO) < place(&stage, "one", ETX_UNDO));
    stage_end(&stage);
}

/* Unknown, then still working: asked again, and nothing else changes. */
static void asked_again(void **state) {
    static const etx_operation operations[] = {ETX_FORWARD, ETX_COMMIT};
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct stage stage;
        stage_make(&stage, i & 1 ? ETX_INLINE : 0);
        snprintf(stage.fails, sizeof stage.fails, "a");
        stage.fails_at = operations[i >> 2];
        stage.answer = i & 2 ? ETX_WORKING : ETX_RETRY;
        stage.times = 2;
        stage.retry_after_ms = 30;
        etx_tx *tx = tx_new(&stage, NULL);
        add(tx, "tcc", "a", NULL);
        add(tx, "tcc", "b", NULL);
        etx_outcome outcome = ETX_OUTCOME_INIT;
        rig_must(stage.engine, etx_tx_run(tx, &outcome), "run");
        assert_int_equal(outcome.state, ETX_COMMITTED);
        assert_int_equal(times(&stage, "a", stage.fails_at), 3);
        assert_int_equal(times(&stage, "b", ETX_FORWARD), 1);
        int first = place(&stage, "a", stage.fails_at);
        uint64_t gap = 0;
        for (unsigned k = stage.count - 1; gap == 0; k--) {
            if (strcmp(stage.heard[k].branch, "a") == 0 &&
                stage.heard[k].operation == stage.fails_at) {
                gap = stage.heard[k].ms - stage.heard[first].ms;
                break;
            }
        }
        assert_true(gap >= 58); /* two pauses of 30 ms */
        stage_end(&stage);
    }
}

static void attempts_have_a_limit(void **state) {
    struct stage stage;
    (void)state;
    stage_make(&stage, 0);
    snprintf(stage.fails, sizeof stage.fails, "a");
    stage.answer = ETX_RETRY;
    stage.times = UINT32_MAX;
    etx_tx *tx = tx_new(&stage, NULL);
    etx_branch branch = ETX_BRANCH_INIT;
    branch.participant = "tcc";
    branch.name = "a";
    branch.attempts_max = 3;
    assert_int_equal(etx_tx_add_branch(tx, &branch), 0);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(stage.engine, etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_string_not_equal(outcome.reason, "");
    assert_int_equal(times(&stage, "a", ETX_FORWARD), 3);
    assert_int_equal(times(&stage, "a", ETX_UNDO), 1);
    stage_end(&stage);
}

static void a_notification_may_fail(void **state) {
    struct stage stage;
    (void)state;
    stage_make(&stage, ETX_INLINE);
    snprintf(stage.fails, sizeof stage.fails, "ring");
    stage.fails_at = ETX_COMMIT;
    stage.answer = ETX_RETRY;
    stage.times = UINT32_MAX;
    etx_tx *tx = tx_new(&stage, NULL);
    add(tx, "tcc", "a", NULL);
    add(tx, "notification", "ring", NULL);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(stage.engine, etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(times(&stage, "ring", ETX_COMMIT), 3);
    stage_end(&stage);
}

/* Finishing calls that fail too often park it; it is tried on, and resumed by hand. */
static void it_stalls_and_goes_on(void **state) {
    struct stage stage;
    (void)state;
    stage_make(&stage, 0);
    snprintf(stage.fails, sizeof stage.fails, "a");
    stage.fails_at = ETX_COMMIT;
    stage.answer = ETX_REFUSED;
    stage.times = UINT32_MAX;
    etx_tx *tx = tx_new(&stage, "stuck");
    add(tx, "tcc", "a", NULL);
    rig_done done = {0};
    rig_must(stage.engine, etx_tx_submit(tx, rig_done_fn, &done), "submit");
    assert_true(rig_reaches(stage.engine, "stuck", ETX_COMMITTING, ETX_MARK_STALLED));
    assert_int_equal(done.count, 0);
    pthread_mutex_lock(&stage.lock);
    stage.times = 0;
    pthread_mutex_unlock(&stage.lock);
    int rc = etx_retry(stage.engine, "stuck");
    assert_true(rc == 0 || rc == ETX_ESTATE);
    assert_true(host_wait_for(&done.count, 1));
    assert_int_equal(done.outcome.state, ETX_COMMITTED);
    assert_false(done.outcome.marks & ETX_MARK_STALLED);
    stage_end(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds),
        cmocka_unit_test(the_order_is_kept),
        cmocka_unit_test(steps_follow_one_another),
        cmocka_unit_test(asked_again),
        cmocka_unit_test(attempts_have_a_limit),
        cmocka_unit_test(a_notification_may_fail),
        cmocka_unit_test(it_stalls_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
