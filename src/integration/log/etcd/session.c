/* A session with etcd's gRPC interface, by libcurl's HTTP/2: connecting, one call at a time, and
 * never waiting for ever.
 *
 * A connection begins with a call that changes nothing: how are you, and which version? The hosts
 * are asked in turn, and the one that answers is kept. A request is only ever sent over a
 * connection that has answered so, and libcurl may open none for it: else it would send the request
 * again by itself when a connection breaks, and an attempt that is still under way would be taken
 * for the one that was answered. So what libcurl could not send had no effect, and what it sent and
 * got no answer to is lost: the connection is closed, the next host is asked from then on, and
 * nobody knows whether it took effect, now or later.
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
enum { WAIT_MS = 10, WAIT_REST_MS = 1, BUFFER = 512 << 10 };
enum { PREFIX = 5 }; /* bytes before a message: is it compressed, and its length */

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
    curl_multi_cleanup(session->multi);
    curl_slist_free_all(session->headers); /* one has the token */
    session->multi = NULL;
    session->curl = NULL;
    session->headers = NULL;
    session->connected = 0;
}

void etx__etcd_session_close(etx__etcd_session *session) {
    etx__etcd_drop(session);
    etx__etcd_text_free(&session->request);
    etx__etcd_text_free(&session->answer);
}

static void begin(etx__etcd_text *request) {
    static const char prefix[PREFIX] = {0};
    request->len = 0;
    request->failed = 0;
    etx__etcd_text_add(request, prefix, sizeof prefix);
}

etx__etcd_text *etx__etcd_begin(etx__etcd_session *session) {
    begin(&session->request);
    return &session->request;
}

/* ---- libcurl */

static size_t on_bytes(char *bytes, size_t size, size_t count, void *user) {
    etx__etcd_session *session = user;
    if (session->answer.len + size * count <= ANSWER_MAX)
        etx__etcd_text_add(&session->answer, bytes, size * count);
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

static void set_tls(CURL *curl, const etx__etcd_store *store) {
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (store->tls_ca[0])
        curl_easy_setopt(curl, CURLOPT_CAINFO, store->tls_ca);
    if (store->tls_cert[0]) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, store->tls_cert);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, store->tls_key);
    }
}

/* What every request needs. */
static CURL *make_curl(etx__etcd_session *session) {
    CURL *curl = curl_easy_init();
    if (!curl) {
        etx__etcd_say(session, ETX_ENOMEM, "out of memory");
        return NULL;
    }
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, session->store->tls ? "https" : "http");
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, session);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, session->error);
    set_tls(curl, session->store);
    return curl;
}

static int make_handle(etx__etcd_session *session) {
    CURL *curl = session->curl = make_curl(session);
    session->multi = curl_multi_init();
    if (!curl || !session->multi || add_header(session, "Content-Type: application/grpc") ||
        add_header(session, "TE: trailers") || add_header(session, "Expect:")) {
        etx__etcd_say(session, ETX_ENOMEM, "out of memory");
        return ETX_ENOMEM;
    }
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
                     session->store->tls ? (long)CURL_HTTP_VERSION_2TLS
                                         : (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)BUFFER);
    curl_multi_setopt(session->multi, CURLMOPT_MAXCONNECTS, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, (long)IDLE_MAX_S);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, session->headers);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, session);
    return 0;
}

static void set_url(const etx__etcd_session *session,
                    CURL *curl,
                    const char *path,
                    const char *method) {
    const etx__store_host *host = &session->store->place.host[session->host];
    char url[400];
    int brackets = strchr(host->name, ':') != NULL;
    snprintf(url, sizeof url, "%s://%s%s%s:%u%s%s", session->store->tls ? "https" : "http",
             brackets ? "[" : "", host->name, brackets ? "]" : "", host->port, path, method);
    curl_easy_setopt(curl, CURLOPT_URL, url);
}

static void begin_answer(etx__etcd_session *session) {
    session->answer.len = 0;
    session->answer.failed = 0;
    session->error[0] = 0;
}

/* As curl_easy_perform does it. But 7.88 may keep to itself what it has read, and wait for more:
 * so it is never left waiting for long. */
static CURLcode perform(etx__etcd_session *session) {
    CURLM *multi = session->multi;
    CURLcode code = CURLE_FAILED_INIT;
    int running = 1;
    int left = 0;
    if (curl_multi_add_handle(multi, session->curl) != CURLM_OK)
        return code;
    while (curl_multi_perform(multi, &running) == CURLM_OK && running)
        (void)curl_multi_poll(multi, NULL, 0, session->answer.len ? WAIT_REST_MS : WAIT_MS, NULL);
    const CURLMsg *message = curl_multi_info_read(multi, &left);
    if (message)
        code = message->data.result;
    if (curl_easy_getinfo(session->curl, CURLINFO_ACTIVESOCKET, &session->fd) != CURLE_OK)
        session->fd = CURL_SOCKET_BAD;
    curl_multi_remove_handle(multi, session->curl);
    return code;
}

