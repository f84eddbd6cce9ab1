#include "config/options.h"
#include "config/section_tables.h"

namespace lockstep::config {

Table data_table() {
  using data::OnError;
  Table t;
  t.push_back(
      key("path", AT(data.dataset.path),
          "Dataset file (HDF5), as `lockstep import` writes it or anybody else; or a list of "
          "files and globs, which are read one after another.")
          .or_one_text());
  t.push_back(
      key("input", AT(data.input), "Field that the model reads. Empty: found in the file."));
  t.push_back(key("target", AT(data.target), "Field that it learns. Empty: found in the file."));
  t.push_back(key("split_seed", AT(data.dataset.split_seed),
                  "Chooses the samples of splits that are fractions ([[data.splits]])."));
  t.push_back(choice<Run>(
      "follow", AT(data.dataset.follow),
      Words<data::Follow>{{"none", data::Follow::kNone},
                          {"folder", data::Follow::kFolder},
                          {"any", data::Follow::kAny}},
      "Which other files a data file may lead to, by external links, virtual datasets or external "
      "storage: none; those in the folders of the files that are named here, and below; any."));
  t.push_back(key("train", AT(data.train), "Name of the split to train on.").not_empty());
  t.push_back(key("val", AT(data.val),
                  "Name of the split that is evaluated during training. Empty: none."));
  t.push_back(key("test", AT(data.test), "Name of the split that `lockstep eval` evaluates."));
  t.push_back(
      choice<Run>("normalise", AT(data.normalise), normalise_words(),
                  "Inputs as stored, mapped to [0, 1], to mean 0 and deviation 1, or so each "
                  "channel (the last axis), by the training split's statistics. Tokens stay as "
                  "they are."));
  t.push_back(choice<Run>(
      "shuffle", AT(data.shuffle),
      Words<data::Shuffle>{{"none", data::Shuffle::kNone},
                           {"window", data::Shuffle::kWindow},
                           {"full", data::Shuffle::kFull}},
      "Order of an epoch: that of the files; chunks permuted, and samples within windows; or all "
      "samples permuted, for which the memory of all ranks together holds the training split."));
  t.push_back(key("window", AT(data.window),
                  "Samples that a lane shuffles over; with shuffle = \"full\" those that travel at "
                  "once. 0: chosen from the dataset.")
                  .at_least(0));
  t.push_back(key("sequence", AT(data.sequence), "Tokens of a sample, where the dataset is text.")
                  .between(1, 1 << 24));
  t.push_back(key("check_finite", AT(data.check_finite),
                  "Stop at a NaN or an infinity in an input, naming its row."));
  t.push_back(key("accept_other", AT(data.accept_other),
                  "Go on from a checkpoint whose data had another id, other splits or shapes, or "
                  "other statistics."));
  t.push_back(
      key("threads", AT(data.threads),
          "Threads of a rank that unpack chunks. 0: one for each core that it has to spare, "
          "1 to 8. The samples are the same for any number.")
          .between(0, 256));
  t.push_back(choice<Run>(
      "cache", AT(data.cache.kind),
      Words<data::Cache>{{"none", data::Cache::kNone},
                         {"memory", data::Cache::kMemory},
                         {"node", data::Cache::kNode}},
      "Where training data that were read once are kept for later epochs: nowhere; in memory that "
      "the ranks of a node share; in a file in a folder of the node, for later runs too."));
  t.push_back(key("cache_bytes", AT(data.cache.bytes),
                  "Bytes of a node that the cache may take. 0: half of what is free at start.")
                  .at_least(0));
  t.push_back(key("cache_dir", AT(data.cache.folder),
                  "Folder of cache = \"node\". Empty: $SLURM_TMPDIR, else $TMPDIR, else /tmp."));
  t.push_back(choice<Run>("on_error", AT(data.on_error),
                          Words<OnError>{{"stop", OnError::kStop}, {"skip", OnError::kSkip}},
                          "At a sample that cannot be trusted: stop, or take the next one that "
                          "can be, and count it."));
  t.push_back(key("max_skipped", AT(data.max_skipped),
                  "Largest share of a split's samples that on_error = \"skip\" may replace.")
                  .between(0, 1));
  t.push_back(
      key("probe", AT(data.dataset.probe),
          "Seconds in which another process must have walked a file's metadata before it is "
          "opened, and one more for each GB. 0: opened at once.")
          .at_least(0));
  return t;
}

}  // namespace lockstep::config
