//! Every way to lose data (L1 to L15) or to hang (H1 to H8) that `spec/nats.md` 1b lists, and the tests that would
//! catch its return, or the reason why there can be none. A test keeps the names true.

use std::fs;

use crate::harness::project;

/// A path, what it is, and its tests by module and name; or why there is none.
type Path = (
    &'static str,
    &'static str,
    Result<&'static [&'static str], &'static str>,
);

const PATHS: &[Path] = &[
    (
        "L1, L2, L4",
        "bytes in the socket's buffers and the client's, and the error of a publish",
        Ok(&[
            "restarts::nothing_is_lost_and_order_is_kept_when_the_server_is_killed_five_times_within_500_000_records",
            "restarts::nothing_is_lost_when_the_connection_breaks_twenty_times",
            "jetstream_faults::pipelined_without_ids_a_server_killed_four_times_within_300_000_records_loses_nothing",
            "jetstream_faults::fast_without_ids_a_server_killed_four_times_within_300_000_records_loses_nothing",
        ]),
    ),
    (
        "L3",
        "the client's own reconnect buffer, and its belated confirmation",
        Ok(&[
            "restarts::what_a_lost_connection_swallowed_is_sent_again_before_its_state_is_printed",
        ]),
    ),
    (
        "L5",
        "messages that make the server close the connection",
        Ok(&[
            "faults::the_servers_own_limit_of_a_payload_counts",
            "faults::a_limit_that_shrinks_with_a_restart_counts_from_then_on",
            "subjects::a_name_that_is_longer_than_a_servers_line_never_reaches_the_wire",
            "subjects::headers_count_against_the_largest_payload",
        ]),
    ),
    (
        "L6",
        "white space in a subject",
        Ok(&["subjects::a_name_with_white_space_never_reaches_the_wire"]),
    ),
    (
        "L7",
        "empty tokens",
        Ok(&["subjects::a_name_with_an_empty_token_never_reaches_the_wire"]),
    ),
    (
        "L8",
        "denied subjects",
        Ok(&[
            "access::a_denied_subject_ends_the_run_with_its_name_and_no_state_behind_it",
            "jetstream::a_captured_subject_that_may_not_be_published_to_ends_the_run_with_its_name",
        ]),
    ),
    (
        "L9",
        "core messages into a captured subject",
        Ok(&[
            "capture::core_into_a_captured_subject_is_refused_with_the_streams_name",
            "capture::core_into_a_subject_that_a_record_makes_a_captured_one_is_refused",
            "capture::two_thousand_singer_streams_go_to_three_streams_and_core",
        ]),
    ),
    (
        "L10",
        "nobody listens",
        Err(
            "what core NATS is; a STATE says that the server took the records, and the README says so",
        ),
    ),
    (
        "L11",
        "one id for two messages",
        Ok(&[
            "jetstream::ids_of_the_run_are_of_each_message_and_of_each_run",
            "jetstream::ids_of_the_content_make_a_run_that_is_repeated_store_nothing_new",
        ]),
    ),
    (
        "L12",
        "streams that let go of what they acknowledged",
        Ok(&["stream_config::what_may_vanish_though_acknowledged_is_one_warning"]),
    ),
    (
        "L13",
        "an end without a flush",
        Ok(&[
            "restarts::nothing_is_lost_when_the_server_is_killed_twelve_times_within_20_000_records",
            "signals::sigterm_in_full_flow_ends_the_run_with_the_newest_confirmed_state",
            "jetstream_faults::a_program_killed_and_run_again_with_ids_of_the_content_leaves_each_record_once",
        ]),
    ),
    (
        "L14",
        "somebody else's answer for an acknowledgement",
        Ok(&["jetstream::what_another_service_answers_is_not_taken_for_an_acknowledgement"]),
    ),
    (
        "L15",
        "a power failure before the server's disk has it",
        Err(
            "no test can cut the power of its own machine; `sync_interval: always` or replicas are the server's matter",
        ),
    ),
    (
        "H1",
        "a flush that waits for ever",
        Ok(&[
            "faults::a_server_that_is_stopped_for_too_long_ends_the_run_as_unavailable",
            "faults::a_server_that_is_gone_for_good_ends_the_run_as_unavailable",
            "jetstream::a_stopped_server_is_waited_for_and_then_given_up",
        ]),
    ),
    (
        "H2",
        "a close that waits for ever",
        Ok(&["signals::sigterm_while_the_server_is_stopped_ends_in_bounded_time_without_a_state"]),
    ),
    (
        "H3",
        "a publish that blocks in its write",
        Ok(&["faults::a_stopped_server_ends_the_run_even_when_every_buffer_is_full"]),
    ),
    (
        "H4",
        "requests and subscriptions that wait for ever",
        Ok(&[
            "capture::one_who_listens_to_everything_and_answers_nothing_does_not_keep_the_run_from_starting",
            "jetstream_faults::acknowledgements_that_never_come_end_the_run_as_unavailable",
        ]),
    ),
    (
        "H5",
        "a connect that waits for a greeting",
        Ok(&[
            "faults::a_port_that_accepts_and_stays_silent_is_given_up",
            "faults::of_several_servers_a_silent_one_is_passed_over",
        ]),
    ),
    (
        "H6",
        "an address that a server advertises and nobody reaches",
        Ok(&["faults::an_advertised_address_that_nobody_reaches_does_not_hold_the_run_up"]),
    ),
    (
        "H7",
        "a thread of the client library that panicked",
        Ok(&[
            "scripted::a_panic_in_a_thread_of_the_client_library_is_exit_1_with_its_message_and_no_state",
            "faults::a_server_whose_greeting_is_too_long_for_the_client_library_is_no_obstacle",
        ]),
    ),
    (
        "H8",
        "TLS that loses its wake-ups, or its writer",
        Ok(&[
            "tls_faults::of_200_000_records_every_byte_arrives",
            "tls_faults::payloads_of_a_mebibyte_arrive",
            "tls_faults::nothing_is_lost_when_the_server_is_killed_four_times",
        ]),
    ),
];

#[test]
fn every_test_that_a_path_names_is_there() {
    for (path, what, tests) in PATHS {
        for name in tests.unwrap_or_default() {
            let (module, function) = name.split_once("::").unwrap();
            let file = project().join(format!("tests/{module}.rs"));
            let text = fs::read_to_string(&file).unwrap_or_default();
            assert!(
                text.contains(&format!("#[test]\nfn {function}(")),
                "{path}, {what}: there is no test {name}"
            );
        }
    }
}
