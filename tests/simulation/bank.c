/* Participants: services apart from the nodes, each with a fence and accounts of its own; and the
 * way to them, on which calls and answers are lost, late and doubled. */
#include <string.h>

#include "nest.h"
#include "sim.h"

static const char *const names[] = {[ETX_TCC] = "tcc",
                                    [ETX_SAGA] = "saga",
                                    [ETX_XA] = "xa",
                                    [ETX_MESSAGE] = "message",
                                    [ETX_NOTIFICATION] = "notification"};

const char *sim_bank_name(uint8_t kind) {
    return names[kind];
}

/* ---- the service: what it does and keeps in one transaction of its own */

static etx_reply hear_forward(sim *s, sim_truth *truth, uint32_t place) {
    const sim_plan_branch *plan = &truth->plan->branch[place];
    sim_row *row = &truth->row[place];
    (void)s;
    if (row->forward != 0) {
        return row->forward == SIM_ROW_DONE ? ETX_DONE : ETX_REFUSED;
    }
    if (plan->refuses && (!plan->forgets || row->handled == 1)) {
        row->forward = plan->forgets ? 0 : SIM_ROW_REFUSED;
        return ETX_REFUSED;
    }
    row->forward = SIM_ROW_DONE;
    row->applied += plan->kind == ETX_SAGA ? plan->delta : 0;
    return ETX_DONE;
}

static etx_reply hear_commit(sim *s, sim_truth *truth, uint32_t place) {
    const sim_plan_branch *plan = &truth->plan->branch[place];
    sim_row *row = &truth->row[place];
    int has_forward = plan->kind == ETX_TCC || plan->kind == ETX_XA;
    if (row->commit) {
        return ETX_DONE;
    }
    if (has_forward && row->forward != SIM_ROW_DONE && !row->settled && !row->lied &&
        !truth->store->regressed) {
        sim_break(s, "confirm never without its forward operation", truth->gid, "branch %u", place);
    }
    row->commit = 1;
    row->applied += plan->delta;
    return ETX_DONE;
}

static etx_reply hear_undo(sim *s, sim_truth *truth, uint32_t place) {
    const sim_plan_branch *plan = &truth->plan->branch[place];
    sim_row *row = &truth->row[place];
    if (row->undo) {
        return ETX_DONE;
    }
    if (row->commit && !truth->store->regressed) {
        sim_break(s, "a decision never changes", truth->gid, "branch %u is committed and undone",
                  place);
    }
    if (row->forward == SIM_ROW_DONE && plan->kind == ETX_SAGA) {
        row->applied -= plan->delta;
    }
    row->forward = row->forward == 0 ? SIM_ROW_MARKER : row->forward;
    row->undo = 1;
    return ETX_DONE;
}

etx_reply sim_bank_hear(sim *s, sim_truth *truth, uint32_t place, etx_operation operation) {
    truth->row[place].handled++;
    if (sim_happens(s, SIM_WORKING)) {
        return ETX_WORKING;
    }
    int fails = sim_happens(s, SIM_FAIL);
    if (fails && sim_below(s, SIM_NET, 2) == 0) {
        return ETX_RETRY;
    }
    etx_reply reply = ETX_RETRY;
    int lies = sim_happens(s, SIM_LIE) && !truth->row[place].lied;
    if (lies) {
        s->stats.lies++;
        truth->row[place].lied = 1;
        if (sim_below(s, SIM_NET, 2) == 0) {
            sim_say(s, truth->gid, "branch %u does nothing, and says that it did", place);
            return ETX_DONE;
        }
    }
    switch (operation) {
        case ETX_FORWARD:
            reply = hear_forward(s, truth, place);
            break;
        case ETX_COMMIT:
            reply = hear_commit(s, truth, place);
            break;
        case ETX_UNDO:
            reply = hear_undo(s, truth, place);
            break;
        case ETX_QUERY:
        case ETX_RESUME:
            break;
    }
    if (lies && (reply == ETX_DONE || reply == ETX_REFUSED)) {
        sim_say(s, truth->gid, "branch %u says the contrary of what it did", place);
        return reply == ETX_DONE ? ETX_REFUSED : ETX_DONE;
    }
    return fails ? ETX_RETRY : reply;
}

