/* Bearer tokens: a file of their hashes, what each may do, and how often. */
#ifndef ETXD_TOKEN_H
#define ETXD_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include <etx/types.h>

/* What a token may do. Bits. */
enum { ETXD_SUBMIT = 1, ETXD_READ = 2, ETXD_OPERATE = 4, ETXD_ANY = 0 };

enum { ETXD_HASH_LEN = 32, ETXD_TOKEN_NAME_MAX = 64 };

typedef struct etxd_token {
    unsigned char hash[ETXD_HASH_LEN]; /* SHA-256 of the token's text */
    unsigned scopes;
    char prefix[ETX_GID_MAX + 1]; /* gids must begin so; "" is all */
    char name[ETXD_TOKEN_NAME_MAX + 1];
    double allowance; /* requests that it may make now */
    uint64_t seen_ms; /* when that was so */
} etxd_token;

typedef struct etxd_tokens {
    etxd_token *items;
    size_t count;
} etxd_tokens;

/* Reads a file of lines "sha256:HEX SCOPE[,SCOPE] [gid-prefix=P] [name=N]"; '#' begins a comment.
 * 0, or -1 and a message of `size` bytes that names file and line. */
int etxd_tokens_read(const char *path, etxd_tokens *ret_tokens, char *message, size_t size);
void etxd_tokens_free(etxd_tokens *tokens);
/* The token of that text, or NULL. Looks at all of them, whichever it is. */
etxd_token *etxd_tokens_find(const etxd_tokens *tokens, const char *text, size_t len);
/* Whether one of them is that token, and may do the same. */
int etxd_tokens_have(const etxd_tokens *tokens, const etxd_token *token);
/* Takes one request off its allowance of `rate` a second (0: no limit): 1, or 0 if it is spent. */
int etxd_token_spend(etxd_token *token, uint64_t rate, uint64_t now_ms);
/* "submit,read" of its bits; at least 32 bytes; returns `text`. */
const char *etxd_scopes_text(unsigned scopes, char *text, size_t size);

#endif
