#include "lockstep/train/environment.h"

#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/hash.h"
#include "lockstep/core/host.h"
#include "lockstep/core/isa.h"
#include "lockstep/data/filters.h"

namespace lockstep::train {
namespace {

// The linker's build id in the notes of one loaded object, as hexadecimal digits.
std::string build_id_in(const dl_phdr_info& object) {
  constexpr auto padded = [](std::size_t n) { return (n + 3) / 4 * 4; };
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object.dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const char* at = reinterpret_cast<const char*>(object.dlpi_addr + segment.p_vaddr);
    const char* end = at + segment.p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      ElfW(Nhdr) note;
      std::memcpy(&note, at, sizeof(note));
      const char* name = at + sizeof(note);
      const char* value = name + padded(note.n_namesz);
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
          std::memcmp(name, "GNU", 4) == 0) {
        std::string text;
        for (std::size_t b = 0; b < note.n_descsz; ++b) {
          text += fmt::format("{:02x}", static_cast<unsigned char>(value[b]));
        }
        return text;
      }
      at = value + padded(note.n_descsz);
    }
  }
  return "";
}

// The first object that is listed is the program itself. Without a build id: the hash of its file.
std::string program_build_id() {
  std::string id;
  dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t, void* out) {
        *static_cast<std::string*>(out) = build_id_in(*object);
        return 1;
      },
      &id);
  if (!id.empty()) return id;
  const std::string program = read_file("/proc/self/exe");
  return hash_bytes(program.data(), program.size()).text();
}

std::string remedy(const std::string& key) {
  if (key == "isa") {
    return "set run.isa to the lowest of them (avx2, or plain), or run.mixed = true to leave the "
           "promise of equal bits";
  }
  if (key == "threads" || key == "device")
    return "start all ranks with the same run file and options";
  if (key == "precision") {
    return "use nodes of one kind, or set train.precision = \"fp32\"";
  }
  if (key == "build" || key == "hdf5" || key == "mpi" || key == "onednn") {
    return "start the same installation on every node, or set run.mixed = true to leave the "
           "promise "
           "of equal bits";
  }
  return "use nodes of one kind (a Slurm --constraint, for instance), or set run.mixed = true to "
         "leave the promise of equal bits";
}

struct RankEnvironment {
  int rank = 0;
  std::string host;
  std::vector<std::pair<std::string, std::string>> entries;
};

std::vector<RankEnvironment> gather(comm::Communicator& communicator, const Environment& mine) {
  const nlohmann::json packed = {communicator.rank(), host_name(), mine.entries};
  const std::string text = packed.dump() + "\n";
  const std::vector<std::byte> all = communicator.gather_all(std::as_bytes(std::span(text)));
  std::vector<RankEnvironment> ranks;
  const char *at = reinterpret_cast<const char*>(all.data()), *end = at + all.size();
  while (at != end) {
    const char* line_end = std::find(at, end, '\n');
    const auto line = nlohmann::json::parse(at, line_end);
    ranks.push_back({line[0], line[1], line[2].get<decltype(mine.entries)>()});
    at = line_end + 1;
  }
  return ranks;
}

// The sentence about the first difference, or nothing.
std::optional<std::string> first_difference(const std::vector<RankEnvironment>& ranks) {
  const RankEnvironment& first = ranks.front();
  for (const RankEnvironment& other : ranks) {
    for (std::size_t i = 0; i < first.entries.size() || i < other.entries.size(); ++i) {
      const std::pair<std::string, std::string> absent{"", "absent"};
      const auto& a = i < first.entries.size() ? first.entries[i] : absent;
      const auto& b = i < other.entries.size() ? other.entries[i] : absent;
      if (a == b) continue;
      const std::string& key = a.first.empty() ? b.first : a.first;
      return fmt::format("rank {} on {} has {} = {}, rank {} on {} has {}: {}", other.rank,
                         other.host, key, b.second, first.rank, first.host, a.second, remedy(key));
    }
  }
  return std::nullopt;
}

}  // namespace

Environment local_environment(const EnvironmentInputs& inputs) {
  Environment environment;
  const auto add = [&](const char* key, std::string value) {
    environment.entries.emplace_back(key, std::move(value));
  };
  add("build", program_build_id());
  add("cpu", cpu_model());
  add("isa", std::string(name_of(isa())));
  // oneDNN chooses its blocking by the sizes of the caches.
  add("cache_l1d", std::to_string(sysconf(_SC_LEVEL1_DCACHE_SIZE)));
  add("cache_l2", std::to_string(sysconf(_SC_LEVEL2_CACHE_SIZE)));
  add("cache_l3", std::to_string(sysconf(_SC_LEVEL3_CACHE_SIZE)));
  add("hdf5", data::hdf5_library_version());
  for (const auto& library : inputs.libraries) environment.entries.push_back(library);
  add("threads", std::to_string(inputs.threads));
  add("device", inputs.device);
  if (!inputs.gpu.empty()) add("gpu", inputs.gpu);
  if (!inputs.algorithms.empty()) add("algorithms", inputs.algorithms);
  add("precision", inputs.precision);
  return environment;
}

std::string environment_json(const Environment& environment) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [key, value] : environment.entries) json[key] = value;
  return json.dump();
}

std::string environment_value(const std::string& json, const std::string& key) {
  const auto parsed = nlohmann::json::parse(json, nullptr, false);
  return parsed.is_object() ? parsed.value(key, "") : "";
}

std::string check_same_environment(comm::Communicator& communicator, const Environment& environment,
                                   bool mixed) {
  const std::optional<std::string> difference = first_difference(gather(communicator, environment));
  if (!difference) return "";
  if (mixed) return *difference;
  throw UserError("{}", *difference);
}

}  // namespace lockstep::train
