/* Calls: when they are made again, when they count as stalled, what a late answer does. */
#include "unit.h"

static uint32_t calls_of(const world *w, const char *branch, etx_operation operation) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->calls; i++) {
        count += strcmp(w->call[i].branch, branch) == 0 && w->call[i].operation == operation;
    }
    return count;
}

/* A quarter less to a quarter more of first * 2^n, never more than the cap. */
static void test_backoff(void **state) {
    (void)state;
    world *w = NULL;
    uint64_t least = UINT64_MAX, most = 0;
    say(&w, "world\nparticipant shop first=100 cap=5000");
    say(&w, "begin t a:tcc\nput");
    for (unsigned n = 0; n < 60; n++) {
        uint64_t pause = n < 6 ? 100ull << n : 5000;
        w->now.random = w->now.random * 1664525u + 1013904223u;
        w->now.random ^= w->now.random >> 15;
        say(&w, "reply t a retry");
        uint64_t is = wakes_in(w);
        assert_true(is >= pause - pause / 4);
        assert_true(is <= pause + pause / 4 && is <= 5000);
        least = n > 10 && is < least ? is : least;
        most = n > 10 && is > most ? is : most;
        say(&w, "tick next");
    }
    assert_true(most - least > 800); /* there is jitter */
    assert_int_equal(calls_of(w, "a", ETX_FORWARD), 61);
    world_free(w);
}

/* A branch's own numbers go before its participant's, those before the engine's. */
static void test_whose_numbers(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop\nparticipant quick first=10 cap=20 timeout=50");
    say(&w, "begin t a:tcc\nput");
    assert_int_equal(wakes_in(w), 30000);
    say(&w, "begin u a:tcc:quick\nput");
    assert_int_equal(wakes_in(w), 50);
    say(&w, "reply u a retry");
    assert_in_range(wakes_in(w), 7, 12);
    say(&w, "tick next\nreply u a retry after=700");
    assert_int_equal(wakes_in(w), 700); /* what the participant asked for, if it is longer */
    world_free(w);
}

static void test_working_keeps_the_interval(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop first=100 cap=30000 attempts=3");
    say(&w, "begin t a:tcc\nput\nreply t a retry\ntick next\nreply t a retry\ntick next");
    for (int i = 0; i < 50; i++) {
        say(&w, "reply t a working");
        assert_int_equal(wakes_in(w), 1000);
        say(&w, "tick next");
    }
    say(&w, "reply t a working after=5");
    assert_int_equal(wakes_in(w), 5);
    say(&w, "tick next");
    assert_int_equal(known(w, "t")->state, ETX_ACTIVE); /* no failure, so no limit */
    say(&w, "reply t a retry");
    assert_int_equal(known(w, "t")->state, ETX_ABORTING);
    world_free(w);
}

/* What nobody was asked for is no attempt: no limit of attempts, only the deadline ends it. */
static void test_unsent(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop first=100 cap=30000 attempts=2");
    say(&w, "begin t a:tcc deadline=600000 nobody\nput");
    const etx__branch *branch = known(w, "t")->tx->branch[0];
    uint64_t longest = 0;
    for (int i = 0; i < 8; i++) {
        say(&w, "reply t a unsent");
        assert_int_equal(known(w, "t")->state, ETX_ACTIVE);
        assert_int_equal(branch->r.call.count, 0);
        assert_int_equal(branch->r.forward_attempts, 0);
        longest = wakes_in(w);
        say(&w, "tick next");
        assert_int_equal(branch->r.call.count, 1);
    }
    assert_in_range(longest, 9600, 16000); /* with backoff */
    say(&w, "reply t a unsent after=29999");
    assert_in_range(wakes_in(w), 29999, 30000);
    say(&w, "tick next\nreply t a retry\ntick next\nreply t a unsent\ntick next");
    assert_int_equal(known(w, "t")->state, ETX_ACTIVE); /* that was the first */
    say(&w, "reply t a retry");
    assert_int_equal(known(w, "t")->state, ETX_ABORTING);
    assert_int_equal(branch->r.forward_attempts, 2);
    say(&w, "begin u a:saga deadline=1000 nobody\nput\nreply u a unsent\ntick 1000");
    assert_int_equal(known(w, "u")->state, ETX_ABORTING);
    world_free(w);
}

