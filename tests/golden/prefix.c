/* Prefixes: whatever a crash leaves of a log, recovery brings every transaction to all or
 * nothing. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

/* How participants answer what is not yet decided. Finishing operations are always done. */
typedef enum answers { ALL_DONE, ALL_REFUSED, NO_ANSWER_ONCE } answers;

typedef struct drive {
    world *w;
    const world *from;
    uint32_t prefix;
    answers how;
    uint32_t answered; /* so many of w->call have been */
    uint32_t seen;     /* so many of w->record have been checked */
    const char *name;
} drive;

static world *world_of_prefix(const world *from, uint32_t prefix, const char *at) {
    world *w = calloc(1, sizeof *w);
    if (w == NULL) {
        abort();
    }
    w->options = from->options;
    w->options.inspect = 0;
    w->codec = from->codec;
    w->now = from->now;
    w->now.mono_ms += 1;
    w->at = at;
    w->slot = 1000;
    for (uint32_t i = 0; i < prefix; i++) {
        w->record[i] = from->record[i];
        w->record[i].bytes = malloc(from->record[i].len);
        if (w->record[i].bytes == NULL) {
            abort();
        }
        memcpy(w->record[i].bytes, from->record[i].bytes, from->record[i].len);
        w->record[i].seq = i + 1;
    }
    w->records = prefix;
    memcpy(w->policy, from->policy, sizeof w->policy);
    w->policies = from->policies;
    w->core = world_fold(w, 0, prefix, &w->memory);
    world_recover(w);
    return w;
}

/* ---- what must hold once it has ended */

static void tell_fail(const drive *d, const char *what, const char *gid) {
    fprintf(stderr, "%s, prefix %u, answers %d: %s: %s\n", d->name, d->prefix, (int)d->how, gid,
            what);
    d->w->failures++;
}

/* Was the operation of this branch called, before the crash or after? */
static int was_called(const drive *d, const char *gid, const char *branch, uint8_t operation) {
    for (uint32_t i = 0; i < d->w->calls; i++) {
        const world_call *call = &d->w->call[i];
        if (call->operation == operation && strcmp(call->gid, gid) == 0 &&
            (branch == NULL || strcmp(call->branch, branch) == 0)) {
            return 1;
        }
    }
    return 0;
}

/* Those that the story made while the log was no longer than the prefix. */
static int contradicted(const drive *d, const char *gid, uint32_t begin, uint8_t operation) {
    for (uint32_t i = 0; i < d->from->calls; i++) {
        const world_call *call = &d->from->call[i];
        if (call->operation == operation && call->rests_on <= d->prefix && call->rests_on > begin &&
            strcmp(call->gid, gid) == 0) {
            return 1;
        }
    }
    return 0;
}

static void check_branch(const drive *d,
                         const char *gid,
                         int committed,
                         const etx_record_branch *branch,
                         const etx_record_progress *progress) {
    char name[ETX_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)branch->name.len, (const char *)branch->name.data);
    const etx__kind_row *row = etx__kind_of(branch->kind);
    int finished = progress->finish != 0;
    int refused = progress->forward == ETX_REFUSED ||
                  (d->how == ALL_REFUSED && was_called(d, gid, name, ETX_FORWARD));
    int skipped = refused && (branch->flags & ETX_KEEPS_REFUSALS);
    if (committed && row->commit && !finished && !was_called(d, gid, name, ETX_COMMIT)) {
        tell_fail(d, "committed, and not everywhere", gid);
    }
    if (!committed && row->undo && !finished && !skipped && !was_called(d, gid, name, ETX_UNDO)) {
        tell_fail(d, "aborted, and not undone everywhere", gid);
    }
    if (was_called(d, gid, name, committed ? ETX_UNDO : ETX_COMMIT)) {
        tell_fail(d, "called the other way", gid);
    }
}

/* ---- driving */

/* The record before which the transaction's newest BEGIN stands. */
static uint32_t begin_of(const drive *d, etx_bytes gid) {
    etx_record_room room = {0};
    uint32_t found = 0;
    for (uint32_t i = 0; i < d->prefix; i++) {
        etx_record record;
        size_t used = 0;
        etx_bytes bytes = {d->from->record[i].bytes, d->from->record[i].len};
        int rc = d->from->codec->decode(bytes, &room, &record, &used);
        if (rc == ETX_EBUSY && etx_record_room_grow(&room) == 0) {
            rc = d->from->codec->decode(bytes, &room, &record, &used);
        }
        if (rc == 0 && record.type == ETX_RECORD_BEGIN && record.gid.len == gid.len &&
            memcmp(record.gid.data, gid.data, gid.len) == 0) {
            found = i;
        }
    }
    etx_record_room_free(&room);
    return found;
}

static void answer(drive *d, world_call *call) {
    etx_reply reply = ETX_DONE;
    etx_bytes bytes = {NULL, 0};
    int asks = call->operation == ETX_FORWARD || call->operation == ETX_QUERY ||
               call->operation == ETX_RESUME;
    if (asks && (d->how == ALL_REFUSED || call->operation == ETX_RESUME)) {
        reply = ETX_REFUSED;
    } else if (call->operation == ETX_FORWARD) {
        bytes = (etx_bytes){"result", 6};
    }
    if (d->how == NO_ANSWER_ONCE && d->answered % 2 == 1) {
        reply = ETX_RETRY;
    }
    world_reply(d->w, call, reply, bytes, (etx_bytes){NULL, 0}, 0);
}

