/* The guest's exports: a Python that starts once and then runs cells.
 *
 * Nothing here prints an exception by the interpreter's own means or runs a main
 * program: those end the process on SystemExit, and a cell's exit is data. */

#include <Python.h>

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "internal/pycore_ceval.h"
#include "internal/pycore_runtime.h"

#include "capture.h"
#include "immortal.h"
#include "mailbox.h"
#include "module.h"
#include "stdlib_table.h"
#include "str_case.h"
#include "str_count.h"
#include "str_search.h"

#define EXPORTED(name) __attribute__((export_name(name)))

struct mailbox mailbox = {.version = MAILBOX_VERSION};

static uint8_t *input;
static PyObject *setup_function;
static PyObject *execute_function;
static PyObject *dumps_function;
/* Holds the bytes that the mailbox's result points to. */
static PyObject *result;

/* Modules that models use; importing them before the snapshot makes them free. */
static const char *const usual_modules[] = {
    "re",     "json",       "collections", "math", "itertools", "functools", "random",
    "string", "datetime",   "statistics",  "textwrap", "io",    "csv",       "ast",
    "time",   "contextlib", "dataclasses", "typing",   "bisect", "heapq",    "traceback",
};

static PyStatus
start_python(void)
{
    PyImport_FrozenModules = stdlib_table;
    str_case_install();
    str_count_install();
    str_search_install();
    if (PyImport_AppendInittab("_rlm", PyInit__rlm) < 0) {
        return PyStatus_NoMemory();
    }
    PyPreConfig early;
    PyPreConfig_InitIsolatedConfig(&early);
    early.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&early);
    if (PyStatus_Exception(status)) {
        return status;
    }
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    config.pathconfig_warnings = 0;
    /* KeyboardInterrupt is how the host's soft deadline arrives. */
    config.install_signal_handlers = 1;
    /* Runs are replayed: the order of a set must not depend on the host. */
    config.use_hash_seed = 1;
    config.hash_seed = 0;
    /* No file system: all modules are frozen. */
    config.module_search_paths_set = 1;
    /* The library itself asks for its modules' `__file__`; nothing is behind it. */
    status = PyConfig_SetString(&config, &config.stdlib_dir, L"/lib/python3.13");
    if (!PyStatus_Exception(status)) {
        status = PyConfig_SetString(&config, &config.executable, L"");
    }
    if (!PyStatus_Exception(status)) {
        status = Py_InitializeFromConfig(&config);
    }
    PyConfig_Clear(&config);
    return status;
}

static bool
import_modules(void)
{
    for (size_t i = 0; i < sizeof usual_modules / sizeof *usual_modules; i++) {
        PyObject *module = PyImport_ImportModule(usual_modules[i]);
        if (module == NULL) {
            return false;
        }
        Py_DECREF(module);
    }
    PyObject *json = PyImport_ImportModule("json");
    PyObject *bootstrap = PyImport_ImportModule("_rlm_bootstrap");
    if (json != NULL && bootstrap != NULL) {
        dumps_function = PyObject_GetAttrString(json, "dumps");
        setup_function = PyObject_GetAttrString(bootstrap, "setup");
        execute_function = PyObject_GetAttrString(bootstrap, "execute");
    }
    Py_XDECREF(json);
    Py_XDECREF(bootstrap);
    return dumps_function != NULL && setup_function != NULL && execute_function != NULL;
}

/* Moves what exists now out of the collector's sight, and what is code out of the counting
 * of references: a fork would otherwise write to, and so copy, every page of the snapshot
 * that holds an object, at a collection or as it uses them. */
static bool
settle(void)
{
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *collected = gc ? PyObject_CallMethod(gc, "collect", NULL) : NULL;
    PyObject *frozen = collected ? PyObject_CallMethod(gc, "freeze", NULL) : NULL;
    bool done = frozen != NULL && immortal_make_code();
    Py_XDECREF(frozen);
    Py_XDECREF(collected);
    Py_XDECREF(gc);
    return done;
}

static void
tell_interrupt_addresses(void)
{
    struct _signals_runtime_state *signals = &_PyRuntime.signals;
    mailbox.sigint_tripped = (uint32_t)(uintptr_t)&signals->handlers[SIGINT].tripped;
    mailbox.is_tripped = (uint32_t)(uintptr_t)&signals->is_tripped;
    mailbox.eval_breaker = (uint32_t)(uintptr_t)&PyThreadState_Get()->eval_breaker;
    mailbox.signals_pending_bit = _PY_SIGNALS_PENDING_BIT;
    mailbox.unicode_type = (uint32_t)(uintptr_t)&PyUnicode_Type;
}

/* Takes the raised exception, if any, and captures it on stderr: for a start that failed. */
static void
capture_failure(const char *what)
{
    capture_bytes(2, (const uint8_t *)what, strlen(what));
    PyObject *error = PyErr_GetRaisedException();
    PyObject *text = error ? PyObject_Repr(error) : NULL;
    const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
    if (utf8 != NULL) {
        capture_bytes(2, (const uint8_t *)utf8, strlen(utf8));
    }
    Py_XDECREF(text);
    Py_XDECREF(error);
    PyErr_Clear();
}

EXPORTED("rlm_init")
int32_t
rlm_init(void)
{
    capture_init();
    PyStatus status = start_python();
    if (PyStatus_Exception(status)) {
        const char *message = status.err_msg ? status.err_msg : "Python did not start";
        capture_bytes(2, (const uint8_t *)message, strlen(message));
        return -1;
    }
    if (!import_modules() || !settle()) {
        capture_failure("the bootstrap cannot be imported: ");
        return -1;
    }
    tell_interrupt_addresses();
    return 0;
}

