/* What is odd about files that settings name, and keeps the server from nothing. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "check.h"

/* ---- certificates */

static void tell_date(const char *message,
                      const char *path,
                      const ASN1_TIME *date,
                      etxd_warn_fn warn,
                      void *user) {
    char text[40] = "";
    struct tm parts;
    if (ASN1_TIME_to_tm(date, &parts) == 1) {
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
    }
    warn(user, message, path, text);
}

/* The first one of the file, of those that are shown, which is not valid now. */
static void judge_dates(const char *path, etxd_warn_fn warn, void *user) {
    FILE *file = path[0] != '\0' ? fopen(path, "re") : NULL;
    X509 *one;
    int told = 0;
    while (file != NULL && !told && (one = PEM_read_X509(file, NULL, NULL, NULL)) != NULL) {
        const ASN1_TIME *from = X509_get0_notBefore(one);
        const ASN1_TIME *until = X509_get0_notAfter(one);
        if (X509_cmp_current_time(until) < 0) {
            tell_date("a certificate is not valid any more", path, until, warn, user);
            told = 1;
        } else if (X509_cmp_current_time(from) > 0) {
            tell_date("a certificate is not valid yet", path, from, warn, user);
            told = 1;
        }
        X509_free(one);
    }
    ERR_clear_error(); /* the end of the file */
    if (file != NULL) {
        fclose(file);
    }
}

/* ---- all of it */

void etxd_warn_files(const etxd_config *config, etxd_warn_fn warn, void *user) {
    struct stat state;
    judge_dates(config->tls_certificate, warn, user);
    if (strcmp(config->call_certificate, config->tls_certificate) != 0) {
        judge_dates(config->call_certificate, warn, user);
    }
    if (config->token_file[0] != '\0' && stat(config->token_file, &state) == 0 &&
        (state.st_mode & 022) != 0) {
        warn(user, "others than its owner may write the file of tokens: chmod go-w",
             config->token_file, "");
    }
}

void etxd_warn_log(void *user, const char *message, const char *path, const char *date) {
    const etxd_field fields[] = {{"file", path, 0}, {"date", date, 0}};
    etxd_log_line(user, ETXD_WARNING, message, fields, 2);
}
