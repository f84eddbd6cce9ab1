// Embedding and learned positions against plain loops, on every instruction set.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>

#include "lockstep/core/error.h"
#include "ops/isas.h"
#include "ops/numbers.h"
#include "ops/sliced.h"

namespace lockstep::ops {
namespace {

constexpr std::int64_t kSizes[] = {1, 7, 31, 32, 33, 1000, 1009};

// Token numbers as an input holds them.
Floats tokens(std::int64_t n, std::int64_t vocabulary, unsigned seed) {
  Floats ids;
  for (float u : uniform(n, seed, 0, 0.999)) {
    ids.push_back(std::bit_cast<float>(static_cast<std::int32_t>(u * vocabulary)));
  }
  return ids;
}

TEST(Embedding, copies_rows_and_adds_their_gradients_in_order) {
  for (std::int64_t rows : kSizes) {
    for (std::int64_t vocabulary : {1, 7, 1009}) {
      const std::int64_t width = rows > 100 ? 33 : 257;
      const Floats ids = tokens(rows, vocabulary, 1), table = uniform(vocabulary * width, 2);
      const Floats dy = uniform(rows * width, 3), carried = uniform(vocabulary * width, 4);
      Floats y, d_table(table.size(), 0.0f), d_carried = carried;
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t i = 0; i < width; ++i) {
          const std::int64_t at = std::bit_cast<std::int32_t>(ids[r]) * width + i;
          y.push_back(table[at]);
          d_table[at] += dy[r * width + i];
          d_carried[at] += dy[r * width + i];
        }
      }
      const auto op = make(cpu_device(), Embedding{rows, vocabulary, width});
      on_every_isa([&](Isa) {
        SCOPED_TRACE(fmt::format("{} of {} x {}", rows, vocabulary, width));
        OpRun run(*op, {ids}, {table}, y.size());
        EXPECT_EQ(run.forward(), y);
        run.backward(dy, {false});
        EXPECT_EQ(run.d_parameter(0), d_table);
        for (float d : run.d_parameter(0)) ASSERT_FALSE(d == 0 && std::signbit(d));

        const float* in = ids.data();
        Floats apart(table.size(), NAN), in_place = carried;
        for (Floats* to : {&apart, &in_place}) {
          float* d_parameter = to->data();
          Args args;
          args.inputs = &in, args.d_output = dy.data(), args.d_parameters = &d_parameter;
          args.carried = to == &apart ? carried.data() : in_place.data();
          op->backward(args);
          EXPECT_EQ(*to, d_carried);
        }
      });
    }
  }
}

TEST(Embedding, refuses_numbers_outside_its_table) {
  for (const std::int32_t id : {-1, 5}) {
    const auto op = make(cpu_device(), Embedding{1, 5, 3});
    OpRun run(*op, {{std::bit_cast<float>(id)}}, {uniform(15, 1)}, 3);
    EXPECT_ANY_THROW(run.forward());
  }
}

TEST(Embedding, lets_nan_through) {
  const auto op = make(cpu_device(), Embedding{2, 2, 3});
  const Floats ids = {std::bit_cast<float>(0), std::bit_cast<float>(1)};
  OpRun run(*op, {ids}, {{0, NAN, 0, 0, 0, 0}}, 6);
  EXPECT_TRUE(std::isnan(run.forward()[1]));
  run.backward({0, 0, 0, 0, 0, NAN}, {false});
  EXPECT_TRUE(std::isnan(run.d_parameter(0)[5]));
}

TEST(Positions, are_added_to_every_sample_and_summed_over_them) {
  for (std::int64_t n : {1, 3, 8}) {
    for (std::int64_t t : kSizes) {
      const std::int64_t width = t > 100 ? 7 : 33, context = t + 5;
      const Floats x = uniform(n * t * width, 1), table = uniform(context * width, 2);
      const Floats dy = uniform(n * t * width, 3);
      Floats y = x, d_table(table.size(), 0.0f);
      for (std::int64_t i = 0; i < n * t * width; ++i) {
        const std::int64_t at = i % (t * width);
        y[i] += table[at];
        d_table[at] = i < t * width ? dy[i] : d_table[at] + dy[i];
      }
      const auto op = make(cpu_device(), Positions{n, t, width, context});
      on_every_isa([&](Isa) {
        SCOPED_TRACE(fmt::format("{} x {} x {}", n, t, width));
        OpRun run(*op, {x}, {table}, x.size());
        EXPECT_EQ(run.forward(), y);
        run.backward(dy);
        EXPECT_EQ(run.d_input(0), dy);
        EXPECT_EQ(run.d_parameter(0), d_table);
        for (std::int64_t i = t * width; i < context * width; ++i) {
          ASSERT_FALSE(std::signbit(run.d_parameter(0)[i]));
        }
      });
    }
  }
}

TEST(Positions, work_in_place_and_from_a_place_in_the_sequence) {
  const std::int64_t t = 3, width = 33, context = 8;
  const Floats x = uniform(t * width, 1), table = uniform(context * width, 2);
  const auto op = make(cpu_device(), Positions{1, t, width, context});
  EXPECT_TRUE(op->in_place());
  const float* parameter = table.data();
  for (std::int64_t position : {0, 5}) {
    Floats data = x;
    const float* in = data.data();
    Args args;
    args.inputs = &in, args.output = data.data(), args.parameters = &parameter;
    args.position = position;
    op->forward(args);
    for (std::int64_t i = 0; i < t * width; ++i) {
      ASSERT_EQ(data[i], x[i] + table[position * width + i]);
    }
    args.position = 6;
    EXPECT_ANY_THROW(op->forward(args));
  }
  Floats gradient = x, d_table(table.size(), NAN), workspace(op->workspace_bytes() / 4);
  float *d_in = gradient.data(), *d_parameter = d_table.data();
  Args args;
  args.d_output = gradient.data(), args.d_inputs = &d_in, args.d_parameters = &d_parameter;
  args.workspace = workspace.data();
  op->backward(args);
  EXPECT_EQ(gradient, x);
  EXPECT_TRUE(std::equal(x.begin(), x.end(), d_table.begin()));
}

TEST(Positions, have_the_same_bits_for_every_number_of_slices) {
  const std::int64_t n = 6, t = 67, width = 257, context = 70;
  const auto op = make(cpu_device(), Positions{n, t, width, context});
  const SlicedCase c{
      .inputs = {uniform(n * t * width, 1)},
      .parameters = {uniform(context * width, 2)},
      .d_output = uniform(n * t * width, 3),
  };
  on_every_isa([&](Isa) { expect_slices_agree(*op, c, n); });
}

}  // namespace
}  // namespace lockstep::ops
