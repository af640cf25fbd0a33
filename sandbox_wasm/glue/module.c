#include "module.h"

#include <stdint.h>

#include "capture.h"
#include "text.h"

#define IMPORTED(name) __attribute__((import_module("rlm"), import_name(name)))

/* Addresses and lengths in the guest's memory. See CONTRACT.md, "Imports". */
IMPORTED("call") int32_t host_call(const void *request, uint32_t request_len, void *reply,
                                   uint32_t reply_cap);
IMPORTED("reply") int32_t host_reply(void *reply, uint32_t reply_cap);

/* Most replies fit; longer ones are fetched straight into the bytes object. */
static uint8_t reply_buffer[1 << 16];

static PyObject *
rlm_call(PyObject *module, PyObject *request)
{
    if (!PyBytes_Check(request)) {
        return PyErr_Format(PyExc_TypeError, "call() wants bytes, not %T", request);
    }
    int32_t len = host_call(PyBytes_AS_STRING(request), (uint32_t)PyBytes_GET_SIZE(request),
                            reply_buffer, sizeof reply_buffer);
    if (len < 0) {
        __builtin_trap(); /* the host ends the cell, and no handler in it may object */
    }
    if ((size_t)len <= sizeof reply_buffer) {
        return PyBytes_FromStringAndSize((const char *)reply_buffer, len);
    }
    PyObject *reply = PyBytes_FromStringAndSize(NULL, len);
    if (reply != NULL && host_reply(PyBytes_AS_STRING(reply), (uint32_t)len) != len) {
        __builtin_trap();
    }
    return reply;
}

static PyObject *
rlm_write(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyUnicode_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "write() wants (fd, str)");
        return NULL;
    }
    long fd = PyLong_AsLong(args[0]);
    if (fd == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (fd != 1 && fd != 2) {
        return PyErr_Format(PyExc_ValueError, "write() knows fd 1 and 2, not %ld", fd);
    }
    capture_text((int)fd, PyUnicode_KIND(args[1]), PyUnicode_DATA(args[1]),
                 (size_t)PyUnicode_GET_LENGTH(args[1]));
    Py_RETURN_NONE;
}

static PyObject *
rlm_text(PyObject *module, PyObject *args)
{
    unsigned long ptr, chars;
    int kind, ascii, counted = 0;
    if (!PyArg_ParseTuple(args, "kkip|p:text", &ptr, &chars, &kind, &ascii, &counted)) {
        return NULL;
    }
    return text_at(ptr, chars, kind, ascii, counted);
}

static PyObject *
rlm_copy(PyObject *module, PyObject *args)
{
    unsigned long ptr, chars;
    int kind;
    if (!PyArg_ParseTuple(args, "kki:copy", &ptr, &chars, &kind)) {
        return NULL;
    }
    return text_copy(ptr, chars, kind);
}

static PyObject *
rlm_release(PyObject *module, PyObject *holder)
{
    int released = text_release(holder);
    return released < 0 ? NULL : PyBool_FromLong(released);
}

static PyObject *
rlm_place(PyObject *module, PyObject *text)
{
    if (!PyUnicode_Check(text)) {
        return PyErr_Format(PyExc_TypeError, "place() wants a str, not %T", text);
    }
    return Py_BuildValue("(knii)", (unsigned long)(uintptr_t)PyUnicode_DATA(text),
                         PyUnicode_GET_LENGTH(text), (int)PyUnicode_KIND(text),
                         (int)PyUnicode_IS_ASCII(text));
}

static PyMethodDef methods[] = {
    {"call", rlm_call, METH_O, "call(request: bytes) -> bytes: ask the host."},
    {"write", (PyCFunction)(void (*)(void))rlm_write, METH_FASTCALL,
     "write(fd: int, text: str): capture output; fd is 1 or 2."},
    {"place", rlm_place, METH_O,
     "place(text: str) -> (ptr, chars, kind, ascii): where its characters lie."},
    {"text", rlm_text, METH_VARARGS,
     "text(ptr, chars, kind, ascii, counted=False) -> str: mapped text, without a copy."},
    {"copy", rlm_copy, METH_VARARGS, "copy(ptr, chars, kind) -> str: mapped text, as a copy."},
    {"release", rlm_release, METH_O,
     "release(holder: list) -> bool: empty it of a counted text that nobody else refers to."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_rlm",
    .m_doc = "What the guest's Python asks of the glue.",
    .m_size = 0,
    .m_methods = methods,
};

PyObject *
PyInit__rlm(void)
{
    return PyModuleDef_Init(&definition);
}
