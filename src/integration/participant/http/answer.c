/* What an answer means: its reply, the reason in words, and when to ask again.
 *
 * Reasons name the target (scheme, host and port) and the status. They never hold a path, a query,
 * or a header's value: those may be secret. */
#include "http.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { PROBLEM_MAX = 65536 };

/* ---- Retry-After */

static uint64_t read_digits(const char *text, size_t len) {
    uint64_t number = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return UINT64_MAX;
        }
        number = number < UINT32_MAX ? number * 10 + (uint64_t)(text[i] - '0') : number;
    }
    return len > 0 ? number : UINT64_MAX;
}

/* Writes a date of one of the older forms of RFC 9110, 5.6.7 as the newer one has it (30 bytes):
 * "Sunday, 06-Nov-94 08:49:37 GMT" and "Sun Nov  6 08:49:37 1994". Others stay as they are. */
static void renew_date(const char *text, size_t len, uint64_t now_s, char *to) {
    const char *comma = memchr(text, ',', len);
    size_t rest = comma != NULL ? (size_t)(text + len - comma) : 0;
    time_t now = (time_t)now_s;
    struct tm parts;
    to[0] = '\0';
    if (rest == 24 && comma[4] == '-' && comma[8] == '-' && gmtime_r(&now, &parts) != NULL) {
        /* of the two or three years it may be, the one at most fifty ahead */
        uint64_t year = (uint64_t)parts.tm_year + 1900;
        uint64_t last = read_digits(comma + 9, 2);
        uint64_t full = year / 100 * 100 + (last < 100 ? last : 0);
        full += full + 50 <= year ? 100 : 0;
        full -= full > year + 50 ? 100 : 0;
        snprintf(to, 30, "Day, %.2s %.3s %04u%.13s", comma + 2, comma + 5,
                 (unsigned)(full % 10000) * (last < 100), comma + 11);
    } else if (len == 24 && text[3] == ' ' && text[7] == ' ' && text[10] == ' ' &&
               text[19] == ' ') {
        snprintf(to, 30, "Day, %c%c %.3s %.4s %.8s GMT", text[8] == ' ' ? '0' : text[8], text[9],
                 text + 4, text + 20, text + 11);
    } else if (len == 29) {
        memcpy(to, text, len);
        to[len] = '\0';
    }
}

/* Seconds since 1970, or -1. */
static int64_t read_date(const char *date, size_t len, uint64_t now_s) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char text[30];
    renew_date(date, len, now_s, text);
    if (strlen(text) != 29 || text[3] != ',' || text[4] != ' ' || text[7] != ' ' ||
        text[11] != ' ' || text[16] != ' ' || text[19] != ':' || text[22] != ':' ||
        memcmp(text + 25, " GMT", 4)) {
        return -1;
    }
    uint64_t day = read_digits(text + 5, 2);
    uint64_t year = read_digits(text + 12, 4);
    uint64_t hour = read_digits(text + 17, 2);
    uint64_t minute = read_digits(text + 20, 2);
    uint64_t second = read_digits(text + 23, 2);
    int month = 0;
    while (month < 12 && memcmp(months + month * 3, text + 8, 3) != 0) {
        month++;
    }
    if (month == 12 || day - 1 > 30 || year > 9999 || year < 1970 || hour > 23 || minute > 59 ||
        second > 60) {
        return -1;
    }
    struct tm when = {.tm_year = (int)year - 1900,
                      .tm_mon = month,
                      .tm_mday = (int)day,
                      .tm_hour = (int)hour,
                      .tm_min = (int)minute,
                      .tm_sec = (int)second};
    return (int64_t)timegm(&when);
}

uint32_t etx__http_retry_after(const char *text, size_t len, uint64_t now_s) {
    uint64_t seconds = read_digits(text, len);
    if (seconds == UINT64_MAX) {
        int64_t at = read_date(text, len, now_s);
        seconds = at < 0 || (uint64_t)at <= now_s ? 0 : (uint64_t)at - now_s;
    }
    return seconds > ETX__HTTP_RETRY_AFTER_MAX_MS / 1000 ? ETX__HTTP_RETRY_AFTER_MAX_MS
                                                         : (uint32_t)seconds * 1000;
}

