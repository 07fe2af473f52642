/* Fuzzes the URLs, authorities and addresses of net/: what is taken has one form. */
#include "fuzz.h"

#include "../../net/address.h"
#include "../../net/error.h"
#include "../../net/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_host(const net_url *url) {
    char text[INET6_ADDRSTRLEN];
    size_t len = strlen(url->host);
    fuzz_check(len > 0 && len <= NET_HOST_MAX && url->port > 0);
    switch (url->kind) {
        case NET_HOST_NAME:
            fuzz_check(strspn(url->host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == len);
            fuzz_check(url->host[len - 1] != '.' && strstr(url->host, "..") == NULL);
            struct in_addr number;
            fuzz_check(inet_aton(url->host, &number) == 0); /* no one takes it for a number */
            break;
        case NET_HOST_IP4:
            fuzz_check(inet_ntop(AF_INET, url->ip, text, sizeof text) != NULL);
            fuzz_check(strcmp(text, url->host) == 0);
            break;
        case NET_HOST_IP6:
            fuzz_check(inet_ntop(AF_INET6, url->ip, text, sizeof text) != NULL);
            fuzz_check(strcmp(text, url->host) == 0);
            fuzz_check(!IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)url->ip));
            break;
    }
}

static void check_url(const net_url *url) {
    char authority[NET_AUTHORITY_TEXT_MAX];
    size_t size = sizeof authority + url->target_len + 16;
    char *text = fuzz_alloc(size);
    net_url again;
    check_host(url);
    fuzz_check(net_url_authority(url, authority, sizeof authority) < sizeof authority - 1);
    int len = snprintf(text, size, "%s://%s%s%.*s", url->tls ? "https" : "http", authority,
                       url->slash ? "/" : "", (int)url->target_len, url->target);
    fuzz_check(net_url_parse(text, (size_t)len, &again, NULL) == 0);
    fuzz_check(again.tls == url->tls && again.kind == url->kind && again.port == url->port);
    fuzz_check(strcmp(again.host, url->host) == 0 && again.slash == 0);
    fuzz_check(again.target_len == url->target_len + (size_t)url->slash);
    fuzz_check(memchr(again.target, '#', again.target_len) == NULL);
    free(text);
}

static void check_address(const char *text) {
    net_address address;
    net_address again;
    char told[NET_ADDRESS_TEXT_MAX];
    if (net_address_parse(text, &address) == 0) {
        net_address_text(&address, told, sizeof told);
        fuzz_check(net_address_parse(told, &again) == 0 && again.len == address.len);
        fuzz_check(memcmp(&again.at, &address.at, address.len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *reason = NULL;
    net_url url;
    char *text = fuzz_alloc(size + 1);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    if (net_url_parse(text, size, &url, &reason) == 0) {
        check_url(&url);
    } else {
        fuzz_check(reason != NULL);
    }
    url = (net_url){0};
    if (net__authority_parse(text, size, &url, &reason) == 0) {
        check_host(&url);
    }
    check_address(text);
    free(text);
    return 0;
}
