/* An event loop's mailbox: submits invocations with who waits for each, and gives each result that is there to who does.
 *
 * Who waits is in a slot. A token is a slot's index and the number of the use that was made of it (never 0), so that one
 * that is not open any more names nobody. **Invariant.** A slot is taken by submit() and given back once: by a refusal, by
 * look() with its result, by drop() of what was withdrawn, or by close(); always with the interpreter's lock, and before any
 * of Python's code runs that might come back here. */
#include "call/call.h"
#include "shared/raised.h"

#include <stdlib.h>

enum { BATCH = 128, RESULTS = 256 * 1024 }; /* of one look: results, and bytes of them */

static stk_box *(*new_box)(stk_engine *, int, uint64_t *, int, uint8_t *, uint64_t);
static void (*free_box)(stk_box *);
static int64_t (*submit_as)(stk_box *, uint32_t, uint64_t, uint32_t, const uint8_t *, uint64_t, const uint8_t *, uint64_t);
static int (*reap_spin)(stk_box *, uint64_t);
static PyObject *decode, *set_result, *is_done;

typedef struct {
    PyObject *who; /* NULL: free */
    uint32_t use, next, raw;
} slot;

typedef struct {
    PyObject_HEAD
    stk_box *box; /* NULL: closed */
    PyObject *rest; /* a list, of what is not delivered from here */
    slot *slots;
    uint32_t size, free; /* free: the first free one, or size */
    Py_ssize_t waiting;
    int looking; /* a callback must not look: the words are the outer look's */
    uint64_t words[BATCH * 4];
    uint8_t *results;
} mailbox;

static PyObject *make(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    PyObject *engine, *rest;
    if (named || !new_box || !PyArg_ParseTuple(arguments, "O!O!", &PyLong_Type, &engine, &PyList_Type, &rest)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "Mailbox() takes an engine's address and a list, after bind");
        return NULL;
    }
    stk_engine *of = PyLong_AsVoidPtr(engine);
    if (PyErr_Occurred()) return NULL;
    mailbox *made = (mailbox *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!made) return NULL;
    made->rest = Py_NewRef(rest);
    if ((made->results = PyMem_Malloc(RESULTS)) && (made->box = new_box(of, 1, made->words, BATCH, made->results, RESULTS)))
        return (PyObject *)made;
    Py_DECREF(made);
    return PyErr_NoMemory();
}

/* The reference to who waited by this token, whose slot is free again; NULL: nobody. */
static PyObject *take(mailbox *self, uint64_t token, uint32_t *raw) {
    uint32_t index = (uint32_t)token;
    if (index >= self->size) return NULL;
    slot *of = &self->slots[index];
    PyObject *who = of->who;
    if (!who || of->use != (uint32_t)(token >> 32)) return NULL;
    if (raw) *raw = of->raw;
    of->who = NULL;
    of->next = self->free;
    self->free = index;
    self->waiting--;
    return who;
}

/* A token, or 0: no memory. */
static uint64_t put(mailbox *self, PyObject *who, uint32_t raw) {
    if (self->free == self->size) {
        uint32_t size = self->size ? 2 * self->size : 64;
        slot *grown = size > self->size ? PyMem_Realloc(self->slots, size * sizeof *grown) : NULL;
        if (!grown) return 0;
        self->slots = grown;
        for (uint32_t i = self->size; i < size; i++) grown[i] = (slot){.next = i + 1};
        self->size = size;
    }
    uint32_t index = self->free;
    slot *of = &self->slots[index];
    self->free = of->next;
    if (!++of->use) of->use = 1;
    of->who = Py_NewRef(who);
    of->raw = raw;
    self->waiting++;
    return (uint64_t)of->use << 32 | index;
}

