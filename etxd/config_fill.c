/* What settings are if nobody says: the home, the node's name, what it remembers, a pause. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <etx/etx.h>

#include "config.h"

static int set(etxd_config *config, const char *name, const char *text, char *message) {
    return etxd_setting_set(config, etxd_setting_find(name, NULL), text, ETXD_FROM_DEFAULT,
                            message);
}

/* Where the log is kept. */
static int fill_home(etxd_config *config, char *message) {
    char url[4096];
    const char *state = getenv("STATE_DIRECTORY");
    size_t len = state != NULL ? strcspn(state, ":") : 0;
    if (config->home.count > 0) {
        return 0;
    }
    if (len > 0) {
        snprintf(url, sizeof url, "file:%.*s", (int)(len < 4000 ? len : 4000), state);
    } else {
        snprintf(url, sizeof url, "file:etx-data");
    }
    return set(config, "home", url, message);
}

int etxd_config_is_shared(const etxd_config *config) {
    size_t i;
    for (i = 0; i < config->home.count; i++) {
        const char *url = config->home.items[i];
        if (strncmp(url, "file:", 5) != 0 && strncmp(url, "memory:", 7) != 0) {
            return 1;
        }
    }
    return 0;
}

/* Nodes of a shared home need names of their own, and machines have such. */
static int fill_node(etxd_config *config, char *message) {
    char name[ETX_NAME_MAX + 1] = "node";
    if (config->node[0] != '\0' || config->source[ETXD_SETTING_node] != ETXD_FROM_DEFAULT) {
        return 0;
    }
    if (etxd_config_is_shared(config) &&
        (gethostname(name, sizeof name) != 0 || memchr(name, '\0', sizeof name) == NULL ||
         etx_name_check(name, strlen(name)) != 0)) {
        snprintf(message, ETXD_MESSAGE_MAX,
                 "node: nodes share a home, and this machine's name is none for a node: say --node "
                 "NAME, another one on each");
        return -1;
    }
    return set(config, "node", name, message);
}

/* Is the directory a log's? It may hold nothing else. */
static int is_home(const etxd_config *config, const char *dir, size_t len) {
    size_t i;
    for (i = 0; i < config->home.count; i++) {
        const char *url = config->home.items[i];
        if (strncmp(url, "file:", 5) == 0 && strncmp(url + 5, dir, len) == 0 &&
            strchr("?/", url[5 + len]) != NULL) {
            return 1;
        }
    }
    return 0;
}

/* What it remembers of homes that nodes share: in the directory that systemd gives each service, or
 * here, where several nodes may be started. */
static int fill_state(etxd_config *config, char *message) {
    char dir[4096];
    const char *given = getenv("STATE_DIRECTORY");
    size_t len = given != NULL ? strcspn(given, ":") : 0;
    if (config->source[ETXD_SETTING_state] != ETXD_FROM_DEFAULT || !etxd_config_is_shared(config)) {
        return 0;
    }
    if ((len > 0 && is_home(config, given, len)) || strchr(config->node, '/') != NULL) {
        snprintf(message, ETXD_MESSAGE_MAX,
                 "state: nodes share a home: say --state DIR, a directory of this node's own and "
                 "of nothing else");
        return -1;
    }
    if (len > 0) {
        snprintf(dir, sizeof dir, "%.*s/state", (int)(len < 4000 ? len : 4000), given);
    } else {
        snprintf(dir, sizeof dir, "etx-state-%s", config->node);
    }
    return set(config, "state", dir, message);
}

/* Who says only what the longest pause is wants none that is longer. */
static int fill_pause(etxd_config *config, char *message) {
    char text[24];
    if (config->source[ETXD_SETTING_retry_first] != ETXD_FROM_DEFAULT ||
        config->retry_first <= config->retry_cap) {
        return 0;
    }
    snprintf(text, sizeof text, "%llu", (unsigned long long)config->retry_cap);
    return set(config, "retry-first", text, message);
}

int etxd_config_fill(etxd_config *config, char *message) {
    if (fill_home(config, message) != 0 || fill_node(config, message) != 0 ||
        fill_pause(config, message) != 0) {
        return -1;
    }
    return fill_state(config, message);
}
