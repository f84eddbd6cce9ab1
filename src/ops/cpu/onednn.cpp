#include "ops/cpu/onednn.h"

#include <dlfcn.h>

#include "lockstep/core/error.h"
#include "lockstep/core/isa.h"

namespace lockstep::ops {
namespace {

struct OpenMp {
  int (*get_max_threads)() = nullptr;
  void (*set_num_threads)(int) = nullptr;
};

// Asked for by name, because it must be the runtime that oneDNN was linked with (libgomp on Debian,
// libiomp5 elsewhere) and not a second one that the compiler would add.
OpenMp find_openmp() {
  const unsigned runtime = dnnl::version()->cpu_runtime;
  if (runtime == DNNL_RUNTIME_SEQ) return {};
  OpenMp found;
  found.get_max_threads = reinterpret_cast<int (*)()>(::dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  found.set_num_threads =
      reinterpret_cast<void (*)(int)>(::dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (runtime != DNNL_RUNTIME_OMP || found.get_max_threads == nullptr ||
      found.set_num_threads == nullptr) {
    throw UserError(
        "this oneDNN was built with a threading runtime whose threads cannot be set to one; "
        "install oneDNN built with DNNL_CPU_RUNTIME=OMP or SEQ (Debian: libdnnl-dev)");
  }
  return found;
}

dnnl::cpu_isa cap_of(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return dnnl::cpu_isa::all;
    case Isa::kAvx2:
      return dnnl::cpu_isa::avx2;
    case Isa::kPlain:
      break;
  }
  return dnnl::cpu_isa::sse41;  // the least that oneDNN knows
}

dnnl::engine make_engine() {
  const dnnl::status capped = dnnl::set_max_cpu_isa(cap_of(isa()));
  LOCKSTEP_CHECK(capped == dnnl::status::success || isa() == detected_isa(),
                 "oneDNN was used before its instruction set was capped");
  dnnl::set_cpu_isa_hints(dnnl::cpu_isa_hints::no_hints);
  return dnnl::engine(dnnl::engine::kind::cpu, 0);
}

dnnl_stream_t thread_stream() {
  thread_local const dnnl::stream stream(onednn_engine());
  return stream.get();
}

}  // namespace

void use_one_thread() {
  static const OpenMp openmp = find_openmp();
  if (openmp.set_num_threads != nullptr && openmp.get_max_threads() != 1) openmp.set_num_threads(1);
}

const dnnl::engine& onednn_engine() {
  static const dnnl::engine engine = make_engine();
  return engine;
}

dnnl::primitive_attr strict_attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_fpmath_mode(dnnl::fpmath_mode::strict);
  return attributes;
}

struct Primitive::Frame {
  std::vector<dnnl::memory> memories;      // the ports', then the scratch memory if there is any
  std::vector<dnnl_exec_arg_t> arguments;  // the same, as oneDNN's C interface takes them
};

Primitive::Primitive() = default;
Primitive::Primitive(Primitive&&) noexcept = default;
Primitive& Primitive::operator=(Primitive&&) noexcept = default;
Primitive::~Primitive() = default;

Primitive::Primitive(const dnnl::primitive& primitive, const dnnl::primitive_desc_base& description,
                     std::vector<Port> ports)
    : primitive_(primitive),
      ports_(std::move(ports)),
      scratch_bytes_(description.scratchpad_desc().get_size()),
      implementation_(description.impl_info_str()),
      pool_(std::make_unique<Pool>()) {
  pool_->idle.reserve(64);
  pool_->idle.push_back(make_frame());
}

std::unique_ptr<Primitive::Frame> Primitive::make_frame() const {
  auto frame = std::make_unique<Frame>();
  const auto add = [&](int argument, const dnnl::memory::desc& layout) {
    frame->memories.emplace_back(layout, onednn_engine(), nullptr);
    frame->arguments.push_back({argument, frame->memories.back().get()});
  };
  for (const Port& port : ports_) add(port.argument, port.layout);
  if (scratch_bytes_ > 0) {
    add(DNNL_ARG_SCRATCHPAD, {{static_cast<dnnl::memory::dim>(scratch_bytes_)},
                              dnnl::memory::data_type::u8,
                              dnnl::memory::format_tag::a});
  }
  return frame;
}

void Primitive::run(std::initializer_list<const void*> addresses, void* scratch) const {
  LOCKSTEP_CHECK(addresses.size() == ports_.size());
  use_one_thread();
  std::unique_ptr<Frame> frame;
  {
    const std::lock_guard lock(pool_->mutex);
    if (!pool_->idle.empty()) {
      frame = std::move(pool_->idle.back());
      pool_->idle.pop_back();
    }
  }
  if (frame == nullptr) frame = make_frame();

  // oneDNN's interface has no const data; a port that is read is not written.
  std::size_t i = 0;
  for (const void* address : addresses) {
    dnnl_memory_set_data_handle(frame->memories[i++].get(), const_cast<void*>(address));
  }
  if (scratch_bytes_ > 0) dnnl_memory_set_data_handle(frame->memories[i].get(), scratch);
  const dnnl_status_t status =
      dnnl_primitive_execute(primitive_.get(), thread_stream(),
                             static_cast<int>(frame->arguments.size()), frame->arguments.data());
  LOCKSTEP_CHECK(status == dnnl_success, "oneDNN's {} returned status {}", implementation_,
                 static_cast<int>(status));

  const std::lock_guard lock(pool_->mutex);
  pool_->idle.push_back(std::move(frame));
}

Primitive make_reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to) {
  use_one_thread();
  const dnnl::reorder::primitive_desc description(onednn_engine(), from, onednn_engine(), to,
                                                  strict_attributes());
  return Primitive(dnnl::reorder(description), description,
                   {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

}  // namespace lockstep::ops
