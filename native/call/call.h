/* What the module's files share: the engine's functions as engine/_native has them, as no code of the engine's is here. */
#ifndef STK_CALL_H
#define STK_CALL_H
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "engine/queue.h"

int add_mailbox(PyObject *module); /* its type; -1: an exception is set */
PyObject *bind_mailbox(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

#endif
