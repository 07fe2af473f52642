/* The events of a configuration: its names, its begins, its clients' and operators' words. */
#include "explore.h"

#include <string.h>

/* Two moments are enough: before the deadlines, and after. Whether anything else is due is turned
 * by hand (explore_core.c). */
enum { EARLY_MS = 1000, LATE_MS = 1000000, DEADLINE_MS = 60000, WALL_MS = 5000000 };

etx__now explore_now(int late) {
    uint64_t mono = late ? LATE_MS : EARLY_MS;
    return (etx__now){
        .mono_ms = mono, .mono_us = mono * 1000, .wall_ms = mono + WALL_MS, .random = 0x1234};
}

etx_bytes explore_gid(unsigned tx) {
    static const char *const gid[EXPLORE_TX] = {"t1", "t2"};
    return (etx_bytes){gid[tx], 2};
}

unsigned explore_tx_of(etx_bytes gid) {
    return ((const char *)gid.data)[1] == '2';
}

static etx_bytes name_of(unsigned place) {
    static const char names[] = "abc";
    return (etx_bytes){names + place, 1};
}

void explore_names(explore_cores *c, unsigned tx, etx_record_branch *branches) {
    static const char *const participant[] = {"p0", "p1", "p2"};
    const explore_transaction *of = &c->config->tx[tx];
    for (unsigned i = 0; i < of->branches; i++) {
        const explore_branch *from = &of->branch[i];
        etx_record_branch *to = &branches[i];
        memset(to, 0, sizeof *to);
        to->name = name_of(i);
        to->participant = (etx_bytes){participant[from->participant], 2};
        to->kind = from->kind;
        to->flags = from->flags;
        for (unsigned place = 0; place < of->branches; place++) {
            if (from->after & (1u << place)) {
                c->depends[tx][i][to->depends_on_count++] = (uint16_t)place;
            }
        }
        to->depends_on = c->depends[tx][i];
    }
}

static etx__waiter *waiter_of(explore_cores *c, const explore_ask *ask, etx_wait wait) {
    etx__waiter *waiter = &c->waiter[ask->client];
    memset(waiter, 0, sizeof *waiter);
    waiter->wait = (uint8_t)wait;
    return waiter;
}

static void begin_event(explore_cores *c,
                        const explore_ask *ask,
                        etx__event *event,
                        etx_record_begin *begin,
                        etx_record_branch *branches) {
    const explore_transaction *tx = &c->config->tx[ask->tx];
    explore_names(c, ask->tx, branches);
    memset(begin, 0, sizeof *begin);
    begin->time_ms = event->now.wall_ms;
    begin->deadline_ms = tx->deadline ? explore_now(0).wall_ms + DEADLINE_MS : 0;
    begin->mode = tx->mode;
    begin->marks = ETX_MARK_CHOSEN;
    begin->durability = ETX_LOCAL;
    begin->initiator = (etx_bytes){"i", tx->initiator ? 1 : 0};
    begin->resume_ms = tx->mode == ETX_RESUMED ? 10000 : 0;
    begin->branch_count = tx->begun;
    begin->branches = branches;
    begin->digest = etx_record_begin_digest(begin);
    event->type = ETX__EV_BEGIN;
    event->u.begin.begin = begin;
    event->waiter = waiter_of(c, ask, tx->mode == ETX_SUBMITTED ? ETX_WAIT_ENDED : ETX_WAIT_BEGUN);
}

static void command_event(explore_cores *c,
                          const explore_ask *ask,
                          etx__event *event,
                          etx_record_branch *branches) {
    etx_wait wait = ask->op == 'C' || ask->op == 'A' ? ETX_WAIT_DECIDED : ETX_WAIT_BEGUN;
    event->waiter = waiter_of(c, ask, wait);
    if (ask->op == 'E') {
        explore_names(c, ask->tx, branches);
        event->type = ETX__EV_ENLIST;
        event->u.enlist.branch = &branches[ask->place];
        event->u.enlist.run = ask->number;
    } else if (ask->op == 'R') {
        event->type = ETX__EV_RESULT;
        event->u.result.run = ask->number;
        event->u.result.branch = name_of(ask->place);
        event->u.result.reply = ask->reply;
        event->u.result.bytes = (etx_bytes){"r", c->config->tx[ask->tx].branch[ask->place].bytes};
    } else {
        event->type = ask->op == 'H'   ? ETX__EV_HOLD
                      : ask->op == 'C' ? ETX__EV_COMMIT
                                       : ETX__EV_ABORT;
        event->u.decide.run = ask->number;
    }
}

