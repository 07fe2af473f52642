/* GET /v1/transactions: which there are, page by page. */
#include <stdlib.h>
#include <string.h>

#include "tx.h"

enum { LIMIT = 100, LIMIT_MAX = 1000 };

/* What a query asks for, until a thread has listed it. */
typedef struct listing {
    etx_filter filter;
    etx_cursor cursor;
    uint64_t limit;
    char prefix[ETX_GID_MAX + 1];
    etxd *server;
    etxd_text text;
    int unended; /* ended=false was said */
} listing;

int etxd_states_read(const char *text, uint32_t *ret_states) {
    uint32_t states = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, ",");
        int state = ETX_ACTIVE;
        while (state <= ETX_ABORTED &&
               (strlen(etx_state_name((etx_state)state)) != len ||
                strncmp(etx_state_name((etx_state)state), text, len) != 0)) {
            state++;
        }
        if (state > ETX_ABORTED) {
            return -1;
        }
        states |= 1U << state;
        if (text[len] == ',' && text[len + 1] == '\0') {
            return -1;
        }
        text += len + (text[len] == ',');
    }
    *ret_states = states;
    return states != 0 ? 0 : -1;
}

int etxd_filter_narrow(const etxd_exchange *x, const char *prefix, etx_filter *filter) {
    size_t ours = strlen(x->prefix);
    size_t theirs = strlen(prefix);
    if (strncmp(prefix, x->prefix, ours < theirs ? ours : theirs) != 0) {
        return 0;
    }
    filter->gid_prefix = ours > theirs ? x->prefix : prefix;
    return 1;
}

/* ---- the query */

static int bad(etxd_exchange *x, const char *what) {
    return etxd_problem_set(&x->problem, ETXD_BAD_QUERY_PROBLEM, "%s", what);
}

static int take_kind(etxd_exchange *x, listing *one, const char *value) {
    const etxd_kind *kind = etxd_kinds();
    while (kind->name != NULL && strcmp(kind->name, value) != 0) {
        kind++;
    }
    one->filter.kind = kind->kind;
    return kind->name != NULL ? 0 : bad(x, "kind is one of tcc, saga, xa, message, notification");
}

/* `false` asks for nothing, as if it were not there. */
static int take_flag(etxd_exchange *x, const etxd_query *query, uint32_t mark, uint32_t *marks) {
    int on = strcmp(query->value, "true") == 0 || strcmp(query->value, "1") == 0;
    if (!on && strcmp(query->value, "false") != 0 && strcmp(query->value, "0") != 0) {
        return etxd_problem_set(&x->problem, ETXD_BAD_QUERY_PROBLEM, "%s is true or false",
                                query->name);
    }
    *marks |= on ? mark : 0U;
    return 0;
}

static int bad_cursor(etxd_exchange *x) {
    return bad(x, "cursor is what the page before gave");
}

static int take_cursor(etxd_exchange *x, listing *one, const char *value) {
    char *end = NULL;
    char *end2 = NULL;
    int plain = value[strspn(value, "0123456789abcdef-")] == '\0' && value[0] != '-';
    one->cursor.word[0] = strtoull(value, &end, 16);
    if (*end == '-' && end[1] != '-') {
        one->cursor.word[1] = strtoull(end + 1, &end2, 16);
    }
    return plain && end2 != NULL && *end2 == '\0' && end2 > end + 1 && end > value ? 0
                                                                                   : bad_cursor(x);
}

static int take_age(etxd_exchange *x, etxd_query *query, etx_filter *filter) {
    uint64_t ms = 0;
    uint64_t now = etxd_now_ms();
    if (etxd_query_number(x, query, UINT64_MAX >> 8, &ms) != 0) {
        return -1;
    }
    filter->begun_before_ms = ms < now ? now - ms : 1;
    return 0;
}

