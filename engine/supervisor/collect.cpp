#include "engine/supervisor/collect.h"

#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>

namespace engine::supervisor {
namespace {

using Descriptor = asio::posix::stream_descriptor;

/// Reads what is there; false when every writer has closed.
bool read_some(Descriptor& from, healthcheck::OutputBuffer& into) {
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t count = ::read(from.native_handle(), buffer.data(), buffer.size());
    if (count > 0) into.append(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
    else if (count == 0) return false;
    else if (errno != EINTR) return errno == EAGAIN;
  }
}

struct Watch {
  Watch(asio::io_context& io, const Exec& exec)
      : pipe(io, ::dup(exec.output.number())), process(io, ::dup(exec.process.pidfd().number())), changed(io) {}
  Descriptor pipe, process;
  Notifier changed;
  bool armed = false, readable = false, ended = false;
};

void watch_process(const std::shared_ptr<Watch>& watch) {
  watch->process.async_wait(Descriptor::wait_read, [watch](const boost::system::error_code&) {
    watch->ended = true;
    watch->changed.notify();
  });
}

void watch_pipe(const std::shared_ptr<Watch>& watch) {
  watch->armed = true;
  watch->pipe.async_wait(Descriptor::wait_read, [watch](const boost::system::error_code& failed) {
    watch->armed = false;
    watch->readable = !failed;
    watch->changed.notify();
  });
}

}  // namespace

Task<Collected> collect(asio::io_context& io, Exec& exec) {
  const auto watch = std::make_shared<Watch>(io, exec);
  healthcheck::OutputBuffer output;
  watch_process(watch);
  bool open = true;
  while (!watch->ended) {
    if (open && !watch->armed) watch_pipe(watch);
    co_await watch->changed.wait();
    if (std::exchange(watch->readable, false)) open = read_some(watch->pipe, output);
  }
  (void)read_some(watch->pipe, output);
  boost::system::error_code ignored;
  watch->pipe.cancel(ignored);
  Collected collected;
  const auto status = exec.process.wait(std::chrono::milliseconds(0));
  collected.status = status ? *status : base::ExitStatus{-1, 0, false};
  collected.output = output.text();
  co_return collected;
}

}  // namespace engine::supervisor
