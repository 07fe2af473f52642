/* Reads the URL of a PostgreSQL log: libpq's, with a few options of ours. */
#include "postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct url_words {
    etx__pg_store *store;
    char *rest; /* the URL without our options: for libpq */
    size_t rest_len;
} url_words;

static int say(const etx_log_config *config, int rc, const char *text) {
    return etx__store_say(config->message, config->message_size, rc, "%s", text);
}

static int schema_take(const etx_log_config *config, void *user, const char *value) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
    url_words *words = user;
    size_t len = strlen(value);
    if (len == 0 || len >= sizeof words->store->schema || strspn(value, letters) < len ||
        (value[0] >= '0' && value[0] <= '9') || strncmp(value, "pg_", 3) == 0)
        return say(config, ETX_EINVALID,
                   "the option schema is a name of a-z, 0-9 and _, at most 63, not pg_...");
    memcpy(words->store->schema, value, len + 1);
    return 0;
}

/* What is not ours goes to libpq. */
static int option_pass(const etx_log_config *config, void *user, const char *option, size_t len) {
    url_words *words = user;
    (void)config;
    words->rest[words->rest_len] = memchr(words->rest, '?', words->rest_len) ? '&' : '?';
    memcpy(words->rest + words->rest_len + 1, option, len);
    words->rest_len += len + 1;
    words->rest[words->rest_len] = 0;
    return 0;
}

static PQconninfoOption *option_of(const etx__pg_store *store, const char *keyword) {
    PQconninfoOption *option = store->conninfo;
    while (option && option->keyword && strcmp(option->keyword, keyword) != 0)
        option++;
    return option && option->keyword ? option : NULL;
}

/* Only where neither the URL nor the environment says anything. */
static int option_default(const etx__pg_store *store, const char *keyword, const char *value) {
    PQconninfoOption *option = option_of(store, keyword);
    if (option && (!option->val || !option->val[0])) {
        free(option->val);
        option->val = strdup(value);
        return option->val ? 0 : ETX_ENOMEM;
    }
    return 0;
}

static int conninfo_take(const etx_log_config *config, const url_words *words) {
    char *why = NULL;
    char seconds[16];
    etx__pg_store *store = words->store;
    PQconninfoOption *given = PQconninfoParse(words->rest, &why);
    if (!given) {
        /* libpq may say the URL, with its password */
        int shows = why && strstr(why, "://");
        int rc = etx__store_say(
            config->message, config->message_size, ETX_EINVALID,
            "the URL of a PostgreSQL log: %.*s", why && !shows ? (int)strcspn(why, "\n") : 200,
            why && !shows ? why
                          : "libpq cannot read it: postgresql://USER@HOST:PORT/DATABASE, "
                            "with %XX for odd characters");
        PQfreemem(why);
        return rc;
    }
    store->conninfo = PQconndefaults();
    int rc = store->conninfo ? 0 : ETX_ENOMEM;
    for (const PQconninfoOption *option = given; option->keyword && rc == 0; option++) {
        PQconninfoOption *ours = option->val ? option_of(store, option->keyword) : NULL;
        if (ours) {
            free(ours->val);
            ours->val = strdup(option->val);
            rc = ours->val ? 0 : ETX_ENOMEM;
        }
    }
    PQconninfoFree(given);
    snprintf(seconds, sizeof seconds, "%u", (store->common.timeout_ms + 999) / 1000);
    rc = rc ? rc : option_default(store, "connect_timeout", seconds);
    rc = rc ? rc : option_default(store, "fallback_application_name", "etx");
    /* libpq has a default here, which any server satisfies */
    PQconninfoOption *target = option_of(store, "target_session_attrs");
    if (!rc && target && (!target->val || strcmp(target->val, "any") == 0)) {
        free(target->val);
        target->val = strdup("primary");
        rc = target->val ? 0 : ETX_ENOMEM;
    }
    return rc ? say(config, rc, "out of memory") : 0;
}

/* That of password_file goes before that of the URL; what is left is known, so that no message
 * shows it. */
static int password_take(const etx_log_config *config, etx__pg_store *store) {
    PQconninfoOption *option = option_of(store, "password");
    char **from = store->common.password ? &store->common.password : &option->val;
    char **to = store->common.password ? &option->val : &store->common.password;
    if (!*from)
        return 0;
    if (*to)
        explicit_bzero(*to, strlen(*to));
    free(*to);
    *to = strdup(*from);
    return *to ? 0 : say(config, ETX_ENOMEM, "out of memory");
}

int etx__pg_url_parse(const etx_log_config *config, etx__pg_store *ret_store) {
    static const etx__store_option own[] = {{"schema", schema_take}};
    const char *url = config->url;
    url_words words = {.store = ret_store};
    const etx__store_options options = {"PostgreSQL", own, 1, option_pass, &words};
    *ret_store = (etx__pg_store){.schema = "etx"};
    int rc = etx__store_init(config, &ret_store->common);
    if (rc)
        return rc;
    if (!url || strncmp(url, "postgresql://", 13) != 0)
        return say(config, ETX_EINVALID,
                   "the URL of a PostgreSQL log is postgresql://USER@HOST:PORT/DATABASE");
    words.rest = malloc(strlen(url) + 2);
    if (!words.rest)
        return say(config, ETX_ENOMEM, "out of memory");
    words.rest_len = strcspn(url, "?");
    memcpy(words.rest, url, words.rest_len);
    words.rest[words.rest_len] = 0;
    rc = etx__store_options_take(config, url, &options, &ret_store->common);
    rc = rc ? rc : conninfo_take(config, &words);
    rc = rc ? rc : password_take(config, ret_store);
    explicit_bzero(words.rest, words.rest_len);
    free(words.rest);
    if (rc)
        etx__pg_store_free(ret_store);
    return rc;
}

void etx__pg_store_free(etx__pg_store *store) {
    PQconninfoOption *option = option_of(store, "password");
    if (option && option->val)
        explicit_bzero(option->val, strlen(option->val));
    PQconninfoFree(store->conninfo);
    store->conninfo = NULL;
    etx__store_free(&store->common);
}
