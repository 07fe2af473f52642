/* Payloads of branches over HTTP: read, and shown without the values of their headers. */
#include "envelope.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char hidden[] = "***";

static etx_bytes hide_all(void) {
    return (etx_bytes){hidden, sizeof hidden - 1};
}

/* Whether participant_http made it. */
static int is_over_http(etx_bytes participant) {
    static const char begin[] = "http-";
    return participant.len >= sizeof begin - 1 &&
           memcmp(participant.data, begin, sizeof begin - 1) == 0;
}

#ifdef ETX_WITH_SERVER

#include <etx/participant_http.h>

typedef struct envelope {
    etx_http_branch said;
    const char *room[ETX_HTTP_HEADERS_MAX];
} envelope;

static int read_envelope(etx_bytes payload, envelope *ret) {
    return payload.len == 0 ? ETX_EINVALID
                            : etx_http_branch_read(payload.data, payload.len, &ret->said, ret->room,
                                                   sizeof ret->room);
}

static int name_len(const char *header) {
    return (int)strcspn(header, ":");
}

/* "Name: ***" for each, in `room`; 0, or there is no memory for them. */
static int hide_values(envelope *one, char **room) {
    size_t i;
    for (i = 0; i < one->said.header_count; i++) {
        size_t size = (size_t)name_len(one->room[i]) + sizeof ": ***";
        room[i] = malloc(size);
        if (room[i] == NULL) {
            return -1;
        }
        snprintf(room[i], size, "%.*s: %s", name_len(one->room[i]), one->room[i], hidden);
        one->room[i] = room[i];
    }
    return 0;
}

etx_bytes etx__envelope_mask(etx_bytes participant, etx_bytes payload, void **ret_owned) {
    envelope one = {.said = {.size = sizeof one.said}};
    char *room[ETX_HTTP_HEADERS_MAX] = {NULL};
    void *bytes = NULL;
    size_t len = 0;
    size_t i;
    int rc;
    *ret_owned = NULL;
    if (read_envelope(payload, &one) != 0) {
        return is_over_http(participant) && payload.len > 0 ? hide_all() : payload;
    }
    rc = hide_values(&one, room);
    rc = rc != 0 ? rc : etx_http_branch_write(&one.said, &bytes, &len, NULL, 0);
    for (i = 0; i < ETX_HTTP_HEADERS_MAX; i++) {
        free(room[i]);
    }
    *ret_owned = rc == 0 ? bytes : NULL;
    return rc == 0 ? (etx_bytes){bytes, len} : hide_all();
}

static void print_urls(FILE *to, etx_kind kind, const etx_http_branch *said) {
    const char *urls[] = {said->forward_url, said->commit_url, said->undo_url};
    int operation;
    for (operation = ETX_FORWARD; operation <= ETX_UNDO; operation++) {
        if (urls[operation] != NULL) {
            const char *word =
                kind == 0 ? "at" : etx_operation_name(kind, (etx_operation)operation);
            fprintf(to, "%s%s %s", operation == ETX_FORWARD ? "" : ", ", word, urls[operation]);
        }
    }
}

int etx__envelope_print(FILE *to,
                        etx_kind kind,
                        etx_bytes participant,
                        etx_bytes payload,
                        size_t max) {
    envelope one = {.said = {.size = sizeof one.said}};
    size_t i;
    if (read_envelope(payload, &one) != 0) {
        if (is_over_http(participant)) {
            fputs(hidden, to);
        }
        return is_over_http(participant);
    }
    print_urls(to, kind, &one.said);
    for (i = 0; i < one.said.header_count; i++) {
        fprintf(to, ", %.*s: %s", name_len(one.room[i]), one.room[i], hidden);
    }
    if (one.said.payload.len > 0) {
        fputs(", ", to);
        etx__cli_bytes(to, one.said.payload, max);
    }
    return 1;
}

#else

etx_bytes etx__envelope_mask(etx_bytes participant, etx_bytes payload, void **ret_owned) {
    *ret_owned = NULL;
    return is_over_http(participant) && payload.len > 0 ? hide_all() : payload;
}

int etx__envelope_print(FILE *to,
                        etx_kind kind,
                        etx_bytes participant,
                        etx_bytes payload,
                        size_t max) {
    (void)kind;
    (void)payload;
    (void)max;
    if (is_over_http(participant)) {
        fputs(hidden, to);
    }
    return is_over_http(participant);
}

#endif
