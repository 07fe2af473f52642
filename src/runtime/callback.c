/* How the user's functions are called: no exception gets past here. */
#include "callback.h"

/* A callback that were left by an exception, which is caught around etx_tx_run, would leave the
 * shard with its lock held and a step half done: the engine would stand still, and nobody would
 * know why. So this file alone is compiled without what an unwinder reads (meson.build): it finds
 * no handler beyond, and the C++ runtime ends the process where the exception was thrown, with
 * what it says (std::terminate), as it does for a function that is noexcept. */

etx_reply etx__callback_operation(etx_operation_fn function, etx_call *call, void *user) {
    return function(call, user);
}

void etx__callback_done(etx_done_fn done, int rc, const etx_outcome *outcome, void *user) {
    done(rc, outcome, user);
}

void etx__callback_event(const etx_monitor *monitor, const etx_event *event) {
    monitor->on_event(event, monitor->user);
}

void etx__callback_ending(const etx_monitor *monitor,
                          const etx_status *status,
                          const etx_ending *ending) {
    monitor->on_ending(status, ending, monitor->user);
}
