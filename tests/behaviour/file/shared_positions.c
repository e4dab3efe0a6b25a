/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who shares a position and who doesn't: descriptors made by dup, inherited by fork, and passed
 * with SCM_RIGHTS are one open file; those opened separately are not.
 */
#include "behave.h"
#include "stage.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static _Atomic int *stage;
static int file, copy, inherited_by_child, passed, separate;

static void send_fd(int sock, int fd)
{
	char space[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = space,
			     .msg_controllen = sizeof(space)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	*c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	MUST(sendmsg(sock, &msg, 0) == 1);
}

static int receive_fd(int sock)
{
	char space[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = space,
			     .msg_controllen = sizeof(space)};
	int fd = -1;

	MUST(recvmsg(sock, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static int sockets[2];

static void child(void *unused)
{
	int received = receive_fd(sockets[1]), own = SYS(open("data", O_RDWR));

	close(sockets[0]);
	close(sockets[1]);
	close(passed); /* the number that fork gave us; the one that was passed stays */
	stage_ready(stage);
	CHECK_EQ(lseek(received, 0, SEEK_CUR), 300);
	CHECK_EQ(lseek(inherited_by_child, 0, SEEK_CUR), 200);
	CHECK_EQ(lseek(own, 0, SEEK_CUR), 0);
	lseek(received, 301, SEEK_SET);
	lseek(inherited_by_child, 201, SEEK_SET);
	lseek(own, 77, SEEK_SET);
	CHECK(fcntl(inherited_by_child, F_SETFL, O_APPEND) == 0, "F_SETFL: %m");
}

BEHAVE("shared and separate file positions")
{
	static char data[1000];
	pid_t pid;

	stage = stage_new();
	file = SYS(open("data", O_CREAT | O_RDWR, 0644));
	MUST(write(file, data, sizeof(data)) == sizeof(data));
	copy = SYS(fcntl(file, F_DUPFD_CLOEXEC, 40));
	separate = SYS(open("data", O_RDWR));
	inherited_by_child = SYS(open("data", O_RDWR));
	passed = SYS(open("data", O_RDWR));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	pid = behave_fork(child, NULL);
	send_fd(sockets[0], passed);
	behave_await_children(1);
	close(sockets[0]);
	close(sockets[1]);
	lseek(file, 100, SEEK_SET);
	lseek(inherited_by_child, 200, SEEK_SET);
	lseek(passed, 300, SEEK_SET);
	lseek(separate, 400, SEEK_SET);
	FREEZE();
	CHECK_EQ(lseek(copy, 0, SEEK_CUR), 100);
	CHECK_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(file, F_GETFD), 0);
	lseek(copy, 101, SEEK_SET);
	CHECK_EQ(lseek(file, 0, SEEK_CUR), 101);
	stage_set(stage, 1);
	behave_join(pid);
	CHECK_EQ(lseek(inherited_by_child, 0, SEEK_CUR), 201);
	CHECK(fcntl(inherited_by_child, F_GETFL) & O_APPEND, "status flags aren't shared any more");
	CHECK_EQ(lseek(passed, 0, SEEK_CUR), 301);
	CHECK_EQ(lseek(separate, 0, SEEK_CUR), 400);
	CHECK_EQ(lseek(file, 0, SEEK_CUR), 101);
}
