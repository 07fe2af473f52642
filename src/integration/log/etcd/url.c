/* Reads the URL of an etcd log. */
#include "etcd.h"

#include <stdio.h>
#include <string.h>

enum { PORT = 2379, COMPACT_MAX_S = 86400 };

static int say(const etx_log_config *config, const char *text) {
    return etx__store_say(config->message, config->message_size, ETX_EINVALID, "%s", text);
}

static int tls_take(const etx_log_config *config, void *user, const char *value) {
    etx__etcd_store *store = user;
    store->tls = strcmp(value, "on") == 0;
    if (!store->tls && strcmp(value, "off") != 0)
        return say(config, "the option tls is on or off");
    return 0;
}

static int file_take(const etx_log_config *config, char *to, size_t size, const char *value) {
    if (!value[0])
        return say(config, "the options tls_ca, tls_cert and tls_key name a file");
    snprintf(to, size, "%s", value);
    return 0;
}

static int ca_take(const etx_log_config *config, void *user, const char *value) {
    etx__etcd_store *store = user;
    return file_take(config, store->tls_ca, sizeof store->tls_ca, value);
}

static int cert_take(const etx_log_config *config, void *user, const char *value) {
    etx__etcd_store *store = user;
    return file_take(config, store->tls_cert, sizeof store->tls_cert, value);
}

static int key_take(const etx_log_config *config, void *user, const char *value) {
    etx__etcd_store *store = user;
    return file_take(config, store->tls_key, sizeof store->tls_key, value);
}

static int compact_take(const etx_log_config *config, void *user, const char *value) {
    etx__etcd_store *store = user;
    if (etx__store_number(value, COMPACT_MAX_S, &store->compact_s))
        return say(config, "the option compact is 1 to 86400 (seconds of history that are kept)");
    return 0;
}

static int prefix_check(const etx_log_config *config, etx__store_place *place) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
    size_t len = strlen(place->path);
    if (len == 0)
        snprintf(place->path, sizeof place->path, "etx");
    else if (strspn(place->path, letters) < len || place->path[0] == '/' ||
             place->path[len - 1] == '/' || len > 100)
        return say(config,
                   "the prefix of an etcd log is a name of letters, digits, '_', '-', '.' and '/' "
                   "within, at most 100: etcd://HOST:PORT/PREFIX");
    return 0;
}

static int check(const etx_log_config *config, etx__etcd_store *store) {
    int files = store->tls_ca[0] || store->tls_cert[0] || store->tls_key[0];
    if (files && !store->tls)
        return say(config, "tls_ca, tls_cert and tls_key need tls=on");
    if (!store->tls_cert[0] != !store->tls_key[0])
        return say(config, "tls_cert and tls_key go together");
    if (store->common.password && !store->place.user[0])
        return say(config, "the URL has a password and no user: etcd://USER@HOST:PORT/PREFIX");
    if (store->place.user[0] && !store->common.password)
        return say(config, "the URL has a user and no password: name a password_file=");
    return prefix_check(config, &store->place);
}

int etx__etcd_url_parse(const etx_log_config *config, etx__etcd_store *ret_store) {
    static const etx__store_option own[] = {{"tls", tls_take},
                                            {"tls_ca", ca_take},
                                            {"tls_cert", cert_take},
                                            {"tls_key", key_take},
                                            {"compact", compact_take}};
    const char *url = config->url;
    const etx__store_options options = {"etcd", own, sizeof own / sizeof own[0], NULL, ret_store};
    *ret_store = (etx__etcd_store){.tls = 0};
    int rc = etx__store_init(config, &ret_store->common);
    if (rc)
        return rc;
    if (!url || strncmp(url, "etcd://", 7) != 0)
        return say(config, "the URL of an etcd log is etcd://USER@HOST:PORT,HOST/PREFIX");
    rc = etx__store_place_take(config, url + 7, PORT, &ret_store->common, &ret_store->place);
    rc = rc ? rc : etx__store_options_take(config, url, &options, &ret_store->common);
    rc = rc ? rc : check(config, ret_store);
    if (rc)
        etx__store_free(&ret_store->common);
    return rc;
}
