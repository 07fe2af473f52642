/* Branches that are alike: states that differ in nothing but which of them is which. */
#include "explore.h"

#include <string.h>

/* Where a configuration tells branches apart by nothing but their names, whatever can happen to one
 * state can happen to the state with these branches exchanged. That the core sees it so is not
 * presumed: beside every step of a memory, the exchanged event is done to its twin, the memory with
 * the branches exchanged. What it is then is the twin of what the first is then; and if it has
 * another twin already, or was left by other records, calls or answers, or looks different from
 * outside, the exploration ends with that finding. So each exchange is a bisimulation of all
 * memories and events that occur, seen as it is used.
 *
 * The results that a batch carries may stand in any order: the core writes down those that it knows
 * by the branches' places. That the order does not matter is seen as well, for each batch that is
 * read: it is read once more with its results in order. */

enum { TWIN_BYTES = 8192, RECORDS_MAX = 64, TWIN_KEY = 16, IMAGE_KEY = 32 };

/* ---- which exchanges there are */

static const uint8_t every[EXPLORE_TWINS][EXPLORE_PLACES] = {
    {0, 1, 2, 3}, {1, 0, 2, 3}, {0, 2, 1, 3}, {2, 1, 0, 3}, {1, 2, 0, 3}, {2, 0, 1, 3},
};

static unsigned exchanged(unsigned bits, const uint8_t *to) {
    unsigned made = 0;
    for (unsigned i = 0; i < EXPLORE_PLACES; i++) {
        made |= (bits >> i & 1) << to[i];
    }
    return made;
}

static int is_alike(const explore_config *config, const uint8_t *to) {
    const explore_transaction *tx = &config->tx[0];
    for (unsigned i = 0; i < EXPLORE_BRANCHES; i++) {
        const explore_branch *one = &tx->branch[i], *other = &tx->branch[to[i]];
        if (one->kind != other->kind || one->flags != other->flags ||
            one->participant != other->participant || one->bytes != other->bytes ||
            exchanged(one->after, to) != other->after) {
            return 0;
        }
    }
    return exchanged(config->refuse, to) == config->refuse &&
           exchanged(config->fail, to) == config->fail;
}

void explore_twins_make(explore_cores *c) {
    const explore_config *config = c->config;
    int apart = config->tx[1].branches > 0 || config->operators != NULL ||
                config->tx[0].begun < config->tx[0].branches ||
                strpbrk(config->script[0], "ETR") != NULL;
    c->twins = 1;
    memcpy(c->exchange[0], every[0], sizeof every[0]);
    for (unsigned i = 1; i < EXPLORE_TWINS && !apart; i++) {
        if (is_alike(config, every[i])) {
            memcpy(c->exchange[c->twins++], every[i], sizeof every[i]);
        }
    }
    for (unsigned i = 0; i < c->twins; i++) {
        c->facts[c->empty].twin[i] = c->empty;
    }
}

/* ---- batches */

typedef struct place_in {
    size_t at, len;
    int branch; /* of a result; -1: not one */
} place_in;

/* In each run of results those of lower places first. */
static void sort_results(place_in *record, unsigned count) {
    for (unsigned i = 1; i < count; i++) {
        for (unsigned k = i;
             k > 0 && record[k].branch >= 0 && record[k - 1].branch > record[k].branch; k--) {
            place_in lower = record[k];
            record[k] = record[k - 1];
            record[k - 1] = lower;
        }
    }
}

/* The records from `from` on, with the branches exchanged. */
static uint32_t batch_twin(explore_cores *c, uint32_t number, size_t from, const uint8_t *to) {
    uint8_t made[TWIN_BYTES], sorted[TWIN_BYTES];
    place_in record[RECORDS_MAX];
    unsigned count = 0;
    size_t len = 0;
    int is_new;
    etx_bytes bytes = explore_intern_at(&c->bytes, number);
    const uint8_t *at = bytes.data;
    for (size_t i = from, used; i < bytes.len && count < RECORDS_MAX; i += used) {
        etx_record one;
        if (explore_decode(c, (etx_bytes){at + i, bytes.len - i}, &one, &used) != 0) {
            break;
        }
        int is_result = one.type == ETX_RECORD_RESULT;
        one.u.result.branch =
            is_result ? to[one.u.result.branch % EXPLORE_PLACES] : one.u.result.branch;
        record[count] = (place_in){len, c->codec->encode(&one, made + len),
                                   is_result ? (int)one.u.result.branch : -1};
        len += record[count++].len;
    }
    sort_results(record, count);
    memcpy(sorted, at, from);
    len = from;
    for (unsigned i = 0; i < count; i++) {
        memcpy(sorted + len, made + record[i].at, record[i].len);
        len += record[i].len;
    }
    return explore_intern_bytes(&c->bytes, sorted, len, &is_new);
}

