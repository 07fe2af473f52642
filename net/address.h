/* Socket addresses: as text, in one form for each, and the sockets that are made of them. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>

typedef struct net_address {
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
        struct sockaddr_un local;
    } at;
    socklen_t len;
} net_address;

enum { NET_ADDRESS_TEXT_MAX = 128 };

/* Reads "127.0.0.1:80", "[::1]:80", "*:80" (every address of this machine) or "unix:PATH"
 * ("unix:@NAME": abstract). No names. Port 0 lets the system choose one.
 * Errors: NET_EINVALID. Any thread. */
int net_address_parse(const char *text, net_address *ret_address);
/* The same from an address that the system gave. An IPv4 address mapped into IPv6 becomes IPv4.
 * Errors: NET_EINVALID (neither IP nor local). Any thread. */
int net_address_take(const struct sockaddr *from, size_t len, net_address *ret_address);
/* Writes it as net_address_parse reads it, into `size` bytes, cut to fit; returns `text`. A peer on
 * a Unix socket has no name: "unix:". Any thread. */
const char *net_address_text(const net_address *address, char *text, size_t size);
/* Whether it is this machine only: loopback or a Unix socket. Any thread. */
int net_address_is_loopback(const net_address *address);

/* A non-blocking, close-on-exec socket that listens; a Unix socket's file is made anew if nobody
 * listens on it. `*ret_address` is what it is bound to (the port chosen).
 * Errors: NET_ESYSTEM (errno). */
int net__address_listen(const net_address *address,
                        int backlog,
                        int reuse_port,
                        int *ret_fd,
                        net_address *ret_address);
/* A non-blocking, close-on-exec socket whose connection was begun; it is made when the socket is
 * writable and SO_ERROR is 0. Errors: NET_ESYSTEM (errno). */
int net__address_connect(const net_address *address, int *ret_fd);

#endif
