/* `etx tx force`: an operator decides, or declares an operation done by hand. */
#include "tx_explain.h"

#include <string.h>

static const cli_option options_table[] = {
    TX_OPTION_HOME(TX_OPERATE_HELP),
    {"as", 0, CLI_TEXT, offsetof(tx_options, as), "commit|abort|done",
     "what to decide; done: with --branch", 0, 0},
    {"branch", 0, CLI_TEXT, offsetof(tx_options, branch), "NAME", "the branch to settle", 0, 0},
    {"operation", 0, CLI_TEXT, offsetof(tx_options, operation), "NAME",
     "its operation: confirm, cancel, compensate, deliver...,\nor forward, commit, undo", 0, 0},
    TX_OPTION_WHO,
    TX_OPTION_WHY,
    TX_OPTIONS_END,
};

static const cli_command command = {
    "GID --as WHAT [--branch B --operation OP] (--server URL | --home URL) --why TEXT",
    "Never changes a decision. --as commit or abort decides a transaction that is undecided; "
    "commit\n"
    "only if every forward operation is done. --as done declares one operation of one branch done\n"
    "by hand, when its participant will never answer again: make it true there first. The outcome\n"
    "carries the mark 'forced'. Who and why are recorded.",
    options_table,
    "  etx tx force order-17 --as abort --home file:/var/lib/shop/etx --why 'customer gave up'\n"
    "  etx tx force order-17 --branch payment --operation confirm --as done \\\n"
    "      --home file:/var/lib/shop/etx --why 'booked by hand, voucher 4711'\n",
    TX_EXITS,
    1,
    1,
};

/* What is to be done. */
typedef struct force_plan {
    etx_force what;
    etx_operation operation;
} force_plan;

/* The words of all kinds, by etx_operation. */
static const char *const plain[] = {"forward", "commit", "undo"};

/* "confirm" and "commit" are ETX_COMMIT, "cancel", "rollback" and "undo" are ETX_UNDO... */
static int find_operation(const char *name, etx_operation *ret_operation) {
    int kind;
    int operation;
    for (operation = ETX_FORWARD; operation <= ETX_UNDO; operation++) {
        for (kind = ETX_TCC; kind <= ETX_NOTIFICATION; kind++) {
            const char *word = etx_operation_name((etx_kind)kind, (etx_operation)operation);
            if (strcmp(name, plain[operation]) == 0 ||
                (word[0] != '\0' && strcmp(name, word) == 0)) {
                *ret_operation = (etx_operation)operation;
                return 0;
            }
        }
    }
    return -1;
}

/* Of the branch that is to be settled. */
typedef struct force_branch {
    const char *name;
    etx_kind kind; /* 0: not found */
} force_branch;

static int note_kind(const etx_branch_status *branch, void *user) {
    force_branch *found = user;
    if (strcmp(branch->name, found->name) == 0) {
        found->kind = branch->kind;
    }
    return 0;
}

/* Whoever says the word of another kind means another branch. */
static int check_word(cli_context *cli,
                      tx_client *client,
                      const char *gid,
                      const tx_options *options,
                      etx_operation operation) {
    force_branch found = {options->branch, (etx_kind)0};
    etx_status status = {.size = sizeof status};
    if (strcmp(options->operation, plain[operation]) == 0 ||
        client->ops->show(client, gid, &status, note_kind, &found) != 0 || found.kind == 0 ||
        strcmp(options->operation, etx_operation_name(found.kind, operation)) == 0) {
        return CLI_OK; /* what else is wrong, force says */
    }
    (void)etx__cli_fail(cli, "'etx tx show GID' says how far each branch is, in its kind's words",
                        "--operation: branch %s of %s is of kind %s, which has no %s",
                        options->branch, gid, etx_kind_name(found.kind), options->operation);
    return CLI_NO;
}

static int plan_settling(cli_context *cli, const tx_options *options, force_plan *ret_plan) {
    ret_plan->what = ETX_FORCE_DONE;
    if (options->branch == NULL || options->operation == NULL) {
        return etx__cli_fail(cli, "add --branch NAME --operation confirm, for instance",
                             "--as done settles one operation of one branch");
    }
    if (find_operation(options->operation, &ret_plan->operation) != 0) {
        return etx__cli_fail(cli, "'etx tx show GID' says what each branch is",
                             "--operation: '%s' is none", options->operation);
    }
    return CLI_OK;
}

static int plan_force(cli_context *cli, const tx_options *options, force_plan *ret_plan) {
    if (options->as == NULL) {
        return etx__cli_fail(cli, "--as commit, --as abort, or --as done with --branch",
                             "force to what?");
    }
    if (strcmp(options->as, "done") == 0) {
        return plan_settling(cli, options, ret_plan);
    }
    if (options->branch != NULL || options->operation != NULL) {
        return etx__cli_fail(cli, NULL, "--branch and --operation go with --as done only");
    }
    if (strcmp(options->as, "commit") == 0) {
        ret_plan->what = ETX_FORCE_COMMIT;
    } else if (strcmp(options->as, "abort") == 0) {
        ret_plan->what = ETX_FORCE_ABORT;
    } else {
        return etx__cli_fail(cli, "--as commit, --as abort, or --as done with --branch",
                             "--as: '%s' is none of them", options->as);
    }
    return CLI_OK;
}

int etx__command_tx_force(cli_context *cli, int argc, char **argv) {
    tx_options options = {0};
    force_plan plan = {ETX_FORCE_ABORT, ETX_FORWARD};
    tx_client *client = NULL;
    cli_args args;
    int rc;
    int code = etx__cli_parse(cli, &command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    if (etx__tx_check_gid(cli, args.values[0]) != CLI_OK ||
        plan_force(cli, &options, &plan) != CLI_OK ||
        etx__cli_who(cli, &options.who, options.why) != CLI_OK) {
        return CLI_BAD;
    }
    code = etx__tx_open(cli, &options, 1, &client);
    if (code != CLI_OK) {
        return code;
    }
    if (plan.what == ETX_FORCE_DONE &&
        check_word(cli, client, args.values[0], &options, plan.operation) != CLI_OK) {
        client->ops->close(client);
        return CLI_NO;
    }
    rc = client->ops->force(client, args.values[0], plan.what, options.branch, plan.operation,
                            options.who, options.why);
    if (rc != 0) {
        const tx_attempt attempt = {plan.what == ETX_FORCE_DONE     ? TX_SETTLE
                                    : plan.what == ETX_FORCE_COMMIT ? TX_COMMIT
                                                                    : TX_ABORT,
                                    options.branch, plan.operation};
        code = etx__tx_explain(cli, client, args.values[0], &attempt, rc);
    } else {
        fprintf(cli->out, "%s: forced (%s)\n", args.values[0], options.as);
    }
    client->ops->close(client);
    return code;
}
