#include "app/completion.h"

#include "lockstep/config/reference.h"
#include "lockstep/core/error.h"

namespace lockstep::app {
namespace {

std::string option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return fmt::format("{}", fmt::join(names, " "));
}

// bash takes = for a word of its own: "--set optimizer.kind=ad" ends in the words
// optimizer.kind, =, ad.
constexpr const char* kBody = R"bash(_lockstep_values() {
  case $1 in
@VALUES@  esac
}

_lockstep() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= key= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in @COMMANDS@) command=${COMP_WORDS[i]}; break ;; esac
  done
  COMPREPLY=()
  if [[ $word == = ]]; then
    key=$before word=
  elif [[ $before == = ]]; then
    key=${COMP_WORDS[COMP_CWORD-2]}
  fi
  if [[ -n $key ]]; then
    COMPREPLY=($(compgen -W "$(_lockstep_values "$key")" -- "$word"))
    [[ ${COMPREPLY[0]-} ]] || COMPREPLY=($(compgen -f -- "$word"))
  elif [[ $before == --set ]]; then
    COMPREPLY=($(compgen -S = -W '@KEYS@' -- "$word"))
    compopt -o nospace 2>/dev/null
  elif [[ -z $command && $word != -* ]]; then
    COMPREPLY=($(compgen -W '@WORDS@' -- "$word"))
  elif [[ $word == -* ]]; then
    case $command in
@OPTIONS@    esac
  else
    case $command in
@INNER@    esac
    [[ ${COMPREPLY[0]-} ]] && return
    COMPREPLY=($(compgen -f -- "$word"))
    compopt -o filenames 2>/dev/null
  fi
}
complete -F _lockstep lockstep
)bash";

void fill(std::string& text, const std::string& mark, const std::string& content) {
  for (std::size_t at; (at = text.find(mark)) != std::string::npos;) {
    text.replace(at, mark.size(), content);
  }
}

}  // namespace

std::string bash_completion(const CLI::App& program) {
  std::vector<std::string> commands, keys;
  const std::string common = option_names(program);
  std::string options, inner;
  for (const CLI::App* command : program.get_subcommands({})) {
    commands.push_back(command->get_name());
    std::string names = option_names(*command);
    std::vector<std::string> subs;
    for (const CLI::App* sub : command->get_subcommands({})) {
      subs.push_back(sub->get_name());
      names += " " + option_names(*sub);
    }
    options += fmt::format("      {}) COMPREPLY=($(compgen -W '{} {}' -- \"$word\")) ;;\n",
                           command->get_name(), names, common);
    // Its subcommands, right behind it.
    if (!subs.empty())
      inner += fmt::format(
          "      {}) [[ $before == {} ]] && COMPREPLY=($(compgen -W '{}' -- \"$word\")) ;;\n",
          command->get_name(), command->get_name(), fmt::join(subs, " "));
  }
  options += fmt::format("      *) COMPREPLY=($(compgen -W '{}' -- \"$word\")) ;;\n", common);
  std::string values;
  for (const config::OptionRow& row : config::option_rows()) {
    const std::string key = row.section + "." + row.name;
    keys.push_back(key);
    if (!row.words.empty())
      values += fmt::format("    {}) echo '{}' ;;\n", key, fmt::join(row.words, " "));
  }
  std::string text = kBody;
  fill(text, "@VALUES@", values);
  fill(text, "@COMMANDS@", fmt::format("{}", fmt::join(commands, "|")));
  fill(text, "@WORDS@", fmt::format("{}", fmt::join(commands, " ")));
  fill(text, "@KEYS@", fmt::format("{}", fmt::join(keys, " ")));
  fill(text, "@OPTIONS@", options);
  fill(text, "@INNER@", inner);
  return text;
}

}  // namespace lockstep::app
