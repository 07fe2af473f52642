/* Server-sent events, read as they come. */
#ifndef ETX_CLI_EVENT_STREAM_H
#define ETX_CLI_EVENT_STREAM_H

#include <stddef.h>

enum { EVENT_LINE_MAX = 16384, EVENT_WORD_MAX = 128 };

typedef struct event_stream {
    char line[EVENT_LINE_MAX]; /* the one that is being read */
    size_t len;
    int cut;                   /* the line is longer */
    char name[EVENT_WORD_MAX]; /* of the event that is being read */
    char data[EVENT_LINE_MAX]; /* "": none yet */
    char next[EVENT_WORD_MAX]; /* its id, "" if it has none */
    char id[EVENT_WORD_MAX];   /* of the last event that was told: where to go on */
} event_stream;

/* Anything but 0 ends the reading. */
typedef int (*event_fn)(const event_stream *stream, void *user);

/* What was not read to its end is forgotten; the id stays. */
void etx__event_stream_begin(event_stream *stream);
/* Tells each event that is whole; what comes of `each`. */
int etx__event_stream_read(event_stream *stream,
                           const char *bytes,
                           size_t len,
                           event_fn each,
                           void *user);

#endif
