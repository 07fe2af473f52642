/* Starting and ending: listeners first, then the log; on a signal the other way round. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "forward.h"
#include "tx.h"

/* Happy path. The loop's thread opens the listeners and runs; another thread starts the engine,
 * which reads the log and may call participants, and those are called by the loop. Until it is done
 * only /healthz, /readyz and the like are answered. SIGTERM: the listeners are closed, and what was
 * begun is answered; then a thread closes the engine, which answers what is left; then the loop
 * stops. A second SIGTERM ends at once: that is a crash, and the log is made for those. */

enum { CLOSE_SHARE = 4, CLOSE_LEAST_MS = 500 };

typedef struct etxd_life {
    net_watch signals;
    net_task started; /* from the thread that starts the engine to the loop */
    net_task closed;  /* ... that closes it */
    net_task turn;    /* at the end of every turn of the loop */
    uint32_t open;    /* how many requests waited at the end of the last one */
    net_task homes;   /* from a thread of the engine: one may be another than it was */
    _Atomic int homes_posted;
    pthread_t thread;
    int threaded; /* the thread is to be joined */
    int rc;
    net_timer late;    /* the time to end is over */
    const char *stage; /* of ending: what is waited for */
    etxd *server;
    char message[ETXD_MESSAGE_MAX];
} etxd_life;

#define LIFE_OF(part, member) ((etxd_life *)(void *)((char *)(part)-offsetof(etxd_life, member)))

static void run_thread(etxd_life *life, void *(*run)(void *)) {
    life->threaded = pthread_create(&life->thread, NULL, run, life) == 0;
    if (!life->threaded) {
        (void)run(life);
    }
}

static void join_thread(etxd_life *life) {
    if (life->threaded) {
        pthread_join(life->thread, NULL);
        life->threaded = 0;
    }
}

/* ---- ending: each stage tells that it begins, so that the last line says which takes long */

static void on_late(net_timer *timer) {
    etxd_life *life = LIFE_OF(timer, late);
    etxd_log_say(&life->server->log, ETXD_WARNING, "the time to end is over", "waits_for",
                 life->stage);
}

static void after_close(net_task *task) {
    etxd_life *life = LIFE_OF(task, closed);
    join_thread(life);
    net_timer_stop(life->server->loop, &life->late);
    etxd_log_say(&life->server->log, ETXD_INFO, "ending: the engine and its logs are closed", NULL,
                 NULL);
    net_loop_stop(life->server->loop);
}

static void *close_engine(void *user) {
    etxd_life *life = user;
    etxd *server = life->server;
    uint64_t left = server->config.drain / CLOSE_SHARE;
    left = left > CLOSE_LEAST_MS ? left : CLOSE_LEAST_MS;
    if (server->engine != NULL &&
        etx_engine_close(server->engine, ETX_CLOSE_LEAVE, (uint32_t)left) != 0) {
        etxd_log_say(&server->log, ETXD_WARNING, "calls still run; the next start makes them again",
                     NULL, NULL);
    }
    life->closed.run = after_close;
    net_loop_post(server->loop, &life->closed);
    return NULL;
}

static void after_drain(void *user) {
    etxd *server = user;
    etx_metrics m = {.size = sizeof m};
    etxd_field calls = {"calls", NULL, 0};
    join_thread(server->life);
    if (server->engine != NULL && etx_engine_metrics(server->engine, &m) == 0) {
        calls.number = m.calls_in_flight;
    }
    server->life->stage = "the engine and its logs";
    etxd_log_line(&server->log, ETXD_INFO, "ending: closing the engine and its logs", &calls, 1);
    run_thread(server->life, close_engine);
}

