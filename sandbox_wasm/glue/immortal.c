#include "immortal.h"

#include <Python.h>

/* Objects made immortal whose own references are still to be followed. */
struct pile {
    PyObject **objects;
    size_t count, room;
    bool with_dicts; /* of the object that is followed now: modules and classes */
    bool failed;
};

static bool
is_code_or_constant(PyObject *object)
{
    return PyFunction_Check(object) || PyCode_Check(object) || PyType_Check(object)
        || PyModule_Check(object) || PyCFunction_Check(object) || PyCell_Check(object)
        || PyUnicode_CheckExact(object) || PyBytes_CheckExact(object)
        || PyLong_CheckExact(object) || PyFloat_CheckExact(object)
        || PyTuple_CheckExact(object) || PyFrozenSet_CheckExact(object)
        || Py_IS_TYPE(object, &PyMethodDescr_Type) || Py_IS_TYPE(object, &PyClassMethodDescr_Type)
        || Py_IS_TYPE(object, &PyWrapperDescr_Type) || Py_IS_TYPE(object, &PyGetSetDescr_Type)
        || Py_IS_TYPE(object, &PyMemberDescr_Type) || Py_IS_TYPE(object, &PyProperty_Type)
        || Py_IS_TYPE(object, &PyStaticMethod_Type) || Py_IS_TYPE(object, &PyClassMethod_Type);
}

static int
add(PyObject *object, void *argument)
{
    struct pile *pile = argument;
    bool wanted = is_code_or_constant(object) || (pile->with_dicts && PyDict_CheckExact(object));
    if (!wanted || _Py_IsImmortal(object)) {
        return 0;
    }
    if (pile->count == pile->room) {
        size_t room = pile->room ? 2 * pile->room : 4096;
        PyObject **objects = PyMem_Realloc(pile->objects, room * sizeof *objects);
        if (objects == NULL) {
            pile->failed = true;
            return -1;
        }
        pile->objects = objects;
        pile->room = room;
    }
    object->ob_refcnt = _Py_IMMORTAL_REFCNT;
    pile->objects[pile->count++] = object;
    return 0;
}

/* A code object tells the collector nothing of what it holds. */
static void
add_parts(PyCodeObject *code, struct pile *pile)
{
    PyObject *const parts[] = {
        code->co_consts, code->co_names, code->co_localsplusnames, code->co_localspluskinds,
        code->co_filename, code->co_name, code->co_qualname, code->co_linetable,
        code->co_exceptiontable,
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        add(parts[i], pile);
    }
}

static void
follow(PyObject *object, struct pile *pile)
{
    traverseproc traverse = Py_TYPE(object)->tp_traverse;
    pile->with_dicts = PyModule_Check(object) || PyType_Check(object);
    if (PyCode_Check(object)) {
        add_parts((PyCodeObject *)object, pile);
    } else if (traverse != NULL) {
        traverse(object, add, pile);
    }
    if (PyDict_CheckExact(object)) { /* its keys, which it tells only of mixed kinds */
        PyObject *key, *value;
        Py_ssize_t place = 0;
        while (PyDict_Next(object, &place, &key, &value)) {
            add(key, pile);
        }
    }
    pile->with_dicts = false;
}

/* The pile is worked off at once, so that it stays small: what it takes of the heap is
 * part of the snapshot. */
static int
add_collected(PyObject *object, void *argument)
{
    struct pile *pile = argument;
    add(object, pile);
    while (pile->count > 0 && !pile->failed) {
        follow(pile->objects[--pile->count], pile);
    }
    return !pile->failed;
}

bool
immortal_make_code(void)
{
    struct pile pile = {0};
    PyUnstable_GC_VisitObjects(add_collected, &pile);
    PyMem_Free(pile.objects);
    if (pile.failed) {
        PyErr_NoMemory();
    }
    return !pile.failed;
}
