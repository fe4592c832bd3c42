/* A response as json.dumps writes it, blanks and all, into one buffer, or where it is read: exactly dict, list, tuple, str, int of 64 bits,
   float, bool and None, which need no code of Python's. Of anything else dumps() is None, and json itself has it. */

#include "json/decode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json/plain.h"

enum {
    DEPTH = 200,   /* containers in each other: json knows what is too deep, and what is in itself */
    LEAST = 4096, KEPT = 2 << 20, /* bytes of a buffer */
    ESCAPED = 12,  /* bytes of the longest escape, a surrogate pair */
};

typedef struct {
    char *start, *at, *end; /* `kept`, a buffer of its own, or the caller's */
    int only_ascii, fixed;  /* the buffer: it is somebody else's */
} document;

static char *kept; /* between documents, as new pages cost more than what is written to them; with the interpreter's lock */
static size_t kept_size;

/* Each returns 1 when all is written, 0 of what is not for here, -1 with an exception set, or for want of room in a buffer
   that is fixed. */
static int value(document *d, PyObject *object, int depth);

static int grow(document *d, size_t more)
{
    if (d->fixed)
        return -1;
    size_t used = (size_t)(d->at - d->start), size = (size_t)(d->end - d->start) * 2;
    if (more > (size_t)PY_SSIZE_T_MAX / 4 || size > (size_t)PY_SSIZE_T_MAX / 4) {
        PyErr_NoMemory();
        return -1;
    }
    size += more;
    char *bytes = malloc(size);
    if (bytes == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(bytes, d->start, used);
    free(d->start);
    d->start = bytes;
    d->at = d->start + used;
    d->end = d->start + size;
    return 1;
}

static inline int room(document *d, size_t more)
{
    return (size_t)(d->end - d->at) >= more ? 1 : grow(d, more);
}

static inline int put(document *d, const char *text, size_t n)
{
    if (room(d, n) < 0)
        return -1;
    memcpy(d->at, text, n);
    d->at += n;
    return 1;
}

static char *unit(char *to, uint32_t unit)
{
    static const char digits[] = "0123456789abcdef";
    *to++ = '\\';
    *to++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4)
        *to++ = digits[unit >> shift & 15];
    return to;
}

/* The character at `at`, of valid UTF-8, written to `to`. Returns what is behind it there; *next: here. */
static char *escape(char *to, const uint8_t *at, const uint8_t **next)
{
    static const char names[128] = {
        ['"'] = '"', ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    uint32_t c = *at++;
    if (c < 0x80) {
        *next = at;
        if (names[c] == 0)
            return unit(to, c);
        *to++ = '\\';
        *to++ = names[c];
        return to;
    }
    int more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    c &= 0x3fu >> more;
    for (; more > 0; more--)
        c = c << 6 | (*at++ & 0x3fu);
    *next = at;
    if (c < 0x10000)
        return unit(to, c);
    return unit(unit(to, 0xd800 | (c - 0x10000) >> 10), 0xdc00 | (c & 0x3ff));
}

static int characters(document *d, const uint8_t *at, size_t n)
{
    const uint8_t *end = at + n;
    int only_ascii = d->only_ascii;
    if (room(d, n + 2 * ESCAPED) < 0)
        return -1;
    *d->at++ = '"';
    while (at < end) { /* there is room for what is left as it is, and an escape */
        const uint8_t *from = at;
        at = plain_end(at, end, only_ascii);
        memcpy(d->at, from, (size_t)(at - from));
        d->at += at - from;
        while (at < end && !plain(*at, only_ascii)) {
            if (room(d, (size_t)(end - at) + 2 * ESCAPED) < 0)
                return -1;
            d->at = escape(d->at, at, &at);
        }
    }
    *d->at++ = '"';
    return 1;
}

static int text(document *d, PyObject *object)
{
    Py_ssize_t n;
    const char *utf8 = PyUnicode_AsUTF8AndSize(object, &n);
    if (utf8 != NULL)
        return characters(d, (const uint8_t *)utf8, (size_t)n);
    PyErr_Clear(); /* a lone surrogate */
    return 0;
}

/* A number's digits, before `at`. Returns where they begin. */
static char *digits_of(char *at, uint64_t number)
{
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    return at;
}

static int whole(document *d, PyObject *object)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow != 0)
        return 0;
    char text[24], *end = text + sizeof text;
    char *at = digits_of(end, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
    if (number < 0)
        *--at = '-';
    return put(d, at, (size_t)(end - at));
}

/* A number of few decimals, as most are. Of at most 15 digits it is the only one of so many that reads as this double,
   and the first that is found has the fewest, so it is what repr() gives. 0: another one. */
static int few_decimals(document *d, double given)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    double size = fabs(given);
    if (!(size >= 1e-3 && size < 1e9))
        return 0;
    for (unsigned places = 0; places < sizeof powers / sizeof *powers; places++) {
        double scaled = rint(size * powers[places]);
        if (scaled >= 1e15 || scaled / powers[places] != size)
            continue;
        char text[24], *end = text + sizeof text;
        uint64_t all = (uint64_t)scaled, power = (uint64_t)powers[places], rest = all % power;
        char *at = end;
        for (unsigned n = places > 0 ? places : 1; n > 0; n--, rest /= 10)
            *--at = (char)('0' + rest % 10);
        *--at = '.';
        at = digits_of(at, all / power);
        if (given < 0)
            *--at = '-';
        return put(d, at, (size_t)(end - at));
    }
    return 0;
}

