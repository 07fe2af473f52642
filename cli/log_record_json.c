/* Records as JSON: what the JSON codec writes of them, and where they stand. */
#include <stdlib.h>
#include <string.h>

#include <etx/codec_json.h>

#include "cli_json.h"
#include "envelope.h"
#include "log_record.h"

/* The codec's line as an object; NULL if memory is short, or the record is none. */
static json_t *encode_record(const etx_record *record) {
    const etx_codec *codec = etx_codec_json();
    char *line = malloc(codec->bound(record) + 1);
    json_t *object = NULL;
    if (line != NULL) {
        size_t len = codec->encode(record, line);
        object = len == 0 ? NULL : json_loadb(line, len, JSON_DISABLE_EOF_CHECK, NULL);
        free(line);
    }
    return object;
}

/* ---- a copy that may be shown */

typedef struct shown {
    etx_record record;
    etx_record_branch *branches;
    void **owned; /* one more than branches: the initiator's */
    size_t count;
} shown;

static void free_shown(shown *one) {
    size_t i;
    for (i = 0; one->owned != NULL && i <= one->count; i++) {
        free(one->owned[i]);
    }
    free(one->owned);
    free(one->branches);
}

static etx_record_begin *begin_of(etx_record *record) {
    return record->type == ETX_RECORD_BEGIN  ? &record->u.begin
           : record->type == ETX_RECORD_MOVE ? &record->u.move.begin
                                             : NULL;
}

/* -1: memory is short. */
static int show_record(const etx_record *record, shown *ret) {
    etx_record_begin *begin;
    size_t i;
    *ret = (shown){.record = *record};
    begin = begin_of(&ret->record);
    ret->count = begin != NULL ? begin->branch_count : 0;
    ret->owned = calloc(ret->count + 1, sizeof *ret->owned);
    ret->branches = calloc(ret->count + 1, sizeof *ret->branches);
    if (ret->owned == NULL || ret->branches == NULL) {
        return -1;
    }
    for (i = 0; i < ret->count; i++) {
        etx_record_branch *branch = &ret->branches[i];
        *branch = begin->branches[i];
        branch->payload = etx__envelope_mask(branch->participant, branch->payload, &ret->owned[i]);
    }
    if (begin != NULL) {
        begin->branches = ret->count > 0 ? ret->branches : begin->branches;
        begin->initiator_payload =
            etx__envelope_mask(begin->initiator, begin->initiator_payload, &ret->owned[i]);
    } else if (record->type == ETX_RECORD_ENLIST) {
        etx_record_branch *branch = &ret->record.u.enlist.branch;
        branch->payload = etx__envelope_mask(branch->participant, branch->payload, &ret->owned[0]);
    }
    return 0;
}

void etx__record_json(cli_context *cli, const log_place *place, const etx_record *record) {
    json_t *object = json_object();
    shown one;
    json_t *encoded = show_record(record, &one) == 0 ? encode_record(&one.record) : NULL;
    char nonce[24];
    etx__out_number(object, "partition", place->partition);
    etx__out_number(object, "slot", place->slot);
    snprintf(nonce, sizeof nonce, "%016llx", (unsigned long long)place->nonce);
    etx__out_text(object, "owner", nonce);
    if (encoded == NULL) {
        etx__out_text(object, "error", "it cannot be shown as JSON");
    } else {
        (void)json_object_update_missing(object, encoded);
    }
    json_decref(encoded);
    free_shown(&one);
    etx__out_line(cli->out, object);
}
