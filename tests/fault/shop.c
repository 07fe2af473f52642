/* The shop: participants that keep a fence in memory, and an engine that comes and goes. */
#include "shop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t number_of(const etx_call *call) {
    return (uint32_t)strtoul(etx_call_gid(call) + 1, NULL, 10) % SHOP_ROWS;
}

static etx_reply operate(etx_call *call, void *user) {
    shop *on = user;
    shop_row *row = &on->rows[number_of(call)];
    int side = etx_call_branch(call)[0] == '1';
    size_t len = 0;
    const char *payload = etx_call_payload(call, &len);
    switch (etx_call_operation(call)) {
        case ETX_FORWARD:
            if (row->undo[side] || (side && len && payload[0] == 'R'))
                return ETX_REFUSED;
            row->forward[side] = 1;
            return ETX_DONE;
        case ETX_COMMIT:
            row->commit[side] = 1;
            return ETX_DONE;
        case ETX_UNDO:
            row->undo[side] = 1;
            return ETX_DONE;
        case ETX_QUERY:
        case ETX_RESUME:
            break;
    }
    return ETX_DONE;
}

static int engine_fill(shop *on, const char *url) {
    static const char *const names[] = {"left", "right"};
    int rc = etx_engine_home(on->engine, url);
    for (int i = 0; !rc && i < 2; i++) {
        etx_participant participant = ETX_PARTICIPANT_INIT;
        participant.name = names[i];
        participant.forward = participant.commit = participant.undo = operate;
        participant.user = on;
        participant.flags = ETX_INLINE;
        rc = etx_engine_register(on->engine, &participant);
    }
    return rc ? rc : etx_engine_start(on->engine);
}

int shop_start(shop *on, const char *url, uint32_t patience_ms) {
    etx_options options = ETX_OPTIONS_INIT;
    int rc;
    options.shards = 1;
    options.workers = 1;
    options.transactions_max = 64;
    options.history_max = 64;
    options.memory_max = 4u << 20;
    options.payload_max = 1000;
    options.patience_ms = patience_ms;
    options.retry_first_ms = 5;
    options.retry_cap_ms = 20;
    options.allocator = &on->memory.allocator;
    rc = etx_engine_create(&options, &on->engine);
    if (rc)
        return rc;
    rc = engine_fill(on, url);
    if (rc) {
        etx_engine_message(on->engine, on->message, sizeof on->message);
        etx_engine_free(on->engine);
        on->engine = NULL;
    }
    return rc;
}

int shop_run(shop *on, uint32_t number, int refused) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    char gid[16];
    char order[300];
    int rc;
    memset(order, refused ? 'R' : 'D', sizeof order);
    snprintf(gid, sizeof gid, "t%u", number);
    options.gid = gid;
    rc = etx_tx_new(on->engine, &options, &tx);
    if (!rc)
        rc = etx_tx_add(tx, "left", order, sizeof order);
    if (!rc)
        rc = etx_tx_add(tx, "right", order, sizeof order);
    if (rc) {
        etx_tx_discard(tx);
        return rc;
    }
    rc = etx_tx_run(tx, &outcome);
    if (!rc)
        on->rows[number].told = outcome.state;
    return rc;
}

int shop_quiet(shop *on, uint32_t seconds) {
    for (uint32_t i = 0; i < seconds * 1000; i++) {
        etx_metrics metrics = {.size = sizeof metrics};
        if (etx_engine_metrics(on->engine, &metrics) == 0 && !metrics.in_flight)
            return 1;
        usleep(1000);
    }
    return 0;
}

void shop_stop(shop *on, etx_close_mode mode) {
    if (on->engine) {
        etx_engine_close(on->engine, mode, 200);
        etx_engine_free(on->engine);
    }
    on->engine = NULL;
}

int shop_ask(shop *on, uint32_t number, etx_state told) {
    etx_status status = {.size = sizeof status};
    char gid[16];
    int rc;
    snprintf(gid, sizeof gid, "t%u", number);
    rc = etx_query(on->engine, gid, &status);
    if (rc || status.state != told) {
        snprintf(on->message, sizeof on->message,
                 "LOST: the caller of %s was told %s; now the engine says %s (%s)", gid,
                 etx_state_name(told), etx_state_name(status.state), etx_error_name(rc));
        return -1;
    }
    return 0;
}

int shop_agrees(shop *on) {
    for (uint32_t i = 0; i < SHOP_ROWS; i++) {
        const shop_row *row = &on->rows[i];
        int half = row->commit[0] != row->commit[1];
        for (int side = 0; side < 2; side++)
            half |= row->forward[side] && !row->commit[side] && !row->undo[side];
        half |= (row->commit[0] && row->undo[0]) || (row->commit[1] && row->undo[1]);
        half |= row->told == ETX_COMMITTED && !row->commit[0];
        half |= row->told == ETX_ABORTED && row->commit[0];
        if (half) {
            snprintf(on->message, sizeof on->message,
                     "t%u is half done: left %u%u%u right %u%u%u (forward, commit, undo), told %s",
                     i, row->forward[0], row->commit[0], row->undo[0], row->forward[1],
                     row->commit[1], row->undo[1], etx_state_name(row->told));
            return -1;
        }
    }
    return 0;
}
