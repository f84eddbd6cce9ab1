#include "report/page.h"

#include <fmt/format.h>

#include <utility>

namespace lockstep::report {

void Page::begin_section(const std::string& id, const std::string& title,
                         const std::string& about) {
  end_section();
  section_id_ = id;
  section_title_ = title;
  section_about_ = about;
}

void Page::add_html(const std::string& html) {
  end_figures();
  section_ += html;
}

void Page::end_figures() {
  if (figures_.empty()) return;
  section_ += "<div class=grid>\n" + std::exchange(figures_, {}) + "</div>\n";
}

void Page::end_section() {
  end_figures();
  if (section_.empty()) return;
  links_ += fmt::format("<a href=\"#{}\">{}</a>\n", section_id_, text(section_title_));
  body_ +=
      fmt::format("<section id={}><h2>{}</h2>\n<p class=about>{}</p>\n{}</section>\n", section_id_,
                  text(section_title_), text(section_about_), std::exchange(section_, {}));
}

// The policy holds the page to its promise: a browser loads nothing for it.
std::string Page::html(const std::string& title, const std::string& header) {
  end_section();
  return fmt::format(
      "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
      "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
      "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=color-scheme content=\"light dark\">\n"
      "<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n{}</header>\n"
      "<nav aria-label=Sections>\n{}</nav>\n<main>\n{}</main>\n<script>\n{}</script>\n</body>\n"
      "</html>\n",
      text(title), kStyle, header, links_, body_, kScript);
}

}  // namespace lockstep::report
