/* Edges: verdicts of admit and turns of the core that no story comes to by itself. */
#include "unit.h"

static int admits(const world *w, const char *gid, etx_record *record) {
    record->gid = text_of(gid);
    return etx__admit(w->core, known(w, gid), record);
}

static int admits_result(const world *w, const char *gid, uint16_t place, uint8_t operation) {
    etx_record record = {.type = ETX_RECORD_RESULT};
    record.u.result.branch = place;
    record.u.result.operation = operation;
    record.u.result.reply = ETX_DONE;
    return admits(w, gid, &record);
}

static int admits_force(const world *w, const char *gid, uint8_t action) {
    etx_record record = {.type = ETX_RECORD_FORCE};
    record.u.force.action = action;
    return admits(w, gid, &record);
}

/* Operations that a kind has not, and those that are done. */
static void test_operations(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop\nbegin t a:saga b:tcc c:message nobody\nput");
    say(&w, "reply t a done\nreply t b done\nput");
    assert_int_equal(admits_result(w, "t", 0, ETX_COMMIT), ETX_ESTATE);
    assert_int_equal(admits_result(w, "t", 1, ETX_COMMIT), 0);
    say(&w, "begin u a:tcc b:tcc nobody\nput\nabort u\nput\nreply u a done\nreply u b done");
    say(&w, "reply u a done\nput");
    assert_int_equal(admits_result(w, "u", 0, ETX_UNDO), ETX_ESTATE);
    assert_int_equal(admits_result(w, "u", 1, ETX_UNDO), 0);
    assert_int_equal(admits_force(w, "u", ETX_FORCE_PARK), 0);
    say(&w, "park u\npark u\nput");
    assert_int_equal(answer_of(w, "park u"), ETX_ESTATE);
    assert_int_equal(admits_force(w, "u", 77), ETX_EINVALID);
    etx_record odd = {.type = 77};
    assert_int_equal(admits(w, "u", &odd), ETX_EINVALID);
    odd.type = 0;
    assert_int_equal(admits(w, "u", &odd), ETX_EINVALID);
    world_free(w);
}

static void expect_words(world **w, const char *command, uint8_t type) {
    say(w, command);
    const etx_record *record = &(*w)->core->out->record[0];
    int decides = type == ETX_RECORD_DECIDE;
    etx_bytes who = decides ? record->u.decide.who : record->u.force.who;
    etx_bytes why = decides ? record->u.decide.reason : record->u.force.why;
    assert_true((*w)->core->out->record_count > 0 && record->type == type);
    assert_true(who.len == 3 && memcmp(who.data, "ann", 3) == 0);
    assert_true(why.len == 8 && memcmp(why.data, "a reason", 8) == 0);
    say(w, "put");
}

/* Whatever an operator does is recorded with who said so, and why. */
static void test_who_and_why(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop\nbegin t a:tcc nobody\nput");
    expect_words(&w, "park t", ETX_RECORD_FORCE);
    expect_words(&w, "resume t", ETX_RECORD_FORCE);
    expect_words(&w, "force t abort", ETX_RECORD_DECIDE);
    expect_words(&w, "force t done a undo", ETX_RECORD_FORCE);
    world_free(w);
}

/* An abort of what nobody has begun ends at once, and an operator hears of that end once it is
 * durable. */
static void test_operator_of_an_undurable_end(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nabort u\nforce u commit");
    assert_false(is_answered(w, "force u"));
    say(&w, "put");
    assert_int_equal(answer_of(w, "force u"), ETX_ESTATE);
    world_free(w);
}

/* One whose image is beyond the limit already: results without bytes are always taken. */
static void test_image(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world image=100\nparticipant shop");
    say(&w, "begin t a:tcc:shop:i mode=interactive deadline=9000\nput");
    assert_int_equal(admits_result(w, "t", 0, ETX_FORWARD), 0);
    say(&w, "enlist t b:tcc:shop:i\nresult t a done\ncommit t\nput");
    assert_true(answer_of(w, "enlist t") < 0);
    assert_int_equal(known(w, "t")->state, ETX_COMMITTING);
    world_free(w);
}

static int durable_state(const world *w, const char *gid) {
    return (int)etx__core_durable_state(w->core, known(w, gid));
}

