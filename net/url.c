/* Reading URLs. */
#include "url.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "error.h"

enum { NAME = 1, TARGET = 2, END = 4 };

/* What may stand in a name, in path and query, and what ends an authority. */
static unsigned class_of(char c) {
    static const uint8_t classes[256] = {
        ['!'] = TARGET,
        ['#'] = END,
        ['$' ... ','] = TARGET,
        ['-'] = NAME | TARGET,
        ['.'] = NAME | TARGET,
        ['/'] = TARGET | END,
        ['0' ... '9'] = NAME | TARGET,
        [':'] = TARGET,
        [';'] = TARGET,
        ['='] = TARGET,
        ['?'] = TARGET | END,
        ['@'] = TARGET,
        ['A' ... 'Z'] = NAME | TARGET,
        ['['] = TARGET,
        [']'] = TARGET,
        ['_'] = NAME | TARGET,
        ['a' ... 'z'] = NAME | TARGET,
        ['~'] = TARGET,
    };
    return classes[(unsigned char)c];
}

static int is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int refuse(const char **ret_reason, const char *reason) {
    if (ret_reason != NULL) {
        *ret_reason = reason;
    }
    return NET_EINVALID;
}

/* Four decimal numbers without leading zeros. */
static int parse_ip4(const char *text, size_t len, uint8_t *ip) {
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        unsigned number = 0;
        size_t digits = 0;
        if (i > 0 && (at >= len || text[at++] != '.')) {
            return NET_EINVALID;
        }
        for (; at < len && is_digit(text[at]) && digits < 4; at++, digits++) {
            number = number * 10 + (unsigned)(text[at] - '0');
        }
        if (digits == 0 || number > 255 || (digits > 1 && text[at - digits] == '0')) {
            return NET_EINVALID;
        }
        ip[i] = (uint8_t)number;
    }
    return at == len ? 0 : NET_EINVALID;
}

static char *put_decimal(char *to, unsigned number) {
    unsigned unit = 1;
    while (number / unit >= 10) {
        unit *= 10;
    }
    for (; unit > 0; unit /= 10) {
        *to++ = (char)('0' + number / unit % 10);
    }
    return to;
}

static void write_ip4(net_url *url) {
    char *to = url->host;
    url->kind = NET_HOST_IP4;
    for (int i = 0; i < 4; i++) {
        to = put_decimal(to, url->ip[i]);
        *to++ = i < 3 ? '.' : '\0';
    }
}

static int parse_ip6(const char *text, size_t len, net_url *url, const char **ret_reason) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char copy[INET6_ADDRSTRLEN];
    if (len == 0 || len >= sizeof copy || memchr(text, '\0', len) != NULL) {
        return refuse(ret_reason, "the address in brackets is not valid");
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (inet_pton(AF_INET6, copy, url->ip) != 1) {
        return refuse(ret_reason, "the address in brackets is not valid");
    }
    if (memcmp(url->ip, mapped, sizeof mapped) == 0) {
        memmove(url->ip, url->ip + 12, 4);
        memset(url->ip + 4, 0, 12);
        write_ip4(url);
        return 0;
    }
    url->kind = NET_HOST_IP6;
    inet_ntop(AF_INET6, url->ip, url->host, sizeof url->host);
    return 0;
}

/* Whether the last label begins with a digit and would be taken for a number by someone. */
static int ends_in_number(const char *text, size_t len) {
    size_t begin = len;
    while (begin > 0 && text[begin - 1] != '.') {
        begin--;
    }
    const char *label = text + begin;
    size_t count = len - begin;
    if (count >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X')) {
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_digit(label[i])) {
            return 0;
        }
    }
    return 1;
}

/* An address in the one way to write it, so it is the host as well. */
static int take_ip4(const char *text, size_t len, net_url *url) {
    uint8_t ip[4];
    if (len == 0 || !is_digit(text[0]) || parse_ip4(text, len, ip) != 0) {
        return NET_EINVALID;
    }
    url->kind = NET_HOST_IP4;
    memcpy(url->ip, ip, sizeof ip);
    memcpy(url->host, text, len);
    url->host[len] = '\0';
    return 0;
}

