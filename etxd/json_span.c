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

static size_t skip_digits(const char *at, const char *end) {
    size_t count = 0;
    while (at + count < end && at[count] >= '0' && at[count] <= '9') {
        count++;
    }
    return count;
}

/* How long the number is that begins at `at`, as RFC 8259 section 6 has it; 0: there is none. */
static size_t number_len(const char *at, const char *end) {
    const char *from = at;
    size_t digits;
    at += at < end && *at == '-';
    digits = skip_digits(at, end);
    if (digits == 0 || (digits > 1 && *at == '0')) {
        return 0;
    }
    at += digits;
    if (at < end && *at == '.') {
        digits = skip_digits(at + 1, end);
        at += digits > 0 ? digits + 1 : 0;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        const char *power = at + 1;
        power += power < end && (*power == '+' || *power == '-');
        digits = skip_digits(power, end);
        at = digits > 0 ? power + digits : at;
    }
    return (size_t)(at - from);
}

/* More than that may be beyond what fits into 64 bits or a double. */
static int is_large(const char *at, size_t len) {
    return len > 18 || (len >= 5 && (memchr(at, 'e', len) != NULL || memchr(at, 'E', len) != NULL));
}

void etxd_json_without_large(char *bytes, size_t len) {
    etxd_span text = {bytes, len};
    size_t i = 0;
    while (i < len) {
        size_t number = number_len(bytes + i, bytes + len);
        if (is_large(bytes + i, number)) {
            memset(bytes + i, ' ', number);
            memcpy(bytes + i, "-1", 2); /* beyond every range */
        }
        i = bytes[i] == '"' ? skip_string(text, i) : i + (number > 0 ? number : 1);
    }
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

/* The next name of an object, from `at` on within it: where its value begins, or 0 at the end. */
static size_t next_member(etxd_span object, size_t at, etxd_span *ret_name) {
    size_t from = skip_space(object, at);
    size_t end;
    if (from < object.len && object.bytes[from] == ',') {
        from = skip_space(object, from + 1);
    }
    if (from >= object.len || object.bytes[from] != '"') {
        return 0;
    }
    end = skip_string(object, from);
    *ret_name = (etxd_span){object.bytes + from + 1, end - from - 2};
    at = skip_space(object, end);
    at = skip_space(object, at + 1); /* the colon */
    return at < object.len ? at : 0;
}

static int is_name(etxd_span have, const char *name, size_t len) {
    return have.len == len && memcmp(have.bytes, name, len) == 0;
}

/* Where a member's value begins. */
static int find_member(etxd_span object, const char *name, size_t *ret_at) {
    size_t len = strlen(name);
    size_t at = skip_space(object, 0) + 1;
    etxd_span have;
    while ((at = next_member(object, at, &have)) != 0) {
        if (is_name(have, name, len)) {
            *ret_at = at;
            return 0;
        }
        at = skip_value(object, at);
    }
    return -1;
}

/* Behind the object that begins at `at`; the value of one of its members is found on the way. */
static size_t pass_object(etxd_span text, size_t at, const char *name, etxd_span *ret) {
    size_t len = strlen(name);
    size_t end = at + 1;
    etxd_span have;
    while ((at = next_member(text, end, &have)) != 0) {
        end = skip_value(text, at);
        if (is_name(have, name, len)) {
            *ret = (etxd_span){text.bytes + at, end - at};
        }
    }
    end = skip_space(text, end);
    return end < text.len ? end + 1 : text.len;
}

int etxd_span_next(etxd_span array, size_t *at, const char *name, etxd_span *ret) {
    size_t from = *at == 0 ? skip_space(array, 0) + 1 : skip_space(array, *at);
    from = skip_space(array, from);
    if (from < array.len && array.bytes[from] == ',') {
        from = skip_space(array, from + 1);
    }
    if (from >= array.len || array.bytes[from] == ']') {
        return 0;
    }
    *ret = (etxd_span){NULL, 0};
    *at = array.bytes[from] == '{' ? pass_object(array, from, name, ret) : skip_value(array, from);
    return 1;
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
