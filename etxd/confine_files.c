/* Files and ports by Landlock: a domain that the thread and all that it starts can never leave. */
#include "confine.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <etx/engine.h>

#include "secret.h"

/* The kernel's interface, as its documentation has it: headers of distributions are older than
 * kernels, and know a part of it. */
enum {
    CREATE_RULESET = 444,
    ADD_RULE = 445,
    RESTRICT_SELF = 446,
    RULESET_VERSION = 1,
    RULE_PATH_BENEATH = 1,
    PATH_LEN_MAX = 4096,
};

#define FS(bit) (UINT64_C(1) << (bit))
#define FS_WRITE_FILE FS(1)
#define FS_READ_FILE FS(2)
#define FS_READ_DIR FS(3)
#define FS_REMOVE_FILE FS(5)
#define FS_MAKE_REG FS(8)
#define FS_TRUNCATE FS(14)
#define FS_ALL_OF_1 (FS(13) - 1)
#define NET_BIND_TCP UINT64_C(1)
#define SCOPE_ABSTRACT_SOCKET UINT64_C(1)
#define SCOPE_SIGNAL UINT64_C(2)

typedef struct ruleset {
    uint64_t files, ports, scopes;
} ruleset;

typedef struct __attribute__((packed)) rule {
    uint64_t allowed;
    int32_t parent;
} rule;

typedef struct domain {
    int fd;
    uint64_t known; /* the rights to files that this kernel knows */
    char *why;
    size_t size;
} domain;

/* ---- rules */

/* What is not there needs no rule. */
static int allow(const domain *d, const char *path, uint64_t rights) {
    struct stat found;
    rule beneath;
    int rc;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    if (fstat(fd, &found) == 0 && !S_ISDIR(found.st_mode)) {
        rights &= FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE; /* the others are a directory's */
    }
    beneath = (rule){rights & d->known, fd};
    rc = (int)syscall(ADD_RULE, d->fd, RULE_PATH_BENEATH, &beneath, 0);
    if (rc != 0) {
        snprintf(d->why, d->size, "%.100s: %s", path, strerror(errno));
    }
    close(fd);
    return rc;
}

