#include "train/base64.h"

#include <gtest/gtest.h>

namespace lockstep::train {
namespace {

TEST(Base64, writes_what_the_standard_shows) {  // RFC 4648, section 10
  const struct {
    const char *bytes, *text;
  } cases[] = {{"", ""},         {"f", "Zg=="},         {"fo", "Zm8="},       {"foo", "Zm9v"},
               {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& c : cases) {
    EXPECT_EQ(base64(c.bytes), c.text);
    EXPECT_EQ(from_base64(c.text), c.bytes);
  }
}

TEST(Base64, gives_all_bytes_back) {
  std::string bytes;
  for (int i = 0; i < 1031; ++i) bytes += static_cast<char>(i * 37 + i / 256);
  for (const std::size_t n : {1, 2, 3, 31, 1000, 1031}) {
    EXPECT_EQ(from_base64(base64(bytes.substr(0, n))), bytes.substr(0, n)) << n;
  }
}

TEST(Base64, refuses_other_text) {
  for (const char* bad : {"Zg=", "Z===", "Zg==Zg==", "Zm9v\n", "Zm 9", "====", "Zm\xFF""9"}) {
    EXPECT_FALSE(from_base64(bad)) << bad;
  }
}

}  // namespace
}  // namespace lockstep::train
