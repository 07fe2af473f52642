/* Branches that are transactions themselves. */
#ifndef SIM_NEST_H
#define SIM_NEST_H

#include "sim.h"

/* What the child of each nesting branch of this one is. */
sim_plan *sim_nest_plan(sim *s, const sim_plan *parent);
etx_reply sim_nest_call(sim_node *node, sim_truth *parent, uint32_t place, const etx_call *call);
/* Has an operator forced the child of this branch to the other end than its parent's? */
int sim_nest_crossed(sim *s, const sim_truth *parent, uint32_t place);
/* Is its parent in a store that has regressed, where nothing is decided any more? */
int sim_nest_orphaned(sim *s, const sim_truth *child);
void sim_nest_audit(sim *s, const sim_truth *parent, uint32_t place);

#endif
