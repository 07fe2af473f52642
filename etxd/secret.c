/* Secrets: settings have references to files, so that no command line, environment or log has what
 * is in them. */
#include "secret.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECRET_MAX = 4096 };

static const char scheme[] = "file:";

int etxd_secret_is_reference(const char *text) {
    return strncmp(text, scheme, sizeof scheme - 1) == 0;
}

int etxd_secret_read(const char *name,
                     const char *reference,
                     char **ret_bytes,
                     size_t *ret_len,
                     char *message) {
    const char *path = reference + sizeof scheme - 1;
    char *bytes = malloc(SECRET_MAX + 1);
    char why[128] = "no memory";
    int fd = -1;
    ssize_t len = -1;
    if (bytes != NULL && etxd_file_open(path, SECRET_MAX, &fd, why, sizeof why) == 0) {
        len = read(fd, bytes, SECRET_MAX);
        snprintf(why, sizeof why, "%s", len == 0 ? "it is empty" : strerror(errno));
    }
    if (len <= 0) {
        snprintf(message, ETXD_MESSAGE_MAX, "%s %.200s: %s", name, path, why);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (len <= 0) {
        free(bytes);
        return -1;
    }
    bytes[len] = '\0';
    *ret_bytes = bytes;
    *ret_len = (size_t)len;
    return 0;
}

/* ---- headers */

static char *join(const char *name, size_t name_len, const char *value, size_t value_len) {
    size_t size = name_len + 2 + value_len + 1;
    char *line = malloc(size);
    if (line != NULL) {
        snprintf(line, size, "%.*s: %.*s", (int)name_len, name, (int)value_len, value);
    }
    return line;
}

/* A token of RFC 9110. */
size_t etxd_header_name(const char *text) {
    size_t len = 0;
    while (isalnum((unsigned char)text[len]) ||
           (text[len] != '\0' && strchr("!#$%&'*+-.^_`|~", text[len]) != NULL)) {
        len++;
    }
    return text[len] == ':' ? len : 0;
}

/* A value has no control characters. What is no name may be a part of a value, and is not shown. */
static int judge_header(const char *name, const char *line, size_t len, char *message) {
    const char *at;
    for (at = line + len; *at != '\0'; at++) {
        if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7f) {
            snprintf(message, ETXD_MESSAGE_MAX, "%s '%.*s': its value has a control character",
                     name, len < 100 ? (int)len : 100, line);
            return -1;
        }
    }
    return 0;
}

static int read_header(const char *name, const char *given, char **ret_line, char *message) {
    size_t len = etxd_header_name(given);
    const char *value = given + len + 1;
    char *bytes = NULL;
    size_t bytes_len = 0;
    if (len > 0) {
        value += strspn(value, " ");
    }
    if (len == 0 || *value == '\0') {
        snprintf(message, ETXD_MESSAGE_MAX, "%s: write NAME: VALUE, or NAME: file:FILE", name);
        return -1;
    }
    if (!etxd_secret_is_reference(value)) {
        *ret_line = join(given, len, value, strlen(value));
    } else if (etxd_secret_read(name, value, &bytes, &bytes_len, message) != 0) {
        return -1;
    } else {
        size_t line = strcspn(bytes, "\r\n");
        if (line + strspn(bytes + line, "\r\n") != bytes_len) {
            snprintf(message, ETXD_MESSAGE_MAX, "%s %.200s: it must be one line, the value", name,
                     value + sizeof scheme - 1);
            free(bytes);
            return -1;
        }
        *ret_line = join(given, len, bytes, line);
        free(bytes);
    }
    if (*ret_line == NULL) {
        snprintf(message, ETXD_MESSAGE_MAX, "%s: no memory", name);
        return -1;
    }
    if (judge_header(name, *ret_line, len, message) != 0) {
        free(*ret_line);
        *ret_line = NULL;
        return -1;
    }
    return 0;
}

int etxd_headers_read(const char *name,
                      const etxd_list *list,
                      etxd_headers *ret_headers,
                      char *message) {
    size_t i;
    *ret_headers = (etxd_headers){NULL, 0};
    if (list->count == 0) {
        return 0;
    }
    ret_headers->lines = calloc(list->count, sizeof *ret_headers->lines);
    if (ret_headers->lines == NULL) {
        snprintf(message, ETXD_MESSAGE_MAX, "%s: no memory", name);
        return -1;
    }
    for (i = 0; i < list->count; i++) {
        if (read_header(name, list->items[i], &ret_headers->lines[i], message) != 0) {
            return -1;
        }
        ret_headers->count++;
    }
    return 0;
}

void etxd_headers_free(etxd_headers *headers) {
    size_t i;
    for (i = 0; i < headers->count; i++) {
        free(headers->lines[i]);
    }
    free(headers->lines);
    *headers = (etxd_headers){NULL, 0};
}
