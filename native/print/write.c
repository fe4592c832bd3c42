/* sys.stdout.write in a worker: text into the lane's log, without a step in Python. print() calls it for each of its
 * arguments, and for each blank and end of line between them. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "worker/worker.h"

static void (*append)(stk_worker *, const uint8_t *, uint64_t); /* engine/_native's: no code of the worker's is in here */
static stk_worker *lane;

/* self: the stream's own write, for what is not plainly text. */
static PyObject *write_text(PyObject *self, PyObject *text) {
    Py_ssize_t len;
    const char *data = PyUnicode_CheckExact(text) ? PyUnicode_AsUTF8AndSize(text, &len) : NULL;
    if (!data) {
        PyErr_Clear(); /* lone surrogates, for one: the stream escapes them */
        return PyObject_CallFunctionObjArgs(self, text, NULL);
    }
    append(lane, (const uint8_t *)data, (uint64_t)len);
    return PyLong_FromSsize_t(PyUnicode_GetLength(text));
}

static PyMethodDef write_method = {"write", write_text, METH_O, NULL};

static PyObject *writer(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "writer() takes two addresses and a function");
        return NULL;
    }
    append = (void (*)(stk_worker *, const uint8_t *, uint64_t))PyLong_AsVoidPtr(arguments[0]);
    lane = PyLong_AsVoidPtr(arguments[1]);
    if (PyErr_Occurred()) return NULL;
    return PyCFunction_NewEx(&write_method, arguments[2], NULL);
}

static PyMethodDef methods[] = {
    {"writer", (PyCFunction)(void (*)(void))writer, METH_FASTCALL,
     "writer(stk_worker_log, lane, write): a function that writes text to the lane, and by `write` what is none. A process has "
     "one lane."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "engine._print", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__print(void) { return PyModuleDef_Init(&definition); }
