/* The torture's participants: each call is carried out by a bank, and answered at random.
 *
 * An answer may be "unknown" or "still working" before the work or after it, may come later from
 * another thread, or never. Calls of one gid that name different moments of its begin show that
 * it was begun twice: that is noted as if a client had been told TWICE. */
#include <stdlib.h>
#include <string.h>

#include "torture.h"

enum { LATER_THREADS = 3, JOBS_MAX = 512, RETRY_FIRST_MS = 3, RETRY_CAP_MS = 40 };

/* A call, copied, so that another thread can carry it out. */
typedef struct job {
    torture_bank *bank;
    etx_token token;
    etx_operation operation;
    etx_kind kind;
    uint64_t begin_ms;
    size_t len;
    char payload[96];
    char gid[ETX_GID_MAX + 1];
    char branch[ETX_NAME_MAX + 1];
} job;

/* What a participant's callback is given. */
typedef struct participant_of {
    torture_coordinator *coordinator;
    torture_bank *bank;
} participant_of;

struct torture_calls {
    participant_of of_bank[DEMO_BANKS];
    pthread_t threads[LATER_THREADS];
    pthread_mutex_t lock;
    pthread_cond_t filled;
    size_t first, count;
    int stopping;
    job jobs[JOBS_MAX];
};

static uint64_t hash_gid(const char *gid) {
    uint64_t hash = 14695981039346656037ULL;
    for (; *gid != '\0'; gid++) {
        hash = (hash ^ (unsigned char)*gid) * 1099511628211ULL;
    }
    return hash | 1;
}

/* Compares with what earlier calls of the gid said, in this life or any before. */
static void note_begin(torture_coordinator *c, const char *gid, uint64_t begin_ms) {
    uint64_t hash = hash_gid(gid);
    uint64_t at = hash >> 20;
    uint64_t there;
    uint64_t before = 0;
    for (;; at++) {
        there = 0;
        at &= TORTURE_SEEN - 1;
        if (atomic_compare_exchange_strong(&c->page->seen_gid[at], &there, hash) || there == hash) {
            break;
        }
    }
    if (!atomic_compare_exchange_strong(&c->page->seen_begin[at], &before, begin_ms) &&
        before != begin_ms) {
        torture_tell(c, gid, "TWICE");
    }
}

static etx_reply carry_out(torture_coordinator *c, const job *todo, char *reason) {
    etx_fence_call call = ETX_FENCE_CALL_INIT;
    int calm = atomic_load(&c->page->drain) != 0;
    etx_reply reply;
    reason[0] = '\0';
    note_begin(c, todo->gid, todo->begin_ms);
    if (!calm && torture_chance(c, 12)) {
        return torture_chance(c, 2) ? ETX_RETRY : ETX_WORKING;
    }
    call.gid = todo->gid;
    call.branch = todo->branch;
    call.operation = todo->operation;
    call.kind = todo->kind;
    call.begin_ms = todo->begin_ms;
    torture_pass(TORTURE_CALLED);
    reply = torture_bank_serve(todo->bank, &call, (etx_bytes){todo->payload, todo->len}, reason);
    torture_pass(TORTURE_SERVED);
    if (!calm && torture_chance(c, 16)) {
        return torture_chance(c, 2) ? ETX_RETRY : ETX_WORKING; /* done, and yet not said so */
    }
    return reply;
}

static int copy_call(etx_call *call, torture_bank *bank, job *ret_job) {
    const void *payload = etx_call_payload(call, &ret_job->len);
    if (ret_job->len > sizeof ret_job->payload) {
        return -1;
    }
    memcpy(ret_job->payload, payload, ret_job->len);
    snprintf(ret_job->gid, sizeof ret_job->gid, "%s", etx_call_gid(call));
    snprintf(ret_job->branch, sizeof ret_job->branch, "%s", etx_call_branch(call));
    ret_job->bank = bank;
    ret_job->operation = etx_call_operation(call);
    ret_job->kind = etx_call_kind(call);
    ret_job->begin_ms = etx_call_begin_ms(call);
    return 0;
}

static etx_reply on_call(etx_call *call, void *user) {
    participant_of *mine = user;
    char reason[DEMO_REASON_MAX];
    etx_reply reply;
    job todo;
    if (copy_call(call, mine->bank, &todo) != 0) {
        return ETX_RETRY;
    }
    reply = carry_out(mine->coordinator, &todo, reason);
    if (reason[0] != '\0') {
        (void)etx_call_reason(call, reason);
    }
    (void)etx_call_retry_after(call, reply == ETX_WORKING ? 2 : 0);
    return reply;
}

