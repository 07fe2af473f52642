/* Confinement as the setting `confine` says: off, as far as the kernel goes, or not without it. */
#include "confine.h"

#include <string.h>
#include <sys/prctl.h>

static int is_off(const etxd_config *config) {
    return strcmp(config->confine, "off") == 0;
}

static int refuse(const etxd_config *config, const char *what, const char *why, char *message) {
    if (strcmp(config->confine, "required") != 0) {
        return 0;
    }
    snprintf(message, ETXD_MESSAGE_MAX, "confine: %s: %s", what, why);
    return -1;
}

int etxd_confine_files(const etxd_config *config, etxd_confinement *ret, char *message) {
    *ret = (etxd_confinement){.why_files = "off", .why_calls = "off"};
    if (is_off(config)) {
        return 0;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        snprintf(ret->why_files, sizeof ret->why_files, "no_new_privs cannot be set");
    } else if (etxd_landlock(config, &ret->files_version, ret->why_files, sizeof ret->why_files) ==
               0) {
        ret->files = ETXD_CONFINED;
    }
    return ret->files == ETXD_CONFINED ? 0 : refuse(config, "files", ret->why_files, message);
}

static const char *word_of(etxd_confined confined, const char *why) {
    return confined == ETXD_CONFINED ? "confined" : why;
}

int etxd_confine_calls(const etxd_config *config,
                       etxd_log *log,
                       etxd_confinement *confinement,
                       char *message) {
    etxd_confinement *c = confinement;
    if (!is_off(config) && etxd_seccomp(c->why_calls, sizeof c->why_calls) == 0) {
        c->calls = ETXD_CONFINED;
    }
    const etxd_field fields[] = {{"files", word_of(c->files, c->why_files), 0},
                                 {"landlock", NULL, c->files_version},
                                 {"calls", word_of(c->calls, c->why_calls), 0}};
    etxd_log_line(log,
                  is_off(config) || (c->files == ETXD_CONFINED && c->calls == ETXD_CONFINED)
                      ? ETXD_INFO
                      : ETXD_WARNING,
                  "confinement", fields, sizeof fields / sizeof *fields);
    return is_off(config) || c->calls == ETXD_CONFINED
               ? 0
               : refuse(config, "system calls", c->why_calls, message);
}
