/*
 * inherit PORT            the checks of main() below; prints "ok"
 * inherit leave PORT N    listen, start N servers by fork and exec, and go
 * inherit serve FD        accept on an inherited descriptor, answer each connection with the own pid
 * inherit chain FD DEPTH  exec itself DEPTH times, forking before every second one, then write to FD
 * inherit ask PORT        connect, print the answer
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program;

#define CHECK(x) \
	do { if (!(x)) { fprintf(stderr, "line %d: %s: %s\n", __LINE__, #x, strerror(errno)); exit(1); } } while (0)

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	return name;
}

static int listener(int port, int flags)
{
	struct sockaddr_in name = loopback(port);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | flags, 0);
	CHECK(fd >= 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
	CHECK(bind(fd, (void *)&name, sizeof name) == 0);
	CHECK(listen(fd, 64) == 0);
	return fd;
}

static int dial(int port)
{
	struct sockaddr_in name = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(fd >= 0);
	return connect(fd, (void *)&name, sizeof name) == 0 ? fd : (close(fd), -1);
}

static void serve(int fd)
{
	for (;;) {
		int c = accept(fd, NULL, NULL);
		if (c < 0)
			exit(errno == EINVAL ? 0 : 1); /* shut down by a relative */
		dprintf(c, "%d\n", getpid());
		close(c);
	}
}

static int ask(int port)
{
	char text[32] = "";
	int n = 0, got, fd = dial(port);
	CHECK(fd >= 0);
	while ((got = read(fd, text + n, sizeof text - 1 - n)) > 0)
		n += got;
	CHECK(got == 0);
	close(fd);
	return atoi(text);
}

static pid_t start(const char *mode, int fd, int number, int leave)
{
	char a[16], b[16];
	snprintf(a, sizeof a, "%d", fd);
	snprintf(b, sizeof b, "%d", number);
	pid_t pid = leave ? 0 : fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		execl(program, program, mode, a, b, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static int ended(pid_t pid)
{
	int status;
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	program = argv[0];
	if (argc == 4 && !strcmp(argv[1], "leave")) {
		int fd = listener(atoi(argv[2]), 0);
		for (int i = 0; i < atoi(argv[3]); i++)
			start("serve", fd, 0, 0);
		return 0;
	}
	if (argc == 4 && !strcmp(argv[1], "serve"))
		serve(atoi(argv[2]));
	if (argc == 4 && !strcmp(argv[1], "chain")) {
		int fd = atoi(argv[2]), depth = atoi(argv[3]);
		if (depth == 0)
			return dprintf(fd, "end of the chain") == 16 ? 0 : 1;
		int next = dup(fd); /* another number every time */
		CHECK(next >= 0 && close(fd) == 0);
		if (depth % 2)
			return ended(start("chain", next, depth - 1, 0));
		start("chain", next, depth - 1, 1);
	}
	if (argc == 3 && !strcmp(argv[1], "ask"))
		return printf("%d\n", ask(atoi(argv[2]))) < 0;

	int port = atoi(argv[1]);
	char buffer[64];

	/* Prefork: four children in accept on one listener; the parent closes its copy; a connection is served once. */
	int fd = listener(port, 0);
	pid_t children[4];
	for (int i = 0; i < 4; i++) {
		children[i] = fork();
		if (children[i] == 0)
			serve(fd);
	}
	CHECK(close(fd) == 0);
	for (int i = 0; i < 200; i++) {
		int pid = ask(port), known = 0;
		for (int n = 0; n < 4; n++)
			known |= pid == children[n];
		CHECK(known);
	}
	/* Until the last copy is gone it listens. */
	for (int i = 0; i < 4; i++) {
		int c = dial(port);
		CHECK(c >= 0);
		CHECK(close(c) == 0);
		CHECK(kill(children[i], SIGKILL) == 0 && ended(children[i]) == 128 + SIGKILL);
	}
	CHECK(dial(port) < 0 && errno == ECONNREFUSED);

	/* A shutdown of the listener in the parent wakes the child that is blocked in accept. */
	fd = listener(port, 0);
	pid_t child = start("serve", fd, 0, 0);
	ask(port);
	CHECK(shutdown(fd, SHUT_RD) == 0);
	CHECK(ended(child) == 0);
	CHECK(close(fd) == 0);

	/* A connection handed down ten execs, with forks between: the same connection at the end. */
	fd = listener(port, SOCK_CLOEXEC);
	int c = dial(port), s = accept(fd, NULL, NULL);
	CHECK(c >= 0 && s >= 0);
	child = start("chain", s, 10, 0);
	CHECK(ended(child) == 0);
	CHECK(read(c, buffer, sizeof buffer) == 16 && !memcmp(buffer, "end of the chain", 16));
	CHECK(write(c, "x", 1) == 1 && read(s, buffer, 1) == 1);
	/* The peer sees the end only when the last copy is closed. */
	int copy = dup(s);
	CHECK(close(s) == 0);
	struct pollfd p = { .fd = c, .events = POLLIN };
	CHECK(poll(&p, 1, 50) == 0);
	CHECK(close(copy) == 0);
	CHECK(poll(&p, 1, 5000) == 1 && read(c, buffer, 1) == 0);
	CHECK(close(c) == 0);

	/* Close-on-exec: the exec'd child finds nothing under that number, and accept there says so. */
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(ended(start("serve", fd, 0, 0)) == 1);
	CHECK(fcntl(fd, F_SETFD, 0) == 0);
	child = start("serve", fd, 0, 0);
	CHECK(ask(port) == child);
	CHECK(kill(child, SIGTERM) == 0 && ended(child) == 128 + SIGTERM);

	/* vfork shares the memory, not the table: the child's close is its own. */
	child = vfork();
	if (child == 0) {
		close(fd);
		_exit(0);
	}
	CHECK(ended(child) == 0);
	CHECK(fcntl(fd, F_GETFD) == 0);

	/* A status flag belongs to the open file, which the copies share. */
	child = fork();
	if (child == 0)
		_exit(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0 ? 0 : 1);
	CHECK(ended(child) == 0);
	CHECK(accept(fd, NULL, NULL) == -1 && errno == EAGAIN);
	CHECK(close(fd) == 0);
	puts("ok");
	return 0;
}
