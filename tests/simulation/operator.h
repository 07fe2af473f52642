/* Operators, who see to transactions, to partitions and to nodes. */
#ifndef SIMULATION_OPERATOR_H
#define SIMULATION_OPERATOR_H

#include "sim.h"

/* Somebody parks a transaction, resumes it, forces it, or has it tried again. */
void sim_operator_act(sim *s);
/* Somebody moves a partition, or drains a node for a while. */
void sim_operator_order(sim *s);
/* No node is drained any more. */
void sim_operator_undrain(sim *s);
/* What an operator parked goes on; what he forced apart he settles. */
void sim_operator_resume(sim *s);

#endif
