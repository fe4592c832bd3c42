/* Two short cuts of an HTTP server's: taking a plain request apart, and writing many responses.

   A request that came whole, in one read, and has nothing in it but what every request has: taken apart in one pass.

   It is a fast path beside the parser, so it must never understand anything otherwise than that does: scan() takes
   what has exactly one reading, and says None to all else (another version, chunks, an upgrade, Connection, Expect, a
   folded line, a byte beyond ASCII, a length that is not the body's, anything behind the body), which the parser has.

   An Invoke of type Event in which nothing else decides anything but its URL, its host and the scope of its signature
   has those as its key: who has answered one of a key knows all that is to be known of the next but its body. A header
   that this does not know to be harmless (any other of AWS's, any that a browser adds) makes it a request without one. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>
#include <sys/socket.h>

enum {
    FIELDS = 64,       /* headers; who sends more is the parser's */
    NAME = 64,         /* bytes of a header's name */
    DIGITS = 9,        /* of a body's length */
    KEY = 1024,        /* bytes of a key */
    SENDS = 256,       /* responses that are written at once */
    RESPONSE = 512,    /* bytes of each */
    ID = 16,           /* bytes of a request's id, and of its text */
    TEXT = 36,
    NAMES = 128,       /* header names that are kept */
};

static const char *const METHODS[] = {"POST", "GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"};
/* What decides how a request is framed, or how its connection goes on, beside its length. */
static const char *const OTHERS[] = {
    "transfer-encoding", "connection", "proxy-connection", "upgrade", "expect", "te", "trailer", "keep-alive",
};

static unsigned char lower[256]; /* of a token's characters; 0: it is none (RFC 9110, 5.6.2) */
static PyObject *methods_[sizeof METHODS / sizeof *METHODS];
static PyObject *names[NAMES]; /* so that the same name is the same object: its hash is there. With the interpreter's lock */

typedef struct {
    const char *at, *end;
} text;

typedef struct {
    char name[NAME]; /* in small letters */
    size_t n;
    text value;
} field;

typedef struct {
    int method; /* of METHODS */
    text url, body;
    int n;
    field fields[FIELDS];
} request;

static PyObject *name_of(const char *name, size_t n)
{
    unsigned at = 0;
    for (size_t i = 0; i < n; i++)
        at = at * 31 + (unsigned char)name[i];
    PyObject **kept = &names[at % NAMES];
    if (*kept != NULL && (size_t)PyBytes_Size(*kept) == n && memcmp(PyBytes_AsString(*kept), name, n) == 0) {
        Py_INCREF(*kept);
        return *kept;
    }
    PyObject *made = PyBytes_FromStringAndSize(name, (Py_ssize_t)n);
    if (made != NULL) {
        PyObject *old = *kept;
        Py_INCREF(made);
        *kept = made;
        Py_XDECREF(old);
    }
    return made;
}

static int is(const char *name, size_t n, const char *other)
{
    return strlen(other) == n && memcmp(name, other, n) == 0;
}

/* -1: it is no length. */
static long length_of(const char *at, const char *end)
{
    long length = 0;
    if (at == end || end - at > DIGITS)
        return -1;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return -1;
        length = length * 10 + (*at - '0');
    }
    return length;
}

/* A header. 1: it is there; 0: not for here. `length`: the body's, -1 while no header has said it. */
static int header(text *t, field *f, long *length)
{
    f->n = 0;
    for (; t->at < t->end && *t->at != ':'; t->at++) {
        unsigned char c = lower[(unsigned char)*t->at];
        if (c == 0 || f->n == NAME)
            return 0;
        f->name[f->n++] = (char)c;
    }
    if (t->at == t->end || f->n == 0)
        return 0;
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        if (is(f->name, f->n, OTHERS[i]))
            return 0;
    const char *value = t->at + 1;
    while (value < t->end && (*value == ' ' || *value == '\t'))
        value++;
    const char *line = value;
    while (line < t->end && ((*line >= ' ' && *line < 0x7f) || *line == '\t'))
        line++;
    if (t->end - line < 2 || line[0] != '\r' || line[1] != '\n')
        return 0;
    t->at = line + 2;
    while (line > value && (line[-1] == ' ' || line[-1] == '\t'))
        line--;
    f->value = (text){value, line};
    if (is(f->name, f->n, "content-length"))
        return *length < 0 && (*length = length_of(value, line)) >= 0;
    return 1;
}

static int method_of(text *t)
{
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++) {
        size_t n = strlen(METHODS[i]);
        if ((size_t)(t->end - t->at) > n && memcmp(t->at, METHODS[i], n) == 0 && t->at[n] == ' ') {
            t->at += n + 1;
            return (int)i;
        }
    }
    return -1;
}

/* A whole request. 1, or 0: not for here. */
static int parse(text t, request *r)
{
    static const char VERSION[] = " HTTP/1.1\r\n";
    r->method = method_of(&t);
    r->url = t;
    if (r->method < 0 || t.at == t.end || *t.at != '/')
        return 0;
    while (t.at < t.end && *t.at > ' ' && *t.at < 0x7f && *t.at != '#')
        t.at++;
    r->url.end = t.at;
    if ((size_t)(t.end - t.at) < sizeof VERSION - 1 || memcmp(t.at, VERSION, sizeof VERSION - 1) != 0)
        return 0;
    t.at += sizeof VERSION - 1;
    long length = -1;
    for (r->n = 0; t.at < t.end && *t.at != '\r'; r->n++)
        if (r->n == FIELDS || !header(&t, &r->fields[r->n], &length))
            return 0;
    if (t.end - t.at < 2 || t.at[1] != '\n' || t.end - t.at - 2 != (length < 0 ? 0 : length))
        return 0;
    r->body = (text){t.at + 2, t.end};
    return 1;
}

