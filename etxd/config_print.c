/* The configuration for people: as YAML, and as help. */
#include <string.h>

#include "config.h"
#include "secret.h"

/* Puts `len` bytes behind what is shown, cut to fit. */
static void add(char *shown, size_t size, const char *text, size_t len) {
    size_t used = strlen(shown);
    snprintf(shown + used, size - used, "%.*s", (int)len, text);
}

/* Options of homes' URLs that hold no secret. */
static int is_plain(const char *name, size_t len) {
    static const char *const names[] = {"partitions",
                                        "segment",
                                        "direct",
                                        "timeout_ms",
                                        "password_file",
                                        "schema",
                                        "prefix",
                                        "socket",
                                        "compact",
                                        "tls",
                                        "tls_ca",
                                        "tls_cert",
                                        "tls_key",
                                        "ca_file",
                                        "cert_file",
                                        "key_file",
                                        "host",
                                        "hostaddr",
                                        "port",
                                        "user",
                                        "dbname",
                                        "passfile",
                                        "service",
                                        "sslmode",
                                        "sslrootcert",
                                        "sslcert",
                                        "sslkey",
                                        "sslcrl",
                                        "gssencmode",
                                        "channel_binding",
                                        "application_name",
                                        "connect_timeout",
                                        "tcp_user_timeout",
                                        "target_session_attrs"};
    size_t i;
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
            return 1;
        }
    }
    return 0;
}

/* "?name=value&...": what is not known may be a password that is misspelled. */
static void add_options(char *shown, size_t size, const char *query) {
    while (*query != '\0') {
        const char *option = query + 1;
        size_t len = strcspn(option, "&");
        size_t name = strcspn(option, "=&");
        if (len == 0 || is_plain(option, name)) {
            add(shown, size, query, len + 1);
        } else {
            add(shown, size, query, option[name] == '=' ? name + 2 : 1);
            add(shown, size, "***", 3);
        }
        query = option + len;
    }
}

/* A collector's may be the key to it. */
static void hide_query(char *shown, size_t size) {
    size_t len = strcspn(shown, "?#");
    if (shown[len] != '\0') {
        snprintf(shown + len, size - len, "?***");
    }
}

/* Where the user and the password end, or NULL. A password with a '/' in it is none, and no less
 * secret: what stands before that is no port. */
static const char *user_end(const char *host) {
    size_t len = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', len);
    const char *colon = memrchr(host, ':', len);
    if (at != NULL || colon == NULL || host[0] == '[' ||
        colon + 1 + strspn(colon + 1, "0123456789") == host + len) {
        return at;
    }
    return strrchr(host, '@');
}

const char *etxd_config_mask(const char *url, char *shown, size_t size) {
    const char *scheme = strstr(url, "://");
    const char *host = scheme != NULL ? scheme + 3 : url;
    const char *at = scheme != NULL                  ? user_end(host)
                     : strncmp(url, "file:", 5) == 0 ? NULL
                                                     : strrchr(url, '@');
    const char *colon = at != NULL ? memchr(host, ':', (size_t)(at - host)) : NULL;
    const char *rest = colon != NULL ? at : url;
    shown[0] = '\0';
    if (colon != NULL) {
        add(shown, size, url, (size_t)(colon - url));
        add(shown, size, ":***", 4);
    }
    add(shown, size, rest, strcspn(rest, "?"));
    add_options(shown, size, rest + strcspn(rest, "?"));
    return shown;
}

const char *etxd_config_mask_header(const char *header, char *shown, size_t size) {
    size_t len = etxd_header_name(header);
    const char *value = header + len + 1;
    if (len == 0) {
        snprintf(shown, size, "***");
        return shown;
    }
    value += strspn(value, " ");
    snprintf(shown, size, "%.*s: %s", (int)len, header,
             etxd_secret_is_reference(value) ? value : "***");
    return shown;
}

/* As a YAML string: in quotes, so that no text is taken for something else. */
static void print_word(FILE *to, const etxd_setting *row, const char *word) {
    char shown[1024];
    if (row->flags & ETXD_IS_URL) {
        word = etxd_config_mask(word, shown, sizeof shown);
        if (row->flags & ETXD_HIDES_QUERY) {
            hide_query(shown, sizeof shown);
        }
    } else if (row->flags & ETXD_IS_HEADER) {
        word = etxd_config_mask_header(word, shown, sizeof shown);
    }
    fputc('\'', to);
    for (; *word != '\0'; word++) {
        fputs(*word == '\'' ? "'" : "", to);
        fputc(*word, to);
    }
    fputc('\'', to);
}

