#include "train/background_file.h"

#include <exception>
#include <utility>

#include "lockstep/core/files.h"

namespace lockstep::train {

void BackgroundFile::finish() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  change_.notify_one();
  thread_.join();
}

void BackgroundFile::write(std::string text) {
  {
    const std::lock_guard lock(mutex_);
    next_ = std::move(text);
  }
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  change_.notify_one();
}

std::string BackgroundFile::trouble() {
  const std::lock_guard lock(mutex_);
  return std::exchange(trouble_, {});
}

void BackgroundFile::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    change_.wait(lock, [this] { return next_ || over_; });
    if (!next_) return;
    const std::string text = *std::exchange(next_, std::nullopt);
    lock.unlock();
    std::string trouble;
    try {
      write_file_atomically(path_, text);
    } catch (const std::exception& error) {
      trouble = error.what();
    }
    lock.lock();
    if (!trouble.empty() && !std::exchange(failed_, true)) trouble_ = trouble;
  }
}

}  // namespace lockstep::train
