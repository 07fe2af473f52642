/* What settings must be to each other: no listener beyond loopback without TLS and tokens. */
#include <string.h>

#include <etx/etx.h>

#include "../net/address.h"
#include "../net/url.h"
#include "config.h"
#include "secret.h"

enum { ADVERTISE_MAX = 255 };

static int say(char *message, const char *format, const char *first, const char *second) {
    snprintf(message, ETXD_MESSAGE_MAX, format, first, second);
    return -1;
}

static int is_local(const char *text) {
    net_address address;
    return net_address_parse(text, &address) == 0 && net_address_is_loopback(&address);
}

int etxd_config_is_local(const etxd_config *config) {
    size_t i;
    for (i = 0; i < config->listen.count; i++) {
        if (!is_local(config->listen.items[i])) {
            return 0;
        }
    }
    return 1;
}

static int judge_listeners(const etxd_config *config, char *message) {
    size_t i;
    if (config->listen.count == 0) {
        return say(message, "listen: there is nothing to listen on%s%s", "", "");
    }
    for (i = 0; i < config->listen.count; i++) {
        const char *text = config->listen.items[i];
        net_address address;
        if (net_address_parse(text, &address) != 0) {
            return say(message,
                       "listen: '%.100s' is no address: 127.0.0.1:7830, [::1]:7830, "
                       "*:7830 or unix:PATH%s",
                       text, "");
        }
        if (is_local(text)) {
            continue;
        }
        if (config->tls_certificate[0] == '\0' && !config->insecure_without_tls) {
            return say(message,
                       "listen: %.100s is beyond this machine, and there is no TLS: give "
                       "--tls-certificate and --tls-key, or say --insecure-without-tls%s",
                       text, "");
        }
        if (config->token_file[0] == '\0' && !config->insecure_without_tokens) {
            return say(message,
                       "listen: %.100s is beyond this machine, and there are no tokens: give "
                       "--token-file, or say --insecure-without-tokens%s",
                       text, "");
        }
    }
    return 0;
}

static int judge_pairs(const etxd_config *config, char *message) {
    const struct {
        const char *one, *one_name, *other, *other_name;
    } pairs[] = {
        {config->tls_certificate, "tls-certificate", config->tls_key, "tls-key"},
        {config->call_certificate, "call-certificate", config->call_key, "call-key"},
        {config->sign_key_id, "sign-key-id", config->sign_key, "sign-key"},
    };
    size_t i;
    for (i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if ((pairs[i].one[0] == '\0') != (pairs[i].other[0] == '\0')) {
            return say(message, "%s and %s go together", pairs[i].one_name, pairs[i].other_name);
        }
    }
    if (config->tls_client_ca[0] != '\0' && config->tls_certificate[0] == '\0') {
        return say(message, "tls-client-ca needs tls-certificate%s%s", "", "");
    }
    if (config->sign_key[0] != '\0' && !etxd_secret_is_reference(config->sign_key)) {
        return say(message,
                   "sign-key: say file:FILE, so that the key stands in no command line%s%s", "",
                   "");
    }
    if (config->trace_url[0] != '\0' && strncmp(config->trace_url, "http://", 7) != 0 &&
        strncmp(config->trace_url, "https://", 8) != 0) {
        return say(message, "trace-url: a collector's begins with http:// or https://%s%s", "", "");
    }
    return 0;
}

/* A name is judged where it is resolved: when another node calls. */
static int is_local_url(const net_url *url) {
    return url->kind == NET_HOST_IP4   ? url->ip[0] == 127
           : url->kind == NET_HOST_IP6 ? strcmp(url->host, "::1") == 0
                                       : strcmp(url->host, "localhost") == 0;
}