/* Who only glances waits for no put: what a crash would take back is not told. */
static void test_what_is_durable(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop\nbegin t a:tcc:shop:i mode=interactive deadline=9000");
    assert_int_equal(durable_state(w, "t"), ETX_NONE);
    say(&w, "put");
    assert_int_equal(durable_state(w, "t"), ETX_ACTIVE);
    say(&w, "enlist t b:tcc:shop:i"); /* not decided */
    assert_int_equal(durable_state(w, "t"), ETX_ACTIVE);
    say(&w, "put\nresult t a done\nresult t b done\ncommit t");
    assert_int_equal(known(w, "t")->state, ETX_COMMITTING);
    assert_int_equal(durable_state(w, "t"), ETX_ACTIVE);
    say(&w, "put\npark t"); /* that is not durable; the decision is */
    assert_int_equal(durable_state(w, "t"), ETX_COMMITTING);
    say(&w, "put\nresume t\nput\nreply t a done\nreply t b done");
    assert_int_equal(durable_state(w, "t"), ETX_COMMITTED); /* as it will be in any case */
    say(&w, "abort u");
    assert_int_equal(durable_state(w, "u"), ETX_NONE);
    say(&w, "put");
    assert_int_equal(durable_state(w, "u"), ETX_ABORTED);
    world_free(w);
}

/* The END that numbers the abort of an unknown gid: that number, and while it is under way. */
static void test_number_of_an_unknown_abort(void **state) {
    (void)state;
    world *w = NULL;
    etx_record end = {.type = ETX_RECORD_END};
    say(&w, "world\nabort t");
    end.u.end.ended_no = 1;
    assert_int_equal(admits(w, "t", &end), 0);
    end.u.end.ended_no = 5;
    assert_int_equal(admits(w, "t", &end), ETX_ESTATE);
    say(&w, "put");
    end.u.end.ended_no = 1;
    assert_int_equal(admits(w, "t", &end), ETX_ESTATE);
    world_free(w);
}

/* Records of no type that is known, and operations that are none, fold into nothing. */
static void test_odd_records(void **state) {
    (void)state;
    world *w = NULL;
    void *memory = NULL;
    say(&w, "world\nparticipant shop\nbegin t a:tcc nobody\nput");
    etx__core *core = world_fold(w, 0, w->records, &memory);
    etx_record record = {.type = 77, .gid = text_of("t")};
    assert_int_equal(etx__core_fold(core, &record), 0);
    record.type = 0;
    assert_int_equal(etx__core_fold(core, &record), 0);
    record = (etx_record){.type = ETX_RECORD_FORCE, .gid = text_of("t")};
    record.u.force.action = ETX_FORCE_SETTLE;
    record.u.force.operation = ETX_QUERY;
    assert_int_equal(etx__core_fold(core, &record), 0);
    etx_bytes gid = text_of("t");
    const etx__entry *entry = etx__core_find(core, gid, etx__core_hash(gid));
    assert_int_equal(entry->marks & ETX_MARK_FORCED, 0);
    assert_int_equal(entry->tx->branch[0]->s.settled, 0);
    free(memory);
    world_free(w);
}

/* A branch with numbers of its own, which go before all others. */
static void test_own_numbers(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop first=10 cap=20 timeout=50 attempts=9");
    etx_record_branch branch = {.name = text_of("a"),
                                .participant = text_of("shop"),
                                .kind = ETX_TCC,
                                .attempts_max = 2,
                                .call_timeout_ms = 700,
                                .retry_first_ms = 400,
                                .retry_cap_ms = 450};
    etx_record_begin begin = {.time_ms = w->now.wall_ms, .mode = ETX_SUBMITTED};
    begin.branch_count = 1;
    begin.branches = &branch;
    begin.digest = etx_record_begin_digest(&begin);
    etx__event event;
    world_event(w, &event, ETX__EV_BEGIN, "t");
    event.u.begin.begin = &begin;
    world_step(w, &event);
    say(&w, "put");
    assert_int_equal(wakes_in(w), 700);
    say(&w, "reply t a retry");
    assert_in_range(wakes_in(w), 300, 450);
    say(&w, "trim\ncrash"); /* they are durable */
    assert_int_equal(wakes_in(w), 700);
    say(&w, "reply t a retry\ntick next\nreply t a retry");
    assert_int_equal(known(w, "t")->state, ETX_ABORTING);
    world_free(w);
}

