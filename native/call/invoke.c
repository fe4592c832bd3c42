/* A warm call from a Python thread, from the event to the result, without letting the interpreter go for it: a reply that
 * comes within microseconds is not worth a turn of the other threads, each of which costs two wakes.
 *
 * Without this a second thread made both slower: each call let the other one in and then waited for it. So that other
 * threads, an event loop's among them, do not wait for long either, the interpreter is let go at the first call after
 * each HOLD_NS, and for every wait that is longer than a short spin. Python itself lets others in every 5 ms, but counts
 * from when they were last woken: to let go more often in vain would make them wait for longer. */
#include "call/call.h"

static const uint64_t HOLD_NS = 4000000;
enum { PENDING_ERROR = INT32_MIN }; /* an exception is set */

static stk_cell *(*new_cell)(stk_engine *);
static void (*free_cell)(stk_cell *);
static int64_t (*try_call)(stk_cell *, uint32_t, uint32_t, const uint8_t *, uint64_t, uint64_t);
static int64_t (*wait_call)(stk_cell *);
static PyObject *encode, *decode, *decode_again; /* event -> bytes; bytes -> result, and what the first one refuses */
static uint64_t let_go; /* when it was; with the interpreter's lock */

/* A place for one invocation at a time, and its result. Those that are free are in a list of the Dispatch: a call takes the
 * last one out, and whoever is done with it puts it back. */
typedef struct {
    PyObject_HEAD
    stk_cell *cell;
    PyObject *data; /* the event's bytes, while the engine may read them after the call: a cell in use goes before them */
} cell_object;
static PyTypeObject *cell_type;

static PyObject *make_cell(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    PyObject *engine;
    if (named || !new_cell || !PyArg_ParseTuple(arguments, "O!", &PyLong_Type, &engine)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "Cell() takes an engine's address, after bind()");
        return NULL;
    }
    stk_engine *of = PyLong_AsVoidPtr(engine);
    if (PyErr_Occurred()) return NULL;
    cell_object *made = (cell_object *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (made && !(made->cell = new_cell(of))) {
        Py_DECREF(made);
        return PyErr_NoMemory();
    }
    return (PyObject *)made;
}

static void free_object(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    stk_cell *cell = ((cell_object *)self)->cell;
    if (cell) free_cell(cell);
    Py_XDECREF(((cell_object *)self)->data);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *address(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromVoidPtr(((cell_object *)self)->cell);
}

static PyObject *bind(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 7) {
        PyErr_SetString(PyExc_TypeError, "bind() takes four addresses and three functions");
        return NULL;
    }
    new_cell = (stk_cell * (*)(stk_engine *)) PyLong_AsVoidPtr(arguments[0]);
    free_cell = (void (*)(stk_cell *))PyLong_AsVoidPtr(arguments[1]);
    try_call = (int64_t(*)(stk_cell *, uint32_t, uint32_t, const uint8_t *, uint64_t, uint64_t))PyLong_AsVoidPtr(arguments[2]);
    wait_call = (int64_t(*)(stk_cell *))PyLong_AsVoidPtr(arguments[3]);
    if (PyErr_Occurred()) return NULL;
    encode = Py_NewRef(arguments[4]);
    decode = Py_NewRef(arguments[5]);
    decode_again = Py_NewRef(arguments[6]);
    Py_RETURN_NONE;
}

/* The function's index, and the last of the free cells if there is one. -1: an exception is set. */
static int take(PyObject *const *arguments, Py_ssize_t count, uint32_t *index, cell_object **taken) {
    *taken = NULL;
    if (count != 3 || !PyList_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "a call takes a list of cells, a function's index and an event");
        return -1;
    }
    *index = (uint32_t)PyLong_AsUnsignedLong(arguments[1]);
    if (PyErr_Occurred()) return -1;
    Py_ssize_t n = PyList_Size(arguments[0]);
    if (!n) return 0;
    PyObject *last = PyList_GetItem(arguments[0], n - 1);
    if (Py_TYPE(last) != cell_type) {
        PyErr_SetString(PyExc_TypeError, "not a list of cells");
        return -1;
    }
    Py_INCREF(last);
    if (PyList_SetSlice(arguments[0], n - 1, n, NULL) < 0) {
        Py_DECREF(last);
        return -1;
    }
    *taken = (cell_object *)last;
    return 0;
}

/* Takes the reference. -1: an exception is set. */
static int give(PyObject *cells, cell_object *cell) {
    Py_CLEAR(cell->data);
    int rc = PyList_Append(cells, (PyObject *)cell);
    Py_DECREF(cell);
    return rc;
}

static PyObject *put_back(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 2 || !PyList_Check(arguments[0]) || Py_TYPE(arguments[1]) != cell_type) {
        PyErr_SetString(PyExc_TypeError, "put_back() takes a list of cells and a cell");
        return NULL;
    }
    return give(arguments[0], (cell_object *)Py_NewRef(arguments[1])) < 0 ? NULL : Py_NewRef(Py_None);
}

