/* Begun elsewhere: a transaction that its home cannot take, and whose gid nobody saw, goes to
 * another home under another gid, or to another partition of a home that nodes share. */
#include <string.h>

#include "home.h"
#include "request.h"
#include "shard.h"

/* Is it anybody's that the gid before was told to? Then this one is not used. */
static int is_told(const etx_tx *request) {
    return request->on_gid != NULL && request->on_gid(request->gid, request->user) != 0;
}

/* Places it anew, or leaves it as it was and gives 0. */
static int place_elsewhere(etx_tx *request) {
    etx__partition *partition = request->partition;
    const etx__home *home = partition->home;
    char gid[sizeof request->gid];
    uint8_t gid_len = request->gid_len;
    uint32_t hash = request->hash;
    memcpy(gid, request->gid, sizeof gid);
    if (etx__request_place(request, etx__clock_wall_ms()) == 0 &&
        (request->partition->home != home ||
         (partition->state == ETX__ELSEWHERE && request->partition != partition)) &&
        !is_told(request)) {
        return 1;
    }
    memcpy(request->gid, gid, sizeof gid);
    request->gid_len = gid_len;
    request->hash = hash;
    request->partition = partition;
    return 0;
}

/* Nothing was begun, and nobody saw the gid: another home may take it. 1: it is on its way. */
int etx__request_elsewhere(etx_tx *request) {
    const etx__partition *partition = request->partition;
    const etx__home *home = partition->home;
    uint32_t waiting = ETX__WAITING;
    if (request->shown || request->chosen || request->old ||
        (partition->state != ETX__ELSEWHERE &&
         etx__home_best(request->engine, (etx_durability)request->begin.durability) == home) ||
        !atomic_compare_exchange_strong(&request->state, &waiting, ETX__MOVING)) {
        return 0;
    }
    int placed = place_elsewhere(request);
    atomic_store(&request->state, ETX__WAITING);
    if (placed) {
        etx__request_send(request);
    }
    return placed;
}

/* Copies what was begun into a new request, under a gid of another home. */
static etx_tx *begin_copy(etx__partition *partition,
                          const etx__pending *pending,
                          const etx_record_begin *begin) {
    etx_tx *copy = etx__request_make(partition->home->engine);
    if (copy == NULL) {
        return NULL;
    }
    copy->type = ETX__EV_BEGIN;
    copy->begin = *begin;
    copy->wait = pending->waiter.wait;
    copy->on_gid = pending->on_gid;
    copy->done = pending->done;
    copy->user = pending->user;
    etx_record_branch *branches = etx__request_alloc(copy, begin->branch_count * sizeof *branches);
    int good = branches != NULL || begin->branch_count == 0;
    for (uint16_t i = 0; good && i < begin->branch_count; i++) {
        const etx_record_branch *from = &begin->branches[i];
        branches[i] = *from;
        branches[i].name = etx__request_keep(copy, from->name.data, from->name.len);
        branches[i].participant =
            etx__request_keep(copy, from->participant.data, from->participant.len);
        branches[i].payload = etx__request_keep(copy, from->payload.data, from->payload.len);
        branches[i].depends_on =
            etx__request_keep(copy, from->depends_on,
                              from->depends_on_count * sizeof *from->depends_on)
                .data;
        good = branches[i].name.data != NULL && branches[i].participant.data != NULL &&
               branches[i].payload.data != NULL && branches[i].depends_on != NULL;
    }
    copy->begin.branches = branches;
    copy->begin.initiator = etx__request_keep(copy, begin->initiator.data, begin->initiator.len);
    copy->begin.initiator_payload =
        etx__request_keep(copy, begin->initiator_payload.data, begin->initiator_payload.len);
    if (!good || copy->begin.initiator.data == NULL || copy->begin.initiator_payload.data == NULL ||
        etx__request_place(copy, etx__clock_wall_ms()) != 0 ||
        copy->partition->home == partition->home || is_told(copy)) {
        etx__request_free(copy);
        return NULL;
    }
    return copy;
}

static void give_up_blocking(etx__waiter *waiter, int rc) {
    etx_tx *request = (etx_tx *)(void *)((char *)waiter - offsetof(etx_tx, waiter));
    /* The request still holds all it said: it is sent again, under another gid. */
    memset(&request->waiter, 0, sizeof request->waiter);
    if (request->type == ETX__EV_BEGIN && request->blocking && etx__request_elsewhere(request)) {
        return;
    }
    if (rc != ETX_ENOMEM) { /* that is not the home's */
        etx__home_why(request->partition->home, request->outcome.reason,
                      sizeof request->outcome.reason);
    }
    etx__request_refuse(request, rc, etx_strerror(rc));
}

int etx__request_given_back(int error) {
    return error == ETX_EFULL || error == ETX_ENOMEM ? error : ETX_EUNAVAILABLE;
}

void etx__request_begin_elsewhere(etx__partition *partition,
                                  etx__waiter *waiter,
                                  const etx_record *image,
                                  int error) {
    int rc = etx__request_given_back(error);
    if (waiter->kind == ETX__WAITER_REQUEST) {
        give_up_blocking(waiter, rc);
        return;
    }
    etx__pending *pending = (etx__pending *)(void *)waiter;
    int bound = waiter->kind == ETX__WAITER_SHOWN || (image->u.move.begin.marks & ETX_MARK_CHOSEN);
    etx_tx *copy = bound ? NULL : begin_copy(partition, pending, &image->u.move.begin);
    if (copy == NULL) {
        waiter->rc = rc;
        waiter->entry = ETX__NOBODY;
        etx__waiter_answer(partition, waiter);
        return;
    }
    etx__shard_pending_give(partition->shard, pending);
    etx__request_send(copy);
}
