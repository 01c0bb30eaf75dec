"""Scripts on real devices: one and many, online and away, approved, revoked, and forced."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from farhand_console.cli.base import Context
from farhand_console.cli.run import published_script, wait_for_result
from farhand_console.home import Home
from farhand_console.relay import segments
from farhand_console.relay.answers import OrderStates, OrderView
from farhand_console.trust.devices import VerifiedDevice, verify_device
from farhand_protocol.envelopes import encode_envelope, open_payload, seal
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.manifest import Manifest, manifest_digest
from farhand_protocol.orders import Order
from tests.integration.conftest import ON_SQLITE, House
from tests.support.stage import AgentHome, ConsoleHome

pytestmark = pytest.mark.slow


def write_script(folder: Path, script: str, body: str) -> Path:
    """Write a script folder with this body."""
    folder.mkdir()
    manifest = f"""id = "{script}"
version = 1
title = "A script of the tests"
description = "Does what the test needs."
platforms = ["linux"]
interpreter = "sh"
risk = "R0"
timeout_s = 60
run_as = "agent"
sensitive = false

[parameters]
type = "object"
additionalProperties = false

[parameters.properties]
"""
    (folder / "manifest.toml").write_text(manifest)
    (folder / "script.sh").write_text(body)
    return folder


def publish(house: House, approver: ConsoleHome, script: str, folder: Path) -> None:
    """Submit by the technician, approve by somebody else, publish by the admin."""
    house.technician.json("script", "submit", str(folder))
    approver.json("script", "approve", script, "--yes")
    house.admin.json("script", "publish", script)


@pytest.fixture(scope="module")
def approver(house: House) -> ConsoleHome:
    """A second operator."""
    return house.stage.technician(house.admin, "rob")


def away(house: House, name: str, *, group: str = "office") -> AgentHome:
    """Enrol a device that was online once and is not now."""
    agent = house.add_agent(name, group=group)
    stop(agent)
    return agent


def stop(agent: AgentHome) -> None:
    assert agent.process is not None
    agent.process.end()


def retire(house: House, *agents: AgentHome) -> None:
    """Take devices out again, so that they do not stand in other tests' way."""
    for agent in agents:
        house.admin.json("device", "retire", agent.device)
        stop(agent)


@contextmanager
def opened(console: ConsoleHome) -> Iterator[Context]:
    """Work in a console's home in this process, for what its commands refuse to do."""
    context = Context(Home(console.home), as_json=True)
    try:
        yield context
    finally:
        context.close()


@dataclass(frozen=True)
class Prepared:
    """An order that is signed but not sent, and the device it is for."""

    order: str
    sealed: bytes
    device: VerifiedDevice


def prepare(context: Context, script: str, device: str, /, **changes: Any) -> Prepared:
    """Sign an order past the console's own checks."""
    trust = context.trust(fresh=True)
    envelope = published_script(context, script, None)
    manifest = open_payload(envelope, Manifest)
    told = context.relay.get(segments("devices", device), dict)
    verified = verify_device(context.home, trust, told, asked=device)
    now = datetime.now(UTC).replace(microsecond=0)
    values: dict[str, Any] = {
        "tenant": context.settings.tenant,
        "id": make_id("o", secrets.token_bytes(10)),
        "device": verified.id,
        "host_name": verified.host_name,
        "group": verified.group,
        "script": script,
        "version": manifest.version,
        "risk": manifest.risk,
        "digest": manifest_digest(envelope),
        "parameters": {},
        "operator": context.settings.account,
        "ticket": None,
        "campaign": None,
        "ring": None,
        "targets_version": trust.targets_version,
        "issued_at": format_instant(now),
        "not_before": format_instant(now - timedelta(minutes=1)),
        "expires": format_instant(now + timedelta(minutes=10)),
    }
    order = Order(**{**values, **changes})
    return Prepared(order.id, encode_envelope(seal(order, context.signer())), verified)


def send(context: Context, prepared: Prepared) -> dict[str, Any]:
    """Hand an order over and return how it ended, by its device's word."""
    items = {"items": [{"envelope": prepared.sealed}]}
    context.relay.post("/orders", OrderStates, items)
    return outcome(context, prepared.order, prepared.device)


def outcome(context: Context, order: str, device: VerifiedDevice) -> dict[str, Any]:
    """Wait for a final state."""
    return wait_for_result(context, order, device.id, device.key, ttl_s=90)