/* >= 0: that many bytes in the cell; negative as stk_cell_try has it. */
static inline int64_t call(stk_cell *c, uint32_t fn, uint32_t flags, PyObject *event) {
    char *data;
    Py_ssize_t len;
    int64_t n;
    if (PyBytes_AsStringAndSize(event, &data, &len) < 0) return PENDING_ERROR;
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

/* What did not end plainly. */
static PyObject *unsettled(cell_object *cell, int64_t n, PyObject *data) {
    PyObject *all = NULL;
    if (n != PENDING_ERROR) {
        cell->data = Py_NewRef(data);
        all = Py_BuildValue("(OLn)", cell, (long long)n, PyBytes_Size(data));
    }
    Py_DECREF(cell);
    return all;
}

static PyObject *invoke(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    uint32_t fn;
    cell_object *cell;
    PyObject *data = NULL, *result = NULL;
    if (take(arguments, count, &fn, &cell) < 0) return NULL;
    if (!cell) return PyTuple_New(0);
    if (!(data = PyObject_CallFunctionObjArgs(encode, arguments[2], NULL))) {
        if (give(arguments[0], cell) < 0 || !PyErr_ExceptionMatches(PyExc_Exception)) return NULL;
        PyErr_Clear();
        return PyTuple_New(0);
    }
    int64_t n = call(cell->cell, fn, 0, data);
    if (n < 0) {
        result = unsettled(cell, n, data);
        Py_DECREF(data);
        return result;
    }
    Py_DECREF(data);
    data = PyBytes_FromStringAndSize((const char *)cell->cell->data, (Py_ssize_t)n);
    if (give(arguments[0], cell) == 0 && data && !(result = PyObject_CallFunctionObjArgs(decode, data, NULL)) &&
        PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
        result = PyObject_CallFunctionObjArgs(decode_again, data, NULL);
    }
    Py_XDECREF(data);
    return result;
}

static PyObject *invoke_bytes(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    uint32_t fn;
    cell_object *cell;
    if (take(arguments, count, &fn, &cell) < 0) return NULL;
    if (!cell) return PyTuple_New(0);
    int64_t n = call(cell->cell, fn, 0, arguments[2]);
    if (n < 0) return unsettled(cell, n, arguments[2]);
    PyObject *result = PyBytes_FromStringAndSize((const char *)cell->cell->data, (Py_ssize_t)n);
    if (give(arguments[0], cell) < 0) Py_CLEAR(result);
    return result;
}

static PyObject *record(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    uint32_t fn;
    cell_object *cell;
    if (take(arguments, count, &fn, &cell) < 0) return NULL;
    if (!cell) return PyTuple_New(0);
    int64_t n = call(cell->cell, fn, STK_WANT_TAIL, arguments[2]);
    if (n < 0) return unsettled(cell, n, arguments[2]);
    PyObject *pair = Py_BuildValue("(y#y#)", (const char *)cell->cell->data, (Py_ssize_t)n,
                                   (const char *)&cell->cell->outcome, (Py_ssize_t)sizeof cell->cell->outcome);
    if (give(arguments[0], cell) < 0) Py_CLEAR(pair);
    return pair;
}

static PyGetSetDef members[] = {{"address", address, NULL, "of its stk_cell", NULL}, {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot type_slots[] = {
    {Py_tp_new, make_cell}, {Py_tp_dealloc, free_object}, {Py_tp_getset, members}, {0, NULL}};
static PyType_Spec type = {
    .name = "engine._call.Cell", .basicsize = sizeof(cell_object), .flags = Py_TPFLAGS_DEFAULT, .slots = type_slots};

static int add_types(PyObject *module) {
    cell_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &type, NULL);
    if (!cell_type || PyModule_AddObjectRef(module, "Cell", (PyObject *)cell_type) < 0) return -1;
    return add_mailbox(module);
}

static PyMethodDef methods[] = {
    {"bind", (PyCFunction)(void (*)(void))bind, METH_FASTCALL,
     "bind(stk_cell_new, stk_cell_free, stk_cell_try, stk_cell_wait, encode, decode, decode_again), once."},
    {"bind_mailbox", (PyCFunction)(void (*)(void))bind_mailbox, METH_FASTCALL,
     "bind_mailbox(stk_box_new, stk_box_free, stk_submit_as, stk_reap_spin, decode), once."},
    {"invoke", (PyCFunction)(void (*)(void))invoke, METH_FASTCALL,
     "invoke(cells, index, event): the result, decoded. (): nothing was begun, no cell or no JSON. (cell, number, size): that of "
     "stk_cell_try, and the event's bytes. Then put_back() when all is read."},
    {"invoke_bytes", (PyCFunction)(void (*)(void))invoke_bytes, METH_FASTCALL,
     "invoke_bytes(cells, index, event): the same with an event and a result of bytes."},
    {"record", (PyCFunction)(void (*)(void))record, METH_FASTCALL,
     "record(cells, index, event): the same with the call's stk_outcome: (result, its bytes)."},
    {"put_back", (PyCFunction)(void (*)(void))put_back, METH_FASTCALL, "put_back(cells, cell): it is free again."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_types}, {0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "engine._call", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__call(void) { return PyModuleDef_Init(&definition); }
