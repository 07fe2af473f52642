/* What is true: read from the logs as it becomes durable, and held against what nodes do and say.
 * Each promise has one place here. */
#include <string.h>

#include "nest.h"
#include "sim.h"

sim_truth *sim_truth_find(sim *s, const char *gid, size_t len) {
    for (sim_truth *truth = s->truth_bucket[etx__core_hash((etx_bytes){gid, len}) % SIM_BUCKETS];
         truth != NULL; truth = truth->chained) {
        if (strncmp(truth->gid, gid, len) == 0 && truth->gid[len] == 0) {
            return truth;
        }
    }
    return NULL;
}

sim_truth *sim_truth_of(sim *s, const char *gid, size_t len) {
    sim_truth *truth = sim_truth_find(s, gid, len);
    if (truth == NULL) {
        sim_truth **bucket = &s->truth_bucket[etx__core_hash((etx_bytes){gid, len}) % SIM_BUCKETS];
        truth = sim_alloc(s, sizeof *truth);
        memcpy(truth->gid, gid, len);
        truth->chained = *bucket;
        *bucket = truth;
        truth->next = s->truths;
        s->truths = truth;
    }
    return truth;
}

static int is_void(const sim_truth *truth) {
    return truth->store != NULL && truth->store->regressed;
}

/* ---- what becomes durable */

static void begun(sim *s, sim_truth *truth, sim_store *store, uint32_t partition, uint64_t slot) {
    if (truth->begun && !is_void(truth) && !store->regressed) {
        if (truth->store != store || truth->partition != partition) {
            sim_break(s, "a gid belongs to one home", truth->gid, "begun in store %u and %u",
                      truth->store->place, store->place);
        }
        sim_break(s, "a repeat starts nothing", truth->gid, "begun twice in one log");
    }
    if (truth->never_begun && !is_void(truth)) {
        sim_break(s, "a repeat starts nothing", truth->gid, "begun after its abort was recorded");
    }
    truth->begun = 1;
    truth->store = store;
    truth->partition = partition;
    truth->full_slot = slot;
    s->stats.transactions++;
}

static void decided(sim *s, sim_truth *truth, const etx_record_decide *decide) {
    uint8_t how = (uint8_t)(1 + decide->commit);
    if (decide->marks & ETX_MARK_NEVER_BEGUN) {
        truth->never_begun = 1;
    }
    if (truth->decided != 0 && truth->decided != how && !is_void(truth)) {
        sim_break(s, "a decision never changes", truth->gid, "the log decides both");
    }
    s->stats.committed += truth->decided == 0 && decide->commit;
    s->stats.aborted += truth->decided == 0 && !decide->commit;
    truth->decided = how;
    truth->forced |= (decide->marks & ETX_MARK_FORCED) != 0;
    s->stats.forced += (decide->marks & ETX_MARK_FORCED) != 0;
}

static void moved(sim *s, sim_truth *truth, const etx_record_move *move, uint64_t slot) {
    int how = move->state == ETX_COMMITTING || move->state == ETX_COMMITTED ? 2
              : move->state == ETX_ABORTING || move->state == ETX_ABORTED   ? 1
                                                                            : 0;
    truth->full_slot = slot;
    s->stats.moves++;
    if (is_void(truth)) {
        return;
    }
    if (how != truth->decided) {
        sim_break(s, "a decision never changes", truth->gid, "a MOVE says another decision");
    }
    if ((move->ended_ms != 0) != (truth->ended != 0)) {
        sim_break(s, "nothing unended is forgotten", truth->gid, "a MOVE says another end");
    }
    if (move->ended_ms == 0 && move->begin.branch_count != truth->branches) {
        sim_break(s, "nothing unended is forgotten", truth->gid, "a MOVE has %u of %u branches",
                  move->begin.branch_count, truth->branches);
    }
    sim_said_move(s, truth, move);
}

static void forced(sim_truth *truth, const etx_record_force *force) {
    if (force->action != ETX_FORCE_SETTLE) {
        truth->parked = force->action == ETX_FORCE_PARK;
    }
    if (force->action == ETX_FORCE_SETTLE && force->branch < SIM_BRANCHES) {
        truth->row[force->branch].settled = 1;
        truth->forced = 1;
    }
}