static void begin_drain(etxd *server) {
    const etxd_field requests = {"requests", NULL, atomic_load(&server->counts.waiting)};
    if (server->phase == ETXD_DRAINING) {
        etxd_log_say(&server->log, ETXD_WARNING, "a second signal: ending at once", NULL, NULL);
        _exit(1);
    }
    server->phase = ETXD_DRAINING;
    if (server->engine != NULL) {
        (void)etx_engine_lend(server->engine, 0);
    }
    etxd_notify("STOPPING=1\nSTATUS=answering what is begun");
    etxd_log_line(&server->log, ETXD_INFO, "ending: answering what is begun", &requests, 1);
    server->life->stage = "answers";
    server->life->late.fire = on_late;
    net_timer_start(server->loop, &server->life->late, server->config.drain + CLOSE_LEAST_MS);
    etxd_bulk_end(server->bulk);
    etxd_waiting_hurry(server, server->config.drain / 2);
    etxd_forward_hurry(server, server->config.drain / 2);
    net_server_drain(server->server, server->config.drain * (CLOSE_SHARE - 1) / CLOSE_SHARE,
                     after_drain, server);
    etxd_events_end(server->events); /* behind it: who reads no more is not waited for */
}

static void take_signal(net_watch *watch, unsigned events) {
    etxd_life *life = LIFE_OF(watch, signals);
    struct signalfd_siginfo info;
    (void)events;
    while (read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP) {
            etxd_reload(life->server);
        } else {
            begin_drain(life->server);
        }
    }
}

/* ---- starting */

/* What this turn has handed to the engine is done here, if it can be. While few wait, this thread
 * rests most of the time, and to wake it takes longer than most of what it does: so it does not
 * rest, nor after the last answer, to which the next request may be near. */
static void after_turn(net_task *task) {
    enum { FEW = 2 };
    etxd_life *life = LIFE_OF(task, turn);
    etxd *server = life->server;
    etx_engine_help(server->engine);
    uint32_t open = atomic_load(&server->counts.waiting);
    int polls = open <= FEW && (open > 0 || life->open > 0);
    net_loop_busy_poll(server->loop, polls ? (uint32_t)server->config.busy_poll : 0);
    life->open = open;
}

static void look_at_homes(net_task *task) {
    etxd_life *life = LIFE_OF(task, homes);
    atomic_store(&life->homes_posted, 0);
    if (life->server->phase == ETXD_SERVING) {
        etxd_tell_ready(life->server, "");
    }
}

void etxd_homes_changed(etxd *server) {
    etxd_life *life = server->life;
    if (atomic_exchange(&life->homes_posted, 1) == 0) {
        life->homes.run = look_at_homes;
        net_loop_post(server->loop, &life->homes);
    }
}

/* To systemd it has started, whatever a home that nodes share comes to. */
static void after_start(net_task *task) {
    etxd_life *life = LIFE_OF(task, started);
    etxd *server = life->server;
    if (life->rc != 0) {
        etxd_log_say(&server->log, ETXD_ERROR, "the log cannot be used", "why", life->message);
        net_loop_stop(server->loop);
        return;
    }
    if (etxd_confine_calls(&server->config, &server->log, &server->confinement, life->message)) {
        etxd_log_say(&server->log, ETXD_ERROR, "it cannot be confined", "why", life->message);
        net_loop_stop(server->loop);
        return;
    }
    if (server->phase == ETXD_STARTING) {
        server->phase = ETXD_SERVING;
        life->turn.run = after_turn;
        net_loop_each_turn(server->loop, &life->turn);
        (void)etx_engine_lend(server->engine, 1);
        etxd_tell_ready(server, "READY=1\n");
    }
}

static void *start_engine(void *user) {
    etxd_life *life = user;
    etxd *server = life->server;
    life->rc = etx_engine_start(server->engine);
    if (life->rc != 0) {
        char why[480];
        etx_engine_message(server->engine, why, sizeof why);
        snprintf(life->message, sizeof life->message, "%s (%s)",
                 why[0] != '\0' ? why : etx_strerror(life->rc), etx_error_name(life->rc));
    }
    life->started.run = after_start;
    net_loop_post(server->loop, &life->started);
    return NULL;
}

static int watch_signals(etxd *server, char *message) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    server->life->signals.ready = take_signal;
    server->life->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (server->life->signals.fd < 0 ||
        net_watch_set(server->loop, &server->life->signals, NET_READABLE) != 0) {
        snprintf(message, ETXD_MESSAGE_MAX, "signals: %s", strerror(errno));
        return -1;
    }
    return 0;
}

static int make_tls(etxd *server, char *message) {
    const net_tls_options options = etxd_tls_options(&server->config);
    return options.certificate[0] == '\0' ? 0 : net_tls_create(&options, message, &server->tls);
}

/* Without tokens a socket's file is its owner's alone, whatever the umask says. No other thread
 * makes files yet. */
