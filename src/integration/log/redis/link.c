/* Connects to a Redis server, and carries bytes there and back. */
#include "tls.h"

#include <errno.h>
#include <etx/types.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

uint64_t etx__redis_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int wait_for(const etx__redis_link *link, short events, uint64_t until) {
    struct pollfd fd = {.fd = link->fd, .events = events};
    for (;;) {
        uint64_t now = etx__redis_now_ms();
        int rc = poll(&fd, 1, until > now ? (int)(until - now) : 0);
        if (rc > 0)
            return 0;
        if (rc == 0 || errno != EINTR)
            return ETX_EUNAVAILABLE;
    }
}

void etx__redis_link_close(etx__redis_link *link) {
    if (link->tls)
        etx__redis_tls_end(link);
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
}

/* 0, or what errno says. */
static int try_address(etx__redis_link *link,
                       const struct sockaddr *address,
                       socklen_t len,
                       uint64_t until) {
    int error = 0;
    int on = 1;
    socklen_t size = sizeof error;
    link->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->fd < 0)
        return errno;
    if (address->sa_family != AF_UNIX)
        setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(link->fd, address, len) != 0)
        error = errno;
    if (error == EINPROGRESS) {
        error = ETIMEDOUT;
        if (wait_for(link, POLLOUT, until) == 0)
            getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error)
        etx__redis_link_close(link);
    return error;
}

static int open_socket(etx__redis_link *link,
                       const char *path,
                       uint64_t until,
                       char *why,
                       size_t size) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int error = try_address(link, (const struct sockaddr *)&address, sizeof address, until);
    if (error)
        snprintf(why, size, "no Redis answers at the socket %s: %s", path, strerror(error));
    return error ? ETX_EUNAVAILABLE : 0;
}

int etx__redis_link_open(etx__redis_link *link,
                         const etx__redis_address *address,
                         uint64_t until,
                         char *why,
                         size_t size) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char port[8];
    *link = (etx__redis_link){.fd = -1};
    if (address->socket)
        return open_socket(link, address->socket, until, why, size);
    snprintf(port, sizeof port, "%u", address->port);
    int rc = getaddrinfo(address->host, port, &hints, &found);
    int error = ECONNREFUSED;
    for (const struct addrinfo *at = found; !rc && error && at; at = at->ai_next)
        error = try_address(link, at->ai_addr, at->ai_addrlen, until);
    if (rc || error)
        snprintf(why, size, "no Redis answers at %s:%u: %s", address->host, address->port,
                 rc ? gai_strerror(rc) : strerror(error));
    if (found)
        freeaddrinfo(found);
    if (rc || error)
        return ETX_EUNAVAILABLE;
    rc = address->tls ? etx__redis_tls_begin(link, address->tls, address->host, until, why, size)
                      : 0;
    if (rc)
        etx__redis_link_close(link);
    return rc;
}

int etx__redis_link_send_bare(etx__redis_link *link, const char *data, size_t len, uint64_t until) {
    size_t sent = 0;
    while (sent < len) {
        ssize_t some = send(link->fd, data + sent, len - sent, MSG_NOSIGNAL);
        if (some >= 0)
            sent += (size_t)some;
        else if (errno == EAGAIN ? wait_for(link, POLLOUT, until) != 0 : errno != EINTR)
            return ETX_EUNAVAILABLE;
    }
    return 0;
}

ssize_t etx__redis_link_receive_bare(etx__redis_link *link, char *to, size_t size, uint64_t until) {
    for (;;) {
        ssize_t some = recv(link->fd, to, size, 0);
        if (some >= 0)
            return some;
        if (errno != EAGAIN && errno != EINTR)
            return 0;
        if (errno == EAGAIN && wait_for(link, POLLIN, until) != 0)
            return -1;
    }
}

int etx__redis_link_send(etx__redis_link *link, const char *data, size_t len, uint64_t until) {
    return link->tls ? etx__redis_tls_send(link, data, len, until)
                     : etx__redis_link_send_bare(link, data, len, until);
}

ssize_t etx__redis_link_receive(etx__redis_link *link, char *to, size_t size, uint64_t until) {
    return link->tls ? etx__redis_tls_receive(link, to, size, until)
                     : etx__redis_link_receive_bare(link, to, size, until);
}
