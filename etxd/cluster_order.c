/* POST /v1/cluster/move and drain: what an operator wants of nodes that share a home. */
#include <stdlib.h>
#include <string.h>

#include "forward.h"
#include "json.h"

/* A move is the business of two nodes: the one that takes, which is asked first, and the one that
 * gives. Who is asked by an operator asks them; who is asked by a node does its own part. What is
 * wanted is kept in the memory of these two. */

/* A move, until it is answered. */
typedef struct move {
    unsigned place;
    uint32_t number;
    int gives; /* this node has the partition */
    char home[ETX_HOME_ID_LEN + 1];
    char from[ETX_NAME_MAX + 1];
    char to[ETX_NAME_MAX + 1];
} move;

/* ---- who is there */

static int is_shared(etx_engine *engine, unsigned place) {
    etx_partition_status first = {.size = sizeof first};
    return etx_engine_partition_status(engine, place, 0, &first) == 0 && first.shared;
}

/* The home with that id; NULL: the first that is shared. 0, or -1 and a problem. */
static int find_home(etxd_exchange *x, const char *id, move *one, uint32_t *ret_partitions) {
    etx_home_status home = {.size = sizeof home};
    etx_engine *engine = x->server->engine;
    unsigned place;
    for (place = 0; etx_engine_home_status(engine, place, &home) == 0; place++) {
        if (id != NULL ? strcmp(id, home.id) == 0 : is_shared(engine, place)) {
            one->place = place;
            memcpy(one->home, home.id, sizeof one->home);
            *ret_partitions = home.partitions;
            return 0;
        }
    }
    if (id != NULL) {
        etxd_problem_hint(&x->problem, "GET /v1/cluster lists the homes");
        return etxd_problem_set(&x->problem, ETXD_NOT_FOUND_PROBLEM, "no home has the id '%.60s'",
                                id);
    }
    etxd_problem_hint(&x->problem, "see docs/operating.md: several servers on one log");
    return etxd_problem_set(&x->problem, ETXD_STATE_PROBLEM,
                            "no home of this server is shared: there is no other node");
}

/* Others may have them in another order: so one is named. */
static unsigned count_shared(etx_engine *engine) {
    etx_home_status home = {.size = sizeof home};
    unsigned count = 0;
    unsigned place;
    for (place = 0; etx_engine_home_status(engine, place, &home) == 0; place++) {
        count += is_shared(engine, place) != 0;
    }
    return count;
}

static int find_node(etxd *server, unsigned place, const char *name, etx_node_status *ret_node) {
    uint32_t i;
    for (i = 0; etx_engine_node_status(server->engine, place, i, ret_node) == 0; i++) {
        if (strcmp(ret_node->node, name) == 0) {
            return 1;
        }
    }
    return 0;
}

static int refuse_node(etxd_exchange *x, const char *name) {
    etxd_problem_hint(&x->problem,
                      "'etx cluster status' lists who attends; one that is drained is "
                      "asked itself");
    return etxd_problem_set(&x->problem, ETXD_NOT_FOUND_PROBLEM, "no node '%.64s' attends", name);
}

/* An error of the engine; its hint would speak of transactions. */
static int fail(etxd_exchange *x, int rc) {
    etxd_problem_hint(&x->problem, "GET /v1/cluster tells who attends and who has what");
    return etxd_fail(x, rc, NULL);
}

/* ---- move */

static int answer_move(etxd_exchange *x) {
    const move *one = x->owned;
    etxd_text body = {0};
    if (one->gives) {
        int rc = etx_engine_move(x->server->engine, one->place, one->number, one->to);
        if (rc != 0) {
            return fail(x, rc);
        }
    }
    etxd_text_put(&body, "{");
    etxd_text_member(&body, "home", one->home);
    etxd_text_member_number(&body, "partition", one->number);
    etxd_text_member(&body, "from", one->from);
    etxd_text_member(&body, "to", one->to);
    etxd_text_put(&body, "}\n");
    etxd_answer(x, 202, "application/json", &body);
    return 0;
}

static int take_here(etxd_exchange *x, const move *one) {
    int rc = etx_engine_move(x->server->engine, one->place, one->number, one->to);
    return rc == 0 ? 0 : fail(x, rc);
}

/* The nodes that are to be asked, one after the other. 1: they are; 0: this node is both. */
static int ask_nodes(etxd_exchange *x, const move *one) {
    etxd *server = x->server;
    etx_node_status taker = {.size = sizeof taker};
    etx_node_status giver = {.size = sizeof giver};
    int asks_giver = !one->gives && one->from[0] != '\0' && strcmp(one->from, one->to) != 0;
    if (!find_node(server, one->place, one->to, &taker)) {
        return refuse_node(x, one->to);
    }
    if (asks_giver && !find_node(server, one->place, one->from, &giver)) {
        etxd_problem_hint(&x->problem, "wait until its lease is over, and ask again");
        return etxd_problem_set(&x->problem, ETXD_UNAVAILABLE_PROBLEM,
                                "node %s has the partition, and does not attend", one->from);
    }
    if (taker.here && take_here(x, one) != 0) {
        return -1;
    }
    if (taker.here) {
        return asks_giver ? etxd_forward_to(x, &giver) : 0;
    }
    return asks_giver && etxd_forward_later(x, &giver) != 0 ? -1 : etxd_forward_to(x, &taker);
}

