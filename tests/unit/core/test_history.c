/* What is remembered: the last N, no older than A, whatever the order of records. */
#include "unit.h"

static void end_one(world **w, const char *gid) {
    char text[200];
    snprintf(text, sizeof text, "begin %s a:message nobody\nput\nreply %s a done\nput", gid, gid);
    say(w, text);
}

static void end_many(world **w, int first, int last) {
    for (int i = first; i <= last; i++) {
        char gid[32];
        snprintf(gid, sizeof gid, "t%d", i);
        end_one(w, gid);
    }
}

static int is_known(const world *w, int i) {
    char gid[32];
    snprintf(gid, sizeof gid, "t%d", i);
    return known(w, gid) != NULL;
}

static void test_the_last_n(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world history=3 transactions=2\nparticipant shop");
    uint64_t used = 0;
    for (int i = 1; i <= 200; i++) {
        end_many(&w, i, i);
        say(&w, "put");
        assert_int_equal(w->core->remembered, i < 3 ? i : 3);
        assert_true(is_known(w, i) && is_known(w, i > 2 ? i - 2 : 1));
        assert_false(i > 3 && is_known(w, i - 3));
        if (i == 10) {
            used = w->core->pool.used_bytes;
        }
    }
    assert_true(w->core->pool.used_bytes <= used + 64);
    assert_int_equal(w->core->ended_last, 200);
    world_free(w);
}

static void test_age(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world history=10 age=1000\nparticipant shop");
    end_many(&w, 1, 2);
    say(&w, "tick 600");
    end_many(&w, 3, 3);
    assert_int_equal(etx__core_known_since(w->core), 0);
    say(&w, "tick 500\nput");
    assert_false(is_known(w, 1) || is_known(w, 2));
    assert_true(is_known(w, 3));
    assert_int_equal(w->core->remembered, 1);
    assert_int_equal(etx__core_known_since(w->core), 1000001);
    world_free(w);
}

static void test_known_since_never_falls(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world history=1\nparticipant shop\nbegin t1 a:message nobody\nput\nsleep 5000");
    say(&w, "begin t2 a:message nobody\nput");
    uint64_t later_ms = known(w, "t2")->begin_ms;
    say(&w, "reply t2 a done\nput\nreply t1 a done\nput\nwait t9");
    assert_false(is_known(w, 2)); /* the younger one ended first, and is forgotten first */
    assert_int_equal(etx__core_known_since(w->core), later_ms + 1);
    say(&w, "begin t3 a:message nobody\nput\nreply t3 a done\nput\nwait t9");
    assert_false(is_known(w, 1));
    assert_int_equal(etx__core_known_since(w->core), later_ms + 1);
    world_free(w);
}

/* Nothing is forgotten before its END is durable, so that a BEGIN of the same gid is behind it. */
static void test_undurable_stays(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world history=1\nparticipant shop");
    say(&w, "begin t1 a:message nobody\nbegin t2 a:message nobody\nput");
    say(&w, "reply t1 a done\nreply t2 a done\nwait t9");
    assert_true(is_known(w, 1) && is_known(w, 2));
    say(&w, "put\nwait t9");
    assert_false(is_known(w, 1));
    assert_true(is_known(w, 2));
    world_free(w);
}

static void fold_ended(etx__core *core, const char *gid, uint64_t number) {
    etx_record record = {.type = ETX_RECORD_MOVE, .gid = text_of(gid)};
    record.u.move.begin.time_ms = 5;
    record.u.move.begin.mode = ETX_SUBMITTED;
    record.u.move.state = ETX_COMMITTED;
    record.u.move.ended_ms = 10 + number;
    record.u.move.ended_no = number;
    assert_int_equal(etx__core_fold(core, &record), 0);
}

