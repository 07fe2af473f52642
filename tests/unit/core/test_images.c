/* What a MOVE carries: every field that BEGIN, ENLIST, RESULT and DECIDE said; and the room that
 * all of it takes. */
#include "unit.h"

#include <etx/codec.h>

static const uint16_t first_place[] = {0};

/* No field is 0, and no two are the same: what is lost or exchanged differs. */
static etx_record_branch branch(const char *name, etx_kind kind, uint32_t number) {
    return (etx_record_branch){
        .name = text_of(name),
        .participant = text_of(kind == ETX_TCC ? "shop" : "bank"),
        .payload = text_of(kind == ETX_TCC ? "seven tins" : "eight coins"),
        .depends_on = first_place,
        .depends_on_count = name[0] != 'a',
        .kind = (uint8_t)kind,
        .flags = ETX_KEEPS_REFUSALS | (name[0] != 'a' ? ETX_WANTS_RESULTS : 0),
        .attempts_max = number + 1,
        .call_timeout_ms = number + 2,
        .retry_first_ms = number + 3,
        .retry_cap_ms = number + 4,
    };
}

static void assert_bytes(etx_bytes is, etx_bytes said) {
    assert_int_equal(is.len, said.len);
    assert_memory_equal(is.data, said.data, said.len);
}

static void assert_branch(const etx_record_branch *is, const etx_record_branch *said) {
    assert_bytes(is->name, said->name);
    assert_bytes(is->participant, said->participant);
    assert_bytes(is->payload, said->payload);
    assert_int_equal(is->depends_on_count, said->depends_on_count);
    for (uint16_t i = 0; i < said->depends_on_count; i++) {
        assert_int_equal(is->depends_on[i], said->depends_on[i]);
    }
    assert_int_equal(is->kind, said->kind);
    assert_int_equal(is->flags, said->flags);
    assert_int_equal(is->attempts_max, said->attempts_max);
    assert_int_equal(is->call_timeout_ms, said->call_timeout_ms);
    assert_int_equal(is->retry_first_ms, said->retry_first_ms);
    assert_int_equal(is->retry_cap_ms, said->retry_cap_ms);
}

static void assert_begin(const etx_record_begin *is, const etx_record_begin *said) {
    assert_int_equal(is->time_ms, said->time_ms);
    assert_int_equal(is->deadline_ms, said->deadline_ms);
    assert_int_equal(is->digest, said->digest);
    assert_int_equal(is->mode, said->mode);
    assert_int_equal(is->marks, said->marks);
    assert_int_equal(is->durability, said->durability);
    assert_bytes(is->initiator, said->initiator);
    assert_bytes(is->initiator_payload, said->initiator_payload);
    assert_int_equal(is->resume_ms, said->resume_ms);
}

/* ---- all fields */

/* The four records that a life says. */
typedef struct life {
    etx_record_branch of_begin;
    etx_record begin, enlist, result, decide;
} life;

static void live(life *l) {
    static const etx_bytes gid = {"t", 1};
    memset(l, 0, sizeof *l);
    l->begin = (etx_record){.type = ETX_RECORD_BEGIN, .gid = gid};
    l->enlist = (etx_record){.type = ETX_RECORD_ENLIST, .gid = gid};
    l->result = (etx_record){.type = ETX_RECORD_RESULT, .gid = gid};
    l->decide = (etx_record){.type = ETX_RECORD_DECIDE, .gid = gid};
    l->of_begin = branch("a", ETX_TCC, 100);
    l->begin.u.begin = (etx_record_begin){
        .time_ms = 1001,
        .deadline_ms = 2002,
        .digest = 3003,
        .mode = ETX_RESUMED,
        .marks = ETX_MARK_CHOSEN,
        .durability = ETX_REPLICATED,
        .initiator = text_of("app"),
        .initiator_payload = text_of("order 9"),
        .resume_ms = 4004,
        .branch_count = 1,
        .branches = &l->of_begin,
    };
    l->enlist.u.enlist.branch = branch("b", ETX_SAGA, 200);
    l->enlist.u.enlist.digest = 5005;
    l->result.u.result.branch = 1;
    l->result.u.result.operation = ETX_FORWARD;
    l->result.u.result.reply = ETX_DONE;
    l->result.u.result.bytes = text_of("receipt");
    l->decide.u.decide.time_ms = 6006;
    l->decide.u.decide.marks = ETX_MARK_FORCED;
    l->decide.u.decide.reason = text_of("sold out");
}

