// The build check UndefinedVar: what instructions use and nobody set.
#include <algorithm>
#include <map>

#include "engine/build/checks.h"
#include "engine/build/words.h"

namespace engine::build {
namespace {

/// What a stage knows at one of its lines.
struct Known {
  std::set<std::string> env, args;
};

std::string closest(const std::string& wanted, const std::set<std::string>& names) {
  std::string best;
  std::size_t distance = 3;  // BuildKit's: further away is another word
  for (const auto& name : names) {
    const auto d = edit_distance(lower(wanted), lower(name));
    if (d < distance) {
      distance = d;
      best = name;
    }
  }
  return best;
}

class Scan {
 public:
  Scan(const Dockerfile& file, const StagePlan& plan, const BaseVariables& base) : file_(file), plan_(plan), base_(base) {}

  std::vector<Finding> run() {
    for (const auto& stage : plan_.stages)
      if (plan_.needed[stage.index]) scan(stage);
    return std::move(found_);
  }

 private:
  std::optional<Known> begin(const Stage& stage) {
    if (stage.base_stage) {
      const auto above = ends_.find(*stage.base_stage);
      return above == ends_.end() ? std::nullopt : std::optional(above->second);
    }
    Known known;
    if (stage.base != "scratch") {
      const auto names = base_ ? base_(stage) : std::nullopt;
      if (!names) return std::nullopt;
      known.env = *names;
    }
    known.env.insert("PATH");  // without one in the image, BuildKit's own
    return known;
  }

  void scan(const Stage& stage) {
    auto known = begin(stage);
    if (!known) return;  // its base is not here: nothing is certain
    for (const auto& command : stage.commands) {
      for (const auto& word : words(command.meaning)) uses(word, {.escape = file_.escape}, *known, command.span);
      if (const auto* copy = std::get_if<instr::Copy>(&command.meaning))
        for (const auto& heredoc : copy->heredocs)
          if (heredoc.expand) uses(heredoc.content, {.escape = file_.escape, .ignore_quotes = true}, *known, command.span);
      if (const auto* env = std::get_if<instr::Env>(&command.meaning))
        for (const auto& pair : env->pairs) known->env.insert(pair.key);
      if (const auto* arg = std::get_if<instr::Arg>(&command.meaning))
        for (const auto& item : arg->items) known->args.insert(item.key);
    }
    ends_.emplace(stage.index, std::move(*known));
  }

  /// The words in which variables are replaced.
  static std::vector<std::string> words(const Meaning& meaning) {
    std::vector<std::string> all;
    const auto pairs = [&](const std::vector<KeyValue>& list) {
      for (const auto& [key, value] : list) all.insert(all.end(), {key, value});
    };
    if (const auto* env = std::get_if<instr::Env>(&meaning)) pairs(env->pairs);
    if (const auto* label = std::get_if<instr::Label>(&meaning)) pairs(label->pairs);
    if (const auto* arg = std::get_if<instr::Arg>(&meaning))
      for (const auto& item : arg->items) all.push_back(item.value.value_or(""));
    if (const auto* one = std::get_if<instr::Workdir>(&meaning)) all.push_back(one->path);
    if (const auto* one = std::get_if<instr::User>(&meaning)) all.push_back(one->user);
    if (const auto* one = std::get_if<instr::Expose>(&meaning)) all = one->ports;
    if (const auto* one = std::get_if<instr::Volume>(&meaning)) all = one->paths;
    if (const auto* one = std::get_if<instr::StopSignal>(&meaning)) all.push_back(one->signal);
    if (const auto* one = std::get_if<instr::Run>(&meaning)) all = one->mounts;
    if (const auto* copy = std::get_if<instr::Copy>(&meaning)) {
      all = copy->sources;
      all.insert(all.end(), {copy->destination, copy->chown, copy->chmod, copy->checksum});
    }
    return all;
  }

  void uses(const std::string& text, const ExpandOptions& options, const Known& known, const Span& where) {
    std::set<std::string> unknown;
    // A value of any kind: which branch of an operator is taken must not hide what is used in it.
    (void)expand_word(text, [&](const std::string& name) -> std::optional<std::string> {
      if (known.env.contains(name)) return "x";
      if (known.args.contains(name) || is_proxy_argument(name)) return std::nullopt;
      unknown.insert(name);
      return std::nullopt;
    }, options);
    for (const auto& name : unknown) {
      const auto like = closest(name, known.env);
      Finding finding{"UndefinedVar", "Usage of undefined variable '$" + name + "'" + (like.empty() ? "" : " (did you mean $" + like + "?)"), where};
      if (std::find(found_.begin(), found_.end(), finding) == found_.end()) found_.push_back(std::move(finding));
    }
  }

  const Dockerfile& file_;
  const StagePlan& plan_;
  const BaseVariables& base_;
  std::map<std::size_t, Known> ends_;  ///< by stage: what the next FROM of it inherits
  std::vector<Finding> found_;
};

}  // namespace

std::vector<Finding> undefined_variables(const Dockerfile& file, const StagePlan& plan, const BaseVariables& base) {
  return Scan(file, plan, base).run();
}

}  // namespace engine::build
