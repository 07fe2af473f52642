/* Queue and stash: the few places where threads of the engine meet. */
#include "queue.h"

void etx__queue_push(etx__queue *queue, etx__node *node) {
    etx__node *newest = atomic_load_explicit(&queue->newest, memory_order_relaxed);
    do {
        node->next = newest;
    } while (!atomic_compare_exchange_weak(&queue->newest, &newest, node));
    atomic_fetch_add_explicit(&queue->pushed, 1, memory_order_relaxed);
}

etx__node *etx__queue_take(etx__queue *queue) {
    if (etx__queue_empty(queue)) {
        return NULL;
    }
    etx__node *node = atomic_exchange(&queue->newest, NULL);
    etx__node *oldest = NULL;
    while (node != NULL) {
        etx__node *before = node->next;
        node->next = oldest;
        oldest = node;
        node = before;
    }
    return oldest;
}

int etx__queue_empty(const etx__queue *queue) {
    return atomic_load(&queue->newest) == NULL;
}

/* ---- stash */

static unsigned own_stripe(void) {
    uintptr_t self = (uintptr_t)pthread_self();
    return (unsigned)((self >> 12) ^ (self >> 20)) % ETX__STASH_STRIPES;
}

void etx__stash_init(etx__stash *stash, const etx_allocator *allocator, size_t size) {
    stash->allocator = allocator;
    stash->size = size;
    for (int i = 0; i < ETX__STASH_STRIPES; i++) {
        pthread_mutex_init(&stash->stripe[i].lock, NULL);
        stash->stripe[i].first = NULL;
    }
}

static void *stripe_take(struct etx__stripe *stripe) {
    if (stripe->first == NULL) { /* a glance: who comes too late finds it next time */
        return NULL;
    }
    pthread_mutex_lock(&stripe->lock);
    etx__stash_item *item = stripe->first;
    if (item != NULL) {
        stripe->first = item->next;
        stripe->count--;
    }
    pthread_mutex_unlock(&stripe->lock);
    return item;
}

void *etx__stash_take(etx__stash *stash, int *ret_new) {
    unsigned own = own_stripe();
    for (unsigned i = 0; i < ETX__STASH_STRIPES; i++) {
        void *object = stripe_take(&stash->stripe[(own + i) % ETX__STASH_STRIPES]);
        if (object != NULL) {
            *ret_new = 0;
            return object;
        }
    }
    *ret_new = 1;
    return stash->allocator->allocate(stash->allocator->user, stash->size);
}

static int keep_some(etx__stash *stash, void *object, int may_free) {
    struct etx__stripe *stripe = &stash->stripe[own_stripe()];
    etx__stash_item *item = object;
    pthread_mutex_lock(&stripe->lock);
    int keep = !may_free || stripe->count < ETX__STASH_KEEP;
    if (keep) {
        item->next = stripe->first;
        stripe->first = item;
        stripe->count++;
    }
    pthread_mutex_unlock(&stripe->lock);
    return keep ? 0 : ETX_EBUSY;
}

void etx__stash_drop(etx__stash *stash, void *object, int may_free) {
    if (keep_some(stash, object, may_free) != 0) {
        stash->allocator->release(stash->allocator->user, object, stash->size);
    }
}

void etx__stash_free(etx__stash *stash, void (*each)(void *object)) {
    for (int i = 0; i < ETX__STASH_STRIPES; i++) {
        etx__stash_item *item = stash->stripe[i].first;
        while (item != NULL) {
            etx__stash_item *next = item->next;
            if (each != NULL) {
                each(item);
            }
            stash->allocator->release(stash->allocator->user, item, stash->size);
            item = next;
        }
        stash->stripe[i].first = NULL;
        pthread_mutex_destroy(&stash->stripe[i].lock);
    }
}
