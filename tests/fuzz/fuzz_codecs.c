/* Fuzzes both codecs against one another: a record that goes from binary to JSON and back is the
 * same record, byte for byte. */
#include "fuzz.h"

#include <etx/codec_json.h>

#include <string.h>

static void check_record(const etx_record *record, etx_bytes bytes) {
    etx_bytes line = fuzz_encode(etx_codec_json(), record);
    etx_record_room room = {0};
    etx_record read;
    size_t used = 0;
    fuzz_check(memchr(line.data, '\n', line.len) == (const char *)line.data + line.len - 1);
    fuzz_check(fuzz_decode(etx_codec_json(), line, &room, &read, &used) == 0);
    fuzz_check(used == line.len);
    etx_bytes again = fuzz_encode(etx_codec_binary(), &read);
    fuzz_check(fuzz_equal(again, bytes));
    fuzz_free(again);
    fuzz_free(line);
    etx_record_room_free(&room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    etx_bytes rest = {data, size};
    etx_record_room room = {0};
    etx_record record;
    size_t used = 0;
    while (rest.len > 0 && fuzz_decode(etx_codec_binary(), rest, &room, &record, &used) == 0) {
        check_record(&record, (etx_bytes){rest.data, used});
        rest = (etx_bytes){(const uint8_t *)rest.data + used, rest.len - used};
    }
    etx_record_room_free(&room);
    return 0;
}
