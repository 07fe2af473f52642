/* The reading half of the JSON codec: strict about fields and types. */
#include <jansson.h>
#include <string.h>

#include "json.h"

/* What decode has used of the room, or would use, and the first thing that was wrong. Reading
 * goes on after it, on absent values, so that a record's fields stand below one another. */
typedef struct decoder {
    etx_record_room *room;
    size_t branches;
    size_t depends_on;
    size_t bytes;
    int rc;
} decoder;

/* An object of which the fields are taken one by one; what nobody took is unknown. */
typedef struct fields {
    decoder *to;
    json_t *object;
    size_t taken;
} fields;

enum { OPTIONAL = 0, REQUIRED = 1 };

static void decoder_fail(decoder *to, int rc) {
    if (to->rc == 0) {
        to->rc = rc;
    }
}

static fields fields_open(decoder *to, json_t *object) {
    if (!json_is_object(object)) {
        decoder_fail(to, ETX_ECORRUPT);
        object = NULL;
    }
    return (fields){to, object, 0};
}

static json_t *fields_take(fields *from, const char *key, int required) {
    json_t *value = json_object_get(from->object, key);
    if (value != NULL) {
        from->taken++;
    } else if (required) {
        decoder_fail(from->to, ETX_ECORRUPT);
    }
    return value;
}

static void fields_close(fields *from) {
    if (from->taken < json_object_size(from->object)) {
        decoder_fail(from->to, ETX_EVERSION);
    }
}

/* The value's string; NULL where it is absent, or is none. */
static const char *take_string(fields *from, const char *key, int required, size_t *ret_len) {
    json_t *value = fields_take(from, key, required);
    *ret_len = json_string_length(value);
    if (value != NULL && !json_is_string(value)) {
        decoder_fail(from->to, ETX_ECORRUPT);
    }
    return json_string_value(value);
}

/* ---- values */

/* A string of digits, as large numbers are written: neither one that would fit a JSON number nor
 * one beyond 64 bits. */
static int parse_digits(const char *text, uint64_t *ret_value) {
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return 0;
        }
        value = value * 10 + digit;
    }
    *ret_value = value;
    return *text == '\0' && value > JSON_NUMBER_MAX;
}

static uint64_t parse_number(decoder *to, const json_t *number, uint64_t max) {
    uint64_t value = 0;
    if (json_is_integer(number) && json_integer_value(number) >= 0) {
        value = (uint64_t)json_integer_value(number);
    } else if (!json_is_string(number) || !parse_digits(json_string_value(number), &value)) {
        decoder_fail(to, ETX_ECORRUPT);
        return 0;
    }
    if (value > max) {
        decoder_fail(to, ETX_ECORRUPT);
        return 0;
    }
    return value;
}

static uint64_t take_number(fields *from, const char *key, uint64_t max, int required) {
    json_t *number = fields_take(from, key, required);
    return number != NULL ? parse_number(from->to, number, max) : 0;
}

static uint64_t take_hex(fields *from, const char *key, int required) {
    size_t len;
    const char *text = take_string(from, key, required, &len);
    uint64_t value = 0;
    if (text == NULL) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = memchr(digits, text[i], 16);
        if (digit == NULL || len != 16) {
            decoder_fail(from->to, ETX_ECORRUPT);
            return 0;
        }
        value = value << 4 | (uint64_t)(digit - digits);
    }
    if (len == 0) {
        decoder_fail(from->to, ETX_ECORRUPT);
    }
    return value;
}

static uint8_t take_word(fields *from, const char *key, json_words words, int required) {
    size_t len;
    const char *text = take_string(from, key, required, &len);
    int value = text != NULL ? etx__json_value(words, text) : 0;
    if (value < 0) {
        decoder_fail(from->to, words == WORDS_RECORD ? ETX_EVERSION : ETX_ECORRUPT);
        return 0;
    }
    return (uint8_t)value;
}

