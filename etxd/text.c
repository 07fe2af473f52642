/* Text that grows, and how bytes, numbers and moments are written into it. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int reserve(etxd_text *text, size_t more) {
    size_t size = text->size > 0 ? text->size : 512;
    char *bytes;
    if (text->failed) {
        return -1;
    }
    if (text->len + more < text->size) {
        return 0;
    }
    while (size <= text->len + more) {
        size *= 2;
    }
    bytes = realloc(text->bytes, size);
    if (bytes == NULL) {
        text->failed = 1;
        return -1;
    }
    text->bytes = bytes;
    text->size = size;
    return 0;
}

void etxd_text_add(etxd_text *text, const void *bytes, size_t len) {
    if (reserve(text, len) == 0) {
        if (len > 0) {
            memcpy(text->bytes + text->len, bytes, len);
        }
        text->len += len;
        text->bytes[text->len] = '\0';
    }
}

void etxd_text_put(etxd_text *text, const char *word) {
    etxd_text_add(text, word, strlen(word));
}

void etxd_text_number(etxd_text *text, uint64_t number) {
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    etxd_text_add(text, digits + at, sizeof digits - at);
}

void etxd_text_print(etxd_text *text, const char *format, ...) {
    va_list list;
    int len;
    va_start(list, format);
    len = vsnprintf(NULL, 0, format, list);
    va_end(list);
    if (len < 0 || reserve(text, (size_t)len) != 0) {
        return;
    }
    va_start(list, format);
    vsnprintf(text->bytes + text->len, (size_t)len + 1, format, list);
    va_end(list);
    text->len += (size_t)len;
}

size_t etxd_utf8(const char *bytes, size_t len) {
    const unsigned char *b = (const unsigned char *)bytes;
    size_t need = b[0] < 0x80 ? 1 : b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    size_t i;
    if (need == 0 || b[0] > 0xf4 || need > len) {
        return 0;
    }
    for (i = 1; i < need; i++) {
        if ((b[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) ||
        (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f)) {
        return 0; /* longer than needed, half of a surrogate pair, beyond Unicode */
    }
    return need;
}

/* How many of the first bytes stand in a JSON string as they are, by eight at once as far as those
 * tell: a borrow sets the highest bit of a byte that is below 0x20, or one of those looked for. */
static size_t plain_words(const char *bytes, size_t len) {
    const uint64_t ones = UINT64_MAX / 0xff;
    const uint64_t highest = ones * 0x80;
    size_t at = 0;
    for (; len - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t word, quote, back, deleted;
        memcpy(&word, bytes + at, sizeof word);
        quote = word ^ ones * '"';
        back = word ^ ones * '\\';
        deleted = word ^ ones * 0x7f;
        if ((word | (word - ones * 0x20) | (quote - ones) | (back - ones) | (deleted - ones)) &
            highest) {
            break;
        }
    }
    return at;
}

static size_t plain(const char *bytes, size_t len) {
    size_t at = plain_words(bytes, len);
    while (at < len && bytes[at] >= 0x20 && bytes[at] < 0x7f && bytes[at] != '"' &&
           bytes[at] != '\\') {
        at++;
    }
    return at;
}

static void add_quoted(etxd_text *text, const char *bytes, size_t len) {
    char *to;
    if (reserve(text, len + 2) != 0) {
        return;
    }
    to = text->bytes + text->len;
    to[0] = '"';
    memcpy(to + 1, bytes, len);
    to[len + 1] = '"';
    to[len + 2] = '\0';
    text->len += len + 2;
}

/* A character that would move a terminal's cursor, end its line or turn its direction: the controls
 * from U+0080 on, and marks that nobody sees. Bytes of a sound sequence. */
static unsigned unseen(const char *bytes, size_t len) {
    const unsigned char *b = (const unsigned char *)bytes;
    unsigned point = len == 2   ? (b[0] & 0x1fU) << 6 | (b[1] & 0x3fU)
                     : len == 3 ? (b[0] & 0xfU) << 12 | (b[1] & 0x3fU) << 6 | (b[2] & 0x3fU)
                                : 0;
    return (point >= 0x80 && point < 0xa0) || point == 0x61c || point == 0x200e ||
                   point == 0x200f || (point >= 0x2028 && point <= 0x202e) ||
                   (point >= 0x2066 && point <= 0x2069) || point == 0xfeff
               ? point
               : 0;
}

