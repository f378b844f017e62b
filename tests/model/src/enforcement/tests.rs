use super::*;
use crate::check::{counterexample, exhaust};

fn walk(scene: Scene) {
    exhaust(scene.name, Model::whole(scene));
}

fn falls_without(rule: Rule, scene: Scene) {
    counterexample(Model::without(scene, rule), rule.protects());
}

#[test]
#[ignore = "more than 6 million steps: minutes, and not the whole"]
fn the_promise_holds_through_a_synchronous_failover() {
    walk(Scene::failover());
}

#[test]
fn the_promise_holds_through_a_restore() {
    walk(Scene::restore());
}

#[test]
fn the_promise_holds_for_sign_ins_that_race_sign_outs() {
    walk(Scene::cutoff());
}

#[test]
fn the_promise_holds_for_snapshots_and_batches_in_any_order() {
    walk(Scene::transfer());
}

#[test]
fn without_a_wait_for_the_standby_an_acknowledged_revocation_is_lost() {
    falls_without(Rule::AcknowledgeWhenDurable, Scene::failover());
}

#[test]
fn without_a_durable_beat_a_deposed_primary_proves_a_gate_fresh() {
    falls_without(Rule::BeatIsADurableWrite, Scene::failover());
}

#[test]
fn without_a_beat_that_begins_after_the_probe_an_old_head_is_taken_for_the_present_one() {
    falls_without(Rule::BeatBeginsAfterTheProbe, Scene::cutoff());
}

#[test]
fn without_a_question_a_beat_from_a_full_socket_is_believed() {
    falls_without(Rule::OnlyAnswersProve, Scene::cutoff());
}

#[test]
fn without_the_time_of_sending_a_slow_answer_looks_fresh() {
    falls_without(Rule::FreshAsOfSending, Scene::cutoff());
}

#[test]
fn without_waiting_for_the_head_a_gate_is_fresh_that_lacks_a_revocation() {
    falls_without(Rule::FreshOnceApplied, Scene::cutoff());
}

#[test]
fn without_the_chain_another_history_of_equal_length_proves_a_gate_fresh() {
    falls_without(Rule::ChainIsCompared, Scene::restore());
}

#[test]
fn without_reading_the_clock_last_a_paused_check_accepts_too_late() {
    falls_without(Rule::ClockIsReadLast, Scene::cutoff());
}

#[test]
fn without_loading_both_together_a_new_proof_speaks_for_an_old_view() {
    falls_without(Rule::ViewAndProofTogether, Scene::cutoff());
}

#[test]
fn without_the_next_batch_only_a_view_has_a_gap() {
    falls_without(Rule::OnlyTheNextBatch, Scene::transfer());
}

#[test]
fn without_one_history_a_stream_mixes_two() {
    falls_without(Rule::StreamFollowsOneHistory, Scene::restore());
}

#[test]
fn without_refusing_old_snapshots_a_view_goes_back() {
    falls_without(Rule::NeverBack, Scene::transfer());
}

#[test]
fn without_replacing_the_view_at_once_a_revoked_token_is_accepted_meanwhile() {
    falls_without(Rule::SnapshotAtOnce, Scene::transfer());
}

#[test]
fn without_the_old_history_what_a_restore_lost_is_accepted_again() {
    falls_without(Rule::HistoriesAreUnited, Scene::restore());
}

#[test]
fn without_reading_the_head_first_a_sign_in_escapes_a_sign_out() {
    falls_without(Rule::HeadIsReadFirst, Scene::cutoff());
}
