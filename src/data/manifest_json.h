// Parts of a manifest as JSON and back. Knows no file.
#pragma once
#include <nlohmann/json.hpp>

#include "lockstep/data/dataset.h"

namespace lockstep::data {

// Left out: figures that are not known, and empty lists.
nlohmann::json figures_json(const Figures& figures);
Figures figures_from(const nlohmann::json& json);

// All that a Split says: its fields with all that they say.
nlohmann::json split_json(const Split& split);
Split split_from(const nlohmann::json& json);

nlohmann::json pieces_json(const std::vector<Piece>& pieces);
std::vector<Piece> pieces_from(const nlohmann::json& json);

// One line where `indent` is -1. Bytes of foreign names that are not UTF-8 are replaced.
std::string dump(const nlohmann::json& json, int indent = -1);

}  // namespace lockstep::data
