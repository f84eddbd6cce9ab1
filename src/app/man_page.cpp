#include "app/man_page.h"

#include <cctype>

#include "lockstep/config/reference.h"
#include "lockstep/core/error.h"
#include "lockstep/version.h"

namespace lockstep::app {
namespace {

// Text that troff prints as it stands.
std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\n') {
      out += ' ';
    } else {
      if (out.empty() && (c == '.' || c == '\'')) out += "\\&";
      out += c;
    }
  }
  return out;
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::string bold(const std::string& text) { return "\\fB" + roff(text) + "\\fR"; }

bool is_shown(const CLI::Option& option) { return !option.get_group().empty(); }

std::string names_of(const CLI::Option& option) {
  if (!option.nonpositional()) return bold(option.get_name(true));
  std::string names;
  const auto add = [&](const std::string& name) {
    names += (names.empty() ? "" : ", ") + bold(name);
  };
  for (const std::string& name : option.get_snames()) add("-" + name);
  for (const std::string& name : option.get_lnames()) add("--" + name);
  return option.get_type_size() == 0 ? names : names + " " + roff(option.get_type_name());
}

std::string options_of(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : app.get_options()) {
    if (!is_shown(*option)) continue;
    const std::string standard = option->get_default_str();
    text += fmt::format(".TP\n{}\n{}.{}\n", names_of(*option), roff(option->get_description()),
                        standard.empty() ? "" : roff(fmt::format(" Default: {}.", standard)));
  }
  return text;
}

std::string run_file_keys() {
  std::string text =
      ".SH RUN FILE\nA run file is TOML. The command line overrides a key with \\-\\-set "
      "section.key=value.\n";
  for (const config::SectionRow& section : config::section_rows()) {
    text += fmt::format(".SS [{}]\n{}\n", section.name, roff(section.help));
    for (const config::OptionRow& row : config::option_rows()) {
      if (row.section != section.name) continue;
      const std::string range = row.range.empty() || row.type == "yes/no" ? "" : ": " + row.range;
      text += fmt::format(".TP\n{}\n{}\n", bold(row.name) + roff(" = " + row.default_text),
                          roff(fmt::format("{}{} ({}{})", row.help,
                                           row.only.empty() ? "" : " Only with " + row.only + ".",
                                           row.type, range)));
    }
  }
  return text;
}

std::string title(const std::string& page, const std::string& about) {
  return fmt::format(".TH {} 1 \"\" \"lockstep {}\" \"User Commands\"\n.SH NAME\n{} \\- {}\n", page,
                     kVersion, roff(page), roff(about));
}

std::string command_page(const CLI::App& command) {
  const std::string name = command.get_name();
  std::string synopsis = fmt::format("{} [options]", bold("lockstep " + name));
  for (const CLI::Option* option : command.get_options()) {
    if (is_shown(*option) && option->get_positional())
      synopsis += " " + roff(option->get_name(true));
  }
  std::string text =
      title("lockstep-" + name, command.get_description()) + ".SH SYNOPSIS\n" + synopsis;
  for (const CLI::App* inner : command.get_subcommands({}))
    text += fmt::format("\n.br\n{} [options]", bold("lockstep " + name + " " + inner->get_name()));
  text += "\n.SH OPTIONS\n" + options_of(command);
  for (const CLI::App* inner : command.get_subcommands({}))
    text += fmt::format(".SH {} {}\n{}.\n{}", roff(upper(name)), roff(upper(inner->get_name())),
                        roff(inner->get_description()), options_of(*inner));
  return text + ".SH SEE ALSO\n" + bold("lockstep") + "(1)\n";
}

std::string program_page(const CLI::App& program) {
  std::string text = title("lockstep", program.get_description());
  text += ".SH SYNOPSIS\n" + bold("lockstep") + " command [options]\n.br\n" +
          bold("mpirun -np 4 lockstep train run.toml") + "\n.SH COMMANDS\n";
  for (const CLI::App* command : program.get_subcommands({})) {
    text += fmt::format(".TP\n{}\n{}. See {}(1).\n", bold(command->get_name()),
                        roff(command->get_description()), bold("lockstep-" + command->get_name()));
  }
  return text + ".SH OPTIONS\n" + options_of(program) + run_file_keys() + ".SH EXIT STATUS\n" +
         roff(program.get_footer()) + "\n";
}

}  // namespace

std::string man_page(const CLI::App& program, const std::string& name) {
  if (name == program.get_name()) return program_page(program);
  for (const CLI::App* command : program.get_subcommands({})) {
    if (command->get_name() == name) return command_page(*command);
  }
  throw UserError("there is no command {} to write a man page of", name);
}

}  // namespace lockstep::app
