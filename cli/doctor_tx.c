/* `etx doctor`, its look at transactions: which of them need somebody, and because of whom. */
#include <string.h>

#include "doctor.h"

enum { PAGE = 500, LISTED_MAX = 20000, EXAMINED_MAX = 50, NAMED_MAX = 5, AHEAD_MS = 5000 };

typedef enum complaint {
    STALLED,
    UNREGISTERED,
    PARKED,
    OLD,
    AHEAD, /* begun in the future */
    COMPLAINTS
} complaint;

typedef struct sort {
    const char *code;
    const char *what;
    const char *todo;
    const char *of_log; /* ... where it differs with --home */
} sort;

static const sort sorts[COMPLAINTS] = {
    [STALLED] = {"stalled", "stalled: the calls that would end them keep failing",
                 "mend their participants: ETX tries on at the longest interval, and 'etx tx "
                 "retry' at once; what will never answer is settled by 'etx tx force'"},
    [UNREGISTERED] = {"unregistered", "waiting for a participant that nobody has registered",
                      "start the program with that participant, under the name it had"},
    [PARKED] = {"parked", "parked by an operator: nobody is called for them",
                "'etx log show' tells who parked them and why; 'etx tx resume' takes it back"},
    [OLD] = {"old", "waiting for long",
             "'etx tx show' tells how far each branch is; one that was begun and never committed "
             "is ended by 'etx tx abort'",
             "'etx tx show --home URL' tells how far each branch is; one that was begun and never "
             "committed is ended by 'etx tx force --as abort', once no program has the log open"},
    [AHEAD] = {"clock-jumped", "begun in the future: a clock jumped, here or where they were begun",
               "set the clock right (NTP, and without steps): deadlines and retries follow it"},
};

typedef struct look {
    doctor *self;
    uint64_t now_ms;
    uint64_t listed;
    uint64_t count[COMPLAINTS];
    json_t *gids[COMPLAINTS];
    json_t *examined; /* gids whose branches are looked at */
    json_t *reasons;  /* "who: why" -> gids */
    const char *gid;  /* the one that is looked at */
} look;

/* ---- the list */

static void complain(look *at, complaint what, const char *gid) {
    at->count[what]++;
    if (at->gids[what] == NULL) {
        at->gids[what] = json_array();
    }
    if (json_array_size(at->gids[what]) < NAMED_MAX) {
        json_array_append_new(at->gids[what], json_string(gid));
    }
}

static int take_status(const etx_status *status, void *user) {
    look *at = user;
    int old = status->begin_ms + at->self->options.older_ms < at->now_ms;
    at->listed++;
    if (status->begin_ms > at->now_ms + AHEAD_MS) {
        complain(at, AHEAD, status->gid);
    }
    if ((status->marks & ETX_MARK_PARKED) != 0) {
        complain(at, PARKED, status->gid);
        return 0;
    }
    if ((status->marks & ETX_MARK_STALLED) != 0) {
        complain(at, STALLED, status->gid);
    } else if ((status->marks & ETX_MARK_UNREGISTERED) != 0) {
        complain(at, UNREGISTERED, status->gid);
    } else if (old) {
        complain(at, OLD, status->gid);
    }
    if (json_array_size(at->examined) < EXAMINED_MAX) {
        json_array_append_new(at->examined, json_string(status->gid));
    }
    return 0;
}

static int list_all(look *at, tx_client *client) {
    const etx_filter filter = ETX_FILTER_INIT;
    etx_cursor cursor = {{0, 0}};
    int rc;
    do {
        rc = client->ops->list(client, &filter, &cursor, PAGE, take_status, at);
    } while (rc == 0 && (cursor.word[0] != 0 || cursor.word[1] != 0) && at->listed < LISTED_MAX);
    return rc;
}

/* ---- branches */

/* Whose calls fail, and why; each reason is kept once. */
static int take_branch(const etx_branch_status *branch, void *user) {
    look *at = user;
    const char *reason = branch->reason != NULL ? branch->reason : "";
    char key[ETX_NAME_MAX + ETX_REASON_MAX + 8];
    json_t *gids;
    if (branch->failures == 0) {
        return 0;
    }
    snprintf(key, sizeof key, "%s: %s", branch->participant,
             reason[0] != '\0' ? reason : "it gave no reason");
    gids = json_object_get(at->reasons, key);
    if (gids == NULL) {
        gids = json_array();
        if (json_object_set_new(at->reasons, key, gids) != 0) {
            return 0; /* no text that JSON holds */
        }
    }
    json_array_append_new(gids, json_string(at->gid));
    return 0;
}

static int is_forbidden(const char *reason) {
    return strstr(reason, "is not among the targets") != NULL ||
           strstr(reason, "is not allowed") != NULL;
}

static void note_reasons(look *at) {
    const char *reason;
    json_t *gids;
    json_object_foreach(at->reasons, reason, gids) {
        int forbidden = is_forbidden(reason);
        json_t *finding = etx__doctor_note(
            at->self, forbidden ? "target-not-allowed" : "participant-fails",
            forbidden
                ? "allow it by allow-target in the server's file of settings, and send it SIGHUP "
                  "(or "
                  "start it anew with --allow-target); or settle the branch by 'etx tx force'"
                : "see whether the participant runs and can be reached, and what its log says",
            "%s", reason);
        while (json_array_size(gids) > NAMED_MAX) {
            json_array_remove(gids, NAMED_MAX);
        }
        json_object_set(finding, "gids", gids);
    }
}

static void examine(look *at, tx_client *client) {
    const json_t *gid;
    size_t i;
    json_array_foreach(at->examined, i, gid) {
        etx_status status = {.size = sizeof status};
        at->gid = json_string_value(gid);
        /* what has ended meanwhile is well */
        (void)client->ops->show(client, at->gid, &status, take_branch, at);
    }
    note_reasons(at);
}

/* ---- what is said of them */

static void note_complaints(look *at) {
    int i;
    for (i = 0; i < COMPLAINTS; i++) {
        if (at->count[i] > 0) {
            json_t *finding = etx__doctor_note(
                at->self, sorts[i].code,
                at->self->options.home != NULL && sorts[i].of_log != NULL ? sorts[i].of_log
                                                                          : sorts[i].todo,
                "%llu transaction%s %s", (unsigned long long)at->count[i],
                at->count[i] > 1 ? "s" : "", sorts[i].what);
            etx__out_number(finding, "count", at->count[i]);
            json_object_set(finding, "gids", at->gids[i]);
        }
        json_decref(at->gids[i]);
    }
}

int etx__doctor_transactions(doctor *self, tx_client *client) {
    look at = {.self = self,
               .now_ms = etx__cli_now_ms(),
               .examined = json_array(),
               .reasons = json_object()};
    int rc = list_all(&at, client);
    int code = CLI_OK;
    if (rc == ETX_EUNAVAILABLE && json_array_size(self->findings) > 0) {
        code = CLI_OK; /* it has been noted that it is not ready */
    } else if (rc != 0) {
        char message[400] = "";
        client->ops->message(client, message, sizeof message);
        code =
            etx__cli_fail(self->cli, NULL, "%s", message[0] != '\0' ? message : etx_strerror(rc));
    } else {
        examine(&at, client);
    }
    note_complaints(&at);
    json_decref(at.examined);
    json_decref(at.reasons);
    return code;
}
