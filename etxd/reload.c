/* From settings to the engine's and the callers' options; and what SIGHUP takes up anew. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "forward.h"
#include "refusal.h"
#include "tx.h"

/* ---- who calls participants */

static const char *given(const char *text) {
    return text[0] != '\0' ? text : NULL;
}

static void allow(const etxd_config *config, etx_http_options *http) {
    /* While nobody from elsewhere can ask, what is on this machine may be called. */
    static const char *const local[] = {"http://127.0.0.0/8:*", "https://127.0.0.0/8:*",
                                        "http://[::1]:*",       "https://[::1]:*",
                                        "http://localhost:*",   "https://localhost:*"};
    if (config->allow_target.count > 0) {
        http->allow = (const char *const *)config->allow_target.items;
        http->allow_count = config->allow_target.count;
    } else if (etxd_config_is_local(config)) {
        http->allow = local;
        http->allow_count = sizeof local / sizeof local[0];
        http->names_listed = 1; /* no call of another name could get anywhere */
    }
}

int etxd_http_options(const etxd_config *config,
                      etx_http_options *ret,
                      etxd_secrets *ret_secrets,
                      char *message) {
    etx_http_options http = {.size = sizeof http,
                             .target_in_flight_max = (uint32_t)config->target_in_flight,
                             .target_queue_max = (uint32_t)config->target_queue,
                             .target_pipeline_max = (uint32_t)config->target_pipeline,
                             .breaker_failures = (uint32_t)config->breaker_failures,
                             .breaker_open_ms = (uint32_t)config->breaker_open,
                             .connect_ms = (uint32_t)config->call_connect,
                             .answer_bytes_max = config->answer_bytes,
                             .ca_file = given(config->call_ca),
                             .certificate_file = given(config->call_certificate),
                             .key_file = given(config->call_key),
                             .sign_key_id = given(config->sign_key_id)};
    *ret_secrets = (etxd_secrets){NULL, {NULL, 0}};
    allow(config, &http);
    if (etxd_headers_read("call-header", &config->call_header, &ret_secrets->headers, message) ||
        (http.sign_key_id != NULL &&
         etxd_secret_read("sign-key", config->sign_key, &ret_secrets->key, &http.sign_key_len,
                          message) != 0)) {
        etxd_secrets_free(ret_secrets);
        return -1;
    }
    http.sign_key = ret_secrets->key;
    http.headers = (const char *const *)ret_secrets->headers.lines;
    http.header_count = ret_secrets->headers.count;
    *ret = http;
    return 0;
}

/* The words of the caller of participants, with the names that settings have. */
static void name_settings(const etxd_config *config, char *message) {
    char words[ETXD_MESSAGE_MAX];
    unsigned place = 0;
    int len = 0;
    char *at;
    snprintf(words, sizeof words, "%s", message);
    if (sscanf(words, "header %u: %n", &place, &len) == 1 && len > 0 &&
        place < config->call_header.count) {
        const char *header = config->call_header.items[place];
        snprintf(message, ETXD_MESSAGE_MAX, "call-header '%.*s': %s", (int)strcspn(header, ":"),
                 header, words + len);
    }
    if (strncmp(words, "target ", strlen("target ")) == 0) {
        snprintf(message, ETXD_MESSAGE_MAX, "allow-target: %.400s", words);
    }
    for (at = message; strncmp(words, "sign_", 5) == 0 && *at != '\0'; at++) {
        *at = *at == '_' ? '-' : *at;
    }
}

void etxd_secrets_free(etxd_secrets *secrets) {
    free(secrets->key);
    secrets->key = NULL;
    etxd_headers_free(&secrets->headers);
}

net_tls_options etxd_tls_options(const etxd_config *config) {
    return (net_tls_options){.size = sizeof(net_tls_options),
                             .server = 1,
                             .certificate = config->tls_certificate,
                             .key = config->tls_key,
                             .authorities = given(config->tls_client_ca),
                             .clients = config->tls_client_ca[0] != '\0' ? NET_TLS_CLIENTS_REQUIRED
                                                                         : NET_TLS_CLIENTS_UNASKED};
}

net_server_options etxd_server_options(etxd *server) {
    const etxd_config *config = &server->config;
    return (net_server_options){
        .size = sizeof(net_server_options),
        .handler = etxd_handle,
        .user = server,
        .welcome = etxd_is_welcome,
        .body_bytes_max = config->body_bytes,
        .connections_max = (uint32_t)config->connections,
        .connections_per_address_max = (uint32_t)config->connections_per_address};
}

