/* The caller of participants over HTTP: creating, registering, and where calls come in. */
#include "http.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* ---- calls */

static const char *url_of(const etx__http_job *job) {
    switch (job->operation) {
        case ETX_FORWARD:
        case ETX_QUERY:
        case ETX_RESUME:
            return job->said.forward_url;
        case ETX_COMMIT:
            return job->said.commit_url;
        case ETX_UNDO:
            return job->said.undo_url;
    }
    return NULL;
}

/* Reads what the branch says, and judges the URL. */
static int read_job(etx__http_job *job, char *why, size_t size) {
    etx__http_scheme scheme;
    if (etx__http_envelope_read(job->envelope.data, job->envelope.len, &job->said, job->headers,
                                sizeof job->headers) != 0) {
        return etx__http_say(ETX_EINVALID, why, size,
                             "the payload is not what etx_http_branch_write makes");
    }
    const char *url = url_of(job);
    if (url == NULL) {
        return 0;
    }
    int rc = etx__http_url(url, &job->url, &scheme, why, size);
    if (rc != 0) {
        return rc;
    }
    etx__http_config *config = etx__http_config_now(job->http);
    rc = etx__http_allow_url(&config->allow, &job->url, scheme, 0, why, size);
    etx__http_config_release(config);
    return rc;
}

/* On the loop's thread. */
static void begin(net_task *task) {
    etx__http_job *job = (etx__http_job *)(void *)((char *)task - offsetof(etx__http_job, task));
    char why[ETX__HTTP_REASON_MAX];
    if (atomic_load(&job->http->freed)) {
        etx__http_job_drop(job);
        return;
    }
    if (read_job(job, why, sizeof why) != 0) {
        etx__http_job_reject(job, ETX_RETRY, 0, "%s", why);
        return;
    }
    if (url_of(job) == NULL) {
        const etx__http_verdict nothing = {.reply = ETX_DONE};
        etx__http_job_end(job, &nothing, (etx_bytes){NULL, 0});
        return;
    }
    etx__http_target *target = etx__http_target_of(job->http, &job->url);
    if (target == NULL) {
        etx__http_job_reject(job, ETX_UNSENT, 0, "out of memory");
        return;
    }
    etx__http_target_take(target, job);
}

/* On an engine's thread: copies, and is gone. */
static etx_reply on_call(etx_call *call, void *user) {
    etx_http *http = user;
    etx__http_job *job = etx__http_job_make(http, call);
    if (job == NULL) {
        etx_call_reason(call, "too much is under way to participants over HTTP");
        return ETX_UNSENT;
    }
    job->task.run = begin;
    net_loop_post(http->loop, &job->task);
    return ETX_LATER;
}

int etx_http_register(etx_http *http, etx_engine *engine) {
    static const struct {
        const char *name;
        etx_kind kind;
    } kinds[] = {{"http-tcc", ETX_TCC},
                 {"http-saga", ETX_SAGA},
                 {"http-xa", ETX_XA},
                 {"http-message", ETX_MESSAGE},
                 {"http-notification", ETX_NOTIFICATION}};
    etx_participant initiator = ETX_PARTICIPANT_INIT;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        etx_participant participant = ETX_PARTICIPANT_INIT;
        int forward = kinds[i].kind != ETX_MESSAGE && kinds[i].kind != ETX_NOTIFICATION;
        participant.name = kinds[i].name;
        participant.kind = kinds[i].kind;
        participant.forward = forward ? on_call : NULL;
        participant.commit = kinds[i].kind != ETX_SAGA ? on_call : NULL;
        participant.undo = forward ? on_call : NULL;
        participant.user = http;
        participant.flags = ETX_INLINE;
        int rc = etx_engine_register(engine, &participant);
        if (rc != 0) {
            return rc;
        }
    }
    initiator.name = "http-initiator";
    initiator.kind = ETX_MESSAGE;
    initiator.query = initiator.resume = on_call;
    initiator.user = http;
    initiator.flags = ETX_INLINE;
    return etx_engine_register(engine, &initiator);
}

/* ---- the client */

/* The address that a connection is about to be made to. */
static int vet(const net_url *url, const net_address *address, void *user) {
    etx__http_config *config = etx__http_config_now(user);
    etx__http_scheme scheme = url->tls ? ETX__HTTP_TLS : ETX__HTTP_PLAIN;
    int allowed = 0;
    if (address->at.any.sa_family == AF_INET) {
        uint8_t ip[4];
        memcpy(ip, &address->at.ip4.sin_addr, sizeof ip);
        allowed = etx__http_allow_address(&config->allow, url, scheme, ip, sizeof ip);
    } else if (address->at.any.sa_family == AF_INET6) {
        uint8_t ip[16];
        memcpy(ip, &address->at.ip6.sin6_addr, sizeof ip);
        allowed = etx__http_allow_address(&config->allow, url, scheme, ip, sizeof ip);
    }
    etx__http_config_release(config);
    return !allowed;
}

static void *run_loop(void *user) {
    etx_http *http = user;
    pthread_setname_np(pthread_self(), "etx-http");
    (void)net_loop_run(http->loop);
    return NULL;
}

static int start_thread(etx_http *http) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&http->thread, NULL, run_loop, http);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? 0 : ETX_EIO;
}

static int start_client(etx_http *http) {
    const net_client_options options = {.size = sizeof options,
                                        .vet = vet,
                                        .user = http,
                                        .connections_max = ETX__HTTP_IN_FLIGHT_MAX,
                                        .target_connections_max = ETX__HTTP_IN_FLIGHT_MAX,
                                        .target_queue_max = ETX__HTTP_IN_FLIGHT_MAX};
    int rc = http->own_loop ? net_loop_create(&http->loop) : 0;
    if (rc == 0) {
        rc = net_client_create(http->loop, &options, &http->client);
    }
    if (rc != 0) {
        return rc == NET_ENOMEM ? ETX_ENOMEM : ETX_EIO;
    }
    return http->own_loop ? start_thread(http) : 0;
}

