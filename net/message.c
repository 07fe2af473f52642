/* Reading a message. The guard finds the end of the head; only then does the parser see it, whole,
 * so its fields are slices of one buffer. In chunked bodies both read every byte, and a message is
 * refused if they do not agree on where it ends. */
#include "message.h"

#include <string.h>
#include <strings.h>

static net__reading refuse(net__message *message, int status, const char *reason) {
    message->guard.status = status;
    message->guard.reason = reason;
    return NET__READING_REFUSED;
}

/* ---- what the parser tells */

typedef struct parse {
    net__message *message;
    const char *bytes;
} parse;

static net__slice slice_of(const parse *of, const char *at, size_t len) {
    return (net__slice){(uint16_t)(at - of->bytes), (uint16_t)len};
}

static int on_url(http_parser *parser, const char *at, size_t len) {
    parse *of = parser->data;
    of->message->target = slice_of(of, at, len);
    return 0;
}

static int on_field(http_parser *parser, const char *at, size_t len) {
    parse *of = parser->data;
    net__message *message = of->message;
    if (message->head_len != 0) {
        return 0; /* a trailer */
    }
    if (message->field_count == NET__HEADERS_MAX) {
        return 1;
    }
    net__field *field = &message->field[message->field_count++];
    field->name = slice_of(of, at, len);
    field->value = (net__slice){(uint16_t)(field->name.at + len), 0};
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t len) {
    parse *of = parser->data;
    net__message *message = of->message;
    if (message->head_len != 0 || message->field_count == 0) {
        return 0;
    }
    while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t')) {
        len--;
    }
    message->field[message->field_count - 1].value = slice_of(of, at, len);
    return 0;
}

static int on_head(http_parser *parser) {
    parse *of = parser->data;
    return of->message->no_body;
}

static int on_end(http_parser *parser) {
    parse *of = parser->data;
    of->message->parsed = 1;
    return 0;
}

/* Gives the parser bytes that the guard has let pass. */
static int run_parser(net__message *message, const char *bytes, size_t at, size_t len) {
    static const http_parser_settings settings = {
        .on_url = on_url,
        .on_header_field = on_field,
        .on_header_value = on_value,
        .on_headers_complete = on_head,
        .on_message_complete = on_end,
    };
    parse of = {message, bytes};
    message->parser.data = &of;
    size_t used = http_parser_execute(&message->parser, &settings, bytes + at, len);
    message->parser.data = NULL;
    return used == len && HTTP_PARSER_ERRNO(&message->parser) == HPE_OK ? 0 : -1;
}

/* ---- what the fields say of framing */

static int is_text(const char *bytes, net__slice slice, const char *text) {
    return strlen(text) == slice.len && strncasecmp(bytes + slice.at, text, slice.len) == 0;
}

static void note_field(net__message *message, const char *bytes, net__field *field) {
    switch (field->name.len) {
        case 4:
            if (is_text(bytes, field->name, "host")) {
                message->hosts |= message->hosts == 0 ? 1 : 2;
                message->host = field;
            }
            break;
        case 6:
            if (is_text(bytes, field->name, "expect")) {
                message->expects = is_text(bytes, field->value, "100-continue") ? 1 : 2;
            }
            break;
        case 14:
            if (is_text(bytes, field->name, "content-length")) {
                message->lengths |= message->lengths == 0 ? 1 : 2;
            }
            break;
        case 17:
            if (is_text(bytes, field->name, "transfer-encoding")) {
                message->encodings |= message->encodings == 0 ? 1 : 2;
                message->encoding = field;
            }
            break;
        default:
            break;
    }
}

static net__reading judge_encoding(net__message *message, const char *bytes) {
    net__slice value = message->encoding->value;
    if (message->lengths > 0) {
        return refuse(message, 400, "Content-Length beside Transfer-Encoding");
    }
    if (message->parser.http_minor == 0) {
        return refuse(message, 400, "Transfer-Encoding in HTTP/1.0");
    }
    if (message->encodings == 1 && is_text(bytes, value, "chunked")) {
        message->framing = NET__FRAMING_CHUNKS;
        return NET__READING_DONE;
    }
    /* an encoding that is known nowhere, within one that is: the parser has seen to the order */
    return refuse(message, message->encodings == 1 ? 501 : 400, "Transfer-Encoding is not chunked");
}

