/* The requests of a link, one behind the other: in this order they are sent and answered. */
#include "calling.h"

int net__link_has_sent(const net__call *call) {
    const net__link *link = call->link;
    return link != NULL && link->state == NET__LINK_BUSY &&
           (call->sent > 0 || (link->sending == call && link->transport.accepted != call->base));
}

static void set_sending(net__link *link, net__call *call) {
    link->sending = call;
    if (call != NULL) {
        call->base = link->transport.accepted;
    }
}

void net__link_add(net__link *link, net__call *call) {
    call->link = link;
    call->next = NULL;
    call->sent = 0;
    *(link->call == NULL ? &link->call : &link->last->next) = call;
    link->last = call;
    link->depth++;
    if (link->sending == NULL) {
        set_sending(link, call);
    }
}

void net__link_leave(net__link *link, net__call *call) {
    net__call *before = NULL;
    net__call **at = &link->call;
    while (*at != call) {
        before = *at;
        at = &before->next;
    }
    *at = call->next;
    if (link->last == call) {
        link->last = before;
    }
    if (link->sending == call) {
        set_sending(link, call->next);
    }
    link->depth--;
    call->next = NULL;
    call->link = NULL;
}

int net__link_lacks(net__link *link, net__call *call) {
    int first = call == link->call;
    int stays = !first && net__link_has_sent(call);
    int wanted = 0;
    for (const net__call *other = link->call; other != NULL; other = other->next) {
        wanted |= !other->ended;
    }
    if (!stays) {
        net__link_leave(link, call);
    }
    return first || !wanted;
}

void net__link_count_sent(net__link *link, size_t taken) {
    while (taken > 0) {
        net__call *call = link->sending;
        size_t left = call->out.len - call->sent;
        size_t part = taken < left ? taken : left;
        call->sent += part;
        taken -= part;
        if (part == left) {
            set_sending(link, call->next);
        }
    }
}

net__call *net__link_take_unsent(net__link *link) {
    net__call *unsent = NULL;
    if (link->target->client->freed) {
        return NULL;
    }
    for (net__call *call = link->call, *next; call != NULL; call = next) {
        int sent = net__link_has_sent(call);
        next = call->next;
        if (call->ended) {
            continue;
        }
        if ((!sent || link->said_last) && call->tries < NET__TRIES_MAX) {
            net__link_leave(link, call);
            call->next = unsent;
            unsent = call;
        } else if (sent) {
            call->sent = call->out.len; /* for all that is known */
        }
    }
    return unsent;
}

void net__link_end_others(net__link *link, net__call *unsent) {
    net__target *target = link->target;
    net_client *client = target->client;
    while (unsent != NULL) {
        net__call *next = unsent->next;
        net__target_queue(target, unsent, 1);
        unsent = next;
    }
    while (link->call != NULL) {
        net__call *call = link->call;
        call->behind = 1;
        net__call_fail(call, client->freed ? NET_ECANCELLED : NET_ECLOSED, call->sent > 0, 0,
                       "the connection ended before the answer to a request before it");
    }
}
