/* GET /v1/cluster: the nodes that share a home, and who has which partition. */
#include "refusal.h"

/* Their ids stand behind a space each. */
static void write_own_homes(etxd_text *body, const char *at) {
    int count = 0;
    etxd_text_name(body, "homes");
    etxd_text_put(body, "[");
    for (; *at == ' '; at += 1 + ETX_HOME_ID_LEN) {
        etxd_text_put(body, count++ > 0 ? "," : "");
        etxd_text_json(body, at + 1, ETX_HOME_ID_LEN);
    }
    etxd_text_put(body, "]");
}

typedef int (*node_fn)(etx_engine *engine, unsigned place, uint32_t number, etx_node_status *ret);

/* Those that attend, or those that are gone. */
static void write_nodes(etxd_text *body,
                        etxd *server,
                        unsigned place,
                        const char *name,
                        node_fn status_of) {
    etx_engine *engine = server->engine;
    etx_node_status node = {.size = sizeof node};
    uint32_t i;
    etxd_text_name(body, name);
    etxd_text_put(body, "[");
    for (i = 0; status_of(engine, place, i, &node) == 0; i++) {
        etxd_text_put(body, i > 0 ? ",{" : "{");
        etxd_text_member(body, "node", node.node);
        etxd_text_member(body, "address", node.address);
        etxd_text_member_flag(body, "here", node.here);
        etxd_text_member_number(body, "left_ms", node.left_ms);
        write_own_homes(body, node.homes);
        etxd_text_member(body, "remark", etxd_refusal_of(server, node.node));
        etxd_text_put(body, "}");
    }
    etxd_text_put(body, "]");
}

/* What is in flight elsewhere is known there. */
static void write_in_flight(etxd_text *body, const etx_partition_status *partition) {
    if (partition->here) {
        etxd_text_member_number(body, "in_flight", partition->in_flight);
    } else {
        etxd_text_name(body, "in_flight");
        etxd_text_put(body, "null");
    }
}

static void write_partitions(etxd_text *body, etxd *server, unsigned place, uint32_t count) {
    etx_partition_status one = {.size = sizeof one};
    uint32_t i;
    etxd_text_name(body, "partitions");
    etxd_text_put(body, "[");
    for (i = 0; i < count && etx_engine_partition_status(server->engine, place, i, &one) == 0;
         i++) {
        etxd_text_put(body, i > 0 ? ",{" : "{");
        etxd_text_member_number(body, "partition", i);
        etxd_text_member(body, "node", one.shared ? one.node : server->config.node);
        etxd_text_member_flag(body, "here", one.here);
        etxd_text_member_number(body, "left_ms", one.node_left_ms);
        write_in_flight(body, &one);
        etxd_text_member_flag(body, "regressed", one.regressed);
        etxd_text_member(body, "why", one.why);
        etxd_text_put(body, "}");
    }
    etxd_text_put(body, "]");
}

int etxd_get_cluster(etxd_exchange *x) {
    etxd *server = x->server;
    etx_home_status home = {.size = sizeof home};
    etxd_text body = {0};
    unsigned place;
    etxd_text_put(&body, "{");
    etxd_text_member(&body, "node", server->config.node);
    etxd_text_member(&body, "address", server->config.advertise);
    etxd_text_name(&body, "homes");
    etxd_text_put(&body, "[");
    for (place = 0; etx_engine_home_status(server->engine, place, &home) == 0; place++) {
        etx_partition_status first = {.size = sizeof first};
        (void)etx_engine_partition_status(server->engine, place, 0, &first);
        etxd_text_put(&body, place > 0 ? ",{" : "{");
        etxd_text_member_number(&body, "place", place);
        etxd_text_member(&body, "id", home.id);
        /* one that is away has no partitions yet: only shared homes may be */
        etxd_text_member_flag(&body, "shared", first.shared || home.partitions == 0);
        etxd_text_member(&body, "url", home.url);
        etxd_text_member(&body, "durability", etx_durability_name(home.grade));
        etxd_text_member_flag(&body, "in_use", home.in_use);
        etxd_text_member_flag(&body, "chosen", home.chosen);
        etxd_text_member_number(&body, "in_flight", home.in_flight);
        etxd_text_member_flag(&body, "usable", home.usable);
        etxd_text_member_number(&body, "since_ms", home.since_ms);
        etxd_text_member(&body, "why", home.why);
        etxd_text_member(&body, "remark", home.remark);
        etxd_text_member_flag(&body, "drained", home.drained);
        write_nodes(&body, server, place, "nodes", etx_engine_node_status);
        write_nodes(&body, server, place, "gone", etx_engine_gone_status);
        write_partitions(&body, server, place, home.partitions);
        etxd_text_put(&body, "}");
    }
    etxd_text_put(&body, "]}\n");
    etxd_answer(x, 200, "application/json", &body);
    return 0;
}