static uint8_t is_confused(const etx_record_begin *begin) {
    uint32_t plan = 0;
    if (begin->branch_count == 0 || begin->branches[0].payload.len < sizeof plan) {
        return 0;
    }
    memcpy(&plan, begin->branches[0].payload.data, sizeof plan);
    return plan >= SIM_CONFUSED_BY;
}

static void note(sim *s,
                 sim_store *store,
                 uint32_t partition,
                 uint64_t slot,
                 const etx_record *record) {
    if (record->type == ETX_RECORD_OWN || record->type == ETX_RECORD_LOSS) {
        return;
    }
    sim_truth *truth = sim_truth_of(s, record->gid.data, record->gid.len);
    truth->store = truth->store != NULL ? truth->store : store;
    sim_say(s, truth->gid, "in store %u/%u, slot %llu: %s", store->place, partition,
            (unsigned long long)slot, etx_record_name(record->type));
    switch ((etx_record_type)record->type) {
        case ETX_RECORD_OWN:
        case ETX_RECORD_LOSS:
            break;
        case ETX_RECORD_BEGIN:
            begun(s, truth, store, partition, slot);
            truth->branches = record->u.begin.branch_count;
            sim_said_begin(truth, &record->u.begin);
            truth->confused = is_confused(&record->u.begin);
            break;
        case ETX_RECORD_ENLIST:
            sim_said_enlist(truth, &record->u.enlist);
            truth->branches++;
            break;
        case ETX_RECORD_HELD:
            truth->held = 1;
            break;
        case ETX_RECORD_RESULT:
            if (record->u.result.operation == ETX_FORWARD &&
                record->u.result.branch < SIM_BRANCHES) {
                truth->result[record->u.result.branch] =
                    (uint8_t)(record->u.result.bytes.len > 0 ? 2 : 1);
            }
            break;
        case ETX_RECORD_DECIDE:
            decided(s, truth, &record->u.decide);
            break;
        case ETX_RECORD_FORCE:
            forced(truth, &record->u.force);
            break;
        case ETX_RECORD_MOVE:
            moved(s, truth, &record->u.move, slot);
            break;
        case ETX_RECORD_END:
            truth->ended = 1;
            if (truth->decided == 0 && !is_void(truth)) {
                sim_break(s, "nothing ends undecided", truth->gid, "END without DECIDE");
            }
            break;
    }
}

void sim_truth_durable(sim *s, sim_store *store, uint32_t partition, uint64_t slot) {
    const sim_slot *of = &store->shelf[partition].slot[slot];
    size_t at = 1;
    while (at < of->len) {
        etx_record record;
        size_t used = 0;
        int rc = etx_codec_binary()->decode((etx_bytes){of->bytes + at, of->len - at}, &s->room,
                                            &record, &used);
        if (rc == ETX_EBUSY && etx_record_room_grow(&s->room) == 0) {
            continue;
        }
        if (rc != 0) {
            sim_break(s, "what is written can be read", NULL, "store %u, slot %llu: %s",
                      store->place, (unsigned long long)slot, etx_error_name(rc));
        }
        note(s, store, partition, slot, &record);
        at += used;
    }
}

/* ---- what nodes do */

/* What the banks answer with, and what a branch that wants it must be given. */
static int must_be_given(const sim_plan *plan, uint32_t to, uint32_t of) {
    const sim_plan_branch *before = &plan->branch[of];
    return plan->branch[to].wants && (plan->branch[to].depends_on & (1u << of)) && of % 2 == 0 &&
           !before->nests && before->kind != ETX_MESSAGE && before->kind != ETX_NOTIFICATION &&
           !before->by_initiator;
}

