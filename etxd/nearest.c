/* What somebody may have meant: the nearest of a list of words. */
#include <string.h>

#include "text.h"

enum { WORD_MAX = 40, FAR = 6 };

/* Insertions, deletions and changes that make one word of the other. */
static size_t distance(const char *a, const char *b) {
    size_t row[WORD_MAX + 1];
    size_t la = strlen(a), lb = strlen(b);
    size_t i, j;
    if (la > WORD_MAX || lb > WORD_MAX) {
        return WORD_MAX;
    }
    for (j = 0; j <= lb; j++) {
        row[j] = j;
    }
    for (i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (j = 1; j <= lb; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < other ? change : other;
        }
    }
    return row[lb];
}

const char *etxd_nearest(const char *word, const char *const *list) {
    const char *best = NULL;
    size_t least = strlen(word) / 3 + 2;
    least = least < FAR ? least : FAR;
    for (; *list != NULL; list++) {
        size_t far = distance(word, *list);
        if (far < least) {
            least = far;
            best = *list;
        }
    }
    return best;
}
