/* Calls: making them, and what a participant sees of one. */
#include <string.h>

#include "../protocol/copy.h"
#include "callback.h"
#include "home.h"
#include "options.h"
#include "shard.h"

struct etx_call {
    const etx__due *due;
    etx_engine *engine;
    uint32_t retry_after_ms;
    uint32_t result_len, result_room;
    uint8_t *result; /* `kept`, or a block */
    uint8_t too_long;
    uint8_t reason_len;
    char reason[ETX_REASON_MAX + 1];
    uint8_t kept[128];
};

/* ---- accessors */

const char *etx_call_gid(const etx_call *call) {
    return call != NULL ? call->due->call.gid : "";
}

const char *etx_call_branch(const etx_call *call) {
    const etx__branch *branch = call != NULL ? call->due->call.branch : NULL;
    return branch != NULL ? (const char *)branch->s.name : "";
}

etx_kind etx_call_kind(const etx_call *call) {
    if (call == NULL) {
        return (etx_kind)0;
    }
    const etx__branch *branch = call->due->call.branch;
    return branch != NULL ? (etx_kind)branch->s.kind
                          : call->engine->registered[call->due->call.participant]->p.kind;
}

etx_operation etx_call_operation(const etx_call *call) {
    return call != NULL ? (etx_operation)call->due->call.operation : ETX_FORWARD;
}

uint32_t etx_call_attempt(const etx_call *call) {
    return call != NULL ? call->due->call.attempt : 0;
}

static const void *no_bytes(size_t *ret_len) {
    if (ret_len != NULL) {
        *ret_len = 0;
    }
    return NULL;
}

const void *etx_call_payload(const etx_call *call, size_t *ret_len) {
    if (call == NULL) {
        return no_bytes(ret_len);
    }
    const etx__branch *branch = call->due->call.branch;
    const etx__tx_state *tx = &call->due->call.tx->s;
    size_t len = branch != NULL ? branch->s.payload_len : tx->initiator_payload_len;
    if (ret_len != NULL) {
        *ret_len = len;
    }
    return len == 0         ? NULL
           : branch != NULL ? branch->s.payload
                            : tx->initiator + tx->initiator_len + 1;
}

uint64_t etx_call_begin_ms(const etx_call *call) {
    return call != NULL ? call->due->call.begin_ms : 0;
}

uint64_t etx_call_deadline_ms(const etx_call *call) {
    return call != NULL ? call->due->call.tx->s.deadline_ms : 0;
}

uint64_t etx_call_run(const etx_call *call) {
    return call != NULL && call->due->call.operation == ETX_RESUME ? call->due->call.run_no : 0;
}

etx_engine *etx_call_engine(const etx_call *call) {
    return call != NULL ? call->engine : NULL;
}

const void *etx_call_result_of(const etx_call *call, const char *branch, size_t *ret_len) {
    const etx__results *results = call != NULL ? call->due->call.results : NULL;
    for (uint32_t i = 0; results != NULL && branch != NULL && i < results->count; i++) {
        if (strcmp(results->item[i].name, branch) == 0) {
            if (ret_len != NULL) {
                *ret_len = results->item[i].bytes.len;
            }
            return results->item[i].bytes.len > 0 ? results->item[i].bytes.data : "";
        }
    }
    return no_bytes(ret_len);
}

const char *etx_call_result_at(const etx_call *call,
                               uint32_t index,
                               const void **ret_data,
                               size_t *ret_len) {
    const etx__results *results = call != NULL ? call->due->call.results : NULL;
    if (results == NULL || index >= results->count) {
        return NULL;
    }
    etx_bytes bytes = results->item[index].bytes;
    if (ret_data != NULL) {
        *ret_data = bytes.len > 0 ? bytes.data : "";
    }
    if (ret_len != NULL) {
        *ret_len = bytes.len;
    }
    return results->item[index].name;
}

uint32_t etx_call_timeout_ms(const etx_call *call) {
    return call != NULL ? call->due->call.timeout_ms : 0;
}

