#include "engine/registry/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdlib>
#include <filesystem>

#include "base/sys.h"

namespace engine::registry {

using base::ErrorKind;

namespace {

constexpr long redirects_max = 10;
/// Go's programs, Docker among them, never send these through a proxy. Source: golang.org/x/net/http/httpproxy.
constexpr std::string_view never_proxied = "localhost,127.0.0.0/8,::1";
constexpr long slow_bytes_per_s = 1000;
std::atomic<long> slow_for_s = 30;

/// The first of the usual bundles, or what SSL_CERT_FILE and SSL_CERT_DIR name instead, as Go's programs read them.
/// Source: golang.org/src/crypto/x509/root_unix.go.
const std::string& system_ca() {
  static const std::string bundle = [] {
    const char* file = std::getenv("SSL_CERT_FILE");
    const char* folders = std::getenv("SSL_CERT_DIR");
    std::string all;
    std::vector<std::string> files = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};
    if (file != nullptr && *file != 0) files = {file};
    for (const auto& path : files)
      if (auto text = base::sys::read_file(path); text) {
        all = *std::move(text) + "\n";
        break;
      }
    const std::string list = folders == nullptr ? "" : folders;
    for (std::size_t from = 0; from < list.size();) {
      const auto end = std::min(list.find(':', from), list.size());
      std::error_code ignored;
      for (std::filesystem::directory_iterator it(list.substr(from, end - from), ignored), last; !ignored && it != last; it.increment(ignored))
        if (auto text = base::sys::read_file(it->path(), 1 << 20); text && text->find("BEGIN CERTIFICATE") != std::string::npos) all += *text + "\n";
      from = end + 1;
    }
    return all;
  }();
  return bundle;
}

/// Whether the environment names certificates that libcurl would not find by itself.
bool other_system_ca() {
  const auto names_another = [](const char* variable, std::string_view usual) {
    const char* value = std::getenv(variable);
    return value != nullptr && *value != 0 && value != usual;
  };
  return names_another("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt") || names_another("SSL_CERT_DIR", "/etc/ssl/certs");
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.remove_suffix(1);
  return std::string(text);
}

/// One transfer: what the callbacks share.
struct Transfer {
  CURL* curl = nullptr;
  const HttpRequest* request = nullptr;
  HttpResponse response;
  std::optional<base::Error> error;
  std::int64_t sent = 0;

  int status() const {
    long code = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    return static_cast<int>(code);
  }

  /// "bytes 200-1000/67589"; without it, what was asked for. Source: RFC 9110 14.4.
  std::int64_t start_of_part() const {
    const auto range = response.header("content-range");
    if (!range.starts_with("bytes ")) return request->range_from;
    return std::strtoll(range.c_str() + 6, nullptr, 10);
  }

  static std::size_t header(char* data, std::size_t size, std::size_t count, void* self) {
    auto& me = *static_cast<Transfer*>(self);
    const std::string_view line(data, size * count);
    if (line.starts_with("HTTP/")) me.response.headers.clear();  // the next answer of a redirect chain
    if (const auto colon = line.find(':'); colon != std::string_view::npos)
      me.response.headers.emplace_back(lower(std::string(line.substr(0, colon))), trimmed(line.substr(colon + 1)));
    return size * count;
  }

  static std::size_t body(char* data, std::size_t size, std::size_t count, void* self) {
    auto& me = *static_cast<Transfer*>(self);
    const std::span<const char> bytes(data, size * count);
    const int code = me.status();
    if (code >= 300 && code < 400) return bytes.size();
    if (me.request->sink && code >= 200 && code < 300) {
      auto taken = me.request->sink(code == 206 ? me.start_of_part() : 0, bytes);
      if (taken) return bytes.size();
      me.error = std::move(taken).error();
      return 0;
    }
    const auto limit = code >= 200 && code < 300 ? me.request->body_limit : std::size_t{64} * 1024;
    if (me.response.body.size() + bytes.size() > limit) {
      if (code >= 300) return bytes.size();  // a long error page says no more than its start
      me.error = base::make_error(ErrorKind::invalid, "the answer of " + me.request->url + " is larger than " + std::to_string(limit) + " bytes");
      return 0;
    }
    me.response.body.append(bytes.begin(), bytes.end());
    return bytes.size();
  }

  static std::size_t upload(char* into, std::size_t size, std::size_t count, void* self) {
    auto& me = *static_cast<Transfer*>(self);
    const auto left = static_cast<std::size_t>(me.request->upload_bytes - me.sent);  // the file may go on where the piece ends
    auto got = base::sys::read(me.request->upload, {into, std::min(size * count, left)});
    if (!got) {
      me.error = std::move(got).error();
      return CURL_READFUNC_ABORT;
    }
    me.sent += static_cast<std::int64_t>(*got);
    if (me.request->on_upload) me.request->on_upload(me.sent);
    return *got;
  }
};

base::Error curl_error(CURLcode code, const char* detail, const HttpRequest& request) {
  std::string text = request.url + ": " + (detail != nullptr && *detail != 0 ? detail : curl_easy_strerror(code));
  ErrorKind kind = ErrorKind::unavailable;
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_TOO_MANY_REDIRECTS: kind = ErrorKind::invalid; break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM: kind = ErrorKind::permission; break;
    case CURLE_OUT_OF_MEMORY: kind = ErrorKind::exhausted; break;
    default: break;
  }
  const auto& folder = request.tls.folder;
  if (code == CURLE_PEER_FAILED_VERIFICATION && !folder.empty()) text += " (a registry's own CA belongs into " + folder + "/ca.crt)";
  // An alert is the server's own word: our certificate is missing or not one it takes, and asking again changes nothing.
  if (text.find(" alert ") != std::string::npos && text.find("certificate") != std::string::npos) {
    kind = ErrorKind::permission;
    if (!folder.empty()) text += " (a client certificate belongs into " + folder + "/client.cert, its key beside it into client.key)";
  }
  auto error = base::make_error(kind, std::move(text));
  error.number = kind == ErrorKind::unavailable ? static_cast<int>(code) : 0;
  return error;
}

}  // namespace

