#include "lockstep/core/dtype.h"

#include <array>

#include "lockstep/core/error.h"

namespace lockstep {
namespace {

struct Row {
  DType type;
  std::string_view name;
  std::size_t bytes;
  bool floating;
};
constexpr std::array<Row, 12> kRows{{{DType::kF32, "f32", 4, true},
                                     {DType::kF64, "f64", 8, true},
                                     {DType::kF16, "f16", 2, true},
                                     {DType::kBF16, "bf16", 2, true},
                                     {DType::kU8, "u8", 1, false},
                                     {DType::kI8, "i8", 1, false},
                                     {DType::kU16, "u16", 2, false},
                                     {DType::kI16, "i16", 2, false},
                                     {DType::kU32, "u32", 4, false},
                                     {DType::kI32, "i32", 4, false},
                                     {DType::kU64, "u64", 8, false},
                                     {DType::kI64, "i64", 8, false}}};

const Row& row(DType type) { return kRows[static_cast<std::size_t>(type)]; }

}  // namespace

std::size_t size_of(DType type) { return row(type).bytes; }
std::string_view name_of(DType type) { return row(type).name; }
bool is_float(DType type) { return row(type).floating; }

DType dtype_from(std::string_view name) {
  for (const Row& r : kRows) {
    if (r.name == name) return r.type;
  }
  throw UserError("'{}' is not an element type; use f32, f64, u8, i32, ...", name);
}

}  // namespace lockstep
