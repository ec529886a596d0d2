// The sending half of the client: distribution-spec "Pushing blobs" and "Pushing manifests".
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"
#include "engine/registry/client.h"
#include "engine/registry/manifest.h"

namespace engine::registry {

using base::ErrorKind;

Result<bool> Client::has_blob(const std::string& digest) {
  ASSIGN_OR_RETURN(const auto response, request({.method = "HEAD"}, "blobs/" + digest));
  if (response.status == 401 || response.status == 403) return refusal(response, "denied");
  return response.status == 200;
}

Result<bool> Client::has_manifest(const std::string& digest) {
  ASSIGN_OR_RETURN(const auto response, request({.method = "HEAD", .headers = {"Accept: " + std::string(media::oci_manifest) + ", " + std::string(media::docker_manifest)}}, "manifests/" + digest));
  return response.status == 200;
}

/// One blob on its way: in one piece, or in several where the registry takes no more at once or the first attempt broke off.
class Client::Upload {
 public:
  Upload(Client& client, std::string digest, base::Fd content, std::int64_t size, const std::function<void(std::int64_t)>& on_sent)
      : client_(client), digest_(std::move(digest)), content_(content), size_(size), on_sent_(on_sent) {}

  Result<> run() {
    constexpr int sessions_max = 10;  // pieces halve from piece_first to piece_smallest
    for (int session = 1;; ++session) {
      ASSIGN_OR_RETURN(const auto begun, begin(session == 1));
      if (begun == State::done) return {};
      auto state = State::open;
      while (state == State::open) {
        ASSIGN_OR_RETURN(state, step());
      }
      if (state == State::done) return {};
      if (session == sessions_max) return base::make_error(ErrorKind::unavailable, client_.endpoint_.host + " ends every upload of " + digest_);
    }
  }

 private:
  enum class State : std::uint8_t { open, done, lost };  ///< lost: the session is gone, another one is begun

  Result<State> begin(bool may_mount) {
    const auto elsewhere = client_.mounts_.find(digest_);
    const bool mount = may_mount && elsewhere != client_.mounts_.end();
    std::string path = "blobs/uploads/";
    // Refused or unknown there, the registry opens an ordinary upload instead.
    if (mount) path += "?mount=" + url_encode(digest_) + "&from=" + url_encode(elsewhere->second);
    ASSIGN_OR_RETURN(const auto opened, client_.request({.method = "POST"}, path));
    if (opened.status == 201 && mount) return State::done;
    if (opened.status != 202 || opened.header("location").empty()) return client_.refusal(opened, "starting the upload of " + digest_);
    offset_ = 0;
    take_location(opened);
    piece_min_ = std::clamp<std::int64_t>(std::atoll(opened.header("oci-chunk-min-length").c_str()), 0, size_);
    return State::open;
  }

  /// Sends the next piece. The last one of several is empty: it closes the upload.
  Result<State> step() {
    const bool whole = piece_ == 0 && offset_ == 0, last = whole || offset_ == size_;
    const auto bytes = whole ? size_ : std::min(piece_ == 0 ? size_ : std::max(piece_, piece_min_), size_ - offset_);
    HttpRequest request{.method = last ? "PUT" : "PATCH", .headers = {"Content-Type: application/octet-stream"}};
    request.follow_redirects = false;
    if (!last) request.headers.push_back("Content-Range: " + std::to_string(offset_) + "-" + std::to_string(offset_ + bytes - 1));
    if (whole || !last) {
      if (lseek(content_.number(), offset_, SEEK_SET) < 0) return base::errno_error(errno, "read " + digest_);
      request.upload = content_;
      request.upload_bytes = bytes;
      if (on_sent_) request.on_upload = [this, from = offset_](std::int64_t sent) { on_sent_(from + sent); };
    }
    auto answer = client_.attempt(request, last ? with_digest() : location_);
    if (!answer) {
      if (answer.error().kind != ErrorKind::unavailable) return std::move(answer).error();
      return resume(nullptr, answer.error());
    }
    if (last && answer->status == 201) return State::done;
    if (!last && (answer->status == 202 || answer->status == 204)) return proceed(*answer, bytes);
    if (answer->status == 307 || answer->status == 308) {
      if (++failures_ == tries_max || answer->header("location").empty()) return client_.refusal(*answer, "uploading " + digest_);
      take_location(*answer);
      return State::open;
    }
    return refused(*answer, whole);
  }

