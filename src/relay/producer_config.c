/*-------------------------------------------------------------------------
 *
 * producer_config.c
 *		What the settings say about the connection to Kafka, for librdkafka.
 *
 * The one place where a configuration of librdkafka is made: that of the
 * relay's producer, and the part about connections, which the admin worker
 * shares.  What an event's safety rests on is set here and nowhere else, after
 * the options of the user, which the allow-list (kafka_options.c) keeps from
 * touching it anyway.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "relay/producer_config.h"
#include "settings.h"

/*
 * Set one option.  False with *error filled in when librdkafka does not take
 * it.  Its own message is not shown: it repeats the value.
 */
bool
hce_config_set(rd_kafka_conf_t *conf, const char *name, const char *value,
			   HceOptionsError *error)
{
	char		message[256];

	if (rd_kafka_conf_set(conf, name, value, message, sizeof(message)) ==
		RD_KAFKA_CONF_OK)
		return true;
	snprintf(error->detail, sizeof(error->detail),
			 "librdkafka does not take the value of \"%s\"", name);
	error->hint = "It may have been built without it.";
	return false;
}

/*
 * The SCRAM mechanism of these options, if librdkafka is so old that new
 * brokers refuse it; else NULL.
 *
 * Before 2.6.1 librdkafka repeats its part of the nonce in the last message
 * of the log-in.  Kafka did not look at that up to 3.7.1, lets it pass up to
 * 3.9, and takes it for a wrong password from 4.0 on.  Asked of the library
 * that is loaded, which may be newer than the headers.
 */
const char *
hce_config_old_scram(const HceKafkaOptions *options)
{
	const char *mechanism = hce_option_value(options, "sasl.mechanisms");

	if (mechanism == NULL || strncmp(mechanism, "SCRAM-", 6) != 0 ||
		rd_kafka_version() >= 0x020601ff)
		return NULL;
	return mechanism;
}

/* Why a broker's certificate is not trusted, by OpenSSL's X509_V_ERR_* codes. */
static const char *
certificate_error(int code)
{
	switch (code)
	{
		case 9:
			return "it is not valid yet";
		case 10:
			return "it has expired";
		case 18:
		case 19:
			return "it is signed by itself, or by an authority that is not in ssl.ca.location";
		case 2:
		case 20:
		case 21:
			return "its authority is not in ssl.ca.location";
		case 23:
			return "it was revoked";
		case 26:
			return "it is not made for a server";
		case 3:
			return "its authority's list of revoked certificates (ssl.crl.location) is missing";
		case 12:
			return "its authority's list of revoked certificates (ssl.crl.location) has expired";
		case 62:
			return "it is made for another host name than the one in hcevents.bootstrap_servers or the broker's advertised.listeners";
		case 64:
			return "it is not made for the IP address in hcevents.bootstrap_servers or the broker's advertised.listeners";
		default:
			return NULL;
	}
}

/*
 * Runs in a thread of librdkafka, and only puts OpenSSL's verdict into words:
 * librdkafka's own error does not tell an expired certificate from a wrong
 * host name.  What OpenSSL refuses stays refused.  The words come back as a
 * log line, see hce_config_certificate_error().
 */
static int
note_certificate(rd_kafka_t *rk, const char *broker_name, int32_t broker_id,
				 int *x509_error, int depth, const char *buf, size_t size,
				 char *errstr, size_t errstr_size, void *opaque)
{
	const char *why;

	if (*x509_error == 0)
		return 1;
	why = certificate_error(*x509_error);
	if (why != NULL)
		snprintf(errstr, errstr_size, "%s", why);
	else
		snprintf(errstr, errstr_size, "OpenSSL's verification error %d",
				 *x509_error);
	return 0;
}

/*
 * Whether an event of librdkafka is a log line that tells why a broker's
 * certificate was refused; then that is in "to".
 */
