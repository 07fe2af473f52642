/* Fuzzes how net/ reads HTTP: requests or answers, one after another, whole and in pieces. */
#include "fuzz.h"

#include "../../net/message.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGES_MAX = 64 };

static const net__message_limits limits = {
    .guard = {.head_bytes_max = 400,
              .target_bytes_max = 60,
              .headers_max = 12,
              .chunk_extras_max = 40},
    .body_bytes_max = 100,
};

/* What became of a stream of bytes. */
typedef struct outcome {
    int count;
    uint64_t digest[MESSAGES_MAX]; /* of each message */
    size_t end;                    /* where the last ended */
    int refused;                   /* by which status; 0: more is wanted */
} outcome;

static void add(uint64_t *digest, const void *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        *digest = (*digest ^ ((const uint8_t *)bytes)[i]) * 1099511628211U;
    }
    *digest = (*digest ^ len) * 1099511628211U;
}

static void check_plain(const char *bytes, net__slice slice) {
    for (unsigned i = 0; i < slice.len; i++) {
        char c = bytes[slice.at + i];
        fuzz_check(c != '\r' && c != '\n' && c != '\0');
    }
}

static int count_fields(const net__message *message, const char *bytes, const char *name) {
    const net__field *field = NULL;
    int count = 0;
    while ((field = net__message_find(message, bytes, name, strlen(name), field)) != NULL) {
        count++;
    }
    return count;
}

/* What must hold of a message that was taken. */
static uint64_t check_message(const net__message *message, const char *bytes, size_t len) {
    uint64_t digest = 14695981039346656037U;
    int lengths = count_fields(message, bytes, "content-length");
    int encodings = count_fields(message, bytes, "transfer-encoding");
    fuzz_check(message->head_len >= 18 - 2 && message->head_len <= 400);
    fuzz_check(memcmp(bytes + message->head_len - 4, "\r\n\r\n", 4) == 0);
    fuzz_check(message->used <= len && message->head_len + message->body_len <= message->used);
    fuzz_check(message->body_len <= limits.body_bytes_max);
    fuzz_check(lengths <= 1 && encodings <= 1 && lengths + encodings <= 1);
    fuzz_check(message->field_count <= 12 && message->parser.http_major == 1);
    for (unsigned i = 0; i < message->field_count; i++) {
        const net__field *field = &message->field[i];
        fuzz_check(field->name.len > 0 && bytes[field->name.at + field->name.len] == ':');
        check_plain(bytes, field->name);
        check_plain(bytes, field->value);
        add(&digest, bytes + field->name.at, field->name.len);
        add(&digest, bytes + field->value.at, field->value.len);
    }
    check_plain(bytes, message->target);
    add(&digest, bytes + message->target.at, message->target.len);
    add(&digest, bytes + message->head_len, message->body_len);
    return digest;
}

/* Reads a stream whose bytes come in pieces; `pieces` says how large they are. */
static void read_stream(fuzz_input stream,
                        fuzz_input pieces,
                        int response,
                        int no_body,
                        outcome *ret) {
    net__message *message = fuzz_alloc(sizeof *message);
    char *bytes = fuzz_alloc(stream.left);
    size_t have = 0;
    size_t came = 0;
    net__message_begin(message, response, no_body);
    *ret = (outcome){0};
    while (ret->refused == 0 && ret->count < MESSAGES_MAX && came < stream.left) {
        size_t step = pieces.left > 0 ? 1U + fuzz_byte(&pieces) % 32 : stream.left;
        step = step < stream.left - came ? step : stream.left - came;
        memcpy(bytes + have, stream.at + came, step);
        came += step;
        have += step;
        while (have > 0 && ret->count < MESSAGES_MAX) {
            size_t len = have;
            net__reading reading = net__message_read(message, &limits, bytes, &len);
            if (reading == NET__READING_REFUSED) {
                ret->refused = message->guard.status;
                fuzz_check(ret->refused >= 400 && message->guard.reason != NULL);
                break;
            }
            if (reading == NET__READING_MORE) {
                fuzz_check(len <= have && message->seen == len);
                have = len;
                break;
            }
            ret->digest[ret->count++] = check_message(message, bytes, have);
            memmove(bytes, bytes + message->used, have - message->used);
            have -= message->used;
            ret->end = came - have;
            net__message_begin(message, response, no_body);
        }
    }
    free(bytes);
    free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input input = {data, size};
    unsigned how = fuzz_byte(&input);
    etx_bytes sizes = fuzz_bytes(&input, 8);
    fuzz_input pieces = {sizes.data, sizes.len};
    fuzz_input whole = {NULL, 0};
    outcome a;
    outcome b;
    read_stream(input, whole, how & 1, (how & 2) != 0, &a);
    read_stream(input, pieces, how & 1, (how & 2) != 0, &b);
    fuzz_check(a.count == b.count && a.end == b.end && a.refused == b.refused);
    fuzz_check(memcmp(a.digest, b.digest, sizeof a.digest) == 0);
    return 0;
}
