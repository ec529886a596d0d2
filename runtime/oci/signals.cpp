#include "runtime/oci/signals.h"

#include <csignal>
#include <cstring>

namespace runtime::oci {

std::optional<int> signal_number(const std::string& text) {
  if (!text.empty() && text.find_first_not_of("0123456789") == std::string::npos) {
    const long number = std::strtol(text.c_str(), nullptr, 10);
    return number >= 0 && number <= SIGRTMAX ? std::optional(static_cast<int>(number)) : std::nullopt;
  }
  std::string name = text;
  for (char& letter : name) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  if (name.starts_with("SIG")) name.erase(0, 3);
  for (int number = 1; number < NSIG; ++number)
    if (const char* known = ::sigabbrev_np(number); known && name == known) return number;
  const int start = name.starts_with("RTMIN") ? SIGRTMIN : name.starts_with("RTMAX") ? SIGRTMAX : 0;
  if (start == 0) return std::nullopt;
  const std::string offset = name.substr(5);
  if (offset.empty()) return start;
  if ((offset[0] != '+' && offset[0] != '-') || offset.size() < 2 ||
      offset.find_first_not_of("0123456789", 1) != std::string::npos)
    return std::nullopt;
  const int number = start + std::atoi(offset.c_str());
  return number >= SIGRTMIN && number <= SIGRTMAX ? std::optional(number) : std::nullopt;
}

}  // namespace runtime::oci
