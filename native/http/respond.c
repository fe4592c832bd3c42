/* Writes many responses: those of accepted events, and those of invocations that ended as most do. */
#define _GNU_SOURCE
#include "http/http.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "engine/queue.h"

enum {
    SENDS = 256,    /* responses that are written at once */
    RESPONSE = 512, /* bytes of each, but for its payload */
    ID = 16,        /* bytes of a request's id, and of its text */
    TEXT = 36,
    LINE = 256,     /* of a journal */
    LONG = 64 * 1024, /* a send of more lets other threads run meanwhile */
    DIGITS = 20,    /* of a number, at most */
    CHUNK = 16,     /* responses that are made at once, on the stack */
    FIXED = 160,    /* bytes of a response beside its payload and what all have in common */
    MOST = RESPONSE + STK_CELL_BYTES,
};

static char *hex_of(char *to, const char *id, size_t n)
{
    static const char DIGIT[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *to++ = DIGIT[(unsigned char)id[i] >> 4];
        *to++ = DIGIT[(unsigned char)id[i] & 15];
    }
    return to;
}

/* A request id as text, as in uuid_text (engine/calls/dispatch.py). */
static void text_of(char to[TEXT], const char *id)
{
    static const size_t GROUPS[] = {4, 2, 2, 2, 6};
    for (size_t i = 0; i < sizeof GROUPS / sizeof *GROUPS; id += GROUPS[i++]) {
        if (i)
            *to++ = '-';
        to = hex_of(to, id, GROUPS[i]);
    }
}

/* To each socket what all have in common with its own id in it, without the interpreter's lock: other threads run
   meanwhile. */
PyObject *http_send_all(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    struct {
        int descriptor;
        ssize_t done;
        char id[ID];
    } sends[SENDS];
    char *before, *after, response[RESPONSE];
    Py_ssize_t n, before_size, after_size;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "send_all(before, receivers, after)");
        return NULL;
    }
    if (PyBytes_AsStringAndSize(arguments[0], &before, &before_size) < 0 || (n = PyList_Size(arguments[1])) < 0 ||
        PyBytes_AsStringAndSize(arguments[2], &after, &after_size) < 0)
        return NULL;
    size_t size = (size_t)before_size + TEXT + (size_t)after_size;
    if (size > RESPONSE) {
        PyErr_SetString(PyExc_ValueError, "a response is too large");
        return NULL;
    }
    memcpy(response, before, (size_t)before_size);
    memcpy(response + before_size + TEXT, after, (size_t)after_size);
    PyObject *cut = PyList_New(0);
    for (Py_ssize_t at = 0, filled; cut != NULL && at < n; at += filled) {
        for (filled = 0; filled < SENDS && at + filled < n; filled++) {
            PyObject *receiver = PyList_GetItem(arguments[1], at + filled);
            char *id;
            Py_ssize_t id_size;
            long descriptor = -1;
            if (!PyTuple_Check(receiver) || PyTuple_Size(receiver) < 2 ||
                PyBytes_AsStringAndSize(PyTuple_GetItem(receiver, 1), &id, &id_size) < 0 || id_size != ID ||
                ((descriptor = PyLong_AsLong(PyTuple_GetItem(receiver, 0))) == -1 && PyErr_Occurred())) {
                if (!PyErr_Occurred())
                    PyErr_SetString(PyExc_TypeError, "a list of (descriptor, 16 bytes, ...)");
                Py_DECREF(cut);
                return NULL;
            }
            sends[filled].descriptor = (int)descriptor;
            memcpy(sends[filled].id, id, ID);
        }
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < filled; i++) {
            text_of(response + before_size, sends[i].id);
            sends[i].done = send(sends[i].descriptor, response, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        Py_END_ALLOW_THREADS
        for (Py_ssize_t i = 0; cut != NULL && i < filled; i++) {
            if (sends[i].done == (ssize_t)size)
                continue;
            PyObject *pair = Py_BuildValue("nn", at + i, sends[i].done > 0 ? (Py_ssize_t)sends[i].done : 0);
            if (pair == NULL || PyList_Append(cut, pair) < 0)
                Py_CLEAR(cut);
            Py_XDECREF(pair);
        }
    }
    return cut;
}


/* The engine's functions, as engine/_native has them: this module has no code of the engine's. */
static int (*outcome_of)(stk_engine *, uint64_t, stk_outcome *);
static void (*call_free)(stk_engine *, uint64_t);
static int64_t real_beyond_monotonic; /* ns */

