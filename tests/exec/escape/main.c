/* probe [NAME=VALUE...] --list | --wait | --host FOLDER SECRET | --session NAME SECRET COMMAND... | --posture PATH... | --watch |
 * --exchange TARGET | --descriptors | PROBE...|GROUP...|all */
#include "probe.h"

#define SECONDS_EACH 10

extern const struct probe __start_probes[], __stop_probes[];
int serve_host(const char *folder, const char *secret);
int start_session(char **words);
int show_posture(char **paths);
int watch_others(void);
int exchange_for_ever(const char *target);
int judge_descriptors(void);
static const char *current_name;

static _Noreturn void verdict(const char *kind, const char *format, va_list values)
{
	char text[2000];
	vsnprintf(text, sizeof text, format, values);
	for (char *c = text; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
	dprintf(1, "%s\t%s\t%s\n", current_name, kind, text);
	_exit(0);
}

#define VERDICT(function, kind)                                                                              \
	void function(const char *format, ...)                                                               \
	{                                                                                                    \
		va_list values;                                                                              \
		va_start(values, format);                                                                    \
		verdict(kind, format, values);                                                               \
	}
VERDICT(escaped, "ESCAPED")
VERDICT(reached, "REACHED")
VERDICT(attempted, "attempted")
VERDICT(refused_because, "refused")

void refused(void)
{
	const char *name = strerrorname_np(errno);
	refused_because("%s", name ? name : "unknown error");
}

const char *told(const char *name)
{
	const char *value = getenv(name);
	if (!value) {
		dprintf(1, "%s\terror\tthe caller did not tell %s\n", current_name, name);
		_exit(0);
	}
	return value;
}

long told_number(const char *name)
{
	return strtol(told(name), NULL, 10);
}

ssize_t read_file(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	ssize_t total = 0, n = 0;
	while ((size_t)total < size - 1 && (n = read(fd, buffer + total, size - 1 - total)) > 0)
		total += n;
	int saved = errno;
	close(fd);
	errno = saved;
	if (n < 0 && !total)
		return -1;
	buffer[total] = 0;
	return total;
}

int is_canary(int dirfd, const char *path)
{
	char content[8] = "";
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0;
	int found = read(fd, content, 7) == 7 && !memcmp(content, "canary-", 7);
	close(fd);
	return found;
}

void try_to_open_for_writing(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		refused();
	escaped("%s can be opened for writing", path);
}

void judge_call(long result)
{
	if (result < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS))
		refused();
	if (result < 0)
		reached("the kernel answered %s", strerrorname_np(errno));
	reached("the call succeeded with %ld", result);
}

void judge_success(long result, const char *evidence)
{
	if (result < 0)
		refused();
	escaped("%s", evidence);
}

void judge_reach(long result, const char *evidence)
{
	if (result < 0)
		refused();
	reached("%s", evidence);
}

static void run_one(const struct probe *probe)
{
	current_name = probe->name;
	signal(SIGUSR1, SIG_IGN); /* some attempts signal everybody */
	pid_t child = fork();
	if (!child) {
		if (getenv("OWN_MOUNTS")) /* in controls, where mounting works: what one does must not change the next */
			if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
				refused_because("the control cannot have mounts of its own: %s", strerrorname_np(errno));
		if (getenv("CONTROL_SCRATCH") && mount(getenv("CONTROL_SCRATCH"), "/tmp", NULL, MS_BIND, NULL))
			refused_because("the control has no /tmp of its own: %s", strerrorname_np(errno));
		alarm(SECONDS_EACH);
		probe->run();
		dprintf(1, "%s\terror\tno verdict\n", probe->name);
		_exit(0);
	}
	int status;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		dprintf(1, "%s\t%s\tkilled by signal %d\n", probe->name, WTERMSIG(status) == SIGALRM ? "error" : "refused",
			WTERMSIG(status));
	else if (WEXITSTATUS(status))
		dprintf(1, "%s\terror\tended with %d\n", probe->name, WEXITSTATUS(status));
}

int main(int count, char **words)
{
	for (int i = 1; i < count; i++) {
		if (strchr(words[i], '='))
			putenv(words[i]);
		else if (!strcmp(words[i], "--wait")) {
			dprintf(1, "waiting\n");
			for (;;)
				if (waitpid(-1, NULL, 0) < 0)
					pause();
		} else if (!strcmp(words[i], "--host"))
			return serve_host(words[i + 1], words[i + 2]);
		else if (!strcmp(words[i], "--session"))
			return start_session(words + i + 1);
		else if (!strcmp(words[i], "--posture"))
			return show_posture(words + i + 1);
		else if (!strcmp(words[i], "--watch"))
			return watch_others();
		else if (!strcmp(words[i], "--exchange"))
			return exchange_for_ever(words[i + 1]);
		else if (!strcmp(words[i], "--descriptors"))
			return judge_descriptors();
		else if (!strcmp(words[i], "--list")) {
			for (const struct probe *p = __start_probes; p < __stop_probes; p++)
				dprintf(1, "%s\t%s\t%s\t%s\n", p->group, p->name, p->control, p->criterion);
		} else {
			int found = 0;
			for (const struct probe *p = __start_probes; p < __stop_probes; p++)
				if (!strcmp(words[i], p->name) || !strcmp(words[i], p->group) || !strcmp(words[i], "all")) {
					run_one(p);
					found = 1;
				}
			if (!found) {
				dprintf(2, "no probe %s\n", words[i]);
				return 9;
			}
		}
	}
	return 0;
}
