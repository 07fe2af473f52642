/* Forwarding: what is asked here of a transaction that another node has is asked there, once. */
#include "forward.h"

#include <stdlib.h>
#include <string.h>

#include "../net/client.h"
#include "refusal.h"
#include "tx.h"

/* Happy path. Before a request is handled the engine is asked who has the gid's partition. If that
 * is another node whose address is known, the request goes there as it came, with the caller's own
 * authorization, and the owner's answer is the answer. Who is asked so does not forward again: what
 * was moved meanwhile is 421, and the caller asks anew. Nothing was done here in any case; what the
 * owner did is unknown if its answer is lost. */

enum { FIELDS_MAX = 6, SLACK_MS = 5000, WATCH_MS = 250, NO_WAIT_MS = 10000, ANSWER_MAX = 64 << 20 };

static const char by[] = "Etx-Forwarded-By";

struct etxd_forwarder {
    net_client *client;
    net_tls *tls;
    uint32_t turn;         /* among the nodes that new transactions are sent to */
    etxd_exchange *asking; /* those that wait for another node's answer */
    net_timer hurry;
    net_timer watch; /* while some wait */
    int watching;
    etxd *server;
};

/* What is sent: copies, until it is on its way. */
struct etxd_letter {
    char node[ETX_NAME_MAX + 1];
    const char *method;
    etxd_text url;
    etxd_text body;
    net_header headers[FIELDS_MAX];
    char *values[FIELDS_MAX];
    size_t count;
};

/* ---- whether */

static int where_is(const etxd_exchange *x, const char *gid, etx_partition_status *ret) {
    return x->server->forwarder != NULL &&
           etx_engine_gid_status(x->server->engine, gid, ret) == 0 && ret->elsewhere;
}

int etxd_is_elsewhere(const etxd_exchange *x, const char *gid) {
    etx_partition_status where = {.size = sizeof where};
    return where_is(x, gid, &where);
}

static int refuse(etxd_exchange *x, const etx_partition_status *where) {
    if (where->why[0] != '\0') {
        return etxd_problem_set(&x->problem, ETXD_ELSEWHERE_PROBLEM, "%s", where->why);
    }
    return etxd_problem_set(&x->problem, ETXD_ELSEWHERE_PROBLEM,
                            "partition %u of %s home is with node %s%s%s", where->number,
                            where->shared ? "the shared" : "a local", where->node,
                            where->address[0] != '\0' ? " at " : "", where->address);
}

int etxd_forward_never(etxd_exchange *x, const char *gid) {
    etx_partition_status where = {.size = sizeof where};
    return where_is(x, gid, &where) ? refuse(x, &where) : 0;
}

/* ---- there */

static void add_field(etxd_letter *one, const char *name, net_text value) {
    char *copy = value.len > 0 ? strndup(value.bytes, value.len) : NULL;
    one->url.failed |= value.len > 0 && copy == NULL;
    if (copy != NULL) {
        one->values[one->count] = copy;
        one->headers[one->count++] = (net_header){name, copy};
    }
}

static void add_given(etxd_letter *one, const etxd_exchange *x, const char *name) {
    add_field(one, name, net_request_header(x->request, name));
}

static void write_letter(etxd_letter *one,
                         const etxd_exchange *x,
                         const char *name,
                         const char *address) {
    const char *node = x->server->config.node;
    net_text path = net_request_path(x->request);
    net_text query = net_request_query(x->request);
    net_text body = net_request_body(x->request);
    size_t len = strlen(address);
    memcpy(one->node, name, sizeof one->node);
    one->method = strcmp(x->method, "HEAD") == 0 ? "GET" : x->method;
    etxd_text_add(&one->body, body.bytes, body.len);
    len -= len > 0 && address[len - 1] == '/';
    etxd_text_add(&one->url, address, len);
    etxd_text_add(&one->url, path.bytes, path.len);
    if (query.len > 0) {
        etxd_text_put(&one->url, "?");
        etxd_text_add(&one->url, query.bytes, query.len);
    }
    add_field(one, by, (net_text){node, strlen(node)});
    add_given(one, x, "Authorization");
    add_given(one, x, "Content-Type");
    add_given(one, x, "traceparent");
    add_given(one, x, "tracestate");
}

void etxd_letter_free(etxd_letter *letter) {
    if (letter == NULL) {
        return;
    }
    while (letter->count > 0) {
        free(letter->values[--letter->count]);
    }
    etxd_text_free(&letter->url);
    etxd_text_free(&letter->body);
    free(letter);
}