PyObject *http_bind(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n)
{
    if (n != 3) {
        PyErr_SetString(PyExc_TypeError, "bind() takes two addresses and a number");
        return NULL;
    }
    outcome_of = (int (*)(stk_engine *, uint64_t, stk_outcome *))PyLong_AsVoidPtr(arguments[0]);
    call_free = (void (*)(stk_engine *, uint64_t))PyLong_AsVoidPtr(arguments[1]);
    real_beyond_monotonic = PyLong_AsLongLong(arguments[2]);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static char *put(char *to, const char *text, size_t n)
{
    memcpy(to, text, n);
    return to + n;
}

static char *put_number(char *to, uint64_t number)
{
    char digits[DIGITS], *at = digits + DIGITS;
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    return put(to, at, (size_t)(digits + DIGITS - at));
}

static char *put_fraction(char *to, unsigned number) /* of a thousand */
{
    *to++ = '.';
    *to++ = (char)('0' + number / 100);
    *to++ = (char)('0' + number / 10 % 10);
    *to++ = (char)('0' + number % 10);
    return to;
}

#define PUT(to, literal) put(to, literal, sizeof literal - 1)

/* It succeeded, was not the first of its worker and printed nothing: all that a response and a line have is in it. */
static int is_quiet(const stk_outcome *o)
{
    return o->status == STK_OK && !o->cold && !o->log_len && !o->log_dropped && o->t_start && o->t_end >= o->t_start;
}

/* Its payload is sent from where it is, and not copied before. */
static int is_large(const stk_outcome *o) { return o->len > STK_CELL_BYTES; }

/* observe/journal.py: Quiet. */
static char *put_line(char *to, const stk_outcome *o, uint64_t micros, uint64_t number)
{
    to = PUT(to, "[6,\"");
    text_of(to, (const char *)o->id);
    to = PUT(to + TEXT, "\",");
    to = put_fraction(put_number(to, micros / 1000), (unsigned)(micros % 1000));
    const uint64_t numbers[] = {o->t_end - o->t_start, o->peak_kib, o->len, o->born, number};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        *to++ = ',';
        to = put_number(to, numbers[i]);
    }
    return PUT(to, "]\n");
}

typedef struct {
    const char *at;
    size_t n;
} text;

/* What all responses of a batch have in common. */
typedef struct {
    text before, middle; /* the request's id is between the two */
} common;

/* All of it, or without its payload. */
static char *put_response(char *to, const stk_outcome *o, const common *c)
{
    to = put(to, c->before.at, c->before.n);
    text_of(to, (const char *)o->id);
    to = put(to + TEXT, c->middle.at, c->middle.n);
    uint32_t began = (uint32_t)(((int64_t)o->t_start + real_beyond_monotonic) / 1000000000);
    char seconds[4] = {(char)(began >> 24), (char)(began >> 16), (char)(began >> 8), (char)began};
    to = hex_of(to, seconds, sizeof seconds);
    *to++ = '-';
    to = hex_of(to, (const char *)o->id, 12);
    to = PUT(to, ";sampled=0\r\ncontent-length: ");
    to = PUT(put_number(to, o->len), "\r\n\r\n");
    return o->len && !is_large(o) ? put(to, (const char *)o->data, o->len) : to;
}

/* A chunk of responses, before they are sent. */
typedef struct {
    int n;
    struct {
        Py_ssize_t index; /* of the call in the list */
        int descriptor;
        size_t size;
        char bytes[MOST];
        text large; /* what follows them; nothing: 0 */
        uint64_t ticket; /* of a large one, whose payload is the engine's until it is given back */
    } responses[CHUNK];
    size_t size; /* of the lines */
    char lines[CHUNK * LINE];
    int64_t times[2 * CHUNK];
    stk_engine *engine;
    uint64_t room, longest; /* for what sockets do not take of large responses; of all payloads */
} chunk;

/* One call's. 1; 0: it is not quiet, there is no room for it, or there is none of that ticket; -1 with an exception set. */
static int add(chunk *k, PyObject *call, const common *c, uint64_t micros, uint64_t number)
{
    if (!PyTuple_Check(call) || PyTuple_Size(call) < 2) {
        PyErr_SetString(PyExc_TypeError, "a list of (ticket, descriptor, ...)");
        return -1;
    }
    uint64_t ticket = PyLong_AsUnsignedLongLong(PyTuple_GetItem(call, 0));
    long descriptor = PyErr_Occurred() ? -1 : PyLong_AsLong(PyTuple_GetItem(call, 1));
    stk_outcome o;
    if (PyErr_Occurred())
        return -1;
    if (!outcome_of(k->engine, ticket, &o) || !is_quiet(&o) || (is_large(&o) && o.len > k->room))
        return 0;
    k->responses[k->n].descriptor = (int)descriptor;
    k->responses[k->n].size = (size_t)(put_response(k->responses[k->n].bytes, &o, c) - k->responses[k->n].bytes);
    k->size = (size_t)(put_line(k->lines + k->size, &o, micros, number) - k->lines);
    k->times[2 * k->n] = (int64_t)micros;
    k->times[2 * k->n + 1] = (int64_t)(o.t_end - o.t_start);
    k->longest = o.len > k->longest ? o.len : k->longest;
    k->responses[k->n].large = is_large(&o) ? (text){(const char *)o.data, o.len} : (text){NULL, 0};
    k->responses[k->n].ticket = ticket;
    if (is_large(&o))
        k->room -= o.len;
    else
        call_free(k->engine, ticket);
    k->n++;
    return 1;
}