static uint8_t take_bits(fields *from, const char *key, json_words words) {
    json_t *list = fields_take(from, key, OPTIONAL);
    unsigned bits = 0;
    if (list != NULL && !json_is_array(list)) {
        decoder_fail(from->to, ETX_ECORRUPT);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        int bit = text != NULL ? etx__json_value(words, text) : -1;
        if (bit < 0) {
            decoder_fail(from->to, text != NULL ? ETX_EVERSION : ETX_ECORRUPT);
            return 0;
        }
        if ((bits >> bit & 1) != 0) {
            decoder_fail(from->to, ETX_ECORRUPT);
        }
        bits |= 1u << bit;
    }
    return (uint8_t)bits;
}

/* ---- bytes, copied to the room: the parsed text does not outlive decode */

/* Room for `len` bytes, or NULL where there is none (and for 0 bytes). */
static unsigned char *claim_bytes(decoder *to, size_t len) {
    size_t start = to->bytes;
    to->bytes += len;
    return len > 0 && to->bytes <= to->room->bytes_max ? to->room->bytes + start : NULL;
}

static etx_bytes take_text(fields *from, const char *key, int required) {
    size_t len;
    const char *text = take_string(from, key, required, &len);
    unsigned char *copy = claim_bytes(from->to, len);
    if (copy != NULL) {
        memcpy(copy, text, len);
    }
    return (etx_bytes){copy, len};
}

static etx_bytes take_base64(fields *from, const char *key) {
    size_t text_len;
    size_t len = 0;
    const char *text = take_string(from, key, OPTIONAL, &text_len);
    if (text == NULL) {
        return (etx_bytes){NULL, 0};
    }
    if (!etx__json_base64_read(text, text_len, NULL, &len)) {
        decoder_fail(from->to, ETX_ECORRUPT);
        return (etx_bytes){NULL, 0};
    }
    unsigned char *copy = claim_bytes(from->to, len);
    if (copy != NULL) {
        etx__json_base64_read(text, text_len, copy, &len);
    }
    return (etx_bytes){copy, len};
}

static etx_bytes take_bytes(fields *from, const char *key, const char *base64_key) {
    etx_bytes text = take_text(from, key, OPTIONAL);
    etx_bytes decoded = take_base64(from, base64_key);
    if (text.len > 0 && decoded.len > 0) {
        decoder_fail(from->to, ETX_ECORRUPT);
    }
    return text.len > 0 ? text : decoded;
}

/* ---- branches */

static json_t *take_list(fields *from, const char *key) {
    json_t *list = fields_take(from, key, OPTIONAL);
    if (list != NULL && (!json_is_array(list) || json_array_size(list) > ETX_BRANCHES_MAX)) {
        decoder_fail(from->to, ETX_ECORRUPT);
        return NULL;
    }
    return list;
}

static void take_depends_on(fields *from, etx_record_branch *branch) {
    decoder *to = from->to;
    json_t *list = take_list(from, "depends_on");
    size_t count = json_array_size(list);
    size_t start = to->depends_on;
    to->depends_on += count;
    branch->depends_on_count = (uint16_t)count;
    if (count == 0 || to->depends_on > to->room->depends_on_max) {
        return;
    }
    uint16_t *places = to->room->depends_on + start;
    for (size_t i = 0; i < count; i++) {
        places[i] = (uint16_t)parse_number(to, json_array_get(list, i), ETX_BRANCHES_MAX - 1);
    }
    branch->depends_on = places;
}

static uint32_t take_number32(fields *from, const char *key) {
    return (uint32_t)take_number(from, key, UINT32_MAX, OPTIONAL);
}

static void take_branch(fields *from, etx_record_branch *branch) {
    *branch = (etx_record_branch){0};
    branch->name = take_text(from, "name", REQUIRED);
    branch->participant = take_text(from, "participant", REQUIRED);
    branch->kind = take_word(from, "kind", WORDS_KIND, REQUIRED);
    branch->flags = take_bits(from, "flags", WORDS_FLAG);
    branch->payload = take_bytes(from, "payload", "payload_base64");
    take_depends_on(from, branch);
    branch->attempts_max = take_number32(from, "attempts_max");
    branch->call_timeout_ms = take_number32(from, "call_timeout_ms");
    branch->retry_first_ms = take_number32(from, "retry_first_ms");
    branch->retry_cap_ms = take_number32(from, "retry_cap_ms");
}