static void print_value(FILE *to, const etxd_setting *row, const void *member) {
    const etxd_list *list = member;
    uint64_t number;
    size_t i;
    switch (row->type) {
        case ETXD_TEXT:
            print_word(to, row, *(char *const *)member);
            break;
        case ETXD_LIST:
            fputc('[', to);
            for (i = 0; i < list->count; i++) {
                fputs(i > 0 ? ", " : "", to);
                print_word(to, row, list->items[i]);
            }
            fputc(']', to);
            break;
        case ETXD_SWITCH:
            fputs(*(const uint64_t *)member ? "on" : "off", to);
            break;
        case ETXD_NUMBER:
        case ETXD_TIME:
            memcpy(&number, member, sizeof number);
            fprintf(to, "%llu", (unsigned long long)number);
            break;
    }
}

/* Read again, an empty name would be refused. */
static int is_unset_file(const etxd_config *config, const etxd_setting *row) {
    const void *member = (const char *)config + row->offset;
    return (row->flags & ETXD_IS_FILE) && (*(char *const *)member)[0] == '\0';
}

void etxd_config_print(const etxd_config *config, FILE *to) {
    static const char *const sources[] = {"", " # file", " # environment", " # flag"};
    const etxd_setting *row;
    for (row = etxd_settings(); row->heading != NULL || row->name != NULL; row++) {
        if (row->heading != NULL) {
            fprintf(to, "# %s\n", row->heading);
            continue;
        }
        fprintf(to, "%s%s: ", is_unset_file(config, row) ? "# " : "", row->name);
        print_value(to, row, (const char *)config + row->offset);
        fprintf(to, "%s\n", sources[config->source[row->place]]);
    }
}

static void help_row(FILE *to, const etxd_setting *row) {
    char left[64];
    int on = row->type == ETXD_SWITCH && strcmp(row->fallback, "on") == 0;
    snprintf(left, sizeof left, "--%s%s%s", row->name,
             on                 ? "=off"
             : row->argument[0] ? " "
                                : "",
             row->argument);
    fprintf(to, "  %-32s %s", left, row->help);
    if (row->fallback[0] != '\0' && row->type != ETXD_SWITCH) {
        fprintf(to, " (default %s)", row->fallback);
    }
    fprintf(to, "%s\n", row->flags & ETXD_RELOADED ? " *" : "");
}

void etxd_config_help(FILE *to) {
    const etxd_setting *row;
    fputs(
        "usage: etxd [options]\n\n"
        "Serves transactions over HTTP: a change that spans several services happens everywhere\n"
        "or nowhere. Without options it listens on this machine only, and keeps its log in\n"
        "./etx-data. Try it, with a participant of yours that listens on port 8001:\n\n"
        "  etxd &\n"
        "  curl localhost:7830/v1/transactions -H 'content-type: application/json' -d '\n"
        "    {\"branches\": [{\"kind\": \"saga\", \"action\": \"http://localhost:8001/order\",\n"
        "                   \"compensate\": \"http://localhost:8001/cancel\",\n"
        "                   \"payload\": {\"item\": 7}}]}'\n"
        "  curl localhost:7830/v1/transactions\n"
        "  curl localhost:7830/v1/transactions/GID\n\n"
        "Every option may also stand in the environment (ETXD_TOKEN_FILE, with commas between\n"
        "several) or, by the same name, in a YAML file. Flags win over the environment, and the\n"
        "environment over the file. What has a * is taken up anew on SIGHUP.\n\n"
        "  --config FILE                    the YAML file\n"
        "  --check-config                   say whether all is well, and do nothing\n"
        "  --print-config                   print what is in force, secrets as ***\n"
        "  --help, --version\n",
        to);
    for (row = etxd_settings(); row->heading != NULL || row->name != NULL; row++) {
        if (row->heading != NULL) {
            fprintf(to, "\n%s:\n", row->heading);
        } else {
            help_row(to, row);
        }
    }
    fputs(
        "\nExit status: 0 ended in time, or all is well; 1 could not start, or did not end in "
        "time;\n2 the options are wrong. Manual: etxd(8)\n",
        to);
}
