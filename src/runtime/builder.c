/* The builder: a transaction in the caller's memory until it is run or submitted. */
#include <stdio.h>
#include <string.h>

#include "home.h"
#include "options.h"
#include "request.h"
#include "shard.h"

/* ---- new */

static int take_initiator(etx_tx *tx, const etx_tx_options *o) {
    size_t len = o->initiator != NULL ? strlen(o->initiator) : 0;
    if (o->initiator != NULL && etx_name_check(o->initiator, len) != 0) {
        return etx__request_fail(tx, ETX_EINVALID, "initiator is no name");
    }
    if (o->initiator_payload_len > 0 && (o->initiator_payload == NULL || o->initiator == NULL)) {
        return etx__request_fail(tx, ETX_EINVALID, "an initiator's payload without %s",
                                 o->initiator == NULL ? "an initiator" : "its bytes");
    }
    if (o->initiator_payload_len > tx->engine->options.payload_max) {
        return etx__request_fail(tx, ETX_EINVALID,
                                 "an initiator's payload of %zu bytes is over payload_max, %u",
                                 o->initiator_payload_len, tx->engine->options.payload_max);
    }
    if (o->initiator == NULL) {
        return 0;
    }
    tx->begin.initiator = etx__request_keep(tx, o->initiator, len);
    tx->begin.initiator_payload =
        etx__request_keep(tx, o->initiator_payload, o->initiator_payload_len);
    return tx->begin.initiator.data != NULL && tx->begin.initiator_payload.data != NULL
               ? 0
               : etx__request_fail(tx, ETX_ENOMEM, "%s", etx_strerror(ETX_ENOMEM));
}

static int take_options(etx_tx *tx, const etx_tx_options *o) {
    etx_engine *engine = tx->engine;
    tx->begin.durability =
        (uint8_t)(o->durability != 0 ? o->durability : engine->options.durability);
    tx->wait = (uint8_t)(o->wait != 0 ? o->wait : ETX_WAIT_ENDED);
    tx->patience_ms = o->patience_ms > 0 ? o->patience_ms : engine->options.patience_ms;
    tx->deadline_ms = o->deadline_ms;
    if (tx->begin.durability > ETX_REPLICATED || tx->wait > ETX_WAIT_ENDED) {
        return etx__request_fail(tx, ETX_EINVALID, "durability or wait is out of range");
    }
    if (o->deadline_ms > engine->options.fence_age_ms / 2) {
        return etx__request_fail(tx, ETX_EINVALID,
                                 "a deadline of %u ms is not well below the age of fences (%u ms)",
                                 o->deadline_ms, engine->options.fence_age_ms);
    }
    int rc = take_initiator(tx, o);
    if (rc != 0) {
        return rc;
    }
    if (o->gid == NULL) {
        return 0;
    }
    rc = etx__request_bind(tx, o->gid, strnlen(o->gid, ETX_GID_MAX + 1));
    if (rc != 0) {
        return rc;
    }
    tx->chosen = 1;
    tx->shown = 1;
    tx->begin.marks = ETX_MARK_CHOSEN;
    return 0;
}

/* A handle with its options; *ret_mode as they say. */
static int handle_make(etx_engine *engine,
                       const etx_tx_options *options,
                       etx_tx_options *ours,
                       etx_tx **ret_tx) {
    int rc = etx__engine_usable(engine);
    if (rc != 0) {
        return rc;
    }
    if (options != NULL && etx__options_take(ours, sizeof *ours, options, options->size) != 0) {
        return etx__engine_fail(engine, ETX_EINVALID,
                                "the options' size is not known: use ETX_TX_OPTIONS_INIT");
    }
    etx_tx *tx = etx__request_make(engine);
    if (tx == NULL) {
        return etx__engine_refuse(engine, ETX_ENOMEM);
    }
    tx->type = ETX__EV_BEGIN;
    tx->begin.mode = ETX_SUBMITTED;
    rc = take_options(tx, ours);
    if (rc != 0) {
        etx__request_free(tx);
        return rc;
    }
    *ret_tx = tx;
    return 0;
}