/* Commands that nobody waits for: an error is told to nobody. */
static void test_nobody_waits(void **state) {
    (void)state;
    static const etx__event_type types[] = {ETX__EV_RESULT, ETX__EV_HOLD,  ETX__EV_COMMIT,
                                            ETX__EV_ABORT,  ETX__EV_WAIT,  ETX__EV_RETRY,
                                            ETX__EV_PARK,   ETX__EV_UNPARK};
    world *w = NULL;
    say(&w, "world\nparticipant shop\nbegin t a:tcc nobody\nput");
    for (unsigned i = 0; i < sizeof types / sizeof types[0]; i++) {
        static const char *const gids[] = {"t", "unknown"};
        for (unsigned g = 0; g < 2; g++) {
            etx__event event;
            world_event(w, &event, types[i], gids[g]);
            if (types[i] == ETX__EV_RESULT) {
                event.u.result.branch = text_of("zzz");
            }
            world_step(w, &event);
        }
    }
    say(&w, "put");
    assert_int_equal(w->failures, 0);
    world_free(w);
}

/* More names of branches to depend on than there can be branches. */
static void test_too_many_dependencies(void **state) {
    (void)state;
    enum { MANY = ETX_BRANCHES_MAX + 1 };
    static etx_bytes names[MANY];
    world *w = NULL;
    say(&w, "world\nparticipant shop\nbegin t mode=interactive deadline=9000\nenlist t a:tcc\nput");
    for (unsigned i = 0; i < MANY; i++) {
        names[i] = text_of("a");
    }
    etx_record_branch branch = {
        .name = text_of("b"), .participant = text_of("shop"), .kind = ETX_TCC};
    etx__event event;
    world_event(w, &event, ETX__EV_ENLIST, "t");
    event.u.enlist.branch = &branch;
    event.u.enlist.depends_on = names;
    event.u.enlist.depends_on_count = MANY;
    event.waiter = world_waiter_make(w, "too many", ETX_WAIT_BEGUN, 0);
    world_step(w, &event);
    say(&w, "put");
    assert_int_equal(answer_of(w, "too many"), ETX_EINVALID);
    world_free(w);
}

/* Each of a branch's own numbers alone. */
static void test_one_number(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop");
    for (int i = 0; i < 5; i++) {
        etx_record_branch branch = {
            .name = text_of("a"), .participant = text_of("shop"), .kind = ETX_TCC};
        branch.attempts_max = i == 0 ? 3 : 0;
        branch.call_timeout_ms = i == 1 ? 700 : 0;
        branch.retry_first_ms = i == 2 ? 400 : 0;
        branch.retry_cap_ms = i == 3 ? 50 : 0;
        etx_record_begin begin = {.time_ms = w->now.wall_ms, .mode = ETX_SUBMITTED};
        begin.branch_count = 1;
        begin.branches = &branch;
        char gid[16];
        snprintf(gid, sizeof gid, "t%d", i);
        etx__event event;
        world_event(w, &event, ETX__EV_BEGIN, gid);
        event.u.begin.begin = &begin;
        world_step(w, &event);
        assert_int_equal(known(w, gid)->tx->branch[0]->s.rare != NULL, i < 4);
    }
    say(&w, "put\nreply t2 a retry\nreply t3 a retry");
    assert_in_range(wakes_in(w), 30, 50);
    world_free(w);
}

/* Given up: what is remembered stays. */
static void test_give_up_of_the_remembered(void **state) {
    (void)state;
    world *w = NULL;
    etx__event event;
    say(&w, "world\nabort t");
    world_event(w, &event, ETX__EV_GIVE_UP, "t");
    event.u.forget.rc = ETX_EUNAVAILABLE;
    world_step(w, &event);
    assert_non_null(known(w, "t"));
    say(&w, "put");
    assert_int_equal(answer_of(w, "abort t"), 0);
    world_free(w);
}

