/* Bytes that grow: by doubling. */
#include "buffer.h"

#include <stdlib.h>

#include "error.h"

enum { FIRST = 1024 };

int net__buffer_reserve(net__buffer *buffer, size_t more) {
    if (buffer->size - buffer->len >= more) {
        return 0;
    }
    size_t size = buffer->size < FIRST ? FIRST : buffer->size;
    while (size - buffer->len < more) {
        if (size > (size_t)-1 / 4) {
            return NET_ENOMEM;
        }
        size *= 2;
    }
    char *bytes = realloc(buffer->bytes, size);
    if (bytes == NULL) {
        return NET_ENOMEM;
    }
    buffer->bytes = bytes;
    buffer->size = size;
    return 0;
}

void net__buffer_add_number(net__buffer *buffer, unsigned long long number) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    net__buffer_add(buffer, digits + at, sizeof digits - at);
}

void net__buffer_clear(net__buffer *buffer, size_t keep) {
    buffer->len = 0;
    if (buffer->size > keep) {
        free(buffer->bytes);
        *buffer = (net__buffer){0};
    }
}
