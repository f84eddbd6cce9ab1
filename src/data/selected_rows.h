// Some rows of others, in their order: a split that is a share of all samples.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "row_source.h"

namespace lockstep::data {

class SelectedRows final : public RowSource {
 public:
  SelectedRows(std::unique_ptr<const RowSource> all, const Selection& selection,
               std::size_t row_bytes);
  // Rows that follow one another are read together.
  std::int64_t read(std::int64_t first, std::int64_t count, std::byte* out,
                    KeptUnit& kept) const override;
  std::string place(std::int64_t row, std::int64_t element) const override;

 private:
  std::unique_ptr<const RowSource> all_;
  // Shared by the fields of a split: 4 bytes a sample.
  std::shared_ptr<const std::vector<std::uint32_t>> rows_;
  std::size_t row_bytes_;
};

// The rows of a selection, ascending. A pure function of it.
std::vector<std::uint32_t> selected_rows(const Selection& selection);

}  // namespace lockstep::data
