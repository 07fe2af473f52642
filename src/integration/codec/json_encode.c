/* The writing half of the JSON codec. By hand rather than by a library, since encode cannot fail
 * and so must not allocate. */
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* Writes, or with `to` NULL only counts: so bound is what encode does, and cannot be wrong. */
typedef struct writer {
    char *to;
    size_t len;
    int first; /* nothing stands yet in the innermost object or array */
} writer;

static void put_raw(writer *out, const char *data, size_t len) {
    if (out->to != NULL) {
        memcpy(out->to + out->len, data, len);
    }
    out->len += len;
}

static void put_char(writer *out, char c) {
    put_raw(out, &c, 1);
}

static void put_comma(writer *out) {
    if (!out->first) {
        put_char(out, ',');
    }
    out->first = 0;
}

static void put_open(writer *out, char bracket) {
    put_char(out, bracket);
    out->first = 1;
}

static void put_close(writer *out, char bracket) {
    put_char(out, bracket);
    out->first = 0;
}

static void put_quoted(writer *out, etx_bytes text) {
    static const char escaped[] = "\"\\\n\r\t";
    static const char letters[] = "\"\\nrt";
    put_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        char c = ((const char *)text.data)[i];
        const char *found = memchr(escaped, c, sizeof escaped - 1);
        if (found != NULL) {
            put_char(out, '\\');
            c = letters[found - escaped];
        }
        put_char(out, c);
    }
    put_char(out, '"');
}

static void put_string(writer *out, const char *text) {
    put_quoted(out, (etx_bytes){text, strlen(text)});
}

static void put_key(writer *out, const char *key) {
    put_comma(out);
    put_string(out, key);
    put_char(out, ':');
}

/* ---- fields */

static void put_digits(writer *out, uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put_raw(out, digits + at, sizeof digits - at);
}

static void field_number(writer *out, const char *key, uint64_t value) {
    put_key(out, key);
    if (value > JSON_NUMBER_MAX) {
        put_char(out, '"');
        put_digits(out, value);
        put_char(out, '"');
    } else {
        put_digits(out, value);
    }
}

static void field_number_if(writer *out, const char *key, uint64_t value) {
    if (value != 0) {
        field_number(out, key, value);
    }
}

