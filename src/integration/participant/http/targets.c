/* The table of targets: found by what a URL names, counted, and forgotten when there are many. */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned hash_of(const net_url *url) {
    uint32_t hash = 2166136261U;
    for (const char *at = url->host; *at != '\0'; at++) {
        hash = (hash ^ (unsigned char)*at) * 16777619U;
    }
    hash = (hash ^ url->port) * 16777619U;
    hash = (hash ^ (uint32_t)url->tls) * 16777619U;
    return (hash ^ hash >> 16) % ETX__HTTP_BUCKETS;
}

static int is_same(const etx__http_target *target, const net_url *url) {
    return target->port == url->port && target->tls == url->tls &&
           strcmp(target->host, url->host) == 0;
}

static uint64_t number(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_to(etx_http_target_status *sum, const etx__http_target *target) {
    sum->calls += number(&target->calls);
    sum->done += number(&target->done);
    sum->refused += number(&target->refused);
    sum->working += number(&target->working);
    sum->unknown += number(&target->unknown);
    sum->rejected += number(&target->rejected);
    sum->in_flight += atomic_load_explicit(&target->in_flight, memory_order_relaxed);
    sum->waiting += atomic_load_explicit(&target->waiting, memory_order_relaxed);
    sum->breaker_open |= atomic_load_explicit(&target->open, memory_order_relaxed);
}

static void unlink_target(etx_http *http, etx__http_target *target) {
    net_url url = {.port = target->port, .tls = target->tls};
    memcpy(url.host, target->host, sizeof url.host);
    etx__http_target **link = &http->bucket[hash_of(&url)];
    while (*link != target) {
        link = &(*link)->next;
    }
    *link = target->next;
    link = &http->target;
    while (*link != target) {
        link = &(*link)->later;
    }
    *link = target->later;
    if (http->target_end == &target->later) {
        http->target_end = link;
    }
    http->target_count--;
}

static int is_idle(const etx__http_target *target) {
    return !target->named && target->first == NULL && !target->hungry &&
           atomic_load(&target->in_flight) == 0 && !atomic_load(&target->open);
}

/* Forgets the oldest that nothing is to be done for; its counts stay in the sum of the others. */
static void forget_one(etx_http *http) {
    etx__http_target *target = http->target;
    while (target != NULL && !is_idle(target)) {
        target = target->later;
    }
    if (target != NULL) {
        unlink_target(http, target);
        add_to(&http->forgotten, target);
        free(target);
    }
}

static etx__http_target *make(const net_url *url) {
    char authority[NET_AUTHORITY_TEXT_MAX];
    etx__http_target *target = calloc(1, sizeof *target);
    if (target == NULL) {
        return NULL;
    }
    net_url_authority(url, authority, sizeof authority);
    snprintf(target->name, sizeof target->name, "http%s://%s", url->tls ? "s" : "", authority);
    memcpy(target->host, url->host, sizeof target->host);
    target->port = url->port;
    target->tls = url->tls != 0;
    target->last = &target->first;
    return target;
}

etx__http_target *etx__http_target_of(etx_http *http, const net_url *url) {
    etx__http_target **bucket = &http->bucket[hash_of(url)];
    etx__http_target *target = *bucket;
    while (target != NULL && !is_same(target, url)) {
        target = target->next;
    }
    if (target != NULL || (target = make(url)) == NULL) {
        return target;
    }
    pthread_mutex_lock(&http->lock);
    if (http->target_count >= ETX__HTTP_TARGETS_KEPT) {
        forget_one(http);
    }
    target->named = http->target_count < ETX__HTTP_TARGETS_NAMED;
    target->next = *bucket;
    *bucket = target;
    *http->target_end = target;
    http->target_end = &target->later;
    http->target_count++;
    pthread_mutex_unlock(&http->lock);
    return target;
}

void etx__http_targets_free(etx_http *http) {
    while (http->target != NULL) {
        etx__http_target *target = http->target;
        http->target = target->later;
        free(target);
    }
}

int etx_http_targets(etx_http *http,
                     int (*each)(const etx_http_target_status *status, void *user),
                     void *user) {
    etx_http_target_status *status = calloc(ETX__HTTP_TARGETS_NAMED + 1, sizeof *status);
    size_t count = 0;
    int rc = 0;
    if (status == NULL) {
        return ETX_ENOMEM;
    }
    pthread_mutex_lock(&http->lock);
    etx_http_target_status others = http->forgotten;
    for (const etx__http_target *target = http->target; target != NULL; target = target->later) {
        if (target->named) {
            status[count].size = sizeof *status;
            memcpy(status[count].target, target->name, sizeof target->name);
            add_to(&status[count++], target);
        } else {
            add_to(&others, target);
        }
    }
    int is_more = http->target_count > count || others.calls + others.rejected > 0;
    pthread_mutex_unlock(&http->lock);
    if (is_more) {
        others.size = sizeof others;
        snprintf(others.target, sizeof others.target, "other");
        status[count++] = others;
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = each(&status[i], user);
    }
    free(status);
    return rc;
}
