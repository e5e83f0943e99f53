/*
 * mortal SEED ROUNDS PORT: in each round start a process that does random socket work with children and a thread of
 * its own, kill all of them with SIGKILL after 0 to 25 ms, then look whether anything of them is left:
 *
 *   - connections they had to this process end (end of stream or reset);
 *   - the TCP ports PORT .. PORT+3 they listened on can be bound and listened on, the UDP ports likewise;
 *   - their abstract names can be bound; their path names are files of dead sockets (connection refused).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PORTS = 4, NAMES = 4, FDS = 64 };

static int base_port, home_port;
static uint64_t seed;

static uint64_t next(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static void fail(const char *what, int round)
{
	fprintf(stderr, "mortal: %s in round %d: %s (seed %llu)\n", what, round, strerror(errno), (unsigned long long)seed);
	exit(1);
}

static struct sockaddr_in inet(int port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	return name;
}

static socklen_t local(struct sockaddr_un *name, int abstract, int n)
{
	memset(name, 0, sizeof *name);
	name->sun_family = AF_UNIX;
	int size = snprintf(name->sun_path + abstract, sizeof name->sun_path - 1, "name-%d-%d", base_port, n);
	return offsetof(struct sockaddr_un, sun_path) + abstract + size + !abstract;
}

/* ---- the part that dies ---- */

struct worker {
	uint64_t random;
	int fds[FDS];
	char buffer[65536];
};

static int keep(struct worker *w, int fd)
{
	if (fd < 0)
		return fd;
	int *slot = &w->fds[next(&w->random) % FDS];
	if (*slot >= 0)
		close(*slot);
	return *slot = fd;
}

static int any(struct worker *w)
{
	return w->fds[next(&w->random) % FDS];
}

static void send_fd(struct worker *w, int through, int fd)
{
	union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec iov = { w->buffer, 100 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	sendmsg(through, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void step(struct worker *w)
{
	struct sockaddr_in in;
	struct sockaddr_un un;
	socklen_t size;
	int one = 1, pair[2], fd, n = next(&w->random) % 4;
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM };
	struct iovec iov = { w->buffer, sizeof w->buffer };
	char control[CMSG_SPACE(8 * sizeof(int))];
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };

	switch (next(&w->random) % 20) {
	case 0: /* listen on one of the ports */
		fd = keep(w, socket(AF_INET, SOCK_STREAM, 0));
		in = inet(base_port + n);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		if (bind(fd, (void *)&in, sizeof in) == 0)
			listen(fd, 8);
		break;
	case 1: /* a datagram port, with something in its queue */
		fd = keep(w, socket(AF_INET, SOCK_DGRAM, 0));
		in = inet(base_port + n);
		bind(fd, (void *)&in, sizeof in);
		sendto(fd, w->buffer, 1000, MSG_DONTWAIT, (void *)&in, sizeof in);
		break;
	case 2: /* abstract name */
		fd = keep(w, socket(AF_UNIX, types[n], 0));
		size = local(&un, 1, n);
		if (bind(fd, (void *)&un, size) == 0)
			listen(fd, 4);
		break;
	case 3: /* path name */
		fd = keep(w, socket(AF_UNIX, types[n], 0));
		size = local(&un, 0, n);
		unlink(un.sun_path);
		if (bind(fd, (void *)&un, size) == 0)
			listen(fd, 4);
		break;
	case 4:
	case 5: /* to a port that is served, or not */
		fd = keep(w, socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
		in = inet(base_port + n);
		connect(fd, (void *)&in, sizeof in);
		break;
	case 6:
	case 7: /* home, to the process that looks on */
		fd = keep(w, socket(AF_INET, SOCK_STREAM, 0));
		in = inet(home_port);
		connect(fd, (void *)&in, sizeof in);
		send(fd, w->buffer, 1 + next(&w->random) % 1000, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 8:
		fd = keep(w, socket(AF_UNIX, types[n], SOCK_NONBLOCK));
		size = local(&un, next(&w->random) % 2, n);
		connect(fd, (void *)&un, size);
		break;
	case 9:
		if (socketpair(AF_UNIX, types[n], 0, pair) == 0) {
			keep(w, pair[0]);
			keep(w, pair[1]);
		}
		break;
	case 10: { /* accept whatever there is; a listener that blocks is for the thread */
		struct pollfd p = { .fd = any(w), .events = POLLIN };
		if (poll(&p, 1, 0) == 1)
			keep(w, accept4(p.fd, NULL, NULL, SOCK_NONBLOCK));
		break;
	}
	case 11: /* descriptors in flight, cycles too */
		send_fd(w, any(w), any(w));
		break;
	case 12:
		if (recvmsg(any(w), &message, MSG_DONTWAIT) >= 0)
			for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
				if (c->cmsg_type == SCM_RIGHTS)
					for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
						memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
						keep(w, fd);
					}
		break;
	case 13:
	case 14:
		send(any(w), w->buffer, 1 + next(&w->random) % sizeof w->buffer, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 15:
		recv(any(w), w->buffer, sizeof w->buffer, MSG_DONTWAIT);
		break;
	case 16: { /* wait for a moment, in an epoll instance */
		int epoll = epoll_create1(0);
		struct epoll_event event = { .events = EPOLLIN | EPOLLET };
		for (int i = 0; i < FDS; i++)
			epoll_ctl(epoll, EPOLL_CTL_ADD, w->fds[i], &event);
		epoll_wait(epoll, &event, 1, 1);
		close(epoll);
		break;
	}
	case 17:
		shutdown(any(w), n % 3);
		break;
	case 18: { /* a blocking call, given up after a moment */
		struct timeval limit = { 0, 2000 };
		fd = any(w);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		recv(fd, w->buffer, sizeof w->buffer, 0);
		limit.tv_usec = 0;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		break;
	}
	default:
		keep(w, dup(any(w)));
	}
}

static void *blocked_thread(void *unused)
{
	(void)unused;
	int pair[2];
	char byte;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0)
		(void)!read(pair[0], &byte, 1);
	return NULL;
}

static void live(uint64_t random)
{
	struct worker *w = malloc(sizeof *w);
	memset(w, 0, sizeof *w);
	w->random = random;
	for (int i = 0; i < FDS; i++)
		w->fds[i] = -1;
	pthread_t thread;
	if (random % 2)
		pthread_create(&thread, NULL, blocked_thread, NULL);
	for (unsigned n = 0;; n++) {
		step(w);
		if (n == 20 || n == 60) { /* children inherit all of it and go their own way */
			pid_t child = fork();
			if (child == 0)
				w->random ^= 0x5555 * (n + 1);
		}
	}
}

/* ---- the part that looks on ---- */

static int until(int round, int (*done)(int), int which, const char *what)
{
	for (int i = 0; i < 500; i++) {
		if (done(which))
			return 1;
		usleep(10000);
	}
	fail(what, round);
	return 0;
}

static int tcp_free(int n)
{
	struct sockaddr_in in = inet(base_port + n);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	int free = bind(fd, (void *)&in, sizeof in) == 0 && listen(fd, 1) == 0;
	close(fd);
	return free;
}

static int udp_free(int n)
{
	struct sockaddr_in in = inet(base_port + n);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int free = bind(fd, (void *)&in, sizeof in) == 0;
	close(fd);
	return free;
}

static int abstract_free(int n)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM };
	struct sockaddr_un un;
	socklen_t size = local(&un, 1, n);
	int fd = socket(AF_UNIX, types[n], 0);
	int free = bind(fd, (void *)&un, size) == 0;
	close(fd);
	return free;
}

