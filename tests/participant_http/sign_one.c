/* Signs one call, and prints what its headers are: a line each of digest, input and signature. */
#include "src/integration/participant/http/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int main(int argc, char **argv) {
    unsigned char key[] = "0123456789abcdef";
    char id[] = "2026-01";
    etx__http_config config = {.key_id = id, .key = key, .key_len = sizeof key - 1};
    etx__http_text digest = {0};
    etx__http_text input = {0};
    etx__http_text signature = {0};
    net_url url;
    if (argc != 4 || net_url_parse(argv[1], strlen(argv[1]), &url, NULL) != 0) {
        return 2;
    }
    const etx__http_signed what = {.method = "POST",
                                   .gid = "g-1",
                                   .branch = argv[2][0] != '\0' ? argv[2] : NULL,
                                   .operation = "try",
                                   .begin = "1618884473000",
                                   .url = &url,
                                   .body = argv[3],
                                   .body_len = strlen(argv[3]),
                                   .created = (uint64_t)time(NULL)};
    if (etx__http_sign(EVP_sha256(), &config, &what, &digest, &input, &signature) != 0) {
        return 1;
    }
    printf("%s\n%s\n%s\n", digest.bytes, input.bytes, signature.bytes);
    free(digest.bytes);
    free(input.bytes);
    free(signature.bytes);
    return 0;
}
