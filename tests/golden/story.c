/* Stories: what each command does to the world. The README beside it lists them. */
#include "world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 1100 };

typedef struct command {
    char *word[WORDS];
    int words;
    char label[64]; /* the line's first words: names the waiter */
} command;

/* ---- words */

/* The value of "name=value" among the words, or NULL. */
static const char *option(const command *c, const char *name) {
    size_t len = strlen(name);
    for (int i = 1; i < c->words; i++) {
        if (strncmp(c->word[i], name, len) == 0 && c->word[i][len] == '=') {
            return c->word[i] + len + 1;
        }
    }
    return NULL;
}

static uint64_t number(const command *c, const char *name, uint64_t otherwise) {
    const char *value = option(c, name);
    return value != NULL ? strtoull(value, NULL, 10) : otherwise;
}

static int flag(const command *c, const char *name) {
    for (int i = 1; i < c->words; i++) {
        if (strcmp(c->word[i], name) == 0) {
            return 1;
        }
    }
    return 0;
}

static etx_bytes bytes_of(const char *text) {
    return (etx_bytes){text, text != NULL ? strlen(text) : 0};
}

static const char *word(const command *c, int at) {
    return at < c->words ? c->word[at] : "";
}

static unsigned named(const char *name, const char *const *names, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (names[i] != NULL && strcmp(names[i], name) == 0) {
            return i;
        }
    }
    return 0;
}

static etx_reply reply_of(const char *name) {
    static const char *const names[] = {NULL,    "done",  "refused", "working",
                                        "retry", "later", "unsent"};
    return (etx_reply)named(name, names, 7);
}

static etx_kind kind_of(const char *name) {
    static const char *const names[] = {NULL, "tcc", "saga", "xa", "message", "notification"};
    return (etx_kind)named(name, names, 6);
}

static etx_wait wait_of(const command *c, etx_wait otherwise) {
    static const char *const names[] = {NULL, "begun", "decided", "ended"};
    const char *value = option(c, "wait");
    return value != NULL ? (etx_wait)named(value, names, 4) : otherwise;
}

/* ---- branches: NAME:KIND[:PARTICIPANT[:FLAGS]][@PLACE,PLACE] */

typedef struct spec {
    char room[256];
    uint16_t depends_on[8];
    etx_bytes after[8]; /* as names */
    uint8_t ordered;
} spec;

static int branch_of(const char *text, spec *room, etx_record_branch *ret_branch) {
    char *rest = room->room;
    memset(ret_branch, 0, sizeof *ret_branch);
    snprintf(room->room, sizeof room->room, "%s", text);
    char *after = strchr(rest, '@');
    if (after != NULL) {
        *after++ = 0;
        room->ordered = 1;
    }
    const char *name = strtok_r(rest, ":", &rest);
    const char *kind = strtok_r(NULL, ":", &rest);
    const char *participant = strtok_r(NULL, ":", &rest);
    const char *flags = strtok_r(NULL, ":", &rest);
    if (kind == NULL || kind_of(kind) == 0) {
        return -1;
    }
    ret_branch->name = bytes_of(name);
    ret_branch->kind = (uint8_t)kind_of(kind);
    ret_branch->participant = bytes_of(participant != NULL ? participant : "shop");
    for (; flags != NULL && *flags != 0; flags++) {
        ret_branch->flags |= *flags == 'i'   ? ETX_BY_INITIATOR
                             : *flags == 'k' ? ETX_KEEPS_REFUSALS
                                             : ETX_WANTS_RESULTS;
    }
    for (char *each = strtok_r(after, ",", &rest); after != NULL && each != NULL;
         each = strtok_r(NULL, ",", &rest)) {
        room->after[ret_branch->depends_on_count] = bytes_of(each);
        room->depends_on[ret_branch->depends_on_count++] = (uint16_t)strtoul(each, NULL, 10);
    }
    ret_branch->depends_on = room->depends_on;
    return 0;
}

static int is_branch(const char *text) {
    const char *colon = strchr(text, ':');
    const char *equal = strchr(text, '=');
    return colon != NULL && (equal == NULL || colon < equal);
}

/* ---- begin */

static int many_branches(const command *c, etx_record_branch *branch, spec *specs) {
    int count = 0;
    for (int i = 2; i < c->words; i++) {
        if (is_branch(c->word[i]) && branch_of(c->word[i], &specs[count], &branch[count]) == 0) {
            count++;
        }
    }
    return count;
}

