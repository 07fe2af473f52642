/* Rooms: memory that ends within a record, live and in recovery; nothing is half there. */
#include "unit.h"

typedef struct box {
    world *w;
    etx__core *core;
    void *memory;
} box;

static const uint16_t none[] = {0};

/* A core of so many spans of memory that only folds. */
static box box_make(size_t spans, uint32_t transactions) {
    box b = {0};
    say(&b.w, "world transactions=400 history=100 image=100000000");
    b.w->options.pool_size = spans * ETX__SPAN;
    b.w->options.transactions_max = transactions;
    b.core = world_fold(b.w, 0, 0, &b.memory);
    return b;
}

static void box_end(box *b) {
    free(b->memory);
    world_free(b->w);
}

static etx_record_branch branch_of(const char *name, const void *payload, size_t len) {
    return (etx_record_branch){.name = text_of(name),
                               .participant = text_of("shop"),
                               .payload = {payload, len},
                               .kind = ETX_TCC,
                               .flags = ETX_BY_INITIATOR,
                               .depends_on = none};
}

static int fold_begin(box *b, const char *gid, const void *payload, size_t len) {
    etx_record_branch branch = branch_of("a", payload, len);
    etx_record record = {.type = ETX_RECORD_BEGIN, .gid = text_of(gid)};
    record.u.begin.time_ms = 100;
    record.u.begin.mode = ETX_INTERACTIVE;
    record.u.begin.digest = 7;
    record.u.begin.branch_count = 1;
    record.u.begin.branches = &branch;
    return etx__core_fold(b->core, &record);
}

static int fold_enlist(box *b, const char *gid, const char *name, const void *payload, size_t len) {
    etx_record record = {.type = ETX_RECORD_ENLIST, .gid = text_of(gid)};
    record.u.enlist.branch = branch_of(name, payload, len);
    record.u.enlist.digest = 9;
    return etx__core_fold(b->core, &record);
}

static int fold_result(box *b, const char *gid, const void *bytes, size_t len) {
    etx_record record = {.type = ETX_RECORD_RESULT, .gid = text_of(gid)};
    record.u.result.reply = ETX_DONE;
    record.u.result.bytes = (etx_bytes){bytes, len};
    return etx__core_fold(b->core, &record);
}

static int fold_move(box *b, const char *gid, int ended, const void *result, size_t len) {
    etx_record_branch branch = branch_of("a", NULL, 0);
    etx_record_progress progress = {.forward = ETX_DONE, .result = {result, len}};
    etx_record record = {.type = ETX_RECORD_MOVE, .gid = text_of(gid)};
    etx_record_move *move = &record.u.move;
    move->begin.time_ms = 100;
    move->begin.mode = ETX_INTERACTIVE;
    move->begin.branch_count = ended ? 0 : 1;
    move->begin.branches = &branch;
    move->progress = &progress;
    move->state = ended ? ETX_COMMITTED : ETX_ACTIVE;
    move->ended_ms = ended ? 200 : 0;
    move->ended_no = ended ? 1 : 0;
    return etx__core_fold(b->core, &record);
}

static int fold_abort(box *b, const char *gid, const char *reason) {
    etx_record record = {.type = ETX_RECORD_DECIDE, .gid = text_of(gid)};
    record.u.decide.marks = ETX_MARK_NEVER_BEGUN;
    record.u.decide.time_ms = 100;
    record.u.decide.reason = text_of(reason);
    return etx__core_fold(b->core, &record);
}

static int fold_decide(box *b, const char *gid, const char *reason) {
    etx_record record = {.type = ETX_RECORD_DECIDE, .gid = text_of(gid)};
    record.u.decide.time_ms = 100;
    record.u.decide.reason = text_of(reason);
    return etx__core_fold(b->core, &record);
}

static int knows(const box *b, const char *gid) {
    return etx__core_find(b->core, text_of(gid), etx__core_hash(text_of(gid))) != NULL;
}

/* Takes all whole spans; what is left is the rest of those that are cut already. */
static void fill_spans(box *b) {
    static uint8_t *bytes;
    bytes = calloc(1, ETX__SPAN);
    char name[16];
    for (int i = 0; i < 64; i++) {
        snprintf(name, sizeof name, "f%d", i);
        if (fold_enlist(b, "filler", name, bytes, ETX__SPAN - 400) != 0) {
            break;
        }
    }
    free(bytes);
}

static const char long_gid[] =
    "a-gid-that-is-much-longer-than-the-others-so-that-its-block-is-one-of-another-class-of-size";

static void test_recovery_without_room(void **state) {
    (void)state;
    uint8_t *bytes = calloc(1, 20000);
    box b = box_make(6, 300);
    assert_int_equal(fold_begin(&b, "filler", NULL, 0), 0);
    assert_int_equal(fold_begin(&b, "other", NULL, 0), 0);
    fill_spans(&b);
    /* no body; a body, and no gid; an enlisted branch; a result; a decision's reason; an abort; a
     * move of each kind */
    assert_int_equal(fold_begin(&b, "x", bytes, 20000), ETX_EBUSY);
    assert_int_equal(fold_begin(&b, long_gid, NULL, 0), ETX_EBUSY);
    assert_int_equal(fold_enlist(&b, "other", "n", bytes, 20000), ETX_EBUSY);
    assert_int_equal(fold_result(&b, "other", bytes, 20000), ETX_EBUSY);
    assert_int_equal(fold_decide(&b, "other", long_gid), ETX_EBUSY);
    assert_int_equal(fold_abort(&b, long_gid, ""), ETX_EBUSY);
    assert_int_equal(fold_abort(&b, "z", long_gid), ETX_EBUSY); /* a reason, and no room for it */
    assert_int_equal(fold_move(&b, long_gid, 0, NULL, 0), ETX_EBUSY);
    assert_int_equal(fold_move(&b, long_gid, 1, NULL, 0), ETX_EBUSY);
    assert_int_equal(fold_move(&b, "y", 0, bytes, 20000), ETX_EBUSY);
    assert_false(knows(&b, "x") || knows(&b, long_gid) || knows(&b, "z"));
    assert_int_equal(fold_abort(&b, "z", ""), 0);
    /* what claims more bytes than there can be is never copied */
    assert_int_equal(fold_begin(&b, "huge", bytes, (size_t)5 << 30), ETX_EBUSY);
    assert_int_equal(fold_enlist(&b, "other", "huge", bytes, (size_t)5 << 30), ETX_EBUSY);
    box_end(&b);
    free(bytes);
}

