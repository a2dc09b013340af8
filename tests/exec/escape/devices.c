/* Devices: nodes of the program's own making, nodes that are there, commands to them. */
#include "probe.h"
#include <linux/random.h>
#define GROUP "devices"

static void try_node(const char *path, mode_t kind, unsigned major, unsigned minor)
{
	unlink(path);
	if (mknod(path, kind | 0600, makedev(major, minor)))
		refused();
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		refused();
	escaped("%u:%u was made and opened", major, minor);
}

PROBE(make_disk, "host", "a node of the host's disk can be made and opened")
{
	long disk = told_number("DISK");
	try_node("disk-node", S_IFBLK, major(disk), minor(disk));
}

PROBE(make_disk_in_memory, "none", "a node of the host's disk can be made in a memory file system and opened")
{
	long disk = told_number("DISK");
	const char *paths[] = {"/dev/disk-node", "/dev/shm/disk-node", "/run/disk-node", "/tmp/disk-node"};
	for (int i = 0; i < 4; i++)
		if (!mknod(paths[i], S_IFBLK | 0600, makedev(major(disk), minor(disk))) && open(paths[i], O_RDONLY | O_CLOEXEC) >= 0)
			escaped("%s", paths[i]);
	refused();
}

PROBE(make_memory, "host", "a node of the kernel's memory or log can be made and opened")
{
	unlink("log-node");
	unlink("memory-node");
	if (!mknod("memory-node", S_IFCHR | 0600, makedev(1, 1)) && open("memory-node", O_RDONLY | O_CLOEXEC) >= 0)
		escaped("1:1");
	try_node("log-node", S_IFCHR, 1, 11);
}

PROBE(make_console, "host", "a node of the system console can be made and opened")
{
	try_node("console-node", S_IFCHR, 5, 1);
}

PROBE(disk_in_the_environment, "none", "a device node among the files of the environment can be opened")
{
	judge_success(open("/device-of-the-layer", O_RDONLY | O_CLOEXEC | O_NONBLOCK), "opened");
}

PROBE(nodes_that_are_there, "host", "there is a device besides null zero full random urandom tty ptmx and own terminals")
{
	DIR *folder = opendir("/dev");
	int seen = 0;
	for (struct dirent *entry; folder && (entry = readdir(folder));) {
		struct stat status;
		char path[300];
		snprintf(path, sizeof path, "/dev/%s", entry->d_name);
		if (lstat(path, &status) || !(S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)))
			continue;
		unsigned a = major(status.st_rdev), b = minor(status.st_rdev);
		seen++;
		int known = S_ISCHR(status.st_mode) &&
			    ((a == 1 && (b == 3 || b == 5 || b == 7 || b == 8 || b == 9)) || (a == 5 && (b == 0 || b == 2)) || a == 136);
		if (!known)
			escaped("%s is %u:%u", path, a, b);
	}
	refused_because("%d devices, all known", seen);
}

PROBE(change_a_node, "none", "owner or mode of the host's device nodes can be changed")
{
	struct stat status;
	if (stat("/dev/null", &status))
		refused();
	if (status.st_uid == 0)
		reached("/dev/null belongs to root of the sandbox");
	if (!chmod("/dev/null", status.st_mode & 07777) || !chown("/dev/null", 0, 0))
		escaped("/dev/null was changed");
	refused();
}

PROBE(reseed_random, "host", "the kernel's random numbers can be influenced by command")
{
	int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	judge_success(fd < 0 ? -1 : ioctl(fd, RNDRESEEDCRNG), "reseeded");
}

PROBE(terminals_of_the_host, "host", "a terminal of the host is in /dev/pts")
{
	char path[64];
	struct stat status;
	snprintf(path, sizeof path, "/dev/pts/%ld", told_number("PTS"));
	if (stat(path, &status))
		refused();
	judge_success(open(path, O_RDWR | O_NOCTTY | O_CLOEXEC), path);
}

PROBE(foreign_terminal_master, "none", "a terminal made through /dev/ptmx is one of the host's instance")
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), number = -1;
	if (master < 0 || ioctl(master, 0x80045430, &number))
		refused();
	char path[64];
	snprintf(path, sizeof path, "/dev/pts/%d", number);
	if (access(path, F_OK))
		escaped("terminal %d is not in /dev/pts", number);
	refused_because("its own instance");
}

PROBE(system_console, "host", "the console or a virtual terminal can be opened")
{
	const char *paths[] = {"/dev/console", "/dev/tty0", "/dev/tty1", "/dev/ttyS0", "/dev/vcs"};
	for (int i = 0; i < 5; i++)
		if (open(paths[i], O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC) >= 0)
			escaped("%s", paths[i]);
	refused();
}

PROBE(trim_the_file_system, "none", "commands to the file system below the volume are taken")
{
	struct {
		uint64_t start, length, minimum;
	} range = {0, 0, 0};
	int fd = open(told("VOLUME"), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		refused();
	if (ioctl(fd, 0xc0185879, &range) && (errno == EPERM || errno == EACCES || errno == ENOTTY || errno == EOPNOTSUPP))
		refused();
	reached("FITRIM went as far as %s", strerrorname_np(errno));
}