  /// The registry has taken a piece, or a part of it. Its Range is inclusive; without one it took all.
  Result<State> proceed(const HttpResponse& answer, std::int64_t bytes) {
    auto reached = end_of(answer);
    if (reached <= offset_) reached = offset_ + bytes;
    if (reached > offset_ + bytes) return base::make_error(ErrorKind::invalid, client_.endpoint_.host + " says that it has more of " + digest_ + " than was sent");
    offset_ = reached;
    failures_ = 0;
    take_location(answer);
    return State::open;
  }

  Result<State> refused(const HttpResponse& answer, bool whole) {
    auto error = client_.refusal(answer, "uploading " + digest_);
    const int status = answer.status;
    if (worth_retrying(status) || status == 416) return resume(&answer, std::move(error));
    if (status == 401 || status == 403) return error;
    if (status == 413 && piece_ > piece_smallest && piece_ > piece_min_) {
      piece_ /= 2;
      return State::lost;
    }
    // What takes no blob at once may take it in pieces; the first refusal is the one to tell, since it was the usual request.
    if (whole && size_ > 0) {
      piece_ = piece_first;
      first_refusal_ = std::move(error);
      return State::lost;
    }
    if (status == 404 && ++failures_ < tries_max) return State::lost;
    return first_refusal_ ? *first_refusal_ : error;
  }

  /// After a failure: what the registry has got is not sent again.
  Result<State> resume(const HttpResponse* answer, const base::Error& why) {
    if (++failures_ == tries_max) return why;
    back_off(failures_ - 1, answer);
    HttpRequest question;
    question.follow_redirects = false;
    const auto status = client_.attempt(question, location_);
    const auto reached = status && (status->status == 204 || status->status == 202) ? end_of(*status) : 0;
    if (reached > 0 && reached <= size_) {
      if (reached > offset_) failures_ = 1;
      offset_ = reached;
      take_location(*status);
      return State::open;
    }
    // The answer to the last request may be all that was lost.
    ASSIGN_OR_RETURN(const bool there, client_.has_blob(digest_));
    return there ? State::done : State::lost;
  }

  /// One past the last byte of "Range: 0-N"; 0 when there is none, and for "0-0", which registries say of nothing and of one byte.
  static std::int64_t end_of(const HttpResponse& answer) {
    const auto range = answer.header("range");
    const auto dash = range.find('-');
    const auto last = dash == std::string::npos ? 0 : std::atoll(range.c_str() + dash + 1);
    return last > 0 ? last + 1 : 0;
  }

  void take_location(const HttpResponse& answer) {
    const auto next = answer.header("location");
    if (next.empty()) return;
    const bool complete = next.starts_with("http://") || next.starts_with("https://") || next.starts_with('/');
    location_ = complete ? next : "blobs/uploads/" + next;  // relative to where uploads are begun
  }

  /// The upload's address with the digest added; its own query must be kept.
  [[nodiscard]] std::string with_digest() const {
    return location_ + (location_.find('?') == std::string::npos ? "?" : "&") + "digest=" + url_encode(digest_);
  }

  static constexpr std::int64_t piece_first = 8 << 20, piece_smallest = 64 << 10;
  Client& client_;
  std::string digest_;
  base::Fd content_;
  std::int64_t size_;
  const std::function<void(std::int64_t)>& on_sent_;
  std::string location_;
  std::int64_t offset_ = 0;     ///< what the registry has
  std::int64_t piece_ = 0;      ///< bytes of a PATCH; 0: all that is left
  std::int64_t piece_min_ = 0;  ///< OCI-Chunk-Min-Length
  int failures_ = 0;            ///< since the last progress
  std::optional<base::Error> first_refusal_;
};

Result<> Client::upload_blob(const std::string& digest, base::Fd content, std::int64_t size, const std::function<void(std::int64_t)>& on_sent) {
  return Upload(*this, digest, content, size, on_sent).run();
}

Result<> Client::upload_bytes(const std::string& digest, const std::string& bytes) {
  const base::UniqueFd file(memfd_create("blob", MFD_CLOEXEC));
  if (!file.valid()) return base::errno_error(errno, "make a file in memory");
  TRY(base::sys::write_all(file.borrow(), bytes));
  return upload_blob(digest, file.borrow(), static_cast<std::int64_t>(bytes.size()), {});
}

Result<> Client::put_manifest(const std::string& name, const std::string& bytes, const std::string& media_type) {
  ASSIGN_OR_RETURN(const auto sent, request({.method = "PUT", .headers = {"Content-Type: " + media_type}, .body = bytes}, "manifests/" + name));
  if (sent.status != 201 && sent.status != 202) return refusal(sent, "uploading the manifest " + name);
  return {};
}

}  // namespace engine::registry