static uint32_t twin_of_bytes(explore_cores *c, uint32_t number, size_t from, unsigned by) {
    uint64_t value;
    uint64_t kind = TWIN_KEY + 2 * by + from;
    if (number == 0) {
        return 0;
    }
    if (!explore_memo_get(&c->joined, number, kind, &value)) {
        value = batch_twin(c, number, from, c->exchange[by]);
        explore_memo_put(&c->joined, number, kind, value);
    }
    return (uint32_t)value;
}

/* ---- steps */

static explore_ask ask_twin(explore_cores *c, explore_ask ask, unsigned by) {
    if (ask.type == EXPLORE_FOLD) {
        ask.number = twin_of_bytes(c, ask.number, 1, by);
    } else if (ask.type == EXPLORE_REPLY || ask.type == EXPLORE_TICK) {
        ask.place = ask.place < EXPLORE_PLACES ? c->exchange[by][ask.place] : ask.place;
    }
    return ask;
}

static int has_call(const explore_out *out, const explore_call *call, const uint8_t *to) {
    for (unsigned i = 0; i < out->calls; i++) {
        const explore_call *other = &out->call[i];
        if (other->run == call->run && other->tx == call->tx && other->place == to[call->place] &&
            other->operation == call->operation && other->given == exchanged(call->given, to)) {
            return 1;
        }
    }
    return 0;
}

static int same_out(explore_cores *c,
                    const explore_out *out,
                    const explore_out *other,
                    unsigned by) {
    int same = out->seq == other->seq && out->want == other->want && out->calls == other->calls &&
               out->answers == other->answers && (out->wrong == NULL) == (other->wrong == NULL) &&
               twin_of_bytes(c, out->records, 0, by) == twin_of_bytes(c, other->records, 0, 0);
    for (unsigned i = 0; same && i < out->calls; i++) {
        same = has_call(other, &out->call[i], c->exchange[by]);
    }
    return same && memcmp(out->answer, other->answer, sizeof out->answer) == 0;
}

/* What is read off both. Images are compared with each other, so they must be as different. */
static int same_facts(explore_cores *c, uint32_t core, uint32_t twin, unsigned by) {
    const explore_facts *facts = &c->facts[core], *other = &c->facts[twin];
    const struct explore_known *one = &facts->tx[0];
    struct explore_known made = *one;
    const uint8_t *to = c->exchange[by];
    uint64_t image;
    for (unsigned i = 0; i < EXPLORE_BRANCHES; i++) {
        made.forward[to[i]] = one->forward[i];
    }
    made.settled = (uint8_t)exchanged(one->settled, to);
    made.bytes = (uint8_t)exchanged(one->bytes, to);
    made.outstanding = (uint8_t)exchanged(one->outstanding, to);
    made.waiting = (uint8_t)exchanged(one->waiting, to);
    if (!explore_memo_get(&c->joined, facts->image, IMAGE_KEY + by, &image)) {
        image = other->image;
        explore_memo_put(&c->joined, facts->image, IMAGE_KEY + by, image);
    }
    return memcmp(&made, &other->tx[0], sizeof made) == 0 && facts->live == other->live &&
           facts->clients == other->clients && image == other->image;
}

void explore_twins_step(explore_cores *c,
                        uint32_t core,
                        explore_ask ask,
                        uint32_t after,
                        uint32_t out) {
    for (unsigned by = ask.type == EXPLORE_FOLD ? 0 : 1; by < c->twins && c->twins > 1; by++) {
        uint32_t twin = c->facts[core].twin[by];
        uint32_t twin_after;
        const explore_out *other = explore_step(c, twin, ask_twin(c, ask, by), &twin_after);
        uint32_t *is = &c->facts[after].twin[by];
        if (*is == 0) {
            *is = twin_after;
        }
        if (twin == 0 || *is != twin_after || !same_out(c, &c->out[out], other, by) ||
            !same_facts(c, after, twin_after, by)) {
            c->told_apart = 1;
        }
    }
    c->facts[after].twin[0] = after;
}
