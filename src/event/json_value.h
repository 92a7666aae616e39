/*-------------------------------------------------------------------------
 *
 * json_value.h
 *		SQL values as JSON, equal to what to_json() gives.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_JSON_VALUE_H
#define HCE_JSON_VALUE_H

#include "event/bytes.h"
#include "fmgr.h"

typedef enum HceValueKind
{
	HCE_VALUE_BOOL,
	HCE_VALUE_INT2,
	HCE_VALUE_INT4,
	HCE_VALUE_INT8,
	HCE_VALUE_TEXT,				/* text, varchar, bpchar */
	HCE_VALUE_UUID,
	HCE_VALUE_DATETIME,			/* date, timestamp, timestamptz */
	HCE_VALUE_FLOAT4,
	HCE_VALUE_FLOAT8,
	HCE_VALUE_NUMERIC,
	HCE_VALUE_JSON,
	HCE_VALUE_JSONB,
	HCE_VALUE_OTHER				/* by calling to_json() */
} HceValueKind;

/* How the values of one column are rendered. */
typedef struct HceEncoder
{
	HceValueKind kind;
	Oid			type;			/* a domain's base type */
	bool		varlena;
	bool		number;			/* an integer or numeric type */
	bool		user_code;		/* rendering may run a user's function */
	FmgrInfo	to_json;		/* for HCE_VALUE_OTHER */
} HceEncoder;

extern void hce_encoder_init(HceEncoder *encoder, Oid type,
							 MemoryContext context);
extern void hce_encoder_append(const HceEncoder *encoder, HceBytes *out,
							   Datum value);
extern Size hce_encoder_raw_size(const HceEncoder *encoder, Datum value);

#endif							/* HCE_JSON_VALUE_H */