int etx_call_result(etx_call *call, const void *data, size_t len) {
    if (call == NULL) {
        return ETX_EINVALID;
    }
    if (data == NULL && len > 0) {
        return etx__engine_fail(call->engine, ETX_EINVALID, "a result without its bytes");
    }
    call->too_long = len > call->engine->options.payload_max;
    if (call->too_long) {
        return etx__engine_fail(call->engine, ETX_EINVALID,
                                "a result of %zu bytes is over payload_max, %u", len,
                                call->engine->options.payload_max);
    }
    if (len > sizeof call->kept && len > call->result_room) {
        uint8_t *block = etx__engine_alloc(call->engine, len);
        if (block == NULL) {
            call->too_long = 1;
            return etx__engine_fail(call->engine, ETX_EBUSY, "no memory for a result of %zu bytes",
                                    len);
        }
        etx__engine_release(call->engine, call->result_room > 0 ? call->result : NULL,
                            call->result_room);
        call->result = block;
        call->result_room = (uint32_t)len;
    } else if (call->result_room == 0) {
        call->result = call->kept;
    }
    if (len > 0) {
        memcpy(call->result, data, len);
    }
    call->result_len = (uint32_t)len;
    return 0;
}

int etx_call_reason(etx_call *call, const char *text) {
    if (call == NULL) {
        return ETX_EINVALID;
    }
    if (text == NULL) {
        return etx__engine_invalid(call->engine, "a reason is a text, not NULL");
    }
    size_t len = etx__cut_text(text, ETX_REASON_MAX);
    memcpy(call->reason, text, len);
    call->reason[len] = 0;
    call->reason_len = (uint8_t)len;
    return 0;
}

int etx_call_retry_after(etx_call *call, uint32_t ms) {
    if (call == NULL) {
        return ETX_EINVALID;
    }
    call->retry_after_ms = ms;
    return 0;
}

/* word[0]: partition 16, place 16, entry 32; word[1]: serial, which no other call has: each core
 * begins with another number, of this engine, of others, and after a restart. */
etx_token etx_call_token(const etx_call *call) {
    if (call == NULL) {
        return (etx_token){{0, 0}};
    }
    const etx__due *due = call->due;
    return (etx_token){
        {(uint64_t)due->partition->place << 48 | (uint64_t)due->call.place << 32 | due->call.entry,
         due->call.serial}};
}

/* ---- making a call */

static etx_operation_fn function_of(const etx_participant *participant, etx_operation operation) {
    switch (operation) {
        case ETX_FORWARD:
            return participant->forward;
        case ETX_COMMIT:
            return participant->commit;
        case ETX_UNDO:
            return participant->undo;
        case ETX_QUERY:
            return participant->query;
        case ETX_RESUME:
            return participant->resume;
    }
    return NULL;
}

static void tell_nonsense(const etx__due *due, etx_engine *engine) {
    etx_event event = {.size = sizeof event, .type = ETX_EVENT_CALL_NONSENSE};
    event.gid = due->call.gid;
    event.branch = due->call.branch != NULL ? (const char *)due->call.branch->s.name : "";
    event.participant = engine->registered[due->call.participant]->name;
    event.operation = (etx_operation)due->call.operation;
    event.attempt = due->call.attempt;
    event.home = due->partition->home->info.id;
    event.partition = due->partition->number;
    event.reason = "a callback returned what is no reply: it counts as unknown";
    etx__monitor_tell(engine, &event);
}

static etx_reply call_make(etx_call *call, const etx__due *due, etx_engine *engine) {
    const etx_participant *participant = &engine->registered[due->call.participant]->p;
    call->due = due;
    call->engine = engine;
    call->retry_after_ms = 0;
    call->result_len = 0;
    call->result_room = 0;
    call->result = call->kept;
    call->too_long = 0;
    call->reason_len = 0;
    call->reason[0] = 0;
    etx_operation_fn function = function_of(participant, (etx_operation)due->call.operation);
    if (function == NULL) {
        etx_call_reason(call, "its participant has no function for this operation");
        return ETX_RETRY;
    }
    etx_reply reply = etx__callback_operation(function, call, participant->user);
    if (reply < ETX_DONE || reply > ETX_UNSENT) {
        tell_nonsense(due, engine);
        return ETX_RETRY;
    }
    if (call->too_long && reply == ETX_DONE) {
        etx_call_reason(call, "its result is longer than payload_max");
        return ETX_RETRY;
    }
    return reply;
}

