/*-------------------------------------------------------------------------
 *
 * kafka_options_load.c
 *		The options that are in force: the setting and the file together.
 *
 * Opens and checks the file of hcevents.kafka_config_file, and what options
 * mean together.  The file holds secrets, so only the server's OS user (or
 * root) may own it and others may not read it; values are wiped from memory
 * once librdkafka has them.
 *
 * Nothing here raises an error but for want of memory: a relay must wait for
 * a file to be mended, not end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/stringinfo.h"

#include "kafka_options.h"

/*
 * Whether an opened file may hold secrets.  The rule is that of the server
 * for ssl_key_file: the server's own files 0600 or less, and root's files
 * 0640 or less, since the server could not read a 0600 one of root.
 */
static bool
check_file(const struct stat *st, const char *file, HceOptionsError *error)
{
	mode_t		others = st->st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO :
		S_IRWXG | S_IRWXO;

	if (!S_ISREG(st->st_mode))
	{
		snprintf(error->detail, sizeof(error->detail),
				 "\"%.200s\" is not a regular file", file);
		error->hint = NULL;
		return false;
	}
	if (st->st_uid != geteuid() && st->st_uid != 0)
	{
		snprintf(error->detail, sizeof(error->detail),
				 "\"%.200s\" is owned by neither the server's user nor root",
				 file);
		error->hint = "Its owner could read the secrets: chown it to the user the server runs as.";
		return false;
	}
	if ((st->st_mode & others) != 0)
	{
		snprintf(error->detail, sizeof(error->detail),
				 "\"%.200s\" has mode %04o, others than its owner have access to it",
				 file, (unsigned) st->st_mode & 07777);
		error->hint = "chmod it to 0600 (0640 if it belongs to root), and change the secrets in it.";
		return false;
	}
	if (st->st_size > HCE_MAX_OPTIONS_FILE)
	{
		snprintf(error->detail, sizeof(error->detail),
				 "\"%.200s\" is larger than %d bytes", file,
				 HCE_MAX_OPTIONS_FILE);
		error->hint = NULL;
		return false;
	}
	return true;
}

