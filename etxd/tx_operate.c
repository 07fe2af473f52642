/* What operators do: retry, park, resume, force; to one transaction, or to all of a filter. */
#include <stdlib.h>
#include <string.h>

#include "tx.h"

/* An order, until a thread has carried it out. Texts are copies. */
typedef struct order {
    etx_bulk what; /* 0: force */
    etx_force force;
    etx_operation operation;
    const etxd_kind *kind; /* that has this word for it */
    char branch[ETX_NAME_MAX + 1];
    char who[128];
    char why[256];
    /* of a bulk */
    etx_filter filter;
    char prefix[ETX_GID_MAX + 1];
    uint32_t per_second;
} order;

static int copy_text(const etxd_object *body, const char *name, char *to, size_t size) {
    const char *text = NULL;
    if (etxd_json_text(body, name, &text) != 0) {
        return -1;
    }
    if (text != NULL && strlen(text) >= size) {
        return etxd_json_refuse(body, name, "%s has at most %zu bytes", name, size - 1);
    }
    if (text != NULL) {
        memcpy(to, text, strlen(text) + 1);
    }
    return 0;
}

/* "WHO (token NAME)", in what is recorded of it: the token's name is proved, and kept whole. */
static void add_token(order *one, const char *token) {
    static const char around[] = " (token )";
    char said[sizeof one->who];
    size_t taken = strlen(token) + sizeof around - 1;
    memcpy(said, one->who, sizeof said);
    if (taken < ETX_NAME_MAX) {
        snprintf(one->who, sizeof one->who, "%.*s (token %s)", (int)(ETX_NAME_MAX - taken), said,
                 token);
    } else {
        snprintf(one->who, sizeof one->who, "%s", token);
    }
}

/* Who says so is recorded: what the token is called, if it has a name. */
static int read_who(etxd_exchange *x, const etxd_object *body, order *one, int needed) {
    snprintf(one->who, sizeof one->who, "%s", x->who);
    if (copy_text(body, "who", one->who, sizeof one->who) != 0 ||
        copy_text(body, "why", one->why, sizeof one->why) != 0) {
        return -1;
    }
    if (x->who[0] != '\0' && strcmp(one->who, x->who) != 0) {
        add_token(one, x->who);
    }
    if (needed && one->who[0] == '\0') {
        return etxd_json_missing(body, "who", "it is recorded with the transaction");
    }
    return needed && one->why[0] == '\0'
               ? etxd_json_missing(body, "why", "it is recorded with the transaction")
               : 0;
}

static void answer_order(etxd_exchange *x, int rc, const uint64_t *count) {
    etxd_text body = {0};
    free(x->state);
    x->state = NULL;
    if (rc != 0) {
        etxd_refuse(x);
        return;
    }
    etxd_text_put(&body, "{");
    if (count != NULL) {
        etxd_text_member_number(&body, "count", *count);
    } else {
        etxd_text_member(&body, "gid", x->gid);
    }
    etxd_text_put(&body, "}\n");
    etxd_answer(x, 200, "application/json", &body);
}

/* ---- one */

/* Of the branch that is looked for. */
typedef struct found_kind {
    const char *branch;
    etx_kind kind; /* 0: not found */
} found_kind;

static int look_at(const etx_branch_status *branch, void *user) {
    found_kind *found = user;
    if (strcmp(branch->name, found->branch) == 0) {
        found->kind = branch->kind;
    }
    return 0;
}

/* A word of another kind would settle an operation that the operator did not mean. */
static int check_word(etxd_exchange *x, const order *one) {
    found_kind found = {one->branch, (etx_kind)0};
    etx_status status = {.size = sizeof status};
    const etxd_kind *kind;
    int rc = etx_query_branches(x->server->engine, x->gid, &status, look_at, &found);
    if (rc != 0 || found.kind == 0 || found.kind == one->kind->kind) {
        return rc; /* without such a branch the engine says why it cannot be forced */
    }
    kind = &etxd_kinds()[found.kind - ETX_TCC];
    (void)etxd_problem_set(&x->problem, ETXD_BAD_VALUE_PROBLEM,
                           "branch %s is of kind %s, and has no operation %s", one->branch,
                           kind->name, one->kind->operations[one->operation]);
    etxd_problem_hint(&x->problem, "GET the transaction: it shows each branch in its kind's words");
    etxd_problem_point(&x->problem, "/operation");
    return ETX_EINVALID;
}

