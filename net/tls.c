/* Contexts of OpenSSL, and a BIO of our own: writing to a socket whose peer is gone must not raise
 * a signal, and what the system took is counted, so that "nothing was sent" can be said. */
#include "tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "transport.h"

struct net_tls {
    _Atomic int holds;
    int server;
    net_tls_options options; /* strings are its own */
    BIO_METHOD *method;
    pthread_mutex_t lock; /* over `context` */
    SSL_CTX *context;
};

/* ---- the BIO */

static int bio_write(BIO *bio, const char *bytes, size_t len, size_t *ret_written) {
    net__transport *transport = BIO_get_data(bio);
    ssize_t rc;
    do {
        rc = send(transport->fd, bytes, len, MSG_NOSIGNAL);
    } while (rc < 0 && errno == EINTR);
    BIO_clear_retry_flags(bio);
    if (rc < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            BIO_set_retry_write(bio);
        }
        return 0;
    }
    transport->accepted += (uint64_t)rc;
    *ret_written = (size_t)rc;
    return 1;
}

static int bio_read(BIO *bio, char *bytes, size_t size, size_t *ret_read) {
    net__transport *transport = BIO_get_data(bio);
    ssize_t rc;
    do {
        rc = recv(transport->fd, bytes, size, 0);
    } while (rc < 0 && errno == EINTR);
    BIO_clear_retry_flags(bio);
    if (rc <= 0) {
        if (rc < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            BIO_set_retry_read(bio);
        } else if (rc == 0) {
            BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
        }
        return 0;
    }
    *ret_read = (size_t)rc;
    return 1;
}

static long bio_control(BIO *bio, int what, long number, void *pointer) {
    (void)number;
    (void)pointer;
    if (what == BIO_CTRL_EOF) {
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    }
    return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *make_method(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "net");
    if (method != NULL && BIO_meth_set_write_ex(method, bio_write) &&
        BIO_meth_set_read_ex(method, bio_read) && BIO_meth_set_ctrl(method, bio_control)) {
        return method;
    }
    BIO_meth_free(method);
    return NULL;
}

/* ---- the context */

/* Why the system did not let OpenSSL read a file; 0: it is something else that failed. OpenSSL's
 * own last words on it are "system lib". */
static int take_errno(void) {
    unsigned long code;
    int number = 0;
    while ((code = ERR_get_error()) != 0) {
        number = ERR_GET_LIB(code) == ERR_LIB_SYS ? ERR_GET_REASON(code) : number;
    }
    return number;
}

static int fail(char *message, const char *what, const char *file) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    int number = take_errno();
    if (message != NULL && file != NULL && number != 0) {
        snprintf(message, NET_TLS_MESSAGE_MAX, "cannot read the %s %s: %s", what, file,
                 strerror(number));
    } else if (message != NULL) {
        snprintf(message, NET_TLS_MESSAGE_MAX, "%s %s: %s", what, file != NULL ? file : "",
                 reason != NULL ? reason : "not readable");
    }
    return NET_ETLS;
}

