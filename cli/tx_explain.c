/* `etx tx`, when something was not possible: why not, from the state of the transaction. */
#include "tx_explain.h"

#include <string.h>

enum { TEXT_MAX = 512 };

/* What the branches of a transaction say about an attempt. */
typedef struct explain_run {
    const tx_attempt *attempt;
    int found;              /* the attempt's branch is there */
    etx_kind kind;          /* of that branch */
    etx_reply reply;        /* that it has for the attempt's operation; 0: none */
    int settled;            /* that operation, by hand */
    char names[TEXT_MAX];   /* of all branches */
    char missing[TEXT_MAX]; /* of those without a forward result that is "done" */
} explain_run;

static void append_name(char *names, const char *name) {
    size_t at = strlen(names);
    if (at + strlen(name) + 8 < TEXT_MAX) {
        snprintf(names + at, TEXT_MAX - at, "%s%s", at > 0 ? ", " : "", name);
    } else if (at + 8 < TEXT_MAX && strcmp(names + at - 3, "...") != 0) {
        snprintf(names + at, TEXT_MAX - at, ", ...");
    }
}

static int note_branch(const etx_branch_status *branch, void *user) {
    explain_run *run = user;
    append_name(run->names, branch->name);
    if (branch->kind != ETX_MESSAGE && branch->kind != ETX_NOTIFICATION &&
        branch->forward != ETX_DONE) {
        append_name(run->missing, branch->name);
    }
    if (run->attempt->branch != NULL && strcmp(branch->name, run->attempt->branch) == 0) {
        run->found = 1;
        run->kind = branch->kind;
        run->reply = run->attempt->operation == ETX_FORWARD ? branch->forward : branch->finish;
        run->settled = (branch->settled >> run->attempt->operation & 1) != 0;
    }
    return 0;
}

static int explain_settling(cli_context *cli,
                            const char *gid,
                            const etx_status *status,
                            const explain_run *run) {
    const tx_attempt *attempt = run->attempt;
    const char *operation = etx_operation_name(run->kind, attempt->operation);
    etx_operation now = status->state == ETX_COMMITTING ? ETX_COMMIT
                        : status->state == ETX_ABORTING ? ETX_UNDO
                                                        : ETX_FORWARD;
    if (!run->found) {
        char hint[TEXT_MAX + 16];
        snprintf(hint, sizeof hint, "branches: %s", run->names);
        return etx__cli_fail(cli, hint, "%s: branch %s is not there", gid, attempt->branch);
    }
    if (attempt->operation != now || operation[0] == '\0') {
        const char *due = etx_operation_name(run->kind, now);
        return etx__cli_fail(cli, "'etx tx show' says how far each branch is",
                             "%s: it is %s: of %s only %s can be settled", gid,
                             etx_state_name(status->state), attempt->branch,
                             due[0] != '\0' ? due : "nothing");
    }
    if (run->reply == 0 && !run->settled) {
        return CLI_RUN;
    }
    return etx__cli_fail(cli, "what is recorded stands", "%s: %s of %s has a result already: %s",
                         gid, operation, attempt->branch,
                         run->reply != 0 ? etx_reply_name(run->reply) : "by hand");
}

static int explain_state(cli_context *cli,
                         const char *gid,
                         const etx_status *status,
                         const explain_run *run) {
    const char *state = etx_state_name(status->state);
    if (status->state == ETX_COMMITTED || status->state == ETX_ABORTED) {
        return etx__cli_fail(cli, "nothing is left to do", "%s: it has ended: %s", gid, state);
    }
    switch (run->attempt->verb) {
        case TX_RETRY:
            return (status->marks & ETX_MARK_PARKED) == 0
                       ? CLI_RUN
                       : etx__cli_fail(cli, "'etx tx resume' has its participants called again",
                                       "%s: it is parked", gid);
        case TX_PARK:
            return etx__cli_fail(cli,
                                 "'etx log show DIR --gid GID --type force' says who did and why",
                                 "%s: it is parked already", gid);
        case TX_RESUME:
            return etx__cli_fail(cli, "its participants are called as it is",
                                 "%s: it is not parked", gid);
        case TX_SETTLE:
            return explain_settling(cli, gid, status, run);
        case TX_COMMIT:
        case TX_ABORT:
            break;
    }
    if (status->state == ETX_COMMITTING || status->state == ETX_ABORTING) {
        return etx__cli_fail(cli,
                             "only --as done is possible: one operation of one branch, by hand",
                             "%s: it is %s: the decision stands", gid, state);
    }
    if (run->attempt->verb == TX_COMMIT && run->missing[0] != '\0') {
        return etx__cli_fail(cli,
                             "--as abort is possible; or settle these by hand first: --as done",
                             "%s: it is ACTIVE, and not done forward: %s", gid, run->missing);
    }
    return CLI_RUN;
}

int etx__tx_explain(cli_context *cli,
                    tx_client *client,
                    const char *gid,
                    const tx_attempt *attempt,
                    int rc) {
    explain_run run = {.attempt = attempt};
    etx_status status = {.size = sizeof status};
    int code = CLI_RUN;
    if ((rc == ETX_ESTATE || (rc == ETX_ENOTFOUND && attempt->verb == TX_SETTLE)) &&
        client->ops->show(client, gid, &status, note_branch, &run) == 0) {
        code = explain_state(cli, gid, &status, &run);
    }
    return code == CLI_RUN ? etx__tx_fail(cli, client, gid, rc) : CLI_NO;
}