/* Inline: on the engine's own thread. */
static etx_reply on_call_later(etx_call *call, void *user) {
    participant_of *mine = user;
    torture_calls *calls = mine->coordinator->calls;
    etx_reply reply = ETX_RETRY;
    job *todo;
    pthread_mutex_lock(&calls->lock);
    todo = &calls->jobs[(calls->first + calls->count) % JOBS_MAX];
    if (calls->count < JOBS_MAX && copy_call(call, mine->bank, todo) == 0) {
        todo->token = etx_call_token(call);
        calls->count++;
        pthread_cond_signal(&calls->filled);
        reply = ETX_LATER;
    }
    pthread_mutex_unlock(&calls->lock);
    return reply;
}

static int take_job(torture_calls *calls, job *ret_job) {
    int got = 0;
    pthread_mutex_lock(&calls->lock);
    while (calls->count == 0 && !calls->stopping) {
        pthread_cond_wait(&calls->filled, &calls->lock);
    }
    if (calls->count > 0) {
        *ret_job = calls->jobs[calls->first];
        calls->first = (calls->first + 1) % JOBS_MAX;
        calls->count--;
        got = 1;
    }
    pthread_mutex_unlock(&calls->lock);
    return got;
}

static void *complete_later(void *argument) {
    torture_coordinator *c = argument;
    char reason[DEMO_REASON_MAX];
    job todo;
    while (take_job(c->calls, &todo)) {
        etx_completion completion = ETX_COMPLETION_INIT;
        int calm = atomic_load(&c->page->drain) != 0;
        completion.reply = carry_out(c, &todo, reason);
        completion.reason = reason[0] != '\0' ? reason : NULL;
        completion.retry_after_ms = completion.reply == ETX_WORKING ? 2 : 0;
        if (!calm && torture_chance(c, 40)) {
            continue; /* never: the call times out */
        }
        if (!calm && torture_chance(c, 10)) {
            torture_nap_us(torture_draw(c, 4000));
        }
        (void)etx_complete(c->engine, todo.token, &completion);
        if (torture_chance(c, 20)) {
            (void)etx_complete(c->engine, todo.token, &completion);
        }
    }
    return NULL;
}

int torture_calls_start(torture_coordinator *c) {
    int i;
    c->calls = calloc(1, sizeof *c->calls);
    if (c->calls == NULL || pthread_mutex_init(&c->calls->lock, NULL) != 0 ||
        pthread_cond_init(&c->calls->filled, NULL) != 0) {
        return ETX_ENOMEM;
    }
    for (i = 0; i < LATER_THREADS; i++) {
        if (pthread_create(&c->calls->threads[i], NULL, complete_later, c) != 0) {
            return ETX_ENOMEM;
        }
    }
    return 0;
}

static int register_one(torture_coordinator *c, const torture_leg *leg) {
    etx_participant participant = ETX_PARTICIPANT_INIT;
    etx_operation_fn call = leg->later ? on_call_later : on_call;
    participant_of *mine = &c->calls->of_bank[leg->leg.bank];
    char name[ETX_NAME_MAX];
    torture_participant_name(leg, name);
    mine->coordinator = c;
    mine->bank = &c->banks[leg->leg.bank];
    participant.name = name;
    participant.kind = leg->kind;
    participant.flags = leg->later ? ETX_INLINE : 0;
    participant.branch_flags = ETX_KEEPS_REFUSALS;
    participant.user = mine;
    participant.forward = leg->kind == ETX_TCC || leg->kind == ETX_SAGA ? call : NULL;
    participant.undo = participant.forward;
    participant.commit = leg->kind != ETX_SAGA ? call : NULL;
    participant.call_timeout_ms = TORTURE_CALL_MS;
    participant.retry_first_ms = RETRY_FIRST_MS;
    participant.retry_cap_ms = RETRY_CAP_MS;
    return etx_engine_register(c->engine, &participant);
}

int torture_calls_register(torture_coordinator *c) {
    static const etx_kind kinds[] = {ETX_TCC, ETX_SAGA, ETX_MESSAGE, ETX_NOTIFICATION};
    torture_leg leg = {.later = 0};
    size_t i;
    int rc = 0;
    for (i = 0; rc == 0 && i < sizeof kinds / sizeof kinds[0] * DEMO_BANKS * 2; i++) {
        leg.later = (int)(i % 2);
        leg.leg.bank = (int)(i / 2 % DEMO_BANKS);
        leg.kind = kinds[i / 2 / DEMO_BANKS];
        rc = register_one(c, &leg);
    }
    return rc;
}

void torture_calls_stop(torture_coordinator *c) {
    int i;
    pthread_mutex_lock(&c->calls->lock);
    c->calls->stopping = 1;
    pthread_cond_broadcast(&c->calls->filled);
    pthread_mutex_unlock(&c->calls->lock);
    for (i = 0; i < LATER_THREADS; i++) {
        (void)pthread_join(c->calls->threads[i], NULL);
    }
    free(c->calls);
}
