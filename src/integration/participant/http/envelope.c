/* The envelope: what a branch over HTTP says, as the bytes of its payload.
 *
 *   byte 0     0x80 + the version, 1: no text begins so
 *   byte 1     flags: 1 forward URL, 2 commit URL, 4 undo URL, 8 content type, 16 traceparent,
 *              32 headers, 64 wants results
 *   then       what the flags announce, in that order; each text as its length (a varint), its
 *              bytes and a NUL; headers as their number (1 to 32) and that many texts
 *   the rest   the payload
 *
 * There is one way to write a branch: a varint is the shortest, a header is "Name: value". The
 * reader takes nothing else, so that whatever can be read is what the writer would write. */
#include "http.h"

#include <stdlib.h>
#include <string.h>

enum {
    VERSION = 0x81,
    HAS_FORWARD = 1,
    HAS_COMMIT = 2,
    HAS_UNDO = 4,
    HAS_TYPE = 8,
    HAS_TRACE = 16,
    HAS_HEADERS = 32,
    WANTS_RESULTS = 64,
    TYPE_MAX = 255,
    TEXT_MAX = 8192,
};

/* ---- what is right */

static const char *url_wrong(const char *url) {
    net_url parsed;
    const char *reason = NULL;
    return net_url_parse(url, strlen(url), &parsed, &reason) == 0 ? NULL : reason;
}

static const char *type_wrong(const char *type) {
    size_t len = strlen(type);
    for (size_t i = 0; i < len; i++) {
        if (type[i] < ' ' || type[i] > '~') {
            return "the content type has a character that none has";
        }
    }
    return len == 0 || len > TYPE_MAX || type[0] == ' ' || type[len - 1] == ' '
               ? "the content type is empty, too long, or has a space around it"
               : NULL;
}

static const char *urls_wrong(const etx_http_branch *branch) {
    const char *urls[] = {branch->forward_url, branch->commit_url, branch->undo_url};
    const char *wrong = NULL;
    for (size_t i = 0; i < 3 && wrong == NULL; i++) {
        wrong = urls[i] != NULL ? url_wrong(urls[i]) : NULL;
    }
    return wrong;
}

/* All but the URLs. */
static const char *rest_wrong(const etx_http_branch *branch) {
    const char *wrong = branch->content_type != NULL ? type_wrong(branch->content_type) : NULL;
    if (wrong == NULL && branch->traceparent != NULL &&
        !etx__http_is_traceparent(branch->traceparent)) {
        wrong = "the traceparent is not one of W3C's version 00";
    }
    if (wrong == NULL && branch->header_count > ETX_HTTP_HEADERS_MAX) {
        wrong = "there are too many headers";
    }
    for (size_t i = 0; i < branch->header_count && wrong == NULL; i++) {
        wrong = etx__http_field_wrong(branch->headers[i], 0);
    }
    if (wrong == NULL && branch->payload.data == NULL && branch->payload.len > 0) {
        wrong = "the payload is missing";
    }
    return wrong;
}

/* ---- writing */

static void add_number(etx__http_text *text, size_t number) {
    do {
        unsigned char byte = (unsigned char)(number & 0x7f);
        number >>= 7;
        byte = (unsigned char)(byte | (number > 0 ? 0x80 : 0));
        etx__http_add(text, &byte, 1);
    } while (number > 0);
}

static void add_string(etx__http_text *text, const char *string) {
    if (string != NULL) {
        size_t len = strlen(string);
        add_number(text, len);
        etx__http_add(text, string, len + 1);
    }
}

static void add_header(etx__http_text *text, const char *line) {
    const char *value;
    size_t name_len;
    size_t value_len;
    etx__http_field_split(line, &name_len, &value, &value_len);
    add_number(text, name_len + 2 + value_len);
    etx__http_add(text, line, name_len);
    etx__http_add(text, ": ", 2);
    etx__http_add(text, value, value_len);
    etx__http_add(text, "", 1);
}