static int make_http(etxd *server, char *message) {
    etx_http_options http;
    etxd_secrets secrets;
    int rc = etxd_http_options(&server->config, &http, &secrets, message);
    if (rc == 0) {
        http.loop = server->loop;
        http.on_report = etxd_trace_report;
        http.report_callers = server->config.trace_url[0] == '\0';
        http.report_user = server->trace;
        rc = etx_http_create(&http, &server->http, message, ETXD_MESSAGE_MAX);
        if (rc != 0) {
            name_settings(&server->config, message);
        }
    }
    etxd_secrets_free(&secrets);
    return rc == 0 ? 0 : -1;
}

/* ---- the engine */

static etx_durability grade_of(const char *word) {
    return word[0] == 'v' ? ETX_VOLATILE : word[0] == 'r' ? ETX_REPLICATED : ETX_LOCAL;
}

static int refuse_engine(etxd *server, int rc, const char *what, char *message) {
    char why[300] = "";
    etx_engine_message(server->engine, why, sizeof why);
    snprintf(message, ETXD_MESSAGE_MAX, "%.150s: %s", what,
             why[0] != '\0' ? why : etx_strerror(rc));
    return -1;
}

int etxd_engine_options(etxd *server, char *message) {
    const etxd_config *c = &server->config;
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_options o = ETX_OPTIONS_INIT;
    char shown[300];
    size_t i;
    int rc;
    monitor.on_event = etxd_events_take;
    monitor.user = server;
    monitor.events = UINT64_MAX;
    monitor.on_ending = server->stories != NULL ? etxd_events_ending : NULL;
    o.node = c->node;
    o.address = c->advertise;
    o.lease_ms = (uint32_t)c->lease;
    o.hold_down_ms = (uint32_t)c->hold_down;
    o.state_dir = c->state[0] != '\0' ? c->state : NULL;
    o.accept_chosen_home = c->accept_chosen_home[0] != '\0' ? c->accept_chosen_home : NULL;
    o.flags = ETX_START_WAITS | (c->allow_volatile ? ETX_ALLOW_VOLATILE : 0);
    o.shards = (uint32_t)c->shards;
    o.busy_poll_us = (uint32_t)c->busy_poll;
    o.transactions_max = (uint32_t)c->transactions;
    o.branches_max = (uint32_t)c->branches;
    o.history_max = c->history_max;
    o.history_age_ms = c->history_age;
    o.deadline_ms = (uint32_t)c->deadline;
    o.call_timeout_ms = (uint32_t)c->call_timeout;
    o.retry_first_ms = (uint32_t)c->retry_first;
    o.retry_cap_ms = (uint32_t)c->retry_cap;
    o.working_ms = (uint32_t)c->working;
    o.park_after = (uint32_t)c->stalled_after;
    o.durability = grade_of(c->durability);
    o.monitor = &monitor;
    rc = etx_engine_create(&o, &server->engine);
    if (rc != 0) {
        return refuse_engine(server, rc, "the engine", message);
    }
    for (i = 0; i < c->home.count; i++) {
        rc = etx_engine_home(server->engine, c->home.items[i]);
        if (rc != 0) {
            return refuse_engine(server, rc,
                                 etxd_config_mask(c->home.items[i], shown, sizeof shown), message);
        }
    }
    if (make_http(server, message) != 0) {
        return -1;
    }
    rc = etx_http_register(server->http, server->engine);
    return rc == 0 ? 0 : refuse_engine(server, rc, "participants", message);
}

/* ---- SIGHUP */

/* Exchanges the members that may change, so that the old ones are freed with `fresh`. */
static void exchange_settings(etxd_config *config, etxd_config *fresh) {
    const etxd_setting *row;
    for (row = etxd_settings(); row->heading != NULL || row->name != NULL; row++) {
        char *ours = (char *)config + row->offset;
        char *theirs = (char *)fresh + row->offset;
        char kept[sizeof(etxd_list)];
        size_t size = row->type == ETXD_LIST   ? sizeof(etxd_list)
                      : row->type == ETXD_TEXT ? sizeof(char *)
                                               : sizeof(uint64_t);
        if (row->name == NULL || !(row->flags & ETXD_RELOADED)) {
            continue;
        }
        memcpy(kept, ours, size);
        memcpy(ours, theirs, size);
        memcpy(theirs, kept, size);
    }
}

static int reload_tokens(etxd *server, const etxd_config *fresh, etxd_tokens *ret, char *message) {
    if ((fresh->token_file[0] == '\0') != (server->config.token_file[0] == '\0')) {
        snprintf(message, ETXD_MESSAGE_MAX, "token-file comes or goes with a start only");
        return -1;
    }
    return fresh->token_file[0] == '\0'
               ? 0
               : etxd_tokens_read(fresh->token_file, ret, message, ETXD_MESSAGE_MAX);
}

