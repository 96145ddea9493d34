"""The door of shares and their members; decides nothing. Source: readings, section 7, "Content"."""

from __future__ import annotations

from headwater.contracts.files import access
from headwater.contracts.files.access import Access
from headwater.contracts.files.shares import rules, shapes
from headwater.contracts.files.shares.shapes import Members, ShareAnswer, ShareList
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http import etags
from headwater.web.reply import Header, Reply


class ShareDoor:
    """The handlers of ``/api/v1/shares``."""

    async def list(self, call: Call) -> Reply:
        """GET: the shares that the caller may read."""

        def transaction(tx: Transaction) -> ShareList:
            rows = access.readable(tx, call.principal)
            return ShareList([rules.show(tx, call.principal, row) for row in rows])

        return reply.json(await call.read(transaction, slow=True))

    async def create(self, call: Call) -> Reply:
        """POST: a new share; 201."""
        fields = call.decoded(shapes.read_share)
        return await call.act(
            lambda tx: rules.create(tx, call.principal, fields),
            lambda share: reply.json(share, 201, ((b"location", b"/api/v1/shares/" + share.id.encode()),)),
        )

    async def get(self, call: Call) -> Reply:
        """GET /{id}: one share."""

        def transaction(tx: Transaction) -> ShareAnswer:
            return _shown(tx, call.principal, call.params["share_id"])

        share = await call.read(transaction)
        given = call.header(b"if-none-match")
        if given is not None and etags.matches(given, _share_tag(share), weak=True):
            return reply.empty(304, (_share_etag(share),))
        return reply.json(share, headers=(_share_etag(share),))

    async def change(self, call: Call) -> Reply:
        """PATCH /{id}: name and quota."""
        patch = call.decoded(shapes.read_share_patch)
        id, if_match = call.params["share_id"], call.header(b"if-match")

        def transaction(tx: Transaction) -> ShareAnswer:
            _require(tx, call.principal, id, if_match)
            return rules.change(tx, call.principal, id, patch)

        share = await call.write(transaction)
        return reply.json(share, headers=(_share_etag(share),))

    async def delete(self, call: Call) -> Reply:
        """DELETE /{id}: 204."""
        id, if_match = call.params["share_id"], call.header(b"if-match")

        def transaction(tx: Transaction) -> None:
            _require(tx, call.principal, id, if_match)
            rules.delete(tx, call.principal, id)

        await call.write(transaction)
        return reply.empty()

    async def members(self, call: Call) -> Reply:
        """GET /{id}/members: all of them, for a member who only reads those that include the caller."""

        def transaction(tx: Transaction) -> Members:
            row = access.require(tx, call.principal, call.params["share_id"], Access.READ)
            found = rules.members(tx, row)
            if access.access_of(tx, call.principal, row) < Access.WRITE:
                found = [each for each in found if access.is_meant(tx, call.principal, each.kind, each.id)]
            return Members(found)

        return reply.json(await call.read(transaction))

    async def set_members(self, call: Call) -> Reply:
        """PUT /{id}/members: replace them all."""
        wanted = call.decoded(shapes.read_members).members

        def transaction(tx: Transaction) -> Members:
            row = access.require(tx, call.principal, call.params["share_id"], Access.MANAGE)
            return Members(rules.set_members(tx, row, wanted))

        return reply.json(await call.write(transaction))


def _shown(tx: Transaction, principal: Principal, id: str) -> ShareAnswer:
    return rules.show(tx, principal, access.require(tx, principal, id, Access.READ))


def _require(tx: Transaction, principal: Principal, id: str, if_match: str | None) -> None:
    """Compares the share with If-Match before it is changed. Raises: NotFound, PreconditionFailed."""
    if if_match is not None:
        etags.require(if_match, _share_tag(_shown(tx, principal, id)))


def _share_tag(share: ShareAnswer) -> str:
    """The tag of the fields of a share that may be changed; the used bytes do not count."""
    return etags.etag(share.id, share.name, share.quota_bytes or "", share.updated_at)


def _share_etag(share: ShareAnswer) -> Header:
    return b"etag", _share_tag(share).encode()
