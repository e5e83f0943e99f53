/*
 * A freestanding i386 program: no libc, every system call by int $0x80, every socket call by socketcall(2). Makes each
 * of the twenty calls and checks what came back. Prints "ok", or the line that found something wrong, with the value.
 */
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;
typedef int s32;
typedef long long s64;

enum { SYS_EXIT = 1, SYS_READ = 3, SYS_WRITE = 4, SYS_CLOSE = 6, SYS_GETPID = 20, SYS_PIPE = 42, SYS_SOCKETCALL = 102,
       SYS_CLOCK_GETTIME = 265 };
enum { SOCKET = 1, BIND, CONNECT, LISTEN, ACCEPT, GETSOCKNAME, GETPEERNAME, SOCKETPAIR, SEND, RECV, SENDTO, RECVFROM,
       SHUTDOWN, SETSOCKOPT, GETSOCKOPT, SENDMSG, RECVMSG, ACCEPT4, RECVMMSG, SENDMMSG };
enum { AF_UNIX = 1, AF_INET = 2, SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_SEQPACKET = 5, SOCK_NONBLOCK = 04000,
       SOCK_CLOEXEC = 02000000, SOL_SOCKET = 1, SO_REUSEADDR = 2, SO_TYPE = 3, SO_ERROR = 4, SO_SNDBUF = 7,
       SO_PASSCRED = 16, SO_PEERCRED = 17, SO_RCVTIMEO_OLD = 20, SO_ACCEPTCONN = 30, SO_RCVTIMEO_NEW = 66,
       IPPROTO_TCP = 6, TCP_NODELAY = 1, MSG_PEEK = 2, MSG_CTRUNC = 8, MSG_TRUNC = 0x20, MSG_DONTWAIT = 0x40,
       MSG_WAITALL = 0x100, MSG_NOSIGNAL = 0x4000, MSG_WAITFORONE = 0x10000, SCM_RIGHTS = 1, SCM_CREDENTIALS = 2 };
enum { EBADF = 9, EAGAIN = 11, EFAULT = 14, EINVAL = 22, EPIPE = 32, ENOTSOCK = 88, EDESTADDRREQ = 89,
       ENOPROTOOPT = 92, EAFNOSUPPORT = 97, EADDRINUSE = 98, EISCONN = 106, ENOTCONN = 107,
       ECONNREFUSED = 111 };

struct sockaddr_in { u16 family, port; u32 addr; u8 zero[8]; };
struct sockaddr_un { u16 family; char path[108]; };
struct iovec { void *base; u32 len; };
struct msghdr { void *name; s32 namelen; struct iovec *iov; u32 iovlen; void *control; u32 controllen; u32 flags; };
struct mmsghdr { struct msghdr hdr; u32 len; };
struct cmsghdr { u32 len; s32 level, type; };
struct ucred { s32 pid; u32 uid, gid; };
struct timeval { s32 sec, usec; };
struct timespec { s32 sec, nsec; };
struct timeval64 { s64 sec, usec; };

_Static_assert(sizeof(void *) == 4, "a 32-bit program");
_Static_assert(sizeof(struct msghdr) == 28 && sizeof(struct mmsghdr) == 32 && sizeof(struct cmsghdr) == 12, "ILP32");

static s32 call3(s32 number, u32 a, u32 b, u32 c)
{
	s32 result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}

static s32 socketcall6(s32 call, u32 a, u32 b, u32 c, u32 d, u32 e, u32 f)
{
	u32 args[6] = { a, b, c, d, e, f };
	return call3(SYS_SOCKETCALL, (u32)call, (u32)args, 0);
}
#define U(x) ((u32)(x))
#define SC_(call, a, b, c, d, e, f, ...) socketcall6(call, U(a), U(b), U(c), U(d), U(e), U(f))
#define SC(...) SC_(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

void *memset(void *to, int value, u32 n)
{
	volatile u8 *p = to;
	while (n--)
		*p++ = (u8)value;
	return to;
}

void *memcpy(void *to, const void *from, u32 n)
{
	volatile u8 *p = to;
	const u8 *q = from;
	while (n--)
		*p++ = *q++;
	return to;
}

