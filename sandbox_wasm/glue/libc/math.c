/* zig's log2 is off by millions of units in the last place for tiny numbers, and not
 * exact for powers of two: here it is made of frexp and log, which are right. */

#include <math.h>

#define NOT_ITSELF __attribute__((no_builtin))

NOT_ITSELF double
log2(double x)
{
    if (!(x > 0) || isinf(x)) {
        return log(x); /* NaN, -inf or inf, as for any base */
    }
    int exponent;
    double mantissa = frexp(x, &exponent); /* from 0.5 to below 1 */
    /* Just above 1 the exponent is 1 and the logarithm negative: what is left of their sum
     * would be mostly rounding. */
    return x > 1 ? log(2 * mantissa) / M_LN2 + (exponent - 1) : log(mantissa) / M_LN2 + exponent;
}
