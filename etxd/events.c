/* Events of the engine: a bounded ring of the newest, and streams that read from it. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "forward.h"
#include "tx.h"

/* The engine's threads put events into the ring; streams read from it on the loop's thread, each at
 * its own place. A reader that the ring has overrun is told so ("lost") and goes on with the oldest
 * that is there: the ring never waits for anybody. An event's id is the server's start and the
 * event's number, so that an id of an earlier process is not mistaken for one of this. */

enum { BATCH = 64, BEAT_MS = 15000, ID_SIZE = 64 };

typedef struct kept {
    uint64_t time_ms;
    etx_event_type type;
    etx_kind kind;
    etx_operation operation;
    etx_state state;
    etx_durability durability;
    uint32_t attempt, marks, partition;
    uint8_t alarm;
    char gid[ETX_GID_MAX + 1];
    char branch[ETX_NAME_MAX + 1];
    char home[ETX_HOME_ID_LEN + 1];
    char reason[ETX_REASON_MAX + 1];
} kept;

typedef struct stream {
    struct stream *next;
    etxd_events *events;
    net_request *request;
    uint64_t at; /* the number of the event that it is told next */
    int lost;    /* it missed some before */
    int waits;   /* for what was written to be taken */
    int guarded; /* by that token */
    etxd_token token;
    char prefix[ETX_GID_MAX + 1];
    char gid[ETX_GID_MAX + 1]; /* "": all */
} stream;

struct etxd_events {
    etxd *server;
    pthread_mutex_t lock;
    kept *ring;
    uint64_t size, count; /* how many there ever were; number n is in ring[n % size] */
    net_task task;
    net_timer beat;
    _Atomic int posted;
    _Atomic unsigned open;
    stream *streams;
};

int etxd_events_create(etxd *server, etxd_events **ret_events) {
    etxd_events *events = calloc(1, sizeof *events);
    if (events == NULL) {
        return -1;
    }
    events->server = server;
    events->size = server->config.events;
    events->ring = calloc(events->size, sizeof *events->ring);
    if (events->ring == NULL) {
        free(events);
        return -1;
    }
    pthread_mutex_init(&events->lock, NULL);
    *ret_events = events;
    return 0;
}

void etxd_events_free(etxd_events *events) {
    if (events != NULL) {
        pthread_mutex_destroy(&events->lock);
        free(events->ring);
        free(events);
    }
}

unsigned etxd_events_streams(const etxd_events *events) {
    return atomic_load(&events->open);
}

/* ---- putting */

static void keep_text(char *to, size_t size, const char *from) {
    size_t len = strnlen(from, size - 1);
    memcpy(to, from, len);
    to[len] = '\0';
}

/* Does it happen to one partition of its home? */
static int is_of_partition(const etx_event *event) {
    static const uint32_t types = 1U << ETX_EVENT_LOG_POISONED | 1U << ETX_EVENT_PARTITION_OWNED |
                                  1U << ETX_EVENT_PARTITION_LOST | 1U << ETX_EVENT_PARTITION_LEFT |
                                  1U << ETX_EVENT_LOG_REGRESSED | 1U << ETX_EVENT_LOSS_ACCEPTED;
    return (unsigned)event->type < 32 && (types >> event->type & 1);
}

static void tell_log(etxd *server, const etx_event *event) {
    int ends_alarm = event->type == ETX_EVENT_HOME_UP || event->type == ETX_EVENT_LOG_ROOM;
    etxd_level level = event->alarm ? ETXD_WARNING : ends_alarm ? ETXD_INFO : ETXD_DEBUG;
    char trace[33] = "";
    const etxd_field fields[] = {
        {"event", etx_event_name(event->type), 0},
        {"gid", event->gid, 0},
        {"trace_id", trace, 0},
        {"branch", event->branch, 0},
        {"home", event->home, 0},
        {"partition", is_of_partition(event) ? NULL : "", event->partition},
        {"why", event->reason, 0}};
    if (!etxd_log_wants(&server->log, level)) {
        return;
    }
    if (event->gid[0] != '\0') {
        etxd_trace_of(server->trace, NULL, event->gid, trace);
    }
    etxd_log_line(&server->log, level, event->alarm ? "alarm" : "event", fields,
                  sizeof fields / sizeof *fields);
}

static void pump_all(net_task *task);