static void count_reply(etx__partition *partition, etx_reply reply) {
    _Atomic uint64_t *counter = NULL;
    switch (reply) {
        case ETX_DONE:
            counter = &partition->calls_done;
            break;
        case ETX_REFUSED:
            counter = &partition->calls_refused;
            break;
        case ETX_WORKING:
            counter = &partition->calls_working;
            break;
        case ETX_RETRY:
        case ETX_UNSENT:
            counter = &partition->calls_unknown;
            break;
        case ETX_LATER:
            return;
    }
    etx__count(counter, 1);
}

/* Does what may follow from the answer find room? */
static int reply_fits(etx__partition *partition, const etx__event *event) {
    size_t need = etx__need_bytes(partition, event->u.reply.bytes.len) +
                  etx__need_of_entry(partition, event->u.reply.entry);
    return etx__room_make(partition, need, 0);
}

static int forgotten(const etx__partition *partition, const etx__memory *memory) {
    return partition->memory != memory || partition->state != ETX__OPEN;
}

/* Gives an answer to the core that asked; what it forgot meanwhile is only counted down. */
static void reply_step(etx__partition *partition, etx__memory *memory, etx__event *event) {
    if (event->u.reply.reply != ETX_DONE) {
        etx__shard_look(partition->shard); /* a pause counts from the answer on */
    }
    count_reply(partition, (etx_reply)event->u.reply.reply);
    if (forgotten(partition, memory)) {
        if (event->u.reply.returned) {
            etx__memory_return(partition, memory);
        }
        return;
    }
    if (event->u.reply.returned) {
        memory->running--;
    }
    etx__partition_step(partition, event);
}

/* ---- the ring of calls to be made here */

static etx__due *due_at(const etx__shard *shard, uint32_t place) {
    return &shard->due[(shard->due_first + place) & (shard->due_room - 1)];
}

/* Its place is another's as soon as anything is stepped. */
static void due_pop(etx__shard *shard) {
    shard->due_first = (shard->due_first + 1) & (shard->due_room - 1);
    shard->due_count--;
}

/* Makes the oldest call. */
static void run_now(etx__shard *shard) {
    const etx__due *due = due_at(shard, 0);
    etx__partition *partition = due->partition;
    etx__memory *memory = due->memory;
    etx_call call;
    etx_reply reply = call_make(&call, due, shard->engine);
    etx__event event; /* what other events have beside stays as it is */
    event.type = ETX__EV_REPLY;
    event.u.reply.serial = due->call.serial;
    event.u.reply.entry = due->call.entry;
    event.u.reply.place = due->call.place;
    event.u.reply.reply = (uint8_t)reply;
    event.u.reply.returned = 1;
    event.u.reply.retry_after_ms = call.retry_after_ms;
    event.u.reply.bytes = (etx_bytes){call.result, call.result_len};
    event.u.reply.reason = (etx_bytes){call.reason, call.reason_len};
    event.u.reply.tx = due->call.tx;
    event.u.reply.results = due->call.results;
    due_pop(shard);
    int late = atomic_load_explicit(&shard->stuck, memory_order_relaxed) != 0;
    if (!late && !forgotten(partition, memory) && call.result_len > 0 &&
        !reply_fits(partition, &event)) { /* without the bytes, then: they are asked for again */
        event.u.reply.bytes = (etx_bytes){NULL, 0};
        event.u.reply.reply = (uint8_t)(reply == ETX_LATER ? ETX_LATER : ETX_RETRY);
    }
    if (late) { /* the engine was closed meanwhile: what it answers is lost */
        etx__memory_return(partition, memory);
    } else {
        reply_step(partition, memory, &event);
    }
    etx__engine_release(shard->engine, call.result_room > 0 ? call.result : NULL, call.result_room);
}

static int is_inline(const etx_engine *engine, uint32_t participant) {
    return (engine->registered[participant]->p.flags & ETX_INLINE) != 0;
}

/* Does what may follow from the call find room? */
static int due_fits(const etx__due *due) {
    return forgotten(due->partition, due->memory) ||
           etx__room_make(due->partition, etx__need_of(due->partition, due->call.tx), 0);
}

