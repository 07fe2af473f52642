/* Limits: 1024 branches in one step, memory that is full, room that is reserved for the end. */
#include "unit.h"

static char *many(const char *head, int count, const char *each) {
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    fprintf(to, "%s", head);
    for (int i = 0; i < count; i++) {
        fprintf(to, " b%d:%s", i, each);
    }
    fclose(to);
    return text;
}

static void reply_all(world *w, const char *gid, etx_operation operation, int count) {
    for (uint32_t i = 0; i < w->calls && count > 0; i++) {
        world_call *call = &w->call[i];
        if (!call->over && call->operation == operation && strcmp(call->gid, gid) == 0) {
            world_reply(w, call, ETX_DONE, text_of(operation == ETX_FORWARD ? "r" : ""),
                        text_of(""), 0);
            count--;
        }
    }
}

static void reply_plain(world *w, const char *gid, int count) {
    for (uint32_t i = 0; i < w->calls && count > 0; i++) {
        world_call *call = &w->call[i];
        if (!call->over && strcmp(call->gid, gid) == 0) {
            world_reply(w, call, ETX_DONE, text_of(""), text_of(""), 0);
            count--;
        }
    }
}

/* No step brings more than the outputs hold. */
static void test_a_thousand_branches(void **state) {
    (void)state;
    enum { N = ETX_BRANCHES_MAX };
    world *w = NULL;
    char *text = many("begin t nobody", N, "tcc");
    say(&w, "world transactions=2 history=2 branches=1024 image=4000000\nparticipant shop");
    w->check_every = 200;
    say(&w, text);
    free(text);
    say(&w, "put");
    assert_int_equal(w->calls, N);
    reply_plain(w, "t", N - 1);
    /* The last is refused: none of the others' results is written any more, but the undos' are. */
    say(&w, "reply t b1023 refused\nput");
    assert_int_equal(w->calls, 2 * N);
    reply_plain(w, "t", N - 1);
    uint32_t records = w->records;
    say(&w, "put");
    assert_int_equal(w->records - records, N - 1);
    reply_plain(w, "t", 1);
    assert_int_equal(known(w, "t")->state, ETX_ABORTED);
    world_free(w);
}

static void test_a_thousand_results(void **state) {
    (void)state;
    enum { N = ETX_BRANCHES_MAX };
    world *w = NULL;
    char *text = many("begin t nobody", N, "tcc");
    say(&w, "world transactions=2 history=2 branches=1024 image=4000000\nparticipant shop");
    w->check_every = 200;
    say(&w, text);
    free(text);
    say(&w, "put");
    reply_all(w, "t", ETX_FORWARD, N); /* RESULTs with bytes and DECIDE in one step */
    assert_int_equal(w->records, 2 + N + 1);
    say(&w, "put");
    assert_int_equal(w->calls, 2 * N);
    reply_all(w, "t", ETX_COMMIT, N);
    assert_int_equal(known(w, "t")->state, ETX_COMMITTED);
    world_free(w);
}

/* A result that cannot be kept: the branch is done all the same, so it is undone. */
static void test_no_room_for_a_result(void **state) {
    (void)state;
    world *w = NULL;
    char *bytes = calloc(1, 5000);
    say(&w, "world image=4000\nparticipant shop\nbegin t a:tcc\nput");
    world_reply(w, &w->call[0], ETX_DONE, (etx_bytes){bytes, 5000}, text_of(""), 0);
    assert_int_equal(known(w, "t")->state, ETX_ABORTING);
    say(&w, "put\nreply t a done\nput");
    assert_int_equal(known(w, "t")->state, ETX_ABORTED);
    say(&w, "begin i mode=interactive deadline=9000\nenlist i a:tcc:shop:i\nput");
    etx__event event;
    world_event(w, &event, ETX__EV_RESULT, "i");
    event.u.result.branch = text_of("a");
    event.u.result.reply = ETX_DONE;
    event.u.result.bytes = (etx_bytes){bytes, 5000};
    event.waiter = world_waiter_make(w, "too long", ETX_WAIT_BEGUN, 0);
    world_step(w, &event);
    say(&w, "put");
    assert_int_equal(answer_of(w, "too long"), ETX_EINVALID);
    free(bytes);
    world_free(w);
}

/* Whatever fills the memory: what was begun ends, and the memory comes back. */
static void test_full_memory(void **state) {
    (void)state;
    for (unsigned size = 1; size <= 30000; size = size * 3 + 1) {
        world *w = NULL;
        char *bytes = calloc(1, size);
        int begun = 0;
        say(&w, "world transactions=1000 history=4\nparticipant shop");
        w->check_every = 97;
        for (; begun < 200; begun++) {
            char label[32], text[96];
            snprintf(label, sizeof label, "begin t%d", begun);
            snprintf(text, sizeof text, "%s a:tcc b:tcc:shop:w@0 wait=begun", label);
            say(&w, text);
            if (is_answered(w, label)) { /* at once: it is refused */
                break;
            }
            say(&w, "put");
        }
        assert_true(begun > 3);
        for (int round = 0; round < 60 && w->core->live > 0; round++) {
            uint32_t calls = w->calls;
            for (uint32_t i = 0; i < calls; i++) {
                world_call *call = &w->call[i];
                if (!call->over) {
                    size_t len = call->operation == ETX_FORWARD ? size : 0;
                    world_reply(w, call, ETX_DONE, (etx_bytes){bytes, len}, text_of(""), 0);
                }
            }
            say(&w, "put\ntick 1000\nput");
        }
        assert_int_equal(w->core->live, 0);
        assert_true(w->core->pool.used_bytes < 4096);
        say(&w, "begin again a:tcc wait=begun\nput");
        assert_int_equal(answer_of(w, "begin again"), 0);
        assert_int_equal(w->failures, 0);
        free(bytes);
        world_free(w);
    }
}

