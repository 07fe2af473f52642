/* Messages of etcd's gRPC interface: Protocol Buffers, as far as etcd's use them. A field is a
 * number or bytes, of which some are messages again; what is not known is skipped.
 *
 * A message within another is written behind a length of five bytes, which is filled in when it
 * ends: shorter ones would have to be known before. */
#include "etcd.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_FIRST = 2048, LENGTH_BYTES = 5, VARINT_MAX = 10 };
/* How a field's value is written. */
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* ---- writing */

void etx__etcd_text_free(etx__etcd_text *text) {
    free(text->bytes);
    *text = (etx__etcd_text){.bytes = NULL};
}

void etx__etcd_text_add(etx__etcd_text *text, const void *bytes, size_t len) {
    size_t size = text->size ? text->size : SIZE_FIRST;
    while (size - text->len < len)
        size *= 2;
    if (size != text->size) {
        char *grown = realloc(text->bytes, size);
        text->failed |= !grown;
        if (!grown)
            return;
        text->bytes = grown;
        text->size = size;
    }
    if (len)
        memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
}

static void write_varint(etx__etcd_text *text, uint64_t number) {
    uint8_t bytes[VARINT_MAX];
    size_t len = 0;
    for (; number > 0x7f; number >>= 7)
        bytes[len++] = (uint8_t)(number | 0x80);
    bytes[len++] = (uint8_t)number;
    etx__etcd_text_add(text, bytes, len);
}

void etx__etcd_number(etx__etcd_text *text, unsigned field, uint64_t number) {
    write_varint(text, field << 3 | WIRE_VARINT);
    write_varint(text, number);
}

void etx__etcd_bytes(etx__etcd_text *text, unsigned field, const void *bytes, size_t len) {
    write_varint(text, field << 3 | WIRE_BYTES);
    write_varint(text, len);
    etx__etcd_text_add(text, bytes, len);
}

void etx__etcd_words(etx__etcd_text *text, unsigned field, const char *format, ...) {
    char words[600];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(words, sizeof words, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof words)
        text->failed = 1;
    else
        etx__etcd_bytes(text, field, words, (size_t)len);
}

void etx__etcd_key(etx__etcd_text *text,
                   unsigned field,
                   const etx__etcd_store *store,
                   const char *format,
                   ...) {
    char key[300];
    va_list args;
    va_start(args, format);
    vsnprintf(key, sizeof key, format, args);
    va_end(args);
    etx__etcd_words(text, field, "%s/%s", store->place.path, key);
}

size_t etx__etcd_open(etx__etcd_text *text, unsigned field) {
    static const uint8_t length[LENGTH_BYTES] = {0};
    write_varint(text, field << 3 | WIRE_BYTES);
    etx__etcd_text_add(text, length, sizeof length);
    return text->len;
}

void etx__etcd_close(etx__etcd_text *text, size_t start) {
    size_t len = text->len - start;
    for (size_t i = 0; i < LENGTH_BYTES && !text->failed; i++, len >>= 7)
        text->bytes[start - LENGTH_BYTES + i] =
            (char)((len & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
}

size_t etx__etcd_compare(etx__etcd_text *text, unsigned what, unsigned result) {
    size_t start = etx__etcd_open(text, TXN_COMPARE);
    etx__etcd_number(text, COMPARE_RESULT, result);
    etx__etcd_number(text, COMPARE_TARGET, what - 4);
    return start;
}

/* ---- reading */

static int read_varint(etx_bytes *left, uint64_t *ret_number) {
    const uint8_t *at = left->data;
    uint64_t number = 0;
    for (size_t i = 0; i < left->len && i < VARINT_MAX; i++) {
        number |= (uint64_t)(at[i] & 0x7f) << (7 * i);
        if (at[i] < 0x80) {
            *left = (etx_bytes){at + i + 1, left->len - i - 1};
            *ret_number = number;
            return 1;
        }
    }
    return 0;
}

static int read_bytes(etx_bytes *left, uint64_t len, etx_bytes *ret_bytes) {
    if (len > left->len)
        return 0;
    *ret_bytes = (etx_bytes){left->data, (size_t)len};
    *left = (etx_bytes){(const uint8_t *)left->data + len, left->len - (size_t)len};
    return 1;
}

int etx__etcd_next(etx_bytes *left, etx__etcd_field *ret_field) {
    uint64_t tag;
    *ret_field = (etx__etcd_field){.number = 0};
    if (left->len == 0 || !read_varint(left, &tag))
        return 0;
    ret_field->field = (unsigned)(tag >> 3);
    unsigned wire = (unsigned)(tag & 7);
    if (wire == WIRE_VARINT)
        return read_varint(left, &ret_field->number);
    if (wire == WIRE_BYTES)
        return read_varint(left, &tag) && read_bytes(left, tag, &ret_field->bytes);
    return (wire == WIRE_64 || wire == WIRE_32) &&
           read_bytes(left, wire == WIRE_64 ? 8 : 4, &ret_field->bytes);
}

uint64_t etx__etcd_number_of(etx_bytes message, unsigned field) {
    etx__etcd_field one;
    uint64_t number = 0;
    while (etx__etcd_next(&message, &one))
        if (one.field == field)
            number = one.number;
    return number;
}

etx_bytes etx__etcd_part_of(etx_bytes message, unsigned field, size_t index) {
    etx__etcd_field one;
    while (etx__etcd_next(&message, &one))
        if (one.field == field && index-- == 0)
            return one.bytes;
    return (etx_bytes){NULL, 0};
}

etx_bytes etx__etcd_found(etx_bytes answer, size_t index) {
    etx_bytes response = etx__etcd_part_of(answer, TXN_RESPONSES, index);
    return etx__etcd_part_of(response, OP_RANGE, 0);
}

int etx__etcd_is(etx_bytes bytes, const char *words) {
    return bytes.len == strlen(words) && memcmp(bytes.data, words, bytes.len) == 0;
}
