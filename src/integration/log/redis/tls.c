/* TLS over a link. OpenSSL reads from and writes to memory; the link carries that, so that its
 * limits of time hold and nothing raises a signal. */
#include "tls.h"

#include <arpa/inet.h>
#include <etx/types.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { PIECE = 16 << 10 };

/* What OpenSSL says of its last failure; it is forgotten then. */
static const char *reason(void) {
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return text ? text : "no reason is given";
}

/* Why a file is not taken. That the system does not let OpenSSL read it is told in the system's
 * words: OpenSSL's own last ones on it are "system lib". */
static void say_file(char *why, size_t size, const char *file) {
    unsigned long last = ERR_peek_last_error();
    unsigned long code;
    int number = 0;
    while ((code = ERR_get_error()) != 0)
        number = ERR_GET_LIB(code) == ERR_LIB_SYS ? ERR_GET_REASON(code) : number;
    const char *text = last ? ERR_reason_error_string(last) : NULL;
    if (number)
        snprintf(why, size, "cannot read %s: %s", file, strerror(number));
    else
        snprintf(why, size, "%s: %s", file, text ? text : "no reason is given");
}

static int read_files(SSL_CTX *tls, const etx__redis_tls_files *files, char *why, size_t size) {
    const char *bad = NULL;
    ERR_clear_error(); /* what is found there afterwards is of these files */
    if (files->authorities[0] ? SSL_CTX_load_verify_locations(tls, files->authorities, NULL) != 1
                              : SSL_CTX_set_default_verify_paths(tls) != 1)
        bad = files->authorities[0] ? files->authorities : "what the system trusts";
    else if (files->certificate[0] &&
             SSL_CTX_use_certificate_chain_file(tls, files->certificate) != 1)
        bad = files->certificate;
    else if (files->key[0] &&
             (SSL_CTX_use_PrivateKey_file(tls, files->key, SSL_FILETYPE_PEM) != 1 ||
              SSL_CTX_check_private_key(tls) != 1))
        bad = files->key;
    if (bad)
        say_file(why, size, bad);
    return bad ? ETX_EINVALID : 0;
}

int etx__redis_tls_make(const etx__redis_tls_files *files,
                        SSL_CTX **ret_tls,
                        char *why,
                        size_t size) {
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (!tls) {
        snprintf(why, size, "TLS cannot be used: %s", reason());
        return ETX_ENOMEM;
    }
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    int rc = read_files(tls, files, why, size);
    if (rc)
        SSL_CTX_free(tls);
    else
        *ret_tls = tls;
    return rc;
}

void etx__redis_tls_free(SSL_CTX *tls) {
    SSL_CTX_free(tls);
}

void etx__redis_tls_end(etx__redis_link *link) {
    SSL_free(link->tls);
    link->tls = NULL;
}

/* ---- what is carried */

/* Sends what OpenSSL has written. */
static int flush(etx__redis_link *link, uint64_t until) {
    char *bytes = NULL;
    BIO *written = SSL_get_wbio(link->tls);
    long len = BIO_get_mem_data(written, &bytes);
    int rc = len > 0 ? etx__redis_link_send_bare(link, bytes, (size_t)len, until) : 0;
    (void)BIO_reset(written);
    return rc;
}

/* Gives OpenSSL what has come; as etx__redis_link_receive. */
static ssize_t fetch(etx__redis_link *link, uint64_t until) {
    char piece[PIECE];
    ssize_t len = etx__redis_link_receive_bare(link, piece, sizeof piece, until);
    if (len > 0 && BIO_write(SSL_get_rbio(link->tls), piece, (int)len) != len)
        return 0;
    return len;
}

int etx__redis_tls_send(etx__redis_link *link, const char *data, size_t len, uint64_t until) {
    size_t taken = 0;
    if (SSL_write_ex(link->tls, data, len, &taken) != 1 || taken != len) {
        ERR_clear_error();
        return ETX_EUNAVAILABLE;
    }
    return flush(link, until);
}

ssize_t etx__redis_tls_receive(etx__redis_link *link, char *to, size_t size, uint64_t until) {
    size_t len = 0;
    while (SSL_read_ex(link->tls, to, size, &len) != 1) {
        int error = SSL_get_error(link->tls, 0);
        ERR_clear_error();
        if (error != SSL_ERROR_WANT_READ || flush(link, until) != 0)
            return 0;
        ssize_t some = fetch(link, until);
        if (some <= 0)
            return some;
    }
    return (ssize_t)len;
}

/* ---- beginning */

/* Demands that the certificate is this host's. */
static int demand(SSL *ssl, const char *host) {
    struct in6_addr address;
    if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static int failed(etx__redis_link *link, char *why, size_t size) {
    long verdict = SSL_get_verify_result(link->tls);
    if (verdict != X509_V_OK) {
        snprintf(why, size,
                 "the server's certificate is refused (%s): name ca_file=, and the host "
                 "that the certificate is for",
                 X509_verify_cert_error_string(verdict));
        ERR_clear_error();
        return ETX_EINVALID;
    }
    snprintf(why, size, "the server does not speak TLS as it should: %s", reason());
    return ETX_EUNAVAILABLE;
}

static int handshake(etx__redis_link *link, uint64_t until, char *why, size_t size) {
    for (;;) {
        int done = SSL_connect(link->tls);
        int error = SSL_get_error(link->tls, done);
        int unsent = flush(link, until); /* also what tells the server why it is refused */
        if (done != 1 && error != SSL_ERROR_WANT_READ)
            return failed(link, why, size);
        if (done == 1 && !unsent)
            return 0;
        if (unsent || fetch(link, until) <= 0) {
            snprintf(why, size, "the server does not go on with TLS: is that its port for TLS?");
            return ETX_EUNAVAILABLE;
        }
    }
}

int etx__redis_tls_begin(etx__redis_link *link,
                         SSL_CTX *tls,
                         const char *host,
                         uint64_t until,
                         char *why,
                         size_t size) {
    BIO *from = BIO_new(BIO_s_mem());
    BIO *to = BIO_new(BIO_s_mem());
    SSL *ssl = SSL_new(tls);
    if (!from || !to || !ssl || !demand(ssl, host)) {
        BIO_free(from);
        BIO_free(to);
        SSL_free(ssl);
        snprintf(why, size, "TLS cannot be begun: %s", reason());
        return ETX_ENOMEM;
    }
    SSL_set_bio(ssl, from, to);
    link->tls = ssl;
    return handshake(link, until, why, size);
}