bool
hce_config_certificate_error(rd_kafka_event_t *event, char *to, Size size)
{
	static const char mark[] = "callback failed: ";
	const char *facility;
	const char *line;
	const char *why;
	int			level;

	if (rd_kafka_event_type(event) != RD_KAFKA_EVENT_LOG ||
		rd_kafka_event_log(event, &facility, &line, &level) != 0 ||
		strcmp(facility, "SSLCERTVRFY") != 0 ||
		(why = strstr(line, mark)) == NULL)
		return false;
	snprintf(to, size, "the broker's certificate is not accepted: %s",
			 why + sizeof(mark) - 1);
	return true;
}

/*
 * What every client of ours needs to connect.  Of the options those that have
 * all of "flags" are set.
 */
bool
hce_config_connection(rd_kafka_conf_t *conf, const char *bootstrap_servers,
					  const HceKafkaOptions *options, int flags,
					  HceOptionsError *error)
{
	static const char *const defaults[][2] = {
		{"client.id", "hcevents"},
		{"socket.nagle.disable", "true"},
		{"socket.keepalive.enable", "true"},
		{"reconnect.backoff.ms", "100"},
		{"reconnect.backoff.max.ms", "1000"},
		{"log.queue", "true"},
		{"log_level", "4"}
	};
	char		ignored[256];

	for (int i = 0; i < (int) lengthof(defaults); i++)
	{
		if (!hce_config_set(conf, defaults[i][0], defaults[i][1], error))
			return false;
	}
	/* not the default before librdkafka 2.0; unknown to one without TLS */
	(void) rd_kafka_conf_set(conf, "ssl.endpoint.identification.algorithm",
							 "https", ignored, sizeof(ignored));
	(void) rd_kafka_conf_set_ssl_cert_verify_cb(conf, note_certificate);
	if (!hce_config_set(conf, "bootstrap.servers", bootstrap_servers, error))
		return false;
	for (int i = 0; i < hce_option_count(); i++)
	{
		int			has = hce_option_flags(i);

		if (options->values[i] != NULL && (has & HCE_OPTION_OURS) == 0 &&
			(has & flags) == flags &&
			!hce_config_set(conf, hce_option_name(i), options->values[i], error))
			return false;
	}
	return true;
}

/*
 * The configuration of the relay's producer.  An event must not be dropped
 * because time has passed (message.timeout.ms = 0: never), because a send
 * failed (retries without end), or be sent twice (idempotence).  NULL with
 * *error filled in when librdkafka does not take it.
 */
rd_kafka_conf_t *
hce_config_producer(const HceKafkaOptions *options, HceOptionsError *error)
{
	static const char *const before[][2] = {
		{"linger.ms", "0"},
		{"compression.codec", "lz4"},
		{"topic.metadata.refresh.interval.ms", "60000"}
	};
	static const char *const after[][2] = {
		{"acks", "all"},
		{"enable.idempotence", "true"},
		/* else a batch that fails for good lets later ones of its key pass */
		{"enable.gapless.guarantee", "true"},
		{"message.timeout.ms", "0"},
		{"message.send.max.retries", "2147483647"},
		{"batch.num.messages", "10000"},
		{"batch.size", "1000000"},
		/* ours are the limits that count, see MAX_IN_FLIGHT */
		{"queue.buffering.max.messages", "10000000"},
		{"queue.buffering.max.kbytes", "2097151"}
	};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char		size[32];
	bool		good = true;

	snprintf(size, sizeof(size), "%d", (hce_max_event_size + 64) * 1024);
	for (int i = 0; good && i < (int) lengthof(before); i++)
		good = hce_config_set(conf, before[i][0], before[i][1], error);
	good = good && hce_config_connection(conf, hce_bootstrap_servers, options,
										 0, error);
	for (int i = 0; good && i < (int) lengthof(after); i++)
		good = hce_config_set(conf, after[i][0], after[i][1], error);
	good = good && hce_config_set(conf, "message.max.bytes", size, error);
	if (!good)
	{
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR |
							 RD_KAFKA_EVENT_LOG);
	return conf;
}
