/* Sockets and shared memory: families that reach past a network namespace, listeners and objects of the host. */
#include "probe.h"
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/un.h>
#define GROUP "sockets"

static void try_socket(long family, int type, int protocol)
{
	long fd = syscall(SYS_socket, family, type, protocol);
	if (fd < 0)
		refused();
	reached("a socket of family %ld was made", family);
}

#define SOCKET(name, family, type, protocol) \
	PROBE(socket_##name, "host", "a " #family " socket can be made") { try_socket(family, type, protocol); }
SOCKET(vsock, AF_VSOCK, SOCK_STREAM, 0)
SOCKET(packet, AF_PACKET, SOCK_RAW, 0)
SOCKET(packet_datagram, AF_PACKET, SOCK_DGRAM, 0)
SOCKET(alg, AF_ALG, SOCK_SEQPACKET, 0)
SOCKET(key, AF_KEY, SOCK_RAW, 2)
SOCKET(raw_ip, AF_INET, SOCK_RAW, IPPROTO_ICMP)
SOCKET(raw_ip6, AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)
SOCKET(xdp, AF_XDP, SOCK_RAW, 0)
SOCKET(tipc, AF_TIPC, SOCK_STREAM, 0)
SOCKET(can, AF_CAN, SOCK_RAW, 1)
SOCKET(bluetooth, AF_BLUETOOTH, SOCK_RAW, 1)

PROBE(socket_other_families, "host", "a socket of a family besides UNIX, INET, INET6, NETLINK can be made")
{
	int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET};
	for (int family = 1; family < 64; family++)
		for (int i = 0; i < 4; i++) {
			if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
				continue;
			if (socket(family, types[i] | SOCK_CLOEXEC, 0) >= 0)
				reached("family %d", family);
		}
	refused();
}

PROBE(socket_high_bits, "host", "an AF_VSOCK or AF_ALG socket can be made with bits set that the kernel ignores")
{
	long fd = syscall(SYS_socket, AF_VSOCK | 1L << 32, SOCK_STREAM, 0);
	if (fd < 0)
		fd = syscall(SYS_socket, AF_ALG | 1L << 32, SOCK_SEQPACKET, 0);
	if (fd < 0)
		refused();
	reached("made");
}

PROBE(socketpair_vsock, "host", "socketpair(2) makes sockets of another family than UNIX")
{
	int pair[2];
	for (int family = 2; family < 46; family++)
		if (!socketpair(family, SOCK_STREAM, 0, pair) || !socketpair(family, SOCK_SEQPACKET, 0, pair))
			reached("family %d", family);
	refused();
}

PROBE(netlink_audit, "host", "a netlink socket of the audit system can be made and answers")
{
	struct {
		struct nlmsghdr header;
		char rest[64];
	} message = {{.nlmsg_len = 16, .nlmsg_type = 1000, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK}, ""};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
	if (fd < 0 || send(fd, &message, 16, 0) < 0 || recv(fd, &message, sizeof message, MSG_DONTWAIT) < 0)
		refused();
	int error = *(int *)message.rest;
	if (message.header.nlmsg_type == NLMSG_ERROR && error) {
		errno = -error;
		refused();
	}
	reached("it answers");
}

PROBE(netlink_uevent, "none", "a device event sent from inside is taken")
{
	const char *event = "add@/devices/envgit-probe\0ACTION=add\0DEVPATH=/devices/envgit-probe\0SUBSYSTEM=mem\0";
	struct sockaddr_nl everyone = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	if (fd < 0)
		refused();
	struct sockaddr_nl self = {.nl_family = AF_NETLINK, .nl_groups = 2};
	bind(fd, (struct sockaddr *)&self, sizeof self);
	judge_reach(sendto(fd, event, 80, 0, (struct sockaddr *)&everyone, sizeof everyone), "it was");
}

PROBE(netlink_new_link, "none", "a network interface can be made")
{
	struct {
		struct nlmsghdr header;
		unsigned char family, pad;
		unsigned short type;
		int index;
		unsigned flags, change;
		char attributes[64];
	} message = {.header = {.nlmsg_type = 16, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | 0x600}};
	/* IFLA_LINKINFO { IFLA_INFO_KIND "dummy" } */
	unsigned short info[] = {14, 18, 10, 1};
	memcpy(message.attributes, info, 8);
	memcpy(message.attributes + 8, "dummy", 6);
	message.header.nlmsg_len = 32 + 16;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0 || send(fd, &message, message.header.nlmsg_len, 0) < 0 || recv(fd, &message, sizeof message, 0) < 0)
		refused();
	int error;
	memcpy(&error, &message.family, 4);
	errno = -error;
	if (error == -EOPNOTSUPP)
		reached("allowed, but this kernel has no such interface");
	judge_reach(error ? -1 : 0, "an interface was made");
}