static void abort_with(world *w, const char *gid, etx_bytes reason) {
    etx__event event;
    world_event(w, &event, ETX__EV_ABORT, gid);
    event.u.decide.reason = reason;
    event.waiter = world_waiter_make(w, gid, ETX_WAIT_DECIDED, 0);
    world_step(w, &event);
    say(&w, "put");
}

/* Takes all memory, but for so many blocks of that size. */
static void fill_memory(world *w, size_t size, unsigned left) {
    void *block[8] = {NULL};
    unsigned count = 0;
    for (void *more; (more = etx__pool_alloc(&w->core->pool, size)) != NULL; count++) {
        block[count % 8] = more;
    }
    assert_true(count > 8 && left <= 8);
    for (unsigned i = 0; i < left; i++) {
        etx__pool_free(&w->core->pool, block[i], size);
    }
}

/* A reason that finds no room is not in the log either; one that was kept stays when it ends,
 * which needs no room. */
static void test_reasons_in_full_memory(void **state) {
    enum { BEGUN = 9, KEPT = 4 };
    (void)state;
    world *w = NULL;
    char text[ETX_REASON_MAX + 9], line[32];
    memset(text, 'r', sizeof text);
    say(&w, "world\nparticipant shop");
    for (unsigned i = 0; i < BEGUN; i++) {
        snprintf(line, sizeof line, "begin t%u a:tcc nobody\nput", i);
        say(&w, line);
    }
    fill_memory(w, 2 + ETX_REASON_MAX + 2, KEPT);
    for (unsigned i = 0; i < BEGUN; i++) {
        snprintf(line, sizeof line, "t%u", i);
        abort_with(w, line, (etx_bytes){text, sizeof text});
        assert_int_equal(known(w, line)->tx->s.reason_len, i < KEPT ? ETX_REASON_MAX : 0);
    }
    for (unsigned i = 0; i < BEGUN; i++) {
        snprintf(line, sizeof line, "reply t%u a done\nput", i);
        say(&w, line); /* of try, then of cancel */
        say(&w, line);
        snprintf(line, sizeof line, "t%u", i);
        assert_int_equal(known(w, line)->state, ETX_ABORTED);
        assert_int_equal(known(w, line)->reason_len, i < KEPT ? ETX_REASON_MAX : 0);
    }
    assert_int_equal(w->failures, 0);
    world_free(w);
}

/* A kibibyte is what a transaction in flight may cost: three branches, short names, no payload of
 * their own. What is kept for it is a block of 768 bytes and one of 32 for the gid; the next size
 * is 896. */
static void test_bytes_in_flight(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant noop");
    uint64_t before = w->core->pool.used_bytes;
    say(&w, "begin 01ARZ3NDEKTSV4RRFFQ69G5FAV a:tcc:noop b:tcc:noop c:tcc:noop nobody\nput");
    assert_int_equal(w->core->live, 1);
    assert_in_range(w->core->pool.used_bytes - before, 1, 768 + 32);
    world_free(w);
}

/* Nothing is begun, decided or called by a core that only inspects. */
static void test_inspect(void **state) {
    (void)state;
    world *w = NULL;
    say(&w,
        "world\nparticipant shop\nbegin t a:tcc nobody\n"
        "begin i mode=interactive deadline=100\nput\ncrash inspect=1\ntick 1000");
    uint32_t records = w->records;
    say(&w, "begin u a:tcc\nabort t\nabort v\ncommit i\nwait t look\nput");
    assert_int_equal(w->records, records);
    assert_int_equal(w->calls, 1);
    assert_int_equal(answer_of(w, "begin u"), ETX_ESTATE);
    assert_int_equal(answer_of(w, "abort v"), ETX_ESTATE);
    assert_int_equal(answer_of(w, "wait t"), 0);
    say(&w, "park t\nput\nforce t abort\nput"); /* operators may */
    assert_int_equal(answer_of(w, "force t"), 0);
    assert_int_equal(w->calls, 1);
    world_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thousand_branches),
        cmocka_unit_test(test_a_thousand_results),
        cmocka_unit_test(test_no_room_for_a_result),
        cmocka_unit_test(test_full_memory),
        cmocka_unit_test(test_bytes_in_flight),
        cmocka_unit_test(test_reasons_in_full_memory),
        cmocka_unit_test(test_inspect),
    };
    return cmocka_run_group_tests_name("core limits", tests, NULL, NULL);
}
