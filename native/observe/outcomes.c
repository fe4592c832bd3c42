/* What the outcomes of one version add up to, by the alias that was invoked and the minute in which each began: numbers,
   and the durations' histogram, whose buckets are those of engine/observe/points.py.

   Belongs to one thread at a time, as what holds the interpreter's lock. An outcome is counted as a whole or not at all:
   its record is read before anything is changed. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOTS = 64,                             /* of a new histogram: a power of two, as all its sizes */
    SUBBUCKET_BITS = 6,                     /* of a power of two's buckets */
    BUCKET_OFFSET = (1100 - 126) << SUBBUCKET_BITS, /* points.py: _OFFSET */
    BELOW = 23 - SUBBUCKET_BITS,            /* bits of a single's mantissa that no bucket tells apart */
    PROVISIONED = 1, SPILLED = 2,           /* functions.py */
};
static const double NS_PER_MS = 1e6, US_PER_MS = 1e3, MS_PER_MINUTE = 60e3, S_PER_MINUTE = 60;

typedef struct {
    int32_t index;
    uint32_t times; /* 0: the slot is free */
} bucket;

typedef struct {
    int64_t minute; /* since the epoch */
    PyObject *alias;
    uint64_t invocations, errors, throttles, provisioned, spilled;
    int64_t sum, low, high; /* nanoseconds */
    bucket *buckets;        /* open addressing; a quarter of the slots is free at least */
    uint32_t slots, used;
} count;

typedef struct {
    PyObject_HEAD
    count *counts; /* the last one that was counted in is first */
    size_t n, room;
} outcomes;

static struct { PyObject *at, *took, *status, *alias, *provisioned, *success, *none; } names;

static int32_t bucket_of(int64_t ns)
{
    if (ns == 0)
        return 0;
    float single = (float)fabs((double)ns / NS_PER_MS);
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    int32_t index = BUCKET_OFFSET + (int32_t)(bits >> BELOW);
    return ns > 0 ? index : -index;
}

static bucket *slot_of(bucket *buckets, uint32_t slots, int32_t index)
{
    uint32_t at = (uint32_t)index & (slots - 1); /* neighbours are common, and do not collide */
    while (buckets[at].times != 0 && buckets[at].index != index)
        at = (at + 1) & (slots - 1);
    return &buckets[at];
}

/* Room for one more bucket. -1: there is no memory, and nothing changed. */
static int make_room(count *c)
{
    if (c->used < c->slots / 4 * 3)
        return 0;
    uint32_t slots = c->slots ? 2 * c->slots : SLOTS;
    bucket *buckets = calloc(slots, sizeof *buckets);
    if (buckets == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (uint32_t i = 0; i < c->slots; i++)
        if (c->buckets[i].times != 0)
            *slot_of(buckets, slots, c->buckets[i].index) = c->buckets[i];
    free(c->buckets);
    c->buckets = buckets;
    c->slots = slots;
    return 0;
}

/* The count of an alias in a minute, moved to the front. NULL with an exception set. */
static count *find(outcomes *self, int64_t minute, PyObject *alias)
{
    for (size_t i = 0; i < self->n; i++) {
        count *c = &self->counts[i];
        if (c->minute != minute || (c->alias != alias && PyUnicode_Compare(c->alias, alias) != 0))
            continue;
        if (i > 0) {
            count first = self->counts[0];
            self->counts[0] = *c;
            *c = first;
        }
        return self->counts;
    }
    if (self->n == self->room) {
        size_t room = self->room ? 2 * self->room : 1;
        count *counts = realloc(self->counts, room * sizeof *counts);
        if (counts == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        self->counts = counts;
        self->room = room;
    }
    if (self->n > 0)
        self->counts[self->n] = self->counts[0];
    self->n++;
    Py_INCREF(alias);
    self->counts[0] = (count){.minute = minute, .alias = alias};
    return self->counts;
}

/* The greatest whole number of periods up to a time, as Python's // has it: what is multiplied here is exact, and a
   quotient is at most rounded up. -1 with an exception set, which PyErr_Occurred tells apart. */
static int64_t periods(double time, double period)
{
    if (!(fabs(time) < 1e15)) {
        PyErr_SetString(PyExc_ValueError, "a time that there is not");
        return -1;
    }
    double n = floor(time / period);
    return (int64_t)n - (time < n * period);
}

/* Attributes; where one is not there or not such a number, an exception is set, which PyErr_Occurred tells. */
static int64_t whole(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL)
        return -1;
    int64_t number = PyLong_AsLongLong(value);
    Py_DECREF(value);
    return number;
}

static double real(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL)
        return -1;
    double number = PyFloat_AsDouble(value);
    Py_DECREF(value);
    return number;
}

