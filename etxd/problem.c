/* Problem details: what went wrong, and what to do about it. */
#include "problem.h"

#include <etx/etx.h>
#include <stdio.h>

static const struct {
    int status;
    const char *code, *title, *hint;
} problems[] = {{0, "", "", ""},
#define X(name, status, code, title, hint) {status, code, title, hint},
                ETXD_PROBLEM_MAP(X)
#undef X
};

int etxd_problem_set(etxd_problem *problem, etxd_code code, const char *format, ...) {
    va_list list;
    if (problem->code == ETXD_NO_PROBLEM) {
        problem->code = code;
        va_start(list, format);
        vsnprintf(problem->detail, sizeof problem->detail, format, list);
        va_end(list);
    }
    return -1;
}

void etxd_problem_point(etxd_problem *problem, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(problem->pointer, sizeof problem->pointer, format, list);
    va_end(list);
}

void etxd_problem_hint(etxd_problem *problem, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(problem->hint, sizeof problem->hint, format, list);
    va_end(list);
}

etxd_code etxd_problem_of(int rc) {
    switch ((etx_error)rc) {
        case ETX_OK:
            return ETXD_NO_PROBLEM;
        case ETX_EINVALID:
            return ETXD_INVALID_PROBLEM;
        case ETX_ENOMEM:
            return ETXD_MEMORY_PROBLEM;
        case ETX_EBUSY:
            return ETXD_BUSY_PROBLEM;
        case ETX_EUNAVAILABLE:
            return ETXD_UNAVAILABLE_PROBLEM;
        case ETX_EUNKNOWN:
            return ETXD_UNKNOWN_PROBLEM;
        case ETX_ECONFLICT:
            return ETXD_CONFLICT_PROBLEM;
        case ETX_ENOTFOUND:
            return ETXD_NOT_FOUND_PROBLEM;
        case ETX_EGONE:
            return ETXD_GONE_PROBLEM;
        case ETX_ESTATE:
            return ETXD_STATE_PROBLEM;
        case ETX_ECLOSED:
            return ETXD_CLOSING_PROBLEM;
        case ETX_EFULL:
            return ETXD_FULL_PROBLEM;
        case ETX_EELSEWHERE:
            return ETXD_ELSEWHERE_PROBLEM;
        case ETX_ECORRUPT:
        case ETX_EREGRESSED:
        case ETX_EIO:
        case ETX_EVERSION:
        case ETX_EFORKED:
            break;
    }
    return ETXD_INTERNAL_PROBLEM;
}

int etxd_problem_status(etxd_code code) {
    return problems[code].status;
}

const char *etxd_problem_name(etxd_code code) {
    return problems[code].code;
}

unsigned etxd_problem_retry_after(etxd_code code) {
    return code == ETXD_FULL_PROBLEM      ? 30
           : problems[code].status == 503 ? 1
           : problems[code].status == 429 ? 1
                                          : 0;
}

void etxd_problem_write(const etxd_problem *problem, const char *gid, etxd_text *ret_text) {
    const char *code = problems[problem->code].code;
    etxd_text_print(ret_text, "{\"type\":\"urn:etx:problem:%s\"", code);
    etxd_text_member(ret_text, "title", problems[problem->code].title);
    etxd_text_member_number(ret_text, "status", (uint64_t)problems[problem->code].status);
    etxd_text_member(ret_text, "detail", problem->detail);
    etxd_text_member(ret_text, "code", code);
    etxd_text_member(ret_text, "hint",
                     problem->hint[0] != '\0' ? problem->hint : problems[problem->code].hint);
    if (problem->pointer[0] != '\0') {
        etxd_text_member(ret_text, "pointer", problem->pointer);
    }
    if (gid[0] != '\0') {
        etxd_text_member(ret_text, "gid", gid);
    }
    etxd_text_put(ret_text, "}\n");
}
