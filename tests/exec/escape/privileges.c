/* Getting more rights than the program was started with. */
#include "probe.h"
#include <linux/capability.h>
#include <sys/xattr.h>
#define GROUP "privileges"

static uint64_t set_of(const char *label)
{
	char text[8192];
	if (read_file("/proc/self/status", text, sizeof text) < 0)
		return 0;
	char *line = strstr(text, label);
	return line ? strtoull(line + strlen(label), NULL, 16) : 0;
}

PROBE(all_capabilities, "none", "capset(2) gives a capability that was not there")
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{~0u, ~0u, ~0u}, {0x1ff, 0x1ff, 0x1ff}};
	judge_success(syscall(SYS_capset, &header, data), "capset took every capability");
}

PROBE(one_more_capability, "none", "capset(2) gives CAP_SYS_ADMIN")
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	uint32_t want = (uint32_t)set_of("CapPrm:\t") | 1u << CAP_SYS_ADMIN;
	struct __user_cap_data_struct data[2] = {{want, want, 0}, {0, 0, 0}};
	if (set_of("CapPrm:\t") >> CAP_SYS_ADMIN & 1)
		reached("CAP_SYS_ADMIN is there already");
	judge_success(syscall(SYS_capset, &header, data), "capset took CAP_SYS_ADMIN");
}

PROBE(more_than_documented, "weak", "a set has more than the eleven documented capabilities")
{
	const char *labels[] = {"CapInh:\t", "CapPrm:\t", "CapEff:\t", "CapBnd:\t", "CapAmb:\t"};
	for (int i = 0; i < 5; i++) {
		uint64_t extra = set_of(labels[i]) & ~(i == 0 || i == 4 ? 0ULL : 0x800405fbULL);
		if (extra)
			reached("%.6s has %llx", labels[i], (unsigned long long)extra);
	}
	refused_because("none");
}

PROBE(inheritable_capabilities, "none", "a capability outside the bounding set can be made inheritable")
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	uint32_t have = (uint32_t)set_of("CapPrm:\t");
	struct __user_cap_data_struct data[2] = {{have, have, have | 1u << CAP_SYS_ADMIN}, {0, 0, 0}};
	judge_reach(syscall(SYS_capset, &header, data), "CAP_SYS_ADMIN is inheritable");
}

PROBE(ambient_capabilities, "none", "CAP_SYS_ADMIN can be raised in the ambient set")
{
	judge_reach(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0), "raised");
}

PROBE(new_privileges, "none", "no_new_privs can be switched off, or is off")
{
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		reached("no_new_privs is off");
	judge_success(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), "switched off");
}

PROBE(unmapped_ids, "host", "an id of the host outside the map can be taken")
{
	const uid_t ids[] = {65536, 100000, 1879048192, 4294967293u};
	for (int i = 0; i < 4; i++)
		if (!setresuid(ids[i], ids[i], ids[i]))
			escaped("uid %u", ids[i]);
	refused();
}

static void run_as_other(const char *program)
{
	char text[128] = "";
	int out[2];
	if (pipe(out))
		refused();
	pid_t child = fork();
	if (!child) {
		dup2(out[1], 1);
		unsetenv("OWN_MOUNTS");
		unsetenv("CONTROL_SCRATCH");
		close(out[0]);
		close(out[1]);
		if (setgid(1000) || setuid(1000)) {
			dprintf(1, "cannot become 1000: %s", strerrorname_np(errno));
			_exit(0);
		}
		execl(program, program, "rights", NULL);
		dprintf(1, "cannot execute: %s", strerrorname_np(errno));
		_exit(0);
	}
	close(out[1]);
	waitpid(child, NULL, 0);
	if (read(out[0], text, sizeof text - 1) < 0)
		refused();
	if (strstr(text, "GAINED"))
		escaped("%s", text);
	refused_because("%s", text);
}

/* Executed by run_as_other as uid 1000, from a file that promises more. */
PROBE(rights, "outside", "")
{
	if (geteuid() != getuid() || getuid() == 0)
		attempted("GAINED euid %d uid %d", geteuid(), getuid());
	if (getuid() == 1000 && set_of("CapPrm:\t"))
		attempted("GAINED capabilities %llx", (unsigned long long)set_of("CapPrm:\t"));
	attempted("uid %d, euid %d, nothing gained", getuid(), geteuid());
}

static int copy_probe(const char *path)
{
	char buffer[65536];
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (from < 0 || to < 0)
		return -1;
	for (ssize_t n; (n = read(from, buffer, sizeof buffer)) > 0;)
		if (write(to, buffer, n) != n)
			return -1;
	close(from);
	return to;
}

PROBE(set_user_id_file, "host", "a set-user-id file of root, written by the program, gives root's id to uid 1000")
{
	int fd = copy_probe("/tmp/set-user-id");
	if (fd < 0 || fchmod(fd, 06755))
		refused();
	close(fd);
	run_as_other("/tmp/set-user-id");
}

PROBE(file_with_capabilities, "host", "a file with capabilities, written by the program, gives them to uid 1000")
{
	struct {
		uint32_t magic, permitted, inheritable, permitted2, inheritable2;
	} capabilities = {0x02000001, 0x800405fb, 0, 0, 0};
	int fd = copy_probe("/tmp/with-capabilities");
	if (fd < 0)
		refused();
	fchmod(fd, 0755);
	int failed = fsetxattr(fd, "security.capability", &capabilities, sizeof capabilities, 0);
	close(fd);
	if (failed)
		refused();
	run_as_other("/tmp/with-capabilities");
}

PROBE(change_own_program, "none", "the mapping of the own program can be replaced through prctl(PR_SET_MM)")
{
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	judge_success(prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, fd, 0, 0), "replaced");
}

PROBE(host_name, "weak", "the host name can be changed")
{
	char name[65];
	gethostname(name, sizeof name);
	judge_reach(sethostname(name, strlen(name)), "set");
}

PROBE(domain_name, "weak", "the domain name can be changed") { judge_reach(setdomainname("(none)", 6), "set"); }

PROBE(append_only_flag, "none", "files can be made immutable")
{
	int fd = open("/tmp/immutable", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	long flags = 0x10;
	judge_reach(ioctl(fd, 0x40086602, &flags), "it is immutable");
}