void etxd_events_take(const etx_event *event, void *user) {
    etxd *server = user;
    etxd_events *events = server->events;
    kept *to;
    if ((unsigned)event->type < 32) {
        atomic_fetch_add_explicit(&server->counts.events[event->type], 1, memory_order_relaxed);
    }
    if (event->type > ETX_EVENT_ENDED) {
        tell_log(server, event);
    }
    if (event->type == ETX_EVENT_HOME_UP || event->type == ETX_EVENT_HOME_DOWN ||
        event->type == ETX_EVENT_HOME_GRADED) {
        etxd_homes_changed(server);
    }
    etxd_trace_event(server->trace, event);
    pthread_mutex_lock(&events->lock);
    to = &events->ring[events->count++ % events->size];
    to->time_ms = event->time_ms;
    to->type = event->type;
    to->kind = event->kind;
    to->operation = event->operation;
    to->state = event->state;
    to->durability = event->durability;
    to->attempt = event->attempt;
    to->marks = event->marks;
    to->partition = event->partition;
    to->alarm = event->alarm;
    keep_text(to->gid, sizeof to->gid, event->gid);
    keep_text(to->branch, sizeof to->branch, event->branch);
    keep_text(to->home, sizeof to->home, event->home);
    keep_text(to->reason, sizeof to->reason, event->reason);
    pthread_mutex_unlock(&events->lock);
    if (atomic_load(&events->open) > 0 && atomic_exchange(&events->posted, 1) == 0) {
        events->task.run = pump_all;
        net_loop_post(server->loop, &events->task);
    }
}

void etxd_events_ending(const etx_status *status, const etx_ending *ending, void *user) {
    etxd_stories_take(((etxd *)user)->stories, status, ending);
}

/* ---- streams */

static void write_id(uint64_t boot, uint64_t number, char *id) {
    snprintf(id, ID_SIZE, "%llx-%llu", (unsigned long long)boot, (unsigned long long)number);
}

static void write_event(etxd_text *text, const stream *one, uint64_t number, const kept *event) {
    char id[ID_SIZE];
    write_id(one->events->server->started_ms, number, id);
    etxd_text_print(text, "id: %s\nevent: %s\ndata: {", id, etx_event_name(event->type));
    etxd_text_member(text, "type", etx_event_name(event->type));
    etxd_text_member_time(text, "time", event->time_ms);
    etxd_text_member_flag(text, "alarm", event->alarm);
    if (event->gid[0] != '\0') {
        etxd_text_member(text, "gid", event->gid);
        etxd_text_member(text, "state", etx_state_name(event->state));
        etxd_write_marks(text, event->marks);
    }
    if (event->branch[0] != '\0') {
        etxd_text_member(text, "branch", event->branch);
        etxd_text_member(text, "kind", etx_kind_name(event->kind));
        etxd_text_member(text, "operation", etx_operation_name(event->kind, event->operation));
        etxd_text_member_number(text, "attempt", event->attempt);
    }
    etxd_text_member(text, "durability", etx_durability_name(event->durability));
    etxd_text_member(text, "home", event->home);
    etxd_text_member_number(text, "partition", event->partition);
    etxd_text_member(text, "reason", event->reason);
    etxd_text_put(text, "}\n\n");
}

static int wants(const stream *one, const kept *event) {
    if (one->gid[0] != '\0') {
        return strcmp(one->gid, event->gid) == 0;
    }
    return strncmp(event->gid, one->prefix, strlen(one->prefix)) == 0;
}

/* The next events that the stream wants, as text; where it then is. */
static uint64_t gather(stream *one, etxd_text *text) {
    etxd_events *events = one->events;
    uint64_t at = one->at;
    int written = 0;
    pthread_mutex_lock(&events->lock);
    if (events->count - at > events->size) {
        at = events->count - events->size;
        one->lost = 1;
    }
    if (one->lost) {
        etxd_text_put(text, "event: lost\ndata: {\"type\":\"lost\"}\n\n");
    }
    for (; at < events->count && written < BATCH; at++) {
        const kept *event = &events->ring[at % events->size];
        if (wants(one, event)) {
            write_event(text, one, at, event);
            written++;
        }
    }
    pthread_mutex_unlock(&events->lock);
    return at;
}

static void pump(stream *one) {
    while (!one->waits) {
        etxd_text text = {0};
        uint64_t at = gather(one, &text);
        int rc = text.len > 0 ? net_stream_write(one->request, text.bytes, text.len) : 0;
        int more = at != one->at;
        if (rc == NET_EBUSY) {
            one->waits = 1;
        } else {
            one->at = at;
            one->lost = 0;
        }
        etxd_text_free(&text);
        if (!more) {
            return;
        }
    }
}

static void on_drained(net_request *request, void *user) {
    stream *one = user;
    (void)request;
    one->waits = 0;
    pump(one);
}

static void pump_all(net_task *task) {
    etxd_events *events = (etxd_events *)(void *)((char *)task - offsetof(etxd_events, task));
    stream *one;
    atomic_store(&events->posted, 0);
    for (one = events->streams; one != NULL; one = one->next) {
        pump(one);
    }
}

