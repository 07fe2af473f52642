/* Asking: query, list, wait. What is told rests on durable records, absence on a put made after
 * the question. */
#include <string.h>

#include "home.h"
#include "options.h"
#include "shard.h"

/* What a shard found, packed behind one another in the request's block: a status, then its
 * branches, each with its bytes. The caller's thread unpacks. */
typedef struct etx__found {
    uint32_t size; /* with everything behind it */
    uint32_t branches;
    uint32_t place; /* of a list: where it goes on with this one */
    etx_status status;
} etx__found;

typedef struct etx__found_branch {
    uint32_t size;
    uint32_t name_len, participant_len, reason_len;
    size_t payload_len, result_len;
    etx_branch_status status;
} etx__found_branch;

static size_t round_up(size_t size) {
    return (size + 15) & ~(size_t)15;
}

static void *found_take(etx_tx *request, size_t size) {
    size = round_up(size);
    if (request->found_len + size > request->found_room) {
        size_t room = request->found_room > 0 ? request->found_room * 2 : 16 * 1024;
        while (room < request->found_len + size) {
            room *= 2;
        }
        uint8_t *bigger = etx__engine_alloc(request->engine, room);
        if (bigger == NULL) {
            return NULL;
        }
        if (request->found_len > 0) {
            memcpy(bigger, request->found, request->found_len);
        }
        etx__engine_release(request->engine, request->found, request->found_room);
        request->found = bigger;
        request->found_room = room;
    }
    void *block = request->found + request->found_len;
    request->found_len += size;
    return block;
}

/* ---- on the shard's thread */

static int pack_branch(etx_tx *request, const etx__entry *entry, const etx__branch *branch) {
    const etx__branch_state *s = &branch->s;
    etx_branch_status status;
    etx__status_branch(branch, (etx_state)entry->state, &status);
    size_t size = sizeof(etx__found_branch) + s->name_len + s->participant_len +
                  branch->r.reason_len + 3u + s->payload_len + status.result.len;
    etx__found_branch *found = found_take(request, size);
    if (found == NULL) {
        return ETX_ENOMEM;
    }
    memset(found, 0, sizeof *found);
    found->size = (uint32_t)round_up(size);
    found->name_len = s->name_len;
    found->participant_len = s->participant_len;
    found->reason_len = branch->r.reason_len;
    found->payload_len = s->payload_len;
    found->result_len = status.result.len;
    found->status = status;
    uint8_t *at = (uint8_t *)(found + 1);
    memcpy(at, s->name, s->name_len + 1u);
    at += s->name_len + 1;
    memcpy(at, s->participant, s->participant_len + 1u);
    at += s->participant_len + 1;
    memcpy(at, status.reason, branch->r.reason_len + 1u);
    at += branch->r.reason_len + 1;
    if (s->payload_len > 0) {
        memcpy(at, s->payload, s->payload_len);
    }
    if (status.result.len > 0) {
        memcpy(at + s->payload_len, status.result.data, status.result.len);
    }
    return 0;
}

static int pack(etx_tx *request,
                const etx__partition *partition,
                const etx__entry *entry,
                int with_branches) {
    size_t start = request->found_len;
    etx__found *found = found_take(request, sizeof *found);
    if (found == NULL) {
        return ETX_ENOMEM;
    }
    etx__status_fill(partition, entry, entry->tx, &found->status);
    uint32_t branches = 0;
    for (uint32_t i = 0; with_branches && entry->tx != NULL && i < entry->tx->s.branch_count; i++) {
        if (pack_branch(request, entry, entry->tx->branch[i]) != 0) {
            return ETX_ENOMEM;
        }
        branches++;
    }
    found = (etx__found *)(void *)(request->found + start);
    found->branches = branches;
    found->place = (uint32_t)(entry - partition->memory->core->entry);
    found->size = (uint32_t)(request->found_len - start);
    return 0;
}

static int branch_matches(const etx__branch *branch, const etx_filter *filter) {
    if (filter->kind != 0 && branch->s.kind != filter->kind) {
        return 0;
    }
    return filter->participant == NULL ||
           strcmp((const char *)branch->s.participant, filter->participant) == 0;
}

static int any_branch_matches(const etx__entry *entry, const etx_filter *filter) {
    if (filter->kind == 0 && filter->participant == NULL) {
        return 1;
    }
    for (uint32_t i = 0; entry->tx != NULL && i < entry->tx->s.branch_count; i++) {
        if (branch_matches(entry->tx->branch[i], filter)) {
            return 1;
        }
    }
    return 0;
}

