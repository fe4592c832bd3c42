/* A request that came whole and has nothing in it but what every request has: taken apart in one pass.

   It is a fast path beside the parser, so it must never understand anything otherwise than that does: scan() takes
   what has exactly one reading, and says None to all else (another version, chunks, an upgrade, Connection, Expect, a
   folded line, a byte beyond ASCII, a length that is not the body's, anything behind the body), which the parser has.

   A POST, as an Invoke is, in which nothing decides anything but its URL, its host, the scope of its signature and
   whether it is an event has those as its key: who has answered one of a key knows all that is to be known of the next
   but its body, and begins() knows it by its head. A header that this does not know to be harmless (any other of AWS's,
   any that a browser adds) makes it a request without one. */

#include <string.h>

#include "http/http.h"

enum {
    FIELDS = 64,       /* headers; who sends more is the parser's */
    NAME = 64,         /* bytes of a header's name */
    DIGITS = 9,        /* of a body's length */
    KEY = 1024,        /* bytes of a key */
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

/* A request whose head is there, and of the body what has come. *length: the body's. 1, or 0: not for here. */
static int parse(text t, request *r, long *length)
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
    *length = -1;
    for (r->n = 0; t.at < t.end && *t.at != '\r'; r->n++)
        if (r->n == FIELDS || !header(&t, &r->fields[r->n], length))
            return 0;
    if (t.end - t.at < 2 || t.at[1] != '\n')
        return 0;
    if (*length < 0)
        *length = 0;
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
    char kind = 0; /* 'E': an event; 'R': its response is waited for, as without the header */
    for (const field *f = r->fields; f < r->fields + r->n; f++) {
        if (is(f->name, f->n, "host") && host.at == NONE)
            host = f->value;
        else if (is(f->name, f->n, "authorization") && scope.at == NONE) {
            const char *comma = memchr(f->value.at, ',', (size_t)(f->value.end - f->value.at));
            scope = (text){f->value.at, comma != NULL ? comma : f->value.end};
        } else if (is(f->name, f->n, "x-amz-invocation-type") && !kind) {
            size_t n = (size_t)(f->value.end - f->value.at);
            kind = is(f->value.at, n, "Event") ? 'E' : is(f->value.at, n, "RequestResponse") ? 'R' : 0;
            if (!kind)
                return NULL;
        } else if (is(f->name, f->n, "host") || is(f->name, f->n, "authorization") || is(f->name, f->n, "origin") ||
                   begins(f->name, f->n, "sec-") ||
                   (begins(f->name, f->n, "x-amz") && !is(f->name, f->n, "x-amz-date")))
            return NULL;
    }
    size_t sizes[] = {(size_t)(r->url.end - r->url.at), (size_t)(host.end - host.at), (size_t)(scope.end - scope.at)};
    if (r->method != 0 || host.at == NONE || sizes[0] + sizes[1] + sizes[2] > KEY)
        return NULL;
    char key[KEY + 3], *end = key;
    *end++ = kind ? kind : 'R';
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

/* What Python hands over, taken apart. 1; 0: it is not for here; -1: with an exception. */
static int taken_apart(PyObject *const *arguments, Py_ssize_t n, request *r, long *left)
{
    char *bytes;
    Py_ssize_t size;
    if (n != 2 || !PyDict_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "it takes (data, known)");
        return -1;
    }
    if (PyBytes_AsStringAndSize(arguments[0], &bytes, &size) < 0)
        return -1;
    if (!parse((text){bytes, bytes + size}, r, left))
        return 0;
    *left -= r->body.end - r->body.at;
    return 1;
}

PyObject *http_scan(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n)
{
    request r;
    long left;
    int plain = taken_apart(arguments, n, &r, &left);
    if (plain < 0)
        return NULL;
    if (!plain || left)
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

PyObject *http_begins(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n)
{
    request r;
    long left;
    int plain = taken_apart(arguments, n, &r, &left);
    if (plain < 0)
        return NULL;
    PyObject *key = plain && left > 0 ? key_of(&r) : NULL, *result = NULL;
    PyObject *known = key != NULL ? PyDict_GetItemWithError(arguments[1], key) : NULL;
    if (known != NULL)
        result = Py_BuildValue("(Oll)", known, (long)(r.body.end - r.body.at), left);
    Py_XDECREF(key);
    if (result == NULL && !PyErr_Occurred())
        Py_RETURN_NONE;
    return result;
}

int request_prepare(void)
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
