/* What this node remembers of the homes that it shares: the last slot of each partition that was
 * acknowledged to it, also across restarts if there is a state directory. */
#ifndef ETX__SEEN_H
#define ETX__SEEN_H

#include "home.h"

typedef struct etx__seen etx__seen;

/* Takes the directory of the options, if there is one. Errors: ETX_EBUSY, ETX_EIO, ETX_ENOMEM; with
 * the engine's message. */
int etx__seen_open(etx_engine *engine);
/* Writes from now on about once a second what has changed, by a thread of its own. */
int etx__seen_start(etx_engine *engine);
/* Ends the thread, and writes once more. */
void etx__seen_stop(etx_engine *engine, int write);
void etx__seen_free(etx_engine *engine);

/* A home that is opened: what was remembered of it. Errors: ETX_EREGRESSED (another log is there
 * now), ETX_ENOMEM; with the engine's message. */
int etx__seen_home(etx__home *home);
/* Its memory goes. */
void etx__seen_forget(etx__home *home);
/* A slot of the partition was acknowledged. Any thread that owns the partition. */
void etx__seen_note(etx__partition *partition, uint64_t slot, uint32_t checksum);
/* What is remembered of the partition. */
etx_seen_mark etx__seen_of(const etx__partition *partition);
/* The partition is read from `trimmed` on, and not to be claimed: what the node of that name ("":
 * this one) remembers is not there. Says so, in its message. ETX_EREGRESSED. */
int etx__seen_refuse(etx__partition *partition,
                     const etx_seen_mark *mark,
                     const char *node,
                     uint64_t trimmed);

/* It has lost what was acknowledged: told once, until it is claimed. The shard's, or at start. */
void etx__partition_regress(etx__partition *partition, const char *why);
/* It is claimed: nothing of that is true any more. */
void etx__partition_regained(etx__partition *partition);

#endif
