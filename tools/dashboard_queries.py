"""What the panels of all dashboards are made of: PromQL for the chosen deployments, and the usual panels."""

from tools.grafana import Panel, Query, Variable

__all__ = [
    "ACCEPTED",
    "ACCOUNT",
    "DEPLOYMENTS",
    "JOB",
    "NOT_CLOSED",
    "OK",
    "RATE",
    "an_hour",
    "areas",
    "lines",
    "of",
    "quantile",
    "rate",
    "share",
    "stat",
    "top",
]

RATE = "[$__rate_interval]"
JOB = 'namespace=~"$namespace",job=~"$job"'
ACCOUNT = 'account=~"$account"'


def of(metric: str, *matchers: str) -> str:
    """A metric of the chosen deployments."""
    return f"samurai_{metric}{{{','.join((JOB, *matchers))}}}"


def rate(by: str, metric: str, *matchers: str) -> str:
    """Events a second, summed over replicas."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({of(metric, *matchers)}{RATE}))"


def quantile(share: float, by: str, metric: str, *matchers: str) -> str:
    """A quantile of a histogram of seconds. Empty where nothing happened, rather than not a number."""
    labels = ", ".join(filter(None, (by, "le")))
    return f"histogram_quantile({share}, sum by ({labels}) (rate({of(f'{metric}_bucket', *matchers)}{RATE}))) >= 0"


def share(by: str, good: str, all_of: str) -> str:
    """Good ones as a share of all. Empty where nothing happened."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({good}{RATE})) / (sum{grouping} (rate({all_of}{RATE})) > 0)"


def an_hour(expr: str) -> str:
    return f"{expr} * 3600"


def top(labels: str, metric: str, *matchers: str) -> str:
    return f"topk(10, sum by ({labels}) (increase({of(metric, *matchers)}[$__range])))"


OK = 'code="ok"'
ACCEPTED = 'status=~"200|5.."'
NOT_CLOSED = 'state!="closed"'
DEPLOYMENTS = (
    Variable("namespace", "samurai_build_info", "namespace"),  # without one, as on a single machine, all is chosen
    Variable("job", 'samurai_build_info{namespace=~"$namespace"}', "job"),
)


def stat(title: str, description: str, expr: str, unit: str = "short", **more: float | None) -> Panel:
    return Panel(
        title,
        description,
        (Query(expr),),
        "stat",
        unit,
        4,
        red_from=more.get("red_from"),
        red_below=more.get("red_below"),
    )


def lines(title: str, description: str, expr: str, legend: str, unit: str = "short") -> Panel:
    return Panel(title, description, (Query(expr, legend),), unit=unit)


def areas(title: str, description: str, expr: str, legend: str, unit: str = "short") -> Panel:
    return Panel(title, description, (Query(expr, legend),), unit=unit, stacked=True)
