/* The abstract store: puts carried out now, later or twice; a failover that erases what was not
 * replicated; two owners that do as src/runtime/owner.c says. */
#include "store.h"

#include <string.h>

/* Actions: 0 to COPIES - 1: that copy arrives. Then: a failover; replication catches up; for each
 * owner: each outcome of its next put (or claim). */
enum { FAILOVER = COPIES, REPLICATED, PUTS, PUTS_END = PUTS + OWNERS * OUTCOMES };

static const char *const outcomes[] = {"honest", "refused", "late", "silent", "broken"};

const char *store_action_name(int number) {
    if (number < COPIES) {
        return "a copy arrives";
    }
    if (number < PUTS) {
        return number == FAILOVER ? "failover" : "replicated";
    }
    return outcomes[(number - PUTS) % OUTCOMES];
}

/* ---- the store */

static etx_put_result judge(const store *s, uint64_t at, const slot *bytes, etx_put *put) {
    if (at < s->slots) {
        put->found_nonce = s->slot[at].nonce;
        put->found_checksum = s->slot[at].checksum;
        return ETX_PUT_OCCUPIED;
    }
    uint32_t last = s->slots > 0 ? s->slot[s->slots - 1].checksum : 0;
    return at > s->slots || bytes->predecessor != last ? ETX_PUT_PREDECESSOR : ETX_PUT_WRITTEN;
}

static int has_room(const store *s) {
    return s->slots < SLOTS;
}

static void append(store *s, const slot *bytes) {
    s->slot[s->slots++] = *bytes;
}

static void send_late(store *s, uint64_t at, const slot *bytes) {
    for (int i = 0; i < s->copies; i++) {
        if (s->copy[i].at == at && memcmp(&s->copy[i].bytes, bytes, sizeof *bytes) == 0) {
            return; /* the same copy arrives as often as it likes */
        }
    }
    if (s->copies < COPIES) {
        copy *made = &s->copy[s->copies++];
        memset(made, 0, sizeof *made);
        made->bytes = *bytes;
        made->at = (uint8_t)at;
    }
}

static etx_put_result carry_out(store *s, outcome how, const slot *bytes, etx_put *put) {
    etx_put_result is = judge(s, put->slot, bytes, put);
    switch (how) {
        case HONEST:
            if (is == ETX_PUT_WRITTEN) {
                append(s, bytes);
                s->durable = s->slots;
            }
            return is;
        case REFUSED:
            put->error = ETX_EUNAVAILABLE;
            return ETX_PUT_NOT_WRITTEN;
        case SILENT:
            if (is == ETX_PUT_WRITTEN) {
                append(s, bytes);
            }
            send_late(s, put->slot, bytes);
            put->error = ETX_EUNAVAILABLE;
            return ETX_PUT_UNKNOWN;
        case LATE:
        case BROKEN:
        case OUTCOMES:
            break;
    }
    send_late(s, put->slot, bytes);
    put->error = how == BROKEN ? ETX_EIO : ETX_EUNAVAILABLE;
    return ETX_PUT_UNKNOWN;
}

/* ---- what must hold */

/* An owner that acts on slot n has no other's claim between its own and n. */
static const char *check_durable(const store *s, const node *n, uint64_t upto) {
    if (upto > s->durable) {
        return "told durable, and a failover could erase it";
    }
    for (uint64_t i = n->own_at + 1; i < upto; i++) {
        if (s->slot[i].is_own && s->slot[i].nonce != n->owner.nonce) {
            return "a superseded owner appended";
        }
    }
    return s->slot[upto - 1].nonce == n->owner.nonce ? NULL : "another's slot was taken for ours";
}