static CURLcode call(etx__etcd_session *session,
                     const char *method,
                     etx__etcd_text *request,
                     uint32_t limit_ms) {
    uint32_t len = (uint32_t)(request->len - PREFIX);
    for (int i = 0; i < 4; i++)
        request->bytes[1 + i] = (char)(len >> (24 - 8 * i));
    begin_answer(session);
    set_url(session, session->curl, "/etcdserverpb.", method);
    curl_easy_setopt(session->curl, CURLOPT_POSTFIELDS, request->bytes);
    curl_easy_setopt(session->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->len);
    curl_easy_setopt(session->curl, CURLOPT_TIMEOUT_MS, (long)limit_ms);
    return perform(session);
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

/* A header of the answer, or one behind it. */
static const char *header_of(CURL *curl, const char *name) {
    struct curl_header *header = NULL;
    return curl_easy_header(curl, name, 0, CURLH_HEADER | CURLH_TRAILER, -1, &header) == CURLHE_OK
               ? header->value
               : NULL;
}

/* The one message of an answer; ETX_ECORRUPT: it is not whole. */
static int unwrap(const etx__etcd_text *answer, etx_bytes *ret_message) {
    const uint8_t *at = (const uint8_t *)answer->bytes;
    if (answer->len < PREFIX || at[0] != 0)
        return ETX_ECORRUPT;
    uint32_t len = (uint32_t)at[1] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 8 | at[4];
    if (len != answer->len - PREFIX)
        return ETX_ECORRUPT;
    *ret_message = (etx_bytes){at + PREFIX, len};
    return 0;
}

static etx__etcd_outcome take_answer(etx__etcd_session *session, etx_bytes *ret_answer) {
    long http = 0;
    const char *status = header_of(session->curl, "grpc-status");
    const char *message = header_of(session->curl, "grpc-message");
    etx__etcd_outcome outcome = ETX__ETCD_LOST;
    curl_easy_getinfo(session->curl, CURLINFO_RESPONSE_CODE, &http);
    if (http != 200 || !status)
        etx__etcd_say(session, ETX_EUNAVAILABLE,
                      "what answers there, with status %ld, is not etcd's gRPC interface: no proxy "
                      "of HTTP is between",
                      http);
    else if (strcmp(status, "0") != 0)
        outcome = etx__etcd_failed(session, message ? message : "");
    else if (unwrap(&session->answer, ret_answer) != 0)
        etx__etcd_say(session, ETX_EUNAVAILABLE, "etcd's answer has no end");
    else
        return ETX__ETCD_DONE;
    if (outcome == ETX__ETCD_LOST)
        turn_away(session);
    return outcome;
}

/* ---- connecting */

/* A member that knows no leader would take a request and could not answer it. */
static int take_status(etx__etcd_session *session, etx_bytes status) {
    char version[32] = "";
    unsigned major = 0;
    unsigned minor = 0;
    etx_bytes told = etx__etcd_part_of(status, STATUS_VERSION, 0);
    snprintf(version, sizeof version, "%.*s", (int)(told.len < 20 ? told.len : 20),
             told.len ? (const char *)told.data : "");
    if (sscanf(version, "%u.%u", &major, &minor) != 2 || major < 3 || (major == 3 && minor < 4)) {
        etx__etcd_say(session, ETX_EINVALID, "etcd %s is too old for a log: 3.4 or newer", version);
        return ETX_EINVALID;
    }
    if (etx__etcd_number_of(status, STATUS_LEADER))
        return 0;
    etx__etcd_say(session, ETX_EUNAVAILABLE, "%.80s:%u: this member of etcd has no leader",
                  session->store->place.host[session->host].name,
                  session->store->place.host[session->host].port);
    return ETX_EUNAVAILABLE;
}

/* 7.88 fails to go on over a connection that was made as one of HTTP/2, while it is told to make
 * such ones; without that it goes on with what it has. */
static void keep_http2(CURL *curl) {
    unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;
    if (version >= 0x075800 && version < 0x080000)
        curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_0);
}