static int take_pair(etxd_exchange *x, etxd_query *query, listing *one) {
    static const char *const names[] = {"state",         "kind",       "parked", "stalled", "ended",
                                        "older_than_ms", "gid_prefix", "limit",  "cursor",  NULL};
    const char *near = etxd_nearest(query->name, names);
    if (strcmp(query->name, "state") == 0) {
        return etxd_states_read(query->value, &one->filter.states) == 0
                   ? 0
                   : bad(x,
                         "state is of ACTIVE, COMMITTING, COMMITTED, ABORTING, ABORTED, with "
                         "commas between");
    }
    if (strcmp(query->name, "kind") == 0) {
        return take_kind(x, one, query->value);
    }
    if (strcmp(query->name, "parked") == 0) {
        return take_flag(x, query, ETX_MARK_PARKED, &one->filter.marks);
    }
    if (strcmp(query->name, "stalled") == 0) {
        return take_flag(x, query, ETX_MARK_STALLED, &one->filter.marks);
    }
    if (strcmp(query->name, "ended") == 0) {
        uint32_t ended = 0;
        int rc = take_flag(x, query, 1, &ended);
        one->filter.remembered = (uint8_t)ended;
        one->unended = !ended;
        return rc;
    }
    if (strcmp(query->name, "older_than_ms") == 0) {
        return take_age(x, query, &one->filter);
    }
    if (strcmp(query->name, "gid_prefix") == 0) {
        if (query->value[0] != '\0' && etx_gid_check(query->value, strlen(query->value)) != 0) {
            return bad(x, "no gid begins with that gid_prefix");
        }
        memcpy(one->prefix, query->value, strlen(query->value) + 1);
        return 0;
    }
    if (strcmp(query->name, "limit") == 0) {
        return etxd_query_number(x, query, LIMIT_MAX, &one->limit);
    }
    if (strcmp(query->name, "cursor") == 0) {
        return take_cursor(x, one, query->value);
    }
    return etxd_problem_set(&x->problem, ETXD_BAD_QUERY_PROBLEM, "'%s' is no parameter%s%s%s",
                            query->name, near != NULL ? ": did you mean '" : "",
                            near != NULL ? near : "", near != NULL ? "'?" : "");
}

/* ---- the list */

static int write_one(const etx_status *status, void *user) {
    listing *one = user;
    etxd_text *text = &one->text;
    etx_status known = *status;
    int whole = !etxd_needs_story(&known) || etxd_stories_complete(one->server->stories, &known);
    etxd_text_put(text, text->bytes[text->len - 1] == '[' ? "{" : ",\n{");
    etxd_write_status(text, &known, whole);
    etxd_text_put(text, "}");
    return 0;
}

static void list(etxd_exchange *x) {
    listing *one = x->state;
    etxd_text *text = &one->text;
    int rc = 0;
    etxd_text_put(text, "{\"transactions\":[");
    if (etxd_filter_narrow(x, one->prefix, &one->filter) && !text->failed) {
        rc = etx_list(x->server->engine, &one->filter, &one->cursor, (uint32_t)one->limit,
                      write_one, one);
    } else {
        one->cursor = (etx_cursor){{0, 0}}; /* there is nothing, and so nothing more */
    }
    if (rc != 0) {
        etxd_text_free(text);
        free(one);
        (void)(rc == ETX_EINVALID ? bad_cursor(x) : etxd_fail(x, rc, NULL));
        etxd_refuse(x);
        return;
    }
    if (one->cursor.word[0] != 0 || one->cursor.word[1] != 0) {
        etxd_text_print(text, "],\"cursor\":\"%llx-%llx\"}\n",
                        (unsigned long long)one->cursor.word[0],
                        (unsigned long long)one->cursor.word[1]);
    } else {
        etxd_text_put(text, "],\"cursor\":null}\n");
    }
    etxd_answer(x, 200, "application/json", text);
    free(one);
}

int etxd_get_transactions(etxd_exchange *x) {
    listing *one = calloc(1, sizeof *one);
    etxd_query query;
    int rc;
    if (one == NULL) {
        return etxd_problem_set(&x->problem, ETXD_MEMORY_PROBLEM, "no memory");
    }
    one->filter = (etx_filter)ETX_FILTER_INIT;
    one->limit = LIMIT;
    one->server = x->server;
    etxd_query_begin(x, &query);
    while ((rc = etxd_query_next(x, &query)) > 0 && (rc = take_pair(x, &query, one)) == 0) {
    }
    if (rc == 0 && one->limit == 0) {
        rc = bad(x, "limit must be at least 1");
    }
    if (rc == 0 && one->filter.remembered && one->filter.kind != 0) {
        rc = bad(x,
                 "ended with kind would not find ended ones, whose branches are not remembered: "
                 "leave one of them out");
    }
    if ((one->filter.states & (1U << ETX_COMMITTED | 1U << ETX_ABORTED)) != 0) {
        one->filter.remembered = 1;
        if (rc == 0 && one->unended) {
            rc =
                bad(x, "COMMITTED and ABORTED are of those that have ended: leave out ended=false");
        }
    }
    x->state = one;
    if (rc == 0) {
        rc = etxd_pool_run(x, list);
    }
    if (rc != 0) {
        free(one);
    }
    return rc;
}
