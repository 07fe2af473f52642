/* Reading JSON of a request, and saying what is wrong with it. */
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- refusing */

/* A name as RFC 6901 has it in a pointer. */
static void escape_name(const char *name, char *to, size_t size) {
    size_t at = 0;
    for (; *name != '\0' && at + 3 < size; name++) {
        if (*name == '~' || *name == '/') {
            to[at++] = '~';
            to[at++] = *name == '~' ? '0' : '1';
        } else {
            to[at++] = *name;
        }
    }
    to[at] = '\0';
}

/* A place in an array, if it is one. */
static const char *write_place(size_t place, char *to, size_t size) {
    to[0] = '\0';
    if (place != SIZE_MAX) {
        snprintf(to, size, "/%zu", place);
    }
    return to;
}

static int point(const etxd_object *object, const char *name, size_t item) {
    char escaped[160], first[24], last[24];
    escape_name(name, escaped, sizeof escaped);
    etxd_problem_point(object->problem, "%s%s%s%s%s", object->within,
                       write_place(object->place, first, sizeof first), name[0] != '\0' ? "/" : "",
                       escaped, write_place(item, last, sizeof last));
    return -1;
}

int etxd_json_point(const etxd_object *object, const char *name) {
    return point(object, name, SIZE_MAX);
}

int etxd_json_refuse(const etxd_object *object, const char *name, const char *format, ...) {
    char detail[300];
    va_list list;
    va_start(list, format);
    vsnprintf(detail, sizeof detail, format, list);
    va_end(list);
    (void)etxd_problem_set(object->problem, ETXD_BAD_VALUE_PROBLEM, "%s", detail);
    return etxd_json_point(object, name);
}

int etxd_json_missing(const etxd_object *object, const char *name, const char *why) {
    (void)etxd_problem_set(object->problem, ETXD_MISSING_PROBLEM, "%s is missing%s%s", name,
                           why[0] != '\0' ? ": " : "", why);
    return etxd_json_point(object, name);
}

static const char *type_name(const json_t *value) {
    switch (json_typeof(value)) {
        case JSON_OBJECT:
            return "an object";
        case JSON_ARRAY:
            return "an array";
        case JSON_STRING:
            return "a string";
        case JSON_INTEGER:
            return "a whole number";
        case JSON_REAL:
            return "a number with a fraction";
        case JSON_TRUE:
        case JSON_FALSE:
            return "true or false";
        case JSON_NULL:
            return "null";
    }
    return "?";
}

static int wrong_type(const etxd_object *o,
                      const char *name,
                      const json_t *have,
                      const char *want) {
    (void)etxd_problem_set(o->problem, ETXD_WRONG_TYPE_PROBLEM, "%s must be %s, and is %s",
                           name[0] != '\0' ? name : "the body", want, type_name(have));
    return etxd_json_point(o, name);
}

/* ---- fields */

static int is_same(const char *one, const char *other) {
    return one[0] == other[0] && strcmp(one, other) == 0;
}

void etxd_json_open(etxd_object *object,
                    json_t *json,
                    const char *within,
                    size_t place,
                    etxd_problem *problem) {
    void *at = json_object_size(json) <= ETXD_MEMBERS_MAX ? json_object_iter(json) : NULL;
    object->json = json;
    object->within = within;
    object->place = place;
    object->problem = problem;
    for (object->count = 0; at != NULL; at = json_object_iter_next(json, at)) {
        object->members[object->count++] =
            (etxd_member){json_object_iter_key(at), json_object_iter_value(at)};
    }
}

json_t *etxd_json_member(const etxd_object *object, const char *name) {
    size_t i;
    for (i = 0; i < object->count; i++) {
        if (is_same(object->members[i].name, name)) {
            return object->members[i].value;
        }
    }
    return object->count == 0 ? json_object_get(object->json, name) : NULL;
}

int etxd_json_only(const etxd_object *object, const char *const *names) {
    void *at = json_object_iter(object->json);
    for (; at != NULL; at = json_object_iter_next(object->json, at)) {
        const char *name = json_object_iter_key(at);
        size_t i = 0;
        const char *near;
        while (names[i] != NULL && !is_same(names[i], name)) {
            i++;
        }
        if (names[i] != NULL) {
            continue;
        }
        near = etxd_nearest(name, names);
        (void)etxd_problem_set(object->problem, ETXD_UNKNOWN_FIELD_PROBLEM,
                               "'%.100s' is no field%s%s%s", name,
                               near != NULL ? ": did you mean '" : "", near != NULL ? near : "",
                               near != NULL ? "'?" : "");
        return etxd_json_point(object, name);
    }
    return 0;
}

