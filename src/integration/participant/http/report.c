/* Telling whoever wants to know of each call that was sent, once it is over. */
#include "http.h"

#include <time.h>

static uint64_t clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void etx__http_report_begin(etx__http_job *job) {
    const etx_http *http = job->http;
    int wanted =
        http->on_report != NULL && (!http->report_callers || job->said.traceparent != NULL);
    job->sent_us = wanted ? clock_us() : 0;
}

void etx__http_report_end(const etx__http_job *job, int status, const etx__http_verdict *verdict) {
    etx_http *http = job->http;
    const char *caller = job->said.traceparent;
    unsigned char digest[ETX__HTTP_DIGEST];
    char trace[56] = "";
    if (job->sent_us == 0 ||
        (!http->report_callers &&
         (etx__http_name_call(&http->namer, job->gid, job->branch, job->word, digest) != 0 ||
          etx__http_trace(&http->namer, caller, job->gid, digest, job->attempt, trace) != 0))) {
        return;
    }
    const etx_http_report report = {.size = sizeof report,
                                    .gid = job->gid,
                                    .branch = job->branch,
                                    .operation = job->word,
                                    .attempt = job->attempt,
                                    .caller = caller != NULL ? caller : "",
                                    .traceparent = trace,
                                    .target = job->target->name,
                                    .status = status,
                                    .reply = verdict->reply,
                                    .reason = verdict->reason,
                                    .took_us = clock_us() - job->sent_us};
    http->on_report(&report, http->report_user);
}
