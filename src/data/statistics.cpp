#include "statistics.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "elements.h"
#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

template <class T>
void put(std::vector<std::byte>& bytes, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto* from = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), from, from + sizeof value);
}

template <class T>
T take(std::span<const std::byte>& bytes) {
  T value;
  LOCKSTEP_CHECK(bytes.size() >= sizeof value, "{} bytes", bytes.size());
  std::memcpy(static_cast<void*>(&value), bytes.data(), sizeof value);
  bytes = bytes.subspan(sizeof value);
  return value;
}

Moments moments_of(std::span<const double> values) {
  Moments moments;
  if (values.empty()) return moments;
  double sum = 0;
  for (const double v : values) sum += v;
  moments.count = static_cast<std::int64_t>(values.size());
  moments.mean = sum / static_cast<double>(moments.count);
  for (const double v : values) moments.squares += (v - moments.mean) * (v - moments.mean);
  return moments;
}

}  // namespace

void Moments::add(const Moments& later) {
  if (later.count == 0) return;
  const double before = static_cast<double>(count), now = static_cast<double>(later.count);
  const double distance = later.mean - mean;
  count += later.count;
  const double all = static_cast<double>(count);
  mean += distance * (now / all);
  squares += later.squares + distance * distance * (before * now / all);
}

double Moments::deviation() const {
  return count == 0 ? 0 : std::sqrt(squares / static_cast<double>(count));
}

Statistics::Statistics(DType dtype, const Shape& sample)
    : dtype_(dtype),
      elements_(sample.elements()),
      channels_(sample.rank() > 0 ? sample[sample.rank() - 1] : 0) {
  if (channels_ > kMostChannels) channels_ = 0;
}

void Statistics::add(std::int64_t index, const std::byte* rows, std::int64_t samples) {
  const std::int64_t elements = samples * elements_;
  values_.resize(static_cast<std::size_t>(elements));
  to_doubles(dtype_, rows, elements, values_.data());
  if (channels_ > 0) add_channels({0, index}, channels_of(rows, elements));
  if (is_float(dtype_)) std::erase_if(values_, [](double v) { return !std::isfinite(v); });
  const auto finite = static_cast<std::int64_t>(values_.size());
  if (finite > 0) {
    const auto [low, high] = std::minmax_element(values_.begin(), values_.end());
    widen(*low, *high);
    histogram_.add(values_, *low, *high);
    if (counts_classes()) count_classes(rows, samples);
  }
  totals_.elements += elements;
  totals_.not_finite += elements - finite;
  add_moments(index, moments_of(values_));
}

void Statistics::widen(double minimum, double maximum) {
  const bool first = histogram_.count() == 0;
  totals_.minimum = first ? minimum : std::min(totals_.minimum, minimum);
  totals_.maximum = first ? maximum : std::max(totals_.maximum, maximum);
}

void Statistics::count_classes(const std::byte* rows, std::int64_t samples) {
  classes_ =
      classes_ && totals_.minimum >= 0 && totals_.maximum < static_cast<double>(kMostClasses);
  if (!classes_) return class_counts_.clear();
  labels_.resize(static_cast<std::size_t>(samples));
  to_labels(dtype_, rows, samples, labels_.data());
  const auto classes = static_cast<std::size_t>(totals_.maximum) + 1;
  if (class_counts_.size() < classes) class_counts_.resize(classes);
  for (const std::int32_t label : labels_) ++class_counts_[static_cast<std::size_t>(label)];
}

void Statistics::add_moments(std::int64_t index, const Moments& moments) {
  LOCKSTEP_CHECK(index >= next_, "block {} comes twice", index);
  waiting_.emplace(index, moments);
  for (auto first = waiting_.begin(); first != waiting_.end() && first->first == next_; ++next_) {
    merged_.add(first->second);
    first = waiting_.erase(first);
  }
}

// values_ still has what is not finite.
Statistics::Channels Statistics::channels_of(const std::byte*, std::int64_t elements) {
  Channels channels(static_cast<std::size_t>(channels_));
  const auto each = [&](const auto& visit) {
    std::size_t c = 0;
    for (std::int64_t i = 0; i < elements; ++i) {
      const double v = values_[static_cast<std::size_t>(i)];
      if (std::isfinite(v)) visit(channels[c], v);
      if (++c == channels.size()) c = 0;
    }
  };
  each([](Moments& m, double v) { ++m.count, m.mean += v; });
  for (Moments& m : channels)
    if (m.count > 0) m.mean /= static_cast<double>(m.count);
  each([](Moments& m, double v) { m.squares += (v - m.mean) * (v - m.mean); });
  return channels;
}

void Statistics::add_channels(Node node, Channels channels) {
  for (;;) {
    const auto other = channel_nodes_.find({node.first, node.second ^ 1});
    if (other == channel_nodes_.end()) break;
    const bool left = (node.second & 1) == 0;
    Channels& first = left ? channels : other->second;
    const Channels& second = left ? other->second : channels;
    for (std::size_t c = 0; c < first.size(); ++c) first[c].add(second[c]);
    if (!left) channels = std::move(other->second);
    channel_nodes_.erase(other);
    node = {node.first + 1, node.second / 2};
  }
  channel_nodes_.emplace(node, std::move(channels));
}

