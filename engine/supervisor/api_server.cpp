#include "engine/supervisor/api_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <charconv>

#include "base/sys.h"
#include "engine/api/attach_frame.h"
#include "engine/api/paths.h"
#include "engine/api/types_json.h"
#include "engine/supervisor/project.h"

namespace engine::supervisor {
namespace {

namespace http = boost::beast::http;
using Socket = asio::local::stream_protocol::socket;
using Request = http::request<http::string_body>;

constexpr std::size_t body_bytes_max = 64u << 20;    ///< a plan of thousands of containers with their secrets
constexpr std::size_t queue_bytes_max = 8u << 20;    ///< a client that reads nothing is dropped
constexpr std::size_t attach_bytes_max = 256u << 10; ///< queued for an attached client before the container has to wait

bool upgrade_wanted = false;

/// "/containers/NAME/wait?a=b" in parts.
struct Target {
  std::vector<std::string> path;
  std::map<std::string, std::string> query;
};

Target parse_target(std::string_view text) {
  Target target;
  const std::size_t mark = text.find('?');
  std::string_view path = text.substr(0, mark);
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (end > 0) target.path.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  std::string_view query = mark == std::string_view::npos ? std::string_view() : text.substr(mark + 1);
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    const std::size_t equals = std::min(pair.find('='), pair.size());
    target.query.emplace(pair.substr(0, equals), pair.substr(std::min(equals + 1, pair.size())));
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return target;
}

unsigned number(const std::map<std::string, std::string>& query, const char* key) {
  unsigned value = 0;
  if (const auto found = query.find(key); found != query.end())
    std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
  return value;
}

/// What is to be written to a client, in order, without waiting for it.
class Outbox : public std::enable_shared_from_this<Outbox> {
 public:
  explicit Outbox(asio::io_context& io, Socket& socket) : socket_(socket), sent_(io) {}

  void send(std::string_view bytes) {
    if (broken_) return;
    waiting_.append(bytes);
    if (waiting_.size() > queue_bytes_max) broken_ = true;
    pump();
  }
  [[nodiscard]] std::size_t queued() const { return waiting_.size() + writing_.size(); }
  [[nodiscard]] bool broken() const { return broken_; }
  Task<> flushed() {
    while (queued() > 0 && !broken_) co_await sent_.wait();
  }
  std::function<void()> on_sent;

 private:
  void pump() {
    if (!writing_.empty() || waiting_.empty() || broken_) return;
    writing_.swap(waiting_);
    asio::async_write(socket_, asio::buffer(writing_),
                      [self = shared_from_this()](const boost::system::error_code& failed, std::size_t) {
                        self->writing_.clear();
                        if (failed) self->broken_ = true;
                        self->pump();
                        if (self->on_sent) self->on_sent();
                        self->sent_.notify();
                      });
  }

  Socket& socket_;
  Notifier sent_;
  std::string waiting_, writing_;
  bool broken_ = false;
};

std::string head(int status, const char* reason, const char* type = "application/json") {
  return "HTTP/1.1 " + std::to_string(status) + " " + reason + "\r\nContent-Type: " + type + "\r\nConnection: close\r\n\r\n";
}

std::string error_answer(const base::Error& error) {
  const bool missing = error.kind == base::ErrorKind::not_found;
  const bool wrong = error.kind == base::ErrorKind::invalid;
  return head(missing ? 404 : wrong ? 400 : 500, missing ? "Not Found" : wrong ? "Bad Request" : "Internal Server Error") + to_json(error) + "\n";
}

class Server final : public ApiServer {
 public:
  Server(asio::io_context& io, Project& project, base::UniqueFd listener)
      : io_(io), project_(project), acceptor_(io, asio::local::stream_protocol(), listener.release()) {
    accept();
  }
  int clients() const override { return clients_; }
  void close() override {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    (void)!base::sys::unlink(paths::api_socket(project_.name())).has_value();
  }

 private:
  friend class Session;

  void accept() {
    acceptor_.async_accept([this](const boost::system::error_code& failed, Socket socket) {
      if (failed == asio::error::operation_aborted) return;
      if (!failed) serve(std::move(socket));
      accept();
    });
  }
  void serve(Socket socket);
  void finished() {
    --clients_;
    if (project_.on_quiet && project_.idle()) project_.on_quiet();
  }

