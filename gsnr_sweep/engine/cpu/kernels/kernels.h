/* All kernels, for the instruction set that L, MAX_T and NAME stand for. */
#include "lanes.h"

#include "convolution.h"
#include "elementwise.h"
#include "linear.h"
#include "pooled.h"
#include "two_layers.h"
