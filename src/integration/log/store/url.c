/* Reads what the URLs of stores on a network have in common. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { VALUE_MAX = 512, TIMEOUT_MS = 5000, TIMEOUT_MIN_MS = 100, TIMEOUT_MAX_MS = 600000 };

#define SAY(config, rc, ...) \
    etx__store_say((config)->message, (config)->message_size, rc, __VA_ARGS__)

static int hex_of(char c) {
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c | 0x20) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* With its %XX read. ETX_EINVALID: it does not fit, has a zero byte, or a %% without two digits. */
static int decode(const char *text, size_t len, char *to, size_t size) {
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        int high = text[i] == '%' && i + 2 < len ? hex_of(text[i + 1]) : -1;
        int low = high >= 0 ? hex_of(text[i + 2]) : -1;
        if ((text[i] == '%' && low < 0) || used + 1 >= size)
            return ETX_EINVALID;
        char c = low >= 0 ? (char)(high << 4 | low) : text[i];
        if (!c)
            return ETX_EINVALID;
        to[used++] = c;
        i += low >= 0 ? 2 : 0;
    }
    to[used] = 0;
    return 0;
}

int etx__store_number(const char *text, uint32_t most, uint32_t *ret_number) {
    uint64_t number = 0;
    size_t i = 0;
    for (; text[i] >= '0' && text[i] <= '9' && number <= most; i++)
        number = number * 10 + (uint64_t)(text[i] - '0');
    if (text[i] || i == 0 || number < 1 || number > most)
        return ETX_EINVALID;
    *ret_number = (uint32_t)number;
    return 0;
}

int etx__store_init(const etx_log_config *config, etx__store *ret_store) {
    uint64_t process = 0;
    if (getrandom(&process, sizeof process, 0) != (ssize_t)sizeof process)
        process = (uint64_t)getpid();
    *ret_store =
        (etx__store){.partitions = config->partitions ? config->partitions : ETX__STORE_PARTITIONS,
                     .timeout_ms = TIMEOUT_MS,
                     .read_only = (config->flags & ETX_LOG_READ_ONLY) != 0};
    snprintf(ret_store->process, sizeof ret_store->process, "%016llx", (unsigned long long)process);
    snprintf(ret_store->node, sizeof ret_store->node, "%s", config->node ? config->node : "");
    if (ret_store->partitions > ETX__STORE_PARTITIONS_MAX)
        return SAY(config, ETX_EINVALID, "a log has at most %d partitions",
                   ETX__STORE_PARTITIONS_MAX);
    return 0;
}

/* ---- the place */

static int host_take(const etx_log_config *config,
                     const char *text,
                     size_t len,
                     uint16_t default_port,
                     etx__store_place *place) {
    const char *end = text[0] == '[' ? memchr(text, ']', len) : NULL;
    size_t name_len = end ? (size_t)(end - text) + 1 : strcspn(text, ":,/?");
    name_len = name_len < len ? name_len : len;
    char digits[8] = "";
    uint32_t port = default_port;
    if (place->host_count == ETX__STORE_HOSTS_MAX)
        return SAY(config, ETX_EINVALID, "the URL has more than %d hosts", ETX__STORE_HOSTS_MAX);
    etx__store_host *host = &place->host[place->host_count++];
    int brackets = end != NULL;
    int bad =
        decode(text + brackets, name_len - 2 * (size_t)brackets, host->name, sizeof host->name);
    if (!bad && name_len < len)
        bad = text[name_len] != ':' || len - name_len > 6 ||
              decode(text + name_len + 1, len - name_len - 1, digits, sizeof digits) ||
              etx__store_number(digits, UINT16_MAX, &port);
    host->port = (uint16_t)port;
    if (bad || !host->name[0])
        return SAY(config, ETX_EINVALID,
                   "the URL has a host that is none: HOST, HOST:PORT or [ADDRESS]:PORT");
    return 0;
}

static int hosts_take(const etx_log_config *config,
                      const char *text,
                      size_t len,
                      uint16_t default_port,
                      etx__store_place *place) {
    int rc = 0;
    for (size_t at = 0; !rc && at < len;) {
        const char *comma = memchr(text + at, ',', len - at);
        size_t host_len = comma ? (size_t)(comma - text) - at : len - at;
        rc = host_take(config, text + at, host_len, default_port, place);
        at += host_len + 1;
    }
    if (!rc && !place->host_count && default_port)
        return SAY(config, ETX_EINVALID, "the URL names no host");
    return rc;
}

