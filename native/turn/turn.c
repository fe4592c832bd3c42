/* A worker's invocations one after the other, from the event to the reply and to the next event: as long as they are plain, no
 * frame of Python's but the handler's own.
 *
 * Each step in Python, and each passage through cffi, costs a call after a pause four times what it costs a hot one. What is
 * not plain, engine/worker/worker.py does by hand; STAGES say at what point it takes over. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "shared/raised.h"
#include "worker/worker.h"

enum { HEADER = offsetof(stk_worker, t_start) + sizeof(uint64_t) - offsetof(stk_worker, event) };
enum { NEXT, UNDECODABLE, FAILED, UNENCODABLE, TOO_LARGE }; /* STAGES */

/* engine/_native's: no code of the worker's is in here. */
static int (*reply_with)(stk_worker *, uint32_t, const uint8_t *, uint64_t);
static int64_t (*take_next)(stk_worker *);
static stk_worker *lane;
static PyObject *decode, *make_context, *encode; /* decode: None of a raw function, whose event is a view */
static Py_ssize_t most;                          /* bytes of a reply */

/* Takes the reference. */
static PyObject *over_to_python(int stage, PyObject *value) { return Py_BuildValue("(iN)", stage, value); }

/* The same with what was raised, unless nobody may catch it: then NULL, and it goes on. */
static PyObject *raised(int stage, PyObject *value) {
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        Py_XDECREF(value);
        return NULL;
    }
    PyObject *error = stk_raised();
    if (!value) return over_to_python(stage, error);
    Py_DECREF(error);
    return over_to_python(stage, value);
}

/* The reply to the invocation whose event lies in the ring, as whatever has a buffer; NULL: *other is what to return. */
static PyObject *reply_to(PyObject *handler, const char *at, Py_ssize_t len, PyObject **other) {
    int raw = decode == Py_None;
    *other = NULL;
    PyObject *payload = raw ? PyMemoryView_FromMemory((char *)at, len, PyBUF_READ) : PyBytes_FromStringAndSize(at, len);
    PyObject *header = payload ? PyBytes_FromStringAndSize((const char *)&lane->event, HEADER) : NULL;
    PyObject *context = header ? PyObject_CallFunctionObjArgs(make_context, header, NULL) : NULL;
    Py_XDECREF(header);
    if (!context) {
        Py_XDECREF(payload);
        return NULL;
    }
    PyObject *event = raw ? Py_NewRef(payload) : PyObject_CallFunctionObjArgs(decode, payload, NULL);
    if (!event) {
        Py_DECREF(context);
        *other = raised(UNDECODABLE, payload);
        return NULL;
    }
    Py_DECREF(payload);
    PyObject *result = PyObject_CallFunctionObjArgs(handler, event, context, NULL);
    Py_DECREF(context);
    if (!result) {
        *other = raised(FAILED, NULL);
        Py_DECREF(event);
        return NULL;
    }
    PyObject *data = PyObject_CallFunctionObjArgs(encode, result, NULL);
    Py_DECREF(event);
    if (data) Py_DECREF(result);
    else *other = raised(UNENCODABLE, result);
    return data;
}

/* < 0: an exception is set. TOO_LARGE: nothing was replied. Else NEXT, and the next number. Takes the reference. */
static int reply_and_take(PyObject *data, int64_t *number) {
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        Py_DECREF(data);
        return -1;
    }
    int fits = view.len <= most;
    int sent = fits && reply_with(lane, STK_RESULT, view.buf, (uint64_t)view.len) == 0;
    PyBuffer_Release(&view);
    Py_DECREF(data);
    if (!fits) return TOO_LARGE;
    if (!sent) {
        *number = STK_W_BROKEN;
        return NEXT;
    }
    Py_BEGIN_ALLOW_THREADS /* once the reply is out: it is what somebody waits for */
    *number = take_next(lane);
    Py_END_ALLOW_THREADS
    return NEXT;
}

static PyObject *serve(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 2 || !lane) {
        PyErr_SetString(PyExc_TypeError, "serve() takes a handler and stk_worker_next's number, after bind()");
        return NULL;
    }
    int64_t number = PyLong_AsLongLong(arguments[1]);
    if (PyErr_Occurred()) return NULL;
    while (number >= 0) {
        if (PyErr_CheckSignals() < 0) return NULL; /* of a handler that is no function of Python's */
        const char *at = (const char *)lane->down + (number >> 20);
        PyObject *other, *data = reply_to(arguments[0], at, (Py_ssize_t)(number & 0xFFFFF), &other);
        if (!data) return other;
        int stage = reply_and_take(data, &number);
        if (stage < 0) return NULL;
        if (stage != NEXT) return over_to_python(stage, Py_NewRef(Py_None));
    }
    return over_to_python(NEXT, PyLong_FromLongLong(number));
}

static PyObject *bind(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 7) {
        PyErr_SetString(PyExc_TypeError, "bind() takes three addresses, three functions and a size");
        return NULL;
    }
    reply_with = (int (*)(stk_worker *, uint32_t, const uint8_t *, uint64_t))PyLong_AsVoidPtr(arguments[0]);
    take_next = (int64_t(*)(stk_worker *))PyLong_AsVoidPtr(arguments[1]);
    stk_worker *of = PyLong_AsVoidPtr(arguments[2]);
    Py_ssize_t size = PyLong_AsSsize_t(arguments[6]);
    if (PyErr_Occurred()) return NULL;
    PyObject *before[] = {decode, make_context, encode};
    decode = Py_NewRef(arguments[3]);
    make_context = Py_NewRef(arguments[4]);
    encode = Py_NewRef(arguments[5]);
    lane = of;
    most = size;
    for (unsigned i = 0; i < 3; i++) Py_XDECREF(before[i]);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"bind", (PyCFunction)(void (*)(void))bind, METH_FASTCALL,
     "bind(stk_worker_reply, stk_worker_next, lane, decode, make_context, encode, most): a process has one lane at a time. With "
     "None for decode the event is a memoryview of the lane. most: bytes of a reply."},
    {"serve", (PyCFunction)(void (*)(void))serve, METH_FASTCALL,
     "serve(handler, number): from stk_worker_next's number on, (stage, value): what is not plain. NEXT: a number; of the "
     "invocation in hand UNDECODABLE: its payload; FAILED: the handler's exception; UNENCODABLE: its result; TOO_LARGE: None."},
    {NULL, NULL, 0, NULL},
};

static int add_stages(PyObject *module) {
    return PyModule_AddIntMacro(module, NEXT) < 0 || PyModule_AddIntMacro(module, UNDECODABLE) < 0 ||
                   PyModule_AddIntMacro(module, FAILED) < 0 || PyModule_AddIntMacro(module, UNENCODABLE) < 0 ||
                   PyModule_AddIntMacro(module, TOO_LARGE) < 0
               ? -1
               : 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_stages}, {0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "engine._turn", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__turn(void) { return PyModuleDef_Init(&definition); }
