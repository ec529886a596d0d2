#pragma once
// The few pieces of Boost.Asio this room works with. Coroutines run on one thread; what blocks goes to the workers.
// GCC 12: name what co_await gives before using it, pass arguments of coroutines by value, and let no closure be a temporary of an
// expression that awaits: the compiler moves it bit by bit. So: auto work = on_worker([…] {…}); auto done = co_await std::move(work);
//
// Asio allocates coroutine frames with operators of its own, which inlining by GCC 12 at -O2 takes for a mismatch.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::supervisor {

namespace asio = boost::asio;
using base::Result;
using Executor = asio::io_context::executor_type;
template <class T = void>
using Task = asio::awaitable<T, Executor>;
inline constexpr asio::use_awaitable_t<Executor> use_task{};
using Clock = std::chrono::steady_clock;

/// Runs `work` on a worker and resumes with its value.
template <class Work>
Task<std::invoke_result_t<Work>> blocking(asio::io_context& io, asio::thread_pool& workers, Work work) {
  using Value = std::invoke_result_t<Work>;
  return asio::async_initiate<const asio::use_awaitable_t<Executor>, void(Value)>(
      [&io, &workers](auto handler, Work job) {
        asio::post(workers, [&io, handler = std::move(handler), job = std::move(job)]() mutable {
          auto value = job();
          asio::post(io, [handler = std::move(handler), value = std::move(value)]() mutable {
            std::move(handler)(std::move(value));
          });
        });
      },
      use_task, std::move(work));
}

/// Starts a coroutine of its own. An exception in it would be a bug of ours: it ends the program, the keeper starts another.
template <class T>
void spawn(asio::io_context& io, Task<T> task) {
  asio::co_spawn(io.get_executor(), std::move(task), [](std::exception_ptr failed, auto&&...) {
    if (failed) std::rethrow_exception(failed);
  });
}

/// Wakes every coroutine that waits for "something changed". Waiters look again at what they wait for.
class Notifier {
 public:
  explicit Notifier(asio::io_context& io) : io_(&io) {}
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  void notify() {
    for (auto* timer : waiting_) timer->cancel();
    waiting_.clear();
  }

  /// False when `deadline` passed before a notification.
  Task<bool> wait(std::optional<Clock::time_point> deadline = std::nullopt) {
    asio::steady_timer timer(*io_, deadline.value_or(Clock::time_point::max()));
    waiting_.push_back(&timer);
    boost::system::error_code failed;
    co_await timer.async_wait(asio::redirect_error(use_task, failed));
    std::erase(waiting_, &timer);
    co_return failed == asio::error::operation_aborted;
  }

 private:
  asio::io_context* io_;
  std::vector<asio::steady_timer*> waiting_;
};

}  // namespace engine::supervisor