static int matches(const etx__entry *entry, const etx_filter *f) {
    if (entry->gid == NULL || (entry->tx == NULL && !f->remembered)) {
        return 0;
    }
    if (f->states != 0 && !(f->states & (1u << entry->state))) {
        return 0;
    }
    if ((etx__entry_marks(entry) & f->marks) != f->marks) {
        return 0;
    }
    if ((f->begun_before_ms != 0 && entry->begin_ms >= f->begun_before_ms) ||
        entry->begin_ms < f->begun_after_ms) {
        return 0;
    }
    if (f->gid_prefix != NULL &&
        strncmp((const char *)entry->gid, f->gid_prefix, strlen(f->gid_prefix)) != 0) {
        return 0;
    }
    return any_branch_matches(entry, f);
}

/* A slice of the table; the caller asks on. What is not durable is not told: it comes with the
 * next question. */
static void list_slice(etx_tx *request) {
    enum { SLICE = 4096 };
    etx__partition *partition = request->partition;
    if (partition->state == ETX__ELSEWHERE) { /* its owner lists it */
        request->cursor.word[1] = UINT64_MAX;
        etx__request_answer(request, 0);
        return;
    }
    const etx__core *core = partition->memory->core;
    uint64_t at = request->cursor.word[1];
    uint64_t end = at + SLICE < core->entries_top ? at + SLICE : core->entries_top;
    uint32_t found = 0;
    int rc = 0;
    for (; rc == 0 && at < end && found < request->limit; at++) {
        const etx__entry *entry = &core->entry[at];
        if (matches(entry, request->filter) &&
            (request->lists_all || entry->rests_on <= core->durable)) {
            rc = pack(request, partition, entry, 0);
            found++;
        }
    }
    request->cursor.word[1] = at < core->entries_top ? at : UINT64_MAX;
    etx__request_answer(request, rc);
}

static void glance(etx_tx *request) {
    const etx__partition *partition = request->partition;
    const etx__core *core = partition->memory->core;
    const etx__entry *entry =
        etx__core_find(core, (etx_bytes){request->gid, request->gid_len}, request->hash);
    etx_state state = entry != NULL ? etx__core_durable_state(core, entry) : ETX_NONE;
    if (state != ETX_NONE) {
        etx__outcome_fill(partition, entry, &request->outcome);
        request->outcome.state = state;
    }
    etx__request_answer(request, 0);
}

/* Without its lease this node does not know whether another has gone on: only what was decided
 * stays so. */
static int is_outdated(const etx_tx *request) {
    const etx__partition *partition = request->partition;
    if (request->ask != ETX__ASK_STATUS || partition->memory == NULL ||
        etx__partition_has_lease(partition)) {
        return 0;
    }
    const etx__core *core = partition->memory->core;
    const etx__entry *entry =
        etx__core_find(core, (etx_bytes){request->gid, request->gid_len}, request->hash);
    return entry != NULL && etx__core_durable_state(core, entry) == ETX_ACTIVE;
}

void etx__ask_handle(etx_tx *request) {
    if (request->ask == ETX__ASK_GLANCE) {
        glance(request);
        return;
    }
    if (request->ask == ETX__ASK_LIST) {
        list_slice(request);
        return;
    }
    if (is_outdated(request)) {
        etx__request_refuse(request, ETX_EUNAVAILABLE,
                            "this node has not heard of the store for longer than its lease: "
                            "another may have gone on. Ask again later");
        return;
    }
    request->waiter.kind = ETX__WAITER_REQUEST;
    request->waiter.look = 1;
    etx__event event = {.type = ETX__EV_WAIT};
    event.gid = (etx_bytes){request->gid, request->gid_len};
    event.hash = request->hash;
    event.waiter = &request->waiter;
    event.old = request->old;
    etx__partition_step(request->partition, &event);
}

void etx__ask_answer(etx__partition *partition, etx_tx *request) {
    const etx__waiter *waiter = &request->waiter;
    int rc = waiter->rc;
    if (waiter->entry != ETX__NOBODY && partition->memory != NULL) {
        const etx__entry *entry = &partition->memory->core->entry[waiter->entry];
        int packed = pack(request, partition, entry, request->with_branches);
        rc = rc != 0 ? rc : packed;
        etx__outcome_fill(partition, entry, &request->outcome);
    } else if (partition->memory != NULL) {
        request->cursor.word[0] = etx__core_known_since(partition->memory->core);
    }
    memcpy(request->outcome.gid, request->gid, request->gid_len + 1u);
    etx__request_answer(request, rc);
}

