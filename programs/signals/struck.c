/*
 * struck KIND MODE SIZE [HZ]: pass SIZE bytes from one process to another while timer signals strike both, HZ (5000)
 * times a second each.
 *
 *   KIND   tcp, unix (stream) or seqpacket
 *   MODE   restart: SA_RESTART is set, and a call that gives EINTR is an error;
 *          interrupt: it is not set, and EINTR is an order to make the call again
 *
 * The byte at position p of the stream is a function of p alone, so that a byte lost, doubled or moved is found where
 * it happens. Message n of the seqpacket kind has a length that is a function of n. Each side changes its calls (write,
 * send, sendto, writev, sendmsg; read, recv, recvfrom, readv, recvmsg, with and without MSG_WAITALL and MSG_PEEK), its
 * sizes, and at times sleeps, so that either side comes to wait for the other.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 256 * 1024, LARGEST_MESSAGE = 60000 };

static volatile sig_atomic_t strikes;
static int restart, messages;
static uint64_t interrupted, partial, calls;
static const char *who;

static void fail(const char *what, uint64_t at)
{
	fprintf(stderr, "%s: %s at %llu (errno %d, %s; %d strikes, %llu calls)\n", who, what, (unsigned long long)at, errno,
		strerror(errno), (int)strikes, (unsigned long long)calls);
	_exit(1);
}

static void strike(int signal)
{
	(void)signal;
	strikes = strikes + 1;
}

/* splitmix64's finishing steps. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* The stream's bytes from position `at`: each eight of them are one mixed number. */
static void pattern(unsigned char *to, uint64_t at, size_t n)
{
	while (n) {
		uint64_t word = mix(at / 8);
		size_t skip = at % 8, part = 8 - skip < n ? 8 - skip : n;
		if (part == 8)
			memcpy(to, &word, 8);
		else
			memcpy(to, (unsigned char *)&word + skip, part);
		to += part, at += part, n -= part;
	}
}

static size_t message_length(uint64_t n)
{
	uint64_t x = mix(~n);
	return 1 + (x % 8 ? (x >> 8) % 4000 : (x >> 8) % LARGEST_MESSAGE);
}

static void start_timer(int hz)
{
	struct sigaction action = { .sa_handler = strike, .sa_flags = restart ? SA_RESTART : 0 };
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	/* The sender has a POSIX timer, the receiver an interval timer. */
	long period = 1000000000L / hz;
	if (who[0] == 's') {
		struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
		struct itimerspec spec = { { 0, period }, { 0, period } };
		timer_t timer;
		if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &spec, NULL))
			fail("timer", 0);
	} else {
		struct itimerval value = { { 0, period / 1000 }, { 0, period / 1000 } };
		if (setitimer(ITIMER_REAL, &value, NULL))
			fail("setitimer", 0);
	}
}

static void stop_timer(void)
{
	struct sigaction action = { .sa_handler = SIG_IGN };
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
}

/* Where in the stream the wrong bytes belong, for the report. */
static void looked_for(const unsigned char *bytes, size_t n, uint64_t at)
{
	unsigned char there[16];
	uint64_t from = at > (4 << 20) ? at - (4 << 20) : 0;
	if (n > sizeof there)
		n = sizeof there;
	for (uint64_t p = from; n >= 8 && p < at + (4 << 20); p++) {
		pattern(there, p, n);
		if (!memcmp(there, bytes, n)) {
			fprintf(stderr, "%s: at %llu stand the bytes of %llu\n", who, (unsigned long long)at, (unsigned long long)p);
			return;
		}
	}
	fprintf(stderr, "%s: at %llu stand bytes of no position near it:", who, (unsigned long long)at);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, " %02x", bytes[i]);
	fprintf(stderr, "\n");
}

/* Whether to make the call again. */
static int again(ssize_t result, uint64_t at)
{
	calls++;
	if (result >= 0)
		return 0;
	if (errno != EINTR)
		fail("error", at);
	if (restart)
		fail("EINTR with SA_RESTART", at);
	interrupted++;
	return 1;
}