static void take_progress(fields *from, etx_record_progress *progress) {
    *progress = (etx_record_progress){0};
    progress->forward = take_word(from, "forward", WORDS_REPLY, OPTIONAL);
    progress->finish = take_word(from, "finish", WORDS_REPLY, OPTIONAL);
    progress->settled = take_bits(from, "settled", WORDS_OPERATION);
    progress->digest = take_hex(from, "digest", OPTIONAL);
    progress->result = take_bytes(from, "result", "result_base64");
}

/* Those that the room cannot take are read all the same, so as to know how many there are. */
static void take_branches(fields *from, etx_record_begin *begin, int with_progress) {
    decoder *to = from->to;
    etx_record_room *room = to->room;
    json_t *list = take_list(from, "branches");
    to->branches = json_array_size(list);
    begin->branch_count = (uint16_t)to->branches;
    begin->branches = room->branches;
    for (size_t i = 0; i < to->branches && to->rc == 0; i++) {
        etx_record_branch branch;
        etx_record_progress progress;
        int fits = i < room->branches_max;
        fields each = fields_open(to, json_array_get(list, i));
        take_branch(&each, fits ? &room->branches[i] : &branch);
        if (with_progress) {
            take_progress(&each, fits ? &room->progress[i] : &progress);
        }
        fields_close(&each);
    }
}

/* ---- records */

static void take_begin(fields *from, etx_record_begin *begin, int within_move) {
    begin->time_ms = take_number(from, "time_ms", UINT64_MAX, REQUIRED);
    begin->deadline_ms = take_number(from, "deadline_ms", UINT64_MAX, OPTIONAL);
    begin->digest = take_hex(from, "digest", REQUIRED);
    begin->mode = take_word(from, "mode", WORDS_MODE, OPTIONAL);
    begin->marks = take_bits(from, "marks", WORDS_MARK);
    begin->durability = take_word(from, "durability", WORDS_DURABILITY, OPTIONAL);
    begin->initiator = take_text(from, "initiator", OPTIONAL);
    begin->initiator_payload = take_bytes(from, "initiator_payload", "initiator_payload_base64");
    begin->resume_ms = take_number32(from, "resume_ms");
    take_branches(from, begin, within_move);
}

static void take_own(fields *from, etx_record_own *own) {
    own->nonce = take_hex(from, "nonce", REQUIRED);
    own->time_ms = take_number(from, "time_ms", UINT64_MAX, REQUIRED);
    own->node = take_text(from, "node", OPTIONAL);
    own->chosen_home = take_text(from, "chosen_home", OPTIONAL);
}

static void take_enlist(fields *from, etx_record_enlist *enlist) {
    fields branch = fields_open(from->to, fields_take(from, "branch", REQUIRED));
    enlist->digest = take_hex(from, "digest", REQUIRED);
    take_branch(&branch, &enlist->branch);
    fields_close(&branch);
}

static void take_result(fields *from, etx_record_result *result) {
    result->branch = (uint16_t)take_number(from, "branch", ETX_BRANCHES_MAX - 1, REQUIRED);
    result->operation = take_word(from, "operation", WORDS_OPERATION, REQUIRED);
    result->reply = take_word(from, "reply", WORDS_REPLY, REQUIRED);
    result->bytes = take_bytes(from, "bytes", "bytes_base64");
}

static void take_decide(fields *from, etx_record_decide *decide) {
    decide->time_ms = take_number(from, "time_ms", UINT64_MAX, REQUIRED);
    decide->commit = take_word(from, "decision", WORDS_DECISION, REQUIRED);
    decide->marks = take_bits(from, "marks", WORDS_MARK);
    decide->reason = take_bytes(from, "reason", "reason_base64");
    decide->who = take_bytes(from, "who", "who_base64");
}

static void take_force(fields *from, etx_record_force *force) {
    force->time_ms = take_number(from, "time_ms", UINT64_MAX, REQUIRED);
    force->action = take_word(from, "action", WORDS_ACTION, REQUIRED);
    force->branch = (uint16_t)take_number(from, "branch", ETX_BRANCHES_MAX - 1, REQUIRED);
    force->operation = take_word(from, "operation", WORDS_OPERATION, REQUIRED);
    force->who = take_bytes(from, "who", "who_base64");
    force->why = take_bytes(from, "why", "why_base64");
}

