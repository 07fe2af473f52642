/* Fuzzes the binary codec: what decode takes for a record, encode writes again, byte for byte. */
#include "fuzz.h"

static etx_bytes head_of(etx_bytes bytes, size_t len) {
    return (etx_bytes){bytes.data, len};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    etx_bytes rest = {data, size};
    etx_record_room room = {0};
    etx_record record;
    size_t used = 0;
    while (rest.len > 0 && fuzz_decode(etx_codec_binary(), rest, &room, &record, &used) == 0) {
        etx_bytes again = fuzz_encode(etx_codec_binary(), &record);
        fuzz_check(fuzz_equal(again, head_of(rest, used)));
        fuzz_free(again);
        rest = (etx_bytes){(const uint8_t *)rest.data + used, rest.len - used};
    }
    etx_record_room_free(&room);
    return 0;
}