static int parse_name(const char *text, size_t len, net_url *url, const char **ret_reason) {
    size_t label = 0;
    if (len > 1 && text[len - 1] == '.') {
        len--;
    }
    if (take_ip4(text, len, url) == 0) {
        return 0;
    }
    if (len == 0) {
        return refuse(ret_reason, "there is no host");
    }
    if (len > NET_HOST_MAX) {
        return refuse(ret_reason, "the host is too long");
    }
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!(class_of(c) & NAME)) {
            return refuse(ret_reason, c == '@' ? "a URL must not hold a user name or password"
                                               : "the host has a character that no name has");
        }
        label = c == '.' ? 0 : label + 1;
        if (label > 63 || (c == '.' && (i == 0 || text[i - 1] == '.'))) {
            return refuse(ret_reason, "a part of the host is empty or too long");
        }
        url->host[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    url->host[len] = '\0';
    if (!ends_in_number(text, len)) {
        url->kind = NET_HOST_NAME;
        return 0;
    }
    return refuse(ret_reason, "an IPv4 address is four decimal numbers");
}

static int parse_port(const char *text, size_t len, net_url *url, const char **ret_reason) {
    unsigned port = 0;
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(text[i]) || i == 5) {
            return refuse(ret_reason, "the port is not a number from 1 to 65535");
        }
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (port == 0 || port > UINT16_MAX) {
        return refuse(ret_reason, "the port is not a number from 1 to 65535");
    }
    url->port = (uint16_t)port;
    url->port_given = 1;
    return 0;
}

int net__authority_parse(const char *text, size_t len, net_url *url, const char **ret_reason) {
    if (memchr(text, '@', len) != NULL) {
        return refuse(ret_reason, "a URL must not hold a user name or password");
    }
    url->port = url->tls ? 443 : 80;
    url->port_given = 0;
    if (len > 0 && text[0] == '[') {
        const char *end = memchr(text, ']', len);
        size_t inside = end == NULL ? 0 : (size_t)(end - text) - 1;
        int rc = parse_ip6(text + 1, inside, url, ret_reason);
        size_t used = inside + 2;
        if (rc != 0 || used == len) {
            return rc;
        }
        if (text[used] != ':') {
            return refuse(ret_reason, "the address in brackets is not valid");
        }
        return parse_port(text + used + 1, len - used - 1, url, ret_reason);
    }
    const char *colon = len > 0 ? memchr(text, ':', len) : NULL;
    size_t host_len = colon == NULL ? len : (size_t)(colon - text);
    int rc = parse_name(text, host_len, url, ret_reason);
    if (rc != 0 || colon == NULL) {
        return rc;
    }
    return parse_port(colon + 1, len - host_len - 1, url, ret_reason);
}

int net__target_valid(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!(class_of(c) & TARGET)) {
            return 0;
        }
        if (c == '%' && (len - i < 3 || !is_hex(text[i + 1]) || !is_hex(text[i + 2]))) {
            return 0;
        }
    }
    return 1;
}

int net_url_parse(const char *text, size_t len, net_url *ret_url, const char **ret_reason) {
    net_url url = {0};
    size_t at = 0;
    if (len > NET_URL_MAX) {
        return refuse(ret_reason, "the URL is too long");
    }
    if (len >= 7 && strncasecmp(text, "http://", 7) == 0) {
        at = 7;
    } else if (len >= 8 && strncasecmp(text, "https://", 8) == 0) {
        at = 8;
        url.tls = 1;
    } else {
        return refuse(ret_reason, "a URL begins with http:// or https://");
    }
    size_t end = at;
    while (end < len && !(class_of(text[end]) & END)) {
        end++;
    }
    int rc = net__authority_parse(text + at, end - at, &url, ret_reason);
    if (rc != 0) {
        return rc;
    }
    const char *fragment = memchr(text + end, '#', len - end);
    url.target = text + end;
    url.target_len = fragment == NULL ? len - end : (size_t)(fragment - text) - end;
    url.slash = url.target_len == 0 || url.target[0] == '?';
    if (!net__target_valid(url.target, url.target_len)) {
        return refuse(ret_reason, "the path or query has a character that must be encoded");
    }
    *ret_url = url;
    return 0;
}

size_t net_url_authority(const net_url *url, char *text, size_t size) {
    char all[NET_HOST_MAX + 16];
    size_t host_len = strlen(url->host);
    char *to = all;
    if (url->kind == NET_HOST_IP6) {
        *to++ = '[';
    }
    memcpy(to, url->host, host_len);
    to += host_len;
    if (url->kind == NET_HOST_IP6) {
        *to++ = ']';
    }
    if (url->port != (url->tls ? 443 : 80)) {
        *to++ = ':';
        to = put_decimal(to, url->port);
    }
    size_t len = (size_t)(to - all);
    len = len < size ? len : size - 1;
    memcpy(text, all, len);
    text[len] = '\0';
    return len;
}
