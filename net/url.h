/* URLs of http and https, in one form for each thing that they can mean. */
#ifndef NET_URL_H
#define NET_URL_H

#include <stddef.h>
#include <stdint.h>

enum { NET_HOST_MAX = 253, NET_AUTHORITY_TEXT_MAX = 264, NET_URL_MAX = 8192 };

typedef enum net_host_kind { NET_HOST_NAME, NET_HOST_IP4, NET_HOST_IP6 } net_host_kind;

typedef struct net_url {
    int tls; /* https */
    net_host_kind kind;
    char host[NET_HOST_MAX + 1]; /* lower case, no brackets; an address as inet_ntop writes it */
    uint16_t port;               /* in the machine's order; the scheme's own if none was given */
    int port_given;
    uint8_t ip[16];     /* of an address, in the network's order: 4 or 16 bytes */
    const char *target; /* path and query: borrowed from the text, may be empty */
    size_t target_len;
    int slash; /* the target is to be sent with a '/' in front */
} net_url;

/* Reads a URL. What it means must be the same for everyone who reads it, so refused are: schemes
 * but http and https; user names and passwords; hosts that end in a number and are not four decimal
 * numbers without leading zeros (what others take for octal, hexadecimal or one number); names that
 * are not letters, digits, '-', '_' and '.', with empty labels or too long; zones; port 0 or beyond
 * 65535; bytes that no URL has; a '%' without two digits. IPv4 addresses mapped into IPv6 become
 * IPv4, names lower case without a final dot; a fragment is left out.
 * Errors: NET_EINVALID, with a static text in `*ret_reason` (may be NULL). Any thread. */
int net_url_parse(const char *text, size_t len, net_url *ret_url, const char **ret_reason);

/* Writes "host", "host:port" or "[address]:port" as a Host field needs it: the port only if it is
 * not the scheme's own. At most NET_AUTHORITY_TEXT_MAX bytes with the 0; returns the length. */
size_t net_url_authority(const net_url *url, char *text, size_t size);

/* Reads "host" or "host:port" into `tls` (given), kind, host, port and ip, by the same rules. */
int net__authority_parse(const char *text, size_t len, net_url *url, const char **ret_reason);
/* Whether all bytes may stand in path and query, and every '%' has its digits. */
int net__target_valid(const char *text, size_t len);

#endif
