/* The guard: a state machine over the bytes of RFC 9112, in its strict form. */
#include "guard.h"

#include <string.h>

enum { TOKEN = 1, VALUE = 2, TARGET = 4, HEX = 8 };

typedef enum state {
    BEGIN,
    BEGIN_LF,
    METHOD,
    TARGET_BYTES,
    VERSION, /* "HTTP/1.x" */
    VERSION_END,
    STATUS_CODE,
    STATUS_END,
    STATUS_TEXT,
    LINE_LF,
    FIELD,
    NAME,
    FIELD_VALUE,
    HEAD_LF,
    SIZE,
    SIZE_MORE,
    EXTENSION,
    SIZE_LF,
    DATA_CR,
    DATA_LF,
    ENDED,
} state;

static const char version_text[] = "HTTP/";

static unsigned class_of(unsigned char c) {
    /* RFC 9110: token characters, beside letters and digits */
    static const uint8_t classes[256] = {
        ['\t'] = VALUE,
        [' '] = VALUE,
        ['!'] = TOKEN | VALUE | TARGET,
        ['"'] = VALUE | TARGET,
        ['#'] = TOKEN | VALUE,
        ['$' ... '\''] = TOKEN | VALUE | TARGET,
        ['('] = VALUE | TARGET,
        [')'] = VALUE | TARGET,
        ['*'] = TOKEN | VALUE | TARGET,
        ['+'] = TOKEN | VALUE | TARGET,
        [','] = VALUE | TARGET,
        ['-'] = TOKEN | VALUE | TARGET,
        ['.'] = TOKEN | VALUE | TARGET,
        ['/'] = VALUE | TARGET,
        ['0' ... '9'] = TOKEN | VALUE | TARGET | HEX,
        [':' ... '@'] = VALUE | TARGET,
        ['A' ... 'F'] = TOKEN | VALUE | TARGET | HEX,
        ['G' ... 'Z'] = TOKEN | VALUE | TARGET,
        ['[' ... ']'] = VALUE | TARGET,
        ['^' ... '`'] = TOKEN | VALUE | TARGET,
        ['a' ... 'f'] = TOKEN | VALUE | TARGET | HEX,
        ['g' ... 'z'] = TOKEN | VALUE | TARGET,
        ['{'] = VALUE | TARGET,
        ['|'] = TOKEN | VALUE | TARGET,
        ['}'] = VALUE | TARGET,
        ['~'] = TOKEN | VALUE | TARGET,
        [0x80 ... 0xff] = VALUE,
    };
    return classes[c];
}

static int is_token(char c) {
    return (class_of((unsigned char)c) & TOKEN) != 0;
}

/* How many of the first bytes are of a class. */
static size_t skip_class(const char *bytes, size_t len, unsigned class) {
    size_t at = 0;
    while (at < len && (class_of((unsigned char)bytes[at]) & class)) {
        at++;
    }
    return at;
}

int net__is_token(const char *text, size_t len) {
    return len > 0 && skip_class(text, len, TOKEN) == len;
}

/* How many of the bytes may stand in a value, as far as eight at once tell: in none of a word's
 * bytes below 0x20, and in none that is 0x7f, a borrow sets the highest bit. */
static size_t skip_words(const char *bytes, size_t len) {
    const uint64_t ones = UINT64_MAX / 0xff;
    const uint64_t highest = ones * 0x80;
    size_t at = 0;
    for (; len - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof word);
        uint64_t deleted = word ^ ones * 0x7f;
        uint64_t wrong = ((word - ones * 0x20) & ~word) | ((deleted - ones) & ~deleted);
        if (wrong & highest) {
            break;
        }
    }
    return at;
}

int net__is_value(const char *text, size_t len) {
    size_t at = skip_words(text, len);
    return skip_class(text + at, len - at, VALUE) == len - at;
}

void net__guard_begin(net__guard *guard, int response) {
    *guard = (net__guard){.state = response ? VERSION : BEGIN, .response = (uint8_t)response};
}

static state refuse(net__guard *guard, int status, const char *reason) {
    guard->status = status;
    guard->reason = reason;
    return ENDED;
}

static state begin_request(net__guard *guard, char c) {
    if (c == '\r' && guard->empty_lines < 2) {
        guard->empty_lines++;
        return BEGIN_LF;
    }
    guard->index = 1;
    return is_token(c) ? METHOD : refuse(guard, 400, "the method is not valid");
}

static state in_method(net__guard *guard, char c) {
    if (c == ' ') {
        return TARGET_BYTES;
    }
    if (!is_token(c) || ++guard->index > 32) {
        return refuse(guard, 400, "the method is not valid");
    }
    return METHOD;
}

