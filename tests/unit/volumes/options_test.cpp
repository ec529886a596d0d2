#include <catch2/catch.hpp>

#include "volumes/volumes.h"

using namespace volumes;

namespace {
std::string words(const TmpfsOptions& options) {
  const auto made = tmpfs_words(options);
  if (!made) return made.error().text();
  std::string text;
  for (const auto& word : *made) text += (text.empty() ? "" : " ") + word;
  return text;
}
}  // namespace

TEST_CASE("tmpfs options start from Docker's and the words win", "[volumes]") {
  CHECK(words({}) == "noexec nosuid nodev");
  CHECK(words({.size_bytes = 1024, .mode = 0700}) == "noexec nosuid nodev mode=700 size=1024");
  CHECK(words({.size_bytes = 1024, .options = "exec,suid,size=64m,uid=1000"}) == "nodev size=64m uid=1000");
  CHECK(words({.options = "ro,noatime"}) == "ro noexec nosuid nodev noatime");
  CHECK(words({.options = "bogus"}) == "invalid tmpfs option 'bogus'");
  CHECK(words({.options = "size"}) == "invalid tmpfs option 'size'");
}

TEST_CASE("driver options are understood or refused", "[volumes]") {
  CHECK(check({}));
  CHECK(check({{"type", "none"}, {"o", "bind"}, {"device", "/srv"}}));
  CHECK(check({{"o", "bind,ro"}, {"device", "/srv"}}));
  CHECK(check({{"type", "tmpfs"}, {"o", "size=100m,uid=1000"}, {"device", "tmpfs"}}));
  CHECK(check({{"type", "nfs"}, {"o", "addr=10.0.0.1,rw,nfsvers=4"}, {"device", ":/x"}}));
  CHECK_FALSE(check({{"o", "bind"}, {"device", "relative"}}));
  CHECK_FALSE(check({{"o", "bind,uid=3"}, {"device", "/x"}}));
  CHECK_FALSE(check({{"type", "nfs"}}));
  CHECK_FALSE(check({{"device", "/x"}}));
  CHECK_FALSE(check({{"foo", "bar"}}));
  CHECK(check({{"size", "1g"}}).error().kind == base::ErrorKind::unsupported);
}
