/* A server etxd that runs: asking it, and reading what it streams. */
#include "server.h"

#include <stdlib.h>
#include <string.h>

#include "../net/client.h"

enum { TIMEOUT_MS = 600000, SILENCE_MS = 60000, TURN_MS = 200, STREAM_BYTES_MAX = 16 << 20 };

struct server {
    net_loop *loop;
    net_client *client;
    net_tls *tls;
    const volatile sig_atomic_t *stop;
    char base[SERVER_PATH_MAX]; /* "http://host:port", no '/' behind it */
    char authorization[256];
    char message[900];
    const char *todo; /* about the last error, or NULL */
    /* of the request that is under way */
    int done, error, status;
    char *text; /* the answer's body, NUL behind it */
    size_t len;
    char date[64];
    json_t *answer;
    server_piece_fn piece;
    void *user;
    uint64_t id;
    int left; /* the reader has enough */
};

/* ---- what came */

static void keep_body(server *self, const net_result *result) {
    net_text date = net_result_header(result, "date");
    snprintf(self->date, sizeof self->date, "%.*s", (int)date.len, date.len > 0 ? date.bytes : "");
    self->text = malloc(result->body.len + 1);
    if (self->text != NULL) {
        self->len = result->body.len;
        memcpy(self->text, self->len > 0 ? result->body.bytes : "", self->len);
        self->text[self->len] = '\0';
    }
}

/* What to do about a connection that came to nothing, if its reason tells. */
static const char *find_todo(const char *reason) {
    static const char *const untrusted[] = {"self-signed certificate", "issuer certificate",
                                            "verify the first certificate"};
    size_t i;
    for (i = 0; i < sizeof untrusted / sizeof untrusted[0]; i++) {
        if (strstr(reason, untrusted[i]) != NULL) {
            return "who signed its certificate is not trusted here: ETX_CA names a file of PEM "
                   "with whom to trust";
        }
    }
    return NULL;
}

static void on_done(uint64_t id, const net_result *result, void *user) {
    server *self = user;
    (void)id;
    self->done = 1;
    self->error = result->error;
    self->status = result->status;
    if (result->error != 0) {
        snprintf(self->message, sizeof self->message, "%.300s: %.250s", self->base, result->detail);
        self->todo = find_todo(result->detail);
    } else {
        keep_body(self, result);
    }
}

static void on_piece(uint64_t id, int status, net_text bytes, void *user) {
    server *self = user;
    self->id = id;
    if (status == 200 && !self->left && self->piece(bytes.bytes, bytes.len, self->user) != 0) {
        self->left = 1;
        net_client_cancel(self->client, id);
    }
}

/* What a problem's code is to a caller of libetx. */
static int code_of(const char *code) {
    static const struct {
        const char *code;
        int rc;
    } codes[] = {{"not-found", ETX_ENOTFOUND},
                 {"gone", ETX_EGONE},
                 {"conflict", ETX_ECONFLICT},
                 {"state", ETX_ESTATE},
                 {"busy", ETX_EBUSY},
                 {"rate", ETX_EBUSY},
                 {"full", ETX_EFULL},
                 {"unavailable", ETX_EUNAVAILABLE},
                 {"starting", ETX_EUNAVAILABLE},
                 {"closing", ETX_EUNAVAILABLE},
                 {"unknown", ETX_EUNKNOWN},
                 {"elsewhere", ETX_EELSEWHERE},
                 {"memory", ETX_ENOMEM}};
    size_t i;
    for (i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (strcmp(codes[i].code, code) == 0) {
            return codes[i].rc;
        }
    }
    return ETX_EINVALID;
}

