/* Callbacks that come back late or never, and memory that is not there when they do. */
#include "unit.h"

static uint32_t calls_to(const world *w, const char *branch) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->calls; i++) {
        count += strcmp(w->call[i].branch, branch) == 0;
    }
    return count;
}

/* Back after its timeout, and only to say that the answer comes later: it has had its time, so it
 * is called again at once, and the token of the first call still answers. */
static void test_later_of_a_late_one(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop timeout=100 first=10 cap=10\nbegin t a:tcc nobody\nput");
    say(&w, "tick 100");
    assert_int_equal(calls_to(w, "a"), 1);
    say(&w, "reply t a later");
    assert_int_equal(wakes_in(w), 0);
    say(&w, "tick next\ntick next");
    assert_int_equal(calls_to(w, "a"), 2);
    say(&w, "reply t a done");
    assert_int_equal(known(w, "t")->state, ETX_COMMITTING);
    world_free(w);
}

/* An initiator that is asked and hangs: nobody asks it beside itself, and its answer counts. */
static void test_initiator_hangs(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop\nparticipant app timeout=100 first=10 cap=10");
    say(&w, "begin t a:message mode=interactive initiator=app deadline=100\nput\ntick 100");
    uint32_t asked = w->calls;
    say(&w, "tick 100\ntick 100\ntick 100");
    assert_int_equal(w->calls, asked);
    assert_int_equal(known(w, "t")->state, ETX_ACTIVE);
    say(&w, "reply t - done\nput");
    assert_int_equal(known(w, "t")->state, ETX_COMMITTING);
    world_free(w);
}

/* A limit that becomes less while a call is under way: that call may still answer. */
static void test_limit_lowered(void **state) {
    (void)state;
    for (int answer = 0; answer < 2; answer++) {
        world *w = NULL;
        say(&w,
            "world\nparticipant shop attempts=3 first=10 cap=10\nbegin t a:tcc b:tcc nobody\nput");
        say(&w, "reply t a retry\ntick next");
        etx__policy policy = w->policy[0];
        policy.attempts_max = 1;
        etx__event event = {.type = ETX__EV_REGISTERED};
        event.u.registered.policy = &policy;
        world_step(w, &event);
        say(&w, "reply t b working"); /* all is looked at */
        assert_int_equal(known(w, "t")->state, ETX_ACTIVE);
        say(&w, "tick next\nreply t b done");
        assert_int_equal(known(w, "t")->state, ETX_ACTIVE);
        say(&w, answer ? "reply t a done" : "reply t a retry");
        assert_int_equal(known(w, "t")->state, answer ? ETX_COMMITTING : ETX_ABORTING);
        world_free(w);
    }
}

/* The last answer is there, another callback hangs, and memory is full: the end waits for room for
 * what that callback keeps, and comes when there is some. */
static void test_the_end_waits_for_room(void **state) {
    (void)state;
    world *w = NULL;
    say(&w,
        "world pool=262144\nparticipant shop\nparticipant note timeout=10 first=5 cap=5 "
        "attempts=1");
    say(&w, "begin t a:message n:notification:note\nput\ntick 10");
    enum { BLOCKS = 100000 };
    struct {
        void *data;
        size_t size;
    } *kept = calloc(BLOCKS, sizeof *kept);
    uint32_t blocks = 0;
    for (size_t size = 65536; size >= 1; size /= 2) {
        while ((kept[blocks].data = etx__pool_alloc(&w->core->pool, size)) != NULL) {
            kept[blocks++].size = size;
            assert_true(blocks < BLOCKS);
        }
    }
    say(&w, "reply t a done\nput");
    assert_int_equal(known(w, "t")->state, ETX_COMMITTING);
    assert_in_range(wakes_in(w), 1, 1000);
    while (blocks > 0) {
        blocks--;
        etx__pool_free(&w->core->pool, kept[blocks].data, kept[blocks].size);
    }
    free(kept);
    say(&w, "tick 1000\nput\ntick 1000\nput");
    assert_int_equal(known(w, "t")->state, ETX_COMMITTED);
    assert_int_equal(answer_of(w, "begin t"), 0);
    say(&w, "reply t n done\nput");
    assert_int_equal(w->core->live, 0);
    world_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_later_of_a_late_one),
        cmocka_unit_test(test_initiator_hangs),
        cmocka_unit_test(test_limit_lowered),
        cmocka_unit_test(test_the_end_waits_for_room),
    };
    return cmocka_run_group_tests_name("core hangs", tests, NULL, NULL);
}
