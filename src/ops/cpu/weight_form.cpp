#include "ops/cpu/weight_form.h"

#include "ops/cpu/dense_kernels.h"

namespace lockstep::ops {
namespace {

// Whether `wanted` [in, out] is panels of `width` outputs, each [depth, width] and contiguous, and
// `flat` its transpose in row order: then the own loop packs it 3 times faster than the reorder
// (measured, 1024 x 1024).
bool is_panels(const dnnl_memory_desc_t& flat, const dnnl_memory_desc_t& wanted) {
  const dnnl_blocking_desc_t &f = flat.format_desc.blocking, &w = wanted.format_desc.blocking;
  if (wanted.ndims != 2 || f.inner_nblks != 0 || f.strides[0] != 1 ||
      f.strides[1] != flat.dims[0]) {
    return false;
  }
  if (w.inner_nblks != 2 || w.inner_idxs[0] != 0 || w.inner_idxs[1] != 1) return false;
  const dnnl_dim_t width = w.inner_blks[1], depth = wanted.padded_dims[0];
  return w.inner_blks[0] == 16 && width % 16 == 0 && w.strides[0] == 16 * width &&
         w.strides[1] == depth * width && wanted.padded_dims[1] % width == 0;
}

}  // namespace

WeightForm::WeightForm(const dnnl::memory::desc& flat, const dnnl::memory::desc& wanted,
                       std::size_t& packed_bytes) {
  if (wanted == flat) return;
  begin_ = packed_bytes;
  packed_bytes += line_up(wanted.get_size());
  if (is_panels(flat.data, wanted.data)) {
    kind_ = Kind::kPanels;
    in_ = wanted.data.dims[0];
    out_ = wanted.data.dims[1];
    width_ = wanted.data.format_desc.blocking.inner_blks[1];
    depth_ = wanted.data.padded_dims[0];
    return;
  }
  kind_ = Kind::kReorder;
  reorder_ = make_reorder(flat, wanted);
  scratch_begin_ = packed_bytes;
  packed_bytes += line_up(reorder_.scratch_bytes());
}

void WeightForm::pack(const float* weights, void* packed) const {
  std::byte* to = static_cast<std::byte*>(packed) + begin_;
  if (kind_ == Kind::kPanels) {
    dense_kernels().pack_panels(reinterpret_cast<float*>(to), weights, out_, in_, width_, depth_);
  } else if (kind_ == Kind::kReorder) {
    reorder_.run({weights, to}, static_cast<std::byte*>(packed) + scratch_begin_);
  }
}

}  // namespace lockstep::ops
