/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: told by name, refused. */
#include "file/kind.h"

#include <string.h>
#include <sys/socket.h>

static const char *family_name(int family)
{
	switch (family) {
	case AF_UNIX:
		return "unix";
	case AF_INET:
		return "IPv4";
	case AF_INET6:
		return "IPv6";
	case AF_NETLINK:
		return "netlink";
	case AF_PACKET:
		return "packet";
	default:
		return "unknown";
	}
}

static const char *type_name(int type)
{
	switch (type) {
	case SOCK_STREAM:
		return "stream";
	case SOCK_DGRAM:
		return "datagram";
	case SOCK_SEQPACKET:
		return "seqpacket";
	case SOCK_RAW:
		return "raw";
	default:
		return "other";
	}
}

static bool socket_match(struct files *f, const struct fdesc *d)
{
	(void)f;
	return S_ISSOCK(d->st.st_mode) && d->name[0] != '/';
}

static int socket_dump(struct files *f, const struct fdesc *d, uint32_t id, struct err *err)
{
	int family = -1, type = -1;
	socklen_t len = sizeof(int);

	(void)f, (void)id;
	(void)getsockopt(d->local, SOL_SOCKET, SO_DOMAIN, &family, &len);
	(void)getsockopt(d->local, SOL_SOCKET, SO_TYPE, &type, &len);
	return err_refuse(err, "let the program close it first",
			  "%s %s socket (inode %lu): sockets aren't supported yet",
			  family_name(family), type_name(type), (unsigned long)d->st.st_ino);
}

const struct file_kind socket_kind = {
	.type = FD_TYPES__UND,
	.name = "socket",
	.match = socket_match,
	.dump = socket_dump,
};
