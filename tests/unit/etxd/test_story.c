/* The ring of stories: what is found, what gives way, and what is told of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <etx/etx.h>

#include "../../../etxd/story.h"

/* Stories are made by an engine: only it makes endings. */
typedef struct stage {
    etx_engine *engine;
    etxd_stories *stories;
    uint64_t begin_ms[400]; /* of gid i */
} stage;

static void on_ending(const etx_status *status, const etx_ending *ending, void *user) {
    stage *s = user;
    s->begin_ms[strtoul(status->gid, NULL, 10)] = status->begin_ms;
    etxd_stories_take(s->stories, status, ending);
}

static etx_reply say_yes(etx_call *call, void *user) {
    (void)user;
    return etx_call_result(call, "fine", 4) == 0 ? ETX_DONE : ETX_RETRY;
}

static void open_stage(stage *s, uint64_t bytes) {
    etx_options options = ETX_OPTIONS_INIT;
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_participant shop = ETX_PARTICIPANT_INIT;
    memset(s, 0, sizeof *s);
    assert_int_equal(etxd_stories_create(bytes, &s->stories), 0);
    monitor.on_ending = on_ending;
    monitor.user = s;
    options.monitor = &monitor;
    options.flags = ETX_ALLOW_VOLATILE;
    options.durability = ETX_VOLATILE;
    options.transactions_max = 1000;
    options.history_max = 1000;
    options.memory_max = 16U << 20;
    shop.name = "shop";
    shop.forward = shop.commit = shop.undo = say_yes;
    shop.flags = ETX_INLINE;
    assert_int_equal(etx_engine_create(&options, &s->engine), 0);
    assert_int_equal(etx_engine_home(s->engine, "memory:"), 0);
    assert_int_equal(etx_engine_register(s->engine, &shop), 0);
    assert_int_equal(etx_engine_start(s->engine), 0);
}

static void close_stage(stage *s) {
    assert_int_equal(etx_engine_close(s->engine, ETX_CLOSE_FINISH, 10000), 0);
    etx_engine_free(s->engine);
    etxd_stories_free(s->stories);
}

