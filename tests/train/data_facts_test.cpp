#include "train/data_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockstep/core/error.h"

namespace lockstep::train {
namespace {

using testing::HasSubstr;

DataFacts text_facts() {
  DataFacts facts;
  facts.classes = 300;
  facts.tokenizer_kind = "sentencepiece";
  for (int i = 0; i < 1000; ++i) facts.tokenizer_model += static_cast<char>(i * 7);
  return facts;
}

TEST(DataFacts, read_back_as_they_were_written) {
  const DataFacts images{true, 0.1, 3.7, -1e300, 5e-324, 10, "", "", {1, 0.1}, {2, 0.3},
                         {true, 1, 2, 3, 4, {5}, {6}}};
  for (const DataFacts& facts : {DataFacts{}, images, text_facts()}) {
    EXPECT_EQ(parse_facts(facts_json(facts, {}), "a.h5"), facts);
  }
}

TEST(DataFacts, name_the_version_of_the_data) {
  const DataVersion version{"0123", "train 7: x f32 3"};
  const DataVersion read = parse_version(facts_json(DataFacts{}, version));
  EXPECT_EQ(read.id, version.id);
  EXPECT_EQ(read.structure, version.structure);
  EXPECT_EQ(parse_version(facts_json(DataFacts{}, {})).structure, "");  // of an older checkpoint
}

TEST(DataFacts, tell_other_data_by_id_else_by_structure) {
  const DataVersion a{"0a", "train 7: x"}, b{"0b", "train 7: x"}, plain{"", "train 7: x"},
      longer{"", "train 8: x"};
  EXPECT_EQ(other_data(a, a), "");
  EXPECT_EQ(other_data(a, plain), "");  // nothing says that they differ
  EXPECT_EQ(other_data({}, longer), "");
  EXPECT_THAT(other_data(a, b), testing::AllOf(HasSubstr("0a"), HasSubstr("0b")));
  for (const auto& [stored, now] : {std::pair{plain, longer}, {longer, a}, {a, longer}})
    EXPECT_THAT(other_data(stored, now),
                testing::AllOf(HasSubstr("train 7: x"), HasSubstr("train 8: x")));
}

TEST(DataFacts, of_images_name_no_tokenizer) {
  EXPECT_EQ(facts_json(DataFacts{}, {}).find("tokenizer"), std::string::npos);
}

TEST(DataFacts, that_are_damaged_name_the_checkpoint) {
  for (const char* bad : {"", "{}", "[]", "{\"classes\": 3}"}) {
    try {
      parse_facts(bad, "some.h5");
      ADD_FAILURE() << bad;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr("some.h5"));
    }
  }
  std::string text = facts_json(text_facts(), {});
  text[text.find("\"model\":\"") + 9] = '!';
  EXPECT_THROW(parse_facts(text, "some.h5"), DataError);
}

TEST(DataFacts, of_text_fit_only_the_same_tokens) {
  const auto sentence = [](const DataFacts& facts, const data::TokenizerModel& tokenizer) {
    data::Manifest manifest;
    manifest.files = {"other.h5"};
    try {
      check_tokenizer(facts, tokenizer, manifest);
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const DataFacts text = text_facts();
  EXPECT_EQ(sentence(text, {text.tokenizer_kind, text.tokenizer_model}), "");
  EXPECT_EQ(sentence(DataFacts{}, {}), "");
  EXPECT_THAT(sentence(text, {"bytes", ""}),
              HasSubstr("other.h5 was cut into tokens in another way"));
  EXPECT_THAT(sentence(text, {text.tokenizer_kind, "x"}), HasSubstr("another way"));
  EXPECT_THAT(sentence(text, {}), HasSubstr("other.h5 is not text"));
  EXPECT_THAT(sentence(DataFacts{}, {"bytes", ""}), HasSubstr("other.h5 is text"));
}

}  // namespace
}  // namespace lockstep::train
