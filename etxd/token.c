/* The file of tokens, and looking one up without telling by time which it nearly was. */
#include "token.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned bit;
} scopes[] = {{"submit", ETXD_SUBMIT}, {"read", ETXD_READ}, {"operate", ETXD_OPERATE}};

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_hash(const char *word, unsigned char *hash) {
    size_t i;
    if (strncmp(word, "sha256:", 7) != 0 || strlen(word) != 7 + 2 * ETXD_HASH_LEN) {
        return -1;
    }
    for (i = 0; i < ETXD_HASH_LEN; i++) {
        int high = hex_digit(word[7 + 2 * i]);
        int low = hex_digit(word[8 + 2 * i]);
        if (high < 0 || low < 0) {
            return -1;
        }
        hash[i] = (unsigned char)(high * 16 + low);
    }
    return 0;
}

static int read_scopes(char *word, unsigned *ret_scopes) {
    char *rest = NULL;
    char *name;
    *ret_scopes = 0;
    for (name = strtok_r(word, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
        size_t i = 0;
        while (i < 3 && strcmp(scopes[i].name, name) != 0) {
            i++;
        }
        if (i == 3) {
            return -1;
        }
        *ret_scopes |= scopes[i].bit;
    }
    return *ret_scopes != 0 ? 0 : -1;
}

static int read_extra(const char *word, etxd_token *token) {
    if (strncmp(word, "gid-prefix=", 11) == 0 && etx_gid_check(word + 11, strlen(word + 11)) == 0) {
        snprintf(token->prefix, sizeof token->prefix, "%s", word + 11);
        return 0;
    }
    if (strncmp(word, "name=", 5) == 0 && strlen(word + 5) <= ETXD_TOKEN_NAME_MAX) {
        snprintf(token->name, sizeof token->name, "%s", word + 5);
        return 0;
    }
    return -1;
}

/* 1: a token; 0: nothing; -1: what is wrong is in `*ret_why`. */
static int read_line(char *line, etxd_token *token, const char **ret_why) {
    char *rest = NULL;
    char *word;
    line[strcspn(line, "#\r\n")] = '\0';
    word = strtok_r(line, " \t", &rest);
    if (word == NULL) {
        return 0;
    }
    *token = (etxd_token){.seen_ms = 0};
    *ret_why = "a line begins with sha256: and 64 digits 0-9a-f";
    if (read_hash(word, token->hash) != 0) {
        return -1;
    }
    *ret_why = "scopes are submit, read, operate, with commas between";
    word = strtok_r(NULL, " \t", &rest);
    if (word == NULL || read_scopes(word, &token->scopes) != 0) {
        return -1;
    }
    *ret_why = "after the scopes only gid-prefix=P and name=N may stand";
    while ((word = strtok_r(NULL, " \t", &rest)) != NULL) {
        if (read_extra(word, token) != 0) {
            return -1;
        }
    }
    return 1;
}

static int add_token(etxd_tokens *tokens, const etxd_token *token) {
    etxd_token *items = realloc(tokens->items, (tokens->count + 1) * sizeof *items);
    if (items == NULL) {
        return -1;
    }
    tokens->items = items;
    tokens->items[tokens->count++] = *token;
    return 0;
}

int etxd_tokens_read(const char *path, etxd_tokens *ret_tokens, char *message, size_t size) {
    etxd_tokens tokens = {NULL, 0};
    char *line = NULL; /* whole, however long: half a line would be another one */
    size_t room = 0;
    unsigned number = 0;
    const char *why = "";
    int rc = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        snprintf(message, size, "%.200s: %s", path, strerror(errno));
        return -1;
    }
    while (rc >= 0 && getline(&line, &room, file) >= 0) {
        etxd_token token;
        number++;
        rc = read_line(line, &token, &why);
        if (rc > 0 && add_token(&tokens, &token) != 0) {
            why = "no memory";
            rc = -1;
        }
    }
    if (rc >= 0 && !feof(file)) {
        why = strerror(errno);
        rc = -1;
    }
    free(line);
    fclose(file);
    if (rc < 0) {
        snprintf(message, size, "%.200s:%u: %s", path, number, why);
        etxd_tokens_free(&tokens);
        return -1;
    }
    *ret_tokens = tokens;
    return 0;
}

void etxd_tokens_free(etxd_tokens *tokens) {
    free(tokens->items);
    *tokens = (etxd_tokens){NULL, 0};
}

etxd_token *etxd_tokens_find(const etxd_tokens *tokens, const char *text, size_t len) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned hash_len = 0;
    etxd_token *found = NULL;
    size_t i;
    if (len == 0 || EVP_Digest(text, len, hash, &hash_len, EVP_sha256(), NULL) != 1) {
        return NULL;
    }
    for (i = 0; i < tokens->count; i++) {
        if (CRYPTO_memcmp(tokens->items[i].hash, hash, ETXD_HASH_LEN) == 0) {
            found = &tokens->items[i];
        }
    }
    return found;
}

int etxd_tokens_have(const etxd_tokens *tokens, const etxd_token *token) {
    const etxd_token *found = NULL;
    size_t i;
    for (i = 0; i < tokens->count; i++) {
        if (memcmp(tokens->items[i].hash, token->hash, ETXD_HASH_LEN) == 0) {
            found = &tokens->items[i]; /* the last one, as for a request */
        }
    }
    return found != NULL && found->scopes == token->scopes &&
           strcmp(found->prefix, token->prefix) == 0;
}

int etxd_token_spend(etxd_token *token, uint64_t rate, uint64_t now_ms) {
    double most = (double)rate; /* one second's worth at once */
    if (rate == 0) {
        return 1;
    }
    if (token->seen_ms == 0) {
        token->allowance = most;
    } else if (now_ms > token->seen_ms) {
        token->allowance += (double)(now_ms - token->seen_ms) * (double)rate / 1000.0;
    }
    token->allowance = token->allowance < most ? token->allowance : most;
    token->seen_ms = now_ms > 0 ? now_ms : 1;
    if (token->allowance < 1.0) {
        return 0;
    }
    token->allowance -= 1.0;
    return 1;
}

const char *etxd_scopes_text(unsigned bits, char *text, size_t size) {
    size_t at = 0;
    size_t i;
    text[0] = '\0';
    for (i = 0; i < 3; i++) {
        if ((bits & scopes[i].bit) != 0 && at < size) {
            at += (size_t)snprintf(text + at, size - at, "%s%s", at > 0 ? "," : "", scopes[i].name);
        }
    }
    return text;
}
