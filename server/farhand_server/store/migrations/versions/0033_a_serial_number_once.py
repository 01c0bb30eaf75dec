"""make and serial number as they are compared, once in an organisation

Where two devices have one already, the one that is in use keeps it; the other's stays written as it
is and counts for nobody until somebody changes it.

Revision ID: 0033
Revises: 0032
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_PRODUCTS = sa.table(
    "device_products",
    *(sa.column(name) for name in ("tenant", "device", "make", "serial", "folded")),
)
_DEVICES = sa.table("devices", *(sa.column(name) for name in ("tenant", "id", "retired_at")))


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.add_column("device_products", sa.Column("folded", sa.Text()))
    connection = op.get_bind()
    product, device = _PRODUCTS.c, _DEVICES.c
    query = (
        sa.select(product.tenant, product.device, product.make, product.serial)
        .join(_DEVICES, (device.tenant == product.tenant) & (device.id == product.device))
        .where(product.make.is_not(None), product.serial.is_not(None))
        .order_by(sa.case((device.retired_at.is_(None), 0), else_=1), product.device)
    )
    owners: dict[tuple[str, str], str] = {}
    for tenant, name, make, serial in connection.execute(query).all():
        owners.setdefault((tenant, f"{make.casefold()}\n{serial.casefold()}"), name)
    rows = [
        {"its_tenant": tenant, "its_device": name, "its_folded": folded}
        for (tenant, folded), name in owners.items()
    ]
    if rows:
        connection.execute(
            sa.update(_PRODUCTS)
            .where(
                product.tenant == sa.bindparam("its_tenant"),
                product.device == sa.bindparam("its_device"),
            )
            .values(folded=sa.bindparam("its_folded")),
            rows,
        )
    op.create_index(
        "ix_device_products_folded", "device_products", ["tenant", "folded"], unique=True
    )
