/* Programs that stay: one that lies in wait for processes that join the sandbox, one that keeps exchanging two paths. */
#include "probe.h"
#include <sys/ptrace.h>

/* Try everything on a process that is not (yet) one of the environment's programs. Say what was got. */
static void attack(const char *pid, unsigned char *said)
{
	char path[PATH_MAX], link[PATH_MAX] = "";
	snprintf(path, sizeof path, "/proc/%s/exe", pid);
	ssize_t n = readlink(path, link, sizeof link - 1);
	if (n > 0 && !strcmp(link, "/probe"))
		return;
	if (n < 0 && errno != EACCES && errno != EPERM)
		return; /* it is gone */
	if (!(*said)++)
		dprintf(1, "seen %s\n", pid);
	if (n > 0)
		dprintf(1, "ESCAPED its program is %s\n", link);
	const char *readable[] = {"maps", "environ", "mem", "root/etc/passwd", "cwd/etc/passwd", "fd", "ns/mnt", "exe"};
	for (size_t i = 0; i < sizeof readable / sizeof *readable; i++) {
		char text[16];
		snprintf(path, sizeof path, "/proc/%s/%s", pid, readable[i]);
		int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			continue;
		int got = i < 2 ? read(fd, text, sizeof text) > 0 : 1;
		close(fd);
		snprintf(path, sizeof path, "/proc/%s/exe", pid);
		n = readlink(path, link, sizeof link - 1);
		link[n < 0 ? 0 : n] = 0;
		if (got && n > 0 && strcmp(link, "/probe"))
			dprintf(1, "ESCAPED %s of %s was opened\n", readable[i], link);
	}
	if (!ptrace(PTRACE_SEIZE, atoi(pid), NULL, NULL)) {
		snprintf(path, sizeof path, "/proc/%s/exe", pid);
		n = readlink(path, link, sizeof link - 1);
		link[n < 0 ? 0 : n] = 0;
		if (strcmp(link, "/probe"))
			dprintf(1, "ESCAPED traced %s\n", link);
	}
}

int watch_others(void)
{
	static unsigned char said[65536];
	dprintf(1, "waiting\n");
	for (;;) {
		DIR *processes = opendir("/proc");
		for (struct dirent *entry; (entry = readdir(processes));)
			if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && strcmp(entry->d_name, "1"))
				attack(entry->d_name, &said[atoi(entry->d_name) & 0xffff]);
		closedir(processes);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

/* A folder and a link to `target` take turns at /place. */
int exchange_for_ever(const char *target)
{
	mkdir("/place", 0755);
	mkdir("/place/volume", 0755);
	symlink(target, "/other");
	dprintf(1, "waiting\n");
	for (;;)
		syscall(SYS_renameat2, AT_FDCWD, "/place", AT_FDCWD, "/other", 2);
}

/* The status says whether exactly 0, 1 and 2 are open: 0, or 40 + one that should not be, or 1 + one that is missing. */
int judge_descriptors(void)
{
	struct stat status;
	for (int fd = 0; fd < 65536; fd++)
		if (fd > 2 && fcntl(fd, F_GETFD) >= 0)
			return 40 + fd % 60;
		else if (fd < 3 && fstat(fd, &status))
			return 1 + fd;
		else if (fd < 3 && S_ISDIR(status.st_mode))
			return 100;
	return 0;
}