/* A response that has no body, whatever its head says. */
static int is_bare(const net__message *message) {
    unsigned status = message->parser.status_code;
    return message->no_body ||
           (message->guard.response && (status < 200 || status == 204 || status == 304));
}

/* 1xx and 204 must not announce a body (RFC 9110, 8.6; RFC 9112, 6.1). Who does so may well send
 * it, and its bytes would be taken for the next answer. 304 and the answer to HEAD may announce
 * what they do not have; but what comes behind them is not trusted to be an answer. */
static net__reading judge_bare(net__message *message) {
    int announces = message->encodings > 0 || message->length > 0;
    unsigned status = message->parser.status_code;
    if (announces && (status < 200 || status == 204)) {
        return refuse(message, 400, "an answer that has no body announces one");
    }
    message->framing = NET__FRAMING_NONE;
    message->keep_alive = (uint8_t)(message->keep_alive && !announces);
    return NET__READING_DONE;
}

/* Whether the peer of a response says that it will end the connection (RFC 9112, 9.3). */
static int will_close(const net__message *message) {
    unsigned flags = message->parser.flags;
    return (flags & F_CONNECTION_CLOSE) != 0 ||
           (message->parser.http_minor == 0 && (flags & F_CONNECTION_KEEP_ALIVE) == 0);
}

/* A response that says nothing of its length ends where its connection does, if that is to end. */
static net__reading judge_unsaid(net__message *message) {
    if (!will_close(message)) {
        return refuse(message, 400, "the answer does not say where it ends");
    }
    message->framing = NET__FRAMING_CLOSE;
    return NET__READING_DONE;
}

static net__reading judge_framing(net__message *message,
                                  const net__message_limits *limits,
                                  const char *bytes) {
    for (unsigned i = 0; i < message->field_count; i++) {
        note_field(message, bytes, &message->field[i]);
    }
    if (message->lengths > 1) {
        return refuse(message, 400, "more than one Content-Length");
    }
    if (message->encodings > 0) {
        net__reading rc = judge_encoding(message, bytes);
        if (rc != NET__READING_DONE) {
            return rc;
        }
    }
    if (is_bare(message)) {
        return judge_bare(message);
    }
    if (message->lengths == 1) {
        message->framing = NET__FRAMING_LENGTH;
        if (message->length > limits->body_bytes_max) {
            return refuse(message, 413, "the body is too large");
        }
    } else if (message->encodings == 0 && message->guard.response) {
        return judge_unsaid(message);
    }
    return NET__READING_DONE;
}

/* The parser's own view of a head that it has refused. */
static net__reading refuse_parse(net__message *message) {
    int unknown = HTTP_PARSER_ERRNO(&message->parser) == HPE_INVALID_METHOD;
    return refuse(message, unknown ? 501 : 400,
                  unknown ? "the method is not known"
                          : http_errno_description(HTTP_PARSER_ERRNO(&message->parser)));
}

/* What Content-Length says; the parser has seen that it is one number. */
static uint64_t length_of(const net__message *message, const char *bytes) {
    const net__field *field = net__message_find(message, bytes, "content-length", 14, NULL);
    uint64_t length = 0;
    for (unsigned i = 0; field != NULL && i < field->value.len; i++) {
        length = length * 10 + (unsigned)(bytes[field->value.at + i] - '0');
    }
    return length;
}

static net__reading read_head(net__message *message,
                              const net__message_limits *limits,
                              const char *bytes,
                              size_t len) {
    size_t used;
    net__guard_end end = net__guard_head(&message->guard, &limits->guard, bytes + message->seen,
                                         len - message->seen, &used);
    message->seen += used;
    if (end != NET__GUARD_DONE) {
        return end == NET__GUARD_MORE ? NET__READING_MORE : NET__READING_REFUSED;
    }
    if (run_parser(message, bytes, 0, message->seen) != 0) {
        return refuse_parse(message);
    }
    if (message->parser.flags & F_CONTENTLENGTH) {
        message->length = length_of(message, bytes);
    }
    message->keep_alive = http_should_keep_alive(&message->parser) != 0;
    net__reading rc = judge_framing(message, limits, bytes);
    message->head_len = (uint32_t)message->seen;
    return rc;
}