/* Nobody hears silence: proxies and clients are told that the stream lives. */
static void on_beat(net_timer *timer) {
    etxd_events *events = (etxd_events *)(void *)((char *)timer - offsetof(etxd_events, beat));
    stream *one;
    for (one = events->streams; one != NULL; one = one->next) {
        (void)net_stream_write(one->request, ":\n\n", 3);
    }
    if (events->streams != NULL) {
        net_timer_start(events->server->loop, timer, BEAT_MS);
    }
}

static void end_stream(stream *one) {
    stream **link = &one->events->streams;
    while (*link != one) {
        link = &(*link)->next;
    }
    *link = one->next;
    atomic_fetch_sub(&one->events->open, 1);
    net_stream_end(one->request);
    free(one);
}

static void on_gone(net_request *request, void *user) {
    (void)request;
    end_stream(user);
}

void etxd_events_judge(etxd_events *events, const etxd_tokens *tokens) {
    stream *one = events->streams;
    while (one != NULL) {
        stream *next = one->next;
        if (one->guarded && !etxd_tokens_have(tokens, &one->token)) {
            end_stream(one);
        }
        one = next;
    }
}

void etxd_events_end(etxd_events *events) {
    while (events->streams != NULL) {
        end_stream(events->streams);
    }
    net_timer_stop(events->server->loop, &events->beat);
}

/* ---- the request */

/* An id in the one way to write it: "+7", "-1" and "07" are none, which strtoull would take. */
static int read_id(const char *text, uint64_t *ret_boot, uint64_t *ret_number) {
    char again[ID_SIZE];
    char *end = NULL;
    *ret_boot = strtoull(text, &end, 16);
    *ret_number = end > text && *end == '-' ? strtoull(end + 1, NULL, 10) : 0;
    write_id(*ret_boot, *ret_number, again);
    return strcmp(again, text) == 0 ? 0 : -1;
}

/* Where to begin: behind Last-Event-ID if that is of this process, else with all there is; without
 * it now. */
static int read_place(etxd_exchange *x, stream *one) {
    net_text field = net_request_header(x->request, "last-event-id");
    char text[ID_SIZE] = "";
    uint64_t boot, number, count;
    pthread_mutex_lock(&one->events->lock);
    count = one->events->count;
    pthread_mutex_unlock(&one->events->lock);
    one->at = count;
    if (field.len == 0) {
        return 0;
    }
    memcpy(text, field.bytes, field.len < sizeof text ? field.len : 0);
    if (read_id(text, &boot, &number) != 0) {
        return etxd_problem_set(&x->problem, ETXD_BAD_QUERY_PROBLEM,
                                "Last-Event-ID is what an event's id was");
    }
    one->lost = boot != x->server->started_ms || number >= count;
    one->at = one->lost ? 0 : number + 1;
    return 0;
}

static int begin_stream(etxd_exchange *x, stream *one) {
    static const net_header headers[] = {{"Cache-Control", "no-store"},
                                         {"X-Accel-Buffering", "no"}};
    const net_answer answer = {.size = sizeof answer,
                               .status = 200,
                               .content_type = "text/event-stream",
                               .headers = headers,
                               .header_count = 2};
    etxd_events *events = one->events;
    net_request_on_gone(x->request, on_gone, one);
    if (net_stream_begin(x->request, &answer, on_drained, one) != 0) {
        free(one);
        etxd_note(x, 500);
        return 0;
    }
    one->next = events->streams;
    events->streams = one;
    atomic_fetch_add(&events->open, 1);
    if (!net_timer_runs(&events->beat)) {
        events->beat.fire = on_beat;
        net_timer_start(events->server->loop, &events->beat, BEAT_MS);
    }
    (void)net_stream_write(one->request, ":\n\n", 3);
    pump(one);
    etxd_note(x, 200);
    return 0;
}

int etxd_get_events(etxd_exchange *x) {
    etxd_events *events = x->server->events;
    stream *one;
    if (strcmp(x->method, "HEAD") == 0) {
        return etxd_problem_set(&x->problem, ETXD_METHOD_PROBLEM, "a stream has no HEAD");
    }
    if (x->gid[0] != '\0' && etxd_forward_never(x, x->gid) != 0) {
        return -1;
    }
    if (atomic_load(&events->open) >= x->server->config.streams) {
        return etxd_problem_set(&x->problem, ETXD_STREAMS_PROBLEM, "at most %llu are open at once",
                                (unsigned long long)x->server->config.streams);
    }
    one = calloc(1, sizeof *one);
    if (one == NULL) {
        return etxd_problem_set(&x->problem, ETXD_MEMORY_PROBLEM, "no memory");
    }
    one->events = events;
    one->request = x->request;
    one->guarded = x->token != NULL;
    if (x->token != NULL) {
        one->token = *x->token;
    }
    memcpy(one->prefix, x->prefix, sizeof one->prefix);
    memcpy(one->gid, x->gid, sizeof one->gid);
    if (read_place(x, one) != 0) {
        free(one);
        return -1;
    }
    return begin_stream(x, one);
}
