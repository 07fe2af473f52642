/* What tells branches and begins from one another: names in one BEGIN, digests of repeats. */
#include <stdio.h>

#include "unit.h"

static etx_record_branch branch_of(const char *name, uint8_t flags) {
    return (etx_record_branch){
        .name = text_of(name), .participant = text_of("shop"), .kind = ETX_TCC, .flags = flags};
}

/* ---- names */

enum { MOST = ETX_BRANCHES_MAX };

/* Each count, with each kind of name; and two of one name at the ends, side by side, in between. */
static void test_names_differ(void **state) {
    (void)state;
    static char text[MOST][16];
    static etx_record_branch branches[MOST];
    static const char *const forms[] = {"%u", "step-%04u", "%04u-step"};
    assert_int_equal(etx__names_differ(branches, 0), 1);
    for (unsigned form = 0; form < 3; form++) {
        for (unsigned i = 0; i < MOST; i++) {
            snprintf(text[i], sizeof text[i], forms[form], i);
            branches[i] = branch_of(text[i], 0);
        }
        for (unsigned count = 1; count <= MOST; count += count < 40 ? 1 : 41) {
            assert_int_equal(etx__names_differ(branches, count), 1);
            unsigned places[] = {0, count / 3, count / 2, count - 1};
            for (unsigned p = 0; p < 16; p++) {
                unsigned one = places[p / 4], other = places[p % 4];
                etx_bytes name = branches[one].name;
                char copy[16];
                memcpy(copy, branches[other].name.data, sizeof copy);
                branches[one].name = (etx_bytes){copy, strlen(copy)}; /* equal, not the same */
                assert_int_equal(etx__names_differ(branches, count), one == other);
                branches[one].name = name;
            }
        }
    }
}

/* Neither one that begins as another does, nor one that ends so. */
static void test_parts_of_names(void **state) {
    (void)state;
    etx_record_branch branches[] = {branch_of("a", 0), branch_of("aa", 0), branch_of("ba", 0),
                                    branch_of("ab", 0)};
    assert_int_equal(etx__names_differ(branches, 4), 1);
}

static int begin_with(world *w, const char *gid, etx_record_branch *branches, uint16_t count) {
    etx_record_begin begin = {.time_ms = w->now.wall_ms, .mode = ETX_SUBMITTED};
    begin.branch_count = count;
    begin.branches = branches;
    begin.digest = etx_record_begin_digest(&begin);
    etx__event event;
    world_event(w, &event, ETX__EV_BEGIN, gid);
    event.u.begin.begin = &begin;
    event.waiter = world_waiter_make(w, gid, ETX_WAIT_BEGUN, 0);
    world_step(w, &event);
    return w->waiter[w->waiters - 1].answered ? answer_of(w, gid) : 0;
}

/* Whatever gave the core such a BEGIN: to a fence the two were one. */
static void test_a_name_twice_is_not_begun(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop");
    etx_record_branch branches[] = {branch_of("a", 0), branch_of("b", 0), branch_of("a", 0)};
    assert_int_equal(begin_with(w, "t", branches, 3), ETX_EINVALID);
    assert_null(known(w, "t"));
    branches[2] = branch_of("c", 0);
    assert_int_equal(begin_with(w, "t", branches, 3), 0);
    assert_int_equal(known(w, "t")->tx->s.branch_count, 3);
    world_free(w);
}

/* An earlier version may have begun one: its log opens, the transaction is there as it was begun,
 * and what is beside it too. */
static void test_a_log_that_has_a_name_twice(void **state) {
    (void)state;
    world *w = NULL;
    void *memory = NULL;
    say(&w, "world\nparticipant shop\nbegin other a:tcc nobody\nput");
    etx__core *core = world_fold(w, 0, w->records, &memory);
    etx_record_branch branches[] = {branch_of("a", 0), branch_of("a", 0)};
    etx_record record = {.type = ETX_RECORD_BEGIN, .gid = text_of("t")};
    record.u.begin.mode = ETX_SUBMITTED;
    record.u.begin.branch_count = 2;
    record.u.begin.branches = branches;
    assert_int_equal(etx_record_check(&record), 0); /* so every codec writes and reads it */
    assert_int_equal(etx__core_fold(core, &record), 0);
    const etx__entry *entry = etx__core_find(core, record.gid, etx__core_hash(record.gid));
    assert_non_null(entry);
    assert_int_equal(entry->tx->s.branch_count, 2);
    etx_bytes beside = text_of("other");
    assert_non_null(etx__core_find(core, beside, etx__core_hash(beside)));
    free(memory);
    world_free(w);
}