/* A table of branches that cannot grow. */
static void test_no_room_for_a_table(void **state) {
    (void)state;
    box b = box_make(6, 300);
    assert_int_equal(fold_begin(&b, "t", NULL, 0), 0);
    assert_int_equal(fold_begin(&b, "filler", NULL, 0), 0);
    assert_int_equal(fold_enlist(&b, "filler", "f", NULL, 0), 0);
    fill_spans(&b);
    int rc = 0;
    char name[16];
    int i = 0;
    for (; rc == 0 && i < 1000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        rc = fold_enlist(&b, "t", name, NULL, 0);
    }
    assert_int_equal(rc, ETX_EBUSY);
    const etx__entry *entry = etx__core_find(b.core, text_of("t"), etx__core_hash(text_of("t")));
    assert_int_equal(entry->tx->s.branch_count, i);
    box_end(&b);
}

/* Every entry is in use: live ones, and remembered ones whose END is not durable. */
static void test_no_entry(void **state) {
    (void)state;
    box b = box_make(64, 2);
    assert_int_equal(fold_begin(&b, "a", NULL, 0), 0);
    assert_int_equal(fold_begin(&b, "b", NULL, 0), 0);
    assert_int_equal(fold_begin(&b, "c", NULL, 0), ETX_EBUSY);
    assert_int_equal(fold_move(&b, "d", 0, NULL, 0), ETX_EBUSY);
    assert_int_equal(fold_move(&b, "e", 1, NULL, 0), 0);
    assert_true(knows(&b, "e") && !knows(&b, "c") && !knows(&b, "d"));
    box_end(&b);
}

/* Results fill what beginnings may not touch: then whatever is new is refused, and all ends. */
static void test_results_fill_the_reserve(void **state) {
    (void)state;
    world *w = NULL;
    char *bytes = calloc(1, 40000);
    FILE *to;
    char *text = NULL;
    size_t len = 0;
    say(&w, "world image=100000000 branches=300 pool=16777216\nparticipant shop");
    say(&w, "begin i mode=interactive deadline=600000\nenlist i a:tcc:shop:i\nput");
    to = open_memstream(&text, &len);
    w->check_every = 400; /* it takes its time */
    fprintf(to, "begin t nobody");
    for (int i = 0; i < 260; i++) {
        fprintf(to, " b%d:tcc", i);
    }
    fclose(to);
    say(&w, text);
    free(text);
    say(&w, "put");
    uint32_t calls = w->calls;
    for (uint32_t i = 0; i < calls - 1; i++) {
        world_reply(w, &w->call[i], ETX_DONE, (etx_bytes){bytes, 40000}, text_of("a reason"), 0);
    }
    /* a reason that finds no room is left out */
    char reason[91];
    memset(reason, 'r', sizeof reason);
    reason[90] = 0;
    world_reply(w, &w->call[calls - 1], ETX_RETRY, text_of(""), text_of(reason), 0);
    say(&w, "begin u a:tcc\nenlist i b:tcc\nabort v");
    assert_int_equal(answer_of(w, "begin u"), ETX_EBUSY);
    assert_int_equal(answer_of(w, "abort v"), ETX_EBUSY);
    etx__event event;
    world_event(w, &event, ETX__EV_RESULT, "i");
    event.u.result.branch = text_of("a");
    event.u.result.reply = ETX_DONE;
    event.u.result.bytes = (etx_bytes){bytes, 40000};
    event.waiter = world_waiter_make(w, "no room", ETX_WAIT_BEGUN, 0);
    world_step(w, &event);
    say(&w, "put");
    assert_int_equal(answer_of(w, "no room"), ETX_EBUSY);
    assert_int_equal(answer_of(w, "enlist i"), ETX_EBUSY);
    assert_int_equal(known(w, "t")->state, ETX_ABORTING);
    for (int round = 0; round < 40 && known(w, "t")->tx != NULL; round++) {
        for (uint32_t i = 0; i < w->calls; i++) {
            world_call *call = &w->call[i];
            if (!call->over) {
                world_reply(w, call, ETX_DONE, text_of(""), text_of(""), 0);
            }
        }
        say(&w, "put\ntick 1000\nput");
    }
    assert_int_equal(known(w, "t")->state, ETX_ABORTED);
    assert_int_equal(w->failures, 0);
    free(bytes);
    world_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recovery_without_room),
        cmocka_unit_test(test_no_room_for_a_table),
        cmocka_unit_test(test_no_entry),
        cmocka_unit_test(test_results_fill_the_reserve),
    };
    return cmocka_run_group_tests_name("core rooms", tests, NULL, NULL);
}