const char *etx__server_word(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

/* Says what the token may not; 0: it is about something else. */
static int judge_token(server *self, const char *code) {
    static const struct {
        const char *code, *says, *todo; /* says NULL: the detail does */
    } refusals[] = {
        {"no-token", "it wants a token", "set ETX_TOKEN to one; 'etx token create' makes them"},
        {"bad-token", "it does not know the token",
         "ETX_TOKEN: it may be mistyped, taken back, or not yet read by the server (SIGHUP); "
         "'etx token create' makes another"},
        {"scope", NULL, "set ETX_TOKEN to a token that may; 'etx token create' makes one"},
        {"gid-prefix", NULL,
         "use such a gid, or set ETX_TOKEN to a token of another --gid-prefix; 'etx token create' "
         "makes one"}};
    size_t i;
    for (i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (strcmp(refusals[i].code, code) == 0) {
            snprintf(self->message, sizeof self->message, "%.300s: %s (%s)", self->base,
                     refusals[i].says != NULL ? refusals[i].says
                                              : etx__server_word(self->answer, "detail"),
                     code);
            self->todo = refusals[i].todo;
            return 1;
        }
    }
    return 0;
}

static int judge_json(server *self) {
    json_error_t error;
    const char *code, *pointer;
    self->answer = json_loadb(self->text != NULL ? self->text : "", self->len, 0, &error);
    if (self->answer == NULL && json_error_code(&error) == json_error_numeric_overflow) {
        self->answer = json_loadb(self->text, self->len, JSON_DECODE_INT_AS_REAL, NULL);
    }
    if (self->answer == NULL) {
        snprintf(self->message, sizeof self->message, "%.500s is no server etxd", self->base);
        return ETX_EUNAVAILABLE;
    }
    if (self->status < 400) {
        return 0;
    }
    code = etx__server_word(self->answer, "code");
    pointer = etx__server_word(self->answer, "pointer");
    if (!judge_token(self, code)) {
        snprintf(self->message, sizeof self->message, "%s: %s (%s%s%s)",
                 etx__server_word(self->answer, "detail"), etx__server_word(self->answer, "hint"),
                 code, pointer[0] != '\0' ? ", at " : "", pointer);
    }
    return code_of(code);
}

/* ---- one request, and waiting for its answer */

static void forget(server *self) {
    json_decref(self->answer);
    self->answer = NULL;
    free(self->text);
    self->text = NULL;
    self->len = 0;
    self->done = 0;
    self->status = 0;
    self->left = 0;
    self->date[0] = '\0';
    self->message[0] = '\0';
    self->todo = NULL;
}

/* 0: an answer came, whatever it says. */
static int fetch(server *self, const char *path, net_fetch *what, const char *last_id) {
    char text[2 * SERVER_PATH_MAX];
    net_url url;
    net_header headers[3] = {{"Content-Type", "application/json"}};
    int rc;
    forget(self);
    what->size = sizeof *what;
    what->url = &url;
    what->tls = self->tls;
    what->headers = headers;
    what->header_count = 1;
    what->done = on_done;
    what->user = self;
    if (self->authorization[0] != '\0') {
        headers[what->header_count++] = (net_header){"Authorization", self->authorization};
    }
    if (last_id != NULL) {
        headers[what->header_count++] = (net_header){"Last-Event-ID", last_id};
    }
    snprintf(text, sizeof text, "%s%s", self->base, path);
    rc = net_url_parse(text, strlen(text), &url, NULL);
    rc = rc == 0 ? net_client_fetch(self->client, what, &self->id) : rc;
    if (rc != 0) {
        return ETX_EINVALID;
    }
    while (rc == 0 && !self->done) {
        rc = net_loop_turn(self->loop, TURN_MS);
        if (self->stop != NULL && *self->stop && !self->left) {
            self->left = 1;
            net_client_cancel(self->client, self->id);
        }
    }
    return rc != 0 || self->error != 0 ? ETX_EUNAVAILABLE : 0;
}

int etx__server_send(server *self, const char *path, const char *text, const json_t **ret_answer) {
    net_fetch what = {.method = text != NULL ? "POST" : "GET",
                      .body = text,
                      .body_len = text != NULL ? strlen(text) : 0,
                      .answer_bytes_max = 1U << 30,
                      .timeout_ms = TIMEOUT_MS};
    int rc = fetch(self, path, &what, NULL);
    rc = rc == 0 ? judge_json(self) : rc;
    *ret_answer = self->answer;
    return rc;
}

int etx__server_ask(server *self, const char *path, json_t *body, const json_t **ret_answer) {
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    int rc = etx__server_send(self, path, text, ret_answer);
    json_decref(body);
    free(text);
    return rc;
}

int etx__server_text(server *self, const char *path, int *ret_status, const char **ret_text) {
    net_fetch what = {.method = "GET", .answer_bytes_max = 1U << 30, .timeout_ms = TIMEOUT_MS};
    int rc = fetch(self, path, &what, NULL);
    *ret_status = self->status;
    *ret_text = self->text != NULL ? self->text : "";
    return rc;
}

int etx__server_metrics(server *self, const char **ret_text) {
    int status;
    int rc = etx__server_text(self, "/metrics", &status, ret_text);
    if (rc != 0 || (status < 400 && strstr(*ret_text, "etxd_info{") != NULL)) {
        return rc;
    }
    rc = judge_json(self);
    *ret_text = "";
    return rc != 0 ? rc : ETX_EUNAVAILABLE;
}

int etx__server_stream(server *self,
                       const char *path,
                       const char *last_id,
                       server_piece_fn piece,
                       void *user) {
    net_fetch what = {.method = "GET",
                      .piece = on_piece,
                      .answer_bytes_max = STREAM_BYTES_MAX,
                      .timeout_ms = SILENCE_MS};
    int rc;
    self->piece = piece;
    self->user = user;
    rc = fetch(self, path, &what, last_id);
    if (self->left) {
        return 0;
    }
    return rc == 0 && self->status >= 400 ? judge_json(self) : rc == 0 ? ETX_ECLOSED : rc;
}

const char *etx__server_answer(const server *self) {
    return self->text != NULL ? self->text : "";
}

const char *etx__server_message(const server *self) {
    return self->message;
}

const char *etx__server_hint(const server *self, const char *away) {
    return self->todo != NULL                ? self->todo
           : !self->done || self->error == 0 ? NULL
           : away != NULL
               ? away
               : "is etxd started? else name another server: --server URL, or $ETX_SERVER";
}

const char *etx__server_name(const server *self) {
    return self->base;
}

const char *etx__server_date(const server *self) {
    return self->date;
}

void etx__server_path(char *path, const char *gid, const char *more) {
    size_t len = (size_t)snprintf(path, SERVER_PATH_MAX, "/v1/transactions/");
    for (; *gid != '\0'; gid++) {
        int plain = (*gid >= 'a' && *gid <= 'z') || (*gid >= 'A' && *gid <= 'Z') ||
                    (*gid >= '0' && *gid <= '9') || strchr("-._~", *gid) != NULL;
        len += (size_t)snprintf(path + len, SERVER_PATH_MAX - len, plain ? "%c" : "%%%02X", *gid);
    }
    snprintf(path + len, SERVER_PATH_MAX - len, "%s", more);
}

/* ---- opening and closing */

void etx__server_close(server *self) {
    net_client_free(self->client);
    if (self->loop != NULL) {
        (void)net_loop_turn(self->loop, 0);
    }
    net_loop_free(self->loop);
    net_tls_free(self->tls);
    json_decref(self->answer);
    free(self->text);
    free(self);
}

static const char *choose_url(const char *url) {
    const char *usual = getenv("ETX_SERVER");
    return url != NULL ? url : usual != NULL && usual[0] != '\0' ? usual : "http://127.0.0.1:7830";
}

/* What the environment names, if anything: an empty variable counts as none. */
static const char *file_of(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* As the field that says who asks. CLI_OK or an exit code. */
static int keep_token(cli_context *cli, server *self, const char *token) {
    static const char todo[] = "'etx token create' makes one, of 64 digits 0-9a-f";
    const char *at;
    if (token == NULL || token[0] == '\0') {
        return CLI_OK;
    }
    for (at = token; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f) {
            return etx__cli_fail(cli, todo,
                                 "ETX_TOKEN has a character that no token has (0x%02x, the end of "
                                 "a line?)",
                                 (unsigned)*at);
        }
    }
    if (snprintf(self->authorization, sizeof self->authorization, "Bearer %s", token) >=
        (int)sizeof self->authorization) {
        return etx__cli_fail(cli, todo, "ETX_TOKEN is too long for a token");
    }
    return CLI_OK;
}

/* A URL that is refused, without the password that may stand in it. */
static const char *mask(const char *url, char *shown, size_t size) {
    const char *scheme = strstr(url, "://");
    const char *user = scheme != NULL ? scheme + 3 : url;
    const char *at = strrchr(user, '@');
    const char *colon = at != NULL ? memchr(user, ':', (size_t)(at - user)) : NULL;
    if (at == NULL) {
        snprintf(shown, size, "%s", url);
    } else if (colon == NULL) {
        snprintf(shown, size, "%.*s***%s", (int)(user - url), url, at);
    } else {
        snprintf(shown, size, "%.*s:***%s", (int)(colon - url), url, at);
    }
    return shown;
}

/* A name is this machine's if it is "localhost". */
static int is_local(const net_url *url) {
    return url->kind == NET_HOST_IP4   ? url->ip[0] == 127
           : url->kind == NET_HOST_IP6 ? strcmp(url->host, "::1") == 0
                                       : strcmp(url->host, "localhost") == 0;
}

/* Who reads a token on the way has it. CLI_OK or an exit code. */
static int judge_way(cli_context *cli, const server *self, const net_url *url) {
    const char *may = getenv("ETX_INSECURE_WITHOUT_TLS");
    if (self->authorization[0] == '\0' || url->tls || is_local(url) ||
        (may != NULL && strcmp(may, "on") == 0)) {
        return CLI_OK;
    }
    return etx__cli_fail(cli,
                         "say https://, or set ETX_INSECURE_WITHOUT_TLS=on if all who are on the "
                         "way may have the token",
                         "%s: it is beyond this machine, and without TLS ETX_TOKEN could be read "
                         "on the way",
                         self->base);
}

int etx__server_open(cli_context *cli, const char *given, server **ret_server) {
    const net_tls_options tls = {.size = sizeof tls,
                                 .certificate = file_of("ETX_CERTIFICATE"),
                                 .key = file_of("ETX_KEY"),
                                 .authorities = file_of("ETX_CA")};
    const net_client_options options = {.size = sizeof options};
    const char *why = NULL;
    char message[NET_TLS_MESSAGE_MAX] = "";
    char shown[SERVER_PATH_MAX];
    server *self = calloc(1, sizeof *self);
    const char *url = choose_url(given);
    size_t len = strlen(url);
    net_url parsed;
    if (self == NULL) {
        return etx__cli_fail(cli, NULL, "out of memory");
    }
    self->stop = cli->stop;
    if (len >= sizeof self->base || net_url_parse(url, len, &parsed, &why) != 0) {
        free(self);
        return etx__cli_fail(cli, "write --server http://HOST:PORT", "'%s': %s",
                             mask(url, shown, sizeof shown), why != NULL ? why : "too long");
    }
    snprintf(self->base, sizeof self->base, "%s", url);
    self->base[len - (len > 0 && url[len - 1] == '/')] = '\0';
    if (keep_token(cli, self, getenv("ETX_TOKEN")) != CLI_OK ||
        judge_way(cli, self, &parsed) != CLI_OK) {
        free(self);
        return CLI_BAD;
    }
    if (net_loop_create(&self->loop) != 0 ||
        net_client_create(self->loop, &options, &self->client) != 0 ||
        (parsed.tls && net_tls_create(&tls, message, &self->tls) != 0)) {
        etx__server_close(self);
        return etx__cli_fail(cli, NULL, "%s", message[0] != '\0' ? message : "out of memory");
    }
    *ret_server = self;
    return CLI_OK;
}
