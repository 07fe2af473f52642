/* The server's side of the rig: what each path does, and the ledger of what was done. */
#include "rig.h"

typedef struct held {
    net_timer timer;
    rig_server *self;
    net_request *request;
    unsigned index;
} held;

static void take(net_request *request, const char *name, char *to, size_t size) {
    net_text value = net_request_header(request, name);
    snprintf(to, size, "%.*s", (int)value.len, value.len > 0 ? value.bytes : "");
}

/* Writes the call down: its index, or -1 if there is no more room. `*ret_times`: so many of this
 * key came before. */
static int write_down(rig_server *self, net_request *request, unsigned *ret_times) {
    char attempt[16];
    net_text body = net_request_body(request);
    net_text path = net_request_path(request);
    net_text query = net_request_query(request);
    *ret_times = 0;
    if (self->count == RIG_CALLS_MAX) {
        return -1;
    }
    rig_call *call = &self->call[self->count];
    memset(call, 0, sizeof *call);
    take(request, "etx-gid", call->gid, sizeof call->gid);
    take(request, "etx-branch", call->branch, sizeof call->branch);
    take(request, "etx-operation", call->operation, sizeof call->operation);
    take(request, "etx-attempt", attempt, sizeof attempt);
    take(request, "etx-begin", call->begin, sizeof call->begin);
    take(request, "etx-deadline", call->deadline, sizeof call->deadline);
    take(request, "etx-run", call->run, sizeof call->run);
    take(request, "idempotency-key", call->key, sizeof call->key);
    take(request, "traceparent", call->trace, sizeof call->trace);
    take(request, "content-type", call->type, sizeof call->type);
    take(request, "x-secret", call->secret, sizeof call->secret);
    take(request, "x-static", call->statics, sizeof call->statics);
    take(request, "content-digest", call->digest, sizeof call->digest);
    take(request, "signature-input", call->input, sizeof call->input);
    take(request, "signature", call->signature, sizeof call->signature);
    net_request_subject(request, call->subject);
    snprintf(call->uri, sizeof call->uri, "%s%.*s%s%.*s", self->url, (int)path.len, path.bytes,
             query.len > 0 ? "?" : "", (int)query.len, query.len > 0 ? query.bytes : "");
    call->attempt = (unsigned)strtoul(attempt, NULL, 10);
    call->body_len = body.len;
    memcpy(call->body, body.len > 0 ? body.bytes : "",
           body.len < RIG_BODY_MAX ? body.len : RIG_BODY_MAX);
    call->at_ms = host_now_ms();
    for (unsigned i = 0; i < self->count; i++) {
        *ret_times += strcmp(self->call[i].key, call->key) == 0;
    }
    return (int)self->count++;
}

static void give(net_request *request, int status, const char *type, const char *body, size_t len) {
    char after[16] = "";
    net_text query = net_request_query(request);
    snprintf(after, sizeof after, "%.*s", (int)query.len, query.len > 0 ? query.bytes : "");
    const net_header headers[] = {{"Location", "/ok"}, {"Retry-After", after}};
    const net_answer answer = {.size = sizeof answer,
                               .status = status,
                               .content_type = type,
                               .body = body,
                               .body_len = len,
                               .headers = headers,
                               .header_count = query.len > 0 ? 2 : 1};
    (void)net_request_answer(request, &answer);
}

static void give_text(net_request *request, int status, const char *type, const char *body) {
    give(request, status, type, body, strlen(body));
}

static void write_done(rig_server *self, int index, char *text, size_t size) {
    pthread_mutex_lock(&self->lock);
    self->call[index].done = 1;
    snprintf(text, size, "\"%s\"", self->call[index].branch);
    pthread_mutex_unlock(&self->lock);
}

static void give_ok(rig_server *self, net_request *request, int index) {
    char text[ETX_NAME_MAX + 4];
    write_done(self, index, text, sizeof text);
    give_text(request, 200, "application/json", text);
}

static void give_huge(net_request *request) {
    size_t len = 2 << 20;
    char *body = calloc(1, len);
    give(request, 200, "application/octet-stream", body, len);
    free(body);
}

static void let_go(net_timer *timer) {
    held *one = (held *)(void *)timer;
    char text[ETX_NAME_MAX + 4];
    const net_answer answer = {.size = sizeof answer, .status = 200, .body = text};
    net_answer full = answer;
    write_done(one->self, (int)one->index, text, sizeof text);
    full.body_len = strlen(text);
    atomic_fetch_sub(&one->self->open, 1);
    (void)net_request_answer(one->request, &full);
    free(one);
}

static void hold(rig_server *self, net_request *request, int index, unsigned ms) {
    held *one = calloc(1, sizeof *one);
    unsigned open = atomic_fetch_add(&self->open, 1) + 1;
    if (open > atomic_load(&self->open_max)) {
        atomic_store(&self->open_max, open);
    }
    one->timer.fire = let_go;
    one->self = self;
    one->request = request;
    one->index = (unsigned)index;
    net_timer_start(self->loop, &one->timer, ms);
}

static void is_gone(net_request *request, void *user) {
    rig_server *self = user;
    const net_answer answer = {.size = sizeof answer, .status = 200};
    atomic_fetch_add(&self->gone, 1);
    (void)net_request_answer(request, &answer);
}

static uint32_t chance(rig_server *self, uint32_t of) {
    self->seed = self->seed * 1664525u + 1013904223u;
    return (self->seed >> 8) % of;
}

