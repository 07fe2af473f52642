/* Requests: their memory, where they belong, answering them. */
#include "request.h"

#include <stdio.h>
#include <string.h>

#include "../protocol/copy.h"
#include "callback.h"
#include "keeper.h"
#include "survey.h"
#include "options.h"
#include "shard.h"

/* ---- memory */

etx_tx *etx__request_make(etx_engine *engine) {
    int fresh;
    etx_tx *request = etx__stash_take(&engine->handles, &fresh);
    if (request == NULL) {
        return NULL;
    }
    /* Whoever answered its last life may still read these two: they are stored atomically. In
     * which order is the queue's to say. */
    atomic_store_explicit(&request->state, ETX__WAITING, memory_order_relaxed);
    atomic_store_explicit(&request->driving, 0, memory_order_relaxed);
    memset(&request->waiter, 0, offsetof(etx_tx, outcome) - offsetof(etx_tx, waiter));
    request->node.kind = ETX__NODE_REQUEST;
    request->engine = engine;
    request->branch = request->few;
    request->named = request->few_named;
    request->branch_room = ETX__BRANCHES;
    request->arena_at = request->arena;
    request->arena_left = sizeof request->arena;
    request->patience_ms = engine->options.patience_ms;
    request->outcome.size = sizeof request->outcome;
    request->outcome.state = ETX_NONE;
    request->outcome.marks = 0;
    request->outcome.durability = ETX_DURABILITY_DEFAULT;
    request->outcome.gid[0] = 0;
    request->outcome.reason[0] = 0;
    return request;
}

void etx__request_trim(etx_tx *request) {
    etx_engine *engine = request->engine;
    while (request->chunk != NULL) {
        etx__chunk *chunk = request->chunk;
        request->chunk = chunk->next;
        etx__engine_release(engine, chunk, chunk->size);
    }
    if (request->branch_room > ETX__BRANCHES) {
        etx__engine_release(engine, request->branch,
                            request->branch_room * sizeof *request->branch);
        etx__engine_release(engine, request->named, request->branch_room * sizeof *request->named);
        request->branch_room = ETX__BRANCHES;
    }
    etx__engine_release(engine, request->found, request->found_room);
    request->found = NULL;
    request->found_room = 0;
}

void etx__request_free(etx_tx *request) {
    etx__request_trim(request);
    /* Whoever answered a thread that waited may still be about to wake it. */
    etx__stash_drop(&request->engine->handles, request, !request->blocking);
}

void *etx__request_alloc(etx_tx *request, size_t size) {
    size = (size + 15) & ~(size_t)15;
    if (size > request->arena_left) {
        size_t room = size + sizeof(etx__chunk) + 16 > 4096 ? size + sizeof(etx__chunk) + 16 : 4096;
        etx__chunk *chunk = etx__engine_alloc(request->engine, room);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->next = request->chunk;
        chunk->size = room;
        request->chunk = chunk;
        request->arena_at = (uint8_t *)(chunk + 1);
        request->arena_left = room - sizeof *chunk;
    }
    void *block = request->arena_at;
    request->arena_at += size;
    request->arena_left -= size;
    return block;
}

etx_bytes etx__request_keep(etx_tx *request, const void *bytes, size_t len) {
    uint8_t *copy = etx__request_alloc(request, len + 1);
    if (copy == NULL) {
        return (etx_bytes){NULL, 0};
    }
    etx__copy(copy, bytes, len);
    copy[len] = 0;
    return (etx_bytes){copy, len};
}

/* ---- where it belongs */

/* A home that is no home of this engine. */
static int not_ours(etx_tx *request, const char *home_id) {
    etx_partition_status where = {.size = sizeof where};
    if (home_id[0] == 'v') {
        return etx__request_fail(request, ETX_EGONE,
                                 "the gid belongs to a volatile home that is gone");
    }
    if (etx__survey_finds(request->engine, home_id, &where)) {
        return where.why[0] != 0
                   ? etx__request_fail(request, ETX_EELSEWHERE, "%s", where.why)
                   : etx__request_fail(request, ETX_EELSEWHERE, "home %s is with node %s%s%s",
                                       home_id, where.node, where.address[0] != 0 ? " at " : "",
                                       where.address);
    }
    return etx__request_fail(request, ETX_EUNAVAILABLE,
                             "the gid belongs to home %s, which is not among the homes%s, nor with "
                             "another node that is there",
                             home_id,
                             etx__homes_away(request->engine) ? " that have been reached" : "");
}

