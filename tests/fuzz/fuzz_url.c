/* Fuzzes the URL of a file log, as programs and `etx tx --home` take it: what is accepted means the
 * same when it is written out in full, and the command finds the same directory in it. */
#include "fuzz.h"

#include "../../cli/cli.h"
#include "../../src/integration/log/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { URL_MAX = 8192 };

static void check_url(const etx__file_url *url) {
    char text[URL_MAX];
    etx__file_url again;
    size_t len = strlen(url->dir);
    fuzz_check(len > 0 && len < sizeof url->dir);
    fuzz_check(len == 1 || url->dir[len - 1] != '/');
    fuzz_check(url->partitions <= ETX__PARTITIONS_MAX);
    fuzz_check(url->segment_size == 0 ||
               (url->segment_size >= ETX__SEGMENT_MIN && url->segment_size <= ETX__SEGMENT_MAX &&
                url->segment_size % ETX__BLOCK == 0));
    fuzz_check(url->direct >= -1 && url->direct <= 1 && url->copy == 0);
    int at = snprintf(text, sizeof text, "file:%s%s?", url->dir[0] == '/' ? "//" : "", url->dir);
    if (url->partitions > 0) {
        at += snprintf(text + at, sizeof text - (size_t)at, "partitions=%u&", url->partitions);
    }
    if (url->segment_size > 0) {
        at += snprintf(text + at, sizeof text - (size_t)at, "segment=%lluK&",
                       (unsigned long long)(url->segment_size >> 10));
    }
    if (url->direct >= 0) {
        snprintf(text + at, sizeof text - (size_t)at, "direct=%d", url->direct);
    }
    fuzz_check(etx__file_url_parse(text, &again, NULL) == 0);
    fuzz_check(strcmp(again.dir, url->dir) == 0);
    fuzz_check(again.partitions == url->partitions && again.segment_size == url->segment_size);
    fuzz_check(again.direct == url->direct);
}

/* The command's own reading differs in nothing but slashes. */
static void check_command(const char *text, const etx__file_url *url) {
    char dir[4096];
    etx__file_url own;
    char again[sizeof dir + 8];
    if (etx__cli_file_dir(text, dir, sizeof dir) != 0) {
        fuzz_check(strlen(text) >= sizeof dir); /* with its slashes it is too long */
        return;
    }
    snprintf(again, sizeof again, "file:%s", dir);
    fuzz_check(etx__file_url_parse(again, &own, NULL) == 0);
    fuzz_check(strcmp(own.dir, url->dir) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char message[200] = "";
    const etx__file_words words = {message, sizeof message};
    etx__file_url url;
    uint64_t number;
    if (size > URL_MAX / 2) {
        return 0;
    }
    char *text = fuzz_alloc(size + 1);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    int rc = etx__file_url_parse(text, &url, &words);
    fuzz_check(rc == 0 || (rc == ETX_EINVALID && message[0] != '\0'));
    if (rc == 0) {
        check_url(&url);
        check_command(text, &url);
    }
    (void)etx__cli_time(text, &number);
    (void)etx__cli_number(text, &number);
    free(text);
    return 0;
}