/* ---- on the caller's thread */

static int unpack_branches(const etx__found *found, etx_branch_fn each, void *user) {
    const uint8_t *at = (const uint8_t *)found + round_up(sizeof *found);
    for (uint32_t i = 0; i < found->branches; i++) {
        const etx__found_branch *branch = (const etx__found_branch *)(const void *)at;
        etx_branch_status status = branch->status;
        const uint8_t *bytes = (const uint8_t *)(branch + 1);
        status.name = (const char *)bytes;
        bytes += branch->name_len + 1;
        status.participant = (const char *)bytes;
        bytes += branch->participant_len + 1;
        status.reason = (const char *)bytes;
        bytes += branch->reason_len + 1;
        status.payload = (etx_bytes){bytes, branch->payload_len};
        status.result = (etx_bytes){bytes + branch->payload_len, branch->result_len};
        int rc = each(&status, user);
        if (rc != 0) {
            return rc;
        }
        at += branch->size;
    }
    return 0;
}

static void give_status(etx_status *to, const etx_status *from) {
    size_t size = to->size;
    memcpy(to, from, size < sizeof *from ? size : sizeof *from);
    to->size = size;
}

int etx_query_branches(etx_engine *engine,
                       const char *gid,
                       etx_status *ret_status,
                       etx_branch_fn each,
                       void *user) {
    int rc = 0;
    if (ret_status == NULL || ret_status->size == 0) {
        return etx__engine_invalid(engine,
                                   "ret_status: its size must be set, to sizeof(etx_status)");
    }
    etx_tx *request = etx__request_command(engine, gid, ETX__EV_WAIT, &rc);
    if (request == NULL) {
        return rc;
    }
    request->ask = ETX__ASK_STATUS;
    request->with_branches = each != NULL;
    rc = etx__request_wait(&request, NULL);
    if (request == NULL) {
        return rc;
    }
    if (request->found_len > 0) {
        const etx__found *found = (const etx__found *)(const void *)request->found;
        give_status(ret_status, &found->status);
        if (rc == 0 && each != NULL) {
            rc = unpack_branches(found, each, user);
        }
    } else if (rc == ETX_ENOTFOUND) {
        etx_status none = {.size = sizeof none};
        memcpy(none.gid, request->gid, request->gid_len + 1u);
        none.begin_ms = request->cursor.word[0];
        give_status(ret_status, &none);
    }
    etx__request_free(request);
    return rc;
}

int etx_query(etx_engine *engine, const char *gid, etx_status *ret_status) {
    return etx_query_branches(engine, gid, ret_status, NULL, NULL);
}

int etx_query_async(etx_engine *engine, const char *gid, etx_done_fn done, void *user) {
    int rc = 0;
    etx_tx *request = etx__request_command(engine, gid, ETX__EV_WAIT, &rc);
    if (request == NULL) {
        return rc;
    }
    request->ask = ETX__ASK_STATUS;
    request->done = done;
    request->user = user;
    etx__request_send(request);
    return 0;
}

int etx_wait_for(etx_engine *engine,
                 const char *gid,
                 etx_wait wait,
                 uint32_t patience_ms,
                 etx_outcome *outcome) {
    int rc = 0;
    if (wait < ETX_WAIT_DEFAULT || wait > ETX_WAIT_ENDED) {
        rc = etx__engine_invalid(engine, "wait: ETX_WAIT_BEGUN, DECIDED or ENDED");
    }
    rc = rc != 0 ? rc : etx__outcome_check(engine, outcome);
    etx_tx *request = rc == 0 ? etx__request_command(engine, gid, ETX__EV_WAIT, &rc) : NULL;
    if (request == NULL) {
        return etx__outcome_fail(engine, gid, rc, outcome);
    }
    request->wait = (uint8_t)(wait != ETX_WAIT_DEFAULT ? wait : ETX_WAIT_ENDED);
    request->patience_ms = patience_ms > 0 ? patience_ms : engine->options.patience_ms;
    return etx__request_run(request, outcome);
}

/* ---- list */

/* A copy that outlives the caller, whose patience may be over before the shard looks at it. */
static const etx_filter *filter_keep(etx_tx *request, const etx_filter *filter) {
    etx_filter *copy = etx__request_alloc(request, sizeof *copy);
    if (copy == NULL) {
        return NULL;
    }
    *copy = *filter;
    const char **texts[2] = {&copy->participant, &copy->gid_prefix};
    for (int i = 0; i < 2; i++) {
        if (*texts[i] != NULL) {
            *texts[i] = etx__request_keep(request, *texts[i], strlen(*texts[i])).data;
            if (*texts[i] == NULL) {
                return NULL;
            }
        }
    }
    return copy;
}

