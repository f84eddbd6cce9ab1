// Results as text, CSV and JSON; Python's csv and json read them again.
#include "lockstep/bench/results.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

#include "bench/results_table.h"

namespace lockstep::bench {
namespace {

Row row(const std::string& group, const std::string& name, double median,
        std::vector<Figure> figures) {
  Row r;
  r.group = group;
  r.name = name;
  r.verified = "ok";
  r.time = {median, median / 2, median * 2, 0.125, 7, 3};
  r.of_ceiling = 0.5;
  r.figures = std::move(figures);
  return r;
}

Results some() {
  Results results;
  results.title = "lockstep bench nothing";
  results.facts = {{"host", "a \"b\", c"}, {"ranks", "2"}};
  results.rows = {row("gemm", "1 x 2, \"fp32\"", 1.0 / 3, {{"rate", "flop/s", 1e11 / 7}}),
                  row("gemm", "several\nlines", 2e-7, {{"rate", "flop/s", 0.1}, {"n", "", 5}}),
                  row("norm", "plain", 3, {{"moved", "B/s", 123456789}})};
  results.rows[1].of_ceiling = 0;
  results.notes = {"rate: what a note says about it, in so many words that a line of 100 columns "
                   "does not take them all and is wrapped"};
  return results;
}

TEST(Results, csv_and_json_say_the_same_to_python) {
  Results results = some();
  results.rows[2].figures.push_back({"not a number", "", std::nan("")});
  results.rows.emplace_back();
  results.rows.back().group = "untimed";
  results.rows.back().verified = "-";
  const std::string base = testing::TempDir() + "/lockstep_results";
  std::ofstream(base + ".csv", std::ios::binary) << results.csv();
  std::ofstream(base + ".json", std::ios::binary) << results.json();
  const std::string command = "/usr/bin/python3 " BENCH_TEST_FOLDER "/same_figures.py " + base +
                              ".csv " + base + ".json > " + base + ".out";
  ASSERT_EQ(std::system(command.c_str()), 0);
  std::stringstream out;
  out << std::ifstream(base + ".out").rdbuf();
  EXPECT_EQ(out.str(), "gemm 2\tseveral\nlines\nnorm 1\tplain\nuntimed 1\t\n");
}

TEST(Results, quotes_what_rfc_4180_wants_quoted_and_ends_lines_as_it_says) {
  const std::string csv = some().csv();
  EXPECT_NE(csv.find("gemm,\"1 x 2, \"\"fp32\"\"\",ok,0.3333333333333333,"), std::string::npos) << csv;
  EXPECT_NE(csv.find("\"several\nlines\""), std::string::npos);
  EXPECT_NE(csv.find("rate [flop/s],n,moved [B/s]\r\n"), std::string::npos);
  EXPECT_TRUE(csv.ends_with(",123456789\r\n")) << csv;
}

TEST(Results, text_is_aligned_and_no_line_is_longer_than_100_columns) {
  Results results = some();
  results.rows[1].name = std::string(70, 'x');
  for (int i = 0; i < 12; ++i)
    results.rows[2].figures.push_back({"a figure of its own " + std::to_string(i), "B/s", 1e9});
  std::istringstream lines(results.text());
  std::string all;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100u) << line;
    all += line + "\n";
  }
  EXPECT_NE(all.find("14.3 Gflop/s"), std::string::npos) << all;
  EXPECT_NE(all.find("333 ms"), std::string::npos);
  EXPECT_NE(all.find("50.0 %"), std::string::npos);
  EXPECT_NE(all.find("more figures: --csv, --json"), std::string::npos);
  const std::size_t head = all.find("gemm "), first = all.find("1 x 2, ");
  ASSERT_NE(head, std::string::npos);
  const auto width = [&](std::size_t at) { return all.find('\n', at) - at; };
  EXPECT_EQ(width(head), width(first)) << all;
}

TEST(Results, a_wrong_row_is_shown_and_counts) {
  Results results = some();
  EXPECT_TRUE(results.all_verified());
  results.rows[2].verified = "y[3] is 1, not 2";
  EXPECT_FALSE(results.all_verified());
  EXPECT_NE(results.text().find("WRONG: y[3] is 1, not 2"), std::string::npos) << results.text();
  EXPECT_NE(results.text().find("1 of 3 rows are WRONG"), std::string::npos);
  results.rows[2].verified = "";  // nobody looked
  EXPECT_FALSE(results.all_verified());
}

TEST(Results, figures_have_three_digits_and_a_prefix) {
  EXPECT_EQ(figure_text(123456789, "B/s"), "123 MB/s");
  EXPECT_EQ(figure_text(12.34e9, "flop/s"), "12.3 Gflop/s");
  EXPECT_EQ(figure_text(0.01234, "part"), "1.23 %");
  EXPECT_EQ(figure_text(1.5e-6, "s"), "1.50 us");
  EXPECT_EQ(figure_text(8192, "B"), "8.00 KiB");
  EXPECT_EQ(figure_text(3.14159, ""), "3.14");
  EXPECT_EQ(figure_text(999.7e6, "/s"), "1.00 G/s");
  EXPECT_EQ(figure_text(std::numeric_limits<double>::infinity(), ""), "inf");
}

}  // namespace
}  // namespace lockstep::bench
