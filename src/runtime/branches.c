/* The branches of a transaction in the caller's memory: adding them, and settling their order. */
#include <string.h>

#include "options.h"
#include "request.h"

/* ---- adding */

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

/* What only its registration says of the branch: that may change, and the begin stays the same. */
static uint8_t registered_flags(const etx__registered *registered, const etx_branch *from) {
    if (registered == NULL) {
        return 0;
    }
    etx_kind kind = registered->p.kind;
    int forward = kind == ETX_TCC || kind == ETX_SAGA || kind == ETX_XA;
    uint32_t flags = registered->p.branch_flags;
    flags |= forward && registered->p.forward == NULL ? ETX_BY_INITIATOR : 0u;
    return (uint8_t)(flags & ~from->flags);
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
    if (registered != NULL && registered->p.forward == NULL && registered->p.commit == NULL &&
        registered->p.undo == NULL) {
        return etx__request_fail(tx, ETX_EINVALID,
                                 "%.64s is registered without an operation of a branch: it is an "
                                 "initiator only",
                                 from->participant);
    }
    to->kind = (uint8_t)kind;
    uint8_t more = registered_flags(registered, from);
    tx->named[tx->begin.branch_count].registered = more;
    to->flags = (uint8_t)(from->flags | more);
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

static int is_taken(const etx_tx *tx, etx_bytes name) {
    const uint8_t *ours = name.data;
    for (uint16_t i = 0; i < tx->begin.branch_count; i++) {
        const uint8_t *theirs = tx->branch[i].name.data;
        if (tx->branch[i].name.len == name.len && theirs[name.len - 1] == ours[name.len - 1] &&
            memcmp(theirs, ours, name.len) == 0) {
            return 1;
        }
    }
    return 0;
}

static int refuse_taken(etx_tx *tx, const char *name, int given) {
    return given ? etx__request_fail(tx, ETX_ECONFLICT, "two branches of the name %.64s", name)
                 : etx__request_fail(tx, ETX_ECONFLICT,
                                     "a branch without a name is called by its place, %.64s, and "
                                     "another branch was given that name: name this one too",
                                     name);
}

/* Two branches of one name are one to a fence: the second would be told that it is done. Nor is
 * another name made: who repeats the begin is to come to the same names. */
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
    /* Places differ from one another: only a name that was given can be one. */
    if ((from->name != NULL || tx->numbered) && is_taken(tx, (etx_bytes){name, len})) {
        return refuse_taken(tx, name, from->name != NULL);
    }
    tx->numbered |= from->name != NULL && name[0] >= '0' && name[0] <= '9';
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
    if (from->payload_len > engine->options.payload_max ||
        from->content_len > engine->options.payload_max) {
        return etx__request_fail(tx, ETX_EINVALID, "a payload of %zu bytes is over payload_max, %u",
                                 from->payload_len, engine->options.payload_max);
    }
    if ((from->payload == NULL && from->payload_len > 0) ||
        (from->content == NULL && from->content_len > 0) || (from->flags & ~flags) ||
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
    etx_bytes *content = &tx->named[tx->begin.branch_count].content;
    *content = (etx_bytes){NULL, 0};
    if (from->content != NULL) {
        *content = etx__request_keep(tx, from->content, from->content_len);
    }
    to->attempts_max = from->attempts_max;
    to->call_timeout_ms = from->call_timeout_ms;
    to->retry_first_ms = from->retry_first_ms;
    to->retry_cap_ms = from->retry_cap_ms;
    if (to->payload.data == NULL || (from->content != NULL && content->data == NULL)) {
        return etx__request_fail(tx, ETX_ENOMEM, "%s", etx_strerror(ETX_ENOMEM));
    }
    tx->begin.branch_count++;
    return 0;
}

/* A builder that was refused a branch would run what is left of it, half a transfer perhaps: it
 * remembers the first refusal, and is not run any more. */
static int remember_refused(etx_tx *tx, int rc) {
    if (rc != 0 && tx->refused == 0) {
        tx->refused = rc;
        tx->text[0] =
            etx__request_keep(tx, tx->outcome.reason, strnlen(tx->outcome.reason, ETX_REASON_MAX));
    }
    return rc;
}

int etx__branches_refused(etx_tx *tx) {
    if (tx->refused == 0) {
        return 0;
    }
    const char *why = tx->text[0].data != NULL ? tx->text[0].data : etx_strerror(tx->refused);
    return etx__request_fail(tx, tx->refused, "%s", why);
}

static int is_builder(etx_tx *tx) {
    int rc = tx != NULL ? etx__engine_usable(tx->engine) : ETX_EINVALID;
    if (rc == 0 && tx->begun) {
        rc = etx__request_fail(tx, ETX_ESTATE, "it is begun: use etx_tx_enlist");
    }
    return rc;
}

int etx_tx_add_branch(etx_tx *tx, const etx_branch *branch) {
    etx_branch ours = ETX_BRANCH_INIT;
    int rc = is_builder(tx);
    if (rc != 0) {
        return rc;
    }
    if (branch == NULL || etx__options_take(&ours, sizeof ours, branch, branch->size) != 0) {
        rc = etx__request_fail(tx, ETX_EINVALID,
                               "the branch's size is not known: use ETX_BRANCH_INIT");
    }
    return remember_refused(tx, rc != 0 ? rc : etx__branch_add(tx, &ours));
}

int etx_tx_add(etx_tx *tx, const char *participant, const void *payload, size_t len) {
    etx_branch branch = ETX_BRANCH_INIT;
    int rc = is_builder(tx);
    branch.participant = participant;
    branch.payload = payload;
    branch.payload_len = len;
    return rc != 0 ? rc : remember_refused(tx, etx__branch_add(tx, &branch));
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

int etx__branch_known(const etx__tx *tx, etx_bytes name) {
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        const etx__branch_state *branch = &tx->branch[i]->s;
        if (branch->name_len == name.len && memcmp(branch->name, name.data, name.len) == 0) {
            return 1;
        }
    }
    return 0;
}
