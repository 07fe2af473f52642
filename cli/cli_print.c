/* Printing for people: errors with hints, colour, bytes, moments and spans. */
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "cli.h"

const char *etx__cli_color(const cli_context *cli, cli_color color) {
    if (!cli->color) {
        return "";
    }
    switch (color) {
        case CLI_PLAIN:
            return "\033[0m";
        case CLI_BOLD:
            return "\033[1m";
        case CLI_DIM:
            return "\033[2m";
        case CLI_RED:
            return "\033[31m";
        case CLI_GREEN:
            return "\033[32m";
        case CLI_YELLOW:
            return "\033[33m";
    }
    return "";
}

int etx__cli_fail(cli_context *cli, const char *hint, const char *format, ...) {
    va_list args;
    fflush(cli->out);
    fprintf(cli->err, "%s%s:%s ", cli->color_err ? "\033[31m" : "", cli->path,
            cli->color_err ? "\033[0m" : "");
    va_start(args, format);
    vfprintf(cli->err, format, args);
    va_end(args);
    fputc('\n', cli->err);
    if (hint != NULL) {
        fprintf(cli->err, "  %s\n", hint);
    }
    return CLI_BAD;
}

/* What would move the cursor, end the line or turn its direction. */
static int is_control(uint32_t point) {
    return point < 0xa0 || point == 0x61c || point == 0x200e || point == 0x200f ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069) ||
           point == 0xfeff;
}

/* The length of the character of several bytes that begins there, if it is valid UTF-8, whole and
 * no control; else 0. */
static size_t character(const unsigned char *data, size_t len) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = data[0] >= 0xf0 ? 4 : data[0] >= 0xe0 ? 3 : 2;
    uint32_t point = data[0] & (0x7fU >> size);
    if (data[0] < 0xc2 || data[0] > 0xf4 || size > len) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((data[i] & 0xc0) != 0x80) {
            return 0;
        }
        point = point << 6 | (data[i] & 0x3fU);
    }
    return point >= least[size] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff) &&
                   !is_control(point)
               ? size
               : 0;
}

void etx__cli_bytes(FILE *to, etx_bytes bytes, size_t max) {
    const unsigned char *data = bytes.data;
    size_t shown = bytes.len < max ? bytes.len : max;
    size_t i = 0;
    while (i < shown) {
        size_t size = data[i] < 0x80 ? data[i] >= ' ' && data[i] <= '~' && data[i] != '\\'
                                     : character(data + i, bytes.len - i);
        if (size > shown - i) {
            break; /* not half a character */
        }
        if (size > 0) {
            fwrite(data + i, 1, size, to);
        } else {
            fprintf(to, "\\x%02x", data[i]);
        }
        i += size > 0 ? size : 1;
    }
    if (i < bytes.len) {
        fprintf(to, "... (%zu bytes)", bytes.len);
    }
}

void etx__cli_name(FILE *to, etx_bytes name) {
    const unsigned char *data = name.data;
    for (size_t i = 0; i < name.len; i++) {
        if (data[i] >= ' ' && data[i] <= '~') {
            fputc(data[i], to);
        } else {
            fprintf(to, "\\x%02x", data[i]);
        }
    }
}

void etx__cli_moment(uint64_t ms, char *text, size_t size) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    char stem[24];
    if (ms / 1000 > 253402300799ULL || gmtime_r(&seconds, &parts) == NULL) {
        snprintf(text, size, "%llums", (unsigned long long)ms);
        return;
    }
    strftime(stem, sizeof stem, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, size, "%s.%03uZ", stem, (unsigned)(ms % 1000));
}

void etx__cli_span(uint64_t ms, char *text, size_t size) {
    unsigned long long s = ms / 1000;
    if (ms < 1000) {
        snprintf(text, size, "%llums", (unsigned long long)ms);
    } else if (s < 60) {
        snprintf(text, size, "%llu.%llus", s, (unsigned long long)(ms % 1000) / 100);
    } else if (s < 3600) {
        snprintf(text, size, "%llum%02llus", s / 60, s % 60);
    } else if (s < 86400) {
        snprintf(text, size, "%lluh%02llum", s / 3600, s / 60 % 60);
    } else {
        snprintf(text, size, "%llud%02lluh", s / 86400, s / 3600 % 24);
    }
}

uint64_t etx__cli_now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int etx__cli_file_dir(const char *url, char *dir, size_t size) {
    size_t len;
    if (strncmp(url, "file:", 5) != 0) {
        return -1;
    }
    len = strcspn(url + 5, "?");
    if (len == 0 || len >= size) {
        return -1;
    }
    memcpy(dir, url + 5, len);
    dir[len] = '\0';
    return 0;
}

/* Where the user's password ends: the last '@' of the authority. A password that is written as it
 * should not be, with a '/' in it, ends at an '@' behind that. */
static const char *find_at(const char *start) {
    const char *at = NULL;
    size_t len = strcspn(start, "/?");
    for (size_t i = 0; i < len; i++) {
        at = start[i] == '@' ? start + i : at;
    }
    if (at == NULL) {
        const char *next = strchr(start, '@');
        at = next != NULL && (size_t)(next - start) < strcspn(start, "?") ? next : NULL;
    }
    return at;
}

/* "password=...", and libpq's "sslpassword=..."; not the name of a file. */
static int is_secret(const char *option, size_t len) {
    static const char word[] = "password";
    size_t name = strcspn(option, "=&");
    return name < len && name >= sizeof word - 1 &&
           memcmp(option + name - (sizeof word - 1), word, sizeof word - 1) == 0;
}

void etx__cli_show_url(const char *url, char *to, size_t size) {
    const char *start = strstr(url, "://");
    const char *at = start != NULL ? find_at(start + 3) : NULL;
    const char *colon = at != NULL ? memchr(start + 3, ':', (size_t)(at - start - 3)) : NULL;
    const char *from = colon != NULL ? at : url;
    const char *option = from + strcspn(from, "?");
    int len = snprintf(to, size, "%.*s%.*s", colon != NULL ? (int)(colon - url) : 0, url,
                       (int)(option - from), from);
    for (char mark = '?'; *option != '\0' && len < (int)size;) {
        size_t span = strcspn(++option, "&");
        if (!is_secret(option, span)) {
            len += snprintf(to + len, size - (size_t)len, "%c%.*s", mark, (int)span, option);
            mark = '&';
        }
        option += span;
    }
    if (len >= (int)size && size > 3) {
        memcpy(to + size - 4, "...", 4);
    }
}
