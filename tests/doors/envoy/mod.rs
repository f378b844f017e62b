//! The module inside real Envoys, beyond the cases that every door passes: versions, workers, reloads, restarts.

mod bad_config;
mod client;
mod dev;
mod gate;
mod http2;
mod reload;
mod routes;
mod setting;
mod workers;

use libtest_mimic::Trial;

use crate::listed::listed;

/// All tests.
pub fn tests() -> Vec<Trial> {
    listed!("envoy":
        bad_config::a_wrong_configuration_stops_the_start_and_names_the_key,
        dev::dev_signs_out_once_through_envoy_and_prints_the_time,
        dev::dev_says_what_is_missing_for_envoy,
        gate::each_version_of_envoy_admits_refuses_and_cuts,
        http2::one_stream_of_a_connection_is_cut_and_the_others_go_on,
        http2::a_grpc_stream_is_cut,
        reload::a_new_configuration_replaces_the_old_one_without_a_gap,
        routes::a_route_has_rules_of_its_own,
        workers::the_streams_of_all_workers_are_cut,
        workers::without_the_authority_a_strict_gate_cuts_and_refuses,
        workers::a_listener_that_drains_still_cuts,
        workers::a_hot_restart_has_no_gap_and_old_streams_are_cut,
    )
}
