/* Moves money between two accounts: both change, or neither, whatever crashes in between. */
#include <etx/etx.h>
#include <stdio.h>

/* Your business logic. After a crash it may be called again: a repeat must be harmless. */
static etx_reply on_call(etx_call *call, void *account) {
    const char *word = etx_operation_name(etx_call_kind(call), etx_call_operation(call));
    size_t len;
    const void *amount = etx_call_payload(call, &len);
    printf("%s: %s %.*s\n", (const char *)account, word, (int)len, (const char *)amount);
    return ETX_DONE; /* or ETX_REFUSED, a business no: then everything is undone */
}

static int add_account(etx_engine *engine, const char *name) {
    etx_participant account = ETX_PARTICIPANT_INIT;
    account.name = name;
    account.kind = ETX_TCC; /* try, then confirm or cancel */
    account.forward = account.commit = account.undo = on_call;
    account.user = (void *)name;
    return etx_engine_register(engine, &account);
}

int main(void) {
    etx_options options = ETX_OPTIONS_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_engine *engine;
    etx_tx *tx;
    if (etx_engine_create(&options, &engine) != 0 ||
        etx_engine_home(engine, "file:transfer-log") != 0 || add_account(engine, "alice") != 0 ||
        add_account(engine, "bob") != 0 ||
        etx_engine_start(engine) != 0 || /* what a crash interrupted goes on from here */
        etx_tx_new(engine, NULL, &tx) != 0) {
        return 1;
    }
    etx_tx_add(tx, "alice", "-100", 4);
    etx_tx_add(tx, "bob", "+100", 4);
    int rc = etx_tx_run(tx, &outcome);
    printf("%s: %s\n", outcome.gid, rc == 0 ? etx_state_name(outcome.state) : etx_strerror(rc));
    etx_engine_close(engine, ETX_CLOSE_FINISH, 5000);
    etx_engine_free(engine);
    return rc == 0 ? 0 : 1;
}
