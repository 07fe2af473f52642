/* Who operates, and why: both are recorded. */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* What is longer would be cut where it is recorded. */
static int check_length(cli_context *cli, const char *option, const char *text, size_t max) {
    return strlen(text) <= max ? CLI_OK
                               : etx__cli_fail(cli, NULL, "--%s: %zu bytes, and %zu are recorded",
                                               option, strlen(text), max);
}

int etx__cli_who(cli_context *cli, const char **who, const char *why) {
    if (*who == NULL || (*who)[0] == '\0') {
        const char *user = getenv("USER");
        const struct passwd *entry = user == NULL || user[0] == '\0' ? getpwuid(getuid()) : NULL;
        *who = entry != NULL ? entry->pw_name : user;
    }
    if (*who == NULL || (*who)[0] == '\0') {
        return etx__cli_fail(cli, "add --who NAME", "who does this? $USER does not say it");
    }
    if (why == NULL || why[0] == '\0') {
        return etx__cli_fail(cli, "it is recorded, for those who come after",
                             "--why 'THE REASON' is required");
    }
    return check_length(cli, "who", *who, ETX_NAME_MAX) == CLI_OK &&
                   check_length(cli, "why", why, ETX_REASON_MAX) == CLI_OK
               ? CLI_OK
               : CLI_BAD;
}