static etxd_letter *make_letter(etxd_exchange *x, const char *node, const char *address) {
    etxd_letter *one = calloc(1, sizeof *one);
    if (one != NULL) {
        write_letter(one, x, node, address);
    }
    if (one == NULL || one->url.failed || one->body.failed) {
        etxd_letter_free(one);
        (void)etxd_problem_set(&x->problem, ETXD_MEMORY_PROBLEM, "no memory to ask node %s", node);
        return NULL;
    }
    return one;
}

/* ---- and back */

static void relay_field(const net_result *result,
                        const char *name,
                        net_header *headers,
                        char **values,
                        size_t *count) {
    net_text value = net_result_header(result, name);
    char *copy = value.len > 0 ? strndup(value.bytes, value.len) : NULL;
    if (copy != NULL) {
        values[*count] = copy;
        headers[(*count)++] = (net_header){name, copy};
    }
}

static void relay(etxd_exchange *x, const net_result *result) {
    static const char *const names[] = {"Location", "Retry-After", "WWW-Authenticate",
                                        "Cache-Control"};
    net_header headers[FIELDS_MAX];
    char *values[FIELDS_MAX];
    size_t count = 0;
    size_t i;
    net_text type = net_result_header(result, "Content-Type");
    char *content_type = type.len > 0 ? strndup(type.bytes, type.len) : NULL;
    net_answer answer = {.size = sizeof answer,
                         .status = result->status,
                         .content_type = content_type,
                         .body = result->body.bytes,
                         .body_len = result->body.len,
                         .headers = headers};
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        relay_field(result, names[i], headers, values, &count);
    }
    answer.header_count = count;
    (void)net_request_answer(x->request, &answer);
    while (count > 0) {
        free(values[--count]);
    }
    free(content_type);
    etxd_note(x, result->status);
}

static int send_letter(etxd_exchange *x, etxd_letter *one);

static void link_asking(etxd_exchange *x) {
    etxd_forwarder *forwarder = x->server->forwarder;
    x->asking = forwarder->asking;
    x->asked = &forwarder->asking;
    if (x->asking != NULL) {
        x->asking->asked = &x->asking;
    }
    forwarder->asking = x;
}

static void unlink_asking(etxd_exchange *x) {
    *x->asked = x->asking;
    if (x->asking != NULL) {
        x->asking->asked = x->asked;
    }
}

/* Its lease is over, says a store that has heard of this node: it will not answer. Nothing is said
 * while the store is away, as all leases run out then. */
static int is_gone(const etxd *server, const char *name) {
    etx_home_status home = {.size = sizeof home};
    etx_node_status node = {.size = sizeof node};
    int there = 0;
    int heard = 0;
    unsigned place;
    uint32_t i;
    for (place = 0; etx_engine_home_status(server->engine, place, &home) == 0; place++) {
        for (i = 0; etx_engine_node_status(server->engine, place, i, &node) == 0; i++) {
            heard |= node.here && node.left_ms > 0;
            there |= strcmp(node.node, name) == 0 && node.left_ms > 0;
        }
    }
    return heard && !there;
}

static void on_watch(net_timer *timer) {
    etxd_forwarder *forwarder =
        (etxd_forwarder *)(void *)((char *)timer - offsetof(etxd_forwarder, watch));
    const char *last = "";
    int gone = 0;
    etxd_exchange *x;
    for (x = forwarder->asking; x != NULL; x = x->asking) {
        gone = strcmp(x->node, last) == 0 ? gone : is_gone(forwarder->server, x->node);
        last = x->node;
        if (gone) {
            net_client_cancel(forwarder->client, x->fetch); /* it is answered later */
        }
    }
    forwarder->watching = forwarder->asking != NULL;
    if (forwarder->watching) {
        net_timer_start(forwarder->server->loop, timer, WATCH_MS);
    }
}

static void watch(etxd_forwarder *forwarder) {
    if (!forwarder->watching) {
        forwarder->watching = 1;
        forwarder->watch.fire = on_watch;
        net_timer_start(forwarder->server->loop, &forwarder->watch, WATCH_MS);
    }
}

/* It has said yes, and more is to be done. */
static void go_on(etxd_exchange *x) {
    etxd_letter *one = x->later;
    x->later = NULL;
    if (one != NULL ? send_letter(x, one) < 0 : x->then(x) != 0) {
        etxd_refuse(x);
    }
}

