/* What a seed draws: which faults there are, how often; how many nodes, stores, transactions, and
 * what each transaction is. */
#include <string.h>

#include "nest.h"
#include "sim.h"

static uint32_t draw(sim *s, uint32_t bound) {
    return sim_below(s, SIM_LOAD, bound);
}

/* A third of all faults is absent, a third rare, a third as frequent as it may be. What came to be
 * after the first seeds had been told of draws from its own stream, so that they stay what they
 * were. */
static void draw_faults(sim *s) {
    static const uint16_t most[] = {
#define X(name, text, most) most,
        SIM_FAULT_MAP(X)
#undef X
    };
    for (int i = 0; i < SIM_FAULTS; i++) {
        sim_stream from = i == SIM_ORDER ? SIM_ORDERS : SIM_LOAD;
        uint32_t how = sim_below(s, from, 3);
        uint32_t chance = how == 0   ? 0
                          : how == 1 ? 1u + most[i] / 8u
                                     : 1 + sim_below(s, from, most[i]);
        s->chance[i] = s->options.without & (1ull << i) ? 0 : chance;
    }
}

static void draw_stores(sim *s) {
    static const uint8_t locals[] = {SIM_NO_LOCALS, SIM_NO_LOCALS, SIM_LOCALS_BEHIND,
                                     SIM_LOCALS_BEHIND, SIM_LOCAL_ONLY};
    s->locals = locals[draw(s, 5)];
    s->stores = s->locals == SIM_LOCAL_ONLY ? 0 : 1 + draw(s, SIM_STORES);
    s->partitions = 1 + draw(s, SIM_PARTITIONS);
    uint8_t leased = draw(s, 2) == 0;
    for (uint32_t i = 0; i < s->stores; i++) {
        sim_store *store = &s->store[i];
        store->world = s;
        store->place = i;
        snprintf(store->id, sizeof store->id, "s%06u", 100000 + i);
        store->batch_max = 2048u << draw(s, 4);
        store->slack = draw(s, 3) == 0 ? 0 : 128u << draw(s, 6);
        store->grade = draw(s, 2) == 0 ? ETX_LOCAL : ETX_REPLICATED;
        store->leased = leased;
    }
    s->leased = leased && s->stores > 0;
}

static void draw_nodes(sim *s) {
    for (uint32_t i = 0; i < SIM_NODES; i++) {
        s->store[SIM_STORES + i].slack = draw(s, 3) == 0 ? 0 : 128u << draw(s, 6);
    }
    s->nodes = s->locals == SIM_LOCAL_ONLY ? 1 : 1 + draw(s, SIM_NODES);
    if (s->options.nodes > 0 && s->options.nodes < s->nodes) {
        s->nodes = s->options.nodes;
    }
    for (uint32_t i = 0; i < SIM_NODES; i++) {
        sim_node *node = &s->node[i];
        node->world = s;
        node->place = i;
        snprintf(node->name, sizeof node->name, "node%u", i);
        for (int t = 0; t < SIM_THREADS; t++) {
            node->thread[t].node = node;
        }
    }
}

static uint8_t draw_kind(sim *s, const sim_plan *plan, uint8_t usual) {
    static const uint8_t interactive[] = {ETX_TCC, ETX_XA, ETX_MESSAGE};
    if (plan->mode == ETX_RESUMED) {
        return draw(s, 2) == 0 ? ETX_TCC : ETX_SAGA;
    }
    uint8_t mixed = (uint8_t)(ETX_TCC + draw(s, 5));
    if (plan->mode == ETX_INTERACTIVE) {
        return draw(s, 4) == 0 ? mixed : interactive[draw(s, 3)];
    }
    return draw(s, 4) == 0 ? mixed : usual;
}

static int moves_money(uint8_t kind) {
    return kind == ETX_TCC || kind == ETX_SAGA || kind == ETX_XA;
}

static void draw_branch(sim *s, sim_plan *plan, uint32_t place, uint8_t usual) {
    sim_plan_branch *branch = &plan->branch[place];
    branch->kind = draw_kind(s, plan, usual);
    branch->refuses = moves_money(branch->kind) && sim_happens(s, SIM_REFUSE) && draw(s, 3) == 0;
    branch->forgets = branch->refuses && draw(s, 3) == 0;
    branch->nests = plan->mode == ETX_SUBMITTED && plan->chosen && branch->kind == ETX_TCC &&
                    sim_happens(s, SIM_NEST);
    branch->refuses &= (uint8_t)!branch->nests;
    branch->stuck = (uint8_t)sim_happens(s, SIM_STUCK);
    branch->by_initiator =
        plan->mode == ETX_RESUMED || (plan->mode == ETX_INTERACTIVE && draw(s, 2) == 0 &&
                                      (branch->kind == ETX_TCC || branch->kind == ETX_XA));
}

