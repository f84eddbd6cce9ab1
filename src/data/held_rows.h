// The rows of a split in the memory of all ranks together: each holds an even, contiguous share, in
// memory that the ranks of its node share, as the files have them. Read once, by all ranks at the
// same time. Knows nothing of lanes or orders.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "decode_pool.h"
#include "lockstep/comm/communicator.h"
#include "samples.h"

namespace lockstep::data {

class HeldRows {
 public:
  // Of this rank's share.
  static std::size_t bytes_for(const comm::Topology& topology, const Samples& samples);
  // Collective: reads and checks every row, by so many threads of this rank. Throws the same error
  // on all ranks: UserError if /dev/shm is too small on any node, DataError for a row that cannot
  // be trusted.
  HeldRows(comm::Communicator& communicator, const Samples& samples, int threads);

  // Rows that lie on this node.
  std::int64_t first() const { return first_; }
  std::int64_t end() const { return end_; }
  bool has(std::int64_t row) const { return first_ <= row && row < end_; }
  int node_of(std::int64_t row) const {
    return topology_.node_of[static_cast<std::size_t>(position_of(row))];
  }
  const std::byte* input(std::int64_t row) const;   // of one that lies here
  const std::byte* target(std::int64_t row) const;  // likewise
  void copy(std::int64_t first, std::int64_t count, std::byte* input, std::byte* target) const;
  std::int64_t bytes_read() const { return bytes_read_; }

 private:
  int position_of(std::int64_t row) const;
  std::int64_t begin_of(int position) const;
  std::byte* part(std::int64_t row, std::int64_t& first, std::int64_t& rows) const;
  void refuse_what_does_not_fit() const;
  std::int64_t read(const Samples& samples, std::int64_t first, std::int64_t end, DecodePool& pool);

  const comm::Topology& topology_;
  const std::int64_t rows_;
  const std::size_t input_bytes_, target_bytes_;
  std::int64_t first_ = 0, end_ = 0, bytes_read_ = 0;
  std::unique_ptr<comm::SharedWindow> window_;
};

}  // namespace lockstep::data