static const char *check(const store *s, node *n, etx__verdict verdict, uint32_t checksum) {
    switch (verdict) {
        case ETX__DURABLE:
            n->claiming = 0;
            n->doubtful = 0;
            n->batch++;
            return check_durable(s, n, n->owner.slot);
        case ETX__GIVE_BACK:
            n->batch++;
            for (int i = 0; i < s->copies; i++) {
                if (s->copy[i].bytes.checksum == checksum) {
                    return "given back, and a copy may still take effect";
                }
            }
            return NULL;
        case ETX__REGRESSED:
            return "called regressed, and nothing acknowledged was lost";
        case ETX__LOST:
        case ETX__BROKEN:
        case ETX__AGAIN:
        case ETX__PROVE:
            return NULL;
    }
    return "no verdict";
}

/* ---- owners */

static uint64_t fresh_nonce(const store *s, int which) {
    return 100u * (unsigned)(which + 1) + s->node[which].claims;
}

static void claim(store *s, int which) {
    node *n = &s->node[which];
    uint32_t last = s->slots > 0 ? s->slot[s->slots - 1].checksum : 0;
    etx__owner_claim(&n->owner, 0, fresh_nonce(s, which), s->slots, last);
    n->claims--;
    n->claiming = 1;
    n->own_at = s->slots;
    n->doubtful = 0;
    n->batch = 0;
}

static int put_next(store *s, int which, outcome how, const char **ret_wrong) {
    node *n = &s->node[which];
    if (n->owner.state == ETX__OWNER_NONE || n->owner.state == ETX__OWNER_OVER) {
        if (n->claims == 0) {
            return -1;
        }
        claim(s, which);
    }
    uint8_t content[2] = {(uint8_t)(which + 10), n->batch};
    etx_put put;
    int proving = n->owner.state == ETX__OWNER_PROVE;
    etx__owner_fill(&n->owner, (etx_bytes){content, sizeof content}, &put);
    if (!has_room(s) && (how == HONEST || how == SILENT)) {
        return -1;
    }
    slot bytes;
    memset(&bytes, 0, sizeof bytes);
    bytes.nonce = put.nonce;
    bytes.checksum = put.checksum;
    bytes.predecessor = put.predecessor;
    bytes.is_own = n->claiming && !proving;
    etx_put_result result = carry_out(s, how, &bytes, &put);
    int was_doubtful = n->doubtful;
    n->doubtful |= result == ETX_PUT_UNKNOWN;
    etx__verdict verdict = etx__owner_judge(&n->owner, &put, result);
    *ret_wrong = check(s, n, verdict, put.checksum);
    if (verdict == ETX__GIVE_BACK && was_doubtful) {
        *ret_wrong = "not written was believed after an unknown";
    }
    return 1;
}

void store_make(store *s) {
    const char *wrong;
    memset(s, 0, sizeof *s);
    s->failovers = 1;
    s->node[0].claims = 2;
    s->node[1].claims = 2;
    put_next(s, 0, HONEST, &wrong);
}

int store_act(store *s, int number, const char **ret_wrong) {
    *ret_wrong = NULL;
    if (number >= PUTS_END) {
        return 0;
    }
    if (number < COPIES) {
        etx_put put;
        memset(&put, 0, sizeof put);
        if (number >= s->copies || !has_room(s) ||
            judge(s, s->copy[number].at, &s->copy[number].bytes, &put) != ETX_PUT_WRITTEN) {
            return -1;
        }
        append(s, &s->copy[number].bytes);
        return 1;
    }
    if (number == FAILOVER) {
        if (s->failovers == 0 || s->durable == s->slots) {
            return -1;
        }
        s->failovers--;
        for (int i = s->durable; i < s->slots; i++) {
            memset(&s->slot[i], 0, sizeof s->slot[i]);
        }
        s->slots = s->durable;
        return 1;
    }
    if (number == REPLICATED) {
        int more = s->durable < s->slots;
        s->durable = s->slots;
        return more ? 1 : -1;
    }
    return put_next(s, (number - PUTS) / OUTCOMES, (outcome)((number - PUTS) % OUTCOMES),
                    ret_wrong);
}