std::vector<std::byte> Statistics::bytes() const {
  std::vector<std::byte> bytes;
  put(bytes, totals_);
  put(bytes, histogram_);
  put(bytes, next_);
  put(bytes, merged_);
  put(bytes, waiting_.size());
  for (const auto& [index, moments] : waiting_) put(bytes, index), put(bytes, moments);
  put(bytes, channel_nodes_.size());
  for (const auto& [node, channels] : channel_nodes_) {
    put(bytes, node.first), put(bytes, node.second);
    for (const Moments& m : channels) put(bytes, m);
  }
  put(bytes, classes_);
  put(bytes, class_counts_.size());
  for (std::size_t c = 0; c < class_counts_.size(); ++c)
    if (class_counts_[c] > 0) put(bytes, c), put(bytes, class_counts_[c]);
  return bytes;
}

void Statistics::merge(std::span<const std::byte> bytes) {
  const auto totals = take<Totals>(bytes);
  const auto histogram = take<Histogram>(bytes);
  if (histogram.count() > 0) widen(totals.minimum, totals.maximum);
  totals_.elements += totals.elements;
  totals_.not_finite += totals.not_finite;
  histogram_.merge(histogram);
  // What begins with block 0 has been merged in order already: it goes before all others.
  const auto next = take<std::int64_t>(bytes);
  const auto merged = take<Moments>(bytes);
  if (next > 0) {
    LOCKSTEP_CHECK(next_ == 0, "two ranks have block 0");
    next_ = next, merged_ = merged;
  }
  for (auto n = take<std::size_t>(bytes); n > 0; --n) {
    const auto index = take<std::int64_t>(bytes);
    waiting_.emplace(index, take<Moments>(bytes));
  }
  for (auto first = waiting_.begin(); first != waiting_.end() && first->first == next_; ++next_) {
    merged_.add(first->second);
    first = waiting_.erase(first);
  }
  for (auto n = take<std::size_t>(bytes); n > 0; --n) {
    Node node;
    node.first = take<int>(bytes);
    node.second = take<std::int64_t>(bytes);
    Channels channels(static_cast<std::size_t>(channels_));
    for (Moments& m : channels) m = take<Moments>(bytes);
    add_channels(node, std::move(channels));
  }
  classes_ = take<bool>(bytes) && classes_;
  const auto classes = take<std::size_t>(bytes);
  if (class_counts_.size() < classes) class_counts_.resize(classes);
  while (!bytes.empty()) {
    const auto c = take<std::size_t>(bytes);
    class_counts_[c] += take<std::int64_t>(bytes);
  }
  if (!classes_) class_counts_.clear();
}

Figures Statistics::figures() const {
  LOCKSTEP_CHECK(waiting_.empty(), "block {} is missing", next_);
  Figures figures;
  figures.known = true;
  figures.count = totals_.elements;
  figures.not_finite = totals_.not_finite;
  figures.mean = merged_.mean;
  figures.deviation = merged_.deviation();
  figures.minimum = totals_.minimum;
  figures.maximum = totals_.maximum;
  histogram_.give_to(figures);
  std::map<std::int64_t, const Channels*> in_order;
  for (const auto& [node, channels] : channel_nodes_)
    in_order.emplace(node.second << node.first, &channels);
  Channels all(in_order.empty() ? 0 : static_cast<std::size_t>(channels_));
  for (const auto& [first, channels] : in_order)
    for (std::size_t c = 0; c < all.size(); ++c) all[c].add((*channels)[c]);
  for (const Moments& m : all) {
    figures.channel_mean.push_back(m.mean);
    figures.channel_deviation.push_back(m.deviation());
  }
  figures.classes = class_counts_;
  return figures;
}

namespace {

Moments moments_from(std::int64_t count, double mean, double deviation) {
  return {count, mean, deviation * deviation * static_cast<double>(count)};
}

}  // namespace

Figures merged(const Figures& figures, const Figures& later) {
  if (!figures.known || !later.known) return {};
  const std::int64_t first = figures.count - figures.not_finite,
                     second = later.count - later.not_finite;
  if (second == 0 || first == 0) {
    Figures one = first == 0 ? later : figures;
    one.count = figures.count + later.count;
    one.not_finite = figures.not_finite + later.not_finite;
    return one;
  }
  Figures all;
  all.known = true;
  all.count = figures.count + later.count;
  all.not_finite = figures.not_finite + later.not_finite;
  Moments moments = moments_from(first, figures.mean, figures.deviation);
  moments.add(moments_from(second, later.mean, later.deviation));
  all.mean = moments.mean, all.deviation = moments.deviation();
  all.minimum = std::min(figures.minimum, later.minimum);
  all.maximum = std::max(figures.maximum, later.maximum);
  if (!figures.histogram.empty() && !later.histogram.empty()) {
    Histogram histogram(figures);
    histogram.merge(Histogram(later));
    histogram.give_to(all);
  }
  const std::size_t channels = figures.channel_mean.size();
  if (channels > 0 && channels == later.channel_mean.size()) {
    // Of elements that are not finite nobody knows the channel: all channels weigh the same.
    for (std::size_t c = 0; c < channels; ++c) {
      Moments m = moments_from(first, figures.channel_mean[c], figures.channel_deviation[c]);
      m.add(moments_from(second, later.channel_mean[c], later.channel_deviation[c]));
      all.channel_mean.push_back(m.mean);
      all.channel_deviation.push_back(m.deviation());
    }
  }
  if (!figures.classes.empty() && !later.classes.empty()) {
    all.classes = figures.classes;
    all.classes.resize(std::max(all.classes.size(), later.classes.size()));
    for (std::size_t c = 0; c < later.classes.size(); ++c) all.classes[c] += later.classes[c];
  }
  return all;
}

}  // namespace lockstep::data