static void check_results(sim *s, const sim_truth *truth, uint32_t place, const etx_call *call) {
    const sim_plan *plan = truth->plan;
    int forward = etx_call_operation(call) == ETX_FORWARD;
    for (uint32_t i = 0; i < plan->branches; i++) {
        char name[16];
        size_t len = 0;
        snprintf(name, sizeof name, "b%u", i);
        const void *bytes = etx_call_result_of(call, name, &len);
        if (bytes != NULL && len > 0 && truth->result[i] != 2) {
            sim_break(s, "a result handed on is durable", truth->gid,
                      "branch %u is given the result of %u", place, i);
        }
        if (forward && len == 0 && must_be_given(plan, place, i) && !truth->row[i].settled) {
            sim_break(s, "a result is handed on", truth->gid,
                      "branch %u is not given the result of %u", place, i);
        }
    }
}

/* Forward after all that it depends on, back before any of it. Who lied or forgot is left out. */
static void check_order(sim *s, const sim_truth *truth, uint32_t place, etx_operation operation) {
    const sim_plan *plan = truth->plan;
    for (uint32_t i = 0; i < plan->branches; i++) {
        const sim_plan_branch *other = &plan->branch[i];
        const sim_row *row = &truth->row[i];
        int vague = row->lied || row->settled || other->nests || other->forgets;
        int has_forward = other->kind != ETX_MESSAGE && other->kind != ETX_NOTIFICATION;
        if (operation == ETX_FORWARD && (plan->branch[place].depends_on & (1u << i)) && !vague &&
            has_forward && row->forward != SIM_ROW_DONE && truth->decided == 0) {
            sim_break(s, "the order that was asked for", truth->gid,
                      "branch %u is called before %u is done", place, i);
        }
        if (operation == ETX_UNDO && (other->depends_on & (1u << place)) && !vague && has_forward &&
            row->forward == SIM_ROW_DONE && !row->undo) {
            sim_break(s, "the order that was asked for", truth->gid,
                      "branch %u is undone before %u", place, i);
        }
    }
}

void sim_truth_call(sim *s, sim_truth *truth, uint32_t place, etx_operation operation) {
    sim_row *row = &truth->row[place];
    if (is_void(truth)) {
        return;
    }
    if (!truth->begun || place >= truth->branches) {
        sim_break(s, "no call before its record is durable", truth->gid,
                  "branch %u is called, and its BEGIN or ENLIST is not in the log", place);
    }
    uint8_t must = operation == ETX_COMMIT ? 2 : 1;
    if (operation != ETX_FORWARD && truth->decided != must) {
        sim_break(s, "no call before its record is durable", truth->gid,
                  "branch %u is called before the decision is in the log", place);
    }
    check_order(s, truth, place, operation);
    row->calls |= (uint8_t)(1u << operation);
    if ((row->calls & (1u << ETX_COMMIT)) && (row->calls & (1u << ETX_UNDO))) {
        sim_break(s, "a decision never changes", truth->gid, "branch %u: commit and undo", place);
    }
}

void sim_truth_given(sim *s, const sim_truth *truth, uint32_t place, const etx_call *call) {
    if (!is_void(truth)) {
        check_results(s, truth, place, call);
    }
}

/* ---- what clients are told */

static uint8_t told_of(etx_state state) {
    switch (state) {
        case ETX_COMMITTING:
        case ETX_COMMITTED:
            return 2;
        case ETX_ABORTING:
        case ETX_ABORTED:
            return 1;
        case ETX_NONE:
        case ETX_ACTIVE:
            return 0;
    }
    return 0;
}

int sim_truth_known(sim *s, const char *gid) {
    const sim_truth *truth = gid[0] != 0 ? sim_truth_find(s, gid, strlen(gid)) : NULL;
    return truth != NULL && truth->begun && !truth->ended;
}

