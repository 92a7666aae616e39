/*-------------------------------------------------------------------------
 *
 * spec_args.c
 *		The arguments of an emit() trigger, as text.
 *
 * attach() writes
 *
 *		'resource=patient', 'insert=created', 'update=updated',
 *		'delete=deleted', 'columns={name,full_name:fname}', 'key={id}',
 *		'transitions=[{"column":"status","to":"cancelled",...}]'
 *
 * and a trigger written by hand looks like
 *
 *		'patient.created', 'key=id', 'columns=name,email'
 *
 * where the event type is published whatever operation fires the trigger.
 * Nothing here looks at the table; array and JSON literals, which take the
 * server's own parsers, are left to spec_literals.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/spec.h"

/* How many characters of "text", from the start, are allowed in a name. */
static Size
name_length(const char *str)
{
	return strspn(str, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

/* Raise an error unless "resource" can be one. */
void
hce_spec_check_resource(const char *resource)
{
	Size		len = strlen(resource);

	if (len == 0 || name_length(resource) != len)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid resource name \"%s\"", resource),
				 errhint("A resource is written in lower-case letters, digits and underscores, like \"patient\".")));
	if (len > HCE_MAX_RESOURCE)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("resource name \"%s\" is too long", resource),
				 errhint("A resource has at most %d characters.", HCE_MAX_RESOURCE)));
}

/* Raise an error unless "event_type" is resource.action. */
void
hce_spec_check_event_type(const char *event_type)
{
	Size		resource = name_length(event_type);
	Size		action;

	if (resource == 0 || event_type[resource] != '.' ||
		(action = name_length(event_type + resource + 1)) == 0 ||
		event_type[resource + 1 + action] != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid event type \"%s\"", event_type),
				 errhint("An event type is resource.action in lower-case letters, digits and underscores, like \"patient.created\".")));
	if (strlen(event_type) > HCE_MAX_EVENT_TYPE)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("event type \"%s\" is too long", event_type),
				 errhint("An event type has at most %d characters.", HCE_MAX_EVENT_TYPE)));
}

/* The event type of an action of these arguments' resource. */
char *
hce_spec_args_event_type(const HceSpecArgs *args, const char *action)
{
	return psprintf("%s.%s", args->resource, action);
}

/* A list of columns: an array literal, or names with commas between. */
List *
hce_spec_args_list(const char *str)
{
	List	   *result = NIL;

	while (isspace((unsigned char) *str))
		str++;
	if (*str == '{')
		return hce_spec_args_array(str);
	while (*str != '\0')
	{
		Size		len = strcspn(str, ",");
		Size		used = len;

		while (used > 0 && isspace((unsigned char) str[used - 1]))
			used--;
		if (used == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("empty name in a column list"),
					 errhint("Write column names with commas between them, or an array literal.")));
		result = lappend(result, pnstrdup(str, used));
		str += len;
		if (*str == ',')
			str++;
		while (isspace((unsigned char) *str))
			str++;
	}
	return result;
}

/* If "arg" is name=value, return the value. */
static char *
option_value(char *arg, const char *name)
{
	Size		len = strlen(name);

	return strncmp(arg, name, len) == 0 && arg[len] == '=' ? arg + len + 1 : NULL;
}

static void
parse_option(HceSpecArgs *args, char *arg)
{
	char	   *value;

	if ((value = option_value(arg, "resource")) != NULL)
		args->resource = value;
	else if ((value = option_value(arg, "insert")) != NULL)
		args->on_insert = value;
	else if ((value = option_value(arg, "update")) != NULL)
		args->on_update = value;
	else if ((value = option_value(arg, "delete")) != NULL)
		args->on_delete = value;
	else if ((value = option_value(arg, "columns")) != NULL)
		args->columns = hce_spec_args_list(value);
	else if ((value = option_value(arg, "key")) != NULL)
		args->key = hce_spec_args_list(value);
	else if ((value = option_value(arg, "transitions")) != NULL)
		args->transitions = hce_spec_args_transitions(value);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown argument \"%s\" of hcevents.emit()", arg),
				 errhint("Arguments are an event type, or \"resource=\", \"insert=\", \"update=\", \"delete=\"; and \"columns=\", \"key=\", \"transitions=\".")));
}

/* Check all the event types that the arguments lead to. */
static void
check_event_types(const HceSpecArgs *args)
{
	const char *actions[] = {args->on_insert, args->on_update, args->on_delete};
	ListCell   *cell;

	for (int i = 0; i < (int) lengthof(actions); i++)
	{
		if (actions[i] != NULL)
			hce_spec_check_event_type(hce_spec_args_event_type(args, actions[i]));
	}
	foreach(cell, args->transitions)
		hce_spec_check_event_type(hce_spec_args_event_type(args,
														   ((HceTransitionArg *) lfirst(cell))->event));
}

/* The first argument has no '=': it is the event type. */
static void
parse_hand_written(HceSpecArgs *args, const char *event_type)
{
	hce_spec_check_event_type(event_type);
	args->always = pstrdup(event_type);
	args->resource = pnstrdup(event_type, strcspn(event_type, "."));
}

/*
 * Take the arguments of a trigger apart, in the current memory context.
 *
 * Raises an error where they make no sense.
 */
HceSpecArgs *
hce_spec_args_parse(int nargs, char **args)
{
	HceSpecArgs *result = palloc0(sizeof(HceSpecArgs));
	const char *of_type;
	int			first = 0;

	if (nargs > 0 && strchr(args[0], '=') == NULL)
		parse_hand_written(result, args[first++]);
	of_type = result->resource;
	for (int i = first; i < nargs; i++)
		parse_option(result, pstrdup(args[i]));

	if (result->resource == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("hcevents.emit() needs an event type"),
				 errhint("Give the event type as the first argument: hcevents.emit('patient.created'), or use hcevents.attach().")));
	if (result->always != NULL &&
		(result->resource != of_type || result->on_insert ||
		 result->on_update || result->on_delete || result->transitions))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an event type cannot be combined with \"resource=\", \"insert=\", \"update=\", \"delete=\" or \"transitions=\"")));
	if (result->always == NULL)
		hce_spec_check_resource(result->resource);
	check_event_types(result);
	return result;
}
