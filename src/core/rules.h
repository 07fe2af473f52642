/* The rules: admit judges a record, apply writes it, next says what follows. */
#ifndef ETX__RULES_H
#define ETX__RULES_H

#include <etx/monitor.h>

#include "core.h"
#include "kinds.h"
#include "tables.h"

/* Returns rc; `why` (static) is what the caller is told beside it. Changes no state. */
int etx__refuse(const etx__core *core, int rc, const char *why);

/* ---- admit: changes nothing. `entry` NULL: the gid is not known. 0 or ETX_EINVALID (over a
 * limit), ETX_ENOTFOUND, ETX_ESTATE, ETX_ECONFLICT, ETX_EBUSY, ETX_EGONE. */
int etx__admit(const etx__core *core, const etx__entry *entry, const etx_record *record);
/* names.c. 1: no two of at most ETX_BRANCHES_MAX branches have the same name. */
int etx__names_differ(const etx_record_branch *branches, unsigned count);

/* ---- apply: the only code that writes durable state. Live and in recovery the same. Returns
 * the entry that the record is about, or NULL where it changes nothing (a repeat, an orphan).
 * `known`: what the gid names now, or NULL; `hash`: of the gid, for an entry that is made. *ret_rc
 * is set to ETX_EBUSY where there was no room for a BEGIN, ENLIST, MOVE or result, and in recovery
 * for a reason; to ETX_ECORRUPT where no core would have written it. */
etx__entry *etx__apply(etx__core *core,
                       etx__entry *known,
                       uint32_t hash,
                       const etx_record *record,
                       uint64_t seq,
                       int *ret_rc);

/* ---- bodies: the memory of live transactions */
/* `progress`: of a MOVE, for the digests of what was enlisted; or NULL. */
etx__tx *etx__body_make(etx__core *core,
                        const etx_record_begin *begin,
                        const etx_record_progress *progress);
/* Adds a branch at the next place. 0, ETX_EBUSY, or ETX_ECORRUPT where admit would refuse it. */
int etx__body_add(etx__core *core, etx__tx *tx, const etx_record_branch *branch, uint64_t digest);
void etx__body_free(etx__core *core, etx__tx *tx);
/* Takes it out of every table. Freed at the next step, since outputs may point into it; or once
 * the last callback that borrows from it has returned. */
void etx__body_bury(etx__core *core, etx__entry *entry);
/* Callbacks have borrowed the gid: the entry gets a copy, and the body keeps theirs. ETX_EBUSY: no
 * room for it now. */
int etx__body_lend_gid(etx__core *core, etx__entry *entry);
/* The last callback has returned to what is buried. */
void etx__body_return(etx__core *core, etx__tx *tx);
/* A copy in a block of its own; NULL if len is 0 or there is no room. */
uint8_t *etx__bytes_keep(etx__core *core, etx_bytes bytes);
/* Resolves who the participants are. */
void etx__body_resolve(const etx__core *core, etx__tx *tx);

/* ---- next: pure. What to do now, from the state alone. */
typedef struct etx__todo {
    uint8_t decide; /* 0, or 1 + commit */
    uint8_t end;
    uint8_t ask;                /* 0, or 1 + ETX_QUERY or ETX_RESUME */
    uint8_t unregistered;       /* something waits for a participant that is not registered */
    const etx__branch *missing; /* ... the first such branch; NULL: its initiator */
    uint16_t calls;             /* so many of core->places: branches to call */
    uint8_t operation;          /* ... for this */
    uint64_t wake_ms;
    const char *reason; /* of an abort; borrowed */
    const etx__branch *refused;
} etx__todo;

void etx__wake_at(etx__todo *todo, uint64_t mono_ms);
void etx__next(const etx__core *core,
               const etx__entry *entry,
               const etx__now *now,
               etx__todo *ret_todo);