static int user_take(const etx_log_config *config,
                     const char *text,
                     size_t len,
                     etx__store *store,
                     etx__store_place *place) {
    char password[ETX__STORE_PASSWORD_MAX + 1];
    const char *colon = memchr(text, ':', len);
    size_t user_len = colon ? (size_t)(colon - text) : len;
    if (decode(text, user_len, place->user, sizeof place->user))
        return SAY(config, ETX_EINVALID,
                   "the URL's user is too long, or has a %% without two digits");
    if (!colon)
        return 0;
    if (decode(colon + 1, len - user_len - 1, password, sizeof password))
        return SAY(config, ETX_EINVALID,
                   "the URL's password is too long, or has a %% without two digits");
    return etx__store_password_keep(config, store, password);
}

int etx__store_place_take(const etx_log_config *config,
                          const char *url,
                          uint16_t default_port,
                          etx__store *store,
                          etx__store_place *ret_place) {
    *ret_place = (etx__store_place){.host_count = 0};
    size_t len = strcspn(url, "/?");
    size_t end = strcspn(url, "?");
    const char *at = memrchr(url, '@', len);
    size_t user_len = at ? (size_t)(at - url) : 0;
    int rc = at ? user_take(config, url, user_len, store, ret_place) : 0;
    size_t skip = at ? user_len + 1 : 0;
    rc = rc ? rc : hosts_take(config, url + skip, len - skip, default_port, ret_place);
    if (!rc && len < end &&
        decode(url + len + 1, end - len - 1, ret_place->path, sizeof ret_place->path))
        rc = SAY(config, ETX_EINVALID,
                 "what stands behind the URL's host is too long, or has a %% without two digits");
    return rc;
}

/* ---- the options */

static int partitions_take(const etx_log_config *config, void *user, const char *value) {
    etx__store *store = user;
    if (etx__store_number(value, ETX__STORE_PARTITIONS_MAX, &store->partitions))
        return SAY(config, ETX_EINVALID, "the option partitions is 1 to %d",
                   ETX__STORE_PARTITIONS_MAX);
    return 0;
}

static int timeout_take(const etx_log_config *config, void *user, const char *value) {
    etx__store *store = user;
    if (etx__store_number(value, TIMEOUT_MAX_MS, &store->timeout_ms) ||
        store->timeout_ms < TIMEOUT_MIN_MS)
        return SAY(config, ETX_EINVALID, "the option timeout_ms is %d to %d", TIMEOUT_MIN_MS,
                   TIMEOUT_MAX_MS);
    return 0;
}

static int password_file_take(const etx_log_config *config, void *user, const char *value) {
    return etx__store_password_file(config, user, value);
}

static int secret_refuse(const etx_log_config *config, void *user, const char *value) {
    (void)user;
    (void)value;
    return SAY(config, ETX_EINVALID,
               "a password among the options of a URL is shown too easily: use password_file=FILE, "
               "or a key without password");
}

static const etx__store_option common[] = {{"partitions", partitions_take},
                                           {"timeout_ms", timeout_take},
                                           {"password_file", password_file_take},
                                           {"password", secret_refuse},
                                           {"sslpassword", secret_refuse}};
enum { COMMON_SHOWN = 3 };

static const etx__store_option *option_find(const etx__store_option *options,
                                            size_t count,
                                            const char *name,
                                            size_t len) {
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return &options[i];
    return NULL;
}

static int unknown(const etx_log_config *config,
                   const etx__store_options *options,
                   const char *name) {
    char known[400] = "";
    for (size_t i = 0; i < COMMON_SHOWN + options->own_count; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "",
                 i < COMMON_SHOWN ? common[i].name : options->own[i - COMMON_SHOWN].name);
    return SAY(config, ETX_EINVALID, "a log in %s has no option '%.*s': there are %s",
               options->store, (int)strcspn(name, "=&"), name, known);
}

static int option_take(const etx_log_config *config,
                       const etx__store_options *options,
                       etx__store *store,
                       const char *option,
                       size_t len) {
    char value[VALUE_MAX];
    const char *equals = memchr(option, '=', len);
    size_t name_len = equals ? (size_t)(equals - option) : len;
    size_t skip = equals ? name_len + 1 : len;
    const etx__store_option *own = option_find(options->own, options->own_count, option, name_len);
    const etx__store_option *every =
        own ? NULL : option_find(common, sizeof common / sizeof common[0], option, name_len);
    if (!own && !every)
        return options->other ? options->other(config, options->user, option, len)
                              : unknown(config, options, option);
    if (decode(option + skip, len - skip, value, sizeof value))
        return SAY(config, ETX_EINVALID,
                   "the option %.*s is too long, or has a %% without two digits", (int)name_len,
                   option);
    return own ? own->take(config, options->user, value) : every->take(config, store, value);
}

int etx__store_options_take(const etx_log_config *config,
                            const char *url,
                            const etx__store_options *options,
                            etx__store *store) {
    const char *at = strchr(url, '?');
    at = at ? at + 1 : "";
    while (*at) {
        size_t len = strcspn(at, "&");
        int rc = len ? option_take(config, options, store, at, len) : 0;
        if (rc)
            return rc;
        at += len;
        at += *at == '&';
    }
    return 0;
}
