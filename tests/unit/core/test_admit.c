/* admit: every state of a transaction against every record, with the verdict written out. */
#include "unit.h"

/* Each transaction has the branches a (TCC), b (TCC, its forward operation done) and c (a
 * message). The last record of a story may be left out, where the core itself would not stop. */
static const struct story {
    const char *name, *text;
    int without;
} stories[] = {
    {"unknown", "show t", 0},
    {"submitted", "begin t a:tcc b:tcc c:message\nput\nreply t b done\nput", 0},
    {"interactive",
     "begin t mode=interactive deadline=9000\nenlist t a:tcc\nenlist t b:tcc\nenlist t c:message\n"
     "put\nreply t b done\nput",
     0},
    {"resumed",
     "begin t mode=resumed deadline=9000 initiator=app\nenlist t a:tcc:shop:i run=1\n"
     "enlist t b:tcc:shop:i run=1\nenlist t c:message run=1\nput\nresult t b done run=1\nput",
     0},
    {"held",
     "begin t mode=interactive deadline=9000\nenlist t a:tcc:shop:i\nenlist t b:tcc:shop:i\n"
     "enlist t c:message\nput\nresult t b done\nhold t\nput",
     0},
    {"refused",
     "begin t mode=interactive deadline=9000\nenlist t a:tcc:shop:i\nenlist t b:tcc:shop:i\n"
     "enlist t c:message\nput\nresult t b done\nresult t a refused",
     1},
    {"complete",
     "begin t mode=interactive deadline=9000\nenlist t a:tcc\nenlist t b:tcc\nenlist t c:message\n"
     "put\nreply t b done\nreply t a done\nput",
     0},
    {"committing", "begin t a:tcc b:tcc c:message\nput\nreply t b done\nput\nreply t a done\nput",
     0},
    {"aborting", "begin t a:tcc b:tcc c:message\nput\nreply t b done\nput\nabort t\nput", 0},
    {"half-committed",
     "begin t a:tcc b:tcc c:message\nput\nreply t b done\nput\nreply t a done\nput\n"
     "reply t b done\nreply t c done\nput",
     0},
    {"ended", "begin t a:message\nput\nreply t a done\nput", 0},
    {"never-begun", "abort t\nput", 0},
};
enum { STORIES = sizeof stories / sizeof stories[0] };

/* Columns as the stories. '.' admitted, S ETX_ESTATE, N ETX_ENOTFOUND, C ETX_ECONFLICT,
 * I ETX_EINVALID. */
static const struct row {
    const char *record;
    const char verdict[STORIES + 1];
} rows[] = {
    {"own", "NIIIIIIIIISS"},
    {"begin same", ".SSSSSSSSSSC"},
    {"begin other", ".CCCCCCCCCCC"},
    {"enlist d", "NS..S..SSSSS"},
    {"enlist a", "NSCCSCCSSSSS"},
    {"held", "NSSS.S.SSSSS"},
    {"result forward a done", "N....SS...SS"},
    {"result forward a refused", "N...SSS...SS"},
    {"result forward b done", "NSSSSSSSSSSS"},
    {"result forward c done", "NSSSSSSSSSSS"},
    {"result forward z done", "NNNNNNNNNNSS"},
    {"result forward y done", "NNNNNNNNNNSS"}, /* a place behind the last */
    {"result commit a done", "NSSSSSS.S.SS"},
    {"result commit b done", "NSSSSSS.SSSS"},
    {"result commit c done", "NSSSSSS.SSSS"},
    {"result undo a done", "NSSSSSSS.SSS"},
    {"result undo b done", "NSSSSSSS.SSS"},
    {"result undo c done", "NSSSSSSSSSSS"},
    {"result query a done", "NSSSSSSSSSSS"},
    {"decide commit", "N..S.S.SSSSS"},
    {"decide commit forced", "NSSSSS.SSSSS"},
    {"decide abort", "N......SSSSS"},
    {"decide abort forced", "N......SSSSS"},
    {"decide abort never-begun", ".SSSSSSSSSSS"},
    {"decide commit never-begun", "NSSSSSSSSSSS"},
    {"force park", "N.........SS"},
    {"force resume", "N.........SS"},
    {"force settle forward a", "N....SSSSSSS"},
    {"force settle forward b", "NSSSSSSSSSSS"},
    {"force settle commit a", "NSSSSSS.S.SS"},
    {"force settle commit b", "NSSSSSS.SSSS"},
    {"force settle undo a", "NSSSSSSS.SSS"},
    {"force settle undo c", "NSSSSSSSSSSS"},
    {"move", "N..........."},
    {"end", "NSSSSSS...SS"},
};

