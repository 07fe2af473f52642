/* Server-sent events, read as they come. */
#include "event_stream.h"

#include <stdio.h>
#include <string.h>

static void begin_event(event_stream *stream) {
    stream->name[0] = '\0';
    stream->data[0] = '\0';
    stream->next[0] = '\0';
}

void etx__event_stream_begin(event_stream *stream) {
    stream->len = 0;
    stream->cut = 0;
    begin_event(stream);
}

/* "name: value"; a comment (":") and fields that are not known are passed over. */
static void take_field(event_stream *stream) {
    const char *value = stream->line + strcspn(stream->line, ":");
    size_t name_len = (size_t)(value - stream->line);
    value += *value == ':';
    value += *value == ' ';
    if (stream->cut) {
        return;
    }
    if (name_len == 5 && memcmp(stream->line, "event", 5) == 0) {
        snprintf(stream->name, sizeof stream->name, "%s", value);
    } else if (name_len == 4 && memcmp(stream->line, "data", 4) == 0) {
        snprintf(stream->data, sizeof stream->data, "%s", value);
    } else if (name_len == 2 && memcmp(stream->line, "id", 2) == 0) {
        snprintf(stream->next, sizeof stream->next, "%s", value);
    }
}

static int end_event(event_stream *stream, event_fn each, void *user) {
    int rc = 0;
    if (stream->next[0] != '\0') {
        memcpy(stream->id, stream->next, sizeof stream->id);
    }
    if (stream->data[0] != '\0') {
        rc = each(stream, user);
    }
    begin_event(stream);
    return rc;
}

static int end_line(event_stream *stream, event_fn each, void *user) {
    int rc = 0;
    if (stream->len > 0 && stream->line[stream->len - 1] == '\r') {
        stream->len--;
    }
    stream->line[stream->len] = '\0';
    if (stream->len == 0) {
        rc = end_event(stream, each, user);
    } else {
        take_field(stream);
    }
    stream->len = 0;
    stream->cut = 0;
    return rc;
}

int etx__event_stream_read(event_stream *stream,
                           const char *bytes,
                           size_t len,
                           event_fn each,
                           void *user) {
    size_t i;
    for (i = 0; i < len; i++) {
        int rc = 0;
        if (bytes[i] == '\n') {
            rc = end_line(stream, each, user);
        } else if (stream->len + 1 < sizeof stream->line) {
            stream->line[stream->len++] = bytes[i];
        } else {
            stream->cut = 1;
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}