static PyObject *submit(PyObject *object, PyObject *const *arguments, Py_ssize_t count) {
    mailbox *self = (mailbox *)object;
    char *data, *id = NULL;
    Py_ssize_t len, id_len = 16;
    unsigned long long timeout = 0;
    if (count != 7) {
        PyErr_SetString(PyExc_TypeError, "submit() takes index, event, who, raw, flags, id, timeout");
        return NULL;
    }
    unsigned long fn = PyLong_AsUnsignedLong(arguments[0]), flags = PyLong_AsUnsignedLong(arguments[4]);
    if (PyErr_Occurred() || PyBytes_AsStringAndSize(arguments[1], &data, &len) < 0) return NULL;
    if (arguments[5] != Py_None && PyBytes_AsStringAndSize(arguments[5], &id, &id_len) < 0) return NULL;
    timeout = PyLong_AsUnsignedLongLong(arguments[6]);
    if (PyErr_Occurred()) return NULL;
    if (id_len != 16) {
        PyErr_SetString(PyExc_ValueError, "a request id is 16 bytes");
        return NULL;
    }
    if (!self->box) return PyLong_FromLong(STK_SHUT);
    uint64_t token = put(self, arguments[2], arguments[3] == Py_True);
    if (!token) return PyErr_NoMemory();
    PyThreadState *let_go = len > STK_INLINE ? PyEval_SaveThread() : NULL; /* a copy that others need not wait for */
    int64_t ticket = submit_as(self->box, (uint32_t)fn, token, (uint32_t)flags, (const uint8_t *)id, timeout,
                               (const uint8_t *)data, (uint64_t)len);
    if (let_go) PyEval_RestoreThread(let_go);
    if (ticket < 0) Py_XDECREF(take(self, token, NULL));
    return PyLong_FromLongLong(ticket);
}

/* Leaves what is not for here to Python. Takes both references. -1: an exception is set. */
static int leave(mailbox *self, PyObject *who, PyObject *what) {
    PyObject *pair = what ? PyTuple_Pack(2, who ? who : Py_None, what) : NULL;
    Py_XDECREF(who);
    Py_XDECREF(what);
    int rc = pair ? PyList_Append(self->rest, pair) : -1;
    Py_XDECREF(pair);
    return rc;
}

/* What is raised is left with the others; -1: it is for whoever looks. */
static int raised(mailbox *self) {
    if (!PyErr_ExceptionMatches(PyExc_Exception)) return -1;
    return leave(self, NULL, stk_raised());
}

/* A plain result, whose reference it takes, to who waits. */
static int deliver(mailbox *self, PyObject *who, PyObject *value) {
    PyObject *rc;
    if (PyCallable_Check(who)) {
        rc = PyObject_CallFunctionObjArgs(who, Py_None, value, NULL);
    } else if (!(rc = PyObject_CallMethodObjArgs(who, set_result, value, NULL))) {
        PyObject *type, *error, *trace, *late;
        PyErr_Fetch(&type, &error, &trace);
        late = PyObject_CallMethodObjArgs(who, is_done, NULL);
        if (late == Py_True) { /* its caller left meanwhile */
            rc = Py_NewRef(Py_None);
            Py_XDECREF(type);
            Py_XDECREF(error);
            Py_XDECREF(trace);
        } else {
            PyErr_Restore(type, error, trace);
        }
        Py_XDECREF(late);
    }
    Py_DECREF(value);
    if (!rc) return raised(self);
    Py_DECREF(rc);
    return 0;
}

static int settle(mailbox *self, const uint64_t *record) {
    uint32_t raw = 0;
    PyObject *who = take(self, record[0], &raw);
    if (record[1] & 0xFFFF) return leave(self, who, PyLong_FromUnsignedLongLong(record[3]));
    if (!who) return 0;
    PyObject *content = PyBytes_FromStringAndSize((const char *)self->results + record[2], (Py_ssize_t)(record[1] >> 32));
    PyObject *value = !content || raw ? content : PyObject_CallFunctionObjArgs(decode, content, NULL);
    int rc;
    if (value) {
        rc = deliver(self, who, value);
        if (value != content) Py_DECREF(content);
        Py_DECREF(who);
        return rc;
    }
    if (!content || !PyErr_ExceptionMatches(PyExc_Exception)) {
        Py_XDECREF(content);
        Py_DECREF(who);
        return -1;
    }
    PyErr_Clear(); /* not for the fast decoder: its caller decodes it, and gets the error if any */
    return leave(self, who, content);
}

static PyObject *look(PyObject *object, PyObject *spin) {
    mailbox *self = (mailbox *)object;
    unsigned long long ns = PyLong_AsUnsignedLongLong(spin);
    if (PyErr_Occurred()) return NULL;
    if (!self->box || self->looking) return PyLong_FromLong(0);
    self->looking = 1;
    PyThreadState *let_go = ns && self->waiting ? PyEval_SaveThread() : NULL;
    int n = reap_spin(self->box, let_go ? ns : 0);
    if (let_go) PyEval_RestoreThread(let_go);
    PyObject *type = NULL, *error = NULL, *trace = NULL;
    for (int i = 0; i < n; i++) { /* what one of them raises must not cost the others their results */
        if (settle(self, &self->words[4 * i]) == 0) continue;
        if (type) PyErr_Clear();
        else PyErr_Fetch(&type, &error, &trace);
    }
    self->looking = 0;
    if (!type) return PyLong_FromLong(n);
    PyErr_Restore(type, error, trace);
    return NULL;
}