static int do_begin(world *w, const command *c) {
    static const char *const modes[] = {NULL, "submitted", "interactive", "resumed"};
    etx_record_branch *branch = calloc(WORDS, sizeof *branch);
    spec *specs = calloc(WORDS, sizeof *specs);
    if (branch == NULL || specs == NULL) {
        abort();
    }
    const char *mode = option(c, "mode");
    etx_record_begin begin = {.time_ms = w->now.wall_ms, .durability = ETX_LOCAL};
    begin.mode = (uint8_t)(mode != NULL ? named(mode, modes, 4) : ETX_SUBMITTED);
    begin.branch_count = (uint16_t)many_branches(c, branch, specs);
    begin.branches = branch;
    begin.deadline_ms = number(c, "deadline", 0);
    begin.deadline_ms += begin.deadline_ms > 0 ? w->now.wall_ms : 0;
    begin.initiator = bytes_of(option(c, "initiator"));
    begin.resume_ms = (uint32_t)number(c, "resume", 10000);
    begin.marks = flag(c, "made") || flag(c, "old") ? 0 : ETX_MARK_CHOSEN;
    begin.digest = etx_record_begin_digest(&begin);
    etx__event event;
    world_event(w, &event, ETX__EV_BEGIN, word(c, 1));
    event.u.begin.begin = &begin;
    event.old = (uint8_t)flag(c, "old");
    etx_wait wait = begin.mode == ETX_SUBMITTED ? ETX_WAIT_ENDED : ETX_WAIT_BEGUN;
    if (!flag(c, "nobody")) {
        event.waiter = world_waiter_make(w, c->label, wait_of(c, wait), 0);
    }
    world_step(w, &event);
    free(branch);
    free(specs);
    return 0;
}

static int do_enlist(world *w, const command *c) {
    etx_record_branch branch;
    spec room = {0};
    etx__event event;
    if (branch_of(word(c, 2), &room, &branch) != 0) {
        return -1;
    }
    world_event(w, &event, ETX__EV_ENLIST, word(c, 1));
    event.u.enlist.run = number(c, "run", 0) > 0 ? w->slot << 20 | number(c, "run", 0) : 0;
    event.u.enlist.depends_on = room.after;
    event.u.enlist.depends_on_count = branch.depends_on_count;
    event.u.enlist.default_order = !room.ordered;
    branch.depends_on_count = 0;
    event.u.enlist.branch = &branch;
    event.waiter = world_waiter_make(w, c->label, ETX_WAIT_BEGUN, 0);
    world_step(w, &event);
    return 0;
}

/* ---- what initiators and operators say */

static int do_result(world *w, const command *c) {
    etx__event event;
    world_event(w, &event, ETX__EV_RESULT, word(c, 1));
    event.u.result.run = number(c, "run", 0) > 0 ? w->slot << 20 | number(c, "run", 0) : 0;
    event.u.result.branch = bytes_of(word(c, 2));
    event.u.result.reply = (uint8_t)reply_of(word(c, 3));
    event.u.result.bytes = bytes_of(option(c, "bytes"));
    event.waiter = world_waiter_make(w, c->label, ETX_WAIT_BEGUN, 0);
    world_step(w, &event);
    return event.u.result.reply != 0 ? 0 : -1;
}

static int do_decide(world *w, const command *c, etx__event_type type) {
    etx__event event;
    world_event(w, &event, type, word(c, 1));
    event.u.decide.run = number(c, "run", 0) > 0 ? w->slot << 20 | number(c, "run", 0) : 0;
    event.u.decide.reason = bytes_of(type == ETX__EV_ABORT ? "the initiator aborted it" : NULL);
    event.old = (uint8_t)flag(c, "old");
    etx_wait wait = type == ETX__EV_HOLD ? ETX_WAIT_BEGUN : ETX_WAIT_ENDED;
    event.waiter = world_waiter_make(w, c->label, wait_of(c, wait), 0);
    world_step(w, &event);
    return 0;
}

static int do_wait(world *w, const command *c) {
    etx__event event;
    world_event(w, &event, ETX__EV_WAIT, word(c, 1));
    event.old = (uint8_t)flag(c, "old");
    event.waiter = world_waiter_make(w, c->label, wait_of(c, ETX_WAIT_ENDED), flag(c, "look"));
    world_step(w, &event);
    return 0;
}