static int read_move(etxd_exchange *x, move *one) {
    static const char *const fields[] = {"partition", "to", "home", NULL};
    etxd_object body;
    const char *to = NULL;
    const char *home = NULL;
    uint64_t number = UINT64_MAX;
    uint32_t partitions = 0;
    int rc = etxd_json_read(x, fields, &body);
    if (rc != 0) {
        return -1;
    }
    rc = etxd_json_text(&body, "to", &to) != 0 || etxd_json_text(&body, "home", &home) != 0 ||
                 etxd_json_number(&body, "partition", 0, UINT32_MAX, &number) != 0
             ? -1
             : 0;
    if (rc == 0 && number == UINT64_MAX) {
        rc = etxd_json_missing(&body, "partition", "which one is to be moved");
    } else if (rc == 0 && to == NULL) {
        rc = etxd_json_missing(&body, "to", "the node that is to have it");
    } else if (rc == 0 && etx_name_check(to, strlen(to)) != 0) {
        rc = etxd_json_refuse(&body, "to",
                              "no node has such a name: 1 to 64 printable characters, no space");
    } else if (rc == 0) {
        snprintf(one->to, sizeof one->to, "%s", to);
        rc = find_home(x, home, one, &partitions);
        if (rc == 0 && home == NULL && count_shared(x->server->engine) > 1) {
            rc = etxd_json_missing(&body, "home", "this server has several that are shared");
        }
        if (rc == 0 && number >= partitions) {
            rc = etxd_json_refuse(&body, "partition", "the home has %u, numbered from 0",
                                  partitions);
        }
    }
    one->number = (uint32_t)number;
    etxd_json_free(&body);
    return rc;
}

static int begin_move(etxd_exchange *x, move *one) {
    etxd *server = x->server;
    etx_partition_status now = {.size = sizeof now};
    int rc = etx_engine_partition_status(server->engine, one->place, one->number, &now);
    if (rc != 0 || !now.shared) {
        return fail(x, rc != 0 ? rc : take_here(x, one));
    }
    memcpy(one->from, now.node, sizeof one->from);
    if (etxd_is_forwarded(x)) { /* this node's own part, whichever that is */
        rc = take_here(x, one);
        return rc != 0 ? rc : answer_move(x);
    }
    one->gives = strcmp(now.node, server->config.node) == 0 && strcmp(now.node, one->to) != 0;
    x->then = answer_move;
    rc = ask_nodes(x, one);
    return rc > 0 ? 0 : rc < 0 ? -1 : answer_move(x);
}

int etxd_post_move(etxd_exchange *x) {
    move *one = calloc(1, sizeof *one);
    if (one == NULL) {
        return etxd_problem_set(&x->problem, ETXD_MEMORY_PROBLEM, "no memory");
    }
    x->owned = one;
    return read_move(x, one) != 0 ? -1 : begin_move(x, one);
}

/* ---- drain */

static int drain_here(etxd_exchange *x, int undo) {
    etx_home_status home = {.size = sizeof home};
    etxd_text body = {0};
    unsigned place;
    for (place = 0; etx_engine_home_status(x->server->engine, place, &home) == 0; place++) {
        if (is_shared(x->server->engine, place)) {
            int rc = etx_engine_drain(x->server->engine, place, !undo);
            if (rc != 0) {
                return fail(x, rc);
            }
        }
    }
    if (!undo) { /* else there is a home first */
        etxd_homes_changed(x->server);
    }
    etxd_text_put(&body, "{");
    etxd_text_member(&body, "node", x->server->config.node);
    etxd_text_member_flag(&body, "drained", !undo);
    etxd_text_put(&body, "}\n");
    etxd_answer(x, 202, "application/json", &body);
    return 0;
}

static int drain(etxd_exchange *x, const char *name, int undo) {
    etx_node_status node = {.size = sizeof node};
    move any = {.place = 0};
    uint32_t partitions;
    if (find_home(x, NULL, &any, &partitions) != 0) {
        return -1;
    }
    if (strcmp(name, x->server->config.node) == 0) {
        return drain_here(x, undo);
    }
    if (etxd_is_forwarded(x) || !find_node(x->server, any.place, name, &node)) {
        return refuse_node(x, name);
    }
    return etxd_forward_to(x, &node) < 0 ? -1 : 0;
}

int etxd_post_drain(etxd_exchange *x) {
    static const char *const fields[] = {"node", "undo", NULL};
    etxd_object body;
    const char *node = NULL;
    int undo = 0;
    int rc = etxd_json_read(x, fields, &body);
    if (rc != 0) {
        return -1;
    }
    if (etxd_json_text(&body, "node", &node) != 0 || etxd_json_flag(&body, "undo", &undo) != 0) {
        rc = -1;
    } else if (node == NULL) {
        rc = etxd_json_missing(&body, "node", "the name of the one that is to be drained");
    } else {
        rc = drain(x, node, undo);
    }
    etxd_json_free(&body);
    return rc;
}
