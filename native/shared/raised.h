/* For extension modules: the exception that is set, as an object that is the caller's, with its traceback; none is set then. */
#ifndef STK_RAISED_H
#define STK_RAISED_H
#include <Python.h>

static inline PyObject *stk_raised(void) {
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace) PyException_SetTraceback(error, trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return error;
}

#endif
