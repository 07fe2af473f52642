/* The engine's side of the rig, and raw sockets. */
#include "rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

void rig_must(int rc, const char *what) {
    if (rc != 0) {
        fail_msg("%s: %s", what, etx_error_name(rc));
    }
}

/* ---- engines */

static void on_event(const etx_event *event, void *user) {
    rig *self = user;
    pthread_mutex_lock(&self->lock);
    snprintf(self->reason[self->reasons++ % RIG_REASONS_MAX], sizeof self->reason[0], "%s",
             event->reason);
    pthread_mutex_unlock(&self->lock);
}

int rig_said(rig *self, const char *text) {
    int said = 0;
    pthread_mutex_lock(&self->lock);
    for (unsigned i = 0; i < self->reasons && i < RIG_REASONS_MAX; i++) {
        said |= strstr(self->reason[i], text) != NULL;
    }
    pthread_mutex_unlock(&self->lock);
    return said;
}

void rig_start(rig *self) {
    static const char *const loopback[] = {"http://127.0.0.1:*", "https://127.0.0.1:*",
                                           "https://localhost:*"};
    etx_options options = ETX_OPTIONS_INIT;
    etx_monitor monitor = ETX_MONITOR_INIT;
    char why[300] = "";
    pthread_mutex_init(&self->lock, NULL);
    self->options.size = sizeof self->options;
    if (self->options.allow == NULL) {
        self->options.allow = loopback;
        /* trusting the system's authorities takes time: only who has some of its own wants TLS */
        self->options.allow_count = self->options.ca_file != NULL ? 3 : 1;
    }
    monitor.on_event = on_event;
    monitor.user = self;
    monitor.events = 1ull << ETX_EVENT_CALL_UNKNOWN | 1ull << ETX_EVENT_FINISH_REFUSED;
    options.monitor = &monitor;
    options.flags = ETX_ALLOW_VOLATILE;
    options.shards = self->shards > 0 ? self->shards : 1;
    options.transactions_max = 4096;
    options.memory_max = 256u << 20;
    options.retry_first_ms = 20;
    options.retry_cap_ms = 200;
    options.working_ms = 30;
    options.durability = self->home != NULL ? ETX_LOCAL : ETX_VOLATILE;
    if (etx_http_create(&self->options, &self->http, why, sizeof why) != 0) {
        fail_msg("%s", why);
    }
    rig_must(etx_engine_create(&options, &self->engine), "create");
    rig_must(etx_engine_home(self->engine, self->home != NULL ? self->home : "memory:"), "home");
    rig_must(etx_http_register(self->http, self->engine), "register");
    int rc = etx_engine_start(self->engine);
    if (rc != 0) {
        etx_engine_message(self->engine, why, sizeof why);
        fail_msg("start: %s: %s", etx_error_name(rc), why);
    }
}

void rig_stop(rig *self, etx_close_mode mode) {
    (void)etx_engine_close(self->engine, mode, 10000);
    etx_http_free(self->http);
    etx_engine_free(self->engine);
    pthread_mutex_destroy(&self->lock);
}

etx_tx *rig_tx(rig *self, const char *gid) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx;
    options.gid = gid;
    options.patience_ms = 30000;
    rig_must(etx_tx_new(self->engine, &options, &tx), "new");
    return tx;
}

void rig_add(etx_tx *tx,
             const char *participant,
             const char *name,
             const char *url,
             const char *path,
             const char *undo_path) {
    rig_add_timed(tx, participant, name, url, path, undo_path, 2000);
}

void rig_add_timed(etx_tx *tx,
                   const char *participant,
                   const char *name,
                   const char *url,
                   const char *path,
                   const char *undo_path,
                   uint32_t timeout_ms) {
    char all[256];
    char undo[256];
    etx_branch branch = ETX_BRANCH_INIT;
    etx_http_branch said = {.size = sizeof said, .payload = {"{\"n\": 1}", 8}};
    void *bytes;
    snprintf(all, sizeof all, "%s%s", url, path);
    snprintf(undo, sizeof undo, "%s%s", url, undo_path != NULL ? undo_path : path);
    said.forward_url = said.commit_url = all;
    said.undo_url = undo;
    rig_must(etx_http_branch_write(&said, &bytes, &branch.payload_len, NULL, 0), "write");
    branch.participant = participant;
    branch.name = name;
    branch.payload = bytes;
    branch.call_timeout_ms = timeout_ms;
    rig_must(etx_tx_add_branch(tx, &branch), "add");
    free(bytes);
}

etx_state rig_run(rig *self, const char *url, const char *path, etx_outcome *outcome) {
    etx_tx *tx = rig_tx(self, NULL);
    *outcome = (etx_outcome)ETX_OUTCOME_INIT;
    rig_add(tx, "http-saga", "step", url, path, "/ok");
    rig_must(etx_tx_run(tx, outcome), "run");
    return outcome->state;
}

etx_state rig_wait(rig *self, const char *gid) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(etx_wait_for(self->engine, gid, ETX_WAIT_ENDED, 30000, &outcome), gid);
    return outcome.state;
}

/* ---- raw sockets */

static void read_request(int fd) {
    char bytes[8192];
    size_t len = 0;
    ssize_t got;
    while (len < sizeof bytes - 1 && (got = recv(fd, bytes + len, sizeof bytes - 1 - len, 0)) > 0) {
        len += (size_t)got;
        bytes[len] = '\0';
        const char *end = strstr(bytes, "\r\n\r\n");
        const char *length = strstr(bytes, "Content-Length: ");
        if (end != NULL && length != NULL &&
            (size_t)(end + 4 - bytes) + strtoul(length + 16, NULL, 10) <= len) {
            return;
        }
    }
}

static void *serve_raw(void *user) {
    static const char good[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    rig_raw *self = user;
    int fd;
    while ((fd = accept(self->fd, NULL, NULL)) >= 0) {
        read_request(fd);
        int first = atomic_fetch_add(&self->calls, 1) == 0;
        const char *bytes = first ? self->bytes : good;
        size_t left = first ? self->len : sizeof good - 1;
        ssize_t sent;
        while (left > 0 && (sent = send(fd, bytes, left, MSG_NOSIGNAL)) > 0) {
            bytes += sent;
            left -= (size_t)sent;
        }
        if (first && self->waits) {
            char more;
            atomic_fetch_add(&self->closed, recv(fd, &more, 1, 0) <= 0);
        }
        close(fd);
    }
    return NULL;
}

void rig_raw_start(rig_raw *self, const char *bytes, size_t len, int waits) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *self = (rig_raw){.bytes = bytes, .len = len, .waits = waits};
    self->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(self->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(self->fd, 128), 0);
    assert_int_equal(getsockname(self->fd, (struct sockaddr *)&address, &size), 0);
    snprintf(self->url, sizeof self->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&self->thread, NULL, serve_raw, self), 0);
}

void rig_raw_stop(rig_raw *self) {
    shutdown(self->fd, SHUT_RDWR);
    pthread_join(self->thread, NULL);
    close(self->fd);
}
