/* `etx tx` on a log: an engine of its own that looks, operates, and calls nobody. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <etx/codec_json.h>

#include "envelope.h"
#include "log_open.h"
#include "tx_client.h"

enum {
    CLOSE_MS = 10000,
    /* an inspector must not forget what the program that owns the log still remembers */
    HISTORY_MAX = 1 << 24
};

typedef struct local_client {
    tx_client head;
    etx_engine *engine;
} local_client;

static etx_engine *engine_of(tx_client *client) {
    return ((local_client *)client)->engine;
}

static void close_local(tx_client *client) {
    local_client *local = (local_client *)client;
    (void)etx_engine_close(local->engine, ETX_CLOSE_LEAVE, CLOSE_MS);
    etx_engine_free(local->engine);
    free(local);
}

static int list_local(tx_client *client,
                      const etx_filter *filter,
                      etx_cursor *cursor,
                      uint32_t limit,
                      etx_status_fn each,
                      void *user) {
    return etx_list(engine_of(client), filter, cursor, limit, each, user);
}

/* Whoever is shown branches, and how. */
typedef struct shown_to {
    etx_branch_fn each;
    void *user;
} shown_to;

static int show_masked(const etx_branch_status *branch, void *user) {
    const shown_to *to = user;
    etx_branch_status shown = *branch;
    void *owned = NULL;
    int rc;
    shown.payload = etx__envelope_mask(
        (etx_bytes){branch->participant, strlen(branch->participant)}, branch->payload, &owned);
    rc = to->each(&shown, to->user);
    free(owned);
    return rc;
}

static int show_local(tx_client *client,
                      const char *gid,
                      etx_status *ret_status,
                      etx_branch_fn each,
                      void *user) {
    shown_to to = {each, user};
    return etx_query_branches(engine_of(client), gid, ret_status, show_masked, &to);
}

static int operate_local(tx_client *client,
                         etx_bulk what,
                         const char *gid,
                         const char *who,
                         const char *why) {
    switch (what) {
        case ETX_BULK_RETRY:
            return etx_retry(engine_of(client), gid);
        case ETX_BULK_PARK:
            return etx_park(engine_of(client), gid, who, why);
        case ETX_BULK_RESUME:
            return etx_resume(engine_of(client), gid, who, why);
    }
    return ETX_EINVALID;
}

static int bulk_local(tx_client *client,
                      etx_bulk what,
                      const etx_filter *filter,
                      uint32_t per_second,
                      const char *who,
                      const char *why,
                      uint64_t *ret_count) {
    return etx_bulk_operate(engine_of(client), what, filter, per_second, who, why, ret_count);
}

static int force_local(tx_client *client,
                       const char *gid,
                       etx_force what,
                       const char *branch,
                       etx_operation operation,
                       const char *who,
                       const char *why) {
    return etx_force_by_hand(engine_of(client), gid, what, branch, operation, who, why);
}

static void message_local(tx_client *client, char *message, size_t size) {
    etx_engine_message(engine_of(client), message, size);
}

static const tx_client_ops local_ops = {
    close_local, list_local,  show_local,    operate_local,
    bulk_local,  force_local, message_local, NULL,
};

/* The engine would make a directory that is missing; an operator who mistyped it does not want
 * that. Nor must one operate on a log that nodes work on: they would have to share it with this
 * one. */