/* Sixteen hexadecimal digits: for what is compared rather than counted. */
static void field_hex(writer *out, const char *key, uint64_t value) {
    char digits[16];
    for (unsigned i = 0; i < sizeof digits; i++) {
        digits[i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
    }
    put_key(out, key);
    put_quoted(out, (etx_bytes){digits, sizeof digits});
}

static void field_name(writer *out, const char *key, etx_bytes name) {
    if (name.len > 0) {
        put_key(out, key);
        put_quoted(out, name);
    }
}

static void field_word(writer *out, const char *key, json_words words, unsigned value) {
    const char *word = etx__json_word(words, value);
    if (word != NULL) {
        put_key(out, key);
        put_string(out, word);
    }
}

static void field_word_if(writer *out, const char *key, json_words words, unsigned value) {
    if (value != 0) {
        field_word(out, key, words, value);
    }
}

static void field_bits(writer *out, const char *key, json_words words, unsigned bits) {
    if (bits == 0) {
        return;
    }
    put_key(out, key);
    put_open(out, '[');
    for (unsigned bit = 0; bit < 8; bit++) {
        const char *word = etx__json_word(words, bit);
        if ((bits >> bit & 1) != 0 && word != NULL) {
            put_comma(out);
            put_string(out, word);
        }
    }
    put_close(out, ']');
}

static void put_base64(writer *out, etx_bytes bytes) {
    put_char(out, '"');
    if (out->to != NULL) {
        etx__json_base64_write(bytes, out->to + out->len);
    }
    out->len += etx__json_base64_size(bytes.len);
    put_char(out, '"');
}

/* Bytes of any kind: as text under `key`, or else in base64 under `base64_key`. */
static void field_bytes(writer *out, const char *key, const char *base64_key, etx_bytes bytes) {
    if (bytes.len == 0) {
        return;
    }
    if (etx__json_is_text(bytes)) {
        put_key(out, key);
        put_quoted(out, bytes);
    } else {
        put_key(out, base64_key);
        put_base64(out, bytes);
    }
}

/* ---- records */

static void put_branch_fields(writer *out, const etx_record_branch *branch) {
    field_name(out, "name", branch->name);
    field_name(out, "participant", branch->participant);
    field_word(out, "kind", WORDS_KIND, branch->kind);
    field_bits(out, "flags", WORDS_FLAG, branch->flags);
    field_bytes(out, "payload", "payload_base64", branch->payload);
    if (branch->depends_on_count > 0) {
        put_key(out, "depends_on");
        put_open(out, '[');
        for (unsigned i = 0; i < branch->depends_on_count; i++) {
            put_comma(out);
            put_digits(out, branch->depends_on[i]);
        }
        put_close(out, ']');
    }
    field_number_if(out, "attempts_max", branch->attempts_max);
    field_number_if(out, "call_timeout_ms", branch->call_timeout_ms);
    field_number_if(out, "retry_first_ms", branch->retry_first_ms);
    field_number_if(out, "retry_cap_ms", branch->retry_cap_ms);
}

static void put_progress_fields(writer *out, const etx_record_progress *progress) {
    field_word_if(out, "forward", WORDS_REPLY, progress->forward);
    field_word_if(out, "finish", WORDS_REPLY, progress->finish);
    field_bits(out, "settled", WORDS_OPERATION, progress->settled);
    if (progress->digest != 0) {
        field_hex(out, "digest", progress->digest);
    }
    field_bytes(out, "result", "result_base64", progress->result);
}

/* `progress` may be NULL; else there is one for each branch. */
static void put_begin_fields(writer *out,
                             const etx_record_begin *begin,
                             const etx_record_progress *progress) {
    field_number(out, "time_ms", begin->time_ms);
    field_number_if(out, "deadline_ms", begin->deadline_ms);
    field_hex(out, "digest", begin->digest);
    field_word_if(out, "mode", WORDS_MODE, begin->mode);
    field_bits(out, "marks", WORDS_MARK, begin->marks);
    field_word_if(out, "durability", WORDS_DURABILITY, begin->durability);
    field_name(out, "initiator", begin->initiator);
    field_bytes(out, "initiator_payload", "initiator_payload_base64", begin->initiator_payload);
    field_number_if(out, "resume_ms", begin->resume_ms);
    put_key(out, "branches");
    put_open(out, '[');
    for (unsigned i = 0; i < begin->branch_count; i++) {
        put_comma(out);
        put_open(out, '{');
        put_branch_fields(out, &begin->branches[i]);
        if (progress != NULL) {
            put_progress_fields(out, &progress[i]);
        }
        put_close(out, '}');
    }
    put_close(out, ']');
}

static void put_own_fields(writer *out, const etx_record_own *own) {
    field_hex(out, "nonce", own->nonce);
    field_number(out, "time_ms", own->time_ms);
    field_name(out, "node", own->node);
    field_name(out, "chosen_home", own->chosen_home);
}

static void put_enlist_fields(writer *out, const etx_record_enlist *enlist) {
    field_hex(out, "digest", enlist->digest);
    put_key(out, "branch");
    put_open(out, '{');
    put_branch_fields(out, &enlist->branch);
    put_close(out, '}');
}

static void put_result_fields(writer *out, const etx_record_result *result) {
    field_number(out, "branch", result->branch);
    field_word(out, "operation", WORDS_OPERATION, result->operation);
    field_word(out, "reply", WORDS_REPLY, result->reply);
    field_bytes(out, "bytes", "bytes_base64", result->bytes);
}

static void put_decide_fields(writer *out, const etx_record_decide *decide) {
    field_number(out, "time_ms", decide->time_ms);
    field_word(out, "decision", WORDS_DECISION, decide->commit);
    field_bits(out, "marks", WORDS_MARK, decide->marks);
    field_bytes(out, "reason", "reason_base64", decide->reason);
    field_bytes(out, "who", "who_base64", decide->who);
}

static void put_force_fields(writer *out, const etx_record_force *force) {
    field_number(out, "time_ms", force->time_ms);
    field_word(out, "action", WORDS_ACTION, force->action);
    field_number(out, "branch", force->branch);
    field_word(out, "operation", WORDS_OPERATION, force->operation);
    field_bytes(out, "who", "who_base64", force->who);
    field_bytes(out, "why", "why_base64", force->why);
}

static void put_move_fields(writer *out, const etx_record_move *move) {
    field_word(out, "state", WORDS_STATE, move->state);
    field_bits(out, "marks", WORDS_MARK, move->marks);
    field_number_if(out, "decided_ms", move->decided_ms);
    field_number_if(out, "ended_ms", move->ended_ms);
    field_number_if(out, "ended_no", move->ended_no);
    field_bytes(out, "reason", "reason_base64", move->reason);
    put_key(out, "begin");
    put_open(out, '{');
    put_begin_fields(out, &move->begin, move->progress);
    put_close(out, '}');
}

static void put_end_fields(writer *out, const etx_record_end *end) {
    field_number(out, "time_ms", end->time_ms);
    field_number(out, "ended_no", end->ended_no);
}

static void put_loss_fields(writer *out, const etx_record_loss *loss) {
    field_number(out, "time_ms", loss->time_ms);
    field_bytes(out, "who", "who_base64", loss->who);
    field_bytes(out, "why", "why_base64", loss->why);
}

static void put_fields(writer *out, const etx_record *record) {
    switch ((etx_record_type)record->type) {
        case ETX_RECORD_OWN:
            put_own_fields(out, &record->u.own);
            break;
        case ETX_RECORD_BEGIN:
            put_begin_fields(out, &record->u.begin, NULL);
            break;
        case ETX_RECORD_ENLIST:
            put_enlist_fields(out, &record->u.enlist);
            break;
        case ETX_RECORD_HELD:
            break;
        case ETX_RECORD_RESULT:
            put_result_fields(out, &record->u.result);
            break;
        case ETX_RECORD_DECIDE:
            put_decide_fields(out, &record->u.decide);
            break;
        case ETX_RECORD_FORCE:
            put_force_fields(out, &record->u.force);
            break;
        case ETX_RECORD_MOVE:
            put_move_fields(out, &record->u.move);
            break;
        case ETX_RECORD_END:
            put_end_fields(out, &record->u.end);
            break;
        case ETX_RECORD_LOSS:
            put_loss_fields(out, &record->u.loss);
            break;
    }
}

static size_t put_record(const etx_record *record, char *buffer) {
    writer out = {.to = buffer};
    put_open(&out, '{');
    field_word(&out, "record", WORDS_RECORD, record->type);
    field_name(&out, "gid", record->gid);
    put_fields(&out, record);
    put_close(&out, '}');
    put_char(&out, '\n');
    return out.len;
}

size_t etx__json_bound(const etx_record *record) {
    return put_record(record, NULL);
}

/* What decode would refuse is a mistake of the caller, and never written. */
size_t etx__json_encode(const etx_record *record, void *buffer) {
    if (etx_record_check(record) != 0) {
        return 0;
    }
    return put_record(record, buffer);
}
