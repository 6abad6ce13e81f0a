"""The dashboard for the first look: is all well, and how much room is left?"""

from tools.dashboard_queries import (
    ACCEPTED,
    DEPLOYMENTS,
    JOB,
    OK,
    RATE,
    an_hour,
    areas,
    lines,
    of,
    quantile,
    rate,
    share,
    stat,
)
from tools.grafana import Dashboard, Panel, Query, Row

__all__ = ["OVERVIEW"]

OVERVIEW = Dashboard(
    "samurai-overview",
    "Samurai Gateway: Overview",
    "Traffic, success, latency, images, spend, and how much room is left.",
    (
        Row(
            "At a glance",
            (
                stat("Requests", "Generation requests answered a second.", rate("", "requests_total"), "reqps"),
                stat(
                    "Success",
                    "Share of the accepted requests that ended well. Callers' mistakes and limits do not count.",
                    share("", of("requests_total", OK), of("requests_total", ACCEPTED)),
                    "percentunit",
                    red_below=0.99,
                ),
                stat("Images a second", "Images delivered to clients a second.", rate("", "images_total"), "short"),
                stat(
                    "Spend an hour",
                    "What vendors bill an hour, at the present rate.",
                    an_hour(rate("", "vendor_cost_usd_total")),
                    "currencyUSD",
                ),
                stat("In flight", "Operations under way in all replicas.", f"sum({of('operations_in_flight')})"),
                stat("Replicas", "Replicas that Prometheus sees.", f"count({of('build_info')})", red_below=1),
            ),
        ),
        Row(
            "Traffic",
            (
                areas(
                    "Requests by model",
                    "Generation requests answered a second.",
                    rate("model", "requests_total"),
                    "{{model}}",
                    "reqps",
                ),
                areas(
                    "Requests by status",
                    "200 went well, 400 are callers' mistakes, 429 limits, 500 ours or a vendor's.",
                    rate("status", "requests_total"),
                    "{{status}}",
                    "reqps",
                ),
                areas(
                    "Errors by code",
                    "What did not end well, by the code that the caller got. Empty when all is well.",
                    rate("code", "requests_total", 'code!="ok"') + " > 0",
                    "{{code}}",
                    "reqps",
                ),
                lines(
                    "Latency by model, median",
                    "From a request's headers to its answer's end.",
                    quantile(0.5, "model", "request_duration_seconds"),
                    "{{model}}",
                    "s",
                ),
                lines(
                    "Latency by model, 95 %",
                    "One request in twenty takes longer than this.",
                    quantile(0.95, "model", "request_duration_seconds"),
                    "{{model}}",
                    "s",
                ),
                lines(
                    "Success by model",
                    "Share of the accepted requests that ended well.",
                    share("model", of("requests_total", OK), of("requests_total", ACCEPTED)),
                    "{{model}}",
                    "percentunit",
                ),
            ),
        ),
        Row(
            "Images and money",
            (
                areas(
                    "Images a second by model",
                    "Images delivered to clients a second.",
                    rate("model", "images_total"),
                    "{{model}}",
                ),
                Panel(
                    "Pixels and bytes",
                    "Of the images stored, a second.",
                    (
                        Query(rate("", "image_pixels_total"), "pixels"),
                        Query(rate("", "image_bytes_total"), "bytes"),
                    ),
                    unit="short",
                ),
                areas(
                    "Spend an hour by model",
                    "What vendors bill an hour.",
                    an_hour(rate("model", "vendor_cost_usd_total")),
                    "{{model}}",
                    "currencyUSD",
                ),
            ),
        ),
        Row(
            "Room",
            (
                Panel(
                    "Operations in flight",
                    "By replica, and the tasks of its event loop: they rise and fall together.",
                    (
                        Query(f"sum by (instance) ({of('operations_in_flight')})", "{{instance}}"),
                        Query(f"sum by (instance) ({of('tasks')})", "{{instance}} tasks"),
                    ),
                ),
                lines(
                    "Processor time",
                    "Processors used by a replica, without its image processes.",
                    f"sum by (instance) (rate(process_cpu_seconds_total{{{JOB}}}{RATE}))",
                    "{{instance}}",
                ),
                Panel(
                    "Memory",
                    "Resident memory of a replica, and bytes of images on their way to the disk.",
                    (
                        Query(f"sum by (instance) (process_resident_memory_bytes{{{JOB}}})", "{{instance}} resident"),
                        Query(f"sum by (instance) ({of('in_flight_bytes')})", "{{instance}} images"),
                    ),
                    unit="bytes",
                ),
                lines(
                    "Loop lag, 99 %",
                    "How late the event loop comes to what is due; above 0.25 s something is wrong.",
                    quantile(0.99, "instance", "loop_lag_seconds"),
                    "{{instance}}",
                    "s",
                ),
                Panel(
                    "Image processes",
                    "Images that are changed in size or format: at work, waiting, and processes that died.",
                    (
                        Query(f"sum({of('pixel_workers_busy')})", "busy"),
                        Query(f"sum({of('pixel_jobs_waiting')})", "waiting"),
                        Query(f"sum({of('pixel_workers_lost')})", "lost"),
                    ),
                ),
                Panel(
                    "Image processes: time",
                    "Checking, fitting and storing an image: one in twenty takes longer; and the longest wait.",
                    (
                        Query(quantile(0.95, "fitted", "image_finish_duration_seconds"), "95 %, fitted: {{fitted}}"),
                        Query(f"max({of('pixel_longest_wait_seconds')})", "longest wait"),
                    ),
                    unit="s",
                ),
                areas(
                    "Requests shed",
                    "Refused for want of room, by reason and the key's priority.",
                    rate("reason, priority", "shed_total"),
                    "{{reason}} {{priority}}",
                    "reqps",
                ),
                areas(
                    "Refused before a request",
                    "Connections refused or cut below the application.",
                    rate("reason", "connections_refused_total"),
                    "{{reason}}",
                    "cps",
                ),
                areas(
                    "Clients that left",
                    "Hung up before their answer: before anything was paid for, or after.",
                    rate("phase", "clients_left_total"),
                    "{{phase}}",
                    "reqps",
                ),
            ),
        ),
        Row(
            "What it stands on",
            (
                Panel(
                    "Redis",
                    "1 while Redis answers each replica; else the reason why it does not.",
                    (
                        Query(f"min({of('redis_up')})", "up"),
                        Query(f"max by (reason) ({of('redis_outage')}) > 0", "{{reason}}"),
                        Query(f"max({of('redis_may_forget')})", "may throw keys away"),
                    ),
                ),
                lines(
                    "Image store",
                    "1 when a replica's last probe of the store worked.",
                    f"sum by (instance) ({of('store_up')})",
                    "{{instance}}",
                ),
                Panel(
                    "Journal",
                    "Writing the journal of paid work: one write in twenty takes longer, by what was waited for; and "
                    "forcing it to the disk by itself.",
                    (
                        Query(quantile(0.95, "waited_for", "journal_write_duration_seconds"), "{{waited_for}}"),
                        Query(quantile(0.95, "", "journal_disk_duration_seconds"), "the disk by itself"),
                    ),
                    unit="s",
                ),
                lines(
                    "Company on the disk",
                    "Records of the journal that one forced write takes to the disk, on average.",
                    f"{rate('', 'journal_disk_records_total')} / "
                    f"({rate('', 'journal_disk_duration_seconds_count')} > 0)",
                    "records",
                ),
                areas(
                    "Paid calls by state",
                    "How paid calls move through the journal, a second.",
                    rate("state", "journal_attempts_total"),
                    "{{state}}",
                ),
                Panel(
                    "Recovered operations",
                    "Operations of dead replicas that were taken up, and writes refused to those that were replaced.",
                    (
                        Query(rate("outcome", "operations_recovered_total"), "{{outcome}}"),
                        Query(rate("", "journal_fenced_total"), "fenced"),
                    ),
                ),
                Panel(
                    "Configuration",
                    "The version in force by replica, and whether the last reload was taken.",
                    (
                        Query(f"count by (version) ({of('config_info')})", "version {{version}}"),
                        Query(f"count by (version) ({of('build_info')})", "build {{version}}"),
                        Query(f"min({of('config_last_reload_successful')})", "last reload worked"),
                    ),
                ),
            ),
        ),
    ),
    DEPLOYMENTS,
)