/* MOVEs come in the order in which they were written, which is not that of the ends. */
static void test_moves_out_of_order(void **state) {
    (void)state;
    static const int orders[][5] = {
        {1, 2, 3, 4, 5}, {5, 4, 3, 2, 1}, {3, 5, 1, 4, 2}, {4, 5, 1, 2, 3}};
    for (unsigned o = 0; o < sizeof orders / sizeof orders[0]; o++) {
        world *w = NULL;
        say(&w, "world history=3 transactions=2");
        void *memory = NULL;
        etx__core *core = world_fold(w, 0, 0, &memory);
        for (int i = 0; i < 5; i++) {
            char gid[32];
            snprintf(gid, sizeof gid, "t%d", orders[o][i]);
            fold_ended(core, gid, 1000 + (uint64_t)orders[o][i]);
        }
        assert_int_equal(core->remembered, 3);
        for (int i = 1; i <= 5; i++) {
            char gid[32];
            snprintf(gid, sizeof gid, "t%d", i);
            etx_bytes name = text_of(gid);
            assert_int_equal(etx__core_find(core, name, etx__core_hash(name)) != NULL, i > 2);
        }
        free(memory);
        world_free(w);
    }
}

/* What is old, and not durable: it is forgotten later. More of what is old than one flush takes. */
static void test_age_waits_for_the_log(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world history=200 age=1000 transactions=200\nparticipant shop");
    say(&w, "begin t900 a:message nobody\nput\nreply t900 a done\ntick 2000\nfly");
    assert_true(is_known(w, 900));
    say(&w, "durable\nput\nabort t901\ntick 2000\nfly");
    assert_true(is_known(w, 901));
    assert_false(is_known(w, 900));
    say(&w, "durable\nput");
    assert_false(is_known(w, 901));
    for (int i = 1; i <= 100; i++) {
        char text[32];
        snprintf(text, sizeof text, "abort t%d", i);
        say(&w, text);
    }
    say(&w, "put\ntick 2000\nput");
    assert_false(is_known(w, 60));
    assert_true(is_known(w, 100));
    say(&w, "put");
    assert_false(is_known(w, 100));
    world_free(w);
}

static void fold_begun(etx__core *core, const char *gid) {
    etx_record record = {.type = ETX_RECORD_BEGIN, .gid = text_of(gid)};
    record.u.begin.mode = ETX_INTERACTIVE;
    assert_int_equal(etx__core_fold(core, &record), 0);
}

/* Is the window full, where numbers are missing, or more live than it holds? */
static void test_full_with_holes(void **state) {
    (void)state;
    world *w = NULL;
    void *memory = NULL;
    say(&w, "world history=500 transactions=600 pool=2097152");
    etx__core *core = world_fold(w, 0, 0, &memory);
    fold_ended(core, "a", 1000);
    core->chosen = 1;
    for (int i = 0; i < 80; i++) {
        char gid[16];
        snprintf(gid, sizeof gid, "l%d", i);
        fold_begun(core, gid);
    }
    assert_int_equal(etx__history_full(core, 0), 0); /* holes only, as far as it looks */
    for (int i = 80; i < 501; i++) {
        char gid[16];
        snprintf(gid, sizeof gid, "l%d", i);
        fold_begun(core, gid);
    }
    assert_int_equal(etx__history_full(core, 0), 1);
    free(memory);
    core = world_fold(w, 0, 0, &memory);
    fold_ended(core, "a", 1000);
    core->chosen = 1;
    for (int i = 0; i < 3; i++) {
        char gid[16];
        snprintf(gid, sizeof gid, "l%d", i);
        fold_begun(core, gid);
    }
    assert_int_equal(etx__history_full(core, 0), 0); /* the oldest place is a hole, too */
    free(memory);
    /* a number that makes room for itself, and needs no more */
    core = world_fold(w, 0, 0, &memory);
    fold_ended(core, "a", 1);
    fold_ended(core, "b", core->ended_room + 3);
    assert_null(etx__core_find(core, text_of("a"), etx__core_hash(text_of("a"))));
    assert_int_equal(core->remembered, 1);
    free(memory);
    world_free(w);
}

/* The same number twice, or one far beyond all others, harms nothing. */
static void test_odd_numbers(void **state) {
    (void)state;
    world *w = NULL;
    void *memory = NULL;
    say(&w, "world history=3 transactions=2");
    etx__core *core = world_fold(w, 0, 0, &memory);
    fold_ended(core, "a", 7);
    fold_ended(core, "b", 7);
    assert_null(etx__core_find(core, text_of("b"), etx__core_hash(text_of("b"))));
    fold_ended(core, "c", 1ull << 60);
    assert_null(etx__core_find(core, text_of("a"), etx__core_hash(text_of("a"))));
    fold_ended(core, "d", 8);
    assert_int_equal(core->remembered, 1);
    fold_ended(core, "c", 1ull << 60); /* once more: it replaces itself */
    assert_int_equal(core->remembered, 1);
    free(memory);
    world_free(w);
}

