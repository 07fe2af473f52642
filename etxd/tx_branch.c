/* One branch of a transaction, from JSON to what the engine keeps of it. */
#include <stdlib.h>
#include <string.h>

#include "tx.h"

enum { URL_MAX = 2046, FIELDS_MAX = 32, HEADERS_MAX = 32 };

static const etxd_kind kinds[] = {
    {ETX_TCC, "tcc", "http-tcc", {"try", "confirm", "cancel"}},
    {ETX_SAGA, "saga", "http-saga", {"action", NULL, "compensate"}},
    {ETX_XA, "xa", "http-xa", {"prepare", "commit", "rollback"}},
    {ETX_MESSAGE, "message", "http-message", {NULL, "deliver", NULL}},
    {ETX_NOTIFICATION, "notification", "http-notification", {NULL, "notify", NULL}},
    {ETX_TCC, NULL, NULL, {NULL, NULL, NULL}},
};

const etxd_kind *etxd_kinds(void) {
    return kinds;
}

/* What is gathered while a branch is read. */
typedef struct reading {
    etxd_exchange *x;
    const etxd_object *object;
    const etxd_kind *kind;
    etxd_span payload;
    int by_initiator;
    int results;
    const char *urls[3];
    char *built[3]; /* those of them that were made of `url` */
    char *headers[HEADERS_MAX];
    size_t header_count;
    unsigned char *decoded; /* of payload_base64 */
    etx_http_branch http;
} reading;

static int refuse_url(etxd_exchange *x,
                      const etxd_object *object,
                      const char *name,
                      int rc,
                      const char *why) {
    if (rc == ETX_EINVALID) {
        return etxd_json_refuse(object, name, "%s: %s", name, why);
    }
    (void)etxd_problem_set(&x->problem, ETXD_TARGET_NOT_ALLOWED_PROBLEM, "%s: %s", name, why);
    return etxd_json_point(object, name);
}

static int refuse_fragment(etxd_exchange *x, const etxd_object *object, const char *name) {
    (void)etxd_json_refuse(object, name, "%s: a URL that is called has no fragment", name);
    etxd_problem_hint(&x->problem, "leave out '#' and what follows: nobody would be told it");
    return -1;
}

int etxd_url_judge(etxd_exchange *x, const etxd_object *object, const char *name, const char *url) {
    char why[200] = "";
    int rc;
    if (strchr(url, '#') != NULL) {
        return refuse_fragment(x, object, name);
    }
    rc = etx_http_allowed(x->server->http, url, why, sizeof why);
    return rc == 0 ? 0 : refuse_url(x, object, name, rc, why);
}

int etxd_content_make(etxd_exchange *x,
                      const void *bytes,
                      size_t len,
                      void **ret_content,
                      size_t *ret_len) {
    *ret_len = 0;
    *ret_content = x->traceparent[0] != '\0' ? malloc(len) : NULL;
    if (x->traceparent[0] == '\0') {
        return 0;
    }
    return *ret_content != NULL && etx_http_content(bytes, len, *ret_content, ret_len) == 0
               ? 0
               : etxd_problem_set(&x->problem, ETXD_MEMORY_PROBLEM, "no memory");
}

/* ---- kind and fields */

static int read_kind(reading *r) {
    const char *names[8];
    int place = -1;
    size_t i;
    for (i = 0; kinds[i].name != NULL; i++) {
        names[i] = kinds[i].name;
    }
    names[i] = NULL;
    if (etxd_json_word(r->object, "kind", names, &place) != 0) {
        return -1;
    }
    if (place < 0) {
        return etxd_json_missing(r->object, "kind", "tcc, saga, xa, message or notification");
    }
    r->kind = &kinds[place];
    return 0;
}

