// Who has a port: the kernel names no process with EADDRINUSE, so look the socket up and then its owner.
#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <sstream>

#include "base/sys.h"
#include "network/address.h"
#include "network/publish.h"

namespace network {
namespace {

/// proc(5) /proc/net/tcp: addresses are 32-bit words in host order, printed as hex.
std::optional<Address> parse_proc_address(const std::string& hex) {
  if (hex.size() != 8 && hex.size() != 32) return std::nullopt;
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t word = 0; word < hex.size() / 8; ++word) {
    std::uint32_t value = 0;
    const auto* begin = hex.data() + word * 8;
    if (std::from_chars(begin, begin + 8, value, 16).ec != std::errc{}) return std::nullopt;
    std::memcpy(bytes.data() + word * 4, &value, 4);
  }
  if (hex.size() == 32) return Address::v6(bytes);
  return Address::v4(std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 |
                     bytes[3]);
}

bool overlaps(const Address& bound, const std::optional<Address>& wanted) {
  if (!wanted || wanted->is_unspecified() || bound.is_unspecified()) return true;
  return bound == *wanted;
}

/// The inode of a socket bound to the port; 0 when none.
std::uint64_t find_inode(const std::string& file, bool listening, std::uint16_t port,
                         const std::optional<Address>& wanted) {
  auto text = base::sys::read_file(file);
  if (!text) return 0;
  std::istringstream lines(*text);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, skip;
    std::uint64_t inode = 0;
    if (!(fields >> slot >> local >> remote >> state >> skip >> skip >> skip >> skip >> skip >> inode)) continue;
    const auto colon = local.find(':');
    if (colon == std::string::npos || (listening && state != "0A")) continue;
    unsigned bound_port = 0;
    std::from_chars(local.data() + colon + 1, local.data() + local.size(), bound_port, 16);
    const auto bound = parse_proc_address(local.substr(0, colon));
    if (bound && bound_port == port && overlaps(*bound, wanted)) return inode;
  }
  return 0;
}

bool holds(const std::filesystem::path& fds, const std::string& socket) {
  DIR* dir = ::opendir(fds.c_str());
  if (!dir) return false;
  bool found = false;
  std::array<char, 64> link{};
  while (const dirent* entry = ::readdir(dir)) {
    const auto size = ::readlinkat(::dirfd(dir), entry->d_name, link.data(), link.size());
    if (size > 0 && std::string_view(link.data(), static_cast<std::size_t>(size)) == socket) found = true;
    if (found) break;
  }
  ::closedir(dir);
  return found;
}

/// Its command line: "python3" alone does not tell which of them, and of our own supervisors the project's name is what helps.
std::string command_of(const std::string& process) {
  constexpr std::size_t shown_max = 100;
  auto text = base::sys::read_file(process + "/cmdline", 4096);
  if (!text || text->empty()) text = base::sys::read_file(process + "/comm", 64);
  if (!text) return {};
  std::replace_if(text->begin(), text->end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  while (text->ends_with(' ')) text->pop_back();
  if (text->size() > shown_max) text->replace(shown_max, std::string::npos, "...");
  return text->substr(text->rfind('/', text->find(' ')) + 1);
}

std::string owner_of(std::uint64_t inode) {
  const auto socket = "socket:[" + std::to_string(inode) + "]";
  DIR* dir = ::opendir("/proc");
  if (!dir) return {};
  std::string out;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string pid = entry->d_name;
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    if (!holds("/proc/" + pid + "/fd", socket)) continue;
    if (const auto name = command_of("/proc/" + pid); !name.empty()) out = name + " (pid " + pid + ")";
    if (!out.empty()) break;
  }
  ::closedir(dir);
  return out;
}

}  // namespace

std::string port_holder(const std::string& protocol, const std::string& host_ip, std::uint16_t port) {
  std::optional<Address> wanted;
  if (auto address = Address::parse(host_ip)) wanted = *address;
  for (const char* suffix : {"", "6"}) {
    const auto inode = find_inode("/proc/self/net/" + protocol + suffix, protocol == "tcp", port, wanted);
    if (inode != 0)
      if (auto owner = owner_of(inode); !owner.empty()) return owner;
  }
  return {};
}

}  // namespace network
