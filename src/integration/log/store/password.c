/* The password of a store on a network: of the URL, or of a file, which is read for each new
 * connection: one that was changed there is taken without a restart. */
#include "store.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAY(config, rc, ...) \
    etx__store_say((config)->message, (config)->message_size, rc, __VA_ARGS__)

static void forget(char **text) {
    if (*text)
        explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

void etx__store_free(etx__store *store) {
    forget(&store->password);
    forget(&store->password_file);
}

int etx__store_password_keep(const etx_log_config *config, etx__store *store, char *password) {
    forget(&store->password);
    store->password = strdup(password);
    explicit_bzero(password, strlen(password));
    return store->password ? 0 : SAY(config, ETX_ENOMEM, "out of memory");
}

/* ---- that of a file */

/* Its first line; `password` has ETX__STORE_PASSWORD_MAX + 2 bytes. */
static int read_file(const char *file, char *password, char *message, size_t message_size) {
    struct stat status;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t len =
        fd >= 0 && fstat(fd, &status) == 0 ? read(fd, password, ETX__STORE_PASSWORD_MAX + 1) : -1;
    if (fd >= 0)
        close(fd);
    if (len < 0)
        return etx__store_say(message, message_size, ETX_EINVALID,
                              "the password_file %.300s cannot be read: %m", file);
    password[len] = 0;
    password[strcspn(password, "\r\n")] = 0;
    if (status.st_mode & S_IRWXO)
        return etx__store_say(message, message_size, ETX_EINVALID,
                              "everybody may read the password_file %.300s: chmod 600 it", file);
    if (!password[0] || len > ETX__STORE_PASSWORD_MAX)
        return etx__store_say(message, message_size, ETX_EINVALID,
                              "the password_file %.300s has no password in its first line", file);
    return 0;
}

int etx__store_password_file(const etx_log_config *config, etx__store *store, const char *file) {
    char password[ETX__STORE_PASSWORD_MAX + 2] = "";
    if (!file[0])
        return SAY(config, ETX_EINVALID, "the option password_file names a file");
    int rc = read_file(file, password, config->message, config->message_size);
    forget(&store->password_file);
    store->password_file = strdup(file);
    if (!rc && !store->password_file)
        rc = SAY(config, ETX_ENOMEM, "out of memory");
    if (!rc)
        rc = etx__store_password_keep(config, store, password);
    explicit_bzero(password, sizeof password);
    return rc;
}

void etx__store_password(const etx__store *store, char ret_password[ETX__STORE_PASSWORD_MAX + 2]) {
    if (store->password_file && read_file(store->password_file, ret_password, NULL, 0) == 0)
        return;
    snprintf(ret_password, ETX__STORE_PASSWORD_MAX + 2, "%s",
             store->password ? store->password : "");
}

/* ---- what is shown */

static int is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

/* A short one stands in many a word, and a word with *** for a part of it tells which part. */
static int is_told(const char *text, const char *at, size_t len) {
    enum { SHORT = 8 };
    return len >= SHORT || ((at == text || !is_word(at[-1])) && !is_word(at[len]));
}

static void redact(const char *password, char *text, size_t size) {
    size_t len = password ? strlen(password) : 0;
    for (char *at = text; len && (at = strstr(at, password));) {
        if (!is_told(text, at, len)) {
            at++;
            continue;
        }
        char rest[400];
        snprintf(rest, sizeof rest, "%s", at + len);
        snprintf(at, size - (size_t)(at - text), "***%s", rest);
        at += strnlen(at, 3);
    }
}

void etx__store_redact(const etx__store *store, char *text, size_t size) {
    redact(store->password, text, size);
    if (store->password_file && text[0]) {
        char password[ETX__STORE_PASSWORD_MAX + 2];
        etx__store_password(store, password);
        redact(password, text, size);
        explicit_bzero(password, sizeof password);
    }
}
