/* Replaces what the C library offers for connections, and wraps what it offers for memory.
 *
 * Linux says of a send how much it has taken, so one that fails has sent nothing: what was sent in
 * part, or whole, before the connection broke is told by the next call. A connection that is broken
 * is shut down for the other side; on this side it gives what such ones give: the error once, and
 * then its end. */
#include "wire.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLACES __attribute__((visibility("default")))

enum { DESCRIPTORS = 1024 };

typedef struct connection {
    uint8_t ours; /* a descriptor that socket() gave */
    uint8_t broken;
    int error; /* what the next receive, or who asks for it, is told; or 0 */
} connection;

static struct {
    wire_fault fault;
    uint64_t counts[WIRE_KINDS];
    uint64_t struck;
    void (*turn)(void *user);
    void *user;
    uint64_t struck_before; /* when they came */
    connection at[DESCRIPTORS];
} wire;

const char *wire_kind_name(wire_kind kind) {
    static const char *const names[WIRE_KINDS] = {"socket",  "connect", "send",
                                                  "receive", "poll",    "memory"};
    return names[kind];
}

void wire_set(const wire_fault *fault) {
    wire.fault = fault ? *fault : (wire_fault){.at = 0};
    memset(wire.counts, 0, sizeof wire.counts);
    wire.struck = 0;
}

void wire_others(void (*turn)(void *user), void *user) {
    wire.turn = turn;
    wire.user = user;
    wire.struck_before = wire.struck;
}

/* Calls of theirs are not counted. */
static void let_others(void) {
    void (*turn)(void *user) = wire.turn;
    wire_fault fault = wire.fault;
    uint64_t counts[WIRE_KINDS];
    if (!turn || wire.struck == wire.struck_before)
        return;
    memcpy(counts, wire.counts, sizeof counts);
    wire.fault.at = 0;
    wire.turn = NULL;
    turn(wire.user);
    wire.turn = turn;
    wire.fault = fault;
    memcpy(wire.counts, counts, sizeof counts);
}

uint64_t wire_struck(void) {
    return wire.struck;
}

uint64_t wire_count(wire_kind kind) {
    return wire.counts[kind];
}

/* Is it this call's turn? */
static int strikes(wire_kind kind) {
    const wire_fault *fault = &wire.fault;
    uint64_t count = ++wire.counts[kind];
    int now = 0;
    if (!fault->at || fault->kind != kind)
        return 0;
    switch (fault->when) {
        case WIRE_ONCE:
            now = count == fault->at;
            break;
        case WIRE_FOR_GOOD:
            now = count >= fault->at;
            break;
        case WIRE_AGAIN:
            now = count % fault->at == 0;
            break;
    }
    wire.struck += now != 0;
    return now;
}

static connection *connection_of(int fd) {
    return fd >= 0 && fd < DESCRIPTORS && wire.at[fd].ours ? &wire.at[fd] : NULL;
}

/* The next function of that name: the C library's. */
static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

static int fail(int error) {
    errno = error;
    return -1;
}

static void break_off(int fd, connection *of, int error) {
    of->broken = 1;
    of->error = error;
    (void)shutdown(fd, SHUT_RDWR);
}

static int is_harmless(int error) {
    return error == EINTR || error == ENOMEM || error == ENOBUFS;
}

/* ---- connecting */

REPLACES int socket(int domain, int type, int protocol) {
    static int (*next)(int, int, int);
    int counts = (type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) == SOCK_STREAM;
    if (!next)
        *(void **)&next = real("socket");
    if (counts && strikes(WIRE_SOCKET))
        return fail(wire.fault.error);
    int fd = next(domain, type, protocol);
    if (counts && fd >= 0 && fd < DESCRIPTORS)
        wire.at[fd] = (connection){.ours = 1};
    return fd;
}

REPLACES int close(int fd) {
    static int (*next)(int);
    connection *of = connection_of(fd);
    if (!next)
        *(void **)&next = real("close");
    if (of)
        of->ours = 0;
    return next(fd);
}

REPLACES int connect(int fd, const struct sockaddr *address, socklen_t len) {
    static int (*next)(int, const struct sockaddr *, socklen_t);
    connection *of = connection_of(fd);
    if (!next)
        *(void **)&next = real("connect");
    if (!of || !strikes(WIRE_CONNECT))
        return next(fd, address, len);
    if (wire.fault.how != WIRE_LATER)
        return fail(wire.fault.error);
    of->error = wire.fault.error;
    return fail(EINPROGRESS);
}

REPLACES int getsockopt(int fd, int level, int option, void *value, socklen_t *len) {
    static int (*next)(int, int, int, void *, socklen_t *);
    connection *of = connection_of(fd);
    if (!next)
        *(void **)&next = real("getsockopt");
    if (!of || !of->error || level != SOL_SOCKET || option != SO_ERROR || *len < sizeof of->error)
        return next(fd, level, option, value, len);
    memcpy(value, &of->error, sizeof of->error);
    *len = sizeof of->error;
    of->error = 0;
    return 0;
}

