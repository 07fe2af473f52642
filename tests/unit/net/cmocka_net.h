/* cmocka, with what it wants to be included first. */
#ifndef ETX_TESTS_UNIT_NET_CMOCKA_NET_H
#define ETX_TESTS_UNIT_NET_CMOCKA_NET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
