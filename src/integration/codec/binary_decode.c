/* The reading half of the binary codec: bytes from a disk, believed only as far as they check. */
#include <string.h>

#include "binary.h"

/* The reader never passes `end`. The first thing that is wrong is kept in `rc`, moves `at` to the
 * end, and makes everything read after it 0 or empty; so the shape of a record is written down
 * without an if after every field, and looked at once. */
typedef struct reader {
    const uint8_t *at;
    const uint8_t *end;
    int rc;
} reader;

/* What decode has used of the room, or would use: counting goes on where the room ends. */
typedef struct usage {
    etx_record_room *room;
    size_t branches;
    size_t depends_on;
} usage;

static void reader_fail(reader *from, int rc) {
    if (from->rc == 0) {
        from->rc = rc;
    }
    from->at = from->end;
}

static inline void reader_refuse_if(reader *from, int condition, int rc) {
    if (__builtin_expect(condition, 0)) {
        reader_fail(from, rc);
    }
}

static inline unsigned get_byte(reader *from) {
    if (from->at == from->end) {
        reader_fail(from, ETX_ECORRUPT);
        return 0;
    }
    return *from->at++;
}

static uint64_t get_long_varint(reader *from) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        unsigned byte = get_byte(from);
        if (shift == 63 && byte > 1) {
            break; /* more than 64 bits */
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            /* A last byte of 0 carries nothing: a shorter form says the same. */
            reader_refuse_if(from, byte == 0 && shift > 0, ETX_ECORRUPT);
            return from->rc == 0 ? value : 0;
        }
    }
    reader_fail(from, ETX_ECORRUPT);
    return 0;
}

static inline uint64_t get_varint(reader *from) {
    if (from->at < from->end && *from->at < 0x80) {
        return *from->at++;
    }
    return get_long_varint(from);
}

static uint64_t get_varint_up_to(reader *from, uint64_t max) {
    uint64_t value = get_varint(from);
    if (value > max) {
        reader_fail(from, ETX_ECORRUPT);
        return 0;
    }
    return value;
}

/* A field whose bit is set has a value; 0 would have been left out. */
static uint64_t get_present(reader *from, uint64_t max) {
    uint64_t value = get_varint_up_to(from, max);
    reader_refuse_if(from, value == 0, ETX_ECORRUPT);
    return value;
}

