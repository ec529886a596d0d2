#pragma once
// The members of every struct of types.h, as they are named in JSON. Only for the *_json.cpp files of this room.
#include "engine/api/codec.h"

namespace engine::codec {

template <> struct Words<MountType> { static constexpr std::array words{"bind", "volume", "tmpfs", "image"}; };
template <> struct Words<RestartPolicy::Mode> { static constexpr std::array words{"no", "always", "on-failure", "unless-stopped"}; };
template <> struct Words<ContainerState> { static constexpr std::array words{"created", "running", "paused", "restarting", "exited", "dead"}; };
template <> struct Words<HealthState> { static constexpr std::array words{"none", "starting", "healthy", "unhealthy"}; };
template <> struct Words<Hazard> { static constexpr std::array words{"none", "downtime", "data_loss"}; };
template <> struct Words<action::WaitContainer::Condition> { static constexpr std::array words{"started", "healthy", "completed", "healthy_or_running"}; };

CODEC_FIELDS(PortBinding, F(host_ip) F(host_port) F(host_port_last) F(container_port) F(protocol))
CODEC_FIELDS(MountSpec, F(type) F(source) F(target) F(read_only) F(propagation) F(create_host_path) F(recursive)
             F(nocopy) F(subpath) F(labels) F(tmpfs_size_bytes) F(tmpfs_mode) F(tmpfs_options))
CODEC_FIELDS(FileMount, F(target) F(content) F(host_path) F(uid) F(gid) F(mode))
CODEC_FIELDS(NetworkAttachment, F(network) F(aliases) F(ipv4_address) F(ipv6_address) F(mac_address) F(interface_name)
             F(link_local_ips) F(priority) F(gw_priority))
CODEC_FIELDS(HealthSpec, F(test) F(interval) F(timeout) F(start_period) F(start_interval) F(retries))
CODEC_FIELDS(RestartPolicy, F(mode) F(max_retries) F(delay) F(window))
CODEC_FIELDS(Ulimit, F(name) F(soft) F(hard))
CODEC_FIELDS(DeviceMapping, F(source) F(target) F(permissions))
CODEC_FIELDS(BlkioDevice, F(path) F(rate))
CODEC_FIELDS(Resources, F(memory_bytes) F(memory_reservation_bytes) F(memory_swap_bytes) F(memory_swappiness)
             F(oom_kill_disable) F(nano_cpus) F(cpu_shares) F(cpu_quota) F(cpu_period) F(cpu_rt_runtime)
             F(cpu_rt_period) F(cpuset_cpus) F(pids_limit) F(blkio_weight) F(blkio_weight_device) F(blkio_read_bps)
             F(blkio_write_bps) F(blkio_read_iops) F(blkio_write_iops))
CODEC_FIELDS(Hook, F(command) F(user) F(working_dir) F(privileged) F(env))
CODEC_FIELDS(ContainerSpec, F(name) F(project) F(image) F(image_id) F(entrypoint) F(command) F(env) F(user)
             F(working_dir) F(hostname) F(domainname) F(tty) F(stdin_open) F(init) F(privileged) F(read_only)
             F(labels) F(annotations) F(cap_add) F(cap_drop) F(security_opt) F(group_add) F(network_mode) F(networks)
             F(ports) F(expose) F(dns) F(dns_search) F(dns_opt) F(extra_hosts) F(mounts) F(volumes_from) F(files)
             F(resources) F(ulimits) F(sysctls) F(devices) F(device_cgroup_rules) F(shm_size_bytes) F(pid_mode)
             F(ipc_mode) F(uts_mode) F(userns_mode) F(cgroup_mode) F(cgroup_parent) F(oom_score_adj) F(restart)
             F(stop_signal) F(stop_grace) F(healthcheck) F(log_driver) F(log_options) F(post_start) F(pre_stop)
             F(auto_remove))
CODEC_FIELDS(SubnetSpec, F(subnet) F(ip_range) F(gateway) F(aux_addresses))
CODEC_FIELDS(NetworkSpec, F(name) F(project) F(driver) F(driver_opts) F(internal) F(enable_ipv4) F(enable_ipv6)
             F(attachable) F(subnets) F(labels))
CODEC_FIELDS(VolumeSpec, F(name) F(project) F(driver) F(driver_opts) F(labels) F(anonymous))
CODEC_FIELDS(Endpoint, F(network) F(ipv4_address) F(ipv6_address) F(mac_address) F(gateway) F(interface_name))
CODEC_FIELDS(HealthProbe, F(start) F(end) F(exit_code) F(output))
CODEC_FIELDS(ContainerInfo, F(id) F(spec) F(state) F(pid) F(exit_code) F(oom_killed) F(stopped_by_user) F(error)
             F(created) F(started) F(finished) F(restart_count) F(health) F(health_log) F(endpoints) F(ports)
             F(command) F(volumes) F(log_path))
CODEC_FIELDS(NetworkInfo, F(spec) F(id) F(subnets) F(created))
CODEC_FIELDS(VolumeInfo, F(spec) F(mountpoint) F(created))
CODEC_FIELDS(Snapshot, F(containers) F(networks) F(volumes))

}  // namespace engine::codec