/* ---- bodies */

static net__reading read_chunk_data(net__message *message,
                                    const net__message_limits *limits,
                                    char *bytes,
                                    size_t len) {
    uint64_t left = message->guard.data_left;
    size_t take = len - message->seen < left ? len - message->seen : (size_t)left;
    if (message->body_len > limits->body_bytes_max || /* it was more when that came */
        left > limits->body_bytes_max - message->body_len) {
        return refuse(message, 413, "the body is too large");
    }
    if (run_parser(message, bytes, message->seen, take) != 0) {
        return refuse_parse(message);
    }
    memmove(bytes + message->head_len + message->body_len, bytes + message->seen, take);
    message->body_len += take;
    message->seen += take;
    message->guard.data_left -= take;
    return NET__READING_MORE;
}

static net__reading read_chunks(net__message *message,
                                const net__message_limits *limits,
                                char *bytes,
                                size_t *len) {
    while (message->seen < *len) {
        if (message->guard.data_left > 0) {
            net__reading rc = read_chunk_data(message, limits, bytes, *len);
            if (rc == NET__READING_REFUSED) {
                return rc;
            }
            continue;
        }
        size_t used;
        net__guard_end end = net__guard_chunks(&message->guard, &limits->guard,
                                               bytes + message->seen, *len - message->seen, &used);
        /* the parser sees what is before a refused byte: in whatever pieces it all came, whoever
         * refuses first says why */
        size_t fine = used - (end == NET__GUARD_REFUSED);
        int failed = fine > 0 && run_parser(message, bytes, message->seen, fine) != 0;
        if (failed && !message->parsed) {
            return refuse_parse(message);
        }
        message->seen += fine;
        if (failed || message->parsed != (end == NET__GUARD_DONE)) {
            return refuse(message, 400, "the body's end is ambiguous");
        }
        if (end == NET__GUARD_REFUSED) {
            return NET__READING_REFUSED;
        }
        if (end == NET__GUARD_DONE) {
            message->used = message->seen;
            return NET__READING_DONE;
        }
    }
    *len = message->head_len + message->body_len;
    message->seen = *len;
    return NET__READING_MORE;
}

static net__reading read_length(net__message *message, size_t len) {
    uint64_t whole = message->head_len + message->length;
    if (len < whole) {
        message->seen = len;
        message->body_len = len - message->head_len;
        return NET__READING_MORE;
    }
    message->body_len = (size_t)message->length;
    message->used = (size_t)whole;
    return NET__READING_DONE;
}

void net__message_begin(net__message *message, int response, int no_body) {
    memset(message, 0, offsetof(net__message, field));
    message->no_body = (uint8_t)no_body;
    http_parser_init(&message->parser, response ? HTTP_RESPONSE : HTTP_REQUEST);
    net__guard_begin(&message->guard, response);
}

net__reading net__message_read(net__message *message,
                               const net__message_limits *limits,
                               char *bytes,
                               size_t *len) {
    if (message->head_len == 0) {
        net__reading rc = read_head(message, limits, bytes, *len);
        if (rc != NET__READING_DONE) {
            return rc;
        }
    }
    switch (message->framing) {
        case NET__FRAMING_NONE:
            message->used = message->head_len;
            return NET__READING_DONE;
        case NET__FRAMING_LENGTH:
            return read_length(message, *len);
        case NET__FRAMING_CHUNKS:
            return read_chunks(message, limits, bytes, len);
        case NET__FRAMING_CLOSE:
            break;
    }
    message->seen = *len;
    message->body_len = *len - message->head_len;
    return message->body_len > limits->body_bytes_max
               ? refuse(message, 413, "the body is too large")
               : NET__READING_MORE;
}

int net__message_ends(const net__message *message) {
    return message->head_len != 0 && message->framing == NET__FRAMING_CLOSE;
}

const net__field *net__message_find(const net__message *message,
                                    const char *bytes,
                                    const char *name,
                                    size_t name_len,
                                    const net__field *after) {
    const net__field *end = message->field + message->field_count;
    for (const net__field *field = after == NULL ? message->field : after + 1; field < end;
         field++) {
        if (field->name.len == name_len &&
            strncasecmp(bytes + field->name.at, name, name_len) == 0) {
            return field;
        }
    }
    return NULL;
}
