#include "accompanied_fold.h"

namespace lockstep::comm {

AccompaniedFold::AccompaniedFold(ProgressThread& thread, std::unique_ptr<Fold> fold)
    : thread_(thread), fold_(std::move(fold)) {
  thread_.attend(this, [this] { fold_->progress(); });
}

AccompaniedFold::~AccompaniedFold() { thread_.forget(this); }

std::int64_t AccompaniedFold::next(int stream) {
  Presence presence(&thread_);
  const std::int64_t lane = fold_->next(stream);
  if (lane >= 0) presence.then_outside();
  return lane;
}

const LaneCuts* AccompaniedFold::deal_between_nodes() {
  const Presence presence(&thread_);
  return fold_->deal_between_nodes();
}

float* AccompaniedFold::leaf(int stream, std::int64_t lane, int bucket) {
  const Presence presence(&thread_);
  return fold_->leaf(stream, lane, bucket);
}

void AccompaniedFold::open(int stream, Stream& work) {
  const Presence presence(&thread_);
  fold_->open(stream, work);
}

void AccompaniedFold::mark(int stream, int bucket, Stream& work) {
  const Presence presence(&thread_);
  fold_->mark(stream, bucket, work);
}

void AccompaniedFold::push(int stream, std::int64_t lane, int bucket) {
  const Presence presence(&thread_);
  fold_->push(stream, lane, bucket);
}

void AccompaniedFold::progress() {
  const Presence presence(&thread_);
  fold_->progress();
}

void AccompaniedFold::set_record(std::int64_t lane, const void* record) {
  const Presence presence(&thread_);
  fold_->set_record(lane, record);
}

void AccompaniedFold::finish(std::int64_t step) {
  Presence presence(&thread_);
  presence.then_inside();
  fold_->finish(step);
}

void AccompaniedFold::release() {
  const Presence presence(&thread_);
  fold_->release();
}

void AccompaniedFold::release(Stream& work) {
  const Presence presence(&thread_);
  fold_->release(work);
}

}  // namespace lockstep::comm