/* A transaction of so many branches, each with `len` bytes. */
static void run(stage *s, unsigned number, unsigned branches, size_t len) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    char gid[16];
    char *payload = malloc(len + 1);
    etx_tx *tx = NULL;
    unsigned i;
    assert_non_null(payload);
    memset(payload, (int)('a' + number % 26), len);
    snprintf(gid, sizeof gid, "%u", number);
    options.gid = gid;
    assert_int_equal(etx_tx_new(s->engine, &options, &tx), 0);
    for (i = 0; i < branches; i++) {
        assert_int_equal(etx_tx_add(tx, "shop", payload, len), 0);
    }
    free(payload);
    assert_int_equal(etx_tx_run(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
}

static int is_kept(const stage *s, unsigned number) {
    etx_status status = {.size = sizeof status};
    snprintf(status.gid, sizeof status.gid, "%u", number);
    status.begin_ms = s->begin_ms[number];
    return etxd_stories_complete(s->stories, &status);
}

/* The number of its branches; each is what was begun, byte for byte. */
static unsigned read_story(const stage *s, unsigned number, size_t len) {
    char gid[16];
    etxd_story *story;
    etxd_story_branch one;
    size_t at = 0;
    size_t i;
    unsigned branches = 0;
    snprintf(gid, sizeof gid, "%u", number);
    story = etxd_stories_find(s->stories, gid, s->begin_ms[number]);
    assert_non_null(story);
    while (etxd_story_next(story, &at, &one)) {
        char name[16];
        snprintf(name, sizeof name, "%u", branches++);
        assert_string_equal(one.status.name, name);
        assert_string_equal(one.status.participant, "shop");
        assert_string_equal(one.status.reason, "");
        assert_int_equal(one.status.kind, ETX_TCC);
        assert_int_equal(one.status.forward, ETX_DONE);
        assert_int_equal(one.status.finish, ETX_DONE);
        assert_int_equal(one.status.forward_attempts, 1);
        assert_int_equal(one.payload_cut, len > ETXD_STORY_BYTES_MAX);
        assert_int_equal(one.status.payload.len, one.payload_cut ? ETXD_STORY_BYTES_MAX : len);
        for (i = 0; i < one.status.payload.len; i++) {
            assert_int_equal(((const char *)one.status.payload.data)[i], 'a' + number % 26);
        }
        assert_int_equal(one.result_cut, 0);
        assert_int_equal(one.status.result.len, 4);
        assert_memory_equal(one.status.result.data, "fine", 4);
    }
    free(story);
    return branches;
}

/* Many times around the ring, with stories of many sizes: those that are kept are the newest, all
 * of them whole. */
static void the_newest_are_kept(void **state) {
    stage s;
    unsigned oldest = 0;
    unsigned number;
    (void)state;
    open_stage(&s, 16384);
    for (number = 0; number < 400; number++) {
        run(&s, number, 1 + number % 4, number * 37 % 700);
        for (; oldest < number && !is_kept(&s, oldest); oldest++) {
        }
        assert_true(number < 4 || number - oldest >= 3);
    }
    assert_true(oldest > 350);
    for (number = 0; number < 400; number++) {
        assert_int_equal(is_kept(&s, number), number >= oldest);
        if (number >= oldest) {
            assert_int_equal(read_story(&s, number, number * 37 % 700), 1 + number % 4);
        }
    }
    close_stage(&s);
}

static void what_is_told_of_it(void **state) {
    etx_status status = {.size = sizeof status};
    stage s;
    (void)state;
    open_stage(&s, 1U << 20);
    run(&s, 7, 3, 10);
    snprintf(status.gid, sizeof status.gid, "7");
    status.begin_ms = s.begin_ms[7] + 1; /* another one, under the same gid */
    assert_int_equal(etxd_stories_complete(s.stories, &status), 0);
    assert_null(etxd_stories_find(s.stories, "7", status.begin_ms));
    assert_null(etxd_stories_find(s.stories, "8", s.begin_ms[7]));
    status.begin_ms = s.begin_ms[7];
    assert_int_equal(etxd_stories_complete(s.stories, &status), 1);
    assert_int_equal(status.branch_count, 3);
    assert_int_equal(status.mode, ETX_SUBMITTED);
    assert_true(status.decided_ms >= status.begin_ms);
    close_stage(&s);
}

static void what_is_long_is_cut(void **state) {
    stage s;
    (void)state;
    open_stage(&s, 1U << 20);
    run(&s, 1, 2, ETXD_STORY_BYTES_MAX);
    run(&s, 2, 2, ETXD_STORY_BYTES_MAX + 1);
    assert_int_equal(read_story(&s, 1, ETXD_STORY_BYTES_MAX), 2);
    assert_int_equal(read_story(&s, 2, ETXD_STORY_BYTES_MAX + 1), 2);
    close_stage(&s);
}

/* It finds no room at all, and leaves the others alone. */
static void what_is_too_long_is_not_kept(void **state) {
    stage s;
    (void)state;
    open_stage(&s, 16384);
    run(&s, 1, 1, 10);
    run(&s, 2, 2, 10000);
    assert_int_equal(is_kept(&s, 1), 1);
    assert_int_equal(is_kept(&s, 2), 0);
    close_stage(&s);
}

static void none_is_kept(void **state) {
    stage s;
    (void)state;
    open_stage(&s, 0);
    assert_null(s.stories);
    run(&s, 1, 1, 10);
    assert_int_equal(is_kept(&s, 1), 0);
    assert_null(etxd_stories_find(s.stories, "1", s.begin_ms[1]));
    close_stage(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_are_kept), cmocka_unit_test(what_is_told_of_it),
        cmocka_unit_test(what_is_long_is_cut), cmocka_unit_test(what_is_too_long_is_not_kept),
        cmocka_unit_test(none_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
