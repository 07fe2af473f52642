/* What operators do: retry, park, resume, force. Each is recorded with who and why, and survives
 * a takeover. */
#ifndef ETX_OPERATE_H
#define ETX_OPERATE_H

#include <etx/tx.h>

#ifdef __cplusplus
extern "C" {
#endif

/* These wait until the record is durable; not from inline callbacks.
 * Errors: ETX_ENOTFOUND, ETX_EGONE, ETX_ESTATE, ETX_EUNKNOWN, ETX_EUNAVAILABLE, ETX_EINVALID,
 * ETX_ECLOSED. */

/* Calls now what would be called later. Nothing is recorded. ETX_ESTATE also of a parked one: it is
 * called once it is resumed. */
ETX_API int etx_retry(etx_engine *engine, const char *gid);
/* No calls until resumed; but its deadline counts, and decides abort if nothing else has decided by
 * then. ETX_ESTATE: it has ended, or is parked already. */
ETX_API int etx_park(etx_engine *engine, const char *gid, const char *who, const char *why);
/* Takes a park back, and the mark that ETX made itself. */
ETX_API int etx_resume(etx_engine *engine, const char *gid, const char *who, const char *why);

typedef enum etx_bulk { ETX_BULK_RETRY = 1, ETX_BULK_PARK = 2, ETX_BULK_RESUME = 3 } etx_bulk;
/* The same for all that the filter finds, at most per_second of them a second (0: 100), on the
 * caller's thread. One that comes to match meanwhile may be passed over. *ret_count is how many
 * were done, also on an error. To park and resume, who and why are required, whatever is found. */
ETX_API int etx_bulk_operate(etx_engine *engine,
                             etx_bulk what,
                             const etx_filter *filter,
                             uint32_t per_second,
                             const char *who,
                             const char *why,
                             uint64_t *ret_count);

/* See etx_force. Never changes a decision. `branch` and `operation` for ETX_FORCE_DONE only. who
 * and why are required. */
ETX_API int etx_force_by_hand(etx_engine *engine,
                              const char *gid,
                              etx_force what,
                              const char *branch,
                              etx_operation operation,
                              const char *who,
                              const char *why);

#ifdef __cplusplus
}
#endif
#endif
