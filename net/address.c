/* Addresses as text, and sockets made of them. */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

static int parse_local(const char *path, net_address *address) {
    size_t len = strlen(path);
    struct sockaddr_un *local = &address->at.local;
    if (len == 0 || len >= sizeof local->sun_path) {
        return NET_EINVALID;
    }
    local->sun_family = AF_UNIX;
    memcpy(local->sun_path, path, len);
    if (path[0] == '@') {
        local->sun_path[0] = '\0';
    }
    address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] != '@'));
    return 0;
}

static int parse_port(const char *text, in_port_t *ret_port) {
    unsigned port = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 5) {
        return NET_EINVALID;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            return NET_EINVALID;
        }
        port = port * 10 + (unsigned)(*text - '0');
    }
    if (port > UINT16_MAX) {
        return NET_EINVALID;
    }
    *ret_port = htons((uint16_t)port);
    return 0;
}

static int parse_ip(const char *host, in_port_t port, int brackets, net_address *address) {
    if (brackets) {
        address->at.ip6.sin6_family = AF_INET6;
        address->at.ip6.sin6_port = port;
        address->len = sizeof address->at.ip6;
        return inet_pton(AF_INET6, host, &address->at.ip6.sin6_addr) == 1 ? 0 : NET_EINVALID;
    }
    if (strcmp(host, "*") == 0) {
        return parse_ip("::", port, 1, address);
    }
    address->at.ip4.sin_family = AF_INET;
    address->at.ip4.sin_port = port;
    address->len = sizeof address->at.ip4;
    return inet_pton(AF_INET, host, &address->at.ip4.sin_addr) == 1 ? 0 : NET_EINVALID;
}

int net_address_parse(const char *text, net_address *ret_address) {
    net_address address = {0};
    char host[64];
    in_port_t port;
    if (strncmp(text, "unix:", 5) == 0) {
        int rc = parse_local(text + 5, &address);
        if (rc == 0) {
            *ret_address = address;
        }
        return rc;
    }
    int brackets = text[0] == '[';
    const char *end = brackets ? strchr(text, ']') : strrchr(text, ':');
    const char *begin = text + brackets;
    if (end == NULL || (size_t)(end - begin) >= sizeof host || end[brackets] != ':' ||
        parse_port(end + brackets + 1, &port) != 0) {
        return NET_EINVALID;
    }
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    if (parse_ip(host, port, brackets, &address) != 0) {
        return NET_EINVALID;
    }
    *ret_address = address;
    return 0;
}

int net_address_take(const struct sockaddr *from, size_t len, net_address *ret_address) {
    net_address address = {0};
    if (len < sizeof(sa_family_t) || len > sizeof address.at) {
        return NET_EINVALID;
    }
    memcpy(&address.at, from, len);
    address.len = (socklen_t)len;
    if (address.at.any.sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6) &&
        IN6_IS_ADDR_V4MAPPED(&address.at.ip6.sin6_addr)) {
        struct sockaddr_in ip4 = {.sin_family = AF_INET, .sin_port = address.at.ip6.sin6_port};
        memcpy(&ip4.sin_addr, &address.at.ip6.sin6_addr.s6_addr[12], sizeof ip4.sin_addr);
        memset(&address, 0, sizeof address);
        address.at.ip4 = ip4;
        address.len = sizeof ip4;
    }
    sa_family_t family = address.at.any.sa_family;
    if (!(family == AF_INET && address.len >= sizeof(struct sockaddr_in)) &&
        !(family == AF_INET6 && address.len >= sizeof(struct sockaddr_in6)) && family != AF_UNIX) {
        return NET_EINVALID;
    }
    *ret_address = address;
    return 0;
}

static void write_local(const net_address *address, char *text, size_t size) {
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t len = address->len > head ? address->len - head : 0;
    const char *path = address->at.local.sun_path;
    if (len > 0 && path[0] == '\0') {
        snprintf(text, size, "unix:@%.*s", (int)len - 1, path + 1);
    } else {
        snprintf(text, size, "unix:%.*s", (int)len, len > 0 ? path : "");
    }
}

const char *net_address_text(const net_address *address, char *text, size_t size) {
    char host[INET6_ADDRSTRLEN] = "";
    sa_family_t family = address->at.any.sa_family;
    if (family == AF_INET) {
        inet_ntop(AF_INET, &address->at.ip4.sin_addr, host, sizeof host);
        snprintf(text, size, "%s:%u", host, ntohs(address->at.ip4.sin_port));
    } else if (family == AF_INET6) {
        inet_ntop(AF_INET6, &address->at.ip6.sin6_addr, host, sizeof host);
        snprintf(text, size, "[%s]:%u", host, ntohs(address->at.ip6.sin6_port));
    } else {
        write_local(address, text, size);
    }
    return text;
}

int net_address_is_loopback(const net_address *address) {
    switch (address->at.any.sa_family) {
        case AF_INET:
            return ntohl(address->at.ip4.sin_addr.s_addr) >> 24 == 127;
        case AF_INET6:
            return IN6_IS_ADDR_LOOPBACK(&address->at.ip6.sin6_addr);
    }
    return address->at.any.sa_family == AF_UNIX;
}

/* A socket's file that nobody listens on any more is removed. */
static void remove_stale(const net_address *address) {
    struct stat info;
    const char *path = address->at.local.sun_path;
    if (address->at.any.sa_family != AF_UNIX || path[0] == '\0' || lstat(path, &info) != 0 ||
        !S_ISSOCK(info.st_mode)) {
        return;
    }
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe >= 0) {
        if (connect(probe, &address->at.any, address->len) != 0 && errno == ECONNREFUSED) {
            unlink(path);
        }
        close(probe);
    }
}

static int open_socket(const net_address *address) {
    int fd = socket(address->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    if (fd >= 0 && address->at.any.sa_family != AF_UNIX) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    return fd;
}

static int fail_with(int fd) {
    int saved = errno;
    close(fd);
    errno = saved;
    return NET_ESYSTEM;
}

int net__address_listen(const net_address *address,
                        int backlog,
                        int reuse_port,
                        int *ret_fd,
                        net_address *ret_address) {
    int one = 1;
    int zero = 0;
    remove_stale(address);
    int fd = open_socket(address);
    if (fd < 0) {
        return NET_ESYSTEM;
    }
    if (address->at.any.sa_family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    if (address->at.any.sa_family == AF_INET6 &&
        IN6_IS_ADDR_UNSPECIFIED(&address->at.ip6.sin6_addr)) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    }
    if (reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0) {
        return fail_with(fd);
    }
    net_address bound = {.len = sizeof bound.at};
    if (bind(fd, &address->at.any, address->len) != 0 || listen(fd, backlog) != 0 ||
        getsockname(fd, &bound.at.any, &bound.len) != 0) {
        return fail_with(fd);
    }
    *ret_fd = fd;
    *ret_address = bound;
    return 0;
}

int net__address_connect(const net_address *address, int *ret_fd) {
    int fd = open_socket(address);
    if (fd < 0) {
        return NET_ESYSTEM;
    }
    if (connect(fd, &address->at.any, address->len) != 0 && errno != EINPROGRESS) {
        return fail_with(fd);
    }
    *ret_fd = fd;
    return 0;
}
