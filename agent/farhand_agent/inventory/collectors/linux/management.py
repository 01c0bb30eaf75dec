"""Section `management`: what else commands or inventories this device."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.presence import Product, look_for
from farhand_agent.inventory.registry import section

__all__ = ["collect", "server_in"]

# By product, the files that name its server and the key that does.
_SERVERS: Final = {
    "Salt minion": (("/etc/salt/minion", "/etc/salt/minion.d/master.conf"), "master"),
    "Puppet agent": (("/etc/puppetlabs/puppet/puppet.conf", "/etc/puppet/puppet.conf"), "server"),
    "Chef client": (("/etc/chef/client.rb",), "chef_server_url"),
    "Landscape client": (("/etc/landscape/client.conf",), "url"),
    "GLPI agent": (("/etc/glpi-agent/agent.cfg",), "server"),
    "FusionInventory agent": (("/etc/fusioninventory/agent.cfg",), "server"),
    "OCS Inventory agent": (("/etc/ocsinventory/ocsinventory-agent.cfg",), "server"),
    "Zabbix agent": (
        ("/etc/zabbix/zabbix_agentd.conf", "/etc/zabbix/zabbix_agent2.conf"), "Server",
    ),
    "Red Hat subscription": (("/etc/rhsm/rhsm.conf",), "hostname"),
}  # fmt: skip
_PRODUCTS: Final = (
    Product("Salt minion", ("salt-minion",), ("salt-minion",)),
    Product("Puppet agent", ("puppet-agent", "puppet"), ("puppet",)),
    Product("Chef client", ("chef",), ("chef-client",), ("/opt/chef",)),
    Product("CFEngine", ("cfengine3", "cfengine-nova"), ("cf-execd",), ("/var/cfengine/bin",)),
    Product("Rudder agent", ("rudder-agent",), (), ("/opt/rudder/bin/rudder",)),
    Product("Landscape client", ("landscape-client",), ("landscape-clie",)),
    Product("GLPI agent", ("glpi-agent",), ("glpi-agent",)),
    Product("FusionInventory agent", ("fusioninventory-agent",), ("fusioninventory",)),
    Product("OCS Inventory agent", ("ocsinventory-agent",), ("ocsinventory-ag",)),
    Product("Zabbix agent", ("zabbix-agent", "zabbix-agent2"), ("zabbix_agentd", "zabbix_agent2")),
    Product("Checkmk agent", ("check-mk-agent",), ("cmk-agent-ctl",)),
    Product("osquery", ("osquery",), ("osqueryd",), ("/opt/osquery",)),
    Product("Wazuh agent", ("wazuh-agent",), ("wazuh-agentd",), ("/var/ossec/bin",)),
    Product("Intune portal", ("intune-portal",), ("intune-daemon",)),
    Product("cloud-init", ("cloud-init",), (), ("/run/cloud-init/result.json",)),
    Product("realmd", ("realmd",), ("realmd",)),
    Product("SSSD", ("sssd", "sssd-common"), ("sssd",)),
    Product("Red Hat subscription", ("subscription-manager",), ("rhsmcertd",)),
)
_LINE: Final = re.compile(r"\s*([A-Za-z_]+)\s*[:=\s]\s*[\"']?([^\"'#]*)")
# Where this is there, the product itself has been accepted by its server.
_ENROLLED: Final = {
    "Salt minion": "/etc/salt/pki/minion/minion_master.pub",
    "Puppet agent": "/etc/puppetlabs/puppet/ssl/certs/ca.pem",
    "Chef client": "/etc/chef/client.pem",
    "Red Hat subscription": "/etc/pki/consumer/cert.pem",
    "SSSD": "/etc/krb5.keytab",
}


def server_in(text: str, key: str) -> str | None:
    """Return the value of a key in a configuration of lines, without any password in it."""
    for line in text.split("\n"):
        found = _LINE.match(line)
        if found and found[1] == key and found[2].strip():
            return without_credentials(found[2].strip())
    return None


@section("management", platform="linux", personal=("server",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per product of which there is a sign."""
    items = []
    for found in look_for(context, _PRODUCTS):
        name = found.product.name
        mark = _ENROLLED.get(name)
        items.append(
            {
                "name": name,
                "version": found.version,
                "running": found.running,
                "enrolled": _is_there(context, mark) if mark else None,
                "server": _server(context, name),
            }
        )
    return items


def _server(context: Context, name: str) -> str | None:
    paths, key = _SERVERS.get(name, ((), ""))
    for path in paths:
        try:
            if server := server_in(context.files.text(path) or "", key):
                return server
        except PermissionError:
            context.note(f"{path} needs root")
    return None


def _is_there(context: Context, path: str) -> bool | None:
    try:
        return context.files.path(path).exists()
    except PermissionError:
        return None