REPLACES int poll(struct pollfd *fds, nfds_t count, int timeout) {
    static int (*next)(struct pollfd *, nfds_t, int);
    int counts = 0;
    if (!next)
        *(void **)&next = real("poll");
    for (nfds_t i = 0; i < count; i++)
        counts |= connection_of(fds[i].fd) != NULL;
    /* who waits for ever is not told that the time is over */
    counts &= timeout > 0 || (wire.fault.how != WIRE_SILENT && timeout < 0);
    if (!counts || !strikes(WIRE_POLL))
        return next(fds, count, timeout);
    if (wire.fault.how != WIRE_SILENT)
        return fail(wire.fault.error);
    for (nfds_t i = 0; i < count; i++)
        fds[i].revents = 0;
    return 0;
}

/* ---- sending: how many bytes of `len` may go; what is returned for them, if not their number */

static size_t send_some(connection *of, size_t len, ssize_t *ret_result) {
    *ret_result = 0;
    if (!of || of->broken || !strikes(WIRE_SEND))
        return len;
    switch (wire.fault.how) {
        case WIRE_SHORT:
            return len < 1 ? len : 1;
        case WIRE_HALF:
            return len / 2 + len % 2;
        case WIRE_ERROR:
            *ret_result = -1;
            return 0;
        case WIRE_NONE:
            *ret_result = (ssize_t)len;
            return 0;
        case WIRE_ALL:
        case WIRE_END:
        case WIRE_LATER:
        case WIRE_SILENT:
            break;
    }
    return len;
}

/* After it: is the connection broken now? Sets errno if nothing went. */
static ssize_t sent(int fd, connection *of, uint64_t struck, ssize_t result) {
    if (struck == wire.struck || wire.fault.how == WIRE_SHORT)
        return result;
    if (result >= 0)
        break_off(fd, of, wire.fault.error);
    else if (!is_harmless(wire.fault.error))
        break_off(fd, of, 0);
    if (result < 0)
        errno = wire.fault.error;
    return result;
}

REPLACES ssize_t sendto(int fd,
                        const void *data,
                        size_t len,
                        int flags,
                        const struct sockaddr *address,
                        socklen_t address_len) {
    static ssize_t (*next)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    connection *of = connection_of(fd);
    uint64_t struck = wire.struck;
    ssize_t result = 0;
    if (!next)
        *(void **)&next = real("sendto");
    size_t some = send_some(of, len, &result);
    if (result == 0)
        result = next(fd, data, some, flags, address, address_len);
    return sent(fd, of, struck, result);
}

REPLACES ssize_t send(int fd, const void *data, size_t len, int flags) {
    return sendto(fd, data, len, flags, NULL, 0);
}

REPLACES ssize_t write(int fd, const void *data, size_t len) {
    static ssize_t (*next)(int, const void *, size_t);
    if (connection_of(fd))
        return sendto(fd, data, len, 0, NULL, 0);
    if (!next)
        *(void **)&next = real("write");
    return next(fd, data, len);
}

/* ---- receiving */

/* How many bytes may come; 0: *ret_result is returned instead. */
static size_t receive_some(int fd, connection *of, size_t len, ssize_t *ret_result) {
    *ret_result = 0;
    if (!of)
        return len;
    if (!of->broken && strikes(WIRE_RECEIVE)) {
        if (wire.fault.how == WIRE_ALL)
            return len;
        if (wire.fault.how == WIRE_SHORT)
            return len < 1 ? len : 1;
        if (is_harmless(wire.fault.error))
            *ret_result = fail(wire.fault.error);
        else
            break_off(fd, of, wire.fault.error);
    }
    if (of->broken && of->error) {
        *ret_result = fail(of->error);
        of->error = 0;
    }
    return of->broken || *ret_result ? 0 : len;
}

REPLACES ssize_t recvfrom(int fd,
                          void *to,
                          size_t len,
                          int flags,
                          struct sockaddr *address,
                          socklen_t *address_len) {
    static ssize_t (*next)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
    connection *of = connection_of(fd);
    uint64_t struck = wire.struck;
    ssize_t result = 0;
    if (!next)
        *(void **)&next = real("recvfrom");
    size_t some = receive_some(fd, of, len, &result);
    if (some || !len)
        result = next(fd, to, some, flags, address, address_len);
    if (struck != wire.struck && wire.fault.how == WIRE_ALL)
        break_off(fd, of, wire.fault.error);
    int error = errno;
    if (of)
        let_others();
    errno = error;
    return result;
}

REPLACES ssize_t recv(int fd, void *to, size_t len, int flags) {
    return recvfrom(fd, to, len, flags, NULL, NULL);
}

REPLACES ssize_t read(int fd, void *to, size_t len) {
    static ssize_t (*next)(int, void *, size_t);
    if (connection_of(fd))
        return recvfrom(fd, to, len, 0, NULL, NULL);
    if (!next)
        *(void **)&next = real("read");
    return next(fd, to, len);
}

/* ---- memory: what the files linked into the program ask for, and not what libraries do */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);

static int lacks_memory(void) {
    int now = strikes(WIRE_MEMORY);
    if (now)
        errno = ENOMEM;
    return now;
}

void *__wrap_malloc(size_t size) {
    return lacks_memory() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return lacks_memory() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size) {
    return lacks_memory() ? NULL : __real_realloc(block, size);
}

char *__wrap_strdup(const char *text) {
    return lacks_memory() ? NULL : __real_strdup(text);
}
