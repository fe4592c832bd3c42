/* Two short cuts of an HTTP server's: taking a plain request apart, and writing many responses.

   A request that came whole, in one read, and has nothing in it but what every request has: taken apart in one pass.

   It is a fast path beside the parser, so it must never understand anything otherwise than that does: scan() takes
   what has exactly one reading, and says None to all else (another version, chunks, an upgrade, Connection, Expect, a
   folded line, a byte beyond ASCII, a length that is not the body's, anything behind the body), which the parser has. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>
#include <sys/socket.h>

enum {
    FIELDS = 64,       /* headers; who sends more is the parser's */
    NAME = 64,         /* bytes of a header's name */
    DIGITS = 9,        /* of a body's length */
    SENDS = 256,       /* responses that are written at once */
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

/* A header into the list. 1: it is there; 0: not for here; -1 with an exception set. `length`: the body's, -1 while no
   header has said it. */
static int header(text *t, PyObject *headers, long *length)
{
    char name[NAME];
    size_t n = 0;
    for (; t->at < t->end && *t->at != ':'; t->at++) {
        unsigned char c = lower[(unsigned char)*t->at];
        if (c == 0 || n == NAME)
            return 0;
        name[n++] = (char)c;
    }
    if (t->at == t->end || n == 0)
        return 0;
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        if (is(name, n, OTHERS[i]))
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
    if (is(name, n, "content-length")) {
        if (*length >= 0 || (*length = length_of(value, line)) < 0)
            return 0;
    }
    PyObject *field = PyTuple_New(2), *first = name_of(name, n);
    PyObject *second = PyBytes_FromStringAndSize(value, line - value);
    if (field == NULL || first == NULL || second == NULL) {
        Py_XDECREF(field);
        Py_XDECREF(first);
        Py_XDECREF(second);
        return -1;
    }
    PyTuple_SetItem(field, 0, first);
    PyTuple_SetItem(field, 1, second);
    int failed = PyList_Append(headers, field);
    Py_DECREF(field);
    return failed ? -1 : 1;
}

static PyObject *method_of(text *t)
{
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++) {
        size_t n = strlen(METHODS[i]);
        if ((size_t)(t->end - t->at) > n && memcmp(t->at, METHODS[i], n) == 0 && t->at[n] == ' ') {
            t->at += n + 1;
            return methods_[i];
        }
    }
    return NULL;
}

/* As header(). `found`: url and body, new references. */
static int parts(text *t, PyObject *headers, PyObject *found[2])
{
    static const char VERSION[] = " HTTP/1.1\r\n";
    const char *url = t->at;
    if (t->at == t->end || *url != '/')
        return 0;
    while (t->at < t->end && *t->at > ' ' && *t->at < 0x7f && *t->at != '#')
        t->at++;
    const char *end = t->at;
    if ((size_t)(t->end - end) < sizeof VERSION - 1 || memcmp(end, VERSION, sizeof VERSION - 1) != 0)
        return 0;
    t->at += sizeof VERSION - 1;
    long length = -1;
    for (int i = 0; t->at < t->end && *t->at != '\r'; i++) {
        int done = i == FIELDS ? 0 : header(t, headers, &length);
        if (done < 1)
            return done;
    }
    if (t->end - t->at < 2 || t->at[1] != '\n' || t->end - t->at - 2 != (length < 0 ? 0 : length))
        return 0;
    found[0] = PyBytes_FromStringAndSize(url, end - url);
    found[1] = PyBytes_FromStringAndSize(t->at + 2, t->end - t->at - 2);
    return found[0] == NULL || found[1] == NULL ? -1 : 1;
}

static PyObject *scan(PyObject *Py_UNUSED(module), PyObject *data)
{
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(data, &bytes, &size) < 0)
        return NULL;
    text t = {bytes, bytes + size};
    PyObject *method = method_of(&t), *found[2] = {NULL, NULL}, *result = NULL;
    if (method == NULL)
        Py_RETURN_NONE;
    PyObject *headers = PyList_New(0);
    int done = headers == NULL ? -1 : parts(&t, headers, found);
    if (done == 1)
        result = PyTuple_Pack(4, method, found[0], headers, found[1]);
    else if (done == 0) {
        result = Py_None;
        Py_INCREF(result);
    }
    Py_XDECREF(headers);
    Py_XDECREF(found[0]);
    Py_XDECREF(found[1]);
    return result;
}

/* Each of a list's bytes to its socket, without the interpreter's lock: other threads run meanwhile. */
static PyObject *send_all(PyObject *Py_UNUSED(module), PyObject *pairs)
{
    struct {
        int descriptor;
        const char *bytes;
        size_t size, done;
    } sends[SENDS];
    Py_ssize_t n = PyList_Size(pairs), filled = 0;
    if (n < 0)
        return NULL;
    PyObject *result = PyList_New(n);
    for (Py_ssize_t at = 0; result != NULL && at < n; at += filled) {
        for (filled = 0; filled < SENDS && at + filled < n; filled++) {
            PyObject *pair = PyList_GetItem(pairs, at + filled);
            char *bytes;
            Py_ssize_t size;
            long descriptor = -1;
            if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2 ||
                PyBytes_AsStringAndSize(PyTuple_GetItem(pair, 1), &bytes, &size) < 0 ||
                ((descriptor = PyLong_AsLong(PyTuple_GetItem(pair, 0))) == -1 && PyErr_Occurred())) {
                if (!PyErr_Occurred())
                    PyErr_SetString(PyExc_TypeError, "a list of (descriptor, bytes)");
                Py_DECREF(result);
                return NULL;
            }
            sends[filled].descriptor = (int)descriptor;
            sends[filled].bytes = bytes;
            sends[filled].size = (size_t)size;
        }
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < filled; i++) {
            ssize_t sent = send(sends[i].descriptor, sends[i].bytes, sends[i].size, MSG_DONTWAIT | MSG_NOSIGNAL);
            sends[i].done = sent > 0 ? (size_t)sent : 0;
        }
        Py_END_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < filled; i++) {
            PyObject *done = PyLong_FromSize_t(sends[i].done);
            if (done == NULL) {
                Py_DECREF(result);
                return NULL;
            }
            PyList_SetItem(result, at + i, done);
        }
    }
    return result;
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
    {"scan", scan, METH_O,
     "scan(data): (method, url, [(name, value), ...], body) of a plain request that is all of the bytes; or None."},
    {"send_all", send_all, METH_O,
     "send_all([(descriptor, bytes), ...]): how many bytes each socket took, 0 where it took none, whatever the reason."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)prepare}, {0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "engine._http", .m_methods = functions, .m_slots = slots};

PyMODINIT_FUNC PyInit__http(void)
{
    return PyModuleDef_Init(&definition);
}