static void take_move(fields *from, etx_record_move *move) {
    fields begin = fields_open(from->to, fields_take(from, "begin", REQUIRED));
    move->state = take_word(from, "state", WORDS_STATE, REQUIRED);
    move->marks = take_bits(from, "marks", WORDS_MARK);
    move->decided_ms = take_number(from, "decided_ms", UINT64_MAX, OPTIONAL);
    move->ended_ms = take_number(from, "ended_ms", UINT64_MAX, OPTIONAL);
    move->ended_no = take_number(from, "ended_no", UINT64_MAX, OPTIONAL);
    move->reason = take_bytes(from, "reason", "reason_base64");
    take_begin(&begin, &move->begin, 1);
    move->progress = from->to->room->progress;
    fields_close(&begin);
}

static void take_end(fields *from, etx_record_end *end) {
    end->time_ms = take_number(from, "time_ms", UINT64_MAX, REQUIRED);
    end->ended_no = take_number(from, "ended_no", UINT64_MAX, REQUIRED);
}

static void take_loss(fields *from, etx_record_loss *loss) {
    loss->time_ms = take_number(from, "time_ms", UINT64_MAX, REQUIRED);
    loss->who = take_bytes(from, "who", "who_base64");
    loss->why = take_bytes(from, "why", "why_base64");
}

static void take_body(fields *from, etx_record *record) {
    switch ((etx_record_type)record->type) {
        case ETX_RECORD_OWN:
            take_own(from, &record->u.own);
            return;
        case ETX_RECORD_BEGIN:
            take_begin(from, &record->u.begin, 0);
            return;
        case ETX_RECORD_ENLIST:
            take_enlist(from, &record->u.enlist);
            return;
        case ETX_RECORD_HELD:
            return;
        case ETX_RECORD_RESULT:
            take_result(from, &record->u.result);
            return;
        case ETX_RECORD_DECIDE:
            take_decide(from, &record->u.decide);
            return;
        case ETX_RECORD_FORCE:
            take_force(from, &record->u.force);
            return;
        case ETX_RECORD_MOVE:
            take_move(from, &record->u.move);
            return;
        case ETX_RECORD_END:
            take_end(from, &record->u.end);
            return;
        case ETX_RECORD_LOSS:
            take_loss(from, &record->u.loss);
            return;
    }
}

static int decoder_settle(const decoder *to) {
    etx_record_room *room = to->room;
    if (to->branches <= room->branches_max && to->depends_on <= room->depends_on_max &&
        to->bytes <= room->bytes_max) {
        return 0;
    }
    room->branches_need = to->branches;
    room->depends_on_need = to->depends_on;
    room->bytes_need = to->bytes;
    return ETX_EBUSY;
}

static int decode_object(json_t *object, etx_record_room *room, etx_record *ret_record) {
    decoder to = {.room = room};
    fields from = fields_open(&to, object);
    etx_record record = {.type = take_word(&from, "record", WORDS_RECORD, REQUIRED)};
    if (to.rc != 0) {
        return to.rc;
    }
    record.gid = take_text(&from, "gid", OPTIONAL);
    take_body(&from, &record);
    fields_close(&from);
    if (to.rc != 0) {
        return to.rc;
    }
    int rc = decoder_settle(&to);
    if (rc != 0) {
        return rc;
    }
    if (etx_record_check(&record) != 0) {
        return ETX_ECORRUPT;
    }
    *ret_record = record;
    return 0;
}

int etx__json_decode(etx_bytes bytes,
                     etx_record_room *room,
                     etx_record *ret_record,
                     size_t *ret_used) {
    const char *line = bytes.data;
    const char *end = bytes.len > 0 ? memchr(line, '\n', bytes.len) : NULL;
    if (end == NULL) {
        return ETX_ECORRUPT;
    }
    json_error_t error;
    json_t *object = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, &error);
    if (object == NULL) {
        return json_error_code(&error) == json_error_out_of_memory ? ETX_ENOMEM : ETX_ECORRUPT;
    }
    int rc = decode_object(object, room, ret_record);
    json_decref(object);
    if (rc == 0) {
        *ret_used = (size_t)(end - line) + 1;
    }
    return rc;
}