/* ---- the way there and back */

enum { RESULT_SIZE = 32 };

static size_t result_of(const sim_message *m, char bytes[RESULT_SIZE]) {
    return (size_t)snprintf(bytes, RESULT_SIZE, "result-%u-%u", m->truth->plan->number, m->place);
}

static void complete(sim_node *node, void *what) {
    const sim_message *m = what;
    char bytes[RESULT_SIZE];
    etx_completion completion = ETX_COMPLETION_INIT;
    completion.reply = m->reply;
    if (m->reply == ETX_DONE && m->operation == ETX_FORWARD && m->place % 2 == 0) {
        completion.result = bytes;
        completion.result_len = result_of(m, bytes);
    }
    etx_complete(node->engine, m->token, &completion);
}

static void answer(sim *s, void *what) {
    sim_message *m = what;
    if (m->node->life != m->life || !m->node->up) {
        return;
    }
    if (m->node->paused) {
        sim_at(s, m->node->paused_until_us - s->now_us + sim_about(s, 100), answer, m);
        return;
    }
    sim_say(s, m->truth->gid, "%s hears of branch %u: %s", m->node->name, m->place,
            etx_reply_name(m->reply));
    sim_node_run(m->node, complete, m);
}

static const char *word(const sim_message *m) {
    return etx_operation_name((etx_kind)m->truth->plan->branch[m->place].kind, m->operation);
}

static int is_stuck(const sim_message *m) {
    return m->truth->plan->branch[m->place].stuck && !m->node->world->healing;
}

static void arrive(sim *s, void *what) {
    sim_message *m = what;
    if (is_stuck(m)) {
        sim_say(s, m->truth->gid, "branch %u does not answer", m->place);
        return;
    }
    m->reply = sim_bank_hear(s, m->truth, m->place, m->operation);
    sim_say(s, m->truth->gid, "branch %u: %s: %s", m->place, word(m), etx_reply_name(m->reply));
    if (sim_happens(s, SIM_LOSE)) {
        sim_say(s, m->truth->gid, "... the answer is lost");
        return;
    }
    sim_at(s, sim_about(s, 1000), answer, m);
    if (sim_happens(s, SIM_DOUBLE)) {
        sim_at(s, sim_about(s, 100000), answer, m);
    }
}

static void send(sim *s, const sim_message *m) {
    sim_message *copy = sim_alloc(s, sizeof *copy);
    *copy = *m;
    sim_at(s, sim_happens(s, SIM_LATE) ? sim_about(s, 3000000) : sim_about(s, 1000), arrive, copy);
}

static etx_reply call_later(sim *s, const sim_message *m) {
    if (sim_happens(s, SIM_LOSE)) {
        sim_say(s, m->truth->gid, "... the call is lost");
    } else {
        send(s, m);
    }
    if (sim_happens(s, SIM_DOUBLE)) {
        send(s, m);
    }
    return ETX_LATER;
}

/* Whose call it is, as its payload says. */
static void address(sim_message *m, const char *gid, const void *bytes, size_t len) {
    uint32_t payload[2] = {0, 0};
    sim *s = m->node->world;
    etx_assert(len == sizeof payload);
    memcpy(payload, bytes, len);
    m->truth = sim_truth_of(s, gid, strlen(gid));
    m->truth->plan = &s->plan[payload[0] % SIM_CONFUSED_BY];
    m->life = m->node->life;
    m->place = payload[1];
    s->stats.calls++;
    sim_say(s, gid, "%s calls %s of branch %u (attempt %u)", m->node->name, word(m), m->place,
            m->attempt);
    sim_truth_call(s, m->truth, m->place, m->operation);
}

static etx_reply hear(sim_message *m) {
    sim *s = m->node->world;
    m->reply = sim_bank_hear(s, m->truth, m->place, m->operation);
    sim_say(s, m->truth->gid, "branch %u: %s: %s, at once", m->place, word(m),
            etx_reply_name(m->reply));
    sim_node_may_die(m->node);
    return m->reply;
}

