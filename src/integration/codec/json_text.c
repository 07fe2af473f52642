/* Bytes as text: which bytes may stand in a JSON string as they are, and base64 for the others. */
#include <string.h>

#include "json.h"

/* The bytes of one UTF-8 character (RFC 3629: no overlong form, no surrogate, up to U+10FFFF), or
 * 0 where there is none. */
static size_t character_len(const unsigned char *at, size_t left) {
    unsigned first = at[0];
    if (first < 0x80) {
        return 1;
    }
    size_t len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || left < len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    int overlong = (first == 0xe0 && at[1] < 0xa0) || (first == 0xf0 && at[1] < 0x90);
    int beyond = (first == 0xed && at[1] > 0x9f) || (first == 0xf4 && at[1] > 0x8f);
    return overlong || beyond ? 0 : len;
}

static int is_control(const unsigned char *at) {
    if (at[0] < 0x20) {
        return at[0] != '\t' && at[0] != '\n' && at[0] != '\r';
    }
    return at[0] == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0); /* U+0080 to U+009F */
}

int etx__json_is_text(etx_bytes bytes) {
    const unsigned char *at = bytes.data;
    for (size_t left = bytes.len; left > 0;) {
        size_t len = character_len(at, left);
        if (len == 0 || is_control(at)) {
            return 0;
        }
        at += len;
        left -= len;
    }
    return 1;
}

/* ---- base64 */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t etx__json_base64_size(size_t len) {
    return (len + 2) / 3 * 4;
}

void etx__json_base64_write(etx_bytes bytes, char *text) {
    const unsigned char *at = bytes.data;
    for (size_t left = bytes.len; left > 0; text += 4) {
        size_t count = left < 3 ? left : 3;
        unsigned group = (unsigned)at[0] << 16;
        group |= count > 1 ? (unsigned)at[1] << 8 : 0;
        group |= count > 2 ? at[2] : 0;
        text[0] = base64_digits[group >> 18];
        text[1] = base64_digits[group >> 12 & 63];
        text[2] = '=';
        text[3] = '=';
        if (count > 1) {
            text[2] = base64_digits[group >> 6 & 63];
        }
        if (count > 2) {
            text[3] = base64_digits[group & 63];
        }
        at += count;
        left -= count;
    }
}

static int digit_value(char digit) {
    const char *found = digit != '\0' ? strchr(base64_digits, digit) : NULL;
    return found != NULL ? (int)(found - base64_digits) : -1;
}

/* Four characters of which `digits` (2 to 4) are digits. 0 where one is not, or where bits are
 * set that belong to no byte. */
static int read_group(const char *text, size_t digits, unsigned char ret_bytes[3]) {
    unsigned group = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i < digits ? digit_value(text[i]) : 0;
        if (value < 0) {
            return 0;
        }
        group = group << 6 | (unsigned)value;
    }
    unsigned spare = digits == 2 ? 0xffff : digits == 3 ? 0xff : 0;
    ret_bytes[0] = (unsigned char)(group >> 16);
    ret_bytes[1] = (unsigned char)(group >> 8);
    ret_bytes[2] = (unsigned char)group;
    return (group & spare) == 0;
}

int etx__json_base64_read(const char *text, size_t len, unsigned char *ret_data, size_t *ret_len) {
    if (len % 4 != 0) {
        return 0;
    }
    size_t digits = len;
    while (digits > 0 && text[digits - 1] == '=' && len - digits < 2) {
        digits--;
    }
    size_t count = 0;
    for (size_t i = 0; i < len; i += 4) {
        unsigned char bytes[3];
        size_t here = digits - i < 4 ? digits - i : 4;
        if (!read_group(text + i, here, bytes)) {
            return 0;
        }
        if (ret_data != NULL) {
            memcpy(ret_data + count, bytes, here - 1);
        }
        count += here - 1;
    }
    *ret_len = count;
    return 1;
}
