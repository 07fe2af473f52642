/* Adapters of logs by the scheme of a URL: those that are built in, and modules. */
#include "scheme.h"

#include <stdio.h>
#include <string.h>

#include "machine.h"

const etx_log_ops *etx__scheme_load(const char *scheme, size_t len, char *why, size_t size) {
    enum { SCHEME_MAX = 32 };
    const etx_log_ops *(*function)(void) = NULL;
    char module[SCHEME_MAX + 8];
    char name[SCHEME_MAX + 16];
    if (len == 0 || len > SCHEME_MAX || strspn(scheme, "abcdefghijklmnopqrstuvwxyz") < len) {
        return NULL;
    }
    snprintf(module, sizeof module, "log_%.*s", (int)len, scheme);
    snprintf(name, sizeof name, "etx_log_%.*s", (int)len, scheme);
    if (etx__module_load(module, name, (void **)&function, why, size) != 0) {
        return NULL;
    }
    return function();
}

static const etx_log_ops *find_built_in(const char *scheme, size_t len) {
    const etx_log_ops *const all[] = {etx_log_file(), etx_log_memory()};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strlen(all[i]->scheme) == len && memcmp(all[i]->scheme, scheme, len) == 0) {
            return all[i];
        }
    }
    return NULL;
}

int etx_log_find(const char *url, const etx_log_ops **ret_ops, char *message, size_t message_size) {
    const char *colon = url != NULL ? strchr(url, ':') : NULL;
    size_t len = colon != NULL ? (size_t)(colon - url) : 0;
    char why[256] = "";
    char none[1];
    message = message_size > 0 ? message : none;
    message_size = message_size > 0 ? message_size : sizeof none;
    if (colon == NULL || ret_ops == NULL) {
        snprintf(
            message, message_size,
            "the URL of a log begins with a scheme: file:DIR, postgresql://USER@HOST/DATABASE");
        return ETX_EINVALID;
    }
    *ret_ops = find_built_in(url, len);
    *ret_ops = *ret_ops != NULL ? *ret_ops : etx__scheme_load(url, len, why, sizeof why);
    if (*ret_ops == NULL) {
        snprintf(message, message_size, "no adapter for '%.*s:' can be used%s%s",
                 (int)(len < 60 ? len : 60), url, why[0] != 0 ? ": " : "", why);
        return ETX_EINVALID;
    }
    return 0;
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
