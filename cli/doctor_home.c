/* `etx doctor --home`: the directory of a log, which is only read. */
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>

#include "doctor.h"

/* One reading of the directory. */
typedef struct home_look {
    doctor *self;
    int retired;
} home_look;

void etx__doctor_retired(doctor *self, const char *text) {
    (void)etx__doctor_note(self, "retired",
                           "look at the log that has its place, and start programs on that", "%s",
                           text);
}

static void note_damage(const etx_file_finding *finding, void *user) {
    home_look *look = user;
    doctor *self = look->self;
    if (finding->state == ETX_FILE_SOUND) {
        look->retired = 1;
        etx__doctor_retired(self, finding->text);
    } else if (finding->state == ETX_FILE_CORRUPT) {
        json_t *noted = etx__doctor_note(
            self, "log-damaged",
            "'etx log verify' names every damage; restore a backup, or see what 'etx log repair' "
            "can save",
            "%s: %s", finding->file, finding->text);
        etx__out_bytes(noted, "file", (etx_bytes){finding->file, strlen(finding->file)});
        etx__out_number(noted, "offset", finding->offset);
    }
}

static void look_at_room(doctor *self, const char *dir) {
    struct statvfs found;
    if (statvfs(dir, &found) == 0) {
        etx__doctor_room(self, dir, (double)found.f_bavail * (double)found.f_frsize);
    }
}

static int count_one(const etx_status *status, void *user) {
    (void)status;
    *(uint64_t *)user += 1;
    return 0;
}

void etx__doctor_running(doctor *self, tx_client *client, const char *nobody) {
    const etx_filter filter = ETX_FILTER_INIT;
    etx_cursor cursor = {{0, 0}};
    uint64_t count = 0;
    if (client->ops->list(client, &filter, &cursor, 1, count_one, &count) == 0 && count > 0) {
        (void)etx__doctor_note(self, "not-running",
                               "start the program whose log it is: it goes on where it was",
                               "transactions are unfinished, and %s", nobody);
    }
}

int etx__doctor_home(doctor *self) {
    etx_file_report report = {.size = sizeof report};
    home_look look = {self, 0};
    char dir[PATH_MAX];
    char message[400] = "";
    tx_client *client = NULL;
    int rc, code;
    if (etx__cli_file_dir(self->options.home, dir, sizeof dir) != 0) {
        return etx__cli_fail(self->cli, "write --home file:DIR, or a URL such as postgresql://...",
                             "'%s' is not the URL of a log", self->options.home);
    }
    rc = etx_log_file_verify(dir, note_damage, &look, &report, message, sizeof message);
    if (rc != 0) {
        return etx__cli_fail(
            self->cli,
            rc == ETX_ENOTFOUND ? "is it the right directory? --home file:DIR, as the program "
                                  "says it"
                                : NULL,
            "%s (%s)", message[0] != '\0' ? message : etx_strerror(rc), etx_error_name(rc));
    }
    look_at_room(self, dir);
    if (report.state == ETX_FILE_CORRUPT || look.retired) {
        return CLI_OK; /* nothing can be listed, or nothing that still holds */
    }
    code = etx__tx_open_local(self->cli, self->options.home, 0, &client);
    if (code != CLI_OK) {
        return CLI_BAD;
    }
    if (!report.in_use) {
        etx__doctor_running(self, client, "no process has the log open");
    }
    code = etx__doctor_transactions(self, client);
    client->ops->close(client);
    return code;
}