static uint64_t get_fixed(reader *from) {
    uint64_t value;
    if ((size_t)(from->end - from->at) < sizeof value) {
        reader_fail(from, ETX_ECORRUPT);
        return 0;
    }
    memcpy(&value, from->at, sizeof value);
    from->at += sizeof value;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static etx_bytes get_bytes(reader *from) {
    uint64_t len = get_varint(from);
    if (len > (size_t)(from->end - from->at)) {
        reader_fail(from, ETX_ECORRUPT);
        len = 0;
    }
    etx_bytes bytes = {len != 0 ? from->at : NULL, (size_t)len};
    from->at += len;
    return bytes;
}

static etx_bytes get_present_bytes(reader *from) {
    etx_bytes bytes = get_bytes(from);
    reader_refuse_if(from, bytes.len == 0, ETX_ECORRUPT);
    return bytes;
}

/* ---- bodies */

static void get_depends_on(reader *from, usage *use, etx_record_branch *branch) {
    branch->depends_on_count = (uint16_t)get_present(from, ETX_BRANCHES_MAX);
    for (unsigned i = 0; i < branch->depends_on_count && from->rc == 0; i++) {
        uint16_t place = (uint16_t)get_varint_up_to(from, ETX_BRANCHES_MAX - 1);
        if (use->depends_on < use->room->depends_on_max) {
            uint16_t *slot = &use->room->depends_on[use->depends_on];
            *slot = place;
            branch->depends_on = i == 0 ? slot : branch->depends_on;
        }
        use->depends_on++;
    }
}

static void get_options(reader *from, etx_record_branch *branch) {
    unsigned options = get_byte(from);
    reader_refuse_if(from, (options & OPTION_UNKNOWN) != 0, ETX_EVERSION);
    reader_refuse_if(from, options == 0, ETX_ECORRUPT);
    if (options & OPTION_ATTEMPTS) {
        branch->attempts_max = (uint32_t)get_present(from, UINT32_MAX);
    }
    if (options & OPTION_TIMEOUT) {
        branch->call_timeout_ms = (uint32_t)get_present(from, UINT32_MAX);
    }
    if (options & OPTION_RETRY_FIRST) {
        branch->retry_first_ms = (uint32_t)get_present(from, UINT32_MAX);
    }
    if (options & OPTION_RETRY_CAP) {
        branch->retry_cap_ms = (uint32_t)get_present(from, UINT32_MAX);
    }
}

static void get_branch(reader *from, usage *use, etx_record_branch *branch) {
    unsigned head = get_byte(from);
    *branch = (etx_record_branch){
        .kind = head & BRANCH_KIND,
        .flags = head >> BRANCH_FLAGS_SHIFT & BRANCH_FLAGS,
    };
    branch->name = get_bytes(from);
    branch->participant = get_bytes(from);
    branch->payload = get_bytes(from);
    if (head & BRANCH_DEPENDS) {
        get_depends_on(from, use, branch);
    }
    if (head & BRANCH_OPTIONS) {
        get_options(from, branch);
    }
}

static void get_initiator(reader *from, etx_record_begin *begin) {
    etx_bytes both = get_present_bytes(from);
    const uint8_t *end = both.len > 0 ? memchr(both.data, 0, both.len) : NULL;
    begin->initiator = both;
    if (end != NULL) {
        begin->initiator.len = (size_t)(end - (const uint8_t *)both.data);
        begin->initiator_payload = (etx_bytes){end + 1, both.len - begin->initiator.len - 1};
        reader_refuse_if(from, begin->initiator_payload.len == 0, ETX_ECORRUPT);
    }
}

static void get_begin_head(reader *from, etx_record_begin *begin) {
    unsigned head = get_byte(from);
    begin->mode = head & BEGIN_MODE;
    begin->marks = head & BEGIN_CHOSEN ? ETX_MARK_CHOSEN : 0;
    begin->durability = (uint8_t)(head >> BEGIN_DURABILITY_SHIFT);
    begin->time_ms = get_varint(from);
    begin->digest = get_fixed(from);
    if (head & BEGIN_DEADLINE) {
        begin->deadline_ms = begin->time_ms + get_varint(from);
        reader_refuse_if(from, begin->deadline_ms == 0, ETX_ECORRUPT);
    }
    if (head & BEGIN_INITIATOR) {
        get_initiator(from, begin);
    }
    if (head & BEGIN_RESUME) {
        begin->resume_ms = (uint32_t)get_present(from, UINT32_MAX);
    }
    begin->branch_count = (uint16_t)get_varint_up_to(from, ETX_BRANCHES_MAX);
}

static void get_progress(reader *from, etx_record_progress *progress) {
    unsigned head = get_byte(from);
    *progress = (etx_record_progress){
        .forward = head & PROGRESS_REPLY,
        .finish = head >> PROGRESS_FINISH_SHIFT & PROGRESS_REPLY,
        .settled = head >> PROGRESS_SETTLED_SHIFT & PROGRESS_SETTLED,
    };
    if ((head & PROGRESS_MORE) == 0) {
        return;
    }
    unsigned more = get_byte(from);
    reader_refuse_if(from, (more & MORE_UNKNOWN) != 0, ETX_EVERSION);
    reader_refuse_if(from, more == 0, ETX_ECORRUPT);
    if (more & MORE_DIGEST) {
        progress->digest = get_fixed(from);
        reader_refuse_if(from, progress->digest == 0, ETX_ECORRUPT);
    }
    if (more & MORE_RESULT) {
        progress->result = get_present_bytes(from);
    }
}

/* The branches of a BEGIN, and of a MOVE (with_progress) what is known of each behind it. Those
 * that the room cannot take are read all the same, so as to know how many there are. */
static void get_branches(reader *from, usage *use, etx_record_begin *begin, int with_progress) {
    etx_record_room *room = use->room;
    begin->branches = room->branches;
    for (unsigned i = 0; i < begin->branch_count && from->rc == 0; i++) {
        etx_record_branch branch;
        etx_record_progress progress;
        int fits = i < room->branches_max;
        get_branch(from, use, fits ? &room->branches[i] : &branch);
        if (with_progress) {
            get_progress(from, fits ? &room->progress[i] : &progress);
        }
    }
    use->branches = begin->branch_count;
}

static void get_move(reader *from, usage *use, etx_record_move *move) {
    unsigned head = get_byte(from);
    reader_refuse_if(from, (head & MOVE_UNKNOWN) != 0, ETX_EVERSION);
    move->state = head & MOVE_STATE;
    move->marks = (uint8_t)get_byte(from);
    reader_refuse_if(from, (move->marks & MARKS_UNKNOWN) != 0, ETX_EVERSION);
    if (head & MOVE_DECIDED) {
        move->decided_ms = get_present(from, UINT64_MAX);
    }
    if (head & MOVE_ENDED) {
        move->ended_ms = get_present(from, UINT64_MAX);
    }
    if (head & MOVE_ENDED_NO) {
        move->ended_no = get_present(from, UINT64_MAX);
    }
    if (head & MOVE_REASON) {
        move->reason = get_present_bytes(from);
    }
    get_begin_head(from, &move->begin);
    get_branches(from, use, &move->begin, 1);
    move->progress = use->room->progress;
}

static void get_begin(reader *from, usage *use, etx_record_begin *begin) {
    get_begin_head(from, begin);
    get_branches(from, use, begin, 0);
}

static void get_own(reader *from, etx_record_own *own) {
    own->nonce = get_fixed(from);
    own->time_ms = get_varint(from);
    own->node = get_bytes(from);
    own->chosen_home = get_bytes(from);
}

static void get_result(reader *from, etx_record_result *result) {
    unsigned head = get_byte(from);
    reader_refuse_if(from, (head & RESULT_UNKNOWN) != 0, ETX_EVERSION);
    result->operation = head & RESULT_OPERATION;
    result->reply = head & RESULT_REFUSED ? ETX_REFUSED : ETX_DONE;
    result->branch = (uint16_t)get_varint_up_to(from, ETX_BRANCHES_MAX - 1);
    if (head & RESULT_BYTES) {
        result->bytes = get_present_bytes(from);
    }
}

static void get_decide(reader *from, etx_record_decide *decide) {
    unsigned head = get_byte(from);
    decide->commit = head & DECIDE_COMMIT;
    decide->marks = (uint8_t)(head >> DECIDE_MARKS_SHIFT);
    decide->time_ms = get_varint(from);
    if (head & DECIDE_REASON) {
        decide->reason = get_present_bytes(from);
    }
    if (head & DECIDE_WHO) {
        decide->who = get_present_bytes(from);
    }
}

static void get_force(reader *from, etx_record_force *force) {
    unsigned head = get_byte(from);
    reader_refuse_if(from, (head & FORCE_UNKNOWN) != 0, ETX_EVERSION);
    force->action = head & FORCE_ACTION;
    force->operation = head >> FORCE_OPERATION_SHIFT & FORCE_OPERATION;
    force->time_ms = get_varint(from);
    force->branch = (uint16_t)get_varint_up_to(from, ETX_BRANCHES_MAX - 1);
    force->who = get_bytes(from);
    force->why = get_bytes(from);
}

static void get_loss(reader *from, etx_record_loss *loss) {
    loss->time_ms = get_varint(from);
    loss->who = get_bytes(from);
    loss->why = get_bytes(from);
}

static void get_body(reader *from, usage *use, etx_record *record) {
    if (record->type != ETX_RECORD_OWN && record->type != ETX_RECORD_LOSS) {
        record->gid = get_bytes(from);
    }
    switch ((etx_record_type)record->type) {
        case ETX_RECORD_OWN:
            get_own(from, &record->u.own);
            return;
        case ETX_RECORD_BEGIN:
            get_begin(from, use, &record->u.begin);
            return;
        case ETX_RECORD_ENLIST:
            get_branch(from, use, &record->u.enlist.branch);
            record->u.enlist.digest = get_fixed(from);
            return;
        case ETX_RECORD_HELD:
            return;
        case ETX_RECORD_RESULT:
            get_result(from, &record->u.result);
            return;
        case ETX_RECORD_DECIDE:
            get_decide(from, &record->u.decide);
            return;
        case ETX_RECORD_FORCE:
            get_force(from, &record->u.force);
            return;
        case ETX_RECORD_MOVE:
            get_move(from, use, &record->u.move);
            return;
        case ETX_RECORD_END:
            record->u.end.time_ms = get_varint(from);
            record->u.end.ended_no = get_varint(from);
            return;
        case ETX_RECORD_LOSS:
            get_loss(from, &record->u.loss);
            return;
    }
}

/* What the record needs of the room: ETX_EBUSY if that is more than there is. */
static int usage_settle(const usage *use) {
    etx_record_room *room = use->room;
    if (use->branches <= room->branches_max && use->depends_on <= room->depends_on_max) {
        return 0;
    }
    room->branches_need = use->branches;
    room->depends_on_need = use->depends_on;
    room->bytes_need = 0;
    return ETX_EBUSY;
}

int etx__binary_decode(etx_bytes bytes,
                       etx_record_room *room,
                       etx_record *ret_record,
                       size_t *ret_used) {
    const uint8_t *start = bytes.data;
    reader from = {start, start + bytes.len, 0};
    uint64_t len = get_varint(&from);
    etx_record record = {.type = (uint8_t)get_byte(&from)};
    if (from.rc != 0 || len > (size_t)(from.end - from.at)) {
        return ETX_ECORRUPT;
    }
    if (record.type < ETX_RECORD_OWN || record.type > ETX_RECORD_LOSS) {
        return record.type == 0 ? ETX_ECORRUPT : ETX_EVERSION;
    }
    from.end = from.at + len;
    usage use = {.room = room};
    get_body(&from, &use, &record);
    if (from.rc != 0) {
        return from.rc;
    }
    if (from.at != from.end) {
        return ETX_EVERSION; /* fields that a newer version has added */
    }
    int rc = usage_settle(&use);
    if (rc != 0) {
        return rc;
    }
    if (etx_record_check(&record) != 0) {
        return ETX_ECORRUPT;
    }
    *ret_record = record;
    *ret_used = (size_t)(from.at - start);
    return 0;
}