/* A caller that does not look at the error finds no handle. */
static int no_handle(etx_engine *engine, etx_tx **ret_tx) {
    if (ret_tx == NULL) {
        return etx__engine_invalid(engine, "ret_tx is NULL");
    }
    *ret_tx = NULL;
    return 0;
}

int etx_tx_new(etx_engine *engine, const etx_tx_options *options, etx_tx **ret_tx) {
    etx_tx_options ours = ETX_TX_OPTIONS_INIT;
    int rc = no_handle(engine, ret_tx);
    return rc != 0 ? rc : handle_make(engine, options, &ours, ret_tx);
}

void etx_tx_discard(etx_tx *tx) {
    if (tx != NULL && *tx->engine->alive != 0) {
        etx__request_free(tx);
    }
}

const char *etx_tx_gid(etx_tx *tx) {
    if (tx == NULL || *tx->engine->alive == 0) {
        return NULL;
    }
    if (tx->gid_len == 0 && etx__request_place(tx, etx__clock_wall_ms()) != 0) {
        return NULL;
    }
    tx->shown = 1;
    return tx->gid;
}

/* ---- branches */

static int branches_grow(etx_tx *tx) {
    uint32_t room = tx->branch_room * 4;
    etx_record_branch *branch = etx__engine_alloc(tx->engine, room * sizeof *branch);
    etx__named *named = etx__engine_alloc(tx->engine, room * sizeof *named);
    if (branch == NULL || named == NULL) {
        etx__engine_release(tx->engine, branch, room * sizeof *branch);
        etx__engine_release(tx->engine, named, room * sizeof *named);
        return etx__request_fail(tx, ETX_ENOMEM, "%s", etx_strerror(ETX_ENOMEM));
    }
    memcpy(branch, tx->branch, tx->begin.branch_count * sizeof *branch);
    memcpy(named, tx->named, tx->begin.branch_count * sizeof *named);
    if (tx->branch_room > ETX__BRANCHES) {
        etx__engine_release(tx->engine, tx->branch, tx->branch_room * sizeof *branch);
        etx__engine_release(tx->engine, tx->named, tx->branch_room * sizeof *named);
    }
    tx->branch = branch;
    tx->named = named;
    tx->branch_room = room;
    return 0;
}

static int take_depends(etx_tx *tx, const etx_branch *from, etx__named *named) {
    named->given = from->depends_on != NULL || from->independent;
    named->count = 0;
    if (from->depends_on == NULL || from->depends_on_count == 0) {
        return 0;
    }
    if (from->depends_on_count >= ETX_BRANCHES_MAX) {
        return etx__request_fail(tx, ETX_EINVALID, "depends_on names %zu branches: too many",
                                 from->depends_on_count);
    }
    etx_bytes *names = etx__request_alloc(tx, from->depends_on_count * sizeof *names);
    if (names == NULL) {
        return etx__request_fail(tx, ETX_ENOMEM, "%s", etx_strerror(ETX_ENOMEM));
    }
    for (size_t i = 0; i < from->depends_on_count; i++) {
        const char *name = from->depends_on[i];
        size_t len = name != NULL ? strnlen(name, ETX_NAME_MAX + 1) : 0;
        if (etx_name_check(name, len) != 0) {
            return etx__request_fail(tx, ETX_EINVALID, "depends_on has what is no name");
        }
        names[i] = etx__request_keep(tx, name, len);
        if (names[i].data == NULL) {
            return etx__request_fail(tx, ETX_ENOMEM, "%s", etx_strerror(ETX_ENOMEM));
        }
    }
    named->name = names;
    named->count = (uint16_t)from->depends_on_count;
    return 0;
}

