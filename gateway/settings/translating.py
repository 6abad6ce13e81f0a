"""From the document, in the words of its writer, to the settings, in ours. Nothing can be wrong any more here."""

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType

from msgspec import UNSET, UnsetType
from msgspec.structs import asdict

from gateway.domain import catalogue as domain
from gateway.domain.caller import Caller, Tenant
from gateway.domain.money import Price, microdollars
from gateway.domain.picture import Size
from gateway.settings import groups, shape, shape_offer
from gateway.settings.addresses import store_directory
from gateway.settings.faults import Place
from gateway.settings.kinds import byte_count, duration_s
from gateway.settings.references import GoogleCredentialRef
from gateway.settings.secrets import Secret

__all__ = ["translate"]

Secrets = Mapping[Place, Secret]


def translate(document: shape.Document, secrets: Secrets, directory: Path) -> groups.Settings:
    """The settings that a faultless document means. `directory` is the one its relative paths start from."""
    accounts = MappingProxyType(
        {name: _account(name, account, secrets, directory) for name, account in document.accounts.items()}
    )
    return groups.Settings(
        server=_server(document.server, secrets),
        redis=_redis(document.redis, secrets),
        store=_store(document.store, secrets, directory),
        accounts=accounts,
        catalogue=_catalogue(document, accounts),
        keys=tuple(
            _key(key, _webhook(key, secrets.get(("keys", index, "webhook", "secret"))))
            for index, key in enumerate(document.keys)
        ),
        tenant_budgets=MappingProxyType({name: _budget(tenant.budget) for name, tenant in document.tenants.items()}),
        tenants=MappingProxyType(
            {name: Tenant(_limits(one.limits), one.models, one.priority) for name, one in document.tenants.items()}
        ),
        idempotency=_idempotency(document.idempotency, directory),
        resilience=_resilience(document.resilience),
        webhook_url=document.webhooks.public_url.rstrip("/") if document.webhooks.public_url else None,
        otlp_endpoint=document.tracing.otlp_endpoint,
        logging=groups.LoggingSettings(document.logging.level, document.logging.prompts),
        admission=_admission(document.admission),
        metrics_per_key=document.metrics.per_key,
    )


def _server(server: shape.Server, secrets: Secrets) -> groups.ServerSettings:
    public = server.public
    return groups.ServerSettings(
        public_host=public.host,
        public_port=public.port,
        base_url=(public.base_url or f"http://127.0.0.1:{public.port}").rstrip("/"),
        admin_host=server.admin.host,
        admin_port=server.admin.port,
        admin_token=secrets.get(("server", "admin", "token")),
        trusted_proxies=tuple(ip_network(network) for network in server.trusted_proxies),
        drain_delay_s=duration_s(server.drain.delay),
        drain_deadline_s=duration_s(server.drain.deadline),
    )


def _redis(redis: shape.Redis, secrets: Secrets) -> groups.RedisSettings:
    on_failure = redis.on_failure
    if isinstance(on_failure, str):
        on_failure = shape.OnFailureTable(*[on_failure] * len(shape.OnFailureTable.__struct_fields__))
    url = Secret(redis.url) if isinstance(redis.url, str) else secrets["redis", "url"]
    return groups.RedisSettings(
        url,
        MappingProxyType(asdict(on_failure)),
        duration_s(redis.honour_keys),
        redis.replicas_max,
        duration_s(redis.timeout),
    )


def _store(store: shape.Store, secrets: Secrets, directory: Path) -> groups.StoreSettings:
    local = store_directory(store.url, directory)
    return groups.StoreSettings(
        url=store.url if local is None else local.as_uri(),
        directory=local,
        keep_s=duration_s(store.keep),
        presigned=store.links == "presigned",
        signing_key=secrets.get(("store", "signing_key")),
    )


def _account(name: str, account: shape_offer.Account, secrets: Secrets, directory: Path) -> groups.AccountSettings:
    place = ("accounts", name)
    key = secrets.get((*place, "api_key"))
    headers = {
        header: Secret(value) if isinstance(value, str) else secrets[(*place, "headers", header)]
        for header, value in account.headers.items()
    }
    return groups.AccountSettings(
        account=domain.Account(
            id=name,
            vendor=account.vendor,
            base_url=account.base_url.rstrip("/") if account.base_url else None,
            project=account.project,
            location=(account.location or "global") if account.project else None,
        ),
        credential=_google(account.credentials, directory) if key is None else key,
        timeout_s=duration_s(account.timeout),
        headers=MappingProxyType(headers),
        download_hosts=account.download_hosts,
        pacing=groups.PacingSettings(**asdict(account.pacing)),
    )


