/* Where values stand in JSON text that is known to be sound: payloads are kept byte for byte. */
#include <string.h>

#include "json.h"

/* Behind the string that begins at `at`: a quote ends it that an even number of backslashes stands
 * before. */
static size_t skip_string(etxd_span text, size_t at) {
    const char *begin = text.bytes + at + 1;
    const char *end = text.bytes + text.len;
    const char *from = begin;
    while (from < end) {
        const char *quote = memchr(from, '"', (size_t)(end - from));
        const char *back = quote;
        if (quote == NULL) {
            break;
        }
        while (back > begin && back[-1] == '\\') {
            back--;
        }
        from = quote + 1;
        if ((quote - back) % 2 == 0) {
            return (size_t)(from - text.bytes);
        }
    }
    return text.len;
}

unsigned etxd_json_depth(const char *bytes, size_t len) {
    etxd_span text = {bytes, len};
    unsigned depth = 0, most = 0;
    size_t i = 0;
    while (i < len) {
        char c = bytes[i];
        if (c == '"') {
            i = skip_string(text, i);
            continue;
        }
        if (c == '{' || c == '[') {
            depth++;
            most = depth > most ? depth : most;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
        i++;
    }
    return most;
}

static size_t skip_space(etxd_span text, size_t at) {
    while (at < text.len && (text.bytes[at] == ' ' || text.bytes[at] == '\t' ||
                             text.bytes[at] == '\r' || text.bytes[at] == '\n')) {
        at++;
    }
    return at;
}

static int ends_word(char c) {
    return c == ',' || c == ']' || c == '}' || c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind the value that begins at `at`. */
static size_t skip_value(etxd_span text, size_t at) {
    unsigned depth = 0;
    while (at < text.len) {
        char c = text.bytes[at];
        if (c == '"') {
            at = skip_string(text, at);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) {
                return at; /* of what holds this value */
            }
            depth--;
            at++;
        } else if (depth > 0) {
            at++;
            continue;
        } else {
            while (at < text.len && !ends_word(text.bytes[at])) {
                at++;
            }
        }
        if (depth == 0) {
            return at;
        }
    }
    return at;
}

int etxd_span_next(etxd_span array, size_t *at, etxd_span *ret) {
    size_t from = *at == 0 ? skip_space(array, 0) + 1 : skip_space(array, *at);
    from = skip_space(array, from);
    if (from < array.len && array.bytes[from] == ',') {
        from = skip_space(array, from + 1);
    }
    if (from >= array.len || array.bytes[from] == ']') {
        return 0;
    }
    *at = skip_value(array, from);
    *ret = (etxd_span){array.bytes + from, *at - from};
    return 1;
}

/* Where a member's value begins. */
static int find_member(etxd_span object, const char *name, size_t *ret_at) {
    size_t len = strlen(name);
    size_t at = skip_space(object, 0) + 1;
    for (;;) {
        size_t from, end;
        at = skip_space(object, at);
        if (at < object.len && object.bytes[at] == ',') {
            at = skip_space(object, at + 1);
        }
        if (at >= object.len || object.bytes[at] != '"') {
            return -1;
        }
        from = at + 1;
        end = skip_string(object, at);
        at = skip_space(object, end);
        at = skip_space(object, at + 1); /* the colon */
        if (at >= object.len) {
            return -1;
        }
        if (end - 1 - from == len && memcmp(object.bytes + from, name, len) == 0) {
            *ret_at = at;
            return 0;
        }
        at = skip_value(object, at);
    }
}

int etxd_span_member(etxd_span object, const char *name, etxd_span *ret) {
    size_t at = 0;
    if (find_member(object, name, &at) != 0) {
        return -1;
    }
    *ret = (etxd_span){object.bytes + at, skip_value(object, at) - at};
    return 0;
}

int etxd_span_array(etxd_span object, const char *name, etxd_span *ret) {
    size_t at = 0;
    if (find_member(object, name, &at) != 0) {
        return -1;
    }
    *ret = (etxd_span){object.bytes + at, object.len - at};
    return 0;
}

static int digit_of(char c) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(letters, c) : NULL;
    return at != NULL ? (int)(at - letters) : -1;
}

int etxd_base64_decode(const char *text, size_t len, unsigned char *to, size_t *ret_len) {
    size_t pads = len > 0 && text[len - 1] == '=' ? 1 + (len > 1 && text[len - 2] == '=') : 0;
    size_t at = 0;
    size_t i;
    uint32_t word = 0;
    if (len % 4 != 0) {
        return -1;
    }
    for (i = 0; i < len; i++) {
        int digit = i >= len - pads ? 0 : digit_of(text[i]);
        if (digit < 0) {
            return -1;
        }
        word = word << 6 | (uint32_t)digit;
        if (i % 4 == 3) {
            to[at++] = (unsigned char)(word >> 16);
            to[at++] = (unsigned char)(word >> 8);
            to[at++] = (unsigned char)word;
            word = 0;
        }
    }
    if ((pads == 1 && (to[at - 1] != 0)) || (pads == 2 && (to[at - 1] != 0 || to[at - 2] != 0))) {
        return -1; /* bits that mean nothing must be 0 */
    }
    *ret_len = at - pads;
    return 0;
}