static etx_reply return_from(etx_call *call, const sim_message *m) {
    if (m->reply == ETX_DONE && m->operation == ETX_FORWARD && m->place % 2 == 0) {
        char result[RESULT_SIZE];
        etx_call_result(call, result, result_of(m, result));
    }
    return m->reply;
}

static etx_reply on_call(etx_call *call, void *user) {
    sim_node *node = user;
    size_t len = 0;
    sim_message m = {.node = node};
    m.operation = etx_call_operation(call);
    m.attempt = etx_call_attempt(call);
    if (node->returning != NULL) {
        m = *node->returning;
    } else {
        const void *bytes = etx_call_payload(call, &len);
        address(&m, etx_call_gid(call), bytes, len);
    }
    m.token = etx_call_token(call);
    sim_truth_given(node->world, m.truth, m.place, call);
    sim_node_may_die(node);
    if (m.truth->plan->branch[m.place].nests) {
        return sim_nest_call(node, m.truth, m.place, call);
    }
    if (node->returning != NULL) {
        return m.reply == ETX_LATER ? call_later(node->world, &m) : return_from(call, &m);
    }
    if (sim_below(node->world, SIM_NET, 4) > 0) {
        return call_later(node->world, &m);
    }
    if (is_stuck(&m)) {
        return ETX_LATER;
    }
    hear(&m);
    return return_from(call, &m);
}

/* ---- the same, by a worker */

void sim_bank_called(sim_node *node, const etx__due *due, sim_message *ret) {
    const etx__branch *branch = due->call.branch;
    ret->node = node;
    ret->operation = (etx_operation)due->call.operation;
    ret->attempt = due->call.attempt;
    address(ret, due->call.gid, branch->s.payload, branch->s.payload_len);
}

static void hear_now(sim_node *node, void *what) {
    (void)node;
    hear(what);
}

int sim_bank_begin(sim_message *m) {
    sim *s = m->node->world;
    m->reply = ETX_LATER; /* to be sent when the callback returns */
    if (m->truth->plan->branch[m->place].nests || sim_below(s, SIM_NET, 4) == 0) {
        return 0;
    }
    m->reply = ETX_RETRY;
    if (is_stuck(m)) {
        return 1;
    }
    sim_node_run(m->node, hear_now, m);
    return 0;
}

static etx_reply on_query(etx_call *call, void *user) {
    sim_node *node = user;
    return sim_client_query(node->world, etx_call_gid(call));
}

static etx_reply on_resume(etx_call *call, void *user) {
    sim_node *node = user;
    sim_client_resume(node, etx_call_gid(call), etx_call_run(call));
    return ETX_DONE;
}

void sim_bank_register(sim_node *node) {
    sim *s = node->world;
    int blocks = s->chance[SIM_HANG] > 0 && sim_below(s, SIM_NET, 2) == 0;
    for (uint8_t kind = ETX_TCC; kind <= ETX_NOTIFICATION; kind++) {
        etx_participant bank = ETX_PARTICIPANT_INIT;
        bank.name = names[kind];
        bank.kind = (etx_kind)kind;
        bank.forward = kind == ETX_MESSAGE || kind == ETX_NOTIFICATION ? NULL : on_call;
        bank.commit = kind == ETX_SAGA ? NULL : on_call;
        bank.undo = bank.forward;
        bank.user = node;
        bank.flags = blocks ? 0 : ETX_INLINE;
        int rc = etx_engine_register(node->engine, &bank);
        etx_assert(rc == 0 || rc == ETX_ECLOSED);
    }
    etx_participant initiator = ETX_PARTICIPANT_INIT;
    initiator.name = "initiator";
    initiator.kind = ETX_MESSAGE;
    initiator.query = on_query;
    initiator.resume = on_resume;
    initiator.user = node;
    initiator.flags = ETX_INLINE;
    int rc = etx_engine_register(node->engine, &initiator);
    etx_assert(rc == 0 || rc == ETX_ECLOSED);
}
