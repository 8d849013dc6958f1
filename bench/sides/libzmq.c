/* libzmq's side of the bench: the roles of roles.mjs in C, compiled on the spot. Default options unless a comment says
   otherwise. Arguments are `role key=value …`; every answer is one line of JSON on stdout. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

static int argument_count;
static char **arguments;

static const char *text(const char *key)
{
    size_t length = strlen(key);
    for (int i = 2; i < argument_count; i++)
        if (!strncmp(arguments[i], key, length) && arguments[i][length] == '=') return arguments[i] + length + 1;
    fprintf(stderr, "missing argument %s\n", key);
    exit(2);
}

static long number(const char *key) { return atol(text(key)); }

static void check(int fine, const char *what)
{
    if (fine) return;
    fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

static double clock_in(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double now(void) { return clock_in(CLOCK_MONOTONIC); }
static double epoch_ms(void) { return clock_in(CLOCK_REALTIME) * 1e3; }

static void set(void *socket, int option, int value)
{
    check(zmq_setsockopt(socket, option, &value, sizeof value) == 0, "setsockopt");
}

static void *opened(void *context, int type)
{
    void *socket = zmq_socket(context, type);
    check(socket != NULL, "socket");
    return socket;
}

static void bind_and_say(void *socket)
{
    char endpoint[256];
    size_t length = sizeof endpoint;
    check(zmq_bind(socket, "tcp://127.0.0.1:*") == 0, "bind");
    check(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &length) == 0, "last endpoint");
    printf("{\"endpoint\":\"%s\"}\n", endpoint);
}

static void finish(void *socket, void *context)
{
    zmq_close(socket);
    zmq_ctx_term(context); /* linger is -1 by default: waits until all is sent */
}

/* Push and pull ---------------------------------------------------------------------------------------------- */

static void pull(void)
{
    long size = number("size"), warm = number("warm"), total = number("total");
    double start = 0;
    zmq_msg_t message;
    void *context = zmq_ctx_new(), *socket = opened(context, ZMQ_PULL);
    bind_and_say(socket);
    zmq_msg_init(&message);
    for (long n = 1; n <= total; n++) {
        check(zmq_msg_recv(&message, socket, 0) >= 0, "recv");
        check((long)zmq_msg_size(&message) == size, "message of a wrong size");
        if (n == warm) start = now();
    }
    printf("{\"count\":%ld,\"seconds\":%.9f}\n", total, now() - start);
    zmq_msg_close(&message);
    finish(socket, context);
}

/* A new message for each, as libzmq's own remote_thr does. */
static void send_new(void *socket, size_t size)
{
    zmq_msg_t message;
    zmq_msg_init_size(&message, size);
    check(zmq_msg_send(&message, socket, 0) >= 0, "send");
}

static void push(void)
{
    long size = number("size"), total = number("total");
    int constant = !strcmp(text("mode"), "constant");
    char *body = calloc(1, size);
    void *context = zmq_ctx_new(), *socket = opened(context, ZMQ_PUSH);
    check(zmq_connect(socket, text("endpoint")) == 0, "connect");
    for (long n = 0; n < total; n++) {
        if (constant) check(zmq_send_const(socket, body, size, 0) >= 0, "send");
        else send_new(socket, size);
    }
    finish(socket, context);
}

/* Request and reply ------------------------------------------------------------------------------------------ */

