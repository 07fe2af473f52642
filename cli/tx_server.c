/* `etx tx --server`: the transactions of a server etxd that runs, over HTTP. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "../net/client.h"
#include "tx_command.h"

enum { PATH_BYTES = 1024, MESSAGE_BYTES = 600, TIMEOUT_MS = 600000 };

typedef struct server_client {
    tx_client head;
    net_loop *loop;
    net_client *client;
    net_tls *tls;
    char base[PATH_BYTES]; /* "http://host:port", no '/' behind it */
    char authorization[256];
    char message[MESSAGE_BYTES];
    /* of the request that is under way */
    int done, error, status;
    json_t *answer;
} server_client;

/* ---- one request, and waiting for its answer */

static void on_done(uint64_t id, const net_result *result, void *user) {
    server_client *self = user;
    (void)id;
    self->done = 1;
    self->error = result->error;
    self->status = result->status;
    if (result->error != 0) {
        snprintf(self->message, sizeof self->message, "%.300s: %.250s", self->base, result->detail);
    } else {
        self->answer =
            json_loadb(result->body.len > 0 ? result->body.bytes : "", result->body.len, 0, NULL);
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
                 {"memory", ETX_ENOMEM}};
    size_t i;
    for (i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (strcmp(codes[i].code, code) == 0) {
            return codes[i].rc;
        }
    }
    return ETX_EINVALID;
}

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static int judge_answer(server_client *self) {
    if (self->error != 0) {
        return ETX_EUNAVAILABLE;
    }
    if (self->answer == NULL) {
        snprintf(self->message, sizeof self->message, "%.500s is no server etxd", self->base);
        return ETX_EUNAVAILABLE;
    }
    if (self->status < 400) {
        return 0;
    }
    snprintf(self->message, sizeof self->message, "%s: %s (%s)", text_of(self->answer, "detail"),
             text_of(self->answer, "hint"), text_of(self->answer, "code"));
    return code_of(text_of(self->answer, "code"));
}

/* Sends `body` (a reference is taken; NULL: a GET), and waits. The answer is in self->answer. */
static int ask(server_client *self, const char *path, json_t *body) {
    char text[2 * PATH_BYTES];
    net_url url;
    net_header headers[2] = {{"Content-Type", "application/json"}};
    char *bytes = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    net_fetch fetch = {.size = sizeof fetch,
                       .url = &url,
                       .method = body != NULL ? "POST" : "GET",
                       .tls = self->tls,
                       .headers = headers,
                       .header_count = 1,
                       .body = bytes,
                       .body_len = bytes != NULL ? strlen(bytes) : 0,
                       .answer_bytes_max = 1U << 30,
                       .timeout_ms = TIMEOUT_MS,
                       .done = on_done,
                       .user = self};
    int rc;
    json_decref(body);
    json_decref(self->answer);
    self->answer = NULL;
    self->done = 0;
    self->message[0] = '\0';
    if (self->authorization[0] != '\0') {
        headers[fetch.header_count++] = (net_header){"Authorization", self->authorization};
    }
    snprintf(text, sizeof text, "%s%s", self->base, path);
    rc = net_url_parse(text, strlen(text), &url, NULL);
    rc = rc == 0 ? net_client_fetch(self->client, &fetch, NULL) : rc;
    while (rc == 0 && !self->done) {
        rc = net_loop_turn(self->loop, -1);
    }
    free(bytes);
    return rc == 0 ? judge_answer(self) : ETX_EINVALID;
}

/* "/v1/transactions/GID", with what must not stand in a path as %XX, and `more`. */
static void path_of(char *path, const char *gid, const char *more) {
    size_t len = (size_t)snprintf(path, PATH_BYTES, "/v1/transactions/");
    for (; *gid != '\0'; gid++) {
        int plain = (*gid >= 'a' && *gid <= 'z') || (*gid >= 'A' && *gid <= 'Z') ||
                    (*gid >= '0' && *gid <= '9') || strchr("-._~", *gid) != NULL;
        len += (size_t)snprintf(path + len, PATH_BYTES - len, plain ? "%c" : "%%%02X", *gid);
    }
    snprintf(path + len, PATH_BYTES - len, "%s", more);
}

/* ---- what the server tells, as libetx tells it */

