/*-------------------------------------------------------------------------
 *
 * capture.h
 *		Making events inside the writer's transaction.
 *
 * Prototypes of src/capture, grouped by file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_CAPTURE_H
#define HCE_CAPTURE_H

#include "event/bytes.h"
#include "event/event_id.h"

/*
 * A skeleton as the capture side keeps it: prepared once, copied into each
 * record that uses it.  "record" and "index" remember where it went last.
 */
typedef struct HceTemplate
{
	const uint8 *bytes;			/* NULL = not prepared */
	Size		len;
	Size		envelope_size;	/* of an envelope whose values are empty */
	uint64		generation;		/* hce_envelope_generation when prepared */
	uint64		record;
	uint32		index;
} HceTemplate;

/* buffer.c */
extern HceBytes *hce_buffer_begin(HceTemplate *skeleton, TimestampTz now);
extern void hce_buffer_finish(int flags);
extern void hce_buffer_next_id(TimestampTz now,
							   unsigned char id[HCE_UUID_SIZE]);
extern void hce_buffer_flush(void);
extern void hce_buffer_abort_sub(SubTransactionId subid);
extern void hce_buffer_commit_sub(SubTransactionId subid,
								  SubTransactionId parent);
extern void hce_buffer_reset(void);
extern void hce_buffer_write_through(void);
extern bool hce_buffer_is_write_through(void);
extern bool hce_buffer_wrote(void);
extern bool hce_buffer_is_empty(void);

/* commit_hook.c */
extern void hce_capture_init(void);
extern uint64 hce_capture_transaction(void);
extern void hce_capture_warn_unloaded(void);

/* preview.c */
extern Datum hce_capture_text(const char *data, Size len);

/* trigger_check.c */
extern void hce_trigger_check_init(void);
extern bool hce_trigger_is_emit(Oid function);
extern void hce_trigger_check(Oid table, const char *name, bool strict);

/* ddl.c */
extern void hce_ddl_init(void);

#endif							/* HCE_CAPTURE_H */
