/* What an engine tells of shared homes: partitions, nodes, and with whom a gid is. */
#include <string.h>

#include "keeper.h"
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
        status.lease_left_ms = until_us > now_us ? (until_us - now_us) / 1000 : 0;
        status.node_left_ms = etx__keeper_who(home, partition->number, status.node, status.address);
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
           etx__keeper_finds(engine, home_id, ret_status);
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

int etx_engine_node_status(etx_engine *engine,
                           unsigned place,
                           uint32_t number,
                           etx_node_status *ret_status) {
    int rc = etx__engine_serves(engine);
    if (rc != 0) {
        return rc;
    }
    if (ret_status == NULL || ret_status->size == 0) {
        return etx__engine_refuse(engine, ETX_EINVALID);
    }
    etx_node_status status = {.size = ret_status->size};
    if (place >= engine->home_count || !atomic_load(&engine->home[place]->opened) ||
        engine->home[place]->keeper == NULL ||
        !etx__keeper_node(engine->home[place], number, &status)) {
        return etx__engine_fail(engine, ETX_ENOTFOUND, "there is no such home or node");
    }
    memcpy(ret_status, &status, status.size < sizeof status ? status.size : sizeof status);
    return 0;
}
