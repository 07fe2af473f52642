/* What etcd's JSON gateway is sent and what it answers: text that grows, keys and values in base64,
 * numbers as strings. */
#include "etcd.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_FIRST = 2048, PIECE = 3 << 20 }; /* PIECE: a multiple of three */

/* ---- writing */

void etx__etcd_text_clear(etx__etcd_text *text) {
    text->len = 0;
    text->failed = 0;
}

void etx__etcd_text_free(etx__etcd_text *text) {
    free(text->bytes);
    *text = (etx__etcd_text){.bytes = NULL};
}

/* Room for so many more, and a zero. */
static char *room_for(etx__etcd_text *text, size_t more) {
    size_t size = text->size ? text->size : SIZE_FIRST;
    while (size - text->len <= more)
        size *= 2;
    if (size != text->size) {
        char *bytes = realloc(text->bytes, size);
        if (!bytes) {
            text->failed = 1;
            return NULL;
        }
        text->bytes = bytes;
        text->size = size;
    }
    return text->bytes + text->len;
}

void etx__etcd_text_bytes(etx__etcd_text *text, const void *bytes, size_t len) {
    char *to = room_for(text, len);
    if (to) {
        memcpy(to, bytes, len);
        to[len] = 0;
        text->len += len;
    }
}

static void add(etx__etcd_text *text, const char *format, va_list args) {
    char piece[512];
    int len = vsnprintf(piece, sizeof piece, format, args);
    if (len < 0 || (size_t)len >= sizeof piece)
        text->failed = 1;
    else
        etx__etcd_text_bytes(text, piece, (size_t)len);
}

void etx__etcd_text_add(etx__etcd_text *text, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add(text, format, args);
    va_end(args);
}

void etx__etcd_text_base64(etx__etcd_text *text, const void *bytes, size_t len) {
    char *to = room_for(text, (len + 2) / 3 * 4);
    for (size_t at = 0; to && at < len; at += PIECE) {
        size_t piece = len - at < PIECE ? len - at : PIECE;
        int written = EVP_EncodeBlock((unsigned char *)text->bytes + text->len,
                                      (const unsigned char *)bytes + at, (int)piece);
        text->len += (size_t)written;
    }
}

void etx__etcd_text_key(etx__etcd_text *text,
                        const etx__etcd_store *store,
                        const char *name,
                        const char *format,
                        ...) {
    char key[400];
    va_list args;
    int len = snprintf(key, sizeof key, "%s/", store->place.path);
    va_start(args, format);
    len += vsnprintf(key + len, sizeof key - (size_t)len, format, args);
    va_end(args);
    etx__etcd_text_value(text, name, "%s", key);
}

void etx__etcd_text_value(etx__etcd_text *text, const char *name, const char *format, ...) {
    etx__etcd_text value = {.bytes = NULL};
    va_list args;
    va_start(args, format);
    add(&value, format, args);
    va_end(args);
    etx__etcd_text_add(text, "\"%s\":\"", name);
    etx__etcd_text_base64(text, value.bytes, value.len);
    etx__etcd_text_add(text, "\"");
    text->failed |= value.failed;
    etx__etcd_text_free(&value);
}

/* ---- reading */

uint64_t etx__etcd_number(const json_t *object, const char *name) {
    const json_t *number = json_object_get(object, name);
    if (json_is_integer(number))
        return (uint64_t)json_integer_value(number);
    return json_is_string(number) ? strtoull(json_string_value(number), NULL, 10) : 0;
}

int etx__etcd_decode(const json_t *object, const char *name, etx__etcd_text *ret_text) {
    const json_t *value = json_object_get(object, name);
    size_t len = json_string_length(value);
    const char *from = len ? json_string_value(value) : "";
    etx__etcd_text_clear(ret_text);
    char *to = room_for(ret_text, len + 1);
    if (!to)
        return ETX_ENOMEM;
    to[0] = 0;
    if (len == 0)
        return 0; /* the gateway leaves out what is empty */
    size_t padding = len > 1 ? (size_t)(from[len - 1] == '=') + (from[len - 2] == '=') : 0;
    int count = len % 4 == 0
                    ? EVP_DecodeBlock((unsigned char *)to, (const unsigned char *)from, (int)len)
                    : -1;
    if (count < (int)padding)
        return ETX_ECORRUPT;
    ret_text->len = (size_t)count - padding;
    to[ret_text->len] = 0;
    return 0;
}

const json_t *etx__etcd_found(const json_t *answer, size_t index) {
    const json_t *one = json_array_get(json_object_get(answer, "responses"), index);
    const json_t *kvs = json_object_get(json_object_get(one, "response_range"), "kvs");
    return json_array_size(kvs) ? kvs : NULL;
}

int etx__etcd_first(const json_t *answer, size_t index, etx__etcd_text *ret_text) {
    const json_t *kvs = etx__etcd_found(answer, index);
    return kvs ? etx__etcd_decode(json_array_get(kvs, 0), "value", ret_text) : ETX_ENOTFOUND;
}
