/* etx_assert: a check of our own reasoning that stays on in release builds. Never for what came
 * from outside: that is an error code. */
#ifndef ETX_PROTOCOL_ASSERT_H
#define ETX_PROTOCOL_ASSERT_H

/* Ends the process: going on would act on a state that cannot be. The one handler of libetx. */
_Noreturn void etx__assert_failed(const char *expression, const char *file, int line);

/* Under ETX_COVERAGE the condition is compiled but not evaluated: a branch that no test can take
 * must not count as one that no test took. */
#ifdef ETX_COVERAGE
#define etx_assert(condition) ((void)sizeof((condition) ? 1 : 0))
#else
#define etx_assert(condition)                     \
    (__builtin_expect(!!(condition), 1) ? (void)0 \
                                        : etx__assert_failed(#condition, __FILE__, __LINE__))
#endif

#endif