def verified_of(context: Context, device: str) -> VerifiedDevice:
    told = context.relay.get(segments("devices", device), dict)
    return verify_device(context.home, context.trust(), told, asked=device)


def test_a_shipped_script_with_its_result(house: House) -> None:
    words = ["run", "check.disk.space", "--device", "alpha", "--wait"]
    done = house.technician.json(*words, "--param", "warning_percent=94")
    assert (done["state"], done["exit_code"], done["signed"]) == ("succeeded", 0, True)
    assert done["device"] == house.agent.device
    assert json.loads(done["stdout"])["state"] in ("ok", "warning", "critical")
    assert done["stderr"] == ""


@ON_SQLITE
def test_a_sensitive_script_is_read_by_whoever_ordered_it_alone(house: House) -> None:
    words = ["run", "diagnose.crash.collect", "--device", "alpha", "--wait"]
    done = house.technician.json(*words)
    assert (done["state"], done["sealed"]) == ("succeeded", "opened")
    assert set(json.loads(done["stdout"])) == {"crashes"}
    again = house.technician.json("order", "show", done["order"])
    assert (again["sealed"], again["stdout"]) == ("opened", done["stdout"])
    other = house.admin.json("order", "show", done["order"])
    assert (other["state"], other["sealed"], other["stdout"]) == ("succeeded", "closed", "")


def test_an_order_for_a_device_that_is_away_waits_for_it(house: House) -> None:
    agent = away(house, "late")
    made = house.technician.json("run", "check.uptime", "--device", "late")
    assert made["state"] == "eligible"
    with opened(house.technician) as context:
        agent.start()
        ended = outcome(context, made["order"], verified_of(context, "late"))
    assert (ended["state"], ended["signed"]) == ("succeeded", True)
    retire(house, agent)


