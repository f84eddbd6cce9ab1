#include "tests/ptx/instructions/calls.h"

#include <cstdio>
#include <cstring>

namespace lockstep::ptx {

namespace {

template <class T>
T at(const void* memory) {
  T value;
  std::memcpy(&value, memory, sizeof value);
  return value;
}

// One conversion of printf, '%' to its letter; doubles, pointers and long integers take 8 bytes.
std::string one_value(const std::string& conversion, const std::uint8_t* values,
                      std::size_t& offset) {
  const char letter = conversion.back();
  const bool real = std::strchr("eEfFgGaA", letter) != nullptr;
  const bool wide =
      real || letter == 's' || letter == 'p' || conversion.find('l') != std::string::npos;
  const std::size_t bytes = wide ? 8 : 4;
  offset = (offset + bytes - 1) / bytes * bytes;
  char text[512];
  if (real)
    std::snprintf(text, sizeof text, conversion.c_str(), at<double>(values + offset));
  else if (wide)
    std::snprintf(text, sizeof text, conversion.c_str(), at<long long>(values + offset));
  else
    std::snprintf(text, sizeof text, conversion.c_str(), at<int>(values + offset));
  offset += bytes;
  return text;
}

}  // namespace

void vprintf(Thread&, std::uint8_t* result, const std::uint8_t* format_argument,
             const std::uint8_t* values_argument) {
  const auto* format = at<const char*>(format_argument);
  const auto* values = at<const std::uint8_t*>(values_argument);
  std::string text;
  std::size_t offset = 0;
  int count = 0;
  while (*format != '\0') {
    if (*format != '%' || format[1] == '%') {
      text += *format;
      format += *format == '%' ? 2 : 1;
      continue;
    }
    const std::size_t length = std::strcspn(format, "diouxXeEfFgGaAcsp") + 1;
    text += one_value(std::string(format, length), values, offset);
    format += length;
    ++count;
  }
  std::fputs(text.c_str(), stdout);
  std::memcpy(result, &count, sizeof count);
}

void assertfail(Thread& self, const std::uint8_t* message, const std::uint8_t* file,
                const std::uint8_t* line, const std::uint8_t*, const std::uint8_t*) {
  const std::string place =
      std::string(at<const char*>(file)) + ":" + std::to_string(at<int>(line));
  fail(self, place.c_str(), (std::string("assertion failed: ") + at<const char*>(message)).c_str());
}

}  // namespace lockstep::ptx