static int check_fields(const reading *r, const char *extra) {
    static const char *const common[] = {"name",
                                         "kind",
                                         "url",
                                         "forward",
                                         "payload",
                                         "payload_base64",
                                         "content_type",
                                         "headers",
                                         "depends_on",
                                         "results",
                                         "independent",
                                         "attempts_max",
                                         "call_timeout_ms",
                                         "retry_first_ms",
                                         "retry_cap_ms"};
    const char *names[FIELDS_MAX];
    size_t count = 0;
    size_t i;
    for (i = 0; i < sizeof common / sizeof common[0]; i++) {
        names[count++] = common[i];
    }
    for (i = 0; i < 3; i++) {
        if (r->kind->operations[i] != NULL) {
            names[count++] = r->kind->operations[i];
        }
    }
    if (extra != NULL) {
        names[count++] = extra;
    }
    names[count] = NULL;
    return etxd_json_only(r->object, names);
}

static int read_who(reading *r) {
    static const char *const words[] = {"etx", "initiator", NULL};
    if (etxd_json_word(r->object, "forward", words, &r->by_initiator) != 0) {
        return -1;
    }
    if (r->by_initiator && r->kind->kind != ETX_TCC && r->kind->kind != ETX_XA) {
        return etxd_json_refuse(
            r->object, "forward", "only of tcc and xa the initiator can do the %s itself",
            r->kind->operations[0] != NULL ? r->kind->operations[0] : "forward operation");
    }
    return 0;
}

/* ---- URLs */

/* The base's path, a slash unless it ends with one, the operation's name, and the base's query. */
static int build_url(reading *r, size_t operation, const char *base) {
    const char *name = r->kind->operations[operation];
    size_t size = strlen(base) + strlen(name) + 2;
    size_t len = strcspn(base, "?");
    const char *host = strstr(base, "://");
    if (host != NULL && host + 3 >= base + len) { /* the name would be taken for one */
        return etxd_json_refuse(r->object, "url", "url: there is no host");
    }
    r->built[operation] = malloc(size);
    if (r->built[operation] == NULL) {
        return etxd_problem_set(&r->x->problem, ETXD_MEMORY_PROBLEM, "no memory");
    }
    snprintf(r->built[operation], size, "%.*s%s%s%s", (int)len, base,
             len > 0 && base[len - 1] == '/' ? "" : "/", name, base + len);
    r->urls[operation] = r->built[operation];
    return 0;
}

static int read_url(reading *r, size_t operation, const char *base) {
    const char *name = r->kind->operations[operation];
    int needed = operation != ETX_FORWARD || !r->by_initiator;
    if (name == NULL || etxd_json_text(r->object, name, &r->urls[operation]) != 0) {
        return name == NULL ? 0 : -1;
    }
    if (r->urls[operation] == NULL) {
        if (base == NULL || !needed) {
            return needed ? etxd_json_missing(r->object, name,
                                              "give its URL, or 'url' for all of them")
                          : 0;
        }
        if (build_url(r, operation, base) != 0) {
            return -1;
        }
        name = "url";
    }
    if (strlen(r->urls[operation]) > URL_MAX) {
        return etxd_json_refuse(r->object, name, "a URL has at most %d bytes", URL_MAX);
    }
    if (strchr(r->urls[operation], '#') != NULL) {
        return refuse_fragment(r->x, r->object, name);
    }
    return 0; /* write_bytes judges it */
}

static int read_urls(reading *r) {
    const char *base = NULL;
    size_t i;
    if (etxd_json_text(r->object, "url", &base) != 0) {
        return -1;
    }
    for (i = 0; i < 3; i++) {
        if (read_url(r, i, base) != 0) {
            return -1;
        }
    }
    if (base != NULL && r->built[0] == NULL && r->built[1] == NULL && r->built[2] == NULL &&
        etxd_url_judge(r->x, r->object, "url", base) != 0) {
        return -1; /* nothing is made of it, but it is wrong */
    }
    r->http.forward_url = r->urls[0];
    r->http.commit_url = r->urls[1];
    r->http.undo_url = r->urls[2];
    return 0;
}

/* ---- payload and headers */

static int read_base64(reading *r, const char *text) {
    size_t len = strlen(text);
    r->decoded = malloc(len + 1);
    if (r->decoded == NULL) {
        return etxd_problem_set(&r->x->problem, ETXD_MEMORY_PROBLEM, "no memory");
    }
    if (etxd_base64_decode(text, len, r->decoded, &r->http.payload.len) != 0) {
        return etxd_json_refuse(r->object, "payload_base64", "payload_base64 is not base64");
    }
    r->http.payload.data = r->decoded;
    return 0;
}