/* What a call a few places on touches is brought near: since its transaction began, hundreds of
 * others have. In line, since what only prefetches is left out by the compiler as a call without
 * effect. */
static inline __attribute__((always_inline)) void prefetch(const etx__shard *shard) {
    enum { AHEAD = 4, LINE = 64, LINES = 3 };
    if (shard->due_count <= AHEAD) {
        return;
    }
    const etx__due *due = due_at(shard, AHEAD);
    uintptr_t tx = (uintptr_t)due->call.tx;
    uintptr_t branch = (uintptr_t)due->call.branch; /* of an initiator's call: none */
    for (unsigned i = 0; i < LINES; i++) {
        __builtin_prefetch((const void *)(tx + i * LINE), 1);
        __builtin_prefetch((const void *)(branch + i * LINE), 1);
    }
    __builtin_prefetch(&due->memory->core->entry[due->call.entry], 1);
}

int etx__call_run_inline(etx__shard *shard) {
    const etx__due *due = due_at(shard, 0);
    prefetch(shard);
    if (!is_inline(shard->engine, due->call.participant)) {
        if (etx__workers_give(shard->engine, due) != 0) {
            return 0; /* for lack of memory: later */
        }
        due_pop(shard);
        return 1;
    }
    if (!due_fits(due)) {
        return 0;
    }
    run_now(shard);
    return 1;
}

void etx__call_send(etx__partition *partition, const etx__call *call) {
    etx__shard *shard = partition->shard;
    etx_assert(shard->due_count < shard->due_room); /* there was room before the step */
    /* No action before its record is durable. */
    etx_assert(call->rests_on <= partition->memory->core->durable);
    etx__due *due = due_at(shard, shard->due_count);
    *due = (etx__due){partition, partition->memory, *call};
    partition->memory->running++;
    etx__count(&partition->calls, 1);
    if (is_inline(shard->engine, call->participant) || etx__workers_give(shard->engine, due) != 0) {
        shard->due_count++;
    }
}

void etx__call_raise(const etx_tx *request) {
    const etx__entry *entry =
        request->depth > 0
            ? etx__core_find(request->partition->memory->core,
                             (etx_bytes){request->gid, request->gid_len}, request->hash)
            : NULL;
    if (entry != NULL && entry->tx != NULL && entry->tx->r.depth < request->depth) {
        etx__workers_raise(request->engine, entry->tx, request->depth);
    }
}

/* ---- answers from other threads */

static etx__reply *reply_make(etx_engine *engine, const void *result, uint32_t len) {
    int fresh;
    etx__reply *reply = etx__stash_take(&engine->replies, &fresh);
    if (reply == NULL) {
        return NULL;
    }
    reply->node.kind = ETX__NODE_REPLY;
    reply->memory = NULL;
    reply->tx = NULL;
    reply->results = NULL;
    reply->result = reply->kept;
    reply->result_room = 0;
    reply->result_len = len;
    if (len > sizeof reply->kept) {
        reply->result = etx__engine_alloc(engine, len);
        if (reply->result == NULL) {
            etx__stash_drop(&engine->replies, reply, 1);
            return NULL;
        }
        reply->result_room = len;
    }
    if (len > 0) {
        memcpy(reply->result, result, len);
    }
    return reply;
}

etx__reply *etx__reply_spare(etx_engine *engine) {
    return reply_make(engine, NULL, 0);
}

void etx__reply_free(etx_engine *engine, etx__reply *reply) {
    etx__engine_release(engine, reply->result_room > 0 ? reply->result : NULL, reply->result_room);
    etx__stash_drop(&engine->replies, reply, 1);
}

void etx__shard_drop_calls(etx__shard *shard) {
    for (; shard->due_count > 0; shard->due_count--) {
        const etx__due *due = &shard->due[shard->due_first];
        etx__memory_return(due->partition, due->memory);
        shard->due_first = (shard->due_first + 1) & (shard->due_room - 1);
    }
}