static int connect_to(etx__etcd_session *session, uint32_t host) {
    uint32_t limit_ms = session->store->common.timeout_ms / session->store->place.host_count;
    etx__etcd_text request = {.bytes = NULL};
    etx_bytes status;
    etx__etcd_drop(session);
    session->host = host;
    begin(&request);
    if (make_handle(session) || request.failed) {
        etx__etcd_text_free(&request);
        etx__etcd_say(session, ETX_ENOMEM, "out of memory");
        return ETX_ENOMEM;
    }
    session->may_connect = 1;
    CURLcode code = call(session, "Maintenance/Status", &request,
                         limit_ms > CONNECT_MIN_MS ? limit_ms : CONNECT_MIN_MS);
    session->may_connect = 0;
    etx__etcd_text_free(&request);
    if (code != CURLE_OK)
        etx__etcd_unreachable(session, code);
    if (code != CURLE_OK || take_answer(session, &status) != ETX__ETCD_DONE ||
        take_status(session, status))
        return session->rc;
    keep_http2(session->curl);
    session->connected = 1;
    return 0;
}

static int take_token(etx__etcd_session *session, etx_bytes token) {
    etx__etcd_text line = {.bytes = NULL};
    etx__etcd_text_add(&line, "token: ", 7);
    etx__etcd_text_add(&line, token.data, token.len);
    etx__etcd_text_add(&line, "", 1);
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
    const etx__etcd_store *store = session->store;
    char password[ETX__STORE_PASSWORD_MAX + 2];
    etx__etcd_text request = {.bytes = NULL};
    etx_bytes answer;
    if (!store->place.user[0])
        return 0;
    etx__store_password(&store->common, password);
    begin(&request);
    etx__etcd_words(&request, AUTHENTICATE_NAME, "%s", store->place.user);
    etx__etcd_bytes(&request, AUTHENTICATE_PASSWORD, password, strlen(password));
    explicit_bzero(password, sizeof password);
    CURLcode code = request.failed
                        ? CURLE_OUT_OF_MEMORY
                        : call(session, "Auth/Authenticate", &request, store->common.timeout_ms);
    int rc = 0;
    if (code != CURLE_OK)
        etx__etcd_unreachable(session, code);
    if (code != CURLE_OK || take_answer(session, &answer) != ETX__ETCD_DONE)
        rc = session->rc;
    rc = rc ? rc : take_token(session, etx__etcd_part_of(answer, AUTHENTICATE_TOKEN, 0));
    if (request.bytes)
        explicit_bzero(request.bytes, request.len);
    etx__etcd_text_free(&request);
    return rc;
}

/* A member may say something over an idle connection; does it still listen? */
static int is_over(const etx__etcd_session *session) {
    struct pollfd idle = {.fd = session->fd, .events = POLLRDHUP};
    return session->fd == CURL_SOCKET_BAD || poll(&idle, 1, 0) > 0;
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
                                  const char *method,
                                  etx_bytes *ret_answer) {
    if (make_ready(session))
        return ETX__ETCD_UNSENT;
    CURLcode code = call(session, method, &session->request, session->store->common.timeout_ms);
    return code == CURLE_OK ? take_answer(session, ret_answer) : lost(session, code);
}

etx__etcd_outcome etx__etcd_ask(etx__etcd_session *session,
                                const char *method,
                                etx_bytes *ret_answer) {
    *ret_answer = (etx_bytes){NULL, 0};
    if (session->request.failed) {
        etx__etcd_say(session, ETX_ENOMEM, "out of memory");
        return ETX__ETCD_UNSENT;
    }
    etx__etcd_outcome outcome = ask_once(session, method, ret_answer);
    if (outcome == ETX__ETCD_REFUSED && session->rc == ETX_EBUSY) {
        etx__etcd_drop(session); /* the token is over: the next connection has a new one */
        outcome = ask_once(session, method, ret_answer);
        session->rc = outcome == ETX__ETCD_REFUSED && session->rc == ETX_EBUSY ? ETX_EUNAVAILABLE
                                                                               : session->rc;
    }
    return outcome;
}

int etx__etcd_run(etx__etcd_session *session, const char *method, etx_bytes *ret_answer) {
    return etx__etcd_ask(session, method, ret_answer) == ETX__ETCD_DONE ? 0 : session->rc;
}

int etx__etcd_page(etx__etcd_session *session, const char *path, int64_t *ret_time) {
    long status = 0;
    CURL *curl = make_curl(session);
    if (!curl)
        return session->rc;
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)session->store->common.timeout_ms);
    set_url(session, curl, path, "");
    begin_answer(session);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    const char *date = header_of(curl, "Date");
    int rc = 0;
    if (code != CURLE_OK)
        etx__etcd_unreachable(session, code);
    else if (status != 200 || !date)
        etx__etcd_say(session, ETX_EUNAVAILABLE, "etcd has no page %s", path);
    if (code != CURLE_OK || status != 200 || !date)
        rc = session->rc;
    else
        *ret_time = (int64_t)curl_getdate(date, NULL);
    curl_easy_cleanup(curl);
    return rc;
}