def test_an_order_that_ran_out_never_runs(
    house: House, approver: ConsoleHome, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    folder = write_script(tmp_path / "script", "test.marker", f"echo ran >> '{marker}'\n")
    publish(house, approver, "test.marker", folder)
    agent = away(house, "slow")
    words = ["run", "test.marker", "--device", "slow"]
    done = house.technician.run("--json", *words, "--ttl", "2", "--wait", expect=1)
    ended = json.loads(done.stdout)
    assert (ended["state"], ended["signed"], ended["exit_code"]) == ("expired", False, None)
    agent.start()
    # What is told after it has been told first.
    done_after = house.technician.json("run", "check.uptime", "--device", "slow", "--wait")
    assert done_after["state"] == "succeeded"
    assert not marker.exists()
    house.technician.json(*words, "--wait")
    assert marker.read_text() == "ran\n"
    retire(house, agent)


def test_a_campaign_with_a_failing_script_and_a_device_that_is_away(
    house: House, approver: ConsoleHome, tmp_path: Path
) -> None:
    body = 'echo "disk $$ of $(hostname) is full" >&2\necho part of it\nexit 3\n'
    folder = write_script(tmp_path / "script", "test.failing", body)
    house.technician.json("script", "submit", str(folder))
    words = ["campaign", "create", "--script", "test.failing", "--query", "group:ward"]
    assert house.technician.refused(*words, expect=3) == "script-not-approved"
    # Its author does not count as an approver.
    assert house.technician.refused("script", "approve", "test.failing", "--yes", expect=3)
    approver.json("script", "approve", "test.failing", "--yes")
    house.admin.json("script", "publish", "test.failing")
    assert house.technician.refused(*words) == "no-targets"
    agents = [house.add_agent(name, group="ward") for name in ("one", "two")]
    agents.append(away(house, "three", group="ward"))
    made = house.technician.json(*words)
    assert (made["state"], made["targets"]) == ("draft", 3)
    campaign = made["campaign"]
    started = house.technician.json("campaign", "start", campaign)
    assert (started["state"], started["signed"], started["skipped"]) == ("running", 3, [])
    with opened(house.technician) as context:
        found = list(context.relay.pages("/orders", OrderView, campaign=campaign))
        ids = {one.device: one.order for one in found}
        for agent in agents[:2]:
            ended = outcome(context, ids[agent.device], verified_of(context, agent.device))
            assert (ended["state"], ended["exit_code"]) == ("failed", 3)
            assert (ended["stdout"], ended["signed"]) == ("part of it\n", True)
            assert ended["stderr"].startswith("disk ")
        report = house.technician.json("campaign", "report", campaign)
        assert (report["state"], report["counts"]) == ("running", {"eligible": 1, "failed": 2})
        agents[2].start()
        last = outcome(context, ids[agents[2].device], verified_of(context, agents[2].device))
        assert last["state"] == "failed"
    report = house.technician.json("campaign", "report", campaign)
    assert (report["state"], report["counts"]) == ("finished", {"failed": 3})
    assert [(one["name"], one["counts"]) for one in report["rings"]] == [("all", {"failed": 3})]
    [cause] = report["causes"]
    assert cause["count"] == 3, "what differs between devices is put aside"
    assert cause["signature"].startswith("disk N of ")
    assert cause["example"] in ids.values()
    assert report["unverified"] == 0
    retire(house, *agents)


@ON_SQLITE
def test_a_revoked_script_is_refused_by_console_and_device(
    house: House, approver: ConsoleHome, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    folder = write_script(tmp_path / "script", "test.revoked", f"echo ran >> '{marker}'\n")
    publish(house, approver, "test.revoked", folder)
    run = ["run", "test.revoked", "--device", "alpha", "--wait"]
    assert house.technician.json(*run)["state"] == "succeeded"
    with opened(house.technician) as context:
        before = prepare(context, "test.revoked", "alpha")
        house.admin.json("script", "revoke", "test.revoked", "--reason", "wrong")
        # It is no target any more, so the console may only know that it is not approved.
        told = house.technician.refused(*run, expect=3)
        assert told in ("script-revoked", "script-not-approved")
        # An order that names the newer targets: from here on the device knows them too.
        run_after = ["run", "check.uptime", "--device", "alpha", "--wait"]
        assert house.technician.json(*run_after)["state"] == "succeeded"
        ended = send(context, before)
    assert (ended["state"], ended["refusal"]) == ("refused", "script-revoked")
    assert ended["signed"] is True
    assert marker.read_text() == "ran\n"


@pytest.mark.parametrize(
    "parameters", [{"warning_percent": 400}, {"warning_percent": "many"}, {"nothing": 1}]
)
def test_parameters_outside_the_schema(house: House, parameters: dict[str, Any]) -> None:
    pairs = [word for name, value in parameters.items() for word in ("--param", f"{name}={value}")]
    run = ["run", "check.disk.space", "--device", "alpha", *pairs]
    assert house.technician.refused(*run, expect=2) == "parameters-invalid"
    with opened(house.technician) as context:
        ended = send(context, prepare(context, "check.disk.space", "alpha", parameters=parameters))
    assert (ended["state"], ended["refusal"]) == ("refused", "parameters-invalid")
    assert ended["signed"] is True


@ON_SQLITE
def test_a_device_that_only_the_relay_vouches_for(house: House) -> None:
    database = ["--database", house.stage.database] if house.stage.database else []
    made = json.loads(house.stage.server("token", "--group", "lab", "--json", *database).stdout)
    assert made.keys() == {"token", "group", "uses", "expires_at"}
    agent = house.stage.agent("unsure")
    agent.enrol(made["token"])
    agent.start()
    sure = house.add_agent("sure", group="lab")
    listed = house.technician.json("device", "list", "group:lab")["items"]
    assert {one["name"]: one["confirmed"] for one in listed} == {"sure": True, "unsure": False}
    run = ["run", "check.uptime", "--device", "unsure"]
    assert house.technician.refused(*run, expect=3) == "device-unconfirmed"
    # A campaign leaves it out, says so, and ends all the same.
    words = ["campaign", "create", "--script", "check.uptime", "--query", "group:lab"]
    campaign = house.technician.json(*words)["campaign"]
    report = house.technician.json("campaign", "start", campaign, "--wait")
    assert report["state"] == "finished"
    assert report["counts"] == {"refused": 1, "succeeded": 1}
    [cause] = report["causes"]
    assert cause["signature"] == "device-unconfirmed"
    house.admin.json("device", "confirm", "unsure", "--key", agent.device)
    done = house.technician.json(*run, "--wait")
    assert (done["state"], done["signed"]) == ("succeeded", True)
    retire(house, agent, sure)