/* ---- life */

static void use_config(etx_http *http, etx__http_config *config) {
    pthread_mutex_lock(&http->lock);
    etx__http_config *before = http->config;
    http->config = config;
    pthread_mutex_unlock(&http->lock);
    atomic_store(&http->target_in_flight_max, config->target_in_flight_max);
    atomic_store(&http->target_queue_max, config->target_queue_max);
    atomic_store(&http->breaker_failures, config->breaker_failures);
    atomic_store(&http->breaker_open_ms, config->breaker_open_ms);
    etx__http_config_release(before);
}

void etx__http_release(etx_http *http) {
    if (atomic_fetch_sub(&http->holds, 1) > 1) {
        return;
    }
    etx__http_targets_free(http);
    etx__http_config_release(http->config);
    etx__http_namer_close(&http->namer);
    EVP_MD_free(http->md);
    pthread_mutex_destroy(&http->lock);
    free(http);
}

int etx_http_create(const etx_http_options *options,
                    etx_http **ret_http,
                    char *message,
                    size_t size) {
    etx__http_config *config;
    int rc = etx__http_config_make(options, &config, message, size);
    if (rc != 0) {
        return rc;
    }
    etx_http *http = calloc(1, sizeof *http);
    if (http == NULL) {
        etx__http_config_release(config);
        return etx__http_say(ETX_ENOMEM, message, size, "out of memory");
    }
    pthread_mutex_init(&http->lock, NULL);
    http->holds = 1;
    http->in_flight_max = ETX__HTTP_IN_FLIGHT_MAX;
    http->target_end = &http->target;
    http->loop = options->loop;
    http->own_loop = options->loop == NULL;
    http->on_report = options->on_report;
    http->report_callers = options->report_callers;
    http->report_user = options->report_user;
    use_config(http, config);
    http->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    rc = http->md == NULL
             ? ETX_ENOMEM
             : etx__http_namer_open(&http->namer, http->md, http->named, ETX__HTTP_NAMED);
    rc = rc == 0 ? start_client(http) : rc;
    if (rc != 0) {
        net_client_free(http->client);
        if (http->own_loop) {
            net_loop_free(http->loop);
        }
        etx__http_release(http);
        return etx__http_say(rc, message, size, "the client could not be started: %s",
                             etx_strerror(rc));
    }
    *ret_http = http;
    return 0;
}

int etx_http_reload(etx_http *http, const etx_http_options *options, char *message, size_t size) {
    etx__http_config *config;
    int rc = etx__http_config_make(options, &config, message, size);
    if (rc == 0) {
        use_config(http, config);
        net_client_renew(http->client); /* after it: what is vetted by then is vetted anew */
    }
    return rc;
}

/* ---- what is submitted */

/* `ret_scheme`: of a URL that is one. */
static int judge_url(const etx__http_config *config,
                     const char *url,
                     etx__http_scheme *ret_scheme,
                     char *why,
                     size_t size) {
    net_url parsed;
    int rc = etx__http_url(url, &parsed, ret_scheme, why, size);
    return rc != 0 ? rc
                   : etx__http_allow_url(&config->allow, &parsed, *ret_scheme, config->names_listed,
                                         why, size);
}

int etx_http_allowed(etx_http *http, const char *url, char *why, size_t size) {
    etx__http_scheme scheme;
    etx__http_config *config = etx__http_config_now(http);
    int rc = judge_url(config, url, &scheme, why, size);
    etx__http_config_release(config);
    return rc;
}

/* A branch's operations are called over HTTP. */
static int judge_branch(const etx__http_config *config,
                        const etx_http_branch *branch,
                        const char **ret_url,
                        char *why,
                        size_t size) {
    const char *urls[] = {branch->forward_url, branch->commit_url, branch->undo_url};
    for (size_t i = 0; i < 3; i++) {
        etx__http_scheme scheme;
        int rc = urls[i] == NULL ? 0 : judge_url(config, urls[i], &scheme, why, size);
        if (rc == 0 && urls[i] != NULL && scheme != ETX__HTTP_PLAIN && scheme != ETX__HTTP_TLS) {
            rc = etx__http_say(ETX_EINVALID, why, size, "a URL begins with http:// or https://");
        }
        if (rc != 0) {
            *ret_url = urls[i];
            return rc;
        }
    }
    return 0;
}

int etx_http_branch_admit(etx_http *http,
                          const etx_http_branch *branch,
                          const char **ret_url,
                          void **ret_bytes,
                          size_t *ret_len,
                          char *why,
                          size_t size) {
    *ret_url = NULL;
    int rc = etx__http_branch_check(branch, why, size);
    if (rc != 0) {
        return rc;
    }
    etx__http_config *config = etx__http_config_now(http);
    rc = judge_branch(config, branch, ret_url, why, size);
    etx__http_config_release(config);
    return rc != 0 ? rc : etx__http_envelope_write(branch, ret_bytes, ret_len, why, size);
}

void etx_http_free(etx_http *http) {
    if (http == NULL) {
        return;
    }
    if (http->own_loop) {
        net_loop_stop(http->loop);
        pthread_join(http->thread, NULL);
    }
    atomic_store(&http->freed, 1);
    etx__http_target_drop_waiting(http);
    net_client_free(http->client);
    if (http->own_loop) {
        net_loop_free(http->loop);
    }
    etx__http_release(http);
}