int etx__request_bind(etx_tx *request, const char *gid, size_t len) {
    etx_engine *engine = request->engine;
    char home_id[ETX_HOME_ID_LEN + 1];
    uint32_t number = 0;
    uint64_t made_ms = 0;
    if (etx_gid_check(gid, len) != 0) {
        return etx__request_fail(request, ETX_EINVALID,
                                 "a gid is 1 to 128 printable characters, no space");
    }
    memcpy(request->gid, gid, len);
    request->gid[len] = 0;
    request->gid_len = (uint8_t)len;
    request->hash = etx__core_hash((etx_bytes){gid, len});
    int made = etx__gid_read((etx_bytes){gid, len}, home_id, &number, &made_ms);
    etx__home *home = made == 0 ? engine->home[engine->chosen_home] : etx__home_of(engine, home_id);
    if (home == NULL) {
        return not_ours(request, home_id);
    }
    if (!atomic_load(&home->opened)) {
        char why[ETX_REASON_MAX + 1];
        etx__home_why(home, why, sizeof why);
        return etx__request_fail(request, ETX_EUNAVAILABLE, "%s", why);
    }
    if (made == 1 && number >= home->partition_count) {
        return etx__request_fail(request, ETX_EINVALID,
                                 "the gid names a partition that its home does not have");
    }
    request->old = made == 1;
    request->partition =
        made == 1 ? home->partition[number] : etx__home_hashed(home, request->hash);
    return 0;
}

void etx__request_raise(etx_tx *request) {
    for (uint16_t i = 0; i < request->begin.branch_count; i++) {
        if (request->branch[i].kind == ETX_XA && request->begin.durability < ETX_LOCAL) {
            request->begin.durability = ETX_LOCAL;
        }
    }
}

int etx__request_place(etx_tx *request, uint64_t wall_ms) {
    etx_engine *engine = request->engine;
    etx_durability durability = (etx_durability)request->begin.durability;
    etx__home *home = etx__home_best(engine, durability);
    etx__partition *partition = home != NULL ? etx__home_partition(home) : NULL;
    if (partition == NULL) {
        char why[ETX_REASON_MAX + 1];
        int rc = home != NULL ? etx__home_why(home, why, sizeof why)
                              : etx__home_none(engine, durability, why, sizeof why);
        return etx__request_fail(request, rc, "%s", why);
    }
    uint64_t counter = atomic_fetch_add_explicit(&partition->counter, 1, memory_order_relaxed);
    request->gid_len =
        (uint8_t)etx__gid_make(request->gid, wall_ms, home->info.id, partition->number,
                               atomic_load(&partition->nonce), counter);
    request->hash = etx__core_hash((etx_bytes){request->gid, request->gid_len});
    request->partition = partition;
    return 0;
}

etx_tx *etx__request_command(etx_engine *engine, const char *gid, uint8_t type, int *ret_rc) {
    *ret_rc = etx__engine_serves(engine);
    if (*ret_rc == 0 && gid == NULL) {
        *ret_rc = etx__engine_fail(engine, ETX_EINVALID, "a gid is needed");
    }
    if (*ret_rc != 0) {
        return NULL;
    }
    etx_tx *request = etx__request_make(engine);
    if (request == NULL) {
        *ret_rc = etx__engine_refuse(engine, ETX_ENOMEM);
        return NULL;
    }
    request->type = type;
    request->wait = ETX_WAIT_BEGUN;
    *ret_rc = etx__request_bind(request, gid, strnlen(gid, ETX_GID_MAX + 1));
    if (*ret_rc != 0) {
        etx__request_free(request);
        return NULL;
    }
    return request;
}

/* ---- on the shard's thread: answering */