/* A begin that is refused, and nobody waits. */
static void test_refused_unheard(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world transactions=1\nparticipant shop\nbegin t a:tcc nobody\nbegin u a:tcc nobody");
    assert_null(known(w, "u"));
    say(&w, "put\nreply t a done\nput\nabort t");
    assert_int_equal(known(w, "t")->state, ETX_COMMITTING);
    world_free(w);
}

/* More to tell in one step than it holds. */
static void test_many_unregistered(void **state) {
    (void)state;
    enum { N = 1100 };
    world *w = NULL;
    say(&w, "world transactions=1200 history=10 pool=4194304");
    w->check_every = 1u << 30;
    for (int i = 0; i < N; i++) {
        char text[64];
        snprintf(text, sizeof text, "begin t%d a:tcc:nobody-has-it nobody", i);
        say(&w, text);
    }
    say(&w, "put");
    for (int i = 0; i < N; i++) {
        char gid[16];
        snprintf(gid, sizeof gid, "t%d", i);
        assert_int_equal(known(w, gid)->tx->r.unregistered, 1);
    }
    world_free(w);
}

/* A refusal that waits for the log, and a log that is lost: the answer is the loss, not the words
 * of the refusal. */
static void test_words_of_a_lost_refusal(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world branches=1\nparticipant shop");
    say(&w, "begin t a:tcc mode=interactive deadline=9000 nobody\nenlist t b:tcc:shop");
    assert_false(is_answered(w, "enlist t"));
    assert_non_null(w->waiter[w->waiters - 1].waiter.why);
    say(&w, "forget");
    assert_int_equal(answer_of(w, "enlist t"), ETX_EUNKNOWN);
    assert_null(w->waiter[w->waiters - 1].waiter.why);
    world_free(w);
}

/* A core that only looks has nothing to abort. */
static void test_inspect_aborts_nothing(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop\nbegin t a:tcc nobody\nput\ncrash inspect=1\nabort t\nput");
    assert_int_equal(known(w, "t")->state, ETX_ACTIVE);
    world_free(w);
}

/* Many at once: what a step cannot hold comes with the next, and nothing is lost. */
static void test_outputs_overflow(void **state) {
    (void)state;
    enum { N = 30, BRANCHES = 60 };
    world *w = NULL;
    say(&w, "world transactions=64 history=64 branches=128 image=1000000\nparticipant shop");
    w->check_every = 1000;
    for (int i = 0; i < N; i++) {
        char *text = NULL;
        size_t len = 0;
        FILE *to = open_memstream(&text, &len);
        fprintf(to, "begin t%d nobody", i);
        for (int b = 0; b < BRANCHES; b++) {
            fprintf(to, " b%d:tcc", b);
        }
        fclose(to);
        say(&w, text);
        free(text);
    }
    say(&w, "put");
    assert_int_equal(w->calls, N * BRANCHES);
    for (uint32_t i = 0; i < N * BRANCHES; i++) {
        world_reply(w, &w->call[i], i % BRANCHES ? ETX_DONE : ETX_RETRY, text_of(""), text_of(""),
                    0);
    }
    say(&w, "put"); /* results of all, in more than one step */
    assert_int_equal(w->records, 1 + N + N * (BRANCHES - 1));
    world_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_who_and_why),
        cmocka_unit_test(test_operator_of_an_undurable_end),
        cmocka_unit_test(test_image),
        cmocka_unit_test(test_what_is_durable),
        cmocka_unit_test(test_number_of_an_unknown_abort),
        cmocka_unit_test(test_odd_records),
        cmocka_unit_test(test_own_numbers),
        cmocka_unit_test(test_nobody_waits),
        cmocka_unit_test(test_too_many_dependencies),
        cmocka_unit_test(test_one_number),
        cmocka_unit_test(test_give_up_of_the_remembered),
        cmocka_unit_test(test_refused_unheard),
        cmocka_unit_test(test_many_unregistered),
        cmocka_unit_test(test_inspect_aborts_nothing),
        cmocka_unit_test(test_words_of_a_lost_refusal),
        cmocka_unit_test(test_outputs_overflow),
    };
    return cmocka_run_group_tests_name("core edges", tests, NULL, NULL);
}
