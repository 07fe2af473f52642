/* What is true, and what is held against it: truth.c, said.c, refold.c. Part of sim.h. */
#ifndef SIMULATION_TRUTH_H
#define SIMULATION_TRUTH_H

#include "plan.h"

/* ---- truth.c */
sim_truth *sim_truth_of(sim *s, const char *gid, size_t len);
sim_truth *sim_truth_find(sim *s, const char *gid, size_t len); /* or NULL */
/* A slot counts as durable from now on. */
void sim_truth_durable(sim *s, sim_store *store, uint32_t partition, uint64_t slot);
void sim_truth_call(sim *s, sim_truth *truth, uint32_t place, etx_operation operation);
/* ... and which results it hands on. */
void sim_truth_given(sim *s, const sim_truth *truth, uint32_t place, const etx_call *call);
int sim_truth_known(sim *s, const char *gid); /* is it in a log, and unfinished? */
/* What somebody was told; `known`: when he asked, it was in a log. */
void sim_truth_told(sim *s, int rc, const etx_outcome *outcome, int known);
void sim_truth_trim(sim *s, sim_store *store, uint32_t partition, uint64_t below);
/* At the end. */
void sim_truth_audit(sim *s);

/* ---- said.c */
void sim_said_begin(sim_truth *truth, const etx_record_begin *begin);
void sim_said_enlist(sim_truth *truth, const etx_record_enlist *enlist);
void sim_said_move(sim *s, const sim_truth *truth, const etx_record_move *move);
void sim_said_event(sim *s, const etx_event *event);

/* ---- refold.c: is what the node has in memory what its logs say? */
void sim_refold_check(sim *s, sim_node *node);

#endif