/* The bytes of the file, closed by a NUL, in the current memory context. */
static char *
read_file(const char *file, HceOptionsError *error)
{
	struct stat st;
	char	   *content = NULL;
	Size		len = 0;
	ssize_t		got;

	/* a FIFO or a device must not make us wait */
	int			fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	error->hint = NULL;
	if (fd < 0 || fstat(fd, &st) != 0)
	{
		snprintf(error->detail, sizeof(error->detail),
				 "could not open \"%.200s\": %s", file, strerror(errno));
		error->hint = "See hcevents.kafka_config_file; the file must be readable by the user the server runs as.";
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	if (check_file(&st, file, error))
	{
		content = palloc0(HCE_MAX_OPTIONS_FILE + 1);
		while (len < HCE_MAX_OPTIONS_FILE &&
			   (got = read(fd, content + len, HCE_MAX_OPTIONS_FILE - len)) > 0)
			len += got;
	}
	close(fd);
	if (content != NULL && strlen(content) != len)
	{
		snprintf(error->detail, sizeof(error->detail),
				 "\"%.200s\" is not a text file", file);
		explicit_bzero(content, HCE_MAX_OPTIONS_FILE);
		pfree(content);
		return NULL;
	}
	return content;
}

/* The first option given whose name begins so, or NULL. */
static const char *
given_like(const HceKafkaOptions *options, const char *prefix)
{
	for (int i = 0; i < hce_option_count(); i++)
	{
		if (options->values[i] != NULL &&
			strncmp(hce_option_name(i), prefix, strlen(prefix)) == 0)
			return hce_option_name(i);
	}
	return NULL;
}

/*
 * What options mean together.  Leaving out security.protocol would make
 * librdkafka ignore all of ssl.* and sasl.* and send patient data in the
 * clear: that is an error, not a default.
 */
static bool
check_together(const HceKafkaOptions *options, HceOptionsError *error)
{
	const char *protocol = hce_option_value(options, "security.protocol");
	const char *given;
	const char *identification = hce_option_value(options, "ssl.endpoint.identification.algorithm");
	bool		tls = protocol != NULL && strstr(protocol, "ssl") != NULL;
	bool		sasl = protocol != NULL && strncmp(protocol, "sasl", 4) == 0;

	error->hint = NULL;
	if (!sasl && (given = given_like(options, "sasl.")) != NULL)
	{
		snprintf(error->detail, sizeof(error->detail),
				 "\"%s\" is given, but security.protocol is %s: nobody would log in",
				 given, protocol != NULL ? protocol : "not given");
		error->hint = "Set security.protocol=sasl_ssl.";
		return false;
	}
	if (!tls && (given = given_like(options, "ssl.")) != NULL)
	{
		snprintf(error->detail, sizeof(error->detail),
				 "\"%s\" is given, but security.protocol is %s: nothing would be encrypted",
				 given, protocol != NULL ? protocol : "not given");
		error->hint = "Set security.protocol=ssl, or sasl_ssl.";
		return false;
	}
	if (sasl)
	{
		static const char *const needed[] = {
			"sasl.mechanisms", "sasl.username", "sasl.password"
		};

		for (int i = 0; i < (int) lengthof(needed); i++)
		{
			if (hce_option_value(options, needed[i]) != NULL)
				continue;
			snprintf(error->detail, sizeof(error->detail),
					 "security.protocol is %s, but \"%s\" is not given",
					 protocol, needed[i]);
			error->hint = "The password goes into the file of hcevents.kafka_config_file.";
			return false;
		}
	}
	if (identification != NULL && strcmp(identification, "none") == 0 &&
		hce_option_value(options, "ssl.ca.location") == NULL)
	{
		strlcpy(error->detail,
				"ssl.endpoint.identification.algorithm=none needs an ssl.ca.location of your own",
				sizeof(error->detail));
		error->hint = "Without, anybody with any certificate of a public authority could pose as the broker.";
		return false;
	}
	return true;
}

/*
 * Load the options of "list" and "file" ("" = none) into *options, which the
 * caller wipes, also after a failure.  Returns false with *error filled in
 * if they cannot be used.  Memory is of the current context.
 */
bool
hce_options_load(HceKafkaOptions *options, const char *list, const char *file,
				 HceOptionsError *error)
{
	memset(options, 0, sizeof(*options));
	if (!hce_options_add_list(options, list, error))
	{
		char		detail[sizeof(error->detail)];

		strlcpy(detail, error->detail, sizeof(detail));
		snprintf(error->detail, sizeof(error->detail),
				 "hcevents.kafka_config: %.480s", detail);
		return false;
	}
	if (*file != '\0')
	{
		char	   *content = read_file(file, error);
		bool		good;

		if (content == NULL)
			return false;
		good = hce_options_add_text(options, content, file, error);
		explicit_bzero(content, HCE_MAX_OPTIONS_FILE);
		pfree(content);
		if (!good)
			return false;
	}
	return check_together(options, error);
}

/* Forget the values, without a trace in memory. */
void
hce_options_wipe(HceKafkaOptions *options)
{
	for (int i = 0; i < hce_option_count(); i++)
	{
		if (options->values[i] == NULL)
			continue;
		explicit_bzero(options->values[i], strlen(options->values[i]));
		pfree(options->values[i]);
	}
	memset(options, 0, sizeof(*options));
}

static void
append_identity(StringInfo identity, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		appendStringInfo(identity, "%d;", errno);
	else
		appendStringInfo(identity, "%llu/%llu/%lld/%lld.%09ld/%lld.%09ld;",
						 (unsigned long long) st.st_dev,
						 (unsigned long long) st.st_ino,
						 (long long) st.st_size,
						 (long long) st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
						 (long long) st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

/*
 * What tells one content of files from another, as a text in the current
 * memory context.  That of two lists together is one after the other.
 */
char *
hce_files_identity(const List *paths)
{
	StringInfoData identity;
	ListCell   *cell;

	initStringInfo(&identity);
	foreach(cell, paths)
		append_identity(&identity, lfirst(cell));
	return identity.data;
}

/*
 * The certificates and keys that options name; copies in the current memory
 * context.
 */
List *
hce_options_paths(const HceKafkaOptions *options)
{
	List	   *paths = NIL;

	for (int i = 0; i < hce_option_count(); i++)
	{
		if (options->values[i] != NULL &&
			(hce_option_flags(i) & HCE_OPTION_PATH) != 0)
			paths = lappend(paths, pstrdup(options->values[i]));
	}
	return paths;
}

/* Whether a host is this machine. */
static bool
is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (pg_strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* Cut "[proto://]host[:port]", or "[v6]:port", down to the host, in place. */
static char *
host_of(char *server)
{
	char	   *start = strstr(server, "://");
	char	   *colon;

	start = start != NULL ? start + 3 : server;
	while (*start == ' ')
		start++;
	if (*start == '[' && strchr(start, ']') != NULL)
	{
		*strchr(start, ']') = '\0';
		return start + 1;
	}
	colon = strchr(start, ':');
	/* more than one: an address of version 6 without a port */
	if (colon != NULL && strchr(colon + 1, ':') == NULL)
		*colon = '\0';
	start[strcspn(start, " ")] = '\0';
	return start;
}

/*
 * Whether events go over a network unencrypted: without TLS to a host that is
 * not this one.  Then its name is in "host".
 */
bool
hce_options_in_the_clear(const HceKafkaOptions *options,
						 const char *bootstrap_servers, char *host, Size size)
{
	const char *protocol = hce_option_value(options, "security.protocol");
	char	   *next = pstrdup(bootstrap_servers);

	if (protocol != NULL && strstr(protocol, "ssl") != NULL)
		return false;
	while (next != NULL)
	{
		char	   *server = next;

		next = strchr(server, ',');
		if (next != NULL)
			*next++ = '\0';
		server = host_of(server);
		if (*server == '\0' || is_loopback(server))
			continue;
		strlcpy(host, server, size);
		return true;
	}
	return false;
}
