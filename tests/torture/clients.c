/* The torture's clients: they submit, repeat themselves, ask, and write down what they are told.
 *
 * A client that chose a gid may repeat it at any time, in this life of the process or a later one,
 * with the same content; one whose gid ETX made asks for it later, if it wrote it down before it
 * sent it. Whatever they are told is compared with the ledgers by the audit. */
#include <string.h>

#include "torture.h"

enum { IN_FLIGHT_MAX = 24, BLOCKING = 7, ASK_MS = 300 };

/* ---- gids that were shown before they were sent */

static torture_shown *show_gid(torture_coordinator *c, const char *gid) {
    torture_shown *shown;
    if (gid == NULL) {
        return NULL;
    }
    shown = &c->page->shown[atomic_fetch_add(&c->page->shown_next, 1) % TORTURE_SHOWN];
    atomic_store(&shown->life, 0);
    snprintf(shown->gid, sizeof shown->gid, "%s", gid);
    atomic_store(&shown->life, c->cell->life);
    return shown;
}

static void forget_shown(torture_shown *shown, int rc) {
    if (shown != NULL && rc != ETX_EUNKNOWN && rc != ETX_ECLOSED) {
        atomic_store(&shown->life, 0);
    }
}

/* Asks for one that an earlier life sent; its client would like to know at last. */
static void ask_shown(torture_coordinator *c, torture_shown *shown, uint64_t life) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    char gid[ETX_GID_MAX + 1];
    int rc;
    if (life == 0 || atomic_load(&shown->life) != life) {
        return;
    }
    memcpy(gid, shown->gid, sizeof gid);
    rc = etx_wait_for(c->engine, gid, ETX_WAIT_ENDED, ASK_MS, &outcome);
    if (rc == ETX_ENOTFOUND || rc == ETX_EGONE) {
        torture_tell(c, gid, "NOTHING");
    } else {
        torture_tell_outcome(c, rc, &outcome);
    }
    if (rc != ETX_EUNKNOWN) {
        forget_shown(shown, rc);
    }
}

static void ask_something(torture_coordinator *c) {
    torture_shown *shown = &c->page->shown[torture_draw(c, TORTURE_SHOWN)];
    uint64_t life = atomic_load(&shown->life);
    if (life < c->cell->life) {
        ask_shown(c, shown, life);
    }
}

void torture_ask_all(torture_coordinator *c) {
    int i;
    for (i = 0; i < TORTURE_SHOWN; i++) {
        ask_shown(c, &c->page->shown[i], atomic_load(&c->page->shown[i].life));
    }
}

/* ---- submitted */

static int add_leg(etx_tx *tx, const torture_order *order, int place) {
    const torture_leg *leg = &order->legs[place];
    char participant[ETX_NAME_MAX];
    char payload[96];
    etx_branch branch = ETX_BRANCH_INIT;
    torture_participant_name(leg, participant);
    branch.participant = participant;
    branch.payload = payload;
    branch.payload_len = (size_t)etx__demo_leg_print(&leg->leg, payload, sizeof payload);
    branch.attempts_max = leg->kind == ETX_SAGA || leg->kind == ETX_TCC ? order->attempts_max : 0;
    branch.independent = leg->kind == ETX_SAGA && order->number % 3 == 0;
    return etx_tx_add_branch(tx, &branch);
}

static etx_tx *build(torture_coordinator *c, const torture_order *order) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    int i;
    int rc;
    options.gid = order->gid[0] != '\0' ? order->gid : NULL;
    options.deadline_ms = order->deadline_ms;
    options.wait = order->wait;
    rc = etx_tx_new(c->engine, &options, &tx);
    for (i = 0; rc == 0 && i < order->count; i++) {
        rc = add_leg(tx, order, i);
    }
    if (rc != 0) {
        etx_tx_discard(tx);
        return NULL;
    }
    return tx;
}

