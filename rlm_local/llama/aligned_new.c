/* `operator new[]` of C++ whose large blocks begin at a cache line: see alignment.py.

   In C and under its mangled name, so that no C++ runtime comes with it: libraries that have one
   linked in would take half of that. Blocks go back by free(), as every runtime's delete[] does it. */

#include <stdlib.h>

enum {
  CACHE_LINE = 64,
  LARGE = 4096  /* smaller blocks are not what wide loads read again and again */
};

void *_Znam(size_t size) {
  void *block = NULL;
  if (size < LARGE) {
    block = malloc(size ? size : 1);
  } else if (posix_memalign(&block, CACHE_LINE, size)) {
    block = NULL;
  }
  if (!block) {
    abort(); /* what an exception that nobody caught would end in */
  }
  return block;
}