int etxd_json_text(const etxd_object *object, const char *name, const char **ret) {
    const json_t *value = etxd_json_member(object, name);
    if (value == NULL) {
        return 0;
    }
    if (!json_is_string(value)) {
        return wrong_type(object, name, value, "a string");
    }
    if (strlen(json_string_value(value)) != json_string_length(value)) {
        return etxd_json_refuse(object, name, "%s must not hold a NUL", name);
    }
    *ret = json_string_value(value);
    return 0;
}

/* A whole number may be written as 1898.0 or 1e3, as JSON Schema has it. Beyond 2^53 such a number
 * does not say which one it is. */
static int whole_of(const json_t *value, json_int_t *ret) {
    const double most = 9007199254740992.0;
    double real = json_real_value(value);
    if (json_is_integer(value)) {
        *ret = json_integer_value(value);
        return 0;
    }
    if (!json_is_real(value) || real < -most || real > most || (double)(json_int_t)real != real) {
        return -1;
    }
    *ret = (json_int_t)real;
    return 0;
}

int etxd_json_number(const etxd_object *object,
                     const char *name,
                     uint64_t least,
                     uint64_t most,
                     uint64_t *ret) {
    const json_t *value = etxd_json_member(object, name);
    json_int_t number = 0;
    if (value == NULL) {
        return 0;
    }
    if (whole_of(value, &number) != 0) {
        return wrong_type(object, name, value, "a whole number");
    }
    if (number < 0 || (uint64_t)number < least || (uint64_t)number > most) {
        return etxd_json_refuse(object, name, "%s must be from %llu to %llu", name,
                                (unsigned long long)least, (unsigned long long)most);
    }
    *ret = (uint64_t)number;
    return 0;
}

int etxd_json_flag(const etxd_object *object, const char *name, int *ret) {
    const json_t *value = etxd_json_member(object, name);
    if (value == NULL) {
        return 0;
    }
    if (!json_is_boolean(value)) {
        return wrong_type(object, name, value, "true or false");
    }
    *ret = json_is_true(value);
    return 0;
}

static int refuse_word(const etxd_object *object,
                       const char *name,
                       const char *text,
                       const char *const *words) {
    char all[200] = "";
    size_t at = 0;
    int i;
    for (i = 0; words[i] != NULL && at < sizeof all; i++) {
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    return etxd_json_refuse(object, name, "'%.60s' is none of %s", text, all);
}

int etxd_json_word(const etxd_object *object,
                   const char *name,
                   const char *const *words,
                   int *ret) {
    const char *text = NULL;
    int i;
    if (etxd_json_text(object, name, &text) != 0) {
        return -1;
    }
    if (text == NULL) {
        return 0;
    }
    for (i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0) {
            *ret = i;
            return 0;
        }
    }
    return refuse_word(object, name, text, words);
}

int etxd_json_list(const etxd_object *object, const char *name, json_t **ret) {
    json_t *value = etxd_json_member(object, name);
    if (value != NULL && !json_is_array(value)) {
        return wrong_type(object, name, value, "an array");
    }
    *ret = value != NULL ? value : *ret;
    return 0;
}

int etxd_json_item(const etxd_object *object,
                   const char *name,
                   json_t *list,
                   size_t i,
                   const char **ret) {
    const json_t *item = json_array_get(list, i);
    if (!json_is_string(item) || strlen(json_string_value(item)) != json_string_length(item)) {
        (void)etxd_problem_set(object->problem, ETXD_WRONG_TYPE_PROBLEM,
                               "each of %s must be a string", name);
        return point(object, name, i);
    }
    *ret = json_string_value(item);
    return 0;
}

/* ---- the body */

