/* How much room there is where homes are, as OpenMetrics has it. */
#include <string.h>
#include <sys/statvfs.h>

#include "tx.h"

/* The bytes that are left to this process where a home "file:DIR?..." is. 0, or -1: it is none, or
 * cannot be asked. */
static int measure(const char *url, uint64_t *ret_bytes) {
    struct statvfs found;
    char dir[sizeof(((etx_home_status *)NULL)->url)];
    if (strncmp(url, "file:", 5) != 0) {
        return -1;
    }
    snprintf(dir, sizeof dir, "%.*s", (int)strcspn(url + 5, "?"), url + 5);
    if (statvfs(dir, &found) != 0) {
        return -1;
    }
    *ret_bytes = (uint64_t)found.f_bavail * found.f_frsize;
    return 0;
}

void etxd_metrics_room(etxd_text *text, etxd *server) {
    static const char name[] = "etxd_home_room_bytes";
    etx_home_status home = {.size = sizeof home};
    unsigned place;
    etxd_text_print(text, "# TYPE %s gauge\n# HELP %s Free where a home of files is.\n", name,
                    name);
    for (place = 0; etx_engine_home_status(server->engine, place, &home) == 0; place++) {
        uint64_t bytes;
        if (measure(home.url, &bytes) == 0) {
            etxd_text_print(text, "%s{place=\"%u\"} %llu\n", name, place,
                            (unsigned long long)bytes);
        }
    }
}