static state in_target(net__guard *guard, const net__guard_limits *limits, char c) {
    if (c == ' ' && guard->line_len > 0) {
        guard->index = 0;
        return VERSION;
    }
    if (!(class_of((unsigned char)c) & TARGET)) {
        return refuse(guard, 400, "the target has a byte that no target has");
    }
    if (++guard->line_len > limits->target_bytes_max) {
        return refuse(guard, 414, "the target is too long");
    }
    return TARGET_BYTES;
}

/* "HTTP/1.1": the letters, a digit, a point, a digit. */
static state in_version(net__guard *guard, char c) {
    unsigned at = guard->index++;
    int digit = c >= '0' && c <= '9';
    if (at < 5 ? c != version_text[at] : at == 6 ? c != '.' : !digit) {
        return refuse(guard, 400, "the version is not valid");
    }
    if (at == 5 && c != '1') {
        guard->status = 505; /* told when the version is whole */
    }
    if (at < 7) {
        return VERSION;
    }
    return guard->status == 505 ? refuse(guard, 505, "the version is not HTTP/1.1") : VERSION_END;
}

static state after_version(net__guard *guard, char c) {
    if (c == (guard->response ? ' ' : '\r')) {
        guard->index = 0;
        return guard->response ? STATUS_CODE : LINE_LF;
    }
    return refuse(guard, 400, "the first line does not end after the version");
}

static state in_status(net__guard *guard, char c) {
    if (c < '0' || c > '9' || (guard->index == 0 && (c == '0' || c > '5'))) {
        return refuse(guard, 400, "the status is not valid");
    }
    return ++guard->index < 3 ? STATUS_CODE : STATUS_END;
}

static state after_status(net__guard *guard, char c) {
    return c == ' '    ? STATUS_TEXT
           : c == '\r' ? LINE_LF
                       : refuse(guard, 400, "the status is not valid");
}

static state in_field(net__guard *guard, const net__guard_limits *limits, char c) {
    if (c == '\r') {
        return HEAD_LF;
    }
    if (!is_token(c)) {
        return refuse(
            guard, 400,
            c == ' ' || c == '\t' ? "a header is folded" : "a header's name is not valid");
    }
    if (++guard->headers > limits->headers_max) {
        return refuse(guard, 431, "there are too many headers");
    }
    return NAME;
}

static state in_name(net__guard *guard, char c) {
    if (c == ':') {
        return FIELD_VALUE;
    }
    return is_token(c) ? NAME : refuse(guard, 400, "a header's name is not valid");
}

/* What stands to the line's end: a value, a status's text, an extension. */
static state in_text(net__guard *guard, char c, state here, state end) {
    if (c == '\r') {
        return end;
    }
    return class_of((unsigned char)c) & VALUE
               ? here
               : refuse(guard, 400, "a header has a control character or a bare line feed");
}

static state expect_lf(net__guard *guard, char c, state next) {
    return c == '\n' ? next : refuse(guard, 400, "a carriage return without its line feed");
}