void etx__request_answer(etx_tx *request, int rc) {
    request->rc = rc;
    if (!request->blocking) {
        if (request->done != NULL &&
            atomic_load(&request->partition->shard->stuck) != ETX__STUCK_LEFT) {
            etx__callback_done(request->done, rc, &request->outcome, request->user);
        }
        etx__request_free(request);
        return;
    }
    if (atomic_exchange(&request->state, ETX__ANSWERED) == ETX__ABANDONED) {
        etx__request_free(request);
        return;
    }
    /* From here on the caller may free it: its memory stays a handle's, and a wake for nothing
     * does no harm. */
    if (!atomic_load(&request->driving)) {
        etx__futex_wake(&request->state, 1);
    }
}

static void say(char *reason, const char *text) {
    size_t len = etx__cut_text(text, ETX_REASON_MAX);
    memcpy(reason, text, len);
    reason[len] = 0;
}

void etx__request_refuse(etx_tx *request, int rc, const char *reason) {
    memcpy(request->outcome.gid, request->gid, request->gid_len + 1u);
    if (request->outcome.reason[0] == 0) {
        say(request->outcome.reason, reason);
    }
    if (rc == ETX_EBUSY) {
        atomic_fetch_add_explicit(&request->engine->refused_busy, 1, memory_order_relaxed);
    }
    etx__request_answer(request, rc);
}

uint32_t etx__entry_marks(const etx__entry *entry) {
    uint32_t marks = entry->marks;
    if (entry->tx == NULL) {
        return marks | ETX_MARK_ENDED;
    }
    marks |= entry->tx->r.stalled ? ETX_MARK_STALLED : 0;
    marks |= entry->tx->r.unregistered ? ETX_MARK_UNREGISTERED : 0;
    return marks;
}

const char *etx__entry_reason(const etx__entry *entry) {
    if (entry->tx != NULL) {
        return entry->tx->s.reason != NULL ? (const char *)entry->tx->s.reason : "";
    }
    return entry->reason_len > 0 ? (const char *)entry->gid + entry->gid_len + 1 : "";
}

static const char *why_of(const etx__waiter *waiter) {
    return waiter->why != NULL ? waiter->why : etx_strerror(waiter->rc);
}

void etx__outcome_fill(const etx__partition *partition,
                       const etx__entry *entry,
                       etx_outcome *outcome) {
    etx_state state = etx__core_durable_state(partition->memory->core, entry);
    int known = state != ETX_NONE;
    outcome->state = state;
    outcome->marks = known ? etx__entry_marks(entry) : 0;
    outcome->durability = known ? etx__home_grade(partition->home) : ETX_DURABILITY_DEFAULT;
    etx__copy(outcome->gid, entry->gid, entry->gid_len + 1u);
    say(outcome->reason, state == (etx_state)entry->state ? etx__entry_reason(entry) : "");
}

static void fill_outcome(etx__partition *partition,
                         const etx__waiter *waiter,
                         etx_outcome *outcome) {
    etx__outcome_fill(partition, &partition->memory->core->entry[waiter->entry], outcome);
    if (waiter->rc < 0) {
        say(outcome->reason, why_of(waiter));
    }
}

/* Which branch that one depends on is not there? */
static void name_missing(const etx_tx *request, const etx__tx *tx, char *reason) {
    const etx__named *named = &request->named[0];
    for (uint16_t i = 0; i < named->count; i++) {
        if (!etx__branch_known(tx, named->name[i])) {
            snprintf(reason, ETX_REASON_MAX + 1,
                     "branch %.64s: depends_on names %.64s, which is not enlisted before",
                     (const char *)request->branch[0].name.data, (const char *)named->name[i].data);
            return;
        }
    }
}