/* After the decision it is as visible as any failure, and a notification is given up. */
static void test_unsent_after_the_decision(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world park_after=2\nparticipant shop first=10 cap=10");
    say(&w, "begin t a:message b:notification nobody\nput");
    say(&w, "reply t a unsent\nreply t b unsent\ntick next");
    assert_int_equal(known(w, "t")->tx->branch[0]->r.call.count, 1);
    say(&w, "reply t a unsent\nreply t b unsent\ntick next");
    assert_int_equal(w->core->stalled, 1);
    say(&w, "reply t b unsent\nreply t a done\nput");
    assert_int_equal(known(w, "t")->state, ETX_COMMITTED);
    assert_int_equal(w->core->stalled, 0);
    world_free(w);
}

static void test_notification(void **state) {
    (void)state;
    static const unsigned limits[] = {0, 1, 5};
    for (unsigned l = 0; l < 3; l++) {
        char text[100];
        unsigned limit = limits[l] > 0 ? limits[l] : 3;
        world *w = NULL;
        snprintf(text, sizeof text, "world park_after=2\nparticipant shop cap=900 attempts=%u",
                 limits[l]);
        say(&w, text);
        say(&w, "begin t a:notification b:message nobody\nput");
        for (unsigned n = 1; n <= limit; n++) {
            say(&w, n % 2 ? "reply t a retry" : "reply t a refused");
            assert_int_equal(known(w, "t")->tx->r.stalled, n >= 2 && n < limit);
            say(&w, n < limit ? "tick next" : "put");
        }
        assert_int_equal(calls_of(w, "a", ETX_COMMIT), limit);
        assert_int_equal(known(w, "t")->tx->branch[0]->s.finish, ETX_REFUSED); /* recorded */
        assert_int_equal(w->core->stalled, 0);
        say(&w, "reply t b done\nput");
        assert_int_equal(known(w, "t")->state, ETX_COMMITTED);
        world_free(w);
    }
}

/* Its limit is of calls, also where each says that it is still working. */
static void test_notification_that_works_on(void **state) {
    (void)state;
    static const char *const answers[] = {"working", "working after=70", "retry", "working"};
    world *w = NULL;
    say(&w, "world\nparticipant shop first=10 cap=10 attempts=4");
    say(&w, "begin t a:notification nobody\nput");
    for (unsigned n = 0; n < 4; n++) {
        char text[60];
        assert_int_equal(known(w, "t")->state, ETX_COMMITTING);
        snprintf(text, sizeof text, "reply t a %s", answers[n]);
        say(&w, text);
        if (n == 1) {
            assert_int_equal(wakes_in(w), 70); /* the interval stays */
        }
        say(&w, n < 3 ? "tick next" : "put");
    }
    assert_int_equal(known(w, "t")->state, ETX_COMMITTED);
    assert_int_equal(calls_of(w, "a", ETX_COMMIT), 4);
    world_free(w);
}

/* Its own limit goes before its participant's, which is more here. */
static void test_notification_of_its_own_limit(void **state) {
    (void)state;
    static const uint16_t none[] = {0};
    world *w = NULL;
    etx__event event;
    etx_record_branch branch = {.name = text_of("a"),
                                .participant = text_of("shop"),
                                .depends_on = none,
                                .kind = ETX_NOTIFICATION,
                                .attempts_max = 2};
    etx_record_begin begin = {.mode = ETX_SUBMITTED,
                              .durability = ETX_LOCAL,
                              .marks = ETX_MARK_CHOSEN,
                              .branch_count = 1,
                              .branches = &branch};
    say(&w, "world\nparticipant shop first=10 cap=10 attempts=7");
    begin.time_ms = w->now.wall_ms;
    world_event(w, &event, ETX__EV_BEGIN, "t");
    event.u.begin.begin = &begin;
    world_step(w, &event);
    say(&w, "put\nreply t a retry");
    assert_int_equal(known(w, "t")->state, ETX_COMMITTING);
    say(&w, "tick next\nreply t a retry\nput");
    assert_int_equal(known(w, "t")->state, ETX_COMMITTED);
    assert_int_equal(w->calls, 2);
    world_free(w);
}

