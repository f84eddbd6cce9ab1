// safetensors files: what Python wrote by the format's description is read, what is written Python
// reads, and no damage of a file goes unnoticed or crashes.
#include "lockstep/core/safetensors.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>

#include "lockstep/core/error.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class SafeTensors : public ::testing::Test {
 protected:
  SafeTensors() {
    std::string name = (fs::temp_directory_path() / "lockstep_core.XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~SafeTensors() override { fs::remove_all(folder_); }

  int python(const std::string& arguments) {
    return std::system(("/usr/bin/python3 '" LOCKSTEP_SAFETENSORS_PY "' " + arguments).c_str());
  }
  fs::path write(std::string_view bytes) {
    const fs::path path = folder_ / "made.safetensors";
    std::ofstream(path, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path;
  }
  // A file by hand: the header's length, the header, the data.
  fs::path file(const std::string& header, std::size_t data_bytes) {
    std::string bytes(8, '\0');
    const std::uint64_t length = header.size();
    std::memcpy(bytes.data(), &length, 8);
    return write(bytes + header + std::string(data_bytes, '\1'));
  }
  // The sentence with its kind before it; "" if all of the file can be read.
  std::string open(const fs::path& path) {
    try {
      const SafeTensorsReader reader(path);
      for (const SafeTensor& tensor : reader.tensors()) values_of(reader, tensor);
    } catch (const UserError& error) {
      return std::string("UserError: ") + error.what();
    } catch (const DataError& error) {
      return std::string("DataError: ") + error.what();
    }
    return {};
  }
  static std::vector<float> values_of(const SafeTensorsReader& reader, const SafeTensor& tensor) {
    std::vector<float> values(static_cast<std::size_t>(tensor.shape.elements()));
    reader.read(tensor, values);
    return values;
  }
  void expect_refusal(const fs::path& path, const std::vector<std::string>& parts) {
    const std::string sentence = open(path);
    for (const std::string& part : parts)
      EXPECT_NE(sentence.find(part), std::string::npos) << part << " is not in: " << sentence;
  }
  fs::path folder_;
};

class Counted final : public SafeTensorsSource {
 public:
  void values(std::size_t tensor, std::span<float> out) override {
    EXPECT_EQ(tensor, next_++);
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<float>(100 * tensor) + static_cast<float>(i) / 4;
    if (tensor == fails_at) throw UserError("stopped");
  }
  std::size_t fails_at = 99;

 private:
  std::size_t next_ = 0;
};

const std::vector<SafeTensor> kTensors = {
    {"b.weight", "F32", {3, 7}}, {"a", "F32", {}}, {"empty", "F32", {0}}};

TEST_F(SafeTensors, equal_what_python_wrote) {
  ASSERT_EQ(python("write '" + folder_.string() + "'"), 0);
  const SafeTensorsReader reader(folder_ / "oracle.safetensors");
  ASSERT_EQ(reader.tensors().size(), 6U);
  EXPECT_EQ(reader.metadata().at("format"), "pt");
  EXPECT_EQ(reader.metadata().at("note"), "gr\xC3\xBC\xC3\x9F" "e");
  EXPECT_EQ(reader.find("absent"), nullptr);
  std::vector<std::string> names;
  for (const SafeTensor& tensor : reader.tensors()) {
    names.push_back(tensor.name);
    if (tensor.dtype == "U8") continue;
    const auto values = values_of(reader, tensor);
    const std::string expected = bytes_of(folder_ / (tensor.name + ".bin"));
    ASSERT_EQ(expected.size(), values.size() * sizeof(float)) << tensor.name;
    const std::string_view read(reinterpret_cast<const char*>(values.data()), expected.size());
    EXPECT_EQ(read, expected) << tensor.name;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"one", "half", "brain", "none", "bytes", "whole"}));
  EXPECT_EQ(reader.find("whole")->shape, (Shape{1009, 331}));
  EXPECT_EQ(reader.find("one")->shape, Shape{});
  expect_refusal(folder_ / "oracle.safetensors", {"DataError", "\"bytes\"", "U8", "F32"});
}

