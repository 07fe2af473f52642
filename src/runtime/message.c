/* Messages: what went wrong last, in words, for each thread that uses the engine. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "request.h"

/* Why this thread got no engine: there is none to keep it. The one variable of the library. */
static _Thread_local const char *no_engine;

int etx__engine_none(int rc, const char *why) {
    no_engine = why;
    return rc;
}

/* Each thread's newest message, of the last few threads that had one: an error of another thread
 * does not take its place. With the lock held. */
static struct etx__said *said_by(etx_engine *engine, uintptr_t thread) {
    struct etx__said *oldest = &engine->said[0];
    for (int i = 0; i < ETX__SAID; i++) {
        struct etx__said *said = &engine->said[i];
        if (said->thread == thread && said->number > 0) {
            return said;
        }
        oldest = said->number < oldest->number ? said : oldest;
    }
    return oldest;
}

static const struct etx__said *said_last(const etx_engine *engine) {
    const struct etx__said *newest = &engine->said[0];
    for (int i = 1; i < ETX__SAID; i++) {
        newest = engine->said[i].number > newest->number ? &engine->said[i] : newest;
    }
    return newest;
}

static void say(etx_engine *engine, const char *format, va_list list) {
    uintptr_t self = (uintptr_t)pthread_self();
    pthread_mutex_lock(&engine->message_lock);
    struct etx__said *said = said_by(engine, self);
    said->thread = self;
    said->number = ++engine->said_count;
    vsnprintf(said->text, sizeof said->text, format, list);
    pthread_mutex_unlock(&engine->message_lock);
}

int etx__engine_fail(etx_engine *engine, int rc, const char *format, ...) {
    va_list list;
    va_start(list, format);
    say(engine, format, list);
    va_end(list);
    return rc;
}

int etx__engine_refuse(etx_engine *engine, int rc) {
    if (engine == NULL || *engine->alive == 0) {
        return rc;
    }
    return etx__engine_fail(engine, rc, "%s", etx_strerror(rc));
}

int etx__engine_invalid(etx_engine *engine, const char *why) {
    if (engine == NULL || *engine->alive == 0) {
        return ETX_EINVALID;
    }
    return etx__engine_fail(engine, ETX_EINVALID, "%s", why);
}

int etx__request_fail(etx_tx *request, int rc, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(request->outcome.reason, sizeof request->outcome.reason, format, list);
    va_end(list);
    va_start(list, format);
    say(request->engine, format, list);
    va_end(list);
    return rc;
}

void etx_engine_message(etx_engine *engine, char *message, size_t size) {
    if (message == NULL || size == 0) {
        return;
    }
    message[0] = 0;
    if (engine == NULL) {
        snprintf(message, size, "%s", no_engine != NULL ? no_engine : "");
        return;
    }
    if (*engine->alive == 0) { /* the lock and what was said are the parent's */
        snprintf(message, size, "%s", etx_strerror(ETX_EFORKED));
        return;
    }
    uintptr_t self = (uintptr_t)pthread_self();
    pthread_mutex_lock(&engine->message_lock);
    const struct etx__said *said = said_by(engine, self);
    if (said->number == 0 || said->thread != self) {
        said = said_last(engine);
    }
    snprintf(message, size, "%s", said->text);
    pthread_mutex_unlock(&engine->message_lock);
}
