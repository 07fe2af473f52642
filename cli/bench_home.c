/* Where the bench works: a directory that is made for it, or a log that is nobody else's. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "cli_dir.h"
#include "log_open.h"

static const char own_log[] =
    "a bench must not run others' transactions: give it a log of its own, ?schema=NAME in "
    "PostgreSQL, ?prefix=NAME in MariaDB or Redis, /NAME in etcd";

/* Stops at the first slot. */
static int find_slot(const etx_slot *slot, void *user) {
    (void)slot;
    *(int *)user = 1;
    return 1;
}

/* A slot, or one that was: has anybody written to it? */
static int is_used(etx_log *log, int *ret_used, char *message, size_t size) {
    etx_log_info info = {.size = sizeof info};
    int rc = log->ops->info(log, &info);
    *ret_used = 0;
    for (uint32_t i = 0; rc == 0 && !*ret_used && i < info.partitions; i++) {
        uint64_t mark = 0;
        int found = 0;
        rc = log->ops->get(log, i, 0, find_slot, &found, &mark, message, size);
        *ret_used = found || (rc == 0 && mark > 0);
        rc = found ? 0 : rc;
    }
    return rc;
}

int etx__bench_check_log(cli_context *cli, etx_log *log) {
    char message[400] = "";
    json_t *nodes = etx__log_nodes(log, message, sizeof message);
    int used = 0;
    int rc = nodes == NULL ? ETX_EUNAVAILABLE : is_used(log, &used, message, sizeof message);
    int code = CLI_OK;
    if (rc != 0) {
        code = etx__cli_fail(cli, NULL, "%s (%s)", message[0] != '\0' ? message : etx_strerror(rc),
                             etx_error_name(rc));
    } else if (json_array_size(nodes) > 0) {
        code = etx__cli_fail(cli, own_log, "nodes work on this log: %s",
                             json_string_value(json_object_get(json_array_get(nodes, 0), "node")));
    } else if (used) {
        code = etx__cli_fail(cli, own_log, "this log is not empty: it has been worked on before");
    }
    json_decref(nodes);
    return code;
}

/* It is only read: an engine would take partitions, and what is unfinished in them. */
static int check_store(cli_context *cli, const char *url) {
    char message[400];
    etx_log *log = NULL;
    int code;
    int rc = etx__log_open(url, ETX_LOG_READ_ONLY, &log, message, sizeof message);
    if (rc == ETX_ENOTFOUND) {
        return CLI_OK;
    }
    if (rc != 0) {
        return etx__cli_fail(cli, NULL, "%s (%s)", message[0] != '\0' ? message : etx_strerror(rc),
                             etx_error_name(rc));
    }
    code = etx__bench_check_log(cli, log);
    log->ops->close(log, 0);
    return code;
}

static void set_sync_url(bench_run *run, const char *dir) {
    (void)snprintf(run->sync_url, sizeof run->sync_url, "file:%s%s", dir,
                   run->url + strcspn(run->url, "?"));
}

/* On the log's own file system: the directory may be there and be one of its own. */
static void choose_sync_dir(bench_run *run, const char *log_dir) {
    char parent[BENCH_PATH_MAX];
    etx__dir_parent(log_dir, parent, sizeof parent);
    set_sync_url(run, access(log_dir, F_OK) == 0 ? log_dir : parent);
}

int etx__bench_choose_home(bench_run *run) {
    char file_dir[BENCH_PATH_MAX];
    if (run->options.home == NULL) {
        if (etx__dir_make_temporary(".", "etx-bench", run->dir, sizeof run->dir) != 0) {
            int error = errno;
            run->dir[0] = '\0';
            return etx__cli_fail(run->cli,
                                 "go where you may write, or name a place: --home file:DIR",
                                 "./etx-bench-XXXXXX: %s", strerror(error));
        }
        snprintf(run->url, sizeof run->url, "file:%s/log", run->dir);
        set_sync_url(run, run->dir);
        return CLI_OK;
    }
    if (strlen(run->options.home) >= sizeof run->url) {
        return etx__cli_fail(run->cli, NULL, "--home: the URL is too long");
    }
    snprintf(run->url, sizeof run->url, "%s", run->options.home);
    if (etx__cli_file_dir(run->url, file_dir, sizeof file_dir) == 0) {
        if (etx__dir_check_empty(file_dir) != 0) {
            return etx__cli_fail(run->cli,
                                 "name a new directory: a bench must not run others' transactions",
                                 errno == ENOTEMPTY ? "%s is not empty: it may be a log already"
                                                    : "%s: it is no directory to write to",
                                 file_dir);
        }
        choose_sync_dir(run, file_dir);
    }
    return etx__cli_is_store(run->url) ? check_store(run->cli, run->url) : CLI_OK;
}
