/* Shared homes: what an engine tells of partitions, nodes, and with whom a gid is; and what an
 * operator wants of them. */
#include <string.h>

#include "keeper.h"
#include "survey.h"
#include "request.h"

static etx_partition_status status_of(const etx__partition *partition) {
    etx__home *home = partition->home;
    etx_partition_status status = {.size = sizeof status};
    status.here = atomic_load(&partition->state) == ETX__OPEN;
    status.in_flight = atomic_load(&partition->live);
    status.place = home->place;
    status.number = partition->number;
    status.regressed = atomic_load(&partition->regressed) != 0;
    if (status.regressed) {
        pthread_mutex_lock(&home->lock);
        memcpy(status.why, partition->regress, sizeof status.why);
        pthread_mutex_unlock(&home->lock);
    }
    if (home->keeper != NULL) {
        uint64_t until_us = atomic_load(&partition->lease_us);
        uint64_t now_us = etx__clock_us();
        status.shared = 1;
        uint64_t lease_us = etx__keeper_lease_us(home->engine->options.lease_ms);
        if (until_us > now_us) {
            status.lease_left_ms = (until_us - now_us) / 1000;
            status.lease_age_ms = (lease_us - (until_us - now_us)) / 1000;
        }
        status.node_left_ms = etx__survey_who(home, partition->number, status.node, status.address);
        status.elsewhere =
            !status.here && status.node[0] != 0 && strcmp(status.node, home->engine->node) != 0;
    }
    return status;
}

static void give(etx_partition_status *ret_status, const etx_partition_status *status) {
    size_t size = ret_status->size;
    memcpy(ret_status, status, size < sizeof *status ? size : sizeof *status);
    ret_status->size = size;
}

int etx_engine_partition_status(etx_engine *engine,
                                unsigned place,
                                uint32_t number,
                                etx_partition_status *ret_status) {
    int rc = etx__engine_serves(engine);
    if (rc != 0) {
        return rc;
    }
    if (ret_status == NULL || ret_status->size == 0) {
        return etx__engine_refuse(engine, ETX_EINVALID);
    }
    if (place >= engine->home_count || number >= engine->home[place]->partition_count) {
        return etx__engine_fail(engine, ETX_ENOTFOUND, "there is no such home or partition");
    }
    etx_partition_status status = status_of(engine->home[place]->partition[number]);
    give(ret_status, &status);
    return 0;
}

/* The gid names a home that another node has for itself. */
static int found_elsewhere(etx_engine *engine, const char *gid, etx_partition_status *ret_status) {
    char home_id[ETX_HOME_ID_LEN + 1];
    uint64_t made_ms = 0;
    *ret_status = (etx_partition_status){.size = sizeof *ret_status, .elsewhere = 1, .shared = 0};
    ret_status->place = engine->home_count;
    return etx__gid_read((etx_bytes){gid, strlen(gid)}, home_id, &ret_status->number, &made_ms) &&
           etx__survey_finds(engine, home_id, ret_status);
}

int etx_engine_gid_status(etx_engine *engine, const char *gid, etx_partition_status *ret_status) {
    int rc = 0;
    etx_partition_status status;
    etx_tx *request = etx__request_command(engine, gid, ETX__EV_WAIT, &rc);
    if (request != NULL) {
        status = status_of(request->partition);
        etx__request_free(request);
    } else if (rc != ETX_EELSEWHERE || !found_elsewhere(engine, gid, &status)) {
        return rc;
    }
    if (ret_status == NULL || ret_status->size == 0) {
        return etx__engine_refuse(engine, ETX_EINVALID);
    }
    give(ret_status, &status);
    return 0;
}

typedef int (*node_fn)(etx__home *home, uint32_t number, etx_node_status *ret_status);

static int node_status(etx_engine *engine,
                       unsigned place,
                       uint32_t number,
                       etx_node_status *ret_status,
                       node_fn find) {
    int rc = etx__engine_serves(engine);
    if (rc != 0) {
        return rc;
    }
    if (ret_status == NULL || ret_status->size == 0) {
        return etx__engine_refuse(engine, ETX_EINVALID);
    }
    etx_node_status status = {.size = ret_status->size};
    if (place >= engine->home_count || !atomic_load(&engine->home[place]->opened) ||
        engine->home[place]->keeper == NULL || !find(engine->home[place], number, &status)) {
        return etx__engine_fail(engine, ETX_ENOTFOUND, "there is no such home or node");
    }
    memcpy(ret_status, &status, status.size < sizeof status ? status.size : sizeof status);
    return 0;
}