static PyObject *text(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    if (value != NULL && !PyUnicode_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "a record's texts must be str");
        Py_CLEAR(value);
    }
    return value;
}

/* 1: the record's status is that of success; -1 with an exception set. */
static int succeeded(PyObject *record)
{
    PyObject *status = text(record, names.status);
    if (status == NULL)
        return -1;
    int same = status == names.success || PyUnicode_Compare(status, names.success) == 0;
    Py_DECREF(status);
    return same;
}

/* A duration; -1 with an exception set, and nothing changed. */
static int count_duration(count *c, int64_t took)
{
    if (make_room(c) < 0)
        return -1;
    c->low = c->invocations == 0 || took < c->low ? took : c->low;
    c->high = c->invocations == 0 || took > c->high ? took : c->high;
    c->sum += took;
    c->invocations++;
    int32_t index = bucket_of(took);
    bucket *b = slot_of(c->buckets, c->slots, index);
    c->used += b->times == 0;
    b->index = index;
    b->times++;
    return 0;
}

static int count_record(outcomes *self, PyObject *record)
{
    int64_t took = whole(record, names.took), provisioned = whole(record, names.provisioned);
    double at = real(record, names.at);
    if (PyErr_Occurred())
        return -1;
    int success = succeeded(record);
    int64_t minute = periods(at - (double)took / NS_PER_MS, MS_PER_MINUTE);
    PyObject *alias = PyErr_Occurred() ? NULL : text(record, names.alias);
    count *c = alias != NULL ? find(self, minute, alias) : NULL;
    Py_XDECREF(alias);
    if (c == NULL || count_duration(c, took) < 0)
        return -1;
    c->errors += !success;
    c->provisioned += provisioned == PROVISIONED;
    c->spilled += provisioned == SPILLED;
    return 0;
}

static int count_throttle(outcomes *self, PyObject *throttle)
{
    double at = real(throttle, names.at);
    if (PyErr_Occurred())
        return -1;
    int64_t minute = periods(at, S_PER_MINUTE);
    PyObject *alias = PyErr_Occurred() ? NULL : text(throttle, names.alias);
    count *c = alias != NULL ? find(self, minute, alias) : NULL;
    Py_XDECREF(alias);
    if (c == NULL)
        return -1;
    c->throttles++;
    return 0;
}

static PyObject *each(PyObject *self, PyObject *list, int (*counted)(outcomes *, PyObject *))
{
    if (!PyList_Check(list)) {
        PyErr_SetString(PyExc_TypeError, "a list is needed");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyList_Size(list); i++)
        if (counted((outcomes *)self, PyList_GetItem(list, i)) < 0)
            return NULL;
    Py_RETURN_NONE;
}

static PyObject *ended(PyObject *self, PyObject *records)
{
    return each(self, records, count_record);
}

