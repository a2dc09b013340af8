/* New namespaces of a program's own, and ways into those of the host. */
#include "probe.h"
#include <linux/sched.h>
#define GROUP "namespaces"
#define NS_GET_USERNS 0xb701
#define NS_GET_PARENT 0xb702
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static void try_unshare(unsigned long flags)
{
	if (syscall(SYS_unshare, flags))
		refused();
	reached("a new namespace was made");
}

#define UNSHARE(name, flag) PROBE(unshare_##name, "weak", "unshare(" #flag ") succeeds") { try_unshare(flag); }
UNSHARE(user, CLONE_NEWUSER)
UNSHARE(mount, CLONE_NEWNS)
UNSHARE(pid, CLONE_NEWPID)
UNSHARE(net, CLONE_NEWNET)
UNSHARE(ipc, CLONE_NEWIPC)
UNSHARE(uts, CLONE_NEWUTS)
UNSHARE(cgroup, CLONE_NEWCGROUP)
UNSHARE(time, CLONE_NEWTIME)
UNSHARE(user_and_all, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET)

static void try_clone(unsigned long flags)
{
	long pid = syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid < 0)
		refused();
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, __WALL);
	reached("a process was made in a new namespace");
}

PROBE(clone_user, "weak", "clone(CLONE_NEWUSER) succeeds") { try_clone(CLONE_NEWUSER); }
PROBE(clone_mount, "weak", "clone(CLONE_NEWNS) succeeds") { try_clone(CLONE_NEWNS); }
PROBE(clone_user_high_bits, "weak", "clone(CLONE_NEWUSER) succeeds with bits set that the kernel ignores")
{
	try_clone(CLONE_NEWUSER | 1UL << 40);
}

PROBE(clone3_user, "weak", "clone3(CLONE_NEWUSER) succeeds")
{
	struct clone_args arguments = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
	if (pid < 0)
		refused();
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	reached("a process was made in a new namespace");
}

PROBE(same_as_host, "weak", "a namespace is the host's")
{
	const char *kinds[] = {"user", "mnt", "pid", "net", "uts", "ipc", "cgroup"};
	char path[64], link[64], name[32];
	for (int i = 0; i < 7; i++) {
		snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
		ssize_t n = readlink(path, link, sizeof link - 1);
		if (n < 0)
			refused();
		link[n] = 0;
		snprintf(name, sizeof name, "NS_%s", kinds[i]);
		if (!strcmp(link, told(name)))
			escaped("%s", link);
	}
	refused_because("all are its own");
}

PROBE(enter_others, "host", "a namespace of another process that is not the own one can be entered")
{
	const char *kinds[] = {"user", "mnt", "pid", "net", "uts", "ipc", "cgroup"};
	char own[64], link[64], path[300];
	int seen = 0;
	DIR *processes = opendir("/proc");
	for (struct dirent *entry; processes && (entry = readdir(processes));)
		for (int i = 0; i < 7 && entry->d_name[0] >= '1' && entry->d_name[0] <= '9'; i++) {
			snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
			ssize_t n = readlink(path, own, sizeof own);
			snprintf(path, sizeof path, "/proc/%s/ns/%s", entry->d_name, kinds[i]);
			if (readlink(path, link, sizeof link) == n && !memcmp(own, link, n))
				continue;
			seen++;
			int fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd >= 0 && !setns(fd, 0))
				escaped("entered %s", path);
		}
	refused_because("%d others seen", seen);
}

PROBE(parent_by_ioctl, "none", "a descriptor of the parent of an own namespace is handed out")
{
	const char *kinds[] = {"user", "pid", "net", "mnt"};
	for (int i = 0; i < 4; i++) {
		char path[64], link[64] = "", own[64] = "";
		snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			refused();
		int outer = ioctl(fd, i < 2 ? NS_GET_PARENT : NS_GET_USERNS, 0);
		if (outer < 0)
			continue;
		snprintf(path, sizeof path, "/proc/self/fd/%d", outer);
		if (readlink(path, link, 63) > 0 && readlink("/proc/self/ns/user", own, 63) > 0 && strcmp(link, own))
			escaped("%s", link);
	}
	refused();
}

PROBE(namespace_by_handle, "host", "a namespace of the host can be opened by its well-known number")
{
	struct {
		unsigned bytes;
		int type;
		uint64_t id;
		uint32_t kind, inode;
	} handle = {16, 0xf1, 3, CLONE_NEWUSER, 0xEFFFFFFD};
	judge_success(syscall(SYS_open_by_handle_at, -10003, &handle, O_RDONLY), "the user namespace of the host was opened");
}

PROBE(process_by_handle, "host", "the process of the host that the caller named can be opened by number")
{
	struct {
		unsigned bytes;
		int type;
		uint64_t number;
	} handle = {8, 0xe, 0};
	for (handle.number = 1; handle.number < 20; handle.number++)
		if (syscall(SYS_open_by_handle_at, -10002, &handle, O_RDONLY) >= 0)
			reached("a process was opened by handle");
	refused();
}

PROBE(change_map, "none", "the id map can be written again")
{
	int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0 0 1", 5) < 0)
		refused();
	escaped("the map was changed");
}

PROBE(allow_setgroups, "none", "a denied setgroups can be allowed again")
{
	int fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
	char text[16];
	if (fd < 0)
		refused();
	if (read_file("/proc/self/setgroups", text, sizeof text) > 0 && !strncmp(text, "allow", 5))
		refused_because("it is allowed, with mapped groups only");
	judge_success(write(fd, "allow", 5), "setgroups was allowed");
}
