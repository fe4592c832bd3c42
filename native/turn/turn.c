/* A worker's turn from one invocation to the next, in one call from Python: the reply, the wait, the next event as bytes.
 *
 * Each step in Python, and each passage through cffi, costs a call after a pause four times what it costs a hot one. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "worker/worker.h"

enum { HEADER = offsetof(stk_worker, t_start) + sizeof(uint64_t) - offsetof(stk_worker, event) };

/* engine/_native's: no code of the worker's is in here. */
static int (*reply_with)(stk_worker *, uint32_t, const uint8_t *, uint64_t);
static int64_t (*take_next)(stk_worker *);
static stk_worker *lane;

/* (payload, header), or stk_worker_next's number where the payload does not lie in the ring. Python's other threads have
 * their turn once the reply is out: it is what somebody waits for. */
static PyObject *turn(PyObject *module, PyObject *reply) {
    (void)module;
    char *data;
    Py_ssize_t len;
    int64_t next;
    if (PyBytes_AsStringAndSize(reply, &data, &len) < 0) return NULL;
    if (reply_with(lane, STK_RESULT, (const uint8_t *)data, (uint64_t)len) < 0) return PyLong_FromLong(STK_W_BROKEN);
    Py_BEGIN_ALLOW_THREADS
    next = take_next(lane);
    Py_END_ALLOW_THREADS
    if (next < 0) return PyLong_FromLongLong(next);
    const char *at = (const char *)lane->down + (next >> 20);
    PyObject *payload = PyBytes_FromStringAndSize(at, (Py_ssize_t)(next & 0xFFFFF));
    PyObject *header = PyBytes_FromStringAndSize((const char *)&lane->event, HEADER);
    PyObject *both = payload && header ? PyTuple_Pack(2, payload, header) : NULL;
    Py_XDECREF(payload);
    Py_XDECREF(header);
    return both;
}

static PyObject *bind(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "bind() takes three addresses");
        return NULL;
    }
    reply_with = (int (*)(stk_worker *, uint32_t, const uint8_t *, uint64_t))PyLong_AsVoidPtr(arguments[0]);
    take_next = (int64_t(*)(stk_worker *))PyLong_AsVoidPtr(arguments[1]);
    lane = PyLong_AsVoidPtr(arguments[2]);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"bind", (PyCFunction)(void (*)(void))bind, METH_FASTCALL,
     "bind(stk_worker_reply, stk_worker_next, lane): the address of each. A process has one lane at a time."},
    {"turn", turn, METH_O,
     "turn(reply): the next event's payload and its header, or stk_worker_next's number. bind() first."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "engine._turn", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__turn(void) { return PyModuleDef_Init(&definition); }
