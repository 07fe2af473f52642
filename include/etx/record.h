/* Records: what a home remembers of its transactions. Codecs write and read them; `etx log show`
 * prints them. Whose meaning: ARCHITECTURE.md. All bytes are borrowed from whoever made the
 * record. */
#ifndef ETX_RECORD_H
#define ETX_RECORD_H

#include <etx/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers are on disk: append only. X(name, number, text) */
#define ETX_RECORD_MAP(X)  \
    X(OWN, 1, "own")       \
    X(BEGIN, 2, "begin")   \
    X(ENLIST, 3, "enlist") \
    X(HELD, 4, "held")     \
    X(RESULT, 5, "result") \
    X(DECIDE, 6, "decide") \
    X(FORCE, 7, "force")   \
    X(MOVE, 8, "move")     \
    X(END, 9, "end")       \
    X(LOSS, 10, "loss")

typedef enum etx_record_type {
#define X(name, number, text) ETX_RECORD_##name = number,
    ETX_RECORD_MAP(X)
#undef X
} etx_record_type;

/* A branch as BEGIN, ENLIST and MOVE say it. */
typedef struct etx_record_branch {
    etx_bytes name;
    etx_bytes participant;
    etx_bytes payload;
    const uint16_t *depends_on; /* places of earlier or later branches; never its own */
    uint16_t depends_on_count;
    uint8_t kind;          /* etx_kind */
    uint8_t flags;         /* etx_branch_flags */
    uint32_t attempts_max; /* 0 in these four: the participant's */
    uint32_t call_timeout_ms;
    uint32_t retry_first_ms;
    uint32_t retry_cap_ms;
} etx_record_branch;

/* OWN: a claim. From here on this nonce owns the partition. */
typedef struct etx_record_own {
    uint64_t nonce; /* drawn afresh for every claim */
    uint64_t time_ms;
    etx_bytes node;        /* the claiming node's name */
    etx_bytes chosen_home; /* id of the home for gids that callers choose */
} etx_record_own;

/* BEGIN. Times are ms since 1970 by the home's clock. */
typedef struct etx_record_begin {
    uint64_t time_ms;
    uint64_t deadline_ms;        /* absolute; 0: none */
    uint64_t digest;             /* of the content: what a repeated begin must match */
    uint8_t mode;                /* etx_mode */
    uint8_t marks;               /* ETX_MARK_CHOSEN or 0 */
    uint8_t durability;          /* asked for */
    etx_bytes initiator;         /* the participant to query or to resume; or empty */
    etx_bytes initiator_payload; /* what its calls are given; only with an initiator */
    uint32_t resume_ms;          /* resumed: silence after which the initiator is run again */
    uint16_t branch_count;
    const etx_record_branch *branches;
} etx_record_begin;

/* ENLIST: one more branch, at the next place. */
typedef struct etx_record_enlist {
    etx_record_branch branch;
    uint64_t digest; /* of its content */
} etx_record_enlist;

/* RESULT: an operation came to an end. */
typedef struct etx_record_result {
    uint16_t branch;   /* its place */
    uint8_t operation; /* etx_operation */
    uint8_t reply;     /* ETX_DONE or ETX_REFUSED */
    etx_bytes bytes;   /* kept for forward operations */
} etx_record_result;

/* DECIDE, once. */
typedef struct etx_record_decide {
    uint64_t time_ms;
    uint8_t commit; /* 1 commit, 0 abort */
    uint8_t marks;  /* ETX_MARK_FORCED, ETX_MARK_NEVER_BEGUN */
    etx_bytes reason;
    etx_bytes who; /* forced: by whom */
} etx_record_decide;

/* On disk: append only. */
typedef enum etx_force_action {
    ETX_FORCE_PARK = 1,
    ETX_FORCE_RESUME = 2,
    ETX_FORCE_SETTLE = 3 /* one operation of one branch counts as done, by hand */
} etx_force_action;

/* FORCE: what an operator did, and why. (A forced decision is a DECIDE.) */
typedef struct etx_record_force {
    uint64_t time_ms;
    uint8_t action; /* etx_force_action */
    uint8_t operation;
    uint16_t branch;
    etx_bytes who;
    etx_bytes why;
} etx_record_force;

/* What MOVE says of a branch beyond its etx_record_branch. */
typedef struct etx_record_progress {
    uint8_t forward; /* 0, ETX_DONE or ETX_REFUSED */
    uint8_t finish;  /* 0, ETX_DONE or ETX_REFUSED: of commit or undo */
    uint8_t settled; /* bit 1 << operation: settled by hand */
    uint64_t digest; /* of an enlisted branch's content; 0 for those of BEGIN */
    etx_bytes result;
} etx_record_progress;

/* MOVE: all that is known of one transaction, live or remembered. begin.branch_count is 0 once
 * it has ended. */
typedef struct etx_record_move {
    etx_record_begin begin;
    const etx_record_progress *progress; /* begin.branch_count of them */
    uint8_t state;                       /* etx_state */
    uint8_t marks;                       /* low byte of etx_mark */
    uint64_t decided_ms;                 /* 0: not decided */
    uint64_t ended_ms;                   /* 0: live */
    uint64_t ended_no;
    etx_bytes reason;
} etx_record_move;

/* END: all done. */
typedef struct etx_record_end {
    uint64_t time_ms;
    /* counts the ended transactions of the partition: what is remembered is the last N */
    uint64_t ended_no;
} etx_record_end;

/* LOSS: somebody goes on although the store has lost what it had acknowledged in this partition
 * (`etx log accept-loss`). Each later claim repeats the newest. */
typedef struct etx_record_loss {
    uint64_t time_ms; /* later than that of the one before; not 0 */
    etx_bytes who;    /* at most ETX_NAME_MAX bytes */
    etx_bytes why;    /* at most ETX_REASON_MAX bytes */
} etx_record_loss;

typedef struct etx_record {
    uint8_t type;  /* etx_record_type */
    etx_bytes gid; /* empty for OWN and LOSS */
    union {
        etx_record_own own;
        etx_record_begin begin;
        etx_record_enlist enlist;
        etx_record_result result;
        etx_record_decide decide;
        etx_record_force force;
        etx_record_move move;
        etx_record_end end;
        etx_record_loss loss;
    } u; /* HELD has no member */
} etx_record;

/* "begin" and the like; "?" for a number that is none. Static. Any thread. */
ETX_API const char *etx_record_name(unsigned type);

/* 0 or ETX_EINVALID: may it be written? Every value within its enum, gids and names valid, places
 * below the number of branches. A codec asserts it in encode and checks it in decode. Any
 * thread. */
ETX_API int etx_record_check(const etx_record *record);

/* The 64-bit digest of a branch's or a begin's content (names, participants, kinds, flags,
 * payloads, order; no times): equal content, equal digest. Which flags and order it is of where ETX
 * records one: docs/record-format.md. Any thread. */
ETX_API uint64_t etx_record_branch_digest(const etx_record_branch *branch);
ETX_API uint64_t etx_record_begin_digest(const etx_record_begin *begin);

#ifdef __cplusplus
}
#endif
#endif