static void reply(void)
{
    long size = number("size"), total = number("total");
    char *body = malloc(size);
    void *context = zmq_ctx_new(), *socket = opened(context, ZMQ_REP);
    bind_and_say(socket);
    for (long n = 0; n < total; n++) {
        check(zmq_recv(socket, body, size, 0) == size, "recv");
        check(zmq_send(socket, body, size, 0) == size, "send");
    }
    finish(socket, context);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void request(void)
{
    long size = number("size"), warm = number("warm"), total = number("total"), count = total - warm;
    char *body = calloc(1, size);
    double *times = malloc(count * sizeof *times);
    void *context = zmq_ctx_new(), *socket = opened(context, ZMQ_REQ);
    check(zmq_connect(socket, text("endpoint")) == 0, "connect");
    for (long n = 0; n < total; n++) {
        double start = now();
        check(zmq_send(socket, body, size, 0) == size, "send");
        check(zmq_recv(socket, body, size, 0) == size, "recv");
        if (n >= warm) times[n - warm] = (now() - start) * 1e6;
    }
    qsort(times, count, sizeof *times, compare);
    printf("{\"count\":%ld,\"p50\":%.3f,\"p99\":%.3f}\n", count, times[count / 2], times[count * 99 / 100]);
    finish(socket, context);
}

/* Publish and subscribe -------------------------------------------------------------------------------------- */

/* An XPUB is a PUB that can see its subscriptions: how it knows that all are there. */
static void publish(void)
{
    long size = number("size"), total = number("total"), subscribers = number("subscribers");
    char subscription[8];
    void *context = zmq_ctx_new(), *socket = opened(context, ZMQ_XPUB);
    set(socket, ZMQ_XPUB_VERBOSE, 1);
    set(socket, ZMQ_XPUB_NODROP, 1);
    bind_and_say(socket);
    for (long n = 0; n < subscribers; n++) check(zmq_recv(socket, subscription, sizeof subscription, 0) >= 0, "recv");
    for (long n = 0; n < total; n++) send_new(socket, size);
    finish(socket, context);
}

static void subscribe(void)
{
    long size = number("size"), warm = number("warm"), total = number("total"), count = number("subscribers");
    long received = 0, first = warm * count, last = total * count;
    double start = 0;
    zmq_msg_t message;
    zmq_pollitem_t *items = calloc(count, sizeof *items);
    void *context = zmq_ctx_new();
    for (long i = 0; i < count; i++) {
        items[i].socket = opened(context, ZMQ_SUB);
        items[i].events = ZMQ_POLLIN;
        check(zmq_setsockopt(items[i].socket, ZMQ_SUBSCRIBE, "", 0) == 0, "subscribe");
        check(zmq_connect(items[i].socket, text("endpoint")) == 0, "connect");
    }
    zmq_msg_init(&message);
    while (received < last) {
        check(zmq_poll(items, count, -1) >= 0, "poll");
        for (long i = 0; i < count; i++) {
            if (!(items[i].revents & ZMQ_POLLIN)) continue;
            for (int n = 0; n < 1000 && zmq_msg_recv(&message, items[i].socket, ZMQ_DONTWAIT) >= 0; n++) {
                check((long)zmq_msg_size(&message) == size, "message of a wrong size");
                if (++received == first) start = now();
            }
        }
    }
    printf("{\"count\":%ld,\"seconds\":%.9f}\n", received, now() - start);
    zmq_msg_close(&message);
    for (long i = 0; i < count; i++) zmq_close(items[i].socket);
    zmq_ctx_term(context);
}

/* Matching: the topics of support/topics.mjs ----------------------------------------------------------------- */

static int topic(char *into, long i, const char *end)
{
    return sprintf(into, "plant/%ld/line/%ld/sensor/%s%ld", i % 100, i / 100 % 100, end, i / 10000);
}

static void match_publish(void)
{
    long topics = number("topics"), total = number("total"), warm = number("warm");
    char subscription[64], (*misses)[48] = malloc(topics * sizeof *misses);
    int *lengths = malloc(topics * sizeof *lengths);
    double start = 0;
    void *context = zmq_ctx_new(), *socket = opened(context, ZMQ_XPUB);
    bind_and_say(socket);
    for (long n = 0; n < topics; n++) check(zmq_recv(socket, subscription, sizeof subscription, 0) >= 0, "recv");
    for (long i = 0; i < topics; i++) lengths[i] = topic(misses[i], i, "x");
    for (long n = 0; n < total; n++) {
        if (n == warm) start = now();
        check(zmq_send(socket, misses[n % topics], lengths[n % topics], 0) >= 0, "send");
    }
    printf("{\"count\":%ld,\"seconds\":%.9f}\n", total, now() - start);
    fflush(stdout);
    exit(0);
}

static void match_subscribe(void)
{
    long topics = number("topics");
    char name[64];
    void *context = zmq_ctx_new(), *socket = opened(context, ZMQ_SUB);
    set(socket, ZMQ_SNDHWM, 0); /* subscriptions over the mark are dropped otherwise */
    for (long i = 0; i < topics; i++) {
        int length = topic(name, i, "");
        check(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, name, length) == 0, "subscribe");
    }
    check(zmq_connect(socket, text("endpoint")) == 0, "connect");
    while (fgets(name, sizeof name, stdin)) continue;
    exit(0);
}

/* Many connections: one message over each --------------------------------------------------------------------- */

static void gather(void)
{
    char body[8], line[64];
    long received = 0, more;
    void *context = zmq_ctx_new(), *socket = opened(context, ZMQ_PULL);
    set(socket, ZMQ_BACKLOG, 4096);
    bind_and_say(socket);
    while (fgets(line, sizeof line, stdin)) {
        more = atol(line);
        for (long n = 0; n < more; n++) check(zmq_recv(socket, body, sizeof body, 0) >= 0, "recv");
        printf("{\"held\":%ld,\"at\":%.3f}\n", received += more, epoch_ms());
    }
    exit(0);
}

static void crowd(void)
{
    char line[64];
    long more;
    void *context = zmq_ctx_new();
    zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 8192);
    printf("{\"ready\":true}\n");
    while (fgets(line, sizeof line, stdin)) {
        double start = epoch_ms();
        more = atol(line);
        for (long n = 0; n < more; n++) {
            void *socket = opened(context, ZMQ_PUSH);
            check(zmq_connect(socket, text("endpoint")) == 0, "connect");
            check(zmq_send(socket, "hi", 2, 0) == 2, "send");
        }
        printf("{\"begun\":%.3f}\n", start);
    }
    exit(0);
}

/* One socket that connects many times; then one message for each of its connections. */
static void bundle(void)
{
    char line[64];
    long held = 0, more;
    void *context = zmq_ctx_new(), *socket = opened(context, ZMQ_PUSH);
    printf("{\"ready\":true}\n");
    while (fgets(line, sizeof line, stdin)) {
        held += more = atol(line);
        for (long n = 0; n < more; n++) check(zmq_connect(socket, text("endpoint")) == 0, "connect");
        for (long n = 0; more > 0 && n < held; n++) check(zmq_send(socket, "hi", 2, 0) == 2, "send");
        printf("{\"held\":%ld}\n", held);
    }
    exit(0);
}

int main(int count, char **values)
{
    static const struct { const char *name; void (*run)(void); } roles[] = {
        {"pull", pull}, {"push", push}, {"reply", reply}, {"request", request},
        {"publish", publish}, {"subscribe", subscribe},
        {"match-publish", match_publish}, {"match-subscribe", match_subscribe},
        {"gather", gather}, {"crowd", crowd}, {"bundle", bundle},
    };
    int major, minor, patch;
    argument_count = count;
    arguments = values;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; count > 1 && i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(values[1], roles[i].name)) return roles[i].run(), 0;
    zmq_version(&major, &minor, &patch);
    printf("{\"version\":\"%d.%d.%d\"}\n", major, minor, patch);
    return 0;
}
