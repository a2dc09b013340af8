/* System calls that no program in a sandbox needs. Arguments are chosen to do nothing even where they are allowed. */
#include "probe.h"
#include <linux/keyctl.h>
#include <sys/personality.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#define GROUP "kernel"

#define CALL(name, ...) PROBE(name, "host", #name "(2) is answered by the kernel") { judge_call(syscall(SYS_##name, __VA_ARGS__)); }

CALL(bpf, 9999, NULL, 0)
CALL(perf_event_open, NULL, 0, -1, -1, 0)
CALL(userfaultfd, O_CLOEXEC | 1)
CALL(io_uring_enter, -1, 0, 0, 0, NULL, 0)
CALL(io_uring_register, -1, 0, NULL, 0)
CALL(request_key, NULL, NULL, NULL, 0)
CALL(quotactl, 0x800002, NULL, 0, NULL)
CALL(kexec_load, 0, 0, NULL, 0xffff)
CALL(init_module, NULL, 0, "")
CALL(finit_module, -1, "", 0)
CALL(delete_module, "no_such_module_here", O_NONBLOCK)
CALL(reboot, 0, 0, 0, NULL)
CALL(swapon, "/nonexistent", 0)
CALL(swapoff, "/nonexistent")
CALL(acct, "/nonexistent")
CALL(fanotify_init, 0x200, 0)
CALL(syslog, 10, NULL, 0)
CALL(kcmp, 0, 0, 9, 0, 0)
#ifdef SYS_kexec_file_load
CALL(kexec_file_load, -1, -1, 0, "", 0xffff)
#endif
#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif
CALL(quotactl_fd, -1, 0, 0, NULL)
#ifdef SYS_iopl
CALL(iopl, 3)
CALL(ioperm, 0x80, 1, 1)
CALL(ustat, 0, NULL)
CALL(sysfs, 3)
#endif

PROBE(io_uring_setup, "host", "an io_uring can be made")
{
	char parameters[120] = "";
	judge_call(syscall(SYS_io_uring_setup, 1, parameters));
}

PROBE(vhangup, "none", "vhangup(2) succeeds") { judge_success(vhangup(), "the terminal was hung up"); }

PROBE(settimeofday, "host", "the clock's zone can be set (to what it is)")
{
	struct timezone zone;
	syscall(SYS_gettimeofday, NULL, &zone);
	judge_call(syscall(SYS_settimeofday, NULL, &zone));
}

PROBE(clock_settime, "host", "the clock can be set (to what it is)")
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	judge_call(syscall(SYS_clock_settime, CLOCK_REALTIME, &now));
}

PROBE(adjtimex, "host", "the clock's error bound can be set (to what it is)")
{
	struct timex state = {.modes = 0};
	if (syscall(SYS_adjtimex, &state) < 0)
		refused();
	state.modes = ADJ_MAXERROR;
	judge_call(syscall(SYS_adjtimex, &state));
}

PROBE(personality, "host", "address randomisation can be switched off")
{
	judge_call(syscall(SYS_personality, (unsigned long)ADDR_NO_RANDOMIZE));
}

PROBE(add_key, "host", "a key can be made in the process keyring")
{
	judge_call(syscall(SYS_add_key, "user", "envgit-probe", "x", 1, KEY_SPEC_PROCESS_KEYRING));
}

PROBE(keyctl, "host", "keyctl(2) is answered by the kernel")
{
	judge_call(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1));
}

PROBE(key_of_the_caller, "host", "a key of the caller's session keyring can be read or described")
{
	char text[200] = "";
	long key = told_number("KEY");
	if (syscall(SYS_keyctl, KEYCTL_READ, key, text, sizeof text - 1) > 0)
		escaped("read: %s", text);
	if (syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, text, sizeof text - 1) > 0)
		escaped("described: %s", text);
	refused();
}

PROBE(key_by_name, "host", "the caller's key is found in a keyring of the session or the user")
{
	int keyrings[] = {KEY_SPEC_SESSION_KEYRING, KEY_SPEC_USER_SESSION_KEYRING, KEY_SPEC_USER_KEYRING};
	const char *names[] = {told("KEY_NAME"), told("SESSION_KEY_NAME")};
	for (int i = 0; i < 6; i++)
		if (syscall(SYS_keyctl, KEYCTL_SEARCH, keyrings[i / 2], "user", names[i % 2], 0) > 0)
			escaped("%s found in keyring %d", names[i % 2], keyrings[i / 2]);
	refused();
}

#ifdef __x86_64__
static long call_i386(long number, long a, long b)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(0) : "memory", "r8", "r9", "r10", "r11");
	return result;
}

PROBE(i386_keyctl, "none", "keyctl(2) is answered when called as a 32-bit program does")
{
	long result = call_i386(288, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING);
	errno = result < 0 ? -result : 0;
	judge_call(result < 0 ? -1 : result);
}

PROBE(i386_io_uring, "none", "io_uring_setup(2) is answered when called as a 32-bit program does")
{
	long result = call_i386(425, 0, 0);
	errno = result < 0 ? -result : 0;
	judge_call(result < 0 ? -1 : result);
}

PROBE(x32_keyctl, "none", "keyctl(2) is answered when called with an x32 number")
{
	judge_call(syscall(0x40000000 | SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1));
}
#endif