EXPORTED("rlm_mailbox")
struct mailbox *
rlm_mailbox(void)
{
    return &mailbox;
}

EXPORTED("rlm_buffer")
uint8_t *
rlm_buffer(uint32_t size)
{
    if (size > mailbox.in_cap) {
        /* The old content is no longer wanted: freeing first halves the peak. */
        free(input);
        input = malloc(size);
        mailbox.in_ptr = (uint32_t)(uintptr_t)input;
        mailbox.in_cap = input ? size : 0;
    }
    return input;
}

/* An interrupt that came too late for the cell's code is no error of what follows. */
static void
drop_late_interrupt(void)
{
    while (PyErr_CheckSignals() < 0) {
        PyErr_Clear();
    }
}

/* Points the mailbox at `bytes`, whose reference it takes. False if it is no bytes. */
static bool
publish(PyObject *bytes)
{
    if (bytes == NULL || !PyBytes_Check(bytes)) {
        Py_XDECREF(bytes);
        PyErr_Clear();
        return false;
    }
    Py_XSETREF(result, bytes);
    mailbox.result_ptr = (uint32_t)(uintptr_t)PyBytes_AS_STRING(bytes);
    mailbox.result_len = (uint32_t)PyBytes_GET_SIZE(bytes);
    return true;
}

static void
forget_result(void)
{
    Py_CLEAR(result);
    mailbox.result_ptr = 0;
    mailbox.result_len = 0;
}

/* The report of last resort, when there is no memory for another. */
static const char no_memory[] =
    "{\"value\": null, \"error\": {\"type\": \"MemoryError\", \"message\": \"\", \"traceback\": \"\"}}";

static PyObject *
report_of(PyObject *error)
{
    PyObject *message = PyObject_Str(error);
    if (message == NULL) {
        PyErr_Clear();
    }
    PyObject *json = PyObject_CallFunction(
        dumps_function, "({s:O,s:{s:s,s:O,s:s}})", "value", Py_None, "error",
        "type", Py_TYPE(error)->tp_name, "message", message ? message : Py_None, "traceback", "");
    Py_XDECREF(message);
    PyObject *bytes = json ? PyUnicode_AsEncodedString(json, "utf-8", "surrogatepass") : NULL;
    Py_XDECREF(json);
    return bytes;
}

/* Publishes which exception the bootstrap itself let through: an interrupt or a
 * MemoryError at a bad moment. Takes the raised exception; false if there is none, or
 * its report failed. */
static bool
publish_exception(void)
{
    PyObject *error = PyErr_GetRaisedException();
    if (error == NULL) {
        return false;
    }
    bool was_memory = PyErr_GivenExceptionMatches(error, PyExc_MemoryError);
    PyObject *report = report_of(error);
    Py_DECREF(error);
    if (report == NULL && was_memory) {
        PyErr_Clear();
        mailbox.result_ptr = (uint32_t)(uintptr_t)no_memory;
        mailbox.result_len = sizeof no_memory - 1;
        return true;
    }
    return publish(report);
}

/* The image is not copied: the packages' importer keeps the input buffer, and the next
 * message gets a new one. */
static bool
install_packages(uint32_t len)
{
    PyObject *importer = PyImport_ImportModule("_rlm_packages");
    PyObject *image = importer ? PyMemoryView_FromMemory((char *)input, len, PyBUF_READ) : NULL;
    input = NULL;
    mailbox.in_ptr = 0;
    mailbox.in_cap = 0;
    PyObject *done = image ? PyObject_CallMethod(importer, "install", "O", image) : NULL;
    bool installed = done != NULL;
    Py_XDECREF(done);
    Py_XDECREF(image);
    Py_XDECREF(importer);
    return installed && settle();
}

EXPORTED("rlm_packages")
int32_t
rlm_packages(uint32_t len)
{
    forget_result();
    if (len > mailbox.in_cap) {
        PyErr_Format(PyExc_ValueError, "%u bytes are not in the input buffer", len);
    } else if (install_packages(len)) {
        return 0;
    }
    publish_exception();
    return -1;
}

EXPORTED("rlm_setup")
int32_t
rlm_setup(uint32_t len)
{
    forget_result();
    PyObject *done = len <= mailbox.in_cap
        ? PyObject_CallFunction(setup_function, "y#", (const char *)input, (Py_ssize_t)len)
        : PyErr_Format(PyExc_ValueError, "%u bytes are not in the input buffer", len);
    if (done == NULL) {
        publish_exception();
        return -1;
    }
    Py_DECREF(done);
    return 0;
}

EXPORTED("rlm_exec")
int32_t
rlm_exec(uint32_t len)
{
    /* One that is pending now is this cell's: the host has forgotten earlier ones. */
    forget_result();
    capture_reset();
    PyObject *source = len <= mailbox.in_cap
        ? PyUnicode_DecodeUTF8((const char *)input, (Py_ssize_t)len, "surrogatepass")
        : PyErr_Format(PyExc_ValueError, "%u bytes are not in the input buffer", len);
    PyObject *report = source ? PyObject_CallOneArg(execute_function, source) : NULL;
    Py_XDECREF(source);
    bool told = report != NULL ? publish(report) : publish_exception();
    drop_late_interrupt();
    return told ? 0 : -1;
}
