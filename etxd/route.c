/* The routes: one table, and the path that is found in it. */
#include <stdio.h>
#include <string.h>

#include "etxd.h"

static const etxd_route routes[] = {
    {"GET", "/healthz", ETXD_ANY, ETXD_OPEN | ETXD_STOPPED, etxd_get_health},
    {"GET", "/readyz", ETXD_ANY, ETXD_OPEN | ETXD_STOPPED, etxd_get_ready},
    {"GET", "/metrics", ETXD_READ, ETXD_STOPPED | ETXD_UNBOUND, etxd_get_metrics},
    {"GET", "/v1/version", ETXD_ANY, ETXD_STOPPED, etxd_get_version},
    {"GET", "/v1/openapi.json", ETXD_ANY, ETXD_STOPPED, etxd_get_openapi},
    {"GET", "/v1/cluster", ETXD_READ, ETXD_UNBOUND, etxd_get_cluster},
    {"POST", "/v1/cluster/move", ETXD_OPERATE, ETXD_UNBOUND, etxd_post_move},
    {"POST", "/v1/cluster/drain", ETXD_OPERATE, ETXD_UNBOUND, etxd_post_drain},
    {"GET", "/v1/events", ETXD_READ, 0, etxd_get_events},
    {"POST", "/v1/transactions", ETXD_SUBMIT, 0, etxd_post_transactions},
    {"GET", "/v1/transactions", ETXD_READ, ETXD_QUERY, etxd_get_transactions},
    {"POST", "/v1/transactions/retry", ETXD_OPERATE, 0, etxd_post_bulk_retry},
    {"POST", "/v1/transactions/park", ETXD_OPERATE, 0, etxd_post_bulk_park},
    {"POST", "/v1/transactions/resume", ETXD_OPERATE, 0, etxd_post_bulk_resume},
    {"GET", "/v1/transactions/{gid}", ETXD_READ, ETXD_OWNED, etxd_get_transaction},
    {"GET", "/v1/transactions/{gid}/events", ETXD_READ, 0, etxd_get_events},
    {"POST", "/v1/transactions/{gid}/branches", ETXD_SUBMIT, ETXD_OWNED, etxd_post_branches},
    {"POST", "/v1/transactions/{gid}/branches/{name}/result", ETXD_SUBMIT, ETXD_OWNED,
     etxd_post_result},
    {"POST", "/v1/transactions/{gid}/commit", ETXD_SUBMIT, 0, etxd_post_commit},
    {"POST", "/v1/transactions/{gid}/abort", ETXD_SUBMIT, 0, etxd_post_abort},
    {"POST", "/v1/transactions/{gid}/retry", ETXD_OPERATE, ETXD_OWNED, etxd_post_retry},
    {"POST", "/v1/transactions/{gid}/park", ETXD_OPERATE, ETXD_OWNED, etxd_post_park},
    {"POST", "/v1/transactions/{gid}/resume", ETXD_OPERATE, ETXD_OWNED, etxd_post_resume},
    {"POST", "/v1/transactions/{gid}/force", ETXD_OPERATE, ETXD_OWNED, etxd_post_force},
};

enum { COUNT = sizeof routes / sizeof routes[0] };
_Static_assert((int)COUNT <= (int)ETXD_ROUTES_MAX, "etxd_counts has a row for each route");

const etxd_route *etxd_routes(size_t *ret_count) {
    *ret_count = COUNT;
    return routes;
}

size_t etxd_route_place(const etxd_route *route) {
    return route != NULL ? (size_t)(route - routes) : ETXD_ROUTES_MAX;
}

/* ---- patterns */

/* The segment of a path that `*at` is at (behind its '/'); moves on. */
static net_text take_segment(const char **at, const char *end) {
    const char *slash = memchr(*at, '/', (size_t)(end - *at));
    net_text segment = {*at, (size_t)((slash != NULL ? slash : end) - *at)};
    *at = slash != NULL ? slash : end;
    return segment;
}

/* A name in braces stands for a segment that is not empty. */
static int matches(const char *pattern, net_text path) {
    const char *at = path.bytes;
    const char *end = path.bytes + path.len;
    while (*pattern != '\0') {
        if (*pattern == '{') {
            pattern = strchr(pattern, '}') + 1;
            if (take_segment(&at, end).len == 0) {
                return 0;
            }
        } else if (at == end || *pattern++ != *at++) {
            return 0;
        }
    }
    return at == end;
}

/* Segment 3 is the gid ("/v1/transactions/{gid}/..."), segment 5 the branch. */
static int take_names(etxd_exchange *x, net_text path) {
    const char *at = path.bytes;
    const char *end = path.bytes + path.len;
    int place;
    for (place = 1; at < end; place++) {
        char *to = place == 3 ? x->gid : x->branch;
        size_t size = place == 3 ? sizeof x->gid : sizeof x->branch;
        net_text segment;
        at++;
        segment = take_segment(&at, end);
        if (place != 3 && place != 5) {
            continue;
        }
        if (etxd_percent_decode(segment.bytes, segment.len, to, size) != 0 ||
            (place == 3 ? etx_gid_check(to, strlen(to)) : etx_name_check(to, strlen(to))) != 0) {
            to[0] = '\0';
            return etxd_problem_set(&x->problem, ETXD_NOT_FOUND_PROBLEM,
                                    "'%.*s' in the path is no %s",
                                    (int)(segment.len < 150 ? segment.len : 150), segment.bytes,
                                    place == 3 ? "gid" : "name of a branch");
        }
    }
    return 0;
}

int etxd_route_find(etxd_exchange *x, net_text path, char *allow, size_t size) {
    size_t i;
    size_t len = 0;
    /* HEAD is answered as GET, without the body. */
    const char *method = strcmp(x->method, "HEAD") == 0 ? "GET" : x->method;
    for (i = 0; i < COUNT; i++) {
        if (!matches(routes[i].pattern, path)) {
            continue;
        }
        if (strcmp(routes[i].method, method) == 0) {
            x->route = &routes[i];
            return strchr(x->route->pattern, '{') != NULL ? take_names(x, path) : 0;
        }
        if (len < size) {
            len += (size_t)snprintf(allow + len, size - len, "%s%s", len > 0 ? ", " : "",
                                    routes[i].method);
        }
    }
    if (len > 0) {
        return etxd_problem_set(&x->problem, ETXD_METHOD_PROBLEM, "%s is not among %s", x->method,
                                allow);
    }
    return etxd_problem_set(&x->problem, ETXD_NO_ROUTE_PROBLEM, "%s %s", x->method, x->path);
}
