/* The list of targets that may be called: reading patterns, judging URLs and addresses.
 *
 * A URL is judged twice: by its text, when it is submitted and before each call, and by the address
 * that a connection is about to be made to. A name that a pattern of names allows may lead to any
 * address but: special ones, which only a pattern of that very address allows, and loopback, if it
 * was allowed by *.name only (whoever owns the name's zone would otherwise reach what listens on
 * this machine). A name that none allows may lead to the addresses that patterns of addresses
 * allow. */
#include "http.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PATTERN_MAX = NET_HOST_MAX + 32 };

/* ---- reading */

/* The scheme that a text begins with; its length with "://", 0: none of them. */
static size_t scheme_of(const char *text, etx__http_scheme *ret_scheme) {
    static const char *const names[] = {[ETX__HTTP_PLAIN] = "http://",
                                        [ETX__HTTP_TLS] = "https://",
                                        [ETX__HTTP_GRPC] = "grpc://",
                                        [ETX__HTTP_GRPC_TLS] = "grpcs://"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(names[i]);
        if (strncasecmp(text, names[i], len) == 0) {
            *ret_scheme = (etx__http_scheme)i;
            return len;
        }
    }
    return 0;
}

static int is_tls(etx__http_scheme scheme) {
    return scheme == ETX__HTTP_TLS || scheme == ETX__HTTP_GRPC_TLS;
}

/* A host by the rules of net/url.h. */
static const char *read_host(const char *host, net_url *ret_url) {
    char text[PATTERN_MAX + 16];
    const char *reason = NULL;
    snprintf(text, sizeof text, "http://%s:1/", host);
    return net_url_parse(text, strlen(text), ret_url, &reason) == 0 ? NULL : reason;
}

static const char *read_number(const char *text, unsigned max, unsigned *ret_number) {
    unsigned number = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 5 || (len > 1 && text[0] == '0')) {
        return "a number is not valid";
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return "a number is not valid";
        }
        number = number * 10 + (unsigned)(text[i] - '0');
    }
    *ret_number = number;
    return number <= max ? NULL : "a number is too large";
}

static int has_host_bits(const etx__http_pattern *pattern) {
    for (size_t bit = pattern->bits; bit < pattern->ip_len * 8u; bit++) {
        if (pattern->ip[bit / 8] & (0x80u >> bit % 8)) {
            return 1;
        }
    }
    return 0;
}

/* An address, or a network: "10.0.0.0/8", "[fd00::/8]". */
static const char *read_net(char *host, etx__http_pattern *pattern) {
    net_url url;
    char *slash = strchr(host, '/');
    unsigned bits = 0;
    if (slash != NULL) {
        size_t len = strlen(slash);
        int brackets = host[0] == '[';
        if (brackets) {
            slash[len - 1] = '\0'; /* the ']' */
        }
        const char *wrong = read_number(slash + 1, brackets ? 128 : 32, &bits);
        if (wrong != NULL) {
            return wrong;
        }
        memcpy(slash, brackets ? "]" : "", brackets ? 2 : 1);
    }
    const char *wrong = read_host(host, &url);
    if (wrong != NULL) {
        return wrong;
    }
    if (url.kind == NET_HOST_NAME) {
        return "a network begins with an address";
    }
    pattern->host = ETX__HTTP_NET;
    pattern->ip_len = url.kind == NET_HOST_IP4 ? 4 : 16;
    memcpy(pattern->ip, url.ip, pattern->ip_len);
    pattern->bits = (uint8_t)(slash != NULL ? bits : pattern->ip_len * 8u);
    if (slash != NULL && (host[0] == '[') != (pattern->ip_len == 16)) {
        return "write a network of mapped addresses as one of IPv4";
    }
    return has_host_bits(pattern) ? "the address has bits beyond the network's" : NULL;
}

