/* Moves money between two accounts: both change, or neither, whatever crashes in between. */
#include <etx/etx.h>
#include <stdio.h>

/* Your business logic. After a crash it may be called again: a repeat must be harmless. */
static etx_reply on_call(etx_call *call, void *user) {
    const char *change = (const char *)etx_call_payload(call, NULL);
    (void)user;
    printf("%s %s\n", etx_operation_name(ETX_TCC, etx_call_operation(call)), change);
    return ETX_DONE; /* or ETX_REFUSED, a business no: then everything is undone */
}

int main(void) {
    etx_participant account = ETX_PARTICIPANT_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_engine *engine;
    etx_tx *tx;
    account.name = "account";
    account.kind = ETX_TCC; /* try, then confirm or cancel */
    account.forward = account.commit = account.undo = on_call;
    if (etx_engine_create(NULL, &engine) != 0 ||
        etx_engine_home(engine, "file:transfer-log") != 0 ||
        etx_engine_register(engine, &account) != 0 ||
        etx_engine_start(engine) != 0 || /* what a crash interrupted goes on from here */
        etx_tx_new(engine, NULL, &tx) != 0) {
        return 1;
    }
    etx_tx_add(tx, "account", "alice -100", sizeof "alice -100");
    etx_tx_add(tx, "account", "bob +100", sizeof "bob +100");
    int rc = etx_tx_run(tx, &outcome);
    printf("%s: %s\n", outcome.gid, rc == 0 ? etx_state_name(outcome.state) : outcome.reason);
    etx_engine_close(engine, ETX_CLOSE_FINISH, 5000);
    etx_engine_free(engine);
    return rc == 0 ? 0 : 1;
}
