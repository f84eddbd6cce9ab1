// A small text file that is written anew again and again, by a thread of its own, so that nobody
// waits for a file system. A reader sees the old text or the new one.
#pragma once
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace lockstep::train {

class BackgroundFile {
 public:
  explicit BackgroundFile(std::filesystem::path path) : path_(std::move(path)) {}
  ~BackgroundFile() { finish(); }
  BackgroundFile(const BackgroundFile&) = delete;
  BackgroundFile& operator=(const BackgroundFile&) = delete;

  // The newest text wins where several come during one write.
  void write(std::string text);
  // Why texts are missing in the file: once, after the first failure; else empty.
  std::string trouble();
  void finish();  // returns when the last text is written

 private:
  void run();

  const std::filesystem::path path_;
  std::mutex mutex_;
  std::condition_variable change_;
  std::optional<std::string> next_;
  std::string trouble_;
  bool failed_ = false, over_ = false;
  std::thread thread_;  // from the first text on
};

}  // namespace lockstep::train
