/* Signatures of calls: HTTP message signatures (RFC 9421) with hmac-sha256, over a digest of the
 * body (RFC 9530). */
#include "http.h"

#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_line(etx__http_text *base, const char *name, const char *value) {
    etx__http_add_text(base, "\"");
    etx__http_add_text(base, name);
    etx__http_add_text(base, "\": ");
    etx__http_add_text(base, value);
    etx__http_add_text(base, "\n");
}

static void add_target_uri(etx__http_text *base, const net_url *url) {
    char authority[NET_AUTHORITY_TEXT_MAX];
    size_t len = net_url_authority(url, authority, sizeof authority);
    etx__http_add_text(base, "\"@target-uri\": http");
    etx__http_add_text(base, url->tls ? "s://" : "://");
    etx__http_add(base, authority, len);
    etx__http_add_text(base, url->slash ? "/" : "");
    etx__http_add(base, url->target, url->target_len);
    etx__http_add_text(base, "\n");
}

static int digest_body(const EVP_MD *md, const etx__http_signed *what, etx__http_text *digest) {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    const void *body = what->body_len > 0 ? what->body : "";
    if (EVP_Digest(body, what->body_len, bytes, NULL, md, NULL) != 1) {
        return ETX_ENOMEM;
    }
    etx__http_add_text(digest, "sha-256=:");
    etx__http_add_base64(digest, bytes, ETX__HTTP_DIGEST);
    etx__http_add_text(digest, ":");
    return 0;
}

int etx__http_sign_base(const EVP_MD *md,
                        const void *key,
                        size_t key_len,
                        const etx__http_text *base,
                        etx__http_text *ret_signature) {
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    if (base->failed || HMAC(md, key, (int)key_len, (const unsigned char *)base->bytes, base->len,
                             mac, &mac_len) == NULL) {
        return ETX_ENOMEM;
    }
    etx__http_add_text(ret_signature, "sig=:");
    etx__http_add_base64(ret_signature, mac, mac_len);
    etx__http_add_text(ret_signature, ":");
    return ret_signature->failed ? ETX_ENOMEM : 0;
}

/* What is covered, and how: the same text in the header and at the base's end. */
static void write_params(const etx__http_config *config,
                         const etx__http_signed *what,
                         etx__http_text *params) {
    char created[32];
    snprintf(created, sizeof created, "%llu", (unsigned long long)what->created);
    etx__http_add_text(params, "(\"@method\" \"@target-uri\" \"content-digest\" \"etx-gid\" ");
    etx__http_add_text(params, what->branch != NULL ? "\"etx-branch\" " : "");
    etx__http_add_text(params, "\"etx-operation\" \"etx-begin\");created=");
    etx__http_add_text(params, created);
    etx__http_add_text(params, ";keyid=\"");
    etx__http_add_text(params, config->key_id);
    etx__http_add_text(params, "\";alg=\"hmac-sha256\"");
}

int etx__http_sign(const EVP_MD *md,
                   const etx__http_config *config,
                   const etx__http_signed *what,
                   etx__http_text *ret_digest,
                   etx__http_text *ret_input,
                   etx__http_text *ret_signature) {
    static const char label[] = "sig=";
    etx__http_text base = {0};
    if (digest_body(md, what, ret_digest) != 0) {
        return ETX_ENOMEM;
    }
    etx__http_add_text(ret_input, label);
    write_params(config, what, ret_input);
    if (ret_digest->failed || ret_input->failed) {
        return ETX_ENOMEM;
    }
    add_line(&base, "@method", what->method);
    add_target_uri(&base, what->url);
    add_line(&base, "content-digest", ret_digest->bytes);
    add_line(&base, "etx-gid", what->gid);
    if (what->branch != NULL) {
        add_line(&base, "etx-branch", what->branch);
    }
    add_line(&base, "etx-operation", what->operation);
    add_line(&base, "etx-begin", what->begin);
    etx__http_add_text(&base, "\"@signature-params\": ");
    etx__http_add_text(&base, ret_input->bytes + strlen(label));
    int rc = etx__http_sign_base(md, config->key, config->key_len, &base, ret_signature);
    free(base.bytes);
    return rc;
}
