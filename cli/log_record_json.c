/* Records as JSON: what the JSON codec writes of them, and where they stand. */
#include <stdlib.h>

#include <etx/codec_json.h>

#include "cli_json.h"
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

void etx__record_json(cli_context *cli, const log_place *place, const etx_record *record) {
    json_t *object = json_object();
    json_t *encoded = encode_record(record);
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
    etx__out_line(cli->out, object);
}
