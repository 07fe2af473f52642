/* Text: growing it, saying what is wrong, and what strangers wrote made fit to be shown. */
#include "http.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST = 256 };

static int reserve(etx__http_text *text, size_t more) {
    if (text->failed || more > SIZE_MAX / 4 - text->len) {
        text->failed = 1;
        return 0;
    }
    size_t need = text->len + more + 1;
    if (need > text->size) {
        size_t size = text->size > 0 ? text->size * 2 : FIRST;
        size = need > size ? need : size;
        char *bytes = realloc(text->bytes, size);
        if (bytes == NULL) {
            text->failed = 1;
            return 0;
        }
        text->bytes = bytes;
        text->size = size;
    }
    return 1;
}

void etx__http_add(etx__http_text *text, const void *bytes, size_t len) {
    if (reserve(text, len)) {
        if (len > 0) {
            memcpy(text->bytes + text->len, bytes, len);
        }
        text->len += len;
        text->bytes[text->len] = '\0';
    }
}

void etx__http_add_text(etx__http_text *text, const char *more) {
    etx__http_add(text, more, strlen(more));
}

void etx__http_add_base64(etx__http_text *text, const void *bytes, size_t len) {
    size_t left = len;
    const unsigned char *from = bytes;
    if (!reserve(text, (len + 2) / 3 * 4)) {
        return;
    }
    while (left > 0) { /* EVP_EncodeBlock takes an int */
        size_t piece = left < 3 << 20 ? left : 3 << 20;
        int made = EVP_EncodeBlock((unsigned char *)text->bytes + text->len, from, (int)piece);
        text->len += (size_t)made;
        from += piece;
        left -= piece;
    }
    text->bytes[text->len] = '\0';
}

int etx__http_say(int rc, char *why, size_t size, const char *format, ...) {
    if (why != NULL && size > 0) {
        va_list list;
        va_start(list, format);
        vsnprintf(why, size, format, list);
        va_end(list);
    }
    return rc;
}

static int is_tail(const unsigned char *from, size_t left, size_t count) {
    if (left <= count) {
        return 0;
    }
    for (size_t i = 1; i <= count; i++) {
        if ((from[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return 1;
}

/* Bytes of the character that begins here; 0: it is not UTF-8. */
static size_t character(const unsigned char *from, size_t left) {
    unsigned char first = from[0];
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first <= 0xdf) {
        return is_tail(from, left, 1) ? 2 : 0;
    }
    if (first >= 0xe0 && first <= 0xef && is_tail(from, left, 2)) {
        int shorter = first == 0xe0 && from[1] < 0xa0;
        int surrogate = first == 0xed && from[1] > 0x9f;
        return shorter || surrogate ? 0 : 3;
    }
    if (first >= 0xf0 && first <= 0xf4 && is_tail(from, left, 3)) {
        int shorter = first == 0xf0 && from[1] < 0x90;
        int beyond = first == 0xf4 && from[1] > 0x8f;
        return shorter || beyond ? 0 : 4;
    }
    return 0;
}

void etx__http_tidy(char *to, size_t size, const char *from, size_t len) {
    size_t at = 0;
    size_t out = 0;
    while (at < len) {
        const unsigned char *here = (const unsigned char *)from + at;
        size_t count = character(here, len - at);
        size_t take = count > 0 ? count : 1;
        if (out + take >= size) {
            break;
        }
        int control = count <= 1 && (*here < ' ' || *here == 0x7f);
        int c1 = count == 2 && here[0] == 0xc2 && here[1] < 0xa0;
        if (count == 0 || control || c1) {
            to[out++] = count == 0 ? '?' : ' ';
        } else {
            memcpy(to + out, here, count);
            out += count;
        }
        at += take;
    }
    while (out > 0 && to[out - 1] == ' ') {
        out--;
    }
    to[out] = '\0';
}

int etx__http_is_token(const char *text, size_t len) {
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || strchr(marks, c) == NULL)) {
            return 0;
        }
    }
    return len > 0;
}