/* `count` end, and none of it is durable. */
static void end_at_once(world **w, int first, int count) {
    for (int i = first; i < first + count; i++) {
        char text[64];
        snprintf(text, sizeof text, "begin t%d a:message nobody", i);
        say(w, text);
    }
    say(w, "put");
    for (int i = first; i < first + count; i++) {
        char text[64];
        snprintf(text, sizeof text, "reply t%d a done", i);
        say(w, text);
    }
}

static void assert_known(const world *w, int first, int from, int last) {
    for (int i = first; i <= last; i++) {
        assert_int_equal(is_known(w, i), i >= from);
    }
}

/* What may not be forgotten yet makes the ring longer, wherever in it the oldest stands; and all
 * that is in it stays where it is found. */
static void test_the_ring_grows(void **state) {
    (void)state;
    static const int histories[] = {1, 40};
    for (int h = 0; h < 2; h++) {
        int history = histories[h];
        uint64_t turn = (uint64_t)history + 64 + 250 / 16;
        for (int before = 0; before < 130; before += 43) {
            char text[64];
            world *w = NULL;
            snprintf(text, sizeof text, "world history=%d transactions=250\nparticipant shop",
                     history);
            say(&w, text);
            end_many(&w, 1, before);
            say(&w, "put");
            int last = before;
            for (int count = 100; count <= 250; count += 150) {
                end_at_once(&w, last + 1, count);
                assert_known(w, 1, last + 1, last + count);
                assert_true(w->core->ended_turn <= w->core->ended_room);
                last += count;
                say(&w, "put\nwait t9999\nput");
                assert_known(w, 1, last - history + 1, last);
                assert_int_equal(w->core->remembered, history);
            }
            assert_true(w->core->ended_turn >= (uint64_t)250 && w->core->ended_turn > turn);
            end_many(&w, last + 1, last + 20);
            say(&w, "put");
            assert_known(w, 1, last + 20 - history + 1, last + 20);
            world_free(w);
        }
    }
}

/* However many end, the ring touches no more memory. */
static void test_the_ring_goes_round(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world history=5 transactions=200\nparticipant shop");
    uint64_t turn = w->core->ended_turn;
    end_many(&w, 1, 300);
    assert_int_equal(w->core->ended_turn, turn);
    for (uint64_t i = turn; i < w->core->ended_room; i++) {
        assert_int_equal(w->core->ended[i], 0);
    }
    void *memory = NULL;
    etx__core *core = world_fold(w, 0, w->records, &memory); /* and a start makes it no longer */
    assert_int_equal(core->ended_turn, turn);
    free(memory);
    core = world_fold(w, 0, 0, &memory);
    for (uint64_t i = 1; i <= 300; i++) {
        char gid[32];
        snprintf(gid, sizeof gid, "t%llu", (unsigned long long)i);
        fold_ended(core, gid, 1000000 + i);
    }
    assert_int_equal(core->ended_turn, turn);
    assert_int_equal(core->remembered, 5);
    free(memory);
    world_free(w);
}

/* N may differ from one start to the next. */
static void test_another_n(void **state) {
    (void)state;
    for (int n = 1; n <= 9; n++) {
        char text[64];
        world *w = NULL;
        say(&w, "world history=5 transactions=2\nparticipant shop");
        end_many(&w, 1, 8);
        snprintf(text, sizeof text, "put\ncrash history=%d", n);
        say(&w, text);
        for (int i = 1; i <= 8; i++) {
            assert_int_equal(is_known(w, i), i > 8 - n);
        }
        end_many(&w, 9, 9);
        assert_int_equal(w->core->ended_last, 9);
        world_free(w);
    }
}

