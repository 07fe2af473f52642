/* GET /v1/transactions/{gid}: all that is known of one transaction. */
#include <stdlib.h>
#include <string.h>

#include "tx.h"

int etxd_needs_story(const etx_status *status) {
    return (status->marks & (ETX_MARK_ENDED | ETX_MARK_NEVER_BEGUN)) == ETX_MARK_ENDED;
}

void etxd_write_status(etxd_text *text, const etx_status *status, int whole) {
    etxd_text_member(text, "gid", status->gid);
    etxd_text_member(text, "state", etx_state_name(status->state));
    etxd_text_member(text, "reason", status->reason);
    etxd_text_member(text, "durability", etx_durability_name(status->durability));
    etxd_write_marks(text, status->marks);
    if (whole && status->mode != 0) { /* what was never begun has none */
        etxd_text_member(text, "mode", etx_mode_name(status->mode));
    } else {
        etxd_text_name(text, "mode");
        etxd_text_put(text, "null");
    }
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
    etxd_text_member(text, "story", whole ? "whole" : "gone");
}

/* Bytes as they are if they are JSON, else in base64. */
static void write_bytes(etxd_text *text, const char *name, etx_bytes bytes) {
    char name64[40];
    json_t *json = json_loadb(
        bytes.len > 0 ? bytes.data : "", bytes.len,
        JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
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

static void write_http(etxd_text *text, const etx_branch_status *branch, int payload_cut) {
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
    if (!payload_cut) {
        write_bytes(text, "payload", http.payload);
    }
}

static void write_reply(etxd_text *text, const char *name, etx_reply reply) {
    etxd_text_name(text, name);
    if (reply == 0) {
        etxd_text_put(text, "null");
    } else {
        etxd_text_print(text, "\"%s\"", etx_reply_name(reply));
    }
}

/* What a story has no room for. */
static void write_left_out(etxd_text *text, const etxd_story_branch *one) {
    if (one->payload_cut || one->result_cut) {
        etxd_text_name(text, "left_out");
        etxd_text_print(text, "[%s%s%s]", one->payload_cut ? "\"payload\"" : "",
                        one->payload_cut && one->result_cut ? "," : "",
                        one->result_cut ? "\"result\"" : "");
    }
}

static void write_branch(etxd_text *text, const etxd_story_branch *one) {
    const etx_branch_status *branch = &one->status;
    etxd_text_put(text, text->bytes[text->len - 1] == '[' ? "{" : ",{");
    etxd_text_member(text, "name", branch->name);
    etxd_text_member(text, "kind", etx_kind_name(branch->kind));
    etxd_text_member(text, "by", branch->flags & ETX_BY_INITIATOR ? "initiator" : "etx");
    write_http(text, branch, one->payload_cut);
    write_reply(text, "forward", branch->forward);
    write_reply(text, "finish", branch->finish);
    etxd_text_member_number(text, "attempts", branch->attempts);
    etxd_text_member_number(text, "forward_attempts", branch->forward_attempts);
    etxd_text_member_number(text, "failures", branch->failures);
    etxd_text_member_flag(text, "calling", branch->calling);
    etxd_text_member_flag(text, "by_hand", branch->settled != 0);
    etxd_text_member(text, "reason", branch->reason != NULL ? branch->reason : "");
    if (!one->result_cut) {
        write_bytes(text, "result", branch->result);
    }
    write_left_out(text, one);
    etxd_text_put(text, "}");
}

static int write_live(const etx_branch_status *branch, void *text) {
    const etxd_story_branch one = {*branch, 0, 0};
    write_branch(text, &one);
    return 0;
}

/* 0: the story is not kept. */
static int write_kept(etxd_text *text, etxd *server, etx_status *status) {
    etxd_story *story = etxd_stories_find(server->stories, status->gid, status->begin_ms);
    etxd_story_branch one;
    size_t at = 0;
    if (story == NULL) {
        return 0;
    }
    etxd_story_complete(story, status);
    while (etxd_story_next(story, &at, &one)) {
        write_branch(text, &one);
    }
    free(story);
    return 1;
}

static void show(etxd_exchange *x) {
    etxd_text branches = {0};
    etxd_text body = {0};
    etx_status status = {.size = sizeof status};
    int whole;
    int rc;
    etxd_text_put(&branches, "[");
    rc = etx_query_branches(x->server->engine, x->gid, &status, write_live, &branches);
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
    whole = !etxd_needs_story(&status) || write_kept(&branches, x->server, &status);
    etxd_text_put(&branches, "]");
    etxd_text_put(&body, "{");
    etxd_write_status(&body, &status, whole);
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
