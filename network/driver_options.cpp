#include "network/driver_options.h"

#include <charconv>

#include "network/address.h"

namespace network {
namespace {

using base::ErrorKind;
using base::make_error;

base::Result<bool> to_bool(const std::string& key, const std::string& value) {
  if (value == "true" || value == "1" || value == "True" || value == "TRUE" || value == "t") return true;
  if (value == "false" || value == "0" || value == "False" || value == "FALSE" || value == "f") return false;
  return make_error(ErrorKind::invalid, "driver option " + key + ": '" + value + "' is neither true nor false");
}

base::Result<> set_mtu(const std::string& value, NetworkConfig& config) {
  const auto [end, bad] = std::from_chars(value.data(), value.data() + value.size(), config.mtu);
  // 68 is IPv4's smallest (RFC 791); 0 means the driver's default, as in Docker.
  if (bad != std::errc{} || end != value.data() + value.size() ||
      (config.mtu != 0 && (config.mtu < 68 || config.mtu > 65535)))
    return make_error(ErrorKind::invalid, "mtu '" + value + "' is not in 68-65535");
  return {};
}

base::Result<> valid_name(const std::string& key, const std::string& value, std::size_t limit) {
  const bool bad = value.empty() || value.size() > limit ||
                   value.find_first_of("/ \t\n\"%") != std::string::npos || value == "." || value == "..";
  if (!bad) return {};
  return make_error(ErrorKind::invalid, "driver option " + key + ": '" + value + "' is not an interface name");
}

base::Result<> bridge_option(const std::string& key, const std::string& value, NetworkConfig& config) {
  if (key == "com.docker.network.bridge.enable_icc") {
    ASSIGN_OR_RETURN(const bool on, to_bool(key, value));
    config.isolate_ports = !on;
  } else if (key == "com.docker.network.bridge.enable_ip_masquerade") {
    ASSIGN_OR_RETURN(config.masquerade, to_bool(key, value));
  } else if (key == "com.docker.network.bridge.host_binding_ipv4") {
    TRY(Address::parse(value));
    config.host_binding = value;
  } else if (key == "com.docker.network.bridge.name") {
    TRY(valid_name(key, value, 15));
    if (value == "uplink" || value == "lo")
      return make_error(ErrorKind::invalid, "driver option " + key + ": '" + value + "' is reserved");
    config.bridge_name = value;
  } else if (key == "com.docker.network.bridge.gateway_mode_ipv4" ||
             key == "com.docker.network.bridge.gateway_mode_ipv6") {
    if (value != "nat")
      return make_error(ErrorKind::unsupported, "driver option " + key + ": only nat is supported, not '" + value + "'");
  } else {
    return make_error(ErrorKind::unsupported, "driver option " + key + " of driver bridge");
  }
  return {};
}

base::Result<> set_mode(const std::string& value, std::initializer_list<std::string_view> known,
                        NetworkConfig& config) {
  for (const auto name : known)
    if (value == name) {
      config.mode = value;
      return {};
    }
  return make_error(ErrorKind::invalid, "'" + value + "' is not a mode of driver " + config.driver);
}

base::Result<> vlan_option(const std::string& key, const std::string& value, NetworkConfig& config) {
  if (key == "parent") {
    TRY(valid_name(key, value, 15));
    config.parent = value;
    return {};
  }
  if (key == config.driver + "_mode")
    return config.driver == "macvlan" ? set_mode(value, {"bridge", "vepa", "private", "passthru"}, config)
                                      : set_mode(value, {"l2", "l3", "l3s"}, config);
  return make_error(ErrorKind::unsupported, "driver option " + key + " of driver " + config.driver);
}

}  // namespace

base::Result<NetworkConfig> apply_driver_options(const NetworkRequest& request) {
  NetworkConfig config;
  config.name = request.name;
  config.driver = request.driver.empty() || request.driver == "default" ? "bridge" : request.driver;
  config.internal = request.internal;
  const bool bridge = config.driver == "bridge";
  if (!bridge && config.driver != "macvlan" && config.driver != "ipvlan")
    return make_error(ErrorKind::unsupported, "network driver " + config.driver + " of network " + request.name);
  for (const auto& [key, value] : request.driver_opts) {
    base::Result<> done;
    if (key == "com.docker.network.driver.mtu" || key == "com.docker.network.mtu") {
      done = set_mtu(value, config);
    } else if (key == "com.docker.network.container_iface_prefix" ||
               key == "com.docker.network.container_interface_prefix") {
      done = valid_name(key, value, 12);
      config.interface_prefix = value;
    } else {
      done = bridge ? bridge_option(key, value, config) : vlan_option(key, value, config);
    }
    TRY(std::move(done).with("network " + request.name));
  }
  if (!bridge) {
    if (config.mode.empty()) config.mode = config.driver == "macvlan" ? "bridge" : "l2";
    if (config.parent.empty())
      return make_error(ErrorKind::invalid, "network " + request.name + ": driver " + config.driver +
                                                " needs driver_opts.parent, an interface of the host");
  }
  return config;
}

}  // namespace network