static unsigned char flags_of(const etx_http_branch *branch) {
    return (unsigned char)((branch->forward_url != NULL ? HAS_FORWARD : 0) |
                           (branch->commit_url != NULL ? HAS_COMMIT : 0) |
                           (branch->undo_url != NULL ? HAS_UNDO : 0) |
                           (branch->content_type != NULL ? HAS_TYPE : 0) |
                           (branch->traceparent != NULL ? HAS_TRACE : 0) |
                           (branch->header_count > 0 ? HAS_HEADERS : 0) |
                           (branch->wants_results ? WANTS_RESULTS : 0));
}

int etx__http_branch_check(const etx_http_branch *branch, char *why, size_t size) {
    return branch != NULL && branch->size == sizeof *branch
               ? 0
               : etx__http_say(ETX_EINVALID, why, size, "etx_http_branch has another size");
}

int etx__http_envelope_write(const etx_http_branch *branch,
                             void **ret_bytes,
                             size_t *ret_len,
                             char *why,
                             size_t size) {
    const char *wrong = rest_wrong(branch);
    if (wrong != NULL) {
        return etx__http_say(ETX_EINVALID, why, size, "%s", wrong);
    }
    etx__http_text text = {0};
    const unsigned char begin[2] = {VERSION, flags_of(branch)};
    etx__http_add(&text, begin, 2);
    add_string(&text, branch->forward_url);
    add_string(&text, branch->commit_url);
    add_string(&text, branch->undo_url);
    add_string(&text, branch->content_type);
    add_string(&text, branch->traceparent);
    if (branch->header_count > 0) {
        add_number(&text, branch->header_count);
    }
    for (size_t i = 0; i < branch->header_count; i++) {
        add_header(&text, branch->headers[i]);
    }
    etx__http_add(&text, branch->payload.data, branch->payload.len);
    if (text.failed) {
        free(text.bytes);
        return etx__http_say(ETX_ENOMEM, why, size, "out of memory");
    }
    *ret_bytes = text.bytes;
    *ret_len = text.len;
    return 0;
}

int etx_http_branch_write(const etx_http_branch *branch,
                          void **ret_bytes,
                          size_t *ret_len,
                          char *why,
                          size_t size) {
    int rc = etx__http_branch_check(branch, why, size);
    if (rc != 0) {
        return rc;
    }
    const char *wrong = urls_wrong(branch);
    return wrong != NULL ? etx__http_say(ETX_EINVALID, why, size, "%s", wrong)
                         : etx__http_envelope_write(branch, ret_bytes, ret_len, why, size);
}

int etx_http_initiator_write(const char *url,
                             const char *const *headers,
                             size_t header_count,
                             const char *traceparent,
                             void **ret_bytes,
                             size_t *ret_len,
                             char *why,
                             size_t size) {
    const etx_http_branch branch = {.size = sizeof branch,
                                    .forward_url = url,
                                    .headers = headers,
                                    .header_count = header_count,
                                    .traceparent = traceparent};
    if (url == NULL) {
        return etx__http_say(ETX_EINVALID, why, size, "an initiator needs a URL");
    }
    return etx_http_branch_write(&branch, ret_bytes, ret_len, why, size);
}

/* ---- reading */

typedef struct reader {
    const unsigned char *at;
    size_t left;
    int wrong;
} reader;

static size_t read_number(reader *from) {
    size_t number = 0;
    for (unsigned shift = 0; shift <= 14 && from->left > 0; shift += 7) {
        unsigned char byte = *from->at++;
        from->left--;
        number |= (size_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            from->wrong |= byte == 0 && shift > 0; /* there is a shorter one */
            return number;
        }
    }
    from->wrong = 1;
    return 0;
}

