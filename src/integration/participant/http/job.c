/* Jobs: a call, copied on the engine's thread, and completed from the loop's. */
#include "http.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MARGIN_MAX_MS = 50, WANTS_RESULTS_AT = 1, WANTS_RESULTS = 64 };

uint64_t etx__http_clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- making one */

/* Whether the results that the engine gives are to be copied: envelope.c has the flag's place. */
static int wants_results(const etx_call *call, const unsigned char *envelope, size_t len) {
    return etx_call_operation(call) == ETX_RESUME ||
           (len > WANTS_RESULTS_AT && (envelope[WANTS_RESULTS_AT] & WANTS_RESULTS));
}

/* What the job needs behind itself. */
static size_t room_for(const etx_call *call, int with_results, size_t envelope_len) {
    const char *name;
    size_t len;
    size_t room = strlen(etx_call_gid(call)) + strlen(etx_call_branch(call)) + 2 + envelope_len;
    for (uint32_t i = 0; with_results && (name = etx_call_result_at(call, i, NULL, &len)) != NULL;
         i++) {
        room += sizeof(etx__http_result) + strlen(name) + 1 + len;
    }
    return room;
}

static const void *copy(char **at, const void *bytes, size_t len) {
    char *to = *at;
    if (len > 0) {
        memcpy(to, bytes, len);
    }
    *at += len;
    return to;
}

static void copy_results(etx__http_job *job, const etx_call *call, char **at) {
    const void *data;
    size_t len;
    for (uint32_t i = 0; i < job->result_count; i++) {
        const char *name = etx_call_result_at(call, i, &data, &len);
        job->result[i].branch = copy(at, name, strlen(name) + 1);
        job->result[i].bytes = (etx_bytes){copy(at, data, len), len};
    }
}

/* A little less than the engine waits: it then hears why. */
static uint32_t own_timeout(uint32_t timeout_ms) {
    uint32_t margin = timeout_ms / 16 < MARGIN_MAX_MS ? timeout_ms / 16 : MARGIN_MAX_MS;
    return timeout_ms - margin > 0 ? timeout_ms - margin : 1;
}

etx__http_job *etx__http_job_make(etx_http *http, const etx_call *call) {
    size_t len;
    const void *envelope = etx_call_payload(call, &len);
    int with_results = wants_results(call, envelope, len);
    size_t size = sizeof(etx__http_job) + room_for(call, with_results, len);
    if (atomic_fetch_add(&http->job_bytes, size) + size > ETX__HTTP_BYTES_MAX) {
        atomic_fetch_sub(&http->job_bytes, size);
        return NULL;
    }
    etx__http_job *job = malloc(size);
    if (job == NULL) {
        atomic_fetch_sub(&http->job_bytes, size);
        return NULL;
    }
    *job = (etx__http_job){.http = http, .size = size};
    while (with_results && etx_call_result_at(call, job->result_count, NULL, NULL) != NULL) {
        job->result_count++;
    }
    job->result = (etx__http_result *)(void *)job->bytes;
    char *at = job->bytes + job->result_count * sizeof *job->result;
    copy_results(job, call, &at);
    job->gid = copy(&at, etx_call_gid(call), strlen(etx_call_gid(call)) + 1);
    job->branch = copy(&at, etx_call_branch(call), strlen(etx_call_branch(call)) + 1);
    job->envelope = (etx_bytes){copy(&at, envelope, len), len};
    job->engine = etx_call_engine(call);
    job->token = etx_call_token(call);
    job->operation = etx_call_operation(call);
    job->word = etx_operation_name(etx_call_kind(call), job->operation);
    job->attempt = etx_call_attempt(call);
    job->begin_ms = etx_call_begin_ms(call);
    job->deadline_ms = etx_call_deadline_ms(call);
    job->run = etx_call_run(call);
    job->timeout_ms = own_timeout(etx_call_timeout_ms(call));
    job->due_ms = etx__http_clock_ms() + job->timeout_ms;
    atomic_fetch_add(&http->holds, 1);
    return job;
}

/* ---- ending one */

void etx__http_job_drop(etx__http_job *job) {
    etx_http *http = job->http;
    atomic_fetch_sub(&http->job_bytes, job->size);
    free(job);
    etx__http_release(http);
}

static void complete(const etx__http_job *job, const etx_completion *completion) {
    if (atomic_load(&job->http->freed)) {
        return;
    }
    int rc = etx_complete(job->engine, job->token, completion);
    if ((rc == ETX_EINVALID || rc == ETX_ENOMEM) && completion->result_len > 0) {
        etx_completion without = ETX_COMPLETION_INIT;
        without.reason = "its result is longer than payload_max, or there is no memory for it";
        (void)etx_complete(job->engine, job->token, &without);
    }
}

static void complete_done(net_task *task) {
    etx__http_job *job = (etx__http_job *)(void *)((char *)task - offsetof(etx__http_job, task));
    etx_completion completion = ETX_COMPLETION_INIT;
    completion.reply = ETX_DONE;
    completion.result = job->bytes;
    completion.result_len = job->result_len;
    complete(job, &completion);
    etx__http_job_drop(job);
}

/* What was done is told at the end of the loop's turn, together with what else this turn has read:
 * so the engine is woken once. The result is kept where the call was: nothing of that is needed any
 * more. */
static int put_off(etx__http_job *job, const etx__http_verdict *verdict, etx_bytes result) {
    if (verdict->reply != ETX_DONE || result.len > job->size - sizeof *job) {
        return 0;
    }
    if (result.len > 0) {
        memcpy(job->bytes, result.data, result.len);
    }
    job->result_len = result.len;
    job->task.run = complete_done;
    net_loop_defer(job->http->loop, &job->task);
    return 1;
}

void etx__http_job_end(etx__http_job *job, const etx__http_verdict *verdict, etx_bytes result) {
    etx_completion completion = ETX_COMPLETION_INIT;
    if (put_off(job, verdict, result)) {
        return;
    }
    completion.reply = verdict->reply;
    completion.result = result.data;
    completion.result_len = result.len;
    completion.reason = verdict->reason;
    completion.retry_after_ms = verdict->retry_after_ms;
    complete(job, &completion);
    etx__http_job_drop(job);
}

void etx__http_job_reject(etx__http_job *job,
                          etx_reply reply,
                          uint32_t retry_after_ms,
                          const char *format,
                          ...) {
    char text[ETX_HTTP_TARGET_MAX + 256];
    etx__http_verdict verdict = {.reply = reply, .retry_after_ms = retry_after_ms};
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    etx__http_tidy(verdict.reason, sizeof verdict.reason, text, strlen(text));
    etx__http_job_end(job, &verdict, (etx_bytes){NULL, 0});
}
