#include "lockstep/ops/algorithms.h"

#include <gtest/gtest.h>

#include "lockstep/core/error.h"

namespace lockstep::ops {
namespace {

TEST(Algorithms, come_back_from_their_text) {
  Algorithms a;
  a.record("cublasLt forward 2 x 3 x 4 fp32", "130100 00ff");
  a.record("cudnn data 1x2", "91900 engine 3 2=1");
  a.record("cublasLt forward 2 x 3 x 4 fp32", "130100 00fe");
  EXPECT_EQ(a.to_text(),
            "cublasLt forward 2 x 3 x 4 fp32 = 130100 00fe\ncudnn data 1x2 = 91900 engine 3 2=1\n");
  Algorithms b;
  b.record("forgotten", "");
  b.from_text(a.to_text());
  EXPECT_EQ(b.to_text(), a.to_text());
  EXPECT_EQ(b.find("cudnn data 1x2"), "91900 engine 3 2=1");
  EXPECT_FALSE(b.find("forgotten"));
  b.from_text("");
  EXPECT_EQ(b.to_text(), "");
}

TEST(Algorithms, keep_what_they_had_when_the_text_is_none) {
  Algorithms a;
  a.record("problem", "algorithm");
  for (const char* text : {"problem", "problem\n", " = algorithm\n", "problem = algorithm"})
    EXPECT_THROW(a.from_text(text), DataError) << text;
  EXPECT_EQ(a.find("problem"), "algorithm");
}

}  // namespace
}  // namespace lockstep::ops
