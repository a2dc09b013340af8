/* Changing the mounts of the sandbox, uncovering what is masked, reaching what lies below or beside the root. */
#include "probe.h"
#include <linux/mount.h>
#define GROUP "mounts"
#define AT_RECURSIVE_ 0x8000

static void try_mount(const char *kind, const char *options)
{
	mkdir("/tmp/mountpoint", 0755);
	judge_reach(mount("none", "/tmp/mountpoint", kind, 0, options), "mounted");
}

#define MOUNT(name, kind, options, control) PROBE(mount_##name, control, "a " kind " can be mounted") { try_mount(kind, options); }
MOUNT(tmpfs, "tmpfs", NULL, "weak")
MOUNT(proc, "proc", NULL, "weak")
MOUNT(sysfs, "sysfs", NULL, "host")
MOUNT(devpts, "devpts", "newinstance", "weak")
MOUNT(mqueue, "mqueue", NULL, "weak")
MOUNT(cgroup2, "cgroup2", NULL, "weak")
MOUNT(cgroup1, "cgroup", "memory", "host")
MOUNT(devtmpfs, "devtmpfs", NULL, "host")
MOUNT(debugfs, "debugfs", NULL, "host")
MOUNT(tracefs, "tracefs", NULL, "host")
MOUNT(securityfs, "securityfs", NULL, "host")
MOUNT(binfmt_misc, "binfmt_misc", NULL, "weak")

PROBE(mount_overlay, "weak", "an overlay can be mounted")
{
	mkdir("/tmp/mountpoint", 0755);
	judge_reach(mount("none", "/tmp/mountpoint", "overlay", 0, "lowerdir=/etc:/dev,userxattr"), "mounted");
}

PROBE(bind_device_folder, "weak", "a bind mount can be made")
{
	mkdir("/tmp/mountpoint", 0755);
	judge_reach(mount("/etc", "/tmp/mountpoint", NULL, MS_BIND | MS_REC, NULL), "mounted");
}

PROBE(bind_proc_without_masks, "none", "a copy of /proc without what covers it can be mounted")
{
	mkdir("/tmp/mountpoint", 0755);
	if (mount("/proc", "/tmp/mountpoint", NULL, MS_BIND, NULL))
		refused();
	escaped("/proc without its masks is at /tmp/mountpoint");
}

PROBE(bind_over_mask, "weak", "a mask can be covered")
{
	close(open("/tmp/cover", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	judge_reach(mount("/tmp/cover", "/proc/uptime", NULL, MS_BIND, NULL), "/proc/uptime is covered");
}

PROBE(move_a_mount, "weak", "a mount can be moved away")
{
	mkdir("/tmp/mountpoint", 0755);
	judge_reach(mount("/dev/shm", "/tmp/mountpoint", NULL, MS_MOVE, NULL), "/dev/shm was moved");
}

PROBE(unmount_a_mask, "none", "the mask of /proc/keys can be removed")
{
	judge_success(umount2("/proc/keys", MNT_DETACH), "/proc/keys is uncovered");
}

PROBE(unmount_dev, "weak", "/dev can be unmounted") { judge_reach(umount2("/dev", MNT_DETACH), "/dev is gone"); }
PROBE(unmount_root, "none", "/ can be unmounted") { judge_reach(umount2("/", MNT_DETACH), "/ is gone"); }

PROBE(remount_proc_sys, "none", "/proc/sys can be made writable")
{
	judge_success(mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL), "it is writable");
}

PROBE(remount_sys, "weak", "/sys can be made writable")
{
	judge_success(mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL), "it is writable");
}

PROBE(remount_root, "weak", "set-user-id files and devices of / can be switched on")
{
	judge_reach(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL), "they are on");
}

PROBE(remount_superblock, "none", "the file system of /proc can be reconfigured")
{
	judge_reach(mount(NULL, "/proc", NULL, MS_REMOUNT, "hidepid=0"), "it was");
}

PROBE(share_mounts, "weak", "propagation of / can be changed")
{
	judge_reach(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), "it was");
}

PROBE(shared_with_host, "none", "a mount of the sandbox is a peer or a receiver of a mount outside")
{
	char text[65536];
	if (read_file("/proc/self/mountinfo", text, sizeof text) < 0)
		refused();
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strstr(line, " shared:") || strstr(line, " master:"))
			escaped("%s", line);
	refused_because("all are private");
}

PROBE(pivot, "weak", "pivot_root(2) can be called")
{
	mkdir("/tmp/mountpoint", 0755);
	long result = syscall(SYS_pivot_root, "/dev", "/dev/shm");
	if (result < 0 && (errno == EPERM || errno == ENOSYS))
		refused();
	reached("the kernel went as far as %s", result < 0 ? strerrorname_np(errno) : "doing it");
}