static int do_operate(world *w, const command *c, etx__event_type type) {
    static const char *const forces[] = {NULL, "abort", "commit", "done"};
    static const char *const operations[] = {"forward", "commit", "undo"};
    etx__event event;
    world_event(w, &event, type, word(c, 1));
    event.u.operate.who = bytes_of("ann");
    event.u.operate.why = bytes_of("a reason");
    event.u.operate.force = (uint8_t)named(word(c, 2), forces, 4);
    event.u.operate.branch = bytes_of(word(c, 3));
    event.u.operate.operation = (uint8_t)named(word(c, 4), operations, 3);
    event.waiter = world_waiter_make(w, c->label, ETX_WAIT_BEGUN, 1);
    world_step(w, &event);
    return 0;
}

static int do_reply(world *w, const command *c) {
    world_call *call = world_call_find(w, word(c, 1), word(c, 2));
    etx_reply reply = reply_of(word(c, 3));
    if (call == NULL || reply == 0) {
        fprintf(stderr, "%s: no such call, or no such reply\n", w->at);
        return -1;
    }
    if (flag(c, "by-token")) {
        call->returned = 1;
    }
    world_reply(w, call, reply, bytes_of(option(c, "bytes")), bytes_of(option(c, "reason")),
                (uint32_t)number(c, "after", 0));
    return 0;
}

/* ---- the world */

static int do_participant(world *w, const command *c) {
    etx__policy policy = {0};
    policy.name_len =
        (uint8_t)snprintf(policy.name, sizeof policy.name, "%.*s", ETX_NAME_MAX, word(c, 1));
    policy.call_timeout_ms = (uint32_t)number(c, "timeout", 0);
    policy.retry_first_ms = (uint32_t)number(c, "first", 0);
    policy.retry_cap_ms = (uint32_t)number(c, "cap", 0);
    policy.attempts_max = (uint32_t)number(c, "attempts", 0);
    world_register(w, &policy);
    return 0;
}

static void options_of(const command *c, etx__core_options *o) {
    o->transactions_max = (uint32_t)number(c, "transactions", o->transactions_max);
    o->transactions_room = (uint32_t)number(c, "room", o->transactions_room);
    o->branches_max = (uint32_t)number(c, "branches", o->branches_max);
    o->history_max = number(c, "history", o->history_max);
    o->history_age_ms = number(c, "age", o->history_age_ms);
    o->image_max = (uint32_t)number(c, "image", o->image_max);
    o->park_after = (uint32_t)number(c, "park_after", o->park_after);
    o->pool_size = number(c, "pool", o->pool_size);
    o->history_strict = (uint8_t)number(c, "strict", o->history_strict);
    o->inspect = (uint8_t)number(c, "inspect", o->inspect);
}

static int do_world(world **w, const command *c, FILE *trace) {
    etx__core_options options = {
        .transactions_max = 16,
        .branches_max = 64,
        .history_max = 16,
        .history_age_ms = 86400000,
        .participants_max = WORLD_PARTICIPANTS,
        .image_max = 65536,
        .call_timeout_ms = 30000,
        .retry_first_ms = 100,
        .retry_cap_ms = 30000,
        .working_ms = 1000,
        .park_after = 10,
        .pool_size = 1 << 20,
    };
    options_of(c, &options);
    *w = world_make(&options, "story");
    (*w)->trace = trace;
    return 0;
}

/* Rewrites all that stands in the log so far; what stood there is gone. */
static int do_trim(world *w) {
    uint32_t before = w->records;
    etx__event event;
    world_event(w, &event, ETX__EV_MOVE, NULL);
    event.u.move.seq = w->core->seq + 1;
    world_step(w, &event);
    world_fly(w);
    world_durable(w);
    if (w->core->oldest != 0 && w->core->entry[w->core->oldest - 1].first_seq < event.u.move.seq) {
        fprintf(w->trace, "    not all could be moved\n");
    } else {
        w->first = before;
    }
    return 0;
}

static int do_show(world *w, const command *c) {
    etx_bytes gid = bytes_of(word(c, 1));
    const etx__entry *entry = etx__core_find(w->core, gid, etx__core_hash(gid));
    if (entry == NULL) {
        fprintf(w->trace, "    not known\n");
    } else {
        trace_entry(w->trace, w, entry);
    }
    return 0;
}

static int do_tick(world *w, const command *c) {
    uint64_t next = etx__timer_next(w->core);
    int until = strcmp(word(c, 1), "next") == 0;
    if (until && next == UINT64_MAX) {
        return -1;
    }
    uint64_t due = next > w->now.mono_ms ? next - w->now.mono_ms : 0;
    world_tick(w, until ? due : strtoull(word(c, 1), NULL, 10));
    return 0;
}