TEST_F(SafeTensors, are_written_as_python_reads_them) {
  const fs::path path = folder_ / "out.safetensors";
  Counted source;
  write_safetensors(path, kTensors, {{"format", "pt"}}, source);
  EXPECT_EQ(python("check '" + path.string() + "'"), 0);
  const SafeTensorsReader reader(path);
  EXPECT_EQ(reader.tensors().size(), 3U);
  EXPECT_EQ(values_of(reader, *reader.find("b.weight"))[20], 5);
  EXPECT_EQ(values_of(reader, *reader.find("a")), std::vector<float>{100});
}

TEST_F(SafeTensors, keep_every_bit) {
  class Specials final : public SafeTensorsSource {
   public:
    void values(std::size_t, std::span<float> out) override {
      const std::uint32_t bits[] = {0x7FC12345, 0xFFC00001, 0x7F800000, 0x80000000, 0x00000001};
      std::memcpy(out.data(), bits, sizeof bits);
    }
  } source;
  const std::vector<SafeTensor> tensors = {{"x", "F32", {5}}};
  write_safetensors(folder_ / "bits", tensors, {}, source);
  std::vector<float> wanted(5);
  source.values(0, wanted);
  const SafeTensorsReader reader(folder_ / "bits");
  EXPECT_TRUE(reader.metadata().empty());
  EXPECT_EQ(std::memcmp(values_of(reader, tensors[0]).data(), wanted.data(), 20), 0);
}

