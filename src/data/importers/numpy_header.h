// The header of an .npy file, formats 1.0 to 3.0 (numpy.lib.format). Knows no rows.
#pragma once
#include "element_rows.h"

namespace lockstep::data {

// Throws DataError naming the file if it is none, or its elements are no numbers.
ElementLayout read_numpy_header(PositionedBytes& bytes);

}  // namespace lockstep::data
