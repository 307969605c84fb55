//! The conformance suite for drivers of `relink`: written once, run by every driver, yours among
//! them.
//!
//! A driver is a [`Runtime`](relink_driver::Runtime): look up, connect, clock, sleep, spawn. Each
//! case is an async function over one, and proves a promise on real sockets, on loopback, against a
//! scripted [`Server`](crate::Server) in a thread of its own; or, where sockets hide what has to be
//! seen, on a pipe in memory. Names start with the number of the requirement or invariant that a
//! case proves, where it proves one.
//!
//! # How to run it for a driver of your own
//!
//! Add this crate to the `dev-dependencies`, with the feature `conformance`. A test file says how
//! to run a case on your runtime, and the macro makes one test of each:
//!
//! ```
//! use my_driver::MyRuntime;
//!
//! fn run<Case: Future<Output = ()>>(case: impl FnOnce(MyRuntime) -> Case) {
//!     my_driver::block_on(async { case(MyRuntime::new()).await });
//! }
//!
//! relink_testing::driver_conformance!(crate::run);
//!
//! # // A runtime that no case of this example runs on.
//! # mod my_driver {
//! #     use relink_driver::{Runtime, Sleep, StdClock, relink::Instant};
//! #     use std::{io, net::SocketAddr, task::{Context, Poll}};
//! #     #[derive(Clone)]
//! #     pub struct MyRuntime(StdClock);
//! #     pub struct Never;
//! #     impl MyRuntime { pub fn new() -> Self { Self(StdClock::start()) } }
//! #     impl Sleep for Never {
//! #         fn poll_until(&mut self, _: Instant, _: &mut Context<'_>) -> Poll<()> { Poll::Pending }
//! #     }
//! #     impl Runtime for MyRuntime {
//! #         type Tcp = futures_util::io::Cursor<Vec<u8>>;
//! #         type Sleep = Never;
//! #         fn now(&self) -> Instant { self.0.now() }
//! #         fn sleep(&self) -> Never { Never }
//! #         fn lookup(&self, _: String, _: u16)
//! #             -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static { std::future::pending() }
//! #         fn connect(&self, _: SocketAddr)
//! #             -> impl Future<Output = io::Result<Self::Tcp>> + Send + 'static { std::future::pending() }
//! #         fn spawn(&self, _: impl Future<Output = ()> + Send + 'static) {}
//! #     }
//! #     pub fn block_on(_: impl Future<Output = ()>) {}
//! # }
//! # fn main() {}
//! ```
//!
//! The cases may run beside each other, in one process or in many. None takes longer than a few
//! seconds; one that waits for something that never comes fails after 10 s and prints what came
//! instead.

#![allow(clippy::missing_panics_doc, reason = "a case that fails panics")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a case picks the events that it is about")]

pub mod addresses;
pub mod close_codes;
pub mod closing;
pub mod compression;
pub mod conversation;
pub mod handles;
pub mod handshake;
pub mod liveness;
pub mod messages;
pub mod origins;
pub mod polled;
pub mod proxies;
pub mod secrets;
pub mod tls;
pub mod tokens;
pub mod tunnels;

mod pipe;
mod raw;
mod setup;

pub use setup::compressed;

