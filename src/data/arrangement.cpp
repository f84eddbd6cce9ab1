#include "arrangement.h"

namespace lockstep::data {

Arrangement::Arrangement(const Shape& stored, const Transform& transform)
    : whole_(stored), crop_random_(transform.crop_random) {
  std::array<std::int64_t, Shape::kMaxRank> stored_stride{};
  std::int64_t stride = 1;
  for (int i = stored.rank() - 1; i >= 0; --i) {
    stored_stride[i] = stride;
    stride *= stored[i];
  }
  for (int i = 0; i < stored.rank(); ++i) {
    const int from = transform.axes.empty() ? i : transform.axes[i];
    whole_[i] = stored[from];
    stride_[i] = stored_stride[from];
    as_stored_ = as_stored_ && from == i;
  }
  cut_ = whole_;
  for (std::size_t i = 0; i < transform.crop.size(); ++i)
    cut_[static_cast<int>(i)] = transform.crop[i];
  for (const int axis : transform.flip) flipped_[axis] = true;
  as_stored_ = as_stored_ && cut_ == whole_ && transform.flip.empty();
}

Walk Arrangement::walk(const Draw& draw) const {
  Walk w;
  for (int i = 0; i < cut_.rank(); ++i) {
    std::int64_t begin = (whole_[i] - cut_[i]) / 2, stride = stride_[i];
    if (draw.is_random() && ((crop_random_ && cut_[i] < whole_[i]) || flipped_[i])) {
      const Draw::Choice choice = draw.choose(i);
      if (crop_random_) begin = choice.begin(whole_[i], cut_[i]);
      if (flipped_[i] && choice.is_mirrored()) {
        begin += cut_[i] - 1;
        stride = -stride;
      }
    }
    w.start += begin * stride_[i];
    if (cut_[i] == 1) continue;
    if (w.rank > 0 && w.stride[w.rank - 1] == stride * cut_[i]) {
      w.extent[w.rank - 1] *= cut_[i];
      w.stride[w.rank - 1] = stride;
    } else {
      w.extent[w.rank] = cut_[i];
      w.stride[w.rank++] = stride;
    }
  }
  return w;
}

}  // namespace lockstep::data
