/* A session with etcd's JSON gateway: connecting, one request at a time, and never waiting for ever.
 *
 * A connection begins with a question that changes nothing: which version is that? The hosts are
 * asked in turn, and the one that answers is kept. A request is only ever sent over a connection
 * that has answered so, and libcurl may open none for it: else it would send the request again by
 * itself when a connection breaks, and an attempt that is still under way would be taken for the
 * one that was answered. So what libcurl could not send had no effect, and what it sent and got no
 * answer to is lost: the connection is closed, the next host is asked from then on, and nobody
 * knows whether it took effect, now or later.
 *
 * An idle connection is looked at before anything is sent: a member that was restarted meanwhile
 * has closed it. */
#include "etcd.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ANSWER_MAX = 256 << 20, CONNECT_MIN_MS = 100, IDLE_MAX_S = 1 << 30 };

uint64_t etx__etcd_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void etx__etcd_session_init(etx__etcd_session *session, etx__etcd_store *store) {
    *session = (etx__etcd_session){.store = store};
}

void etx__etcd_drop(etx__etcd_session *session) {
    curl_easy_cleanup(session->curl);
    curl_slist_free_all(session->headers); /* one has the token */
    session->curl = NULL;
    session->headers = NULL;
    session->connected = 0;
}

void etx__etcd_session_close(etx__etcd_session *session) {
    etx__etcd_drop(session);
    etx__etcd_text_free(&session->request);
    etx__etcd_text_free(&session->answer);
}

etx__etcd_text *etx__etcd_begin(etx__etcd_session *session) {
    etx__etcd_text_clear(&session->request);
    return &session->request;
}

/* ---- libcurl */

static size_t on_bytes(char *bytes, size_t size, size_t count, void *user) {
    etx__etcd_session *session = user;
    if (session->answer.len + size * count <= ANSWER_MAX)
        etx__etcd_text_bytes(&session->answer, bytes, size * count);
    else
        session->answer.failed = 1;
    return session->answer.failed ? 0 : size * count;
}

static curl_socket_t on_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address) {
    const etx__etcd_session *session = user;
    (void)purpose;
    return session->may_connect
               ? socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol)
               : CURL_SOCKET_BAD;
}

static int add_header(etx__etcd_session *session, const char *line) {
    struct curl_slist *list = curl_slist_append(session->headers, line);
    session->headers = list ? list : session->headers;
    return list ? 0 : ETX_ENOMEM;
}

static void set_tls(etx__etcd_session *session) {
    const etx__etcd_store *store = session->store;
    curl_easy_setopt(session->curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (store->tls_ca[0])
        curl_easy_setopt(session->curl, CURLOPT_CAINFO, store->tls_ca);
    if (store->tls_cert[0]) {
        curl_easy_setopt(session->curl, CURLOPT_SSLCERT, store->tls_cert);
        curl_easy_setopt(session->curl, CURLOPT_SSLKEY, store->tls_key);
    }
}

static int make_handle(etx__etcd_session *session) {
    CURL *curl = curl_easy_init();
    session->curl = curl;
    if (!curl || add_header(session, "Content-Type: application/json") ||
        add_header(session, "Expect:")) {
        etx__etcd_say(session, ETX_ENOMEM, "out of memory");
        return ETX_ENOMEM;
    }
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, session->store->tls ? "https" : "http");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXCONNECTS, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, (long)IDLE_MAX_S);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, session->headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, session);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, session);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, session->error);
    set_tls(session);
    return 0;
}

static CURLcode perform(etx__etcd_session *session, const char *path, uint32_t limit_ms) {
    const etx__store_host *host = &session->store->place.host[session->host];
    char url[400];
    int brackets = strchr(host->name, ':') != NULL;
    snprintf(url, sizeof url, "%s://%s%s%s:%u%s", session->store->tls ? "https" : "http",
             brackets ? "[" : "", host->name, brackets ? "]" : "", host->port, path);
    etx__etcd_text_clear(&session->answer);
    session->error[0] = 0;
    curl_easy_setopt(session->curl, CURLOPT_URL, url);
    curl_easy_setopt(session->curl, CURLOPT_TIMEOUT_MS, (long)limit_ms);
    return curl_easy_perform(session->curl);
}

