/* Adapters of logs by the scheme of a URL: those that are built in, and modules. */
#include <stdio.h>
#include <string.h>

#include "home.h"

size_t etx__url_scheme(const char *url) {
    static const char tls[] = "rediss:";
    const char *colon = url != NULL ? strchr(url, ':') : NULL;
    if (colon == NULL) {
        return 0;
    }
    return strncmp(url, tls, strlen(tls)) == 0 ? strlen("redis") : (size_t)(colon - url);
}

/* Where the user's password ends: the last '@' of the authority, as adapters read it. One that is
 * written as it should not be, with a '/' in it, ends at an '@' behind that. */
static const char *find_at(const char *start) {
    size_t len = strcspn(start, "/?");
    const char *at = memrchr(start, '@', len);
    const char *next = at == NULL ? strchr(start, '@') : NULL;
    return next != NULL && (size_t)(next - start) < strcspn(start, "?") ? next : at;
}

/* What stands between "//" and '@' may be a password, also where "//" was forgotten, and an option
 * may have one. A directory's name is none. */
void etx__url_show(const char *url, char *to, size_t size) {
    const char *slashes = strstr(url, "//");
    const char *start = slashes != NULL ? slashes + 2 : url;
    const char *at = slashes != NULL || strncmp(url, "file:", 5) != 0 ? find_at(start) : NULL;
    const char *colon = at != NULL ? memchr(start, ':', (size_t)(at - start)) : NULL;
    if (colon != NULL) {
        snprintf(to, size, "%.*s:***%s", (int)(colon - url), url, at);
    } else {
        snprintf(to, size, "%s", url);
    }
    for (char *value = to; (value = strstr(value, "password=")) != NULL;) {
        value += strlen("password=");
        size_t len = strcspn(value, "&");
        if (size - (size_t)(value - to) < strlen(value) - len + sizeof "***") {
            value[0] = 0;
            return;
        }
        memmove(value + strlen("***"), value + len, strlen(value + len) + 1);
        memcpy(value, "***", strlen("***"));
    }
}

/* "postgresql" names the module log_postgresql and in it the function etx_log_postgresql. */
static const etx_log_ops *load(const char *scheme, size_t len, char *why, size_t size) {
    enum { SCHEME_MAX = 32 };
    const etx_log_ops *(*function)(void) = NULL;
    char module[SCHEME_MAX + 8];
    char name[SCHEME_MAX + 16];
    if (len == 0 || len > SCHEME_MAX || strspn(scheme, "abcdefghijklmnopqrstuvwxyz") < len) {
        return NULL;
    }
    snprintf(module, sizeof module, "log_%.*s", (int)len, scheme);
    snprintf(name, sizeof name, "etx_log_%.*s", (int)len, scheme);
    return etx__module_load(module, name, (void **)&function, why, size) == 0 ? function() : NULL;
}

/* Those with a foreign library are modules: their scheme, and the option of the build. */
static int no_such_scheme(const char *url,
                          size_t len,
                          const char *why,
                          char *message,
                          size_t size) {
    static const struct {
        const char *scheme;
        const char *option;
    } modules[] = {
        {"postgresql", "postgres"}, {"mariadb", "mariadb"}, {"etcd", "etcd"}, {"redis", "redis"}};
    char shown[256];
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
        if (strlen(modules[i].scheme) == len && memcmp(modules[i].scheme, url, len) == 0) {
            snprintf(message, size,
                     "%.*s: its module cannot be loaded: %s. It comes with a build that has "
                     "-D%s=enabled",
                     (int)len, url, why, modules[i].option);
            return ETX_EINVALID;
        }
    }
    if (strncmp(url, "mysql:", strlen("mysql:")) == 0) {
        snprintf(message, size,
                 "mysql: a log can be in MariaDB, not in MySQL: say mariadb://USER@HOST/DATABASE");
        return ETX_EINVALID;
    }
    etx__url_show(url, shown, sizeof shown);
    snprintf(message, size,
             "'%.60s' is no URL of a log: say file:DIR, memory:, postgresql://USER@HOST/DATABASE, "
             "mariadb://USER@HOST/DATABASE, etcd://HOST/PREFIX or redis://HOST/NUMBER",
             shown);
    return ETX_EINVALID;
}

int etx_log_find(const char *url, const etx_log_ops **ret_ops, char *message, size_t message_size) {
    const etx_log_ops *const built_in[] = {etx_log_file(), etx_log_memory()};
    size_t len = etx__url_scheme(url);
    char why[256] = "";
    char none[1];
    message = message_size > 0 ? message : none;
    message_size = message_size > 0 ? message_size : sizeof none;
    if (ret_ops == NULL) {
        return ETX_EINVALID;
    }
    for (size_t i = 0; i < sizeof built_in / sizeof built_in[0]; i++) {
        if (strlen(built_in[i]->scheme) == len && memcmp(built_in[i]->scheme, url, len) == 0) {
            *ret_ops = built_in[i];
            return 0;
        }
    }
    *ret_ops = load(url, len, why, sizeof why);
    return *ret_ops != NULL
               ? 0
               : no_such_scheme(url != NULL ? url : "", len, why, message, message_size);
}

int etx_log_open(const etx_log_config *config, etx_log **ret_log) {
    const etx_log_ops *ops = NULL;
    if (config == NULL || config->size == 0 || ret_log == NULL) {
        return ETX_EINVALID;
    }
    int rc = etx_log_find(config->url, &ops, config->message,
                          config->message != NULL ? config->message_size : 0);
    return rc != 0 ? rc : ops->open(config, ret_log);
}
