/* A large event's value, in one pass. What msgspec takes 35 us for, 100 KB of text, takes a tenth of that: a string is
   looked through with wide vectors and copied whole.

   Only for what is plain. Of anything else it says nothing but ValueError, and another decoder has the document: whether
   it is JSON, what it means and how an error reads is theirs. So what is not said here as they would say it is refused:
   numbers of more digits than a word has, or too large for a double, lone surrogates, very deep documents. */

#include "json/decode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json/plain.h"

enum {
    DEPTH = 200,  /* containers in each other */
    DIGITS = 19,  /* of a whole number that fits into a word of 64 bits, whichever they are */
    NUMBER = 64,  /* bytes of a number */
    KEY = 24,     /* bytes of a key that is kept */
    KEYS = 256,
    FEW = 16,     /* bytes that there often are between two escapes */
};

typedef struct {
    const uint8_t *at, *end;
    uint8_t *scratch; /* for a string with escapes: as long as what was left when there was the first */
} source;

/* Keys that came before: the same name is the same object, whose hash is known. With the interpreter's lock. */
static struct {
    PyObject *object;
    size_t n;
    uint8_t text[KEY];
} keys[KEYS];

/* Each returns a new reference, or NULL, maybe with an exception: not for here. */
static PyObject *value(source *s, int depth);

