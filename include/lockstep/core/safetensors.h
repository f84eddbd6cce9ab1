// safetensors files (https://huggingface.co/docs/safetensors): named tensors of numbers, nothing
// that runs. Knows nothing of models.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lockstep/core/shape.h"

namespace lockstep {

struct SafeTensor {
  std::string name;
  std::string dtype;  // "F32", "F16", "BF16", "F64"
  Shape shape;
};

// Reads a file whose header has been checked: every tensor lies inside it and none overlap.
class SafeTensorsReader {
 public:
  // Throws UserError if there is no such file, DataError naming file and tensor for a damaged one.
  explicit SafeTensorsReader(const std::filesystem::path& file);
  ~SafeTensorsReader();
  SafeTensorsReader(const SafeTensorsReader&) = delete;
  SafeTensorsReader& operator=(const SafeTensorsReader&) = delete;

  const std::vector<SafeTensor>& tensors() const;           // in the order of the data
  const SafeTensor* find(const std::string& name) const;    // null if absent
  const std::map<std::string, std::string>& metadata() const;  // of "__metadata__"
  // Converts the whole tensor to float. out: shape.elements(). Throws DataError for a dtype that is
  // no float.
  void read(const SafeTensor& tensor, std::span<float> out) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Writes F32 tensors in the order given, atomically (temporary name, fsync, rename). values(i) fills
// tensor i's elements when its turn comes, so that one tensor at a time is in memory. Throws
// UserError naming the path and the system's reason.
class SafeTensorsSource {
 public:
  virtual ~SafeTensorsSource() = default;
  virtual void values(std::size_t tensor, std::span<float> out) = 0;
};
void write_safetensors(const std::filesystem::path& file, const std::vector<SafeTensor>& tensors,
                       const std::map<std::string, std::string>& metadata,
                       SafeTensorsSource& source);

}  // namespace lockstep