/* How many bytes of a response and its payload the socket took. */
static size_t send_both(int descriptor, char *bytes, size_t size, text large)
{
    struct iovec parts[] = {{bytes, size}, {(char *)large.at, large.n}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = large.n ? 2 : 1};
    ssize_t sent = sendmsg(descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent > 0 ? (size_t)sent : 0;
}

/* What the socket did not take: (index, bytes). */
static PyObject *rest_of(Py_ssize_t index, const char *bytes, size_t size, text large, size_t sent)
{
    size_t head = sent < size ? size - sent : 0, from = sent < size ? 0 : sent - size;
    PyObject *rest = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(head + large.n - from));
    if (rest == NULL)
        return NULL;
    char *to = put(PyBytes_AsString(rest), bytes + size - head, head);
    if (large.n > from)
        put(to, large.at + from, large.n - from);
    return Py_BuildValue("nN", index, rest);
}

/* The engine's payloads, which are not needed any more. */
static void give_back(chunk *k)
{
    for (int i = 0; i < k->n; i++)
        if (k->responses[i].large.n)
            call_free(k->engine, k->responses[i].ticket);
    k->n = 0;
    k->size = 0;
}

/* Notes a chunk, then sends it. What a socket does not take is added to `cut`. -1 with an exception set. */
static int finish(chunk *k, PyObject *noted, PyObject *cut)
{
    if (k->n == 0)
        return 0;
    PyObject *done = PyObject_CallFunction(
        noted, "y#y#", k->lines, (Py_ssize_t)k->size, (char *)k->times, (Py_ssize_t)k->n * 2 * (Py_ssize_t)sizeof *k->times);
    if (done == NULL)
        return -1;
    Py_DECREF(done);
    for (int i = 0; i < k->n; i++) {
        size_t size = k->responses[i].size, sent;
        text large = k->responses[i].large;
        if (large.n > LONG) {
            Py_BEGIN_ALLOW_THREADS
            sent = send_both(k->responses[i].descriptor, k->responses[i].bytes, size, large);
            Py_END_ALLOW_THREADS
        } else {
            sent = send_both(k->responses[i].descriptor, k->responses[i].bytes, size, large);
        }
        if (sent == size + large.n)
            continue;
        PyObject *pair = rest_of(k->responses[i].index, k->responses[i].bytes, size, large, sent);
        int added = pair == NULL ? -1 : PyList_Append(cut, pair);
        Py_XDECREF(pair);
        if (added < 0)
            return -1;
    }
    give_back(k);
    return 0;
}

static int add_index(PyObject *list, Py_ssize_t index)
{
    PyObject *number = PyLong_FromSsize_t(index);
    int added = number == NULL ? -1 : PyList_Append(list, number);
    Py_XDECREF(number);
    return added;
}

/* With the interpreter's lock, but while a large payload is sent: to let it go and to have it back takes longer than a
   send, which does not wait. */
PyObject *http_answer(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    chunk k;
    char *before, *middle;
    Py_ssize_t before_size, middle_size, n;
    if (count != 7 || outcome_of == NULL || !PyList_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "answer(engine, calls, before, middle, number, noted, room), once all is bound");
        return NULL;
    }
    k.engine = PyLong_AsVoidPtr(arguments[0]);
    if (PyErr_Occurred() || (n = PyList_Size(arguments[1])) < 0 ||
        PyBytes_AsStringAndSize(arguments[2], &before, &before_size) < 0 ||
        PyBytes_AsStringAndSize(arguments[3], &middle, &middle_size) < 0)
        return NULL;
    uint64_t number = PyLong_AsUnsignedLongLong(arguments[4]);
    if (!PyErr_Occurred())
        k.room = PyLong_AsUnsignedLongLong(arguments[6]);
    if (PyErr_Occurred())
        return NULL;
    if ((size_t)before_size + (size_t)middle_size + FIXED > RESPONSE) {
        PyErr_SetString(PyExc_ValueError, "a response is too large");
        return NULL;
    }
    k.n = 0; /* the rest of so much is written before it is read */
    k.size = k.longest = 0;
    const common c = {{before, (size_t)before_size}, {middle, (size_t)middle_size}};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t micros = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    PyObject *left = PyList_New(0), *cut = PyList_New(0);
    int fine = left != NULL && cut != NULL;
    for (Py_ssize_t i = 0; fine && i < n; i++) {
        k.responses[k.n].index = i;
        int added = add(&k, PyList_GetItem(arguments[1], i), &c, micros, number);
        fine = added > 0 || (added == 0 && add_index(left, i) == 0);
        if (fine && k.n == CHUNK)
            fine = finish(&k, arguments[5], cut) == 0;
    }
    PyObject *all = NULL;
    if (fine && finish(&k, arguments[5], cut) == 0)
        all = Py_BuildValue("OOK", left, cut, (unsigned long long)k.longest);
    give_back(&k);
    Py_XDECREF(left);
    Py_XDECREF(cut);
    return all;
}
