/* The decoder of large events: decode.c. */

#ifndef STK_JSON_DECODE_H
#define STK_JSON_DECODE_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

PyObject *loads(PyObject *module, PyObject *document);
void loads_prepare(void);

#endif