/// Makes one `#[test]` of every case of the [suite](crate::conformance), in a module per topic.
///
/// Its argument is the path of a function that runs one case on your runtime: `fn run<Case:
/// Future<Output = ()>>(case: impl FnOnce(MyRuntime) -> Case)`. Write the path from the root of the
/// crate, as in `crate::run`.
#[macro_export]
macro_rules! driver_conformance {
    ($run:path) => {
        $crate::driver_conformance! { @tests $run;
            addresses {
                every_attempt_dials_an_address_of_its_own
                a_polled_link_dials_what_was_fetched
                an_address_comes_after_the_token
                address_fetches_never_overlap
                a_failure_of_the_address_provider_is_a_failed_attempt
                an_address_that_is_none_is_a_failed_attempt
                an_address_fetch_that_hangs_is_a_failed_attempt
                an_address_is_fetched_for_the_endpoint_whose_turn_it_is
                an_address_on_another_host_gets_the_credentials
                a_fetched_user_name_follows_redirects_within_its_origin
                a_redirect_needs_no_other_address
                a_close_lets_go_of_the_address_fetch
                without_an_address_provider_the_endpoint_is_dialed
            }
            close_codes {
                code_1000_is_the_end
                m07_1001_is_retried
                m12_1001_with_a_hint_waits_for_as_long_as_it_says
                code_1002_is_retried_after_10_s
                code_1003_is_the_end
                code_1005_is_retried
                m07_1006_a_reset_is_retried
                m07_1006_an_end_without_a_close_frame_is_retried
                code_1007_is_retried_after_10_s
                code_1008_is_the_end
                code_1009_is_retried
                code_1010_is_the_end
                code_1011_is_retried
                code_1012_is_retried_after_5_s
                code_1013_is_retried_after_10_s
                code_1014_is_retried
                code_3000_without_a_token_provider_is_the_end
                code_3000_with_a_token_provider_is_retried
                code_3003_is_the_end
                an_unknown_3xxx_is_retried
                m04_4001_is_the_end
                m05_4002_without_a_token_provider_is_the_end
                m05_4002_with_a_token_provider_comes_back_with_a_fresh_token
                m04_4003_is_the_end
                m06_4010_is_retried_after_30_s
                m04_4012_is_the_end
                m04_4020_is_the_end
                an_unknown_4xxx_is_retried
                a_reserved_code_is_a_protocol_error
                a_code_that_this_side_closes_with_means_what_it_does_from_the_server
                an_edited_code_means_what_the_edit_says
            }
            closing {
                e17_close_says_farewell_after_the_flush
                a_close_can_have_a_code_and_a_reason
                a_close_with_a_code_that_may_not_be_sent_follows_one_rule
                e17_a_close_before_the_link_is_up_sends_what_is_queued
                a_close_while_the_link_comes_back_sends_what_is_queued
                a_close_that_finds_no_server_lasts_no_longer_than_the_flush
                the_last_handle_sends_what_is_queued_before_the_link_is_up
                the_last_handle_closes_with_1000_after_the_flush
                i02_the_last_handle_ends_a_link_that_waits
                a_link_lives_on_when_nobody_listens
                i14_a_close_handshake_has_a_deadline
                a_close_flushes_for_a_bounded_time
                a_link_that_is_down_closes_at_once
                closed_waits_for_an_end_that_the_server_brings
            }
            compression {
                compressed_messages_pass_both_ways
                compression_is_off_unless_it_is_asked_for
                a_bomb_is_answered_with_1009
                a_compressed_message_above_the_limit_is_answered_with_1009
                a_slow_application_bounds_what_is_decompressed
                an_answer_that_breaks_the_offer_is_refused
                a_compression_that_cannot_work_is_refused
            }
            conversation {
                what_is_said_on_open_goes_before_what_waited
                a_heartbeat_can_be_a_message
                a_link_is_connected_when_the_server_confirms_it
                a_server_that_does_not_confirm_is_a_failed_attempt
                a_protocol_and_words_of_ones_own_exclude_each_other
                a_reconnect_drops_the_connection_and_dials_at_once
                a_reconnect_of_a_link_that_waits_dials_at_once
                a_flush_waits_until_all_is_written
                messages_can_be_taken_alone
            }
            handles {
                i17_connect_works_again_after_giving_up
                i17_retry_now_works_again_after_giving_up
                i17_connect_while_it_closes_comes_back_after_the_end
                i17_connect_while_it_closes_says_if_the_end_is_final
                m23_a_deliberate_close_is_final
                d10_a_renewable_handle_hands_out_the_live_link_or_a_fresh_one
                d10_a_renewable_handle_hands_out_no_link_that_is_down_and_closes
                i17_retry_now_replaces_the_wait
                i01_there_is_never_more_than_one_socket
                d09_state_and_statistics_can_be_read_at_any_time
                i04_the_order_of_events_is_the_order_of_transitions
                a_handle_works_from_any_thread
                a_connector_that_panics_is_a_failed_attempt
                an_engine_that_dies_says_so
                who_stops_waiting_leaves_nothing_behind
                e03_handles_and_futures_can_go_anywhere
            }
            handshake {
                http_401_without_a_token_provider_is_the_end
                http_403_is_the_end
                http_410_is_the_end
                http_400_is_the_end
                http_404_is_retried_after_30_s
                http_500_is_retried
                http_200_is_retried_after_30_s
                i29_http_429_is_retried_when_the_server_says
                i29_http_503_is_retried_at_the_date_that_the_server_says
                i29_retry_after_is_clamped
                i29_a_retry_after_in_the_past_is_no_hot_loop
                d03_redirects_are_followed
                the_attempt_after_a_redirect_starts_at_the_origin
                d03_a_loop_of_redirects_is_bounded
                a_redirect_to_nowhere_is_the_end
                a_redirect_is_no_reason_for_a_later_loss
                a_refused_port_is_retried
                every_address_of_a_name_is_tried
                an_unknown_name_is_retried
                i16_a_blackholed_handshake_times_out
                garbage_is_retried_after_30_s
                i15_a_cut_handshake_is_one_failed_attempt
                i30_a_failed_first_attempt_can_be_the_end
                the_second_endpoint_is_dialed_when_the_first_refuses
                the_second_endpoint_is_dialed_when_the_first_closes_at_once
                the_end_names_the_answer_of_each_endpoint
                an_encrypted_link_takes_no_endpoint_in_the_clear
                headers_and_subprotocols_arrive
                a_subprotocol_that_was_not_offered_is_refused
                a_request_is_a_start
                every_attempt_has_its_own_key
                what_cannot_be_built_says_why
            }
            liveness {
                w22_a_half_open_link_is_found_in_time_and_dialed_again_at_once
                i13_a_peer_that_is_believed_dead_is_told_4000
                i13_a_lost_heartbeat_does_not_pass_through_the_table
                pings_are_answered_and_timed
                the_peers_pings_are_answered
                i12_traffic_is_life_and_starves_no_ping
                m13_the_watchdog_finds_a_silent_link
                m14_a_wake_up_checks_the_link
                i21_a_message_does_not_outlive_a_suspension
                a_slow_application_slows_the_peer_and_loses_nothing
                control_frames_are_heeded_while_the_inbox_is_full
                i12_a_message_that_takes_long_to_arrive_is_life
                a_message_that_takes_longer_than_it_may_ends_the_transport
                i05_a_flapping_server_meets_growing_delays
                i15_a_loss_is_told_once_and_after_the_last_message
            }
            messages {
                messages_of_every_size_pass_both_ways
                order_is_kept_and_every_receipt_is_told
                d08_messages_wait_for_the_link_and_keep_their_order
                i23_what_was_handed_to_a_dead_transport_is_not_sent_again
                i21_an_expired_message_is_never_sent
                a_full_outbox_can_refuse
                a_full_outbox_can_drop_the_oldest
                a_full_outbox_can_drop_the_newest
                m22_a_link_that_is_down_can_refuse
                send_waits_for_room_and_is_cancel_safe
                a_client_as_a_sink_takes_a_stream_of_messages
                a_sink_returns_what_it_holds_when_it_closes
                those_who_wait_for_room_are_served_in_their_order
                send_that_waits_is_told_of_the_end
                a_message_above_the_limit_is_answered_with_1009
                a_close_frame_is_heeded_although_a_write_fails_first
                receipts_of_neighbors_wait_together
                an_inbox_has_room_for_one
            }
            origins {
                credentials_follow_redirects_within_their_origin_only
                headers_follow_to_strangers_where_the_application_says_so
                a_token_stays_at_home_wherever_it_is_placed
                a_token_can_travel_as_a_subprotocol
                a_user_name_in_an_address_is_basic_authorization
                an_address_that_is_none_is_refused_and_named
                headers_that_cannot_be_sent_are_refused_and_a_host_is_used
                a_cookie_jar_brings_back_what_a_server_set
            }
            polled {
                a_polled_link_comes_back_while_it_is_polled
                both_halves_of_a_split_can_live_in_tasks_of_their_own
                a_split_that_waits_is_closed_from_its_other_half
                a_split_tells_its_reader_what_its_writer_sent
                a_message_that_was_sent_is_out_of_the_owners_hands
                a_full_outbox_makes_the_sink_wait
                a_close_that_waits_does_not_spin
                a_polled_link_sends_what_it_took_before_it_closes
                a_polled_link_that_closes_hands_back_what_found_no_room
                a_polled_link_closes_with_a_code_of_its_own
                i17_a_polled_link_works_again_after_giving_up
                i17_a_polled_link_can_be_reconnected_while_it_closes
                w22_a_polled_link_finds_a_silent_peer
                a_polled_link_that_is_dropped_lets_go
            }
            proxies {
                an_answer_as_proxies_write_it_opens_the_link
                an_answer_that_does_not_agree_is_refused
                an_endless_answer_is_given_up
                a_refusal_in_http_1_0_is_one
                a_close_reason_that_is_no_text_is_answered_with_1007_and_judged_by_its_code
                a_close_frame_of_one_byte_is_a_protocol_error
                a_redirect_is_read_whatever_its_capitals
                a_redirect_to_an_address_that_is_none_is_a_failed_attempt
            }
            secrets {
                secrets_reach_the_server_and_nobody_else
                errors_of_building_show_no_secret
                what_holds_secrets_hides_them
                a_token_that_cannot_be_sent_is_not_shown
                a_redirects_address_is_not_shown
            }
            tls {
                a_trusted_server_is_a_server
                an_unknown_authority_is_refused
                by_default_only_public_authorities_are_known
                a_wrong_name_is_refused
                a_client_certificate_is_shown
                a_client_certificate_that_is_missing_is_a_tls_failure
                a_client_certificate_is_not_shown_to_a_stranger
                a_server_without_tls_is_a_tls_failure
                a_redirect_can_lead_to_tls
                tls_goes_on_top_of_a_connector
                another_library_can_bring_tls
                i12_a_record_that_takes_long_to_arrive_is_life
                a_record_without_data_begins_no_message
                i16_a_tls_handshake_that_hangs_times_out
            }
            tokens {
                a_token_is_a_bearer_token_by_default
                a_token_can_travel_in_the_query
                a_token_can_be_left_to_the_protocol
                m02_every_attempt_brings_a_token_of_its_own
                i19_fetches_never_overlap
                i19_a_panic_is_a_failed_fetch
                m10_token_errors_are_reported_from_the_third_on
                i16_a_fetch_that_hangs_is_a_failed_fetch
                i19_refused_tokens_are_bounded_and_reported
                every_endpoint_gets_the_token
                a_close_lets_go_of_the_fetch
                without_a_provider_there_is_no_token
            }
            tunnels {
                a_link_goes_through_a_proxy
                a_name_can_be_looked_up_here
                a_proxy_can_ask_for_a_login
                a_refusal_of_a_proxy_is_never_the_servers
                what_cannot_be_reached_is_named
                i16_a_proxy_that_hangs_times_out
                redirects_and_endpoints_go_through_the_proxy
                a_proxy_sees_nothing_of_an_encrypted_link
                a_proxy_gets_no_client_certificate
                a_proxy_can_have_tls
                a_proxy_that_is_none_is_refused_and_named
            }
        }
    };
    (@tests $run:path; $( $topic:ident { $( $case:ident )* } )* ) => {
        $(
            mod $topic {
                $(
                    #[test]
                    fn $case() {
                        $run($crate::conformance::$topic::$case);
                    }
                )*
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    const TOPICS: [(&str, &str); 15] = [
        ("addresses", include_str!("addresses.rs")),
        ("close_codes", include_str!("close_codes.rs")),
        ("closing", include_str!("closing.rs")),
        ("compression", include_str!("compression.rs")),
        ("handles", include_str!("handles.rs")),
        ("handshake", include_str!("handshake.rs")),
        ("liveness", include_str!("liveness.rs")),
        ("messages", include_str!("messages.rs")),
        ("origins", include_str!("origins.rs")),
        ("polled", include_str!("polled.rs")),
        ("proxies", include_str!("proxies.rs")),
        ("secrets", include_str!("secrets.rs")),
        ("tls", include_str!("tls.rs")),
        ("tokens", include_str!("tokens.rs")),
        ("tunnels", include_str!("tunnels.rs")),
    ];

    #[test]
    fn the_macro_runs_every_case() {
        let list = include_str!("mod.rs");
        for (topic, source) in TOPICS {
            let (_, cases) =
                list.split_once(&format!("            {topic} {{\n")).expect("the topic is listed");
            let (cases, _) = cases.split_once('}').expect("its list ends");
            let listed: Vec<_> = cases.split_whitespace().collect();
            let written: Vec<_> = source
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn ")?.split_once('<'))
                .map(|(name, _)| name)
                .collect();
            assert!(!written.is_empty());
            assert_eq!(listed, written, "{topic}: list the cases in the order of the file");
        }
    }
}
