/* Kernel settings and kernel data below /proc and /sys. Files are opened for writing, never written. */
#include "probe.h"
#include <ftw.h>
#define GROUP "settings"

#define SETTING(name, path) PROBE(name, "host", path " can be opened for writing") { try_to_open_for_writing(path); }

SETTING(core_pattern, "/proc/sys/kernel/core_pattern")
SETTING(modprobe_path, "/proc/sys/kernel/modprobe")
SETTING(poweroff_command, "/proc/sys/kernel/poweroff_cmd")
SETTING(hotplug_helper, "/proc/sys/kernel/hotplug")
SETTING(uevent_helper, "/sys/kernel/uevent_helper")
SETTING(uevent_file, "/sys/devices/virtual/mem/null/uevent")
SETTING(binfmt_register, "/proc/sys/fs/binfmt_misc/register")
SETTING(sysrq_trigger, "/proc/sysrq-trigger")
SETTING(sysrq_setting, "/proc/sys/kernel/sysrq")
SETTING(panic_setting, "/proc/sys/vm/panic_on_oom")
SETTING(namespace_limit, "/proc/sys/user/max_user_namespaces")
SETTING(power_state, "/sys/power/state")
SETTING(timer_migration, "/proc/sys/kernel/timer_migration")

static int open_for_writing(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	(void)where;
	if (kind != FTW_F || !S_ISREG(status->st_mode))
		return 0;
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		escaped("%s can be opened for writing", path);
	return 0;
}

static void sweep(const char *folder)
{
	nftw(folder, open_for_writing, 64, FTW_PHYS);
	errno = EROFS;
	refused();
}

PROBE(any_proc_sys, "host", "a file below /proc/sys can be opened for writing") { sweep("/proc/sys"); }
PROBE(any_sys, "host", "a file below /sys can be opened for writing") { sweep("/sys"); }

PROBE(any_proc_file, "host", "a file of /proc itself can be opened for writing")
{
	DIR *folder = opendir("/proc");
	if (!folder)
		refused();
	char path[300];
	for (struct dirent *entry; (entry = readdir(folder));) {
		struct stat status;
		snprintf(path, sizeof path, "/proc/%s", entry->d_name);
		if (lstat(path, &status) || !S_ISREG(status.st_mode))
			continue;
		if (open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK) >= 0)
			escaped("%s can be opened for writing", path);
	}
	errno = EACCES;
	refused();
}

PROBE(proc_folders, "host", "a file below /proc/{fs,irq,bus,driver} can be opened for writing")
{
	const char *folders[] = {"/proc/fs", "/proc/irq", "/proc/bus", "/proc/driver"};
	for (int i = 0; i < 4; i++)
		nftw(folders[i], open_for_writing, 64, FTW_PHYS);
	errno = EROFS;
	refused();
}

PROBE(release_agent, "host", "a release_agent of a control group can be opened for writing")
{
	const char *folders[] = {"", "/cpu", "/memory", "/pids", "/systemd", "/freezer", "/rdma", "/unified"};
	char path[200];
	int error = ENOENT;
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		snprintf(path, sizeof path, "/sys/fs/cgroup%s/release_agent", folders[i]);
		if (open(path, O_WRONLY | O_CLOEXEC) >= 0)
			escaped("%s can be opened for writing", path);
		if (errno != ENOENT)
			error = errno;
	}
	errno = error;
	refused();
}

PROBE(cgroup_procs, "host", "cgroup.procs of the root of a hierarchy can be opened for writing")
{
	const char *folders[] = {"", "/cpu", "/memory", "/pids", "/systemd", "/unified"};
	char path[200];
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		snprintf(path, sizeof path, "/sys/fs/cgroup%s/cgroup.procs", folders[i]);
		if (open(path, O_WRONLY | O_CLOEXEC) >= 0)
			escaped("%s can be opened for writing", path);
	}
	refused();
}

static void must_be_empty(const char *path)
{
	struct stat status;
	if (stat(path, &status))
		refused();
	if (S_ISDIR(status.st_mode)) {
		DIR *folder = opendir(path);
		if (!folder)
			refused();
		for (struct dirent *entry; (entry = readdir(folder));)
			if (entry->d_name[0] != '.')
				escaped("%s shows %s", path, entry->d_name);
		refused_because("empty");
	}
	char text[64];
	ssize_t n = read_file(path, text, sizeof text);
	if (n < 0)
		refused();
	if (n == 0)
		refused_because("empty");
	escaped("%s can be read", path);
}

#define MASKED(name, path) PROBE(name, "host", path " shows something") { must_be_empty(path); }

MASKED(read_kcore, "/proc/kcore")
MASKED(read_keys, "/proc/keys")
MASKED(read_timer_list, "/proc/timer_list")
MASKED(read_interrupts, "/proc/interrupts")
MASKED(read_sched_debug, "/proc/sched_debug")
MASKED(read_latency_stats, "/proc/latency_stats")
MASKED(read_acpi, "/proc/acpi")
MASKED(read_scsi, "/proc/scsi")
MASKED(read_firmware, "/sys/firmware")
MASKED(read_powercap, "/sys/devices/virtual/powercap")
MASKED(read_kmsg, "/proc/kmsg")
MASKED(read_debugfs, "/sys/kernel/debug")
MASKED(read_tracefs, "/sys/kernel/tracing")
MASKED(read_securityfs, "/sys/kernel/security")
MASKED(read_bpffs, "/sys/fs/bpf")
MASKED(read_page_counts, "/proc/kpagecount")

PROBE(kernel_addresses, "host", "/proc/kallsyms shows an address")
{
	char text[4096];
	ssize_t n = read_file("/proc/kallsyms", text, sizeof text);
	if (n <= 0)
		refused();
	for (char *line = text; line && line[0]; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (strlen(line) > 40 && strspn(line, "0") < 16)
			escaped("%.60s", line);
	refused_because("addresses are hidden");
}

PROBE(physical_frames, "host", "/proc/self/pagemap shows a page frame number")
{
	static volatile char page[4096];
	page[0] = 1;
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &entry, 8, (uintptr_t)page / 4096 * 8) != 8)
		refused();
	if (entry & ((1ULL << 55) - 1))
		escaped("frame %llx", (unsigned long long)(entry & ((1ULL << 55) - 1)));
	refused_because("frame numbers are hidden");
}
