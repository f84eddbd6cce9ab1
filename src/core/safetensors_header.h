// The JSON header of a safetensors file, as text and as checked values. Knows no file descriptor.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/core/safetensors.h"

namespace lockstep {

struct SafeTensorsHeader {
  std::vector<SafeTensor> tensors;    // in the order of the data
  std::vector<std::uint64_t> begins;  // of each tensor in the data
  std::map<std::string, std::string> metadata;
};

// Throws DataError, naming `file` and the tensor, for what the format does not allow: bad JSON, a
// name twice, an unknown dtype, data that does not fit its shape, overlaps, leaves gaps or ends
// elsewhere than at data_bytes.
SafeTensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_bytes,
                                           const std::string& file);

// Of F32 tensors that lie one after another, padded with spaces to a multiple of 8 bytes.
std::string format_safetensors_header(const std::vector<SafeTensor>& tensors,
                                      const std::map<std::string, std::string>& metadata);

// Bytes of an element; 0 for a dtype that the format does not know.
std::size_t safetensors_element_bytes(std::string_view dtype);

}  // namespace lockstep