/* Those that succeeded, of no alias: pairs of microseconds of the epoch at the end, and nanoseconds. */
static PyObject *quiet(PyObject *self, PyObject *times)
{
    char *bytes;
    Py_ssize_t size;
    int64_t pair[2];
    if (PyBytes_AsStringAndSize(times, &bytes, &size) < 0)
        return NULL;
    for (; size >= (Py_ssize_t)sizeof pair; bytes += sizeof pair, size -= (Py_ssize_t)sizeof pair) {
        memcpy(pair, bytes, sizeof pair);
        int64_t minute = periods((double)pair[0] / US_PER_MS - (double)pair[1] / NS_PER_MS, MS_PER_MINUTE);
        count *c = PyErr_Occurred() ? NULL : find((outcomes *)self, minute, names.none);
        if (c == NULL || count_duration(c, pair[1]) < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *throttled(PyObject *self, PyObject *throttles)
{
    return each(self, throttles, count_throttle);
}

static PyObject *histogram(const count *c)
{
    PyObject *dict = PyDict_New();
    for (uint32_t i = 0; dict != NULL && i < c->slots; i++) {
        if (c->buckets[i].times == 0)
            continue;
        PyObject *index = PyLong_FromLong(c->buckets[i].index), *times = PyFloat_FromDouble(c->buckets[i].times);
        if (index == NULL || times == NULL || PyDict_SetItem(dict, index, times) < 0)
            Py_CLEAR(dict);
        Py_XDECREF(index);
        Py_XDECREF(times);
    }
    return dict;
}

static void clear(outcomes *self)
{
    for (size_t i = 0; i < self->n; i++) {
        Py_DECREF(self->counts[i].alias);
        free(self->counts[i].buckets);
    }
    free(self->counts);
    self->counts = NULL;
    self->n = self->room = 0;
}

static PyObject *take(PyObject *given, PyObject *unused)
{
    outcomes *self = (outcomes *)given;
    (void)unused;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < self->n; i++) {
        const count *c = &self->counts[i];
        PyObject *buckets = histogram(c);
        if (buckets == NULL)
            goto failed;
        PyObject *row = Py_BuildValue(
            "LOKKKKK(dddN)", (long long)c->minute, c->alias, c->invocations, c->errors, c->throttles, c->provisioned,
            c->spilled, (double)c->sum / NS_PER_MS, (double)c->low / NS_PER_MS, (double)c->high / NS_PER_MS, buckets);
        if (row == NULL || PyList_Append(list, row) < 0) {
            Py_XDECREF(row);
            goto failed;
        }
        Py_DECREF(row);
    }
    if (list != NULL)
        clear(self);
    return list;
failed:
    Py_DECREF(list);
    return NULL;
}

static void dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    clear((outcomes *)self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"ended", ended, METH_O, "ended(records): count them; a list of InvocationRecord."},
    {"quiet", quiet, METH_O, "quiet(times): count them; as QuietOnes has them."},
    {"throttled", throttled, METH_O, "throttled(throttles): count them; a list of Throttle."},
    {"take", take, METH_NOARGS, "take(): what was counted since the last time."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot type_slots[] = {{Py_tp_dealloc, dealloc}, {Py_tp_methods, methods}, {0, NULL}};
static PyType_Spec type = {
    .name = "engine._observe.OutcomeCounts", .basicsize = sizeof(outcomes), .flags = Py_TPFLAGS_DEFAULT,
    .slots = type_slots};

static int execute(PyObject *module)
{
    const struct { PyObject **to; const char *text; } all[] = {
        {&names.at, "at"}, {&names.took, "took"}, {&names.status, "status"}, {&names.alias, "alias"},
        {&names.provisioned, "provisioned"}, {&names.success, "success"}, {&names.none, ""}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (*all[i].to == NULL && (*all[i].to = PyUnicode_InternFromString(all[i].text)) == NULL)
            return -1;
    PyObject *made = PyType_FromModuleAndSpec(module, &type, NULL);
    if (made == NULL)
        return -1;
    int done = PyModule_AddObjectRef(module, "OutcomeCounts", made);
    Py_DECREF(made);
    return done;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "engine._observe", .m_slots = slots};

PyMODINIT_FUNC PyInit__observe(void)
{
    return PyModuleDef_Init(&definition);
}
