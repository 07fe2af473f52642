/* Reading and writing a socket, plain or through OpenSSL. */
#include "transport.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"

int net__transport_open(net__transport *transport,
                        int fd,
                        net_tls *tls,
                        const char *host,
                        int name) {
    *transport = (net__transport){.fd = fd, .shaken = tls == NULL};
    if (tls != NULL) {
        transport->ssl = net__tls_connection(tls, transport, host, name);
        if (transport->ssl == NULL) {
            return NET_ENOMEM;
        }
    }
    return 0;
}

void net__transport_close(net__transport *transport) {
    if (transport->ssl != NULL) {
        net__transport_shut(transport);
        SSL_free(transport->ssl);
        transport->ssl = NULL;
    }
    if (transport->fd >= 0) {
        close(transport->fd);
        transport->fd = -1;
    }
}

/* Is it what a peer says of the certificate that it was shown, or was not? */
static int is_of_ours(unsigned long code) {
    switch (ERR_GET_REASON(code)) {
        case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        case SSL_R_SSLV3_ALERT_NO_CERTIFICATE:
        case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
        case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
        case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
        case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
        case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
            return ERR_GET_LIB(code) == ERR_LIB_SSL;
        default:
            return 0;
    }
}

/* What a call of OpenSSL came to that did not succeed. */
static int judge(net__transport *transport, int rc, uint8_t *blocked, int blocking) {
    switch (SSL_get_error(transport->ssl, rc)) {
        case SSL_ERROR_WANT_READ:
            *blocked = blocking == SSL_ERROR_WANT_READ;
            return NET__AGAIN;
        case SSL_ERROR_WANT_WRITE:
            *blocked = blocking == SSL_ERROR_WANT_WRITE;
            return NET__AGAIN;
        case SSL_ERROR_ZERO_RETURN:
            return NET__EOF;
        default:
            break;
    }
    unsigned long code = ERR_peek_error();
    long verified = SSL_get_verify_result(transport->ssl);
    transport->unwelcome = (uint8_t)is_of_ours(code);
    transport->reason = verified != X509_V_OK ? X509_verify_cert_error_string(verified)
                        : code != 0           ? ERR_reason_error_string(code)
                                              : "the connection was lost";
    return NET__BROKEN;
}

int net__transport_shake(net__transport *transport) {
    if (transport->shaken) {
        return 1;
    }
    ERR_clear_error();
    int rc = SSL_do_handshake(transport->ssl);
    if (rc == 1) {
        transport->shaken = 1;
        transport->wants_write = 0;
        return 1;
    }
    uint8_t wants_write = 0;
    rc = judge(transport, rc, &wants_write, SSL_ERROR_WANT_WRITE);
    transport->wants_write = wants_write;
    if (rc == NET__EOF) {
        transport->reason = "the connection was lost";
    }
    return rc == NET__AGAIN ? NET__AGAIN : NET__BROKEN;
}

static ssize_t read_tls(net__transport *transport, char *bytes, size_t size) {
    size_t sum = 0;
    while (sum < size) {
        size_t count = 0;
        ERR_clear_error();
        transport->writes_to_read = 0;
        int rc = SSL_read_ex(transport->ssl, bytes + sum, size - sum, &count);
        if (rc == 1) {
            sum += count;
            continue;
        }
        int why = judge(transport, rc, &transport->writes_to_read, SSL_ERROR_WANT_WRITE);
        if (sum > 0) {
            break; /* an end is told again by the next call */
        }
        return why;
    }
    return (ssize_t)sum;
}

ssize_t net__transport_read(net__transport *transport, char *bytes, size_t size) {
    if (transport->ssl != NULL) {
        return read_tls(transport, bytes, size);
    }
    ssize_t rc;
    do {
        rc = recv(transport->fd, bytes, size, 0);
    } while (rc < 0 && errno == EINTR);
    return rc >= 0 ? rc : errno == EAGAIN || errno == EWOULDBLOCK ? NET__AGAIN : NET__BROKEN;
}

