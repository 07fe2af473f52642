/* Branches that are transactions themselves. */
#ifndef SIM_NEST_H
#define SIM_NEST_H

#include "sim.h"

/* What the child of each nesting branch of this one is. */
sim_plan *sim_nest_plan(sim *s, const sim_plan *parent);
etx_reply sim_nest_call(sim_node *node, sim_truth *parent, uint32_t place, const etx_call *call);
/* Can the participant of this branch never do what it is asked to, because its child has been
 * forced to the other end than its parent's, or was lost with its store? */
int sim_nest_hopeless(sim *s, const sim_truth *parent, uint32_t place);
/* Will nobody end this child, because its parent is in a store that has regressed, or because its
 * branch there has been declared done by hand? Then *ret_commit says how it should end. */
int sim_nest_orphaned(sim *s, const sim_truth *child, int *ret_commit);
/* Whose branch this child is, or NULL. */
const sim_truth *sim_nest_parent(sim *s, const sim_truth *child);
void sim_nest_audit(sim *s, const sim_truth *parent, uint32_t place);

#endif
