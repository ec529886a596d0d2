#include <catch2/catch.hpp>
#include <cerrno>

#include "base/process.h"
#include "base/result.h"
#include "base/sys.h"

namespace {
base::Result<int> fails() { return base::errno_error(ENOENT, "open /x"); }
base::Result<int> passes_on() {
  ASSIGN_OR_RETURN(const int value, fails().with("reading config"));
  return value;
}
}  // namespace

TEST_CASE("an error carries its kind, errno and context outermost first", "[error]") {
  const auto result = passes_on();
  REQUIRE(!result);
  CHECK(result.error().kind == base::ErrorKind::not_found);
  CHECK(result.error().number == ENOENT);
  CHECK(result.error().text() == "reading config: open /x: no such file or directory");
}

TEST_CASE("error kinds survive the wire", "[error]") {
  for (int i = 0; i <= static_cast<int>(base::ErrorKind::io); ++i) {
    const auto kind = static_cast<base::ErrorKind>(i);
    CHECK(base::error_kind_from(base::to_string(kind)) == kind);
  }
  CHECK(base::error_kind_from("nonsense") == base::ErrorKind::internal);
}

TEST_CASE("a child gets exactly the descriptors it is given", "[process]") {
  auto ends = base::sys::pipe();
  REQUIRE(ends);
  base::SpawnOptions options;
  options.program = "/bin/sh";
  options.arguments = {"sh", "-c", "for f in 0 1 2 4 5 6 7 8 9; do [ -e /proc/$$/fd/$f ] && echo $f >&7; done; exit 3"};
  options.fds = {{ends->second.borrow(), 7}};
  auto child = base::ChildProcess::spawn(options);
  REQUIRE(child);
  ends->second.reset();
  std::string seen;
  std::array<char, 256> buffer;
  while (true) {
    auto count = base::sys::read(ends->first.borrow(), buffer);
    REQUIRE(count);
    if (*count == 0) break;
    seen.append(buffer.data(), *count);
  }
  CHECK(seen == "0\n1\n2\n7\n");
  auto status = child->wait();
  REQUIRE(status);
  CHECK(status->code == 3);
}

TEST_CASE("a file is replaced whole", "[sys]") {
  const auto path = std::filesystem::temp_directory_path() /
                    ("compose-base-" + std::to_string(::getpid()));
  REQUIRE(base::sys::replace_file(path, "one"));
  REQUIRE(base::sys::replace_file(path, "two"));
  CHECK(*base::sys::read_file(path) == "two");
  const auto limited = base::sys::read_file(path, 2);
  REQUIRE(!limited);
  CHECK(limited.error().kind == base::ErrorKind::exhausted);
  REQUIRE(base::sys::remove_tree(path));
  CHECK(base::sys::read_file(path).error().kind == base::ErrorKind::not_found);
}