static inline void skip_blanks(source *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

/* Is that the next character, blanks aside? Then it is behind us. */
static inline int next_is(source *s, uint8_t c)
{
    skip_blanks(s);
    if (s->at == s->end || *s->at != c)
        return 0;
    s->at++;
    return 1;
}

static int hex4(const uint8_t *at, const uint8_t *end)
{
    int unit = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        uint8_t c = at[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static uint8_t *utf8(uint8_t *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (uint8_t)c;
        return to;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    *to++ = (uint8_t)((more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0) | c >> 6 * more);
    while (more-- > 0)
        *to++ = (uint8_t)(0x80 | (c >> 6 * more & 0x3f));
    return to;
}

/* An escape, whose backslash is before `at`, written to *to: never longer than it was. What is behind it; NULL: it is none. */
static inline const uint8_t *escaped(uint8_t **to, const uint8_t *at, const uint8_t *end)
{
    static const uint8_t meanings[128] = {['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f',
                                          ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'};
    if (at == end || *at >= 128)
        return NULL;
    uint8_t c = *at++;
    if (meanings[c]) {
        *(*to)++ = meanings[c];
        return at;
    }
    int unit = c == 'u' ? hex4(at, end) : -1;
    if (unit < 0)
        return NULL;
    at += 4;
    uint32_t character = (uint32_t)unit;
    if (character >= 0xd800 && character < 0xe000) {
        int low = character < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' ? hex4(at + 2, end) : -1;
        if (low < 0xdc00 || low >= 0xe000)
            return NULL;
        at += 6;
        character = 0x10000 + ((character & 0x3ff) << 10 | ((uint32_t)low & 0x3ff));
    }
    *to = utf8(*to, character);
    return at;
}

/* A string with escapes, `at` the first of them. */
static PyObject *with_escapes(source *s, const uint8_t *from, const uint8_t *at)
{
    if (s->scratch == NULL && (s->scratch = malloc((size_t)(s->end - from))) == NULL) /* for all that follow, too */
        return NULL;
    memcpy(s->scratch, from, (size_t)(at - from));
    uint8_t *to = s->scratch + (at - from);
    while (at < s->end && *at == '\\') {
        at = escaped(&to, at + 1, s->end);
        if (at == NULL)
            return NULL;
        int few = 0;
        for (; few < FEW && at < s->end && plain(*at, 0); few++)
            *to++ = *at++;
        if (few < FEW)
            continue;
        from = at;
        at = plain_end(at, s->end, 0);
        memcpy(to, from, (size_t)(at - from));
        to += at - from;
    }
    if (at == s->end || *at != '"')
        return NULL;
    s->at = at + 1;
    return PyUnicode_DecodeUTF8((const char *)s->scratch, to - s->scratch, NULL);
}

/* A string, whose first quote is behind us. */
static PyObject *text(source *s)
{
    const uint8_t *from = s->at, *at = plain_end(from, s->end, 0);
    if (at == s->end || *at < 0x20)
        return NULL;
    if (*at == '\\')
        return with_escapes(s, from, at);
    s->at = at + 1;
    return PyUnicode_DecodeUTF8((const char *)from, at - from, NULL);
}

static PyObject *key(source *s)
{
    const uint8_t *from = s->at, *at = from, *last = s->end - from > KEY ? from + KEY : s->end;
    unsigned hash = 0;
    while (at < last && plain(*at, 1))
        hash = hash * 31 + *at++;
    if (at == last || *at != '"')
        return text(s);
    s->at = at + 1;
    size_t n = (size_t)(at - from), slot = (hash ^ hash >> 8) % KEYS;
    PyObject *kept = keys[slot].object;
    if (kept != NULL && keys[slot].n == n && memcmp(keys[slot].text, from, n) == 0) {
        Py_INCREF(kept);
        return kept;
    }
    PyObject *made = PyUnicode_DecodeUTF8((const char *)from, (Py_ssize_t)n, NULL);
    if (made != NULL) {
        Py_INCREF(made);
        keys[slot].object = made;
        keys[slot].n = n;
        memcpy(keys[slot].text, from, n);
        Py_XDECREF(kept);
    }
    return made;
}

static inline int is_digit(const source *s) { return s->at < s->end && *s->at >= '0' && *s->at <= '9'; }

/* Digits, of which there must be one, added to *all. How many; 0: there is none. */
static int digits(source *s, uint64_t *all)
{
    const uint8_t *from = s->at;
    for (; is_digit(s); s->at++)
        *all = *all * 10 + (uint64_t)(*s->at - '0');
    return s->at - from > NUMBER ? 0 : (int)(s->at - from);
}

/* A number with a fraction or an exponent, of which `from` is the text. */
static PyObject *inexact(const source *s, const uint8_t *from, uint64_t all, int n, long power)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    double result;
    if (n <= DIGITS && all < (uint64_t)1 << 53 && power >= -22 && power <= 22) { /* both are doubles, so one rounding */
        result = power < 0 ? (double)all / powers[-power] : (double)all * powers[power];
        if (*from == '-')
            result = -result;
    } else {
        char copy[NUMBER + 1];
        size_t size = (size_t)(s->at - from);
        if (size > NUMBER)
            return NULL;
        memcpy(copy, from, size);
        copy[size] = 0;
        result = PyOS_string_to_double(copy, NULL, NULL);
        if (PyErr_Occurred() || !isfinite(result))
            return NULL;
    }
    return PyFloat_FromDouble(result);
}

static PyObject *number(source *s)
{
    const uint8_t *from = s->at;
    uint64_t all = 0;
    long power = 0;
    int negative = *from == '-';
    s->at += negative;
    int zero = s->at < s->end && *s->at == '0', n = digits(s, &all);
    if (n == 0 || (zero && n > 1))
        return NULL;
    int whole = s->at == s->end || (*s->at != '.' && (*s->at | 32) != 'e');
    if (whole) {
        if (n > DIGITS || (negative && (zero || all > (uint64_t)INT64_MAX)))
            return NULL;
        return negative ? PyLong_FromLongLong(-(long long)all) : PyLong_FromUnsignedLongLong(all);
    }
    if (*s->at == '.') {
        s->at++;
        int places = digits(s, &all);
        if (places == 0)
            return NULL;
        n += places;
        power = -places;
    }
    if (s->at < s->end && (*s->at | 32) == 'e') {
        s->at++;
        int below = s->at < s->end && *s->at == '-';
        s->at += below || (s->at < s->end && *s->at == '+');
        uint64_t exponent = 0;
        int size = digits(s, &exponent);
        if (size == 0 || size > 4)
            return NULL;
        power += below ? -(long)exponent : (long)exponent;
    }
    return inexact(s, from, all, n, power);
}

static PyObject *array(source *s, int depth)
{
    PyObject *list = PyList_New(0);
    if (list == NULL || next_is(s, ']'))
        return list;
    do {
        PyObject *each = value(s, depth);
        int failed = each == NULL || PyList_Append(list, each) < 0;
        Py_XDECREF(each);
        if (failed)
            goto not_for_here;
    } while (next_is(s, ','));
    if (next_is(s, ']'))
        return list;
not_for_here:
    Py_DECREF(list);
    return NULL;
}

static PyObject *object(source *s, int depth)
{
    PyObject *dict = PyDict_New();
    if (dict == NULL || next_is(s, '}'))
        return dict;
    do {
        PyObject *name = next_is(s, '"') ? key(s) : NULL;
        PyObject *each = name != NULL && next_is(s, ':') ? value(s, depth) : NULL;
        int failed = each == NULL || PyDict_SetItem(dict, name, each) < 0;
        Py_XDECREF(name);
        Py_XDECREF(each);
        if (failed)
            goto not_for_here;
    } while (next_is(s, ','));
    if (next_is(s, '}'))
        return dict;
not_for_here:
    Py_DECREF(dict);
    return NULL;
}

static PyObject *word(source *s, const char *name, PyObject *meaning)
{
    size_t n = strlen(name);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, name, n) != 0)
        return NULL;
    s->at += n;
    Py_INCREF(meaning);
    return meaning;
}

static PyObject *value(source *s, int depth)
{
    skip_blanks(s);
    if (s->at == s->end)
        return NULL;
    switch (*s->at) {
    case '"':
        s->at++;
        return text(s);
    case '{':
        s->at++;
        return depth > 0 ? object(s, depth - 1) : NULL;
    case '[':
        s->at++;
        return depth > 0 ? array(s, depth - 1) : NULL;
    case 't':
        return word(s, "true", Py_True);
    case 'f':
        return word(s, "false", Py_False);
    case 'n':
        return word(s, "null", Py_None);
    default:
        return *s->at == '-' || is_digit(s) ? number(s) : NULL;
    }
}

PyObject *loads(PyObject *Py_UNUSED(module), PyObject *document)
{
    Py_buffer bytes;
    if (PyObject_GetBuffer(document, &bytes, PyBUF_SIMPLE) < 0)
        return NULL;
    source s = {bytes.buf, (const uint8_t *)bytes.buf + bytes.len, NULL};
    PyObject *result = value(&s, DEPTH);
    skip_blanks(&s);
    if (result != NULL && s.at != s.end)
        Py_CLEAR(result);
    free(s.scratch);
    PyBuffer_Release(&bytes);
    if (result == NULL) /* whatever was raised: a string that is no UTF-8, say */
        PyErr_SetString(PyExc_ValueError, "not for this decoder");
    return result;
}

void loads_prepare(void) { plain_choose(); }
