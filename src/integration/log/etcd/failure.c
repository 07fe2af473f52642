/* What a failure of etcd means: whether anything may have happened, and what to do. */
#include "etcd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void etx__etcd_say(etx__etcd_session *session, int rc, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(session->text, sizeof session->text, format, args);
    va_end(args);
    session->rc = rc;
    etx__store_redact(&session->store->common, session->text, sizeof session->text);
}

/* Only what is said before a request is proposed to the cluster, or instead of applying it, is a
 * promise that it has no effect; "database space exceeded" is said after applying it as well, and
 * put.c looks. All else may come after it was proposed: that the request timed
 * out, that the leader changed or was lost, that the member is being stopped. */
typedef struct failure {
    const char *words; /* that etcd's message has; the first that fits holds */
    int rc;
    int definite;
    const char *advice;
} failure;

static const failure *failure_of(const char *message) {
    static const failure rows[] = {
        {"database space exceeded", ETX_EFULL, 1,
         "its database has reached --quota-backend-bytes: etcdctl compact --physical REVISION, "
         "etcdctl defrag, etcdctl alarm disarm"},
        {"received message larger than max", ETX_EINVALID, 1,
         "start etcd with --max-request-bytes=1572864, its default, or more"},
        {"request is too large", ETX_EINVALID, 1,
         "start etcd with --max-request-bytes=1572864, its default, or more"},
        {"too many requests", ETX_EUNAVAILABLE, 1, "it is overloaded"},
        {"permission denied", ETX_EINVALID, 1, NULL},
        {"invalid auth token", ETX_EBUSY, 1, "the login is over"},
        {"revision of auth store is old", ETX_EBUSY, 1, "the login is over"},
        {"user name is empty", ETX_EINVALID, 1,
         "it asks for a user: etcd://USER@HOST:PORT/PREFIX?password_file=FILE"},
        {"authentication failed", ETX_EINVALID, 1, "check user and password"},
        {"authentication is not enabled", ETX_EINVALID, 1,
         "leave out the URL's user, or etcdctl auth enable"},
        {"revision has been compacted", ETX_ECONFLICT, 1, "it is read anew"},
        {"requested lease not found", ETX_ENOTFOUND, 1, "it is over"},
        {"corrupt cluster", ETX_ECORRUPT, 0, "its members differ: see etcdctl alarm list"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strstr(message, rows[i].words))
            return &rows[i];
    return NULL;
}

static void say_denied(etx__etcd_session *session) {
    const etx__store_place *place = &session->store->place;
    etx__etcd_say(session, ETX_EINVALID,
                  "the user %.60s may not do that: etcdctl role grant-permission ROLE readwrite "
                  "--prefix=true %.100s/, of a role that it has",
                  place->user, place->path);
}

etx__etcd_outcome etx__etcd_failed(etx__etcd_session *session, const char *message) {
    const failure *known = failure_of(message);
    if (known && !known->advice)
        say_denied(session);
    else
        etx__etcd_say(session, known ? known->rc : ETX_EUNAVAILABLE, "etcd says: %.140s%s%s",
                      message, known ? ": " : "", known ? known->advice : "");
    return known && known->definite ? ETX__ETCD_REFUSED : ETX__ETCD_LOST;
}

/* What an administrator has to correct. */
static int is_refusal(CURLcode code) {
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_SSL_CERTPROBLEM || code == CURLE_UNSUPPORTED_PROTOCOL;
}

void etx__etcd_unreachable(etx__etcd_session *session, CURLcode code) {
    const etx__store_host *host = &session->store->place.host[session->host];
    const char *words = session->error[0] ? session->error : curl_easy_strerror(code);
    /* what speaks TLS, or no HTTP/2, ends a connection at its first word */
    int mute = !session->store->tls && !session->connected && code != CURLE_COULDNT_CONNECT &&
               code != CURLE_COULDNT_RESOLVE_HOST && code != CURLE_OPERATION_TIMEDOUT;
    etx__etcd_say(session, is_refusal(code) ? ETX_EINVALID : ETX_EUNAVAILABLE, "%.80s:%u: %.150s%s",
                  host->name, host->port, words, mute ? ": is it etcd, and is tls=on needed?" : "");
}
