#include "volumes/volumes.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "tests/support/support.h"

using namespace volumes;

namespace {

/// Runs `body` in a mount namespace of its own and fails with its complaint ("" = fine).
#define IN_MOUNT_NAMESPACE(...)                                               \
  do {                                                                        \
    const auto before = support::kernel_leftovers();                          \
    const auto seen = support::in_namespaces(CLONE_NEWNS, __VA_ARGS__);       \
    if (!seen && seen.error().kind == base::ErrorKind::permission)            \
      SKIP_TEST("no right to make a mount namespace: " + seen.error().text()); \
    REQUIRE(seen);                                                            \
    CHECK(*seen == "");                                                       \
    CHECK(support::kernel_leftovers() == before);                             \
  } while (false)

#define EXPECT(condition) \
  if (!(condition)) return std::string(__FILE__ ":") + std::to_string(__LINE__) + ": " #condition

/// Attaches a detached mount at `where`.
bool attach(const base::UniqueFd& tree, const std::filesystem::path& where) {
  return ::move_mount(tree.number(), "", AT_FDCWD, where.c_str(), MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

std::string text_of(const std::filesystem::path& path) {
  const auto text = base::sys::read_file(path);
  return text ? *text : "<" + text.error().text() + ">";
}

bool can_write(const std::filesystem::path& path) { return base::sys::write_file(path, "x").has_value(); }

base::UniqueFd folder(const std::filesystem::path& path) {
  auto fd = base::sys::open(path, O_RDONLY | O_DIRECTORY);
  return fd ? *std::move(fd) : base::UniqueFd();
}

}  // namespace

TEST_CASE("a bind mount shows its source and everything mounted below it", "[volumes]") {
  support::TempDir dir;
  dir.write("source/file", "hello");
  IN_MOUNT_NAMESPACE([&]() -> std::string {
    const auto source = dir.path() / "source", at = dir.path() / "at";
    std::filesystem::create_directories(source / "inner");
    std::filesystem::create_directories(at);
    EXPECT(::mount("tmpfs", (source / "inner").c_str(), "tmpfs", 0, nullptr) == 0);
    EXPECT(can_write(source / "inner/deep"));
    auto tree = bind(source, {});
    EXPECT(tree && attach(*tree, at));
    EXPECT(text_of(at / "file") == "hello");
    EXPECT(text_of(at / "inner/deep") == "x");
    EXPECT(can_write(at / "new"));
    EXPECT(::umount2(at.c_str(), MNT_DETACH) == 0);

    tree = bind(source, {.read_only = ReadOnly::recursive});
    EXPECT(tree && attach(*tree, at));
    EXPECT(!can_write(at / "new") && !can_write(at / "inner/new"));
    EXPECT(can_write(source / "new") && can_write(source / "inner/new"));
    EXPECT(::umount2(at.c_str(), MNT_DETACH) == 0);

    tree = bind(source, {.read_only = ReadOnly::shallow});
    EXPECT(tree && attach(*tree, at));
    EXPECT(!can_write(at / "new") && can_write(at / "inner/new"));
    EXPECT(::umount2(at.c_str(), MNT_DETACH) == 0);

    tree = bind(source, {.recursive = false});
    EXPECT(tree && attach(*tree, at));
    EXPECT(!std::filesystem::exists(at / "inner/deep"));
    return "";
  });
}

TEST_CASE("a bind mount propagates only when asked and possible", "[volumes]") {
  support::TempDir dir;
  IN_MOUNT_NAMESPACE([&]() -> std::string {
    const auto source = dir.path() / "source", at = dir.path() / "at";
    std::filesystem::create_directories(source);
    std::filesystem::create_directories(at);
    EXPECT(bind(source, {.propagation = "rshared"}).error().kind == base::ErrorKind::invalid);
    EXPECT(bind(source, {.propagation = "bogus"}).error().kind == base::ErrorKind::invalid);
    EXPECT(::mount("tmpfs", source.c_str(), "tmpfs", 0, nullptr) == 0);
    EXPECT(::mount(nullptr, source.c_str(), nullptr, MS_SHARED, nullptr) == 0);
    std::filesystem::create_directories(source / "later");
    auto slave = bind(source, {.propagation = "rslave"});
    EXPECT(slave && attach(*slave, at));
    EXPECT(::mount("tmpfs", (source / "later").c_str(), "tmpfs", 0, nullptr) == 0);
    EXPECT(can_write(source / "later/seen"));
    EXPECT(std::filesystem::exists(at / "later/seen"));
    EXPECT(::umount2((source / "later").c_str(), 0) == 0);
    EXPECT(::umount2(at.c_str(), MNT_DETACH) == 0);
    auto apart = bind(source, {});
    EXPECT(apart && attach(*apart, at));
    EXPECT(::mount("tmpfs", (source / "later").c_str(), "tmpfs", 0, nullptr) == 0);
    EXPECT(can_write(source / "later/unseen"));
    EXPECT(!std::filesystem::exists(at / "later/unseen"));
    return "";
  });
}

TEST_CASE("a missing bind source becomes a directory of the folder's owner, never in place of a file", "[volumes]") {
  support::TempDir dir;
  IN_MOUNT_NAMESPACE([&]() -> std::string {
    EXPECT(::chown(dir.path().c_str(), 1234, 1235) == 0);
    EXPECT(bind(dir.path() / "missing", {}).error().kind == base::ErrorKind::not_found);
    EXPECT(bind(dir.path() / "a/b", {.create_directory = true}));
    struct stat status{};
    EXPECT(::stat((dir.path() / "a/b").c_str(), &status) == 0 && status.st_uid == 1234 && status.st_gid == 1235);
    EXPECT((status.st_mode & 07777) == 0755);
    const auto file = bind(dir.path() / "init.sql", {.create_directory = true});
    EXPECT(!file && file.error().kind == base::ErrorKind::not_found);
    EXPECT(!std::filesystem::exists(dir.path() / "init.sql"));
    EXPECT(bind(dir.path() / "conf.d", {.create_directory = true}));
    return "";
  });
}

TEST_CASE("a subpath cannot leave its volume", "[volumes]") {
  support::TempDir dir;
  dir.write("volume/_data/sub/file", "inside");
  dir.write("secret/file", "outside");
  IN_MOUNT_NAMESPACE([&]() -> std::string {
    const Volume volume{dir.path() / "volume/_data", {}};
    std::filesystem::create_symlink("../../secret", volume.data / "up");
    std::filesystem::create_symlink((dir.path() / "secret").string(), volume.data / "absolute");
    const auto at = dir.path() / "at";
    std::filesystem::create_directories(at);
    auto tree = use(volume, {.subpath = "sub"});
    EXPECT(tree && attach(*tree, at));
    EXPECT(text_of(at / "file") == "inside");
    for (const auto* bad : {"..", "up", "absolute", "sub/../../../secret"}) EXPECT(!use(volume, {.subpath = bad}));
    EXPECT(use(volume, {.subpath = "nothing"}).error().kind == base::ErrorKind::not_found);
    return "";
  });
}

TEST_CASE("volumes are what their driver options say", "[volumes]") {
  support::TempDir dir;
  dir.write("real/file", "bound");
  IN_MOUNT_NAMESPACE([&]() -> std::string {
    const auto at = dir.path() / "at";
    std::filesystem::create_directories(at);
    const Volume bound{dir.path() / "v1/_data", {{"type", "none"}, {"o", "bind,ro"}, {"device", (dir.path() / "real").string()}}};
    EXPECT(create(bound));
    auto tree = use(bound, {});
    EXPECT(tree && attach(*tree, at));
    EXPECT(text_of(at / "file") == "bound" && !can_write(at / "file"));
    EXPECT(::umount2(at.c_str(), MNT_DETACH) == 0);

    const Volume memory{dir.path() / "v2/_data", {{"type", "tmpfs"}, {"o", "size=1m,mode=0700,uid=77"}, {"device", "tmpfs"}}};
    EXPECT(create(memory));
    tree = use(memory, {});
    EXPECT(tree && attach(*tree, at));
    struct stat status{};
    EXPECT(::stat(at.c_str(), &status) == 0 && status.st_uid == 77 && (status.st_mode & 07777) == 0700);
    EXPECT(!base::sys::write_file(at / "big", std::string(2 << 20, 'x')));
    EXPECT(::umount2(at.c_str(), MNT_DETACH) == 0);

    const Volume gone{dir.path() / "v3/_data", {{"o", "bind"}, {"device", (dir.path() / "nowhere").string()}}};
    EXPECT(use(gone, {}).error().kind == base::ErrorKind::not_found);
    const Volume odd{dir.path() / "v4/_data", {{"type", "nosuchfs"}, {"device", "x"}}};
    EXPECT(use(odd, {}).error().kind == base::ErrorKind::unsupported);
    EXPECT(remove(bound) && remove(memory) && remove(gone));
    EXPECT(text_of(dir.path() / "real/file") == "bound");
    EXPECT(!std::filesystem::exists(dir.path() / "v1"));
    return "";
  });
}

TEST_CASE("tmpfs mounts have their size, mode and flags", "[volumes]") {
  support::TempDir dir;
  IN_MOUNT_NAMESPACE([&]() -> std::string {
    auto tree = tmpfs({.size_bytes = 1 << 20, .mode = 0750, .options = "uid=5"});
    EXPECT(tree && attach(*tree, dir.path()));
    struct stat status{};
    EXPECT(::stat(dir.path().c_str(), &status) == 0 && status.st_uid == 5 && (status.st_mode & 07777) == 0750);
    EXPECT(!base::sys::write_file(dir.path() / "big", std::string(2 << 20, 'x')));
    EXPECT(::umount2(dir.path().c_str(), MNT_DETACH) == 0);
    return "";
  });
}

TEST_CASE("a new volume is filled with all the image has at its place", "[volumes]") {
  support::TempDir dir;
  dir.write("image/a/file", std::string(300'000, 'a'));
  dir.write("image/script", "#!");
  const auto before = support::kernel_leftovers();
  const auto image = dir.path() / "image", volume = dir.path() / "volume";
  std::filesystem::create_directories(volume);
  REQUIRE(::link((image / "a/file").c_str(), (image / "hard").c_str()) == 0);
  std::filesystem::create_symlink("a/file", image / "soft");
  REQUIRE(::mkfifo((image / "pipe").c_str(), 0640) == 0);
  if (::chown(image.c_str(), 33, 44) != 0) SKIP_TEST("not root");
  REQUIRE(::lchown((image / "soft").c_str(), 1, 2) == 0);
  REQUIRE(::chown((image / "script").c_str(), 7, 8) == 0);
  REQUIRE(::chmod((image / "script").c_str(), 04755) == 0);
  REQUIRE(::chmod(image.c_str(), 01770) == 0);
  REQUIRE(::setxattr((image / "script").c_str(), "trusted.mark", "value", 5, 0) == 0);
  const timespec times[2] = {{1000, 5}, {2000, 7}};
  REQUIRE(::utimensat(AT_FDCWD, (image / "script").c_str(), times, 0) == 0);

  const auto filled = copy_up(folder(image).borrow(), folder(volume).borrow());
  REQUIRE(filled);
  CHECK(*filled);
  CHECK(text_of(volume / "a/file") == std::string(300'000, 'a'));
  CHECK(std::filesystem::read_symlink(volume / "soft") == "a/file");
  struct stat one{}, two{};
  REQUIRE(::stat((volume / "a/file").c_str(), &one) == 0);
  REQUIRE(::stat((volume / "hard").c_str(), &two) == 0);
  CHECK(one.st_ino == two.st_ino);
  REQUIRE(::lstat((volume / "soft").c_str(), &one) == 0);
  CHECK(one.st_uid == 1);
  REQUIRE(::stat((volume / "script").c_str(), &one) == 0);
  CHECK(one.st_uid == 7);
  CHECK((one.st_mode & 07777) == 04755);
  CHECK(one.st_mtim.tv_sec == 2000);
  CHECK(one.st_mtim.tv_nsec == 7);
  char value[8];
  CHECK(::getxattr((volume / "script").c_str(), "trusted.mark", value, sizeof value) == 5);
  REQUIRE(::lstat((volume / "pipe").c_str(), &one) == 0);
  CHECK(S_ISFIFO(one.st_mode));
  REQUIRE(::stat(volume.c_str(), &one) == 0);
  CHECK(one.st_uid == 33);
  CHECK((one.st_mode & 07777) == 01770);
  std::size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(volume)) ++entries;
  CHECK(entries == 5);

  dir.write("image/later", "not copied again");
  const auto again = copy_up(folder(image).borrow(), folder(volume).borrow());
  REQUIRE(again);
  CHECK_FALSE(*again);
  CHECK_FALSE(std::filesystem::exists(volume / "later"));
  CHECK(support::kernel_leftovers() == before);
}

TEST_CASE("a copy-up cut short is finished by the next one and keeps what was there", "[volumes]") {
  support::TempDir dir;
  dir.write("image/one", "image");
  dir.write("image/two", "image");
  dir.write("volume/one", "moved already");
  dir.write("volume/.compose-copy-up-unfinished/two", "half");
  const auto filled = copy_up(folder(dir.path() / "image").borrow(), folder(dir.path() / "volume").borrow());
  REQUIRE(filled);
  CHECK(*filled);
  CHECK(text_of(dir.path() / "volume/one") == "moved already");
  CHECK(text_of(dir.path() / "volume/two") == "image");
  CHECK_FALSE(std::filesystem::exists(dir.path() / "volume/.compose-copy-up-unfinished"));
}

TEST_CASE("a mount of another process's namespace can be shared", "[volumes]") {
  support::TempDir dir;
  IN_MOUNT_NAMESPACE([&]() -> std::string {
    const auto theirs = dir.path() / "theirs", at = dir.path() / "at";
    std::filesystem::create_directories(theirs);
    std::filesystem::create_directories(at);
    auto ready = base::sys::pipe();
    auto finish = base::sys::pipe();
    const pid_t pid = ::fork();
    if (pid == 0) {
      char byte;
      const bool mounted = ::unshare(CLONE_NEWNS) == 0 && ::mount("tmpfs", theirs.c_str(), "tmpfs", 0, nullptr) == 0 &&
                           base::sys::write_file(theirs / "file", "theirs").has_value();
      (void)!::write(ready->second.number(), mounted ? "1" : "0", 1);
      (void)!::read(finish->first.number(), &byte, 1);
      ::_exit(0);
    }
    char answer = 0;
    EXPECT(::read(ready->first.number(), &answer, 1) == 1 && answer == '1');
    auto tree = clone_from(pid, theirs);
    (void)!::write(finish->second.number(), "x", 1);
    EXPECT(::waitpid(pid, nullptr, 0) == pid);
    EXPECT(tree && attach(*tree, at));
    EXPECT(text_of(at / "file") == "theirs");
    return "";
  });
}