static const char *read_name(const char *host, etx__http_pattern *pattern) {
    net_url url;
    const char *name = host;
    pattern->host = ETX__HTTP_NAME;
    if (strncmp(host, "*.", 2) == 0) {
        pattern->host = ETX__HTTP_BELOW;
        name = host + 2;
    }
    const char *wrong = strchr(name, '*') != NULL
                            ? "a * stands only for the names below one, as in *.name"
                            : read_host(name, &url);
    if (wrong == NULL && url.kind != NET_HOST_NAME) {
        wrong = "an address has no names below it";
    }
    if (wrong == NULL) {
        snprintf(pattern->name, sizeof pattern->name, "%s", url.host);
    }
    return wrong;
}

static int is_address(const char *host) {
    net_url url;
    return host[0] == '[' || strchr(host, '/') != NULL ||
           (read_host(host, &url) == NULL && url.kind != NET_HOST_NAME);
}

static const char *read_pattern(const char *text, etx__http_pattern *pattern) {
    char host[PATTERN_MAX];
    unsigned port = 0;
    memset(pattern, 0, sizeof *pattern);
    size_t at = scheme_of(text, &pattern->scheme);
    const char *colon = strrchr(text, ':');
    if (at == 0) {
        return "it begins with http://, https://, grpc:// or grpcs://";
    }
    if (colon < text + at || (strchr(text + at, '[') != NULL && strchr(colon, ']') != NULL)) {
        return "the port is missing: a number, or * for any";
    }
    if (strcmp(colon + 1, "*") != 0) {
        const char *wrong = read_number(colon + 1, UINT16_MAX, &port);
        if (wrong != NULL || port == 0) {
            return "the port is a number from 1 to 65535, or *";
        }
    }
    size_t len = (size_t)(colon - text) - at;
    if (len == 0 || len >= sizeof host) {
        return len == 0 ? "the host is missing" : "the host is too long";
    }
    memcpy(host, text + at, len);
    host[len] = '\0';
    pattern->port = port;
    if (strchr(host, '@') != NULL) {
        return "it must not hold a user name";
    }
    return is_address(host) ? read_net(host, pattern) : read_name(host, pattern);
}

/* A name and a password that stand there are not shown. */
static int refuse(const char *text, const char *wrong, char *why, size_t size) {
    const char *scheme = strstr(text, "://");
    const char *rest = scheme != NULL ? scheme + 3 : text;
    const char *at = strrchr(rest, '@');
    return etx__http_say(ETX_EINVALID, why, size, "target \"%.*s%s%.80s\": %s", (int)(rest - text),
                         text, at != NULL ? "***" : "", at != NULL ? at : rest, wrong);
}

int etx__http_allow_read(etx__http_allow *allow,
                         const char *const *patterns,
                         size_t count,
                         char *why,
                         size_t size) {
    etx__http_allow made = {calloc(count > 0 ? count : 1, sizeof *made.pattern), count};
    if (made.pattern == NULL) {
        return ETX_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const char *text = patterns[i] != NULL ? patterns[i] : "";
        const char *wrong = read_pattern(text, &made.pattern[i]);
        if (wrong != NULL) {
            free(made.pattern);
            return refuse(text, wrong, why, size);
        }
    }
    *allow = made;
    return 0;
}

int etx__http_url(const char *text,
                  net_url *ret_url,
                  etx__http_scheme *ret_scheme,
                  char *why,
                  size_t size) {
    char other[NET_URL_MAX + 1];
    const char *reason = NULL;
    size_t len = strlen(text);
    size_t at = scheme_of(text, ret_scheme);
    if (at == 0) {
        return etx__http_say(ETX_EINVALID, why, size,
                             "a URL begins with http://, https://, grpc:// or grpcs://");
    }
    if (*ret_scheme == ETX__HTTP_GRPC || *ret_scheme == ETX__HTTP_GRPC_TLS) {
        int written =
            snprintf(other, sizeof other, "http%s://%s", is_tls(*ret_scheme) ? "s" : "", text + at);
        if (written < 0 || (size_t)written >= sizeof other) {
            return etx__http_say(ETX_EINVALID, why, size, "the URL is too long");
        }
        text = other;
        len = (size_t)written;
    }
    if (net_url_parse(text, len, ret_url, &reason) != 0) {
        return etx__http_say(ETX_EINVALID, why, size, "%s", reason);
    }
    if (text == other) {
        if (!ret_url->port_given) {
            return etx__http_say(ETX_EINVALID, why, size, "a URL of gRPC needs its port");
        }
        ret_url->target = NULL; /* nobody asks for it */
        ret_url->target_len = 0;
    }
    return 0;
}

