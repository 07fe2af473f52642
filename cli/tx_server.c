/* `etx tx --server`: the transactions of a server etxd that runs, over HTTP. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json_text.h"
#include "server.h"
#include "tx_command.h"

typedef struct server_client {
    tx_client head;
    server *server;
    const json_t *answer;
    char message[160]; /* of an error that is not the server's */
} server_client;

/* The answer is in self->answer. */
static int ask(server_client *self, const char *path, json_t *body) {
    self->message[0] = '\0';
    return etx__server_ask(self->server, path, body, &self->answer);
}

/* ---- what the server tells, as libetx tells it */

static uint64_t number_of(const json_t *object, const char *name) {
    return (uint64_t)json_number_value(json_object_get(object, name));
}

/* "2026-01-31T12:00:00.123Z" to ms since 1970; 0 for null. */
static uint64_t moment_of(const json_t *object, const char *name) {
    struct tm parts = {0};
    const char *rest = strptime(etx__server_word(object, name), "%Y-%m-%dT%H:%M:%S", &parts);
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
    const char *word = etx__server_word(object, name);
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
    snprintf(status.gid, sizeof status.gid, "%s", etx__server_word(object, "gid"));
    snprintf(status.home, sizeof status.home, "%s", etx__server_word(object, "home"));
    snprintf(status.reason, sizeof status.reason, "%s", etx__server_word(object, "reason"));
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
    status.next_ms = json_is_number(next) ? (uint64_t)json_number_value(next) : UINT64_MAX;
    status.calls_in_flight = (uint32_t)number_of(object, "calls_in_flight");
    status.branch_count = (uint32_t)number_of(object, "branch_count");
    return status;
}

/* The text is the object's: payloads are shown as they are. */
static int tell_branch(const json_t *object, json_text text, etx_branch_fn each, void *user) {
    etx_branch_status branch = {.size = sizeof branch};
    json_text payload = etx__json_member(text, "payload");
    json_text result = etx__json_member(text, "result");
    char participant[32];
    snprintf(participant, sizeof participant, "http-%.20s", etx__server_word(object, "kind"));
    branch.name = etx__server_word(object, "name");
    branch.participant = participant;
    branch.kind = (etx_kind)find_word(object, "kind", ETX_NOTIFICATION, kind_at);
    branch.flags = strcmp(etx__server_word(object, "by"), "initiator") == 0 ? ETX_BY_INITIATOR : 0;
    branch.forward = (etx_reply)find_word(object, "forward", ETX_REFUSED, reply_at);
    branch.finish = (etx_reply)find_word(object, "finish", ETX_REFUSED, reply_at);
    branch.attempts = (uint32_t)number_of(object, "attempts");
    branch.forward_attempts = (uint32_t)number_of(object, "forward_attempts");
    branch.failures = (uint32_t)number_of(object, "failures");
    branch.calling = (uint8_t)json_is_true(json_object_get(object, "calling"));
    branch.payload = (etx_bytes){payload.at, payload.len};
    branch.result = (etx_bytes){result.at, result.len};
    branch.reason = etx__server_word(object, "reason");
    return each(&branch, user);
}

/* ---- the interface */

static void close_server(tx_client *client) {
    server_client *self = (server_client *)client;
    etx__server_close(self->server);
    free(self);
}

static void message_server(tx_client *client, char *message, size_t size) {
    server_client *self = (server_client *)client;
    snprintf(message, size, "%s",
             self->message[0] != '\0' ? self->message : etx__server_message(self->server));
}