static int take_kind(etx_tx *tx, const etx_branch *from, etx_record_branch *to) {
    etx_engine *engine = tx->engine;
    size_t len = from->participant != NULL ? strnlen(from->participant, ETX_NAME_MAX + 1) : 0;
    const etx__registered *registered =
        len > 0 ? etx__engine_participant(engine, from->participant, len) : NULL;
    if (registered == NULL && etx_name_check(from->participant, len) != 0) {
        return etx__request_fail(tx, ETX_EINVALID, "a branch needs a participant's name");
    }
    if (registered == NULL && from->kind == 0) {
        return etx__request_fail(tx, ETX_ENOTFOUND,
                                 "participant %.64s is not registered: call etx_engine_register",
                                 from->participant);
    }
    etx_kind kind = from->kind != 0 ? from->kind : registered->p.kind;
    if (kind < ETX_TCC || kind > ETX_NOTIFICATION ||
        (registered != NULL && registered->p.kind != kind)) {
        return etx__request_fail(tx, ETX_EINVALID, "branch of %.64s: its kind is another",
                                 from->participant);
    }
    to->kind = (uint8_t)kind;
    to->flags = (uint8_t)(from->flags | (registered != NULL ? registered->p.branch_flags : 0));
    int forward = kind == ETX_TCC || kind == ETX_SAGA || kind == ETX_XA;
    if (forward && registered != NULL && registered->p.forward == NULL) {
        to->flags |= ETX_BY_INITIATOR;
    }
    if (registered != NULL) {
        to->participant = (etx_bytes){registered->name, len}; /* never moves, never goes */
        return 0;
    }
    to->participant = etx__request_keep(tx, from->participant, len);
    return to->participant.data != NULL
               ? 0
               : etx__request_fail(tx, ETX_ENOMEM, "%s", etx_strerror(ETX_ENOMEM));
}

/* The place in decimal, ending before `end`. */
static const char *place_name(char *end, unsigned place) {
    *--end = 0;
    do {
        *--end = (char)('0' + place % 10);
        place /= 10;
    } while (place > 0);
    return end;
}

static int take_name(etx_tx *tx, const etx_branch *from, etx_record_branch *to) {
    char place[8];
    const char *name = from->name;
    if (name == NULL) {
        name = place_name(place + sizeof place, tx->begin.branch_count);
    }
    size_t len = strnlen(name, ETX_NAME_MAX + 1);
    if (name == from->name && etx_name_check(name, len) != 0) {
        return etx__request_fail(tx, ETX_EINVALID,
                                 "a branch's name is 1 to 64 printable characters, no space");
    }
    to->name = etx__request_keep(tx, name, len);
    return to->name.data != NULL
               ? 0
               : etx__request_fail(tx, ETX_ENOMEM, "%s", etx_strerror(ETX_ENOMEM));
}

int etx__branch_add(etx_tx *tx, const etx_branch *from) {
    etx_engine *engine = tx->engine;
    uint32_t flags = ETX_BY_INITIATOR | ETX_KEEPS_REFUSALS | ETX_WANTS_RESULTS;
    if (tx->begin.branch_count >= engine->options.branches_max) {
        return etx__request_fail(tx, ETX_EINVALID, "more than %u branches: see branches_max",
                                 engine->options.branches_max);
    }
    if (from->payload_len > engine->options.payload_max) {
        return etx__request_fail(tx, ETX_EINVALID, "a payload of %zu bytes is over payload_max, %u",
                                 from->payload_len, engine->options.payload_max);
    }
    if ((from->payload == NULL && from->payload_len > 0) || (from->flags & ~flags) ||
        (from->depends_on == NULL && from->depends_on_count > 0)) {
        return etx__request_fail(tx, ETX_EINVALID, "the branch's struct contradicts itself");
    }
    if (tx->begin.branch_count == tx->branch_room && branches_grow(tx) != 0) {
        return etx__request_fail(tx, ETX_ENOMEM, "%s", etx_strerror(ETX_ENOMEM));
    }
    etx_record_branch *to = &tx->branch[tx->begin.branch_count];
    memset(to, 0, sizeof *to);
    int rc = take_kind(tx, from, to);
    rc = rc != 0 ? rc : take_name(tx, from, to);
    rc = rc != 0 ? rc : take_depends(tx, from, &tx->named[tx->begin.branch_count]);
    if (rc != 0) {
        return rc;
    }
    to->payload = etx__request_keep(tx, from->payload, from->payload_len);
    to->attempts_max = from->attempts_max;
    to->call_timeout_ms = from->call_timeout_ms;
    to->retry_first_ms = from->retry_first_ms;
    to->retry_cap_ms = from->retry_cap_ms;
    if (to->payload.data == NULL) {
        return etx__request_fail(tx, ETX_ENOMEM, "%s", etx_strerror(ETX_ENOMEM));
    }
    tx->begin.branch_count++;
    return 0;
}

