#include "png_image.h"

#include <png.h>

#include <cerrno>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <memory>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr std::size_t kSignatureBytes = 8, kReasonBytes = 128;
constexpr png_uint_32 kMostExtent = 1 << 20;

// libpng leaves by longjmp: nothing in these functions may need a destructor.
struct Reader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  char reason[kReasonBytes] = "";
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto* reader = static_cast<Reader*>(png_get_error_ptr(png));
  std::snprintf(reader->reason, kReasonBytes, "%s", message);
  png_longjmp(png, 1);
}
void on_warning(png_structp, png_const_charp) {}

bool read_header(Reader& reader, std::FILE* file) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_init_io(reader.png, file);
  png_set_sig_bytes(reader.png, static_cast<int>(kSignatureBytes));
  png_set_user_limits(reader.png, kMostExtent, kMostExtent);
  png_read_info(reader.png, reader.info);
  return true;
}

// What libpng converts, and the form that comes of it.
bool set_form(Reader& reader, PngForm& form) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_structp png = reader.png;
  const int type = png_get_color_type(png, reader.info);
  if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (type == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png);
  if ((type & PNG_COLOR_MASK_ALPHA) != 0) png_set_strip_alpha(png);
  png_set_swap(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, reader.info);
  form.height = png_get_image_height(png, reader.info);
  form.width = png_get_image_width(png, reader.info);
  form.channels = png_get_channels(png, reader.info);
  form.bits = png_get_bit_depth(png, reader.info);
  return true;
}

bool read_rows(Reader& reader, png_bytep* rows) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_read_image(reader.png, rows);
  png_read_end(reader.png, nullptr);
  return true;
}

[[noreturn]] void damaged(const std::string& path, const char* reason) {
  throw DataError("{} is damaged or no PNG file ({}); get the file again", path, reason);
}

}  // namespace

void require_png() {}

Shape PngForm::sample() const {
  return channels == 1 ? Shape{height, width} : Shape{height, width, channels};
}

std::string PngForm::text() const {
  return fmt::format("{}x{} {} of {} bits", height, width, channels == 1 ? "grey" : "colour", bits);
}

PngForm read_png(const std::string& path, bool drop_alpha, std::vector<std::byte>& pixels) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"),
                                                             std::fclose);
  if (!file) throw UserError("cannot read {}: {}", path, std::strerror(errno));
  png_byte signature[kSignatureBytes] = {};
  if (std::fread(signature, 1, kSignatureBytes, file.get()) != kSignatureBytes ||
      png_sig_cmp(signature, 0, kSignatureBytes) != 0)
    damaged(path, "it does not begin as one");
  Reader reader;
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
  LOCKSTEP_CHECK(reader.png != nullptr, "libpng cannot start");
  const std::unique_ptr<Reader, void (*)(Reader*)> closing(
      &reader, [](Reader* r) { png_destroy_read_struct(&r->png, &r->info, nullptr); });
  reader.info = png_create_info_struct(reader.png);
  LOCKSTEP_CHECK(reader.info != nullptr, "libpng cannot start");
  if (!read_header(reader, file.get())) damaged(path, reader.reason);
  const bool alpha = (png_get_color_type(reader.png, reader.info) & PNG_COLOR_MASK_ALPHA) != 0 ||
                     png_get_valid(reader.png, reader.info, PNG_INFO_tRNS) != 0;
  if (alpha && !drop_alpha)
    throw DataError(
        "{} has transparent pixels, which a network does not see; give --alpha drop, or "
        "convert it",
        path);
  PngForm form;
  if (!set_form(reader, form)) damaged(path, reader.reason);
  const std::size_t row = png_get_rowbytes(reader.png, reader.info);
  pixels.resize(row * static_cast<std::size_t>(form.height));
  std::vector<png_bytep> rows;
  for (std::int64_t y = 0; y < form.height; ++y)
    rows.push_back(reinterpret_cast<png_bytep>(pixels.data()) + static_cast<std::size_t>(y) * row);
  if (!read_rows(reader, rows.data())) damaged(path, reader.reason);
  return form;
}

}  // namespace lockstep::data