static int begins(const char *name, size_t n, const char *with)
{
    return n >= strlen(with) && memcmp(name, with, strlen(with)) == 0;
}

static PyObject *bytes_of(text t)
{
    return PyBytes_FromStringAndSize(t.at, t.end - t.at);
}

/* A new reference; NULL without an exception: it has none. */
static PyObject *key_of(const request *r)
{
    static const char NONE[] = "";
    text host = {NONE, NONE}, scope = {NONE, NONE};
    int event = 0;
    for (const field *f = r->fields; f < r->fields + r->n; f++) {
        if (is(f->name, f->n, "host") && host.at == NONE)
            host = f->value;
        else if (is(f->name, f->n, "authorization") && scope.at == NONE) {
            const char *comma = memchr(f->value.at, ',', (size_t)(f->value.end - f->value.at));
            scope = (text){f->value.at, comma != NULL ? comma : f->value.end};
        } else if (is(f->name, f->n, "x-amz-invocation-type") && !event) {
            if (!is(f->value.at, (size_t)(f->value.end - f->value.at), "Event"))
                return NULL;
            event = 1;
        } else if (is(f->name, f->n, "host") || is(f->name, f->n, "authorization") || is(f->name, f->n, "origin") ||
                   begins(f->name, f->n, "sec-") ||
                   (begins(f->name, f->n, "x-amz") && !is(f->name, f->n, "x-amz-date")))
            return NULL;
    }
    size_t sizes[] = {(size_t)(r->url.end - r->url.at), (size_t)(host.end - host.at), (size_t)(scope.end - scope.at)};
    if (!event || r->method != 0 || host.at == NONE || sizes[0] + sizes[1] + sizes[2] > KEY)
        return NULL;
    char key[KEY + 2], *end = key;
    memcpy(end, r->url.at, sizes[0]);
    end += sizes[0];
    *end++ = 0;
    memcpy(end, host.at, sizes[1]);
    end += sizes[1];
    *end++ = 0;
    memcpy(end, scope.at, sizes[2]);
    return PyBytes_FromStringAndSize(key, end + sizes[2] - key);
}

static PyObject *headers_of(const request *r)
{
    PyObject *headers = PyList_New(r->n);
    for (int i = 0; headers != NULL && i < r->n; i++) {
        PyObject *name = name_of(r->fields[i].name, r->fields[i].n), *value = bytes_of(r->fields[i].value);
        PyObject *pair = name != NULL && value != NULL ? PyTuple_Pack(2, name, value) : NULL;
        Py_XDECREF(name);
        Py_XDECREF(value);
        if (pair == NULL) {
            Py_CLEAR(headers);
            break;
        }
        PyList_SetItem(headers, i, pair);
    }
    return headers;
}

static PyObject *scan(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n)
{
    char *bytes;
    Py_ssize_t size;
    if (n != 2 || !PyDict_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "scan(data, known)");
        return NULL;
    }
    if (PyBytes_AsStringAndSize(arguments[0], &bytes, &size) < 0)
        return NULL;
    request r;
    if (!parse((text){bytes, bytes + size}, &r))
        Py_RETURN_NONE;
    PyObject *key = key_of(&r), *url = NULL, *headers = NULL, *body = NULL, *result = NULL;
    PyObject *known = key != NULL ? PyDict_GetItemWithError(arguments[1], key) : NULL;
    Py_XINCREF(known); /* else it is the dictionary's only */
    if (PyErr_Occurred() || (body = bytes_of(r.body)) == NULL)
        ;
    else if (known != NULL)
        result = PyTuple_Pack(2, known, body);
    else if ((url = bytes_of(r.url)) != NULL && (headers = headers_of(&r)) != NULL)
        result = PyTuple_Pack(5, methods_[r.method], url, headers, body, key != NULL ? key : Py_None);
    Py_XDECREF(known);
    Py_XDECREF(key);
    Py_XDECREF(url);
    Py_XDECREF(headers);
    Py_XDECREF(body);
    return result;
}

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
static PyObject *send_all(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
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

static int prepare(PyObject *Py_UNUSED(module))
{
    if (methods_[0] != NULL)
        return 0;
    for (const char *c = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"; *c; c++)
        lower[(unsigned char)*c] = (unsigned char)*c;
    for (int c = 'A'; c <= 'Z'; c++)
        lower[c] = (unsigned char)(c + 'a' - 'A');
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++)
        if ((methods_[i] = PyUnicode_InternFromString(METHODS[i])) == NULL)
            return -1;
    return 0;
}

static PyMethodDef functions[] = {
    {"scan", (PyCFunction)(void (*)(void))scan, METH_FASTCALL,
     "scan(data, known): (method, url, [(name, value), ...], body, key or None) of a plain request that is all of the "
     "bytes; (known[key], body) where that is there; or None."},
    {"send_all", (PyCFunction)(void (*)(void))send_all, METH_FASTCALL,
     "send_all(before, [(descriptor, id, ...), ...], after): to each socket a request's id as text between what all get. "
     "[(index, bytes), ...] of those that did not take all of it: 0 where one took none, whatever the reason."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)prepare}, {0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "engine._http", .m_methods = functions, .m_slots = slots};

PyMODINIT_FUNC PyInit__http(void)
{
    return PyModuleDef_Init(&definition);
}
