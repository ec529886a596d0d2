#include "engine/registry/fetch.h"

#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>

#include <thread>

#include "base/sys.h"
#include "engine/registry/hash.h"
#include "engine/registry/http.h"

namespace engine::registry {

using base::ErrorKind;

namespace {

/// filename="…" of Content-Disposition, its last component only.
std::string file_name(const std::string& header) {
  const auto at = header.find("filename=");
  if (at == std::string::npos) return {};
  auto name = header.substr(at + 9);
  if (name.starts_with('"')) name = name.substr(1, name.find('"', 1) - 1);
  else name = name.substr(0, name.find(';'));
  if (const auto slash = name.find_last_of("/\\"); slash != std::string::npos) name = name.substr(slash + 1);
  return name == "." || name == ".." ? "" : name;
}

base::Error refused(int status, const std::string& url) {
  ErrorKind kind = ErrorKind::invalid;
  if (status == 404 || status == 410) kind = ErrorKind::not_found;
  if (status == 401 || status == 403) kind = ErrorKind::permission;
  if (status == 408 || status == 429 || status >= 500) kind = ErrorKind::unavailable;
  return base::make_error(kind, url + ": the server answered with status " + std::to_string(status));
}

}  // namespace

Result<Download> fetch_url(const std::string& url, base::Fd output, std::int64_t bytes_max) {
  if (!url.starts_with("http://") && !url.starts_with("https://")) return base::make_error(ErrorKind::invalid, "'" + url + "' is not an http or https URL");
  constexpr int tries_max = 4;
  Http http;
  const auto start = lseek(output.number(), 0, SEEK_CUR);
  for (int number = 1;; ++number) {
    Hasher hasher;
    Download done;
    HttpRequest request{.url = url};
    request.sink = [&](std::int64_t, std::span<const char> bytes) -> Result<> {
      done.bytes += static_cast<std::int64_t>(bytes.size());
      if (done.bytes > bytes_max) return base::make_error(ErrorKind::exhausted, url + " is larger than " + std::to_string(bytes_max) + " bytes");
      hasher.update(bytes);
      return base::sys::write_all(output, {bytes.data(), bytes.size()});
    };
    auto answer = http.perform(request);
    const bool again = answer ? answer->status == 408 || answer->status == 429 || answer->status >= 500 : answer.error().kind == ErrorKind::unavailable;
    // A pipe cannot be rewound: what was written stays written.
    if (again && number < tries_max && (done.bytes == 0 || start >= 0)) {
      if (start >= 0) {
        TRY(base::sys::wrap("rewind", lseek(output.number(), start, SEEK_SET)));
        TRY(base::sys::wrap("truncate", ftruncate(output.number(), start)));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(200 << number));
      continue;
    }
    if (!answer) return std::move(answer).error();
    if (answer->status < 200 || answer->status >= 300) return refused(answer->status, url);
    done.digest = hasher.finish();
    done.etag = answer->header("etag");
    done.content_type = answer->header("content-type");
    done.file_name = file_name(answer->header("content-disposition"));
    if (const auto modified = answer->header("last-modified"); !modified.empty())
      done.last_modified_s = std::max<std::int64_t>(0, curl_getdate(modified.c_str(), nullptr));
    return done;
  }
}

}  // namespace engine::registry