static int number(document *d, PyObject *object)
{
    double given = PyFloat_AsDouble(object);
    if (isnan(given))
        return put(d, "NaN", 3);
    if (isinf(given))
        return given > 0 ? put(d, "Infinity", 8) : put(d, "-Infinity", 9);
    int done = few_decimals(d, given);
    if (done != 0)
        return done;
    char *digits = PyOS_double_to_string(given, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (digits == NULL)
        return -1;
    done = put(d, digits, strlen(digits));
    PyMem_Free(digits);
    return done;
}

static int array(document *d, PyObject *object, int depth, int is_list)
{
    Py_ssize_t n = is_list ? PyList_Size(object) : PyTuple_Size(object);
    for (Py_ssize_t i = 0; i < n; i++) {
        if (put(d, i == 0 ? "[" : ", ", i == 0 ? 1 : 2) < 0)
            return -1;
        int done = value(d, is_list ? PyList_GetItem(object, i) : PyTuple_GetItem(object, i), depth);
        if (done <= 0)
            return done;
    }
    return n == 0 ? put(d, "[]", 2) : put(d, "]", 1);
}

static int object(document *d, PyObject *dict, int depth)
{
    PyObject *key, *inner;
    Py_ssize_t at = 0;
    int first = 1;
    while (PyDict_Next(dict, &at, &key, &inner)) {
        if (put(d, first ? "{" : ", ", first ? 1 : 2) < 0)
            return -1;
        first = 0;
        int done = Py_TYPE(key) == &PyUnicode_Type ? text(d, key) : 0;
        if (done <= 0)
            return done;
        if (put(d, ": ", 2) < 0)
            return -1;
        done = value(d, inner, depth);
        if (done <= 0)
            return done;
    }
    return first ? put(d, "{}", 2) : put(d, "}", 1);
}

static int value(document *d, PyObject *given, int depth)
{
    PyTypeObject *type = Py_TYPE(given);
    if (type == &PyUnicode_Type)
        return text(d, given);
    if (type == &PyLong_Type)
        return whole(d, given);
    if (type == &PyFloat_Type)
        return number(d, given);
    if (given == Py_None)
        return put(d, "null", 4);
    if (type == &PyBool_Type)
        return given == Py_True ? put(d, "true", 4) : put(d, "false", 5);
    if (depth == 0)
        return 0;
    if (type == &PyDict_Type)
        return object(d, given, depth - 1);
    if (type == &PyList_Type || type == &PyTuple_Type)
        return array(d, given, depth - 1, type == &PyList_Type);
    return 0;
}

/* Into the caller's buffer: how many bytes. */
static PyObject *dumps_into(PyObject *given, PyObject *only_ascii, PyObject *buffer)
{
    Py_buffer area;
    if (PyObject_GetBuffer(buffer, &area, PyBUF_WRITABLE) < 0)
        return NULL;
    document d = {area.buf, area.buf, (char *)area.buf + area.len, only_ascii == Py_True, 1};
    int done = value(&d, given, DEPTH);
    PyBuffer_Release(&area);
    if (done == 1)
        return PyLong_FromSsize_t(d.at - d.start);
    if (done < 0 && PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *dumps(PyObject *module, PyObject *const *arguments, Py_ssize_t n)
{
    (void)module;
    if (n == 3)
        return dumps_into(arguments[0], arguments[1], arguments[2]);
    if (n != 2) {
        PyErr_SetString(PyExc_TypeError, "dumps(value, only_ascii, [buffer])");
        return NULL;
    }
    if (kept == NULL) {
        kept = malloc(LEAST);
        if (kept == NULL)
            return PyErr_NoMemory();
        kept_size = LEAST;
    }
    document d = {kept, kept, kept + kept_size, arguments[1] == Py_True, 0};
    kept = NULL;
    int done = value(&d, arguments[0], DEPTH);
    PyObject *result = done < 0 ? NULL : Py_None;
    if (done == 1)
        result = PyBytes_FromStringAndSize(d.start, d.at - d.start);
    else if (done == 0)
        Py_INCREF(result);
    kept_size = (size_t)(d.end - d.start);
    if (kept_size <= KEPT)
        kept = d.start;
    else
        free(d.start);
    return result;
}

static PyMethodDef methods[] = {
    {"dumps", (PyCFunction)(void (*)(void))dumps, METH_FASTCALL,
     "dumps(value, only_ascii, [buffer]): the bytes of a JSON document, or how many were written into the buffer, or "
     "None: something is in it that is for json itself, or it does not fit."},
    {"loads", (PyCFunction)loads, METH_O,
     "loads(document): the value of a JSON document, of bytes or what has them. Raises ValueError for whatever is not "
     "plain; another decoder knows whether that is JSON."},
    {NULL, NULL, 0, NULL},
};
static int prepare(PyObject *Py_UNUSED(module))
{
    plain_choose();
    loads_prepare();
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)prepare}, {0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "engine._json", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__json(void)
{
    return PyModuleDef_Init(&definition);
}