static void try_connect(int family, const void *address, socklen_t size, int type)
{
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	int failed = connect(fd, address, size);
	if (failed && errno == EINPROGRESS) {
		struct pollfd wait = {fd, POLLOUT, 0};
		int error = ETIMEDOUT;
		socklen_t length = sizeof error;
		if (poll(&wait, 1, 300) == 1)
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
		failed = (errno = error) != 0;
	}
	char text[80] = "";
	struct pollfd answer = {fd, POLLIN, 0};
	if (!failed && send(fd, "hello", 5, MSG_NOSIGNAL) == 5 && poll(&answer, 1, 300) == 1 && recv(fd, text, 79, 0) > 0)
		if (!strncmp(text, "canary-", 7))
			escaped("the listener of the host answered: %.60s", text);
	int saved = errno;
	close(fd);
	errno = saved ? saved : ECONNREFUSED;
}

PROBE(abstract_socket, "host", "the abstract UNIX socket of a process of the host answers")
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t n = strlen(told("ABSTRACT"));
	memcpy(address.sun_path + 1, told("ABSTRACT"), n);
	try_connect(AF_UNIX, &address, offsetof(struct sockaddr_un, sun_path) + 1 + n, SOCK_STREAM);
	refused();
}

PROBE(socket_in_a_folder, "host", "the UNIX socket in a folder of the host answers")
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strncpy(address.sun_path, told("SOCKET"), sizeof address.sun_path - 1);
	try_connect(AF_UNIX, &address, sizeof address, SOCK_STREAM);
	refused();
}

static void try_host(const char *ip, int type)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(told_number(type == SOCK_STREAM ? "TCP" : "UDP"))};
	inet_pton(AF_INET, ip, &address.sin_addr);
	try_connect(AF_INET, &address, sizeof address, type);
}

PROBE(loopback_tcp, "host", "a listener on 127.0.0.1 of the host answers")
{
	try_host("127.0.0.1", SOCK_STREAM);
	try_host("0.0.0.0", SOCK_STREAM);
	refused();
}

PROBE(loopback_udp, "host", "a datagram socket on 127.0.0.1 of the host answers")
{
	try_host("127.0.0.1", SOCK_DGRAM);
	refused();
}

PROBE(loopback_ip6, "host", "a listener on 127.0.0.1 of the host answers at ::1 or a mapped address")
{
	const char *texts[] = {"::1", "::ffff:127.0.0.1"};
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(told_number("TCP"))};
		inet_pton(AF_INET6, texts[i], &address.sin6_addr);
		try_connect(AF_INET6, &address, sizeof address, SOCK_STREAM);
	}
	refused();
}

PROBE(loopback_by_gateway, "none", "a listener on 127.0.0.1 of the host answers at an address of the network's gateway")
{
	char text[4096] = "", ip[32];
	unsigned gateway;
	if (read_file("/proc/net/route", text, sizeof text) > 0)
		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
			if (sscanf(line, "%*s %*x %8x", &gateway) == 1 && gateway) {
				struct in_addr address = {gateway};
				inet_ntop(AF_INET, &address, ip, sizeof ip);
				try_host(ip, SOCK_STREAM);
				try_host(ip, SOCK_DGRAM);
			}
	const char *known[] = {"10.0.2.2", "10.0.2.3", "169.254.1.1", "169.254.1.2", "169.254.2.1", "192.168.127.254"};
	for (int i = 0; i < 6; i++)
		try_host(known[i], SOCK_STREAM);
	refused();
}

PROBE(sysv_memory, "host", "a System V shared memory segment of the host can be attached")
{
	int id = shmget(told_number("IPC_KEY"), 0, 0);
	char *memory = id < 0 ? (char *)-1 : shmat(id, NULL, SHM_RDONLY);
	if (memory == (char *)-1)
		refused();
	escaped("%.30s", memory);
}

PROBE(sysv_memory_by_number, "none", "a System V shared memory segment can be attached by its number")
{
	char *memory = shmat(told_number("SHM_ID"), NULL, SHM_RDONLY);
	if (memory == (char *)-1)
		refused();
	escaped("%.30s", memory);
}

PROBE(sysv_messages, "host", "a System V message queue of the host can be opened")
{
	judge_success(msgget(told_number("IPC_KEY"), 0), "opened");
}

PROBE(sysv_semaphores, "host", "System V semaphores of the host can be opened")
{
	judge_success(semget(told_number("IPC_KEY"), 0, 0), "opened");
}

PROBE(posix_queue, "host", "a POSIX message queue of the host can be opened")
{
	judge_success(syscall(SYS_mq_open, told("QUEUE"), O_RDONLY, 0, NULL), "opened");
}

PROBE(posix_memory, "host", "a POSIX shared memory object of the host can be opened")
{
	char path[200];
	snprintf(path, sizeof path, "/dev/shm/%s", told("SHM_NAME"));
	judge_success(open(path, O_RDONLY | O_CLOEXEC), "opened");
}
