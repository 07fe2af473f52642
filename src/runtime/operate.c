/* What operators do, one transaction or many. */
#include <string.h>

#include "../protocol/copy.h"
#include "home.h"
#include "options.h"
#include "request.h"

static int keep_text(etx_tx *request, unsigned at, const char *text, size_t max) {
    size_t len = text != NULL ? etx__cut_text(text, max) : 0;
    request->text[at] = etx__request_keep(request, text, len);
    return request->text[at].data != NULL ? 0 : etx__engine_refuse(request->engine, ETX_ENOMEM);
}

/* Who and why must be said wherever something is recorded. */
static int is_said(etx_engine *engine, etx__event_type type, const char *who, const char *why) {
    int recorded = type != ETX__EV_RETRY;
    return recorded && (who == NULL || why == NULL || who[0] == 0 || why[0] == 0)
               ? etx__engine_invalid(engine, "who does it, and why, must be said")
               : 0;
}

static int operate(etx_engine *engine,
                   const char *gid,
                   etx__event_type type,
                   const char *who,
                   const char *why,
                   etx_tx **ret_request) {
    int rc = is_said(engine, type, who, why);
    if (rc != 0) {
        return rc;
    }
    etx_tx *request = etx__request_command(engine, gid, (uint8_t)type, &rc);
    if (request == NULL) {
        return rc;
    }
    rc = keep_text(request, 0, who, ETX_NAME_MAX);
    rc = rc != 0 ? rc : keep_text(request, 1, why, ETX_REASON_MAX);
    if (rc != 0) {
        etx__request_free(request);
        return rc;
    }
    *ret_request = request;
    return 0;
}

static int operate_now(etx_engine *engine,
                       const char *gid,
                       etx__event_type type,
                       const char *who,
                       const char *why) {
    etx_tx *request = NULL;
    int rc = operate(engine, gid, type, who, why, &request);
    return rc != 0 ? rc : etx__request_run(request, NULL);
}

int etx_retry(etx_engine *engine, const char *gid) {
    return operate_now(engine, gid, ETX__EV_RETRY, NULL, NULL);
}

int etx_park(etx_engine *engine, const char *gid, const char *who, const char *why) {
    return operate_now(engine, gid, ETX__EV_PARK, who, why);
}

int etx_resume(etx_engine *engine, const char *gid, const char *who, const char *why) {
    return operate_now(engine, gid, ETX__EV_UNPARK, who, why);
}

int etx_force_by_hand(etx_engine *engine,
                      const char *gid,
                      etx_force what,
                      const char *branch,
                      etx_operation operation,
                      const char *who,
                      const char *why) {
    etx_tx *request = NULL;
    if (what < ETX_FORCE_ABORT || what > ETX_FORCE_DONE) {
        return etx__engine_invalid(engine, "force: ETX_FORCE_ABORT, COMMIT or DONE");
    }
    if (what == ETX_FORCE_DONE && (branch == NULL || operation > ETX_UNDO)) {
        return etx__engine_invalid(
            engine, "ETX_FORCE_DONE: a branch, and ETX_FORWARD, ETX_COMMIT or ETX_UNDO");
    }
    int rc = operate(engine, gid, ETX__EV_FORCE, who, why, &request);
    if (rc != 0) {
        return rc;
    }
    rc = keep_text(request, 2, branch, ETX_NAME_MAX);
    if (rc != 0) {
        etx__request_free(request);
        return rc;
    }
    request->force = (uint8_t)what;
    request->operation = (uint8_t)operation;
    return etx__request_run(request, NULL);
}

/* ---- many */

enum { PAGE = 64 };

typedef struct page {
    char gid[PAGE][ETX_GID_MAX + 1];
    uint32_t count;
} page;

static int note_gid(const etx_status *status, void *user) {
    page *to = user;
    memcpy(to->gid[to->count++], status->gid, sizeof status->gid);
    return 0;
}

static int operate_page(etx_engine *engine,
                        const page *of,
                        etx__event_type type,
                        uint32_t per_second,
                        const char *who,
                        const char *why,
                        uint64_t *ret_count) {
    for (uint32_t i = 0; i < of->count; i++) {
        int rc = operate_now(engine, of->gid[i], type, who, why);
        if (rc == 0) {
            (*ret_count)++;
            etx__pause_us(1000000 / per_second);
        } else if (rc != ETX_ESTATE && rc != ETX_ENOTFOUND &&
                   rc != ETX_EGONE) { /* it went on by itself meanwhile */
            return rc;
        }
    }
    return 0;
}

int etx_bulk_operate(etx_engine *engine,
                     etx_bulk what,
                     const etx_filter *filter,
                     uint32_t per_second,
                     const char *who,
                     const char *why,
                     uint64_t *ret_count) {
    static const etx__event_type types[] = {ETX__EV_RETRY, ETX__EV_RETRY, ETX__EV_PARK,
                                            ETX__EV_UNPARK};
    uint64_t count = 0;
    uint64_t *counted = ret_count != NULL ? ret_count : &count;
    etx_cursor cursor = {{0, 0}};
    *counted = 0;
    if (what < ETX_BULK_RETRY || what > ETX_BULK_RESUME) {
        return etx__engine_invalid(engine, "bulk: ETX_BULK_RETRY, PARK or RESUME");
    }
    per_second = per_second == 0 ? 100 : per_second > 1000000 ? 1000000 : per_second;
    int rc = is_said(engine, types[what], who, why); /* also where nothing will be found */
    while (rc == 0) {
        page found;
        found.count = 0;
        rc = etx__ask_list(engine, filter, &cursor, PAGE, 1, note_gid, &found);
        rc =
            rc != 0 ? rc : operate_page(engine, &found, types[what], per_second, who, why, counted);
        if (cursor.word[0] == 0 && cursor.word[1] == 0) {
            break;
        }
    }
    return rc;
}
