from dataclasses import replace
from pathlib import Path

import pytest

from gateway.doctor.configuration import configuration_findings
from gateway.doctor.findings import Finding, Status
from gateway.settings.secrets import Secret
from tests.settings.samples import SMALL, load_text


def links(folder: Path, base_url: str, host: str) -> Finding:
    settings = load_text(SMALL, folder)
    server = replace(settings.server, base_url=base_url, public_host=host)
    found = list(configuration_findings(replace(settings, server=server)))
    return next(finding for finding in found if finding.subject == "image links")


@pytest.mark.parametrize(
    ("base_url", "host", "status"),
    [
        ("https://images.example", "0.0.0.0", Status.OK),
        ("http://127.0.0.1:8080", "127.0.0.1", Status.OK),
        ("http://localhost:8080", "::1", Status.OK),
        ("http://127.0.0.1:8080", "0.0.0.0", Status.WARNING),
        ("https://localhost", "10.0.0.5", Status.WARNING),
        ("http://images.example", "0.0.0.0", Status.WARNING),
        ("http://images.example", "127.0.0.1", Status.WARNING),
    ],
)
def test_links_should_lead_where_clients_are_and_by_tls(
    base_url: str, host: str, status: Status, tmp_path: Path
) -> None:
    assert links(tmp_path, base_url, host).status is status


def test_a_deployment_without_keys_is_told_that_nobody_may_call(tmp_path: Path) -> None:
    settings = replace(load_text(SMALL, tmp_path), keys=())
    assert Finding(
        Status.WARNING, "keys", "nobody may call", "`samurai keys new` makes a key and its lines"
    ) in configuration_findings(settings)


def test_a_deployment_whose_keys_are_all_made_by_administration_is_well(tmp_path: Path) -> None:
    settings = replace(load_text(SMALL, tmp_path), keys=())
    administered = replace(settings, server=replace(settings.server, admin_token=Secret("t" * 16)))
    [keys] = [finding for finding in configuration_findings(administered) if finding.subject == "keys"]
    assert keys.status is Status.OK
    assert "samurai keys list" in keys.seen


def test_what_is_not_yet_in_force_is_told_with_its_line(tmp_path: Path) -> None:
    settings = replace(load_text(SMALL, tmp_path), pending=("line 7: webhooks.public_url: accepted, not yet in force",))
    pending = [each for each in configuration_findings(settings) if "not yet in force" in each.seen]
    assert [finding.status for finding in pending] == [Status.WARNING]
    assert pending[0].seen.startswith("line ")