static int add_to_new(etx_tx *tx, const etx_branch *branch) {
    if (tx->begun) {
        return etx__request_fail(tx, ETX_ESTATE, "it is begun: use etx_tx_enlist");
    }
    for (uint16_t i = 0; branch->name != NULL && i < tx->begin.branch_count; i++) {
        const etx_bytes *name = &tx->branch[i].name;
        if (strlen(branch->name) == name->len && memcmp(branch->name, name->data, name->len) == 0) {
            return etx__request_fail(tx, ETX_ECONFLICT, "two branches of the name %.64s",
                                     branch->name);
        }
    }
    return etx__branch_add(tx, branch);
}

int etx_tx_add_branch(etx_tx *tx, const etx_branch *branch) {
    etx_branch ours = ETX_BRANCH_INIT;
    int rc = tx != NULL ? etx__engine_usable(tx->engine) : ETX_EINVALID;
    if (rc != 0) {
        return rc;
    }
    if (branch == NULL || etx__options_take(&ours, sizeof ours, branch, branch->size) != 0) {
        return etx__request_fail(tx, ETX_EINVALID,
                                 "the branch's size is not known: use ETX_BRANCH_INIT");
    }
    return add_to_new(tx, &ours);
}

int etx_tx_add(etx_tx *tx, const char *participant, const void *payload, size_t len) {
    etx_branch branch = ETX_BRANCH_INIT;
    int rc = tx != NULL ? etx__engine_usable(tx->engine) : ETX_EINVALID;
    branch.participant = participant;
    branch.payload = payload;
    branch.payload_len = len;
    return rc != 0 ? rc : add_to_new(tx, &branch);
}

/* ---- settling the order */

static int place_of(const etx_tx *tx, etx_bytes name) {
    for (uint16_t i = 0; i < tx->begin.branch_count; i++) {
        const etx_bytes *own = &tx->branch[i].name;
        if (own->len == name.len && memcmp(own->data, name.data, name.len) == 0) {
            return i;
        }
    }
    return -1;
}

static int resolve_named(etx_tx *tx, uint16_t place) {
    const etx__named *named = &tx->named[place];
    uint16_t *places = etx__request_alloc(tx, named->count * sizeof *places + 1);
    if (places == NULL) {
        return etx__request_fail(tx, ETX_ENOMEM, "%s", etx_strerror(ETX_ENOMEM));
    }
    for (uint16_t i = 0; i < named->count; i++) {
        int before = place_of(tx, named->name[i]);
        if (before < 0 || before == place) {
            return etx__request_fail(tx, ETX_EINVALID, "branch %.64s depends on %.64s, which is %s",
                                     (const char *)tx->branch[place].name.data,
                                     (const char *)named->name[i].data,
                                     before < 0 ? "not there" : "itself");
        }
        places[i] = (uint16_t)before;
    }
    tx->branch[place].depends_on = places;
    tx->branch[place].depends_on_count = named->count;
    return 0;
}

/* Saga steps follow one another unless told otherwise. */
static int resolve_default(etx_tx *tx, uint16_t place, int last_step) {
    if (tx->branch[place].kind != ETX_SAGA || last_step < 0) {
        return 0;
    }
    uint16_t *places = etx__request_alloc(tx, sizeof *places);
    if (places == NULL) {
        return etx__request_fail(tx, ETX_ENOMEM, "%s", etx_strerror(ETX_ENOMEM));
    }
    places[0] = (uint16_t)last_step;
    tx->branch[place].depends_on = places;
    tx->branch[place].depends_on_count = 1;
    return 0;
}

