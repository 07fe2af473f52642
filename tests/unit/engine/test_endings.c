/* What the monitor is told when a transaction ends: all that was known of its branches. */
#include "rig.h"

enum { TOLD_MAX = 8 };

typedef struct told_branch {
    char name[16], reason[32];
    etx_reply forward, finish;
    uint32_t attempts, forward_attempts;
    char payload[16], result[16];
} told_branch;

/* What was told of one ending; and the answer that `answered` must not have by then. */
typedef struct teller {
    etx_status status;
    told_branch branch[TOLD_MAX];
    uint32_t branches;
    atomic_uint endings, answers;
    unsigned answers_before;
    unsigned unknown; /* so many forward calls have no answer */
} teller;

static void copy_bytes(etx_bytes from, char to[16]) {
    size_t len = from.len < 15 ? from.len : 15;
    if (len > 0) {
        memcpy(to, from.data, len);
    }
    to[len] = '\0';
}

static void on_ending(const etx_status *status, const etx_ending *ending, void *user) {
    teller *to = user;
    etx_branch_status branch = {.size = sizeof branch};
    to->status = *status;
    to->answers_before = to->answers;
    for (to->branches = 0; to->branches < TOLD_MAX; to->branches++) {
        told_branch *one = &to->branch[to->branches];
        if (etx_ending_branch(ending, to->branches, &branch) != 0) {
            break;
        }
        snprintf(one->name, sizeof one->name, "%s", branch.name);
        snprintf(one->reason, sizeof one->reason, "%s", branch.reason);
        one->forward = branch.forward;
        one->finish = branch.finish;
        one->attempts = branch.attempts;
        one->forward_attempts = branch.forward_attempts;
        copy_bytes(branch.payload, one->payload);
        copy_bytes(branch.result, one->result);
    }
    rig_check(etx_ending_branch(ending, to->branches, &branch) == ETX_ENOTFOUND);
    branch.size = 0;
    rig_check(etx_ending_branch(ending, 0, &branch) == ETX_EINVALID);
    atomic_fetch_add(&to->endings, 1);
}

static etx_reply forward(etx_call *call, void *user) {
    teller *to = user;
    size_t len = 0;
    const char *payload = etx_call_payload(call, &len);
    if (to->unknown > 0) {
        to->unknown--;
        etx_call_reason(call, "the line is cut");
        return ETX_RETRY;
    }
    if (len > 0 && payload[0] == 'R') {
        etx_call_reason(call, "none left");
        return ETX_REFUSED;
    }
    etx_call_result(call, "yes", 3);
    return ETX_DONE;
}

static etx_reply finish(etx_call *call, void *user) {
    (void)call;
    (void)user;
    return ETX_DONE;
}

static etx_engine *open_engine(teller *to, rig_log *log) {
    etx_options options = rig_options();
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_participant shop = ETX_PARTICIPANT_INIT;
    etx_engine *engine;
    monitor.on_ending = on_ending;
    monitor.user = to;
    options.monitor = &monitor;
    options.retry_first_ms = 1;
    engine = rig_engine(&options, log->url, NULL);
    shop.name = "shop";
    shop.forward = forward;
    shop.commit = finish;
    shop.undo = finish;
    shop.flags = ETX_INLINE;
    shop.user = to;
    rig_must(engine, etx_engine_register(engine, &shop), "register");
    shop.name = "saga-shop";
    shop.kind = ETX_SAGA;
    shop.commit = NULL;
    rig_must(engine, etx_engine_register(engine, &shop), "register");
    rig_start(engine);
    return engine;
}

static void on_done(int rc, const etx_outcome *outcome, void *user) {
    teller *to = user;
    rig_check(rc == 0 && outcome->state >= ETX_ACTIVE);
    atomic_fetch_add(&to->answers, 1);
}