static void refuse_unanswered(etxd_exchange *x, const net_result *result) {
    const char *why = result->detail[0] != '\0' ? result->detail : net_strerror(result->error);
    /* who is not welcome was not listened to, whatever was sent */
    int unwelcome = result->error == NET_ECERTIFICATE;
    int lost = result->sent && !unwelcome;
    atomic_fetch_add(&x->server->counts.forwards[lost ? ETXD_FORWARD_LOST : ETXD_FORWARD_UNREACHED],
                     1);
    if (unwelcome) {
        etxd_refusal_note(x->server, x->node, why);
        why = etxd_refusal_of(x->server, x->node);
    }
    (void)etxd_problem_set(
        &x->problem, lost ? ETXD_UNKNOWN_PROBLEM : ETXD_UNAVAILABLE_PROBLEM,
        "node %s is to be asked, and %s: %.300s", x->node,
        lost ? "may have got the request, but did not answer" : "could not be reached", why);
    etxd_refuse(x);
}

static void on_answer(uint64_t id, const net_result *result, void *user) {
    etxd_exchange *x = user;
    (void)id;
    etxd_wait_end(x);
    unlink_asking(x);
    if (result->error != 0) {
        refuse_unanswered(x, result);
        return;
    }
    etxd_refusal_note(x->server, x->node, NULL);
    atomic_fetch_add(&x->server->counts.forwards[ETXD_FORWARD_ANSWERED], 1);
    if (result->status < 300 && x->then != NULL) {
        go_on(x);
    } else {
        relay(x, result);
    }
}

/* Takes the letter. 1, or -1 and a problem. */
static int send_letter(etxd_exchange *x, etxd_letter *one) {
    uint32_t wait_ms = x->wait_ms > 0 ? x->wait_ms : NO_WAIT_MS;
    net_url url;
    net_fetch fetch = {.size = sizeof fetch,
                       .url = &url,
                       .method = one->method,
                       .tls = x->server->forwarder->tls,
                       .headers = one->headers,
                       .header_count = one->count,
                       .body = one->body.bytes,
                       .body_len = one->body.len,
                       .connect_ms = (uint32_t)x->server->config.call_connect,
                       .timeout_ms = wait_ms + SLACK_MS,
                       .done = on_answer,
                       .user = x};
    const char *why = "no memory";
    int rc = 1;
    memcpy(x->node, one->node, sizeof x->node);
    if (net_url_parse(one->url.bytes, one->url.len, &url, &why) != 0) {
        rc = etxd_problem_set(&x->problem, ETXD_ELSEWHERE_PROBLEM,
                              "node %s cannot be asked from here: %s", x->node, why);
    } else if (etxd_wait_begin(x) != 0) {
        rc = -1;
    } else if (net_client_fetch(x->server->forwarder->client, &fetch, &x->fetch) == 0) {
        link_asking(x);
        watch(x->server->forwarder);
    } else {
        etxd_wait_end(x);
        rc =
            etxd_problem_set(&x->problem, ETXD_MEMORY_PROBLEM, "no memory to ask node %s", x->node);
    }
    etxd_letter_free(one);
    return rc;
}

static int ask(etxd_exchange *x, const char *node, const char *address) {
    etxd_letter *one = make_letter(x, node, address);
    return one != NULL ? send_letter(x, one) : -1;
}

int etxd_is_forwarded(const etxd_exchange *x) {
    return net_request_header(x->request, by).bytes != NULL;
}

static int guard_address(etxd_exchange *x, const etx_node_status *node) {
    return node->address[0] != '\0' && x->server->forwarder != NULL
               ? 0
               : etxd_problem_set(&x->problem, ETXD_ELSEWHERE_PROBLEM,
                                  "node %s is to be asked, and has told no address", node->node);
}

int etxd_forward_to(etxd_exchange *x, const etx_node_status *node) {
    return guard_address(x, node) != 0 ? -1 : ask(x, node->node, node->address);
}

int etxd_forward_later(etxd_exchange *x, const etx_node_status *node) {
    if (guard_address(x, node) != 0) {
        return -1;
    }
    x->later = make_letter(x, node->node, node->address);
    return x->later != NULL ? 0 : -1;
}

