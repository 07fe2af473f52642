/* ETX: changes that span several services or databases happen everywhere or nowhere. One header
 * for all of it. */
#ifndef ETX_ETX_H
#define ETX_ETX_H

#include <etx/codec.h>
#include <etx/engine.h>
#include <etx/log.h>
#include <etx/log_file.h>
#include <etx/metrics.h>
#include <etx/monitor.h>
#include <etx/operate.h>
#include <etx/participant.h>
#include <etx/record.h>
#include <etx/seen.h>
#include <etx/tx.h>
#include <etx/types.h>

#endif
