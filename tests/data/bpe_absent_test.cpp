// A build without SentencePiece says so.
#include <gtest/gtest.h>

#include "files.h"
#include "lockstep/data/import.h"
#include "lockstep/data/tokenizer.h"

namespace lockstep::data {
namespace {

using namespace testing;

TEST(BytePairs, are_refused_with_the_remedy_in_a_build_without_sentencepiece) {
  const TemporaryFolder folder;
  write_text(folder / "a.txt", "some text");
  ImportOptions options;
  options.train = {folder / "a.txt"};
  options.out = folder / "out.h5";
  options.tokenizer = "bpe";
  for (const std::string& sentence :
       {refusal([&] { import_dataset(options, nullptr); }),
        refusal([&] { train_bpe(options.train, 1000); }), refusal([&] {
          make_tokenizer({"sentencepiece", "model"});
        })})
    EXPECT_TRUE(contains_all(sentence, {"UserError", "libsentencepiece-dev", "--tokenizer bytes"}));
}

}  // namespace
}  // namespace lockstep::data