static const char *read_string(reader *from, int there) {
    if (!there || from->wrong) {
        return NULL;
    }
    size_t len = read_number(from);
    if (from->wrong || len > TEXT_MAX || from->left < len + 1 || from->at[len] != '\0' ||
        memchr(from->at, '\0', len) != NULL) {
        from->wrong = 1;
        return NULL;
    }
    const char *string = (const char *)from->at;
    from->at += len + 1;
    from->left -= len + 1;
    return string;
}

static int read_headers(reader *from, etx_http_branch *branch, const char **room, size_t count) {
    branch->header_count = read_number(from);
    if (from->wrong || branch->header_count == 0 || branch->header_count > ETX_HTTP_HEADERS_MAX) {
        return ETX_EINVALID;
    }
    if (branch->header_count > count) {
        return ETX_EBUSY;
    }
    for (size_t i = 0; i < branch->header_count; i++) {
        room[i] = read_string(from, 1);
        if (room[i] == NULL || etx__http_field_wrong(room[i], 1) != NULL) {
            return ETX_EINVALID;
        }
    }
    branch->headers = room;
    return 0;
}

int etx_http_content(const void *bytes, size_t len, void *ret_content, size_t *ret_len) {
    const unsigned char *from = bytes;
    unsigned char *to = ret_content;
    if (len < 2 || from[0] != VERSION) {
        return ETX_EINVALID;
    }
    reader left = {from + 2, len - 2, 0};
    for (unsigned flag = HAS_FORWARD; flag < HAS_TRACE; flag <<= 1) {
        (void)read_string(&left, from[1] & flag);
    }
    size_t before = len - left.left;
    (void)read_string(&left, from[1] & HAS_TRACE);
    if (left.wrong) {
        return ETX_EINVALID;
    }
    memcpy(to, from, before);
    to[1] = (unsigned char)(to[1] & ~HAS_TRACE);
    if (left.left > 0) {
        memcpy(to + before, left.at, left.left);
    }
    *ret_len = before + left.left;
    return 0;
}

int etx__http_envelope_read(const void *bytes,
                            size_t len,
                            etx_http_branch *ret_branch,
                            void *room,
                            size_t room_size) {
    const unsigned char *from = bytes;
    if (len < 2 || from[0] != VERSION || (from[1] & 0x80)) {
        return ETX_EINVALID;
    }
    unsigned flags = from[1];
    reader left = {from + 2, len - 2, 0};
    etx_http_branch branch = {.size = sizeof branch, .wants_results = (flags & WANTS_RESULTS) != 0};
    branch.forward_url = read_string(&left, flags & HAS_FORWARD);
    branch.commit_url = read_string(&left, flags & HAS_COMMIT);
    branch.undo_url = read_string(&left, flags & HAS_UNDO);
    branch.content_type = read_string(&left, flags & HAS_TYPE);
    branch.traceparent = read_string(&left, flags & HAS_TRACE);
    if (flags & HAS_HEADERS && !left.wrong) {
        int rc = read_headers(&left, &branch, room, room != NULL ? room_size / sizeof(char *) : 0);
        if (rc == ETX_EBUSY) {
            ret_branch->header_count = branch.header_count;
        }
        if (rc != 0) {
            return rc;
        }
    }
    if (left.wrong || rest_wrong(&branch) != NULL) {
        return ETX_EINVALID;
    }
    branch.payload = (etx_bytes){left.left > 0 ? left.at : NULL, left.left};
    *ret_branch = branch;
    return 0;
}

int etx_http_branch_read(const void *bytes,
                         size_t len,
                         etx_http_branch *ret_branch,
                         void *room,
                         size_t room_size) {
    etx_http_branch branch = {0};
    int rc = etx__http_envelope_read(bytes, len, &branch, room, room_size);
    if (rc == ETX_EBUSY) {
        ret_branch->header_count = branch.header_count;
    }
    if (rc != 0) {
        return rc;
    }
    if (urls_wrong(&branch) != NULL) {
        return ETX_EINVALID;
    }
    *ret_branch = branch;
    return 0;
}