int etx_engine_node_status(etx_engine *engine,
                           unsigned place,
                           uint32_t number,
                           etx_node_status *ret_status) {
    return node_status(engine, place, number, ret_status, etx__survey_node);
}

int etx_engine_gone_status(etx_engine *engine,
                           unsigned place,
                           uint32_t number,
                           etx_node_status *ret_status) {
    return node_status(engine, place, number, ret_status, etx__survey_gone);
}

/* The home at that place, if nodes share it. */
static int shared_home(etx_engine *engine, unsigned place, etx__home **ret_home) {
    int rc = etx__engine_serves(engine);
    if (rc != 0) {
        return rc;
    }
    if (place >= engine->home_count) {
        return etx__engine_fail(engine, ETX_ENOTFOUND, "the engine has %u homes",
                                engine->home_count);
    }
    if (!atomic_load(&engine->home[place]->opened)) {
        char why[ETX_REASON_MAX + 1];
        rc = etx__home_why(engine->home[place], why, sizeof why);
        return etx__engine_fail(engine, rc, "%s", why);
    }
    if (engine->home[place]->keeper == NULL) {
        return etx__engine_fail(engine, ETX_ESTATE, "home %s is not shared: there is no other node",
                                engine->home[place]->url);
    }
    *ret_home = engine->home[place];
    return 0;
}

/* Does that node attend, and how many do? */
static int attends(etx__home *home, const char *node, uint32_t *ret_nodes) {
    etx_node_status status = {.size = sizeof status};
    int there = 0;
    for (*ret_nodes = 0; etx__survey_node(home, *ret_nodes, &status); ++*ret_nodes) {
        there |= strcmp(status.node, node) == 0;
    }
    return there;
}

/* This node's part of it. */
static int move_here(etx__home *home, uint32_t number, const char *node) {
    etx_engine *engine = home->engine;
    char holder[ETX_NAME_MAX + 1];
    char address[ETX__ADDRESS_MAX + 1];
    int takes = strcmp(node, engine->node) == 0;
    uint32_t nodes;
    if (takes && atomic_load(&home->drains)) {
        return etx__engine_fail(engine, ETX_ESTATE,
                                "node %s is drained: end that before partitions are moved there",
                                node);
    }
    if (!attends(home, node, &nodes)) {
        return etx__engine_fail(engine, ETX_ENOTFOUND,
                                "no node %s attends at home %s: it is not there, has another name, "
                                "or is drained",
                                node, home->url);
    }
    if (atomic_load(&home->partition[number]->regressed)) {
        return etx__engine_fail(engine, ETX_ESTATE,
                                "partition %u stays: the store has lost of it what this node "
                                "remembers, and another may not",
                                number);
    }
    (void)etx__survey_who(home, number, holder, address);
    if (takes || strcmp(holder, engine->node) == 0) {
        atomic_store(&home->partition[number]->order, takes ? ETX__ORDER_TAKE : ETX__ORDER_GIVE);
        return 0;
    }
    char says[ETX_NAME_MAX + ETX__ADDRESS_MAX + 64];
    (void)etx__survey_says(home, number, says, sizeof says);
    return etx__engine_fail(engine, ETX_EELSEWHERE, "%s: it is to be asked", says);
}

int etx_engine_move(etx_engine *engine, unsigned place, uint32_t number, const char *node) {
    etx__home *home = NULL;
    int rc = shared_home(engine, place, &home);
    if (rc != 0) {
        return rc;
    }
    if (node == NULL || etx_name_check(node, strnlen(node, ETX_NAME_MAX + 1)) != 0) {
        return etx__engine_invalid(engine, "node: the name of one that attends");
    }
    if (number >= home->partition_count) {
        return etx__engine_fail(engine, ETX_ENOTFOUND, "home %s has %u partitions, numbered from 0",
                                home->url, home->partition_count);
    }
    return move_here(home, number, node);
}

int etx_engine_drain(etx_engine *engine, unsigned place, int drained) {
    etx__home *home = NULL;
    int rc = shared_home(engine, place, &home);
    if (rc != 0) {
        return rc;
    }
    uint32_t nodes;
    int here = attends(home, engine->node, &nodes);
    if (drained && !atomic_load(&home->drains) && nodes == (uint32_t)here) {
        return etx__engine_fail(engine, ETX_ESTATE,
                                "no other node attends at home %s, which could take what this one "
                                "has",
                                home->url);
    }
    atomic_store(&home->drains, drained != 0);
    return 0;
}
