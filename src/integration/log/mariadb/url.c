/* Reads the URL of a MariaDB log. */
#include "mariadb.h"

#include <stdlib.h>
#include <string.h>

enum { PORT = 3306 };

static int say(const etx_log_config *config, int rc, const char *text) {
    return etx__store_say(config->message, config->message_size, rc, "%s", text);
}

static int prefix_take(const etx_log_config *config, void *user, const char *value) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
    etx__maria_store *store = user;
    size_t len = strlen(value);
    if (len == 0 || len >= sizeof store->prefix || strspn(value, letters) < len)
        return say(config, ETX_EINVALID,
                   "the option prefix is of a-z, 0-9 and _, at most 40 characters");
    memcpy(store->prefix, value, len + 1);
    return 0;
}

static int socket_take(const etx_log_config *config, void *user, const char *value) {
    etx__maria_store *store = user;
    size_t len = strlen(value);
    if (value[0] != '/' || len >= sizeof store->socket)
        return say(config, ETX_EINVALID,
                   "the option socket is the absolute path of a Unix socket, at most 107 bytes");
    memcpy(store->socket, value, len + 1);
    return 0;
}

static int tls_take(const etx_log_config *config, void *user, const char *value) {
    static const char *const names[] = {"", "off", "require", "verify"};
    etx__maria_store *store = user;
    for (unsigned i = ETX__MARIA_TLS_OFF; i <= ETX__MARIA_TLS_VERIFY; i++) {
        if (strcmp(names[i], value) == 0) {
            store->tls = (etx__maria_tls)i;
            return 0;
        }
    }
    return say(config, ETX_EINVALID, "the option tls is off, require or verify");
}

static int file_take(const etx_log_config *config, char **file, const char *value) {
    free(*file);
    *file = value[0] == '/' ? strdup(value) : NULL;
    if (*file)
        return 0;
    return value[0] == '/' ? say(config, ETX_ENOMEM, "out of memory")
                           : say(config, ETX_EINVALID,
                                 "the options tls_ca, tls_cert and tls_key are absolute paths");
}

static int ca_take(const etx_log_config *config, void *user, const char *value) {
    return file_take(config, &((etx__maria_store *)user)->ca, value);
}

static int cert_take(const etx_log_config *config, void *user, const char *value) {
    return file_take(config, &((etx__maria_store *)user)->cert, value);
}

static int key_take(const etx_log_config *config, void *user, const char *value) {
    return file_take(config, &((etx__maria_store *)user)->key, value);
}

/* What has to fit together. */
static int check(const etx_log_config *config, etx__maria_store *store) {
    if (!store->place.user[0] || !store->place.path[0])
        return say(config, ETX_EINVALID,
                   "the URL names no user or no database: mariadb://USER@HOST:PORT/DATABASE");
    if ((store->place.host_count == 0) != (store->socket[0] != 0))
        return say(config, ETX_EINVALID, "the URL names a host, or the option socket: one of both");
    if (store->tls == ETX__MARIA_TLS_UNSET)
        store->tls = store->ca ? ETX__MARIA_TLS_VERIFY : ETX__MARIA_TLS_OFF;
    if (store->tls == ETX__MARIA_TLS_VERIFY && !store->ca)
        return say(config, ETX_EINVALID,
                   "tls=verify needs tls_ca=FILE: the certificate that the server's is signed by");
    if (store->tls == ETX__MARIA_TLS_OFF && (store->ca || store->cert || store->key))
        return say(config, ETX_EINVALID,
                   "tls_ca, tls_cert and tls_key are for tls=require or tls=verify");
    if (!store->cert != !store->key)
        return say(config, ETX_EINVALID, "tls_cert and tls_key belong together");
    for (uint32_t i = 0; i < store->place.host_count; i++)
        if (store->place.host[i].port == 0)
            store->place.host[i].port = PORT;
    return 0;
}

int etx__maria_url_parse(const etx_log_config *config, etx__maria_store *ret_store) {
    static const etx__store_option own[] = {{"prefix", prefix_take}, {"socket", socket_take},
                                            {"tls", tls_take},       {"tls_ca", ca_take},
                                            {"tls_cert", cert_take}, {"tls_key", key_take}};
    static const char scheme[] = "mariadb://";
    const char *url = config->url;
    *ret_store = (etx__maria_store){.prefix = "etx"};
    const etx__store_options options = {"MariaDB", own, sizeof own / sizeof own[0], NULL,
                                        ret_store};
    int rc = etx__store_init(config, &ret_store->common);
    if (rc)
        return rc;
    if (!url || strncmp(url, scheme, sizeof scheme - 1) != 0)
        return say(config, ETX_EINVALID,
                   "the URL of a MariaDB log is mariadb://USER@HOST:PORT/DATABASE");
    rc = etx__store_place_take(config, url + sizeof scheme - 1, 0, &ret_store->common,
                               &ret_store->place);
    rc = rc ? rc : etx__store_options_take(config, url, &options, &ret_store->common);
    rc = rc ? rc : check(config, ret_store);
    if (rc)
        etx__maria_store_free(ret_store);
    return rc;
}

void etx__maria_store_free(etx__maria_store *store) {
    free(store->ca);
    free(store->cert);
    free(store->key);
    store->ca = store->cert = store->key = NULL;
    etx__store_free(&store->common);
}
