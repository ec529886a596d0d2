#include "engine/supervisor/network_json.h"

#include "engine/api/codec.h"

namespace engine::codec {
CODEC_FIELDS(network::Subnet, F(subnet) F(ip_range) F(gateway) F(aux_addresses))
CODEC_FIELDS(network::NetworkConfig, F(name) F(driver) F(internal) F(subnets) F(uplink) F(uplink6) F(mtu) F(isolate_ports)
             F(masquerade) F(host_binding) F(interface_prefix) F(parent) F(mode))
}  // namespace engine::codec

namespace engine::supervisor {

std::string to_json(const network::NetworkConfig& config) { return codec::text(codec::encode(config)); }

base::Result<network::NetworkConfig> network_config_from(std::string_view text) {
  return codec::parse<network::NetworkConfig>(text, "network");
}

std::string last_runtime_error(std::string_view log) {
  std::string last;
  while (!log.empty()) {
    const std::size_t end = std::min(log.find('\n'), log.size());
    const auto line = codec::json::parse(log.substr(0, end), nullptr, false);
    if (line.is_object() && line.contains("msg") && line["msg"].is_string()) last = line["msg"].get<std::string>();
    log.remove_prefix(std::min(end + 1, log.size()));
  }
  return last;
}

}  // namespace engine::supervisor
