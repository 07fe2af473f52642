/* Where settings come from: flags, before the environment, before the file, before defaults. */
#include <stdlib.h>
#include <string.h>

#include "config.h"

static int say(char *message, const char *format, const char *first, const char *second) {
    snprintf(message, ETXD_MESSAGE_MAX, format, first, second);
    return -1;
}

static int set_defaults(etxd_config *config, char *message) {
    const etxd_setting *row;
    for (row = etxd_settings(); row->heading != NULL || row->name != NULL; row++) {
        if (row->name != NULL &&
            etxd_setting_set(config, row, row->fallback, ETXD_FROM_DEFAULT, message) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- flags */

/* What is no setting: 1 if it was one of these. */
static int take_word(etxd_config *config, const char *word) {
    static const struct {
        const char *word;
        etxd_action action;
    } words[] = {{"--help", ETXD_HELP},          {"-h", ETXD_HELP},
                 {"--version", ETXD_VERSION},    {"-V", ETXD_VERSION},
                 {"--check-config", ETXD_CHECK}, {"--print-config", ETXD_PRINT}};
    size_t i;
    for (i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(word, words[i].word) == 0) {
            config->action = words[i].action;
            return 1;
        }
    }
    return 0;
}

/* Neither its value nor what an address has behind its scheme is shown: it may be a secret. */
static int unknown_flag(const char *word, const char *near, char *message) {
    char shown[101];
    char meant[80] = "";
    const char *scheme = strstr(word, "://");
    size_t len = scheme != NULL ? (size_t)(scheme - word) + 3 : strlen(word);
    size_t name = strcspn(word, "=:");
    len = word[name] == '=' && name < len ? name : len;
    snprintf(shown, sizeof shown, "%.*s", (int)(len < sizeof shown ? len : sizeof shown - 1), word);
    if (near != NULL) {
        snprintf(meant, sizeof meant, ": did you mean --%s?", near);
    } else {
        snprintf(meant, sizeof meant, ": etxd --help lists what there is");
    }
    return say(message, "'%s' is no option%s", shown, meant);
}

/* One flag, with the value that stands behind it or behind '='. Returns how many words it took. */
static int take_flag(etxd_config *config, int left, char **argv, char *message) {
    char name[64];
    const char *word = argv[0];
    const char *equals = strchr(word, '=');
    size_t len = equals != NULL ? (size_t)(equals - word) : strlen(word);
    const char *value = equals != NULL ? equals + 1 : NULL;
    const char *near = NULL;
    const etxd_setting *row;
    int took = 1;
    if (take_word(config, word)) {
        return 1;
    }
    if (strncmp(word, "--", 2) != 0 || len < 3 || len - 2 >= sizeof name) {
        return unknown_flag(word, NULL, message);
    }
    snprintf(name, sizeof name, "%.*s", (int)(len - 2), word + 2);
    row = etxd_setting_find(name, &near);
    if (row == NULL && strcmp(name, "config") != 0) {
        return unknown_flag(word, near, message);
    }
    if (value == NULL && row != NULL && row->type == ETXD_SWITCH) {
        value = "on";
    } else if (value == NULL) {
        if (left < 2) {
            return say(message, "%s needs a value%s", word, "");
        }
        value = argv[1];
        took = 2;
    }
    if (row == NULL) {
        free(config->file);
        config->file = strdup(value);
        return config->file != NULL ? took : say(message, "%s: no memory%s", word, "");
    }
    return etxd_setting_set(config, row, value, ETXD_FROM_FLAG, message) == 0 ? took : -1;
}

/* ---- environment */

/* "ETXD_TOKEN_FILE" is token-file. */
static int take_variable(etxd_config *config, const char *variable, char *message) {
    char name[64];
    const char *equals = strchr(variable, '=');
    const char *near = NULL;
    const etxd_setting *row;
    size_t i;
    size_t len = equals != NULL ? (size_t)(equals - variable) : 0;
    if (strncmp(variable, "ETXD_", 5) != 0 || len <= 5 || len - 5 >= sizeof name) {
        return 0;
    }
    for (i = 5; i < len; i++) {
        char c = variable[i];
        name[i - 5] = (char)(c == '_' ? '-' : c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    name[len - 5] = '\0';
    if (strcmp(name, "config") == 0) {
        if (config->file == NULL) {
            config->file = strdup(equals + 1);
        }
        return 0;
    }
    row = etxd_setting_find(name, &near);
    if (row == NULL) {
        char whole[80];
        snprintf(whole, sizeof whole, "%.*s", (int)len, variable);
        return say(message, "the environment's %s is no setting%s", whole,
                   near != NULL ? ", though something like it is: etxd --help" : "");
    }
    return etxd_setting_set(config, row, equals + 1, ETXD_FROM_ENVIRONMENT, message);
}

int etxd_config_read(int argc,
                     char **argv,
                     char **environment,
                     etxd_config *ret_config,
                     char *message) {
    int i;
    *ret_config = (etxd_config){0};
    if (set_defaults(ret_config, message) != 0) {
        return -1;
    }
    for (i = 1; i < argc;) {
        int took = take_flag(ret_config, argc - i, argv + i, message);
        if (took < 0) {
            return -1;
        }
        i += took;
    }
    if (ret_config->action == ETXD_HELP || ret_config->action == ETXD_VERSION) {
        return 0;
    }
    for (i = 0; environment[i] != NULL; i++) {
        if (take_variable(ret_config, environment[i], message) != 0) {
            return -1;
        }
    }
    return ret_config->file != NULL ? etxd_config_file(ret_config, ret_config->file, message) : 0;
}