static void test_stalled(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world park_after=2\nparticipant shop first=10 cap=8000");
    say(&w, "begin t a:message b:message nobody\nput");
    say(&w, "reply t a retry\ntick next");
    assert_int_equal(w->core->stalled, 0);
    say(&w, "reply t a retry");
    assert_int_equal(w->core->stalled, 1);
    assert_in_range(wakes_in(w), 6000, 8000); /* tried on at the longest interval */
    say(&w, "reply t b retry\ntick 20\nreply t b retry\ntick 8000");
    say(&w, "reply t a done");
    assert_int_equal(w->core->stalled, 1); /* b is, still */
    say(&w, "force t done b commit\nput");
    assert_int_equal(w->core->stalled, 0);
    world_free(w);
    w = NULL;
    say(&w, "world park_after=2\nparticipant shop first=10 cap=10\nbegin t a:tcc nobody\nput");
    say(&w, "reply t a retry\ntick next\nreply t a retry\ntick next\nreply t a retry");
    assert_int_equal(w->core->stalled, 0); /* forward operations are not finishing ones */
    say(&w, "tick next\nreply t a done\nput");
    say(&w, "reply t a retry\ntick next\nreply t a retry\nresume t");
    assert_int_equal(w->core->stalled, 0); /* an operator takes the mark off */
    assert_int_equal(answer_of(w, "resume t"), 0);
    world_free(w);
}

/* An initiator that cannot be asked is as visible as a participant that fails. */
static void test_stalled_initiator(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world park_after=2\nparticipant shop\nparticipant app first=10 cap=10");
    say(&w, "begin t a:message mode=interactive initiator=app deadline=100\nput\ntick 100");
    say(&w, "reply t - retry\ntick next\nreply t - retry");
    assert_int_equal(w->core->stalled, 1);
    say(&w, "tick next\nreply t - done\nput");
    assert_int_equal(w->core->stalled, 0);
    assert_int_equal(known(w, "t")->state, ETX_COMMITTING);
    world_free(w);
}

static void test_late_and_repeated_answers(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop timeout=100 first=10 cap=10\nbegin t a:tcc nobody\nput");
    say(&w, "reply t a later\ntick 100\ntick next");
    world_call first = w->call[0];
    assert_int_equal(calls_of(w, "a", ETX_FORWARD), 2);
    world_reply(w, &first, ETX_REFUSED, text_of(""), text_of(""), 0); /* of the first call */
    assert_int_equal(known(w, "t")->state, ETX_ACTIVE);
    say(&w, "reply t a done");
    assert_int_equal(known(w, "t")->state, ETX_COMMITTING);
    first = w->call[1];
    world_reply(w, &first, ETX_REFUSED, text_of(""), text_of(""), 0);
    first.entry = 77777; /* a token that names nothing */
    world_reply(w, &first, ETX_DONE, text_of(""), text_of(""), 0);
    first.entry = w->call[1].entry;
    first.place = 50;
    world_reply(w, &first, ETX_DONE, text_of(""), text_of(""), 0);
    first.place = ETX__INITIATOR; /* it has none */
    world_reply(w, &first, ETX_DONE, text_of(""), text_of(""), 0);
    assert_int_equal(w->failures, 0);
    world_free(w);
}

/* A callback that is past its timeout and has not returned: nothing is called beside it. */
static void test_slow_callback(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop timeout=100 first=10 cap=10\nbegin t a:tcc nobody\nput");
    say(&w, "tick 100\ntick 10000\ntick 10000\nretry t\ntick 10000");
    assert_int_equal(calls_of(w, "a", ETX_FORWARD), 1);
    say(&w, "reply t a done");
    assert_int_equal(known(w, "t")->state, ETX_COMMITTING);
    world_free(w);
}