static int listen_at(etxd *server, const char *address, net_address *ret_bound) {
    const etxd_config *config = &server->config;
    int open = config->token_file[0] != '\0' || config->insecure_without_tokens;
    mode_t usual = umask(0177);
    int rc, kept;
    if (open) {
        (void)umask(usual);
    }
    rc = net_server_listen(server->server, address, server->tls, 0, ret_bound);
    kept = errno;
    (void)umask(usual);
    errno = kept;
    return rc;
}

static int listen_all(etxd *server, char *message) {
    size_t i;
    for (i = 0; i < server->config.listen.count; i++) {
        char text[NET_ADDRESS_TEXT_MAX];
        net_address bound;
        const char *address = server->config.listen.items[i];
        if (listen_at(server, address, &bound) != 0) {
            snprintf(message, ETXD_MESSAGE_MAX, "listening on %.100s: %s", address,
                     strerror(errno));
            return -1;
        }
        etxd_log_say(&server->log, ETXD_INFO,
                     server->tls != NULL ? "listening, with TLS" : "listening", "address",
                     net_address_text(&bound, text, sizeof text));
    }
    return 0;
}

static int make_server(etxd *server, char *message) {
    const net_server_options options = etxd_server_options(server);
    if (net_server_create(server->loop, &options, &server->server) != 0) {
        snprintf(message, ETXD_MESSAGE_MAX, "no memory");
        return -1;
    }
    return make_tls(server, message) != 0 ? -1 : listen_all(server, message);
}

int etxd_start(etxd *server, char *message) {
    server->started_ms = etxd_now_ms();
    server->life = calloc(1, sizeof *server->life);
    if (server->life == NULL || net_loop_create(&server->loop) != 0) {
        snprintf(message, ETXD_MESSAGE_MAX, "no memory, or no descriptors");
        return -1;
    }
    server->life->server = server;
    server->life->signals.fd = -1;
    if (server->config.token_file[0] != '\0' &&
        etxd_tokens_read(server->config.token_file, &server->tokens, message, ETXD_MESSAGE_MAX)) {
        return -1;
    }
    etxd_check_modes(server);
    etxd_warn_files(&server->config, etxd_warn_log, &server->log);
    if (watch_signals(server, message) != 0 || make_server(server, message) != 0 ||
        etxd_confine_files(&server->config, &server->confinement, message) != 0 ||
        etxd_trace_create(&server->config, &server->log, &server->trace, message) != 0) {
        return -1;
    }
    if (etxd_events_create(server, &server->events) != 0 ||
        etxd_stories_create(server->config.story_memory, &server->stories) != 0 ||
        etxd_pool_create((unsigned)server->config.workers, &server->pool) != 0 ||
        etxd_bulk_create(&server->bulk) != 0) {
        snprintf(message, ETXD_MESSAGE_MAX, "no memory, or no threads");
        return -1;
    }
    if (etxd_engine_options(server, message) != 0 || etxd_forwarder_create(server, message) != 0) {
        return -1;
    }
    run_thread(server->life, start_engine);
    return 0;
}

void etxd_stop(etxd *server) {
    etxd_life *life = server->life;
    if (life == NULL) {
        return;
    }
    join_thread(life);
    etxd_bulk_free(server->bulk);
    etxd_pool_free(server->pool);
    if (server->server != NULL) {
        net_server_free(server->server);
        etxd_forwarder_free(server->forwarder);
        (void)net_loop_turn(server->loop, 0); /* answers that came meanwhile */
    }
    if (server->engine != NULL) {
        (void)etx_engine_close(server->engine, ETX_CLOSE_ABRUPT, 0); /* unless it is closed */
    }
    etx_http_free(server->http);
    server->http = NULL;
    etx_engine_free(server->engine);
    if (life->signals.fd >= 0) {
        net_watch_remove(server->loop, &life->signals);
        close(life->signals.fd);
    }
    etxd_trace_free(server->trace);
    etxd_events_free(server->events);
    etxd_stories_free(server->stories);
    net_loop_free(server->loop);
    etxd_text_free(&server->lines.text);
    net_tls_free(server->tls);
    etxd_tokens_free(&server->tokens);
    free(life);
    server->life = NULL;
}
