/* SPDX-License-Identifier: MIT */
/* bench-minimal HOST PORT KEY: the least that a process can do to print a value. No errors are told apart. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[4096];

/* Returns where the value begins once all of "$LEN\r\nvalue\r\n" is there, else NULL. */
static char *whole(size_t received, size_t *len)
{
	char *value = memchr(buffer, '\n', received);

	if (!value++ || buffer[0] != '$')
		return NULL;
	*len = strtoul(buffer + 1, NULL, 10);
	return received >= (size_t)(value - buffer) + *len + 2 ? value : NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t received = 0, len = 0;
	char *value = NULL;
	ssize_t n;

	if (argc != 4 || fd < 0 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
		return 2;
	address.sin_port = htons((uint16_t)atoi(argv[2]));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return 2;
	n = snprintf(buffer, sizeof(buffer), "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", strlen(argv[3]), argv[3]);
	if (write(fd, buffer, (size_t)n) != n)
		return 2;
	while (!value && (n = read(fd, buffer + received, sizeof(buffer) - received)) > 0) {
		received += (size_t)n;
		value = whole(received, &len);
	}
	return value && write(STDOUT_FILENO, value, len) == (ssize_t)len ? 0 : 2;
}