static int reload_tls(etxd *server, const etxd_config *fresh, net_tls **ret, char *message) {
    const net_tls_options options = etxd_tls_options(fresh);
    if ((fresh->tls_certificate[0] == '\0') != (server->tls == NULL)) {
        snprintf(message, ETXD_MESSAGE_MAX, "tls-certificate comes or goes with a start only");
        return -1;
    }
    return server->tls == NULL ? 0 : net_tls_create(&options, message, ret);
}

static int is_same(const etxd_setting *row, const void *one, const void *other) {
    const etxd_list *a = one;
    const etxd_list *b = other;
    size_t i;
    if (row->type == ETXD_TEXT) {
        return strcmp(*(char *const *)one, *(char *const *)other) == 0;
    }
    if (row->type != ETXD_LIST) {
        return memcmp(one, other, sizeof(uint64_t)) == 0;
    }
    for (i = 0; i < a->count && a->count == b->count; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0) {
            return 0;
        }
    }
    return a->count == b->count;
}

/* What has changed and is not taken up is named each time. */
static void tell_left(etxd *server, const etxd_config *fresh) {
    const etxd_setting *row;
    for (row = etxd_settings(); row->heading != NULL || row->name != NULL; row++) {
        if (row->name != NULL && !(row->flags & ETXD_RELOADED) &&
            !is_same(row, (const char *)&server->config + row->offset,
                     (const char *)fresh + row->offset)) {
            etxd_log_say(&server->log, ETXD_WARNING,
                         "a setting has changed, and is taken up at the next start", "setting",
                         row->name);
        }
    }
}

static int reload_all(etxd *server, etxd_config *fresh, char *message) {
    etxd_tokens tokens = {NULL, 0};
    etx_http_options http;
    etxd_secrets secrets = {NULL, {NULL, 0}};
    net_tls *trust = NULL;
    net_tls *shown = NULL; /* to clients */
    net_server_options limits;
    int rc = etxd_config_read(server->argc, server->argv, server->environment, fresh, message);
    rc = rc != 0 ? rc : etxd_config_fill(fresh, message);
    rc = rc != 0 ? rc : etxd_config_judge(fresh, message);
    rc = rc != 0 ? rc : etxd_files_judge(fresh, message);
    rc = rc != 0 ? rc : reload_tokens(server, fresh, &tokens, message);
    rc = rc != 0 ? rc : reload_tls(server, fresh, &shown, message);
    rc = rc != 0 ? rc : etxd_forwarder_tls(fresh, &trust, message);
    rc = rc != 0 ? rc : etxd_http_options(fresh, &http, &secrets, message);
    if (rc == 0) {
        http.loop = server->loop;
        rc = etx_http_reload(server->http, &http, message, ETXD_MESSAGE_MAX);
        if (rc != 0) {
            name_settings(fresh, message);
        }
    }
    etxd_secrets_free(&secrets);
    if (rc != 0) {
        etxd_tokens_free(&tokens);
        net_tls_free(trust);
        net_tls_free(shown);
        return -1;
    }
    if (shown != NULL) {
        net_tls_take(server->tls, shown);
    }
    if (server->forwarder != NULL) {
        etxd_forwarder_trust(server->forwarder, trust);
    } else {
        net_tls_free(trust);
    }
    tell_left(server, fresh);
    exchange_settings(&server->config, fresh);
    limits = etxd_server_options(server);
    net_server_limits(server->server, &limits);
    etxd_refusal_warn(server);
    etxd_warn_files(&server->config, etxd_warn_log, &server->log);
    etxd_tokens_free(&server->tokens);
    server->tokens = tokens;
    etxd_events_judge(server->events, &tokens);
    etxd_bulk_judge(server->bulk, &tokens);
    atomic_store(&server->log.level, etxd_log_level(server->config.log_level));
    return 0;
}

void etxd_reload(etxd *server) {
    char message[ETXD_MESSAGE_MAX] = "";
    etxd_config fresh;
    etxd_notify("RELOADING=1");
    if (reload_all(server, &fresh, message) == 0) {
        etxd_log_say(&server->log, ETXD_INFO, "taken up anew", NULL, NULL);
    } else {
        etxd_log_say(&server->log, ETXD_ERROR, "nothing was taken up anew", "why", message);
    }
    etxd_config_free(&fresh);
    etxd_notify("READY=1");
}