static int has(const char *text, const char *word) {
    return strstr(text, word) != NULL;
}

static uint8_t operation_of(const char *text) {
    return has(text, "commit")  ? ETX_COMMIT
           : has(text, "undo")  ? ETX_UNDO
           : has(text, "query") ? ETX_QUERY
                                : ETX_FORWARD;
}

static uint16_t place_of(const char *text) {
    return has(text, " a") ? 0 : has(text, " b") ? 1 : has(text, " c") ? 2 : 9;
}

static uint16_t entry_branches(const etx__entry *entry) {
    return entry != NULL && entry->tx != NULL ? entry->tx->s.branch_count : 0;
}

static void fill_decide(etx_record *record, const char *text) {
    record->type = ETX_RECORD_DECIDE;
    record->u.decide.commit = (uint8_t)has(text, "commit");
    record->u.decide.marks = has(text, "forced")        ? ETX_MARK_FORCED
                             : has(text, "never-begun") ? ETX_MARK_NEVER_BEGUN
                                                        : 0;
}

static void fill_force(etx_record *record, const char *text) {
    record->type = ETX_RECORD_FORCE;
    record->u.force.action = has(text, "park")     ? ETX_FORCE_PARK
                             : has(text, "resume") ? ETX_FORCE_RESUME
                                                   : ETX_FORCE_SETTLE;
    record->u.force.operation = operation_of(text);
    record->u.force.branch = place_of(strrchr(text, ' '));
}

static void fill(etx_record *record, const char *text, const etx__entry *entry) {
    memset(record, 0, sizeof *record);
    record->gid = text_of("t");
    if (has(text, "own")) {
        record->type = ETX_RECORD_OWN;
    } else if (has(text, "begin ")) {
        record->type = ETX_RECORD_BEGIN;
        record->u.begin.mode = ETX_SUBMITTED;
        record->u.begin.digest =
            has(text, "same") && entry != NULL && entry->digest != 0 ? entry->digest : 12345;
    } else if (has(text, "enlist")) {
        record->type = ETX_RECORD_ENLIST;
        record->u.enlist.branch.name = text_of(has(text, " a") ? "a" : "d");
        record->u.enlist.branch.participant = text_of("shop");
        record->u.enlist.branch.kind = ETX_TCC;
    } else if (has(text, "held")) {
        record->type = ETX_RECORD_HELD;
    } else if (has(text, "result")) {
        record->type = ETX_RECORD_RESULT;
        record->u.result.operation = operation_of(text);
        record->u.result.branch = has(text, " z")   ? 9
                                  : has(text, " y") ? entry_branches(entry)
                                                    : place_of(has(text, " a ")   ? " a"
                                                               : has(text, " b ") ? " b"
                                                                                  : " c");
        record->u.result.reply = has(text, "refused") ? ETX_REFUSED : ETX_DONE;
    } else if (has(text, "decide")) {
        fill_decide(record, text);
    } else if (has(text, "force")) {
        fill_force(record, text);
    } else if (has(text, "move")) {
        record->type = ETX_RECORD_MOVE;
    } else {
        record->type = ETX_RECORD_END;
        record->u.end.ended_no = 1;
    }
}

static char letter(int rc) {
    return rc == 0               ? '.'
           : rc == ETX_ESTATE    ? 'S'
           : rc == ETX_ENOTFOUND ? 'N'
           : rc == ETX_ECONFLICT ? 'C'
           : rc == ETX_EINVALID  ? 'I'
           : rc == ETX_EBUSY     ? 'B'
                                 : '?';
}

static void test_states_and_records(void **state) {
    (void)state;
    for (unsigned s = 0; s < STORIES; s++) {
        world *w = NULL;
        void *memory = NULL;
        say(&w, "world\nparticipant shop\nparticipant app");
        say(&w, stories[s].text);
        etx__core *core = world_fold(w, 0, w->records - (uint32_t)stories[s].without, &memory);
        etx_bytes gid = text_of("t");
        const etx__entry *entry = etx__core_find(core, gid, etx__core_hash(gid));
        for (unsigned r = 0; r < sizeof rows / sizeof rows[0]; r++) {
            etx_record record;
            fill(&record, rows[r].record, entry);
            char is = letter(etx__admit(core, entry, &record));
            if (is != rows[r].verdict[s]) {
                fail_msg("%s, %s: %c, not %c", stories[s].name, rows[r].record, is,
                         rows[r].verdict[s]);
            }
        }
        free(memory);
        world_free(w);
    }
}

