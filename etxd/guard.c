/* Who may ask: no web page in somebody's browser, who has a token, and for which gids. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../net/url.h"
#include "etxd.h"

static int text_is(net_text text, const char *word) {
    return text.len == strlen(word) && strncasecmp(text.bytes, word, text.len) == 0;
}

/* ---- the browser as a confused deputy */

/* The name of "name:port", "[::1]:port"; 0, or -1. */
static int host_name(net_text host, char *name, size_t size) {
    size_t len = host.len;
    const char *from = host.bytes;
    if (len > 0 && from[0] == '[') {
        const char *end = memchr(from, ']', len);
        if (end == NULL) {
            return -1;
        }
        from++;
        len = (size_t)(end - from);
    } else if (len > 0) {
        const char *colon = memchr(from, ':', len);
        len = colon != NULL ? (size_t)(colon - from) : len;
    }
    if (len > 0 && from[len - 1] == '.') {
        len--;
    }
    if (len == 0 || len >= size) {
        return -1;
    }
    memcpy(name, from, len);
    name[len] = '\0';
    return 0;
}

/* Other nodes ask under the name that this one gave them. */
static int is_advertised(const etxd_config *config, const char *name) {
    net_url url;
    return net_url_parse(config->advertise, strlen(config->advertise), &url, NULL) == 0 &&
           strcasecmp(url.host, name) == 0;
}

static int is_ours(const etxd *server, const char *name) {
    char text[300];
    net_address address;
    size_t i;
    if (strcmp(name, "127.0.0.1") == 0 || strcasecmp(name, "localhost") == 0) {
        return 1;
    }
    snprintf(text, sizeof text, strchr(name, ':') != NULL ? "[%s]:1" : "%s:1", name);
    if (net_address_parse(text, &address) == 0 && net_address_is_loopback(&address)) {
        return 1;
    }
    for (i = 0; i < server->config.allow_host.count; i++) {
        if (strcasecmp(server->config.allow_host.items[i], name) == 0) {
            return 1;
        }
    }
    return is_advertised(&server->config, name);
}

/* Every field counts: one that comes first and says nothing must not hide another. */
static int guard_fields(etxd_exchange *x) {
    net_text name, value;
    size_t i;
    for (i = 0; net_request_header_at(x->request, i, &name, &value); i++) {
        if (text_is(name, "origin")) {
            return etxd_problem_set(&x->problem, ETXD_BROWSER_PROBLEM,
                                    "it has the field Origin, which browsers send for pages");
        }
        if (text_is(name, "sec-fetch-site") && !text_is(value, "none") &&
            !text_is(value, "same-origin")) {
            return etxd_problem_set(&x->problem, ETXD_BROWSER_PROBLEM,
                                    "its Sec-Fetch-Site says that another site's page made it");
        }
    }
    return 0;
}

/* A page from anywhere can make a browser on this machine send requests here. */
static int guard_browser(etxd_exchange *x) {
    net_text host = net_request_host(x->request);
    char name[256];
    if (guard_fields(x) != 0) {
        return -1;
    }
    if (host_name(host, name, sizeof name) != 0 || !is_ours(x->server, name)) {
        return etxd_problem_set(&x->problem, ETXD_HOST_PROBLEM, "Host is '%.*s'",
                                (int)(host.len < 200 ? host.len : 200),
                                host.len > 0 ? host.bytes : "");
    }
    return 0;
}

/* ---- tokens */

/* The token that a request shows, or NULL: none of ours. `ret_shows`: one of any kind. */
static etxd_token *token_of(etxd *server, const net_request *request, int *ret_shows) {
    net_text field = net_request_header(request, "authorization");
    *ret_shows = field.len >= 8 && strncasecmp(field.bytes, "Bearer ", 7) == 0;
    return *ret_shows ? etxd_tokens_find(&server->tokens, field.bytes + 7, field.len - 7) : NULL;
}

static etxd_token *find_token(etxd_exchange *x) {
    int shows;
    etxd_token *token = token_of(x->server, x->request, &shows);
    if (token == NULL && !shows) {
        (void)etxd_problem_set(&x->problem, ETXD_NO_TOKEN_PROBLEM,
                               "the field Authorization has no bearer token");
    } else if (token == NULL) {
        (void)etxd_problem_set(&x->problem, ETXD_BAD_TOKEN_PROBLEM, "no such token");
    }
    return token;
}

int etxd_is_welcome(const net_request *request, void *user) {
    etxd *server = user;
    int shows;
    return server->config.token_file[0] == '\0' || token_of(server, request, &shows) != NULL;
}

static int guard_scope(etxd_exchange *x) {
    char needs[32];
    if (x->route != NULL && (x->route->scope & ~x->scopes) != 0) {
        return etxd_problem_set(&x->problem, ETXD_SCOPE_PROBLEM, "it needs the scope %s",
                                etxd_scopes_text(x->route->scope, needs, sizeof needs));
    }
    if (x->route != NULL && x->route->flags & ETXD_UNBOUND && x->prefix[0] != '\0') {
        return etxd_problem_set(&x->problem, ETXD_SCOPE_PROBLEM,
                                "it needs a token that is bound to no prefix of gids");
    }
    return x->gid[0] != '\0' ? etxd_guard_gid(x, x->gid) : 0;
}

int etxd_guard(etxd_exchange *x) {
    etxd *server = x->server;
    int open = x->route != NULL && x->route->flags & ETXD_OPEN;
    etxd_token *token = &server->anyone;
    etxd_problem found = x->problem; /* of the route: told only to who may ask at all */
    x->problem.code = ETXD_NO_PROBLEM;
    if (server->config.token_file[0] == '\0') {
        if (guard_browser(x) != 0) {
            return -1;
        }
        x->scopes = ETXD_SUBMIT | ETXD_READ | ETXD_OPERATE;
    } else if (!open) {
        token = find_token(x);
        if (token == NULL) {
            return -1;
        }
        x->token = token;
        x->scopes = token->scopes;
        memcpy(x->prefix, token->prefix, sizeof x->prefix);
        memcpy(x->who, token->name, sizeof x->who);
    }
    if (!open && !etxd_token_spend(token, server->config.rate, net_loop_now_ms(server->loop))) {
        return etxd_problem_set(&x->problem, ETXD_RATE_PROBLEM, "more than %llu requests a second",
                                (unsigned long long)server->config.rate);
    }
    if (guard_scope(x) != 0) {
        return -1;
    }
    x->problem = found;
    return 0;
}

int etxd_may(const etxd_exchange *x, const char *gid) {
    return strncmp(gid, x->prefix, strlen(x->prefix)) == 0;
}

int etxd_guard_gid(etxd_exchange *x, const char *gid) {
    return etxd_may(x, gid)
               ? 0
               : etxd_problem_set(&x->problem, ETXD_PREFIX_PROBLEM,
                                  "the token is for gids that begin with '%s'", x->prefix);
}