TEST_F(SafeTensors, appear_whole_or_not_at_all) {
  const fs::path path = folder_ / "out.safetensors";
  Counted first;
  write_safetensors(path, kTensors, {}, first);
  const std::string before = bytes_of(path);
  Counted failing;
  failing.fails_at = 1;
  EXPECT_THROW(write_safetensors(path, kTensors, {}, failing), UserError);
  EXPECT_EQ(bytes_of(path), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
  Counted nowhere;
  EXPECT_THROW(write_safetensors(folder_ / "no" / "out", kTensors, {}, nowhere), UserError);
}

TEST_F(SafeTensors, are_refused_when_there_is_no_such_file) {
  expect_refusal(folder_ / "none", {"UserError", "none", "No such file"});
  expect_refusal(folder_, {"UserError", "no plain file"});
}

TEST_F(SafeTensors, are_refused_when_they_are_not_whole) {
  Counted source;
  write_safetensors(folder_ / "out", kTensors, {}, source);
  const std::string whole = bytes_of(folder_ / "out");
  for (std::size_t size = 0; size < whole.size(); size += 3)
    expect_refusal(write(whole.substr(0, size)), {"DataError", "made.safetensors"});
  expect_refusal(write(whole + "x"), {"DataError", "88 bytes", "but the file 89"});
  EXPECT_EQ(open(write(whole)), "");
}

TEST_F(SafeTensors, are_refused_for_any_header_that_the_format_does_not_allow) {
  const auto tensor = [](const char* dtype, const char* shape, const char* offsets) {
    return fmt::format(R"({{"dtype":"{}","shape":{},"data_offsets":{}}})", dtype, shape, offsets);
  };
  const auto one = [&](const char* dtype, const char* shape, const char* offsets) {
    return file(R"({"w":)" + tensor(dtype, shape, offsets) + "}", 16);
  };
  EXPECT_EQ(open(one("F32", "[2,2]", "[0,16]")), "");
  struct Bad {
    const char *dtype, *shape, *offsets, *why;
  };
  for (const Bad& bad : std::initializer_list<Bad>{
           {"F32", "[2,2]", "[0,17]", "data_offsets"},
           {"F32", "[2,2]", "[16,0]", "data_offsets"},
           {"F32", "[2,2]", "[-1,15]", "data_offsets"},
           {"F32", "[2,2]", "[0,16.0]", "data_offsets"},
           {"F32", "[2,2]", "[0]", "data_offsets"},
           {"F32", "[2,2]", "16", "data_offsets"},
           {"F32", "[2,2]", "[0,18446744073709551615]", "data_offsets"},
           {"F32", "[2,2]", "[0,99999999999999999999]", "data_offsets"},
           {"F32", "[3]", "[0,16]", "needs 12"},
           {"F16", "[2,2]", "[0,16]", "needs 8"},
           {"F32", "[4611686018427387905]", "[0,4]", "too many"},
           {"F32", "[4294967296,4294967296,4]", "[0,16]", "too many"},
           {"F32", "[4294967296,4294967296,0]", "[0,0]", "too many"},
           {"F32", "[-4]", "[0,16]", "shape"},
           {"F32", "[\"4\"]", "[0,16]", "shape"},
           {"F32", "4", "[0,16]", "shape"},
           {"F32", "[1,1,1,1,1,1,1,1,4]", "[0,16]", "9 dimensions"},
           {"F31", "[4]", "[0,16]", "unknown dtype \"F31\""},
           {"", "[4]", "[0,16]", "unknown dtype"},
       })
    expect_refusal(one(bad.dtype, bad.shape, bad.offsets),
                   {"DataError", "made.safetensors", "\"w\"", bad.why});
  const std::string a = tensor("F32", "[2]", "[0,8]"), b = tensor("F32", "[2]", "[8,16]");
  const auto two = [&](const std::string& x, const std::string& y, std::size_t bytes = 16) {
    return file(fmt::format(R"({{"x":{},"y":{}}})", x, y), bytes);
  };
  EXPECT_EQ(open(two(a, b)), "");
  EXPECT_EQ(open(two(b, a)), "");
  expect_refusal(two(a, a), {"overlaps"});
  expect_refusal(two(a, tensor("F32", "[2]", "[4,12]")), {"\"y\"", "overlaps"});
  expect_refusal(two(a, tensor("F32", "[2]", "[9,17]"), 17), {"\"y\"", "no tensor has"});
  expect_refusal(two(a, b, 17), {"16 bytes", "file 17"});
  expect_refusal(file(R"({"x":)" + a + R"(,"x":)" + b + "}", 16), {"\"x\" twice"});
  expect_refusal(file(R"({"x":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}})", 8),
                 {"\"dtype\" twice"});
  expect_refusal(file(R"({"x":{"dtype":"F32","shape":[2]}})", 0), {"\"x\"", "data_offsets"});
  expect_refusal(file(R"({"x":{"dtype":4,"shape":[2],"data_offsets":[0,8]}})", 8), {"dtype"});
  expect_refusal(file(R"({"x":7})", 0), {"\"x\""});
  for (const char* json : {"", "{", "[]", "7", "null", "{}}", "{\"x\":}", "\xFF", "{\"\xFF\":1}"})
    expect_refusal(file(json, 0), {"DataError", "made.safetensors"});
  expect_refusal(file(R"({"__metadata__":{"a":1}})", 0), {"__metadata__"});
  expect_refusal(file(R"({"x":)" + std::string(100000, '[') + "}", 0), {"nested"});
  EXPECT_EQ(open(file("{}", 0)), "");
}

// What is read after some bits have flipped, if it is read at all, lies inside the file.
TEST_F(SafeTensors, never_crash_on_damage) {
  Counted source;
  write_safetensors(folder_ / "out", kTensors, {{"format", "pt"}}, source);
  const std::string whole = bytes_of(folder_ / "out");
  const std::size_t header = whole.size() - 88;
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::string damaged = whole;
    for (unsigned n = 1 + random() % 3; n > 0; --n)
      damaged[random() % (i % 8 == 0 ? whole.size() : header)] ^=
          static_cast<char>(1 + random() % 255);
    const std::string sentence = open(write(damaged));
    refused += sentence.empty() ? 0 : 1;
    EXPECT_TRUE(sentence.empty() || sentence.starts_with("DataError")) << sentence;
  }
  EXPECT_GT(refused, 200);
}

}  // namespace
}  // namespace lockstep
