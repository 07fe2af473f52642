/* The words of ETX as strings: errors, states, kinds, operations, records, events. */
#include <etx/monitor.h>
#include <etx/record.h>

#define NAME_NONE "?"
#define VERSION_TEXT(number) #number
#define VERSION_STRING(major, minor, patch) \
    VERSION_TEXT(major) "." VERSION_TEXT(minor) "." VERSION_TEXT(patch)

const char *etx_strerror(int rc) {
    switch (rc) {
        case ETX_OK:
            return "success";
#define X(name, number, text) \
    case ETX_##name:          \
        return text;
            ETX_ERROR_MAP(X)
#undef X
    }
    return "not an error of ETX";
}

const char *etx_error_name(int rc) {
    switch (rc) {
        case ETX_OK:
            return "ETX_OK";
#define X(name, number, text) \
    case ETX_##name:          \
        return "ETX_" #name;
            ETX_ERROR_MAP(X)
#undef X
    }
    return NAME_NONE;
}

const char *etx_version(void) {
    return VERSION_STRING(ETX_VERSION_MAJOR, ETX_VERSION_MINOR, ETX_VERSION_PATCH);
}

const char *etx_state_name(etx_state state) {
    switch (state) {
        case ETX_NONE:
            return "NONE";
        case ETX_ACTIVE:
            return "ACTIVE";
        case ETX_COMMITTING:
            return "COMMITTING";
        case ETX_COMMITTED:
            return "COMMITTED";
        case ETX_ABORTING:
            return "ABORTING";
        case ETX_ABORTED:
            return "ABORTED";
    }
    return NAME_NONE;
}

const char *etx_kind_name(etx_kind kind) {
    switch (kind) {
        case ETX_TCC:
            return "tcc";
        case ETX_SAGA:
            return "saga";
        case ETX_XA:
            return "xa";
        case ETX_MESSAGE:
            return "message";
        case ETX_NOTIFICATION:
            return "notification";
    }
    return NAME_NONE;
}

const char *etx_reply_name(etx_reply reply) {
    switch (reply) {
        case ETX_DONE:
            return "done";
        case ETX_REFUSED:
            return "refused";
        case ETX_WORKING:
            return "working";
        case ETX_RETRY:
            return "retry";
        case ETX_LATER:
            return "later";
        case ETX_UNSENT:
            return "unsent";
    }
    return NAME_NONE;
}

const char *etx_mode_name(etx_mode mode) {
    switch (mode) {
        case ETX_SUBMITTED:
            return "submitted";
        case ETX_INTERACTIVE:
            return "interactive";
        case ETX_RESUMED:
            return "resumed";
    }
    return NAME_NONE;
}

const char *etx_durability_name(etx_durability durability) {
    switch (durability) {
        case ETX_DURABILITY_DEFAULT:
            return "default";
        case ETX_VOLATILE:
            return "volatile";
        case ETX_LOCAL:
            return "local";
        case ETX_REPLICATED:
            return "replicated";
    }
    return NAME_NONE;
}

/* forward, commit, undo in the words of a kind; "" where the kind has no such operation. */
static const char *pick_name(etx_operation operation,
                             const char *forward,
                             const char *commit,
                             const char *undo) {
    switch (operation) {
        case ETX_FORWARD:
            return forward;
        case ETX_COMMIT:
            return commit;
        case ETX_UNDO:
            return undo;
        case ETX_QUERY:
            return "query";
        case ETX_RESUME:
            return "resume";
    }
    return NAME_NONE;
}

const char *etx_operation_name(etx_kind kind, etx_operation operation) {
    switch (kind) {
        case ETX_TCC:
            return pick_name(operation, "try", "confirm", "cancel");
        case ETX_SAGA:
            return pick_name(operation, "action", "", "compensate");
        case ETX_XA:
            return pick_name(operation, "prepare", "commit", "rollback");
        case ETX_MESSAGE:
            return pick_name(operation, "", "deliver", "");
        case ETX_NOTIFICATION:
            return pick_name(operation, "", "notify", "");
    }
    /* Query and resume belong to an initiator, which has no kind. */
    return pick_name(operation, NAME_NONE, NAME_NONE, NAME_NONE);
}

const char *etx_record_name(unsigned type) {
    switch (type) {
#define X(name, number, text) \
    case ETX_RECORD_##name:   \
        return text;
        ETX_RECORD_MAP(X)
#undef X
    }
    return NAME_NONE;
}

const char *etx_event_name(etx_event_type type) {
    switch (type) {
#define X(name, number, text, alarm) \
    case ETX_EVENT_##name:           \
        return text;
        ETX_EVENT_MAP(X)
#undef X
    }
    return NAME_NONE;
}
