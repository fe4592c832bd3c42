/* A warm call from a Python thread without letting the interpreter go for it: a reply that comes within microseconds is
 * not worth a turn of the other threads, each of which costs two wakes.
 *
 * Without this a second thread made both slower: each call let the other one in and then waited for it. So that other
 * threads, an event loop's among them, do not wait for long either, the interpreter is let go at the first call after
 * each HOLD_NS, and for every wait that is longer than a short spin. Python itself lets others in every 5 ms, but counts
 * from when they were last woken: to let go more often in vain would make them wait for longer. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "engine/queue.h"

static const uint64_t HOLD_NS = 4000000;

/* The engine's functions, as engine/_native has them: this module has no code of the engine's. */
static int64_t (*try_call)(stk_cell *, uint32_t, uint32_t, const uint8_t *, uint64_t, uint64_t);
static int64_t (*wait_call)(stk_cell *);
static uint64_t let_go; /* when it was; with the interpreter's lock */

static PyObject *bind(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "bind() takes two addresses");
        return NULL;
    }
    try_call = (int64_t(*)(stk_cell *, uint32_t, uint32_t, const uint8_t *, uint64_t, uint64_t))PyLong_AsVoidPtr(arguments[0]);
    wait_call = (int64_t(*)(stk_cell *))PyLong_AsVoidPtr(arguments[1]);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

/* >= 0: that many bytes in the cell; negative as stk_cell_try has it; PENDING_ERROR: an exception is set. */
enum { PENDING_ERROR = INT32_MIN };

static inline int64_t call(stk_cell **cell, uint32_t flags, PyObject *const *arguments, Py_ssize_t count) {
    char *data;
    Py_ssize_t len;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "a call takes a cell, a function's index and an event");
        return PENDING_ERROR;
    }
    stk_cell *c = *cell = PyLong_AsVoidPtr(arguments[0]);
    uint32_t fn = (uint32_t)PyLong_AsUnsignedLong(arguments[1]);
    if (PyErr_Occurred() || PyBytes_AsStringAndSize(arguments[2], &data, &len) < 0) return PENDING_ERROR;
    int64_t n;
    if (len > STK_INLINE) { /* a copy that others need not wait for */
        Py_BEGIN_ALLOW_THREADS
        n = try_call(c, fn, flags, (const uint8_t *)data, (uint64_t)len, 0);
        if (n == STK_PENDING) n = wait_call(c);
        Py_END_ALLOW_THREADS
    } else if ((n = try_call(c, fn, flags, (const uint8_t *)data, (uint64_t)len, let_go + HOLD_NS)) == STK_PENDING) {
        let_go = c->call.t_submit;
        Py_BEGIN_ALLOW_THREADS
        n = wait_call(c);
        Py_END_ALLOW_THREADS
    }
    return n;
}

static PyObject *invoke(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    stk_cell *cell;
    int64_t n = call(&cell, 0, arguments, count);
    if (n >= 0) return PyBytes_FromStringAndSize((const char *)cell->data, (Py_ssize_t)n);
    return n == PENDING_ERROR ? NULL : PyLong_FromLongLong(n);
}

static PyObject *record(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    stk_cell *cell;
    int64_t n = call(&cell, STK_WANT_TAIL, arguments, count);
    if (n < 0) return n == PENDING_ERROR ? NULL : PyLong_FromLongLong(n);
    PyObject *pair = PyTuple_New(2), *part;
    if (!pair) return NULL;
    for (Py_ssize_t i = 0; i < 2; i++) {
        part = i ? PyBytes_FromStringAndSize((const char *)&cell->outcome, sizeof cell->outcome)
                 : PyBytes_FromStringAndSize((const char *)cell->data, (Py_ssize_t)n);
        if (!part || PyTuple_SetItem(pair, i, part) < 0) {
            Py_DECREF(pair);
            return NULL;
        }
    }
    return pair;
}

static PyMethodDef methods[] = {
    {"bind", (PyCFunction)(void (*)(void))bind, METH_FASTCALL,
     "bind(stk_cell_try, stk_cell_wait): the addresses of the two, once."},
    {"invoke", (PyCFunction)(void (*)(void))invoke, METH_FASTCALL,
     "invoke(cell, index, event): the result of a call that ended well, or the negative number of stk_cell_try."},
    {"record", (PyCFunction)(void (*)(void))record, METH_FASTCALL,
     "record(cell, index, event): the same with the call's stk_outcome: (result, its bytes)."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "engine._call", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__call(void) { return PyModuleDef_Init(&definition); }