static int do_crash(world *w, const command *c) {
    options_of(c, &w->options);
    world_crash(w);
    fprintf(w->trace, "    read %u records, %u live\n", w->records - 1 - w->first, w->core->live);
    world_tick(w, 0);
    return 0;
}

static int do_forget(world *w) {
    etx__event event;
    world_event(w, &event, ETX__EV_FORGET, NULL);
    event.u.forget.rc = ETX_EUNKNOWN;
    world_step(w, &event);
    return 0;
}

static int do_time(world *w, const command *c) {
    const char *verb = c->word[0];
    if (strcmp(verb, "tick") == 0) {
        return do_tick(w, c);
    }
    if (strcmp(verb, "sleep") == 0) { /* time passes, and nobody gives the core a tick */
        uint64_t ms = strtoull(word(c, 1), NULL, 10);
        w->now.mono_ms += ms;
        w->now.mono_us += ms * 1000;
        w->now.wall_ms += ms;
        return 0;
    }
    if (strcmp(verb, "clock") == 0) {
        w->now.wall_ms += (uint64_t)strtoll(word(c, 1), NULL, 10);
        world_tick(w, 0);
        etx__event event;
        world_event(w, &event, ETX__EV_TICK, NULL);
        world_step(w, &event);
        world_tick(w, 0);
        return 0;
    }
    if (strcmp(verb, "put") == 0 || strcmp(verb, "fly") == 0) {
        world_fly(w);
    }
    if (strcmp(verb, "put") == 0 || strcmp(verb, "durable") == 0) {
        world_durable(w);
    }
    return 0;
}

typedef int (*do_fn)(world *w, const command *c);

static int do_event(world *w, const command *c) {
    static const struct {
        const char *verb;
        do_fn decide;
        etx__event_type type;
    } verbs[] = {
        {"hold", NULL, ETX__EV_HOLD},
        {"commit", NULL, ETX__EV_COMMIT},
        {"abort", NULL, ETX__EV_ABORT},
        {"begin", do_begin, 0},
        {"enlist", do_enlist, 0},
        {"result", do_result, 0},
        {"wait", do_wait, 0},
        {"reply", do_reply, 0},
        {"show", do_show, 0},
        {"crash", do_crash, 0},
        {"tick", do_time, 0},
        {"clock", do_time, 0},
        {"put", do_time, 0},
        {"fly", do_time, 0},
        {"durable", do_time, 0},
        {"sleep", do_time, 0},
        {"participant", do_participant, 0},
    };
    static const struct {
        const char *verb;
        etx__event_type type;
    } operators[] = {{"retry", ETX__EV_RETRY},
                     {"park", ETX__EV_PARK},
                     {"resume", ETX__EV_UNPARK},
                     {"force", ETX__EV_FORCE}};
    for (unsigned i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(verbs[i].verb, c->word[0]) == 0) {
            return verbs[i].decide != NULL ? verbs[i].decide(w, c) : do_decide(w, c, verbs[i].type);
        }
    }
    for (unsigned i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (strcmp(operators[i].verb, c->word[0]) == 0) {
            return do_operate(w, c, operators[i].type);
        }
    }
    if (strcmp(c->word[0], "trim") == 0) {
        return do_trim(w);
    }
    if (strcmp(c->word[0], "forget") == 0) {
        return do_forget(w);
    }
    if (strcmp(c->word[0], "giveup") == 0) {
        world_give_up(w, word(c, 1));
        return 0;
    }
    return -1;
}

int story_do(world **w, const char *line, FILE *trace) {
    command c = {0};
    char *copy = strdup(line);
    char *rest = copy;
    int rc = -1;
    if (copy == NULL) {
        abort();
    }
    for (char *each = strtok_r(copy, " \n", &rest); each != NULL && c.words < WORDS;
         each = strtok_r(NULL, " \n", &rest)) {
        c.word[c.words++] = each;
    }
    snprintf(c.label, sizeof c.label, "%s %s", word(&c, 0), word(&c, 1));
    if (c.words > 0 && strcmp(c.word[0], "world") == 0) {
        rc = *w == NULL ? do_world(w, &c, trace) : -1;
    } else if (c.words > 0 && *w != NULL) {
        (*w)->at = c.label;
        rc = do_event(*w, &c);
        uint64_t next = etx__timer_next((*w)->core);
        if (next != UINT64_MAX) {
            fprintf(trace, "    wakes in %" PRIu64 "\n",
                    next > (*w)->now.mono_ms ? next - (*w)->now.mono_ms : 0);
        }
        (*w)->at = "story";
    }
    free(copy);
    return rc;
}
