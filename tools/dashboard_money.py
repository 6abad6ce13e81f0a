"""The dashboard of limits and money: who uses what, and what is not known to have been paid?"""

from tools.dashboard_queries import DEPLOYMENTS, areas, lines, of, rate, stat, top
from tools.grafana import Dashboard, Panel, Query, Row

__all__ = ["KEYS_AND_MONEY"]

KEYS_AND_MONEY = Dashboard(
    "samurai-keys-and-money",
    "Samurai Gateway: Keys and money",
    "Limits hit, budgets used, who uses most, and what nobody knows to have been paid.",
    (
        Row(
            "At a glance",
            (
                stat(
                    "Refused by limits",
                    "Requests refused by a limit, a second.",
                    rate("", "limit_refusals_total"),
                    "reqps",
                ),
                stat(
                    "Fullest budget",
                    "The share that is used of the fullest budget of a key or a tenant.",
                    f"max({of('budget_used_ratio')})",
                    "percentunit",
                    red_from=0.9,
                ),
                stat(
                    "Spent",
                    "What vendors billed in the chosen time.",
                    f"sum(increase({of('vendor_cost_usd_total')}[$__range]))",
                    "currencyUSD",
                ),
                stat("Reserved", "For operations under way.", f"max({of('reserved_usd')})", "currencyUSD"),
                stat(
                    "In suspense",
                    "May have been spent, and nobody knows: see `samurai suspense list`.",
                    f"sum(max by (kind) ({of('suspense_usd')}))",
                    "currencyUSD",
                    red_from=0.01,
                ),
                stat(
                    "Unknown outcomes",
                    "Calls in the chosen time of which nobody knows whether they cost money.",
                    f"sum(increase({of('vendor_unknown_outcomes_total')}[$__range]))",
                    red_from=1,
                ),
            ),
        ),
        Row(
            "Limits",
            (
                areas(
                    "Refused by limits",
                    "Requests refused a second, by limit and whose it is.",
                    rate("dimension, scope", "limit_refusals_total"),
                    "{{dimension}} of {{scope}}",
                    "reqps",
                ),
                areas(
                    "Tokens taken",
                    "From the buckets of limits, a second; an image is one token.",
                    rate("dimension, scope", "limit_tokens_taken_total"),
                    "{{dimension}} of {{scope}}",
                ),
                areas(
                    "Requests without a good key",
                    "A second, by what was wrong with it.",
                    rate("reason", "key_refusals_total"),
                    "{{reason}}",
                    "reqps",
                ),
                areas(
                    "Decided without Redis",
                    "Decisions of the limiter a second, on a replica's own share.",
                    rate("instance", "limiter_degraded_total"),
                    "{{instance}}",
                    "ops",
                ),
                lines(
                    "Age of the keys",
                    "Time since a replica's copy of the keys was in step with Redis.",
                    f"max by (instance) ({of('keys_age_seconds')})",
                    "{{instance}}",
                    "s",
                ),
                areas(
                    "Repeated requests",
                    "Recognised by their idempotency key or as an SDK's retry, a second.",
                    rate("kind", "idempotency_total"),
                    "{{kind}}",
                    "reqps",
                ),
            ),
        ),
        Row(
            "Budgets and suspense",
            (
                lines(
                    "Budgets used",
                    "Spent or reserved share of the fullest budget, by whose it is and its period.",
                    f"max by (scope, period) ({of('budget_used_ratio')})",
                    "{{scope}}, {{period}}",
                    "percentunit",
                ),
                areas(
                    "Suspense",
                    "Amounts that may have been spent (unknown) or were reserved and forgotten (lapsed).",
                    f"max by (kind) ({of('suspense_usd')})",
                    "{{kind}}",
                    "currencyUSD",
                ),
                areas(
                    "Operations in suspense",
                    "Their number.",
                    f"max by (kind) ({of('suspense_operations')})",
                    "{{kind}}",
                ),
                areas(
                    "Unknown outcomes",
                    "Calls of which nobody knows whether they cost money, a second.",
                    rate("account", "vendor_unknown_outcomes_total"),
                    "{{account}}",
                    "ops",
                ),
                lines("Reserved", "For operations under way.", f"max({of('reserved_usd')})", "reserved", "currencyUSD"),
                lines(
                    "Settlements waiting",
                    "For Redis to come back.",
                    f"sum({of('settlements_waiting')})",
                    "settlements",
                ),
            ),
        ),
        Row(
            "Keys, where metrics.per_key is on",
            (
                Panel(
                    "Top keys by requests",
                    "In the chosen time. Empty unless metrics.per_key is on.",
                    (Query(top("key", "key_requests_total"), "{{key}}"),),
                    "bargauge",
                ),
                Panel(
                    "Top keys by images",
                    "Delivered in the chosen time. Empty unless metrics.per_key is on.",
                    (Query(top("key", "key_images_total"), "{{key}}"),),
                    "bargauge",
                ),
                Panel(
                    "Top keys by spend",
                    "Billed in the chosen time. Empty unless metrics.per_key is on.",
                    (Query(top("key", "key_cost_usd_total"), "{{key}}"),),
                    "bargauge",
                    "currencyUSD",
                ),
                Panel(
                    "Top keys by refusals",
                    "Refused by a limit in the chosen time. Empty unless metrics.per_key is on.",
                    (Query(top("key, dimension", "key_limit_refusals_total"), "{{key}} {{dimension}}"),),
                    "bargauge",
                ),
                Panel(
                    "Budgets used, by key",
                    "Spent or reserved share. Empty unless metrics.per_key is on.",
                    (Query(f"topk(10, max by (key, period) ({of('key_budget_used_ratio')}))", "{{key}}, {{period}}"),),
                    "bargauge",
                    "percentunit",
                    red_from=0.9,
                ),
            ),
        ),
    ),
    DEPLOYMENTS,
)
