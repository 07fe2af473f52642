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

/* To look the algorithm up and make a context takes as long as the digest. */
int etx__http_namer_open(etx__http_namer *namer,
                         const EVP_MD *md,
                         etx__http_named *places,
                         size_t count) {
    *namer = (etx__http_namer){.hash = EVP_MD_CTX_new(), .named = places, .count = count};
    return namer->hash != NULL && EVP_DigestInit_ex(namer->hash, md, NULL) == 1 ? 0 : ETX_ENOMEM;
}

void etx__http_namer_close(etx__http_namer *namer) {
    EVP_MD_CTX_free(namer->hash);
}

static int digest_of(EVP_MD_CTX *hash, const char *bytes, size_t len, unsigned char *ret_digest) {
    int good = EVP_DigestInit_ex(hash, NULL, NULL) == 1 &&
               EVP_DigestUpdate(hash, bytes, len) == 1 &&
               EVP_DigestFinal_ex(hash, ret_digest, NULL) == 1;
    return good ? 0 : ETX_ENOMEM;
}

int etx__http_name_call(const etx__http_namer *namer,
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
    return digest_of(namer->hash, all, len, ret_digest);
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

/* Gids that follow each other differ at their ends. */
static size_t hash_of(const char *gid, size_t len) {
    uint64_t end = 0;
    size_t count = len < sizeof end ? len : sizeof end;
    memcpy(&end, gid + len - count, count);
    return (size_t)(end * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

const char *etx__http_trace_of(etx__http_namer *namer, const char *gid) {
    unsigned char digest[ETX__HTTP_DIGEST];
    size_t len = strlen(gid);
    etx__http_named *named = &namer->named[hash_of(gid, len) % namer->count];
    if (len > 0 && strcmp(named->gid, gid) == 0) {
        return named->trace;
    }
    named->gid[0] = '\0';
    if (digest_of(namer->hash, gid, len, digest) != 0) {
        return NULL;
    }
    digest[0] |= 1; /* never zero */
    etx__http_hex(digest, 16, named->trace);
    if (len < sizeof named->gid) {
        memcpy(named->gid, gid, len + 1);
    }
    return named->trace;
}

int etx_http_trace(etx_http *http, const char *gid, char ret_trace[33]) {
    const char *trace = etx__http_trace_of(&http->namer, gid);
    if (trace == NULL) {
        return ETX_ENOMEM;
    }
    memcpy(ret_trace, trace, 33);
    return 0;
}

int etx__http_trace(etx__http_namer *namer,
                    const char *caller,
                    const char *gid,
                    const unsigned char digest[ETX__HTTP_DIGEST],
                    uint32_t attempt,
                    char ret_traceparent[56]) {
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
        const char *trace = etx__http_trace_of(namer, gid);
        if (trace == NULL) {
            return ETX_ENOMEM;
        }
        memcpy(ret_traceparent + 3, trace, 32);
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
    etx__http_namer namer;
    etx__http_named named = {"", ""};
    int rc = etx__http_namer_open(&namer, EVP_sha256(), &named, 1);
    if (rc == 0) {
        rc = etx__http_name_call(&namer, gid, branch, operation, digest);
    }
    if (rc == 0) {
        rc = etx__http_trace(&namer, caller, gid, digest, attempt, ret_traceparent);
    }
    etx__http_namer_close(&namer);
    return rc;
}