static int path_dead(int n)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM };
	struct sockaddr_un un;
	socklen_t size = local(&un, 0, n);
	int fd = socket(AF_UNIX, types[n], 0);
	int dead = connect(fd, (void *)&un, size) < 0 && (errno == ECONNREFUSED || errno == ENOENT);
	close(fd);
	return dead;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	seed = strtoull(argv[1], NULL, 0);
	int rounds = atoi(argv[2]), ended = 0;
	base_port = atoi(argv[3]);
	uint64_t random = seed;
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);

	struct sockaddr_in home = inet(0);
	socklen_t size = sizeof home;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(listener, (void *)&home, size) || listen(listener, 128) || getsockname(listener, (void *)&home, &size))
		fail("listener", 0);
	home_port = ntohs(home.sin_port);

	for (int round = 0; round < rounds; round++) {
		pid_t leader = fork();
		if (leader == 0) {
			setpgid(0, 0);
			close(listener);
			live(random);
		}
		setpgid(leader, leader);
		struct timespec delay = { 0, (long)(next(&random) % 25000000) };
		nanosleep(&delay, NULL);
		kill(-leader, SIGKILL);
		/* All of the group are our children, some by adoption once their parent is gone; forked in the last
		   moment too, so kill until nobody answers. */
		for (;;) {
			kill(-leader, SIGKILL);
			pid_t gone = waitpid(-leader, NULL, WNOHANG);
			if (gone < 0)
				break;
			if (gone == 0)
				usleep(200);
		}
		/* Every connection they made to us comes to its end. */
		for (;;) {
			int fd = accept(listener, NULL, NULL);
			if (fd < 0 && errno == ECONNABORTED)
				continue;
			if (fd < 0)
				break;
			char buffer[4096];
			struct pollfd p = { .fd = fd, .events = POLLIN };
			ssize_t got;
			do {
				if (poll(&p, 1, 5000) != 1)
					fail("a connection does not end", round);
				got = read(fd, buffer, sizeof buffer);
			} while (got > 0);
			if (got < 0 && errno != ECONNRESET)
				fail("read", round);
			close(fd);
			ended++;
		}
		if (errno != EAGAIN)
			fail("accept", round);
		for (int n = 0; n < PORTS; n++) {
			until(round, tcp_free, n, "a TCP port is not free");
			until(round, udp_free, n, "a UDP port is not free");
		}
		for (int n = 0; n < NAMES; n++) {
			until(round, abstract_free, n, "an abstract name is not free");
			until(round, path_dead, n, "a path name is served");
		}
	}
	close(listener);
	printf("%d rounds, %d connections ended\n", rounds, ended);
	if (ended == 0) {
		fprintf(stderr, "mortal: nothing was going on\n");
		return 1;
	}
	return 0;
}
