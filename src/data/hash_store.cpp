#include "hash_store.h"

#include <array>

#include "links.h"
#include "lockstep/core/error.h"

namespace lockstep::data {

static_assert(sizeof(Hash128) == 16, "hashes are written as they lie in memory");

std::string hashes_path(const std::string& split, const std::string& field) {
  return fmt::format("/{}/{}/{}", kHashesGroup, split, field);
}

std::string field_hash(const UnitHashes& hashes) {
  return hash_bytes(hashes.data(), hashes.size() * sizeof(Hash128)).text();
}

bool write_hashes(hid_t file, const std::string& path, const UnitHashes& hashes) {
  const Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(links.get(), 1);
  const std::array<hsize_t, 2> extents{hashes.size(), 2};
  const Handle space(H5Screate_simple(2, extents.data(), nullptr), H5Sclose);
  const Handle type = native_type(DType::kU64);
  Handle dataset(H5Dcreate2(file, path.c_str(), type.get(), space.get(), links.get(), H5P_DEFAULT,
                            H5P_DEFAULT),
                 H5Dclose);
  return dataset &&
         (hashes.empty() ||
          H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, hashes.data()) >= 0) &&
         dataset.close();
}

UnitHashes read_hashes(const Manifest& manifest, const Field& field) {
  const std::string where = manifest.hashes.string();
  const auto file = open_input(manifest.hashes);
  UnitHashes hashes;
  {
    const Hdf5Lock lock;
    const Handle dataset(H5Dopen2(file->id(), field.hashes.c_str(), H5P_DEFAULT), H5Dclose);
    const Handle space(dataset ? H5Dget_space(dataset.get()) : -1, H5Sclose);
    const Handle stored(dataset ? H5Dget_type(dataset.get()) : -1, H5Tclose);
    std::array<hsize_t, H5S_MAX_RANK> extents{};
    const int rank = space ? H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr) : -1;
    const bool fits = rank == 2 && extents[1] == 2 && dtype_of(stored.get()) == DType::kU64 &&
                      H5Dget_storage_size(dataset.get()) == extents[0] * sizeof(Hash128);
    if (!fits)
      throw DataError("{}: cannot read the hashes in dataset {} ({})", where, field.hashes,
                      hdf5_reason());
    hashes.resize(extents[0]);
    const Handle type = native_type(DType::kU64);
    if (H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, hashes.data()) < 0)
      throw DataError("{}: cannot read the hashes in dataset {} ({})", where, field.hashes,
                      hdf5_reason());
  }
  if (field_hash(hashes) != field.hash)
    throw DataError(
        "{}: the hashes in dataset {} are damaged, or those of another version; copy, import or "
        "seal the file again",
        where, field.hashes);
  return hashes;
}

}  // namespace lockstep::data