static void submit(etx_engine *engine, teller *to, const char *shop, const char *second) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_tx *tx = NULL;
    options.gid = "one";
    options.deadline_ms = 60000;
    rig_must(engine, etx_tx_new(engine, &options, &tx), "new");
    branch.participant = shop;
    branch.name = "first";
    branch.payload = "D1";
    branch.payload_len = 2;
    rig_must(engine, etx_tx_add_branch(tx, &branch), "add");
    branch.name = "second";
    branch.payload = second;
    branch.payload_len = 2;
    rig_must(engine, etx_tx_add_branch(tx, &branch), "add");
    assert_int_equal(etx_tx_submit(tx, on_done, to), 0);
    while (atomic_load(&to->answers) == 0) {
        usleep(1000);
    }
}

/* Once, before who waits is answered, and with what a question before would have shown. */
static void a_commit_is_told(void **state) {
    teller to = {.unknown = 2};
    rig_log log;
    (void)state;
    rig_log_make(&log, NULL, "partitions=3");
    etx_engine *engine = open_engine(&to, &log);
    submit(engine, &to, "shop", "D2");
    assert_int_equal(to.endings, 1);
    assert_int_equal(to.answers_before, 0);
    assert_string_equal(to.status.gid, "one");
    assert_int_equal(to.status.state, ETX_COMMITTED);
    assert_int_equal(to.status.branch_count, 2);
    assert_true(to.status.begin_ms <= to.status.decided_ms);
    assert_true(to.status.decided_ms <= to.status.ended_ms);
    assert_true(to.status.deadline_ms >= to.status.begin_ms + 60000);
    assert_int_equal(to.branches, 2);
    uint32_t calls = 0;
    for (uint32_t i = 0; i < 2; i++) {
        assert_string_equal(to.branch[i].name, i == 0 ? "first" : "second");
        assert_int_equal(to.branch[i].forward, ETX_DONE);
        assert_int_equal(to.branch[i].finish, ETX_DONE);
        assert_int_equal(to.branch[i].attempts, 1);
        assert_string_equal(to.branch[i].result, "yes");
        calls += to.branch[i].forward_attempts;
    }
    assert_int_equal(calls, 4); /* two had no answer */
    assert_string_equal(to.branch[0].payload, "D1");
    assert_string_equal(to.branch[0].reason, "the line is cut");
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_log_end(&log);
}

/* Of steps nothing more is asked: what they gave is told all the same, and how often they were
 * called. */
static void a_committed_saga_is_told(void **state) {
    teller to = {.unknown = 2};
    rig_log log;
    (void)state;
    rig_log_make(&log, NULL, "partitions=1");
    etx_engine *engine = open_engine(&to, &log);
    submit(engine, &to, "saga-shop", "D2");
    assert_int_equal(to.endings, 1);
    assert_int_equal(to.status.state, ETX_COMMITTED);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(to.branch[i].forward, ETX_DONE);
        assert_int_equal(to.branch[i].finish, 0);
        assert_string_equal(to.branch[i].result, "yes");
        assert_int_equal(to.branch[i].attempts, to.branch[i].forward_attempts);
    }
    assert_int_equal(to.branch[0].attempts + to.branch[1].attempts, 4);
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_log_end(&log);
}

static void an_abort_is_told(void **state) {
    teller to = {0};
    rig_log log;
    (void)state;
    rig_log_make(&log, NULL, "partitions=1");
    etx_engine *engine = open_engine(&to, &log);
    submit(engine, &to, "shop", "R2");
    assert_int_equal(to.endings, 1);
    assert_int_equal(to.status.state, ETX_ABORTED);
    assert_string_equal(to.status.reason, "none left");
    assert_int_equal(to.branch[0].finish, ETX_DONE); /* undone */
    assert_int_equal(to.branch[1].forward, ETX_REFUSED);
    assert_string_equal(to.branch[1].reason, "none left");
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_log_end(&log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_is_told),
        cmocka_unit_test(a_committed_saga_is_told),
        cmocka_unit_test(an_abort_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