/* What could be declared done instead, in the state that the transaction is in; "": nothing. */
static void say_what_may(const etxd_exchange *x, const order *one, char *why, size_t size) {
    etx_status status = {.size = sizeof status};
    etx_operation may;
    if (etx_query(x->server->engine, x->gid, &status) != 0) {
        return;
    }
    may = status.state == ETX_COMMITTING ? ETX_COMMIT
          : status.state == ETX_ABORTING ? ETX_UNDO
                                         : ETX_FORWARD;
    if (may != one->operation && one->kind->operations[may] != NULL &&
        (status.state == ETX_ACTIVE || may != ETX_FORWARD)) {
        snprintf(why, size, "it is %s: of branch %s only %s may be declared done, not %s",
                 etx_state_name(status.state), one->branch, one->kind->operations[may],
                 one->kind->operations[one->operation]);
    }
}

static int force(etxd_exchange *x, const order *one, char *why, size_t size) {
    int rc = one->force == ETX_FORCE_DONE ? check_word(x, one) : 0;
    if (rc == 0) {
        rc = etx_force_by_hand(x->server->engine, x->gid, one->force,
                               one->branch[0] != '\0' ? one->branch : NULL, one->operation,
                               one->who, one->why);
        if (rc == ETX_ESTATE && one->force == ETX_FORCE_DONE) {
            say_what_may(x, one, why, size);
        }
    }
    return rc;
}

static void carry_out(etxd_exchange *x) {
    const order *one = x->state;
    etx_engine *engine = x->server->engine;
    char why[200] = "";
    int rc = ETX_EINVALID;
    switch (one->what) {
        case ETX_BULK_RETRY:
            rc = etx_retry(engine, x->gid);
            break;
        case ETX_BULK_PARK:
            rc = etx_park(engine, x->gid, one->who, one->why);
            break;
        case ETX_BULK_RESUME:
            rc = etx_resume(engine, x->gid, one->who, one->why);
            break;
    }
    if (one->what == 0) {
        rc = force(x, one, why, sizeof why);
    }
    answer_order(x, rc != 0 ? etxd_fail(x, rc, why) : 0, NULL);
}

static int read_operation(const etxd_object *body, order *one) {
    const char *text = NULL;
    const etxd_kind *kind;
    int operation;
    if (etxd_json_text(body, "operation", &text) != 0) {
        return -1;
    }
    if (text == NULL) {
        return etxd_json_missing(body, "operation", "which one of the branch is done");
    }
    for (kind = etxd_kinds(); kind->name != NULL; kind++) {
        for (operation = ETX_FORWARD; operation <= ETX_UNDO; operation++) {
            if (kind->operations[operation] != NULL &&
                strcmp(kind->operations[operation], text) == 0) {
                one->operation = (etx_operation)operation;
                one->kind = kind;
                return 0;
            }
        }
    }
    return etxd_json_refuse(body, "operation", "no kind of branch has '%.60s'", text);
}

/* "" if none is given. */
static int read_branch(const etxd_object *body, order *one) {
    if (copy_text(body, "branch", one->branch, sizeof one->branch) != 0) {
        return -1;
    }
    if (json_object_get(body->json, "branch") != NULL &&
        etx_name_check(one->branch, strlen(one->branch)) != 0) {
        return etxd_json_refuse(body, "branch", "no branch is called that");
    }
    return 0;
}

static int read_force(const etxd_object *body, order *one) {
    static const char *const words[] = {"abort", "commit", "done", NULL};
    int word = -1;
    if (etxd_json_word(body, "as", words, &word) != 0 || read_branch(body, one) != 0) {
        return -1;
    }
    if (word < 0) {
        return etxd_json_missing(body, "as", "abort, commit or done");
    }
    one->force = word == 0 ? ETX_FORCE_ABORT : word == 1 ? ETX_FORCE_COMMIT : ETX_FORCE_DONE;
    if (one->force == ETX_FORCE_DONE) {
        return one->branch[0] != '\0'
                   ? read_operation(body, one)
                   : etxd_json_missing(body, "branch", "whose operation is done");
    }
    if (one->branch[0] != '\0' || json_object_get(body->json, "operation") != NULL) {
        return etxd_json_refuse(body, "branch", "branch and operation go with \"as\": \"done\"");
    }
    return 0;
}

static int post_order(etxd_exchange *x, etx_bulk what, const char *const *fields) {
    order *one = calloc(1, sizeof *one);
    etxd_object body;
    int rc;
    if (one == NULL) {
        return etxd_problem_set(&x->problem, ETXD_MEMORY_PROBLEM, "no memory");
    }
    one->what = what;
    rc = etxd_json_read(x, fields, &body);
    if (rc == 0) {
        rc = read_who(x, &body, one, what != ETX_BULK_RETRY);
        rc = rc == 0 && what == 0 ? read_force(&body, one) : rc;
        etxd_json_free(&body);
    }
    x->state = one;
    if (rc == 0) {
        rc = etxd_pool_run(x, carry_out);
    }
    if (rc != 0) {
        free(one);
    }
    return rc;
}

