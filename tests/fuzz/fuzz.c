/* What the fuzz targets share: inputs taken apart, checks, codecs held to their interface. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_fail(const char *condition, const char *file, int line, const char *text) {
    fprintf(stderr, "%s:%d: does not hold: %s %s\n", file, line, condition, text);
    abort();
}

uint8_t fuzz_byte(fuzz_input *from) {
    if (from->left == 0) {
        return 0;
    }
    from->left--;
    return *from->at++;
}

uint64_t fuzz_number(fuzz_input *from, unsigned count) {
    uint64_t value = 0;
    for (unsigned i = 0; i < count; i++) {
        value |= (uint64_t)fuzz_byte(from) << (8 * i);
    }
    return value;
}

etx_bytes fuzz_bytes(fuzz_input *from, size_t len) {
    etx_bytes taken = {from->at, len < from->left ? len : from->left};
    if (taken.len > 0) {
        from->at += taken.len;
        from->left -= taken.len;
    }
    return taken;
}

void *fuzz_alloc(size_t size) {
    void *block = malloc(size > 0 ? size : 1);
    if (block == NULL) {
        fuzz_fail("memory", __FILE__, __LINE__, "");
    }
    return block;
}

int fuzz_decode(const etx_codec *codec,
                etx_bytes bytes,
                etx_record_room *room,
                etx_record *ret_record,
                size_t *ret_used) {
    int rc = codec->decode(bytes, room, ret_record, ret_used);
    if (rc == ETX_EBUSY) {
        fuzz_check(etx_record_room_grow(room) == 0);
        rc = codec->decode(bytes, room, ret_record, ret_used);
        fuzz_check(rc != ETX_EBUSY);
    }
    fuzz_check(rc == 0 || rc == ETX_ECORRUPT || rc == ETX_EVERSION);
    if (rc == 0) {
        fuzz_check(*ret_used > 0 && *ret_used <= bytes.len);
        fuzz_check(etx_record_check(ret_record) == 0);
    }
    return rc;
}

etx_bytes fuzz_encode(const etx_codec *codec, const etx_record *record) {
    size_t bound = codec->bound(record);
    uint8_t *bytes = fuzz_alloc(bound);
    size_t len = codec->encode(record, bytes);
    fuzz_check(len > 0 && len <= bound);
    return (etx_bytes){bytes, len};
}

void fuzz_free(etx_bytes bytes) {
    free((void *)(uintptr_t)bytes.data);
}

int fuzz_equal(etx_bytes a, etx_bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
