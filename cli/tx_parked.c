/* Who has parked a transaction, and why: the newest word of it in the log, if it is there still. */
#include <string.h>

#include "log_command.h"
#include "log_open.h"
#include "tx_command.h"

typedef struct search {
    const char *gid;
    tx_parked *found;
    etx_record_room room;
    char message[LOG_MESSAGE_MAX];
} search;

static void keep(char *to, size_t size, etx_bytes from) {
    size_t len = from.len < size ? from.len : size - 1;
    memcpy(to, len > 0 ? from.data : "", len);
    to[len] = '\0';
}

static int take_record(const etx_slot *slot, const etx_record *record, void *user) {
    search *self = user;
    (void)slot;
    if (record->type == ETX_RECORD_FORCE && record->u.force.action == ETX_FORCE_PARK &&
        record->gid.len == strlen(self->gid) &&
        memcmp(record->gid.data, self->gid, record->gid.len) == 0) {
        keep(self->found->who, sizeof self->found->who, record->u.force.who);
        keep(self->found->why, sizeof self->found->why, record->u.force.why);
    }
    return 0;
}

static int take_slot(const etx_slot *slot, void *user) {
    search *self = user;
    const log_records all = {&self->room, take_record, self, self->message, sizeof self->message};
    return etx__log_records(slot, &all);
}

void etx__tx_parked_by(const char *url, const etx_status *status, tx_parked *ret_parked) {
    search self = {.gid = status->gid, .found = ret_parked};
    etx_log *log = NULL;
    uint64_t mark;
    memset(ret_parked, 0, sizeof *ret_parked);
    if (etx__log_open(url, ETX_LOG_READ_ONLY, &log, self.message, sizeof self.message) != 0) {
        return;
    }
    (void)log->ops->get(log, status->partition, 0, take_slot, &self, &mark, self.message,
                        sizeof self.message);
    etx_record_room_free(&self.room);
    log->ops->close(log, 0);
}