/* Whatever takes the place of a file later stands in the same directory. */
static int allow_place(const domain *d, const char *path) {
    char above[PATH_LEN_MAX];
    const char *slash = strrchr(path, '/');
    if (path[0] == '\0' || strlen(path) >= sizeof above) {
        return 0;
    }
    if (slash == NULL) {
        return allow(d, ".", FS_READ_FILE | FS_READ_DIR);
    }
    snprintf(above, sizeof above, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return allow(d, above, FS_READ_FILE | FS_READ_DIR);
}

static int allow_references(const domain *d, const etxd_list *headers) {
    size_t i;
    int rc = 0;
    for (i = 0; i < headers->count && rc == 0; i++) {
        const char *value = headers->items[i] + strcspn(headers->items[i], ":");
        value += value[0] == ':';
        value += strspn(value, " ");
        rc = etxd_secret_is_reference(value) ? allow_place(d, value + strlen("file:")) : 0;
    }
    return rc;
}

static int allow_settings(const domain *d, const etxd_config *config) {
    const char *paths[] = {config->file != NULL ? config->file : "",
                           config->token_file,
                           config->tls_certificate,
                           config->tls_key,
                           config->tls_client_ca,
                           config->call_ca,
                           config->call_certificate,
                           config->call_key,
                           config->trace_ca,
                           config->sign_key[0] != '\0' ? config->sign_key + strlen("file:") : ""};
    size_t i;
    for (i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (allow_place(d, paths[i]) != 0) {
            return -1;
        }
    }
    return allow_references(d, &config->call_header) != 0
               ? -1
               : allow_references(d, &config->trace_header);
}

/* libetx loads adapters from beneath its own directory. */
static int allow_modules(const domain *d) {
    Dl_info library;
    return dladdr((void *)(uintptr_t)etx_engine_home, &library) != 0 && library.dli_fname != NULL
               ? allow_place(d, library.dli_fname)
               : 0;
}

/* Names of hosts, certificates, libraries that are loaded late; what /proc and /sys say of this
 * process and the machine. */
static int allow_system(const domain *d) {
    static const char *const readable[] = {"/etc",
                                           "/usr",
                                           "/lib",
                                           "/lib64",
                                           "/proc",
                                           "/sys/devices/system/cpu",
                                           "/run/systemd/resolve",
                                           "/run/resolvconf",
                                           "/run/NetworkManager",
                                           "/var/lib/ca-certificates",
                                           "/dev/urandom",
                                           "/dev/null",
                                           NULL};
    size_t i;
    for (i = 0; readable[i] != NULL; i++) {
        if (allow(d, readable[i], FS_READ_FILE | FS_READ_DIR) != 0) {
            return -1;
        }
    }
    if (allow_modules(d) != 0) {
        return -1;
    }
    return allow(d, "/proc/self/task", FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE); /* names */
}

/* ---- homes */

/* Made here, since nothing can be made above it later. */
static int make_home(const char *path) {
    char above[PATH_LEN_MAX];
    const char *slash = strrchr(path, '/');
    int fd;
    if (mkdir(path, 0700) != 0) {
        return errno == EEXIST ? 0 : -1;
    }
    snprintf(above, sizeof above, "%.*s", slash == NULL || slash == path ? 1 : (int)(slash - path),
             slash == NULL ? "." : path);
    fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    return 0;
}

/* Files that the options of an adapter's URL name: passwords, certificates. */
static int allow_named(const domain *d, const char *url) {
    const char *at = strpbrk(url, "?&");
    int rc = 0;
    while (at != NULL && rc == 0) {
        char path[PATH_LEN_MAX];
        size_t len = strcspn(at + 1, "&");
        const char *value = memchr(at + 1, '=', len);
        if (value != NULL && value[1] == '/') {
            snprintf(path, sizeof path, "%.*s", (int)(at + len - value), value + 1);
            rc = allow_place(d, path);
        }
        at = strchr(at + 1, '&');
    }
    return rc;
}

static int allow_kept(const domain *d, const char *what, const char *path) {
    if (make_home(path) != 0) {
        snprintf(d->why, d->size, "%s %.100s: %s", what, path, strerror(errno));
        return -1;
    }
    return allow(
        d, path,
        FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_REMOVE_FILE | FS_MAKE_REG | FS_TRUNCATE);
}

static int allow_home(const domain *d, const char *url) {
    char path[PATH_LEN_MAX];
    size_t len;
    if (strncmp(url, "file:", 5) != 0) {
        return allow_named(d, url);
    }
    url += 5 + (strncmp(url + 5, "///", 3) == 0 ? 2 : 0);
    len = strcspn(url, "?");
    while (len > 1 && url[len - 1] == '/') {
        len--;
    }
    snprintf(path, sizeof path, "%.*s", len < sizeof path ? (int)len : 0, url);
    return allow_kept(d, "home", path);
}

static int allow_all(const domain *d, const etxd_config *config) {
    size_t i;
    for (i = 0; i < config->home.count; i++) {
        if (allow_home(d, config->home.items[i]) != 0) {
            return -1;
        }
    }
    if (config->state[0] != '\0' && allow_kept(d, "state", config->state) != 0) {
        return -1;
    }
    return allow_settings(d, config) != 0 ? -1 : allow_system(d);
}

/* ---- the domain */

/* What a version of the interface can take away; `*ret_size`: of the struct that it knows. */
static ruleset rights_of(long version, size_t *ret_size) {
    const char *notify = getenv("NOTIFY_SOCKET");
    ruleset rights = {.files = FS_ALL_OF_1};
    rights.files |= version >= 2 ? FS(13) : 0; /* from one directory to another */
    rights.files |= version >= 3 ? FS_TRUNCATE : 0;
    rights.files |= version >= 5 ? FS(15) : 0; /* ioctl of devices */
    rights.ports = version >= 4 ? NET_BIND_TCP : 0;
    if (version >= 6) {
        rights.scopes = SCOPE_SIGNAL;
        rights.scopes |= notify == NULL || notify[0] != '@' ? SCOPE_ABSTRACT_SOCKET : 0;
    }
    *ret_size = version >= 6   ? sizeof rights
                : version >= 4 ? offsetof(ruleset, scopes)
                               : offsetof(ruleset, ports);
    return rights;
}

int etxd_landlock(const etxd_config *config, unsigned *ret_version, char *why, size_t size) {
    long version = syscall(CREATE_RULESET, NULL, 0, RULESET_VERSION);
    size_t known = 0;
    ruleset rights = rights_of(version, &known);
    domain d = {.known = rights.files, .why = why, .size = size};
    int rc;
    if (version < 1) {
        snprintf(why, size, "the kernel has no Landlock");
        return -1;
    }
    d.fd = (int)syscall(CREATE_RULESET, &rights, known, 0);
    if (d.fd < 0) {
        snprintf(why, size, "Landlock: %s", strerror(errno));
        return -1;
    }
    rc = allow_all(&d, config);
    if (rc == 0 && syscall(RESTRICT_SELF, d.fd, 0) != 0) {
        snprintf(why, size, "Landlock: %s", strerror(errno));
        rc = -1;
    }
    close(d.fd);
    *ret_version = rc == 0 ? (unsigned)version : 0;
    return rc;
}