/* Nothing is decoded here: bytes that are packed are no JSON. */
static int refuse_coding(etxd_exchange *x) {
    static const char plain[] = "identity";
    net_text coding = net_request_header(x->request, "content-encoding");
    if (coding.len == 0 ||
        (coding.len == sizeof plain - 1 && strncasecmp(coding.bytes, plain, coding.len) == 0)) {
        return 0;
    }
    (void)etxd_problem_set(&x->problem, ETXD_MEDIA_TYPE_PROBLEM,
                           "Content-Encoding is '%.*s', and nothing is decoded here",
                           (int)(coding.len < 100 ? coding.len : 100), coding.bytes);
    etxd_problem_hint(&x->problem, "send the body as it is, without Content-Encoding");
    return -1;
}

static int demand_media_type(etxd_exchange *x) {
    static const char json[] = "application/json";
    net_text type = net_request_header(x->request, "content-type");
    size_t len = sizeof json - 1;
    if (type.len >= len && strncasecmp(type.bytes, json, len) == 0 &&
        (type.len == len || type.bytes[len] == ';' || type.bytes[len] == ' ')) {
        return 0;
    }
    return etxd_problem_set(&x->problem, ETXD_MEDIA_TYPE_PROBLEM, "Content-Type is '%.*s'",
                            (int)(type.len < 100 ? type.len : 100), type.len > 0 ? type.bytes : "");
}

/* Nothing is nested deeper than it has brackets, and most of what comes has few. */
static int is_too_deep(net_text body, uint64_t depth) {
    size_t count = 0;
    size_t i;
    for (i = 0; i < body.len; i++) {
        count += (body.bytes[i] == '{') | (body.bytes[i] == '[');
    }
    return count > depth && etxd_json_depth(body.bytes, body.len) > depth;
}

static json_t *load(net_text body, etxd_object *ret, json_error_t *error) {
    json_t *json;
    ret->piece = etxd_scratch_begin(ret->scratch);
    json = json_loadb(body.len > 0 ? body.bytes : "", body.len,
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, error);
    ret->whole = etxd_scratch_end(ret->scratch) && ret->piece >= 0;
    if (json == NULL) {
        etxd_scratch_release(ret->scratch, ret->piece);
    }
    return json;
}

/* A payload's numbers are nobody's business here: what is too large for jansson is looked at
 * without them. */
static json_t *load_large(net_text body, etxd_object *ret, json_error_t *error) {
    json_t *json = load(body, ret, error);
    char *copy;
    if (json != NULL || json_error_code(error) != json_error_numeric_overflow) {
        return json;
    }
    copy = malloc(body.len);
    if (copy != NULL) {
        memcpy(copy, body.bytes, body.len);
        etxd_json_without_large(copy, body.len);
        json = load((net_text){copy, body.len}, ret, error);
        free(copy);
    }
    return json;
}

void etxd_json_free(etxd_object *body) {
    if (body->json != NULL && !body->whole) {
        json_decref(body->json);
    }
    if (body->json != NULL) {
        etxd_scratch_release(body->scratch, body->piece);
    }
    body->json = NULL;
}

int etxd_json_read(etxd_exchange *x, const char *const *names, etxd_object *ret) {
    net_text body = net_request_body(x->request);
    json_t *json;
    json_error_t error;
    if (refuse_coding(x) != 0 || demand_media_type(x) != 0) {
        return -1;
    }
    if (is_too_deep(body, x->server->config.depth)) {
        return etxd_problem_set(&x->problem, ETXD_TOO_DEEP_PROBLEM,
                                "objects and arrays may be nested %llu deep",
                                (unsigned long long)x->server->config.depth);
    }
    if (body.len > 0 && memchr(body.bytes, 0, body.len) != NULL) { /* jansson passes over some */
        return etxd_problem_set(&x->problem, ETXD_BAD_JSON_PROBLEM, "a byte of it is NUL");
    }
    ret->scratch = x->server->scratch;
    json = load_large(body, ret, &error);
    if (json == NULL) {
        return etxd_problem_set(&x->problem, ETXD_BAD_JSON_PROBLEM, "line %d, byte %d: %s",
                                error.line, error.position, error.text);
    }
    etxd_json_open(ret, json, "", SIZE_MAX, &x->problem);
    if (!json_is_object(json)) {
        (void)wrong_type(ret, "", json, "an object");
    } else if (names == NULL || etxd_json_only(ret, names) == 0) {
        return 0;
    }
    etxd_json_free(ret);
    return -1;
}