static const char *hint_server(tx_client *client) {
    return etx__server_hint(((server_client *)client)->server,
                            "is etxd started? else name another: --server URL, or $ETX_SERVER; a "
                            "log that a program has of its own is looked at with --home file:DIR");
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
    char path[SERVER_PATH_MAX];
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
    if (filter->marks & ETX_MARK_STALLED) {
        len += (size_t)snprintf(path + len, sizeof path - len, "&stalled=true");
    }
    if (filter->kind != 0) {
        len += (size_t)snprintf(path + len, sizeof path - len, "&kind=%s",
                                etx_kind_name(filter->kind));
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
    (void)sscanf(etx__server_word(self->answer, "cursor"), "%lx-%lx", &cursor->word[0],
                 &cursor->word[1]);
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
    char path[SERVER_PATH_MAX];
    size_t i;
    json_t *one;
    json_text texts;
    int rc;
    etx__server_path(path, gid, "");
    rc = ask(self, path, NULL);
    if (rc != 0) {
        return rc;
    }
    *ret_status = status_of(self->answer);
    texts = etx__json_member(etx__json_text(etx__server_answer(self->server)), "branches");
    json_array_foreach(json_object_get(self->answer, "branches"), i, one) {
        rc = each != NULL ? tell_branch(one, etx__json_item(texts, i), each, user) : 0;
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
    char path[SERVER_PATH_MAX];
    etx__server_path(path, gid, word_of(what));
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
    char path[SERVER_PATH_MAX];
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
    if ((filter->marks & ETX_MARK_STALLED) != 0) {
        json_object_set_new(sent, "stalled", json_true());
    }
    if (filter->kind != 0) {
        json_object_set_new(sent, "kind", json_string(etx_kind_name(filter->kind)));
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

/* Adds the branch to settle, and its operation, which the server knows by the word of its kind. */
static int add_settling(server_client *self,
                        const char *gid,
                        const char *branch,
                        etx_operation operation,
                        json_t *body) {
    char path[SERVER_PATH_MAX];
    int rc;
    size_t i;
    json_t *found;
    etx__server_path(path, gid, "");
    rc = ask(self, path, NULL);
    if (rc != 0) {
        return rc;
    }
    json_array_foreach(json_object_get(self->answer, "branches"), i, found) {
        if (strcmp(etx__server_word(found, "name"), branch) == 0) {
            etx_kind kind = (etx_kind)find_word(found, "kind", ETX_NOTIFICATION, kind_at);
            json_object_set_new(body, "operation",
                                json_string(etx_operation_name(kind, operation)));
            json_object_set_new(body, "branch", json_string(branch));
            return 0;
        }
    }
    snprintf(self->message, sizeof self->message, "branch %.100s is not there", branch);
    return ETX_ENOTFOUND;
}

static int force_server(tx_client *client,
                        const char *gid,
                        etx_force what,
                        const char *branch,
                        etx_operation operation,
                        const char *who,
                        const char *why) {
    server_client *self = (server_client *)client;
    char path[SERVER_PATH_MAX];
    json_t *body = said(who, why);
    int rc = what == ETX_FORCE_DONE ? add_settling(self, gid, branch, operation, body) : 0;
    if (rc != 0) {
        json_decref(body);
        return rc;
    }
    json_object_set_new(body, "as",
                        json_string(what == ETX_FORCE_ABORT    ? "abort"
                                    : what == ETX_FORCE_COMMIT ? "commit"
                                                               : "done"));
    etx__server_path(path, gid, "/force");
    return ask(self, path, body);
}

int etx__tx_server_post(tx_client *client,
                        const char *gid,
                        const char *more,
                        const char *body,
                        const json_t **ret_answer) {
    server_client *self = (server_client *)client;
    char path[SERVER_PATH_MAX];
    int rc;
    etx__server_path(path, gid, more);
    if (gid[0] == '\0') {
        path[strlen(path) - 1] = '\0'; /* "/v1/transactions" */
    }
    self->message[0] = '\0';
    rc = etx__server_send(self->server, path, body, &self->answer);
    *ret_answer = self->answer;
    return rc;
}

static const tx_client_ops server_ops = {close_server, list_server,  show_server,    operate_server,
                                         bulk_server,  force_server, message_server, hint_server};

int etx__tx_open_server(cli_context *cli, const char *url, tx_client **ret_client) {
    server_client *self = calloc(1, sizeof *self);
    int code;
    if (self == NULL) {
        return etx__cli_fail(cli, NULL, "out of memory");
    }
    self->head.ops = &server_ops;
    code = etx__server_open(cli, url, &self->server);
    if (code != CLI_OK) {
        free(self);
        return code;
    }
    *ret_client = &self->head;
    return CLI_OK;
}
