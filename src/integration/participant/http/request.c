/* A job as a request: its headers, its body, its signature. */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { OWN_MAX = 16, HEADERS_MAX = OWN_MAX + 2 * ETX_HTTP_HEADERS_MAX };

typedef struct request {
    etx__http_job *job;
    etx__http_config *config;
    net_header *header; /* room for HEADERS_MAX; too much to be cleared for each call */
    size_t count;
    etx__http_text made; /* a body that had to be made */
    const void *body;
    size_t body_len;
    char attempt[12], begin[24], deadline[24], run[24], key[33], trace[56];
    const char *begin_ms; /* in `begin` */
    etx__http_text digest, input, signature;
} request;

static void add(request *self, const char *name, const char *value) {
    self->header[self->count++] = (net_header){name, value};
}

/* In decimal; every call has some, and printf takes its time. */
static const char *write_number(char *to, size_t size, uint64_t number) {
    size_t at = size - 1;
    to[at] = '\0';
    do {
        to[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0 && at > 0);
    return to + at;
}

static void write_body(request *self) {
    const etx__http_job *job = self->job;
    const etx_http_branch *said = &job->said;
    const char *type = said->content_type != NULL ? said->content_type : "application/json";
    if (job->operation == ETX_QUERY) {
        etx__http_add_text(&self->made, "{}");
    } else if (job->operation == ETX_RESUME || said->wants_results) {
        etx__http_body(said, job->operation != ETX_RESUME, job->result, job->result_count,
                       &self->made);
    } else {
        self->body = said->payload.data;
        self->body_len = said->payload.len;
        if (self->body_len > 0 || said->content_type != NULL) {
            add(self, "Content-Type", type);
        }
        return;
    }
    self->body = self->made.bytes;
    self->body_len = self->made.len;
    add(self, "Content-Type", "application/json");
}

/* What says which call this is. */
static int write_own(request *self) {
    const etx__http_job *job = self->job;
    etx__http_namer *namer = &job->http->namer;
    unsigned char digest[ETX__HTTP_DIGEST];
    if (etx__http_name_call(namer, job->gid, job->branch, job->word, digest) != 0 ||
        etx__http_trace(namer, job->said.traceparent, job->gid, digest, job->attempt,
                        self->trace)) {
        return ETX_ENOMEM;
    }
    if (job->operation == ETX_RESUME) {
        /* Each run does its work: its key is its own. */
        const char *run = write_number(self->run, sizeof self->run, job->run);
        add(self, "Etx-Run", run);
        if (etx__http_name_call(namer, job->gid, run, job->word, digest) != 0) {
            return ETX_ENOMEM;
        }
    }
    etx__http_hex(digest, 16, self->key);
    add(self, "Etx-Gid", job->gid);
    if (job->branch[0] != '\0') {
        add(self, "Etx-Branch", job->branch);
    }
    add(self, "Etx-Operation", job->word);
    add(self, "Etx-Attempt", write_number(self->attempt, sizeof self->attempt, job->attempt));
    self->begin_ms = write_number(self->begin, sizeof self->begin, job->begin_ms);
    add(self, "Etx-Begin", self->begin_ms);
    if (job->deadline_ms != 0) {
        add(self, "Etx-Deadline",
            write_number(self->deadline, sizeof self->deadline, job->deadline_ms));
    }
    add(self, "Idempotency-Key", self->key);
    add(self, "traceparent", self->trace);
    return 0;
}

/* Is it one that all calls are given? That says who calls: no branch may say otherwise. */
static int is_for_all(const etx__http_config *config, const char *name) {
    for (size_t i = 0; i < config->header_count; i++) {
        if (strcasecmp(config->headers[i * 2], name) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Those of the branch, whose lines stand in the job, are cut in two there. */
static void write_given(request *self) {
    const etx_http_branch *said = &self->job->said;
    for (size_t i = 0; i < said->header_count; i++) {
        char *line = self->job->bytes + (said->headers[i] - self->job->bytes);
        char *colon = strchr(line, ':');
        *colon = '\0';
        if (!is_for_all(self->config, line)) {
            add(self, line, colon + 2);
        }
    }
    for (size_t i = 0; i < self->config->header_count; i++) {
        add(self, self->config->headers[i * 2], self->config->headers[i * 2 + 1]);
    }
}

static int write_signature(request *self) {
    const etx__http_job *job = self->job;
    const etx__http_signed what = {.method = "POST",
                                   .gid = job->gid,
                                   .branch = job->branch[0] != '\0' ? job->branch : NULL,
                                   .operation = job->word,
                                   .begin = self->begin_ms,
                                   .url = &job->url,
                                   .body = self->body,
                                   .body_len = self->body_len,
                                   .created = (uint64_t)time(NULL)};
    if (self->config->key_id == NULL) {
        return 0;
    }
    if (etx__http_sign(job->http->md, self->config, &what, &self->digest, &self->input,
                       &self->signature) != 0) {
        return ETX_ENOMEM;
    }
    add(self, "Content-Digest", self->digest.bytes);
    add(self, "Signature-Input", self->input.bytes);
    add(self, "Signature", self->signature.bytes);
    return 0;
}

static int fetch(const request *self, uint64_t left_ms, net_done done) {
    etx__http_config *config = self->config;
    const net_fetch fetch = {
        .size = sizeof fetch,
        .url = &self->job->url,
        .method = "POST",
        .tls = self->job->url.tls ? etx__http_config_tls(config) : NULL,
        .headers = self->header,
        .header_count = self->count,
        .body = self->body,
        .body_len = self->body_len,
        .connect_ms = config->connect_ms < left_ms ? config->connect_ms : (uint32_t)left_ms,
        .timeout_ms = (uint32_t)left_ms,
        .answer_bytes_max = config->answer_bytes_max,
        .pipeline_max = config->target_pipeline_max,
        .done = done,
        .user = self->job};
    return net_client_fetch(self->job->http->client, &fetch, NULL);
}

int etx__http_send(etx__http_job *job, net_done done, etx__http_verdict *ret_verdict) {
    net_header header[HEADERS_MAX];
    request self = {.job = job, .config = etx__http_config_now(job->http), .header = header};
    uint64_t now = etx__http_clock_ms();
    const char *wrong = NULL;
    write_body(&self);
    if (now >= job->due_ms) {
        wrong = "its time was over before it could be asked";
    } else if (self.made.failed || write_own(&self) != 0 || write_signature(&self) != 0) {
        wrong = "there is no memory to ask it";
    } else {
        write_given(&self);
        int rc = fetch(&self, job->due_ms - now, done);
        wrong = rc == 0 ? NULL : net_strerror(rc);
    }
    if (wrong != NULL) {
        ret_verdict->reply = ETX_UNSENT;
        snprintf(ret_verdict->reason, sizeof ret_verdict->reason, "%.100s: %s", job->target->name,
                 wrong);
    }
    etx__http_config_release(self.config);
    free(self.made.bytes);
    free(self.digest.bytes);
    free(self.input.bytes);
    free(self.signature.bytes);
    return wrong != NULL ? ETX_EBUSY : 0;
}
