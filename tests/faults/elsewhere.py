"""Tests that stand beside the code they are about, and show rows of the catalogue there: file, test, rows."""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["SHOWN_ELSEWHERE"]

_TESTS: tuple[tuple[str, Mapping[str, tuple[int, ...]]], ...] = (
    (
        "test_guard.py",
        {
            "test_a_header_that_decides_may_come_once": (6, 7),
            "test_only_http_1_0_may_do_without_host": (7,),
            "test_an_announced_body_is_judged_before_it_is_read": (14,),
            "test_compressed_bodies_are_refused_unread": (15,),
            "test_a_body_that_does_not_end_is_refused_at_the_deadline": (11,),
        },
    ),
    (
        "wire/test_corpus.py",
        {"test_only_what_has_one_meaning_is_executed": (7, 8, 9), "test_mutated_payloads_do_no_harm": (8,)},
    ),
    ("wire/test_behind_proxies.py", {"test_no_hidden_request_gets_through_a_proxy": (8,)}),
    (
        "wire/test_slow_clients.py",
        {
            "test_a_header_block_that_drips_is_closed_at_its_deadline": (10,),
            "test_a_connection_that_says_nothing_is_closed_without_a_word": (12,),
            "test_a_stalled_body_is_refused_by_the_endpoints_own_deadline": (11,),
            "test_a_stalled_body_is_closed_below_an_app_that_would_wait_for_ever": (11,),
            "test_a_body_that_drips_is_closed_at_its_deadline": (11,),
            "test_a_client_that_leaves_in_the_middle_is_never_taken_for_a_short_body": (8,),
            "test_a_reader_that_does_not_read_is_cut_off": (13,),
            "test_a_reader_that_is_slow_but_steady_gets_everything": (13,),
        },
    ),
    (
        "wire/test_connections.py",
        {
            "test_a_body_that_is_too_large_is_refused_while_the_client_still_sends_and_the_reply_arrives": (14,),
            "test_a_thousand_pipelined_requests_are_served_one_after_the_other": (36,),
        },
    ),
    (
        "policies/test_strict_json.py",
        {
            "test_any_bytes_are_an_object_or_the_callers_error": (16, 17),
            "test_what_is_not_one_object_of_strict_json_is_invalid": (16, 17),
            "test_a_name_given_twice_is_refused_at_any_depth": (18,),
            "test_a_string_that_never_ends_is_scanned_once_and_not_from_each_of_its_quotes": (17,),
        },
    ),
    ("policies/test_byte_ranges.py", {"test_what_is_no_single_range_means_the_whole_file": (35,)}),
    ("contract/test_public_port.py", {"test_every_wrong_link_is_just_not_found": (34,)}),
    (
        "edges/test_pixel_processes.py",
        {
            "test_a_child_killed_in_the_middle_of_a_job_is_replaced_and_the_job_done": (47,),
            "test_a_child_that_hangs_is_killed_and_the_job_done_by_another": (47,),
            "test_a_job_that_costs_two_children_is_given_up_and_its_source_kept": (47,),
            "test_a_child_is_bounded_by_the_kernel": (47, 48),
        },
    ),
    (
        "edges/test_pixels.py",
        {
            "test_a_decompression_bomb_is_refused_by_its_header": (48,),
            "test_nothing_is_enlarged_cropped_or_stretched": (102,),
            "test_only_three_formats_are_ever_decoded": (101,),
        },
    ),
    ("edges/test_log_sink.py", {"test_a_reader_that_has_stopped_costs_lines_and_no_time": (54,)}),
    (
        "edges/test_addresses.py",
        {
            "test_while_lookups_fail_the_last_good_answer_serves_for_a_minute": (57,),
            "test_a_name_that_turns_inwards_is_refused_although_it_was_good_before": (100,),
        },
    ),
    ("edges/test_limits.py", {"test_a_clock_that_jumped_back_an_hour_costs_one_refill_and_no_more": (53,)}),
    ("edges/test_pacing.py", {"test_a_clock_that_was_set_back_closes_no_account": (53,)}),
    (
        "edges/test_transport.py",
        {
            "test_a_server_whose_certificate_nobody_vouches_for_gets_nothing": (78,),
            "test_a_connection_that_does_not_come_about_in_time_was_never_sent": (78,),
            "test_whatever_fails_after_the_request_left_is_never_reported_as_unsent": (79, 80, 82),
            "test_a_body_that_nobody_takes_is_a_write_timeout": (79,),
            "test_the_total_deadline_holds_against_a_dripping_body": (81,),
            "test_a_paid_call_on_a_connection_that_the_server_drops_is_sent_once_and_not_reported_as_unsent": (104,),
            "test_whatever_is_reported_as_unsent_in_a_keep_alive_race_really_was_not_read": (104,),
        },
    ),
    (
        "edges/test_google_token.py",
        {
            "test_when_renewing_fails_the_old_token_serves_to_its_end_and_then_there_is_none": (106,),
            "test_a_failing_endpoint_is_not_stormed": (106,),
        },
    ),
    (
        "edges/test_fetching.py",
        {
            "test_a_link_that_stays_away_is_given_up_within_three_seconds": (99,),
            "test_a_link_that_leads_on_is_not_followed": (100,),
            "test_a_download_without_end_is_cut_at_its_cap": (84,),
            "test_a_link_out_of_bounds_is_not_fetched": (100,),
            "test_an_allowed_name_that_leads_inwards_is_not_fetched": (100,),
        },
    ),
    (
        "policies/test_addresses.py",
        {
            "test_a_link_is_followed_only_to_where_the_vendor_keeps_its_images": (100,),
            "test_a_resolved_address_must_be_out_on_the_open_internet": (100,),
            "test_an_ipv4_address_is_judged_alike_in_every_dress": (100,),
        },
    ),
    (
        "vendors/test_laws.py",
        {
            "test_any_json_at_all_comes_to_an_outcome": (85,),
            "test_a_good_reply_with_any_part_of_it_spoilt_comes_to_an_outcome": (85, 108),
        },
    ),
    (
        "contract/test_fulfilment.py",
        {
            "test_images_that_a_vendor_dropped_are_topped_up": (97,),
            "test_a_caller_may_choose_to_get_fewer_images": (97,),
            "test_what_was_bought_for_a_client_that_hung_up_is_finished_and_stored": (26,),
        },
    ),
    (
        "edges/test_assets.py",
        {
            "test_a_store_that_keeps_failing_is_unavailable_after_three_tries": (109,),
            "test_a_store_that_never_answers_is_given_up": (109,),
            "test_a_directory_that_cannot_be_written_is_an_unavailable_store": (110,),
            "test_an_image_torn_by_a_power_cut_is_written_anew": (111,),
            "test_a_reader_sees_a_whole_image_or_none": (111,),
            "test_the_janitor_deletes_what_is_old_and_nothing_else": (112,),
        },
    ),
    ("faults/test_failover.py", {"test_13_behind_a_flapping_vendor_clients_notice_nothing": (95,)}),
)

SHOWN_ELSEWHERE: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {f"tests/{file}::{test}": rows for file, tests in _TESTS for test, rows in tests.items()}
)
"""The rows that a test shows, by the test's own id."""