static void operator_event(const explore_ask *ask, etx__event *event) {
    event->u.operate.who = (etx_bytes){"op", 2};
    event->u.operate.why = (etx_bytes){"why", 3};
    if (ask->op == 'p' || ask->op == 'r') {
        event->type = ask->op == 'p' ? ETX__EV_PARK : ETX__EV_UNPARK;
        return;
    }
    event->type = ETX__EV_FORCE;
    if (ask->op == 'a' || ask->op == 'c') {
        event->u.operate.force = ask->op == 'a' ? ETX_FORCE_ABORT : ETX_FORCE_COMMIT;
        return;
    }
    event->u.operate.force = ETX_FORCE_DONE;
    event->u.operate.branch = name_of((unsigned)(ask->op - 'f'));
    event->u.operate.operation = ask->reply;
}

static void reply_event(explore_cores *c, const explore_ask *ask, etx__event *event) {
    const etx__entry *entry = etx__core_find(c->core, event->gid, event->hash);
    uint64_t serial = ask->stale ? 77 : ask->place + 1u;
    event->type = ETX__EV_REPLY;
    event->u.reply.serial = serial;
    event->u.reply.entry = entry != NULL ? etx__entry_number(c->core, entry) : ETX__NOBODY;
    event->u.reply.place = ask->place == EXPLORE_INITIATOR ? ETX__INITIATOR : ask->place;
    event->u.reply.reply = ask->reply;
    if (ask->place < EXPLORE_BRANCHES && ask->reply == ETX_DONE) {
        event->u.reply.bytes = (etx_bytes){"r", c->config->tx[ask->tx].branch[ask->place].bytes};
    }
}

void explore_event(explore_cores *c,
                   const explore_ask *ask,
                   etx__event *ret_event,
                   etx_record_begin *begin,
                   etx_record_branch *branches) {
    memset(ret_event, 0, sizeof *ret_event);
    ret_event->now = explore_now(ask->late);
    ret_event->gid = explore_gid(ask->tx);
    ret_event->hash = etx__core_hash(ret_event->gid);
    switch ((explore_type)ask->type) {
        case EXPLORE_COMMAND:
            if (ask->op == 'B') {
                begin_event(c, ask, ret_event, begin, branches);
            } else {
                command_event(c, ask, ret_event, branches);
            }
            return;
        case EXPLORE_REPLY:
            reply_event(c, ask, ret_event);
            return;
        case EXPLORE_OPERATE:
            operator_event(ask, ret_event);
            return;
        case EXPLORE_DURABLE:
            ret_event->type = ETX__EV_DURABLE;
            ret_event->u.durable.seq = ask->number;
            return;
        case EXPLORE_FLUSH:
            ret_event->type = ETX__EV_FLUSH;
            return;
        case EXPLORE_TICK:
            ret_event->type = ETX__EV_TICK;
            return;
        case EXPLORE_FORGET:
            ret_event->type = ETX__EV_FORGET;
            ret_event->u.forget.rc = ETX_EUNKNOWN;
            return;
        case EXPLORE_GIVE_UP:
            ret_event->type = ETX__EV_GIVE_UP;
            ret_event->u.forget.rc = ETX_EUNAVAILABLE;
            return;
        case EXPLORE_RECOVER:
            ret_event->type = ETX__EV_RECOVERED;
            ret_event->u.recovered.slot = ask->number;
            return;
        case EXPLORE_FOLD:
            return;
    }
}
