/*-------------------------------------------------------------------------
 *
 * identity.c
 *		Whether a database and its data directory are the original.
 *
 * A copy must not publish to the brokers of its original.  The position row
 * tells a copied database by its oid and a restored cluster by its system
 * identifier, but a data directory that was copied file by file (cp, rsync,
 * pg_basebackup, a backup tool) has the same.  So each directory gets a random
 * id, in a file that holds its own inode number as well: in a copy that
 * number is wrong, and the copy gets an id of its own.  The position row
 * holds the id of the directory whose relay wrote it.
 *
 * pg_upgrade makes a cluster with WAL of its own, which begins where the first
 * server that is not pg_upgrade's finds it.  The file remembers that place:
 * whoever takes over the position row of the old cluster reads from there on,
 * if nothing is missing up to the row.
 *
 * A standby is a copy too, and the one that may go on: standby.signal is
 * there when its postmaster starts.  recovery.signal alone means that a backup
 * was restored.  Where a standby ran without this library, a change of the
 * timeline that no recovery target has caused speaks for a failover.
 *
 * Rejected: the host's name or machine id, which differ after each new
 * container of the same volume; the path of the directory, which is the same
 * in every container.  A snapshot of a whole volume keeps inode numbers and is
 * not noticed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "relay/identity.h"

/* In the data directory, which is the postmaster's working directory. */
#define HOME_FILE		"hcevents.home"
#define HOME_FILE_NEW	"hcevents.home.new"

/* pg_upgrade is at work: the next server but its own notes the place. */
#define BIRTH_TO_COME	1

/* What PostgreSQL writes into a timeline's history when it was promoted. */
#define NO_TARGET		"no recovery target specified"

/*
 * Read the file.  Returns false if there is none that can be read; "*ours"
 * tells whether it was written in this directory.
 */
static bool
read_home(HceHome *home, bool *ours)
{
	FILE	   *file = AllocateFile(HOME_FILE, "r");
	struct stat st;
	long long	id;
	unsigned long long inode;
	int			origin;
	unsigned long long birth = 0;
	bool		valid;

	*ours = false;
	if (file == NULL)
		return false;
	valid = fscanf(file, "%lld %llu %d %llX", &id, &inode, &origin, &birth) >= 3 &&
		id > 0 && origin >= HCE_ORIGIN_NEW && origin <= HCE_ORIGIN_STANDBY;
	if (valid)
	{
		home->id = id;
		home->origin = (HceOrigin) origin;
		home->birth = (XLogRecPtr) birth;
		*ours = fstat(fileno(file), &st) == 0 &&
			inode == (unsigned long long) st.st_ino;
	}
	FreeFile(file);
	return valid;
}

/* Write the file, durably.  A file keeps its inode when it is renamed. */
static bool
write_home(const HceHome *home)
{
	FILE	   *file;
	struct stat st;
	bool		written;

	/* a leftover could have an inode that is given again: start afresh */
	(void) unlink(HOME_FILE_NEW);
	file = AllocateFile(HOME_FILE_NEW, "w");
	written = file != NULL && fstat(fileno(file), &st) == 0 &&
		fprintf(file, "%lld %llu %d %llX\n", (long long) home->id,
				(unsigned long long) st.st_ino, (int) home->origin,
				(unsigned long long) home->birth) > 0 &&
		fflush(file) == 0 && pg_fsync(fileno(file)) == 0;
	if (file != NULL)
		FreeFile(file);
	if (written && durable_rename(HOME_FILE_NEW, HOME_FILE, LOG) == 0)
		return true;
	ereport(LOG,
			errcode_for_file_access(),
			errmsg("could not write file \"%s\": %m", HOME_FILE),
			errhint("Without it hcevents does not notice when this data directory is a copy."));
	return false;
}

static int64
make_id(void)
{
	uint64		id;

	if (!pg_strong_random(&id, sizeof(id)))
		return 0;
	return (int64) (id >> 2) + 1;
}

/* Where the WAL begins that this server writes, by the control file. */
static XLogRecPtr
find_birth(XLogRecPtr noted)
{
	ControlFileData *control;
	bool		intact;

	if (IsBinaryUpgrade)
		return BIRTH_TO_COME;
	if (noted != BIRTH_TO_COME)
		return noted;
	control = get_controlfile(DataDir, &intact);
	return intact ? control->checkPointCopy.redo : 0;
}

/*
 * Find out which data directory this is, and note it in its file.  Called in
 * the postmaster whenever it makes shared memory.  Raises no error but for a
 * control file that cannot be read: a directory that cannot be told has the
 * id 0.
 */
void
hce_home_find(HceHome *home)
{
	bool		standby = access(STANDBY_SIGNAL_FILE, F_OK) == 0;
	bool		restored = !standby && access(RECOVERY_SIGNAL_FILE, F_OK) == 0;
	bool		ours;
	bool		found;
	HceOrigin	origin = HCE_ORIGIN_NEW;
	XLogRecPtr	birth;

	memset(home, 0, sizeof(HceHome));
	found = read_home(home, &ours);
	birth = find_birth(home->birth);
	if (standby)
		origin = HCE_ORIGIN_STANDBY;
	else if (restored)
		origin = HCE_ORIGIN_RESTORED;
	else if (ours)
		origin = home->origin;
	else if (found)
		origin = HCE_ORIGIN_COPIED;

	if (ours && home->origin == origin && home->birth == birth)
		return;
	/* a backup restored into its own directory is another history as well */
	if (!ours || restored)
		home->id = make_id();
	home->origin = origin;
	home->birth = birth;
	if (!write_home(home))
		memset(home, 0, sizeof(HceHome));
}

/*
 * Whether one of the timelines after "since", up to "now", began where a
 * recovery target said, and not where the WAL ended: the database was
 * restored to an earlier point.  "*point" is where.  Raises an error if the
 * history cannot be read.
 */
bool
hce_restored_since(TimeLineID since, TimeLineID now, XLogRecPtr *point)
{
	char		path[MAXPGPATH];
	char		line[MAXPGPATH];
	FILE	   *file;
	bool		restored = false;

	if (now == 1)
		return false;
	TLHistoryFilePath(path, now);
	file = AllocateFile(path, "r");
	if (file == NULL)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not open file \"%s\": %m", path));
	while (fgets(line, sizeof(line), file) != NULL)
	{
		TimeLineID	tli;
		uint32		hi;
		uint32		lo;

		if (sscanf(line, "%u\t%X/%X", &tli, &hi, &lo) != 3 || tli < since ||
			strstr(line, NO_TARGET) != NULL)
			continue;
		restored = true;
		*point = ((uint64) hi) << 32 | lo;
	}
	FreeFile(file);
	return restored;
}
