/* leaves.h: for Cython extensions that cimport fastnn; C and C++ want fastnn.h. */
#include "../kernels/simd/leaves.h"
