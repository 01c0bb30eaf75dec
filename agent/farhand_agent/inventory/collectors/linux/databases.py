"""Section `databases`: database servers, whether they run, and where they listen."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.linux.listening_ports import parse_ss
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.presence import Product, look_for
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect"]

_POSTGRESQL: Final = tuple(f"postgresql-{number}" for number in range(9, 25))
_PRODUCTS: Final = (
    Product("postgresql", (*_POSTGRESQL, "postgresql-server"), ("postgres", "postmaster")),
    Product("mariadb", ("mariadb-server", "mariadb-server-10.11"), ("mariadbd",)),
    Product("mysql", ("mysql-server", "mysql-community-server", "mysql-server-8.0"), ("mysqld",)),
    Product("mongodb", ("mongodb-org-server", "mongodb-server"), ("mongod",)),
    Product("redis", ("redis-server", "redis", "valkey-server"), ("redis-server", "valkey-server")),
    Product("memcached", ("memcached",), ("memcached",)),
    Product("influxdb", ("influxdb", "influxdb2"), ("influxd",)),
    Product("elasticsearch", ("elasticsearch", "opensearch"), (), ("/usr/share/elasticsearch",)),
    Product("cassandra", ("cassandra",), (), ("/usr/sbin/cassandra",)),
    Product("couchdb", ("couchdb",), (), ("/opt/couchdb",)),
    Product("oracle", (), ("ora_pmon_",), ("/etc/oratab",)),
    Product("db2", (), ("db2sysc",), ("/opt/ibm/db2",)),
    Product("mssql", ("mssql-server",), ("sqlservr",), ("/opt/mssql/bin/sqlservr",)),
    Product("clickhouse", ("clickhouse-server",), ("clickhouse-serv",)),
)


@section("databases", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per server of which there is a sign."""
    found = look_for(context, _PRODUCTS)
    try:
        sockets = parse_ss(context.run(["ss", "-H", "-lntup"]).text) if found else []
    except CommandMissing as error:
        sockets = []
        context.note(f"without their ports: {error.message}")
    items = []
    for one in found:
        names = set(one.product.processes)
        items.append(
            {
                "engine": one.product.name,
                "version": one.version,
                "running": one.running,
                "listening": sorted(
                    {f"{s['address']}:{s['port']}" for s in sockets if s["program"] in names}
                ),
            }
        )
    return items
