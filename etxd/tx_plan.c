/* What a POST of a transaction says, read and judged before anything is begun. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "forward.h"
#include "tx.h"

/* The loop must not be held back by an engine that has much to take up: busy, then. */
enum { HELD_BACK_MS = 1 };
enum { WAIT_MS = 10000, WAIT_MS_MAX = 600000, MADE_BYTES = 16, TRIES_MAX = 1000 };

static const char *const fields[] = {"gid",        "mode",        "branches",  "query_url",
                                     "resume_url", "deadline_ms", "resume_ms", "durability",
                                     "wait",       "wait_ms",     NULL};

int etxd_wait_read(etxd_exchange *x, const etxd_object *object) {
    static const char *const words[] = {"begun", "decided", "ended", NULL};
    int wait = ETX_WAIT_DECIDED - ETX_WAIT_BEGUN;
    uint64_t ms = WAIT_MS;
    if (etxd_json_word(object, "wait", words, &wait) != 0 ||
        etxd_json_number(object, "wait_ms", 0, WAIT_MS_MAX, &ms) != 0) {
        return -1;
    }
    x->wait = (etx_wait)(ETX_WAIT_BEGUN + wait);
    x->wait_ms = (uint32_t)ms;
    return 0;
}

/* ---- gid */

/* A token that is bound to a prefix needs gids that begin so, which ETX cannot make. One is drawn
 * that is of a partition here. */
static int make_gid(etxd_exchange *x, etxd_plan *plan) {
    unsigned char bytes[MADE_BYTES];
    size_t len = strlen(x->prefix);
    unsigned tries = 0;
    size_t i;
    if (len + 2 * MADE_BYTES > ETX_GID_MAX) {
        return etxd_json_missing(&plan->body, "gid",
                                 "the token's prefix leaves no room to make one");
    }
    do {
        if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
            return etxd_problem_set(&x->problem, ETXD_INTERNAL_PROBLEM, "no random bytes");
        }
        memcpy(plan->gid, x->prefix, len);
        for (i = 0; i < MADE_BYTES; i++) {
            snprintf(plan->gid + len + 2 * i, 3, "%02x", bytes[i]);
        }
    } while (++tries < TRIES_MAX && etxd_is_elsewhere(x, plan->gid));
    plan->options.gid = plan->gid;
    return 0;
}

int etxd_is_dots(const char *word) {
    return strcmp(word, ".") == 0 || strcmp(word, "..") == 0;
}

static int read_gid(etxd_exchange *x, etxd_plan *plan) {
    if (etxd_json_text(&plan->body, "gid", &plan->options.gid) != 0) {
        return -1;
    }
    if (plan->options.gid == NULL) {
        return x->prefix[0] != '\0' ? make_gid(x, plan) : 0;
    }
    if (etx_gid_check(plan->options.gid, strlen(plan->options.gid)) != 0) {
        return etxd_json_refuse(&plan->body, "gid",
                                "a gid is 1 to %d printable ASCII characters without space",
                                ETX_GID_MAX);
    }
    if (etxd_is_dots(plan->options.gid)) {
        return etxd_json_refuse(&plan->body, "gid",
                                "'.' and '..' are no gid here: clients take them out of a path");
    }
    return etxd_guard_gid(x, plan->options.gid);
}

/* ---- initiator */

static int write_initiator(etxd_exchange *x, etxd_plan *plan, const char *name, const char *url) {
    char why[200] = "";
    int rc;
    if (etxd_url_judge(x, &plan->body, name, url) != 0) {
        return -1;
    }
    rc = etx_http_initiator_write(url, NULL, 0, x->traceparent[0] != '\0' ? x->traceparent : NULL,
                                  &plan->initiator, &plan->options.initiator_payload_len, why,
                                  sizeof why);
    if (rc != 0) {
        return rc == ETX_EINVALID ? etxd_json_refuse(&plan->body, name, "%s", why)
                                  : etxd_fail(x, rc, why);
    }
    plan->options.initiator = "http-initiator";
    plan->options.initiator_payload = plan->initiator;
    rc = etxd_content_make(x, plan->initiator, plan->options.initiator_payload_len, &plan->content,
                           &plan->options.initiator_content_len);
    plan->options.initiator_content = plan->content;
    return rc;
}

