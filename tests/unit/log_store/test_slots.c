/* What is read from a store is one chain, each slot as it was put, or it is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../../src/integration/log/store/store.h"

typedef struct read_back {
    etx__store_reader reader;
    char message[200];
    uint64_t visited; /* the slot that was given last */
    unsigned count;
} read_back;

static int note(const etx_slot *slot, void *user) {
    read_back *self = user;
    self->visited = slot->slot;
    self->count++;
    return 0;
}

static void begin(read_back *self) {
    *self = (read_back){.count = 0};
    self->reader.visit = note;
    self->reader.user = self;
    self->reader.message = self->message;
    self->reader.message_size = sizeof self->message;
}

static etx_slot slot_behind(uint64_t number, uint32_t predecessor) {
    etx_slot slot = {.partition = 3, .slot = number, .nonce = 77, .predecessor = predecessor};
    slot.batch = (etx_bytes){"batch", 5};
    slot.checksum =
        etx_slot_checksum(slot.partition, slot.slot, slot.nonce, slot.predecessor, slot.batch);
    return slot;
}

/* What is trimmed is not there: the first may stand behind anything. */
static void test_a_chain(void **state) {
    read_back self;
    etx_slot slot = slot_behind(41, 4711);
    (void)state;
    begin(&self);
    assert_int_equal(etx__store_reader_take(&self.reader, &slot), 0);
    slot = slot_behind(42, slot.checksum);
    assert_int_equal(etx__store_reader_take(&self.reader, &slot), 0);
    slot = slot_behind(43, slot.checksum);
    assert_int_equal(etx__store_reader_take(&self.reader, &slot), 0);
    assert_int_equal(self.count, 3);
    assert_int_equal(self.visited, 43);
    assert_int_equal(self.reader.next, 44);
}

static void expect_refused(const etx_slot *second) {
    read_back self;
    const etx_slot first = slot_behind(41, 4711);
    begin(&self);
    assert_int_equal(etx__store_reader_take(&self.reader, &first), 0);
    assert_int_equal(etx__store_reader_take(&self.reader, second), ETX_ECORRUPT);
    assert_int_equal(self.count, 1);
    assert_non_null(strstr(self.message, "of partition 3 is damaged"));
}

static void test_what_breaks_it(void **state) {
    const uint32_t before = slot_behind(41, 4711).checksum;
    etx_slot slot = slot_behind(43, before); /* one is missing */
    (void)state;
    expect_refused(&slot);
    slot = slot_behind(41, before); /* the same again */
    expect_refused(&slot);
    slot = slot_behind(42, before + 1); /* it was put behind another one */
    expect_refused(&slot);
    slot = slot_behind(42, before);
    slot.batch = (etx_bytes){"hatch", 5};
    expect_refused(&slot);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_chain),
        cmocka_unit_test(test_what_breaks_it),
    };
    return cmocka_run_group_tests_name("log store slots", tests, NULL, NULL);
}
