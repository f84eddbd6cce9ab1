// Builds without libpng.
#include "lockstep/core/error.h"
#include "png_image.h"

namespace lockstep::data {

void require_png() {
  throw UserError(
      "this build has no libpng, which folders of PNG files need; install libpng-dev and build "
      "again, or convert the images to .npy");
}

Shape PngForm::sample() const { return {}; }
std::string PngForm::text() const { return {}; }
PngForm read_png(const std::string&, bool, std::vector<std::byte>&) {
  require_png();
  return {};
}

}  // namespace lockstep::data