struct Http::Handle {
  CURL* curl = curl_easy_init();
  std::string ca;  ///< must outlive the transfer (CURL_BLOB_NOCOPY)
  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { curl_easy_cleanup(curl); }
};

Http::Http() {
  static const auto initialised = [] {
    // curl reads http_proxy in lower case alone, because CGI programs get HTTP_PROXY from their callers. This is none.
    if (const char* proxy = std::getenv("HTTP_PROXY"); proxy != nullptr) ::setenv("http_proxy", proxy, 0);
    return curl_global_init(CURL_GLOBAL_DEFAULT);
  }();
  (void)initialised;
}
Http::~Http() = default;

std::unique_ptr<Http::Handle> Http::take() {
  const std::lock_guard guard(mutex_);
  if (idle_.empty()) return std::make_unique<Handle>();
  auto handle = std::move(idle_.back());
  idle_.pop_back();
  return handle;
}

namespace {

void set_tls(CURL* curl, const TlsOptions& tls, std::string& ca) {
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
  if (!tls.extra_ca_pem.empty() || other_system_ca()) {
    ca = system_ca() + "\n" + tls.extra_ca_pem;
    curl_blob blob{ca.data(), ca.size(), CURL_BLOB_NOCOPY};
    curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
  }
  if (!tls.client_certificate.empty()) {
    curl_easy_setopt(curl, CURLOPT_SSLCERT, tls.client_certificate.c_str());
    curl_easy_setopt(curl, CURLOPT_SSLKEY, tls.client_key.c_str());
  }
}

void set_method(CURL* curl, const HttpRequest& request, Transfer& transfer) {
  if (request.upload.valid()) {
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, &Transfer::upload);
    curl_easy_setopt(curl, CURLOPT_READDATA, &transfer);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.upload_bytes));
    curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
  } else if (request.method == "HEAD") {
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  } else if (request.method != "GET") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  }
  if (request.method != "GET" && request.method != "HEAD" && request.method != "POST")
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.method == "POST" && request.upload.valid()) curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "POST");
}

void set_proxy(CURL* curl) {
  const auto value = [](const char* small, const char* large) {
    const char* found = std::getenv(small);
    if (found == nullptr || *found == 0) found = std::getenv(large);
    return std::string(found == nullptr ? "" : found);
  };
  const auto excepted = value("no_proxy", "NO_PROXY");
  curl_easy_setopt(curl, CURLOPT_NOPROXY, excepted == "*" ? "*" : (std::string(never_proxied) + (excepted.empty() ? "" : "," + excepted)).c_str());
}

void set_options(CURL* curl, const HttpRequest& request, Transfer& transfer) {
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);  // threads: no SIGALRM for name lookups
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  // A redirect may not leave TLS behind.
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, request.url.starts_with("https:") ? "https" : "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, request.follow_redirects ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, redirects_max);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, request.connect_timeout_s);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, slow_bytes_per_s);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, slow_for_s.load());
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L * 1024);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "compose/1");
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Transfer::header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Transfer::body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  if (!request.bearer.empty()) {
    curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, request.bearer.c_str());
  } else if (!request.user_password.empty()) {
    curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(curl, CURLOPT_USERPWD, request.user_password.c_str());
  }
  set_proxy(curl);
  if (request.range_from > 0) curl_easy_setopt(curl, CURLOPT_RANGE, (std::to_string(request.range_from) + "-").c_str());
}

}  // namespace

Result<HttpResponse> Http::perform(const HttpRequest& request) {
  auto handle = take();
  CURL* curl = handle->curl;
  if (curl == nullptr) return base::make_error(ErrorKind::exhausted, "out of memory");
  curl_easy_reset(curl);  // options only: connections stay
  Transfer transfer;
  transfer.curl = curl;
  transfer.request = &request;
  std::array<char, CURL_ERROR_SIZE> detail{};
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail.data());
  set_options(curl, request, transfer);
  set_method(curl, request, transfer);
  set_tls(curl, request.tls, handle->ca);
  curl_slist* headers = curl_slist_append(nullptr, "Expect:");
  for (const auto& line : request.headers) headers = curl_slist_append(headers, line.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  const auto code = curl_easy_perform(curl);
  transfer.response.status = transfer.status();
  curl_slist_free_all(headers);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);
  {
    const std::lock_guard guard(mutex_);
    idle_.push_back(std::move(handle));
  }
  if (transfer.error) return *std::move(transfer.error);
  if (code != CURLE_OK) return curl_error(code, detail.data(), request);
  return std::move(transfer.response);
}

std::string HttpResponse::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

void set_stall_limit(std::chrono::seconds limit) { slow_for_s = limit.count(); }

std::string url_encode(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += digits[byte >> 4U];
      out += digits[byte & 15U];
    }
  }
  return out;
}

std::int64_t http_date_s(const std::string& text) { return static_cast<std::int64_t>(curl_getdate(text.c_str(), nullptr)); }

}  // namespace engine::registry
