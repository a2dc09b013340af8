/* probe --posture: what a process is and may do, one fact per line. The caller sorts out what differs between hosts. */
#include "probe.h"

extern char **environ;

static void show_file(const char *label, const char *path)
{
	char text[65536];
	ssize_t n = read_file(path, text, sizeof text);
	char *rest = n < 0 ? NULL : text;
	for (char *line; (line = strsep(&rest, "\n"));)
		if (*line)
			dprintf(1, "%s %s\n", label, line);
}

static void show_descriptors(void)
{
	for (int fd = 0; fd < 65536; fd++) {
		struct stat status;
		if (fstat(fd, &status))
			continue;
		const char *kinds[] = {"?", "fifo", "chr", "?", "dir", "?", "blk", "?", "file", "?", "link", "?", "socket"};
		dprintf(1, "descriptor %d %s", fd, kinds[(status.st_mode & S_IFMT) >> 12]);
		if (S_ISCHR(status.st_mode))
			dprintf(1, " %u:%u", major(status.st_rdev), isatty(fd) ? 0 : minor(status.st_rdev));
		dprintf(1, " access %d\n", fcntl(fd, F_GETFL) & O_ACCMODE);
	}
}

static void show_path(const char *path)
{
	struct stat status;
	char text[16];
	if (lstat(path, &status)) {
		dprintf(1, "path %s absent\n", path);
		return;
	}
	int entries = 0;
	DIR *folder = S_ISDIR(status.st_mode) ? opendir(path) : NULL;
	for (struct dirent *entry; folder && (entry = readdir(folder));)
		entries += entry->d_name[0] != '.';
	ssize_t n = folder ? 0 : read_file(path, text, sizeof text);
	dprintf(1, "path %s %s\n", path, entries || n > 0 ? "content" : "empty");
}

int show_posture(char **paths)
{
	show_file("status", "/proc/self/status");
	show_file("mount", "/proc/self/mountinfo");
	show_file("uid_map", "/proc/self/uid_map");
	show_file("gid_map", "/proc/self/gid_map");
	show_file("setgroups", "/proc/self/setgroups");
	show_file("oom_score_adj", "/proc/self/oom_score_adj");
	show_file("interface", "/proc/net/dev");
	show_file("user_namespaces", "/proc/sys/user/max_user_namespaces");
	show_descriptors();
	for (char **variable = environ; *variable; variable++)
		dprintf(1, "environment %s\n", *variable);
	for (int number = 0; number < RLIM_NLIMITS; number++) {
		struct rlimit limit;
		getrlimit(number, &limit);
		dprintf(1, "limit %d %lld %lld\n", number, (long long)limit.rlim_cur, (long long)limit.rlim_max);
	}
	const char *kinds[] = {"user", "mnt", "pid", "net", "uts", "ipc", "cgroup", "time"};
	for (int i = 0; i < 8; i++) {
		char path[64], link[64] = "";
		snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
		readlink(path, link, sizeof link - 1);
		dprintf(1, "namespace %s %s\n", kinds[i], link);
	}
	char name[300] = "";
	gethostname(name, sizeof name - 1);
	dprintf(1, "hostname %s\n", name);
	getdomainname(name, sizeof name - 1);
	dprintf(1, "domainname %s\n", name);
	dprintf(1, "cwd %s\n", getcwd(name, sizeof name));
	dprintf(1, "session %s\n", getsid(0) == getpid() ? "leader" : getsid(0) ? "of another process inside" : "of the host");
	dprintf(1, "group %s\n", getpgrp() == getpid() ? "leader" : getpgrp() ? "of another process inside" : "of the host");
	dprintf(1, "first %s\n", getpid() == 1 ? "yes" : "no");
	dprintf(1, "parent %s\n", getppid() ? "inside" : "outside");
	dprintf(1, "dumpable %d\n", prctl(PR_GET_DUMPABLE));
	dprintf(1, "securebits %d\n", prctl(PR_GET_SECUREBITS));
	dprintf(1, "timer_slack %d\n", prctl(PR_GET_TIMERSLACK) <= 50000);
	int signal = -1;
	prctl(PR_GET_PDEATHSIG, &signal);
	dprintf(1, "parent_death_signal %d\n", signal);
	mode_t mask = umask(0);
	dprintf(1, "umask %04o\n", mask);
	dprintf(1, "controlling_terminal %s\n", open("/dev/tty", O_RDWR | O_CLOEXEC) >= 0 ? "yes" : "no");
	errno = 0;
	syscall(SYS_keyctl, 0, -3, 0);
	dprintf(1, "keyctl %s\n", errno ? strerrorname_np(errno) : "allowed");
	for (; *paths; paths++)
		show_path(*paths);
	return 0;
}
