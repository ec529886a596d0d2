#pragma once
// The per-document stages in their order, over several files, with include and extends. Internal to the room.
#include <map>
#include <string>
#include <vector>

#include "compose/load/stage.h"
#include "compose/load/template.h"

namespace compose::load {

/// What one model (the project's, or an included one's) is made from.
struct ModelSource {
  std::vector<std::string> files;      ///< absolute or "-", later ones over earlier ones
  std::string working_dir;             ///< absolute: where files it names are found
  /// What its other paths are relative to. An included model has them relative to the model that includes it, which makes
  /// them absolute in the end, or not at all when paths are not to be resolved.
  std::string base;
  model::StringMap environment;
};

class Session {
 public:
  explicit Session(Context& context) : context_(context) {}

  struct Name {
    const Node* written = nullptr;      ///< the last `name:` of all documents, variables in place
    bool in_first_document = false;     ///< one of the files says a name at its beginning, not only behind a `---`
  };
  /// Parses the project's own files ahead of load_model and looks for the project's name.
  Name preload(const std::vector<std::string>& files);

  /// All stages up to `defaults → paths → environment` for the files of `source`.
  /// `including` are the files that led here, outermost first.
  Node load_model(const ModelSource& source, const std::vector<std::string>& including);

 private:
  struct FileStep;
  friend class Extender;

  /// Reads and parses; none on failure, which is reported.
  std::vector<Node> parse_file(const std::string& path);
  /// Reads and parses; every document has its variables replaced. Reports and returns none on failure.
  std::vector<Node> read_documents(const std::string& path, const model::StringMap& environment);
  void load_file(const std::string& path, const ModelSource& source, Node& model,
                 const std::vector<std::string>& including);
  void join_document(Node document, const std::string& path, const ModelSource& source, Node& model,
                     const std::vector<std::string>& including);
  void drop_version(Node& model, const std::string& path);
  /// The absolute path of a file another one names; a remote one is fetched. "" when reported.
  std::string local_path(const Node& reference, const Path& at, const ModelSource& source);

  // extends.cpp
  void apply_extends(Node& document, const std::string& path, const ModelSource& source);
  /// The services of another file, canonical and with paths relative to the working directory of `source`; read once.
  Node* services_of(const std::string& path, Position asked_at, const ModelSource& source);

  // include.cpp
  struct Include;
  /// Where the files `include` names are, and what their paths are relative to.
  void place(const Include& include, const ModelSource& source, ModelSource& inner) const;
  void apply_include(Node& document, const std::string& path, const ModelSource& source,
                     const std::vector<std::string>& including);
  void include_one(const Node& item, const Path& at, Node& document, const ModelSource& source,
                   const std::vector<std::string>& including);

  Context& context_;
  std::map<std::string, Node> extended_files_;
  std::map<std::string, std::vector<Node>> preloaded_;
  std::map<std::string, Position> named_at_;   ///< where a file names another one, by its path: errors in reading it stand there
};

/// Values of `environment` entries without one (services' environment) from the environment.
void resolve_environment_names(Node& model, const model::StringMap& environment);

/// "no such file or directory" and the like, as Docker Compose says it: "open PATH: no such file or directory".
std::string read_failure(const base::Error& error);

}  // namespace compose::load
