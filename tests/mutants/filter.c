/* Preloaded into a test program: lets cmocka run only the cases that ETX_TEST_FILTER names. */
#include <dlfcn.h>
#include <stdlib.h>

__attribute__((constructor)) static void set_filter(void) {
    void (*set)(const char *) =
        (void (*)(const char *))dlsym(RTLD_DEFAULT, "cmocka_set_test_filter");
    const char *pattern = getenv("ETX_TEST_FILTER");
    if (set != NULL && pattern != NULL)
        set(pattern);
}