/* Is the deadline over, a step of the clock forgiven? */
int etx__deadline_over(const etx__core *core, const etx__tx *tx, const etx__now *now);
int etx__is_call_out(const etx__tx *tx);

/* ---- step's parts */
/* The next record of the outputs, zero but for these two: filled and appended before another one
 * is asked for, or left. */
etx_record *etx__record_next(etx__core *core, etx_record_type type, etx_bytes gid);
/* Judges, numbers, applies, hands out. 0 or what admit says. `waited`: what is done next of the
 * transaction rests on it; `want`: start a put for it. */
int etx__append(etx__core *core, etx__entry *entry, etx_record *record, int waited, int want);
/* The same of a gid that names nothing yet: waited for, and wanted. */
int etx__append_first(etx__core *core,
                      const etx__event *event,
                      etx_record *record,
                      etx__entry **ret_entry);
/* Does all that next says, until it says nothing more that may be done now. */
void etx__settle(etx__core *core, etx__entry *entry, const etx__now *now);
/* After a decision: other operations, counted and timed anew. */
void etx__attempts_restart(etx__tx *tx);
/* Answers. */
void etx__answer(etx__core *core, etx__waiter *waiter, int rc, const etx__entry *entry);
/* Lets a waiter wait on a live transaction, or (entry remembered or NULL) on the log; answered
 * 0, or `rc` then. */
void etx__await(etx__core *core, etx__entry *entry, etx__waiter *waiter, int rc);
/* Nothing is known under the event's gid: ETX_EGONE if something must have been, else
 * ETX_ENOTFOUND. */
void etx__await_absent(etx__core *core, const etx__event *event);
/* A refusal of what is live: it says what the transaction is not, and the records of a successor
 * may say otherwise. Like absence it is known once a put made after the question is durable. */
void etx__await_refused(etx__core *core, etx__entry *entry, etx__waiter *waiter, int rc);
/* Is it such a refusal? Of what is decided only an operator is refused what may yet change. */
int etx__may_lag(int rc);
void etx__tell(etx__core *core,
               etx_event_type type,
               const etx__entry *entry,
               const etx__branch *branch,
               const etx__attempt *attempt,
               const char *reason);
/* The events. */
void etx__on_command(etx__core *core, const etx__event *event);
void etx__on_operator(etx__core *core, const etx__event *event);
void etx__on_reply(etx__core *core, const etx__event *event);
/* Calls without an answer in time become unknown. */
void etx__on_silence(etx__core *core, etx__entry *entry, const etx__now *now);
/* Makes the calls of todo, unless a record must be durable first; todo says when to look again. */
void etx__call_out(etx__core *core, etx__entry *entry, etx__todo *todo, const etx__now *now);
/* Whole spans of the pool that only the results given to calls may take. */
uint32_t etx__spans_for_calls(const etx__core *core);
/* Is a result that a call of this branch would be given (NULL: of the initiator) not written down
 * yet? */
int etx__results_pending(const etx__tx *tx, const etx__branch *to);
/* What such a call is given. NULL where that is nothing; *ret_rc is ETX_EBUSY where there is no
 * room. */
etx__results *etx__results_make(etx__core *core,
                                const etx__tx *tx,
                                const etx__branch *to,
                                int *ret_rc);
void etx__results_free(etx__core *core, etx__results *results);
/* Which of what is answered and not recorded. */
typedef enum etx__recorded {
    ETX__RECORD_ALL,
    ETX__RECORD_BYTES,     /* what later calls may be given */
    ETX__RECORD_FOR_COMMIT /* ... if it is committed now */
} etx__recorded;
/* Writes it down; once it is decided, only what later calls are given, and what is finished. */
void etx__record_results(etx__core *core, etx__entry *entry, etx__recorded which, int waited);
/* Takes off the mark of ETX's own, if nothing keeps failing any more. */
void etx__unstall(etx__core *core, etx__entry *entry);
etx__branch *etx__branch_named(const etx__tx *tx, etx_bytes name);

#endif
