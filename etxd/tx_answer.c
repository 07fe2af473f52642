/* From what the engine says of a transaction to an answer. */
#include <string.h>

#include "tx.h"

static const struct {
    uint32_t mark;
    const char *name;
} marks_table[] = {
    {ETX_MARK_FORCED, "forced"},
    {ETX_MARK_PARKED, "parked"},
    {ETX_MARK_HELD, "held"},
    {ETX_MARK_NEVER_BEGUN, "never-begun"},
    {ETX_MARK_CHOSEN, "chosen"},
    {ETX_MARK_STALLED, "stalled"},
    {ETX_MARK_UNREGISTERED, "unregistered"},
    {ETX_MARK_ENDED, "ended"},
};

void etxd_write_marks(etxd_text *text, uint32_t marks) {
    size_t i;
    etxd_text_name(text, "marks");
    etxd_text_put(text, "[");
    for (i = 0; i < sizeof marks_table / sizeof marks_table[0]; i++) {
        if ((marks & marks_table[i].mark) != 0) {
            etxd_text_put(text, text->bytes[text->len - 1] == '[' ? "\"" : ",\"");
            etxd_text_put(text, marks_table[i].name);
            etxd_text_put(text, "\"");
        }
    }
    etxd_text_put(text, "]");
}

void etxd_write_outcome(etxd_text *text, const etx_outcome *outcome) {
    etxd_text_member(text, "gid", outcome->gid);
    etxd_text_member(text, "state", etx_state_name(outcome->state));
    etxd_text_member(text, "reason", outcome->reason);
    etxd_text_member(text, "durability", etx_durability_name(outcome->durability));
    etxd_write_marks(text, outcome->marks);
}

int etxd_is_reached(etx_state state, uint32_t marks, etx_wait wait) {
    int ended = state == ETX_COMMITTED || state == ETX_ABORTED || (marks & ETX_MARK_ENDED) != 0;
    switch (wait) {
        case ETX_WAIT_BEGUN:
            return state != ETX_NONE;
        case ETX_WAIT_DECIDED:
            return ended || state == ETX_COMMITTING || state == ETX_ABORTING;
        case ETX_WAIT_DEFAULT:
        case ETX_WAIT_ENDED:
            return ended;
    }
    return 0;
}

/* ---- waiting for the engine */

int etxd_wait_begin(etxd_exchange *x) {
    etxd_counts *counts = &x->server->counts;
    if (atomic_fetch_add(&counts->waiting, 1) >= x->server->config.submits) {
        etxd_wait_end(x);
        return etxd_problem_set(&x->problem, ETXD_BUSY_PROBLEM, "%llu requests wait for the engine",
                                (unsigned long long)x->server->config.submits);
    }
    return 0;
}

void etxd_wait_end(etxd_exchange *x) {
    atomic_fetch_sub(&x->server->counts.waiting, 1);
}

void etxd_done(int rc, const etx_outcome *outcome, void *user) {
    etxd_exchange *x = user;
    x->rc = rc;
    if (outcome != NULL) {
        x->outcome = *outcome;
    }
    net_loop_post(x->server->loop, &x->task);
}

/* ---- answering */

static void count_reached(etxd_exchange *x) {
    etxd_counts *counts = &x->server->counts;
    uint64_t us = etxd_now_us() - x->began_us;
    int bucket = us == 0 ? 0 : 64 - __builtin_clzll(us);
    int wait = x->wait == ETX_WAIT_BEGUN ? 0 : x->wait == ETX_WAIT_DECIDED ? 1 : 2;
    bucket = bucket < ETXD_LATENCIES ? bucket : ETXD_LATENCIES - 1;
    atomic_fetch_add_explicit(&counts->latency[wait][bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts->latency_sum_us[wait], us, memory_order_relaxed);
}

static void write_location(const etxd_exchange *x, char *location, size_t size) {
    static const char plain[] = "-._~@:!$&'()*+,;=";
    size_t len = (size_t)snprintf(location, size, "/v1/transactions/");
    const char *at;
    for (at = x->outcome.gid; *at != '\0' && len + 4 < size; at++) {
        int letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                     (*at >= '0' && *at <= '9') || strchr(plain, *at) != NULL;
        len += (size_t)snprintf(location + len, size - len, letter ? "%c" : "%%%02X",
                                (unsigned char)*at);
    }
}

void etxd_answer_outcome(etxd_exchange *x) {
    etxd_text body = {0};
    char location[3 * ETX_GID_MAX + 32];
    int reached;
    if (x->rc == ETX_ECLOSED && x->outcome.gid[0] != '\0') {
        x->rc = ETX_EUNKNOWN; /* it may have been begun, and then goes on at the next start */
    }
    if (x->outcome.gid[0] != '\0') {
        memcpy(x->gid, x->outcome.gid, sizeof x->gid);
    }
    /* With *unknown* comes what is durable, which may be all that is waited for. */
    reached = (x->rc == 0 || x->rc == ETX_EUNKNOWN) &&
              etxd_is_reached(x->outcome.state, x->outcome.marks, x->wait);
    if (!reached && (x->rc != 0 || x->outcome.state == ETX_NONE)) {
        (void)etxd_fail(x, x->rc == 0 ? ETX_EUNKNOWN : x->rc, x->outcome.reason);
        etxd_refuse(x);
        return;
    }
    if (reached) {
        count_reached(x);
    }
    etxd_text_put(&body, "{");
    etxd_write_outcome(&body, &x->outcome);
    etxd_text_put(&body, "}\n");
    if (!reached) {
        write_location(x, location, sizeof location);
    }
    etxd_answer_with(x, reached ? 200 : 202, "application/json", &body, reached ? NULL : "Location",
                     location);
}