/* A branch whose name begins with 'r' refuses to go forward. */
static void misbehave(rig_server *self, net_request *request, int index) {
    const rig_call *call = &self->call[index];
    int forward = strcmp(call->operation, "try") == 0 || strcmp(call->operation, "action") == 0;
    if (forward && call->branch[0] == 'r') {
        give_text(request, 409, "text/plain", "no");
        return;
    }
    switch (chance(self, 8)) {
        case 0:
            give_text(request, 500, "text/plain", "broken");
            return;
        case 1:
            give_text(request, 202, NULL, "");
            return;
        case 2:
            hold(self, request, index, 5 + chance(self, 60));
            return;
        case 3:
            net_request_on_gone(request, is_gone, self);
            return;
        default:
            give_ok(self, request, index);
    }
}

static int is_path(net_text path, const char *text) {
    return path.len == strlen(text) && memcmp(path.bytes, text, path.len) == 0;
}

static unsigned number_of(net_text path) {
    char text[16];
    size_t at = path.len;
    while (at > 0 && path.bytes[at - 1] != '/') {
        at--;
    }
    snprintf(text, sizeof text, "%.*s", (int)(path.len - at), path.bytes + at);
    return (unsigned)strtoul(text, NULL, 10);
}

static int begins(net_text path, const char *text) {
    return path.len >= strlen(text) && memcmp(path.bytes, text, strlen(text)) == 0;
}

static void serve(net_request *request, void *user) {
    rig_server *self = user;
    net_text path = net_request_path(request);
    unsigned times;
    pthread_mutex_lock(&self->lock);
    int index = write_down(self, request, &times);
    pthread_mutex_unlock(&self->lock);
    atomic_fetch_add(&self->calls, 1);
    if (index < 0) {
        give_text(request, 507, NULL, "");
    } else if (is_path(path, "/empty")) {
        give_text(request, 204, NULL, "");
    } else if (is_path(path, "/refuse")) {
        give_text(request, 409, "application/problem+json",
                  "{\"title\": \"no\", \"detail\": \"no stock\\nleft\"}");
    } else if (is_path(path, "/refuse-text")) {
        give_text(request, 409, "text/plain; charset=utf-8", "sold out");
    } else if (is_path(path, "/first/hang") && times == 0) {
        net_request_on_gone(request, is_gone, self);
    } else if (is_path(path, "/first/huge") && times == 0) {
        give_huge(request);
    } else if (begins(path, "/first/") && times == 0) {
        give_text(request, (int)number_of(path), "text/plain", "in words");
    } else if (begins(path, "/query/") || begins(path, "/resume/")) {
        give_text(request, (int)number_of(path), NULL, "");
    } else if (begins(path, "/hold/")) {
        hold(self, request, index, number_of(path));
    } else if (is_path(path, "/chaos")) {
        misbehave(self, request, index);
    } else {
        give_ok(self, request, index);
    }
}

static void *run(void *user) {
    rig_server *self = user;
    (void)net_loop_run(self->loop);
    return NULL;
}

void rig_server_start(rig_server *self) {
    const net_server_options options = {.size = sizeof options, .handler = serve, .user = self};
    net_address address;
    self->call = calloc(RIG_CALLS_MAX, sizeof *self->call);
    assert_non_null(self->call);
    pthread_mutex_init(&self->lock, NULL);
    assert_int_equal(net_loop_create(&self->loop), 0);
    assert_int_equal(net_server_create(self->loop, &options, &self->server), 0);
    assert_int_equal(
        net_server_listen(self->server, self->listen != NULL ? self->listen : "127.0.0.1:0",
                          self->tls, 0, &address),
        0);
    self->port = ntohs(address.at.ip4.sin_port);
    snprintf(self->url, sizeof self->url, "http%s://127.0.0.1:%u", self->tls != NULL ? "s" : "",
             self->port);
    assert_int_equal(pthread_create(&self->thread, NULL, run, self), 0);
}

void rig_server_stop(rig_server *self) {
    net_loop_stop(self->loop);
    pthread_join(self->thread, NULL);
    net_server_free(self->server);
    for (int i = 0; i < 100 && atomic_load(&self->open) > 0; i++) {
        (void)net_loop_turn(self->loop, 10); /* what is held */
    }
    net_loop_free(self->loop);
    pthread_mutex_destroy(&self->lock);
    free(self->call);
}

int rig_find(rig_server *self, unsigned from, const char *branch, const char *operation) {
    int found = -1;
    pthread_mutex_lock(&self->lock);
    for (unsigned i = from; i < self->count && found < 0; i++) {
        if (strcmp(self->call[i].branch, branch) == 0 &&
            strcmp(self->call[i].operation, operation) == 0) {
            found = (int)i;
        }
    }
    pthread_mutex_unlock(&self->lock);
    return found;
}

static int was_done(const rig_server *self, const char *gid, const char *operation) {
    for (unsigned i = 0; i < self->count; i++) {
        const rig_call *call = &self->call[i];
        if (call->done && strcmp(call->gid, gid) == 0 && strcmp(call->operation, operation) == 0) {
            return 1;
        }
    }
    return 0;
}

unsigned rig_torn(rig_server *self) {
    unsigned torn = 0;
    pthread_mutex_lock(&self->lock);
    for (unsigned i = 0; i < self->count; i++) {
        const char *gid = self->call[i].gid;
        if (strcmp(self->call[i].operation, "confirm") == 0 && was_done(self, gid, "cancel")) {
            fprintf(stderr, "%s was confirmed and cancelled\n", gid);
            torn++;
        }
    }
    pthread_mutex_unlock(&self->lock);
    return torn;
}
