/* Orders: what clients ask for. An order is drawn from its number alone, so that a client that
 * repeats a number after a crash repeats its content byte for byte. */
#include <string.h>

#include "torture.h"

/* Kinds of the legs: all TCC, all saga steps, or each as it comes; credits may be messages. */
static void draw_kinds(demo_random *random, torture_order *order) {
    uint64_t pattern = etx__demo_draw(random, 4);
    int i;
    for (i = 0; i < order->count; i++) {
        torture_leg *leg = &order->legs[i];
        int saga = pattern == 3 ? etx__demo_draw(random, 2) == 0 : pattern == 2;
        leg->kind = saga ? ETX_SAGA : ETX_TCC;
        if (leg->leg.amount > 0 && etx__demo_draw(random, 5) == 0) {
            leg->kind = ETX_MESSAGE;
        }
        leg->later = etx__demo_draw(random, 3) == 0;
        leg->by_initiator =
            order->interactive && leg->kind == ETX_TCC && etx__demo_draw(random, 3) == 0;
    }
}

static void add_note(demo_random *random, torture_order *order) {
    torture_leg *note = &order->legs[order->count++];
    *note = order->legs[0];
    note->leg.bank = (int)etx__demo_draw(random, DEMO_BANKS);
    note->leg.amount = 0;
    note->kind = ETX_NOTIFICATION;
    note->by_initiator = 0;
}

void torture_order_draw(uint64_t seed, uint64_t number, torture_order *ret_order) {
    static const uint32_t deadlines[] = {20, 40, 80, 400};
    demo_leg legs[DEMO_LEGS_MAX];
    demo_random random;
    int i;
    memset(ret_order, 0, sizeof *ret_order);
    etx__demo_seed(&random, seed * 1000003 + number);
    ret_order->number = number;
    ret_order->interactive = etx__demo_draw(&random, 3) == 0;
    ret_order->deadline_ms = deadlines[etx__demo_draw(&random, 4)];
    if (!ret_order->interactive && etx__demo_draw(&random, 4) != 0) {
        ret_order->deadline_ms = 0;
    }
    ret_order->attempts_max = etx__demo_draw(&random, 8) == 0 ? 3 : 0;
    ret_order->wait = etx__demo_draw(&random, 4) == 0 ? ETX_WAIT_DECIDED : ETX_WAIT_ENDED;
    if (etx__demo_draw(&random, 2) == 0) {
        snprintf(ret_order->gid, sizeof ret_order->gid, "torture-%llu", (unsigned long long)number);
        ret_order->never = etx__demo_draw(&random, 20) == 0;
    }
    ret_order->count = etx__demo_transfer_draw(&random, legs);
    for (i = 0; i < ret_order->count; i++) {
        ret_order->legs[i].leg = legs[i];
    }
    draw_kinds(&random, ret_order);
    if (etx__demo_draw(&random, 6) == 0) {
        add_note(&random, ret_order);
    }
}

void torture_participant_name(const torture_leg *leg, char name[ETX_NAME_MAX]) {
    snprintf(name, ETX_NAME_MAX, "%s.%s%s", etx__demo_bank_name(leg->leg.bank),
             etx_kind_name(leg->kind), leg->later ? ".later" : "");
}
