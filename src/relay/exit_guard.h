/*-------------------------------------------------------------------------
 *
 * exit_guard.h
 *		How a process with librdkafka threads ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_EXIT_GUARD_H
#define HCE_EXIT_GUARD_H

extern void hce_exit_guard_install(void);

#endif							/* HCE_EXIT_GUARD_H */