/* As another owner reads it; the record points into the room and the bytes. */
static void read_back(const etx__core *core,
                      etx_record_room *room,
                      uint8_t **ret_bytes,
                      etx_record *ret_move) {
    const etx_codec *codec = etx_codec_binary();
    const etx__entry *entry = etx__core_find(core, text_of("t"), etx__core_hash(text_of("t")));
    etx_record image;
    size_t used = 0;
    int rc;
    assert_non_null(entry);
    etx__core_image(core, entry, core->image_branch, core->image_progress, &image);
    uint8_t *bytes = malloc(codec->bound(&image));
    size_t len = codec->encode(&image, bytes);
    while ((rc = codec->decode((etx_bytes){bytes, len}, room, ret_move, &used)) == ETX_EBUSY) {
        assert_int_equal(etx_record_room_grow(room), 0);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(used, len);
    *ret_bytes = bytes;
}

static void assert_moved(const etx_record_move *move, const life *l) {
    const etx_record_progress *progress = move->progress;
    assert_begin(&move->begin, &l->begin.u.begin);
    assert_int_equal(move->begin.branch_count, 2);
    assert_branch(&move->begin.branches[0], &l->of_begin);
    assert_branch(&move->begin.branches[1], &l->enlist.u.enlist.branch);
    assert_int_equal(progress[0].digest, 0);
    assert_int_equal(progress[0].forward, 0);
    assert_int_equal(progress[1].digest, l->enlist.u.enlist.digest);
    assert_int_equal(progress[1].forward, ETX_DONE);
    assert_bytes(progress[1].result, l->result.u.result.bytes);
    assert_int_equal(move->state, ETX_ABORTING);
    assert_int_equal(move->marks, ETX_MARK_CHOSEN | ETX_MARK_FORCED);
    assert_int_equal(move->decided_ms, l->decide.u.decide.time_ms);
    assert_bytes(move->reason, l->decide.u.decide.reason);
}

/* The log is trimmed twice, each time by an owner that has read only the MOVE of the one before. */
static void test_every_field_is_moved(void **state) {
    (void)state;
    world *w = NULL;
    life l;
    void *memory = NULL;
    say(&w, "world");
    live(&l);
    etx__core *core = world_fold(w, 0, 0, &memory);
    const etx_record *said[] = {&l.begin, &l.enlist, &l.result, &l.decide};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(etx_record_check(said[i]), 0);
        assert_int_equal(etx__core_fold(core, said[i]), 0);
    }
    for (int trims = 0; trims < 2; trims++) {
        etx_record_room room = {0};
        etx_record move;
        uint8_t *bytes = NULL;
        read_back(core, &room, &bytes, &move);
        assert_moved(&move.u.move, &l);
        free(memory);
        core = world_fold(w, 0, 0, &memory);
        assert_int_equal(etx__core_fold(core, &move), 0);
        etx_record_room_free(&room);
        free(bytes);
    }
    free(memory);
    world_free(w);
}

/* ---- the room that results take */

static void reply_with(world *w, const char *branch_name, size_t len) {
    char *bytes = calloc(1, len);
    world_call *call = world_call_find(w, "t", branch_name);
    assert_non_null(call);
    world_reply(w, call, ETX_DONE, (etx_bytes){bytes, len}, text_of(""), 0);
    free(bytes);
}

/* Each result fits, both do not: a MOVE that could not be written is never needed. The first result
 * counts where it was answered, and where it was read from a MOVE. */
static void test_results_count(void **state) {
    (void)state;
    for (int moved = 0; moved < 2; moved++) {
        world *w = NULL;
        say(&w, "world image=4000\nparticipant shop\nbegin t a:tcc b:tcc nobody\nput");
        reply_with(w, "a", 2500);
        say(&w, "put");
        assert_int_equal(known(w, "t")->state, ETX_ACTIVE);
        if (moved) {
            say(&w, "tick 0\nabort other\nput\ntrim\ncrash");
            assert_int_equal(known(w, "t")->tx->branch[0]->s.result_len, 2500);
        }
        reply_with(w, "b", 2500);
        assert_int_equal(known(w, "t")->state, ETX_ABORTING);
        world_free(w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_is_moved),
        cmocka_unit_test(test_results_count),
    };
    return cmocka_run_group_tests_name("core images", tests, NULL, NULL);
}
