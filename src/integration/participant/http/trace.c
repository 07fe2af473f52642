/* What names a call: the idempotency key, and the trace and span of W3C's traceparent. */
#include "http.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

void etx__http_hex(const unsigned char *bytes, size_t len, char *ret_text) {
    for (size_t i = 0; i < len; i++) {
        ret_text[i * 2] = digits[bytes[i] >> 4];
        ret_text[i * 2 + 1] = digits[bytes[i] & 15];
    }
    ret_text[len * 2] = '\0';
}

int etx__http_name_call(const EVP_MD *md,
                        const char *gid,
                        const char *branch,
                        const char *operation,
                        unsigned char ret_digest[ETX__HTTP_DIGEST]) {
    const char *parts[] = {gid, branch, operation};
    char all[ETX_GID_MAX + ETX_NAME_MAX + 32];
    size_t len = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t part = strlen(parts[i]) + 1; /* with its NUL: no name has one */
        if (part > sizeof all - len) {
            return ETX_EINVALID;
        }
        memcpy(all + len, parts[i], part);
        len += part;
    }
    return EVP_Digest(all, len, ret_digest, NULL, md, NULL) == 1 ? 0 : ETX_ENOMEM;
}

static int is_hex(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\0' || strchr(digits, text[i]) == NULL) {
            return 0;
        }
    }
    return 1;
}

int etx__http_is_traceparent(const char *text) {
    static const char zeros[] = "00000000000000000000000000000000";
    return strlen(text) == 55 && strncmp(text, "00-", 3) == 0 && is_hex(text + 3, 32) &&
           text[35] == '-' && is_hex(text + 36, 16) && text[52] == '-' && is_hex(text + 53, 2) &&
           strncmp(text + 3, zeros, 32) != 0 && strncmp(text + 36, zeros, 16) != 0;
}

int etx__http_trace(const EVP_MD *md,
                    const char *caller,
                    const char *gid,
                    const unsigned char digest[ETX__HTTP_DIGEST],
                    uint32_t attempt,
                    char ret_traceparent[56]) {
    unsigned char trace[ETX__HTTP_DIGEST];
    unsigned char span[8];
    memcpy(span, digest + 16, 8);
    for (size_t i = 0; i < 4; i++) {
        span[4 + i] = (unsigned char)(span[4 + i] ^ attempt >> (24 - 8 * i));
    }
    span[0] |= 1; /* never zero */
    memcpy(ret_traceparent, "00-", 3);
    if (caller != NULL && etx__http_is_traceparent(caller)) {
        memcpy(ret_traceparent + 3, caller + 3, 33);
        memcpy(ret_traceparent + 52, caller + 52, 4);
    } else {
        if (EVP_Digest(gid, strlen(gid), trace, NULL, md, NULL) != 1) {
            return ETX_ENOMEM;
        }
        trace[0] |= 1;
        etx__http_hex(trace, 16, ret_traceparent + 3);
        ret_traceparent[35] = '-';
        memcpy(ret_traceparent + 52, "-01", 4);
    }
    char after = ret_traceparent[52];
    etx__http_hex(span, 8, ret_traceparent + 36);
    ret_traceparent[52] = after;
    return 0;
}

int etx_http_traceparent(const char *caller,
                         const char *gid,
                         const char *branch,
                         const char *operation,
                         uint32_t attempt,
                         char ret_traceparent[56]) {
    unsigned char digest[ETX__HTTP_DIGEST];
    if (gid == NULL || branch == NULL || operation == NULL) {
        return ETX_EINVALID;
    }
    int rc = etx__http_name_call(EVP_sha256(), gid, branch, operation, digest);
    return rc != 0 ? rc
                   : etx__http_trace(EVP_sha256(), caller, gid, digest, attempt, ret_traceparent);
}