/* Chains, joins and diamonds: each depends on any of those before it in an order that may be that
 * of the places, or the reverse. */
static void draw_order(sim *s, sim_plan *plan) {
    int reversed = draw(s, 3) == 0;
    uint32_t joins = draw(s, 3) == 0;
    for (uint32_t i = 0; reversed && i < plan->branches; i++) {
        plan->branch[i].alone = 1;
    }
    for (uint32_t i = 1; plan->mode == ETX_SUBMITTED && i < plan->branches; i++) {
        uint32_t place = reversed ? plan->branches - 1 - i : i;
        uint32_t before = 0;
        if (joins || draw(s, 3) == 0) {
            before = joins ? draw(s, 1u << i) : 1u << draw(s, i);
        }
        before = reversed ? before << (place + 1) : before;
        plan->branch[place].depends_on = (uint8_t)before;
        plan->branch[place].wants = before != 0 && draw(s, 2) == 0;
    }
}

/* What a nested one is itself: some branches, of the kinds that an initiator may enlist. */
static void draw_child(sim *s, sim_plan *child) {
    static const uint8_t kinds[] = {ETX_TCC, ETX_TCC, ETX_XA, ETX_MESSAGE};
    child->branches = 1 + draw(s, 3);
    for (uint32_t i = 0; i < child->branches; i++) {
        sim_plan_branch *branch = &child->branch[i];
        branch->kind = kinds[draw(s, 4)];
        branch->refuses =
            moves_money(branch->kind) && sim_happens(s, SIM_REFUSE) && draw(s, 4) == 0;
    }
}

/* The sum of what is moved is nothing. */
static void draw_money(sim *s, sim_plan *plan) {
    int32_t sum = 0;
    sim_plan_branch *last = NULL;
    for (uint32_t i = 0; i < plan->branches; i++) {
        sim_plan_branch *branch = &plan->branch[i];
        if (moves_money(branch->kind) && !branch->nests) {
            branch->delta = (int32_t)draw(s, 100) - 50;
            sum += branch->delta;
            last = branch;
        }
    }
    if (last != NULL) {
        last->delta -= sum;
    }
}

static void draw_plan(sim *s, uint32_t number) {
    sim_plan *plan = &s->plan[number];
    uint8_t usual = (uint8_t)(ETX_TCC + draw(s, 5));
    uint32_t how = draw(s, 10);
    plan->world = s;
    plan->number = number;
    plan->mode = how < 6 ? ETX_SUBMITTED : how < 9 ? ETX_INTERACTIVE : ETX_RESUMED;
    plan->mode = s->forgets && plan->mode == ETX_RESUMED ? ETX_SUBMITTED : plan->mode;
    plan->chosen = !s->forgets && (plan->mode == ETX_RESUMED || draw(s, 2) == 0);
    plan->aborts = plan->mode == ETX_INTERACTIVE && draw(s, 4) == 0;
    plan->silent = plan->mode != ETX_SUBMITTED && sim_happens(s, SIM_SILENT);
    plan->deadline = plan->mode == ETX_SUBMITTED && draw(s, 4) == 0;
    plan->branches = 1 + draw(s, SIM_BRANCHES);
    for (uint32_t i = 0; i < plan->branches; i++) {
        draw_branch(s, plan, i, usual);
    }
    draw_order(s, plan);
    draw_money(s, plan);
    plan->durability = draw(s, 4) == 0 ? ETX_REPLICATED : ETX_DURABILITY_DEFAULT;
    sim_plan *child = sim_nest_plan(s, plan);
    child->world = s;
    child->number = SIM_PLANS + number;
    draw_child(s, child);
    draw_money(s, child);
    if (plan->chosen) {
        const char *home = s->store[draw(s, SIM_STORES) % (s->stores > 0 ? s->stores : 1)].id;
        int named = s->stores > 0 && draw(s, 6) == 0;
        snprintf(plan->gid, sizeof plan->gid, "%s%s%sorder-%u", named ? "@" : "", named ? home : "",
                 named ? ":" : "", number);
    }
}

void sim_draw(sim *s) {
    draw_faults(s);
    draw_stores(s);
    draw_nodes(s);
    s->forgets = draw(s, 3) == 0;
    s->restarts = draw(s, 4) == 0;
    s->plans = 4 + draw(s, SIM_PLANS - 3);
    for (uint32_t i = 0; i < s->plans; i++) {
        draw_plan(s, i);
    }
    if (s->options.plans > 0 && s->options.plans < s->plans) {
        s->plans = s->options.plans;
    }
    for (uint32_t i = 0; i < s->plans; i++) {
        s->plan[i].over = s->options.absent[i];
    }
    sim_say(s, NULL, "seed %llu: %u nodes, %u stores of %u partitions, %u transactions",
            (unsigned long long)s->options.seed, s->nodes, s->stores, s->partitions, s->plans);
}
