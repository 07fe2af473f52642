/* Options in use: checked and copied; whoever works by them holds them while others replace them.
 */
#include "http.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_MIN = 16, KEY_ID_MAX = 128 };

static uint32_t or_default(uint32_t value, uint32_t otherwise) {
    return value != 0 ? value : otherwise;
}

void etx__http_config_release(etx__http_config *config) {
    if (config == NULL || atomic_fetch_sub(&config->holds, 1) > 1) {
        return;
    }
    for (size_t i = 0; config->headers != NULL && i < config->header_count * 2; i++) {
        free(config->headers[i]);
    }
    if (config->key != NULL) {
        OPENSSL_cleanse(config->key, config->key_len);
    }
    net_tls_free(config->tls);
    free(config->headers);
    free(config->key);
    free(config->key_id);
    free(config->allow.pattern);
    free(config);
}

etx__http_config *etx__http_config_now(etx_http *http) {
    pthread_mutex_lock(&http->lock);
    etx__http_config *config = http->config;
    atomic_fetch_add(&config->holds, 1);
    pthread_mutex_unlock(&http->lock);
    return config;
}

static int set_key(etx__http_config *config,
                   const etx_http_options *options,
                   char *message,
                   size_t size) {
    const char *id = options->sign_key_id;
    if (id == NULL) {
        return options->sign_key == NULL
                   ? 0
                   : etx__http_say(ETX_EINVALID, message, size, "sign_key has no sign_key_id");
    }
    size_t len = strlen(id);
    for (size_t i = 0; i < len; i++) {
        if (id[i] < ' ' || id[i] > '~' || id[i] == '"' || id[i] == '\\') {
            len = 0;
        }
    }
    if (len == 0 || len > KEY_ID_MAX) {
        return etx__http_say(ETX_EINVALID, message, size,
                             "sign_key_id is 1 to 128 printable characters, without '\"' and '\\'");
    }
    if (options->sign_key == NULL || options->sign_key_len < KEY_MIN ||
        options->sign_key_len > 65536) {
        return etx__http_say(ETX_EINVALID, message, size, "sign_key has at least 16 bytes");
    }
    config->key_id = strdup(id);
    config->key = malloc(options->sign_key_len);
    if (config->key_id == NULL || config->key == NULL) {
        return ETX_ENOMEM;
    }
    memcpy(config->key, options->sign_key, options->sign_key_len);
    config->key_len = options->sign_key_len;
    return 0;
}

static int set_headers(etx__http_config *config,
                       const etx_http_options *options,
                       char *message,
                       size_t size) {
    if (options->header_count > ETX_HTTP_HEADERS_MAX) {
        return etx__http_say(ETX_EINVALID, message, size, "there are too many headers");
    }
    config->headers = calloc(options->header_count * 2 + 1, sizeof *config->headers);
    if (config->headers == NULL) {
        return ETX_ENOMEM;
    }
    for (size_t i = 0; i < options->header_count; i++) {
        const char *value;
        size_t name_len;
        size_t value_len;
        const char *wrong = etx__http_field_wrong(options->headers[i], 0);
        if (wrong != NULL) {
            return etx__http_say(ETX_EINVALID, message, size, "header %zu: %s", i, wrong);
        }
        etx__http_field_split(options->headers[i], &name_len, &value, &value_len);
        config->header_count = i + 1;
        config->headers[i * 2] = strndup(options->headers[i], name_len);
        config->headers[i * 2 + 1] = strndup(value, value_len);
        if (config->headers[i * 2] == NULL || config->headers[i * 2 + 1] == NULL) {
            return ETX_ENOMEM;
        }
    }
    return 0;
}

static int set_tls(etx__http_config *config,
                   const etx_http_options *options,
                   char *message,
                   size_t size) {
    char text[NET_TLS_MESSAGE_MAX] = "";
    const net_tls_options tls = {.size = sizeof tls,
                                 .certificate = options->certificate_file,
                                 .key = options->key_file,
                                 .authorities = options->ca_file};
    if ((options->certificate_file == NULL) != (options->key_file == NULL)) {
        return etx__http_say(ETX_EINVALID, message, size,
                             "certificate_file and key_file go together");
    }
    if (options->ca_file == NULL && options->certificate_file == NULL) {
        return 0; /* it is made when it is asked for */
    }
    int rc = net_tls_create(&tls, text, &config->tls);
    return rc == 0            ? 0
           : rc == NET_ENOMEM ? ETX_ENOMEM
                              : etx__http_say(ETX_EIO, message, size, "%s", text);
}

/* Reading what the system trusts takes tens of milliseconds: who needs no TLS does not wait for
 * it. */
net_tls *etx__http_config_tls(etx__http_config *config) {
    char text[NET_TLS_MESSAGE_MAX];
    const net_tls_options tls = {.size = sizeof tls};
    if (config->tls == NULL) {
        (void)net_tls_create(&tls, text, &config->tls);
    }
    return config->tls;
}

static void set_limits(etx__http_config *config, const etx_http_options *options) {
    uint32_t in_flight = or_default(options->target_in_flight_max, 256);
    config->target_in_flight_max =
        in_flight < ETX__HTTP_IN_FLIGHT_MAX ? in_flight : ETX__HTTP_IN_FLIGHT_MAX;
    config->target_queue_max = or_default(options->target_queue_max, 4096);
    config->target_pipeline_max = or_default(options->target_pipeline_max, 1);
    config->breaker_failures = or_default(options->breaker_failures, 20);
    config->breaker_open_ms = or_default(options->breaker_open_ms, 1000);
    config->connect_ms = or_default(options->connect_ms, 5000);
    config->answer_bytes_max = options->answer_bytes_max != 0 ? options->answer_bytes_max : 1 << 20;
}

int etx__http_config_make(const etx_http_options *options,
                          etx__http_config **ret_config,
                          char *message,
                          size_t size) {
    if (options == NULL || options->size != sizeof *options) {
        return etx__http_say(ETX_EINVALID, message, size, "etx_http_options has another size");
    }
    etx__http_config *config = calloc(1, sizeof *config);
    if (config == NULL) {
        return etx__http_say(ETX_ENOMEM, message, size, "out of memory");
    }
    config->holds = 1;
    config->names_listed = options->names_listed;
    set_limits(config, options);
    etx__http_say(0, message, size, "out of memory");
    int rc =
        etx__http_allow_read(&config->allow, options->allow, options->allow_count, message, size);
    rc = rc != 0 ? rc : set_key(config, options, message, size);
    rc = rc != 0 ? rc : set_headers(config, options, message, size);
    rc = rc != 0 ? rc : set_tls(config, options, message, size);
    if (rc != 0) {
        etx__http_config_release(config);
        return rc;
    }
    etx__http_say(0, message, size, "%s", "");
    *ret_config = config;
    return 0;
}
