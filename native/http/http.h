/* What the parts of engine._http have for each other: functions as Python calls them. */
#ifndef STK_HTTP_H
#define STK_HTTP_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* request.c */
int request_prepare(void);
PyObject *http_scan(PyObject *module, PyObject *const *arguments, Py_ssize_t n);
PyObject *http_begins(PyObject *module, PyObject *const *arguments, Py_ssize_t n);

/* respond.c */
PyObject *http_bind(PyObject *module, PyObject *const *arguments, Py_ssize_t n);
PyObject *http_answer(PyObject *module, PyObject *const *arguments, Py_ssize_t n);
PyObject *http_send_all(PyObject *module, PyObject *const *arguments, Py_ssize_t n);

#endif
