#include <nlohmann/json.hpp>

#include "network/nft.h"

namespace network {
namespace {

using nlohmann::json;

base::Result<json> listing(Nft& nft, const std::string& command) {
  ASSIGN_OR_RETURN(const auto text, nft.run_json(command));
  auto parsed = json::parse(text, nullptr, false);
  if (parsed.is_discarded() || !parsed.contains("nftables") || !parsed["nftables"].is_array())
    return base::make_error(base::ErrorKind::internal, "nft printed no listing");
  return parsed["nftables"];
}

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// "tcp", 80, {"concat": ["tcp", 80]} → "tcp . 80"
std::string element_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return value.dump();
  if (value.is_object() && value.contains("elem")) return element_text(value["elem"]["val"]);
  std::string out;
  if (value.is_object() && value.contains("concat"))
    for (const auto& part : value["concat"]) out += (out.empty() ? "" : " . ") + element_text(part);
  return out;
}

/// The same for keys, which end in "PROTOCOL . PORT": a machine without /etc/protocols prints protocols as numbers.
std::string key_text(const json& value) {
  auto out = element_text(value);
  const auto port = out.rfind(" . ");
  if (port == std::string::npos || port == 0) return out;
  const auto before = out.rfind(" . ", port - 1);
  const auto start = before == std::string::npos ? 0 : before + 3;
  const auto protocol = out.substr(start, port - start);
  if (protocol == "6") out.replace(start, 1, "tcp");
  if (protocol == "17") out.replace(start, 2, "udp");
  return out;
}

}  // namespace

base::Result<std::vector<NftRule>> list_rules(Nft& nft, const std::string& family, const std::string& table,
                                              const std::string& chain) {
  ASSIGN_OR_RETURN(const auto objects, listing(nft, "list chain " + family + " " + table + " " + chain));
  std::vector<NftRule> out;
  for (const auto& object : objects) {
    if (!object.contains("rule")) continue;
    const auto& rule = object["rule"];
    out.push_back({rule.value("handle", std::uint64_t{0}), text_of(rule, "comment")});
  }
  return out;
}

base::Result<NftTable> read_table(Nft& nft) {
  NftTable out;
  auto objects = listing(nft, "list table inet compose");
  if (!objects && objects.error().kind == base::ErrorKind::not_found) return out;
  if (!objects) return std::move(objects).error();
  for (auto& object : *objects) {
    for (const char* kind : {"chain", "rule"}) {
      if (!object.contains(kind)) continue;
      object[kind].erase("handle");
      out.rules += object.dump() + "\n";
    }
    if (object.contains("map")) {
      auto& map = out.maps[text_of(object["map"], "name")];
      if (object["map"].contains("elem"))
        for (const auto& pair : object["map"]["elem"])
          if (pair.is_array() && pair.size() == 2) map[key_text(pair[0])] = element_text(pair[1]);
    }
    if (object.contains("set")) {
      auto& set = out.sets[text_of(object["set"], "name")];
      if (object["set"].contains("elem"))
        for (const auto& element : object["set"]["elem"]) set.push_back(element_text(element));
    }
  }
  return out;
}

}  // namespace network