/* Takes away what depends on nothing that is left, until nothing is left, or a cycle is. */
static int check_cycles(etx_tx *tx) {
    uint16_t count = tx->begin.branch_count;
    uint16_t taken[ETX_BRANCHES_MAX / 16];
    memset(taken, 0, sizeof taken);
    uint16_t left = count;
    for (int found = 1; left > 0 && found;) {
        found = 0;
        for (uint16_t i = 0; i < count; i++) {
            int open = (taken[i / 16] >> (i % 16)) & 1;
            for (uint16_t d = 0; !open && d < tx->branch[i].depends_on_count; d++) {
                uint16_t on = tx->branch[i].depends_on[d];
                open = !((taken[on / 16] >> (on % 16)) & 1);
            }
            if (!open) {
                taken[i / 16] |= (uint16_t)(1u << (i % 16));
                left--;
                found = 1;
            }
        }
    }
    return left == 0
               ? 0
               : etx__request_fail(tx, ETX_EINVALID, "branches depend on one another in a circle");
}

int etx__branches_settle(etx_tx *tx) {
    int last_step = -1;
    int any_given = 0;
    for (uint16_t i = 0; i < tx->begin.branch_count; i++) {
        int rc = tx->named[i].given ? resolve_named(tx, i) : resolve_default(tx, i, last_step);
        if (rc != 0) {
            return rc;
        }
        any_given |= tx->named[i].count > 0;
        last_step = tx->branch[i].kind == ETX_SAGA ? i : last_step;
    }
    tx->begin.branches = tx->branch;
    return any_given ? check_cycles(tx) : 0;
}

/* It begins now; so says its gid too, if it has none yet. */
static int place_and_time(etx_tx *tx) {
    uint64_t wall_ms = etx__clock_wall_ms();
    int rc = tx->gid_len == 0 ? etx__request_place(tx, wall_ms) : 0;
    tx->begin.time_ms = wall_ms;
    tx->begin.deadline_ms = tx->deadline_ms > 0 ? wall_ms + tx->deadline_ms : 0;
    tx->begin.digest = rc == 0 ? etx_record_begin_digest(&tx->begin) : 0;
    return rc;
}

/* ---- run and submit */

static int ready(etx_tx *tx) {
    tx->outcome.reason[0] = 0;
    int rc = etx__engine_usable(tx->engine);
    if (rc == 0 && tx->begun) {
        rc = etx__request_fail(tx, ETX_ESTATE, "it is begun: use etx_tx_commit");
    }
    if (rc == 0 && tx->begin.branch_count == 0) {
        rc = etx__request_fail(tx, ETX_EINVALID, "a transaction without branches");
    }
    rc = rc != 0 ? rc : etx__branches_settle(tx);
    etx__request_raise(tx);
    return rc != 0 ? rc : place_and_time(tx);
}

/* Why is said where it went wrong, in the transaction's own outcome. */
static int give_error(etx_tx *tx, int rc, etx_outcome *outcome) {
    if (*tx->engine->alive == 0) {
        return etx__outcome_fail(tx->engine, tx->gid, rc, outcome);
    }
    if (outcome != NULL) {
        memcpy(tx->outcome.gid, tx->gid, tx->gid_len + 1u);
        if (tx->outcome.reason[0] == 0) {
            snprintf(tx->outcome.reason, sizeof tx->outcome.reason, "%s", etx_strerror(rc));
        }
        etx__outcome_give(outcome, &tx->outcome);
    }
    etx__request_free(tx);
    return rc;
}

int etx_tx_run(etx_tx *tx, etx_outcome *outcome) {
    if (tx == NULL) {
        return etx__outcome_fail(NULL, NULL, ETX_EINVALID, outcome);
    }
    int rc = ready(tx);
    rc = rc != 0 ? rc : etx__outcome_check(tx->engine, outcome);
    return rc != 0 ? give_error(tx, rc, outcome) : etx__request_run(tx, outcome);
}

int etx_tx_submit(etx_tx *tx, etx_done_fn done, void *user) {
    return etx_tx_submit_named(tx, NULL, done, user);
}

int etx_tx_submit_named(etx_tx *tx, etx_gid_fn named, etx_done_fn done, void *user) {
    if (tx == NULL) {
        return ETX_EINVALID;
    }
    int rc = ready(tx);
    if (rc != 0) {
        return give_error(tx, rc, NULL);
    }
    tx->on_gid = named;
    tx->done = done;
    tx->user = user;
    if (named != NULL) {
        (void)named(tx->gid, user);
    }
    if (!etx__engine_inside(tx->engine)) {
        rc = etx__shard_admit(tx->partition->shard, tx->patience_ms);
    }
    if (rc != 0) {
        etx__request_fail(tx, rc, "the engine is far behind with what was submitted");
        return give_error(tx, rc, NULL);
    }
    etx__request_send(tx);
    return 0;
}

