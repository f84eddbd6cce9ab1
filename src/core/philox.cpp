#include "lockstep/core/philox.h"

#include <cmath>
#include <utility>

#include "lockstep/core/error.h"
#include "lockstep/core/hash.h"

namespace lockstep {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> c, std::uint64_t key) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c;
}

std::array<std::uint32_t, 4> RandomKey::counter(std::uint64_t block) const {
  const std::uint64_t low = (block & 0xFFFFFFFFFF) | (std::uint64_t{op} & 0xFFFF) << 40 |
                            (std::uint64_t{lane_micro} & 0xFF) << 56;
  const std::uint64_t high = ((std::uint64_t{lane_micro} >> 8) & 0xFFFF) | step << 16;
  return {static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(low >> 32),
          static_cast<std::uint32_t>(high), static_cast<std::uint32_t>(high >> 32)};
}

std::uint32_t RandomKey::word(std::uint64_t element) const {
  return philox4x32(counter(element / 4), seed)[element % 4];
}

void check_counter_limits(std::uint64_t steps, std::uint64_t lanes_times_accumulate,
                          std::uint64_t ops, std::uint64_t elements) {
  const auto refuse_above = [](std::uint64_t value, int bits, const char* what) {
    if (value >> bits != 0)
      throw UserError("{} {} do not fit the random counter (limit 2^{}); use fewer", value, what, bits);
  };
  refuse_above(steps, 48, "steps");
  refuse_above(lanes_times_accumulate, 24, "lanes times accumulations");
  refuse_above(ops, 16, "operations");
  refuse_above(elements / 4, 40, "groups of elements of one tensor");
}

NamedStream::NamedStream(std::uint64_t seed, std::string_view name)
    : key_(seed), name_hash_(hash64(name)) {}

double NamedStream::uniform(std::uint64_t element) const {
  const auto words = philox4x32(
      {static_cast<std::uint32_t>(element), static_cast<std::uint32_t>(element >> 32),
       static_cast<std::uint32_t>(name_hash_), static_cast<std::uint32_t>(name_hash_ >> 32)},
      key_);
  return unit_interval(words[0]);
}

double NamedStream::normal(std::uint64_t element) const { return inverse_normal_cdf(uniform(element)); }

double inverse_normal_cdf(double p) {
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q *
           (((((((2509.0809287301226727 * r + 33430.575583588128105) * r + 67265.770927008700853) * r +
                45921.953931549871457) * r + 13731.693765509461125) * r + 1971.5909503065514427) * r +
             133.14166789178437745) * r + 3.387132872796366608) /
           (((((((5226.495278852545925 * r + 28729.085735721942674) * r + 39307.89580009271061) * r +
                21213.794301586595867) * r + 5394.1960214247511077) * r + 687.1870074920579083) * r +
             42.313330701600911252) * r + 1.0);
  }
  double r = std::sqrt(-std::log(q < 0 ? p : 1 - p));
  double x;
  if (r <= 5) {
    r -= 1.6;
    x = (((((((7.7454501427834140764e-4 * r + .0227238449892691845833) * r + .24178072517745061177) * r +
             1.27045825245236838258) * r + 3.64784832476320460504) * r + 5.7694972214606914055) * r +
          4.6303378461565452959) * r + 1.42343711074968357734) /
        (((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r + .0151986665636164571966) * r +
             .14810397642748007459) * r + .68976733498510000455) * r + 1.6763848301838038494) * r +
          2.05319162663775882187) * r + 1.0);
  } else {
    r -= 5;
    x = (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + .0012426609473880784386) * r +
             .026532189526576123093) * r + .29656057182850489123) * r + 1.7848265399172913358) * r +
          5.4637849111641143699) * r + 6.6579046435011037772) /
        (((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5) * r +
             7.868691311456132591e-4) * r + .0148753612908506148525) * r + .13692988092273580531) * r +
          .59983220655588793769) * r + 1.0);
  }
  return q < 0 ? -x : x;
}

void permutation(std::uint64_t seed, std::uint64_t a, std::uint64_t b, std::uint64_t c,
                 std::uint32_t n, std::uint32_t* out) {
  for (std::uint32_t i = 0; i < n; ++i) out[i] = i;
  // The stream's name is hashed to 64 bits; the index takes the other half of the counter.
  const std::uint64_t name[3] = {a, b, c};
  const Hash128 stream = hash_bytes(name, sizeof name);
  for (std::uint32_t i = n; i > 1; --i) {
    const auto words = philox4x32({i, static_cast<std::uint32_t>(stream.high),
                                   static_cast<std::uint32_t>(stream.low),
                                   static_cast<std::uint32_t>(stream.low >> 32)},
                                  seed);
    // Lemire's multiply-shift on 64 bits: bias below 2^-32 for any n < 2^32.
    const std::uint64_t wide = std::uint64_t{words[1]} << 32 | words[0];
    const auto j = static_cast<std::uint32_t>((static_cast<unsigned __int128>(wide) * i) >> 64);
    std::swap(out[i - 1], out[j]);
  }
}

}  // namespace lockstep