/* Answered by its token while its callback still runs: the next call waits until it returns. */
static void test_answered_before_it_returns(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop timeout=500 first=10 cap=10\nbegin t a:tcc nobody\nput");
    say(&w, "reply t a retry by-token\ntick 10\nretry t\ntick 1000");
    assert_int_equal(calls_of(w, "a", ETX_FORWARD), 1);
    w->call[0].returned = 0; /* now it does */
    world_reply(w, &w->call[0], ETX_RETRY, text_of(""), text_of(""), 0);
    assert_int_equal(calls_of(w, "a", ETX_FORWARD), 2);
    say(&w, "reply t a done");
    assert_int_equal(known(w, "t")->state, ETX_COMMITTING);
    world_free(w);
}

/* Limits are for forward operations: after the decision nothing is dropped. */
static void test_no_limit_after_the_decision(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world park_after=3\nparticipant shop attempts=2 first=10 cap=10");
    say(&w, "begin t a:tcc b:xa c:saga nobody\nput\nreply t a done\nreply t b done");
    say(&w, "reply t c refused\nput");
    for (int i = 0; i < 20; i++) {
        say(&w, i % 2 ? "reply t a retry" : "reply t a refused");
        say(&w, i % 2 ? "reply t b retry" : "reply t b refused");
        say(&w, "reply t c refused\ntick 10");
    }
    assert_int_equal(known(w, "t")->state, ETX_ABORTING);
    assert_int_equal(calls_of(w, "a", ETX_UNDO), 21);
    say(&w, "reply t a done\nreply t b done\nreply t c done\nput");
    assert_int_equal(known(w, "t")->state, ETX_ABORTED);
    world_free(w);
}

/* Run numbers grow with each resume, and across owners; earlier runs are refused. */
static void test_runs(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop\nparticipant app timeout=500 first=10 cap=10");
    say(&w, "begin t mode=resumed initiator=app resume=1000 deadline=600000\nput");
    uint64_t run = known(w, "t")->tx->r.run_no;
    for (int i = 0; i < 5; i++) {
        say(&w, "tick 1000");
        assert_true(known(w, "t")->tx->r.run_no > run);
        run = known(w, "t")->tx->r.run_no;
        say(&w, i % 2 ? "reply t - done" : "reply t - working");
        assert_int_equal(wakes_in(w), 1000); /* it runs: no second one beside it */
    }
    say(&w, "hold t run=1\ncommit t run=1\nresult t a done run=1\nenlist t a:tcc run=1");
    assert_false(is_answered(w, "hold t")); /* a successor may know another run */
    say(&w, "put");
    assert_int_equal(answer_of(w, "hold t"), ETX_ESTATE);
    assert_int_equal(answer_of(w, "commit t"), ETX_ESTATE);
    assert_int_equal(answer_of(w, "result t"), ETX_ESTATE);
    assert_int_equal(answer_of(w, "enlist t"), ETX_ESTATE);
    say(&w, "crash\ntick 1000");
    assert_true(known(w, "t")->tx->r.run_no > run);
    world_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_whose_numbers),
        cmocka_unit_test(test_working_keeps_the_interval),
        cmocka_unit_test(test_unsent),
        cmocka_unit_test(test_unsent_after_the_decision),
        cmocka_unit_test(test_notification),
        cmocka_unit_test(test_notification_that_works_on),
        cmocka_unit_test(test_notification_of_its_own_limit),
        cmocka_unit_test(test_stalled),
        cmocka_unit_test(test_stalled_initiator),
        cmocka_unit_test(test_late_and_repeated_answers),
        cmocka_unit_test(test_slow_callback),
        cmocka_unit_test(test_answered_before_it_returns),
        cmocka_unit_test(test_no_limit_after_the_decision),
        cmocka_unit_test(test_runs),
    };
    return cmocka_run_group_tests_name("core calls", tests, NULL, NULL);
}
