// oneDNN on one thread: its engine, its settings, and Primitive, a kernel of fixed layouts that any
// thread may run at any time. The only place that knows oneDNN's threads; must never know an op.
#pragma once
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <vector>

namespace lockstep::ops {

// Sets the OpenMP runtime that oneDNN brought to one thread for the calling thread, whatever
// OMP_NUM_THREADS says: oneDNN's bits change with its thread count (NUMERICS.md 12). A few ns.
void use_one_thread();

// The cpu engine. The first call caps oneDNN's instruction set at isa() and overrides its
// environment variables, so that nothing outside the run file chooses kernels.
const dnnl::engine& onednn_engine();

// Scratch memory is handed in; fp32 is never computed in a smaller type.
dnnl::primitive_attr strict_attributes();

inline dnnl::memory::desc dense(const dnnl::memory::dims& dims, dnnl::memory::format_tag tag) {
  return {dims, dnnl::memory::data_type::f32, tag};
}

// Workspace and packed areas are cut into pieces that start on cache lines.
constexpr std::size_t line_up(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

class Primitive {
 public:
  struct Port {
    int argument;  // DNNL_ARG_...
    dnnl::memory::desc layout;
  };

  Primitive();
  // `description` is the primitive_desc that `primitive` was made of.
  Primitive(const dnnl::primitive& primitive, const dnnl::primitive_desc_base& description,
            std::vector<Port> ports);
  Primitive(Primitive&&) noexcept;
  Primitive& operator=(Primitive&&) noexcept;
  ~Primitive();

  explicit operator bool() const { return pool_ != nullptr; }
  std::size_t scratch_bytes() const { return scratch_bytes_; }
  // "brg:avx512_core", "ref:any", ...
  const std::string& implementation() const { return implementation_; }

  // addresses: one per port, in the order of the ports; scratch: scratch_bytes(), 64-byte aligned.
  // Costs about 0.3 us beyond the work. Allocates only when more threads than ever before are
  // inside at once.
  void run(std::initializer_list<const void*> addresses, void* scratch) const;

 private:
  struct Frame;  // memory objects of one call
  struct Pool {
    std::mutex mutex;
    std::vector<std::unique_ptr<Frame>> idle;
  };
  std::unique_ptr<Frame> make_frame() const;

  dnnl::primitive primitive_;
  std::vector<Port> ports_;
  std::size_t scratch_bytes_ = 0;
  std::string implementation_;
  std::unique_ptr<Pool> pool_;
};

// A copy between two layouts of the same tensor.
Primitive make_reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to);

}  // namespace lockstep::ops
