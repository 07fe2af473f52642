/* `etx log accept-loss`: somebody goes on without what a store has lost, by name. */
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "log_loss.h"

/* The acceptance is a claim of its own, with the record LOSS behind it: whoever claims next reads
 * it, and repeats it. A node that works on the partition loses it by that, reads it anew and claims
 * it again. */

enum { TRIES = 50, PAUSE_US = 100000, BATCH_MAX = 1024 };

typedef struct accept_options {
    const char *state;
    const char *who;
    const char *why;
    uint64_t partition; /* UINT64_MAX: none is named */
    int all;
    int unproved; /* nothing need show that something is lost */
    int json;
} accept_options;

static const cli_option options_table[] = {
    {"partition", 'p', CLI_NUMBER, offsetof(accept_options, partition), "N", "this partition", 0,
     UINT32_MAX},
    {"all", 'a', CLI_FLAG, offsetof(accept_options, all), NULL,
     "every partition that has lost something, by --state", 0, 0},
    {"state", 's', CLI_TEXT, offsetof(accept_options, state), "DIR",
     "the state directory of the node that noticed it:\nwhat has lost nothing stays as it is", 0,
     0},
    {"without-proof", 0, CLI_FLAG, offsetof(accept_options, unproved), NULL,
     "of one partition, although no state directory shows\nthat anything is lost there", 0, 0},
    {"who", 0, CLI_TEXT, offsetof(accept_options, who), "NAME", "who does it (default: $USER)", 0,
     0},
    {"why", 0, CLI_TEXT, offsetof(accept_options, why), "TEXT",
     "the reason; both are recorded (required)", 0, 0},
    {"json", 'j', CLI_FLAG, offsetof(accept_options, json), NULL, "one JSON object a line", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command command = {
    "URL (--partition N | --all) (--state DIR | --without-proof) [--who NAME] --why TEXT\n"
    "       [--json]",
    "Goes on in a partition although the store of a shared home has lost what it acknowledged\n"
    "there. Transactions that were lost with it are as if they had never been, those that were\n"
    "decided since may be decided otherwise, and participants may have been told more than the\n"
    "log says: compare their own records first. Restoring the newest backup is better. Who and\n"
    "why are recorded in the log. A node that waits goes on within seconds.\n"
    "Where --state shows no loss nothing is written: a later loss could pass for accepted.",
    options_table,
    "  etx log diff 'postgresql://etx@db/shop' --state /var/lib/etxd/state\n"
    "  etx log accept-loss 'postgresql://etx@db/shop' --state /var/lib/etxd/state --all \\\n"
    "      --who ann --why 'disk of db1 lost, backup of 03:00 restored'\n",
    "  0  accepted\n"
    "  1  nothing is lost there, as --state shows: nothing was written\n"
    "  2  bad usage; no log or no state there; it cannot be read or written\n",
    1,
    1,
};

static int check(cli_context *cli, accept_options *options) {
    if ((options->partition == UINT64_MAX) == (options->all == 0)) {
        return etx__cli_fail(cli, NULL, "say --partition N, or --all");
    }
    if (options->all && options->unproved) {
        return etx__cli_fail(cli, NULL, "--without-proof is for one --partition");
    }
    if (options->state == NULL && !options->unproved) {
        return etx__cli_fail(cli,
                             "where no node remembers: --partition N --without-proof; "
                             "on what has lost nothing a later loss could pass for accepted",
                             "--state DIR is needed, which shows what is lost");
    }
    if (etx__cli_who(cli, &options->who, options->why) != CLI_OK) {
        return CLI_BAD;
    }
    if (strlen(options->who) > ETX_NAME_MAX || strlen(options->why) > ETX_REASON_MAX) {
        return etx__cli_fail(cli, NULL, "--who has at most %d bytes, --why %d", ETX_NAME_MAX,
                             ETX_REASON_MAX);
    }
    return CLI_OK;
}

/* ---- writing */

static size_t encode(uint8_t *batch, const accept_options *options, uint64_t nonce, uint64_t ms) {
    const etx_codec *codec = etx_codec_binary();
    etx_record own = {.type = ETX_RECORD_OWN};
    etx_record loss = {.type = ETX_RECORD_LOSS};
    size_t len = 1;
    own.u.own = (etx_record_own){.nonce = nonce, .time_ms = ms};
    loss.u.loss.time_ms = ms;
    loss.u.loss.who = (etx_bytes){options->who, strlen(options->who)};
    loss.u.loss.why = (etx_bytes){options->why, strlen(options->why)};
    batch[0] = codec->id;
    len += codec->encode(&own, batch + len);
    return len + codec->encode(&loss, batch + len);
}

static uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* Later than every acceptance that is known. */
static uint64_t moment_of(const loss_scan *scan) {
    uint64_t last = later(scan->accepted_ms, scan->remembered.accepted_ms);
    return later(etx__cli_now_ms(), last + 1);
}

/* The same put until it is definite. 1: it stands; 0: another was there first; CLI_BAD. */
static int put_until(cli_context *cli, etx_log *log, etx_put *put) {
    etx_put_result result = ETX_PUT_UNKNOWN;
    int tries;
    for (tries = 0; result == ETX_PUT_UNKNOWN && tries < TRIES; tries++) {
        usleep(tries > 0 ? PAUSE_US : 0);
        result = log->ops->put(log, put);
    }
    if (result == ETX_PUT_WRITTEN ||
        (result == ETX_PUT_OCCUPIED && !put->found_trimmed && put->found_nonce == put->nonce)) {
        return 1;
    }
    if (result == ETX_PUT_OCCUPIED || result == ETX_PUT_PREDECESSOR) {
        return 0;
    }
    return etx__cli_fail(cli, NULL, "%s (%s)", put->message, etx_error_name(put->error));
}

/* Behind the newest slot, whoever writes there meanwhile. */
static int accept(cli_context *cli,
                  etx_log *log,
                  const etx_seen *seen,
                  const accept_options *options,
                  loss_scan *scan) {
    uint8_t batch[BATCH_MAX];
    uint64_t nonce = 0;
    int tries;
    if (getrandom(&nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce) {
        return etx__cli_fail(cli, NULL, "the system gives no random numbers");
    }
    for (tries = 0; tries < TRIES; tries++) {
        etx_bytes bytes = {batch, encode(batch, options, nonce, moment_of(scan))};
        etx_put put = {.size = sizeof put,
                       .partition = scan->partition,
                       .slot = scan->next,
                       .predecessor = scan->checksum,
                       .nonce = nonce,
                       .batch = bytes};
        int stands;
        put.checksum = etx_slot_checksum(put.partition, put.slot, nonce, put.predecessor, bytes);
        stands = put_until(cli, log, &put);
        if (stands != 0) {
            return stands == 1 ? CLI_OK : CLI_BAD;
        }
        if (etx__loss_scan(cli, log, seen, scan->partition, scan) != CLI_OK) {
            return CLI_BAD;
        }
    }
    return etx__cli_fail(cli, "stop it, or try again",
                         "partition %u: another process writes there all the time",
                         scan->partition);
}

/* ---- the command */

/* It is written all the same: somebody has said so. */
static void warn(cli_context *cli, const loss_scan *scan) {
    fprintf(cli->err,
            "etx: warning: partition %u: %s; a node that remembers more takes what it misses for "
            "accepted. 'etx log diff' shows it, with a node's --state\n",
            scan->partition,
            scan->remembered.known ? "what --state remembers is not lost"
                                   : "nothing shows that anything is lost there");
}

static int accept_one(cli_context *cli,
                      etx_log *log,
                      const etx_seen *seen,
                      const accept_options *options,
                      uint32_t partition) {
    loss_scan scan;
    int code = etx__loss_scan(cli, log, seen, partition, &scan);
    if (code != CLI_OK) {
        return code;
    }
    if (!options->unproved && !etx__loss_is_lost(&scan)) {
        if (!options->all) {
            etx__loss_print(cli, options->json, &scan, etx__loss_state(&scan));
        }
        return CLI_NO;
    }
    if (!etx__loss_is_lost(&scan)) {
        warn(cli, &scan);
    }
    code = accept(cli, log, seen, options, &scan);
    if (code == CLI_OK) {
        scan.next++;
        etx__loss_print(cli, options->json, &scan, "accepted");
    }
    return code;
}

static int accept_all(cli_context *cli, etx_log *log, const accept_options *options) {
    etx_log_info info = {.size = sizeof info};
    etx_seen seen = {.size = sizeof seen};
    int code = CLI_NO;
    uint32_t i;
    if (log->ops->info(log, &info) != 0) {
        return etx__cli_fail(cli, NULL, "reading the log's description failed");
    }
    if (!options->all && options->partition >= info.partitions) {
        return etx__cli_fail(cli, NULL, "--partition: the log has %u, numbered from 0",
                             info.partitions);
    }
    if (options->state != NULL && etx__loss_read(cli, log, options->state, &seen) != CLI_OK) {
        return CLI_BAD;
    }
    for (i = 0; code != CLI_BAD && i < info.partitions; i++) {
        if (options->all || options->partition == i) {
            int one = accept_one(cli, log, options->state != NULL ? &seen : NULL, options, i);
            code = one == CLI_NO ? code : one;
        }
    }
    etx_seen_free(&seen);
    if (code == CLI_NO && !options->json) {
        fputs("Nothing is lost: nothing was written.\n", cli->out);
    }
    return code;
}

int etx__command_log_accept_loss(cli_context *cli, int argc, char **argv) {
    accept_options options = {.partition = UINT64_MAX};
    etx_log *log = NULL;
    cli_args args;
    int code = etx__cli_parse(cli, &command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    if (check(cli, &options) != CLI_OK) {
        return CLI_BAD;
    }
    code = etx__log_take(cli, args.values[0], 0, &log);
    if (code == CLI_OK) {
        code = accept_all(cli, log, &options);
        log->ops->close(log, 1);
    }
    return code;
}
