/* cmocka, with what it wants to be included first, and the parts under test. */
#ifndef ETX_TESTS_UNIT_PARTICIPANT_HTTP_CMOCKA_HTTP_H
#define ETX_TESTS_UNIT_PARTICIPANT_HTTP_CMOCKA_HTTP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/integration/participant/http/http.h"

#endif
