#ifndef RLM_STR_CASE_H
#define RLM_STR_CASE_H

/* Makes `lower`, `upper` and `casefold` of long ASCII texts fast; before the interpreter
 * starts. */
void str_case_install(void);

#endif
