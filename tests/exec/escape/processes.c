/* Processes of the host, and what they hold; the descriptors of the own ones. */
#include "probe.h"
#include <sys/ptrace.h>
#include <sys/uio.h>
#define GROUP "processes"

PROBE(descriptors, "none", "a process of the sandbox holds a descriptor that it was not given")
{
	char path[600], link[200];
	int looked = 0;
	DIR *processes = opendir("/proc");
	for (struct dirent *entry; processes && (entry = readdir(processes));) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || atoi(entry->d_name) == getpid() || atoi(entry->d_name) == getppid())
			continue;
		snprintf(path, sizeof path, "/proc/%s/fd", entry->d_name);
		DIR *fds = opendir(path);
		for (struct dirent *fd; fds && (fd = readdir(fds));) {
			if (fd->d_name[0] == '.' || (looked++, atoi(fd->d_name) < 3))
				continue;
			snprintf(path, sizeof path, "/proc/%s/fd/%s", entry->d_name, fd->d_name);
			ssize_t n = readlink(path, link, sizeof link - 1);
			link[n < 0 ? 0 : n] = 0;
			escaped("%s is %s", path, link);
		}
	}
	refused_because("%d descriptors looked at", looked);
}

PROBE(own_descriptors, "host", "a descriptor of the own process is a directory, or its number is above 2")
{
	for (int fd = 0; fd < 4096; fd++) {
		struct stat status;
		int flags = fcntl(fd, F_GETFD);
		if (flags < 0 || fstat(fd, &status))
			continue;
		if (S_ISDIR(status.st_mode) || (fd > 2 && !(flags & FD_CLOEXEC)))
			escaped("descriptor %d, mode %o", fd, status.st_mode);
	}
	refused_because("only 0, 1 and 2");
}

PROBE(foreign_programs, "host", "the program of a process is readable and is not a file of the environment")
{
	char path[300], link[PATH_MAX];
	struct stat program, file;
	int looked = 0;
	DIR *processes = opendir("/proc");
	for (struct dirent *entry; processes && (entry = readdir(processes));) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
		ssize_t n = readlink(path, link, sizeof link - 1);
		if (n < 0)
			continue;
		link[n] = 0;
		looked++;
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &program))
			continue;
		if (strcmp(link, "/probe") || stat(link, &file) || file.st_size != program.st_size)
			escaped("%s is %s", path, link);
		close(fd);
	}
	refused_because("%d programs, all of the environment", looked);
}

PROBE(foreign_mappings, "host", "a process maps a file that the environment does not have")
{
	char path[300], text[65536];
	DIR *processes = opendir("/proc");
	for (struct dirent *entry; processes && (entry = readdir(processes));) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof path, "/proc/%s/maps", entry->d_name);
		if (read_file(path, text, sizeof text) <= 0)
			continue;
		char *rest = text;
		for (char *line; (line = strsep(&rest, "\n"));) {
			char *name = strchr(line, '/');
			if (name && access(name, F_OK))
				escaped("%s: %s", path, name);
		}
	}
	refused_because("only files of the environment");
}

PROBE(environment_of_the_caller, "host", "a variable of the caller's environment is in that of any process")
{
	char path[300], text[65536];
	DIR *processes = opendir("/proc");
	for (struct dirent *entry; processes && (entry = readdir(processes));) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof path, "/proc/%s/environ", entry->d_name);
		ssize_t n = read_file(path, text, sizeof text);
		for (ssize_t at = 0; at < n; at += strlen(text + at) + 1)
			if (!strncmp(text + at, "CALLER_SECRET", 13))
				escaped("%s", path);
	}
	refused_because("not found");
}

PROBE(memory_of_the_first, "none", "the memory of a process with another program can be opened")
{
	char path[64], link[PATH_MAX];
	for (int pid = 1; pid < 50; pid++) {
		snprintf(path, sizeof path, "/proc/%d/mem", pid);
		int fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		snprintf(path, sizeof path, "/proc/%d/exe", pid);
		ssize_t n = readlink(path, link, sizeof link - 1);
		link[n < 0 ? 0 : n] = 0;
		if (strcmp(link, "/probe"))
			escaped("pid %d, %s", pid, link);
		close(fd);
	}
	refused_because("only of the environment's programs");
}

