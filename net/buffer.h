/* Bytes that grow. */
#ifndef NET_BUFFER_H
#define NET_BUFFER_H

#include <stddef.h>
#include <string.h>

/* Zeroed it is empty. */
typedef struct net__buffer {
    char *bytes;
    size_t len;
    size_t size;
} net__buffer;

/* Makes room for `more` bytes behind those that are there: 0, or NET_ENOMEM and nothing changes. */
int net__buffer_reserve(net__buffer *buffer, size_t more);
/* Appends; room must have been made. */
static inline void net__buffer_add(net__buffer *buffer, const void *bytes, size_t len) {
    if (len > 0) {
        memcpy(buffer->bytes + buffer->len, bytes, len);
        buffer->len += len;
    }
}
static inline void net__buffer_add_text(net__buffer *buffer, const char *text) {
    net__buffer_add(buffer, text, strlen(text));
}
/* A number in decimal; needs 20 bytes of room. */
void net__buffer_add_number(net__buffer *buffer, unsigned long long number);
/* Empties it; keeps its memory if that is at most `keep` bytes. */
void net__buffer_clear(net__buffer *buffer, size_t keep);

#endif
