/* Who operates, and why: both are recorded. */
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"

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
    return CLI_OK;
}