/* One character of several bytes, or what is none. Returns how many bytes it was. */
static size_t add_character(etxd_text *text, const char *bytes, size_t len) {
    size_t sequence = etxd_utf8(bytes, len);
    unsigned point = unseen(bytes, sequence);
    if (sequence == 0) {
        etxd_text_add(text, "\xef\xbf\xbd", 3);
    } else if (point > 0) {
        etxd_text_print(text, "\\u%04x", point);
    } else {
        etxd_text_add(text, bytes, sequence);
    }
    return sequence > 0 ? sequence : 1;
}

void etxd_text_json(etxd_text *text, const char *bytes, size_t len) {
    size_t at = 0;
    if (len > 0 && plain(bytes, len) == len) {
        add_quoted(text, bytes, len);
        return;
    }
    etxd_text_add(text, "\"", 1);
    while (at < len) {
        size_t run = plain(bytes + at, len - at);
        unsigned char byte;
        etxd_text_add(text, bytes + at, run);
        at += run;
        if (at == len) {
            break;
        }
        byte = (unsigned char)bytes[at];
        if (byte == '"' || byte == '\\') {
            etxd_text_add(text, byte == '"' ? "\\\"" : "\\\\", 2);
            at++;
        } else if (byte == '\n') {
            etxd_text_add(text, "\\n", 2);
            at++;
        } else if (byte < 0x20 || byte == 0x7f) {
            etxd_text_print(text, "\\u%04x", byte);
            at++;
        } else {
            at += add_character(text, bytes + at, len - at);
        }
    }
    etxd_text_add(text, "\"", 1);
}

void etxd_text_name(etxd_text *text, const char *name) {
    char before = text->len > 0 ? text->bytes[text->len - 1] : '{';
    if (before != '{' && before != '[') {
        etxd_text_add(text, ",", 1);
    }
    etxd_text_json(text, name, strlen(name));
    etxd_text_add(text, ":", 1);
}

void etxd_text_member(etxd_text *text, const char *name, const char *value) {
    etxd_text_name(text, name);
    etxd_text_json(text, value, strlen(value));
}

void etxd_text_member_number(etxd_text *text, const char *name, uint64_t number) {
    etxd_text_name(text, name);
    etxd_text_number(text, number);
}

void etxd_text_member_flag(etxd_text *text, const char *name, int flag) {
    etxd_text_name(text, name);
    etxd_text_put(text, flag ? "true" : "false");
}

void etxd_text_member_time(etxd_text *text, const char *name, uint64_t ms) {
    char moment[ETXD_MOMENT_MAX];
    etxd_text_name(text, name);
    if (ms == 0) {
        etxd_text_put(text, "null");
    } else {
        etxd_text_print(text, "\"%s\"", etxd_moment(ms, moment));
    }
}

void etxd_text_base64(etxd_text *text, const void *bytes, size_t len) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *b = bytes;
    size_t i;
    for (i = 0; i < len; i += 3) {
        uint32_t word = (uint32_t)b[i] << 16 | (i + 1 < len ? (uint32_t)b[i + 1] << 8 : 0) |
                        (i + 2 < len ? b[i + 2] : 0);
        char four[4] = {letters[word >> 18], letters[word >> 12 & 63],
                        i + 1 < len ? letters[word >> 6 & 63] : '=',
                        i + 2 < len ? letters[word & 63] : '='};
        etxd_text_add(text, four, 4);
    }
}

void etxd_text_free(etxd_text *text) {
    free(text->bytes);
    *text = (etxd_text){0};
}

static void put_digits(char *to, int number, size_t count) {
    size_t i;
    for (i = count; i > 0; i--) {
        to[i - 1] = (char)('0' + number % 10);
        number /= 10;
    }
}

/* By hand: each line of the log has one, and printf takes its time. */
const char *etxd_moment(uint64_t ms, char *moment) {
    const uint64_t last = UINT64_C(253402300799999); /* years have four digits */
    uint64_t known = ms < last ? ms : last;
    time_t seconds = (time_t)(known / 1000);
    char text[] = "YYYY-MM-DDTHH:MM:SS.mmmZ";
    struct tm parts;
    gmtime_r(&seconds, &parts);
    put_digits(text, parts.tm_year + 1900, 4);
    put_digits(text + 5, parts.tm_mon + 1, 2);
    put_digits(text + 8, parts.tm_mday, 2);
    put_digits(text + 11, parts.tm_hour, 2);
    put_digits(text + 14, parts.tm_min, 2);
    put_digits(text + 17, parts.tm_sec, 2);
    put_digits(text + 20, (int)(known % 1000), 3);
    memcpy(moment, text, sizeof text);
    return moment;
}

uint64_t etxd_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint32_t etxd_hash(const char *text) {
    uint32_t hash = 2166136261U;
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 16777619U;
    }
    return hash ^ hash >> 16;
}
