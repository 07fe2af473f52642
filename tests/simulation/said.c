/* What BEGIN and ENLIST said of a transaction, field by field, and whether a MOVE, which replaces
 * them, says the same; and what a node tells its monitor. */
#include <string.h>

#include "sim.h"

static uint64_t mix(uint64_t sum, uint64_t number) {
    return (sum ^ number) * 0x9e3779b97f4a7c15u + (sum >> 29);
}

static uint64_t mix_bytes(uint64_t sum, etx_bytes bytes) {
    const uint8_t *data = bytes.data;
    sum = mix(sum, bytes.len);
    for (size_t i = 0; i < bytes.len; i++) {
        sum = (sum ^ data[i]) * 0x100000001b3u;
    }
    return sum;
}

static uint64_t sum_branch(const etx_record_branch *branch) {
    uint64_t sum = mix_bytes(mix_bytes(1, branch->name), branch->participant);
    sum = mix_bytes(sum, branch->payload);
    for (uint16_t i = 0; i < branch->depends_on_count; i++) {
        sum = mix(sum, branch->depends_on[i] + 1u);
    }
    sum = mix(mix(sum, branch->kind), branch->flags);
    sum = mix(mix(sum, branch->attempts_max), branch->call_timeout_ms);
    return mix(mix(sum, branch->retry_first_ms), branch->retry_cap_ms);
}

/* Without the deadline, which goes when a child is held. */
static uint64_t sum_begin(const etx_record_begin *begin) {
    uint64_t sum = mix(mix(1, begin->time_ms), begin->digest);
    sum = mix(mix(sum, begin->mode), begin->marks & ETX_MARK_CHOSEN);
    sum = mix_bytes(mix(sum, begin->durability), begin->initiator);
    return mix(mix_bytes(sum, begin->initiator_payload), begin->resume_ms);
}

void sim_said_begin(sim_truth *truth, const etx_record_begin *begin) {
    truth->said = sum_begin(begin);
    truth->deadline_ms = begin->deadline_ms;
    for (uint32_t i = 0; i < begin->branch_count && i < SIM_BRANCHES; i++) {
        truth->said_branch[i] = sum_branch(&begin->branches[i]);
        truth->said_digest[i] = 0;
    }
}

void sim_said_enlist(sim_truth *truth, const etx_record_enlist *enlist) {
    if (truth->branches < SIM_BRANCHES) {
        truth->said_branch[truth->branches] = sum_branch(&enlist->branch);
        truth->said_digest[truth->branches] = enlist->digest;
    }
}

static const char *wrong_branch(const sim_truth *truth, const etx_record_move *move, uint32_t i) {
    const etx_record_progress *progress = &move->progress[i];
    if (sum_branch(&move->begin.branches[i]) != truth->said_branch[i]) {
        return "another branch";
    }
    if (progress->digest != truth->said_digest[i]) {
        return "another digest of a branch";
    }
    if (truth->result[i] != 0 && progress->forward == 0) {
        return "no result of a branch that has one";
    }
    return truth->result[i] == 2 && progress->result.len == 0 ? "no bytes of a result" : NULL;
}

void sim_said_move(sim *s, const sim_truth *truth, const etx_record_move *move) {
    const char *wrong = NULL;
    if (move->ended_ms != 0 || !truth->begun) {
        return;
    }
    if (sum_begin(&move->begin) != truth->said) {
        wrong = "another beginning";
    } else if (!truth->held && move->begin.deadline_ms != truth->deadline_ms) {
        wrong = "another deadline";
    }
    for (uint32_t i = 0; wrong == NULL && i < truth->branches && i < SIM_BRANCHES; i++) {
        wrong = wrong_branch(truth, move, i);
    }
    if (wrong != NULL) {
        sim_break(s, "a MOVE says what was said", truth->gid, "it says %s", wrong);
    }
}

/* Events of a transaction are told when what they say is durable. */
void sim_said_event(sim *s, const etx_event *event) {
    const sim_truth *truth = sim_truth_find(s, event->gid, strlen(event->gid));
    int must = event->type == ETX_EVENT_BEGUN     ? 1
               : event->type == ETX_EVENT_DECIDED ? 2
               : event->type == ETX_EVENT_ENDED   ? 3
                                                  : 0;
    if (must == 0 || (truth != NULL && truth->store != NULL && truth->store->regressed)) {
        return;
    }
    int commit = event->state == ETX_COMMITTING || event->state == ETX_COMMITTED;
    if (truth == NULL || (must == 1 && !truth->begun) || (must == 3 && !truth->ended)) {
        sim_break(s, "what is told has happened", event->gid, "'%s' of what no log says",
                  etx_event_name(event->type));
    }
    if (must > 1 && truth->decided != (commit ? 2 : 1)) {
        sim_break(s, "what is told has happened", event->gid, "'%s' with %s, and the log says %s",
                  etx_event_name(event->type), etx_state_name(event->state),
                  truth->decided == 0 ? "nothing" : "the contrary");
    }
}
