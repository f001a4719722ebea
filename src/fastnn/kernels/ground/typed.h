/* typed.h: call a kernel for the real type of arrays that is known at run time. */
#ifndef FASTNN_TYPED_H
#define FASTNN_TYPED_H

#include <stdint.h>

/* Return f32(...) or f64(...), or BAD_ARGUMENT of arrays.pxd for any other type. Pointers to reals
 * are passed as void*; the compiler checks all other arguments. If `release`, the GIL is released
 * meanwhile: the arguments must be C values. */
#define fastnn_call_typed(typenum, release, f32, f64, ...)                    \
    __extension__({                                                           \
        PyThreadState *const state_ = (release) ? PyEval_SaveThread() : NULL; \
        const int type_ = (typenum);                                          \
        int64_t result_ = 2;                                                  \
        if (type_ == NPY_FLOAT) result_ = f32(__VA_ARGS__);                   \
        if (type_ == NPY_DOUBLE) result_ = f64(__VA_ARGS__);                  \
        if (state_) PyEval_RestoreThread(state_);                             \
        result_;                                                              \
    })

#endif
