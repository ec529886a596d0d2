// The client's half of attaching, against a supervisor that says exactly what the test wants.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <thread>

#include "base/sys.h"
#include "engine/api/attach_frame.h"
#include "engine/api/paths.h"
#include "engine/client/client.h"
#include "tests/support/support.h"

namespace client = engine::client;
namespace attach = engine::attach;

namespace {

std::string frame(attach::Type type, const std::string& payload) { return attach::header(type, payload.size()) + payload; }

/// Listens where a supervisor would.
class Supervisor {
 public:
  Supervisor() : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    ::setenv("COMPOSE_STATE_DIR", (dir_.path() / "state").c_str(), 1);
    ::setenv("COMPOSE_RUN_DIR", (dir_.path() / "run").c_str(), 1);
    const auto path = engine::paths::api_socket("demo");
    REQUIRE(base::sys::make_directories(path.parent_path()));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(path.string().size() < sizeof address.sun_path);
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(socket_.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(socket_.number(), 16) == 0);
  }
  /// The connection that asks something, its request read; those who only look whether somebody answers come and go.
  base::UniqueFd asked() {
    for (std::string text;; text.clear()) {
      base::UniqueFd connection(::accept4(socket_.number(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection.valid()) return connection;
      for (char c = 0; ::read(connection.number(), &c, 1) == 1;) {
        text += c;
        if (text.ends_with("\r\n\r\n")) return connection;
      }
    }
  }

 private:
  support::TempDir dir_;
  base::UniqueFd socket_;
};

void say(const base::UniqueFd& connection, const std::string& text) { REQUIRE(base::sys::write_all(connection.borrow(), text)); }

}  // namespace

TEST_CASE("what a container said before its end is heard, though the end of our input can no longer be told") {
  Supervisor supervisor;
  base::UniqueFd connection;
  std::thread server([&] {
    connection = supervisor.asked();
    say(connection, "HTTP/1.1 101 Switching Protocols\r\n\r\n");
  });
  auto attachment = client::attach("demo", "quick");
  server.join();
  REQUIRE(attachment);
  // All is over before we look: the socket has the last words, and our own input has ended too.
  say(connection, frame(attach::Type::output, "hi\n") + frame(attach::Type::exit, "7"));
  connection.reset();
  auto input = base::sys::open("/dev/null", O_RDONLY);
  auto output = base::sys::pipe();
  REQUIRE(input);
  REQUIRE(output);
  client::AttachOptions options;
  options.input = input->borrow();
  options.output = output->second.borrow();
  const auto result = attachment->run(options);
  REQUIRE(result);
  CHECK(result->exit_code == 7);
  output->second.reset();
  std::array<char, 16> said{};
  const auto count = base::sys::read(output->first.borrow(), said);
  REQUIRE(count);
  CHECK(std::string(said.data(), *count) == "hi\n");
}