static int judge_advertise(const etxd_config *config, char *message) {
    const char *text = config->advertise;
    const char *why = "";
    char shown[101];
    net_url url;
    if (text[0] == '\0') {
        return 0;
    }
    if (strlen(text) > ADVERTISE_MAX) {
        return say(message, "advertise: a URL of %s characters at most%s", "255", "");
    }
    etxd_config_mask(text, shown, sizeof shown);
    if (net_url_parse(text, strlen(text), &url, &why) != 0) {
        return say(message, "advertise: '%s' is no URL of a server: %s", shown, why);
    }
    if (strpbrk(text, "?#") != NULL) {
        return say(message, "advertise: '%s': paths are put behind it: no '?', no '#'%s", shown,
                   "");
    }
    if (!url.tls && !is_local_url(&url) && !config->insecure_without_tls) {
        return say(message,
                   "advertise: what other nodes send to %s, tokens included, could be read on "
                   "the way: say https://, or --insecure-without-tls%s",
                   shown, "");
    }
    return 0;
}

/* What is none is not shown: it may be a value whose name was forgotten, or the rest of one that
 * commas of the environment have cut. */
static int judge_headers(const etxd_config *config, const char *name, char *message) {
    const etxd_setting *row = etxd_setting_find(name, NULL);
    const etxd_list *list = (const void *)((const char *)config + row->offset);
    size_t i;
    for (i = 0; i < list->count; i++) {
        if (etxd_header_name(list->items[i]) == 0) {
            return say(message, "%s: '***' is no header: write NAME: VALUE, or NAME: file:FILE%s",
                       name,
                       config->source[row->place] == ETXD_FROM_ENVIRONMENT
                           ? "; in the environment commas part headers: a value that has one goes "
                             "into a file, or into the YAML file of --config"
                           : "");
        }
    }
    return 0;
}

static int judge_pauses(const etxd_config *config, char *message) {
    if (config->retry_first > config->retry_cap) {
        snprintf(message, ETXD_MESSAGE_MAX,
                 "retry-first: %llu ms is longer than retry-cap, %llu ms, the longest pause",
                 (unsigned long long)config->retry_first, (unsigned long long)config->retry_cap);
        return -1;
    }
    return 0;
}

static int is_one_of(const char *word, const char *const *list) {
    for (; *list != NULL; list++) {
        if (strcmp(*list, word) == 0) {
            return 1;
        }
    }
    return 0;
}

int etxd_config_judge(const etxd_config *config, char *message) {
    static const char *const levels[] = {"error", "warning", "info", "debug", NULL};
    static const char *const formats[] = {"auto", "text", "json", NULL};
    static const char *const confines[] = {"auto", "off", "required", NULL};
    static const char *const grades[] = {"volatile", "local", "replicated", NULL};
    if (judge_listeners(config, message) != 0 || judge_pairs(config, message) != 0 ||
        judge_advertise(config, message) != 0 || judge_pauses(config, message) != 0 ||
        judge_headers(config, "call-header", message) != 0 ||
        judge_headers(config, "trace-header", message) != 0) {
        return -1;
    }
    if (!is_one_of(config->log_level, levels)) {
        return say(message, "log-level: '%.50s' is none: error, warning, info, debug%s",
                   config->log_level, "");
    }
    if (!is_one_of(config->log_format, formats)) {
        return say(message, "log-format: '%.50s' is none: auto, text, json%s", config->log_format,
                   "");
    }
    if (!is_one_of(config->confine, confines)) {
        return say(message, "confine: '%.50s' is none: auto, off, required%s", config->confine, "");
    }
    if (!is_one_of(config->durability, grades)) {
        return say(message, "durability: '%.50s' is none: volatile, local, replicated%s",
                   config->durability, "");
    }
    if (config->accept_chosen_home[0] != '\0' &&
        strlen(config->accept_chosen_home) != ETX_HOME_ID_LEN) {
        return say(message,
                   "accept-chosen-home: '%.50s' is no home's id: the start that was refused names "
                   "it%s",
                   config->accept_chosen_home, "");
    }
    if (etx_name_check(config->node, strlen(config->node)) != 0) {
        return say(message, "node: '%.50s' is no name: 1 to 64 printable characters, no space%s",
                   config->node, "");
    }
    return 0;
}