static int check_present(cli_context *cli, const char *url, int operate) {
    etx_log_info info = {.size = sizeof info};
    char message[400] = "";
    etx_log *log = NULL;
    json_t *nodes;
    int code = CLI_OK;
    int rc = etx__log_open(url, ETX_LOG_READ_ONLY, &log, message, sizeof message);
    if (rc != 0) {
        return etx__cli_fail(cli,
                             rc == ETX_ENOTFOUND && !etx__cli_is_store(url)
                                 ? "is it the right directory? --home file:DIR, as the program "
                                   "says it"
                                 : NULL,
                             "%s (%s)", message[0] != '\0' ? message : etx_strerror(rc),
                             etx_error_name(rc));
    }
    if (!operate && log->ops->info(log, &info) == 0 && etx__log_is_retired(&info)) {
        fprintf(cli->err, "%s: %s\n", cli->path, LOG_RETIRED);
    }
    nodes = operate ? etx__log_nodes(log, message, sizeof message) : json_array();
    if (nodes == NULL) {
        code = etx__cli_fail(cli, NULL, "%s", message);
    } else if (json_array_size(nodes) > 0) {
        code = etx__log_refuse_nodes(cli, nodes);
    }
    json_decref(nodes);
    log->ops->close(log, 0);
    return code;
}

static int fail_start(cli_context *cli, etx_engine *engine, const char *dir, int rc) {
    etx_file_report report = {.size = sizeof report};
    char message[400] = "";
    char hint[160];
    if (rc == ETX_EBUSY && dir[0] != '\0') {
        (void)etx_log_file_verify(dir, NULL, NULL, &report, message, sizeof message);
        snprintf(
            hint, sizeof hint,
            "stop the program that has it open, or use the program's own interface; 'etx tx list' "
            "and 'show' work meanwhile");
        if (report.owner_pid > 0) {
            return etx__cli_fail(cli, hint, "%s is in use by process %d", dir, report.owner_pid);
        }
        return etx__cli_fail(cli, hint, "%s is in use by another process", dir);
    }
    etx_engine_message(engine, message, sizeof message);
    return etx__cli_fail(cli, rc == ETX_ECORRUPT ? "'etx log verify' names every damage" : NULL,
                         "%s (%s)", message[0] != '\0' ? message : etx_strerror(rc),
                         etx_error_name(rc));
}

static int start_engine(cli_context *cli,
                        const char *url,
                        const char *dir,
                        int operate,
                        etx_engine **ret_engine) {
    etx_options options = ETX_OPTIONS_INIT;
    etx_engine *engine = NULL;
    int rc;
    options.node = "etx-tx";
    options.flags = operate ? ETX_INSPECT : ETX_READ_ONLY;
    options.shards = 1;
    options.workers = 1;
    options.branches_max = ETX_BRANCHES_MAX;
    options.history_max = HISTORY_MAX;
    options.history_age_ms = 365 * 86400000ULL;
    rc = etx_engine_create(&options, &engine);
    if (rc != 0) {
        return etx__cli_fail(cli, NULL, "%s", etx_strerror(rc));
    }
    rc = etx_engine_codec(engine, etx_codec_json());
    if (rc == 0) {
        rc = etx_engine_home(engine, url);
    }
    if (rc == 0) {
        rc = etx_engine_start(engine);
    }
    if (rc != 0) {
        int code = fail_start(cli, engine, dir, rc);
        etx_engine_free(engine);
        return code;
    }
    *ret_engine = engine;
    return CLI_OK;
}

int etx__tx_open_local(cli_context *cli, const char *url, int operate, tx_client **ret_client) {
    local_client *local;
    char dir[PATH_MAX] = "";
    int code;
    if (!etx__cli_is_store(url) && etx__cli_file_dir(url, dir, sizeof dir) != 0) {
        return etx__cli_fail(cli, "write --home file:DIR, or a URL such as postgresql://...",
                             "'%s' is not the URL of a log", url);
    }
    code = check_present(cli, url, operate);
    if (code != CLI_OK) {
        return code;
    }
    local = calloc(1, sizeof *local);
    if (local == NULL) {
        return etx__cli_fail(cli, NULL, "%s", strerror(errno));
    }
    local->head.ops = &local_ops;
    code = start_engine(cli, url, dir, operate, &local->engine);
    if (code != CLI_OK) {
        free(local);
        return code;
    }
    *ret_client = &local->head;
    return CLI_OK;
}
