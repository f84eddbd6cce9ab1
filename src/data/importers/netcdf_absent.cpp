// Builds without the NetCDF library.
#include "lockstep/core/error.h"
#include "source.h"

namespace lockstep::data {

Sources open_netcdf(const ImportOptions&) {
  throw UserError(
      "this build has no NetCDF library; install libnetcdf-dev and build again, or turn the file "
      "into HDF5 by nccopy -k nc4 (netcdf-bin) and map its variables in the run file");
}

}  // namespace lockstep::data
