/* `etx doctor --home` of a log in a store that nodes may share. It is only read. */
#include "doctor.h"
#include "log_open.h"

enum { SKEW_MS = 5000 };

static int skip_slot(const etx_slot *slot, void *user) {
    (void)slot;
    (void)user;
    return 0;
}

/* Damage is noted, and keeps transactions from being listed. */
static int look_at_slots(doctor *self, etx_log *log, uint32_t partitions, int *ret_damaged) {
    int rc = 0;
    for (uint32_t i = 0; i < partitions && rc == 0; i++) {
        char message[400] = "";
        uint64_t mark;
        rc = log->ops->get(log, i, 0, skip_slot, NULL, &mark, message, sizeof message);
        if (rc == ETX_ECORRUPT) {
            *ret_damaged = 1;
            (void)etx__doctor_note(self, "log-damaged",
                                   "restore a backup of the store; 'etx log verify' names every "
                                   "damage",
                                   "%s", message);
            rc = 0;
        } else if (rc != 0) {
            (void)etx__cli_fail(self->cli, NULL, "%s", message);
        }
    }
    return rc;
}

static void look_at_grade(doctor *self, const etx_log_info *info) {
    if (info->grade == ETX_VOLATILE) {
        (void)etx__doctor_note(self, "log-volatile", "set the store up to be durable",
                               "the store can lose what it acknowledged: %s",
                               info->remark != NULL ? info->remark : "it forgets");
    }
}

static void look_at_clock(doctor *self, etx_log *log) {
    uint64_t store_ms = 0;
    if (log->ops->clock != NULL && log->ops->clock(log, &store_ms) == 0) {
        double ahead = (double)store_ms - (double)etx__cli_now_ms();
        if (ahead > SKEW_MS || ahead < -SKEW_MS) {
            (void)etx__doctor_note(self, "clock-differs", "set both clocks by NTP",
                                   "the store's clock is %.0f s %s this machine's",
                                   (ahead > 0 ? ahead : -ahead) / 1000,
                                   ahead > 0 ? "ahead of" : "behind");
        }
    }
}

/* CLI_OK, or CLI_BAD: it cannot be looked at. *ret_ends: there is nothing to be listed. */
static int look_at_log(doctor *self, etx_log *log, size_t *ret_nodes, int *ret_ends) {
    etx_log_info info = {.size = sizeof info};
    char message[400] = "";
    json_t *nodes = etx__log_nodes(log, message, sizeof message);
    int rc = nodes != NULL ? log->ops->info(log, &info) : ETX_EUNAVAILABLE;
    *ret_nodes = json_array_size(nodes);
    json_decref(nodes);
    if (rc != 0) {
        return etx__cli_fail(self->cli, NULL, "%s (%s)",
                             message[0] != '\0' ? message : etx_strerror(rc), etx_error_name(rc));
    }
    look_at_grade(self, &info);
    look_at_clock(self, log);
    if (etx__log_is_retired(&info)) {
        *ret_ends = 1;
        etx__doctor_retired(self, LOG_RETIRED);
    }
    return look_at_slots(self, log, info.partitions, ret_ends) == 0 ? CLI_OK : CLI_BAD;
}

int etx__doctor_store(doctor *self) {
    const char *url = self->options.home;
    char message[400] = "";
    etx_log *log = NULL;
    tx_client *client = NULL;
    size_t nodes = 0;
    int ends = 0;
    int code;
    int rc = etx__log_open(url, ETX_LOG_READ_ONLY, &log, message, sizeof message);
    if (rc != 0) {
        return etx__cli_fail(self->cli, NULL, "%s (%s)", message, etx_error_name(rc));
    }
    code = look_at_log(self, log, &nodes, &ends);
    log->ops->close(log, 0);
    if (code != CLI_OK || ends) {
        return code;
    }
    code = etx__tx_open_local(self->cli, url, 0, &client);
    if (code == CLI_OK) {
        if (nodes == 0) {
            etx__doctor_running(self, client, "no node works on the log");
        }
        code = etx__doctor_transactions(self, client);
        client->ops->close(client);
    }
    return code;
}