/* ---- judging */

static int fits(const etx__http_pattern *pattern, const net_url *url, etx__http_scheme scheme) {
    return pattern->scheme == scheme && (pattern->port == 0 || pattern->port == url->port);
}

static int name_fits(const etx__http_pattern *pattern, const net_url *url) {
    if (url->kind != NET_HOST_NAME) {
        return 0;
    }
    if (pattern->host == ETX__HTTP_NAME) {
        return strcmp(pattern->name, url->host) == 0;
    }
    size_t len = strlen(pattern->name);
    size_t host_len = strlen(url->host);
    return pattern->host == ETX__HTTP_BELOW && host_len > len + 1 &&
           url->host[host_len - len - 1] == '.' &&
           strcmp(url->host + host_len - len, pattern->name) == 0;
}

static int net_fits(const etx__http_pattern *pattern, const uint8_t *ip, size_t ip_len) {
    if (pattern->host != ETX__HTTP_NET || pattern->ip_len != ip_len) {
        return 0;
    }
    size_t bytes = pattern->bits / 8;
    unsigned rest = pattern->bits % 8;
    return memcmp(pattern->ip, ip, bytes) == 0 &&
           (rest == 0 || ((pattern->ip[bytes] ^ ip[bytes]) >> (8 - rest)) == 0);
}

int etx__http_allow_address(const etx__http_allow *allow,
                            const net_url *url,
                            etx__http_scheme scheme,
                            const uint8_t *ip,
                            size_t ip_len) {
    etx__http_reach reach = etx__http_reach_of(ip, ip_len);
    if (reach == ETX__HTTP_NOWHERE) {
        return 0;
    }
    for (size_t i = 0; i < allow->count; i++) {
        const etx__http_pattern *pattern = &allow->pattern[i];
        if (!fits(pattern, url, scheme)) {
            continue;
        }
        if (net_fits(pattern, ip, ip_len) &&
            (reach != ETX__HTTP_SPECIAL || pattern->bits == ip_len * 8)) {
            return 1;
        }
        if (name_fits(pattern, url) &&
            (reach == ETX__HTTP_OPEN ||
             (reach == ETX__HTTP_LOOPBACK && pattern->host == ETX__HTTP_NAME))) {
            return 1;
        }
    }
    return 0;
}

int etx__http_allow_url(const etx__http_allow *allow,
                        const net_url *url,
                        etx__http_scheme scheme,
                        int listed,
                        char *why,
                        size_t size) {
    char authority[NET_AUTHORITY_TEXT_MAX];
    if (url->kind != NET_HOST_NAME) {
        size_t ip_len = url->kind == NET_HOST_IP4 ? 4 : 16;
        if (etx__http_allow_address(allow, url, scheme, url->ip, ip_len)) {
            return 0;
        }
    }
    for (size_t i = 0; url->kind == NET_HOST_NAME && i < allow->count; i++) {
        const etx__http_pattern *pattern = &allow->pattern[i];
        if (fits(pattern, url, scheme) &&
            ((pattern->host == ETX__HTTP_NET && !listed) || name_fits(pattern, url))) {
            return 0;
        }
    }
    net_url_authority(url, authority, sizeof authority);
    return etx__http_say(ETX_ESTATE, why, size, "%s is not among the targets that may be called",
                         authority);
}