/* It judges what is appended, durable or not; only a MOVE needs it durable. */
static void test_in_flight(void **state) {
    (void)state;
    world *w = NULL;
    etx_record record;
    say(&w, "world\nparticipant shop\nbegin t a:tcc b:tcc c:message");
    fill(&record, "move", known(w, "t"));
    assert_int_equal(etx__admit(w->core, known(w, "t"), &record), ETX_EBUSY);
    say(&w, "put");
    assert_int_equal(etx__admit(w->core, known(w, "t"), &record), 0);
    say(&w, "abort t");
    assert_int_equal(etx__admit(w->core, known(w, "t"), &record), ETX_EBUSY);
    fill(&record, "decide commit", known(w, "t"));
    assert_int_equal(etx__admit(w->core, known(w, "t"), &record), ETX_ESTATE);
    say(&w, "abort u");
    record.gid = text_of("u");
    fill(&record, "move", known(w, "u"));
    assert_int_equal(etx__admit(w->core, known(w, "u"), &record), ETX_EBUSY);
    world_free(w);
}

/* Full means a refusal of what is new, never of what ends; over a limit, that it never can be. */
static void test_full(void **state) {
    (void)state;
    world *w = NULL;
    etx_record record;
    say(&w, "world transactions=1 branches=2\nparticipant shop\nbegin t a:tcc nobody\nput");
    fill(&record, "begin other", NULL);
    assert_int_equal(etx__admit(w->core, NULL, &record), ETX_EBUSY);
    fill(&record, "decide abort", known(w, "t"));
    assert_int_equal(etx__admit(w->core, known(w, "t"), &record), 0);
    world_free(w);
    w = NULL;
    say(&w, "world branches=2 image=3000\nparticipant shop");
    say(&w, "begin t mode=interactive deadline=9000\nenlist t a:tcc\nenlist t b:tcc\nput");
    fill(&record, "enlist d", known(w, "t"));
    assert_int_equal(etx__admit(w->core, known(w, "t"), &record), ETX_EINVALID);
    fill(&record, "begin other", NULL);
    record.u.begin.branch_count = 3;
    assert_int_equal(etx__admit(w->core, NULL, &record), ETX_EINVALID);
    fill(&record, "result forward a done", known(w, "t"));
    char bytes[4000] = {1};
    record.u.result.bytes = (etx_bytes){bytes, sizeof bytes};
    assert_int_equal(etx__admit(w->core, known(w, "t"), &record), ETX_EINVALID);
    record.u.result.bytes.len = 3000 - known(w, "t")->tx->image_size; /* with what is there */
    assert_int_equal(etx__admit(w->core, known(w, "t"), &record), 0);
    record.u.result.bytes.len++;
    assert_int_equal(etx__admit(w->core, known(w, "t"), &record), ETX_EINVALID);
    world_free(w);
}

/* What is new is judged together with what other partitions have; what ends is not. */
static void test_with_others(void **state) {
    (void)state;
    world *w = NULL;
    etx_record begin, enlist, abort, refusal;
    say(&w, "world transactions=4\nparticipant shop\nbegin t mode=interactive deadline=9000\nput");
    etx__core *core = w->core;
    const etx__entry *t = known(w, "t");
    fill(&begin, "begin other", NULL);
    fill(&enlist, "enlist d", t);
    fill(&abort, "decide abort", t);
    fill(&refusal, "decide abort never-begun", NULL);
    core->others.live = 2;
    assert_int_equal(etx__admit(core, NULL, &begin), 0);
    core->others.live = 3;
    assert_int_equal(etx__admit(core, NULL, &begin), ETX_EBUSY);
    core->others.live = 0;
    uint64_t most = core->options.memory_max;
    core->others.bytes = most - most / 16 - core->pool.used_bytes - 1;
    assert_int_equal(etx__admit(core, NULL, &begin), 0);
    assert_int_equal(etx__admit(core, t, &enlist), 0);
    assert_int_equal(etx__admit(core, NULL, &refusal), 0);
    core->others.bytes++;
    assert_int_equal(etx__admit(core, NULL, &begin), ETX_EBUSY);
    assert_int_equal(etx__admit(core, t, &enlist), ETX_EBUSY);
    assert_int_equal(etx__admit(core, NULL, &refusal), ETX_EBUSY);
    assert_int_equal(etx__admit(core, t, &abort), 0);
    core->others.bytes = 0;
    world_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states_and_records),
        cmocka_unit_test(test_in_flight),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_with_others),
    };
    return cmocka_run_group_tests_name("core admit", tests, NULL, NULL);
}
