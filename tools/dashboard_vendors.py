"""The dashboard of the vendor accounts: which of them is in trouble, and what does it cost?"""

from tools.dashboard_queries import (
    ACCOUNT,
    DEPLOYMENTS,
    NOT_CLOSED,
    OK,
    an_hour,
    areas,
    lines,
    of,
    quantile,
    rate,
    share,
    stat,
)
from tools.grafana import Dashboard, Panel, Query, Row, Variable

__all__ = ["VENDORS"]

VENDORS = Dashboard(
    "samurai-vendors",
    "Samurai Gateway: Vendors",
    "Each vendor account: latency, errors, breaker, pacing, retries, failover and spend.",
    (
        Row(
            "At a glance",
            (
                stat("Calls", "Paid calls ended a second.", rate("", "vendor_calls_total", ACCOUNT), "ops"),
                stat(
                    "Success",
                    "Share of the paid calls that delivered.",
                    share("", of("vendor_calls_total", ACCOUNT, OK), of("vendor_calls_total", ACCOUNT)),
                    "percentunit",
                    red_below=0.95,
                ),
                stat(
                    "Spend an hour",
                    "What vendors bill an hour, at the present rate.",
                    an_hour(rate("", "vendor_cost_usd_total", ACCOUNT)),
                    "currencyUSD",
                ),
                stat(
                    "Breakers not closed",
                    "Accounts that some replica leaves alone.",
                    f"sum(max by (account) ({of('vendor_breaker_state', ACCOUNT, NOT_CLOSED)}))",
                    red_from=1,
                ),
                stat(
                    "Unknown outcomes",
                    "Calls in the chosen time of which nobody knows whether they cost money.",
                    f"sum(increase({of('vendor_unknown_outcomes_total', ACCOUNT)}[$__range]))",
                    red_from=1,
                ),
                stat(
                    "Next retirement",
                    "Days until the first native model in use ends.",
                    f"min({of('native_model_retirement_days', ACCOUNT)})",
                    "d",
                    red_below=30,
                ),
            ),
        ),
        Row(
            "Calls",
            (
                areas(
                    "Calls by account",
                    "Paid calls ended a second.",
                    rate("account", "vendor_calls_total", ACCOUNT),
                    "{{account}}",
                    "ops",
                ),
                lines(
                    "Success by account",
                    "Share of the paid calls that delivered.",
                    share("account", of("vendor_calls_total", ACCOUNT, OK), of("vendor_calls_total", ACCOUNT)),
                    "{{account}}",
                    "percentunit",
                ),
                areas(
                    "Errors by account and code",
                    "Calls that did not deliver, a second. Empty when all is well.",
                    rate("account, code", "vendor_calls_total", ACCOUNT, 'code!="ok"') + " > 0",
                    "{{account}} {{code}}",
                    "ops",
                ),
                lines(
                    "Latency by account, median",
                    "From a paid call's start to its last image stored.",
                    quantile(0.5, "account", "vendor_call_duration_seconds", ACCOUNT),
                    "{{account}}",
                    "s",
                ),
                lines(
                    "Latency by account, 95 %",
                    "One call in twenty takes longer than this.",
                    quantile(0.95, "account", "vendor_call_duration_seconds", ACCOUNT),
                    "{{account}}",
                    "s",
                ),
                lines(
                    "Latency by native model, 95 %",
                    "One call in twenty takes longer than this.",
                    quantile(0.95, "native_model", "vendor_call_duration_seconds", ACCOUNT),
                    "{{native_model}}",
                    "s",
                ),
            ),
        ),
        Row(
            "Pacing",
            (
                lines(
                    "Wait for a place, 95 %",
                    "Before a paid call; one call in twenty waits longer.",
                    quantile(0.95, "account", "pacing_wait_seconds", ACCOUNT),
                    "{{account}}",
                    "s",
                ),
                areas(
                    "Waited in vain",
                    "Calls that got no place at the account in time, a second.",
                    rate("account", "pacing_wait_seconds_count", ACCOUNT, 'granted="no"'),
                    "{{account}}",
                    "ops",
                ),
                lines(
                    "Calls allowed in flight",
                    "By what the vendor's answers taught; 0 before the first.",
                    f"max by (account) ({of('pacing_adaptive_limit', ACCOUNT)})",
                    "{{account}}",
                ),
                Panel(
                    "Refused by the vendor",
                    "429s a second, and pauses that the vendor asked for.",
                    (
                        Query(rate("account", "pacing_vendor_refusals_total", ACCOUNT), "{{account}} 429"),
                        Query(rate("account", "pacing_pauses_total", ACCOUNT), "{{account}} pauses"),
                    ),
                    unit="ops",
                ),
                areas(
                    "Looks at pending work",
                    "Polls a second, of vendors that work behind the scenes.",
                    rate("account", "vendor_polls_total", ACCOUNT),
                    "{{account}}",
                    "ops",
                ),
                Panel(
                    "Calls back",
                    "Webhooks of vendors that were genuine, and calls to that address that were refused.",
                    (
                        Query(rate("vendor", "webhooks_total"), "{{vendor}}"),
                        Query(rate("reason", "webhooks_refused_total"), "refused: {{reason}}"),
                        Query(rate("result", "webhooks_sent_total"), "sent: {{result}}"),
                    ),
                    unit="ops",
                ),
            ),
        ),
        Row(
            "When vendors fail",
            (
                lines(
                    "Breakers",
                    "1 while a replica leaves the account alone or only tries it.",
                    f"max by (account, state) ({of('vendor_breaker_state', ACCOUNT, NOT_CLOSED)})",
                    "{{account}} {{state}}",
                ),
                Panel(
                    "Retries",
                    "Calls sent once more after a failure that cost nothing, and those that the retry budget forbade.",
                    (
                        Query(rate("account", "vendor_retries_total", ACCOUNT), "{{account}}"),
                        Query(rate("account", "vendor_retries_denied_total", ACCOUNT), "{{account}} denied"),
                    ),
                    unit="ops",
                ),
                areas(
                    "Failovers",
                    "Calls handed over to another account, a second.",
                    rate("from_account, to_account", "vendor_failovers_total", 'from_account=~"$account"'),
                    "{{from_account}} → {{to_account}}",
                    "ops",
                ),
                areas(
                    "Unknown outcomes",
                    "Calls of which nobody knows whether they cost money, a second.",
                    rate("account", "vendor_unknown_outcomes_total", ACCOUNT),
                    "{{account}}",
                    "ops",
                ),
                areas(
                    "Late successes",
                    "Calls whose images came after the client's end, and were kept.",
                    rate("account", "vendor_late_successes_total", ACCOUNT),
                    "{{account}}",
                    "ops",
                ),
                Panel(
                    "Days until a native model ends",
                    "Native models in use whose vendor has announced an end; negative once it is past.",
                    (
                        Query(
                            f"min by (account, native_model) ({of('native_model_retirement_days', ACCOUNT)})",
                            "{{native_model}}",
                        ),
                    ),
                    "bargauge",
                    "d",
                    red_below=30,
                ),
            ),
        ),
        Row(
            "Money",
            (
                areas(
                    "Spend an hour by account",
                    "What the vendor bills an hour.",
                    an_hour(rate("account", "vendor_cost_usd_total", ACCOUNT)),
                    "{{account}}",
                    "currencyUSD",
                ),
                areas(
                    "Spend an hour by native model",
                    "What the vendor bills an hour.",
                    an_hour(rate("native_model", "vendor_cost_usd_total", ACCOUNT)),
                    "{{native_model}}",
                    "currencyUSD",
                ),
                areas(
                    "Images billed a second",
                    "A second, delivered or not.",
                    rate("account", "vendor_images_billed_total", ACCOUNT),
                    "{{account}}",
                ),
            ),
        ),
    ),
    (*DEPLOYMENTS, Variable("account", 'samurai_vendor_calls_total{namespace=~"$namespace",job=~"$job"}', "account")),
)