static uint64_t number_of(const json_t *object, const char *name) {
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

/* "2026-01-31T12:00:00.123Z" to ms since 1970; 0 for null. */
static uint64_t moment_of(const json_t *object, const char *name) {
    struct tm parts = {0};
    const char *rest = strptime(text_of(object, name), "%Y-%m-%dT%H:%M:%S", &parts);
    uint64_t ms = rest != NULL && *rest == '.' ? strtoull(rest + 1, NULL, 10) : 0;
    return rest != NULL ? (uint64_t)timegm(&parts) * 1000 + ms : 0;
}

static const char *state_at(int i) {
    return etx_state_name((etx_state)i);
}

static const char *mode_at(int i) {
    return etx_mode_name((etx_mode)i);
}

static const char *durability_at(int i) {
    return etx_durability_name((etx_durability)i);
}

static const char *kind_at(int i) {
    return etx_kind_name((etx_kind)i);
}

static const char *reply_at(int i) {
    return etx_reply_name((etx_reply)i);
}

/* The number up to `last` that the member's word names, or 0. */
static int find_word(const json_t *object, const char *name, int last, const char *(*at)(int)) {
    const char *word = text_of(object, name);
    int i;
    for (i = 1; i <= last; i++) {
        if (strcmp(at(i), word) == 0) {
            return i;
        }
    }
    return 0;
}

static uint32_t marks_of(const json_t *object) {
    static const struct {
        const char *name;
        uint32_t mark;
    } marks[] = {{"forced", ETX_MARK_FORCED},
                 {"parked", ETX_MARK_PARKED},
                 {"held", ETX_MARK_HELD},
                 {"never-begun", ETX_MARK_NEVER_BEGUN},
                 {"chosen", ETX_MARK_CHOSEN},
                 {"stalled", ETX_MARK_STALLED},
                 {"unregistered", ETX_MARK_UNREGISTERED},
                 {"ended", ETX_MARK_ENDED}};
    uint32_t found = 0;
    size_t i, at;
    json_t *word;
    json_array_foreach(json_object_get(object, "marks"), at, word) {
        for (i = 0; i < sizeof marks / sizeof marks[0]; i++) {
            if (json_is_string(word) && strcmp(json_string_value(word), marks[i].name) == 0) {
                found |= marks[i].mark;
            }
        }
    }
    return found;
}

static etx_status status_of(const json_t *object) {
    etx_status status = {.size = sizeof status};
    const json_t *next = json_object_get(object, "next_ms");
    snprintf(status.gid, sizeof status.gid, "%s", text_of(object, "gid"));
    snprintf(status.home, sizeof status.home, "%s", text_of(object, "home"));
    snprintf(status.reason, sizeof status.reason, "%s", text_of(object, "reason"));
    status.state = (etx_state)find_word(object, "state", ETX_ABORTED, state_at);
    status.mode = (etx_mode)find_word(object, "mode", ETX_RESUMED, mode_at);
    status.durability =
        (etx_durability)find_word(object, "durability", ETX_REPLICATED, durability_at);
    status.marks = marks_of(object);
    status.partition = (uint32_t)number_of(object, "partition");
    status.begin_ms = moment_of(object, "begun");
    status.deadline_ms = moment_of(object, "deadline");
    status.decided_ms = moment_of(object, "decided");
    status.ended_ms = moment_of(object, "ended");
    status.next_ms = json_is_integer(next) ? (uint64_t)json_integer_value(next) : UINT64_MAX;
    status.calls_in_flight = (uint32_t)number_of(object, "calls_in_flight");
    status.branch_count = (uint32_t)number_of(object, "branch_count");
    return status;
}

static int tell_branch(const json_t *object, etx_branch_fn each, void *user) {
    etx_branch_status branch = {.size = sizeof branch};
    char *payload = json_dumps(json_object_get(object, "payload"), JSON_ENCODE_ANY | JSON_COMPACT);
    char *result = json_dumps(json_object_get(object, "result"), JSON_ENCODE_ANY | JSON_COMPACT);
    char participant[32];
    int rc;
    snprintf(participant, sizeof participant, "http-%.20s", text_of(object, "kind"));
    branch.name = text_of(object, "name");
    branch.participant = participant;
    branch.kind = (etx_kind)find_word(object, "kind", ETX_NOTIFICATION, kind_at);
    branch.flags = strcmp(text_of(object, "by"), "initiator") == 0 ? ETX_BY_INITIATOR : 0;
    branch.forward = (etx_reply)find_word(object, "forward", ETX_REFUSED, reply_at);
    branch.finish = (etx_reply)find_word(object, "finish", ETX_REFUSED, reply_at);
    branch.attempts = (uint32_t)number_of(object, "attempts");
    branch.failures = (uint32_t)number_of(object, "failures");
    branch.calling = (uint8_t)json_is_true(json_object_get(object, "calling"));
    branch.payload = (etx_bytes){payload, payload != NULL ? strlen(payload) : 0};
    branch.result = (etx_bytes){result, result != NULL ? strlen(result) : 0};
    branch.reason = text_of(object, "reason");
    rc = each(&branch, user);
    free(payload);
    free(result);
    return rc;
}

/* ---- the interface */

static void close_server(tx_client *client) {
    server_client *self = (server_client *)client;
    net_client_free(self->client);
    if (self->loop != NULL) {
        (void)net_loop_turn(self->loop, 0);
    }
    net_loop_free(self->loop);
    net_tls_free(self->tls);
    json_decref(self->answer);
    free(self);
}

static void message_server(tx_client *client, char *message, size_t size) {
    snprintf(message, size, "%s", ((server_client *)client)->message);
}

static uint64_t age_of(const etx_filter *filter) {
    uint64_t now = etx__cli_now_ms();
    return now > filter->begun_before_ms ? now - filter->begun_before_ms : 0;
}

static void states_of(uint32_t states, char *text, size_t size) {
    size_t len = 0;
    int i;
    text[0] = '\0';
    for (i = ETX_ACTIVE; i <= ETX_ABORTED; i++) {
        if ((states >> i & 1U) != 0 && len < size) {
            len +=
                (size_t)snprintf(text + len, size - len, "%s%s", len > 0 ? "," : "", state_at(i));
        }
    }
}

static int refuse_participant(server_client *self) {
    snprintf(self->message, sizeof self->message,
             "a server's participants are URLs: --participant is for --home");
    return ETX_EINVALID;
}

static int list_server(tx_client *client,
                       const etx_filter *filter,
                       etx_cursor *cursor,
                       uint32_t limit,
                       etx_status_fn each,
                       void *user) {
    server_client *self = (server_client *)client;
    char path[PATH_BYTES];
    char states[80];
    size_t len = (size_t)snprintf(path, sizeof path, "/v1/transactions?limit=%u%s%s", limit,
                                  filter->remembered ? "&ended=true" : "",
                                  filter->marks & ETX_MARK_PARKED ? "&parked=true" : "");
    const char *at;
    size_t i;
    json_t *one;
    int rc;
    states_of(filter->states, states, sizeof states);
    if (filter->participant != NULL) {
        return refuse_participant(self);
    }
    if (states[0] != '\0') {
        len += (size_t)snprintf(path + len, sizeof path - len, "&state=%s", states);
    }
    if (filter->begun_before_ms != 0) {
        len += (size_t)snprintf(path + len, sizeof path - len, "&older_than_ms=%llu",
                                (unsigned long long)age_of(filter));
    }
    if (cursor->word[0] != 0 || cursor->word[1] != 0) {
        len += (size_t)snprintf(path + len, sizeof path - len, "&cursor=%llx-%llx",
                                (unsigned long long)cursor->word[0],
                                (unsigned long long)cursor->word[1]);
    }
    if (filter->gid_prefix != NULL) {
        len += (size_t)snprintf(path + len, sizeof path - len, "&gid_prefix=");
        for (at = filter->gid_prefix; *at != '\0' && len + 4 < sizeof path; at++) {
            len += (size_t)snprintf(path + len, sizeof path - len, "%%%02X", (unsigned char)*at);
        }
    }
    rc = ask(self, path, NULL);
    if (rc != 0) {
        return rc;
    }
    *cursor = (etx_cursor){{0, 0}};
    (void)sscanf(text_of(self->answer, "cursor"), "%lx-%lx", &cursor->word[0], &cursor->word[1]);
    json_array_foreach(json_object_get(self->answer, "transactions"), i, one) {
        etx_status status = status_of(one);
        rc = each(&status, user);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int show_server(tx_client *client,
                       const char *gid,
                       etx_status *ret_status,
                       etx_branch_fn each,
                       void *user) {
    server_client *self = (server_client *)client;
    char path[PATH_BYTES];
    size_t i;
    json_t *one;
    int rc;
    path_of(path, gid, "");
    rc = ask(self, path, NULL);
    if (rc != 0) {
        return rc;
    }
    *ret_status = status_of(self->answer);
    json_array_foreach(json_object_get(self->answer, "branches"), i, one) {
        rc = each != NULL ? tell_branch(one, each, user) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static json_t *said(const char *who, const char *why) {
    json_t *body = json_object();
    if (who != NULL) {
        json_object_set_new(body, "who", json_string(who));
    }
    if (why != NULL) {
        json_object_set_new(body, "why", json_string(why));
    }
    return body;
}

static const char *word_of(etx_bulk what) {
    switch (what) {
        case ETX_BULK_RETRY:
            return "/retry";
        case ETX_BULK_PARK:
            return "/park";
        case ETX_BULK_RESUME:
            return "/resume";
    }
    return "";
}

static int operate_server(tx_client *client,
                          etx_bulk what,
                          const char *gid,
                          const char *who,
                          const char *why) {
    char path[PATH_BYTES];
    path_of(path, gid, word_of(what));
    return ask((server_client *)client, path, said(who, why));
}

static int bulk_server(tx_client *client,
                       etx_bulk what,
                       const etx_filter *filter,
                       uint32_t per_second,
                       const char *who,
                       const char *why,
                       uint64_t *ret_count) {
    server_client *self = (server_client *)client;
    json_t *body;
    json_t *sent;
    char path[PATH_BYTES];
    char states[80];
    int rc;
    if (filter->participant != NULL) {
        return refuse_participant(self);
    }
    body = said(who, why);
    sent = json_object();
    states_of(filter->states, states, sizeof states);
    if (states[0] != '\0') {
        json_object_set_new(sent, "state", json_string(states));
    }
    if ((filter->marks & ETX_MARK_PARKED) != 0) {
        json_object_set_new(sent, "parked", json_true());
    }
    if (filter->gid_prefix != NULL) {
        json_object_set_new(sent, "gid_prefix", json_string(filter->gid_prefix));
    }
    if (filter->begun_before_ms != 0) {
        json_object_set_new(sent, "older_than_ms", json_integer((json_int_t)age_of(filter)));
    }
    json_object_set_new(body, "filter", sent);
    if (per_second > 0) {
        json_object_set_new(body, "per_second", json_integer(per_second));
    }
    snprintf(path, sizeof path, "/v1/transactions%s", word_of(what));
    rc = ask(self, path, body);
    *ret_count = rc == 0 ? number_of(self->answer, "count") : 0;
    return rc;
}

static int force_server(tx_client *client,
                        const char *gid,
                        etx_force what,
                        const char *branch,
                        etx_operation operation,
                        const char *who,
                        const char *why) {
    server_client *self = (server_client *)client;
    char path[PATH_BYTES];
    json_t *body = said(who, why);
    json_t *found;
    size_t i;
    json_object_set_new(body, "as",
                        json_string(what == ETX_FORCE_ABORT    ? "abort"
                                    : what == ETX_FORCE_COMMIT ? "commit"
                                                               : "done"));
    if (what == ETX_FORCE_DONE) {
        /* The server knows an operation by the word of its kind. */
        path_of(path, gid, "");
        if (ask(self, path, NULL) != 0) {
            json_decref(body);
            return ETX_ENOTFOUND;
        }
        json_array_foreach(json_object_get(self->answer, "branches"), i, found) {
            if (strcmp(text_of(found, "name"), branch) == 0) {
                etx_kind kind = (etx_kind)find_word(found, "kind", ETX_NOTIFICATION, kind_at);
                json_object_set_new(body, "operation",
                                    json_string(etx_operation_name(kind, operation)));
            }
        }
        json_object_set_new(body, "branch", json_string(branch));
    }
    path_of(path, gid, "/force");
    return ask(self, path, body);
}

int etx__tx_server_post(tx_client *client,
                        const char *gid,
                        const char *more,
                        json_t *body,
                        const json_t **ret_answer) {
    server_client *self = (server_client *)client;
    char path[PATH_BYTES];
    int rc;
    path_of(path, gid, more);
    if (gid[0] == '\0') {
        path[strlen(path) - 1] = '\0'; /* "/v1/transactions" */
    }
    rc = ask(self, path, body);
    *ret_answer = self->answer;
    return rc;
}

static const tx_client_ops server_ops = {close_server, list_server,  show_server,   operate_server,
                                         bulk_server,  force_server, message_server};

int etx__tx_open_server(cli_context *cli, const char *url, tx_client **ret_client) {
    const net_tls_options tls = {.size = sizeof tls, .authorities = getenv("ETX_CA")};
    const net_client_options options = {.size = sizeof options};
    const char *token = getenv("ETX_TOKEN");
    const char *why = NULL;
    char message[NET_TLS_MESSAGE_MAX] = "";
    server_client *self = calloc(1, sizeof *self);
    size_t len = strlen(url);
    net_url parsed;
    if (self == NULL) {
        return etx__cli_fail(cli, NULL, "out of memory");
    }
    self->head.ops = &server_ops;
    if (len >= sizeof self->base || net_url_parse(url, len, &parsed, &why) != 0) {
        free(self);
        return etx__cli_fail(cli, "write --server http://HOST:PORT", "'%s': %s", url,
                             why != NULL ? why : "too long");
    }
    snprintf(self->base, sizeof self->base, "%s", url);
    self->base[len - (len > 0 && url[len - 1] == '/')] = '\0';
    if (token != NULL && token[0] != '\0') {
        snprintf(self->authorization, sizeof self->authorization, "Bearer %s", token);
    }
    if (net_loop_create(&self->loop) != 0 ||
        net_client_create(self->loop, &options, &self->client) != 0 ||
        (parsed.tls && net_tls_create(&tls, message, &self->tls) != 0)) {
        close_server(&self->head);
        return etx__cli_fail(cli, NULL, "%s", message[0] != '\0' ? message : "out of memory");
    }
    *ret_client = &self->head;
    return CLI_OK;
}
