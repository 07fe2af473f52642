/* Headers that users give: which names are our own, and how a line must look. */
#include "http.h"

#include <string.h>
#include <strings.h>

enum { FIELD_MAX = 8192 };

/* What frames the message or the connection, and what ETX says itself. */
static int is_own(const char *name, size_t len) {
    static const char *const names[] = {"host",
                                        "content-length",
                                        "content-type",
                                        "transfer-encoding",
                                        "connection",
                                        "expect",
                                        "keep-alive",
                                        "te",
                                        "trailer",
                                        "upgrade",
                                        "traceparent",
                                        "idempotency-key",
                                        "proxy-connection",
                                        "content-digest",
                                        "signature",
                                        "signature-input",
                                        "accept-encoding"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == len && strncasecmp(names[i], name, len) == 0) {
            return 1;
        }
    }
    return len >= 4 && strncasecmp(name, "etx-", 4) == 0;
}

void etx__http_field_split(const char *line,
                           size_t *ret_name_len,
                           const char **ret_value,
                           size_t *ret_value_len) {
    const char *colon = strchr(line, ':');
    const char *value = colon + 1;
    size_t len;
    while (*value == ' ' || *value == '\t') {
        value++;
    }
    len = strlen(value);
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t')) {
        len--;
    }
    *ret_name_len = (size_t)(colon - line);
    *ret_value = value;
    *ret_value_len = len;
}

const char *etx__http_field_wrong(const char *line, int exact) {
    const char *value;
    size_t name_len;
    size_t value_len;
    if (line == NULL || strchr(line, ':') == NULL) {
        return "a header is \"Name: value\"";
    }
    size_t len = strlen(line);
    etx__http_field_split(line, &name_len, &value, &value_len);
    if (len > FIELD_MAX) {
        return "a header is too long";
    }
    if (!etx__http_is_token(line, name_len)) {
        return "a header's name has a character that none has";
    }
    if (is_own(line, name_len)) {
        return "a header of this name is ETX's own";
    }
    for (size_t i = 0; i < value_len; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return "a header's value has a control character";
        }
    }
    if (exact &&
        (line[name_len + 1] != ' ' || value != line + name_len + 2 || value_len != strlen(value))) {
        return "a header is not as it is kept";
    }
    return NULL;
}