/* Any that attends and can be asked, each in its turn. */
static int find_other(etxd *server, unsigned place, etx_node_status *ret_node) {
    etx_node_status node = {.size = sizeof node};
    uint32_t turn = server->forwarder->turn++;
    uint32_t count = 0;
    uint32_t i;
    for (i = 0; etx_engine_node_status(server->engine, place, i, &node) == 0; i++) {
        count += !node.here && node.address[0] != '\0';
    }
    turn = count > 0 ? turn % count : 0;
    for (i = 0; count > 0 && etx_engine_node_status(server->engine, place, i, &node) == 0; i++) {
        if (!node.here && node.address[0] != '\0' && turn-- == 0) {
            *ret_node = node;
            return 1;
        }
    }
    return 0;
}

int etxd_forward_new(etxd_exchange *x) {
    etx_home_status home = {.size = sizeof home};
    etx_node_status node = {.size = sizeof node};
    unsigned place;
    if (x->server->forwarder == NULL || etxd_is_forwarded(x)) {
        return 0;
    }
    for (place = 0; etx_engine_home_status(x->server->engine, place, &home) == 0; place++) {
        if (home.drained && find_other(x->server, place, &node)) {
            return etxd_forward_to(x, &node);
        }
    }
    return 0;
}

int etxd_forward(etxd_exchange *x, const char *gid) {
    etx_partition_status where = {.size = sizeof where};
    if (!where_is(x, gid, &where)) {
        return 0;
    }
    if (where.address[0] == '\0' || etxd_is_forwarded(x)) {
        return refuse(x, &where);
    }
    return ask(x, where.node, where.address);
}

/* ---- its life */

static void on_hurry(net_timer *timer) {
    etxd_forwarder *forwarder =
        (etxd_forwarder *)(void *)((char *)timer - offsetof(etxd_forwarder, hurry));
    etxd_exchange *x = forwarder->asking;
    while (x != NULL) {
        etxd_exchange *next = x->asking;
        net_client_cancel(forwarder->client, x->fetch);
        x = next;
    }
}

void etxd_forward_hurry(etxd *server, uint64_t ms) {
    if (server->forwarder != NULL) {
        server->forwarder->hurry.fire = on_hurry;
        net_timer_start(server->loop, &server->forwarder->hurry, ms);
    }
}

/* Tokens do not go in the clear to where others may read them. */
static int vet(const net_url *url, const net_address *address, void *user) {
    const etxd *server = user;
    return !url->tls && !net_address_is_loopback(address) && !server->config.insecure_without_tls;
}

int etxd_forwarder_tls(const etxd_config *config, net_tls **ret_tls, char *message) {
    const net_tls_options options = {
        .size = sizeof options,
        .certificate = config->call_certificate[0] != '\0' ? config->call_certificate : NULL,
        .key = config->call_key[0] != '\0' ? config->call_key : NULL,
        .authorities = config->call_ca[0] != '\0' ? config->call_ca : NULL};
    return etxd_config_is_shared(config) ? net_tls_create(&options, message, ret_tls) : 0;
}

void etxd_forwarder_trust(etxd_forwarder *forwarder, net_tls *tls) {
    if (forwarder != NULL) {
        net_tls_free(forwarder->tls);
        forwarder->tls = tls;
        etxd_refusals_forget(forwarder->server);
    }
}

int etxd_forwarder_create(etxd *server, char *message) {
    const net_client_options options = {.size = sizeof options,
                                        .vet = vet,
                                        .user = server,
                                        .answer_bytes_max = ANSWER_MAX,
                                        .header_bytes_max = 65535};
    if (!etxd_config_is_shared(&server->config)) {
        return 0;
    }
    server->forwarder = calloc(1, sizeof *server->forwarder);
    if (server->forwarder == NULL ||
        net_client_create(server->loop, &options, &server->forwarder->client) != 0) {
        snprintf(message, ETXD_MESSAGE_MAX, "no memory");
        return -1;
    }
    server->forwarder->server = server;
    etxd_refusal_warn(server);
    return etxd_forwarder_tls(&server->config, &server->forwarder->tls, message);
}

void etxd_forwarder_free(etxd_forwarder *forwarder) {
    if (forwarder != NULL) {
        net_client_free(forwarder->client);
        net_timer_stop(forwarder->server->loop, &forwarder->hurry);
        net_timer_stop(forwarder->server->loop, &forwarder->watch);
        net_tls_free(forwarder->tls);
        etxd_refusals_forget(forwarder->server);
        free(forwarder);
    }
}
