#include "engine/containers/user.h"

#include <fcntl.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "tests/support/support.h"

using namespace engine::containers;

namespace {

const Accounts accounts{
    "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\nweb:x:33:44:www:/var/www:/bin/sh\nweb2:x:33:45::/x:\n",
    "root:x:0:\nwebg:x:44:\nextra:x:55:web,root\naudio:x:29:root\nbad:x:nan:web\n"};

std::string who(const std::string& user, const std::vector<std::string>& group_add = {}) {
  const auto found = identify(user, group_add, accounts);
  if (!found) return found.error().text();
  std::string text = std::to_string(found->uid) + ":" + std::to_string(found->gid);
  for (const auto gid : found->groups) text += " " + std::to_string(gid);
  return text;
}

}  // namespace

TEST_CASE("users and groups are looked up as Docker does", "[containers]") {
  CHECK(who("") == "0:0 0 55 29");
  CHECK(who("root") == "0:0 0 55 29");
  CHECK(who("0") == "0:0 0 55 29");
  CHECK(who("web") == "33:44 44 55");
  CHECK(who("33") == "33:44 44 55");
  CHECK(who("web:audio") == "33:29 29");
  CHECK(who("web:1234") == "33:1234 1234");
  CHECK(who("1000") == "1000:0 0");
  CHECK(who("1000:1000") == "1000:1000 1000");
  CHECK(who(":audio") == "0:29 29");
  CHECK(who("web", {"audio", "777", "55"}) == "33:44 44 55 29 777");
  CHECK(who("web:audio", {"extra", "777"}) == "33:29 29 55 777");
}

TEST_CASE("unknown names and impossible numbers are errors", "[containers]") {
  CHECK(who("nobody") == "unable to find user nobody: no matching entries in passwd file");
  CHECK(who("web:nogroup") == "unable to find group nogroup: no matching entries in group file");
  CHECK(who("web", {"nogroup"}) == "unable to find group nogroup: no matching entries in group file");
  CHECK(who("4294967296") == "uid 4294967296 is out of range");
  CHECK(who("2147483648") == "uid 2147483648 is out of range");
  CHECK(who("1:99999999999") == "gid 99999999999 is out of range");
}

TEST_CASE("account files are read inside the root, whatever links say", "[containers]") {
  support::TempDir dir;
  dir.write("root/real/passwd", "inside:x:1:1::/:\n");
  dir.write("passwd", "outside:x:2:2::/:\n");
  std::filesystem::create_directory(dir.path() / "root/etc");
  std::filesystem::create_symlink("/real/passwd", dir.path() / "root/etc/passwd");
  std::filesystem::create_symlink("../../passwd", dir.path() / "root/etc/group");
  const auto root = base::sys::open(dir.path() / "root", O_PATH | O_DIRECTORY);
  const auto read = read_accounts(root->borrow());
  REQUIRE(read);
  CHECK(read->passwd == "inside:x:1:1::/:\n");
  CHECK(read->group.empty());
}
