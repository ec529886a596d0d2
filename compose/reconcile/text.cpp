#include "compose/reconcile/text.h"

#include <algorithm>

namespace compose::reconcile {
namespace {

using namespace engine;

std::string_view condition_text(action::WaitContainer::Condition condition) {
  using enum action::WaitContainer::Condition;
  switch (condition) {
    case started: return "has started";
    case healthy: return "is healthy";
    case completed: return "completed successfully";
    case healthy_or_running: return "is running and healthy";
  }
  return "";
}

struct Sentence {
  std::string operator()(const action::CreateNetwork& a) const { return "create network " + a.spec.name; }
  std::string operator()(const action::RemoveNetwork& a) const { return "remove network " + a.name; }
  std::string operator()(const action::CreateVolume& a) const { return "create volume " + a.spec.name; }
  std::string operator()(const action::RemoveVolume& a) const { return "remove volume " + a.name; }
  std::string operator()(const action::CreateContainer& a) const { return "create " + a.spec.name; }
  std::string operator()(const action::RecreateContainer& a) const {
    return "recreate " + a.spec.name + (a.renew_volumes ? " with new anonymous volumes" : "");
  }
  std::string operator()(const action::StartContainer& a) const { return "start " + a.name; }
  std::string operator()(const action::StopContainer& a) const { return "stop " + a.name; }
  std::string operator()(const action::RestartContainer& a) const { return "restart " + a.name; }
  std::string operator()(const action::KillContainer& a) const { return "kill " + a.name + " with " + a.signal; }
  std::string operator()(const action::PauseContainer& a) const { return "pause " + a.name; }
  std::string operator()(const action::UnpauseContainer& a) const { return "unpause " + a.name; }
  std::string operator()(const action::RemoveContainer& a) const {
    return "remove " + a.name + (a.volumes ? " and its anonymous volumes" : "");
  }
  std::string operator()(const action::WaitContainer& a) const {
    return "wait until " + a.name + " " + std::string(condition_text(a.condition));
  }
  std::string operator()(const action::ConnectNetwork& a) const {
    return "connect " + a.container + " to " + a.attachment.network;
  }
  std::string operator()(const action::DisconnectNetwork& a) const {
    return "disconnect " + a.container + " from " + a.network;
  }
  std::string operator()(const action::RemoveImage& a) const { return "remove image " + a.reference; }
};

std::string head_of(std::size_t index, const Step& step) {
  std::string head = std::to_string(index);
  for (std::size_t i = 0; i < step.after.size(); ++i) {
    head += (i == 0 ? " after " : ",") + std::to_string(step.after[i]);
  }
  return head;
}

}  // namespace

std::string to_text(const Action& action) { return std::visit(Sentence{}, action); }

std::string to_text(const Plan& plan) {
  std::size_t width = 0;
  std::vector<std::string> heads;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    heads.push_back(head_of(i, plan.steps[i]));
    width = std::max(width, heads.back().size());
  }
  std::string text;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    text += heads[i] + std::string(width - heads[i].size() + 4, ' ') + to_text(step.action);
    if (!step.reason.empty()) text += ": " + step.reason;
    if (step.optional) text += " (optional)";
    if (step.hazard == Hazard::data_loss) text += " [data loss]";
    if (step.hazard == Hazard::downtime) text += " [downtime]";
    text += '\n';
  }
  return text;
}

}  // namespace compose::reconcile
