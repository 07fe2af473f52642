/* Reads the URL of a PostgreSQL log: libpq's, with a few options of ours. */
#include "postgres.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PASSWORD_MAX = 1000, TIMEOUT_MS = 5000, TIMEOUT_MIN_MS = 100, TIMEOUT_MAX_MS = 600000 };

typedef struct url_words {
    const etx_log_config *config;
    etx__pg_store *store;
    char password_file[512];
    char *rest; /* the URL without our options: for libpq */
    size_t rest_len;
} url_words;

__attribute__((format(printf, 3, 4))) static int say(const etx_log_config *config,
                                                     int rc,
                                                     const char *format,
                                                     ...) {
    if (config->message && config->message_size) {
        va_list args;
        va_start(args, format);
        vsnprintf(config->message, config->message_size, format, args);
        va_end(args);
    }
    return rc;
}

static int number_take(const char *text, size_t len, uint32_t most, uint32_t *ret_number) {
    uint64_t number = 0;
    size_t i = 0;
    for (; i < len && text[i] >= '0' && text[i] <= '9' && number <= most; i++)
        number = number * 10 + (uint64_t)(text[i] - '0');
    if (i < len || len == 0 || number < 1 || number > most)
        return ETX_EINVALID;
    *ret_number = (uint32_t)number;
    return 0;
}

static int partitions_take(url_words *words, const char *value, size_t len) {
    if (number_take(value, len, ETX__PG_PARTITIONS_MAX, &words->store->partitions))
        return say(words->config, ETX_EINVALID, "the option partitions is 1 to %d",
                   ETX__PG_PARTITIONS_MAX);
    return 0;
}

static int timeout_take(url_words *words, const char *value, size_t len) {
    if (number_take(value, len, TIMEOUT_MAX_MS, &words->store->timeout_ms) ||
        words->store->timeout_ms < TIMEOUT_MIN_MS)
        return say(words->config, ETX_EINVALID, "the option timeout_ms is %d to %d", TIMEOUT_MIN_MS,
                   TIMEOUT_MAX_MS);
    return 0;
}

static int schema_take(url_words *words, const char *value, size_t len) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
    if (len == 0 || len >= sizeof words->store->schema || strspn(value, letters) < len ||
        (value[0] >= '0' && value[0] <= '9') || strncmp(value, "pg_", 3) == 0)
        return say(words->config, ETX_EINVALID,
                   "the option schema is a name of a-z, 0-9 and _, at most 63, not pg_...");
    memcpy(words->store->schema, value, len);
    words->store->schema[len] = 0;
    return 0;
}

static int file_take(url_words *words, const char *value, size_t len) {
    if (len == 0 || len >= sizeof words->password_file)
        return say(words->config, ETX_EINVALID, "the option password_file names a file");
    memcpy(words->password_file, value, len);
    words->password_file[len] = 0;
    return 0;
}

static int secret_refuse(url_words *words, const char *value, size_t len) {
    (void)value;
    (void)len;
    return say(words->config, ETX_EINVALID,
               "a password among the options of a URL is shown too easily: use password_file=FILE, "
               "passfile=FILE, or a key without password");
}

/* What is not ours goes to libpq. */
static int option_take(url_words *words, const char *option, size_t len) {
    static const struct {
        const char *name;
        int (*take)(url_words *words, const char *value, size_t len);
    } options[] = {{"partitions=", partitions_take}, {"timeout_ms=", timeout_take},
                   {"schema=", schema_take},         {"password_file=", file_take},
                   {"password=", secret_refuse},     {"sslpassword=", secret_refuse}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        size_t name_len = strlen(options[i].name);
        if (len >= name_len && memcmp(option, options[i].name, name_len) == 0)
            return options[i].take(words, option + name_len, len - name_len);
    }
    words->rest[words->rest_len] = memchr(words->rest, '?', words->rest_len) ? '&' : '?';
    memcpy(words->rest + words->rest_len + 1, option, len);
    words->rest_len += len + 1;
    return 0;
}

