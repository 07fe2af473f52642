/* GET /v1/transactions/{gid}: all that is known of one transaction. */
#include <stdlib.h>
#include <string.h>

#include "tx.h"

void etxd_write_status(etxd_text *text, const etx_status *status) {
    etxd_text_member(text, "gid", status->gid);
    etxd_text_member(text, "state", etx_state_name(status->state));
    etxd_text_member(text, "reason", status->reason);
    etxd_text_member(text, "durability", etx_durability_name(status->durability));
    etxd_write_marks(text, status->marks);
    etxd_text_member(text, "mode", etx_mode_name(status->mode));
    etxd_text_member(text, "home", status->home);
    etxd_text_member_number(text, "partition", status->partition);
    etxd_text_member_time(text, "begun", status->begin_ms);
    etxd_text_member_time(text, "deadline", status->deadline_ms);
    etxd_text_member_time(text, "decided", status->decided_ms);
    etxd_text_member_time(text, "ended", status->ended_ms);
    etxd_text_name(text, "next_ms");
    if (status->next_ms == UINT64_MAX) {
        etxd_text_put(text, "null");
    } else {
        etxd_text_number(text, status->next_ms);
    }
    etxd_text_member_number(text, "calls_in_flight", status->calls_in_flight);
    etxd_text_member_number(text, "branch_count", status->branch_count);
}

/* Bytes as they are if they are JSON, else in base64. */
static void write_bytes(etxd_text *text, const char *name, etx_bytes bytes) {
    char name64[40];
    json_t *json = json_loadb(bytes.len > 0 ? bytes.data : "", bytes.len,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    if (bytes.len == 0) {
        return;
    }
    if (json != NULL) {
        etxd_text_name(text, name);
        etxd_text_add(text, bytes.data, bytes.len);
    } else {
        snprintf(name64, sizeof name64, "%s_base64", name);
        etxd_text_name(text, name64);
        etxd_text_put(text, "\"");
        etxd_text_base64(text, bytes.data, bytes.len);
        etxd_text_put(text, "\"");
    }
    json_decref(json);
}

/* The names of headers; their values are nobody's business. */
static void write_headers(etxd_text *text, const etx_http_branch *http) {
    size_t i;
    if (http->header_count == 0) {
        return;
    }
    etxd_text_name(text, "headers");
    etxd_text_put(text, "{");
    for (i = 0; i < http->header_count; i++) {
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(http->headers[i], ":"), http->headers[i]);
        etxd_text_member(text, name, "***");
    }
    etxd_text_put(text, "}");
}

static void write_http(etxd_text *text, const etx_branch_status *branch) {
    const char *room[ETX_HTTP_HEADERS_MAX];
    etx_http_branch http = {.size = sizeof http};
    const etxd_kind *kind = &etxd_kinds()[branch->kind - ETX_TCC];
    const char *urls[3];
    size_t i;
    if (strncmp(branch->participant, "http-", 5) != 0 ||
        etx_http_branch_read(branch->payload.data, branch->payload.len, &http, room, sizeof room)) {
        return;
    }
    urls[0] = http.forward_url;
    urls[1] = http.commit_url;
    urls[2] = http.undo_url;
    for (i = 0; i < 3; i++) {
        if (urls[i] != NULL && kind->operations[i] != NULL) {
            etxd_text_member(text, kind->operations[i], urls[i]);
        }
    }
    if (http.content_type != NULL) {
        etxd_text_member(text, "content_type", http.content_type);
    }
    write_headers(text, &http);
    write_bytes(text, "payload", http.payload);
}

static void write_reply(etxd_text *text, const char *name, etx_reply reply) {
    etxd_text_name(text, name);
    if (reply == 0) {
        etxd_text_put(text, "null");
    } else {
        etxd_text_print(text, "\"%s\"", etx_reply_name(reply));
    }
}

static int write_branch(const etx_branch_status *branch, void *user) {
    etxd_text *text = user;
    etxd_text_put(text, text->bytes[text->len - 1] == '[' ? "{" : ",{");
    etxd_text_member(text, "name", branch->name);
    etxd_text_member(text, "kind", etx_kind_name(branch->kind));
    etxd_text_member(text, "by", branch->flags & ETX_BY_INITIATOR ? "initiator" : "etx");
    write_http(text, branch);
    write_reply(text, "forward", branch->forward);
    write_reply(text, "finish", branch->finish);
    etxd_text_member_number(text, "attempts", branch->attempts);
    etxd_text_member_number(text, "failures", branch->failures);
    etxd_text_member_flag(text, "calling", branch->calling);
    etxd_text_member_flag(text, "by_hand", branch->settled != 0);
    etxd_text_member(text, "reason", branch->reason != NULL ? branch->reason : "");
    write_bytes(text, "result", branch->result);
    etxd_text_put(text, "}");
    return 0;
}

static void show(etxd_exchange *x) {
    etxd_text branches = {0};
    etxd_text body = {0};
    etx_status status = {.size = sizeof status};
    int rc;
    etxd_text_put(&branches, "[");
    rc = etx_query_branches(x->server->engine, x->gid, &status, write_branch, &branches);
    if (rc != 0) {
        char moment[ETXD_MOMENT_MAX];
        if (rc == ETX_ENOTFOUND && status.begin_ms != 0) {
            (void)etxd_problem_set(&x->problem, ETXD_NOT_FOUND_PROBLEM,
                                   "nothing was forgotten since %s: if it was begun later, it "
                                   "never was",
                                   etxd_moment(status.begin_ms, moment));
        }
        (void)etxd_fail(x, rc, NULL);
        etxd_text_free(&branches);
        etxd_refuse(x);
        return;
    }
    etxd_text_put(&branches, "]");
    etxd_text_put(&body, "{");
    etxd_write_status(&body, &status);
    etxd_text_name(&body, "branches");
    etxd_text_add(&body, branches.bytes != NULL ? branches.bytes : "[]",
                  branches.bytes != NULL ? branches.len : 2);
    body.failed |= branches.failed;
    etxd_text_free(&branches);
    etxd_text_put(&body, "}\n");
    etxd_answer(x, 200, "application/json", &body);
}

int etxd_get_transaction(etxd_exchange *x) {
    return etxd_pool_run(x, show);
}