static int read_initiator(etxd_exchange *x, etxd_plan *plan) {
    const char *query = NULL;
    const char *resume = NULL;
    uint64_t resume_ms = 0;
    if (etxd_json_text(&plan->body, "query_url", &query) != 0 ||
        etxd_json_text(&plan->body, "resume_url", &resume) != 0 ||
        etxd_json_number(&plan->body, "resume_ms", 1, UINT32_MAX, &resume_ms) != 0) {
        return -1;
    }
    plan->options.resume_ms = (uint32_t)resume_ms;
    if (resume != NULL && plan->mode != 2) {
        return etxd_json_refuse(&plan->body, "resume_url", "resume_url is for mode 'resumed'");
    }
    if (query != NULL && plan->mode != 1) {
        return etxd_json_refuse(&plan->body, "query_url", "query_url is for mode 'interactive'");
    }
    if (plan->mode == 2 && resume == NULL) {
        return etxd_json_missing(&plan->body, "resume_url", "mode 'resumed' is run again there");
    }
    return query != NULL    ? write_initiator(x, plan, "query_url", query)
           : resume != NULL ? write_initiator(x, plan, "resume_url", resume)
                            : 0;
}

/* ---- branches */

/* The i-th branch. */
static int read_leaf(etxd_exchange *x, etxd_plan *plan, json_t *list, size_t i, etxd_span payload) {
    etxd_object object;
    etxd_leaf *leaf = &plan->leaves[i];
    etxd_json_open(&object, json_array_get(list, i), "/branches", i, &x->problem);
    if (etxd_leaf_read(x, &object, payload, NULL, leaf) != 0) {
        return -1;
    }
    if (leaf->branch.name == NULL && plan->mode != 0) {
        return etxd_json_missing(&object, "name", "a branch that is enlisted is known by its name");
    }
    return 0;
}

static int read_leaves(etxd_exchange *x, etxd_plan *plan) {
    net_text body = net_request_body(x->request);
    etxd_span text = {body.bytes, body.len};
    etxd_span array = {"[]", 2};
    etxd_span payload;
    json_t *list = NULL;
    size_t at = 0;
    if (etxd_json_list(&plan->body, "branches", &list) != 0) {
        return -1;
    }
    if (json_array_size(list) == 0) {
        return plan->mode != 0 ? 0
                               : etxd_json_missing(&plan->body, "branches",
                                                   "a submitted transaction has at least one");
    }
    if (json_array_size(list) > x->server->config.branches) {
        return etxd_json_refuse(&plan->body, "branches", "a transaction has at most %llu branches",
                                (unsigned long long)x->server->config.branches);
    }
    plan->leaves = calloc(json_array_size(list), sizeof *plan->leaves);
    if (plan->leaves == NULL) {
        return etxd_problem_set(&x->problem, ETXD_MEMORY_PROBLEM, "no memory");
    }
    if (etxd_span_array(text, "branches", &array) != 0) {
        return etxd_json_refuse(&plan->body, "branches", "write names of fields without escapes");
    }
    while (plan->count < json_array_size(list) && etxd_span_next(array, &at, "payload", &payload)) {
        if (read_leaf(x, plan, list, plan->count++, payload) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- all of it */

static int read_options(etxd_exchange *x, etxd_plan *plan) {
    static const char *const modes[] = {"submitted", "interactive", "resumed", NULL};
    static const char *const grades[] = {"volatile", "local", "replicated", NULL};
    int grade = -1;
    uint64_t deadline = 0;
    if (etxd_json_word(&plan->body, "mode", modes, &plan->mode) != 0 ||
        etxd_json_word(&plan->body, "durability", grades, &grade) != 0 ||
        etxd_json_number(&plan->body, "deadline_ms", 1, UINT32_MAX, &deadline) != 0 ||
        etxd_wait_read(x, &plan->body) != 0) {
        return -1;
    }
    plan->options.mode = plan->mode == 2 ? ETX_RESUMED : ETX_INTERACTIVE;
    plan->options.durability =
        grade < 0 ? ETX_DURABILITY_DEFAULT : (etx_durability)(ETX_VOLATILE + grade);
    plan->options.deadline_ms = (uint32_t)deadline;
    x->wait = plan->mode == 0 ? x->wait : ETX_WAIT_BEGUN;
    plan->options.wait = x->wait_ms == 0 ? ETX_WAIT_BEGUN : x->wait;
    plan->options.patience_ms = HELD_BACK_MS;
    return 0;
}

int etxd_plan_read(etxd_exchange *x, etxd_plan *ret) {
    *ret = (etxd_plan){.options = ETX_TX_OPTIONS_INIT};
    if (etxd_json_read(x, fields, &ret->body) != 0) {
        return -1;
    }
    return read_options(x, ret) != 0 || read_gid(x, ret) != 0 || read_initiator(x, ret) != 0
               ? -1
               : read_leaves(x, ret);
}

void etxd_plan_free(etxd_plan *plan) {
    while (plan->count > 0) {
        etxd_leaf_free(&plan->leaves[--plan->count]);
    }
    free(plan->leaves);
    free(plan->initiator);
    free(plan->content);
    etxd_json_free(&plan->body);
}