/* What came of an async caller. */
static void on_done(int rc, const etx_outcome *outcome, void *user) {
    torture_coordinator *c = user;
    torture_tell_outcome(c, rc, outcome);
    atomic_fetch_sub(&c->unfinished, 1);
}

static void run_async(torture_coordinator *c, const torture_order *order) {
    etx_tx *tx = build(c, order);
    if (tx == NULL) {
        return;
    }
    atomic_fetch_add(&c->unfinished, 1);
    torture_pass(TORTURE_SEND);
    if (etx_tx_submit(tx, on_done, c) != 0) {
        atomic_fetch_sub(&c->unfinished, 1);
    }
    while (atomic_load(&c->unfinished) > IN_FLIGHT_MAX) {
        torture_nap_us(500);
    }
}

/* A gid that has an answer: the same content again must give it again, and other content must not
 * be taken for it. */
static void run_again(torture_coordinator *c, const torture_order *order) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    torture_order other = *order;
    etx_tx *tx;
    int differs = torture_chance(c, 2);
    int rc;
    if (differs) {
        other.legs[0].leg.account = 1 + other.legs[0].leg.account % DEMO_ACCOUNTS;
    }
    tx = build(c, &other);
    if (tx == NULL) {
        return;
    }
    rc = etx_tx_run(tx, &outcome);
    if (!differs) {
        torture_tell_outcome(c, rc, &outcome);
    } else if (rc == 0) {
        torture_tell(c, order->gid, "THAT-ALSO-FOR-OTHER-CONTENT");
    }
}

static void run_blocking(torture_coordinator *c, const torture_order *order) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    torture_shown *shown = NULL;
    etx_tx *tx = build(c, order);
    int rc;
    if (tx == NULL) {
        return;
    }
    if (order->gid[0] == '\0' && torture_chance(c, 2)) {
        shown = show_gid(c, etx_tx_gid(tx));
    }
    torture_pass(TORTURE_SEND);
    rc = etx_tx_run(tx, &outcome);
    torture_tell_outcome(c, rc, &outcome);
    forget_shown(shown, rc);
    if (rc == 0 && order->gid[0] != '\0' && (outcome.marks & ETX_MARK_NEVER_BEGUN) == 0 &&
        torture_chance(c, 8)) {
        run_again(c, order);
    }
}

/* ---- what a client does next */

/* Aborts a gid that nobody has begun: who begins it later must find it aborted. */
static void abort_unbegun(torture_coordinator *c, const torture_order *order) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    if (etx_tx_attach(c->engine, order->gid, 0, &tx) == 0) {
        int rc = etx_tx_abort(tx, &outcome);
        torture_tell_outcome(c, rc, &outcome);
    }
}

static void run_order(torture_client *client, const torture_order *order) {
    torture_coordinator *c = client->coordinator;
    if (order->interactive) {
        torture_run_interactive(c, order);
    } else if (client->number < BLOCKING) {
        run_blocking(c, order);
    } else {
        run_async(c, order);
    }
}

static void do_something(torture_client *client) {
    torture_coordinator *c = client->coordinator;
    uint64_t next = atomic_load(&c->page->next);
    torture_order order;
    if (torture_chance(c, 10)) {
        ask_something(c);
        return;
    }
    if (next > 0 && torture_chance(c, 5)) { /* confused: has it been sent or not? */
        uint64_t back = torture_draw(c, next < TORTURE_RECENT ? next : TORTURE_RECENT);
        torture_order_draw(c->cell->seed, next - 1 - back, &order);
        if (order.gid[0] != '\0') {
            run_order(client, &order);
        }
        return;
    }
    torture_order_draw(c->cell->seed, atomic_fetch_add(&c->page->next, 1), &order);
    if (order.never) {
        abort_unbegun(c, &order);
    } else {
        run_order(client, &order);
    }
}

void *torture_client_main(void *argument) {
    torture_client *client = argument;
    torture_coordinator *c = client->coordinator;
    while (atomic_load(&c->page->drain) == 0) {
        do_something(client);
        torture_nap_us(torture_draw(c, 2000));
    }
    return NULL;
}
