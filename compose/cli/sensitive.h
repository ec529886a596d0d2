#pragma once
// Texts that look like credentials: what `publish` asks about before it sends them.
#include <string>
#include <string_view>
#include <vector>

namespace compose::cli {

struct Sensitive {
  std::string kind;    ///< "AWS Client ID"
  std::string key;     ///< the name it stands behind; "" when there is none
  std::string value;
};
/// In the order of the lines. Sources of the forms: docs.aws.amazon.com IAM identifiers; docs.github.com token formats; RFC 7519; RFC 7468.
std::vector<Sensitive> sensitive_in(std::string_view text);

}  // namespace compose::cli