int etxd_post_retry(etxd_exchange *x) {
    static const char *const fields[] = {"who", "why", NULL};
    return post_order(x, ETX_BULK_RETRY, fields);
}

int etxd_post_park(etxd_exchange *x) {
    static const char *const fields[] = {"who", "why", NULL};
    return post_order(x, ETX_BULK_PARK, fields);
}

int etxd_post_resume(etxd_exchange *x) {
    static const char *const fields[] = {"who", "why", NULL};
    return post_order(x, ETX_BULK_RESUME, fields);
}

int etxd_post_force(etxd_exchange *x) {
    static const char *const fields[] = {"branch", "operation", "as", "who", "why", NULL};
    return post_order(x, (etx_bulk)0, fields);
}

/* ---- all that a filter finds */

static void carry_out_bulk(etxd_exchange *x) {
    order *one = x->state;
    int some = etxd_filter_narrow(x, one->prefix, &one->filter);
    const etxd_bulk_order all = {.what = one->what,
                                 .filter = some ? &one->filter : NULL,
                                 .per_second = one->per_second,
                                 .who = one->who,
                                 .why = one->why};
    uint64_t count = 0;
    answer_order(x, etxd_bulk_operate(x, &all, &count), &count);
}

static int read_filter(etxd_exchange *x, const etxd_object *body, order *one) {
    static const char *const fields[] = {"state",         "kind",       "parked", "stalled",
                                         "older_than_ms", "gid_prefix", NULL};
    static const char *const kinds[] = {"tcc", "saga", "xa", "message", "notification", NULL};
    etxd_object filter;
    const char *states = NULL;
    uint64_t age = 0;
    int kind = -1, parked = 0, stalled = 0;
    etxd_json_open(&filter, etxd_json_member(body, "filter"), "/filter", SIZE_MAX, &x->problem);
    if (!json_is_object(filter.json)) {
        return etxd_json_missing(body, "filter", "an object; {} is all that is not ended");
    }
    if (etxd_json_only(&filter, fields) != 0 || etxd_json_text(&filter, "state", &states) != 0 ||
        etxd_json_word(&filter, "kind", kinds, &kind) != 0 ||
        etxd_json_flag(&filter, "parked", &parked) != 0 ||
        etxd_json_flag(&filter, "stalled", &stalled) != 0 ||
        etxd_json_number(&filter, "older_than_ms", 0, UINT64_MAX >> 8, &age) != 0 ||
        copy_text(&filter, "gid_prefix", one->prefix, sizeof one->prefix) != 0) {
        return -1;
    }
    if (one->prefix[0] != '\0' && etx_gid_check(one->prefix, strlen(one->prefix)) != 0) {
        return etxd_json_refuse(&filter, "gid_prefix", "no gid begins with that");
    }
    if (states != NULL && etxd_states_read(states, &one->filter.states) != 0) {
        return etxd_json_refuse(&filter, "state",
                                "of ACTIVE, COMMITTING, COMMITTED, ABORTING, "
                                "ABORTED, with commas between");
    }
    one->filter.kind = (etx_kind)(kind + 1);
    one->filter.marks = (parked ? ETX_MARK_PARKED : 0U) | (stalled ? ETX_MARK_STALLED : 0U);
    one->filter.begun_before_ms = age == 0 ? 0 : age < etxd_now_ms() ? etxd_now_ms() - age : 1;
    return 0;
}

static int post_bulk(etxd_exchange *x, etx_bulk what) {
    static const char *const fields[] = {"filter", "per_second", "who", "why", NULL};
    order *one = calloc(1, sizeof *one);
    etxd_object body;
    uint64_t rate = 0;
    int rc;
    if (one == NULL) {
        return etxd_problem_set(&x->problem, ETXD_MEMORY_PROBLEM, "no memory");
    }
    one->what = what;
    one->filter = (etx_filter)ETX_FILTER_INIT;
    rc = etxd_json_read(x, fields, &body);
    if (rc == 0) {
        rc = read_filter(x, &body, one) != 0 ||
                     etxd_json_number(&body, "per_second", 1, 100000, &rate) != 0 ||
                     read_who(x, &body, one, what != ETX_BULK_RETRY) != 0
                 ? -1
                 : 0;
        etxd_json_free(&body);
    }
    one->per_second = (uint32_t)rate;
    x->state = one;
    if (rc == 0) {
        rc = etxd_bulk_run(x, carry_out_bulk);
    }
    if (rc != 0) {
        free(one);
    }
    return rc;
}

int etxd_post_bulk_retry(etxd_exchange *x) {
    return post_bulk(x, ETX_BULK_RETRY);
}

int etxd_post_bulk_park(etxd_exchange *x) {
    return post_bulk(x, ETX_BULK_PARK);
}

int etxd_post_bulk_resume(etxd_exchange *x) {
    return post_bulk(x, ETX_BULK_RESUME);
}