static ssize_t put(int fd, unsigned char *from, size_t n, uint64_t choice)
{
	struct iovec parts[2] = { { from, n / 3 }, { from + n / 3, n - n / 3 } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	switch (choice % 5) {
	case 0: return write(fd, from, n);
	case 1: return send(fd, from, n, 0);
	case 2: return sendto(fd, from, n, MSG_NOSIGNAL, NULL, 0);
	case 3: return writev(fd, parts, 2);
	default: return sendmsg(fd, &message, 0);
	}
}

static ssize_t get(int fd, unsigned char *to, size_t n, uint64_t choice)
{
	struct iovec parts[2] = { { to, n / 3 }, { to + n / 3, n - n / 3 } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	switch (choice % 7) {
	case 0: return read(fd, to, n);
	case 1: return recv(fd, to, n, 0);
	case 2: return recvfrom(fd, to, n, 0, NULL, NULL);
	case 3: return readv(fd, parts, 2);
	case 4: return recvmsg(fd, &message, 0);
	case 5: return recv(fd, to, n, MSG_WAITALL);
	default: {
		/* What is peeked comes again. */
		ssize_t seen = recv(fd, to, n, MSG_PEEK);
		if (seen <= 0)
			return seen;
		return recv(fd, to, n, 0);
	}
	}
}

static void rest(uint64_t choice)
{
	if (choice % 1024 == 0)
		usleep(3000);
}

static void sender(int fd, uint64_t size)
{
	unsigned char *buffer = malloc(MOST);
	uint64_t at = 0;
	for (uint64_t n = 0; at < size; n++) {
		uint64_t choice = mix(n * 2 + 1);
		size_t want = messages ? message_length(n) : 1 + (choice >> 20) % (choice >> 60 ? MOST / 8 : MOST);
		if (want > size - at)
			want = size - at;
		pattern(buffer, at, want);
		ssize_t got;
		do
			got = put(fd, buffer, want, choice);
		while (again(got, at));
		if (got == 0 || (size_t)got > want || (messages && (size_t)got != want))
			fail("strange count sent", got);
		partial += (size_t)got < want;
		at += got;
		rest(choice >> 8);
	}
	/* The kernel never interrupts this one; under a seccomp supervisor it may (docs/design/results-and-signals.md). */
	while (shutdown(fd, SHUT_WR))
		if (errno != EINTR || restart)
			fail("shutdown", at);
	/* Until the other has said that it had everything. */
	char byte = 0;
	ssize_t got;
	do
		got = recv(fd, &byte, 1, 0);
	while (again(got, at));
	if (got != 1 || byte != 'k')
		fail("no thanks", got);
}

static void receiver(int fd, uint64_t size)
{
	unsigned char *buffer = malloc(MOST), *wanted = malloc(MOST);
	uint64_t at = 0;
	for (uint64_t n = 0;; n++) {
		uint64_t choice = mix(n * 2 + 2);
		size_t room = messages ? MOST : 1 + (choice >> 20) % (choice >> 60 ? MOST / 8 : MOST);
		ssize_t got;
		do
			got = get(fd, buffer, room, choice);
		while (again(got, at));
		if (got == 0)
			break;
		if (messages) {
			size_t length = message_length(n);
			if (length > size - at)
				length = size - at;
			if ((size_t)got != length)
				fail("message of another length", at);
		}
		partial += (size_t)got < room;
		pattern(wanted, at, got);
		if (memcmp(buffer, wanted, got)) {
			size_t i = 0;
			while (buffer[i] == wanted[i])
				i++;
			looked_for(buffer + i, got - i, at + i);
			fail("wrong byte", at + i);
		}
		at += got;
		rest(choice >> 8);
	}
	if (at != size)
		fail("end of stream", at);
	ssize_t got;
	do
		got = send(fd, "k", 1, 0);
	while (again(got, at));
}

static void connected(const char *kind, int fds[2])
{
	if (strcmp(kind, "tcp")) {
		if (socketpair(AF_UNIX, messages ? SOCK_SEQPACKET : SOCK_STREAM, 0, fds))
			fail("socketpair", 0);
		return;
	}
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof name;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&name, size) || listen(listener, 1) || getsockname(listener, (void *)&name, &size) ||
	    connect(fds[0], (void *)&name, size) || (fds[1] = accept(listener, NULL, NULL)) < 0)
		fail("connection", 0);
	close(listener);
}

int main(int argc, char **argv)
{
	who = "main";
	if (argc < 4)
		fail("usage: struck KIND MODE SIZE [HZ]", 0);
	messages = !strcmp(argv[1], "seqpacket");
	restart = !strcmp(argv[2], "restart");
	uint64_t size = strtoull(argv[3], NULL, 0);
	int hz = argc > 4 ? atoi(argv[4]) : 5000, fds[2];
	connected(argv[1], fds);
	struct timespec from, to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	pid_t child = fork();
	who = child ? "receiver" : "sender";
	close(fds[child ? 0 : 1]);
	start_timer(hz);
	if (child)
		receiver(fds[1], size);
	else
		sender(fds[0], size);
	stop_timer();
	clock_gettime(CLOCK_MONOTONIC, &to);
	double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	if (strikes < 10)
		fail("hardly struck", strikes);
	int status = 0;
	if (child && (waitpid(child, &status, 0) != child || status))
		fail("the sender failed", status);
	printf("%s %s %s: %llu bytes in %.1f s, %llu calls, %d strikes, %llu times EINTR, %llu partial\n", argv[1], argv[2], who,
	       (unsigned long long)size, seconds, (unsigned long long)calls, (int)strikes, (unsigned long long)interrupted,
	       (unsigned long long)partial);
	return 0;
}