static int hex_of(char c) {
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static state in_size(net__guard *guard, char c) {
    if (class_of((unsigned char)c) & HEX) {
        if (++guard->line_len > 15) {
            return refuse(guard, 400, "a chunk's size is too long");
        }
        guard->chunk_len = guard->chunk_len << 4 | (unsigned)hex_of(c);
        return SIZE_MORE;
    }
    if (guard->state == SIZE_MORE && (c == ';' || c == '\r')) {
        return c == ';' ? EXTENSION : SIZE_LF;
    }
    return refuse(guard, 400, "a chunk's size is not valid");
}

static state after_size(net__guard *guard, char c) {
    if (c != '\n') {
        return refuse(guard, 400, "a carriage return without its line feed");
    }
    guard->line_len = 0;
    guard->data_left = guard->chunk_len;
    guard->chunk_len = 0;
    return guard->data_left > 0 ? DATA_CR : FIELD;
}

/* One byte. A head ends with SIZE, a chunked body with BEGIN: who steps stops there. */
static state step(net__guard *guard, const net__guard_limits *limits, char c) {
    switch ((state)guard->state) {
        case BEGIN:
            return begin_request(guard, c);
        case BEGIN_LF:
            return expect_lf(guard, c, BEGIN);
        case METHOD:
            return in_method(guard, c);
        case TARGET_BYTES:
            return in_target(guard, limits, c);
        case VERSION:
            return in_version(guard, c);
        case VERSION_END:
            return after_version(guard, c);
        case STATUS_CODE:
            return in_status(guard, c);
        case STATUS_END:
            return after_status(guard, c);
        case STATUS_TEXT:
            return in_text(guard, c, STATUS_TEXT, LINE_LF);
        case LINE_LF:
            return expect_lf(guard, c, FIELD);
        case FIELD:
            return in_field(guard, limits, c);
        case NAME:
            return in_name(guard, c);
        case FIELD_VALUE:
            return in_text(guard, c, FIELD_VALUE, LINE_LF);
        case HEAD_LF:
            return expect_lf(guard, c, guard->in_body ? BEGIN : SIZE);
        case SIZE:
        case SIZE_MORE:
            return in_size(guard, c);
        case EXTENSION:
            return in_text(guard, c, EXTENSION, SIZE_LF);
        case SIZE_LF:
            return after_size(guard, c);
        case DATA_CR:
            return c == '\r' ? DATA_LF : refuse(guard, 400, "a chunk is longer than its size");
        case DATA_LF:
            return expect_lf(guard, c, SIZE);
        case ENDED:
            break;
    }
    return ENDED;
}

/* The version that nearly everybody has, if all of it is here. */
static size_t skip_version(net__guard *guard, const char *bytes, size_t len) {
    static const char usual[] = "HTTP/1.1";
    size_t whole = sizeof usual - 1;
    if (guard->index > 0 || len < whole || memcmp(bytes, usual, whole) != 0) {
        return 0;
    }
    guard->index = (uint8_t)whole;
    guard->state = VERSION_END;
    return whole;
}

/* What is left of a line that another field, or the head's end, follows. */
static size_t skip_line(net__guard *guard, const char *bytes, size_t len) {
    size_t at = skip_words(bytes, len);
    at += skip_class(bytes + at, len - at, VALUE);
    if (len - at < 2 || bytes[at] != '\r' || bytes[at + 1] != '\n') {
        return at;
    }
    guard->state = FIELD;
    return at + 2;
}

/* How many of the bytes need no step: the rest of a name or of a line, and the version. */
static size_t skip_plain(net__guard *guard, const char *bytes, size_t len) {
    if (guard->state == FIELD_VALUE || guard->state == STATUS_TEXT) {
        return skip_line(guard, bytes, len);
    }
    return guard->state == NAME      ? skip_class(bytes, len, TOKEN)
           : guard->state == VERSION ? skip_version(guard, bytes, len)
                                     : 0;
}

net__guard_end net__guard_head(net__guard *guard,
                               const net__guard_limits *limits,
                               const char *bytes,
                               size_t len,
                               size_t *ret_used) {
    size_t room = limits->head_bytes_max - guard->head_len;
    size_t end = len < room ? len : room;
    size_t at = 0;
    while (at < end && guard->state != ENDED && guard->state != SIZE) {
        at += skip_plain(guard, bytes + at, end - at);
        if (at < end) {
            guard->state = (uint8_t)step(guard, limits, bytes[at++]);
        }
    }
    guard->head_len += (uint32_t)at;
    *ret_used = at;
    if (guard->state == SIZE) {
        guard->in_body = 1;
        guard->line_len = 0;
        return NET__GUARD_DONE;
    }
    if (guard->state != ENDED && at < len) {
        (void)refuse(guard, guard->state < LINE_LF && !guard->response ? 414 : 431,
                     "the head is too long");
        guard->state = ENDED;
    }
    return guard->state == ENDED ? NET__GUARD_REFUSED : NET__GUARD_MORE;
}

/* Whether a byte in this state is beyond sizes and data, and counts as extra. */
static int is_extra(unsigned where) {
    return where == EXTENSION || (where >= LINE_LF && where <= FIELD_VALUE);
}

net__guard_end net__guard_chunks(net__guard *guard,
                                 const net__guard_limits *limits,
                                 const char *bytes,
                                 size_t len,
                                 size_t *ret_used) {
    size_t at = 0;
    net__guard_end end = NET__GUARD_MORE;
    while (at < len && end == NET__GUARD_MORE) {
        unsigned before = guard->state;
        guard->state = (uint8_t)step(guard, limits, bytes[at++]);
        guard->extras_len += (uint32_t)is_extra(before);
        if (guard->extras_len > limits->chunk_extras_max && guard->state != ENDED) {
            guard->state = (uint8_t)refuse(guard, 431, "chunk extensions or trailers are too long");
        }
        if (guard->state == ENDED) {
            end = NET__GUARD_REFUSED;
        } else if (guard->state == BEGIN) {
            end = NET__GUARD_DONE;
        } else if (before == SIZE_LF && guard->state == DATA_CR) {
            end = NET__GUARD_DATA;
        }
    }
    *ret_used = at;
    return end;
}
