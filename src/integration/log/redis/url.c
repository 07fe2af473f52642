/* Reads the URL of a Redis log: redis://USER@HOST:PORT/DBNUMBER, or rediss:, and its
 * options. */
#include "redis.h"

#include <stdio.h>
#include <string.h>

enum { PORT = 6379, DATABASE_MAX = 1 << 20 };

static int say(const etx_log_config *config, const char *text) {
    return etx__store_say(config->message, config->message_size, ETX_EINVALID, "%s", text);
}

static int prefix_take(const etx_log_config *config, void *user, const char *value) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:";
    etx__redis_store *store = user;
    size_t len = strlen(value);
    if (len == 0 || len >= sizeof store->prefix || strspn(value, letters) < len)
        return say(config,
                   "the option prefix is a name of letters, digits, _, -, . and :, at most "
                   "63");
    memcpy(store->prefix, value, len + 1);
    return 0;
}

static int socket_take(const etx_log_config *config, void *user, const char *value) {
    etx__redis_store *store = user;
    size_t len = strlen(value);
    if (value[0] != '/' || len >= sizeof store->socket)
        return say(config, "the option socket is the absolute path of a Unix socket, at most 107");
    memcpy(store->socket, value, len + 1);
    return 0;
}

static int file_take(const etx_log_config *config, const char *value, char to[256]) {
    if (!value[0] || strlen(value) >= 256)
        return say(config,
                   "the options ca_file, cert_file and key_file name files, of at most 255 "
                   "characters");
    memcpy(to, value, strlen(value) + 1);
    return 0;
}

static int authorities_take(const etx_log_config *config, void *user, const char *value) {
    return file_take(config, value, ((etx__redis_store *)user)->files.authorities);
}

static int certificate_take(const etx_log_config *config, void *user, const char *value) {
    return file_take(config, value, ((etx__redis_store *)user)->files.certificate);
}

static int key_take(const etx_log_config *config, void *user, const char *value) {
    return file_take(config, value, ((etx__redis_store *)user)->files.key);
}

static int database_take(const etx_log_config *config, etx__redis_store *store) {
    const char *path = store->place.path;
    if (path[0] && strcmp(path, "0") != 0 &&
        etx__store_number(path, DATABASE_MAX, &store->database))
        return say(config,
                   "what stands behind the URL's host is the number of a database: "
                   "redis://USER@HOST:PORT/0");
    return 0;
}

static int hosts_check(const etx_log_config *config, etx__redis_store *store) {
    for (uint32_t i = 0; i < store->place.host_count; i++)
        if (!store->place.host[i].port)
            store->place.host[i].port = PORT;
    if ((store->place.host_count > 0) == (store->socket[0] != 0))
        return say(config, "the URL names one host or more, or socket=PATH, and not both");
    return 0;
}

static int tls_make(const etx_log_config *config, int secure, etx__redis_store *store) {
    const etx__redis_tls_files *files = &store->files;
    char why[300];
    if (!secure && (files->authorities[0] || files->certificate[0] || files->key[0]))
        return say(config, "ca_file, cert_file and key_file are for TLS: rediss://");
    if (secure && store->socket[0])
        return say(config, "there is no TLS on a Unix socket: redis://");
    if ((files->certificate[0] != 0) != (files->key[0] != 0))
        return say(config, "cert_file and key_file go together");
    int rc = secure ? etx__redis_tls_make(files, &store->tls, why, sizeof why) : 0;
    return rc ? etx__store_say(config->message, config->message_size, rc, "%s", why) : 0;
}

int etx__redis_url_parse(const etx_log_config *config, etx__redis_store *ret_store) {
    static const etx__store_option own[] = {{"prefix", prefix_take},
                                            {"socket", socket_take},
                                            {"ca_file", authorities_take},
                                            {"cert_file", certificate_take},
                                            {"key_file", key_take}};
    const etx__store_options options = {"Redis", own, sizeof own / sizeof own[0], NULL, ret_store};
    const char *url = config->url;
    *ret_store = (etx__redis_store){.prefix = "etx"};
    int rc = etx__store_init(config, &ret_store->common);
    if (rc)
        return rc;
    int secure = url && strncmp(url, "rediss://", 9) == 0;
    if (!secure && (!url || strncmp(url, "redis://", 8) != 0))
        return say(config, "the URL of a Redis log is redis://USER@HOST:PORT/DBNUMBER");
    rc = etx__store_place_take(config, url + 8 + secure, 0, &ret_store->common, &ret_store->place);
    rc = rc ? rc : etx__store_options_take(config, url, &options, &ret_store->common);
    rc = rc ? rc : hosts_check(config, ret_store);
    rc = rc ? rc : database_take(config, ret_store);
    rc = rc ? rc : tls_make(config, secure, ret_store);
    if (rc)
        etx__redis_store_free(ret_store);
    return rc;
}

void etx__redis_store_free(etx__redis_store *store) {
    etx__store_free(&store->common);
    etx__redis_tls_free(store->tls);
    store->tls = NULL;
}