static int select_protocol(SSL *ssl,
                           const unsigned char **out,
                           unsigned char *out_len,
                           const unsigned char *in,
                           unsigned in_len,
                           void *user) {
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl;
    (void)user;
    for (unsigned at = 0; at < in_len; at += in[at] + 1U) {
        if (in_len - at >= 9 && memcmp(in + at, ours, 9) == 0) {
            *out = in + at + 1;
            *out_len = 8;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int load_files(SSL_CTX *context, const net_tls_options *options, char *message) {
    ERR_clear_error(); /* what is found there afterwards is of these files */
    if (options->certificate != NULL) {
        if (SSL_CTX_use_certificate_chain_file(context, options->certificate) != 1) {
            return fail(message, "certificate", options->certificate);
        }
        if (SSL_CTX_use_PrivateKey_file(context, options->key, SSL_FILETYPE_PEM) != 1 ||
            SSL_CTX_check_private_key(context) != 1) {
            return fail(message, "key", options->key);
        }
    }
    if (options->authorities != NULL) {
        if (SSL_CTX_load_verify_file(context, options->authorities) != 1) {
            return fail(message, "authorities", options->authorities);
        }
        if (options->server) {
            STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(options->authorities);
            if (names == NULL) {
                return fail(message, "authorities", options->authorities);
            }
            SSL_CTX_set_client_CA_list(context, names);
        }
    } else if (!options->server && SSL_CTX_set_default_verify_paths(context) != 1) {
        return fail(message, "authorities of the system", NULL);
    }
    return 0;
}

static void set_verification(SSL_CTX *context, const net_tls_options *options) {
    int mode = SSL_VERIFY_NONE;
    if (!options->server) {
        mode = options->trust_anyone ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
    } else if (options->clients != NET_TLS_CLIENTS_UNASKED) {
        mode = SSL_VERIFY_PEER;
        if (options->clients == NET_TLS_CLIENTS_REQUIRED) {
            mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        }
    }
    SSL_CTX_set_verify(context, mode, NULL);
}

static int make_context(const net_tls_options *options, char *message, SSL_CTX **ret_context) {
    static const unsigned char protocols[] = "\x08http/1.1";
    SSL_CTX *context = SSL_CTX_new(options->server ? TLS_server_method() : TLS_client_method());
    if (context == NULL) {
        ERR_clear_error();
        return NET_ENOMEM;
    }
    SSL_CTX_set_min_proto_version(context, options->newest_only ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(
        context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    /* the key and certificates are files: nobody is asked for a password */
    SSL_CTX_set_default_passwd_cb_userdata(context, (void *)"");
    if (options->server) {
        SSL_CTX_set_session_id_context(context, (const unsigned char *)"net", 3);
        SSL_CTX_set_alpn_select_cb(context, select_protocol, NULL);
    } else {
        SSL_CTX_set_alpn_protos(context, protocols, sizeof protocols - 1);
    }
    set_verification(context, options);
    int rc = load_files(context, options, message);
    if (rc != 0) {
        SSL_CTX_free(context);
        return rc;
    }
    *ret_context = context;
    return 0;
}

/* ---- net_tls */

static int check_options(const net_tls_options *options, char *message) {
    const char *wrong = NULL;
    if (options->size != sizeof *options) {
        wrong = "the options' size is wrong";
    } else if ((options->certificate == NULL) != (options->key == NULL)) {
        wrong = "a certificate needs a key, and a key a certificate";
    } else if (options->server && options->certificate == NULL) {
        wrong = "a server needs a certificate";
    } else if (options->server && options->clients != NET_TLS_CLIENTS_UNASKED &&
               options->authorities == NULL) {
        wrong = "clients' certificates are asked for, but no authorities named";
    }
    if (wrong != NULL && message != NULL) {
        snprintf(message, NET_TLS_MESSAGE_MAX, "%s", wrong);
    }
    return wrong == NULL ? 0 : NET_EINVALID;
}

static int copy_text(const char **text) {
    if (*text == NULL) {
        return 0;
    }
    *text = strdup(*text);
    return *text == NULL ? NET_ENOMEM : 0;
}

static void free_tls(net_tls *tls) {
    free((char *)tls->options.certificate);
    free((char *)tls->options.key);
    free((char *)tls->options.authorities);
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->method);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

int net_tls_create(const net_tls_options *options, char *message, net_tls **ret_tls) {
    if (message != NULL) {
        message[0] = '\0';
    }
    int rc = check_options(options, message);
    if (rc != 0) {
        return rc;
    }
    net_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        return NET_ENOMEM;
    }
    pthread_mutex_init(&tls->lock, NULL);
    atomic_init(&tls->holds, 1);
    tls->server = options->server;
    tls->options = *options;
    tls->method = make_method();
    /* all of them, also if one fails: none may be left the caller's */
    rc = copy_text(&tls->options.certificate);
    rc = copy_text(&tls->options.key) != 0 ? NET_ENOMEM : rc;
    rc = copy_text(&tls->options.authorities) != 0 ? NET_ENOMEM : rc;
    if (rc == 0) {
        rc = tls->method == NULL ? NET_ENOMEM : make_context(options, message, &tls->context);
    }
    if (rc != 0) {
        free_tls(tls);
        return rc;
    }
    *ret_tls = tls;
    return 0;
}

static void exchange(const char **ours, const char **theirs) {
    const char *kept = *ours;
    *ours = *theirs;
    *theirs = kept;
}

void net_tls_take(net_tls *tls, net_tls *from) {
    pthread_mutex_lock(&tls->lock);
    SSL_CTX *old = tls->context;
    tls->context = from->context;
    pthread_mutex_unlock(&tls->lock);
    from->context = old;
    exchange(&tls->options.certificate, &from->options.certificate);
    exchange(&tls->options.key, &from->options.key);
    exchange(&tls->options.authorities, &from->options.authorities);
    tls->options.clients = from->options.clients;
    net_tls_free(from);
}

int net_tls_reload(net_tls *tls, char *message) {
    net_tls *fresh;
    int rc = net_tls_create(&tls->options, message, &fresh);
    if (rc == 0) {
        net_tls_take(tls, fresh);
    }
    return rc;
}

net_tls *net__tls_hold(net_tls *tls) {
    if (tls != NULL) {
        atomic_fetch_add(&tls->holds, 1);
    }
    return tls;
}

void net_tls_free(net_tls *tls) {
    if (tls != NULL && atomic_fetch_sub(&tls->holds, 1) == 1) {
        free_tls(tls);
    }
}

int net__tls_is_server(const net_tls *tls) {
    return tls->server;
}

static int name_peer(SSL *ssl, const net_tls *tls, const char *host, int name) {
    X509_VERIFY_PARAM *checks = SSL_get0_param(ssl);
    if (name && SSL_set_tlsext_host_name(ssl, host) != 1) {
        return -1;
    }
    if (tls->options.trust_anyone) {
        return 0;
    }
    X509_VERIFY_PARAM_set_hostflags(checks, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    int rc = name ? X509_VERIFY_PARAM_set1_host(checks, host, 0)
                  : X509_VERIFY_PARAM_set1_ip_asc(checks, host);
    return rc == 1 ? 0 : -1;
}

SSL *net__tls_connection(net_tls *tls, net__transport *transport, const char *host, int name) {
    pthread_mutex_lock(&tls->lock);
    SSL *ssl = SSL_new(tls->context);
    pthread_mutex_unlock(&tls->lock);
    BIO *bio = BIO_new(tls->method);
    if (ssl == NULL || bio == NULL || (host != NULL && name_peer(ssl, tls, host, name) != 0)) {
        SSL_free(ssl);
        BIO_free(bio);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, transport);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    if (tls->server) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
    }
    return ssl;
}