static int equal(const void *a, const void *b, u32 n)
{
	const u8 *p = a, *q = b;
	while (n--)
		if (*p++ != *q++)
			return 0;
	return 1;
}

static u32 length(const char *text)
{
	u32 n = 0;
	while (text[n])
		n++;
	return n;
}

static void put(const char *text)
{
	call3(SYS_WRITE, 1, U(text), length(text));
}

static void put_number(s32 value)
{
	char digits[12], *p = digits + 11;
	u32 left = value < 0 ? -U(value) : U(value);
	*p = 0;
	do
		*--p = (char)('0' + left % 10);
	while (left /= 10);
	if (value < 0)
		*--p = '-';
	put(p);
}

static void wrong(s32 line, const char *what, s32 got)
{
	put("line ");
	put_number(line);
	put(": ");
	put(what);
	put(" is ");
	put_number(got);
	put("\n");
	call3(SYS_EXIT, 1, 0, 0);
}
#define IS(expression, wanted)                                      \
	do {                                                        \
		s32 got_ = (s32)(expression);                       \
		if (got_ != (s32)(wanted))                          \
			wrong(__LINE__, #expression, got_);         \
	} while (0)
#define FD(expression)                                              \
	({                                                          \
		s32 fd_ = (s32)(expression);                        \
		if (fd_ < 0)                                        \
			wrong(__LINE__, #expression, fd_);          \
		fd_;                                                \
	})

#define LOOPBACK 0x0100007fu /* 127.0.0.1 in network order on a little-endian machine */
#define BAD ((void *)16)     /* an address where nothing is mapped */

static s64 milliseconds(void)
{
	struct timespec now;
	call3(SYS_CLOCK_GETTIME, 1, U(&now), 0);
	return (s64)now.sec * 1000 + now.nsec / 1000000;
}

static void close_fd(s32 fd)
{
	IS(call3(SYS_CLOSE, U(fd), 0, 0), 0);
}

/* TCP: socket, setsockopt, bind, listen, getsockname, connect, accept, accept4, getpeername, send, recv, shutdown. */
static void tcp(void)
{
	struct sockaddr_in address = { AF_INET, 0, LOOPBACK, { 0 } }, name, peer;
	char buffer[64];
	s32 one = 1, value, size;

	s32 listener = FD(SC(SOCKET, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	IS(SC(SETSOCKOPT, listener, SOL_SOCKET, SO_REUSEADDR, &one, 4), 0);
	IS(SC(BIND, listener, &address, sizeof address), 0);
	IS(SC(BIND, listener, &address, sizeof address), -EINVAL);
	size = sizeof name;
	IS(SC(GETSOCKNAME, listener, &name, &size), 0);
	IS(size, 16);
	IS(name.family, AF_INET);
	IS(name.addr, LOOPBACK);
	IS(name.port != 0, 1);

	/* Nobody listens yet. */
	s32 client = FD(SC(SOCKET, AF_INET, SOCK_STREAM, 0));
	IS(SC(CONNECT, client, &name, sizeof name), -ECONNREFUSED);
	IS(SC(GETPEERNAME, client, &peer, &size), -ENOTCONN);
	IS(SC(ACCEPT, listener, 0, 0), -EINVAL);
	IS(SC(LISTEN, listener, 5), 0);
	size = 4;
	IS(SC(GETSOCKOPT, listener, SOL_SOCKET, SO_ACCEPTCONN, &value, &size), 0);
	IS(value, 1);

	IS(SC(CONNECT, client, &name, sizeof name), 0);
	IS(SC(CONNECT, client, &name, sizeof name), -EISCONN);
	size = sizeof peer;
	s32 served = FD(SC(ACCEPT, listener, &peer, &size));
	IS(size, 16);
	struct sockaddr_in mine;
	size = sizeof mine;
	IS(SC(GETSOCKNAME, client, &mine, &size), 0);
	IS(equal(&mine, &peer, 8), 1);
	size = sizeof peer;
	IS(SC(GETPEERNAME, client, &peer, &size), 0);
	IS(equal(&name, &peer, 8), 1);
	size = 3; /* a short buffer: filled as far as it goes, the true size told */
	memset(&peer, 0xee, sizeof peer);
	IS(SC(GETPEERNAME, client, &peer, &size), 0);
	IS(size, 16);
	IS(((u8 *)&peer)[2], ((u8 *)&name)[2]);
	IS(((u8 *)&peer)[3], 0xee);

	IS(SC(SETSOCKOPT, client, IPPROTO_TCP, TCP_NODELAY, &one, 4), 0);
	value = 0, size = 4;
	IS(SC(GETSOCKOPT, client, IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
	IS(value, 1);
	IS(SC(SEND, client, "hello, world", 12, 0), 12);
	IS(SC(RECV, served, buffer, 5, MSG_PEEK), 5);
	IS(SC(RECV, served, buffer, 12, MSG_WAITALL), 12);
	IS(equal(buffer, "hello, world", 12), 1);
	IS(SC(RECV, served, buffer, 12, MSG_DONTWAIT), -EAGAIN);
	IS(call3(SYS_WRITE, U(served), U("by write"), 8), 8);
	IS(call3(SYS_READ, U(client), U(buffer), 64), 8);
	IS(equal(buffer, "by write", 8), 1);

	IS(SC(SHUTDOWN, client, 1), 0);
	IS(SC(SHUTDOWN, client, 7), -EINVAL);
	IS(SC(SEND, client, "x", 1, MSG_NOSIGNAL), -EPIPE);
	IS(SC(RECV, served, buffer, 64, 0), 0);
	IS(SC(SENDTO, served, "still", 5, 0, 0, 0), 5);
	IS(SC(RECVFROM, client, buffer, 64, 0, 0, 0), 5);
	close_fd(client);
	close_fd(served);

	/* accept4, with its flags. */
	client = FD(SC(SOCKET, AF_INET, SOCK_STREAM, 0));
	IS(SC(CONNECT, client, &name, sizeof name), 0);
	IS(SC(ACCEPT4, listener, 0, 0, 0x8000000), -EINVAL);
	served = FD(SC(ACCEPT4, listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC));
	IS(SC(RECV, served, buffer, 1, 0), -EAGAIN);
	close_fd(served);
	IS(SC(RECV, client, buffer, 1, 0), 0);
	close_fd(client);

	/* A timed accept: 32-bit timeval, then the 64-bit one. */
	struct timeval limit = { 0, 100000 }, back = { 9, 9 };
	IS(SC(SETSOCKOPT, listener, SOL_SOCKET, SO_RCVTIMEO_OLD, &limit, sizeof limit), 0);
	size = sizeof back;
	IS(SC(GETSOCKOPT, listener, SOL_SOCKET, SO_RCVTIMEO_OLD, &back, &size), 0);
	IS(size, 8);
	IS(back.sec, 0);
	IS(back.usec, 100000);
	s64 from = milliseconds();
	IS(SC(ACCEPT, listener, 0, 0), -EAGAIN);
	s64 took = milliseconds() - from;
	IS(took >= 95 && took < 5000, 1);
	struct timeval64 limit64 = { 0, 48000 }, back64 = { 9, 9 };
	IS(SC(SETSOCKOPT, listener, SOL_SOCKET, SO_RCVTIMEO_NEW, &limit64, sizeof limit64), 0);
	size = sizeof back64;
	IS(SC(GETSOCKOPT, listener, SOL_SOCKET, SO_RCVTIMEO_NEW, &back64, &size), 0);
	IS(size, 16);
	IS(back64.sec == 0 && back64.usec == 48000, 1);
	IS(SC(ACCEPT4, listener, 0, 0, 0), -EAGAIN);
	close_fd(listener);
}

/* UDP: sendto, recvfrom, connected send and recv, sendmsg, recvmsg, sendmmsg, recvmmsg. */
static void udp(void)
{
	struct sockaddr_in a_name = { AF_INET, 0, LOOPBACK, { 0 } }, b_name = a_name, from;
	char buffer[64], second[64];
	s32 size = sizeof a_name;

	s32 a = FD(SC(SOCKET, AF_INET, SOCK_DGRAM, 0));
	s32 b = FD(SC(SOCKET, AF_INET, SOCK_DGRAM, 0));
	IS(SC(BIND, a, &a_name, sizeof a_name), 0);
	IS(SC(GETSOCKNAME, a, &a_name, &size), 0);
	IS(SC(BIND, b, &a_name, sizeof a_name), -EADDRINUSE);
	IS(SC(BIND, b, &b_name, sizeof b_name), 0);
	IS(SC(GETSOCKNAME, b, &b_name, &size), 0);

	IS(SC(SENDTO, b, "first", 5, 0, &a_name, sizeof a_name), 5);
	size = sizeof from;
	IS(SC(RECVFROM, a, buffer, 64, 0, &from, &size), 5);
	IS(size, 16);
	IS(equal(&from, &b_name, 8), 1);
	IS(SC(SEND, b, "x", 1, 0), -EDESTADDRREQ);
	IS(SC(CONNECT, b, &a_name, sizeof a_name), 0);
	IS(SC(SEND, b, "connected", 9, 0), 9);
	IS(SC(RECV, a, buffer, 4, MSG_TRUNC), 9);
	IS(equal(buffer, "conn", 4), 1);
	IS(SC(SEND, b, "", 0, 0), 0);
	IS(SC(RECV, a, buffer, 64, 0), 0);

	struct iovec out[2] = { { "gathered ", 9 }, { "message", 7 } };
	struct iovec in[2] = { { buffer, 6 }, { second, 64 } };
	struct msghdr message = { 0, 0, out, 2, 0, 0, 0 };
	IS(SC(SENDMSG, b, &message, 0), 16);
	struct msghdr got = { &from, sizeof from, in, 2, 0, 0, 0xffffffff };
	IS(SC(RECVMSG, a, &got, 0), 16);
	IS(equal(buffer, "gather", 6) && equal(second, "ed message", 10), 1);
	IS(got.namelen, 16);
	IS(got.flags, 0);
	IS(equal(&from, &b_name, 8), 1);
	IS(SC(SENDMSG, b, &message, 0), 16);
	in[1].len = 4;
	IS(SC(RECVMSG, a, &got, 0), 10);
	IS(got.flags, MSG_TRUNC);
	in[1].len = 64;

	/* Three messages out in one call, in again in one call. */
	struct iovec parts[3] = { { "one", 3 }, { "three", 5 }, { "fifteen", 7 } };
	struct mmsghdr many[3];
	memset(many, 0, sizeof many);
	for (int i = 0; i < 3; i++) {
		many[i].hdr.iov = &parts[i];
		many[i].hdr.iovlen = 1;
		many[i].len = 99;
	}
	IS(SC(SENDMMSG, b, many, 3, 0), 3);
	IS(many[0].len == 3 && many[1].len == 5 && many[2].len == 7, 1);
	char texts[4][16];
	struct iovec places[4];
	struct mmsghdr got_many[4];
	memset(got_many, 0, sizeof got_many);
	for (int i = 0; i < 4; i++) {
		places[i] = (struct iovec){ texts[i], 16 };
		got_many[i].hdr.iov = &places[i];
		got_many[i].hdr.iovlen = 1;
	}
	struct timespec limit = { 5, 0 };
	IS(SC(RECVMMSG, a, got_many, 4, MSG_WAITFORONE, &limit), 3);
	IS(got_many[0].len == 3 && got_many[1].len == 5 && got_many[2].len == 7, 1);
	IS(equal(texts[0], "one", 3) && equal(texts[1], "three", 5) && equal(texts[2], "fifteen", 7), 1);
	limit = (struct timespec){ 0, 1000000000 };
	IS(SC(RECVMMSG, a, got_many, 4, 0, &limit), -EINVAL);
	IS(SC(RECVMMSG, a, got_many, 4, MSG_DONTWAIT, 0), -EAGAIN);
	/* One bad message among good ones: those before it were sent. */
	parts[1].base = BAD;
	IS(SC(SENDMMSG, b, many, 3, 0), 1);
	IS(SC(RECV, a, buffer, 64, MSG_DONTWAIT), 3);
	IS(SC(RECV, a, buffer, 64, MSG_DONTWAIT), -EAGAIN);

	/* Its port closed: the refusal comes back to the connected socket. */
	close_fd(a);
	IS(SC(SEND, b, "x", 1, 0), 1);
	IS(SC(RECV, b, buffer, 64, 0), -ECONNREFUSED);
	IS(SC(SEND, b, "x", 1, 0), 1);
	s32 value = 0;
	size = 4;
	IS(SC(GETSOCKOPT, b, SOL_SOCKET, SO_ERROR, &value, &size), 0);
	IS(value, ECONNREFUSED);
	close_fd(b);
}

/* UNIX: socketpair, abstract names, descriptors and credentials in control messages of the 32-bit layout. */
static void local(void)
{
	s32 pair[2], pipe[2], value, size, one = 1;
	char buffer[64];

	IS(SC(SOCKETPAIR, AF_UNIX, SOCK_STREAM, 0, pair), 0);
	size = 4;
	IS(SC(GETSOCKOPT, pair[0], SOL_SOCKET, SO_TYPE, &value, &size), 0);
	IS(value, SOCK_STREAM);
	struct ucred cred;
	size = sizeof cred;
	IS(SC(GETSOCKOPT, pair[0], SOL_SOCKET, SO_PEERCRED, &cred, &size), 0);
	IS(size, 12);
	IS(cred.pid, call3(SYS_GETPID, 0, 0, 0));
	IS(SC(SEND, pair[0], "stream", 6, 0), 6);
	IS(SC(RECV, pair[1], buffer, 64, 0), 6);

	/* A pipe's read end travels. */
	IS(call3(SYS_PIPE, U(pipe), 0, 0), 0);
	struct { struct cmsghdr header; s32 fds[1]; } rights = { { 16, SOL_SOCKET, SCM_RIGHTS }, { pipe[0] } };
	struct iovec out = { "!", 1 }, in = { buffer, 64 };
	struct msghdr message = { 0, 0, &out, 1, &rights, sizeof rights, 0 };
	IS(SC(SENDMSG, pair[0], &message, 0), 1);
	close_fd(pipe[0]);
	IS(call3(SYS_WRITE, U(pipe[1]), U("through the pipe"), 16), 16);
	u32 control[32];
	struct msghdr got = { 0, 0, &in, 1, control, sizeof control, 0 };
	IS(SC(RECVMSG, pair[1], &got, 0), 1);
	IS(got.controllen, 16);
	struct cmsghdr *header = (void *)control;
	IS(header->len, 16);
	IS(header->level, SOL_SOCKET);
	IS(header->type, SCM_RIGHTS);
	s32 received = (s32)control[3];
	IS(call3(SYS_READ, U(received), U(buffer), 64), 16);
	IS(equal(buffer, "through the pipe", 16), 1);
	/* No room for it: told so, and not installed. */
	rights.fds[0] = received;
	IS(SC(SENDMSG, pair[0], &message, 0), 1);
	got.controllen = 8;
	IS(SC(RECVMSG, pair[1], &got, 0), 1);
	IS(got.flags & MSG_CTRUNC, MSG_CTRUNC);
	IS(got.controllen, 0);
	rights.fds[0] = 9999;
	IS(SC(SENDMSG, pair[0], &message, 0), -EBADF);
	close_fd(received);
	close_fd(pipe[1]);
	close_fd(pair[0]);
	IS(SC(RECV, pair[1], buffer, 64, 0), 0);
	close_fd(pair[1]);

	/* Credentials arrive when asked for. */
	IS(SC(SOCKETPAIR, AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	IS(SC(SETSOCKOPT, pair[1], SOL_SOCKET, SO_PASSCRED, &one, 4), 0);
	IS(SC(SEND, pair[0], "one", 3, 0), 3);
	IS(SC(SEND, pair[0], "second", 6, 0), 6);
	got.controllen = sizeof control;
	IS(SC(RECVMSG, pair[1], &got, 0), 3);
	IS(got.controllen, 24);
	IS(header->len, 24);
	IS(header->type, SCM_CREDENTIALS);
	IS(control[3], call3(SYS_GETPID, 0, 0, 0));
	IS(SC(RECV, pair[1], buffer, 64, 0), 6);
	close_fd(pair[0]);
	close_fd(pair[1]);

	/* An abstract name, made of the pid. */
	struct sockaddr_un name = { AF_UNIX, "\0socketcall-" }, peer;
	s32 name_size = 2 + 12;
	for (s32 left = call3(SYS_GETPID, 0, 0, 0); left; left /= 10)
		name.path[name_size++ - 2] = (char)('0' + left % 10);
	s32 listener = FD(SC(SOCKET, AF_UNIX, SOCK_STREAM, 0));
	IS(SC(BIND, listener, &name, name_size), 0);
	IS(SC(LISTEN, listener, 1), 0);
	s32 client = FD(SC(SOCKET, AF_UNIX, SOCK_STREAM, 0));
	IS(SC(CONNECT, client, &name, name_size), 0);
	size = sizeof peer;
	IS(SC(GETPEERNAME, client, &peer, &size), 0);
	IS(size, name_size);
	IS(equal(&peer, &name, U(name_size)), 1);
	size = sizeof peer;
	s32 served = FD(SC(ACCEPT, listener, &peer, &size));
	IS(size, 2);
	IS(SC(SEND, served, "abstract", 8, 0), 8);
	IS(SC(RECVFROM, client, buffer, 64, 0, &peer, &size), 8);
	s32 wrong_kind = FD(SC(SOCKET, AF_UNIX, SOCK_DGRAM, 0));
	IS(SC(CONNECT, wrong_kind, &name, name_size), -ECONNREFUSED);
	close_fd(wrong_kind);
	close_fd(served);
	close_fd(client);
	close_fd(listener);
}

static void errors(void)
{
	s32 fds[2], value, size = 4;

	IS(SC(0, 0, 0, 0), -EINVAL);
	IS(SC(21, 0, 0, 0), -EINVAL);
	IS(SC(-1, 0, 0, 0), -EINVAL);
	IS(call3(SYS_SOCKETCALL, SOCKET, U(BAD), 0), -EFAULT);
	IS(SC(SOCKET, 999, SOCK_STREAM, 0), -EAFNOSUPPORT);
	IS(SC(SOCKETPAIR, AF_UNIX, SOCK_STREAM, 0, BAD), -EFAULT);
	IS(SC(SEND, 9999, "x", 1, 0), -EBADF);
	IS(call3(SYS_PIPE, U(fds), 0, 0), 0);
	IS(SC(LISTEN, fds[0], 1), -ENOTSOCK);
	close_fd(fds[0]);
	close_fd(fds[1]);

	s32 udp = FD(SC(SOCKET, AF_INET, SOCK_DGRAM, 0));
	IS(SC(BIND, udp, BAD, 16), -EFAULT);
	IS(SC(CONNECT, udp, BAD, 16), -EFAULT);
	IS(SC(GETSOCKNAME, udp, &value, BAD), -EFAULT);
	IS(SC(SENDMSG, udp, BAD, 0), -EFAULT);
	IS(SC(RECVMSG, udp, BAD, 0), -EFAULT);
	IS(SC(SETSOCKOPT, udp, SOL_SOCKET, SO_SNDBUF, BAD, 4), -EFAULT);
	IS(SC(SETSOCKOPT, udp, SOL_SOCKET, 9999, &value, 4), -ENOPROTOOPT);
	IS(SC(GETSOCKOPT, udp, SOL_SOCKET, 9999, &value, &size), -ENOPROTOOPT);
	IS(SC(GETSOCKOPT, udp, SOL_SOCKET, SO_TYPE, BAD, &size), -EFAULT);
	close_fd(udp);
}

void start(void)
{
	tcp();
	udp();
	local();
	errors();
	put("ok\n");
	call3(SYS_EXIT, 0, 0, 0);
}

/* The kernel enters with a stack aligned to 16; a C function wants it so at the call. */
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tand $-16, %esp\n\tcall start\n\thlt\n");