static void answer_request(etx__partition *partition, etx__waiter *waiter) {
    etx_tx *request = (etx_tx *)(void *)((char *)waiter - offsetof(etx_tx, waiter));
    if (request->ask != ETX__ASK_CORE) {
        etx__ask_answer(partition, request);
        return;
    }
    if (waiter->entry == ETX__NOBODY) {
        etx__request_refuse(request, waiter->rc, why_of(waiter));
        return;
    }
    fill_outcome(partition, waiter, &request->outcome);
    const etx__entry *entry = &partition->memory->core->entry[waiter->entry];
    if (request->type == ETX__EV_ENLIST && waiter->rc == ETX_EINVALID && entry->tx != NULL) {
        name_missing(request, entry->tx, request->outcome.reason);
    }
    if (request->type == ETX__EV_BEGIN && entry->tx != NULL) {
        request->run_now = entry->tx->r.run_no;
    }
    if (!request->blocking && request->run_to != NULL) {
        *request->run_to = request->run_now; /* the handle is the caller's until `done` */
    }
    etx__request_answer(request, waiter->rc);
}

static void answer_pending(etx__partition *partition, etx__waiter *waiter) {
    etx__pending *pending = (etx__pending *)(void *)waiter;
    etx_outcome outcome;
    outcome.size = sizeof outcome;
    outcome.state = ETX_NONE;
    outcome.marks = 0;
    outcome.durability = ETX_DURABILITY_DEFAULT;
    outcome.gid[0] = 0;
    outcome.reason[0] = 0;
    if (waiter->entry != ETX__NOBODY) {
        fill_outcome(partition, waiter, &outcome);
    } else {
        const etx_tx *asking = partition->shard->asking;
        say(outcome.reason, why_of(waiter));
        if (asking != NULL) {
            memcpy(outcome.gid, asking->gid, asking->gid_len + 1u);
        }
    }
    etx_done_fn done = pending->done;
    void *user = pending->user;
    int rc = waiter->rc;
    if (rc == ETX_EBUSY) {
        atomic_fetch_add_explicit(&partition->home->engine->refused_busy, 1, memory_order_relaxed);
    }
    etx__shard_pending_give(partition->shard, pending);
    if (!atomic_load(&partition->shard->stuck)) {
        etx__callback_done(done, rc, &outcome, user);
    }
}

void etx__waiter_answer(etx__partition *partition, etx__waiter *waiter) {
    if (waiter->kind != ETX__WAITER_REQUEST) {
        answer_pending(partition, waiter);
    } else {
        answer_request(partition, waiter);
    }
}

/* ---- on the shard's thread: handling */

static size_t begin_bound(const etx_tx *request) {
    etx_record record = {.type = ETX_RECORD_BEGIN, .gid = {request->gid, request->gid_len}};
    record.u.begin = request->begin;
    return request->engine->options.codec->bound(&record);
}

static void refuse_large(etx_tx *request, size_t bound, size_t most) {
    char why[ETX_REASON_MAX + 1];
    snprintf(why, sizeof why,
             "the payloads are larger than one batch of the log: %zu bytes, of %zu at most. Make "
             "smaller, or the batches larger (file: ?segment=, up to 5M)",
             bound, most);
    etx__request_refuse(request, ETX_EINVALID, why);
}

static const etx__entry *entry_of(const etx_tx *request) {
    return etx__core_find(request->partition->memory->core,
                          (etx_bytes){request->gid, request->gid_len}, request->hash);
}

/* Does all that may follow from it find room, and its decision later? Else it has not happened. */
static int has_room(const etx_tx *request, size_t bound) {
    etx__partition *partition = request->partition;
    int begin = request->type == ETX__EV_BEGIN && request->ask == ETX__ASK_CORE;
    if (begin && !request->chosen && !request->old) {
        return etx__room_make(partition, bound + etx__need_of(partition, NULL), 1);
    }
    const etx__entry *entry = entry_of(request);
    size_t need = etx__need_of(partition, entry != NULL ? entry->tx : NULL) + bound;
    if (request->type == ETX__EV_ENLIST) {
        etx_record record = {.type = ETX_RECORD_ENLIST, .gid = {request->gid, request->gid_len}};
        record.u.enlist.branch = request->branch[0];
        need += request->engine->options.codec->bound(&record) +
                request->named[0].count * (size_t)partition->byte_room;
    } else if (request->type == ETX__EV_RESULT) {
        need += etx__need_bytes(partition, request->text[0].len);
    }
    return etx__room_make(partition, need, begin || request->type == ETX__EV_ENLIST);
}