static CURLcode perform_get(etx__etcd_session *session, const char *path, uint32_t limit_ms) {
    curl_easy_setopt(session->curl, CURLOPT_HTTPGET, 1L);
    return perform(session, path, limit_ms);
}

static CURLcode perform_post(etx__etcd_session *session,
                             const char *path,
                             const etx__etcd_text *request) {
    curl_easy_setopt(session->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(session->curl, CURLOPT_POSTFIELDS, request->bytes);
    curl_easy_setopt(session->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->len);
    return perform(session, path, session->store->common.timeout_ms);
}

/* ---- answers */

/* The host is of no use at the moment: another is asked first from now on. */
static void turn_away(etx__etcd_session *session) {
    uint32_t host = session->host;
    uint32_t next = (host + 1) % session->store->place.host_count;
    atomic_compare_exchange_strong(&session->store->first, &host, next);
    etx__etcd_drop(session);
}

/* libcurl has given up. */
static etx__etcd_outcome lost(etx__etcd_session *session, CURLcode code) {
    long sent = 1;
    if (curl_easy_getinfo(session->curl, CURLINFO_REQUEST_SIZE, &sent) != CURLE_OK)
        sent = 1;
    etx__etcd_unreachable(session, code);
    turn_away(session);
    return sent ? ETX__ETCD_LOST : ETX__ETCD_UNSENT;
}

static etx__etcd_outcome take_answer(etx__etcd_session *session, json_t **ret_answer) {
    long status = 0;
    json_error_t error;
    json_t *answer = json_loadb(session->answer.bytes ? session->answer.bytes : "",
                                session->answer.len, JSON_DISABLE_EOF_CHECK, &error);
    curl_easy_getinfo(session->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200 && json_is_object(answer) && !json_object_get(answer, "error")) {
        *ret_answer = answer;
        return ETX__ETCD_DONE;
    }
    etx__etcd_outcome outcome = etx__etcd_failed(session, status, answer);
    json_decref(answer);
    if (outcome == ETX__ETCD_LOST)
        turn_away(session);
    return outcome;
}

/* ---- connecting */

static int take_version(etx__etcd_session *session) {
    json_error_t error;
    unsigned major = 0;
    unsigned minor = 0;
    json_t *answer = json_loadb(session->answer.bytes ? session->answer.bytes : "",
                                session->answer.len, JSON_DISABLE_EOF_CHECK, &error);
    const char *version = json_string_value(json_object_get(answer, "etcdserver"));
    int known = version && sscanf(version, "%u.%u", &major, &minor) == 2;
    int rc = known && (major > 3 || (major == 3 && minor >= 4)) ? 0 : ETX_EINVALID;
    if (rc && known)
        etx__etcd_say(session, rc, "etcd %u.%u is too old for a log: 3.4 or newer", major, minor);
    else if (rc)
        etx__etcd_say(session, rc,
                      "what answers there is no etcd: check host and port, and whether tls=on is "
                      "needed");
    json_decref(answer);
    return rc;
}

static int connect_to(etx__etcd_session *session, uint32_t host) {
    uint32_t limit_ms = session->store->common.timeout_ms / session->store->place.host_count;
    etx__etcd_drop(session);
    session->host = host;
    if (make_handle(session))
        return session->rc;
    session->may_connect = 1;
    CURLcode code =
        perform_get(session, "/version", limit_ms > CONNECT_MIN_MS ? limit_ms : CONNECT_MIN_MS);
    session->may_connect = 0;
    if (code != CURLE_OK)
        etx__etcd_unreachable(session, code);
    int rc = code != CURLE_OK ? session->rc : take_version(session);
    session->connected = rc == 0;
    return rc;
}

static int login_request(const etx__etcd_store *store, etx__etcd_text *request) {
    json_t *words =
        json_pack("{ss, ss}", "name", store->place.user, "password", store->common.password);
    char *body = words ? json_dumps(words, JSON_COMPACT) : NULL;
    int rc = body ? 0 : ETX_EINVALID;
    if (body) {
        etx__etcd_text_bytes(request, body, strlen(body));
        explicit_bzero(body, strlen(body));
    }
    free(body);
    json_decref(words);
    return rc;
}

static int take_token(etx__etcd_session *session, const json_t *answer) {
    const char *token = json_string_value(json_object_get(answer, "token"));
    etx__etcd_text line = {.bytes = NULL};
    etx__etcd_text_bytes(&line, "Authorization: ", 15);
    etx__etcd_text_bytes(&line, token ? token : "", token ? strlen(token) : 0);
    int rc = line.failed ? ETX_ENOMEM : add_header(session, line.bytes);
    if (rc)
        etx__etcd_say(session, rc, "out of memory");
    else
        curl_easy_setopt(session->curl, CURLOPT_HTTPHEADER, session->headers);
    etx__etcd_text_free(&line);
    return rc;
}

/* The token that the member gives for user and password goes with each request. */
static int log_in(etx__etcd_session *session) {
    etx__etcd_text request = {.bytes = NULL};
    json_t *answer = NULL;
    CURLcode code = CURLE_OK;
    if (!session->store->place.user[0])
        return 0;
    int rc = login_request(session->store, &request);
    if (rc)
        etx__etcd_say(session, rc, "the URL's user or password is no UTF-8");
    else
        code = perform_post(session, "/v3/auth/authenticate", &request);
    if (code != CURLE_OK)
        etx__etcd_unreachable(session, code);
    if (!rc && (code != CURLE_OK || take_answer(session, &answer) != ETX__ETCD_DONE))
        rc = session->rc;
    rc = rc ? rc : take_token(session, answer);
    if (request.bytes)
        explicit_bzero(request.bytes, request.len);
    etx__etcd_text_free(&request);
    json_decref(answer);
    return rc;
}

/* An idle connection says nothing. */
static int is_over(etx__etcd_session *session) {
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(session->curl, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
        fd == CURL_SOCKET_BAD)
        return 1;
    struct pollfd idle = {.fd = fd, .events = POLLIN};
    return poll(&idle, 1, 0) > 0;
}

static int make_ready(etx__etcd_session *session) {
    uint32_t count = session->store->place.host_count;
    if (session->connected && !is_over(session))
        return 0;
    uint32_t first = atomic_load(&session->store->first);
    int rc = ETX_EUNAVAILABLE;
    for (uint32_t i = 0; rc && i < count; i++) {
        uint32_t host = (first + i) % count;
        rc = connect_to(session, host);
        rc = rc ? rc : log_in(session);
        if (!rc && i > 0)
            atomic_store(&session->store->first, host);
    }
    if (rc)
        etx__etcd_drop(session);
    return rc;
}

/* ---- requests */

static etx__etcd_outcome ask_once(etx__etcd_session *session,
                                  const char *path,
                                  json_t **ret_answer) {
    if (make_ready(session))
        return ETX__ETCD_UNSENT;
    CURLcode code = perform_post(session, path, &session->request);
    return code == CURLE_OK ? take_answer(session, ret_answer) : lost(session, code);
}

etx__etcd_outcome etx__etcd_ask(etx__etcd_session *session, const char *path, json_t **ret_answer) {
    *ret_answer = NULL;
    if (session->request.failed) {
        etx__etcd_say(session, ETX_ENOMEM, "out of memory");
        return ETX__ETCD_UNSENT;
    }
    etx__etcd_outcome outcome = ask_once(session, path, ret_answer);
    if (outcome == ETX__ETCD_REFUSED && session->rc == ETX_EBUSY) {
        etx__etcd_drop(session); /* the token is over: the next connection has a new one */
        outcome = ask_once(session, path, ret_answer);
        session->rc = outcome == ETX__ETCD_REFUSED && session->rc == ETX_EBUSY ? ETX_EUNAVAILABLE
                                                                               : session->rc;
    }
    return outcome;
}

int etx__etcd_run(etx__etcd_session *session, const char *path, json_t **ret_answer) {
    return etx__etcd_ask(session, path, ret_answer) == ETX__ETCD_DONE ? 0 : session->rc;
}

int etx__etcd_page(etx__etcd_session *session, const char *path) {
    long status = 0;
    if (make_ready(session))
        return session->rc;
    CURLcode code = perform_get(session, path, session->store->common.timeout_ms);
    if (code != CURLE_OK) {
        (void)lost(session, code);
        return session->rc;
    }
    curl_easy_getinfo(session->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        etx__etcd_say(session, ETX_ENOTFOUND, "etcd has no page %s", path);
    return status == 200 ? 0 : session->rc;
}
