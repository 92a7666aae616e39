/*-------------------------------------------------------------------------
 *
 * json_value.c
 *		SQL values as JSON, equal to what to_json() gives.
 *
 * The common types are written straight into the caller's bytes.  All other
 * types go through to_json() itself, so that nothing can differ; the test
 * capture_types compares both over all types of pg_type.
 *
 * Text comes out in the database's encoding (see json_text.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "event/json_text.h"
#include "event/json_value.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/uuid.h"

static HceValueKind
kind_of_type(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return HCE_VALUE_BOOL;
		case INT2OID:
			return HCE_VALUE_INT2;
		case INT4OID:
			return HCE_VALUE_INT4;
		case INT8OID:
			return HCE_VALUE_INT8;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return HCE_VALUE_TEXT;
		case UUIDOID:
			return HCE_VALUE_UUID;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return HCE_VALUE_DATETIME;
		case FLOAT4OID:
			return HCE_VALUE_FLOAT4;
		case FLOAT8OID:
			return HCE_VALUE_FLOAT8;
		case NUMERICOID:
			return HCE_VALUE_NUMERIC;
		case JSONOID:
			return HCE_VALUE_JSON;
		case JSONBOID:
			return HCE_VALUE_JSONB;
		default:
			return HCE_VALUE_OTHER;
	}
}

/*
 * True if rendering a value of this type may run code that is not
 * PostgreSQL's own, and so may raise any error or write to tables.
 *
 * An enum is safe unless somebody made a cast to json for it, which to_json()
 * honours.  Composites are looked at no closer: they are rare.
 */
static bool
type_runs_user_code(Oid type)
{
	Oid			element;
	Oid			castfunc;

	type = getBaseType(type);
	if (type < FirstNormalObjectId)
		return false;
	element = get_element_type(type);
	if (OidIsValid(element))
		return type_runs_user_code(element);
	if (get_typtype(type) != TYPTYPE_ENUM)
		return true;
	return find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT,
								 &castfunc) == COERCION_PATH_FUNC;
}

/*
 * Prepare the rendering of a column of this type.
 *
 * What the encoder refers to is allocated in "context" and lives as long.
 */
void
hce_encoder_init(HceEncoder *encoder, Oid type, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	memset(encoder, 0, sizeof(*encoder));
	encoder->type = getBaseType(type);
	encoder->kind = kind_of_type(encoder->type);
	encoder->varlena = get_typlen(encoder->type) == -1;
	encoder->number = encoder->kind == HCE_VALUE_INT2 ||
		encoder->kind == HCE_VALUE_INT4 ||
		encoder->kind == HCE_VALUE_INT8 ||
		encoder->kind == HCE_VALUE_NUMERIC;
	encoder->user_code = type_runs_user_code(encoder->type);

	if (encoder->kind == HCE_VALUE_OTHER)
	{
		/* to_json(anyelement) asks its call expression for the type */
		Const	   *arg = makeNullConst(encoder->type, -1, InvalidOid);
		FuncExpr   *call = makeFuncExpr(F_TO_JSON, JSONOID, list_make1(arg),
										InvalidOid, InvalidOid,
										COERCE_EXPLICIT_CALL);

		fmgr_info_cxt(F_TO_JSON, &encoder->to_json, context);
		fmgr_info_set_expr((Node *) call, &encoder->to_json);
	}
	MemoryContextSwitchTo(old);
}

/*
 * How large a value is before it is rendered, without detoasting it.
 *
 * Zero for what is not stored with a length.
 */
Size
hce_encoder_raw_size(const HceEncoder *encoder, Datum value)
{
	if (!encoder->varlena)
		return 0;
	return toast_raw_datum_size(value) - VARHDRSZ;
}

static void
append_integer(HceBytes *out, int64 value)
{
	hce_bytes_reserve(out, MAXINT8LEN + 1);
	out->used += pg_lltoa(value, (char *) out->data + out->used);
}

/* to_json() quotes the numbers that JSON has no word for. */
static void
append_float(HceBytes *out, double value, bool is_float4)
{
	const char *special;

	if (isnan(value))
		special = "\"NaN\"";
	else if (isinf(value))
		special = value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
	else
	{
		hce_bytes_reserve(out, DOUBLE_SHORTEST_DECIMAL_LEN);
		if (is_float4)
			out->used += float_to_shortest_decimal_bufn((float4) value,
														(char *) out->data + out->used);
		else
			out->used += double_to_shortest_decimal_bufn(value,
														 (char *) out->data + out->used);
		return;
	}
	hce_bytes_append(out, special, strlen(special));
}

