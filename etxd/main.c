/* The server `etxd`: reads its configuration, serves until a signal ends it. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <jansson.h>

#include "check.h"

extern char **environ;

enum { GOOD = 0, FAILED = 1, WRONG = 2 };

static int complain(const char *message, int code) {
    fprintf(stderr, "etxd: %s\n", message);
    return code;
}

static void warn(void *user, const char *message, const char *path, const char *date) {
    int *warned = user;
    *warned = 1;
    fprintf(stderr, "etxd: warning: %s: %s%s%s\n", message, path, date[0] != '\0' ? ", " : "",
            date);
}

static int check(etxd *server) {
    char message[ETXD_MESSAGE_MAX] = "";
    int warned = 0;
    if (etxd_check(server, message) != 0) {
        return complain(message, WRONG);
    }
    etxd_warn_files(&server->config, warn, &warned);
    puts(warned ? "all is well but for the warnings" : "all is well");
    return GOOD;
}

static void block_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like others */
}

/* A connection is a descriptor, and shells give out few. */
static void raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void open_log(etxd *server) {
    const etxd_config *config = &server->config;
    int terminal = isatty(STDERR_FILENO);
    etxd_log_open(&server->log, STDERR_FILENO);
    server->log.json = strcmp(config->log_format, "json") == 0 ||
                       (strcmp(config->log_format, "auto") == 0 && !terminal);
    server->log.color = terminal && getenv("NO_COLOR") == NULL;
    atomic_store(&server->log.level, etxd_log_level(config->log_level));
}

/* jansson asks for memory without saying for whom. */
static etxd_scratch scratch;

static void *take(size_t size) {
    return etxd_scratch_take(&scratch, size);
}

static void give(void *bytes) {
    etxd_scratch_give(&scratch, bytes);
}

static void lend_scratch(etxd *server) {
    etxd_scratch_open(&scratch);
    json_set_alloc_funcs(take, give);
    server->scratch = &scratch;
}

static int serve(etxd *server) {
    char message[ETXD_MESSAGE_MAX] = "";
    int code = GOOD;
    block_signals();
    raise_descriptors();
    open_log(server);
    lend_scratch(server);
    if (etxd_start(server, message) != 0 || net_loop_run(server->loop) != 0 ||
        server->phase != ETXD_DRAINING) {
        etxd_log_say(&server->log, ETXD_ERROR, "etxd did not start",
                     message[0] != '\0' ? "why" : NULL, message);
        code = FAILED;
    }
    etxd_stop(server);
    etxd_scratch_close(&scratch);
    etxd_log_say(&server->log, ETXD_INFO, code == GOOD ? "ended" : "ended by an error", NULL, NULL);
    return code;
}

/* A stream that was closed before the start stays out of use: a file or a client would take its
 * number, and be given what is printed. To read from it, or to write, is an error as before. */
static void keep_streams_closed(void) {
    int fd;
    for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

int main(int argc, char **argv) {
    etxd server = {.argc = argc, .argv = argv, .environment = environ};
    etxd_config *config = &server.config;
    char message[ETXD_MESSAGE_MAX] = "";
    int code = GOOD;
    keep_streams_closed();
    if (etxd_config_read(argc, argv, environ, config, message) != 0) {
        code = complain(message, WRONG);
    } else if (config->action == ETXD_HELP) {
        etxd_config_help(stdout);
    } else if (config->action == ETXD_VERSION) {
        printf("etxd %s\n", etx_version());
    } else if (etxd_config_fill(config, message) != 0 || etxd_config_judge(config, message) != 0) {
        code = complain(message, WRONG);
    } else if (config->action == ETXD_PRINT) {
        etxd_config_print(config, stdout);
    } else if (config->action == ETXD_CHECK) {
        code = check(&server);
    } else if (etxd_check_files(config, message) != 0) {
        code = complain(message, WRONG);
    } else {
        code = serve(&server);
    }
    etxd_config_free(config);
    return code;
}