void etx__reply_handle(etx__shard *shard, etx__reply *reply) {
    etx__partition *partition = reply->partition;
    etx__event event = {.type = ETX__EV_REPLY};
    event.u.reply.serial = reply->serial;
    event.u.reply.entry = reply->entry;
    event.u.reply.place = reply->place;
    event.u.reply.reply = reply->reply;
    event.u.reply.returned = reply->returned;
    event.u.reply.retry_after_ms = reply->retry_after_ms;
    event.u.reply.bytes = (etx_bytes){reply->result, reply->result_len};
    event.u.reply.reason = (etx_bytes){reply->reason, reply->reason_len};
    event.u.reply.tx = reply->tx;
    event.u.reply.results = reply->results;
    etx__memory *memory = reply->returned ? reply->memory : partition->memory;
    if (!forgotten(partition, memory) && !reply_fits(partition, &event)) {
        reply->node.next = shard->held;
        shard->held = &reply->node;
        return;
    }
    reply_step(partition, memory, &event);
    etx__reply_free(shard->engine, reply);
}

/* On a worker's thread. */
void etx__call_run_worker(etx_engine *engine, const etx__due *due, etx__reply *spare) {
    etx_call call;
    etx_reply answer = call_make(&call, due, engine);
    etx__reply *reply = reply_make(engine, call.result, call.result_len);
    if (reply != NULL) {
        etx__reply_free(engine, spare);
    } else { /* without the bytes, then: they are asked for again */
        answer = answer == ETX_LATER ? ETX_LATER : ETX_RETRY;
        reply = spare;
    }
    reply->partition = due->partition;
    reply->memory = due->memory;
    reply->tx = due->call.tx;
    reply->results = due->call.results;
    reply->serial = due->call.serial;
    reply->entry = due->call.entry;
    reply->place = due->call.place;
    reply->reply = (uint8_t)answer;
    reply->returned = 1;
    reply->retry_after_ms = call.retry_after_ms;
    reply->reason_len = call.reason_len;
    memcpy(reply->reason, call.reason, call.reason_len + 1u);
    etx__engine_release(engine, call.result_room > 0 ? call.result : NULL, call.result_room);
    etx__shard_send(due->partition->shard, &reply->node);
}

int etx_complete(etx_engine *engine, etx_token token, const etx_completion *completion) {
    if (engine == NULL || *engine->alive == 0) {
        return engine == NULL ? ETX_EINVALID : ETX_EFORKED;
    }
    /* What is in flight may still end while the engine closes. */
    uint32_t life = atomic_load(&engine->life);
    if (life == ETX__NEW || life == ETX__ENDED) {
        return etx__engine_refuse(engine, life == ETX__NEW ? ETX_ESTATE : ETX_ECLOSED);
    }
    uint32_t place = (uint32_t)(token.word[0] >> 48);
    etx_completion ours = ETX_COMPLETION_INIT;
    if (completion == NULL ||
        etx__options_take(&ours, sizeof ours, completion, completion->size) != 0 ||
        ours.reply < ETX_DONE || ours.reply > ETX_UNSENT || ours.reply == ETX_LATER ||
        ours.result_len > engine->options.payload_max ||
        (ours.result == NULL && ours.result_len > 0)) {
        return etx__engine_fail(engine, ETX_EINVALID,
                                "a completion needs its size, a reply, and a result that is no "
                                "longer than payload_max");
    }
    if (place >= engine->partition_count) {
        return 0; /* names nothing: as one that is too late */
    }
    etx__reply *reply = reply_make(engine, ours.result, (uint32_t)ours.result_len);
    if (reply == NULL) {
        return etx__engine_refuse(engine, ETX_ENOMEM);
    }
    size_t len = ours.reason != NULL ? etx__cut_text(ours.reason, ETX_REASON_MAX) : 0;
    memcpy(reply->reason, len > 0 ? ours.reason : "", len);
    reply->reason[len] = 0;
    reply->reason_len = (uint8_t)len;
    reply->partition = engine->partition[place];
    reply->serial = token.word[1];
    reply->entry = (uint32_t)token.word[0];
    reply->place = (uint16_t)(token.word[0] >> 32);
    reply->reply = (uint8_t)ours.reply;
    reply->returned = 0;
    reply->retry_after_ms = ours.retry_after_ms;
    etx__shard_send(reply->partition->shard, &reply->node);
    return 0;
}