static void fill_event(etx_tx *request, etx__event *event) {
    event->type = (etx__event_type)request->type;
    event->gid = (etx_bytes){request->gid, request->gid_len};
    event->hash = request->hash;
    event->old = request->old;
    event->depth = request->depth;
    switch (event->type) {
        case ETX__EV_BEGIN:
            event->u.begin.begin = &request->begin;
            event->u.begin.fresh = !request->chosen && !request->old;
            return;
        case ETX__EV_ENLIST:
            event->u.enlist.run = request->run;
            event->u.enlist.branch = &request->branch[0];
            event->u.enlist.registered = request->named[0].registered;
            event->u.enlist.content = request->named[0].content;
            event->u.enlist.depends_on = request->named[0].name;
            event->u.enlist.depends_on_count = request->named[0].count;
            event->u.enlist.default_order = !request->named[0].given;
            return;
        case ETX__EV_RESULT:
            event->u.result.run = request->run;
            event->u.result.branch = request->text[2];
            event->u.result.bytes = request->text[0];
            event->u.result.reply = request->reply;
            return;
        case ETX__EV_HOLD:
        case ETX__EV_COMMIT:
        case ETX__EV_ABORT:
            event->u.decide.run = request->run;
            event->u.decide.reason = request->text[0];
            return;
        case ETX__EV_RETRY:
        case ETX__EV_PARK:
        case ETX__EV_UNPARK:
        case ETX__EV_FORCE:
            event->u.operate.who = request->text[0];
            event->u.operate.why = request->text[1];
            event->u.operate.branch = request->text[2];
            event->u.operate.force = request->force;
            event->u.operate.operation = request->operation;
            return;
        case ETX__EV_WAIT:
        case ETX__EV_REPLY:
        case ETX__EV_DURABLE:
        case ETX__EV_TICK:
        case ETX__EV_FLUSH:
        case ETX__EV_REGISTERED:
        case ETX__EV_GIVE_UP:
        case ETX__EV_MOVE:
        case ETX__EV_RECOVERED:
        case ETX__EV_FORGET:
            return;
    }
}

/* A begin that nobody's thread waits for leaves only its pending behind. 1: the request is free
 * to go. */
static int set_waiter(etx_tx *request, etx__event *event) {
    event->waiter = &request->waiter;
    if (request->blocking || request->type != ETX__EV_BEGIN || request->old ||
        request->run_to != NULL) {
        return 0;
    }
    event->waiter = NULL;
    if (request->done == NULL) {
        return 1;
    }
    etx__pending *pending = etx__shard_pending_take(request->partition->shard);
    if (pending == NULL) {
        event->waiter = &request->waiter;
        return 0;
    }
    pending->on_gid = request->on_gid;
    pending->done = request->done;
    pending->user = request->user;
    memset(&pending->waiter, 0, sizeof pending->waiter);
    pending->waiter.kind = request->shown ? ETX__WAITER_SHOWN : ETX__WAITER_PENDING;
    pending->waiter.wait = request->wait;
    event->waiter = &pending->waiter;
    return 1;
}

/* Could it begin something? Not what repeats the begin of a gid that is known, or gone: that is
 * answered as it stands, whatever there is room for. */
static int could_begin(const etx_tx *request) {
    return !request->old && (!request->chosen || entry_of(request) == NULL);
}

/* Would it add to the log what is no decision, result or end? What is left in a full one is for
 * those. What is there already is answered as it stands. */
static int adds(const etx_tx *request) {
    const etx__entry *entry = entry_of(request);
    if (request->ask != ETX__ASK_CORE || request->type == ETX__EV_BEGIN) {
        return request->ask == ETX__ASK_CORE && could_begin(request);
    }
    int active = entry != NULL && entry->tx != NULL && entry->state == ETX_ACTIVE;
    if (request->type == ETX__EV_HOLD) {
        return active && !(entry->marks & ETX_MARK_HELD);
    }
    return active && request->type == ETX__EV_ENLIST &&
           !etx__branch_known(entry->tx, request->branch[0].name);
}

