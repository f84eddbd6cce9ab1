// Everything that translated code needs.
#pragma once
#include "tests/ptx/emulator.h"
#include "tests/ptx/instructions/calls.h"
#include "tests/ptx/instructions/floating.h"
#include "tests/ptx/instructions/integer.h"
#include "tests/ptx/instructions/matrix.h"
#include "tests/ptx/instructions/memory.h"
#include "tests/ptx/instructions/warp.h"
