/* A bank of the torture: in the coordinator's process, or in one of its own behind a socket.
 *
 * A bank of its own is asked over a connection per call. If no answer comes in time the caller
 * gives up, the answer is unknown, and the call is made again; the first one may still be in the
 * bank's queue and be carried out long after, also after its undo. That is what fences are for. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "torture.h"

enum { BACKLOG = 64, CONNECTIONS = 64 };

typedef struct request {
    char gid[ETX_GID_MAX + 1];
    char branch[ETX_NAME_MAX + 1];
    etx_operation operation;
    etx_kind kind;
    uint64_t begin_ms;
    size_t len;
    char payload[96];
} request;

typedef struct answer {
    etx_reply reply;
    char reason[DEMO_REASON_MAX];
} answer;

int torture_bank_listen(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    /* The family alone: the kernel chooses a name that no file has. */
    if (bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) != 0 ||
        listen(fd, BACKLOG) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int connect_to(int listener) {
    struct sockaddr_un address;
    socklen_t len = sizeof address;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && (getsockname(listener, (struct sockaddr *)&address, &len) != 0 ||
                    connect(fd, (struct sockaddr *)&address, len) != 0)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static etx_reply ask(int fd, const request *question, char *reason) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    answer got;
    if (send(fd, question, sizeof *question, MSG_NOSIGNAL) != (ssize_t)sizeof *question ||
        poll(&ready, 1, TORTURE_CALL_MS) != 1 ||
        recv(fd, &got, sizeof got, 0) != (ssize_t)sizeof got) {
        return ETX_RETRY;
    }
    memcpy(reason, got.reason, sizeof got.reason);
    return got.reply;
}

static etx_reply serve_remote(torture_bank *bank,
                              const etx_fence_call *call,
                              etx_bytes payload,
                              char *reason) {
    request question = {.operation = call->operation,
                        .kind = call->kind,
                        .begin_ms = call->begin_ms,
                        .len = payload.len};
    etx_reply reply = ETX_RETRY;
    int fd;
    reason[0] = '\0';
    if (payload.len > sizeof question.payload) {
        return ETX_RETRY;
    }
    memcpy(question.payload, payload.data, payload.len);
    snprintf(question.gid, sizeof question.gid, "%s", call->gid);
    snprintf(question.branch, sizeof question.branch, "%s", call->branch);
    fd = connect_to(bank->listener);
    if (fd >= 0) {
        reply = ask(fd, &question, reason);
        (void)close(fd);
    }
    return reply;
}

etx_reply torture_bank_serve(torture_bank *bank,
                             const etx_fence_call *call,
                             etx_bytes payload,
                             char *reason) {
    return bank->remote ? serve_remote(bank, call, payload, reason)
                        : etx__demo_bank_serve(&bank->local, call, payload, reason);
}

/* Answers what one connection asks; 0 if it is over. */
static int answer_one(demo_bank *bank, int fd) {
    etx_fence_call call = ETX_FENCE_CALL_INIT;
    request question;
    answer said;
    if (recv(fd, &question, sizeof question, 0) != (ssize_t)sizeof question) {
        return 0;
    }
    memset(&said, 0, sizeof said);
    call.gid = question.gid;
    call.branch = question.branch;
    call.operation = question.operation;
    call.kind = question.kind;
    call.begin_ms = question.begin_ms;
    torture_pass(TORTURE_CALLED);
    said.reply =
        etx__demo_bank_serve(bank, &call, (etx_bytes){question.payload, question.len}, said.reason);
    torture_pass(TORTURE_SERVED);
    return send(fd, &said, sizeof said, MSG_NOSIGNAL) == (ssize_t)sizeof said;
}

/* Serves in the order of poll's list, which is not the order of sending. */
static void serve_ready(demo_bank *bank, struct pollfd *polled, nfds_t *count) {
    nfds_t i = 1;
    while (i < *count) {
        if (polled[i].revents == 0 || answer_one(bank, polled[i].fd)) {
            i++;
            continue;
        }
        (void)close(polled[i].fd);
        polled[i] = polled[--*count];
    }
    if (polled[0].revents != 0 && *count < CONNECTIONS) {
        int fd = accept4(polled[0].fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            polled[(*count)++] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
    }
}

int torture_bank_main(torture_cell *cell, int place) {
    struct pollfd polled[CONNECTIONS] = {{.fd = cell->listener[place], .events = POLLIN}};
    demo_bank bank = {.progress = &cell->page->progress};
    nfds_t count = 1;
    if (etx__demo_bank_open(cell->cli, cell->dir, place, &bank) != CLI_OK) {
        return CLI_BAD;
    }
    for (;;) {
        if (poll(polled, count, -1) < 0 && errno != EINTR) {
            return CLI_BAD;
        }
        serve_ready(&bank, polled, &count);
    }
}
