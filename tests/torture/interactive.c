/* An interactive client of the torture: begins, enlists, thinks, and commits, aborts or is silent.
 *
 * It knows when its transaction began at the latest. If the process was paused until the deadline
 * was over, or the client thought for too long, a commit must not be accepted any more: that is
 * written down before it is tried (LATE), so that the audit holds the ledgers to it. Another client
 * that repeats a chosen gid may have been in time: each counts itself before it looks at the clock,
 * and only who then finds itself late, and nobody else counted, writes LATE. */
#include <stdlib.h>
#include <string.h>

#include "torture.h"

enum { TRIES = 5, MARGIN_MS = 5 };

static void enlist_leg(const torture_order *order,
                       int place,
                       etx_branch *branch,
                       char *participant,
                       char *name,
                       char *payload) {
    const torture_leg *leg = &order->legs[place];
    torture_participant_name(leg, participant);
    snprintf(name, ETX_NAME_MAX, "leg-%d", place);
    branch->name = name;
    branch->participant = participant;
    branch->payload = payload;
    branch->payload_len = (size_t)etx__demo_leg_print(&leg->leg, payload, 96);
    branch->flags = leg->by_initiator ? ETX_BY_INITIATOR : 0;
}

/* The client does the forward operation itself, and says what came of it. */
static int do_forward(torture_coordinator *c,
                      etx_tx *tx,
                      const char *gid,
                      const etx_branch *branch,
                      torture_bank *bank) {
    etx_fence_call call = ETX_FENCE_CALL_INIT;
    char reason[DEMO_REASON_MAX];
    etx_reply reply = ETX_RETRY;
    int i;
    call.gid = gid;
    call.branch = branch->name;
    call.operation = ETX_FORWARD;
    call.kind = ETX_TCC;
    call.begin_ms = torture_wall_ms();
    for (i = 0; i < TRIES && reply == ETX_RETRY; i++) {
        torture_pass(TORTURE_CALLED);
        reply = torture_bank_serve(bank, &call, (etx_bytes){branch->payload, branch->payload_len},
                                   reason);
        torture_pass(TORTURE_SERVED);
    }
    if (reply == ETX_RETRY) {
        return ETX_EUNKNOWN;
    }
    if (torture_chance(c, 30)) {
        return ETX_EUNKNOWN; /* done, but the client forgets to say so */
    }
    return etx_tx_result(tx, branch->name, reply, NULL, 0, NULL);
}

static int enlist_all(torture_coordinator *c,
                      etx_tx *tx,
                      const char *gid,
                      const torture_order *order) {
    int rc = 0;
    int i;
    for (i = 0; rc == 0 && i < order->count; i++) {
        char participant[ETX_NAME_MAX];
        char name[ETX_NAME_MAX];
        char payload[96];
        etx_branch branch = ETX_BRANCH_INIT;
        enlist_leg(order, i, &branch, participant, name, payload);
        rc = etx_tx_enlist(tx, &branch);
        torture_pass(TORTURE_ENLISTED);
        if (rc == 0 && order->legs[i].by_initiator) {
            rc = do_forward(c, tx, gid, &branch, &c->banks[order->legs[i].leg.bank]);
        }
        if (torture_chance(c, 6)) {
            torture_nap_us(torture_draw(c, 20000));
        }
    }
    return rc;
}

static void on_decided(int rc, const etx_outcome *outcome, void *user) {
    torture_coordinator *c = user;
    torture_tell_outcome(c, rc, outcome);
    atomic_fetch_sub(&c->unfinished, 1);
}

/* Consumes the handle. */
static void decide(torture_coordinator *c, etx_tx *tx, int commit) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    int rc;
    torture_pass(TORTURE_DECIDE);
    if (torture_chance(c, 3)) {
        atomic_fetch_add(&c->unfinished, 1);
        rc =
            commit ? etx_tx_commit_async(tx, on_decided, c) : etx_tx_abort_async(tx, on_decided, c);
        if (rc != 0) {
            atomic_fetch_sub(&c->unfinished, 1);
        }
        return;
    }
    rc = commit ? etx_tx_commit(tx, &outcome) : etx_tx_abort(tx, &outcome);
    torture_tell_outcome(c, rc, &outcome);
}

/* Begun it is: enlist, think, decide. */
static void converse(torture_coordinator *c,
                     etx_tx *tx,
                     const char *gid,
                     const torture_order *order,
                     uint64_t over_ms) {
    _Atomic uint8_t *others = &c->page->committing[order->number % TORTURE_SEEN];
    int rc = enlist_all(c, tx, gid, order);
    if (torture_chance(c, 8)) {
        torture_nap_us(torture_draw(c, order->deadline_ms * 1500));
    }
    if (rc == 0 && torture_chance(c, 10)) {
        etx_tx_discard(tx); /* silent: the deadline aborts it */
        return;
    }
    if (rc != 0 || torture_chance(c, 6)) {
        decide(c, tx, 0);
        return;
    }
    atomic_fetch_add(others, 1);
    if (torture_wall_ms() > over_ms && atomic_fetch_sub(others, 1) == 1) {
        torture_tell(c, gid, "LATE");
    }
    decide(c, tx, 1);
}

void torture_run_interactive(torture_coordinator *c, const torture_order *order) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    char gid[ETX_GID_MAX + 1];
    etx_tx *tx = NULL;
    int rc;
    options.gid = order->gid[0] != '\0' ? order->gid : NULL;
    options.deadline_ms = order->deadline_ms;
    options.wait = order->wait;
    torture_pass(TORTURE_SEND);
    rc = etx_tx_begin(c->engine, &options, &tx);
    if (rc != 0) {
        return;
    }
    atomic_fetch_add(&c->page->open, 1);
    snprintf(gid, sizeof gid, "%s", etx_tx_gid(tx));
    torture_pass(TORTURE_BEGUN);
    converse(c, tx, gid, order, torture_wall_ms() + order->deadline_ms + MARGIN_MS);
    atomic_fetch_sub(&c->page->open, 1);
}
