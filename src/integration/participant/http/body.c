/* The body of a call that wants results: {"payload": ..., "results": {...}}, in JSON.
 *
 * What is JSON stands there byte for byte, what is not in base64 under another name. */
#include "http.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

/* "application/json", "application/anything+json". */
static int says_json(const char *type) {
    if (type == NULL) {
        return 1;
    }
    size_t len = strcspn(type, "; ");
    return (len == 16 && strncasecmp(type, "application/json", 16) == 0) ||
           (len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0);
}

static int is_json(etx_bytes bytes) {
    json_t *value =
        bytes.len == 0
            ? NULL
            : json_loadb(bytes.data, bytes.len,
                         JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
    int sound = value != NULL;
    json_decref(value);
    return sound;
}

/* Names are printable ASCII: only two characters need an escape. */
static void add_name(etx__http_text *body, const char *name) {
    etx__http_add_text(body, "\"");
    for (; *name != '\0'; name++) {
        if (*name == '"' || *name == '\\') {
            etx__http_add_text(body, "\\");
        }
        etx__http_add(body, name, 1);
    }
    etx__http_add_text(body, "\"");
}

static void add_value(etx__http_text *body, const char *name, etx_bytes bytes, int json) {
    etx__http_add_text(body, "\"");
    etx__http_add_text(body, name);
    etx__http_add_text(body, json ? "\":" : "_base64\":\"");
    if (json) {
        etx__http_add(body, bytes.data, bytes.len);
    } else {
        etx__http_add_base64(body, bytes.data, bytes.len);
        etx__http_add_text(body, "\"");
    }
}

void etx__http_body(const etx_http_branch *branch,
                    int with_payload,
                    const etx__http_result *results,
                    uint32_t count,
                    etx__http_text *ret_body) {
    etx__http_add_text(ret_body, "{");
    if (with_payload) {
        int json = says_json(branch->content_type) && is_json(branch->payload);
        add_value(ret_body, "payload", branch->payload, json);
        etx__http_add_text(ret_body, ",");
    }
    etx__http_add_text(ret_body, "\"results\":{");
    for (uint32_t i = 0; i < count; i++) {
        etx_bytes bytes = results[i].bytes;
        etx__http_add_text(ret_body, i > 0 ? "," : "");
        add_name(ret_body, results[i].branch);
        etx__http_add_text(ret_body, ":{");
        if (bytes.len > 0) {
            add_value(ret_body, "result", bytes, is_json(bytes));
        }
        etx__http_add_text(ret_body, "}");
    }
    etx__http_add_text(ret_body, "}}");
}
