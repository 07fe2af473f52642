/* Where values stand in JSON text. */
#include "json_text.h"

#include <string.h>

static const char *skip_space(const char *at) {
    return at + strspn(at, " \t\r\n");
}

/* Behind the string that begins there. */
static const char *skip_string(const char *at) {
    for (at++; *at != '\0' && *at != '"'; at++) {
        at += *at == '\\' && at[1] != '\0';
    }
    return *at == '"' ? at + 1 : at;
}

/* Behind the value that begins there. */
static const char *skip_value(const char *at) {
    int depth = 0;
    do {
        if (*at == '"') {
            at = skip_string(at);
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (depth > 0) {
            depth -= *at == '}' || *at == ']';
            at++;
        } else {
            at += strcspn(at, ",:]} \t\r\n");
        }
    } while (depth > 0 && *at != '\0');
    return at;
}

json_text etx__json_text(const char *text) {
    const char *at = skip_space(text);
    return (json_text){at, (size_t)(skip_value(at) - at)};
}

const char *etx__json_inside(json_text whole) {
    return whole.len > 0 ? skip_space(whole.at + 1) : "";
}

int etx__json_next(const char **at, json_text *ret_name, json_text *ret_value) {
    const char *end;
    *ret_name = (json_text){NULL, 0};
    *ret_value = etx__json_text(*at);
    end = skip_space(ret_value->at + ret_value->len);
    if (*end == ':') {
        *ret_name = *ret_value;
        *ret_value = etx__json_text(end + 1);
        end = skip_space(ret_value->at + ret_value->len);
    }
    *at = *end == ',' ? skip_space(end + 1) : end;
    return ret_value->len > 0;
}

json_text etx__json_member(json_text object, const char *name) {
    const char *at = etx__json_inside(object);
    size_t len = strlen(name);
    json_text its, value;
    while (etx__json_next(&at, &its, &value)) {
        if (its.len == len + 2 && strncmp(its.at + 1, name, len) == 0) {
            return value;
        }
    }
    return (json_text){NULL, 0};
}

json_text etx__json_item(json_text array, size_t i) {
    const char *at = etx__json_inside(array);
    json_text name, value;
    while (etx__json_next(&at, &name, &value)) {
        if (i-- == 0) {
            return value;
        }
    }
    return (json_text){NULL, 0};
}
