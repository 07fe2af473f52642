/* --check-config: finds what a start would find, and opens no home and no port for it. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <etx/log.h>

#include "check.h"
#include "forward.h"

/* ---- files */

int etxd_check_files(const etxd_config *config, char *message) {
    etxd_tokens tokens = {NULL, 0};
    const net_tls_options options = etxd_tls_options(config);
    net_tls *tls = NULL;
    etx_http_options http;
    etxd_secrets secrets;
    etxd_headers headers;
    int rc;
    if (etxd_files_judge(config, message) != 0) {
        return -1;
    }
    if (config->token_file[0] != '\0') {
        if (etxd_tokens_read(config->token_file, &tokens, message, ETXD_MESSAGE_MAX) != 0) {
            return -1;
        }
        etxd_tokens_free(&tokens);
    }
    if (config->tls_certificate[0] != '\0' && net_tls_create(&options, message, &tls) != 0) {
        return -1;
    }
    net_tls_free(tls);
    rc = etxd_headers_read("trace-header", &config->trace_header, &headers, message);
    etxd_headers_free(&headers);
    if (rc == 0) {
        rc = etxd_http_options(config, &http, &secrets, message);
        etxd_secrets_free(&secrets);
    }
    return rc;
}

/* ---- homes */

/* The directory of a log, as it is there or will be; freed by free(). NULL: none, or no memory. */
static char *directory_of(const char *url) {
    const char *path = url + strlen("file:");
    char *given, *real, *here;
    path += strncmp(path, "///", 3) == 0 ? 2 : 0;
    given = strndup(path, strcspn(path, "?"));
    real = given != NULL ? realpath(given, NULL) : NULL;
    here = given != NULL && *given != '\0' && real == NULL ? realpath(".", NULL) : NULL;
    if (here != NULL) {
        const char *rest = given + 2 * (strncmp(given, "./", 2) == 0);
        size_t size = strlen(here) + strlen(given) + 2;
        size_t len;
        real = malloc(size);
        if (real != NULL) {
            snprintf(real, size, "%s%s%s", *rest == '/' ? "" : here, *rest == '/' ? "" : "/", rest);
            for (len = strlen(real); len > 1 && real[len - 1] == '/'; len--) {
                real[len - 1] = '\0';
            }
        }
    }
    free(here);
    free(given);
    return real;
}

static int is_same(const char *one, const char *other) {
    char *a = directory_of(one);
    char *b = directory_of(other);
    int same = a != NULL && b != NULL && strcmp(a, b) == 0;
    free(a);
    free(b);
    return same;
}

static int is_there(const char *url) {
    char *path = directory_of(url);
    struct stat state;
    int there = path != NULL && stat(path, &state) == 0 && S_ISDIR(state.st_mode);
    free(path);
    return there;
}

/* A log's own reader judges its URL. One that is there is left alone: in its place the reader looks
 * where nothing can be. One in memory is made, and gone again. */
static int judge_url(const etxd_config *config, const char *url, char *message) {
    int is_file = strncmp(url, "file:", 5) == 0;
    const etx_log_ops *ops = is_file ? etx_log_file() : etx_log_memory();
    char nowhere[1024];
    char why[256] = "";
    etx_log *log = NULL;
    etx_log_config open = {.size = sizeof open,
                           .url = url,
                           .node = config->node,
                           .flags = is_file ? ETX_LOG_NO_CREATE | ETX_LOG_READ_ONLY : 0,
                           .message = why,
                           .message_size = sizeof why};
    int rc;
    if (is_file && is_there(url)) {
        snprintf(nowhere, sizeof nowhere, "file:/proc/nothing%s", url + strcspn(url, "?"));
        open.url = nowhere;
    }
    rc = ops->open(&open, &log);
    if (rc == 0) {
        ops->close(log, 1);
    } else if (rc == ETX_EINVALID) {
        snprintf(message, ETXD_MESSAGE_MAX, "home %.200s: %s", url, why);
    }
    return rc == ETX_EINVALID ? -1 : 0;
}

static int judge_home(const etxd_config *config, size_t place, char *message) {
    const char *url = config->home.items[place];
    size_t i;
    if (strncmp(url, "memory:", 7) == 0 && !config->allow_volatile) {
        snprintf(message, ETXD_MESSAGE_MAX,
                 "home %.200s forgets with the process: name another one, or say --allow-volatile",
                 url);
        return -1;
    }
    if (strncmp(url, "file:", 5) != 0) {
        return strncmp(url, "memory:", 7) == 0 ? judge_url(config, url, message) : 0;
    }
    for (i = 0; i < place; i++) {
        if (strncmp(config->home.items[i], "file:", 5) == 0 &&
            is_same(config->home.items[i], url)) {
            snprintf(message, ETXD_MESSAGE_MAX, "home %.200s stands twice in the list", url);
            return -1;
        }
    }
    return judge_url(config, url, message);
}

void etxd_check_modes(etxd *server) {
    size_t i;
    for (i = 0; i < server->config.home.count; i++) {
        const char *url = server->config.home.items[i];
        char *path = strncmp(url, "file:", 5) == 0 ? directory_of(url) : NULL;
        struct stat state;
        if (path != NULL && stat(path, &state) == 0 && (state.st_mode & 077) != 0) {
            etxd_log_say(&server->log, ETXD_WARNING,
                         "others than its owner may look into a home's directory: chmod 700",
                         "directory", path);
        }
        free(path);
    }
}

/* ---- all of it */

static int never(void *user) {
    (void)user;
    return 0;
}

static int judge_traces(const etxd_config *config, char *message) {
    etxd_trace_post *post = NULL;
    int rc = config->trace_url[0] == '\0'
                 ? 0
                 : etxd_trace_post_create(config, never, NULL, &post, message);
    etxd_trace_post_free(post);
    return rc;
}

int etxd_check(etxd *server, char *message) {
    const etxd_config *config = &server->config;
    net_tls *trust = NULL;
    size_t i;
    int rc = etxd_check_files(config, message);
    for (i = 0; rc == 0 && i < config->home.count; i++) {
        rc = judge_home(config, i, message);
    }
    rc = rc != 0 ? rc : judge_traces(config, message);
    if (rc == 0 && net_loop_create(&server->loop) != 0) {
        snprintf(message, ETXD_MESSAGE_MAX, "no memory, or no descriptors");
        rc = -1;
    }
    rc = rc != 0 ? rc : etxd_engine_options(server, message);
    rc = rc != 0 ? rc : etxd_forwarder_tls(config, &trust, message);
    net_tls_free(trust);
    etx_http_free(server->http);
    etx_engine_free(server->engine);
    net_loop_free(server->loop);
    return rc;
}
