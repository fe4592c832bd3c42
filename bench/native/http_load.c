/* A closed-loop load over HTTP, or Redis's protocol: some keep-alive connections, each sending the same request as soon
 * as its last response arrived; each response's status and body are checked. Small, so that on two cores it leaves most
 * to the server. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/doorbell.h"

enum { BUFFER = 64 * 1024, CONNECTIONS = 256 };

typedef struct {
    int fd;
    uint64_t sent;
    size_t have;
    char buffer[BUFFER + 1];
} connection;

static int dial(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0) return fd;
    close(fd);
    return -1;
}

static int request(connection *c, const char *data, size_t len) {
    c->have = 0;
    c->sent = stk_now();
    while (len) {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
        if (n <= 0) return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* 1: a whole, correct response; 0: more to come; -1: a wrong one. */
static int responded(connection *c, const char *body, size_t len) {
    c->buffer[c->have] = 0;
    if (c->buffer[0] == '-') return -1; /* Redis: an error, or a string: its length, and it */
    if (c->buffer[0] == '$') {
        char *line = strstr(c->buffer, "\r\n");
        return line && strstr(line + 2, "\r\n") ? 1 : 0;
    }
    char *end = strstr(c->buffer, "\r\n\r\n");
    if (!end) return c->have >= BUFFER ? -1 : 0;
    if (strncmp(c->buffer, "HTTP/1.1 200", 12) && strncmp(c->buffer, "HTTP/1.1 202", 12)) return -1;
    size_t head = (size_t)(end - c->buffer) + 4;
    char *chunked = strcasestr(c->buffer, "\r\ntransfer-encoding: chunked");
    if (chunked && chunked < end) {
        if (!memmem(c->buffer + head, c->have - head, "\r\n0\r\n\r\n", 7)) return 0;
        return memmem(c->buffer + head, c->have - head, body, len) ? 1 : -1;
    }
    char *field = strcasestr(c->buffer, "\r\ncontent-length:");
    if (!field || field > end) return -1;
    size_t length = strtoul(field + 17, NULL, 10);
    if (c->have < head + length) return 0;
    return memmem(c->buffer + head, length, body, len) ? 1 : -1;
}

/* How many responses came in `ns`, their latencies (ns) in samples; or -1 connect, -2 a wrong response, -3 a connection lost. */
long http_load(int port, const char *data, size_t len, const char *body, size_t body_len, int connections, uint64_t ns,
               uint64_t *samples, long cap) {
    if (connections > CONNECTIONS) return -1;
    connection *all = calloc((size_t)connections, sizeof *all);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    long done = 0;
    for (int i = 0; i < connections; i++) all[i].fd = -1;
    for (int i = 0; i < connections && done >= 0; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        all[i].fd = dial(port);
        if (all[i].fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event) || request(&all[i], data, len)) done = -1;
    }
    uint64_t end = stk_now() + ns;
    struct epoll_event events[CONNECTIONS];
    while (done >= 0 && done < cap && (stk_now() < end || done < connections)) { /* slow responses are waited for */
        int n = epoll_wait(epoll, events, CONNECTIONS, 20000);
        if (n == 0) done = -3;
        for (int i = 0; i < n && done >= 0 && done < cap; i++) {
            connection *c = events[i].data.ptr;
            ssize_t got = recv(c->fd, c->buffer + c->have, BUFFER - c->have, 0);
            if (got <= 0) {
                done = -3;
                break;
            }
            c->have += (size_t)got;
            int rc = responded(c, body, body_len);
            if (rc < 0) done = -2;
            if (rc <= 0) continue;
            samples[done++] = stk_now() - c->sent;
            if (request(c, data, len)) done = -3;
        }
    }
    for (int i = 0; i < connections; i++)
        if (all[i].fd >= 0) close(all[i].fd);
    close(epoll);
    free(all);
    return done;
}
