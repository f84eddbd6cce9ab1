#include "train/background_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockstep/core/files.h"
#include "train/scratch_folder.h"

namespace lockstep::train {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(BackgroundFile, holds_the_last_text_when_it_is_gone) {
  const ScratchFolder folder;
  const auto path = folder.path() / "a.prom";
  {
    BackgroundFile file(path);
    for (int i = 0; i <= 500; ++i) file.write(std::to_string(i));
  }
  EXPECT_EQ(read_file(path), "500");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(BackgroundFile, that_cannot_be_written_says_so_once) {
  const ScratchFolder folder;
  BackgroundFile file(folder.path() / "absent" / "a.prom");
  file.write("a");
  file.finish();
  EXPECT_THAT(file.trouble(), HasSubstr("absent/a.prom"));
  EXPECT_THAT(file.trouble(), IsEmpty());
}

}  // namespace
}  // namespace lockstep::train
