/* Name resolution, which WASI lacks and `socket` (so `asyncio`, `urllib`) links: all of it fails. */

#include <netdb.h>
#include <stddef.h>

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
            struct addrinfo **result)
{
    return EAI_FAIL;
}

void
freeaddrinfo(struct addrinfo *list)
{
}

const char *
gai_strerror(int code)
{
    return "the sandbox has no network";
}

int
getnameinfo(const struct sockaddr *address, socklen_t length, char *host, socklen_t host_length,
            char *service, socklen_t service_length, int flags)
{
    return EAI_FAIL;
}

struct hostent *
gethostbyname(const char *name)
{
    return NULL;
}

struct hostent *
gethostbyaddr(const void *address, socklen_t length, int family)
{
    return NULL;
}

struct servent *
getservbyname(const char *name, const char *protocol)
{
    return NULL;
}

struct servent *
getservbyport(int port, const char *protocol)
{
    return NULL;
}

struct protoent *
getprotobyname(const char *name)
{
    return NULL;
}

const char *
hstrerror(int code)
{
    return "the sandbox has no network";
}

int *
__h_errno_location(void)
{
    static int code = NO_RECOVERY;
    return &code;
}
