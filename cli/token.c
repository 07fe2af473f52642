/* `etx token create`: a bearer token for etxd, shown once; the server's file keeps its hash. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cli.h"

enum { TOKEN_BYTES = 32, HASH_BYTES = 32, LINE_BYTES = 512, SCOPES = 3 };

typedef struct token_options {
    const char *file;
    const char *scope;
    const char *prefix;
    const char *name;
} token_options;

static const cli_option options_table[] = {
    {"file", 'f', CLI_TEXT, offsetof(token_options, file), "FILE",
     "etxd's --token-file; made if it is not there (default: ETXD_TOKEN_FILE, then etx-tokens "
     "here)",
     0, 0},
    {"scope", 's', CLI_TEXT, offsetof(token_options, scope), "SCOPES",
     "submit, read, operate; with commas between (required)", 0, 0},
    {"gid-prefix", 'p', CLI_TEXT, offsetof(token_options, prefix), "TEXT",
     "only for gids that begin so", 0, 0},
    {"name", 'n', CLI_TEXT, offsetof(token_options, name), "NAME",
     "what log lines, and records of who did it, call it", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command command = {
    "--scope SCOPES [--file FILE] [--gid-prefix TEXT] [--name NAME]",
    "Makes a bearer token and prints it: this once, since the file keeps only its hash. Send etxd\n"
    "the signal SIGHUP, and it knows the token. To take one back, delete its line.",
    options_table,
    "  etx token create --file /etc/etxd/tokens --scope submit,read --name shop\n"
    "  etx token create --file /etc/etxd/tokens --scope read --gid-prefix shop- --name board\n",
    "  0  made\n"
    "  2  bad usage; the file cannot be written\n",
    0,
    0,
};

static const char *const scope_words[SCOPES] = {"submit", "read", "operate"};

/* The bits of the scopes that are named, or 0: there is something else. */
static unsigned find_scopes(const char *at) {
    unsigned found = 0;
    while (at != NULL && *at != '\0') {
        size_t len = strcspn(at, ",");
        size_t i = 0;
        while (i < SCOPES &&
               (strlen(scope_words[i]) != len || strncmp(scope_words[i], at, len) != 0)) {
            i++;
        }
        if (i == SCOPES || (at[len] == ',' && at[len + 1] == '\0')) {
            return 0;
        }
        found |= 1U << i;
        at += len + (at[len] == ',');
    }
    return found;
}

static int check_scopes(cli_context *cli, const char *scopes) {
    return find_scopes(scopes) != 0
               ? CLI_OK
               : etx__cli_fail(cli, "scopes are submit, read, operate, with commas between",
                               "--scope: '%s'", scopes != NULL ? scopes : "");
}

static int check_options(cli_context *cli, const token_options *options) {
    if (options->prefix != NULL && etx_gid_check(options->prefix, strlen(options->prefix)) != 0) {
        return etx__cli_fail(cli, "printable characters without space", "--gid-prefix: '%s'",
                             options->prefix);
    }
    if (options->name != NULL && (etx_name_check(options->name, strlen(options->name)) != 0 ||
                                  strchr(options->name, '#') != NULL)) {
        return etx__cli_fail(cli, "1 to 64 printable characters, no space and no '#'",
                             "--name: '%s'", options->name);
    }
    if (options->prefix != NULL && strchr(options->prefix, '#') != NULL) {
        return etx__cli_fail(cli, "a '#' begins a comment in the file", "--gid-prefix: '%s'",
                             options->prefix);
    }
    return check_scopes(cli, options->scope);
}

static void write_hex(const unsigned char *bytes, size_t len, char *text) {
    size_t i;
    for (i = 0; i < len; i++) {
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
}

/* Each once, however often it was said. */
static void write_scopes(unsigned scopes, char *text, size_t size) {
    size_t len = 0;
    size_t i;
    for (i = 0; i < SCOPES; i++) {
        if ((scopes >> i & 1U) != 0) {
            len += (size_t)snprintf(text + len, size - len, "%s%s", len > 0 ? "," : "",
                                    scope_words[i]);
        }
    }
}

/* A token of 256 random bits, and the line that stands for it. 0 or -1. */
static int make_token(const token_options *options, char *token, char *line) {
    unsigned char bytes[TOKEN_BYTES];
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char hex[2 * HASH_BYTES + 1];
    char scopes[32];
    int written;
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        return -1;
    }
    write_hex(bytes, sizeof bytes, token);
    if (EVP_Digest(token, strlen(token), hash, &len, EVP_sha256(), NULL) != 1) {
        return -1;
    }
    write_hex(hash, HASH_BYTES, hex);
    write_scopes(find_scopes(options->scope), scopes, sizeof scopes);
    written =
        snprintf(line, LINE_BYTES, "sha256:%s %s%s%s%s%s\n", hex, scopes,
                 options->prefix != NULL ? " gid-prefix=" : "",
                 options->prefix != NULL ? options->prefix : "",
                 options->name != NULL ? " name=" : "", options->name != NULL ? options->name : "");
    return written < LINE_BYTES ? 0 : -1;
}

/* Does the file end within a line, as some editors leave it? */
static int is_cut(int fd) {
    off_t end = lseek(fd, 0, SEEK_END);
    char last;
    return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

static int append_line(const char *file, const char *line) {
    int fd = open(file, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    char text[1 + LINE_BYTES];
    ssize_t len;
    int rc;
    if (fd < 0) {
        return -1;
    }
    len = snprintf(text, sizeof text, "%s%s", is_cut(fd) ? "\n" : "", line);
    rc = write(fd, text, (size_t)len) == len && fsync(fd) == 0 ? 0 : -1;
    return close(fd) == 0 ? rc : -1;
}

/* The file that etxd reads where both have the same environment. */
static const char *usual_file(void) {
    const char *named = getenv("ETXD_TOKEN_FILE");
    return named != NULL && named[0] != '\0' ? named : "etx-tokens";
}

static int create_token(cli_context *cli, int argc, char **argv) {
    token_options options = {NULL, NULL, NULL, NULL};
    char token[2 * TOKEN_BYTES + 1];
    char line[LINE_BYTES];
    cli_args args;
    int code = etx__cli_parse(cli, &command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    if (check_options(cli, &options) != CLI_OK) {
        return CLI_BAD;
    }
    if (make_token(&options, token, line) != 0) {
        return etx__cli_fail(cli, NULL, "no random bytes");
    }
    const char *file = options.file != NULL ? options.file : usual_file();
    if (append_line(file, line) != 0) {
        return etx__cli_fail(cli, NULL, "%s: %s", file, strerror(errno));
    }
    fprintf(cli->out, "%s\n", token);
    if (options.file == NULL) {
        fprintf(cli->err, "its hash is in %s: etxd --token-file %s\n", file, file);
    }
    return CLI_OK;
}

static const cli_entry commands[] = {
    {"create", create_token, "Make a token, show it once, and keep its hash"},
    {NULL, NULL, NULL},
};

static const cli_group group = {
    "Tokens are what etxd knows its clients by.",
    commands,
    "  etx token create --file /etc/etxd/tokens --scope submit,read --name shop\n",
};

int etx__command_token(cli_context *cli, int argc, char **argv) {
    return etx__cli_dispatch(cli, &group, argc, argv);
}
