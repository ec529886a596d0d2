#include "compose/cli/sensitive.h"

#include <catch2/catch.hpp>

using compose::cli::sensitive_in;

namespace {
std::string shown(const std::string& text) {
  std::string out;
  for (const auto& one : sensitive_in(text)) out += one.kind + "|" + one.key + "|" + one.value + "\n";
  return out;
}
}  // namespace

TEST_CASE("credentials are found by their forms", "[publish]") {
  CHECK(shown("    AWS_ACCESS_KEY_ID: A3TX1234567890ABCDEF\n") == "AWS Client ID|AWS_ACCESS_KEY_ID|A3TX1234567890ABCDEF\n");
  CHECK(shown("id=AKIAIOSFODNN7EXAMPLE") == "AWS Client ID|id|AKIAIOSFODNN7EXAMPLE\n");
  CHECK(shown("AWS_SECRET_ACCESS_KEY=\"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\"\n") == "AWS Secret Key|AWS_SECRET_ACCESS_KEY|wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n");
  CHECK(shown("- GITHUB_TOKEN=ghp_1234567890abcdefghijklmnopqrstuvwxyz\n") == "Github authentication|GITHUB_TOKEN|ghp_1234567890abcdefghijklmnopqrstuvwxyz\n");
  CHECK(shown("t: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl end\n") == "JSON Web Token|t|eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl\n");
  CHECK(shown("a\n-----BEGIN DSA PRIVATE KEY-----\nwxyz+ABC=\n-----END DSA PRIVATE KEY-----\nb=1\n") ==
        "Private Key||-----BEGIN DSA PRIVATE KEY-----\nwxyz+ABC=\n-----END DSA PRIVATE KEY-----\n");
}

TEST_CASE("what only resembles a credential is none", "[publish]") {
  CHECK(shown("image: example.com/AKIAIOSFODNN7EXAMPLEXY\n") == "");
  CHECK(shown("sha: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n") == "");
  CHECK(shown("aws_secret_name: short\n") == "");
  CHECK(shown("t: eyJhbGci.x.y ey. ey.ey eye.eye\n") == "");
  CHECK(shown("ghp_short\n-----BEGIN CERTIFICATE-----\n") == "");
  CHECK(shown("-----BEGIN PRIVATE KEY-----") == "Private Key||-----BEGIN PRIVATE KEY-----\n");
  CHECK(shown("") == "");
}