static PyObject *drop(PyObject *object, PyObject *token) {
    unsigned long long of = PyLong_AsUnsignedLongLong(token);
    if (PyErr_Occurred()) return NULL;
    Py_XDECREF(take((mailbox *)object, of, NULL));
    Py_RETURN_NONE;
}

static void shut(mailbox *self) {
    stk_box *box = self->box;
    self->box = NULL;
    if (box) free_box(box);
    for (uint32_t i = 0; i < self->size; i++)
        if (self->slots[i].who) Py_DECREF(take(self, (uint64_t)self->slots[i].use << 32 | i, NULL));
}

static PyObject *close_box(PyObject *object, PyObject *nothing) {
    (void)nothing;
    shut((mailbox *)object);
    Py_RETURN_NONE;
}

static int traverse(PyObject *object, visitproc visit, void *arg) {
    mailbox *self = (mailbox *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->rest);
    for (uint32_t i = 0; i < self->size; i++) Py_VISIT(self->slots[i].who);
    return 0;
}

static int clear(PyObject *object) {
    shut((mailbox *)object);
    Py_CLEAR(((mailbox *)object)->rest);
    return 0;
}

static void dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    clear(object);
    PyMem_Free(((mailbox *)object)->slots);
    PyMem_Free(((mailbox *)object)->results);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyObject *address(PyObject *object, void *closure) {
    (void)closure;
    return PyLong_FromVoidPtr(((mailbox *)object)->box);
}

static PyObject *count_waiting(PyObject *object, void *closure) {
    (void)closure;
    return PyLong_FromSsize_t(((mailbox *)object)->waiting);
}

static PyGetSetDef members[] = {{"address", address, NULL, "of its stk_box; 0: it is closed", NULL},
                                {"waiting", count_waiting, NULL, "how many wait", NULL},
                                {NULL, NULL, NULL, NULL, NULL}};
static PyMethodDef methods[] = {
    {"submit", (PyCFunction)(void (*)(void))submit, METH_FASTCALL,
     "submit(index, event, who, raw, flags, id, timeout): a ticket, or stk_submit's negative number. who: a future, or a "
     "callable that takes (None, value); raw: its value is bytes. id: 16 bytes or None; timeout in ns, 0 for the function's."},
    {"look", look, METH_O,
     "look(ns): how many results were there, after up to so many ns of polling while anybody waits, at most BATCH. Plain ones "
     "are delivered. Left in the list are: (who, ticket) of another outcome; (who, bytes) of what the fast decoder does not "
     "take; (None, exception) that a callback raised. who: None of whoever left."},
    {"drop", drop, METH_O, "drop(token): nobody waits for it any more."},
    {"close", close_box, METH_NOARGS, "close(): what is in flight is abandoned."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot slots[] = {
    {Py_tp_new, make},         {Py_tp_dealloc, dealloc}, {Py_tp_traverse, traverse}, {Py_tp_clear, clear},
    {Py_tp_methods, methods}, {Py_tp_getset, members},  {0, NULL}};
static PyType_Spec type_spec = {.name = "engine._call.Mailbox",
                                .basicsize = sizeof(mailbox),
                                .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                                .slots = slots};

int add_mailbox(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &type_spec, NULL);
    int rc = type ? PyModule_AddObjectRef(module, "Mailbox", type) : -1;
    Py_XDECREF(type);
    set_result = PyUnicode_InternFromString("set_result");
    is_done = PyUnicode_InternFromString("done");
    return rc < 0 || !set_result || !is_done ? -1 : PyModule_AddIntMacro(module, BATCH);
}

PyObject *bind_mailbox(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "bind_mailbox() takes four addresses and a function");
        return NULL;
    }
    new_box = (stk_box * (*)(stk_engine *, int, uint64_t *, int, uint8_t *, uint64_t)) PyLong_AsVoidPtr(arguments[0]);
    free_box = (void (*)(stk_box *))PyLong_AsVoidPtr(arguments[1]);
    submit_as = (int64_t(*)(stk_box *, uint32_t, uint64_t, uint32_t, const uint8_t *, uint64_t, const uint8_t *,
                            uint64_t))PyLong_AsVoidPtr(arguments[2]);
    reap_spin = (int (*)(stk_box *, uint64_t))PyLong_AsVoidPtr(arguments[3]);
    if (PyErr_Occurred()) return NULL;
    decode = Py_NewRef(arguments[4]);
    Py_RETURN_NONE;
}
