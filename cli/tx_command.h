/* What the subcommands of `etx tx` share: where, which transactions, who and why. */
#ifndef ETX_CLI_TX_COMMAND_H
#define ETX_CLI_TX_COMMAND_H

#include "cli_json.h"
#include "tx_client.h"

typedef struct tx_options {
    const char *home;
    const char *server;
    int json;
    /* which */
    const char *state;
    const char *participant;
    const char *kind;
    const char *prefix;
    uint64_t older_ms;
    int parked;
    int stalled;
    int ended;
    int all;
    uint64_t limit;
    /* operations */
    const char *who;
    const char *why;
    uint64_t rate;
    const char *as;
    const char *branch;
    const char *operation;
} tx_options;

/* Rows of option tables that several commands have. */
#define TX_ROW(name, letter, value, member, argument, help) \
    { name, letter, value, offsetof(tx_options, member), argument, help, 0, 0 }
#define TX_OPERATE_HELP "the log, which no process may have open"
#define TX_LOOK_HELP "the log; it is only read, whoever has it open"
#ifdef ETX_WITH_SERVER
#define TX_SERVER_HELP                                 \
    "or the server etxd (default: $ETX_SERVER, else\n" \
    "http://127.0.0.1:7830); its token is $ETX_TOKEN"
#define TX_STALLED_HELP "whose calls keep failing; of a server only"
#else
#define TX_SERVER_HELP NULL
#define TX_STALLED_HELP NULL
#endif
#define TX_KINDS "tcc|saga|xa|message|notification"
#define TX_STATE_HELP                                       \
    "ACTIVE, COMMITTING, ABORTING; COMMITTED and ABORTED\n" \
    "bring remembered ones; more with ','"
#define TX_OPTION_HOME(help)                                   \
    TX_ROW("home", 'H', CLI_TEXT, home, "file:DIR|URL", help), \
        TX_ROW("server", 'S', CLI_TEXT, server, "URL", TX_SERVER_HELP)
#define TX_OPTION_JSON TX_ROW("json", 'j', CLI_FLAG, json, NULL, "one JSON object a line")
#define TX_OPTION_STATE TX_ROW("state", 's', CLI_TEXT, state, "STATES", TX_STATE_HELP)
#define TX_OPTION_PARKED TX_ROW("parked", 0, CLI_FLAG, parked, NULL, "parked by an operator")
#define TX_OPTION_STALLED TX_ROW("stalled", 0, CLI_FLAG, stalled, NULL, TX_STALLED_HELP)
#define TX_OPTION_KIND TX_ROW("kind", 'k', CLI_TEXT, kind, TX_KINDS, "with a branch of this kind")
#define TX_OPTION_PARTICIPANT \
    TX_ROW("participant", 'p', CLI_TEXT, participant, "NAME", "with a branch of this participant")
#define TX_OPTION_PREFIX TX_ROW("prefix", 0, CLI_TEXT, prefix, "TEXT", "the gid begins so")
#define TX_OPTION_OLDER \
    TX_ROW("older-than", 'o', CLI_TIME, older_ms, "TIME", "begun longer ago: 90s, 5m, 2h, 7d")
#define TX_OPTION_WHO TX_ROW("who", 0, CLI_TEXT, who, "NAME", "who does it (default: $USER)")
#define TX_OPTION_WHY \
    TX_ROW("why", 0, CLI_TEXT, why, "TEXT", "the reason; both are recorded (required)")
#define TX_OPTION_ALL TX_ROW("all", 'a', CLI_FLAG, all, NULL, "all that are not ended")
#define TX_OPTIONS_FILTER                                                                        \
    TX_OPTION_STATE, TX_OPTION_PARKED, TX_OPTION_STALLED, TX_OPTION_KIND, TX_OPTION_PARTICIPANT, \
        TX_OPTION_PREFIX, TX_OPTION_OLDER
#define TX_OPTIONS_END \
    { NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0 }

#define TX_EXITS                                               \
    "  0  done\n"                                              \
    "  1  no such transaction, or not possible in its state\n" \
    "  2  bad usage; no log there, in use, damaged; it cannot be reached\n"

/* Opens what the options name, to look at it or to operate. CLI_OK or an exit code. */
int etx__tx_open(cli_context *cli, const tx_options *options, int operate, tx_client **ret_client);
/* Is it one at all? CLI_OK or CLI_BAD. */
int etx__tx_check_gid(cli_context *cli, const char *gid);
/* Says what went wrong with a gid, or with the list (gid NULL). Returns the exit code. */
int etx__tx_fail(cli_context *cli, tx_client *client, const char *gid, int rc);
/* Makes the filter that the options describe. CLI_OK or CLI_BAD. */
int etx__tx_filter(cli_context *cli, const tx_options *options, etx_filter *ret_filter);
/* POSTs the text of JSON to a client of etx__tx_open_server, below the path of the gid or, for "",
 * of all. The answer is the client's. 0, or an ETX error. */
int etx__tx_server_post(tx_client *client,
                        const char *gid,
                        const char *more,
                        const char *body,
                        const json_t **ret_answer);
/* "parked,forced"; at least 96 bytes. */
void etx__tx_marks(uint32_t marks, char *text, size_t size);
/* Who has parked it and why, by its log; "" where that does not tell any more. */
typedef struct tx_parked {
    char who[ETX_NAME_MAX + 1];
    char why[ETX_REASON_MAX + 1];
} tx_parked;
void etx__tx_parked_by(const char *url, const etx_status *status, tx_parked *ret_parked);
/* A reason, which a participant may have written, behind `before`; nothing if it is empty. */
void etx__tx_reason(FILE *to, const char *before, const char *reason);
/* Status as JSON, without its branches. */
json_t *etx__tx_status_json(const etx_status *status);

#endif