static int options_take(url_words *words, const char *at) {
    while (*at) {
        size_t len = strcspn(at, "&");
        int rc = len ? option_take(words, at, len) : 0;
        if (rc)
            return rc;
        at += len;
        at += *at == '&';
    }
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

static int conninfo_take(const url_words *words) {
    char *why = NULL;
    char seconds[16];
    etx__pg_store *store = words->store;
    PQconninfoOption *given = PQconninfoParse(words->rest, &why);
    if (!given) {
        /* libpq may say the URL, with its password */
        int shows = why && strstr(why, "://");
        int rc = say(words->config, ETX_EINVALID, "the URL of a PostgreSQL log: %.*s",
                     why && !shows ? (int)strcspn(why, "\n") : 200,
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
    snprintf(seconds, sizeof seconds, "%u", (store->timeout_ms + 999) / 1000);
    rc = rc ? rc : option_default(store, "connect_timeout", seconds);
    rc = rc ? rc : option_default(store, "fallback_application_name", "etx");
    /* libpq has a default here, which any server satisfies */
    PQconninfoOption *target = option_of(store, "target_session_attrs");
    if (!rc && target && (!target->val || strcmp(target->val, "any") == 0)) {
        free(target->val);
        target->val = strdup("primary");
        rc = target->val ? 0 : ETX_ENOMEM;
    }
    return rc ? say(words->config, rc, "out of memory") : 0;
}

static int password_read(const url_words *words) {
    char password[PASSWORD_MAX + 2];
    struct stat status;
    int fd = open(words->password_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t len = fd >= 0 && fstat(fd, &status) == 0 ? read(fd, password, PASSWORD_MAX + 1) : -1;
    if (fd >= 0)
        close(fd);
    if (len < 0)
        return say(words->config, ETX_EINVALID, "the password_file %.300s cannot be read: %m",
                   words->password_file);
    if (status.st_mode & S_IRWXO)
        return say(words->config, ETX_EINVALID,
                   "everybody may read the password_file %.300s: chmod 600 it",
                   words->password_file);
    password[len] = 0;
    password[strcspn(password, "\r\n")] = 0;
    if (!password[0] || len > PASSWORD_MAX)
        return say(words->config, ETX_EINVALID,
                   "the password_file %.300s has no password in its first line",
                   words->password_file);
    PQconninfoOption *option = option_of(words->store, "password");
    free(option->val);
    option->val = strdup(password);
    explicit_bzero(password, sizeof password);
    return option->val ? 0 : say(words->config, ETX_ENOMEM, "out of memory");
}

int etx__pg_url_parse(const etx_log_config *config, etx__pg_store *ret_store) {
    const char *url = config->url;
    url_words words = {.config = config, .store = ret_store};
    *ret_store =
        (etx__pg_store){.partitions = config->partitions ? config->partitions : ETX__PG_PARTITIONS,
                        .timeout_ms = TIMEOUT_MS,
                        .read_only = (config->flags & ETX_LOG_READ_ONLY) != 0,
                        .schema = "etx"};
    snprintf(ret_store->node, sizeof ret_store->node, "%s", config->node ? config->node : "");
    if (!url || strncmp(url, "postgresql://", 13) != 0)
        return say(config, ETX_EINVALID,
                   "the URL of a PostgreSQL log is postgresql://USER@HOST:PORT/DATABASE");
    if (ret_store->partitions > ETX__PG_PARTITIONS_MAX)
        return say(config, ETX_EINVALID, "a PostgreSQL log has at most %d partitions",
                   ETX__PG_PARTITIONS_MAX);
    words.rest = malloc(strlen(url) + 2);
    if (!words.rest)
        return say(config, ETX_ENOMEM, "out of memory");
    words.rest_len = strcspn(url, "?");
    memcpy(words.rest, url, words.rest_len);
    int rc = options_take(&words, url[words.rest_len] ? url + words.rest_len + 1 : "");
    rc = rc ? rc : conninfo_take(&words);
    if (!rc && words.password_file[0])
        rc = password_read(&words);
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
}

void etx__pg_redact(const etx__pg_store *store, char *text, size_t size) {
    const PQconninfoOption *option = option_of(store, "password");
    size_t len = option && option->val ? strlen(option->val) : 0;
    char *at = len ? strstr(text, option->val) : NULL;
    while (at) {
        char rest[400];
        snprintf(rest, sizeof rest, "%s", at + len);
        snprintf(at, size - (size_t)(at - text), "***%s", rest);
        at = strstr(at + 3, option->val);
    }
}
