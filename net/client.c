/* Clients: creating and freeing. */
#include <stdlib.h>

#include "calling.h"

static uint32_t or_default(uint32_t value, uint32_t otherwise) {
    return value != 0 ? value : otherwise;
}

static void set_options(net_client *client, const net_client_options *from) {
    net_client_options *options = &client->options;
    *options = *from;
    options->connections_max = or_default(from->connections_max, 4096);
    options->target_connections_max = or_default(from->target_connections_max, 64);
    options->target_queue_max = or_default(from->target_queue_max, 4096);
    options->header_bytes_max = or_default(from->header_bytes_max, 16384);
    options->answer_bytes_max = from->answer_bytes_max != 0 ? from->answer_bytes_max : 1 << 20;
    options->connect_ms = or_default(from->connect_ms, 5000);
    options->timeout_ms = or_default(from->timeout_ms, 30000);
    options->idle_ms = or_default(from->idle_ms, 30000);
    options->resolved_ms = or_default(from->resolved_ms, 5000);
}

int net_client_create(net_loop *loop, const net_client_options *options, net_client **ret_client) {
    if (options->size != sizeof *options || options->header_bytes_max > UINT16_MAX) {
        return NET_EINVALID;
    }
    net_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return NET_ENOMEM;
    }
    client->loop = loop;
    set_options(client, options);
    if (net__resolver_create(loop, options->resolve, options->user, &client->resolver) != 0) {
        free(client);
        return NET_ENOMEM;
    }
    pthread_mutex_init(&client->lock, NULL);
    client->holds = 1;
    client->sweep.fire = net__target_sweep;
    *ret_client = client;
    return 0;
}

void net__client_release(net_client *client) {
    if (--client->holds > 0) {
        return;
    }
    net__target_free_all(client);
    for (uint32_t i = 0; i < client->call_count; i++) {
        free(client->calls[i]->out.bytes);
        free(client->calls[i]);
    }
    free(client->calls);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

/* What was posted and is not yet run needs the client: each such task gives back a hold. */
static void hold_for_tasks(net_client *client) {
    pthread_mutex_lock(&client->lock);
    for (uint32_t i = 0; i < client->call_count; i++) {
        const net__call *call = client->calls[i];
        client->holds += (call->id != 0 && !call->begun) + (call->cancel_posted != 0);
    }
    pthread_mutex_unlock(&client->lock);
}

void net_client_free(net_client *client) {
    if (client == NULL || client->freed) {
        return;
    }
    client->freed = 1;
    hold_for_tasks(client);
    for (uint32_t i = 0; i < client->call_count; i++) {
        net__call *call = client->calls[i];
        if (call->id != 0 && call->begun && !call->ended) {
            net__call_fail(call, NET_ECANCELLED, net__link_has_sent(call), 0, "");
        }
    }
    while (client->links != NULL) {
        net__link_close(client->links);
    }
    net_timer_stop(client->loop, &client->sweep);
    net__resolver_free(client->resolver);
    client->resolver = NULL;
    net__client_release(client);
}

void net_client_renew(net_client *client) {
    atomic_fetch_add(&client->era, 1);
}

net_client_counts net_client_count(const net_client *client) {
    return client->counts;
}