/* float4out() and float8out() follow extra_float_digits; so do we. */
static void
append_rounded_float(HceBytes *out, Datum value, bool is_float4)
{
	char	   *str = DatumGetCString(DirectFunctionCall1(is_float4 ?
														   float4out :
														   float8out, value));

	hce_bytes_append(out, str, strlen(str));
}

static void
append_float_value(HceBytes *out, Datum value, bool is_float4)
{
	double		number = is_float4 ? (double) DatumGetFloat4(value) :
		DatumGetFloat8(value);

	if (extra_float_digits > 0 || isnan(number) || isinf(number))
		append_float(out, number, is_float4);
	else
		append_rounded_float(out, value, is_float4);
}

static void
append_numeric(HceBytes *out, Datum value)
{
	Numeric		number = DatumGetNumeric(value);
	char	   *str = DatumGetCString(DirectFunctionCall1(numeric_out,
														   NumericGetDatum(number)));

	if (numeric_is_nan(number) || numeric_is_inf(number))
		hce_json_append_string(out, str, strlen(str));
	else
		hce_bytes_append(out, str, strlen(str));
}

static void
append_uuid(HceBytes *out, Datum value)
{
	static const char hex[] = "0123456789abcdef";
	const pg_uuid_t *uuid = DatumGetUUIDP(value);
	uint8	   *to;

	hce_bytes_reserve(out, 2 * UUID_LEN + 6);
	to = out->data + out->used;
	*to++ = '"';
	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = (uint8) hex[uuid->data[i] >> 4];
		*to++ = (uint8) hex[uuid->data[i] & 0x0f];
	}
	*to++ = '"';
	out->used = to - out->data;
}

static void
append_datetime(HceBytes *out, Datum value, Oid type)
{
	char	   *str;
	Size		len;

	hce_bytes_reserve(out, MAXDATELEN + 3);
	str = (char *) out->data + out->used;
	str[0] = '"';
	JsonEncodeDateTime(str + 1, value, type, NULL);
	len = strlen(str + 1);
	str[len + 1] = '"';
	out->used += len + 2;
}

static void
append_jsonb(HceBytes *out, Datum value)
{
	Jsonb	   *jsonb = DatumGetJsonbP(value);
	char	   *str = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));

	hce_bytes_append(out, str, strlen(str));
}

static void
append_varlena(HceBytes *out, Datum value, bool quoted)
{
	struct varlena *str = PG_DETOAST_DATUM_PACKED(value);

	if (quoted)
		hce_json_append_string(out, VARDATA_ANY(str), VARSIZE_ANY_EXHDR(str));
	else
		hce_bytes_append(out, VARDATA_ANY(str), VARSIZE_ANY_EXHDR(str));
}

/*
 * Append one value that is not NULL.
 *
 * Scratch memory is left in the current context, which the caller resets per
 * event.  May raise an error where encoder->user_code is set.
 */
void
hce_encoder_append(const HceEncoder *encoder, HceBytes *out, Datum value)
{
	switch (encoder->kind)
	{
		case HCE_VALUE_BOOL:
			if (DatumGetBool(value))
				hce_bytes_append(out, "true", 4);
			else
				hce_bytes_append(out, "false", 5);
			break;
		case HCE_VALUE_INT2:
			append_integer(out, DatumGetInt16(value));
			break;
		case HCE_VALUE_INT4:
			append_integer(out, DatumGetInt32(value));
			break;
		case HCE_VALUE_INT8:
			append_integer(out, DatumGetInt64(value));
			break;
		case HCE_VALUE_TEXT:
			append_varlena(out, value, true);
			break;
		case HCE_VALUE_UUID:
			append_uuid(out, value);
			break;
		case HCE_VALUE_DATETIME:
			append_datetime(out, value, encoder->type);
			break;
		case HCE_VALUE_FLOAT4:
		case HCE_VALUE_FLOAT8:
			append_float_value(out, value, encoder->kind == HCE_VALUE_FLOAT4);
			break;
		case HCE_VALUE_NUMERIC:
			append_numeric(out, value);
			break;
		case HCE_VALUE_JSON:
			append_varlena(out, value, false);
			break;
		case HCE_VALUE_JSONB:
			append_jsonb(out, value);
			break;
		case HCE_VALUE_OTHER:
			append_varlena(out,
						   FunctionCall1(unconstify(FmgrInfo *, &encoder->to_json),
										 value), false);
			break;
	}
}