PROBE(trace_the_victim, "host", "the host's process can be traced")
{
	pid_t pid = told_number("VICTIM");
	judge_success(ptrace(PTRACE_SEIZE, pid, NULL, NULL), "seized");
}

PROBE(read_the_victim, "host", "the memory of the host's process can be read")
{
	char here[8];
	struct iovec local = {here, 8}, remote = {(void *)told_number("VICTIM_ADDRESS"), 8};
	judge_success(process_vm_readv(told_number("VICTIM"), &local, 1, &remote, 1, 0), "read");
}

PROBE(signal_the_victim, "host", "the host's process can be signalled")
{
	judge_success(kill(told_number("VICTIM"), 0), "kill(2) finds it");
}

PROBE(pidfd_of_the_victim, "host", "a pidfd of the host's process can be opened")
{
	judge_success(syscall(SYS_pidfd_open, told_number("VICTIM"), 0), "opened");
}

PROBE(signal_owner, "host", "the host's process can be made the owner of a descriptor's signals")
{
	int pair[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	if (fcntl(pair[0], F_SETOWN, (int)told_number("VICTIM")))
		refused();
	escaped("F_SETOWN took it");
}

PROBE(limits_of_the_victim, "host", "limits of the host's process can be read")
{
	struct rlimit64 limit;
	judge_success(prlimit64(told_number("VICTIM"), RLIMIT_NOFILE, NULL, &limit), "read");
}

PROBE(schedule_of_the_victim, "host", "the schedule of the host's process can be read")
{
	judge_success(sched_getscheduler(told_number("VICTIM")), "read");
}

PROBE(signal_everything, "outside", "the host's process counts a signal sent to every process")
{
	kill(-1, SIGUSR1);
	attempted("kill(-1) was called");
}

PROBE(renice_by_user, "outside", "the host's process changes its nice value with all of its user")
{
	setpriority(PRIO_USER, 0, 19);
	setpriority(PRIO_USER, getuid(), 19);
	attempted("setpriority(PRIO_USER) was called");
}

PROBE(io_priority_by_user, "outside", "the host's process changes its io priority with all of its user")
{
	syscall(SYS_ioprio_set, 3, 0, 3 << 13);
	syscall(SYS_ioprio_set, 3, getuid(), 3 << 13);
	attempted("ioprio_set was called");
}

PROBE(protect_from_memory_shortage, "host", "the own oom score can be lowered")
{
	char text[16];
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof text) < 0 || write(fd, "-1000", 5) < 0)
		refused();
	escaped("it is -1000");
}

PROBE(raise_a_limit, "host", "a hard limit can be raised")
{
	struct rlimit limit = {1000, 1000};
	if (setrlimit(RLIMIT_NOFILE, &limit))
		refused();
	limit.rlim_cur = limit.rlim_max = 1001;
	judge_success(setrlimit(RLIMIT_NOFILE, &limit), "it was");
}

PROBE(real_time_schedule, "host", "a real-time schedule can be had")
{
	struct sched_param first = {.sched_priority = 1};
	struct rlimit limit;
	if (!getrlimit(RLIMIT_RTPRIO, &limit) && limit.rlim_max)
		refused_because("the caller allows priority %lu", limit.rlim_max);
	judge_success(sched_setscheduler(0, SCHED_FIFO, &first), "SCHED_FIFO");
}

PROBE(negative_nice, "host", "a higher priority can be had")
{
	struct rlimit limit;
	if (!getrlimit(RLIMIT_NICE, &limit) && limit.rlim_max)
		refused_because("the caller allows %lu", limit.rlim_max);
	judge_success(setpriority(PRIO_PROCESS, 0, -20), "nice -20");
}

PROBE(lock_memory, "none", "more memory can be locked than the limit says")
{
	struct rlimit limit = {0, 0};
	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		refused();
	static char page[4096];
	judge_success(syscall(SYS_mlock, page, 4096), "locked");
}