def _google(credentials: GoogleCredentialRef | str | None, directory: Path) -> groups.GoogleCredentials:
    if not isinstance(credentials, GoogleCredentialRef):
        return groups.GoogleCredentials()
    file, metadata = _given(credentials.file), _given(credentials.metadata)
    return groups.GoogleCredentials(None if file is None else directory / file, metadata)


def _given(text: str | UnsetType) -> str | None:
    return None if text is UNSET else text


def _catalogue(document: shape.Document, accounts: Mapping[str, groups.AccountSettings]) -> domain.Catalogue:
    compatibility = document.compatibility
    routes = {
        name: _route(name, route, accounts, compatibility.prompt_limit) for name, route in document.models.items()
    }
    return domain.Catalogue(
        routes=MappingProxyType(routes),
        sizes=tuple(Size.parse(size) for size in compatibility.sizes),
        default_model=compatibility.default_model,
        ignore_unknown_fields=compatibility.unknown_fields == "ignore",
    )


def _route(
    name: str, route: shape_offer.Route, accounts: Mapping[str, groups.AccountSettings], prompt_limit: int
) -> domain.Route:
    return domain.Route(
        id=name,
        targets=tuple(_target(target, accounts) for target in route.targets),
        deadline_s=duration_s(route.deadline),
        prompt_limit=route.prompt_limit or prompt_limit,
        limits=_limits(route.limits),
        provider_options=route.provider_options,
        strategy=domain.Strategy(route.strategy),
        on_refusal=domain.OnRefusal(route.on_refusal),
        passthrough_url=route.passthrough_url,
    )


def _target(target: shape_offer.Target, accounts: Mapping[str, groups.AccountSettings]) -> domain.Target:
    return domain.Target(
        account=accounts[target.account].account,
        dialect=target.dialect,
        model=target.model,
        price=_price(target.price.per_image),
        parameters=MappingProxyType(target.parameters),
        weight=target.weight,
    )


def _price(per_image: float | dict[str, dict[str, float]]) -> Price:
    if not isinstance(per_image, dict):
        return Price(flat=microdollars(per_image))
    table: dict[str, Mapping[str, int]] = {
        size: MappingProxyType({quality: microdollars(figure) for quality, figure in row.items()})
        for size, row in per_image.items()
    }
    return Price(table=MappingProxyType(table))


def _limits(limits: shape_offer.Limits) -> domain.Limits:
    return domain.Limits(limits.requests_per_minute, limits.images_per_minute, limits.concurrent, limits.burst)


def _budget(budget: shape_offer.Budget) -> groups.Budget:
    def micro(dollars: float | None) -> int | None:
        return None if dollars is None else microdollars(dollars)

    return groups.Budget(micro(budget.per_day), micro(budget.per_month), micro(budget.total))


def _webhook(key: shape_offer.Key, secret: Secret | None) -> groups.WebhookSettings | None:
    return None if key.webhook is None or secret is None else groups.WebhookSettings(key.webhook.url, secret)


def _key(key: shape_offer.Key, webhook: groups.WebhookSettings | None) -> groups.KeyRecord:
    budget = _budget(key.budget)
    caller = Caller(
        key_id=key.id,
        tenant=key.tenant,
        models=key.models,
        limits=_limits(key.limits),
        priority=key.priority,
        budget=budget,
        per_user=domain.Limits(**asdict(key.limits.per_user)),
        may_route=key.may_route,
    )
    return groups.KeyRecord(key.sha256, caller, budget, webhook, MappingProxyType(key.metadata))


def _idempotency(idempotency: shape.Idempotency, directory: Path) -> groups.IdempotencySettings:
    return groups.IdempotencySettings(
        keep_s=duration_s(idempotency.keep),
        wait_s=duration_s(idempotency.wait),
        join_retries_s=duration_s(idempotency.join_retries),
        conflict=idempotency.concurrent == "conflict",
        lease_s=duration_s(idempotency.lease),
        spool=None if idempotency.spool is None else directory / idempotency.spool,
        acknowledged_by=idempotency.acknowledged_by,
    )


def _resilience(resilience: shape.Resilience) -> groups.ResilienceSettings:
    breaker = resilience.breaker
    return groups.ResilienceSettings(
        retry_budget=resilience.retry_budget,
        breaker=groups.BreakerSettings(
            breaker.failures, breaker.over, duration_s(breaker.window), duration_s(breaker.cooldown)
        ),
        resend_unknown=resilience.on_unknown == "resend_once",
    )


def _admission(admission: shape.Admission) -> groups.AdmissionSettings:
    return groups.AdmissionSettings(
        memory_bytes=None if admission.memory is None else byte_count(admission.memory),
        spool_bytes=None if admission.spool is None else byte_count(admission.spool),
        loop_lag_s=duration_s(admission.loop_lag),
        queue_s=duration_s(admission.queue_time),
        connections=admission.connections,
    )
