/*-------------------------------------------------------------------------
 *
 * check_connection.c
 *		The part of check() about the options of the connection to Kafka.
 *
 * Looks at the settings of this session and their file, without Kafka: what
 * is wrong with them, and whether they let patient data go over a network in
 * the clear, or ask for what this librdkafka cannot do.  It is asked for its
 * version and nothing else, since this runs in a user's backend.  Names files,
 * lines and options, never a value of the file.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "kafka_options.h"
#include "relay/producer_config.h"
#include "settings.h"

/* Add a row; "hint" may be NULL. */
static void
put_check(ReturnSetInfo *rsinfo, const char *name, const char *status,
		  const char *detail, const char *hint)
{
	Datum		values[4];
	bool		nulls[4] = {false, false, false, hint == NULL};

	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(status);
	values[2] = CStringGetTextDatum(detail);
	values[3] = hint != NULL ? CStringGetTextDatum(hint) : (Datum) 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
check_encryption(ReturnSetInfo *rsinfo, const HceKafkaOptions *options)
{
	const char *protocol = hce_option_value(options, "security.protocol");
	const char *identification = hce_option_value(options, "ssl.endpoint.identification.algorithm");
	char		host[256];

	if (hce_options_in_the_clear(options, hce_bootstrap_servers, host,
								 sizeof(host)))
		put_check(rsinfo, "encryption", "warning",
				  psprintf("events go to \"%s\" unencrypted%s", host,
						   protocol != NULL && strcmp(protocol, "sasl_plaintext") == 0 ?
						   ", and so does the log-in" : ""),
				  "Set security.protocol in hcevents.kafka_config to ssl or sasl_ssl.");
	else if (identification != NULL && strcmp(identification, "none") == 0)
		put_check(rsinfo, "encryption", "warning",
				  "whoever has a certificate of the authority in ssl.ca.location can pose as a broker",
				  "Make the brokers' certificates for their host names, and leave out ssl.endpoint.identification.algorithm=none.");
	else
		put_check(rsinfo, "encryption", "ok",
				  protocol != NULL && strstr(protocol, "ssl") != NULL ?
				  "the connection to Kafka uses TLS" :
				  "Kafka is on this machine", NULL);
}

/* How the relay logs in, and whether this librdkafka can do that. */
static void
check_login(ReturnSetInfo *rsinfo, const HceKafkaOptions *options)
{
	const char *protocol = hce_option_value(options, "security.protocol");
	const char *mechanism = hce_option_value(options, "sasl.mechanisms");
	const char *old = hce_config_old_scram(options);

	if (protocol == NULL || strncmp(protocol, "sasl_", 5) != 0 ||
		mechanism == NULL)
		return;
	if (old != NULL)
		put_check(rsinfo, "sasl", "warning",
				  psprintf("log-in by %s with librdkafka %s: Kafka up to 3.9 accepts it, newer ones refuse it even with the right password",
						   old, rd_kafka_version_str()),
				  "Before you upgrade the brokers to Kafka 4.0, install librdkafka 2.6.1 or newer and restart the server, or use PLAIN over TLS or client certificates.");
	else
		put_check(rsinfo, "sasl", "ok",
				  psprintf("log-in by %s with librdkafka %s", mechanism,
						   rd_kafka_version_str()),
				  NULL);
}

/*
 * check_connection() returns table("check" text, status text, detail text,
 * hint text)
 */
PG_FUNCTION_INFO_V1(hcevents_check_connection);

Datum
hcevents_check_connection(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HceKafkaOptions options;
	HceOptionsError error;

	InitMaterializedSRF(fcinfo, 0);
	if (hce_options_load(&options, hce_kafka_config, hce_kafka_config_file,
						 &error))
	{
		put_check(rsinfo, "kafka_config", "ok", "the options can be used", NULL);
		check_encryption(rsinfo, &options);
		check_login(rsinfo, &options);
	}
	else
		put_check(rsinfo, "kafka_config", "error", error.detail, error.hint);
	hce_options_wipe(&options);
	return (Datum) 0;
}
