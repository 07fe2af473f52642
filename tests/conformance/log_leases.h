/* What a shared store says of nodes and leases, judged for every adapter that has them. */
#ifndef ETX_TESTS_CONFORMANCE_LOG_LEASES_H
#define ETX_TESTS_CONFORMANCE_LOG_LEASES_H

#include "log_subject.h"

/* In the order of names, of one moment; who is not heard of is gone, and who leaves at once. The
 * subject is a new log with three partitions, as below. */
void nodes_check(const log_subject *subject);
/* Where a node with homes of its own was is told when it is gone. */
void gone_check(const log_subject *subject);
/* A lease is its holder's until it has run out or is given up. */
void leases_check(const log_subject *subject);

#endif