/* A gid that is chosen, and names no home: do other nodes look for it elsewhere? */
static int is_denied(const etx_tx *request, char why[ETX_REASON_MAX + 1]) {
    char home_id[ETX_HOME_ID_LEN + 1];
    uint32_t number = 0;
    uint64_t made_ms = 0;
    return request->chosen && etx__chosen_denied(request->engine, why) &&
           etx__gid_read((etx_bytes){request->gid, request->gid_len}, home_id, &number, &made_ms) ==
               0 &&
           could_begin(request);
}

/* Why it takes nothing: the code, and the words. */
static int why_closed(const etx__partition *partition, int begin, char why[ETX_REASON_MAX + 1]) {
    etx__home *home = partition->home;
    if (atomic_load(&partition->regressed)) {
        etx__partition_regress_says(partition, why, ETX_REASON_MAX + 1);
        return begin ? ETX_EUNAVAILABLE : ETX_EUNKNOWN;
    }
    if (partition->state == ETX__ELSEWHERE &&
        etx__survey_says(home, partition->number, why, ETX_REASON_MAX + 1)) {
        return ETX_EELSEWHERE;
    }
    if (partition->state != ETX__ELSEWHERE) {
        etx__home_why(home, why, ETX_REASON_MAX + 1);
    }
    return begin ? ETX_EUNAVAILABLE : ETX_EUNKNOWN;
}

void etx__request_handle(etx_tx *request) {
    etx__partition *partition = request->partition;
    etx__shard *shard = partition->shard;
    int begin = request->type == ETX__EV_BEGIN && request->ask == ETX__ASK_CORE;
    if (shard->ending) {
        etx__request_refuse(request, ETX_ECLOSED, etx_strerror(ETX_ECLOSED));
        return;
    }
    if (request->ask == ETX__ASK_CORE && request->type != ETX__EV_WAIT &&
        etx__engine_reads_only(request->engine)) {
        etx__request_refuse(request, ETX_ESTATE, "the engine only reads (ETX_READ_ONLY)");
        return;
    }
    if (begin && (partition->state != ETX__OPEN || etx__partition_is_full(partition)) &&
        etx__request_elsewhere(request)) {
        return;
    }
    int lists_nothing = request->ask == ETX__ASK_LIST && partition->state == ETX__ELSEWHERE;
    if (partition->state != ETX__OPEN && !lists_nothing) {
        char why[ETX_REASON_MAX + 1];
        etx__request_refuse(request, why_closed(partition, begin, why), why);
        return;
    }
    char denied[ETX_REASON_MAX + 1];
    if (begin && is_denied(request, denied)) {
        etx__request_refuse(request, ETX_EUNAVAILABLE, denied);
        return;
    }
    size_t bound = begin ? begin_bound(request) : 0;
    if (etx__partition_is_full(partition) && adds(request)) {
        char why[ETX_REASON_MAX + 1];
        etx__home_why(partition->home, why, sizeof why);
        etx__request_refuse(request, ETX_EFULL, why);
        return;
    }
    /* What is left is for its results: all of it must once fit into one batch. */
    size_t batch_max = partition->home->info.batch_max;
    if (bound > batch_max - batch_max / 16) {
        refuse_large(request, bound, batch_max - batch_max / 16);
        return;
    }
    if (request->ask != ETX__ASK_LIST && request->ask != ETX__ASK_GLANCE &&
        !has_room(request, bound)) {
        etx__request_refuse(request, ETX_ENOMEM, etx_strerror(ETX_ENOMEM));
        return;
    }
    if (request->ask != ETX__ASK_CORE) {
        etx__ask_handle(request);
        return;
    }
    etx__event event = {.type = ETX__EV_BEGIN};
    fill_event(request, &event);
    etx__call_raise(request);
    if (begin || request->type == ETX__EV_ENLIST || request->type == ETX__EV_ABORT) {
        etx__limits_tell(partition);
    }
    int free_it = set_waiter(request, &event);
    shard->asking = request;
    etx__partition_step(partition, &event);
    shard->asking = NULL;
    if (free_it) {
        etx__request_free(request);
    }
}
