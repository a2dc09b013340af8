/* probe --host FOLDER: what the host has and no sandbox may touch. Prints NAME=VALUE lines for the probes, serves its sockets
 * until standard input ends, then removes its objects. Each contact is answered with the secret and said: "contact NAME". */
#include "probe.h"
#include <arpa/inet.h>
#include <linux/keyctl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/un.h>

static void need(long result, const char *what)
{
	if (result < 0) {
		dprintf(1, "failed %s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static int listener(int family, int type, void *address, socklen_t size, const char *what)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);
	need(bind(fd, address, size), what);
	if (type == SOCK_STREAM)
		need(listen(fd, 8), what);
	return fd;
}

static int inet_port(int fd)
{
	struct sockaddr_in address;
	socklen_t size = sizeof address;
	getsockname(fd, (struct sockaddr *)&address, &size);
	return ntohs(address.sin_port);
}

static void serve(struct pollfd *fds, const char **names, const char *secret)
{
	char text[100];
	for (;;) {
		poll(fds, 5, -1);
		for (int i = 0; i < 4; i++) {
			if (!(fds[i].revents & POLLIN))
				continue;
			if (i < 3) {
				int peer = accept(fds[i].fd, NULL, NULL);
				dprintf(1, "contact %s\n", names[i]); /* before the answer: who has read that finds this line */
				send(peer, secret, strlen(secret), MSG_NOSIGNAL);
				recv(peer, text, sizeof text, 0);
				close(peer);
			} else {
				struct sockaddr_in from;
				socklen_t size = sizeof from;
				recvfrom(fds[i].fd, text, sizeof text, 0, (struct sockaddr *)&from, &size);
				dprintf(1, "contact %s\n", names[i]);
				sendto(fds[i].fd, secret, strlen(secret), 0, (struct sockaddr *)&from, size);
			}
		}
		if (fds[4].revents && read(0, text, sizeof text) <= 0)
			return;
	}
}

/* Become a command whose session keyring has a key NAME with the secret. */
int start_session(char **words)
{
	need(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL), "session keyring");
	need(syscall(SYS_add_key, "user", words[0], words[1], strlen(words[1]), KEY_SPEC_SESSION_KEYRING), "add_key");
	execvp(words[2], words + 2);
	need(-1, words[2]);
	return 1;
}

int serve_host(const char *folder, const char *secret)
{
	char name[100], path[PATH_MAX];
	snprintf(name, sizeof name, "envgit-escape-%d", getpid());
	dprintf(1, "CANARY=%s/canary\nHOST_FOLDER=%s\nSESSION_KEY_NAME=%s-session\n", folder, folder, name);

	struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un abstract = {.sun_family = AF_UNIX}, filed = {.sun_family = AF_UNIX};
	strcpy(abstract.sun_path + 1, name);
	snprintf(filed.sun_path, sizeof filed.sun_path, "%s/socket", folder);
	const char *names[] = {"tcp", "abstract", "socket", "udp"};
	struct pollfd fds[5] = {
		{listener(AF_INET, SOCK_STREAM, &inet, sizeof inet, "tcp"), POLLIN, 0},
		{listener(AF_UNIX, SOCK_STREAM, &abstract, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name), "abstract"), POLLIN, 0},
		{listener(AF_UNIX, SOCK_STREAM, &filed, sizeof filed, "socket"), POLLIN, 0},
		{listener(AF_INET, SOCK_DGRAM, &inet, sizeof inet, "udp"), POLLIN, 0},
		{0, POLLIN, 0},
	};
	dprintf(1, "TCP=%d\nUDP=%d\nABSTRACT=%s\nSOCKET=%s\n", inet_port(fds[0].fd), inet_port(fds[3].fd), name, filed.sun_path);

	key_t key = 0x45000000 | getpid();
	int memory = shmget(key, 4096, IPC_CREAT | 0666), queue = msgget(key, IPC_CREAT | 0666), lock = semget(key, 1, IPC_CREAT | 0666);
	need(memory, "shmget"), need(queue, "msgget"), need(lock, "semget");
	char *text = shmat(memory, NULL, 0);
	strcpy(text, secret);
	dprintf(1, "IPC_KEY=%d\nSHM_ID=%d\n", key, memory);

	snprintf(path, sizeof path, "/%s", name);
	mqd_t posix_queue = mq_open(path, O_CREAT | O_RDWR, 0666, NULL);
	need(posix_queue, "mq_open");
	dprintf(1, "QUEUE=%s\nSHM_NAME=%s\n", name, name);
	char shared[200];
	snprintf(shared, sizeof shared, "/dev/shm/%s", name);
	int fd = open(shared, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
	need(fd, shared);
	need(write(fd, secret, strlen(secret)), shared);

	long stored = syscall(SYS_add_key, "user", name, secret, strlen(secret), KEY_SPEC_SESSION_KEYRING);
	need(stored, "add_key");
	syscall(SYS_keyctl, KEYCTL_SETPERM, stored, 0x3f3f0000);
	syscall(SYS_keyctl, KEYCTL_LINK, stored, KEY_SPEC_USER_KEYRING);
	dprintf(1, "KEY=%ld\nKEY_NAME=%s\n", stored, name);

	pid_t victim = fork();
	if (!victim) {
		sigset_t all;
		sigfillset(&all);
		sigdelset(&all, SIGTERM);
		sigprocmask(SIG_BLOCK, &all, NULL);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		for (;;)
			pause();
	}
	dprintf(1, "VICTIM=%d\nVICTIM_ADDRESS=%ld\nready\n", victim, (long)name);
	serve(fds, names, secret);
	kill(victim, SIGTERM);
	waitpid(victim, NULL, 0);
	shmctl(memory, IPC_RMID, NULL);
	msgctl(queue, IPC_RMID, NULL);
	semctl(lock, 0, IPC_RMID);
	mq_unlink(path);
	unlink(shared);
	syscall(SYS_keyctl, KEYCTL_INVALIDATE, stored); /* gone at once; a revoked one counts for minutes */
	return 0;
}