static uint32_t retry_after_of(const net_result *result) {
    net_text value = net_result_header(result, "retry-after");
    return value.bytes == NULL
               ? 0
               : etx__http_retry_after(value.bytes, value.len, (uint64_t)time(NULL));
}

/* ---- reasons */

static int is_type(net_text type, const char *begin) {
    return type.len >= strlen(begin) && strncasecmp(type.bytes, begin, strlen(begin)) == 0;
}

static void read_problem(net_text body, char *text, size_t size) {
    static const char *const names[] = {"detail", "title", "reason", "message"};
    json_t *problem = json_loadb(body.bytes, body.len, JSON_REJECT_DUPLICATES, NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names && text[0] == '\0'; i++) {
        const json_t *value = json_object_get(problem, names[i]);
        if (json_is_string(value)) {
            etx__http_tidy(text, size, json_string_value(value), json_string_length(value));
        }
    }
    json_decref(problem);
}

/* What the participant says in words: "" if nothing. */
static void read_words(const net_result *result, char *text, size_t size) {
    net_text type = net_result_header(result, "content-type");
    text[0] = '\0';
    if (result->body.len == 0 || result->body.len > PROBLEM_MAX || type.bytes == NULL) {
        return;
    }
    if (is_type(type, "application/problem+json") || is_type(type, "application/json")) {
        read_problem(result->body, text, size);
    } else if (is_type(type, "text/plain")) {
        etx__http_tidy(text, size, result->body.bytes, result->body.len);
    }
}

static void write_reason(char *to, const char *begin, const char *target, const char *words) {
    char all[ETX_HTTP_TARGET_MAX + 256 + 256];
    int len =
        snprintf(all, sizeof all, "%s%s%s%s", begin, target, words[0] != '\0' ? ": " : "", words);
    etx__http_tidy(to, ETX__HTTP_REASON_MAX, all, (size_t)len < sizeof all ? (size_t)len : 0);
}

/* ---- judging */

static void judge_error(const net_result *result, const char *target, etx__http_verdict *verdict) {
    char begin[80];
    verdict->reply = ETX_RETRY;
    verdict->local = result->behind || result->error == NET_ECANCELLED ||
                     result->error == NET_EFORBIDDEN || result->error == NET_ENOMEM ||
                     result->error == NET_EBUSY;
    /* An answer that is too long is an answer. */
    verdict->ill = !verdict->local && result->error != NET_ETOOBIG;
    snprintf(begin, sizeof begin, "%s: ", net_strerror(result->error));
    write_reason(verdict->reason, begin, target, "");
    if (result->behind) {
        write_reason(verdict->reason,
                     "the connection was lost with another call's answer: ", target, "");
    } else if (result->error == NET_EPROTOCOL || result->error == NET_ETLS ||
               result->error == NET_ECERTIFICATE) {
        write_reason(verdict->reason, begin, target, result->detail);
    }
}

static void judge_status(const net_result *result, const char *target, etx__http_verdict *verdict) {
    char begin[48];
    char words[ETX__HTTP_REASON_MAX];
    int status = result->status;
    if (status == 202 || status == 425) {
        verdict->reply = ETX_WORKING;
        verdict->retry_after_ms = retry_after_of(result);
        return;
    }
    if (status >= 200 && status < 300) {
        verdict->reply = ETX_DONE;
        return;
    }
    read_words(result, words, sizeof words);
    if (status == 409) {
        verdict->reply = ETX_REFUSED;
        if (words[0] != '\0') {
            memcpy(verdict->reason, words, sizeof words);
        } else {
            write_reason(verdict->reason, "409 from ", target, "");
        }
        return;
    }
    verdict->reply = ETX_RETRY;
    verdict->ill = status >= 500 || status == 429;
    if (status == 429 || status == 503) {
        verdict->retry_after_ms = retry_after_of(result);
    }
    snprintf(begin, sizeof begin, "%d%s from ", status,
             status >= 300 && status < 400 ? " (redirects are not followed)" : "");
    write_reason(verdict->reason, begin, target, words);
}

void etx__http_judge(const net_result *result, const char *target, etx__http_verdict *ret_verdict) {
    memset(ret_verdict, 0, sizeof *ret_verdict);
    if (result->error != 0) {
        judge_error(result, target, ret_verdict);
    } else {
        judge_status(result, target, ret_verdict);
    }
}