/* ---- begin: interactive and resumed */

static int begin_make(etx_engine *engine, const etx_tx_options *options, etx_tx **ret_tx) {
    etx_tx_options ours = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    int rc = handle_make(engine, options, &ours, &tx);
    if (rc != 0) {
        return rc;
    }
    rc = etx__initiator_check(engine, ours.mode, ours.initiator);
    if (rc != 0) {
        etx__request_free(tx);
        return rc;
    }
    tx->begin.mode = (uint8_t)ours.mode;
    tx->begin.resume_ms =
        ours.mode == ETX_RESUMED ? (ours.resume_ms > 0 ? ours.resume_ms : 10000) : 0;
    tx->deadline_ms = tx->deadline_ms > 0 ? tx->deadline_ms : engine->options.deadline_ms;
    tx->begin.branches = tx->branch;
    rc = place_and_time(tx);
    if (rc != 0) {
        etx__request_free(tx);
        return rc;
    }
    tx->begun = 1;
    tx->shown = 1;
    *ret_tx = tx;
    return 0;
}

/* The command that begins what the handle stands for. */
static etx_tx *begin_request(const etx_tx *tx) {
    etx_tx *request = etx__request_make(tx->engine);
    if (request == NULL) {
        return NULL;
    }
    request->type = ETX__EV_BEGIN;
    request->begin = tx->begin;
    request->partition = tx->partition;
    request->hash = tx->hash;
    request->chosen = tx->chosen;
    request->old = tx->old;
    request->shown = 1;
    request->wait = ETX_WAIT_BEGUN;
    request->patience_ms = tx->patience_ms;
    request->gid_len = tx->gid_len;
    memcpy(request->gid, tx->gid, tx->gid_len + 1u);
    if (tx->begin.initiator.len > 0) {
        request->begin.initiator =
            etx__request_keep(request, tx->begin.initiator.data, tx->begin.initiator.len);
        request->begin.initiator_payload = etx__request_keep(
            request, tx->begin.initiator_payload.data, tx->begin.initiator_payload.len);
        if (request->begin.initiator.data == NULL ||
            request->begin.initiator_payload.data == NULL) {
            etx__request_free(request);
            return NULL;
        }
    }
    return request;
}

int etx_tx_begin(etx_engine *engine, const etx_tx_options *options, etx_tx **ret_tx) {
    etx_tx *tx = NULL;
    int rc = no_handle(engine, ret_tx);
    rc = rc != 0 ? rc : begin_make(engine, options, &tx);
    if (rc != 0) {
        return rc;
    }
    etx_tx *request = begin_request(tx);
    uint64_t run = 0;
    if (request != NULL) {
        request->run_to = &run;
        rc = etx__request_run(request, NULL);
    } else {
        rc = etx__engine_refuse(engine, ETX_ENOMEM);
    }
    if (rc != 0) {
        etx__request_free(tx);
        return rc;
    }
    tx->run = run;
    *ret_tx = tx;
    return 0;
}

int etx_tx_begin_async(etx_engine *engine,
                       const etx_tx_options *options,
                       etx_done_fn done,
                       void *user,
                       etx_tx **ret_tx) {
    etx_tx *tx = NULL;
    int rc = no_handle(engine, ret_tx);
    rc = rc != 0 ? rc : begin_make(engine, options, &tx);
    if (rc != 0) {
        return rc;
    }
    etx_tx *request = begin_request(tx);
    if (request == NULL) {
        etx__request_free(tx);
        return etx__engine_refuse(engine, ETX_ENOMEM);
    }
    request->done = done;
    request->user = user;
    request->run_to = tx->begin.mode == ETX_RESUMED ? &tx->run : NULL;
    *ret_tx = tx;
    etx__request_send(request);
    return 0;
}
