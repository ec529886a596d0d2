// Longer than files should be: it is one table, and a table is read by looking things up.
#include "compose/load/rules.h"

#include <array>
#include <string>
#include <vector>

namespace compose::load {
namespace {

constexpr Rule text_item{.key = ""};
constexpr Rule number_item{.key = "", .accepts = string_ | number_};
constexpr Rule scalar_value{.key = "", .accepts = string_ | number_};
constexpr Rule option_value{.key = "", .accepts = string_ | number_ | boolean_ | null_};
constexpr Rule host_value{.key = "", .accepts = string_ | list_, .item = &text_item};

/// Rows that many objects share.
constexpr Rule labels_row(std::string_view key, Unique unique = Unique::none, Merge merge = Merge::key_values) {
  return {.key = key, .accepts = list_ | map_, .form = Form::labels, .value = &option_value, .item = &text_item,
          .merge = merge, .unique = unique, .key_pattern = "filled", .unique_items = true};
}
constexpr Rule environment_row(std::string_view key, Unique unique = Unique::none, Merge merge = Merge::key_values) {
  return {.key = key, .accepts = list_ | map_, .form = Form::environment, .value = &option_value, .item = &text_item,
          .merge = merge, .unique = unique, .key_pattern = "filled", .unique_items = true};
}
constexpr Rule texts_row(std::string_view key, Unique unique = Unique::none, bool unique_items = true) {
  return {.key = key, .accepts = list_, .form = Form::texts, .item = &text_item, .unique = unique,
          .unique_items = unique_items};
}
constexpr Rule text_or_texts_row(std::string_view key, Unique unique = Unique::none, Merge merge = Merge::automatic,
                                 Short expand = Short::none) {
  return {.key = key, .accepts = string_ | list_, .form = Form::texts, .item = &text_item, .merge = merge,
          .unique = unique, .expand = expand, .unique_items = true};
}
constexpr Rule duration_row(std::string_view key) {
  return {.key = key, .form = Form::duration, .format = "duration"};
}
constexpr Rule flag_row(std::string_view key, Cast cast = Cast::none) {
  return {.key = key, .accepts = boolean_ | string_, .form = Form::boolean, .cast = cast};
}
constexpr Rule options_row(std::string_view key) {
  return {.key = key, .accepts = map_, .form = Form::strings_map, .value = &scalar_value, .key_pattern = "filled"};
}

// ---- shared objects ----

constexpr Rule ulimit_rows[] = {
    {.key = "soft", .accepts = integer_ | string_, .form = Form::integer, .cast = Cast::integer},
    {.key = "hard", .accepts = integer_ | string_, .form = Form::integer, .cast = Cast::integer},
};
constexpr std::string_view ulimit_required[] = {"soft", "hard"};
constexpr Object ulimit_object{.attributes = ulimit_rows, .required = ulimit_required};
constexpr Rule ulimit_value_of(Merge merge) {
  return {.key = "", .accepts = integer_ | string_ | map_, .form = Form::ulimit, .object = &ulimit_object,
          .cast = Cast::integer, .merge = merge};
}
constexpr Rule ulimit_value = ulimit_value_of(Merge::replace), build_ulimit_value = ulimit_value_of(Merge::automatic);
constexpr Rule ulimits_row_of(const Rule* value) {
  return {.key = "ulimits", .accepts = map_, .form = Form::map, .value = value};
}
constexpr Rule ulimits_row = ulimits_row_of(&ulimit_value), build_ulimits_row = ulimits_row_of(&build_ulimit_value);

constexpr Rule file_reference_rows[] = {
    {.key = "source"},
    {.key = "target"},
    {.key = "uid"},
    {.key = "gid"},
    {.key = "mode", .accepts = string_ | number_, .form = Form::mode},
};
constexpr Object file_reference_object{.attributes = file_reference_rows};
constexpr Rule build_secret_item{.key = "", .accepts = string_ | map_, .form = Form::object,
                                 .object = &file_reference_object, .expand = Short::file};
constexpr Rule config_item{.key = "", .accepts = string_ | map_, .form = Form::object,
                           .object = &file_reference_object, .expand = Short::file};
constexpr Rule secret_item{.key = "", .accepts = string_ | map_, .form = Form::object,
                           .object = &file_reference_object, .expand = Short::secret_file};

constexpr Rule hook_rows[] = {
    {.key = "command", .accepts = null_ | string_ | list_, .form = Form::words, .item = &text_item,
     .merge = Merge::replace, .json_null = true},
    {.key = "user"},
    flag_row("privileged"),
    {.key = "working_dir"},
    environment_row("environment", Unique::none, Merge::automatic),
};
constexpr std::string_view hook_required[] = {"command"};
constexpr Object hook_object{.attributes = hook_rows, .required = hook_required};
constexpr Rule hook_item{.key = "", .accepts = map_, .form = Form::object, .object = &hook_object};

constexpr Rule device_request_rows[] = {
    texts_row("capabilities"),
    {.key = "driver"},
    {.key = "count", .accepts = string_ | integer_, .form = Form::count},
    texts_row("device_ids"),
    {.key = "options", .accepts = list_ | map_, .form = Form::strings_map, .value = &option_value, .item = &text_item,
     .key_pattern = "filled", .unique_items = true},
};
constexpr std::string_view device_request_required[] = {"capabilities"};
constexpr Object gpu_object{.attributes = device_request_rows, .extensions_kept = false, .open = true};
constexpr Object device_request_object{.attributes = device_request_rows, .required = device_request_required,
                                       .extensions_kept = false};
constexpr Rule gpu_item{.key = "", .accepts = map_, .form = Form::object, .object = &gpu_object,
                        .expand = Short::device_request};
constexpr Rule device_request_item{.key = "", .accepts = map_, .form = Form::object, .object = &device_request_object,
                                   .expand = Short::device_request};

// ---- build ----

constexpr Rule build_rows[] = {
    {.key = "context", .path = PathKind::context},
    {.key = "dockerfile"},
    {.key = "dockerfile_inline"},
    texts_row("entitlements", Unique::none, false),
    environment_row("args", Unique::key_value),
    {.key = "provenance", .accepts = string_ | boolean_, .expand = Short::text},
    {.key = "sbom", .accepts = string_ | boolean_, .expand = Short::text},
    {.key = "ssh", .accepts = list_ | map_, .form = Form::ssh, .value = &option_value, .item = &text_item,
     .expand = Short::ssh, .key_pattern = "filled", .unique_items = true},
    labels_row("labels", Unique::key_value),
    texts_row("cache_from", Unique::none, false),
    texts_row("cache_to", Unique::none, false),
    flag_row("no_cache"),
    {.key = "additional_contexts", .accepts = list_ | map_, .form = Form::strings_map, .value = &option_value,
     .item = &text_item, .merge = Merge::key_values, .unique = Unique::key_value, .expand = Short::key_value,
     .path = PathKind::contexts, .key_pattern = "filled", .unique_items = true},
    flag_row("pull"),
    {.key = "extra_hosts", .accepts = list_ | map_, .form = Form::hosts, .value = &host_value, .item = &text_item,
     .merge = Merge::extra_hosts, .key_pattern = "filled", .unique_items = true},
    {.key = "isolation"},
    {.key = "network"},
    {.key = "target"},
    {.key = "secrets", .accepts = list_, .form = Form::list, .item = &build_secret_item},
    {.key = "shm_size", .accepts = integer_ | string_, .form = Form::bytes},
    texts_row("tags", Unique::key_value),
    build_ulimits_row,
    texts_row("platforms", Unique::none, false),
    flag_row("privileged"),
};
constexpr Object build_object{.attributes = build_rows};

// ---- develop ----

constexpr Rule watch_rows[] = {
    {.key = "path", .path = PathKind::watch},
    {.key = "action", .choices = "rebuild|sync|restart|sync+restart|sync+exec"},
    {.key = "target"},
    {.key = "exec", .accepts = map_, .form = Form::object_filled, .object = &hook_object, .json_object = true},
    text_or_texts_row("include", Unique::none, Merge::automatic, Short::list),
    text_or_texts_row("ignore", Unique::none, Merge::automatic, Short::list),
    {.key = "initial_sync", .accepts = boolean_, .form = Form::boolean},
};
constexpr std::string_view watch_required[] = {"path", "action"};
constexpr Object watch_object{.attributes = watch_rows, .required = watch_required};
constexpr Rule watch_item{.key = "", .accepts = map_, .form = Form::object, .object = &watch_object};
constexpr Rule develop_rows[] = {
    {.key = "watch", .accepts = list_, .form = Form::list, .item = &watch_item},
};
constexpr Object develop_object{.attributes = develop_rows};

// ---- blkio_config ----

constexpr Rule throttle_rows[] = {
    {.key = "path", .always = true, .json_key = "Path"},
    {.key = "rate", .accepts = integer_ | string_, .form = Form::bytes, .always = true, .json_key = "Rate"},
};
constexpr Object throttle_object{.attributes = throttle_rows, .extensions = false};
constexpr Rule throttle_item{.key = "", .accepts = map_, .form = Form::object, .object = &throttle_object};
constexpr Rule weight_rows[] = {
    {.key = "path", .always = true, .json_key = "Path"},
    {.key = "weight", .accepts = integer_ | string_, .form = Form::integer, .format = "number", .bits = 16,
     .always = true, .json_key = "Weight"},
};
constexpr Object weight_object{.attributes = weight_rows, .extensions = false};
constexpr Rule weight_item{.key = "", .accepts = map_, .form = Form::object, .object = &weight_object};
constexpr Rule throttles_row(std::string_view key) {
  return {.key = key, .accepts = list_, .form = Form::list, .item = &throttle_item};
}
constexpr Rule blkio_rows[] = {
    {.key = "weight", .accepts = integer_ | string_, .form = Form::integer, .format = "number", .bits = 16},
    {.key = "weight_device", .accepts = list_, .form = Form::list, .item = &weight_item},
    throttles_row("device_read_bps"),
    throttles_row("device_read_iops"),
    throttles_row("device_write_bps"),
    throttles_row("device_write_iops"),
};
constexpr Object blkio_object{.attributes = blkio_rows, .extensions = false};

// ---- deploy ----

constexpr Rule update_rows[] = {
    {.key = "parallelism", .accepts = integer_ | string_, .form = Form::integer_kept, .cast = Cast::integer,
     .format = "unsigned"},
    duration_row("delay"),
    {.key = "failure_action"},
    duration_row("monitor"),
    {.key = "max_failure_ratio", .accepts = number_ | string_, .form = Form::real32, .cast = Cast::real},
    {.key = "order", .choices = "start-first|stop-first"},
};
constexpr Object update_object{.attributes = update_rows};
constexpr Rule limits_rows[] = {
    {.key = "cpus", .accepts = number_ | string_, .form = Form::cpus},
    {.key = "memory", .form = Form::bytes},
    {.key = "pids", .accepts = integer_ | string_, .form = Form::integer},
};
constexpr Object limits_object{.attributes = limits_rows};
constexpr Rule generic_spec_rows[] = {
    {.key = "kind", .always = true},
    {.key = "value", .accepts = number_ | string_, .form = Form::integer, .always = true},
};
constexpr Object generic_spec_object{.attributes = generic_spec_rows};
constexpr Rule generic_rows[] = {
    {.key = "discrete_resource_spec", .accepts = map_, .form = Form::object, .object = &generic_spec_object},
};
constexpr Object generic_object{.attributes = generic_rows};
constexpr Rule generic_item{.key = "", .accepts = map_, .form = Form::object, .object = &generic_object};
constexpr Rule reservations_rows[] = {
    {.key = "cpus", .accepts = number_ | string_, .form = Form::cpus},
    {.key = "memory", .form = Form::bytes},
    {.key = "devices", .accepts = list_, .form = Form::list, .item = &device_request_item},
    {.key = "generic_resources", .accepts = list_, .form = Form::list, .item = &generic_item},
};
constexpr Object reservations_object{.attributes = reservations_rows};
constexpr Rule resources_rows[] = {
    {.key = "limits", .accepts = map_, .form = Form::object, .object = &limits_object},
    {.key = "reservations", .accepts = map_, .form = Form::object, .object = &reservations_object},
};
constexpr Object resources_object{.attributes = resources_rows};
constexpr Rule restart_policy_rows[] = {
    {.key = "condition"},
    duration_row("delay"),
    {.key = "max_attempts", .accepts = integer_ | string_, .form = Form::integer_kept, .cast = Cast::integer,
     .format = "unsigned"},
    duration_row("window"),
};
constexpr Object restart_policy_object{.attributes = restart_policy_rows};
constexpr Rule preference_rows[] = {{.key = "spread"}};
constexpr Object preference_object{.attributes = preference_rows};
constexpr Rule preference_item{.key = "", .accepts = map_, .form = Form::object, .object = &preference_object};
constexpr Rule placement_rows[] = {
    texts_row("constraints", Unique::none, false),
    {.key = "preferences", .accepts = list_, .form = Form::list, .item = &preference_item},
    {.key = "max_replicas_per_node", .accepts = integer_ | string_, .form = Form::integer, .cast = Cast::integer,
     .format = "unsigned"},
};
constexpr Object placement_object{.attributes = placement_rows};
constexpr Rule deploy_rows[] = {
    {.key = "mode"},
    {.key = "replicas", .accepts = integer_ | string_, .form = Form::integer_kept, .cast = Cast::integer},
    labels_row("labels", Unique::key_value),
    {.key = "update_config", .accepts = map_, .form = Form::object, .object = &update_object},
    {.key = "rollback_config", .accepts = map_, .form = Form::object, .object = &update_object},
    {.key = "resources", .accepts = map_, .form = Form::object_filled, .object = &resources_object, .json_object = true},
    {.key = "restart_policy", .accepts = map_, .form = Form::object, .object = &restart_policy_object},
    {.key = "placement", .accepts = map_, .form = Form::object_filled, .object = &placement_object, .json_object = true},
    {.key = "endpoint_mode"},
};
constexpr Object deploy_object{.attributes = deploy_rows};

// ---- services ----

constexpr Rule credential_rows[] = {{.key = "config"}, {.key = "file"}, {.key = "registry"}};
constexpr Object credential_object{.attributes = credential_rows};
constexpr Rule dependency_rows[] = {
    {.key = "condition", .choices = "service_started|service_healthy|service_completed_successfully"},
    flag_row("restart", Cast::boolean),
    {.key = "required", .accepts = boolean_, .form = Form::boolean_kept},
};
constexpr std::string_view dependency_required[] = {"condition"};
constexpr Object dependency_object{.attributes = dependency_rows, .required = dependency_required};
constexpr Rule dependency_value{.key = "", .accepts = map_, .form = Form::object, .object = &dependency_object};

constexpr Rule device_rows[] = {{.key = "source"}, {.key = "target"}, {.key = "permissions"}};
constexpr std::string_view device_required[] = {"source"};
constexpr Object device_object{.attributes = device_rows, .required = device_required};
constexpr Rule device_item{.key = "", .accepts = string_ | map_, .form = Form::object, .object = &device_object,
                           .expand = Short::device};

constexpr Rule env_file_rows[] = {
    {.key = "path", .path = PathKind::file},
    {.key = "format"},
    {.key = "required", .accepts = boolean_ | string_, .form = Form::boolean_kept},
};
constexpr std::string_view env_file_required[] = {"path"};
constexpr Object env_file_object{.attributes = env_file_rows, .required = env_file_required, .extensions = false};
constexpr Rule env_file_item{.key = "", .accepts = string_ | map_, .form = Form::object, .object = &env_file_object};
constexpr Rule label_file_item{.key = "", .path = PathKind::file};

constexpr Rule extends_rows[] = {{.key = "file", .path = PathKind::extends_file}, {.key = "service"}};
constexpr std::string_view extends_required[] = {"service"};
constexpr Object extends_object{.attributes = extends_rows, .required = extends_required, .extensions = false};

constexpr Rule healthcheck_rows[] = {
    {.key = "test", .accepts = string_ | list_, .form = Form::health_test, .item = &text_item, .merge = Merge::replace},
    duration_row("timeout"),
    duration_row("interval"),
    {.key = "retries", .accepts = number_ | string_, .form = Form::integer_kept, .cast = Cast::integer,
     .format = "unsigned"},
    duration_row("start_period"),
    duration_row("start_interval"),
    flag_row("disable", Cast::boolean),
};
constexpr Object healthcheck_object{.attributes = healthcheck_rows};

constexpr Rule log_option_value{.key = "", .accepts = string_ | number_ | null_};
constexpr Rule logging_rows[] = {
    {.key = "driver"},
    {.key = "options", .accepts = map_, .form = Form::strings_map, .value = &log_option_value, .key_pattern = "filled"},
};
constexpr Object logging_object{.attributes = logging_rows};

constexpr Rule service_model_rows[] = {{.key = "endpoint_var"}, {.key = "model_var"}};
constexpr Object service_model_object{.attributes = service_model_rows};
constexpr Rule service_model_value{.key = "", .accepts = map_ | null_, .form = Form::object,
                                   .object = &service_model_object};

constexpr Rule service_network_rows[] = {
    texts_row("aliases", Unique::key_value),
    options_row("driver_opts"),
    {.key = "gw_priority", .accepts = number_, .form = Form::integer},
    {.key = "interface_name"},
    {.key = "ipv4_address"},
    {.key = "ipv6_address"},
    texts_row("link_local_ips", Unique::key_value),
    {.key = "mac_address"},
    {.key = "priority", .accepts = number_, .form = Form::integer},
};
constexpr Object service_network_object{.attributes = service_network_rows};
constexpr Rule service_network_value{.key = "", .accepts = map_ | null_, .form = Form::object,
                                     .object = &service_network_object};

constexpr Rule port_rows[] = {
    {.key = "name"},
    {.key = "mode"},
    {.key = "host_ip"},
    {.key = "target", .accepts = integer_ | string_, .form = Form::integer, .cast = Cast::integer, .format = "unsigned",
     .bits = 32},
    {.key = "published", .accepts = string_ | integer_},
    {.key = "protocol"},
    {.key = "app_protocol"},
};
constexpr Object port_object{.attributes = port_rows};
constexpr Rule port_item{.key = "", .accepts = number_ | string_ | map_, .form = Form::object, .object = &port_object,
                         .format = "ports"};
constexpr Rule expose_item{.key = "", .accepts = number_ | string_, .format = "expose"};

constexpr Rule provider_item{.key = "", .accepts = string_ | number_ | boolean_};
constexpr Rule provider_option{.key = "", .accepts = string_ | number_ | boolean_ | list_, .form = Form::texts,
                               .item = &provider_item};
constexpr Rule provider_rows[] = {
    {.key = "type"},
    {.key = "options", .accepts = map_, .form = Form::lists_map,
     .value = &provider_option, .key_pattern = "filled"},
};
constexpr std::string_view provider_required[] = {"type"};
constexpr Object provider_object{.attributes = provider_rows, .required = provider_required};

constexpr Rule mount_bind_rows[] = {
    {.key = "selinux", .choices = "z|Z"},
    {.key = "propagation"},
    {.key = "create_host_path", .accepts = boolean_ | string_, .form = Form::boolean},
    {.key = "recursive", .choices = "enabled|disabled|writable|readonly"},
};
constexpr Object mount_bind_object{.attributes = mount_bind_rows};
constexpr Rule mount_volume_rows[] = {
    labels_row("labels"),
    flag_row("nocopy", Cast::boolean),
    {.key = "subpath"},
};
constexpr Object mount_volume_object{.attributes = mount_volume_rows};
constexpr Rule mount_tmpfs_rows[] = {
    {.key = "size", .accepts = integer_ | string_, .form = Form::bytes, .format = "not_negative"},
    {.key = "mode", .accepts = number_ | string_, .form = Form::integer, .format = "mode", .bits = 32},
};
constexpr Object mount_tmpfs_object{.attributes = mount_tmpfs_rows};
constexpr Rule mount_image_rows[] = {{.key = "subpath"}};
constexpr Object mount_image_object{.attributes = mount_image_rows};
constexpr Rule mount_rows[] = {
    {.key = "type", .choices = "bind|volume|tmpfs|cluster|npipe|image"},
    {.key = "source", .path = PathKind::bind_source},
    {.key = "target"},
    flag_row("read_only", Cast::boolean),
    {.key = "consistency"},
    {.key = "bind", .accepts = map_, .form = Form::object, .object = &mount_bind_object},
    {.key = "volume", .accepts = map_, .form = Form::object, .object = &mount_volume_object},
    {.key = "tmpfs", .accepts = map_, .form = Form::object, .object = &mount_tmpfs_object},
    {.key = "image", .accepts = map_, .form = Form::object, .object = &mount_image_object},
};
constexpr std::string_view mount_required[] = {"type"};
constexpr Object mount_object{.attributes = mount_rows, .required = mount_required};
constexpr Rule mount_item{.key = "", .accepts = string_ | map_, .form = Form::object, .object = &mount_object,
                          .expand = Short::mount};

constexpr Rule service_rows[] = {
    texts_row("profiles", Unique::key_value),
    labels_row("annotations", Unique::key_value),
    {.key = "attach", .accepts = boolean_ | string_, .form = Form::boolean_kept},
    {.key = "build", .accepts = string_ | map_, .form = Form::object, .object = &build_object, .merge = Merge::build,
     .expand = Short::build},
    {.key = "develop", .accepts = map_ | null_, .form = Form::object, .object = &develop_object},
    {.key = "blkio_config", .accepts = map_, .form = Form::object, .object = &blkio_object},
    texts_row("cap_add", Unique::key_value),
    texts_row("cap_drop", Unique::key_value),
    {.key = "cgroup_parent"},
    {.key = "cgroup", .choices = "host|private"},
    {.key = "cpu_count", .accepts = string_ | integer_, .form = Form::integer, .cast = Cast::integer,
     .format = "not_negative"},
    {.key = "cpu_percent", .accepts = string_ | integer_, .form = Form::real32, .cast = Cast::real, .format = "percent"},
    {.key = "cpu_period", .accepts = number_ | string_, .form = Form::integer, .cast = Cast::integer},
    {.key = "cpu_quota", .accepts = number_ | string_, .form = Form::integer, .cast = Cast::integer},
    {.key = "cpu_rt_period", .accepts = number_ | string_, .form = Form::integer, .cast = Cast::integer},
    {.key = "cpu_rt_runtime", .accepts = number_ | string_, .form = Form::integer, .cast = Cast::integer},
    {.key = "cpus", .accepts = number_ | string_, .form = Form::real32, .cast = Cast::real},
    {.key = "cpuset"},
    {.key = "cpu_shares", .accepts = number_ | string_, .form = Form::integer, .cast = Cast::integer},
    {.key = "command", .accepts = null_ | string_ | list_, .form = Form::words, .item = &text_item,
     .merge = Merge::replace, .json_null = true},
    {.key = "configs", .accepts = list_, .form = Form::list, .item = &config_item, .unique = Unique::config},
    {.key = "container_name"},
    {.key = "credential_spec", .accepts = map_, .form = Form::object, .object = &credential_object},
    {.key = "depends_on", .accepts = list_ | map_, .form = Form::map, .value = &dependency_value, .item = &text_item,
     .merge = Merge::depends_on, .expand = Short::depends_on, .key_pattern = "name", .unique_items = true},
    {.key = "deploy", .accepts = map_ | null_, .form = Form::object, .object = &deploy_object},
    texts_row("device_cgroup_rules"),
    {.key = "devices", .accepts = list_, .form = Form::list, .item = &device_item, .unique = Unique::device},
    text_or_texts_row("dns", Unique::key_value, Merge::key_values, Short::list),
    {.key = "dns_opt", .accepts = list_, .form = Form::texts, .item = &text_item, .merge = Merge::key_values,
     .unique = Unique::key_value, .unique_items = true},
    text_or_texts_row("dns_search", Unique::key_value, Merge::key_values),
    {.key = "domainname"},
    {.key = "entrypoint", .accepts = null_ | string_ | list_, .form = Form::words, .item = &text_item,
     .merge = Merge::replace, .json_null = true},
    {.key = "provider", .accepts = map_, .form = Form::object, .object = &provider_object},
    environment_row("environment", Unique::key_value),
    {.key = "env_file", .accepts = string_ | list_, .form = Form::env_files, .item = &env_file_item,
     .merge = Merge::key_values, .unique = Unique::env_file, .expand = Short::env_file},
    {.key = "expose", .accepts = list_, .form = Form::texts, .item = &expose_item, .unique = Unique::expose,
     .unique_items = true},
    // Printed only when the extended service is empty: otherwise merging takes it away.
    {.key = "extends", .accepts = string_ | map_, .form = Form::object_filled, .object = &extends_object,
     .expand = Short::extends},
    texts_row("external_links"),
    {.key = "extra_hosts", .accepts = list_ | map_, .form = Form::hosts, .value = &host_value, .item = &text_item,
     .merge = Merge::extra_hosts, .key_pattern = "filled", .unique_items = true},
    {.key = "group_add", .accepts = list_, .form = Form::texts, .item = &number_item, .unique_items = true},
    {.key = "gpus", .accepts = string_ | list_, .form = Form::list, .item = &gpu_item, .expand = Short::gpus,
     .choices = "all"},
    {.key = "hostname"},
    {.key = "healthcheck", .accepts = map_, .form = Form::object, .object = &healthcheck_object},
    {.key = "image"},
    {.key = "init", .accepts = boolean_ | string_, .form = Form::boolean_kept, .cast = Cast::boolean},
    {.key = "ipc"},
    {.key = "isolation"},
    labels_row("labels", Unique::key_value),
    {.key = "label_file", .accepts = string_ | list_, .form = Form::dropped, .item = &label_file_item,
     .merge = Merge::key_values, .expand = Short::list},
    texts_row("links", Unique::key_value),
    {.key = "logging", .accepts = map_, .form = Form::object, .object = &logging_object, .merge = Merge::logging},
    {.key = "mem_limit", .accepts = number_ | string_, .form = Form::bytes},
    {.key = "mem_reservation", .accepts = string_ | integer_, .form = Form::bytes},
    {.key = "memswap_limit", .accepts = number_ | string_, .form = Form::bytes},
    {.key = "mem_swappiness", .accepts = integer_ | string_, .form = Form::bytes},
    {.key = "mac_address"},
    {.key = "models", .accepts = list_ | map_, .form = Form::map, .value = &service_model_value, .item = &text_item,
     .merge = Merge::names, .expand = Short::models, .key_pattern = "name", .unique_items = true},
    {.key = "networks", .accepts = list_ | map_, .form = Form::map, .value = &service_network_value,
     .item = &text_item, .merge = Merge::names, .expand = Short::names, .key_pattern = "name", .unique_items = true},
    {.key = "network_mode"},
    {.key = "oom_kill_disable", .accepts = boolean_ | string_, .form = Form::boolean, .cast = Cast::boolean},
    {.key = "oom_score_adj", .accepts = string_ | integer_, .form = Form::integer, .cast = Cast::integer,
     .format = "oom_score"},
    {.key = "pid", .accepts = string_ | null_},
    {.key = "pids_limit", .accepts = number_ | string_, .form = Form::integer, .cast = Cast::integer},
    {.key = "platform"},
    {.key = "ports", .accepts = list_, .form = Form::list, .item = &port_item, .unique = Unique::port,
     .expand = Short::port, .unique_items = true},
    flag_row("privileged", Cast::boolean),
    {.key = "pull_policy", .format = "pull_policy"},
    {.key = "pull_refresh_after", .form = Form::dropped},
    flag_row("read_only", Cast::boolean),
    {.key = "restart"},
    {.key = "runtime"},
    {.key = "scale", .accepts = integer_ | string_, .form = Form::integer_kept, .cast = Cast::integer},
    {.key = "secrets", .accepts = list_, .form = Form::list, .item = &secret_item, .unique = Unique::secret},
    texts_row("security_opt"),
    {.key = "shm_size", .accepts = number_ | string_, .form = Form::bytes},
    flag_row("stdin_open", Cast::boolean),
    duration_row("stop_grace_period"),
    {.key = "stop_signal"},
    {.key = "storage_opt", .accepts = map_, .form = Form::strings_map},
    {.key = "sysctls", .accepts = list_ | map_, .form = Form::strings_map, .value = &option_value, .item = &text_item,
     .merge = Merge::key_values, .unique = Unique::key_value, .key_pattern = "filled", .unique_items = true},
    text_or_texts_row("tmpfs", Unique::key_value, Merge::key_values),
    flag_row("tty", Cast::boolean),
    ulimits_row,
    {.key = "use_api_socket", .accepts = boolean_, .form = Form::boolean},
    {.key = "user"},
    {.key = "userns_mode"},
    {.key = "uts"},
    {.key = "volumes", .accepts = list_, .form = Form::list, .item = &mount_item, .unique = Unique::mount,
     .unique_items = true},
    texts_row("volumes_from"),
    {.key = "working_dir"},
    {.key = "post_start", .accepts = list_, .form = Form::list, .item = &hook_item},
    {.key = "pre_stop", .accepts = list_, .form = Form::list, .item = &hook_item},
};
constexpr Object service_object{.attributes = service_rows};
constexpr Rule service_value{.key = "", .accepts = map_, .form = Form::object, .object = &service_object,
                             .expand = Short::service};

// ---- networks, volumes, configs, secrets, models ----

constexpr Rule external_rows[] = {{.key = "name"}};
constexpr Object external_object{.attributes = external_rows};
constexpr Object open_external_object{.attributes = external_rows, .open = true};
constexpr Rule external_row_of(const Object* object) {
  return {.key = "external", .accepts = boolean_ | string_ | map_, .form = Form::boolean, .object = object, .cast = Cast::boolean};
}
constexpr Rule external_row = external_row_of(&external_object), open_external_row = external_row_of(&open_external_object);

constexpr Rule pool_rows[] = {
    {.key = "subnet"},
    {.key = "gateway"},
    {.key = "ip_range"},
    {.key = "aux_addresses", .accepts = map_, .form = Form::strings_map, .value = &text_item, .key_pattern = "filled"},
};
constexpr Object pool_object{.attributes = pool_rows, .extensions_kept = false};
constexpr Rule pool_item{.key = "", .accepts = map_, .form = Form::object, .object = &pool_object};
constexpr Rule ipam_rows[] = {
    {.key = "driver"},
    {.key = "config", .accepts = list_, .form = Form::list, .item = &pool_item, .merge = Merge::pools},
    {.key = "options", .accepts = map_, .form = Form::dropped, .value = &text_item, .unique = Unique::key_value,
     .key_pattern = "filled"},
};
constexpr Object ipam_object{.attributes = ipam_rows};
constexpr Rule network_rows[] = {
    {.key = "name"},
    {.key = "driver"},
    options_row("driver_opts"),
    {.key = "ipam", .accepts = map_, .form = Form::object_filled, .object = &ipam_object, .json_object = true},
    external_row,
    flag_row("internal", Cast::boolean),
    flag_row("attachable", Cast::boolean),
    labels_row("labels", Unique::key_value),
    {.key = "enable_ipv4", .accepts = boolean_ | string_, .form = Form::boolean_kept, .cast = Cast::boolean},
    {.key = "enable_ipv6", .accepts = boolean_ | string_, .form = Form::boolean_kept, .cast = Cast::boolean},
};
constexpr Object network_object{.attributes = network_rows};
constexpr Rule network_value{.key = "", .accepts = map_ | null_, .form = Form::object, .object = &network_object,
                             .expand = Short::external};

constexpr Rule volume_rows[] = {
    {.key = "name"},
    {.key = "driver"},
    options_row("driver_opts"),
    external_row,
    labels_row("labels"),
};
constexpr Object volume_object{.attributes = volume_rows};
constexpr Rule volume_value{.key = "", .accepts = map_ | null_, .form = Form::object, .object = &volume_object,
                            .expand = Short::external};

constexpr Rule secret_rows[] = {
    {.key = "name"},
    {.key = "file", .path = PathKind::foreign},
    {.key = "environment"},
    open_external_row,
    labels_row("labels", Unique::none, Merge::automatic),
    {.key = "driver"},
    options_row("driver_opts"),
    {.key = "template_driver"},
};
constexpr Object secret_object{.attributes = secret_rows};
constexpr Rule secret_value{.key = "", .accepts = map_, .form = Form::object, .object = &secret_object,
                            .expand = Short::external};
constexpr Rule config_rows[] = {
    {.key = "name"},
    {.key = "file", .path = PathKind::foreign},
    {.key = "environment"},
    {.key = "content"},
    open_external_row,
    labels_row("labels", Unique::none, Merge::automatic),
    {.key = "template_driver"},
};
constexpr Object config_object{.attributes = config_rows};
constexpr Rule config_value{.key = "", .accepts = map_, .form = Form::object, .object = &config_object,
                            .expand = Short::external};

constexpr Rule model_rows[] = {
    {.key = "name"},
    {.key = "model"},
    {.key = "context_size", .accepts = integer_, .form = Form::integer},
    texts_row("runtime_flags", Unique::none, false),
};
constexpr std::string_view model_required[] = {"model"};
constexpr Object model_object{.attributes = model_rows, .required = model_required};
constexpr Rule model_value{.key = "", .accepts = map_, .form = Form::object, .object = &model_object};

constexpr Rule include_rows[] = {
    {.key = "path", .accepts = string_ | list_, .form = Form::texts, .item = &text_item},
    {.key = "env_file", .accepts = string_ | list_, .form = Form::texts, .item = &text_item},
    {.key = "project_directory"},
};
constexpr Object include_object{.attributes = include_rows, .extensions = false};
constexpr Rule include_item{.key = "", .accepts = string_ | map_, .form = Form::object, .object = &include_object};

constexpr Rule named_row(std::string_view key, const Rule* value, std::string_view pattern = "name") {
  return {.key = key, .accepts = map_, .form = Form::map, .value = value, .key_pattern = pattern};
}
constexpr Rule file_rows[] = {
    {.key = "version", .form = Form::dropped},
    {.key = "name"},
    {.key = "include", .accepts = list_, .form = Form::dropped, .item = &include_item},
    named_row("services", &service_value),
    named_row("networks", &network_value, "free_name"),
    named_row("volumes", &volume_value),
    named_row("secrets", &secret_value),
    named_row("configs", &config_value),
    named_row("models", &model_value, "free_name"),
};
constexpr Object file_object{.attributes = file_rows};
constexpr Rule file_rule_row{.key = "", .accepts = map_, .form = Form::object, .object = &file_object};

void collect(const Rule& rule, const std::string& prefix, std::vector<std::string>& out) {
  if (rule.object != nullptr) {
    for (const Rule& row : rule.object->attributes) {
      const std::string path = prefix.empty() ? std::string(row.key) : prefix + "." + std::string(row.key);
      out.push_back(path);
      collect(row, path, out);
    }
  }
  if (rule.value != nullptr && rule.value->object != nullptr) collect(*rule.value, prefix + ".*", out);
  if (rule.item != nullptr && rule.item->object != nullptr) collect(*rule.item, prefix, out);
}

}  // namespace

const Rule& file_rule() { return file_rule_row; }

namespace {

/// Services have a hundred attributes and are looked up in every stage: rows by a hash of their key, the free slots 0.
class ServiceIndex {
 public:
  ServiceIndex() {
    for (std::size_t i = 0; i < std::size(service_rows); ++i) {
      std::size_t slot = hash(service_rows[i].key);
      while (slots_[slot] != 0) slot = (slot + 1) % slots_.size();
      slots_[slot] = static_cast<std::uint8_t>(i + 1);
    }
  }
  [[nodiscard]] const Rule* find(std::string_view key) const {
    for (std::size_t slot = hash(key); slots_[slot] != 0; slot = (slot + 1) % slots_.size())
      if (const Rule& row = service_rows[slots_[slot] - 1]; row.key == key) return &row;
    return nullptr;
  }

 private:
  static std::size_t hash(std::string_view key) {
    std::size_t value = key.size();
    for (const char c : key) value = value * 31 + static_cast<unsigned char>(c);
    return value % 512;
  }
  std::array<std::uint8_t, 512> slots_{};
};
static_assert(std::size(service_rows) < 255);

}  // namespace

const Rule* attribute(const Rule& mapping, std::string_view key) {
  if (mapping.object == &service_object) {
    static const ServiceIndex index;
    return index.find(key);
  }
  if (mapping.object != nullptr) {
    for (const Rule& row : mapping.object->attributes)
      if (row.key == key) return &row;
    return nullptr;
  }
  return mapping.value;
}

std::vector<std::string> attribute_paths() {
  std::vector<std::string> out;
  collect(file_rule_row, "", out);
  return out;
}

}  // namespace compose::load
