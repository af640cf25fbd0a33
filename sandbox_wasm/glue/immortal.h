/* Objects that live as long as the interpreter, and are not counted any more. */

#ifndef RLM_IMMORTAL_H
#define RLM_IMMORTAL_H

#include <stdbool.h>

/* Makes functions, code, classes, modules and constants immortal, with what they hold of
 * such kinds. Using them then writes nothing, so a fork copies fewer pages of the snapshot.
 * Objects whose end matters (instances, buffers, containers that change) stay as they are.
 * False with an exception if memory ran out. */
bool immortal_make_code(void);

#endif
