/* `str.count` of one character at the speed of memory. */

#ifndef RLM_STR_COUNT_H
#define RLM_STR_COUNT_H

/* Puts the fast way before CPython's own. Call it before Python starts. */
void str_count_install(void);

#endif