/* Gives what was found, one by one, and moves the cursor behind what was given. */
static int list_give(const etx_tx *request,
                     etx_status_fn each,
                     void *user,
                     etx_cursor *cursor,
                     uint32_t *ret_found) {
    int rc = 0;
    size_t at = 0;
    for (; rc == 0 && at < request->found_len; (*ret_found)++) {
        const etx__found *found = (const etx__found *)(const void *)(request->found + at);
        rc = each(&found->status, user);
        at += found->size;
    }
    cursor->word[1] = request->cursor.word[1];
    if (at < request->found_len) {
        cursor->word[1] = ((const etx__found *)(const void *)(request->found + at))->place;
    }
    return rc;
}

static int list_page(etx_engine *engine,
                     const etx_filter *filter,
                     etx_cursor *cursor,
                     uint32_t limit,
                     uint8_t all,
                     etx_status_fn each,
                     void *user,
                     uint32_t *ret_found) {
    etx__partition *partition = engine->partition[cursor->word[0]];
    etx_tx *request = etx__request_make(engine);
    if (request == NULL) {
        return etx__engine_refuse(engine, ETX_ENOMEM);
    }
    request->ask = ETX__ASK_LIST;
    request->partition = partition;
    request->filter = filter_keep(request, filter);
    if (request->filter == NULL) {
        etx__request_free(request);
        return etx__engine_refuse(engine, ETX_ENOMEM);
    }
    request->cursor = *cursor;
    request->limit = limit;
    request->lists_all = all;
    int rc = etx__request_wait(&request, NULL);
    if (request == NULL) {
        return rc;
    }
    rc = rc != 0 ? rc : list_give(request, each, user, cursor, ret_found);
    etx__request_free(request);
    return rc;
}

static int filter_usable(const etx_filter *filter, etx_filter *ours) {
    if (filter == NULL) {
        return 0;
    }
    return etx__options_take(ours, sizeof *ours, filter, filter->size);
}

/* What no transaction can be would find nothing, and nobody would know why. */
static const char *filter_wrong(const etx_filter *filter) {
    const uint32_t states = (2u << ETX_ABORTED) - 1;
    const uint32_t marks = ETX_MARK_FORCED | ETX_MARK_PARKED | ETX_MARK_HELD |
                           ETX_MARK_NEVER_BEGUN | ETX_MARK_CHOSEN | ETX_MARK_STALLED |
                           ETX_MARK_UNREGISTERED | ETX_MARK_ENDED;
    return (filter->states & ~states) != 0             ? "filter: states has an unknown bit"
           : (filter->marks & ~marks) != 0             ? "filter: marks has an unknown bit"
           : (uint32_t)filter->kind > ETX_NOTIFICATION ? "filter: kind is none"
                                                       : NULL;
}

int etx__ask_list(etx_engine *engine,
                  const etx_filter *filter,
                  etx_cursor *cursor,
                  uint32_t limit,
                  uint8_t all,
                  etx_status_fn each,
                  void *user) {
    etx_filter ours = ETX_FILTER_INIT;
    int rc = etx__engine_serves(engine);
    if (rc != 0) {
        return rc;
    }
    if (each == NULL) {
        return etx__engine_invalid(engine, "each is NULL: nobody is told");
    }
    if (filter_usable(filter, &ours) != 0) {
        return etx__engine_invalid(engine, "the filter's size is not known: use ETX_FILTER_INIT");
    }
    const char *wrong = filter_wrong(&ours);
    if (wrong != NULL) {
        return etx__engine_invalid(engine, wrong);
    }
    if (cursor == NULL || cursor->word[0] >= engine->partition_count) {
        return etx__engine_invalid(engine, "cursor: zeros, or what etx_list left there");
    }
    while (rc == 0 && limit > 0) {
        uint32_t found = 0;
        rc = list_page(engine, &ours, cursor, limit, all, each, user, &found);
        limit -= found;
        if (cursor->word[1] == UINT64_MAX) {
            cursor->word[1] = 0;
            if (++cursor->word[0] == engine->partition_count) {
                cursor->word[0] = 0;
                return rc;
            }
        }
    }
    return rc;
}

int etx_list(etx_engine *engine,
             const etx_filter *filter,
             etx_cursor *cursor,
             uint32_t limit,
             etx_status_fn each,
             void *user) {
    return etx__ask_list(engine, filter, cursor, limit, 0, each, user);
}
