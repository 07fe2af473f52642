/* Fuzzes the server's entrance: what a POST of a transaction says, read and judged.
 *
 * The first byte says whether the token is bound to a prefix; the rest is the body. */
#include "fuzz.h"

#include "etxd/forward.h"
#include "etxd/tx.h"

#include <string.h>

#define PREFIX "shop-"

/* ---- what stands around the reader in the server */

struct net_request {
    net_text body;
};

net_text net_request_body(const net_request *request) {
    return request->body;
}

net_text net_request_header(const net_request *request, const char *name) {
    static const char json[] = "application/json";
    (void)request;
    if (strcmp(name, "content-encoding") == 0) { /* there is none */
        return (net_text){NULL, 0};
    }
    fuzz_check(strcmp(name, "content-type") == 0);
    return (net_text){json, sizeof json - 1};
}

int etxd_guard_gid(etxd_exchange *x, const char *gid) {
    return strncmp(gid, x->prefix, strlen(x->prefix)) == 0
               ? 0
               : etxd_problem_set(&x->problem, ETXD_PREFIX_PROBLEM, "not for this token");
}

int etxd_is_elsewhere(const etxd_exchange *x, const char *gid) {
    return strncmp(gid, x->prefix, strlen(x->prefix)) != 0; /* one node has all */
}

int etxd_fail(etxd_exchange *x, int rc, const char *reason) {
    (void)reason;
    return etxd_problem_set(&x->problem, etxd_problem_of(rc), "%s", etx_strerror(rc));
}

/* ---- what must hold */

/* Does it read as that? */
static int reads_as(const char *bytes, size_t len, const json_t *wanted) {
    json_t *read =
        json_loadb(bytes, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    int same = read != NULL && json_equal(read, wanted);
    json_decref(read);
    return same;
}

/* It is what the body says, byte for byte: so it reads as the same, large numbers left out if they
 * had to be. */
static void check_payload(const etx_http_branch *http, const json_t *said, net_text body) {
    const json_t *payload = json_object_get(said, "payload");
    char *copy;
    if (payload == NULL) {
        return;
    }
    fuzz_check(http->payload.len > 0 &&
               memmem(body.bytes, body.len, http->payload.data, http->payload.len) != NULL);
    copy = malloc(http->payload.len);
    fuzz_check(copy != NULL);
    memcpy(copy, http->payload.data, http->payload.len);
    etxd_json_without_large(copy, http->payload.len);
    fuzz_check(reads_as(http->payload.data, http->payload.len, payload) ||
               reads_as(copy, http->payload.len, payload));
    free(copy);
}

/* What was taken can be read again, names what is called, and may be called. */
static void check_leaf(const etxd_exchange *x, const etxd_leaf *leaf, const json_t *said) {
    const char *room[ETX_HTTP_HEADERS_MAX];
    etx_http_branch http = {.size = sizeof http};
    fuzz_check(etx_http_branch_read(leaf->branch.payload, leaf->branch.payload_len, &http, room,
                                    sizeof room) == 0);
    const char *urls[] = {http.forward_url, http.commit_url, http.undo_url};
    for (size_t i = 0; i < 3; i++) {
        fuzz_check(urls[i] == NULL || etx_http_allowed(x->server->http, urls[i], NULL, 0) == 0);
    }
    fuzz_check(strcmp(etx_kind_name(leaf->branch.kind),
                      json_string_value(json_object_get(said, "kind"))) == 0);
    fuzz_check(leaf->branch.name == NULL ||
               etx_name_check(leaf->branch.name, strlen(leaf->branch.name)) == 0);
    check_payload(&http, said, net_request_body(x->request));
}

static void check_plan(const etxd_exchange *x, const etxd_plan *plan) {
    const json_t *list = json_object_get(plan->body.json, "branches");
    const char *gid = plan->options.gid;
    fuzz_check(plan->count == json_array_size(list));
    fuzz_check(plan->mode != 0 || plan->count > 0);
    fuzz_check(gid == NULL || etx_gid_check(gid, strlen(gid)) == 0);
    fuzz_check(x->prefix[0] == '\0' || (gid != NULL && strncmp(gid, PREFIX, 5) == 0));
    for (size_t i = 0; i < plan->count; i++) {
        check_leaf(x, &plan->leaves[i], json_array_get(list, i));
    }
}

static void read_body(etxd *server, const char *body, size_t len, int bound) {
    net_request request = {{body, len}};
    etxd_exchange x = {.server = server, .request = &request};
    etxd_plan plan;
    snprintf(x.prefix, sizeof x.prefix, "%s", bound ? PREFIX : "");
    int rc = etxd_plan_read(&x, &plan);
    fuzz_check((rc == 0) == (x.problem.code == ETXD_NO_PROBLEM));
    if (rc == 0) {
        check_plan(&x, &plan);
    }
    etxd_plan_free(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const allow[] = {"http://127.0.0.1:*", "http://[::1]:*"};
    etx_http_options options = {.size = sizeof options, .allow = allow, .allow_count = 2};
    etxd server = {.config = {.depth = 32, .branches = 128}};
    if (size == 0) {
        return 0;
    }
    fuzz_check(net_loop_create(&server.loop) == 0);
    options.loop = server.loop;
    fuzz_check(etx_http_create(&options, &server.http, NULL, 0) == 0);
    char *body = fuzz_alloc(size);
    memcpy(body, data + 1, size - 1);
    read_body(&server, body, size - 1, data[0] & 1);
    free(body);
    etx_http_free(server.http);
    net_loop_free(server.loop);
    return 0;
}
