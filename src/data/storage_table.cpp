#include <algorithm>
#include <map>
#include <tuple>

#include "bytes_text.h"
#include "links.h"
#include "lockstep/core/error.h"
#include "sources.h"
#include "stored_dataset.h"

namespace lockstep::data {
namespace {

void put_form(std::string& bytes, const StoredForm& form) {
  put(bytes, form.dtype);
  put(bytes, form.big_endian);
  put_all(bytes, form.extents);
  put_all(bytes, form.chunk);
  put_all(bytes, form.filters);
  put_all(bytes, form.fill);
  for (const std::string* text : {&form.only_hdf5, &form.refusal, &form.index_source})
    put_all(bytes, std::vector<char>(text->begin(), text->end()));
}

std::string take_text(std::string_view& bytes) {
  std::vector<char> text;
  take_all(bytes, text);
  return {text.begin(), text.end()};
}

StoredForm take_form(std::string_view& bytes) {
  StoredForm form;
  take(bytes, form.dtype);
  take(bytes, form.big_endian);
  take_all(bytes, form.extents);
  take_all(bytes, form.chunk);
  take_all(bytes, form.filters);
  take_all(bytes, form.fill);
  form.only_hdf5 = take_text(bytes);
  form.refusal = take_text(bytes);
  form.index_source = take_text(bytes);
  return form;
}

}  // namespace

bool StorageTable::before(const Entry& a, const Entry& b) {
  return std::tie(a.file, a.path.high, a.path.low) < std::tie(b.file, b.path.high, b.path.low);
}

void StorageTable::add(std::int32_t file, std::string_view path, const StoredDataset& stored) {
  std::size_t form = forms_.size();
  for (std::size_t i = forms_.size(); i-- > 0 && form == forms_.size();)
    if (*forms_[i] == *stored.form) form = i;
  if (form == forms_.size()) forms_.push_back(stored.form);
  const auto at = static_cast<std::size_t>(file);
  if (stamps_.size() <= at) stamps_.resize(at + 1);
  stamps_[at] = stored.stamp;
  Entry entry{hash_bytes(path.data(), path.size()), file, static_cast<std::int32_t>(form),
              stored.address, stored.index};
  entries_.push_back(std::move(entry));
}

std::optional<StoredDataset> StorageTable::find(std::int32_t file, std::string_view path) const {
  const Entry wanted{hash_bytes(path.data(), path.size()), file, 0, 0, nullptr};
  const auto at = std::lower_bound(entries_.begin(), entries_.end(), wanted, before);
  if (at == entries_.end() || before(wanted, *at)) return std::nullopt;
  return StoredDataset{forms_[static_cast<std::size_t>(at->form)], at->address, at->index,
                       stamps_[static_cast<std::size_t>(file)]};
}

std::string StorageTable::to_bytes() {
  std::sort(entries_.begin(), entries_.end(), before);
  std::string bytes;
  put(bytes, static_cast<std::uint64_t>(forms_.size()));
  for (const auto& form : forms_) put_form(bytes, *form);
  put_all(bytes, stamps_);
  put(bytes, static_cast<std::uint64_t>(entries_.size()));
  for (const Entry& entry : entries_) {
    put(bytes, entry.path);
    put(bytes, entry.file);
    put(bytes, entry.form);
    put(bytes, entry.address);
    put(bytes, entry.index != nullptr);
    if (entry.index) entry.index->append_to(bytes);
  }
  return bytes;
}

std::shared_ptr<const StorageTable> StorageTable::from_bytes(std::string_view bytes) {
  auto table = std::make_shared<StorageTable>();
  std::uint64_t forms = 0, entries = 0;
  take(bytes, forms);
  for (std::uint64_t i = 0; i < forms; ++i)
    table->forms_.push_back(std::make_shared<const StoredForm>(take_form(bytes)));
  take_all(bytes, table->stamps_);
  take(bytes, entries);
  table->entries_.resize(entries);
  for (Entry& entry : table->entries_) {
    bool has_index = false;
    take(bytes, entry.path);
    take(bytes, entry.file);
    take(bytes, entry.form);
    take(bytes, entry.address);
    take(bytes, has_index);
    if (has_index) entry.index = std::make_shared<const ChunkIndex>(ChunkIndex::take_from(bytes));
  }
  return table;
}

namespace {

// Opening a file costs a millisecond and more: of more pieces than these, each reader asks when it
// comes to them.
constexpr std::size_t kMostAsked = 4096;

// Whether it is one that is read without HDF5, and like the field's others.
bool belongs(const StoredForm& form, const Field& field) {
  if (!form.only_hdf5.empty() || !form.refusal.empty() || form.dtype != field.dtype) return false;
  return field.layout != Layout::kSample || std::equal(form.extents.begin(), form.extents.end(),
                                                       field.sample.begin(), field.sample.end());
}

StorageTable ask_for_all(const Manifest& manifest) {
  std::map<std::pair<std::int32_t, std::string>, const Field*> datasets;  // by file: opened once
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields)
      for (const Piece& piece : field.pieces)
        if (datasets.size() < kMostAsked) datasets.try_emplace({piece.file, piece.path}, &field);
  StorageTable table;
  const Reach reach(manifest.follow, manifest.files);
  std::shared_ptr<const InputFile> file;
  std::int32_t open = -1;
  for (const auto& [at, field] : datasets) {
    try {
      if (at.first != open)
        file = open_input(manifest.files.at(static_cast<std::size_t>(at.first)));
      open = at.first;
      check_sources({file, at.second}, reach);
      const StoredDataset stored = ask_hdf5(*file, at.second);
      if (belongs(*stored.form, *field)) table.add(at.first, at.second, stored);
    } catch (const Error&) {
      open = -1;  // who reads it will meet the error; perhaps nobody does
    }
  }
  return table;
}

}  // namespace

std::shared_ptr<const StorageTable> share_storage(comm::Communicator& communicator,
                                                  const Manifest& manifest) {
  std::string bytes;
  communicator.together([&] {
    if (communicator.rank() == 0) bytes = ask_for_all(manifest).to_bytes();
  });
  return StorageTable::from_bytes(comm::broadcast_text(communicator, std::move(bytes)));
}

}  // namespace lockstep::data
