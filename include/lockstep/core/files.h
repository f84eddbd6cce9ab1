// Files that are whole or absent: temporary name in the target's folder, fsync, rename.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace lockstep {

// Writes text so that a reader sees the old file or the new one. Throws UserError naming the path
// and the system's reason (full disk, no permission).
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

std::string read_file(const std::filesystem::path& path);  // throws UserError

// fsync of the file, rename to its final name, fsync of the folder.
void commit_file(const std::filesystem::path& temporary, const std::filesystem::path& final_path);
void sync_file(const std::filesystem::path& path);

// pwrite of the whole range, retried on short writes; throws UserError naming path and reason.
void write_at(int fd, const void* data, std::size_t bytes, std::uint64_t offset,
              const std::filesystem::path& path);

std::uint64_t free_bytes(const std::filesystem::path& folder);

}  // namespace lockstep