#define NEW_CALL(name, number, ...) PROBE(name, "weak", #name "(2) is answered by the kernel") { judge_call(syscall(number, __VA_ARGS__)); }
NEW_CALL(fsopen, 430, "tmpfs", 1)
NEW_CALL(fspick, 433, AT_FDCWD, "/proc", 0)
NEW_CALL(open_tree, 428, AT_FDCWD, "/proc", 1 | AT_RECURSIVE_)
NEW_CALL(move_mount, 429, AT_FDCWD, "/dev/shm", AT_FDCWD, "/tmp", 0)

PROBE(mount_setattr, "weak", "attributes of mounts can be cleared")
{
	uint64_t attributes[4] = {0, 1, 0, 0};
	judge_call(syscall(442, AT_FDCWD, "/sys", 0, attributes, sizeof attributes));
}

PROBE(list_host_mounts, "none", "listmount(2) names the mounts of the host's namespace")
{
	struct {
		uint32_t size, spare;
		uint64_t mount, parameter, namespace;
	} request = {32, 0, UINT64_MAX, 0, 8};
	uint64_t ids[256];
	judge_success(syscall(458, &request, ids, 256, 0), "mounts of the initial namespace were listed");
}

PROBE(dotdot, "none", "the host's canary is found above the root, by any number of ..")
{
	char path[PATH_MAX] = "";
	for (int i = 0; i < 40; i++) {
		char whole[2 * PATH_MAX];
		snprintf(whole, sizeof whole, "%s%s", i ? path : ".", told("CANARY"));
		if (is_canary(AT_FDCWD, whole))
			escaped("%s", whole);
		strcat(path, i ? "/.." : "..");
	}
	errno = ENOENT;
	refused();
}

PROBE(chroot_and_back, "none", "the host's canary is found after chroot and fchdir to a descriptor above")
{
	int above = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdir("/tmp/jail", 0755);
	if (chroot("/tmp/jail") || fchdir(above))
		refused();
	for (int i = 0; i < 64; i++)
		if (chdir(".."))
			break;
	if (chroot("."))
		refused();
	if (is_canary(AT_FDCWD, told("CANARY")))
		escaped("%s", told("CANARY"));
	refused_because("only the sandbox's root is there");
}

PROBE(roots_of_processes, "host", "the canary is found through /proc/PID/root or cwd of any process")
{
	char path[PATH_MAX];
	int looked = 0;
	DIR *processes = opendir("/proc");
	for (struct dirent *entry; processes && (entry = readdir(processes));) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		for (int i = 0; i < 3; i++) {
			const char *ways[] = {"root", "root/../..", "cwd/../../../../../../../../../.."};
			snprintf(path, sizeof path, "/proc/%s/%s%s", entry->d_name, ways[i], told("CANARY"));
			looked++;
			if (is_canary(AT_FDCWD, path))
				escaped("%s", path);
		}
	}
	refused_because("%d paths looked at", looked);
}

PROBE(inode_by_handle, "host", "the root of the volume's file system can be opened by handle")
{
	struct {
		unsigned bytes;
		int type;
		uint32_t inode, generation;
	} handle = {8, 1, 2, 0};
	const char *places[] = {told("VOLUME"), "/", "/etc/hosts"};
	for (int i = 0; i < 3; i++) {
		int anchor = open(places[i], O_RDONLY | O_CLOEXEC);
		if (anchor >= 0 && syscall(SYS_open_by_handle_at, anchor, &handle, O_RDONLY) >= 0)
			escaped("inode 2 behind %s was opened", places[i]);
	}
	refused();
}

PROBE(volume_dotdot, "none", "the canary beside the volume is found through the volume")
{
	char path[PATH_MAX];
	int volume = open(told("VOLUME"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (volume < 0)
		refused();
	const char *file = strrchr(told("CANARY"), '/') + 1;
	snprintf(path, sizeof path, "../%s", file);
	if (is_canary(volume, path))
		escaped("%s", path);
	if (!fchdir(volume) && is_canary(AT_FDCWD, path))
		escaped("%s", path);
	refused();
}

PROBE(volume_set_user_id, "none", "the mount of the volume honours set-user-id files or devices")
{
	char text[65536], point[PATH_MAX];
	if (read_file("/proc/self/mountinfo", text, sizeof text) < 0)
		refused();
	snprintf(point, sizeof point, " %s ", told("VOLUME"));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strstr(line, point) && !(strstr(line, "nosuid") && strstr(line, "nodev")))
			escaped("%s", line);
	refused_because("nosuid and nodev");
}
