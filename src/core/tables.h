/* The core's tables: entries, the index by gid, the timers, what is remembered. */
#ifndef ETX__TABLES_H
#define ETX__TABLES_H

#include "core.h"

/* ---- entries and the index */
/* A new entry under the gid, indexed, its other members zero; NULL if the table or the pool is
 * full. */
etx__entry *etx__entry_make(etx__core *core, etx_bytes gid, uint32_t hash);
/* Takes an entry out of every table and frees what it holds. Not of a live transaction. */
void etx__entry_forget(etx__core *core, etx__entry *entry);
etx__entry *etx__entry_find(const etx__core *core, etx_bytes gid, uint32_t hash);
uint32_t etx__entry_number(const etx__core *core, const etx__entry *entry);
static inline etx_bytes etx__gid_of(const etx__entry *entry) {
    return (etx_bytes){entry->gid, entry->gid_len};
}
/* Makes it the newest by first_seq: its state stands in the record `seq`, and needs nothing
 * before. */
void etx__entry_renew(etx__core *core, etx__entry *entry, uint64_t seq);

/* ---- who is registered: a place keeps its name */
void etx__policy_set(etx__core *core, uint32_t place, const etx__policy *policy);
/* The place, or ETX__NOBODY. */
uint32_t etx__policy_find(const etx__core *core, const uint8_t *name, size_t len);

/* ---- lists of live transactions */
void etx__list_push(etx__core *core, etx__list list, etx__tx *tx);
/* Nothing if it is not in it. */
void etx__list_remove(etx__core *core, etx__list list, etx__tx *tx);

/* ---- timers: at most one a transaction */
/* UINT64_MAX takes it away. */
void etx__timer_set(etx__core *core, etx__tx *tx, uint64_t due_ms);
/* When the next is due; UINT64_MAX: none. */
static inline uint64_t etx__timer_next(const etx__core *core) {
    return core->timer_count > 0 ? core->timer[0].due_ms : UINT64_MAX;
}

/* ---- what is remembered */
/* An entry that has ended enters the history under its ended_no. Returns it, or NULL: that number
 * is forgotten already (or taken), and the entry with it. */
etx__entry *etx__history_add(etx__core *core, etx__entry *entry);
/* Takes it out again; it stays an entry. */
void etx__history_remove(etx__core *core, etx__entry *entry);
/* Forgets what is beyond the last N; what is older than A. */
void etx__history_trim(etx__core *core);
void etx__history_age(etx__core *core, uint64_t wall_ms);
/* Might one more make a chosen gid be forgotten before its age? */
int etx__history_full(const etx__core *core, uint64_t wall_ms);
/* Is there room for one more that ends at once, and for all that is live? What has ended and is
 * not durable yet cannot be forgotten. */
int etx__history_has_room(const etx__core *core);

#endif
