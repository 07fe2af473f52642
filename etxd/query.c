/* What stands behind '?' in a URL: pairs, decoded. */
#include <string.h>

#include "etxd.h"

static int hex(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int etxd_percent_decode(const char *text, size_t len, char *to, size_t size) {
    size_t at = 0;
    size_t i;
    for (i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < len ? hex(text[i + 1]) : -1;
            int low = i + 2 < len ? hex(text[i + 2]) : -1;
            if (high < 0 || low < 0 || high * 16 + low == 0) {
                return -1;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (at + 1 >= size) {
            return -1;
        }
        to[at++] = c;
    }
    to[at] = '\0';
    return 0;
}

void etxd_query_begin(const etxd_exchange *x, etxd_query *query) {
    net_text text = net_request_query(x->request);
    query->at = text.len > 0 ? text.bytes : "";
    query->begin = query->at;
    query->end = query->at + text.len;
}

/* Whether one of the pairs before, which are sound, has its name. */
static int is_repeated(const etxd_query *query) {
    const char *at = query->begin;
    while (at < query->at) {
        char name[sizeof query->name];
        const char *equals = memchr(at, '=', (size_t)(query->end - at));
        if (etxd_percent_decode(at, (size_t)(equals - at), name, sizeof name) == 0 &&
            strcmp(name, query->name) == 0) {
            return 1;
        }
        at = (const char *)memchr(equals, '&', (size_t)(query->end - equals)) + 1;
    }
    return 0;
}

int etxd_query_next(etxd_exchange *x, etxd_query *query) {
    const char *amp, *equals, *stop;
    if (query->at >= query->end) {
        return 0;
    }
    amp = memchr(query->at, '&', (size_t)(query->end - query->at));
    stop = amp != NULL ? amp : query->end;
    equals = memchr(query->at, '=', (size_t)(stop - query->at));
    if (equals == NULL ||
        etxd_percent_decode(query->at, (size_t)(equals - query->at), query->name,
                            sizeof query->name) != 0 ||
        etxd_percent_decode(equals + 1, (size_t)(stop - equals - 1), query->value,
                            sizeof query->value) != 0) {
        return etxd_problem_set(&x->problem, ETXD_BAD_QUERY_PROBLEM,
                                "pairs are name=value with & between, and must not be longer than "
                                "they can be");
    }
    if (is_repeated(query)) {
        return etxd_problem_set(&x->problem, ETXD_BAD_QUERY_PROBLEM, "'%s' is there twice",
                                query->name);
    }
    query->at = stop + (amp != NULL);
    return 1;
}

int etxd_query_number(etxd_exchange *x, const etxd_query *query, uint64_t most, uint64_t *ret) {
    uint64_t number = 0;
    const char *at;
    for (at = query->value; *at >= '0' && *at <= '9' && number <= most; at++) {
        number = number * 10 + (uint64_t)(*at - '0');
    }
    if (at == query->value || *at != '\0' || number > most) {
        return etxd_problem_set(&x->problem, ETXD_BAD_QUERY_PROBLEM,
                                "%s must be a number of at most %llu", query->name,
                                (unsigned long long)most);
    }
    *ret = number;
    return 0;
}