int net__transport_unread(const net__transport *transport) {
    char byte;
    return recv(transport->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* The beginning of the pieces as one block: a record is made of it. */
static const char *join(const struct iovec *pieces, int count, char *scratch, size_t *ret_len) {
    size_t len = 0;
    if (count == 1 || pieces[0].iov_len >= NET__WRITE_MAX) {
        *ret_len = pieces[0].iov_len < NET__WRITE_MAX ? pieces[0].iov_len : NET__WRITE_MAX;
        return pieces[0].iov_base;
    }
    for (int i = 0; i < count && len < NET__WRITE_MAX; i++) {
        size_t room = NET__WRITE_MAX - len;
        size_t take = pieces[i].iov_len < room ? pieces[i].iov_len : room;
        memcpy(scratch + len, pieces[i].iov_base, take);
        len += take;
    }
    *ret_len = len;
    return scratch;
}

static ssize_t write_tls(net__transport *transport,
                         const struct iovec *pieces,
                         int count,
                         char *scratch) {
    size_t len;
    size_t written = 0;
    const char *bytes = join(pieces, count, scratch, &len);
    ERR_clear_error();
    transport->reads_to_write = 0;
    int rc = SSL_write_ex(transport->ssl, bytes, len, &written);
    if (rc == 1) {
        transport->wants_write = 0;
        return (ssize_t)written;
    }
    rc = judge(transport, rc, &transport->reads_to_write, SSL_ERROR_WANT_READ);
    transport->wants_write = rc == NET__AGAIN;
    return rc == NET__EOF ? NET__BROKEN : rc;
}

ssize_t net__transport_write(net__transport *transport,
                             const struct iovec *pieces,
                             int count,
                             char *scratch) {
    if (transport->ssl != NULL) {
        return write_tls(transport, pieces, count, scratch);
    }
    struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count};
    ssize_t rc;
    do {
        rc = count == 1 ? send(transport->fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL)
                        : sendmsg(transport->fd, &message, MSG_NOSIGNAL);
    } while (rc < 0 && errno == EINTR);
    if (rc >= 0) {
        transport->accepted += (uint64_t)rc;
        transport->wants_write = 0;
        return rc;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
        return NET__BROKEN;
    }
    transport->wants_write = 1;
    return NET__AGAIN;
}

int net__transport_pending(const net__transport *transport) {
    return transport->ssl != NULL && transport->shaken && SSL_has_pending(transport->ssl);
}

void net__transport_shut(net__transport *transport) {
    if (transport->ssl != NULL && transport->shaken &&
        !(SSL_get_shutdown(transport->ssl) & SSL_SENT_SHUTDOWN)) {
        ERR_clear_error();
        SSL_shutdown(transport->ssl);
        ERR_clear_error();
    }
    shutdown(transport->fd, SHUT_WR);
}

unsigned net__transport_events(const net__transport *transport, int reading, int writing) {
    if (!transport->shaken) {
        return NET_READABLE | (transport->wants_write ? NET_WRITABLE : 0);
    }
    int writable =
        (writing && !transport->reads_to_write) || (reading && transport->writes_to_read);
    int readable =
        (reading && !transport->writes_to_read) || (writing && transport->reads_to_write);
    return (readable ? NET_READABLE : 0) | (writable ? NET_WRITABLE : 0);
}

const char *net__transport_subject(const net__transport *transport, char *text) {
    X509 *shown = transport->ssl == NULL ? NULL : SSL_get1_peer_certificate(transport->ssl);
    text[0] = '\0';
    if (shown == NULL) {
        return text;
    }
    BIO *out = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    if (out != NULL &&
        X509_NAME_print_ex(out, X509_get_subject_name(shown), 0, XN_FLAG_RFC2253) >= 0) {
        long len = BIO_get_mem_data(out, &bytes);
        if (len > 0 && len < NET_TLS_SUBJECT_MAX) {
            memcpy(text, bytes, (size_t)len);
            text[len] = '\0';
        }
    }
    BIO_free(out);
    X509_free(shown);
    return text;
}