static int read_payload(reading *r) {
    const char *base64 = NULL;
    int has_json = etxd_json_member(r->object, "payload") != NULL;
    if (etxd_json_text(r->object, "payload_base64", &base64) != 0 ||
        etxd_json_text(r->object, "content_type", &r->http.content_type) != 0 ||
        etxd_json_flag(r->object, "results", &r->results) != 0) {
        return -1;
    }
    r->http.wants_results = (uint8_t)r->results;
    if (has_json && (base64 != NULL || r->http.content_type != NULL)) {
        return etxd_json_refuse(r->object, "payload",
                                "payload is JSON; payload_base64 and content_type are for others");
    }
    if (base64 != NULL) {
        return read_base64(r, base64);
    }
    if (!has_json) {
        return 0;
    }
    if (r->payload.bytes == NULL) {
        return etxd_json_refuse(r->object, "payload",
                                "write the names of fields without escapes: the payload is given "
                                "on byte for byte, and was not found");
    }
    r->http.payload = (etx_bytes){r->payload.bytes, r->payload.len};
    return 0;
}

static int read_headers(reading *r) {
    json_t *headers = etxd_json_member(r->object, "headers");
    const char *name;
    json_t *value;
    if (headers != NULL && !json_is_object(headers)) {
        return etxd_json_refuse(r->object, "headers", "headers must be an object: name to value");
    }
    json_object_foreach(headers, name, value) {
        size_t len = strlen(name) + json_string_length(value) + 3;
        if (!json_is_string(value) ||
            strlen(json_string_value(value)) != json_string_length(value)) {
            return etxd_json_refuse(r->object, "headers", "the value of a header must be a string");
        }
        if (strchr(name, ':') != NULL) {
            return etxd_json_refuse(r->object, "headers", "the name of a header has no colon");
        }
        if (r->header_count == HEADERS_MAX) {
            return etxd_json_refuse(r->object, "headers", "at most %d headers", HEADERS_MAX);
        }
        r->headers[r->header_count] = malloc(len);
        if (r->headers[r->header_count] == NULL) {
            return etxd_problem_set(&r->x->problem, ETXD_MEMORY_PROBLEM, "no memory");
        }
        snprintf(r->headers[r->header_count++], len, "%s: %s", name, json_string_value(value));
    }
    r->http.headers = (const char *const *)r->headers;
    r->http.header_count = r->header_count;
    return 0;
}

/* ---- the rest */

static int read_depends(const reading *r, etxd_leaf *leaf) {
    json_t *list = NULL;
    size_t i;
    if (etxd_json_list(r->object, "depends_on", &list) != 0 || list == NULL) {
        return list == NULL ? -(r->x->problem.code != ETXD_NO_PROBLEM) : 0;
    }
    leaf->depends_on = calloc(json_array_size(list) + 1, sizeof *leaf->depends_on);
    if (leaf->depends_on == NULL) {
        return etxd_problem_set(&r->x->problem, ETXD_MEMORY_PROBLEM, "no memory");
    }
    for (i = 0; i < json_array_size(list); i++) {
        if (etxd_json_item(r->object, "depends_on", list, i, &leaf->depends_on[i]) != 0) {
            return -1;
        }
    }
    leaf->branch.depends_on = leaf->depends_on;
    leaf->branch.depends_on_count = json_array_size(list);
    return 0;
}

static int read_numbers(const reading *r, etx_branch *branch) {
    const struct {
        const char *name;
        uint32_t *to;
    } numbers[] = {{"attempts_max", &branch->attempts_max},
                   {"call_timeout_ms", &branch->call_timeout_ms},
                   {"retry_first_ms", &branch->retry_first_ms},
                   {"retry_cap_ms", &branch->retry_cap_ms}};
    int independent = 0;
    size_t i;
    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uint64_t number = 0;
        if (etxd_json_number(r->object, numbers[i].name, 1, UINT32_MAX, &number) != 0) {
            return -1;
        }
        *numbers[i].to = (uint32_t)number;
    }
    if (etxd_json_flag(r->object, "independent", &independent) != 0) {
        return -1;
    }
    branch->independent = (uint8_t)independent;
    return 0;
}

