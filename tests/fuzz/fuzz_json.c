/* Fuzzes the JSON codec: what decode takes for a record, encode writes in the one canonical form,
 * which reads back the same; and both codecs agree on what it says. */
#include "fuzz.h"

#include <etx/codec_json.h>

static void check_record(const etx_record *record) {
    etx_bytes line = fuzz_encode(etx_codec_json(), record);
    etx_bytes bytes = fuzz_encode(etx_codec_binary(), record);
    etx_record_room room = {0};
    etx_record read;
    size_t used = 0;
    fuzz_check(fuzz_decode(etx_codec_json(), line, &room, &read, &used) == 0);
    fuzz_check(used == line.len);
    etx_bytes line_again = fuzz_encode(etx_codec_json(), &read);
    etx_bytes bytes_again = fuzz_encode(etx_codec_binary(), &read);
    fuzz_check(fuzz_equal(line, line_again));
    fuzz_check(fuzz_equal(bytes, bytes_again));
    fuzz_free(bytes_again);
    fuzz_free(line_again);
    fuzz_free(bytes);
    fuzz_free(line);
    etx_record_room_free(&room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    etx_bytes rest = {data, size};
    etx_record_room room = {0};
    etx_record record;
    size_t used = 0;
    while (rest.len > 0 && fuzz_decode(etx_codec_json(), rest, &room, &record, &used) == 0) {
        check_record(&record);
        rest = (etx_bytes){(const uint8_t *)rest.data + used, rest.len - used};
    }
    etx_record_room_free(&room);
    return 0;
}