  asio::io_context& io_;
  Project& project_;
  asio::local::stream_protocol::acceptor acceptor_;
  int clients_ = 0;
  std::map<std::string, std::weak_ptr<Cancel>> plans_;  ///< by the client's id
};

/// One connection: one request, one answer.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Server& server, Socket socket)
      : server_(server), io_(server.io_), project_(server.project_), socket_(std::move(socket)),
        out_(std::make_shared<Outbox>(io_, socket_)) {
    ++server_.clients_;
  }
  ~Session() { server_.finished(); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Task<> run() {
    http::request_parser<http::string_body> parser;
    parser.body_limit(body_bytes_max);
    boost::system::error_code failed;
    co_await http::async_read(socket_, buffer_, parser, asio::redirect_error(use_task, failed));
    if (failed) co_return;
    const Request request = parser.release();
    const Target target = parse_target(std::string_view(request.target().data(), request.target().size()));
    const auto& path = target.path;
    const bool post = request.method() == http::verb::post;
    if (path == std::vector<std::string>{"ping"}) {
      out_->send(head(200, "OK") + "{}\n");
    } else if (post && path == std::vector<std::string>{"upgrade"}) {
      upgrade_wanted = true;
      out_->send(head(202, "Accepted") + "{}\n");
    } else if (post && path == std::vector<std::string>{"plan"}) {
      co_await plan(request.body(), target);
    } else if (post && path.size() == 3 && path[0] == "plan" && path[2] == "cancel") {
      cancel(path[1]);
    } else if (post && path.size() == 3 && path[0] == "containers") {
      co_await container(path[1], path[2], target);
    } else {
      out_->send(error_answer(base::make_error(base::ErrorKind::not_found, "no such request")));
    }
    co_await out_->flushed();
    // A Unix socket delivers what is queued after close(2).
    boost::system::error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }

 private:
  Task<> plan(const std::string& body, Target target) {
    auto parsed = from_json<Plan>(body);
    if (!parsed) {
      out_->send(error_answer(parsed.error()));
      co_return;
    }
    const auto cancel = std::make_shared<Cancel>();
    if (const auto id = target.query.find("id"); id != target.query.end()) server_.plans_[id->second] = cancel;
    out_->send(head(200, "OK", "application/x-ndjson"));
    // The plan goes on when the client is gone: a detached `up` is no half-made stack.
    auto out = out_;
    OnProgress tell = [out](const Progress& progress) { out->send("{\"progress\":" + to_json(progress) + "}\n"); };
    auto executing = project_.execute(*std::move(parsed), std::move(tell), cancel);
    auto outcome = co_await std::move(executing);
    if (const auto id = target.query.find("id"); id != target.query.end()) server_.plans_.erase(id->second);
    const bool leaving = project_.empty() && project_.idle() && server_.clients_ == 1;
    out_->send(std::string("{\"leaving\":") + (leaving ? "true" : "false") + ",\"outcome\":" + to_json(outcome) + "}\n");
  }

  void cancel(const std::string& id) {
    const auto found = server_.plans_.find(id);
    const auto target = found == server_.plans_.end() ? nullptr : found->second.lock();
    if (!target) return out_->send(error_answer(base::make_error(base::ErrorKind::not_found, "no such plan")));
    project_.cancel(*target);
    out_->send(head(200, "OK") + "{}\n");
  }

  Task<> container(std::string name, std::string verb, Target target) {
    const auto found = project_.find(name);
    if (!found) {
      out_->send(error_answer(found.error()));
      co_return;
    }
    const ContainerPtr container = *found;
    if (verb == "wait") {
      co_await wait(name, container);
    } else if (verb == "attach") {
      co_await attach(container);
    } else if (verb == "resize") {
      auto done = container->logs ? container->logs->resize(number(target.query, "rows"), number(target.query, "columns"))
                                  : Result<>(base::make_error(base::ErrorKind::unavailable, "container " + name + " is not running"));
      out_->send(done ? head(200, "OK") + "{}\n" : error_answer(done.error()));
    } else {
      out_->send(error_answer(base::make_error(base::ErrorKind::not_found, "no such request")));
    }
  }

  Task<> wait(std::string name, ContainerPtr container) {
    const auto cancel = std::make_shared<Cancel>();
    // The client sends nothing more: readable means that it is gone.
    socket_.async_wait(Socket::wait_read, [cancel, container](const boost::system::error_code& failed) {
      if (failed == asio::error::operation_aborted) return;
      cancel->requested = true;
      container->changed.notify();
    });
    auto code = co_await project_.wait_end(name, cancel);
    boost::system::error_code ignored;
    socket_.cancel(ignored);
    if (!code) out_->send(error_answer(code.error()));
    else out_->send(head(200, "OK") + "{\"exit_code\":" + (*code ? std::to_string(**code) : "null") + "}\n");
  }

  /// The listener of an attached client.
  class Attached final : public Listener {
   public:
    Attached(std::shared_ptr<Outbox> out, asio::io_context& io) : over(io), out_(std::move(out)) {}
    void output(logs::Stream stream, std::string_view bytes) override {
      const auto type = stream == logs::Stream::err ? attach::Type::error : attach::Type::output;
      while (!bytes.empty()) {
        const std::string_view part = bytes.substr(0, attach::payload_bytes_max);
        out_->send(attach::header(type, part.size()));
        out_->send(part);
        bytes.remove_prefix(part.size());
      }
    }
    [[nodiscard]] bool ready() const override { return out_->broken() || out_->queued() < attach_bytes_max; }
    void ended(std::optional<int> exit_code) override {
      const std::string text = exit_code ? std::to_string(*exit_code) : "";
      out_->send(attach::header(attach::Type::exit, text.size()) + text);
      finished = true;
      over.notify();
    }
    bool finished = false;
    Notifier over;

   private:
    std::shared_ptr<Outbox> out_;
  };

  Task<> attach(ContainerPtr container) {
    if (auto opened = project_.open_logs(*container); !opened) {
      out_->send(error_answer(opened.error()));
      co_return;
    }
    const auto listener = std::make_shared<Attached>(out_, io_);
    std::weak_ptr<LogPump> pump = container->logs;
    container->logs->attach(listener);
    out_->on_sent = [pump, out = out_.get()] {
      if (auto logs = pump.lock(); logs && out->queued() < attach_bytes_max / 2) logs->resume();
    };
    out_->send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: compose-attach\r\n\r\n");
    spawn(io_, [](std::shared_ptr<Session> self, ContainerPtr target, std::shared_ptr<Attached> end) -> Task<> {
      co_await self->read_input(target, end);
      end->finished = true;
      end->over.notify();
    }(shared_from_this(), container, listener));
    while (!listener->finished) co_await listener->over.wait();
    co_await out_->flushed();
    out_->on_sent = nullptr;
    boost::system::error_code ignored;
    socket_.shutdown(Socket::shutdown_both, ignored);  // ends read_input
    if (auto logs = pump.lock()) logs->resume();
  }

  /// Frames from the client, until it leaves.
  Task<> read_input(ContainerPtr container, std::shared_ptr<Attached> listener) {
    std::string bytes(static_cast<const char*>(buffer_.data().data()), buffer_.size());
    std::array<char, 16384> chunk;
    while (!listener->finished) {
      while (const auto frame = attach::parse(bytes)) {
        co_await obey(container, listener, frame->type, std::string(frame->payload));
        bytes.erase(0, frame->size);
      }
      if (bytes.size() > attach::payload_bytes_max + attach::header_bytes) co_return;
      boost::system::error_code failed;
      const auto count = co_await socket_.async_read_some(asio::buffer(chunk), asio::redirect_error(use_task, failed));
      if (failed) co_return;
      bytes.append(chunk.data(), count);
    }
  }

  Task<> obey(ContainerPtr container, std::shared_ptr<Attached> listener, attach::Type type, std::string payload) {
    const auto logs = container->logs;
    if (!logs) co_return;
    if (type == attach::Type::close_input) logs->close_input();
    if (type == attach::Type::resize) {
      unsigned rows = 0, columns = 0;
      const char* end = payload.data() + payload.size();
      const auto first = std::from_chars(payload.data(), end, rows);
      if (first.ptr < end) std::from_chars(first.ptr + 1, end, columns);
      (void)!logs->resize(rows, columns).has_value();
    }
    if (type != attach::Type::input) co_return;
    std::string_view rest = payload;
    // A terminal exists from the start of the container on; a full FIFO empties as the container reads.
    while (!rest.empty() && !listener->finished && container->logs == logs) {
      (void)logs->input(rest);
      if (!rest.empty()) co_await container->changed.wait(Clock::now() + std::chrono::milliseconds(5));
    }
  }

  Server& server_;
  asio::io_context& io_;
  Project& project_;
  Socket socket_;
  boost::beast::flat_buffer buffer_;
  std::shared_ptr<Outbox> out_;
};

void Server::serve(Socket socket) {
  const auto session = std::make_shared<Session>(*this, std::move(socket));
  spawn(io_, [](std::shared_ptr<Session> self) -> Task<> { co_await self->run(); }(session));
}

}  // namespace

base::Result<std::unique_ptr<ApiServer>> ApiServer::open(asio::io_context& io, Project& project) {
  ASSIGN_OR_RETURN(auto listener, base::sys::listen_unix(paths::api_socket(project.name())));
  return std::unique_ptr<ApiServer>(std::make_unique<Server>(io, project, std::move(listener)));
}

bool upgrade_requested() { return upgrade_wanted; }

}  // namespace engine::supervisor
