/* One escape attempt per PROBE; main.c runs each in a process of its own and prints one line for it.
 *
 * control: how the attempt is shown to be able to succeed.
 *   "host": run unconfined by root of the host, where it does no harm
 *   "weak": run in a sandbox with every capability, the host's network, nested namespaces, no masks, no filter
 *   "none": nothing harmless succeeds
 *   "outside": always "attempted"; what it did is looked for on the host
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct probe {
	const char *group, *name, *control, *criterion;
	void (*run)(void);
};

#define PROBE(name_, control_, criterion_)                                                                   \
	static void run_##name_(void);                                                                       \
	static const struct probe probe_##name_ __attribute__((used, section("probes"), aligned(8))) = {     \
		GROUP, #name_, control_, criterion_, run_##name_};                                           \
	static void run_##name_(void)

/* The verdicts; each ends the attempt. */
_Noreturn void escaped(const char *evidence, ...) __attribute__((format(printf, 1, 2)));   /* effect on, or data of, the host */
_Noreturn void reached(const char *evidence, ...) __attribute__((format(printf, 1, 2)));   /* a facility that is to be refused */
_Noreturn void attempted(const char *evidence, ...) __attribute__((format(printf, 1, 2))); /* the host is looked at later */
_Noreturn void refused(void);                                                              /* with errno */
_Noreturn void refused_because(const char *reason, ...) __attribute__((format(printf, 1, 2)));

/* What the caller says about the host, as NAME=VALUE arguments. */
const char *told(const char *name);
long told_number(const char *name);

/* Read at most size-1 bytes of a file and terminate them; -1 with errno. */
ssize_t read_file(const char *path, char *buffer, size_t size);
/* Say whether a path leads to the host's canary, by its content. */
int is_canary(int dirfd, const char *path);
/* Escaped when a path can be opened for writing; nothing is written. */
_Noreturn void try_to_open_for_writing(const char *path);
/* Reached unless the result is -1 with EPERM, EACCES or ENOSYS. */
_Noreturn void judge_call(long result);
/* Escaped, or reached, when a call succeeded, else refused. */
_Noreturn void judge_reach(long result, const char *evidence);
_Noreturn void judge_success(long result, const char *evidence);