/* ---- digests */

/* Says it again with the digest of what the caller said, the branch's flags being these. */
static int begin_again(world *w, uint8_t said, uint8_t registered) {
    etx_record_branch branch = branch_of("a", said);
    etx_record_begin begin = {.time_ms = w->now.wall_ms, .mode = ETX_SUBMITTED};
    begin.branch_count = 1;
    begin.branches = &branch;
    begin.digest = etx_record_begin_digest(&begin);
    branch.flags |= registered;
    etx__event event;
    world_event(w, &event, ETX__EV_BEGIN, "t");
    event.u.begin.begin = &begin;
    event.waiter = world_waiter_make(w, "t", ETX_WAIT_BEGUN, 0);
    world_step(w, &event);
    say(&w, "put");
    return answer_of(w, "t");
}

/* Whatever the registration gives now; also where an earlier version has begun it, whose digest is
 * of all flags. */
static void test_a_begin_again(void **state) {
    (void)state;
    world *w = NULL;
    say(&w, "world\nparticipant shop");
    assert_int_equal(begin_again(w, 0, ETX_KEEPS_REFUSALS), 0);
    assert_int_equal(begin_again(w, 0, 0), 0);
    assert_int_equal(begin_again(w, 0, ETX_KEEPS_REFUSALS | ETX_WANTS_RESULTS), 0);
    assert_int_equal(begin_again(w, ETX_WANTS_RESULTS, 0), ETX_ECONFLICT);
    world_free(w);
    w = NULL;
    say(&w, "world\nparticipant shop");
    etx_record_branch earlier = branch_of("a", ETX_KEEPS_REFUSALS);
    assert_int_equal(begin_with(w, "t", &earlier, 1), 0);
    assert_int_equal(begin_again(w, 0, ETX_KEEPS_REFUSALS), 0);
    assert_int_equal(begin_again(w, 0, ETX_WANTS_RESULTS), ETX_ECONFLICT);
    world_free(w);
}

static int enlist_again(world *w, uint8_t flags, uint8_t registered) {
    etx_record_branch branch = branch_of("a", flags);
    etx__event event;
    world_event(w, &event, ETX__EV_ENLIST, "t");
    event.u.enlist.branch = &branch;
    event.u.enlist.registered = registered;
    event.waiter = world_waiter_make(w, "enlist", ETX_WAIT_BEGUN, 0);
    world_step(w, &event);
    say(&w, "put");
    return answer_of(w, "enlist");
}

static void test_an_enlist_again(void **state) {
    (void)state;
    static const char text[] =
        "world\nparticipant shop\nbegin t mode=interactive deadline=9000\nput";
    uint8_t keeps = ETX_KEEPS_REFUSALS, wants = ETX_WANTS_RESULTS;
    world *w = NULL;
    say(&w, text);
    assert_int_equal(enlist_again(w, keeps, keeps), 0);
    assert_int_equal(enlist_again(w, 0, 0), 0);
    assert_int_equal(enlist_again(w, (uint8_t)(keeps | wants), (uint8_t)(keeps | wants)), 0);
    assert_int_equal(enlist_again(w, wants, 0), ETX_ECONFLICT);
    assert_int_equal(known(w, "t")->tx->s.branch_count, 1);
    world_free(w);
    w = NULL;
    say(&w, text);
    assert_int_equal(enlist_again(w, keeps, 0), 0); /* as an earlier version did */
    assert_int_equal(enlist_again(w, keeps, keeps), 0);
    assert_int_equal(enlist_again(w, wants, wants), ETX_ECONFLICT);
    world_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_differ),
        cmocka_unit_test(test_parts_of_names),
        cmocka_unit_test(test_a_name_twice_is_not_begun),
        cmocka_unit_test(test_a_log_that_has_a_name_twice),
        cmocka_unit_test(test_a_begin_again),
        cmocka_unit_test(test_an_enlist_again),
    };
    return cmocka_run_group_tests_name("core names", tests, NULL, NULL);
}
