/* engine._http: two short cuts of an HTTP server's, taking a plain request apart and writing many responses. */
#include "http/http.h"

static int prepare(PyObject *Py_UNUSED(module))
{
    return request_prepare();
}

#define FAST(function) (PyCFunction)(void (*)(void))function, METH_FASTCALL

static PyMethodDef functions[] = {
    {"scan", FAST(http_scan),
     "scan(data, known): (method, url, [(name, value), ...], body, key or None) of a plain request that is all of the "
     "bytes; (known[key], body) where that is there; or None."},
    {"begins", FAST(http_begins),
     "begins(data, known): (known[key], bytes of the body that are there, bytes that are still to come) of the beginning "
     "of such a request, where that is there and the head is whole; or None."},
    {"bind", FAST(http_bind),
     "bind(stk_outcome_of, stk_call_free, clock): the addresses of the two, once; clock: what CLOCK_REALTIME is beyond "
     "CLOCK_MONOTONIC, in nanoseconds."},
    {"answer", FAST(http_answer),
     "answer(engine, [(ticket, descriptor, ...), ...], before, middle, number, noted, room): the responses of invocations that "
     "have ended, each sent to its socket. First noted(lines, times) is called with their lines of a journal and, of "
     "each, two 64-bit numbers: microseconds of the epoch at its end, nanoseconds in the handler. What is not quiet is "
     "left as it is. ([index, ...] of those, [(index, bytes), ...] that a socket did not take)."},
    {"send_all", FAST(http_send_all),
     "send_all(before, [(descriptor, id, ...), ...], after): to each socket a request's id as text between what all get. "
     "[(index, bytes), ...] of those that did not take all of it: 0 where one took none, whatever the reason."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)prepare}, {0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "engine._http", .m_methods = functions, .m_slots = slots};

PyMODINIT_FUNC PyInit__http(void)
{
    return PyModuleDef_Init(&definition);
}
