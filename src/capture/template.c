/*-------------------------------------------------------------------------
 *
 * template.c
 *		Skeletons of an attachment's event types, made when first needed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/spec.h"
#include "event/json_text.h"
#include "event/skeleton.h"
#include "settings.h"
#include "utils/memutils.h"

/* A setting in UTF-8; what has no UTF-8 form is left out. */
static const char *
utf8_setting(const char *value)
{
	const char *result = hce_utf8_from_server(value);

	return result != NULL ? result : "";
}

/* The names of the members of "data", in their order. */
static const char **
member_names(const HceSpec *spec)
{
	const char **names = palloc(sizeof(char *) * (spec->ncolumns + 1));

	names[0] = psprintf("%s_id", spec->resource);
	for (int i = 0; i < spec->ncolumns; i++)
	{
		names[i + 1] = hce_utf8_from_server(spec->columns[i].published);
		if (names[i + 1] == NULL)
			names[i + 1] = psprintf("column_%d", spec->columns[i].attnum);
	}
	return names;
}

/*
 * Make a template from its parts; its bytes go to "context".
 */
void
hce_template_make(HceTemplate *keep, const HceSkeletonParts *parts,
				  MemoryContext context)
{
	HceBytes	bytes;

	hce_bytes_init(&bytes, context, 256);
	keep->envelope_size = hce_skeleton_write(&bytes, parts);
	keep->bytes = bytes.data;
	keep->len = bytes.used;
	keep->generation = hce_envelope_generation;
	keep->record = 0;
}

/*
 * Prepare one of an action's skeletons, or prepare it again after a setting
 * that is part of the envelope has changed.
 */
void
hce_template_prepare(HceSpec *spec, const HceAction *action, HceKeyMode mode,
					 HceTemplate *keep)
{
	HceSkeletonParts parts = {0};

	if (keep->bytes != NULL)
		pfree(unconstify(uint8 *, keep->bytes));
	keep->bytes = NULL;

	parts.event_type = action->event_type;
	parts.source = utf8_setting(hce_source);
	parts.version = utf8_setting(hce_schema_version);
	parts.schema = spec->schema;
	parts.table = spec->table;
	parts.key_mode = mode;
	parts.nnames = spec->ncolumns + 1;
	parts.names = member_names(spec);
	hce_template_make(keep, &parts, spec->context);
}
