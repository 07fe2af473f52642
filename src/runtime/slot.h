/* The records of a slot. */
#ifndef ETX__SLOT_H
#define ETX__SLOT_H

#include <etx/log.h>

#include "../protocol/room.h"
#include "runtime.h"

/* Takes a record, which begins at byte `at` of the batch and lives as long as the call. 0 goes
 * on. */
typedef int (*etx__record_fn)(const etx_record *record, size_t at, void *user);

/* Gives each record of the slot's batch, in order. Returns 0, what `each` returned, or
 * ETX_EVERSION with at 0 (of a codec that is not here), ETX_ENOMEM, what the codec says; with the
 * byte where that record begins. `room` grows as needed, by the engine's allocator, and is the
 * caller's to free. */
int etx__slot_each(const etx_engine *engine,
                   const etx_slot *slot,
                   etx_record_room *room,
                   etx__record_fn each,
                   void *user,
                   size_t *ret_at);
/* Says which codec it is that is not here. */
void etx__slot_codec_lacks(const etx_slot *slot, char *to, size_t size);

#endif