/* A held one is decided by its parent; a parked one goes on when an operator says so. */
static void help(drive *d) {
    world *w = d->w;
    for (uint32_t i = 0; i < w->core->entries_top; i++) {
        const etx__entry *entry = &w->core->entry[i];
        etx__event event;
        if (entry->tx != NULL && (entry->marks & ETX_MARK_PARKED)) {
            world_event(w, &event, ETX__EV_UNPARK, (const char *)entry->gid);
            world_step(w, &event);
        }
        if (entry->tx != NULL && entry->state == ETX_ACTIVE && (entry->marks & ETX_MARK_HELD)) {
            int commit = d->how == ALL_DONE && entry->tx->s.mode != ETX_RESUMED;
            world_event(w, &event, commit ? ETX__EV_COMMIT : ETX__EV_ABORT,
                        (const char *)entry->gid);
            world_step(w, &event);
        }
    }
}

static void register_missing(drive *d) {
    for (uint32_t i = 0; i < d->w->core->entries_top; i++) {
        const etx__tx *tx = d->w->core->entry[i].tx;
        for (uint16_t b = 0; tx != NULL && b < tx->s.branch_count; b++) {
            const etx__branch *branch = tx->branch[b];
            if (branch->r.participant == ETX__NOBODY && d->w->policies < WORLD_PARTICIPANTS) {
                etx__policy policy = {.name_len = branch->s.participant_len};
                memcpy(policy.name, branch->s.participant, branch->s.participant_len);
                world_register(d->w, &policy);
            }
        }
    }
}

static void drive_to_end(drive *d) {
    world *w = d->w;
    register_missing(d);
    for (int round = 0; round < 400 && w->core->live > 0; round++) {
        uint32_t calls = w->calls;
        for (; d->answered < calls; d->answered++) {
            answer(d, &w->call[d->answered]);
        }
        world_fly(w);
        world_durable(w);
        help(d);
        world_fly(w);
        world_durable(w);
        uint64_t next = etx__timer_next(w->core);
        if (d->answered == w->calls && next != UINT64_MAX) {
            world_tick(w, next > w->now.mono_ms ? next - w->now.mono_ms : 0);
        }
    }
    if (w->core->live > 0) {
        tell_fail(d, "something never ends", "");
    }
}

typedef struct begun {
    char gid[ETX_GID_MAX + 1];
    etx_record_branch branches[ETX_BRANCHES_MAX];
    etx_record_progress progress[ETX_BRANCHES_MAX];
    etx_record move;
    etx__core *core; /* as it was recovered: what `move` borrows from */
    void *memory;
    uint32_t begin;
} begun;

static void check_ended(const drive *d, const begun *b) {
    etx_bytes gid = {b->gid, strlen(b->gid)};
    const etx__entry *entry = etx__core_find(d->w->core, gid, etx__core_hash(gid));
    if (entry == NULL || entry->tx != NULL) {
        return; /* forgotten among many, or told already */
    }
    int committed = entry->state == ETX_COMMITTED;
    for (uint16_t i = 0; i < b->move.u.move.begin.branch_count; i++) {
        check_branch(d, b->gid, committed, &b->branches[i], &b->progress[i]);
    }
    if (contradicted(d, b->gid, b->begin, committed ? ETX_UNDO : ETX_COMMIT)) {
        tell_fail(d, "before the crash it was called the other way", b->gid);
    }
}

static int check_prefix(const world *from, uint32_t prefix, answers how, const char *name) {
    drive d = {.from = from, .prefix = prefix, .how = how, .name = name};
    begun *list = calloc(from->options.transactions_max, sizeof *list);
    uint32_t count = 0;
    d.w = world_of_prefix(from, prefix, name);
    void *memory = NULL;
    etx__core *before = world_fold(d.w, 0, prefix, &memory);
    if (list == NULL) {
        abort();
    }
    for (uint32_t i = 0; i < before->entries_top; i++) {
        const etx__entry *entry = &before->entry[i];
        if (entry->tx != NULL) {
            begun *b = &list[count++];
            snprintf(b->gid, sizeof b->gid, "%s", (const char *)entry->gid);
            etx__core_image(before, entry, b->branches, b->progress, &b->move);
            b->begin = begin_of(&d, (etx_bytes){b->gid, strlen(b->gid)});
        }
    }
    drive_to_end(&d);
    for (uint32_t i = 0; i < count; i++) {
        check_ended(&d, &list[i]);
    }
    int failures = d.w->failures;
    free(list);
    free(memory);
    world_free(d.w);
    return failures;
}

int prefix_check(const world *w, const char *name) {
    int failures = 0;
    for (uint32_t prefix = 1; prefix <= w->records; prefix++) {
        failures += check_prefix(w, prefix, ALL_DONE, name);
        failures += check_prefix(w, prefix, ALL_REFUSED, name);
        failures += check_prefix(w, prefix, NO_ANSWER_ONCE, name);
    }
    return failures;
}