/* Drained: nothing in flight, and what is remembered is old. */
static void test_drained(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world history=10 age=1000\nparticipant shop");
    uint64_t now = 1000000;
    assert_true(etx__core_drained(w->core, now));
    say(&w, "begin t1 a:message nobody\nput");
    assert_false(etx__core_drained(w->core, now + 5000));
    say(&w, "reply t1 a done\nput\nput");
    assert_true(is_known(w, 1));
    assert_false(etx__core_drained(w->core, now + 999));
    assert_true(etx__core_drained(w->core, now + 1000));
    say(&w, "tick 600\nabort x\nput"); /* an abort that comes before its begin counts */
    assert_false(etx__core_drained(w->core, now + 1000));
    assert_true(etx__core_drained(w->core, now + 1600));
    void *memory = NULL;
    etx__core *core = world_fold(w, 0, w->records, &memory);
    fold_ended(core, "y", 9); /* numbers between them are nobody's */
    assert_false(etx__core_drained(core, now + 1599));
    assert_true(etx__core_drained(core, now + 1600));
    free(memory);
    world_free(w);
}

/* Strict: a chosen gid that is young is never forgotten, whoever begins what. */
static void test_strict(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world history=4 age=1000 strict=1\nparticipant shop");
    end_many(&w, 1, 2);
    say(&w, "begin t3 a:message nobody made\nput\nreply t3 a done\nput");
    say(&w, "begin t4 a:message nobody\nbegin t5 a:message made\nbegin t6 a:message");
    assert_int_equal(answer_of(w, "begin t5"), ETX_EBUSY);
    assert_int_equal(answer_of(w, "begin t6"), ETX_EBUSY);
    say(&w, "abort t7");
    assert_int_equal(answer_of(w, "abort t7"), ETX_EBUSY);
    say(&w, "put\nreply t4 a done\nput\nput");
    assert_true(is_known(w, 1) && is_known(w, 4));
    say(&w, "tick 1001\nbegin t5 a:message\nput\nreply t5 a done\nput");
    assert_int_equal(answer_of(w, "begin t5"), 0);
    world_free(w);
}

/* Aborts of unknown gids end at once: they leave room for all that is live. */
static void test_unknown_aborts_leave_room(void **state) {
    (void)state;
    world *w = NULL;
    int refused = 0;
    say(&w, "world history=2 transactions=3\nparticipant shop");
    say(&w, "begin t1 a:message nobody\nbegin t2 a:message nobody\nput");
    for (int i = 0; i < 120; i++) {
        char text[32];
        snprintf(text, sizeof text, "abort x%d", i);
        say(&w, text);
        refused += is_answered(w, text);
    }
    assert_true(refused > 0 && refused < 120);
    say(&w, "reply t1 a done\nreply t2 a done");
    assert_non_null(known(w, "x0"));
    say(&w, "put\nput\nabort y");
    say(&w, "put");
    assert_int_equal(answer_of(w, "abort y"), 0);
    assert_int_equal(answer_of(w, "abort x0"), 0);
    world_free(w);
}

/* It is remembered for A from its end on, however long it took. */
static void test_age_counts_from_the_end(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world history=10 age=1000\nparticipant shop");
    say(&w, "begin t1 a:message nobody\nput\ntick 5000\nreply t1 a done\nput\ntick 900\nput");
    assert_true(is_known(w, 1));
    say(&w, "tick 200\nput");
    assert_false(is_known(w, 1));
    world_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_n),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_age_counts_from_the_end),
        cmocka_unit_test(test_drained),
        cmocka_unit_test(test_known_since_never_falls),
        cmocka_unit_test(test_undurable_stays),
        cmocka_unit_test(test_moves_out_of_order),
        cmocka_unit_test(test_age_waits_for_the_log),
        cmocka_unit_test(test_full_with_holes),
        cmocka_unit_test(test_odd_numbers),
        cmocka_unit_test(test_another_n),
        cmocka_unit_test(test_the_ring_grows),
        cmocka_unit_test(test_the_ring_goes_round),
        cmocka_unit_test(test_strict),
        cmocka_unit_test(test_unknown_aborts_leave_room),
    };
    return cmocka_run_group_tests_name("core history", tests, NULL, NULL);
}
