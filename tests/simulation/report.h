/* What `etx sim` prints of the seeds that it ran. */
#ifndef SIMULATION_REPORT_H
#define SIMULATION_REPORT_H

#include "run.h"

/* What it exits with: a run without seeds shows nothing. */
int report_code(const run_total *total);
void report_total(const run_total *total);
/* Of a run that a signal ended: where to go on. */
void report_stop(const run_total *total, uint64_t last);
/* The seed, what is left when all that it does not need is left out, and how to see it again. */
void report_failure(const run_result *failure, const sim_options *options);
void report_json(const run_total *total, const sim_options *options);
void report_one_json(const run_result *result);

#endif