/* The field that says a URL. */
static const char *field_of(const reading *r, const char *url) {
    size_t i;
    for (i = 0; i < 3; i++) {
        if (r->urls[i] == url) {
            return r->built[i] != NULL ? "url" : r->kind->operations[i];
        }
    }
    return "";
}

static int write_bytes(reading *r, etxd_leaf *leaf) {
    char why[200] = "";
    const char *url;
    size_t len = 0;
    int rc;
    r->http.size = sizeof r->http;
    r->http.traceparent = r->x->traceparent[0] != '\0' ? r->x->traceparent : NULL;
    rc = etx_http_branch_admit(r->x->server->http, &r->http, &url, &leaf->bytes, &len, why,
                               sizeof why);
    if (url != NULL) {
        return refuse_url(r->x, r->object, field_of(r, url), rc, why);
    }
    if (rc != 0) {
        return rc == ETX_EINVALID ? etxd_json_refuse(r->object, "", "%s", why)
                                  : etxd_fail(r->x, rc, why);
    }
    leaf->branch.payload = leaf->bytes;
    leaf->branch.payload_len = len;
    rc = etxd_content_make(r->x, leaf->bytes, len, &leaf->content, &leaf->branch.content_len);
    leaf->branch.content = leaf->content;
    return rc;
}

static int read_all(reading *r, const char *extra, etxd_leaf *leaf) {
    if (!json_is_object(r->object->json)) {
        (void)etxd_problem_set(&r->x->problem, ETXD_WRONG_TYPE_PROBLEM, "a branch is an object");
        return etxd_json_point(r->object, "");
    }
    leaf->branch = (etx_branch)ETX_BRANCH_INIT;
    if (read_kind(r) != 0 || check_fields(r, extra) != 0 || read_who(r) != 0 || read_urls(r) != 0 ||
        read_payload(r) != 0 || read_headers(r) != 0 ||
        etxd_json_text(r->object, "name", &leaf->branch.name) != 0 || read_depends(r, leaf) != 0 ||
        read_numbers(r, &leaf->branch) != 0) {
        return -1;
    }
    if (leaf->branch.name != NULL && etxd_is_dots(leaf->branch.name)) {
        return etxd_json_refuse(r->object, "name",
                                "'.' and '..' are no name here: clients take them out of a path");
    }
    if (leaf->branch.name != NULL &&
        etx_name_check(leaf->branch.name, strlen(leaf->branch.name)) != 0) {
        return etxd_json_refuse(r->object, "name",
                                "a name is 1 to %d printable characters without space",
                                ETX_NAME_MAX);
    }
    leaf->branch.participant = r->kind->participant;
    leaf->branch.kind = r->kind->kind;
    leaf->branch.flags =
        (r->by_initiator ? ETX_BY_INITIATOR : 0U) | (r->results ? ETX_WANTS_RESULTS : 0U);
    return write_bytes(r, leaf);
}

int etxd_leaf_read(etxd_exchange *x,
                   const etxd_object *object,
                   etxd_span payload,
                   const char *extra,
                   etxd_leaf *ret) {
    reading r = {.x = x, .object = object, .payload = payload};
    size_t i;
    int rc;
    *ret = (etxd_leaf){.bytes = NULL};
    rc = read_all(&r, extra, ret);
    while (r.header_count > 0) {
        free(r.headers[--r.header_count]);
    }
    for (i = 0; i < 3; i++) {
        free(r.built[i]);
    }
    free(r.decoded);
    return rc;
}

void etxd_leaf_free(etxd_leaf *leaf) {
    free(leaf->depends_on);
    free(leaf->bytes);
    free(leaf->content);
    *leaf = (etxd_leaf){.bytes = NULL};
}
