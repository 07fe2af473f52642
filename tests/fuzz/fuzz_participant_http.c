/* Fuzzes what participants over HTTP read: envelopes, patterns and URLs of targets, and what
 * participants answer. */
#include "fuzz.h"

#include "src/integration/participant/http/http.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The content is what would be written without a traceparent. */
static void check_content(const uint8_t *data, size_t size, const etx_http_branch *said) {
    etx_http_branch branch = *said;
    void *wanted;
    void *content = fuzz_alloc(size);
    size_t wanted_len, len = 0;
    branch.traceparent = NULL;
    fuzz_check(etx_http_branch_write(&branch, &wanted, &wanted_len, NULL, 0) == 0);
    fuzz_check(etx_http_content(data, size, content, &len) == 0);
    fuzz_check(len == wanted_len && memcmp(content, wanted, len) == 0);
    free(wanted);
    free(content);
}

/* What can be read is what would be written, byte for byte. */
static void check_envelope(const uint8_t *data, size_t size) {
    const char *room[ETX_HTTP_HEADERS_MAX];
    etx_http_branch branch = {.size = 0};
    void *again;
    size_t len;
    int rc = etx_http_branch_read(data, size, &branch, room, sizeof room);
    fuzz_check(rc == 0 || rc == ETX_EINVALID);
    if (rc != 0) {
        unsigned char *content = fuzz_alloc(size);
        (void)etx_http_content(data, size, content, &len); /* reads and writes no further */
        free(content);
        return;
    }
    fuzz_check(etx_http_branch_write(&branch, &again, &len, NULL, 0) == 0);
    fuzz_check(len == size && memcmp(again, data, size) == 0);
    if (branch.header_count > 0) {
        fuzz_check(etx_http_branch_read(data, size, &branch, room,
                                        (branch.header_count - 1) * sizeof *room) == ETX_EBUSY);
    }
    free(again);
    check_content(data, size, &branch);
}

/* "PATTERN\nURL": what is allowed has the pattern's scheme and port, and leads nowhere special. */
static void check_target(char *text) {
    char why[256] = "";
    etx__http_allow allow;
    etx__http_scheme scheme;
    net_url url;
    char *end = strchr(text, '\n');
    if (end == NULL) {
        return;
    }
    *end = '\0';
    const char *const pattern = text;
    int rc = etx__http_allow_read(&allow, &pattern, 1, why, sizeof why);
    fuzz_check(rc == 0 || (rc == ETX_EINVALID && why[0] != '\0'));
    if (rc != 0) {
        return;
    }
    const etx__http_pattern *one = &allow.pattern[0];
    rc = etx__http_url(end + 1, &url, &scheme, why, sizeof why);
    fuzz_check(rc == 0 || (rc == ETX_EINVALID && why[0] != '\0'));
    if (rc == 0 && etx__http_allow_url(&allow, &url, scheme, 0, why, sizeof why) == 0) {
        size_t ip_len = url.kind == NET_HOST_IP4 ? 4 : 16;
        fuzz_check(one->scheme == scheme && (one->port == 0 || one->port == url.port));
        fuzz_check(memchr(end + 1, '@', strcspn(end + 1 + 8, "/?#") + 8) == NULL);
        if (url.kind != NET_HOST_NAME) {
            etx__http_reach reach = etx__http_reach_of(url.ip, ip_len);
            fuzz_check(one->host == ETX__HTTP_NET && one->ip_len == ip_len);
            fuzz_check(reach != ETX__HTTP_NOWHERE);
            fuzz_check(reach != ETX__HTTP_SPECIAL || one->bits == ip_len * 8);
        }
    }
    free(allow.pattern);
}

/* Text of strangers is UTF-8 without control characters, and fits. */
static void check_tidy(const char *text, size_t len) {
    char to[64];
    etx__http_tidy(to, sizeof to, text, len);
    size_t out = strlen(to);
    fuzz_check(out < sizeof to);
    for (size_t i = 0; i < out; i++) {
        fuzz_check((unsigned char)to[i] >= ' ' && to[i] != 0x7f);
    }
    json_t *string = json_stringn(to, out); /* refuses what is not UTF-8 */
    fuzz_check(string != NULL);
    json_decref(string);
    uint32_t ms = etx__http_retry_after(text, len, 1700000000);
    fuzz_check(ms <= ETX__HTTP_RETRY_AFTER_MAX_MS && ms % 1000 == 0);
}

/* A body with results is JSON, whatever its parts are. */
static void check_body(const uint8_t *data, size_t size) {
    size_t half = size / 2;
    const etx__http_result results[] = {{"a\"\\", {data + half, size - half}}, {"b", {"", 0}}};
    const etx_http_branch branch = {.size = sizeof branch, .payload = {data, half}};
    etx__http_text body = {0};
    etx__http_body(&branch, 1, results, 2, &body);
    json_t *value =
        json_loadb(body.bytes, body.len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
    fuzz_check(value != NULL);
    json_decref(value);
    free(body.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    char *text = fuzz_alloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0] % 4) {
        case 0:
            check_envelope(data + 1, size - 1);
            break;
        case 1:
            check_target(text);
            break;
        case 2:
            check_tidy(text, size - 1);
            break;
        default:
            check_body(data + 1, size - 1);
    }
    free(text);
    return 0;
}
