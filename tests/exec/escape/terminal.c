/* The caller's terminal, which a run without -t has as descriptors 0, 1 and 2: input must not be put into it. */
#include "probe.h"
#include <termios.h>
#define GROUP "terminal"
#define TIOCLINUX_ 0x541C

static void try_command(int fd, unsigned long command, void *argument)
{
	if (!isatty(fd))
		refused_because("descriptor %d is no terminal", fd);
	if (ioctl(fd, command, argument) < 0) {
		if (errno == EPERM || errno == EIO || errno == ENOSYS)
			refused();
		reached("the terminal answered %s", strerrorname_np(errno));
	}
	escaped("command %lx was taken", command);
}

PROBE(push_input, "outside", "a character is pushed into the caller's terminal (TIOCSTI)")
{
	char c = '#';
	try_command(0, TIOCSTI, &c);
}

PROBE(push_input_by_output, "outside", "a character is pushed into the caller's terminal through descriptor 1 or 2")
{
	char c = '#';
	if (isatty(1) && !ioctl(1, TIOCSTI, &c))
		escaped("taken");
	try_command(2, TIOCSTI, &c);
}

PROBE(push_input_high_bits, "outside", "TIOCSTI is taken with bits set that the kernel ignores")
{
	char c = '#';
	if (!isatty(0))
		refused_because("no terminal");
	if (syscall(SYS_ioctl, 0L, TIOCSTI | 1UL << 32, &c) >= 0 || syscall(SYS_ioctl, 0L, TIOCSTI | ~0UL << 32, &c) >= 0)
		escaped("taken");
	refused();
}

PROBE(paste_selection, "none", "TIOCLINUX reaches the caller's terminal")
{
	char paste = 3;
	try_command(0, TIOCLINUX_, &paste);
}

PROBE(paste_selection_high_bits, "none", "TIOCLINUX reaches the caller's terminal with bits set that the kernel ignores")
{
	char paste = 3;
	try_command(0, TIOCLINUX_ | 1UL << 32, &paste);
}

PROBE(take_terminal, "outside", "the caller's terminal becomes the controlling terminal")
{
	if (fork())
		wait(NULL);
	else {
		char c = '#';
		setsid();
		if (!ioctl(0, TIOCSCTTY, 0) || !ioctl(0, TIOCSCTTY, 1)) {
			ioctl(0, TIOCSTI, &c);
			escaped("taken");
		}
		refused();
	}
	_exit(0);
}

PROBE(open_terminal_again, "outside", "input is pushed through a new descriptor of the caller's terminal")
{
	char c = '#';
	int fd = open("/proc/self/fd/0", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		refused();
	try_command(fd, TIOCSTI, &c);
}

PROBE(controlling_terminal, "none", "/dev/tty is the caller's terminal")
{
	struct stat outer, inner;
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		refused();
	if (!fstat(0, &outer) && !fstat(fd, &inner) && outer.st_rdev == inner.st_rdev && isatty(0))
		escaped("/dev/tty can be opened");
	refused_because("a terminal of the sandbox's own");
}

PROBE(redirect_console, "none", "the output of the system console is redirected to the caller's terminal")
{
	try_command(0, TIOCCONS, NULL);
}

PROBE(hang_up_terminal, "none", "the caller's terminal is hung up")
{
	try_command(0, 0x5437, NULL);
}