void sim_truth_told(sim *s, int rc, const etx_outcome *outcome, int known) {
    size_t len = strlen(outcome->gid);
    sim_truth *truth = len > 0 ? sim_truth_find(s, outcome->gid, len) : NULL;
    if (truth != NULL && is_void(truth)) {
        return;
    }
    if (rc == ETX_ENOTFOUND && known && truth != NULL && !truth->ended) {
        sim_break(s, "an honest answer", outcome->gid, "'not found' of a transaction that lives");
    }
    uint8_t told = told_of(outcome->state); /* with an error, too: what is durable */
    int of_one = rc == 0 || outcome->state != ETX_NONE;
    if (of_one && (truth == NULL || (!truth->begun && !truth->never_begun))) {
        sim_break(s, "an honest answer", outcome->gid, "told %s of what is in no log",
                  etx_state_name(outcome->state));
    }
    if (told == 0) {
        return;
    }
    if (truth->decided != told) {
        sim_break(s, "an honest answer", outcome->gid, "told %s, and the log says %s",
                  etx_state_name(outcome->state),
                  truth->decided == 0   ? "nothing"
                  : truth->decided == 2 ? "commit"
                                        : "abort");
    }
    truth->told |= told;
}

/* ---- what is trimmed */

void sim_truth_trim(sim *s, sim_store *store, uint32_t partition, uint64_t below) {
    for (sim_truth *truth = s->truths; truth != NULL; truth = truth->next) {
        if (truth->begun && !truth->ended && truth->store == store &&
            truth->partition == partition && truth->full_slot < below && !is_void(truth)) {
            sim_break(s, "nothing unended is forgotten", truth->gid,
                      "slot %llu is trimmed, and all that is known stands before it",
                      (unsigned long long)truth->full_slot);
        }
    }
}

/* ---- the end */

static int32_t wanted_of(const sim_truth *truth, uint32_t place) {
    return truth->plan != NULL && truth->decided == 2 ? truth->plan->branch[place].delta : 0;
}

static void audit_branch(sim *s, const sim_truth *truth, uint32_t place) {
    const sim_plan_branch *plan = &truth->plan->branch[place];
    const sim_row *row = &truth->row[place];
    int commits = truth->decided == 2;
    int32_t wanted = wanted_of(truth, place);
    int tolerated = plan->kind == ETX_NOTIFICATION;
    if (row->settled || row->lied || tolerated) {
        return;
    }
    if (row->applied != wanted) {
        sim_break(s, "all branches agree", truth->gid, "branch %u: %d instead of %d after %s",
                  place, row->applied, wanted, commits ? "commit" : "abort");
    }
    if (commits && plan->kind == ETX_MESSAGE && !row->commit) {
        sim_break(s, "all branches agree", truth->gid, "message %u was never delivered", place);
    }
    if (!commits && row->forward == SIM_ROW_DONE && !row->undo) {
        sim_break(s, "all branches agree", truth->gid, "branch %u was never undone", place);
    }
}

static void audit_one(sim *s, const sim_truth *truth) {
    if (is_void(truth) || truth->never_begun) {
        return;
    }
    if (!truth->begun) {
        return; /* a client heard of it, and no log does */
    }
    if (!truth->ended) {
        sim_break(s, "it ends", truth->gid, "unfinished at the end");
    }
    for (uint32_t i = 0; truth->plan != NULL && i < truth->branches && i < SIM_BRANCHES; i++) {
        audit_branch(s, truth, i);
        if (truth->plan->branch[i].nests) {
            sim_nest_audit(s, truth, i);
        }
    }
}

void sim_truth_audit(sim *s) {
    int64_t sum = 0;
    for (const sim_truth *truth = s->truths; truth != NULL; truth = truth->next) {
        audit_one(s, truth);
        int exact = !is_void(truth) && !truth->forced;
        for (uint32_t i = 0; exact && i < SIM_BRANCHES; i++) {
            sum += truth->row[i].lied ? wanted_of(truth, i) : truth->row[i].applied;
        }
    }
    for (uint32_t i = 0; i < s->plans; i++) {
        const sim_plan *plan = &s->plan[i];
        uint32_t committed = 0;
        for (const sim_truth *truth = s->truths; truth != NULL; truth = truth->next) {
            committed += truth->plan == plan && truth->decided == 2 && !is_void(truth);
        }
        if (committed > 1) {
            sim_break(s, "a repeat starts nothing", plan->gid, "order %u took effect %u times", i,
                      committed);
        }
    }
    if (sum != 0) {
        sim_break(s, "money is conserved", NULL, "%lld too much", (long long)sum);
    }
}
