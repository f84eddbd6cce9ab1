// Element types of datasets and tensors.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lockstep {

enum class DType : std::uint8_t { kF32, kF64, kF16, kBF16, kU8, kI8, kU16, kI16, kU32, kI32, kU64, kI64 };

std::size_t size_of(DType type);          // bytes of one element
std::string_view name_of(DType type);     // "f32", "u8", ...
DType dtype_from(std::string_view name);  // throws UserError on an unknown name
bool is_float(DType type);

}  // namespace lockstep
