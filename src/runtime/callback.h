/* How the user's functions are called: an exception that leaves one ends the process. */
#ifndef ETX__CALLBACK_H
#define ETX__CALLBACK_H

#include <etx/tx.h>

etx_reply etx__callback_operation(etx_operation_fn function, etx_call *call, void *user);
void etx__callback_done(etx_done_fn done, int rc, const etx_outcome *outcome, void *user);
void etx__callback_event(const etx_monitor *monitor, const etx_event *event);
void etx__callback_ending(const etx_monitor *monitor,
                          const etx_status *status,
                          const etx_ending *ending);

#endif
