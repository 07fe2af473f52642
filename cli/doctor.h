/* What the parts of `etx doctor` share: what it was asked, and what it has found. */
#ifndef ETX_CLI_DOCTOR_H
#define ETX_CLI_DOCTOR_H

#include "cli_json.h"
#include "tx_client.h"

typedef struct doctor_options {
    const char *server;
    const char *home;
    uint64_t older_ms;
    uint64_t room_mib;
    int json;
} doctor_options;

typedef struct doctor {
    cli_context *cli;
    doctor_options options;
    json_t *findings;
} doctor;

/* Notes a finding: its code, what is to be done, what is wrong. The object, for more members, is
 * borrowed. */
json_t *etx__doctor_note(doctor *self, const char *code, const char *todo, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Notes that what is in flight goes on nowhere: the log has no owner. */
void etx__doctor_running(doctor *self, tx_client *client, const char *nobody);
/* Notes that the log is retired: what is in it says nothing any more. */
void etx__doctor_retired(doctor *self, const char *text);
/* Notes that little room is left for a log, if that is so. */
void etx__doctor_room(doctor *self, const char *where, double bytes);

/* Each looks, and notes what it finds. CLI_OK, or CLI_BAD: it cannot look. */
int etx__doctor_transactions(doctor *self, tx_client *client);
int etx__doctor_home(doctor *self);
int etx__doctor_store(doctor *self); /* a home that nodes may share */
int etx__doctor_server(doctor *self);

#endif
