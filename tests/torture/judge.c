/* Judging a cell: its log's files, its ledgers against what was decided and told, its ownership. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "torture.h"

typedef struct sighting {
    char text[300];
} sighting;

static void note_finding(const etx_file_finding *finding, void *user) {
    sighting *first = user;
    if (first->text[0] == '\0') {
        snprintf(first->text, sizeof first->text, "%s, offset %llu: %s", finding->file,
                 (unsigned long long)finding->offset, finding->text);
    }
}

int torture_verify(torture_cell *cell, int ended) {
    etx_file_report report = {.size = sizeof report};
    sighting first = {""};
    char message[200] = "";
    char dir[DEMO_PATH_MAX];
    int rc;
    snprintf(dir, sizeof dir, "%s/log", cell->dir);
    rc = etx_log_file_verify(dir, note_finding, &first, &report, message, sizeof message);
    if (rc == ETX_ENOTFOUND && !ended) {
        return CLI_OK; /* killed before it was made */
    }
    if (rc != 0) {
        return torture_broken(cell, "the log cannot be read: %s (%s)", message, etx_error_name(rc));
    }
    if (report.state == ETX_FILE_CORRUPT || (ended && report.state != ETX_FILE_SOUND)) {
        return torture_broken(cell, "the log is %s: %s",
                              report.state == ETX_FILE_CORRUPT ? "corrupt" : "torn", first.text);
    }
    return CLI_OK;
}

static void count(torture_totals *totals,
                  const demo_findings *before,
                  const demo_findings *findings) {
    atomic_fetch_add(&totals->transactions, findings->transfers - before->transfers);
    atomic_fetch_add(&totals->committed, findings->committed - before->committed);
    atomic_fetch_add(&totals->aborted, findings->aborted - before->aborted);
    atomic_fetch_add(&totals->answers, findings->answers - before->answers);
    atomic_fetch_add(&totals->half_done, findings->half_done - findings->misled);
    atomic_fetch_add(&totals->misled, findings->misled);
    atomic_fetch_add(&totals->unfinished, findings->unfinished);
    atomic_fetch_add(&totals->imbalance, findings->imbalance);
}

int torture_audit(torture_cell *cell) {
    demo_findings findings;
    int code = etx__demo_audit(cell->cli, cell->dir, NULL, &findings);
    if (code != CLI_OK) {
        return torture_broken(cell, "the audit could not be made");
    }
    if (findings.transfers < cell->audited.transfers) {
        return torture_broken(cell, "%llu transactions were known before, %llu are now",
                              (unsigned long long)cell->audited.transfers,
                              (unsigned long long)findings.transfers);
    }
    count(cell->totals, &cell->audited, &findings);
    cell->audited = findings;
    if (etx__demo_is_sound(&findings)) {
        return CLI_OK;
    }
    return torture_broken(
        cell, "%llu half done, %llu misled, %llu unfinished, %llu cents astray%s%s",
        (unsigned long long)(findings.half_done - findings.misled),
        (unsigned long long)findings.misled, (unsigned long long)findings.unfinished,
        (unsigned long long)findings.imbalance, findings.first[0] != '\0' ? "; " : "",
        findings.first);
}

/* What the second process does: 0 if it is refused as it should be. */
static int try_to_own(torture_cell *cell) {
    etx_options options = ETX_OPTIONS_INIT;
    etx_engine *engine = NULL;
    char url[DEMO_PATH_MAX + 16];
    int rc;
    options.node = "intruder";
    options.flags = ETX_ALLOW_VOLATILE;
    options.durability = ETX_VOLATILE;
    snprintf(url, sizeof url, "file:%s/log", cell->dir);
    rc = etx_engine_create(&options, &engine);
    if (rc == 0) {
        rc = etx_engine_home(engine, url);
    }
    if (rc == 0) {
        rc = etx_engine_start(engine);
    }
    return rc == ETX_EBUSY ? 0 : 1;
}

int torture_intrude(torture_cell *cell) {
    pid_t process;
    int status = 0;
    if (atomic_load(&cell->page->progress.stage) != DEMO_RUNNING) {
        return CLI_OK; /* it may not own its log yet, or not any more */
    }
    process = fork();
    if (process < 0) {
        return etx__cli_fail(cell->cli, NULL, "fork: %s", strerror(errno));
    }
    if (process == 0) {
        _exit(try_to_own(cell));
    }
    (void)waitpid(process, &status, 0);
    atomic_fetch_add(&cell->totals->intruders, 1);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? CLI_OK
               : torture_broken(cell, "a second process could open a log that a paused one owns");
}
